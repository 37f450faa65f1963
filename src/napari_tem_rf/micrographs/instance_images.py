"""The instances of an image, one by one, as the files that list them want them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Instance", "InstanceImage", "each_instance"]


@dataclass(frozen=True, slots=True, eq=False)
class InstanceImage:
    """The instances of one image.

    Attributes
    ----------
    file_name : str
        The image's file.
    instances : ndarray of int, shape (row, column)
        0 where there is none, otherwise the instance's number.
    classes : mapping of int to int
        Class value of an instance's number; 1 where it has none here.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    frame : int, optional
        Of a series.
    """

    file_name: str
    instances: NDArray[Any]
    classes: Mapping[int, int] = field(default_factory=dict)
    pixel_size_nm: tuple[float, float] | None = None
    frame: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One instance.

    Attributes
    ----------
    number : int
    value : int
        Its class.
    mask : ndarray of bool, shape (row, column)
        Its pixels, in a box around them.
    origin : tuple of int
        (row, column) of the box in the image.
    area : int
        Its number of pixels.
    area_nm2 : float, optional
    """

    number: int
    value: int
    mask: NDArray[np.bool_]
    origin: tuple[int, int]
    area: int
    area_nm2: float | None


def each_instance(image: InstanceImage, class_names: Mapping[int, str]) -> Iterator[Instance]:
    """Yield the instances of an image in the order of their numbers.

    Raises
    ------
    ValueError
        If instances are not (row, column) whole numbers, or of a class without a name.
    """
    from scipy.ndimage import find_objects

    if image.instances.ndim != 2 or image.instances.dtype.kind not in "ui":
        raise ValueError(
            f'instances of "{image.file_name}" have the shape {image.instances.shape} and the '
            f"type {image.instances.dtype}: give whole numbers (row, column)"
        )
    numbers, compact = np.unique(image.instances, return_inverse=True)
    compact = compact.reshape(image.instances.shape)
    if numbers[0] != 0:
        # find_objects takes 0 as background
        compact = compact + 1
        numbers = np.concatenate([[0], numbers])
    for place, box in enumerate(find_objects(compact), start=1):
        number = int(numbers[place])
        value = image.classes.get(number, 1)
        if value not in class_names:
            raise ValueError(
                f'instance {number} of "{image.file_name}" is of class {value}, which has no name'
            )
        mask = compact[box] == place
        area = int(np.count_nonzero(mask))
        nm2 = None if image.pixel_size_nm is None else area * math.prod(image.pixel_size_nm)
        yield Instance(number, value, mask, (box[0].start, box[1].start), area, nm2)
