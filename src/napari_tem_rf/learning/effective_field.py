"""The effective receptive field of a network: the gradient of what it decides at a pixel.

After W. Luo, Y. Li, R. Urtasun, R. Zemel, Understanding the Effective Receptive Field in Deep
Convolutional Neural Networks, NeurIPS (2016), arXiv:1701.04128, with two differences: the gradient
is that of the class margin, so that it says what the decision hangs on and not what shifts all
classes alike, and it is taken on one real image, not on noise.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from napari_tem_rf.learning.fast.network import accelerated, with_layout
from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.effective_field import EffectiveField, effective_field_of
from napari_tem_rf.networks.receptive_field import Interval, ReceptiveField
from napari_tem_rf.networks.rounding import ceil_div, round_up

_FEW_FILTERS = 8


def prepared(network: Network) -> Network:
    """Return a copy of a network that gives the same field sooner, in evaluation mode.

    Batch norms are folded into the convs; up to 8 filters the backward pass is faster with
    channels last, above with channels first.
    """
    folded = accelerated(network).folded()
    if network.spec.filters > _FEW_FILTERS:
        folded = with_layout(folded, torch.contiguous_format)
    return folded


def effective_field(
    network: Network,
    field: ReceptiveField,
    pixels: NDArray[np.floating],
    at: tuple[int, int],
) -> EffectiveField:
    """Measure the effective receptive field of one output pixel.

    The network runs on a crop of the exact field, cut on multiples of the period, so that its
    phases and its padding are those of the whole image: the gradient is the same.

    Parameters
    ----------
    network : Network
        The network; `prepared` makes it faster. It is measured in evaluation mode and left in the
        mode it was in.
    field : ReceptiveField
        The network's exact receptive field.
    pixels : ndarray of float, shape (row, column)
        The standardised image.
    at : tuple of int
        (row, column) of the output pixel.

    Returns
    -------
    EffectiveField
        The gradient inside the exact field and inside the image.

    Raises
    ------
    ValueError
        When the pixel is outside the image.
    """
    rows, columns = field.box(at, (pixels.shape[0], pixels.shape[1]))
    heat = _margin_gradient(network, pixels, at, (rows, columns))
    return effective_field_of(heat, (rows.inside[0], columns.inside[0]), at)


def mean_effective_field(
    network: Network,
    field: ReceptiveField,
    pixels: NDArray[np.floating],
    at: Sequence[tuple[int, int]],
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> EffectiveField:
    """Measure the effective receptive field averaged over many output pixels.

    The heats are laid over each other with their output pixels in the middle: over all phases
    they give the field of the network, over the pixels of one class what that class hangs on.

    Parameters
    ----------
    network, field, pixels
        As for `effective_field`.
    at : sequence of tuple of int
        (row, column) of the output pixels.
    stopped : callable
        Asked between pixels; when it says yes, the mean is that of the pixels so far.

    Returns
    -------
    EffectiveField
        Its ``at`` is the middle of the heat and its ``origin`` is (0, 0).

    Raises
    ------
    ValueError
        When there is no pixel, or one is outside the image.
    """
    if not at:
        raise ValueError("no pixels were given to average the effective field over: give some")
    reach = int(max(field.before.max(), field.after.max()))
    total = np.zeros((2 * reach + 1, 2 * reach + 1))
    measured = 0
    for row, column in at:
        if measured and stopped():
            break
        one = effective_field(network, field, pixels, (row, column))
        top, left = one.origin[0] - row + reach, one.origin[1] - column + reach
        total[top : top + one.heat.shape[0], left : left + one.heat.shape[1]] += one.heat
        measured += 1
    return effective_field_of(total / measured, (0, 0), (reach, reach), measured)


def _margin_gradient(
    network: Network,
    pixels: NDArray[np.floating],
    at: tuple[int, int],
    box: tuple[Interval, Interval],
) -> NDArray[np.floating]:
    period = network.spec.period
    (top, bottom), (left, right) = (
        (inside[0] // period * period, round_up(inside[1], period))
        for inside in (interval.inside for interval in box)
    )
    weight = next(network.parameters())
    crop = torch.as_tensor(
        np.ascontiguousarray(pixels[top:bottom, left:right]),
        dtype=weight.dtype,
        device=weight.device,
    )[None, None]  # (crop, channel, row, column)
    crop.requires_grad_(True)
    was_training = network.training
    network.eval()
    try:
        logits = _logits_at(network, crop, (at[0] - top, at[1] - left))
        largest, runner_up = torch.topk(logits, 2).values
        (gradient,) = torch.autograd.grad(largest - runner_up, crop)
    finally:
        network.train(was_training)
    rows, columns = (interval.inside for interval in box)
    return (
        gradient[0, 0, rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
        .abs()
        .cpu()
        .numpy()
    )


def _logits_at(network: Network, image: Tensor, at: tuple[int, int]) -> Tensor:
    """Return the logits of one pixel, shape (class,), as `Network.forward` gives them.

    The decoder runs on the few pixels around the output pixel that it needs: at full resolution
    it would be most of the work.
    """
    spec = network.spec
    rows, columns = image.shape[-2:]
    x = functional.pad(image, (0, -columns % spec.period, 0, -rows % spec.period))
    skips = []
    for block, pool in zip(network.encoder, spec.pools, strict=True):
        skips.append(block(x))
        x = functional.max_pool2d(skips[-1], pool)
    x = network.bottleneck(x)
    # down the levels: what each decoder block must give, and what it must see for it
    wanted = [_Window(at[0], at[0] + 1, at[1], at[1] + 1)]
    seen = []
    for skip, pool, dilation in zip(skips, spec.pools, spec.dilations, strict=False):
        seen.append(wanted[-1].widened(2 * dilation, (skip.shape[-2], skip.shape[-1])))
        wanted.append(seen[-1].pooled(pool))
    x = wanted[-1].of(x)
    for level in reversed(range(spec.levels)):
        pool, coarse, window = spec.pools[level], wanted[level + 1], seen[level]
        up = functional.interpolate(x, scale_factor=pool, mode="nearest")
        up = window.moved(coarse.top * pool, coarse.left * pool).of(up)
        skip = _Part.apply(skips[level], window)
        x = network.decoder[spec.levels - 1 - level](torch.cat([skip, up], 1))
        x = wanted[level].moved(window.top, window.left).of(x)
    return network.head(x)[0, :, 0, 0]


class _Window(NamedTuple):
    """Rows top to bottom and columns left to right (exclusive) of a feature map."""

    top: int
    bottom: int
    left: int
    right: int

    def widened(self, by: int, shape: tuple[int, int]) -> "_Window":
        return _Window(
            max(self.top - by, 0),
            min(self.bottom + by, shape[0]),
            max(self.left - by, 0),
            min(self.right + by, shape[1]),
        )

    def pooled(self, pool: int) -> "_Window":
        return _Window(
            self.top // pool,
            ceil_div(self.bottom, pool),
            self.left // pool,
            ceil_div(self.right, pool),
        )

    def moved(self, top: int, left: int) -> "_Window":
        """Return the window seen from another origin."""
        return _Window(self.top - top, self.bottom - top, self.left - left, self.right - left)

    def of(self, features: Tensor) -> Tensor:
        return features[..., self.top : self.bottom, self.left : self.right]


class _Part(torch.autograd.Function):
    """A window of a map; its gradient lies in memory as the map does.

    Torch's own would lie channels first whatever the map, and be slow to add to another one.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, window: _Window) -> Tensor:
        ctx.window = window
        ctx.save_for_backward(features)
        return window.of(features)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        whole = torch.zeros_like(features)
        ctx.window.of(whole).copy_(gradients[0])
        return whole, None
