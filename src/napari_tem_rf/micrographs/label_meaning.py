"""What the values of labels mean: one kind of particle, classes, strokes, or numbered particles.

Files do not say it, and whoever takes numbers for classes trains a network of 500 classes, scores
each particle by itself, or cuts particles that were told apart already. So it is decided here, for
training, scoring and measuring, in the window and on the command line.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.protocol import LabelsAre, Unlabelled

__all__ = [
    "MOST_CLASSES",
    "LabelMeaning",
    "are_numbered",
    "count_labels",
    "find_meaning",
    "in_words",
    "look_like_numbers",
    "many_values",
    "meaning_of",
    "one_piece_each",
]

MOST_CLASSES = 16
"""More values than this, background aside, are particles with a number each and not classes."""

# a particle that a scratch cuts in two keeps its one number
_MOST_PIECES = 1.5
# two classes with a particle each look like two numbers
_FEWEST_NUMBERS = 3
# where 0 may mean "not annotated": a stroke of each of three classes looks like three numbers
_FEWEST_BESIDE_STROKES = 5
# area over that of the largest disc inside: 1 for a disc, 2.5 for an ellipse of that aspect ratio,
# ten and more for the stroke of a brush
_LEAST_LIKE_A_DISC = 3.0
# dots of one brush are all of one size, particles hardly ever
_MOSTLY = 0.7
# a background painted beside numbers is larger than a particle, or a stroke
_LARGE_FOR_A_PARTICLE = 8.0
_FRAMES_LOOKED_AT = 4
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
    unlabelled : {"background", "ignore"}
        What 0 means.
    """

    kind: Kind
    values: tuple[int, ...]
    background: int
    reason: str
    unlabelled: Unlabelled = "background"

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


def meaning_of(
    counts: Mapping[int, int],
    unlabelled: Unlabelled = "background",
    labels_are: LabelsAre = "auto",
) -> LabelMeaning:
    """Say what the values of labels mean, by how many there are; `find_meaning` looks closer.

    Parameters
    ----------
    counts : mapping of int to int
        Pixels by value, zeros with them: those of all frames of a series and of all images that
        belong together. Values below 0 mean nothing.
    unlabelled : {"background", "ignore"}
        What 0 means: background, or not annotated; then 1 is background.
    labels_are : {"auto", "classes", "particles"}
        What the user says that they are.
    """
    meaning = _meaning_of(counts, unlabelled, labels_are)
    return replace(meaning, unlabelled=unlabelled)


def _meaning_of(
    counts: Mapping[int, int], unlabelled: Unlabelled, labels_are: LabelsAre
) -> LabelMeaning:
    painted = {value for value, count in counts.items() if value > 0 and count}
    background, because = _background(counts, painted, unlabelled)
    values = tuple(sorted(painted - {background}))
    if labels_are == "particles":
        return LabelMeaning("particles", values, background, f"are numbers of particles{because}")
    if labels_are == "auto" and many_values(values):
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


def find_meaning(
    planes: Sequence[NDArray[Any]],
    unlabelled: Unlabelled | None = "background",
    labels_are: LabelsAre = "auto",
    counts: Mapping[int, int] | None = None,
) -> LabelMeaning:
    """Say what the values of labels mean, after a look at where they lie.

    Parameters
    ----------
    planes : sequence of ndarray of int, shape (row, column)
        The labels that belong together: of all images, and of the frames that hold any.
    unlabelled : {"background", "ignore"}, optional
        What 0 means. Where it is not said, zeros beside numbers of particles are background, unless
        1 is painted like a background; zeros beside classes are not annotated.
    labels_are : {"auto", "classes", "particles"}
        What the user says that they are.
    counts : mapping of int to int, optional
        Pixels by value, where they are known.
    """
    if counts is None:
        together: Counter[int] = Counter()
        for plane in planes:
            together.update(count_labels(plane))
        counts = together
    if unlabelled is None:
        numbered = labels_are == "particles" or (
            labels_are == "auto"
            and (
                many_values(value for value in counts if value > 0)
                or look_like_numbers(planes, fewest=_FEWEST_BESIDE_STROKES, as_particles=True)
            )
        )
        if not numbered:
            return meaning_of(counts, "ignore", "classes" if labels_are == "auto" else labels_are)
        zeros: Unlabelled = "ignore" if _one_is_background(planes) else "background"
        found = meaning_of(counts, zeros, "particles")
        if labels_are == "auto":
            found = found.as_particles(_SEEN_AS_NUMBERS)
        return found
    meaning = meaning_of(counts, unlabelled, labels_are)
    if labels_are != "auto" or meaning.kind != "classes":
        return meaning
    if look_like_numbers(planes, background=meaning.background):
        return meaning.as_particles(_SEEN_AS_NUMBERS)
    return meaning


