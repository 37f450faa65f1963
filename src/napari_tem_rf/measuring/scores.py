"""How well a prediction agrees with labels: Dice, IoU, precision, recall, particles, boundary.

Dice is the hard Dice of the paper, with smooth = 1 and one number an image; everything else is per
image too, and a set of images scores the mean over its images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.agreement import Agreement, find_agreement
from napari_tem_rf.measuring.instances import compact
from napari_tem_rf.measuring.particle_scores import score_particles
from napari_tem_rf.micrographs.label_meaning import LabelMeaning
from napari_tem_rf.protocol import Unlabelled

__all__ = [
    "Pair",
    "ScoreTable",
    "Scores",
    "dice",
    "foreground_values",
    "score_image",
    "score_images",
]


@dataclass(frozen=True, slots=True)
class Scores:
    """How well predictions agree with labels.

    Attributes
    ----------
    dice, iou, precision, recall : float
        Of the foreground's pixels, 0 to 1; with several classes their mean.
    object_f1 : float
        Of the particles, 0 to 1: F1 of the connected components (8 neighbours), or of the
        particles that labels number one by one, that are matched one to one at an intersection
        over union of at least 0.5.
    boundary_error_px, boundary_error_nm : float, optional
        Mean distance between the contours, both ways, in px and nm. None where there is no
        contour to compare, and in nm without a pixel size.
    object_f1_75, ap_50, ap_75, panoptic_quality : float, optional
        Of the same particles: F1 at an intersection over union of 0.75, average precision at 0.5
        and 0.75, panoptic quality; see `measuring.particle_scores`.
    count_error_percent, diameter_bias_percent : float, optional
        How far the number and the mean diameter of the particles are off, signed, in %; None
        without true particles.
    object_f1_inner, ... : float, optional
        The same without particles at the image's border, or at the edge of what is annotated; None
        where there are no others.
    """

    dice: float
    iou: float
    precision: float
    recall: float
    object_f1: float
    boundary_error_px: float | None = None
    boundary_error_nm: float | None = None
    object_f1_75: float | None = None
    ap_50: float | None = None
    ap_75: float | None = None
    panoptic_quality: float | None = None
    count_error_percent: float | None = None
    diameter_bias_percent: float | None = None
    object_f1_inner: float | None = None
    object_f1_75_inner: float | None = None
    ap_50_inner: float | None = None
    ap_75_inner: float | None = None
    panoptic_quality_inner: float | None = None
    count_error_percent_inner: float | None = None
    diameter_bias_percent_inner: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """Return the scores by name, as JSON holds them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A prediction and the labels of the same image.

    Attributes
    ----------
    name : str
        The image's name.
    prediction, labels : ndarray of int or bool, shape (row, column)
        Label values; see `score_image`.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    """

    name: str
    prediction: NDArray[Any]
    labels: NDArray[Any]
    pixel_size_nm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """The scores of several images.

    Attributes
    ----------
    names : tuple of str
        The images' names.
    images : tuple of Scores
        The scores of each image.
    notes : tuple of str
        Sentences for the user, where predictions and labels are not written alike.
    """

    names: tuple[str, ...]
    images: tuple[Scores, ...]
    notes: tuple[str, ...] = ()

    @property
    def mean(self) -> Scores:
        """The mean over the images; over those that have a contour for the boundary error."""
        return _over(self.images, np.mean)

    @property
    def spread(self) -> Scores:
        """The standard deviation over the images (one image: 0)."""
        return _over(self.images, np.std)

    def to_dict(self) -> dict[str, Any]:
        """Return the mean scores by name, and a list ``images`` of the scores of each image."""
        images = [
            {"name": name, **scores.to_dict()}
            for name, scores in zip(self.names, self.images, strict=True)
        ]
        return {**self.mean.to_dict(), "images": images}


def score_image(
    prediction: NDArray[Any],
    labels: NDArray[Any],
    *,
    unlabelled: Unlabelled = "background",
    foreground: Sequence[int] | None = None,
    pixel_size_nm: tuple[float, float] | None = None,
    name: str = "the image",
    numbers: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> Scores:
    """Score the prediction of one image.

    Parameters
    ----------
    prediction : ndarray of int or bool, shape (row, column)
        Predicted labels, 0 = background.
    labels : ndarray of int or bool, shape (row, column)
        True labels. Negative values are not annotated and don't count.
    unlabelled : {"background", "ignore"}
        What a label of 0 means. "background": it is background. "ignore": it is not annotated and
        doesn't count, and 1 is background, which a prediction writes as 0.
    foreground : sequence of int, optional
        The classes to score, compared by value. Without it the classes are found: where prediction
        and labels have at most one foreground value each, all that is not background is compared,
        whatever its value (strokes of 1 and 2 give predictions of 0 and 2, a mask may hold 255);
        where either has several, every value is a class, but where either has a number for each
        particle (`label_meaning.meaning_of`), all that is not background is compared.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm, for the boundary error in nm.
    name : str
        What errors call the image.
    numbers : tuple of ndarray of int, shape (row, column), optional
        A number for each particle of the prediction and of the labels, 0 elsewhere, where they are
        told apart and there is one class of them: particles that touch then count one by one.

    Returns
    -------
    Scores
        A class that neither prediction nor labels have scores 1; one that only one of them has
        scores 0 (Dice: nearly 0, by its smooth = 1).

    Raises
    ------
    ValueError
        If shapes differ, values are not whole numbers, or no pixel is annotated.

    Notes
    -----
    Dice is ``(2 |A and B| + 1) / (|A| + |B| + 1)``, as in Sytwu, Groschner and Scott, Microscopy
    and Microanalysis 2022, doi 10.1017/S1431927622012466.
    """
    _check(prediction, labels, name)
    if foreground is None:
        agreement = find_agreement([Pair(name, prediction, labels)], unlabelled)
        return _score(prediction, labels, agreement, unlabelled, pixel_size_nm, name)
    valid = _annotated(labels, unlabelled, name)
    masks = [(prediction == value, labels == value) for value in foreground]
    objects: tuple[NDArray[np.int32] | None, NDArray[np.int32] | None] = (None, None)
    if numbers is not None and len(masks) == 1:
        objects = tuple(compact(np.where(valid, each, 0))[1] for each in numbers)  # type: ignore[assignment]
    return _over(
        [_score_mask(a & valid, b & valid, valid, pixel_size_nm, objects) for a, b in masks],
        np.mean,
    )


def score_images(
    pairs: Sequence[Pair],
    *,
    unlabelled: Unlabelled = "background",
    foreground: Sequence[int] | None = None,
) -> ScoreTable:
    """Score the predictions of several images, with the same classes for all.

    Parameters
    ----------
    pairs : sequence of Pair
        Walked through twice (three times where values differ), so that a sequence that reads its
        pairs when asked for them never holds them all.
    unlabelled, foreground
        As for `score_image`; the classes are found over all images.

    Returns
    -------
    ScoreTable

    Raises
    ------
    ValueError
        As `score_image`, and if there are no pairs.
    """
    if not len(pairs):
        raise ValueError("there is no prediction to score: give at least one with its labels")
    names = tuple(pair.name for pair in pairs)
    if foreground is not None:
        scores = [
            score_image(
                pair.prediction,
                pair.labels,
                unlabelled=unlabelled,
                foreground=foreground,
                pixel_size_nm=pair.pixel_size_nm,
                name=f'"{pair.name}"',
            )
            for pair in pairs
        ]
        return ScoreTable(names, tuple(scores))
    agreement = find_agreement(_Checked(pairs), unlabelled)
    scores = [
        _score(
            pair.prediction,
            pair.labels,
            agreement,
            unlabelled,
            pair.pixel_size_nm,
            f'"{pair.name}"',
        )
        for pair in pairs
    ]
    return ScoreTable(names, tuple(scores), agreement.notes)


def foreground_values(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]], unlabelled: Unlabelled = "background"
) -> tuple[int, ...]:
    """Find the foreground classes of predictions and labels.

    Parameters
    ----------
    pairs : iterable of (prediction, labels)
        Label values of the same images.
    unlabelled : {"background", "ignore"}
        What a label of 0 means, see `score_image`.

    Returns
    -------
    tuple of int
        The classes' values, ascending; empty where all foreground is to be compared whatever its
        value: neither side has more than one foreground value, or one has numbered particles.
    """
    named = [Pair("", prediction, labels) for prediction, labels in pairs]
    return find_agreement(named, unlabelled).foreground


def dice(prediction: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Return the hard Dice of two masks of the same shape, smooth = 1."""
    both = np.count_nonzero(prediction & mask)
    return (2 * both + 1) / (np.count_nonzero(prediction) + np.count_nonzero(mask) + 1)


