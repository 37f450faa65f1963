"""How the masks of a run are finished: suggested from its training data, and done once more."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.jobs.orientations import NUMBER_OF, allowed
from napari_tem_rf.measuring.finishing import Finishing, finish_prediction
from napari_tem_rf.measuring.finishing_suggestion import (
    CertaintyChoice,
    Suggestion,
    suggest_finishing,
)
from napari_tem_rf.measuring.lattice import lattice_period
from napari_tem_rf.measuring.probable_particles import finished_numbers
from napari_tem_rf.micrographs.annotation import AnnotatedImage, TrainingSet, index_labels
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.rounding import round_up
from napari_tem_rf.protocol import Reporter, Stopped
from napari_tem_rf.runs import read_run

__all__ = ["certain", "finish_again", "suggest_from", "suggest_from_run"]

_MOST_LATTICES = 3
_MOST_PIXELS = 4_000_000
_SIDE_PX = 1024


def suggest_from(
    images: tuple[AnnotatedImage, ...],
    field_px: int,
    cleaning: Cleaning,
    *,
    is_network: bool = True,
) -> Suggestion:
    """Suggest how masks are finished, from annotated images as a network sees them.

    Parameters
    ----------
    images : tuple of AnnotatedImage
    field_px : int
        How far a pixel's class is decided from: the nominal receptive field.
    cleaning : Cleaning
        Lengths are in px of the images before they were binned.
    is_network : bool
        Whether it predicts otherwise in each orientation, so that averaging is worth its time.
    """

    def lattice() -> float | None:
        found = [lattice_period(image.pixels) for image in images[:_MOST_LATTICES]]
        periods = [each.period_px for each in found if each is not None]
        return float(np.median(periods)) if 2 * len(periods) > len(found) else None

    labels = (image.labels for image in images)
    suggestion = suggest_finishing(labels, field_px, lattice, averaged=is_network)
    return replace(suggestion, finishing=suggestion.finishing.scaled(cleaning.binning))


def certain(
    network: Any,
    training: TrainingSet,
    validation: TrainingSet,
    suggestion: Suggestion,
    cleaning: Cleaning,
) -> Suggestion:
    """Return a suggestion with how sure the trained network must be of a particle.

    Parameters
    ----------
    network : Network
        On its device.
    training, validation : TrainingSet
        What it was trained on, and what was held out.
    suggestion : Suggestion
        Of `suggest_from`.
    cleaning : Cleaning

    Notes
    -----
    After strokes masks are looked at as they will be predicted, averaged over orientations: more of
    the particles that were painted on are then found whole. What is chosen from held-out masks in
    one orientation leaves out a little more, and on new exposures that was rather right.
    """
    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.orientations import ORIENTATIONS, predict_turned
    from napari_tem_rf.learning.validation import annotated_window, predict_fitting

    folded, spec = accelerated(network).folded(), network.spec
    predict = partial(predict_fitting, folded)
    border = training.border_px is not None
    training, validation = training.without_border, validation.without_border
    binning = cleaning.binning
    choice = CertaintyChoice(suggestion.finishing.scaled(1 / binning), binning)
    for image, is_held_out in _some(training, validation):
        window = annotated_window(image, folded)
        if not is_held_out:
            window = _richest(image.labels, window, round_up(_SIDE_PX, spec.period))
        labels, pixels = image.labels[window], image.pixels[window]
        number = 1
        if training.is_sparse and suggestion.finishing.asks_for == "as time allows":
            number = NUMBER_OF[allowed(spec, pixels.size)]
        try:
            result = predict_turned(predict, pixels, ORIENTATIONS[number], border=border)
        except MemoryError:
            return suggestion
        assert result is not None  # nobody stops it
        assert result.shares is not None
        shares = result.shares.astype(np.float32) / 255
        choice.add(result.classes, shares, labels, held_out=is_held_out, strokes=training.is_sparse)
    return choice.choose(suggestion)


def _richest(
    labels: NDArray[np.integer], window: tuple[slice, slice], side: int
) -> tuple[slice, slice]:
    """Return the part of a window, a square at most, in which the most particle is annotated.

    How sure a network is in the mean is seen on a part of a large image as well.
    """
    rows, columns = (
        [slice(first, min(first + side, part.stop)) for first in range(part.start, part.stop, side)]
        for part in window
    )
    parts = [(row, column) for row in rows for column in columns]
    return max(parts, key=lambda part: int(np.count_nonzero(labels[part] > 0)))


def _some(training: TrainingSet, validation: TrainingSet) -> Iterator[tuple[AnnotatedImage, bool]]:
    """Yield images, and whether whole particles in them were held out, until there are enough."""
    seen = 0
    for data, is_held_out in ((validation, not validation.is_sparse), (training, False)):
        for image in data.images:
            if seen > _MOST_PIXELS or not (image.labels >= 0).any():
                continue
            seen += image.labels.size
            yield image, is_held_out


def suggest_from_run(run: Path, *, report: Reporter, stopped: Stopped) -> Suggestion:
    """Suggest how the masks of a run are finished that says nothing of it, from what it keeps.

    Those are the labels that it was trained on, without the images.
    """
    opened = read_run(run)
    record = opened.record

    def annotations() -> Iterator[NDArray[Any]]:
        for entry in record.data:
            try:
                labels = read_labels(opened.folder / entry.annotation)
                yield index_labels(labels, record.classes, record.unlabelled)
            except (OSError, ValueError):
                continue  # deleted since: the others may be enough

    if record.spec is None:
        from napari_tem_rf.learning.pixel_features import FOREST_REACH_PX

        return suggest_finishing(annotations(), FOREST_REACH_PX, averaged=False)
    return suggest_finishing(annotations(), nominal_receptive_field(record.spec))


def finish_again(
    classes: NDArray[np.uint8],
    shares: NDArray[np.uint8],
    finishing: Finishing,
    numbered: NDArray[np.int32] | None = None,
    *,
    report: Reporter,
    stopped: Stopped,
) -> tuple[NDArray[Any], NDArray[np.int32] | None]:
    """Return class indices finished in another way, from what `predict_with_run` kept.

    With the particles that were numbered come those of the finished mask.
    """
    finished = finish_prediction(classes, shares, finishing)
    if numbered is None:
        return finished, None
    return finished, finished_numbers(numbered, finished, finishing)
