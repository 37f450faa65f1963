"""What a network was trained on, and what to expect of its predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.contrast import amplitude_contrast
from napari_tem_rf.measuring.expected_dice import ExpectedDice, cannot_judge, expect_dice
from napari_tem_rf.measuring.familiarity import FeatureSpace, feature_space
from napari_tem_rf.measuring.finishing import Finishing, finish_prediction
from napari_tem_rf.measuring.found_masks import agreement_of_masks, found_mask, sureness
from napari_tem_rf.measuring.image_statistics import ImageStatistics, image_statistics
from napari_tem_rf.measuring.trained_on import MOST_IMAGES, Evidence, TrainedOn
from napari_tem_rf.micrographs.annotation import AnnotatedImage, LabelledImage, TrainingSet
from napari_tem_rf.micrographs.resampling import resample_labels
from napari_tem_rf.run_record import METHODS, RunRecord

__all__ = [
    "Saying",
    "evenly_some",
    "evidence_of",
    "held_out_dice",
    "judge",
    "nothing_to_judge_by",
    "what_it_saw",
]

_CROPS_OF_TRAINING = 48
_MOST_CROPS = 6
_SHARE = 0.125
"""Pixels that are predicted once more, as a part of the image's."""

_MARGIN_PX = 16
"""At a crop's edge the network sees less than in the image: there it is not compared."""

_MOST_MASKS = 8
"""Images whose masks are looked at after a training."""

_WINDOW_PX = 1024
_CONTRAST_PX = 2**14


class Saying(Protocol):
    """What a network said of an image; see `learning.prediction.Prediction`."""

    @property
    def classes(self) -> NDArray[np.uint8]:
        """Index of each pixel's most probable class."""

    @property
    def shares(self) -> NDArray[np.uint8] | None:
        """Probabilities in 255ths of all classes but the background."""


@dataclass(frozen=True, slots=True)
class _Some:
    """A part of an annotated image: all of it, or where something was held out."""

    image: AnnotatedImage
    window: tuple[slice, slice]


def what_it_saw(
    network: Any,
    images: Sequence[LabelledImage],
    training: TrainingSet,
    validation: TrainingSet,
    finishing: Finishing,
) -> TrainedOn | None:
    """Measure what a network was trained on; None where it cannot be: the memory is full.

    Parameters
    ----------
    network : Network
        On its device.
    images : sequence of LabelledImage
        As the user has them; those of ``training`` and ``validation`` have the same names.
    training, validation : TrainingSet
        What was trained on, and what was held out.
    finishing : Finishing
        Of the run's masks, its lengths in px of what the network sees.
    """
    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.inspecting import inspect_crops

    folded = accelerated(network).folded()
    border = training.border_px is not None
    raw = {image.name: image for image in images}
    parts = (training.without_border, validation.without_border)
    seen = {image.name: image for part in reversed(parts) for image in part.images}
    crops = _training_crops(folded, list(parts[0].images))
    held_out, trained = (
        [part for part in map(_annotated_part, some.images) if part is not None]
        for some in (parts[1], parts[0])
    )
    looked_at = evenly_some(held_out or trained, MOST_IMAGES)
    others = evenly_some(trained, max(0, _MOST_MASKS - len(looked_at))) if held_out else []
    try:
        features = inspect_crops(folded, crops, border=border).features
        if not np.isfinite(features).all():
            return None
        space = feature_space(features)
        evidence, masks = [], []
        for number, part in enumerate([*looked_at, *others]):
            pixels, said, mask = _finished_part(folded, part, finishing, border)
            masks.append(found_mask(mask))
            if number < len(looked_at):
                evidence.append(evidence_of(folded, pixels, said, mask, space, border=border))
    except MemoryError:
        return None
    names = evenly_some(sorted(seen), MOST_IMAGES)
    return TrainedOn(
        images=tuple(_statistics(seen[name], raw.get(name)) for name in names),
        features=space,
        evidence=tuple(evidence),
        held_out=bool(held_out),
        masks=tuple(masks[:MOST_IMAGES]),
    )


