"""The held-out part: the same for all networks, seen by none of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.comparison.plan import ComparisonPlan
from napari_tem_rf.measuring.scores import Scores, score_image
from napari_tem_rf.micrographs.annotation import (
    AnnotatedImage,
    Classes,
    LabelledImage,
    TrainingSet,
    check_labels,
    index_all,
)
from napari_tem_rf.micrographs.label_meaning import LabelMeaning
from napari_tem_rf.micrographs.splitting import split
from napari_tem_rf.protocol import LabelsAre

__all__ = ["HeldOut", "HeldOutImage", "hold_out"]

_MOSTLY = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutImage:
    """An image, or the part of one, that predictions are scored on.

    Attributes
    ----------
    name : str
    pixels : ndarray, shape (row, column)
        Raw grey values of the whole image.
    truth : ndarray of int32, shape (row, column)
        Values as in a prediction: background 0, particles their label values; -1 does not count.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    numbers : ndarray of int, shape (row, column), optional
        A number for each particle, where the annotation tells them apart; 0 elsewhere.
    """

    name: str
    pixels: NDArray[Any]
    truth: NDArray[np.int32]
    pixel_size_nm: tuple[float, float] | None = None
    numbers: NDArray[np.integer] | None = None

    def score(
        self, labels: NDArray[Any], classes: Classes, numbers: NDArray[np.integer] | None = None
    ) -> Scores:
        """Score predicted labels, shape (row, column), on the pixels that count.

        With a number for each predicted particle these are compared with those of the annotation.
        """
        known = None if numbers is None or self.numbers is None else (numbers, self.numbers)
        return score_image(
            labels,
            self.truth,
            foreground=classes.values[1:],
            pixel_size_nm=self.pixel_size_nm,
            name=f'"{self.name}"',
            numbers=known,
        )


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What is trained on and what is scored.

    Attributes
    ----------
    training : tuple of LabelledImage
        With ``counted`` where a part of the image is held out.
    scored : tuple of HeldOutImage
    classes : Classes
    kind : {"groups", "blocks"}
    names : tuple of str
        Names of the groups, or of the blocks, that are held out.
    gap_px : int
        Gap between training and held-out pixels of one image, in px of the raw image.
    sentence : str
        The split in words.
    note : str
        What limits the scores, in a sentence; empty where nothing does.
    labels_are : {"classes", "particles"}
        What the label values of all images together are.
    """

    training: tuple[LabelledImage, ...]
    scored: tuple[HeldOutImage, ...]
    classes: Classes
    kind: str
    names: tuple[str, ...]
    gap_px: int
    sentence: str
    note: str = ""
    labels_are: LabelsAre = "classes"

    @property
    def sha256(self) -> str:
        """Hash of which pixels are trained on and which are scored."""
        digest = hashlib.sha256()
        for image in self.training:
            counted = image.counted
            mask = np.ones(image.labels.shape, bool) if counted is None else counted
            digest.update(f"train {image.name} {mask.shape}".encode() + np.packbits(mask).tobytes())
        for held in self.scored:
            digest.update(f"score {held.name}".encode() + np.packbits(held.truth >= 0).tobytes())
        return digest.hexdigest()


def hold_out(images: Sequence[LabelledImage], plan: ComparisonPlan) -> HeldOut:
    """Split labelled images into what networks train on and what they are scored on.

    Whole groups are held out where there are three or more, else a block of each image with a gap
    of the largest reach of all that is compared around it.

    Parameters
    ----------
    images : sequence of LabelledImage
    plan : ComparisonPlan

    Raises
    ------
    ValueError
        When labels do not fit their images, or nothing can be held out.
    """
    if not images:
        raise ValueError("there is no image to compare on: give at least one with its labels")
    names = [image.name for image in images]
    for image in images:
        check_labels(image.name, image.pixels, image.labels)
        if names.count(image.name) > 1:
            raise ValueError(
                f'two images are named "{image.name}": scores are kept by name; rename one'
            )
    learned = index_all(
        [image.labels for image in images],
        plan.unlabelled,
        plan.class_names,
        plan.class_colors,
        plan.labels_are,
    )
    classes = learned.classes
    known = TrainingSet(
        tuple(
            AnnotatedImage(
                image.name,
                image.pixels,
                indices,
                image.group or image.name,
                image.pixel_size_nm,
            )
            for image, indices in zip(images, learned.indices, strict=True)
        ),
        classes,
        plan.unlabelled,
        learned.border_px,
    ).without_border
    binning = plan.cleaning.binning
    # binned blocks of pixels that a block's edge cuts count on neither side
    gap_px = plan.gap_px * binning + (binning - 1)
    parts = split(known, plan.held_out, gap_px, plan.split_seed)
    if parts.kind == "none":
        raise ValueError(
            "no part can be held out for the scores: "
            f"{parts.sentence.removeprefix('nothing is held out: ')}; or compare smaller receptive "
            f"fields (now up to {plan.gap_px} px are seen)"
        )
    by_name = {image.name: image for image in images}
    blocks = parts.kind == "blocks"
    training = tuple(
        replace(by_name[each.name], counted=each.labels >= 0) if blocks else by_name[each.name]
        for each in parts.training.images
    )
    values = np.array([*classes.prediction_values, -1], np.int32)  # the last for index -1
    scored = tuple(
        HeldOutImage(
            each.name,
            by_name[each.name].pixels,
            values[each.labels],
            each.pixel_size_nm,
            _numbers(by_name[each.name].labels, learned.meaning),
        )
        for each in parts.validation.images
    )
    return HeldOut(
        training,
        scored,
        classes,
        parts.kind,
        parts.held_out,
        gap_px if blocks else 0,
        parts.sentence,
        _limits(scored, blocks),
        "particles" if learned.meaning.numbered else "classes",
    )


def _numbers(labels: NDArray[Any], meaning: LabelMeaning) -> NDArray[np.integer] | None:
    """Return the particles' own numbers, 0 elsewhere; None where labels are classes."""
    if not meaning.numbered:
        return None
    return np.maximum(meaning.without_background(labels), 0)


def _limits(scored: Sequence[HeldOutImage], blocks: bool) -> str:
    pixels = sum(image.truth.size for image in scored)
    known = sum(int((image.truth >= 0).sum()) for image in scored)
    if not blocks and known < _MOSTLY * pixels:
        return (
            f"only {known / pixels:.0%} of the held-out images is annotated: object F1 and "
            "boundary error compare parts of particles there"
        )
    return ""