def _over(scores: Sequence[Scores], mean: Any) -> Scores:
    known = {
        field.name: [value for s in scores if (value := getattr(s, field.name)) is not None]
        for field in fields(Scores)
    }
    return Scores(**{name: float(mean(of)) if of else None for name, of in known.items()})  # type: ignore[arg-type]


class _Checked(Sequence[Pair]):
    """Pairs that raise a ValueError when they are asked for and do not fit together."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: Any) -> Any:
        pair = self._pairs[index]
        _check(pair.prediction, pair.labels, f'"{pair.name}"')
        return pair


def _annotated(labels: NDArray[Any], unlabelled: Unlabelled, name: str) -> NDArray[np.bool_]:
    """Return the pixels that count."""
    valid = labels != 0 if unlabelled == "ignore" else np.ones(labels.shape, bool)
    if labels.dtype.kind == "i":
        valid &= labels >= 0
    if not valid.any():
        raise ValueError(
            f"the labels of {name} have no annotated pixel: draw some, or read 0 as background"
        )
    return valid


def _score(
    prediction: NDArray[Any],
    labels: NDArray[Any],
    agreement: Agreement,
    unlabelled: Unlabelled,
    pixel_size_nm: tuple[float, float] | None,
    name: str,
) -> Scores:
    """Score one image in the way that was found to compare predictions and labels."""
    valid = _annotated(labels, unlabelled, name)
    if agreement.foreground:
        masks = [(prediction == value, labels == value) for value in agreement.foreground]
        return _over(
            [_score_mask(a & valid, b & valid, valid, pixel_size_nm) for a, b in masks], np.mean
        )
    found, true = (
        np.where(valid, meaning.without_background(values), 0)
        for meaning, values in ((agreement.prediction, prediction), (agreement.labels, labels))
    )
    objects = _objects(found, agreement.prediction), _objects(true, agreement.labels)
    return _score_mask(found != 0, true != 0, valid, pixel_size_nm, objects)


def _objects(values: NDArray[Any], meaning: LabelMeaning) -> NDArray[np.int32] | None:
    """Return the particles that labels number one by one as 1, 2, ...; None where they do not."""
    return compact(values)[1] if meaning.numbered else None


def _score_mask(
    found: NDArray[np.bool_],
    true: NDArray[np.bool_],
    valid: NDArray[np.bool_],
    pixel_size_nm: tuple[float, float] | None,
    objects: tuple[NDArray[np.int32] | None, NDArray[np.int32] | None] = (None, None),
) -> Scores:
    both = np.count_nonzero(found & true)
    n_found, n_true = np.count_nonzero(found), np.count_nonzero(true)
    either = n_found + n_true - both
    contours = _contour(found, valid), _contour(true, valid)
    particles, inner = score_particles(*_particles((found, true), objects), valid)
    return Scores(
        dice=dice(found, true),
        iou=both / either if either else 1.0,
        precision=both / n_found if n_found else float(not n_true),
        recall=both / n_true if n_true else float(not n_found),
        boundary_error_px=_distance(*contours, (1.0, 1.0)),
        boundary_error_nm=_distance(*contours, pixel_size_nm) if pixel_size_nm else None,
        **asdict(particles),
        **{f"{name}_inner": value for name, value in asdict(inner).items()},
    )


def _particles(
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    objects: tuple[NDArray[np.int32] | None, NDArray[np.int32] | None],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return both sides' particles as 1, 2, ...: connected ones, or those that are numbered."""
    from scipy import ndimage

    found, true = (
        ndimage.label(mask, np.ones((3, 3)))[0] if numbered is None else numbered
        for mask, numbered in zip(masks, objects, strict=True)
    )
    return found, true


