"""What a network makes of a few crops, as they lie or turned: features, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import get_ident

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_tem_rf.learning.device import out_of_memory
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.orientations import turned_back, turned_to
from napari_tem_rf.learning.prediction import most_probable
from napari_tem_rf.networks.rounding import round_up

__all__ = ["CropFindings", "crop_side", "inspect_crops"]

CROP_PX = 128
"""Side of a crop in px, rounded up to whole periods of the network."""

TOGETHER = 8
"""Crops that pass the network at one time."""


@dataclass(frozen=True, slots=True, eq=False)
class CropFindings:
    """What a network makes of crops.

    Attributes
    ----------
    features : ndarray of float, shape (crop, feature)
        Mean and standard deviation over each crop of the bottleneck's channels.
    found : ndarray of bool, shape (crop, row, column)
        Where it finds particle, turned back to how the crops lie in the image.
    """

    features: NDArray[np.float64]
    found: NDArray[np.bool_]


def crop_side(network: Network, shape: Sequence[int]) -> tuple[int, int]:
    """Return the (row, column) sides of a crop of an image of a shape: whole periods, or all."""
    side = round_up(CROP_PX, network.spec.period)
    # turned crops are stacked: they must be square
    side = min(side, *shape)
    return side, side


@torch.inference_mode()
def inspect_crops(
    network: Network, crops: NDArray[np.float32], *, turned: bool = False, border: bool = False
) -> CropFindings:
    """Look at what a network makes of crops.

    Parameters
    ----------
    network : Network
        Folded and on its device.
    crops : ndarray of float32, shape (crop, row, column)
        Square parts of a standardised image.
    turned : bool
        Whether each is turned or mirrored first, the next one in another way: seven crops are in
        all ways but as they lie.
    border : bool
        Whether the last class is the border of the one before it.

    Raises
    ------
    MemoryError
        When they do not fit.
    """
    device = network.head.weight.device
    ways = [1 + number % 7 if turned else 0 for number in range(len(crops))]
    kept: list[Tensor] = []
    mine = get_ident()

    def keep(_module: object, _inputs: object, out: Tensor) -> None:
        if get_ident() == mine:  # other frames may pass the same network meanwhile
            kept.append(out)

    hook = network.bottleneck.register_forward_hook(keep)
    found: list[NDArray[np.bool_]] = []
    try:
        for first in range(0, len(crops), TOGETHER):
            some = slice(first, first + TOGETHER)
            stack = np.stack(
                [turned_to(crop, way) for crop, way in zip(crops[some], ways[some], strict=True)]
            )
            try:
                logits = network(torch.from_numpy(stack)[:, None].to(device))
            except Exception as error:
                if out_of_memory(error):
                    raise MemoryError(f"no memory on {device} for a few crops") from error
                raise
            for each, way in zip(logits, ways[some], strict=True):  # (class, row, column)
                found.append(turned_back(most_probable(each, border).cpu().numpy() > 0, way))
    finally:
        hook.remove()
    inside = torch.cat([each.flatten(2) for each in kept])  # (crop, channel, pixel)
    features = torch.cat([inside.mean(2), inside.std(2, unbiased=False)], dim=1)
    # Apple's GPU has no numbers of 64 bits
    return CropFindings(features.cpu().numpy().astype(np.float64), np.stack(found))
