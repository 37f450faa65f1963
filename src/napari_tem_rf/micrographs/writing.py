"""Masks, probabilities and instances out.

The ending chooses the format: TIFF as ImageJ reads it (unit nm), OME-Zarr 0.4, PNG or NPY. A file
is whole or not there, and an existing one is replaced only where that is asked for.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from napari_tem_rf.micrographs.coco import write_coco
from napari_tem_rf.micrographs.framewise import Framewise
from napari_tem_rf.micrographs.geojson import write_geojson
from napari_tem_rf.micrographs.imagej_rois import write_rois
from napari_tem_rf.micrographs.instance_images import InstanceImage
from napari_tem_rf.micrographs.label_formats import (
    LABEL_ENDINGS,
    Pages,
    as_labels,
    checked_size,
    label_writer,
    smallest_type,
    write_tiff,
)
from napari_tem_rf.micrographs.label_series import LabelSeries
from napari_tem_rf.storage import refuse_existing, write_aside

__all__ = [
    "INSTANCE_ENDINGS",
    "LABEL_ENDINGS",
    "InstanceImage",
    "LabelSeries",
    "write_coco",
    "write_instances",
    "write_labels",
    "write_probabilities",
]


_INSTANCE_WRITERS = {".geojson": write_geojson, ".json": write_coco, ".zip": write_rois}

INSTANCE_ENDINGS = tuple(sorted(_INSTANCE_WRITERS))
"""Endings that `write_instances` knows."""


def write_instances(
    path: str | Path,
    images: Iterable[InstanceImage],
    class_names: Mapping[int, str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write instances one by one, in the format of the path's ending.

    Parameters
    ----------
    path : str or Path
        .json (COCO, of any number of images), .zip (ROIs of ImageJ) or .geojson (QuPath); the last
        two of one image or series.
    images : iterable of InstanceImage
    class_names : mapping of int to str
        Name of each class value.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The path written to.

    Raises
    ------
    ValueError
        If the ending is not known, instances are not (row, column) whole numbers, or of a class
        without a name.
    FileExistsError
        If the path exists and ``overwrite`` is not set.
    """
    path = Path(path)
    write = _INSTANCE_WRITERS.get(path.suffix.lower())
    if write is None:
        raise ValueError(
            f'"{path.name}" ends in "{path.suffix}": COCO is written as .json, ROIs of ImageJ as '
            ".zip, GeoJSON as .geojson"
        )
    return write(path, images, class_names, overwrite=overwrite)


def write_labels(
    path: str | Path,
    labels: ArrayLike | Framewise,
    pixel_size_nm: tuple[float, float] | None = None,
    *,
    overwrite: bool = False,
    least: DTypeLike = np.uint8,
) -> Path:
    """Write a mask, in the format of the path's ending.

    Parameters
    ----------
    path : str or Path
        .tif, .tiff, .ome.zarr, .zarr, .png or .npy. PNG and NPY have no place for the pixel size.
    labels : array_like of int, shape (row, column) or (frame, row, column)
        Labels from 0 to 2,147,483,647, written in the smallest of 8, 16 and 32 bits without a sign
        that holds them; those of a long series (`Framewise`) frame by frame, in the type that they
        have. A TIFF of 32 bits is an OME-TIFF, as ImageJ's own has no such numbers.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    overwrite : bool
        Replace an existing file.
    least : dtype
        The smallest type that they are written in.

    Returns
    -------
    Path
        The path written to.

    Raises
    ------
    ValueError
        If the ending is not known, the labels are not labels, or a stack shall become a PNG.
    FileExistsError
        If the path exists and ``overwrite`` is not set.
    StorageError
        If the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    size = checked_size(pixel_size_nm)
    if isinstance(labels, Framewise):
        pages = _pages_of(labels, path, size)
    else:
        pages = Pages.of(as_labels(labels, path, least), size)
    write = label_writer(path, pages.shape, pages.dtype)
    refuse_existing(path, overwrite)
    with write_aside(path) as aside:
        write(aside, pages)
    return path


def _pages_of(labels: Framewise, path: Path, size: tuple[float, float] | None) -> Pages:
    kind = smallest_type(2 ** (8 * min(labels.dtype.itemsize, 4)) - 1)
    return Pages(labels.shape, kind, lambda index: as_labels(labels.frame(index), path), size)


def write_probabilities(
    path: str | Path,
    probabilities: ArrayLike,
    pixel_size_nm: tuple[float, float] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write class probabilities as a calibrated 32-bit TIFF.

    Parameters
    ----------
    path : str or Path
        .tif or .tiff.
    probabilities : array_like, shape (class, row, column)
        Written as float32, one channel a class.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Path
        The path written to.
    """
    path = Path(path)
    values = np.asarray(probabilities, dtype=np.float32)
    if values.ndim != 3:
        raise ValueError(f"probabilities have the shape {values.shape}: give (class, row, column)")
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f'"{path.name}" has no ending of TIFF: probabilities go into .tif')
    refuse_existing(path, overwrite)
    with write_aside(path) as aside:
        write_tiff(aside, Pages.of(values, checked_size(pixel_size_nm)), axes="CYX")
    return path
