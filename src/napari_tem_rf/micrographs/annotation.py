"""Labels -> training set: strokes or masks, several images, train/validation split.

A labels layer holds whole numbers. With ``unlabelled="ignore"`` 0 is not annotated, 1 background,
2 and up the classes; with ``unlabelled="background"`` (a finished mask) 0 is background and 1 and
up the classes. Where particles are numbered, their numbers take the place of the classes and stand
for one class, whose border is learned apart (`particle_targets`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.label_meaning import (
    MOST_CLASSES,
    LabelMeaning,
    count_labels,
    find_meaning,
    meaning_of,
)
from napari_tem_rf.micrographs.particle_targets import (
    BORDER,
    INSIDE,
    border_width,
    index_numbers,
)
from napari_tem_rf.protocol import LabelsAre, Unlabelled

NOT_ANNOTATED = -1

LARGEST_LABEL = 2**31 - 1
"""The largest number of a particle: what 32 bits with a sign hold."""

LARGEST_CLASS = 65_535
"""The largest label value of a class."""

SPARSE = 0.5
"""Where less of the images than this is annotated, it is strokes and not masks."""


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of an annotation, background first.

    Attributes
    ----------
    values : tuple of int
        Label value of each class; the class index that a network knows is the place in here.
    names : tuple of str
        Name of each class.
    colors : tuple of str
        Colour of each class as #rrggbb.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    colors: tuple[str, ...] = ()

    @property
    def prediction_values(self) -> tuple[int, ...]:
        """Label value of each class in a prediction: the annotation's, background 0."""
        return (0, *self.values[1:])


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedImage:
    """One image and what is known of it.

    Attributes
    ----------
    name : str
        The image's name.
    pixels : ndarray of float32, shape (row, column)
        Cleaned and standardised: mean 0, standard deviation 1.
    labels : ndarray of int16, shape (row, column)
        Class index per pixel (place in `Classes.values`), -1 where not annotated. Where the border
        of particles is learned, its index comes after those of the classes.
    group : str
        Images of one group (an exposure) are never split.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    """

    name: str
    pixels: NDArray[np.float32]
    labels: NDArray[np.int16]
    group: str
    pixel_size_nm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """Annotated images of the same classes.

    Attributes
    ----------
    images : tuple of AnnotatedImage
    classes : Classes
        The user's classes.
    unlabelled : {"ignore", "background"}
        What a label of 0 means.
    border_px : float, optional
        Width in px of the border of numbered particles, which is learned besides the classes; None
        where classes alone are.
    of_strokes : bool, optional
        Whether the annotation is strokes and not masks, where that is known of the whole that this
        is a part of: a block of a mask is none the less a mask.
    """

    images: tuple[AnnotatedImage, ...]
    classes: Classes
    unlabelled: Unlabelled = "ignore"
    border_px: float | None = None
    of_strokes: bool | None = None

    @property
    def learned(self) -> int:
        """How many classes a network has to learn: the user's, and the border."""
        return len(self.classes.values) + (self.border_px is not None)

    @property
    def without_border(self) -> "TrainingSet":
        """The same with the user's classes alone: the border is part of the particle."""
        if self.border_px is None:
            return self
        images = tuple(replace(image, labels=as_classes(image.labels)) for image in self.images)
        return replace(self, images=images, border_px=None)

    def counts(self) -> NDArray[np.int64]:
        """Return the annotated pixels of each class that is learned, shape (class,)."""
        n = self.learned
        per_image = (np.bincount(i.labels[i.labels >= 0], minlength=n) for i in self.images)
        return np.sum([np.zeros(n, np.int64), *per_image], axis=0)

    @property
    def is_sparse(self) -> bool:
        """Whether the annotation is strokes and not masks, on the images that have one."""
        if self.of_strokes is not None:
            return self.of_strokes
        area = sum(image.labels.size for image in self.images if (image.labels >= 0).any())
        return int(self.counts().sum()) < SPARSE * area


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """An image and its labels as the user has them: raw grey values, raw label values.

    Attributes
    ----------
    name : str
        The image's name.
    pixels : ndarray, shape (row, column)
        Grey values.
    labels : ndarray of int, shape (row, column)
        Label values.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    group : str
        Exposure or series that the image belongs to; its name when not given.
    counted : ndarray of bool, shape (row, column), optional
        The pixels whose labels may be learned from; all when not given. A finished mask has no
        label value for "held out", so it is said here.
    dose : float, optional
        Electrons per square ångström, where the file says it.
    """

    name: str
    pixels: NDArray[Any]
    labels: NDArray[Any]
    pixel_size_nm: tuple[float, float] | None = None
    group: str = ""
    counted: NDArray[np.bool_] | None = None
    dose: float | None = None