def _contour(mask: NDArray[np.bool_], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the mask's pixels that have an annotated pixel outside of it beside them.

    The image's border and the edge of the annotation are not contours.
    """
    outside = np.pad(valid & ~mask, 1)
    beside = outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2] | outside[1:-1, 2:]
    return mask & beside


def _distance(
    a: NDArray[np.bool_], b: NDArray[np.bool_], pixel_size: tuple[float, float]
) -> float | None:
    from scipy import ndimage

    if not a.any() or not b.any():
        return None
    to_b = ndimage.distance_transform_edt(~b, sampling=pixel_size)[a]
    to_a = ndimage.distance_transform_edt(~a, sampling=pixel_size)[b]
    return float(np.concatenate([to_b, to_a]).mean())


def _check(prediction: NDArray[Any], labels: NDArray[Any], name: str) -> None:
    for what, array in (("prediction", prediction), ("labels", labels)):
        if array.dtype.kind not in "uib":
            raise ValueError(
                f"the {what} of {name} hold {array.dtype} values: labels are whole numbers; "
                "threshold probabilities first"
            )
        if array.ndim != 2:
            raise ValueError(
                f"the {what} of {name} have {array.ndim} axes: give one image of "
                "(row, column) at a time"
            )
    if prediction.shape != labels.shape:
        raise ValueError(
            f"the prediction of {name} is {_times(prediction)} but its labels are "
            f"{_times(labels)}: give the labels of the same image"
        )


def _times(array: NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape)) + " px"
