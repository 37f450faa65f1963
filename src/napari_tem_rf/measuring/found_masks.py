"""What a predicted mask says of itself: how sure it is, how long its outlines are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FoundMask", "Sureness", "agreement_of_masks", "found_mask", "sureness"]

_LOOKED_AT_PX = 2**16
"""Pixels whose probabilities are looked at, of a larger image."""

_FEWEST_PX = 1.0
"""Added to both sides of a Dice, as everywhere."""

_TABLE = np.arange(256) / 255
_BOUNDED = np.clip(_TABLE, 1e-7, 1 - 1e-7)
_ENTROPY = -(_BOUNDED * np.log2(_BOUNDED) + (1 - _BOUNDED) * np.log2(1 - _BOUNDED))
_ENTROPY[[0, 255]] = 0.0


@dataclass(frozen=True, slots=True)
class FoundMask:
    """How much a mask holds, and in how many pieces.

    Attributes
    ----------
    foreground : float
        Part of the image that is particle.
    outline : float
        Part of the steps from pixel to pixel that cross an outline, along rows and columns.
    """

    foreground: float
    outline: float

    @property
    def raggedness(self) -> float:
        """Outline beside what is found, in doublings: more for pieces that are small or torn."""
        inside = self.foreground * (1 - self.foreground)
        return float(np.log2((self.outline + 1e-3) / (inside + 1e-2)))


@dataclass(frozen=True, slots=True)
class Sureness:
    """How sure a network is of a mask.

    Attributes
    ----------
    own_dice : float
        The Dice of the mask that follows from the probabilities if these are right.
    unsure : float
        Mean entropy of the probabilities per pixel, in bits.
    """

    own_dice: float
    unsure: float


def found_mask(mask: NDArray[np.bool_]) -> FoundMask:
    """Return how much a mask holds, and in how many pieces.

    Parameters
    ----------
    mask : ndarray of bool, shape (row, column)
        Where particles are. Of a large one some rows and columns are looked at.
    """
    step = _step(mask.size)
    across = mask[::step, 1:] != mask[::step, :-1]
    down = mask[1:, ::step] != mask[:-1, ::step]
    shares = [np.count_nonzero(each) / max(1, each.size) for each in (across, down)]
    return FoundMask(
        round(np.count_nonzero(mask) / max(1, mask.size), 4), round(sum(shares) / 2, 5)
    )


def sureness(shares: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Sureness:
    """Return how sure a network is of a mask.

    Parameters
    ----------
    shares : ndarray of uint8, shape (row, column)
        Its probability of particle in 255ths. Of a large image some pixels are looked at.
    mask : ndarray of bool, shape (row, column)
        Where particles are said to be.
    """
    step = _step(mask.size)
    values, inside = shares[::step, ::step], mask[::step, ::step]
    all_ = np.bincount(values.ravel(), minlength=256)
    said = np.bincount(values[inside], minlength=256)
    twice = 2 * float(said @ _TABLE)
    both = float(all_ @ _TABLE) + float(said.sum())
    return Sureness(
        round((twice + _FEWEST_PX) / (both + _FEWEST_PX), 4),
        round(float(all_ @ _ENTROPY) / max(1, values.size), 4),
    )


def agreement_of_masks(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the Dice between two masks of the same shape: 1 where both are empty."""
    both = np.count_nonzero(one & other)
    either = np.count_nonzero(one) + np.count_nonzero(other)
    return (2 * both + _FEWEST_PX) / (either + _FEWEST_PX)


def _step(pixels: int) -> int:
    return max(1, int(np.sqrt(pixels / _LOOKED_AT_PX)))
