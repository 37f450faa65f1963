"""Batch norm for few channels, on the CPU: torch's own goes through them one number at a time."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW_CHANNELS = 8
"""From so many channels on, those of a pixel fill a vector register: torch's own is as fast."""

_COLUMNS = 256
"""Numbers side by side, at least where a power of 2 of pixels has so many."""


class Norm(nn.BatchNorm2d):
    """Batch norm with the formula and the state of `torch.nn.BatchNorm2d`.

    In training on the CPU, maps of fewer than 8 channels that are laid out channels last are
    seen as rows of several pixels side by side: torch goes through such channels one number at a
    time, and adds them up in turn, which is less accurate.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (crop, channel, row, column) to the same shape."""
        if not (self.training and _is_slow(x)):
            return super().forward(x)
        y, mean, variance = _Normalised.apply(x, self.weight, self.bias, self.eps)
        count = x.numel() // x.shape[1]
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return y


def _is_slow(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and 1 < x.shape[1] < FEW_CHANNELS
        and x.numel() > 2 * x.shape[1]
        and x.is_contiguous(memory_format=torch.channels_last)
    )


class _Normalised(torch.autograd.Function):
    """Normalisation over all pixels; its input is (crop, channel, row, column).

    What there is once a channel is computed by numpy, whose calls cost a tenth of torch's.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = _rows(x)
        mean, variance = _moments(rows, x.shape[1])
        inverse = 1 / np.sqrt(variance + eps)
        gain = weight.detach().numpy() * inverse
        y = torch.empty_like(x, memory_format=torch.channels_last)  # no view: ReLU works in place
        shift = bias.detach().numpy() - gain * mean
        torch.addcmul(_across(shift, rows), rows, _across(gain, rows), out=_rows(y))
        ctx.save_for_backward(x, weight)
        ctx.moments = (mean, inverse)
        found = [torch.from_numpy(each).to(x.dtype) for each in (mean, variance)]
        ctx.mark_non_differentiable(*found)
        return y, found[0], found[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        mean, inverse = ctx.moments
        count = x.numel() // x.shape[1]
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        rows, inputs = _rows(gradient), _rows(x)
        # the sum of the gradient, and of it times the normalised input
        _, along, total = torch.ops.aten.native_batch_norm_backward(
            rows, inputs, None, None, None, _across(mean, rows), _across(inverse, rows),
            True, 0.0, [False, True, True],
        )  # fmt: skip
        total, along = (_together(each, len(mean)) for each in (total, along))
        gain = weight.detach().numpy() * inverse
        slope = -gain * inverse * along / count
        shift = -gain * total / count - slope * mean
        before = torch.empty_like(gradient, memory_format=torch.channels_last)
        out = torch.addcmul(_across(shift, rows), rows, _across(gain, rows), out=_rows(before))
        out.addcmul_(inputs, _across(slope, rows))
        of_weight, of_bias = (torch.from_numpy(each).to(x.dtype) for each in (along, total))
        return before, of_weight, of_bias, None


Numbers = NDArray[np.float64]
"""One of each channel."""


def _moments(rows: Tensor, channels: int) -> tuple[Numbers, Numbers]:
    """Return mean and variance of each channel's pixels.

    Those of the columns are joined as in T. F. Chan, G. H. Golub, R. J. LeVeque, The American
    Statistician 37 (1983) 242.
    """
    columns = torch.batch_norm_update_stats(rows, None, None, 0.0)
    means, variances = (each.numpy().astype(float).reshape(-1, channels) for each in columns)
    mean = means.mean(0)
    return mean, (variances + (means - mean) ** 2).mean(0)


def _rows(x: Tensor) -> Tensor:
    """See (crop, channel, row, column) as (rows, pixel and channel)."""
    channels = x.shape[1]
    pixels = x.numel() // channels
    side_by_side = 1
    while side_by_side * channels < _COLUMNS and pixels % (2 * side_by_side) == 0:
        side_by_side *= 2
    return x.permute(0, 2, 3, 1).reshape(-1, side_by_side * channels)


def _across(values: Numbers, rows: Tensor) -> Tensor:
    """Return a number of each channel for each column."""
    return torch.from_numpy(np.tile(values, rows.shape[1] // len(values))).to(rows.dtype)


def _together(columns: Tensor, channels: int) -> Numbers:
    """Return the sum of each channel for that of each column."""
    total: Numbers = columns.numpy().astype(float).reshape(-1, channels).sum(0)
    return total
