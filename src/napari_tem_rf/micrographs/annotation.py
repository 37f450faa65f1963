"""Labels -> training set: strokes or masks, several images, train/validation split.

A labels layer holds whole numbers. With ``unlabelled="ignore"`` 0 is not annotated, 1 background,
2 and up the classes; with ``unlabelled="background"`` (a finished mask) 0 is background and 1 and
up the classes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.protocol import Unlabelled

NOT_ANNOTATED = -1


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
        Class index per pixel (place in `Classes.values`), -1 where not annotated.
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
    """Annotated images of the same classes."""

    images: tuple[AnnotatedImage, ...]
    classes: Classes
    unlabelled: Unlabelled = "ignore"

    def counts(self) -> NDArray[np.int64]:
        """Return the annotated pixels of each class, shape (class,)."""
        n = len(self.classes.values)
        per_image = (np.bincount(i.labels[i.labels >= 0], minlength=n) for i in self.images)
        return np.sum([np.zeros(n, np.int64), *per_image], axis=0)
