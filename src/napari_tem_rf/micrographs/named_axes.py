"""What the axes of an array mean: which is the row, which the column, and which hold frames.

First comes what the file says (names of axes, or the numbers that stand for them), then lengths of
1: an axis with one pixel along it is neither row nor column where two others are longer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageAxes", "Meaning", "axes_of_map", "image_axes", "meaning_of"]

Meaning = Literal["row", "column", "depth", "frame", "channel", "diffraction", "energy", ""]
"""What an axis is; empty where that is not known."""

_SPACE = re.compile(
    r"(?:r|real|realspace|pos|position|scan|probe|image|axis|dim|coord\w*)?([xyz])"
    r"(?:axis|pos|position|dim|direction|scan|coord\w*|nm|um|px|pixels?)?"
)
_SPACES: dict[str, Meaning] = {"x": "column", "y": "row", "z": "depth"}
_WORDS: dict[str, Meaning] = {
    **dict.fromkeys(("column", "columns", "col", "cols", "width", "horizontal"), "column"),
    **dict.fromkeys(("row", "rows", "line", "lines", "height", "vertical"), "row"),
    **dict.fromkeys(("depth", "slice", "slices", "section", "sections", "plane"), "depth"),
    **dict.fromkeys(("t", "time", "times", "frame", "frames", "tilt", "tilts", "index"), "frame"),
    **dict.fromkeys(("angle", "angles", "tiltangle", "alpha", "series", "stack", "image"), "frame"),
    **dict.fromkeys(("c", "ch", "channel", "channels", "detector", "detectors"), "channel"),
    **dict.fromkeys(("e", "energy", "energyloss", "eels", "eds", "wavelength"), "energy"),
}
_DIFFRACTION = re.compile(r"(?:q|k|diffraction|recip\w*)[xyzrw]?")


def meaning_of(name: str | None) -> Meaning:
    """Return what an axis of this name is: "x", "Y", "R_x", "rows", "time", "Q_x", ..."""
    # without what stands in brackets, often the unit
    plain = re.sub(r"\[.*?\]|\(.*?\)|[^a-z]", "", (name or "").casefold())
    if plain in _WORDS:
        return _WORDS[plain]
    if space := _SPACE.fullmatch(plain):
        return _SPACES[space[1]]
    return "diffraction" if _DIFFRACTION.fullmatch(plain) else ""


@dataclass(frozen=True, slots=True)
class ImageAxes:
    """The order in which the axes of an array make images.

    Attributes
    ----------
    leading : tuple of int
        Axes before row and column, slowest first: frames, channels, depths.
    row, column : int
    """

    leading: tuple[int, ...]
    row: int
    column: int

    @property
    def order(self) -> tuple[int, ...]:
        """All axes as (*leading, row, column), for a transposition."""
        return (*self.leading, self.row, self.column)

    def frame_of(self, array: Any, index: int) -> NDArray[Any]:
        """Return one image, shape (row, column), of an array of which parts can be read.

        Parameters
        ----------
        array : array
            With ``shape`` and indexing, as of HDF5 and zarr.
        index : int
            Number of the image, with the last of the leading axes running fastest.
        """
        lengths = [int(array.shape[axis]) for axis in self.leading]
        key: list[int | slice] = [slice(None)] * len(array.shape)
        for axis, place in zip(self.leading, np.unravel_index(index, lengths), strict=True):
            key[axis] = int(place)
        frame = np.asarray(array[tuple(key)])
        return frame if self.row < self.column else frame.T

    def series_of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return an array as (row, column), or (frame, row, column) where it has more axes."""
        turned = values.transpose(self.order)
        if turned.ndim > 2:
            turned = turned.reshape((-1, *turned.shape[-2:]))
        return np.ascontiguousarray(turned)


def image_axes(
    shape: Sequence[int], meanings: Sequence[Meaning], fastest_first: bool = False
) -> ImageAxes:
    """Return which axes of an array are row and column.

    Parameters
    ----------
    shape : sequence of int
        At least two axes, as they are stored.
    meanings : sequence of Meaning
        What the file says of each axis.
    fastest_first : bool
        What the format's programs do where nothing is said: the last axes are row and column, or,
        if set, the first ones are column and row.

    Returns
    -------
    ImageAxes
    """
    stored = tuple(range(len(shape)))
    named = {what: [axis for axis in stored if meanings[axis] == what] for what in set(meanings)}
    columns, rows = named.get("column", []), named.get("row", [])
    column = columns[0] if len(columns) == 1 else None
    row = rows[0] if len(rows) == 1 else None
    if row is not None and column is not None:
        fastest_first = column < row
    slowest_first = stored[::-1] if fastest_first else stored
    # for what the names leave open: fastest last
    open_to = [axis for axis in slowest_first if axis not in (row, column)]
    open_to.sort(key=lambda axis: _likeliness(shape[axis], meanings[axis]))
    if column is None:
        # of x and z, or of y and z, the first in the alphabet runs along the rows of a section
        section = row is not None and meanings[open_to[-1]] == "depth"
        if section:
            row, column = open_to.pop(), row
        else:
            column = open_to.pop()
    if row is None:
        row = open_to.pop()
    leading = tuple(axis for axis in slowest_first if axis not in (row, column))
    return ImageAxes(leading, row, column)


def _likeliness(length: int, meaning: Meaning) -> tuple[bool, int]:
    """Return how likely an axis is one of an image, compared with others."""
    ranks: dict[Meaning, int] = {"": 3, "row": 3, "column": 3, "depth": 2, "frame": 1}
    return length > 1, ranks.get(meaning, 0)


def axes_of_map(column: int, row: int, section: int) -> tuple[int, int, int]:
    """Return which of x, y, z (0, 1, 2) the columns, rows and sections of an MRC map step along.

    Parameters
    ----------
    column, row, section : int
        MAPC, MAPR and MAPS (MRC2014, words 17 to 19): 1, 2, 3 stand for x, y, z. Other numbers,
        like the zeros of programs that leave them out, stand for nothing: then it is x, y, z.
    """
    if {column, row, section} != {1, 2, 3}:
        return 0, 1, 2
    return column - 1, row - 1, section - 1
