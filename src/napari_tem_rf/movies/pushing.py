"""Labels of a frame as a start for the next: moved by the drift, and piece by piece as seen."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.movies.drift import DriftSettings, measure_drift

__all__ = ["Pushed", "frame_offset", "push_labels"]

_REACH_PX = 8
"""How far a piece may have moved by itself."""

_LEAST_LIKENESS = 0.4
"""A piece that is found again less alike than this (correlation) is moved by the drift alone."""

_LEAST_GAIN = 0.03
"""So much more alike must the place be that a piece moved to by itself."""

_MARGIN_PX = 2
_SMOOTHING_PX = 1.0
_LARGEST_SHARE = 0.25
"""A piece that takes more of the frame than this is no particle: the drift moves it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """Labels that were moved to the next frame.

    Attributes
    ----------
    labels : ndarray of int, shape (row, column)
    offset_px : ndarray, shape (2,)
        By how much the drift moved them, (row, column).
    pieces, by_themselves : int
        How many pieces there were besides background, and how many of them moved by themselves.
    """

    labels: NDArray[Any]
    offset_px: NDArray[np.float64]
    pieces: int
    by_themselves: int


def frame_offset(here: NDArray[Any], there: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far what is seen has moved from one frame to the other, (row, column) in px.

    Nothing where the frames cannot be compared.
    """
    job = measure_drift(lambda index: (here, there)[index], 2, DriftSettings(reach=1))
    while True:
        try:
            next(job)
        except StopIteration as end:
            drift = end.value
            return np.zeros(2) if drift.left_out else np.asarray(drift.offsets_px[1])


def push_labels(
    labels: NDArray[Any],
    here: NDArray[Any],
    there: NDArray[Any],
    offset_px: NDArray[np.float64] | None = None,
    background: int = 0,
) -> Pushed:
    """Move labels of a frame to where what they lie on is in another.

    Each connected piece of a value is a particle (or a stroke on one): it is looked for around the
    place where the drift takes it, by the correlation of its grey levels (Lewis, Fast normalized
    cross-correlation, 1995). Background moves with the drift, and lies below.

    Parameters
    ----------
    labels : ndarray of int, shape (row, column)
        0: nothing.
    here, there : ndarray, shape (row, column)
        Grey levels of their frame, and of the frame that they are moved to.
    offset_px : ndarray, shape (2,), optional
        The drift between them, (row, column); measured where None.
    background : int
        The value of background, if it is painted.

    Returns
    -------
    Pushed
    """
    from scipy import ndimage

    if offset_px is None:
        offset_px = frame_offset(here, there)
    whole = np.rint(offset_px).astype(int)
    moved = np.zeros_like(labels)
    count = by_themselves = 0
    grey, ahead = (
        ndimage.gaussian_filter(np.nan_to_num(np.asarray(each, np.float32)), _SMOOTHING_PX)
        for each in (here, there)
    )
    values = [int(value) for value in np.unique(labels) if value != 0]
    if background in values:
        _put(moved, labels == background, whole, background)
    for value in values:
        if value == background:
            continue
        pieces, number = ndimage.label(labels == value, np.ones((3, 3), bool))
        for piece, box in enumerate(ndimage.find_objects(pieces), start=1):
            own = pieces[box] == piece
            shift = _own_shift(grey, ahead, box, whole)
            by_themselves += bool((shift != whole).any())
            _put(moved, own, shift, value, (box[0].start, box[1].start))
        count += number
    return Pushed(moved, offset_px, count, by_themselves)


def _put(
    target: NDArray[Any],
    piece: NDArray[np.bool_],
    shift: NDArray[np.intp],
    value: int,
    corner: tuple[int, int] = (0, 0),
) -> None:
    """Write a piece that is moved; what leaves the frame is lost."""
    rows, columns = np.nonzero(piece)
    rows, columns = rows + corner[0] + shift[0], columns + corner[1] + shift[1]
    inside = (rows >= 0) & (rows < target.shape[0]) & (columns >= 0) & (columns < target.shape[1])
    target[rows[inside], columns[inside]] = value


def _own_shift(
    grey: NDArray[np.float32],
    ahead: NDArray[np.float32],
    box: tuple[slice, slice],
    whole: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Return by how much a piece has moved, (row, column) in whole px."""
    from skimage.feature import match_template

    shape = np.asarray(grey.shape)
    low = np.maximum([side.start - _MARGIN_PX for side in box], 0)
    high = np.minimum([side.stop + _MARGIN_PX for side in box], shape)
    if np.prod(high - low) > _LARGEST_SHARE * np.prod(shape):
        return whole
    start = np.maximum(low + whole - _REACH_PX, 0)
    stop = np.minimum(high + whole + _REACH_PX, shape)
    if (stop - start < high - low).any():
        return whole
    template = grey[low[0] : high[0], low[1] : high[1]]
    if template.std() <= 1e-6 * max(1.0, float(np.abs(template).max())):
        return whole
    alike = match_template(ahead[start[0] : stop[0], start[1] : stop[1]], template)
    best = np.array(np.unravel_index(int(np.argmax(alike)), alike.shape))
    usual = low + whole - start
    at_drift = alike[tuple(np.clip(usual, 0, np.array(alike.shape) - 1))]
    if alike[tuple(best)] < _LEAST_LIKENESS or alike[tuple(best)] < at_drift + _LEAST_GAIN:
        return whole
    return start + best - low
