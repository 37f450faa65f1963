"""Outlines of particles: from pixels to their corners, and back.

An outline runs along the edges of pixels, so that it holds exactly the pixels of its particle: its
corners lie half a pixel off the pixels' centres, which are what an outline through the outermost
pixels would cut in half. Positions are (row, column) from the corner of the image; the first pixel
reaches from 0 to 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.protocol import Unlabelled

__all__ = ["Legend", "Outline", "labels_inside", "legend_of", "pixels_inside", "trace_pieces"]

Ring: TypeAlias = NDArray[Any]
"""Corners, shape (corner, 2): (row, column) in px. The last is joined to the first."""

Piece: TypeAlias = tuple[Ring, ...]
"""The ring around a connected piece, then those around its holes."""

BACKGROUND = "background"

# (row, column) steps of an edge by its heading: to the right, down, to the left, up
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """What somebody or something drew around a particle.

    Attributes
    ----------
    pieces : tuple of tuple of ndarray
        A piece is the ring around it and those around its holes, each of shape (corner, 2).
    name : str
    kind : str
        Its class; empty where it has none.
    frame : int, optional
        The frame of a series, from 0; None where the file does not say one.
    """

    pieces: tuple[Piece, ...]
    name: str = ""
    kind: str = ""
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Legend:
    """Which labels outlines become.

    Attributes
    ----------
    values : dict of str to int
        Label value of each class; empty where each outline has a number of its own.
    unlabelled : {"background", "ignore"}
        What 0 means.
    """

    values: dict[str, int]
    unlabelled: Unlabelled = "background"

    @property
    def numbered(self) -> bool:
        """Whether each outline has a number of its own."""
        return not self.values

    def dtype(self, outlines: int) -> type[np.integer[Any]]:
        """Return the smallest type for the labels of so many outlines, as masks are read in."""
        most = outlines if self.numbered else max(self.values.values())
        return np.uint8 if most < 256 else np.uint16 if most < 65_536 else np.int32

    @property
    def names(self) -> dict[int, str]:
        """Name of each label value."""
        return {value: name for name, value in self.values.items()}


def legend_of(outlines: Iterable[Outline]) -> Legend:
    """Say which labels the outlines of all images become together.

    Outlines of one class, or of none, are particles with a number each. Those of several classes
    become the classes' values; where one is called "background", what nothing is drawn around is
    not annotated.
    """
    kinds = {outline.kind for outline in outlines}
    grounds = {kind for kind in kinds if kind.strip().casefold() == BACKGROUND}
    others = sorted(kinds - grounds)
    if grounds:
        values = dict.fromkeys(sorted(grounds), 1)
        return Legend(values | {kind: n for n, kind in enumerate(others, start=2)}, "ignore")
    if len(others) > 1:
        return Legend({kind: n for n, kind in enumerate(others, start=1)})
    return Legend({})


def labels_inside(
    outlines: Sequence[Outline], labels: NDArray[Any], legend: Legend, before: int = 0
) -> int:
    """Draw outlines into the labels of one frame; return how many lie in another's pixels.

    Where two overlap the later one has the pixels.

    Parameters
    ----------
    outlines : sequence of Outline
        Those of the frame.
    labels : ndarray of int, shape (row, column)
        Zeros, which are drawn into.
    legend : Legend
    before : int
        How many outlines were numbered before.
    """
    shape = labels.shape[0], labels.shape[1]
    overlapping = 0
    for number, outline in enumerate(outlines, start=before + 1):
        value = number if legend.numbered else legend.values[outline.kind]
        box, inside = pixels_inside(outline.pieces, shape)
        here = labels[box]
        taken = here[inside]
        overlapping += bool(((taken != 0) & (taken != value)).any())
        here[inside] = value
    return overlapping


def pixels_inside(
    pieces: Iterable[Piece], shape: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the box of an image in which pieces lie, and the pixels whose centres are inside.

    Inside of a piece is what an odd number of its rings surrounds.
    """
    pieces = tuple(pieces)
    corners = np.concatenate([np.asarray(ring, float) for piece in pieces for ring in piece])
    ends = np.array(shape)
    low = np.clip(np.floor(corners.min(axis=0)), 0, ends).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), low, ends).astype(int)
    box = slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
    size = int(high[0] - low[0]), int(high[1] - low[1])
    inside = np.zeros(size, np.bool_)
    if 0 not in size:
        for piece in pieces:
            inside |= _inside_of_one([ring - low for ring in piece], size)
    return box, inside


