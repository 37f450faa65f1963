"""Steady masks: what a network says of a frame, averaged with what it says of its neighbours.

Noise is drawn anew in each frame and the specimen is not: an average over a few frames, each moved
to where the stage was, holds less of the first and as much of the second.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import check_settings, told

__all__ = ["Steadying", "averaged_along", "neighbours_of"]

_HIGHEST_BYTE = 255


@dataclass(frozen=True, slots=True)
class Steadying:
    """How the masks of a series are made steady.

    Attributes
    ----------
    frames : int
        Over how many frames before and after each the probabilities are averaged; 0 for none.
    """

    frames: int = told(
        0,
        "steady over",
        "In a series, average the network's probabilities over so many frames before and after "
        "each, along the drift, before the mask is finished: steadier against noise. For particles "
        "that move by less than a part of their size in that time",
        unit="frames each side",
        least=0,
        most=20,
        least_is="none",
        option="--steady",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def sentence(self) -> str:
        """What is done, in words; empty where nothing is."""
        if not self.frames:
            return ""
        some = "frame" if self.frames == 1 else f"{self.frames} frames"
        return f"probabilities averaged over the {some} before and after each, along the drift"


def neighbours_of(
    frame: int, frames: int, reach: int, left_out: Collection[int] = ()
) -> tuple[int, ...]:
    """Return the frames that are averaged for a frame, in order, itself among them.

    Parameters
    ----------
    frame : int
    frames : int
        How many there are.
    reach : int
        How many before and after.
    left_out : collection of int
        Frames that show nothing, or not the same: they help no other, and none helps them.
    """
    if frame in left_out:
        return (frame,)
    around = range(max(0, frame - reach), min(frames, frame + reach + 1))
    return tuple(index for index in around if index not in left_out)


def averaged_along(
    shares: Sequence[NDArray[np.uint8]], ahead_px: Sequence[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Return the mean of probabilities, each moved to where the frame of interest shows the same.

    A pixel that a frame does not show has the mean of those that do.

    Parameters
    ----------
    shares : sequence of ndarray of uint8, each of shape (class, row, column)
        In 255ths, of the frames; one of them lies where it is.
    ahead_px : sequence of ndarray, each of shape (2,)
        How much further what is seen has moved in each than in the frame of interest, (row, column)
        in px. Parts of a pixel are interpolated linearly.

    Returns
    -------
    ndarray of float32, shape (class, row, column)
        Fractions.
    """
    shape = shares[0].shape
    total = np.zeros(shape, np.float32)
    seen = np.zeros(shape[1:], np.float32)
    for planes, ahead in zip(shares, ahead_px, strict=True):
        whole = np.floor(ahead).astype(int)
        part = np.asarray(ahead - whole, np.float32)
        # the last pixel that is interpolated with needs to be there too
        inside = tuple(
            slice(max(0, -first), min(side, side - first - int(rest > 0)))
            for first, rest, side in zip(whole.tolist(), part, shape[1:], strict=True)
        )
        if any(side.start >= side.stop for side in inside):
            continue
        for row in range(1 + int(part[0] > 0)):
            for column in range(1 + int(part[1] > 0)):
                weight = np.float32(
                    (part[0] if row else 1 - part[0]) * (part[1] if column else 1 - part[1])
                )
                source = tuple(
                    slice(side.start + first + step, side.stop + first + step)
                    for side, first, step in zip(inside, whole.tolist(), (row, column), strict=True)
                )
                total[(slice(None), *inside)] += weight * planes[(slice(None), *source)]
        seen[inside] += 1
    mean: NDArray[Any] = total / (_HIGHEST_BYTE * np.maximum(seen, 1))
    return mean.astype(np.float32, copy=False)
