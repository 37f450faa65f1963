"""What a network makes of a few crops: features, probabilities, and how these agree when turned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_tem_rf.learning.device import out_of_memory
from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.rounding import round_up

__all__ = ["CropFindings", "crop_side", "inspect_crops"]

CROP_PX = 128
"""Side of a crop in px, rounded up to whole periods of the network."""

TURNS = 4
"""Orientations in which each crop is predicted; over the crops all eight symmetries take part."""

_FEWEST_PX = 1.0
"""Added to both sides of a Dice, as everywhere."""


@dataclass(frozen=True, slots=True, eq=False)
class CropFindings:
    """What a network makes of crops.

    Attributes
    ----------
    features : ndarray of float, shape (crop, feature)
        Mean and standard deviation over each crop of the bottleneck's channels.
    sureness : ndarray of float, shape (crop, 2)
        Sums over each crop from which the Dice that the network expects of itself follows: twice
        the probability of particle where it says particle, and that probability everywhere plus
        the number of pixels where it says so.
    agreement : ndarray of float, shape (crop, 2)
        The same for pairs of predictions, as the crop lies and turned or mirrored: twice the pixels
        that are particle in both, and those that are in either.
    unsure : ndarray of float, shape (crop,)
        Mean entropy of the probabilities per pixel, in bits.
    """

    features: NDArray[np.float64]
    sureness: NDArray[np.float64]
    agreement: NDArray[np.float64]
    unsure: NDArray[np.float64]

    @property
    def own_dice(self) -> float:
        """The Dice that the network expects of itself, over all crops."""
        return _ratio(self.sureness)

    @property
    def agreed_dice(self) -> float:
        """Dice between the predictions of turned crops, over all crops."""
        return _ratio(self.agreement)


def crop_side(network: Network, shape: Sequence[int]) -> tuple[int, int]:
    """Return the (row, column) sides of a crop of an image of a shape: whole periods, or all."""
    side = round_up(CROP_PX, network.spec.period)
    # turned crops are stacked: they must be square
    side = min(side, *shape)
    return side, side


@torch.inference_mode()
def inspect_crops(
    network: Network, crops: NDArray[np.float32], *, turns: int = TURNS, border: bool = False
) -> CropFindings:
    """Look at what a network makes of crops, as they lie and turned or mirrored.

    Parameters
    ----------
    network : Network
        Folded and on its device.
    crops : ndarray of float32, shape (crop, row, column)
        Square parts of a standardised image.
    turns : int
        In how many orientations, from 1 to 8; the first is as they lie.
    border : bool
        Whether the last class is the border of the one before it.

    Raises
    ------
    MemoryError
        When a crop does not fit.
    """
    device = network.head.weight.device
    kept: list[Tensor] = []
    hook = network.bottleneck.register_forward_hook(lambda _m, _i, out: kept.append(out))
    columns: list[list[NDArray[np.float64]]] = [[], [], [], []]
    try:
        for number, crop in enumerate(crops):
            symmetries = _symmetries(number, turns)
            stack = np.stack([_turned(crop, each) for each in symmetries])
            images = torch.from_numpy(np.ascontiguousarray(stack))[:, None].to(device)
            kept.clear()
            try:
                likely = network(images).softmax(1).cpu().numpy()  # (turn, class, row, column)
            except Exception as error:
                if out_of_memory(error):
                    raise MemoryError(f"no memory on {device} for a few crops") from error
                raise
            inside = kept[0][0].flatten(1)  # (channel, pixel) of the crop as it lies
            mean, spread = inside.mean(1), inside.std(1, unbiased=False)
            columns[0].append(torch.cat([mean, spread]).double().cpu().numpy())
            likely = np.stack(
                [
                    np.stack([_turned_back(plane, each) for plane in planes])
                    for planes, each in zip(likely, symmetries, strict=True)
                ]
            )
            for found, value in zip(columns[1:], _measured(likely, border), strict=True):
                found.append(value)
    finally:
        hook.remove()
    features, sureness, agreement, unsure = (np.stack(each) for each in columns)
    return CropFindings(features, sureness, agreement, unsure)


def _measured(
    likely: NDArray[np.float32], border: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what is counted of probabilities, shape (turn, class, row, column)."""
    if border:
        inner = likely[:, -2:].sum(axis=1, keepdims=True)
        likely = np.concatenate([likely[:, :-2], inner], axis=1)
    particle = 1 - likely[:, 0]  # (turn, row, column)
    says = likely.argmax(axis=1) > 0
    first, said = particle[0].astype(np.float64), says[0]
    sureness = np.array([2 * first[said].sum(), first.sum() + said.sum()])
    both = [2 * np.count_nonzero(said & other) for other in says[1:]]
    either = [np.count_nonzero(said) + np.count_nonzero(other) for other in says[1:]]
    probable = np.clip(likely[0], 1e-7, 1)
    entropy = -(probable * np.log2(probable)).sum(axis=0).mean(dtype=np.float64)
    return sureness, np.array([sum(both), sum(either)], np.float64), np.array(entropy)


def _ratio(sums: NDArray[np.float64]) -> float:
    twice, all_ = sums.sum(axis=0)
    return float((twice + _FEWEST_PX) / (all_ + _FEWEST_PX))


def _symmetries(number: int, turns: int) -> list[int]:
    """Return which of the eight symmetries a crop is seen in: the first as it lies."""
    others = [1 + (number * (turns - 1) + k) % 7 for k in range(turns - 1)]
    return [0, *others]


def _turned(plane: NDArray[np.float32], symmetry: int) -> NDArray[np.float32]:
    turned = np.rot90(plane, symmetry % 4)
    return turned[:, ::-1] if symmetry >= 4 else turned


def _turned_back(plane: NDArray[np.float32], symmetry: int) -> NDArray[np.float32]:
    straight = plane[:, ::-1] if symmetry >= 4 else plane
    return np.rot90(straight, -(symmetry % 4))
