"""Prediction of an image of any size: tiles with the exact halo, as one pass would give it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_tem_rf.learning.device import out_of_memory
from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.receptive_field import receptive_field

TILE_PX = 512
"""Side of a tile without its halo where the halo is small."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a network says of an image.

    Attributes
    ----------
    classes : ndarray of uint8, shape (row, column)
        Index of the most probable class.
    probabilities : ndarray of float32, shape (class, row, column), optional
        Softmax of the logits.
    """

    classes: NDArray[np.uint8]
    probabilities: NDArray[np.float32] | None


def predict(
    network: Network,
    pixels: NDArray[np.float32],
    *,
    tile_px: int | None = None,
    probabilities: bool = False,
    progress: Callable[[float], None] = lambda fraction: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Prediction | None:
    """Predict an image tile by tile.

    Tiles start and end on multiples of the network's period and carry its halo, so that every
    pixel gets what one pass over the whole image would give it; memory does not depend on the
    size of the image.

    Parameters
    ----------
    network : Network
        Best folded (`Network.folded`) and on its device.
    pixels : ndarray of float32, shape (row, column)
        Standardised image.
    tile_px : int, optional
        Side of a tile without its halo, rounded up to the period.
    probabilities : bool
        Whether to return probabilities too.
    progress : callable
        Called with the fraction done after each tile.
    stopped : callable
        Asked before each tile; when true, None is returned.
    """
    device = next(network.parameters()).device
    classes = np.empty(pixels.shape, np.uint8)
    shape = (network.spec.classes, *pixels.shape)
    probable = np.empty(shape, np.float32) if probabilities else None
    size = _tile_side(network, tile_px)
    tiles = list(_tiles(pixels.shape, size, receptive_field(network.spec).halo))
    with torch.inference_mode():
        for number, tile in enumerate(tiles):
            if stopped():
                return None
            logits = _logits(network, pixels[tile.read], device)[(..., *tile.keep)]
            classes[tile.write] = logits.argmax(0).to(torch.uint8).cpu().numpy()
            if probable is not None:
                probable[(slice(None), *tile.write)] = logits.softmax(0).cpu().numpy()
            progress((number + 1) / len(tiles))
    return Prediction(classes, probable)


def tile_areas(network: Network, shape: tuple[int, int]) -> list[int]:
    """Return how many pixels each tile of an image of a shape reads, its halo included."""
    tiles = _tiles(shape, _tile_side(network, None), receptive_field(network.spec).halo)
    return [
        (rows.stop - rows.start) * (columns.stop - columns.start)
        for rows, columns in (tile.read for tile in tiles)
    ]


def _logits(network: Network, pixels: NDArray[np.float32], device: torch.device) -> torch.Tensor:
    """Return logits (class, row, column) of pixels (row, column)."""
    images = torch.from_numpy(np.ascontiguousarray(pixels))[None, None].to(device)
    try:
        return network(images)[0]
    except Exception as error:
        if out_of_memory(error):
            rows, columns = pixels.shape
            raise MemoryError(
                f"no memory on {device} for a tile of {rows} x {columns} px with its halo: "
                "use a smaller tile or a network with fewer filters"
            ) from error
        raise


def _tile_side(network: Network, tile_px: int | None) -> int:
    field, period = receptive_field(network.spec), network.spec.period
    # A tile thrice its halo wastes less than two thirds of the work on context.
    side = tile_px if tile_px is not None else max(TILE_PX, 3 * field.halo)
    if side < 1:
        raise ValueError(f"tile is {side} px: it must be at least 1 px")
    return -(-side // period) * period


@dataclass(frozen=True, slots=True)
class _Tile:
    """Where a tile is read (halo included), what of it is kept, and where that is written."""

    read: tuple[slice, slice]
    keep: tuple[slice, slice]
    write: tuple[slice, slice]


def _tiles(shape: tuple[int, ...], side: int, halo: int) -> Iterator[_Tile]:
    for row in range(0, shape[0], side):
        for column in range(0, shape[1], side):
            axes = [
                _axis(start, side, halo, length)
                for start, length in zip((row, column), shape, strict=True)
            ]
            read, keep, write = zip(*axes, strict=True)
            yield _Tile(read, keep, write)


def _axis(start: int, side: int, halo: int, length: int) -> tuple[slice, slice, slice]:
    stop = min(start + side, length)
    first, last = max(0, start - halo), min(length, stop + halo)
    return slice(first, last), slice(start - first, stop - first), slice(start, stop)