def check_labels(name: str, pixels: NDArray[Any], labels: NDArray[Any]) -> None:
    """Raise when labels do not fit their image.

    Raises
    ------
    ValueError
        For another shape, another type than whole numbers, negative values or too large ones.
    """
    if labels.shape != pixels.shape:
        raise ValueError(
            f'labels of "{name}" are {shape_text(labels.shape)} but the image is '
            f"{shape_text(pixels.shape)}: draw them on the image's own annotation layer"
        )
    if labels.dtype.kind not in "uib":
        raise ValueError(
            f'labels of "{name}" hold {labels.dtype} values: labels are whole numbers; '
            "save them as an integer image"
        )
    if labels.size and (labels.min() < 0 or labels.max() > LARGEST_LABEL):
        raise ValueError(
            f'labels of "{name}" go from {labels.min()} to {labels.max()}: '
            f"use label values from 0 to {LARGEST_LABEL:,}"
        )


def find_classes(
    labels: Sequence[NDArray[Any]],
    unlabelled: Unlabelled,
    names: dict[int, str] | None = None,
    colors: dict[int, str] | None = None,
    meaning: LabelMeaning | None = None,
) -> Classes:
    """Return the classes that occur in labels; the background is always one of them.

    Numbered particles are one class: background is 0 and they are 1, or 1 and 2 where zeros are not
    annotated.

    Parameters
    ----------
    labels : sequence of ndarray of int
    unlabelled : {"ignore", "background"}
        What a label of 0 means.
    names, colors : dict of int to str
        By label value.
    meaning : LabelMeaning, optional
        What the labels mean, where it was found already.

    Raises
    ------
    ValueError
        When there is nothing to learn: no label, or one class only; or there are too many classes.
    """
    counts: Counter[int] = Counter()
    for each in labels:
        counts.update(count_labels(each))
    background = 1 if unlabelled == "ignore" else 0
    if meaning is None:
        meaning = meaning_of(counts, unlabelled)
    found = sorted(counts)
    if meaning.numbered:
        # what number a particle has says nothing, and a background without zeros is one
        there = {background} if background in counts or meaning.background in counts else set()
        if any(value in counts for value in meaning.values):
            there.add(background + 1)
        found = sorted(there | ({0} if 0 in counts else set()))
    foreground = [value for value in found if value > background]
    if len(foreground) > MOST_CLASSES:
        raise ValueError(
            f"the labels hold {len(foreground)} classes, and a network learns {MOST_CLASSES} at "
            "most: if these are particles with a number each, say that labels are particles, or "
            f"give all particles of a kind the same value, {background + 1} for the first"
        )
    if foreground and foreground[-1] > LARGEST_CLASS:
        raise ValueError(
            f"a class has the label value {foreground[-1]:,}: classes have values up to "
            f"{LARGEST_CLASS:,}; numbered particles may have larger ones, if they are said to be"
        )
    if found in ([], [0]) and unlabelled == "ignore":
        raise ValueError(
            "the labels are empty: nothing is annotated; paint background as 1 and particles as 2"
        )
    if not foreground:
        known = "only background (1)" if unlabelled == "ignore" else "no particle, only zeros,"
        hint = (
            "paint particles as 2, or say that unlabelled pixels are background if this is a mask"
            if unlabelled == "ignore"
            else "paint at least one particle"
        )
        raise ValueError(f"the labels hold {known} but training needs two classes: {hint}")
    if background not in found:
        hint = (
            "paint some background as 1, or say that unlabelled pixels are background"
            if unlabelled == "ignore"
            else "leave background pixels 0"
        )
        raise ValueError(
            f"the labels hold {', '.join(map(str, foreground))} but no background: {hint}"
        )
    values = (background, *foreground)
    named = {background: "background", **(names or {})}
    default = ["particle"] if len(foreground) == 1 else [f"class {v}" for v in foreground]
    for value, name in zip(foreground, default, strict=True):
        named.setdefault(value, name)
    return Classes(
        values=values,
        names=tuple(named[value] for value in values),
        colors=tuple((colors or {}).get(value, "") for value in values),
    )