def _inside_of_one(rings: Sequence[Ring], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels are inside, by counting the edges to the left of their centres."""
    start = np.concatenate([np.asarray(ring, float) for ring in rings])
    end = np.concatenate([np.roll(np.asarray(ring, float), -1, axis=0) for ring in rings])
    # rows whose centres lie between the two ends of an edge: none for a level one
    first = np.clip(np.ceil(np.minimum(start[:, 0], end[:, 0]) - 0.5), 0, size[0]).astype(int)
    beyond = np.clip(np.ceil(np.maximum(start[:, 0], end[:, 0]) - 0.5), 0, size[0]).astype(int)
    spans = beyond - first
    edge = np.repeat(np.arange(len(start)), spans)
    before = np.repeat(np.cumsum(spans) - spans, spans)
    row = first[edge] + np.arange(len(edge)) - before
    rise = (end[edge, 1] - start[edge, 1]) / (end[edge, 0] - start[edge, 0])
    crossing = start[edge, 1] + (row + 0.5 - start[edge, 0]) * rise
    column = np.clip(np.floor(crossing + 0.5), 0, size[1]).astype(int)
    crossed = np.zeros((size[0], size[1] + 1), np.int32)
    np.add.at(crossed, (row, column), 1)
    inside: NDArray[np.bool_] = np.cumsum(crossed[:, :-1], axis=1) % 2 == 1
    return inside


def trace_pieces(mask: NDArray[np.bool_]) -> tuple[Piece, ...]:
    """Return the outlines of a mask, along the edges of its pixels.

    No ring crosses or touches itself, so that the polygons are valid ones: pixels that touch at a
    corner only are pieces of their own, and holes that do are holes of their own.

    Parameters
    ----------
    mask : ndarray of bool, shape (row, column)

    Returns
    -------
    tuple of tuple of ndarray of int, shape (corner, 2)
        Seen on the screen, rings around pieces run clockwise and those around holes against it.
    """
    from scipy import ndimage

    parts, _ = ndimage.label(mask)
    pieces = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        origin = np.array([box[0].start, box[1].start])
        rings = [ring + origin for ring in _rings(parts[box] == number)]
        pieces.append(tuple(sorted(rings, key=_area, reverse=True)))
    return tuple(pieces)


def _area(ring: Ring) -> float:
    """Return the area in px² that a ring surrounds; below 0 for a hole."""
    after = np.roll(ring, -1, axis=0)
    return float(np.sum(ring[:, 1] * after[:, 0] - after[:, 1] * ring[:, 0])) / 2


def _rings(mask: NDArray[np.bool_]) -> list[Ring]:
    """Return the rings of one connected piece."""
    rows, columns = mask.shape
    around = np.pad(mask, 1)
    neighbours = (around[:-2, 1:-1], around[1:-1, 2:], around[2:, 1:-1], around[1:-1, :-2])
    width = columns + 1
    # one bit a heading: the edges that leave each corner, with the mask to their right
    leaving = np.zeros((rows + 1, width), np.uint8)
    for heading, beside in enumerate(neighbours):
        down, right = heading in (2, 3), heading in (1, 2)
        corners = leaving[down : rows + down, right : columns + right]
        corners[mask & ~beside] |= 1 << heading
    shared = set(np.flatnonzero((leaving == 0b0101) | (leaving == 0b1010)).tolist())
    left = bytearray(leaving.tobytes())
    steps = [row * width + column for row, column in _STEPS]
    rings: list[list[int]] = []
    for start in np.flatnonzero(leaving).tolist():
        while left[start]:
            rings += _walk(start, left, steps, shared)
    return [np.stack(np.divmod(np.array(ring), width), axis=1) for ring in rings]


def _walk(start: int, left: bytearray, steps: Sequence[int], shared: set[int]) -> list[list[int]]:
    """Follow edges from a corner back to it, taking them out; return the rings of that way.

    Where the way comes by a corner again it is cut, so that each ring comes by once.
    """
    cut: list[list[int]] = []
    corners: list[int] = []
    place: dict[int, int] = {}
    at, heading = start, left[start].bit_length() - 1
    turned = True
    while True:
        if at in place:
            cut.append(corners[place[at] :])
            del corners[place[at] + 1 :]
            place = {corner: index for corner, index in place.items() if index <= place[at]}
        elif turned:
            if at in shared:
                place[at] = len(corners)
            corners.append(at)
        left[at] &= ~(1 << heading)
        at += steps[heading]
        if at == start:
            return [corners, *cut]
        # to the right first: pixels that touch at a corner are not of one piece
        following = next(
            turn % 4 for turn in (heading + 1, heading, heading + 3) if left[at] & 1 << turn % 4
        )
        turned, heading = following != heading, following
