"""Residual blocks of few channels, trained on the CPU plane by plane by the kernels.

Torch's convs want the channels of a pixel to fill a vector register, and its layers write every
map to memory and read it again. A network for few annotations has 4 to 12 channels where its maps
are largest; there the kernels of a block (`learning.fast.kernels`) take half of the time or less.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from napari_tem_rf.learning.device import computing_threads
from napari_tem_rf.learning.fast import kernels

__all__ = ["all_threads", "planar_block", "warm_up"]

BAND_BYTES = 1 << 20
"""What a band takes in the cache of a core."""

Array = NDArray[Any]
_THREADS: ContextVar[int] = ContextVar("threads of the kernels", default=0)


def planar_block(
    block: Any, skip: Tensor, below: Tensor | None = None, *, up: int = 1, down: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the output of a `Block` in training, and the same pooled.

    Parameters
    ----------
    block : Block
        Its norms use the moments of the crops and move their running moments; in evaluation mode
        they use the running ones.
    skip : Tensor of float32, shape (crop, channel, row, column)
        Input of the block; in a decoder, the output of its encoder.
    below : Tensor of float32, shape (crop, channel, row / up, column / up), optional
        The level below, to be upsampled by nearest neighbours.
    up : int
        Pool between this level and the one below, in a decoder.
    down : int
        Pool of the level, in an encoder; 0 for none.

    Returns
    -------
    result : Tensor of float32, shape (crop, channel out, row, column)
        Plane by plane, as all maps here.
    pooled : Tensor of float32, shape (crop, channel out, row / down, column / down)
        Its maxima; no pixels where ``down`` is 0.
    """
    result: tuple[Tensor, Tensor] = _PlanarBlock.apply(
        skip, below, up, down, (block.norm1, block.norm2),
        block.conv1.weight, block.conv1.bias, block.norm1.weight, block.norm1.bias,
        block.conv2.weight, block.conv2.bias, block.norm2.weight, block.norm2.bias,
        block.shortcut.weight, block.shortcut.bias,
    )  # fmt: skip
    return result


@contextmanager
def all_threads() -> Iterator[None]:
    """Give torch one thread and the kernels as many as torch had."""
    token = _THREADS.set(torch.get_num_threads())
    try:
        with computing_threads(1):
            yield
    finally:
        _THREADS.reset(token)


def warm_up() -> None:
    """Compile the kernels, or load what was compiled before: otherwise the first block would wait.

    It draws no random numbers, which a training beside it would miss.
    """
    norms = (nn.BatchNorm2d(2), nn.BatchNorm2d(2))
    line = torch.zeros(2)
    out, _ = _PlanarBlock.apply(
        torch.zeros(1, 1, 4, 4, requires_grad=True), torch.zeros(1, 2, 2, 2), 2, 0, norms,
        torch.zeros(2, 3, 3, 3), line, line, line, torch.zeros(2, 2, 3, 3), line, line, line,
        torch.zeros(2, 3, 1, 1), line,
    )  # fmt: skip
    out.sum().backward()


@dataclass(frozen=True, slots=True)
class _Norm:
    """What a norm does to each channel: ``gain`` times its value plus ``shift``, by its moments."""

    mean: Array
    variance: Array
    inverse: Array
    gain: Array
    shift: Array
    keeps: bool

    @classmethod
    def of(
        cls, norm: nn.BatchNorm2d, weight: Tensor, bias: Tensor, sums: Array, count: int
    ) -> "_Norm":
        """Take the moments from the sums of pixels and squares, or those that the norm keeps.

        The norm's running moments move as those of `torch.nn.BatchNorm2d` do.
        """
        if norm.training:
            mean = sums[0] / count
            variance = np.maximum(sums[1] / count - mean**2, 0)
            _move(norm, mean, variance, count)
        else:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            mean = norm.running_mean.numpy().astype(float)
            variance = norm.running_var.numpy().astype(float)
        inverse = 1 / np.sqrt(variance + norm.eps)
        gain = _array(weight) * inverse
        shift = _array(bias) - gain * mean
        return cls(mean, variance, inverse, gain, shift, not norm.training)

    def backward(self, sums: Array, count: int) -> tuple[Array, Array, Array, Array]:
        """Return what the gradients are, for the sums of the gradient and of it times the input.

        Returns
        -------
        slopes : ndarray, shape (4, channel)
            The input's gradient is the first times that of the result, plus the second times the
            input less the fourth, its mean, plus the third.
        grad_weight, grad_bias : ndarray, shape (channel,)
        grad_shift : ndarray, shape (channel,)
            Gradient of what is added to the input: none where the norm takes its mean away.
        """
        total = sums[0]
        along = (sums[1] - self.mean * total) * self.inverse
        slopes = np.zeros((4, len(total)))
        slopes[0], slopes[3] = self.gain, self.mean
        if not self.keeps:
            slopes[1] = -self.gain * self.inverse * along / count
            slopes[2] = -self.gain * total / count
        return slopes, along, total, self.gain * total * self.keeps


