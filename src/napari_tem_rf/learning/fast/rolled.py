"""Prediction of large images on the CPU by the rolling kernels, where these are sooner than torch.

They compute the first and the last block, where a network of few filters is widest in pixels and
narrowest in channels. All blocks between are torch's.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_tem_rf.learning.fast import rolling
from napari_tem_rf.learning.passes import LayeredPass
from napari_tem_rf.learning.tiles import Window
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["RolledPass", "suits_rolling", "warm_up_rolling"]

FEW_FILTERS = 6
"""More than these fill torch's vectors, and torch is as soon: with 8 the two are equal."""

LARGEST_POOL = 64
"""A line of the kernels holds the margins of cells of this size, and as much again."""

Array = NDArray[Any]


class RolledPass(LayeredPass):
    """A `LayeredPass` whose first and last blocks are computed by the kernels.

    Parameters
    ----------
    network : Network
        Folded, on the CPU; one that `suits_rolling`.
    shape, tile_px
        As for every pass.
    """

    layout = torch.contiguous_format

    def go_down(self, image: Tensor) -> Tensor:
        """Return the output of the first block, pooled."""
        spec, x = self.network.spec, _planes(image)
        pool, (rows, columns) = spec.pools[0], x.shape[1:]
        pooled = np.empty((spec.filters, rows // pool, columns // pool), np.float32)
        rolling.encode(x, *_weights(self.network.encoder[0]), pool, 0, rows, pooled)
        return torch.from_numpy(pooled)[None]

    def pass_below(self, maps: Tensor) -> Tensor:
        """Return the output of the level below the first pool for its input."""
        return super().pass_below(maps.contiguous(memory_format=torch.channels_last))

    def come_up(self, image: Tensor, below: Tensor, keep: Window) -> Tensor:
        """Return the logits of the kept part of a tile, (class, row, column)."""
        network, pool = self.network, self.network.spec.pools[0]
        rows, columns = keep
        out = np.empty(
            (network.spec.classes, rows.stop - rows.start, columns.stop - columns.start),
            np.float32,
        )
        rolling.decode(
            _planes(image), *_weights(network.encoder[0]), _planes(below), pool,
            *_weights(network.decoder[-1]), _flat(network.head), _array(network.head.bias),
            rows.start, rows.stop, columns.start, columns.stop, out,
        )  # fmt: skip
        return torch.from_numpy(out)


def suits_rolling(spec: NetworkSpec) -> bool:
    """Whether the kernels predict with a network of this spec."""
    return (
        spec.levels > 0
        and spec.filters <= FEW_FILTERS
        and max(spec.dilations) == 1
        and max(spec.pools) <= LARGEST_POOL
    )


def warm_up_rolling() -> None:
    """Compile the kernels, or load what was compiled before."""
    x, below = np.zeros((1, 4, 4), np.float32), np.zeros((2, 2, 2), np.float32)
    kernel, line = np.zeros((1, 1, 3, 3), np.float32), np.zeros(1, np.float32)
    block = (kernel, line, kernel, line, np.zeros((1, 1), np.float32))
    out, pooled = np.zeros((1, 4, 4), np.float32), np.zeros((1, 2, 2), np.float32)
    rolling.encode(x, *block, 2, 0, 4, pooled)
    upper = (np.zeros((1, 3, 3, 3), np.float32), *block[1:4], np.zeros((1, 3), np.float32))
    head = (np.zeros((1, 1), np.float32), line)
    rolling.decode(x, *block, below, 2, *upper, *head, 0, 4, 0, 4, out)


def _weights(block: Any) -> tuple[Array, Array, Array, Array, Array]:
    """Return what the kernels ask of a folded block."""
    return (
        _array(block.conv1.weight),
        _array(block.conv1.bias),
        _array(block.conv2.weight),
        _array(block.conv2.bias + block.shortcut.bias),
        _flat(block.shortcut),
    )


def _planes(maps: Tensor) -> Array:
    """Return the maps of one image as planes, (channel, row, column)."""
    return np.ascontiguousarray(maps[0].numpy())


def _flat(conv: nn.Conv2d) -> Array:
    """Return the weights of a 1x1 conv, (channel out, channel in)."""
    return _array(conv.weight[:, :, 0, 0])


def _array(values: Tensor | None) -> Array:
    assert values is not None
    return values.detach().contiguous().numpy()