_SEEN_AS_NUMBERS = "hold each value in one place, as numbers of particles are"


def in_words(meaning: LabelMeaning) -> str:
    """Return what labels mean, in a sentence for the user."""
    if not meaning.numbered:
        return f"the labels {meaning.reason}"
    zeros = (
        "zeros are background"
        if meaning.unlabelled == "background"
        else "zeros are not annotated, 1 is background, and each numbered particle is drawn whole"
    )
    return (
        f"the labels {meaning.reason}: taken as {len(meaning.values):,} numbered particles; {zeros}"
    )


def look_like_numbers(
    planes: Sequence[NDArray[Any]],
    background: int = 0,
    *,
    fewest: int = _FEWEST_NUMBERS,
    as_particles: bool = False,
) -> bool:
    """Whether a few values look like numbers of particles and not like classes.

    Each value is in one place of each image, and no value lies inside another, as the core of a
    particle in its shell does.

    Parameters
    ----------
    planes : sequence of ndarray of int, shape (row, column)
    background : int
        A value that is background besides 0.
    fewest : int
        With fewer values than this in each image it is not told.
    as_particles : bool
        Whether values also have to look like particles: compact, and not all of the same size as
        the dots of a brush are.
    """
    planes = [plane for plane in planes if plane.any()][:_FRAMES_LOOKED_AT]
    pieces = [_pieces_of(plane, background) for plane in planes]
    if max(map(len, pieces), default=0) < fewest:
        return False
    every = [piece for each in pieces for piece in each]
    if sum(piece.number for piece in every) > _MOST_PIECES * len(every):
        return False
    if any(piece.surrounds for piece in every):
        return False
    if not as_particles:
        return True
    # a particle that the image's border cuts may be any sliver of itself
    whole = [piece for piece in every if not piece.is_cut]
    sizes = {piece.area for piece in every}
    return (
        len(whole) >= fewest
        and all(piece.area < _LEAST_LIKE_A_DISC * piece.disc for piece in whole)
        and len(sizes) > _MOSTLY * len(every)
    )


class _Piece(NamedTuple):
    """Where one value lies in one image."""

    value: int
    area: int
    number: int
    """Connected pieces."""
    disc: float
    """Area of the largest disc inside."""
    surrounds: bool
    """Whether another value lies inside its outline."""
    is_cut: bool
    """Whether the image's border may cut it."""


def _pieces_of(plane: NDArray[Any], background: int) -> list[_Piece]:
    from scipy import ndimage

    found = []
    foreground = np.where(plane == background, 0, np.maximum(plane, 0))
    values, places = np.unique(foreground, return_inverse=True)
    places = places.reshape(plane.shape)
    if values[0] != 0:
        places += 1
        values = np.concatenate([[0], values])
    for place, box in enumerate(ndimage.find_objects(places), start=1):
        if box is None:
            continue
        here = np.pad(places[box] == place, 1)
        area = int(np.count_nonzero(here))
        depth = float(ndimage.distance_transform_edt(here).max())
        filled = ndimage.binary_fill_holes(here)[1:-1, 1:-1]
        within = places[box][filled & ~here[1:-1, 1:-1]]
        found.append(
            _Piece(
                int(values[place]),
                area,
                int(ndimage.label(here, np.ones((3, 3), bool))[1]),
                float(np.pi * max(depth - 0.5, 0.5) ** 2),
                bool(within.any()),
                any(
                    side.start == 0 or side.stop == length
                    for side, length in zip(box, plane.shape, strict=True)
                ),
            )
        )
    return found


def _one_is_background(planes: Sequence[NDArray[Any]]) -> bool:
    """Whether 1 is painted like a background beside numbers, and not like the first particle."""
    looked_at = [plane for plane in planes if (plane == 1).any()][:_FRAMES_LOOKED_AT]
    for plane in looked_at:
        pieces = _pieces_of(plane, 0)
        ones = [piece for piece in pieces if piece.value == 1]
        others = [piece for piece in pieces if piece.value != 1]
        if not others:
            continue
        one, usual = ones[0], float(np.median([piece.area for piece in others]))
        like = float(np.median([piece.area / piece.disc for piece in others]))
        if (
            one.number > 2
            or one.area > _LARGE_FOR_A_PARTICLE * usual
            or one.area / one.disc > max(2 * like, 2 * _LEAST_LIKE_A_DISC)
        ):
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
