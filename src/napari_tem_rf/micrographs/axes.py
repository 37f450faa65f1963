"""Which axis of an array is row, column, frame or channel: one rule for images and for labels.

What the file says comes first (names of its axes, and how it is to be shown), then axes of length
1, which are neither rows nor columns, and only then the place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Arrangement", "arrangement"]

# more samples than these behind rows and columns are not looked for in an array without names
_MOST_CHANNELS = 8
_TIMES_THE_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Which axis of an array is what, by the axes' places.

    Attributes
    ----------
    frames : tuple of int
        Axes that become one axis of frames, in order.
    row, column : int
    channel : int, optional
        Samples of one pixel, which are not frames.
    note : str
        A sentence for the user where something was guessed; empty otherwise.
    """

    frames: tuple[int, ...]
    row: int
    column: int
    channel: int | None = None
    note: str = ""

    @property
    def order(self) -> tuple[int, ...]:
        """All axes, in the order (frame, ..., row, column, channel)."""
        last = () if self.channel is None else (self.channel,)
        return (*self.frames, self.row, self.column, *last)

    def of(self, pixels: Any) -> Any:
        """Return an array, numpy or dask, as ([frame, ...] row, column[, channel])."""
        return pixels.transpose(self.order)


def arrangement(shape: Sequence[int], names: str = "") -> Arrangement:
    """Say which axis of an array is what.

    Parameters
    ----------
    shape : sequence of int
        At least two axes.
    names : str
        A letter for each axis where the file names them: Y, X, S for the samples of a pixel, any
        other for frames. Empty where it does not.
    """
    places = range(len(shape))
    if len(names) == len(shape) and names.count("Y") == 1 and names.count("X") == 1:
        row, column = names.index("Y"), names.index("X")
        channel = names.index("S") if names.count("S") == 1 else None
        frames = tuple(place for place in places if place not in (row, column, channel))
        return Arrangement(frames, row, column, channel)
    # of the axes of length 1 the last goes first: programs add a channel there
    kept = list(places)
    for place in reversed(places):
        if len(kept) > 2 and shape[place] == 1:
            kept.remove(place)
    alone = tuple(place for place in places if place not in kept)
    *leading, row, column = kept
    if len(kept) > 2:
        last, rows, columns = (shape[place] for place in (column, leading[-1], row))
        if last in (3, 4) and min(rows, columns) > 4:
            return Arrangement((*alone, *leading[:-1]), leading[-1], row, column)
        if 1 < last <= _MOST_CHANNELS and min(rows, columns) >= _TIMES_THE_CHANNELS * last:
            note = (
                f"the last of the axes {tuple(shape)} is taken for {last} channels, each a frame: "
                "an image has more columns"
            )
            return Arrangement((*alone, *leading[:-1], column), leading[-1], row, note=note)
    return Arrangement((*alone, *leading), row, column)
