"""Batch norm for few channels, on the CPU: torch's own goes through them one number at a time."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

FEW_CHANNELS = 8
"""From so many channels on, those of a pixel fill a vector register: torch's own is as fast."""

_MOST_SIDE_BY_SIDE = 16


class Norm(nn.BatchNorm2d):
    """Batch norm with the formula and the state of `torch.nn.BatchNorm2d`.

    In training on the CPU, maps of fewer than 8 channels that are laid out channels last are
    seen as rows of several pixels side by side, which is four times as fast at 4 channels and,
    because torch adds up in pairs along such rows, more accurate.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (crop, channel, row, column) to the same shape."""
        if not (self.training and _is_slow(x)):
            return super().forward(x)
        y, mean, variance = _FewChannels.apply(x, self.weight, self.bias, self.eps)
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        count = x.numel() // x.shape[1]
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


class _FewChannels(torch.autograd.Function):
    """Normalisation over all pixels; its input is (crop, channel, row, column)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        side_by_side = _side_by_side(x)
        rows = _rows(x, side_by_side)
        mean = _mean(rows, side_by_side)
        centred = rows - mean.repeat(side_by_side)
        variance = _mean(centred * centred, side_by_side)
        inverse = torch.rsqrt(variance + eps)
        gain = (weight * inverse).repeat(side_by_side)
        y = torch.empty_like(x, memory_format=torch.channels_last)  # no view: ReLU works in place
        torch.addcmul(bias.repeat(side_by_side), centred, gain, out=_rows(y, side_by_side))
        ctx.save_for_backward(centred, weight, inverse)
        ctx.side_by_side = side_by_side
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        centred, weight, inverse = ctx.saved_tensors
        gradient, side_by_side = gradients[0], ctx.side_by_side
        rows = _rows(gradient, side_by_side)
        count = rows.numel() // len(weight)
        mean = _mean(rows, side_by_side)
        along = _mean(rows * centred, side_by_side)  # how the gradient goes with the input
        gain = weight * inverse
        before = torch.empty_like(gradient, memory_format=torch.channels_last)
        out = _rows(before, side_by_side)
        shift = (-gain * mean).repeat(side_by_side)
        torch.addcmul(shift, rows, gain.repeat(side_by_side), out=out)
        out.addcmul_(centred, (-gain * inverse**2 * along).repeat(side_by_side))
        return before, along * inverse * count, mean * count, None


def _side_by_side(x: Tensor) -> int:
    """Return how many pixels make a row: the largest power of 2 up to 16 that leaves none over."""
    pixels = x.numel() // x.shape[1]
    return min(pixels & -pixels, _MOST_SIDE_BY_SIDE)


def _rows(x: Tensor, side_by_side: int) -> Tensor:
    """See (crop, channel, row, column) as (rows, pixel and channel)."""
    return x.permute(0, 2, 3, 1).reshape(-1, side_by_side * x.shape[1])


def _mean(rows: Tensor, side_by_side: int) -> Tensor:
    """Return the mean of each channel."""
    return rows.mean(0).view(side_by_side, -1).mean(0)
