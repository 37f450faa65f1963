"""Which values of predictions and of labels stand for the same thing, before they are scored.

A mask beside labels with a number for each particle, or beside labels whose background is 1, is no
bad prediction: it is another way to write the same. Scored value by value it would come out as 0.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from napari_tem_rf.micrographs.label_meaning import (
    LabelMeaning,
    count_labels,
    look_like_numbers,
    meaning_of,
    one_piece_each,
)
from napari_tem_rf.protocol import Unlabelled

__all__ = ["Agreement", "find_agreement"]


class TwoLabels(Protocol):
    """A prediction and the labels of the same image, each of shape (row, column)."""

    @property
    def prediction(self) -> NDArray[Any]: ...

    @property
    def labels(self) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """How predictions and labels are to be compared.

    Attributes
    ----------
    foreground : tuple of int
        Classes that are compared by value; empty: all that is not background is compared as one.
    prediction, labels : LabelMeaning
        What the values of each side mean, over all images together.
    notes : tuple of str
        Sentences for the user where the two sides are not written alike.
    """

    foreground: tuple[int, ...]
    prediction: LabelMeaning
    labels: LabelMeaning
    notes: tuple[str, ...] = ()


def find_agreement(pairs: Sequence[TwoLabels], unlabelled: Unlabelled = "background") -> Agreement:
    """Find how the predictions of several images and their labels are to be compared.

    Parameters
    ----------
    pairs : sequence
        Predictions and labels; walked through once, and a second time only where their values
        differ.
    unlabelled : {"background", "ignore"}
        What a label of 0 means.
    """
    predicted: Counter[int] = Counter()
    true: Counter[int] = Counter()
    for pair in pairs:
        predicted.update(count_labels(pair.prediction))
        true.update(count_labels(pair.labels))
    labels = meaning_of(true, unlabelled)
    # what an image is predicted as is a finished mask, whatever its labels are; but beside strokes
    # a 1 among several values is background there as well
    prediction = meaning_of(predicted)
    painted = [value for value in predicted if value > 0]
    strokes = unlabelled == "ignore" and len(painted) > 1 and 1 in painted
    if strokes and not prediction.numbered:
        prediction = meaning_of(predicted, "ignore")
    if not (prediction.numbered or labels.numbered):
        if len(prediction.values) <= 1 and len(labels.values) <= 1 and not strokes:
            return Agreement((), prediction, labels, _unexpected(prediction, labels))
        if prediction.values == labels.values and not _both_numbered(pairs, prediction, labels):
            return Agreement(labels.values, prediction, labels, _unexpected(prediction, labels))
        prediction, labels = _looked_at(pairs, prediction, labels)
    if prediction.numbered or labels.numbered:
        note = (
            "all foreground is compared as one, and the numbers say which pixels are one particle"
        )
        return Agreement((), prediction, labels, (*_unexpected(prediction, labels), note))
    classes = tuple(sorted({*prediction.values, *labels.values}))
    return Agreement(classes, prediction, labels, _differences(prediction, labels, unlabelled))


def _both_numbered(
    pairs: Sequence[TwoLabels], prediction: LabelMeaning, labels: LabelMeaning
) -> bool:
    """Return whether both sides hold a few numbers of particles, as many by chance: no classes."""
    if "classes" not in (prediction.kind, labels.kind) or labels.kind == "strokes":
        return False
    some = [pairs[place] for place in range(min(len(pairs), _LOOKED_AT))]
    return look_like_numbers(
        [pair.prediction for pair in some], prediction.background
    ) and look_like_numbers([pair.labels for pair in some], labels.background)


_LOOKED_AT = 4


def _looked_at(
    pairs: Sequence[TwoLabels], prediction: LabelMeaning, labels: LabelMeaning
) -> tuple[LabelMeaning, LabelMeaning]:
    """Return the meanings after a look at the pixels: few values may be numbers, too."""
    reason = "hold each value in one place, as numbers of particles are"

    def looked_at(meaning: LabelMeaning, planes: Iterable[NDArray[Any]]) -> LabelMeaning:
        if len(meaning.values) < 2 or not one_piece_each(planes, meaning.background):
            return meaning
        return meaning.as_particles(reason)

    return (
        looked_at(prediction, (pair.prediction for pair in pairs)),
        looked_at(labels, (pair.labels for pair in pairs)),
    )


def _unexpected(prediction: LabelMeaning, labels: LabelMeaning) -> tuple[str, ...]:
    sides = (("the masks", prediction), ("the labels", labels))
    return tuple(f"{name} {side.reason}" for name, side in sides if side.unexpected)


def _differences(
    prediction: LabelMeaning, labels: LabelMeaning, unlabelled: Unlabelled
) -> tuple[str, ...]:
    """Return the classes that one side lacks, in words."""
    notes = list(_unexpected(prediction, labels))
    sides = (
        ("masks", "labels", prediction, labels),
        ("labels", "masks", labels, prediction),
    )
    for here, there, one, other in sides:
        if lone := sorted(set(one.values) - set(other.values)):
            notes.append(
                f"the {here} hold {', '.join(map(str, lone))}, which the {there} do not: a class "
                "on one side alone scores 0"
            )
    if unlabelled == "background" and 1 in labels.values and 1 not in prediction.values:
        notes.append("if 1 is background in the labels, as in strokes, say --unlabelled ignore")
    return tuple(notes)
