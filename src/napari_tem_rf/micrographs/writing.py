"""Masks, probabilities and instances out.

The ending chooses the format: TIFF as ImageJ reads it (unit nm), OME-Zarr 0.4, PNG or NPY. A file
is whole or not there, and an existing one is replaced only where that is asked for.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_tem_rf.micrographs.coco import InstanceImage, write_coco
from napari_tem_rf.storage import refuse_existing, write_aside

__all__ = [
    "LABEL_ENDINGS",
    "InstanceImage",
    "write_coco",
    "write_labels",
    "write_probabilities",
]

_LARGEST_LABEL = 65_535
# the two parts of a TIFF resolution are unsigned 32-bit numbers
_LARGEST_RATIONAL = 2**32 - 1

LABEL_ENDINGS = (".npy", ".ome.zarr", ".png", ".tif", ".tiff", ".zarr")
"""Endings that `write_labels` knows."""


def write_labels(
    path: str | Path,
    labels: ArrayLike,
    pixel_size_nm: tuple[float, float] | None = None,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a mask, in the format of the path's ending.

    Parameters
    ----------
    path : str or Path
        .tif, .tiff, .ome.zarr, .zarr, .png or .npy. PNG and NPY have no place for the pixel size.
    labels : array_like of int, shape (row, column) or (frame, row, column)
        Labels from 0 to 65,535, written as uint8 where they fit and as uint16 else.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    Path
        The path written to.

    Raises
    ------
    ValueError
        If the ending is not known, the labels are no labels, or a stack shall become a PNG.
    FileExistsError
        If the path exists and ``overwrite`` is not set.
    StorageError
        If the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    values = _as_labels(labels, path)
    write = _writer(path)
    if path.suffix.lower() == ".png" and values.ndim != 2:
        raise ValueError(
            f'labels for "{path.name}" have {len(values)} frames: a PNG holds one; write .tif'
        )
    refuse_existing(path, overwrite)
    with write_aside(path) as aside:
        write(aside, values, _checked(pixel_size_nm))
    return path


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
        Replace what is there.

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
        _write_tiff(aside, values, _checked(pixel_size_nm), axes="CYX")
    return path


def _as_labels(labels: ArrayLike, path: Path) -> NDArray[Any]:
    values = np.asarray(labels)
    if values.ndim not in (2, 3) or values.size == 0:
        raise ValueError(
            f'labels for "{path.name}" have the shape {values.shape}: give (row, column) or '
            "(frame, row, column)"
        )
    if values.dtype.kind not in "uib":
        raise ValueError(f'labels for "{path.name}" are of type {values.dtype}: give whole numbers')
    smallest, largest = int(values.min()), int(values.max())
    if smallest < 0 or largest > _LARGEST_LABEL:
        raise ValueError(
            f'labels for "{path.name}" go from {smallest} to {largest}: '
            f"they must be from 0 to {_LARGEST_LABEL}"
        )
    return values.astype(np.uint8 if largest < 256 else np.uint16)


def _checked(pixel_size_nm: tuple[float, float] | None) -> tuple[float, float] | None:
    if pixel_size_nm is None:
        return None
    row, column = map(float, pixel_size_nm)
    if not (0 < row < float("inf") and 0 < column < float("inf")):
        raise ValueError(f"pixel_size_nm is {pixel_size_nm}: both sizes must be more than 0 nm")
    return row, column


Writer = Callable[[Path, NDArray[Any], tuple[float, float] | None], None]


def _writer(path: Path) -> Writer:
    writers: dict[str, Writer] = {
        ".npy": _write_npy,
        ".png": _write_png,
        ".tif": _write_tiff,
        ".tiff": _write_tiff,
        ".zarr": _write_ome_zarr,
    }
    ending = path.suffix.lower()
    if ending not in writers:
        raise ValueError(
            f'"{path.name}" has the ending "{ending}": labels are written to '
            f"{', '.join(LABEL_ENDINGS)}"
        )
    return writers[ending]


def _write_tiff(
    path: Path,
    values: NDArray[Any],
    pixel_size_nm: tuple[float, float] | None,
    axes: str | None = None,
) -> None:
    import tifffile

    metadata: dict[str, Any] = {"axes": axes or ("YX" if values.ndim == 2 else "TYX")}
    if pixel_size_nm is None:
        tifffile.imwrite(path, values, imagej=True, compression="zlib", metadata=metadata)
        return
    row, column = pixel_size_nm
    tifffile.imwrite(
        path,
        values,
        imagej=True,
        compression="zlib",
        resolution=(_rational(1 / column), _rational(1 / row)),
        metadata={**metadata, "unit": "nm"},
    )


def _rational(value: float) -> tuple[int, int]:
    """Return the fraction nearest to ``value`` that a TIFF resolution can hold."""
    exact = Fraction(value)
    limit = _LARGEST_RATIONAL
    if exact > 1:
        limit = max(1, int(_LARGEST_RATIONAL / exact))
    nearest = exact.limit_denominator(limit)
    return nearest.numerator, nearest.denominator


def _write_npy(path: Path, values: NDArray[Any], pixel_size_nm: tuple[float, float] | None) -> None:
    with path.open("wb") as file:
        np.save(file, values, allow_pickle=False)


def _write_png(path: Path, values: NDArray[Any], pixel_size_nm: tuple[float, float] | None) -> None:
    from PIL import Image

    Image.fromarray(values).save(path, format="PNG", optimize=True)


def _write_ome_zarr(
    path: Path, values: NDArray[Any], pixel_size_nm: tuple[float, float] | None
) -> None:
    """Write one level of OME-Zarr 0.4 (https://ngff.openmicroscopy.org/0.4/)."""
    import zarr

    names = ("t", "y", "x")[-values.ndim :]
    kinds = {"t": "time", "y": "space", "x": "space"}
    axes: list[dict[str, str]] = []
    for name in names:
        axis = {"name": name, "type": kinds[name]}
        if pixel_size_nm is not None and kinds[name] == "space":
            axis["unit"] = "nanometer"
        axes.append(axis)
    scale = [1.0] * (values.ndim - 2) + list(pixel_size_nm or (1.0, 1.0))
    group = zarr.open_group(path, mode="w", zarr_format=2)
    chunks = (1,) * (values.ndim - 2) + tuple(min(1024, length) for length in values.shape[-2:])
    array = group.create_array(
        "0",
        shape=values.shape,
        dtype=values.dtype,
        chunks=chunks,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    array[...] = values
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": axes,
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": scale}],
                }
            ],
        }
    ]
    group.attrs["image-label"] = {"version": "0.4"}
