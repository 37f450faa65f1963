"""Instances as COCO JSON (https://cocodataset.org/#format-data).

Each instance is a run-length code, which holds its pixels exactly; polygons would not.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.storage import refuse_existing, write_text

__all__ = ["InstanceImage", "write_coco"]


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
    """

    file_name: str
    instances: NDArray[Any]
    classes: Mapping[int, int] = field(default_factory=dict)
    pixel_size_nm: tuple[float, float] | None = None


def write_coco(
    path: str | Path,
    images: Iterable[InstanceImage],
    class_names: Mapping[int, str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write the instances of images as one COCO JSON file.

    Parameters
    ----------
    path : str or Path
        .json file.
    images : iterable of InstanceImage
        Taken one after the other: the frames of a series need not be in memory together.
    class_names : mapping of int to str
        Name of each class value, which becomes the COCO category's id.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The path written to.

    Raises
    ------
    ValueError
        If instances are not (row, column) whole numbers, or of a class without a name.
    FileExistsError
        If the path exists and ``overwrite`` is not set.
    """
    path = Path(path)
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        if image.instances.ndim != 2 or image.instances.dtype.kind not in "ui":
            raise ValueError(
                f'instances of "{image.file_name}" have the shape {image.instances.shape} and the '
                f"type {image.instances.dtype}: give whole numbers (row, column)"
            )
        rows, columns = image.instances.shape
        entry: dict[str, Any] = {
            "id": image_id,
            "file_name": image.file_name,
            "height": rows,
            "width": columns,
        }
        if image.pixel_size_nm is not None:
            entry["pixel_size_nm"] = list(image.pixel_size_nm)
        entries.append(entry)
        annotations += _annotations(image, image_id, class_names, first_id=len(annotations) + 1)
    document = {
        "info": {"description": "instances in TEM images", "version": "1.0"},
        "images": entries,
        "categories": [
            {"id": value, "name": name, "supercategory": ""} for value, name in class_names.items()
        ],
        "annotations": annotations,
    }
    refuse_existing(path, overwrite)
    write_text(path, json.dumps(document))
    return path


def _annotations(
    image: InstanceImage, image_id: int, class_names: Mapping[int, str], first_id: int
) -> list[dict[str, Any]]:
    from scipy.ndimage import find_objects

    numbers, compact = np.unique(image.instances, return_inverse=True)
    compact = compact.reshape(image.instances.shape)
    if numbers[0] != 0:
        # find_objects takes 0 as background
        compact = compact + 1
        numbers = np.concatenate([[0], numbers])
    annotations: list[dict[str, Any]] = []
    for place, box in enumerate(find_objects(compact), start=1):
        number = int(numbers[place])
        value = image.classes.get(number, 1)
        if value not in class_names:
            raise ValueError(
                f'instance {number} of "{image.file_name}" is of class {value}, which has no name'
            )
        mask = compact[box] == place
        area = int(np.count_nonzero(mask))
        row, column = box[0].start, box[1].start
        annotation = {
            "id": first_id + len(annotations),
            "image_id": image_id,
            "category_id": value,
            "instance": number,
            "segmentation": {
                "size": list(image.instances.shape),
                "counts": _run_lengths(mask, (row, column), image.instances.shape),
            },
            "area": area,
            # COCO's order: left, top, width, height
            "bbox": [column, row, mask.shape[1], mask.shape[0]],
            "iscrowd": 0,
        }
        if image.pixel_size_nm is not None:
            annotation["area_nm2"] = area * math.prod(image.pixel_size_nm)
        annotations.append(annotation)
    return annotations


def _run_lengths(
    mask: NDArray[np.bool_], origin: tuple[int, int], shape: tuple[int, ...]
) -> list[int]:
    """Return the lengths of the runs of 0, 1, 0, ... down the columns of the whole image."""
    columns, rows = np.nonzero(mask.T)
    places = (columns + origin[1]) * shape[0] + rows + origin[0]
    first = np.flatnonzero(np.diff(places, prepend=-2) != 1)
    starts = places[first]
    ends = places[np.append(first[1:] - 1, len(places) - 1)] + 1
    borders = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [math.prod(shape)]])
    counts: list[int] = np.diff(borders).tolist()
    # nothing comes after an instance that ends in the last pixel
    return counts[:-1] if counts[-1] == 0 else counts