def evenly_some(values: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of a sequence, evenly spread over it."""
    if len(values) <= most:
        return list(values)
    return [values[at] for at in np.linspace(0, len(values) - 1, most).round().astype(int)]


def judge(
    network: Any,
    record: RunRecord,
    seen: NDArray[np.float32],
    said: Saying,
    mask: NDArray[Any],
    pixel_size_nm: tuple[float, float] | None,
) -> ExpectedDice:
    """Return what to expect of a mask.

    Parameters
    ----------
    network : Network
        Folded and on its device.
    record : RunRecord
        Of its run.
    seen : ndarray of float32, shape (row, column)
        The image as the network saw it: cleaned, standardised, perhaps resampled.
    said : Saying
        What it said of these pixels, with the shares.
    mask : ndarray, shape (row, column)
        The finished mask, on these pixels or those of the image; 0 is background.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel of ``seen``.
    """
    if why := nothing_to_judge_by(record):
        return cannot_judge(why)
    assert record.trained_on is not None
    if not seen.any():
        return cannot_judge("the image is constant")
    found = mask > 0
    if found.shape != seen.shape:
        found = resample_labels(found, (seen.shape[0], seen.shape[1]))
    evidence = evidence_of(
        network, seen, said, found, record.trained_on.features, border=record.parts_particles
    )
    if not np.isfinite(evidence.distance):
        return cannot_judge("the network answers with what are no numbers")
    image = image_statistics(seen, pixel_size_nm=pixel_size_nm)
    return expect_dice(record.trained_on, held_out_dice(record), evidence, image)


def nothing_to_judge_by(record: RunRecord) -> str:
    """Return why predictions of a run cannot be judged; empty where they can."""
    if not record.is_network:
        return f"a {METHODS[record.method]} leaves nothing to judge its masks by"
    if record.trained_on is None:
        return "the run does not say what it was trained on, so there is nothing to judge by"
    if len(record.classes.values) > 2:
        return "it is known how to judge masks of background and one class, not of several"
    return ""


def held_out_dice(record: RunRecord) -> float | None:
    """Return a run's Dice on held-out whole masks; None where it has none of whole masks."""
    return None if record.split.get("scored", "strokes") == "strokes" else record.validation_dice


def evidence_of(
    network: Any,
    seen: NDArray[np.float32],
    said: Saying,
    mask: NDArray[np.bool_],
    space: FeatureSpace,
    *,
    border: bool = False,
) -> Evidence:
    """Return what is known of a prediction without a truth.

    Most of it is taken from what the network said of the whole image; a few crops pass it once
    more, turned or mirrored.

    Parameters
    ----------
    network : Network
        Folded and on its device.
    seen : ndarray of float32, shape (row, column)
        What it saw.
    said : Saying
        What it said, with the shares.
    mask : ndarray of bool, shape (row, column)
        Where there is particle once the mask is finished.
    space : FeatureSpace
        Of the training.
    border : bool
        Whether the last class is the border of the one before it.
    """
    from napari_tem_rf.learning.inspecting import crop_side, inspect_crops

    assert said.shares is not None
    decided = said.classes > 0
    side, _ = crop_side(network, seen.shape)
    number = int(np.clip(round(_SHARE * seen.size / side**2), 1, _MOST_CROPS))
    windows = list(_telling(decided, side, number))
    crops = inspect_crops(
        network, np.stack([seen[window] for window in windows]), turned=True, border=border
    )
    margin = min(_MARGIN_PX, side // 8)
    inner = slice(margin, side - margin)
    as_it_lies = np.stack([decided[window] for window in windows])
    sure = sureness(_particle(said.shares), mask)
    shape = found_mask(mask)
    step = max(1, int(np.sqrt(seen.size / _CONTRAST_PX)))
    thinned = mask[::step, ::step].astype(np.uint8)
    contrasts = amplitude_contrast(seen[::step, ::step], thinned)
    return Evidence(
        own_dice=sure.own_dice,
        agreement=round(
            agreement_of_masks(as_it_lies[:, inner, inner], crops.found[:, inner, inner]), 4
        ),
        distance=round(float(np.median(space.distances(crops.features))), 4),
        unsure=sure.unsure,
        foreground=shape.foreground,
        contrast=round(contrasts[0].sigma, 3) if contrasts else None,
        finished=round(agreement_of_masks(decided, mask), 4),
        outline=shape.outline,
    )


def _particle(shares: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the probability of anything but background, in 255ths."""
    if len(shares) == 1:
        return shares[0]
    return np.minimum(shares.sum(axis=0, dtype=np.uint16), 255).astype(np.uint8)


def _telling(decided: NDArray[np.bool_], side: int, number: int) -> Iterator[tuple[slice, slice]]:
    """Yield the crops that tell most: those that hold particle and background in like parts."""
    windows = list(_grid(decided.shape, side))
    shares = np.array([float(np.mean(decided[window])) for window in windows])
    order = np.argsort(-np.minimum(shares, 1 - shares), kind="stable")
    for place in order[:number]:
        yield windows[place]


def _grid(shape: Sequence[int], side: int) -> Iterator[tuple[slice, slice]]:
    starts = [
        np.linspace(0, length - side, max(1, length // side)).round().astype(int)
        for length in shape
    ]
    for row in starts[0]:
        for column in starts[1]:
            yield slice(row, row + side), slice(column, column + side)


def _training_crops(network: Any, images: list[AnnotatedImage]) -> NDArray[np.float32]:
    from napari_tem_rf.learning.inspecting import crop_side

    some = evenly_some(images, _CROPS_OF_TRAINING)
    side = min(crop_side(network, image.pixels.shape)[0] for image in some)
    windows = [(image, window) for image in some for window in _grid(image.pixels.shape, side)]
    return np.stack(
        [image.pixels[window] for image, window in evenly_some(windows, _CROPS_OF_TRAINING)]
    )


def _annotated_part(image: AnnotatedImage) -> _Some | None:
    """Return the part of an image that is annotated, at most of some size."""
    window = []
    for axis in (0, 1):
        hit = np.flatnonzero((image.labels >= 0).any(axis=1 - axis))
        if not hit.size:
            return None
        length = image.labels.shape[axis]
        first, last = int(hit[0]), int(hit[-1]) + 1
        # a crop must fit, also where a narrow stroke was held out
        wanted = min(max(last - first, 256), _WINDOW_PX, length)
        start = int(np.clip((first + last - wanted) // 2, 0, length - wanted))
        window.append(slice(start, start + wanted))
    return _Some(image, (window[0], window[1]))


def _finished_part(
    network: Any, part: _Some, finishing: Finishing, border: bool
) -> tuple[NDArray[np.float32], Saying, NDArray[np.bool_]]:
    """Return a part's pixels, what the network says of them, and the finished mask."""
    from napari_tem_rf.learning.validation import predict_fitting

    seen = part.image.pixels[part.window]
    said = predict_fitting(network, seen, shares=True, border=border)
    return seen, said, finish_prediction(said.classes, said.shares, finishing) > 0


def _statistics(image: AnnotatedImage, raw: LabelledImage | None) -> ImageStatistics:
    contrasts = amplitude_contrast(image.pixels, image.labels)
    return image_statistics(
        image.pixels,
        None if raw is None else raw.pixels,
        pixel_size_nm=image.pixel_size_nm,
        dose=None if raw is None else raw.dose,
        contrast=tuple(each.sigma for each in contrasts),
    )
