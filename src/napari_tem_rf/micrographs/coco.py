"""Instances as COCO JSON (https://cocodataset.org/#format-data).

Each instance is a run-length code, which holds its pixels exactly; polygons would not. CVAT takes
it as a mask: it wants ids from 1 up, ``iscrowd``, ``area`` and ``bbox``, and knows an image by its
``file_name``.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.instance_images import Instance, InstanceImage, each_instance
from napari_tem_rf.storage import refuse_existing, write_text

__all__ = ["write_coco"]


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
        for instance in each_instance(image, class_names):
            number = len(annotations) + 1
            annotations.append(_annotation(instance, number, image_id, image.instances.shape))
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
    document = {
        "info": {"description": "instances in TEM images", "version": "1.0"},
        "licenses": [],
        "images": entries,
        "categories": [
            {"id": value, "name": name, "supercategory": ""} for value, name in class_names.items()
        ],
        "annotations": annotations,
    }
    refuse_existing(path, overwrite)
    write_text(path, json.dumps(document))
    return path


def _annotation(
    instance: Instance, number: int, image_id: int, shape: tuple[int, ...]
) -> dict[str, Any]:
    row, column = instance.origin
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image_id,
        "category_id": instance.value,
        "instance": instance.number,
        "segmentation": {
            "size": list(shape),
            "counts": _run_lengths(instance.mask, instance.origin, shape),
        },
        "area": instance.area,
        # COCO's order: left, top, width, height
        "bbox": [column, row, instance.mask.shape[1], instance.mask.shape[0]],
        "iscrowd": 0,
    }
    if instance.area_nm2 is not None:
        annotation["area_nm2"] = instance.area_nm2
    return annotation


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
