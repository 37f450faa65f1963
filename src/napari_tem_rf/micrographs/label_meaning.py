"""What the values of labels mean: one kind of particle, classes, strokes, or numbered particles.

Files do not say it, and whoever takes numbers for classes trains a network of 500 classes, scores
each particle by itself, or cuts particles that were told apart already. So it is decided here, for
training, scoring and measuring, in the window and on the command line.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.protocol import Unlabelled

__all__ = [
    "MOST_CLASSES",
    "LabelMeaning",
    "are_numbered",
    "count_labels",
    "many_values",
    "meaning_of",
    "one_piece_each",
]

MOST_CLASSES = 16
"""More values than this, background aside, are particles with a number each and not classes."""

# a particle that a scratch cuts in two keeps its one number
_MOST_PIECES = 1.5
# values up to this one are counted in a table, which takes a fraction of the time of sorting
_LARGEST_TABLE = 2**22

Kind = Literal["empty", "mask", "classes", "strokes", "particles"]


@dataclass(frozen=True, slots=True)
class LabelMeaning:
    """What the values of labels mean.

    Attributes
    ----------
    kind : {"empty", "mask", "classes", "strokes", "particles"}
        Nothing but background; one kind of particle; several; paint on some of the pixels, of
        which 0 says nothing; or particles with a number each.
    values : tuple of int
        The values that are not background, ascending.
    background : int
        The value of background: 0, or 1.
    reason : str
        Why, in words that go behind the name of the labels.
    """

    kind: Kind
    values: tuple[int, ...]
    background: int
    reason: str

    @property
    def numbered(self) -> bool:
        """Whether each particle has a number of its own."""
        return self.kind == "particles"

    @property
    def unexpected(self) -> bool:
        """Whether to tell the user the reason: the labels are not a mask whose background is 0."""
        return self.numbered or (self.kind != "strokes" and self.background != 0)

    def as_particles(self, reason: str) -> "LabelMeaning":
        """Return the same values as numbers of particles."""
        return replace(self, kind="particles", reason=reason)

    def without_background(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return labels whose background is 0, whatever value it has; a copy where that is not 0.

        Parameters
        ----------
        labels : ndarray of int, shape (row, column)
        """
        if self.background == 0:
            return labels
        return np.where(labels == self.background, 0, labels).astype(labels.dtype, copy=False)


def count_labels(labels: NDArray[Any]) -> dict[int, int]:
    """Return how many pixels each value has, zeros with them, in the order of the values."""
    if labels.size == 0:
        return {}
    if labels.dtype.kind == "b":
        ones = int(np.count_nonzero(labels))
        counted = {0: labels.size - ones, 1: ones}
        return {value: count for value, count in counted.items() if count}
    small = labels.dtype.kind == "u" and labels.dtype.itemsize == 1
    if small or (labels.min() >= 0 and labels.max() <= max(_LARGEST_TABLE, labels.size)):
        table = np.bincount(labels.ravel().astype(np.intp, copy=False))
        values = np.flatnonzero(table)
        counts = table[values]
    else:
        values, counts = np.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def many_values(values: Iterable[int]) -> bool:
    """Whether these values, background left out, are too many to be classes."""
    return len(set(values)) > MOST_CLASSES


def meaning_of(counts: Mapping[int, int], unlabelled: Unlabelled = "background") -> LabelMeaning:
    """Say what the values of labels mean.

    Parameters
    ----------
    counts : mapping of int to int
        Pixels by value, zeros with them: those of all frames of a series and of all images that
        belong together. Values below 0 mean nothing.
    unlabelled : {"background", "ignore"}
        What 0 means: background, or not annotated; then 1 is background.
    """
    painted = {value for value, count in counts.items() if value > 0 and count}
    background, because = _background(counts, painted, unlabelled)
    values = tuple(sorted(painted - {background}))
    if many_values(values):
        reason = (
            f"hold {len(values):,} values{because}: more than {MOST_CLASSES} are particles with a "
            "number each"
        )
        return LabelMeaning("particles", values, background, reason)
    if unlabelled == "ignore":
        return LabelMeaning("strokes", values, 1, "are strokes: 0 is not annotated, 1 background")
    if not values:
        return LabelMeaning("empty", (), background, "hold nothing but background")
    if len(values) == 1:
        return LabelMeaning("mask", values, background, f"hold the value {values[0]}{because}")
    listed = ", ".join(map(str, values))
    return LabelMeaning("classes", values, background, f"hold the classes {listed}{because}")


def are_numbered(counts: Iterable[Mapping[int, int]]) -> bool:
    """Whether frames of one series hold numbered particles: they do, or do not, all together.

    Stops at the frame that has enough values, so that labels are not all counted in vain.
    """
    seen: set[int] = set()
    for each in counts:
        seen.update(value for value in each if value > 0)
        if many_values(seen):
            return True
    return False


def one_piece_each(planes: Iterable[NDArray[Any]], background: int = 0) -> bool:
    """Whether values look like numbers of particles: in each image each is in one place.

    Parameters
    ----------
    planes : iterable of ndarray of int, shape (row, column)
        Labels of few values.
    background : int
        A value that is background besides 0.

    Returns
    -------
    bool
        True where there are about as many connected pieces as values; a particle may be cut in
        two. False where no image has two values.
    """
    from scipy import ndimage

    most, pieces, values = 0, 0, 0
    for plane in planes:
        here = [value for value in count_labels(plane) if value > 0 and value != background]
        most = max(most, len(here))
        values += len(here)
        for value in here:
            pieces += ndimage.label(plane == value, np.ones((3, 3), bool))[1]
    return most > 1 and pieces <= _MOST_PIECES * values


def _background(
    counts: Mapping[int, int], painted: set[int], unlabelled: Unlabelled
) -> tuple[int, str]:
    """Return the value of background, and why where it is not what was said."""
    if unlabelled == "ignore":
        return 1, ""
    if min(counts, default=0) <= 0 or 1 not in painted or len(painted) == 1:
        return 0, ""
    # numbers without any 0 may cover the image like grains; a background is most of it
    if many_values(painted - {1}) and 2 * counts[1] < sum(counts.values()):
        return 0, ""
    return 1, " beside 1, and no pixel is 0, so that 1 is taken as background"