class _PlanarBlock(torch.autograd.Function):
    """The block as a function of its input and weights; moves the norms' running moments."""

    @staticmethod
    def forward(
        ctx: Any, skip: Tensor, below: Tensor | None, up: int, down: int, norms: tuple[Any, Any],
        weight1: Tensor, bias1: Tensor, scale1: Tensor, shift1: Tensor,
        weight2: Tensor, bias2: Tensor, scale2: Tensor, shift2: Tensor,
        shortcut: Tensor, shortcut_bias: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        crops, _, height, width = skip.shape
        inputs = _inputs(skip, below)
        channels, channels_in = weight1.shape[:2]
        bands = _Bands.of(crops, height, width, channels + channels_in, max(up, down))
        y1, y2, out = (torch.empty(crops, channels, height, width) for _ in range(3))
        small = (height // down, width // down) if down else (0, 0)
        pooled = torch.empty(crops, channels, *small)
        argmax = torch.empty(crops, channels, *small, dtype=torch.int32)
        count = crops * height * width

        def sums() -> list[Array]:
            return [np.zeros((2, channels))]

        (found,) = bands.run(
            kernels.first_conv, sums, *inputs, up, _array(weight1), _array(bias1), bands.rows,
            _array(y1),
        )  # fmt: skip
        norm1 = _Norm.of(norms[0], scale1, shift1, found, count)
        (found,) = bands.run(
            kernels.second_conv, sums, _array(y1), _single(norm1.gain), _single(norm1.shift),
            _array(weight2), _array(bias2), bands.rows, _array(y2),
        )  # fmt: skip
        norm2 = _Norm.of(norms[1], scale2, shift2, found, count)
        bands.run(
            kernels.result, list, *inputs, up, _flat(shortcut), _array(y2),
            _single(norm2.gain), _single(norm2.shift + _array(shortcut_bias)), down, bands.rows,
            _array(out), _array(pooled), _array(argmax),
        )  # fmt: skip
        ctx.save_for_backward(skip, below, weight1, weight2, shortcut, y1, y2, out, argmax)
        ctx.pools, ctx.bands, ctx.norms, ctx.count = (up, down), bands, (norm1, norm2), count
        return out, pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        skip, below, weight1, weight2, shortcut, y1, y2, out, argmax = ctx.saved_tensors
        inputs, (up, down), bands = _inputs(skip, below), ctx.pools, ctx.bands
        norm1, norm2 = ctx.norms
        channels, channels_in = weight1.shape[:2]
        g, h = torch.empty_like(y1), torch.empty_like(y1)
        grad_inputs = [np.empty_like(each) for each in inputs]

        grad_shortcut, found = bands.run(
            kernels.result_backward,
            lambda: [np.zeros((channels, channels_in)), np.zeros((2, channels))],
            _array(gradients[0]), _array(gradients[1]), _array(argmax), _array(out), _array(y2),
            *inputs, up, _flat(shortcut), down, bands.rows, _array(g), grad_inputs[1],
        )  # fmt: skip
        grad_shortcut_bias = found[0]
        slopes, grad_scale2, grad_shift2, grad_bias2 = norm2.backward(found, ctx.count)
        grad_weight2, found = bands.run(
            kernels.second_conv_backward,
            lambda: [np.zeros((channels, channels, 3, 3)), np.zeros((2, channels))],
            _array(g), _array(y2), _single(slopes), _array(y1), _single(norm1.gain),
            _single(norm1.shift), _flipped(weight2), bands.rows, _array(h),
        )  # fmt: skip
        slopes, grad_scale1, grad_shift1, grad_bias1 = norm1.backward(found, ctx.count)
        needs_grad = ctx.needs_input_grad[0]
        (grad_weight1,) = bands.run(
            kernels.first_conv_backward, lambda: [np.zeros((channels, channels_in, 3, 3))],
            _array(h), _array(y1), _single(slopes), *inputs, up, _array(weight1),
            _flipped(weight1), _array(g), _flat(shortcut), bands.rows, needs_grad, *grad_inputs,
        )  # fmt: skip
        grad_skip, grad_below = (torch.from_numpy(each) for each in grad_inputs)
        return (
            grad_skip if needs_grad else None, grad_below if below is not None else None,
            None, None, None, *(_tensor(each) for each in (
                grad_weight1, grad_bias1, grad_scale1, grad_shift1,
                grad_weight2, grad_bias2, grad_scale2, grad_shift2,
                grad_shortcut[:, :, None, None], grad_shortcut_bias,
            )),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Bands:
    """How the maps of a block are cut, and among how many threads its bands are shared."""

    rows: int
    count: int

    @classmethod
    def of(cls, crops: int, height: int, width: int, channels: int, pool: int) -> "_Bands":
        """Cut maps so that a band fits the cache; each begins where a pixel from below does."""
        fitting = BAND_BYTES // (4 * channels * (width + 2)) - 2
        rows = min(max(pool, fitting // pool * pool), height)
        return cls(rows, crops * -(-height // rows))

    @property
    def threads(self) -> int:
        """How many threads share the bands."""
        return max(1, min(_THREADS.get() or torch.get_num_threads(), self.count))

    def run(
        self, kernel: Callable[..., None], sums: Callable[[], list[Array]], *arguments: Any
    ) -> list[Array]:
        """Run a kernel on all bands and return what it summed.

        Each thread has an equal part of the bands and sums of its own, which are added in the
        order of the bands: the same number of threads gives the same result to the last bit.
        """
        threads = self.threads
        cuts = [self.count * each // threads for each in range(threads + 1)]
        parts = [sums() for _ in range(threads)]
        others = [
            _pool().submit(kernel, *arguments, *parts[each], cuts[each], cuts[each + 1])
            for each in range(1, threads)
        ]
        kernel(*arguments, *parts[0], cuts[0], cuts[1])
        for other in others:
            other.result()
        return [sum(same[1:], same[0]) for same in zip(*parts, strict=True)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "kernel")


def _move(norm: nn.BatchNorm2d, mean: Array, variance: Array, count: int) -> None:
    """Move the running moments of a norm; the variance is the unbiased one."""
    assert norm.momentum is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    unbiased = variance * (count / max(1, count - 1))
    for running, now in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        values = running.numpy()
        values += norm.momentum * (now - values)
    norm.num_batches_tracked.numpy()[...] += 1


def _inputs(skip: Tensor, below: Tensor | None) -> tuple[Array, Array]:
    if below is None:
        return _array(skip), np.empty((len(skip), 0, 1, 1), np.float32)
    return _array(skip), _array(below)


def _array(values: Tensor) -> Array:
    """See a tensor as an array, plane by plane."""
    return values.detach().contiguous().numpy()


def _flat(weight: Tensor) -> Array:
    """Return the weights of a 1x1 conv, (channel out, channel in)."""
    return _array(weight[:, :, 0, 0])


def _flipped(weight: Tensor) -> Array:
    """Return the weights of the conv that takes gradients back: flipped, out and in exchanged."""
    return _array(weight.flip(2, 3).transpose(0, 1))


def _single(values: Array) -> Array:
    return values.astype(np.float32)


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(_single(values))