def index_labels(labels: NDArray[Any], classes: Classes, unlabelled: Unlabelled) -> Any:
    """Return class indices, int16, shape (row, column), from label values; -1: not annotated."""
    table = np.full(LARGEST_CLASS + 2, NOT_ANNOTATED, np.int16)
    for index, value in enumerate(classes.values):
        table[value] = index
    if unlabelled == "ignore":
        table[0] = NOT_ANNOTATED
    return table[np.minimum(labels.astype(np.int64), LARGEST_CLASS + 1)]


@dataclass(frozen=True, slots=True, eq=False)
class IndexedLabels:
    """What a network is to learn from the labels of several images.

    Attributes
    ----------
    classes : Classes
    indices : tuple of ndarray of int16, each of shape (row, column)
        As in `AnnotatedImage.labels`.
    border_px : float, optional
        Width of the border of numbered particles; None for classes.
    meaning : LabelMeaning
        What the label values mean.
    """

    classes: Classes
    indices: tuple[NDArray[np.int16], ...]
    border_px: float | None
    meaning: LabelMeaning


def index_all(
    labels: Sequence[NDArray[Any]],
    unlabelled: Unlabelled,
    names: dict[int, str] | None = None,
    colors: dict[int, str] | None = None,
    labels_are: LabelsAre = "auto",
) -> IndexedLabels:
    """Return what a network is to learn from the labels of images that belong together.

    Raises
    ------
    ValueError
        As `find_classes`.
    """
    meaning = find_meaning(labels, unlabelled, labels_are)
    classes = find_classes(labels, unlabelled, names, colors, meaning)
    if not meaning.numbered:
        indices = tuple(index_labels(each, classes, unlabelled) for each in labels)
        return IndexedLabels(classes, indices, None, meaning)
    border_px = border_width(labels, meaning)
    indices = tuple(index_numbers(each, meaning, border_px) for each in labels)
    return IndexedLabels(classes, indices, border_px, meaning)


def as_classes(indices: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return class indices from indices with a border: the border is part of its particle."""
    return np.where(indices == BORDER, np.int16(INSIDE), indices)


def group_of(name: str, pattern: str | None) -> str:
    """Return the group of an image: what the pattern finds in its name, the name without one.

    Parameters
    ----------
    name : str
        The image's name, without ending.
    pattern : str, optional
        Regular expression; its first group, or all that it matches, names the exposure.

    Raises
    ------
    ValueError
        When the pattern is not a regular expression or does not match the name.
    """
    if pattern is None:
        return name
    try:
        found = re.search(pattern, name)
    except re.error as error:
        raise ValueError(
            f"the grouping pattern {pattern!r} is not a regular expression: {error}"
        ) from error
    group = found and (found.group(1) if found.re.groups else found.group(0))
    if not group:
        raise ValueError(
            f'the grouping pattern {pattern!r} finds nothing in "{name}": every image needs a group'
        )
    return group


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape in words: "512 x 500"."""
    return " x ".join(str(length) for length in shape)
