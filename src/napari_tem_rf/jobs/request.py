"""What a training is given, and how it becomes a training set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.micrographs.annotation import (
    NOT_ANNOTATED,
    AnnotatedImage,
    LabelledImage,
    TrainingSet,
    check_labels,
    index_all,
)
from napari_tem_rf.micrographs.cleaning import (
    Cleaning,
    bin_labels,
    clean,
    standardise,
)
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import (
    LabelsAre,
    TrainingPlan,
    Unlabelled,
    default_plan,
)


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """The image, or the part of it in view, whose prediction is shown during the training.

    Attributes
    ----------
    pixels : ndarray, shape (row, column)
        Raw grey values of the whole image.
    window : tuple of slice, optional
        (rows, columns) to predict; the whole image when not given.
    finishing : Finishing, optional
        How what is shown is finished, lengths in px of the image; as the run's masks will be when
        not given.
    """

    pixels: NDArray[Any]
    window: tuple[slice, slice] | None = None
    finishing: Finishing | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainRequest:
    """All that a training needs.

    Attributes
    ----------
    run : Path
        Folder of the run; new, or the one to continue when ``resume``.
    images : tuple of LabelledImage
        Raw images with their labels.
    spec : NetworkSpec
        The network; the number of classes is taken from the labels.
    plan : TrainingPlan
    unlabelled : {"ignore", "background"}
        What a label of 0 means.
    labels_are : {"auto", "classes", "particles"}
        Whether label values are classes or numbers of particles.
    cleaning : Cleaning
    class_names, class_colors : dict of int to str
        By label value.
    start : str or Path, optional
        Run whose weights to start from, or `starting.SIMULATED`.
    resume : bool
        Continue the run from its checkpoint.
    watched : Watched, optional
    gap_px : int
        Least gap in px between training and validation pixels of one image; the network's halo
        where that is larger. Networks that are compared take the largest of all.
    threads : int, optional
        Threads that compute on the CPU; as many as there are when not given.
    sources, label_sources : dict of str to str
        File of each image and of its labels, by image name.
    finishing : Finishing, optional
        How the masks of the run are finished, lengths in px of its images; suggested from the
        annotation when not given.
    """

    run: Path
    images: tuple[LabelledImage, ...]
    spec: NetworkSpec
    plan: TrainingPlan = field(default_factory=default_plan)
    unlabelled: Unlabelled = "ignore"
    labels_are: LabelsAre = "auto"
    cleaning: Cleaning = field(default_factory=Cleaning)
    class_names: dict[int, str] = field(default_factory=dict)
    class_colors: dict[int, str] = field(default_factory=dict)
    start: str | Path | None = None
    resume: bool = False
    watched: Watched | None = None
    gap_px: int = 0
    threads: int | None = None
    sources: dict[str, str] = field(default_factory=dict)
    label_sources: dict[str, str] = field(default_factory=dict)
    finishing: Finishing | None = None


def prepare(
    images: tuple[LabelledImage, ...],
    unlabelled: Unlabelled,
    cleaning: Cleaning,
    class_names: dict[int, str] | None = None,
    class_colors: dict[int, str] | None = None,
    labels_are: LabelsAre = "auto",
) -> TrainingSet:
    """Return the training set of labelled images: checked, cleaned, standardised.

    Where particles are numbered, their border is learned besides the classes.

    Raises
    ------
    ValueError
        When labels do not fit their image or there is nothing to learn.
    """
    if not images:
        raise ValueError("there is no image to train from: give at least one with its labels")
    for image in images:
        check_labels(image.name, image.pixels, image.labels)
    known = index_all(
        [image.labels for image in images], unlabelled, class_names, class_colors, labels_are
    )
    annotated = []
    for image, indices in zip(images, known.indices, strict=True):
        try:
            annotated.append(_annotated(image, indices, cleaning))
        except ValueError as error:
            raise ValueError(f'"{image.name}" cannot be trained from: {error}') from error
    return TrainingSet(tuple(annotated), known.classes, unlabelled, known.border_px)


def _annotated(
    image: LabelledImage, indices: NDArray[np.int16], cleaning: Cleaning
) -> AnnotatedImage:
    labels = bin_labels(indices, cleaning.binning)
    if image.counted is not None:
        labels[bin_labels(~image.counted, cleaning.binning)] = NOT_ANNOTATED
    return AnnotatedImage(
        name=image.name,
        pixels=standardise(clean(image.pixels, cleaning)),
        labels=labels,
        group=image.group or image.name,
        pixel_size_nm=cleaning.pixel_size_nm(image.pixel_size_nm),
    )
