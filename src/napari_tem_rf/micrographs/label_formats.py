"""The formats that labels are written in: TIFF, OME-Zarr, PNG, NPY.

Every writer takes pages one by one, so that a series of any length fits into the memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "LABEL_ENDINGS",
    "Pages",
    "as_labels",
    "checked_size",
    "label_writer",
    "smallest_type",
    "write_tiff",
]

_LARGEST_LABEL = 2**31 - 1
# the two parts of a TIFF resolution are unsigned 32-bit numbers
_LARGEST_RATIONAL = 2**32 - 1

LABEL_ENDINGS = (".npy", ".ome.zarr", ".png", ".tif", ".tiff", ".zarr")
"""Endings that `label_writer` knows."""


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """An image or series that is written page by page.

    Attributes
    ----------
    shape : tuple of int
        (row, column), which is one page, or (page, row, column).
    dtype : dtype
    read : callable
        Gives page ``index``, shape (row, column).
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int], NDArray[Any]]
    pixel_size_nm: tuple[float, float] | None = None

    @classmethod
    def of(cls, values: NDArray[Any], pixel_size_nm: tuple[float, float] | None) -> "Pages":
        """Return the pages of an array in memory."""
        stack = values.reshape(-1, *values.shape[-2:])
        return cls(values.shape, values.dtype, stack.__getitem__, pixel_size_nm)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for index in range(1 if len(self.shape) == 2 else self.shape[0]):
            yield np.ascontiguousarray(self.read(index), dtype=self.dtype)


def as_labels(labels: ArrayLike, path: Path, least: DTypeLike = np.uint8) -> NDArray[Any]:
    """Return labels in the smallest of 8, 16 and 32 bits, without a sign, that holds them.

    No type is smaller than ``least``.

    Raises
    ------
    ValueError
        If they are not (row, column) or (frame, row, column), or no whole numbers from 0 to
        2,147,483,647; ``path`` names them in the sentence.
    """
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
            f"they must be from 0 to {_LARGEST_LABEL:,}"
        )
    smallest_one = smallest_type(largest)
    return values.astype(max(smallest_one, np.dtype(least), key=lambda dtype: dtype.itemsize))


def smallest_type(largest: int) -> np.dtype[Any]:
    """Return the type of the fewest bits that holds labels up to ``largest``."""
    return np.dtype(np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32)


def checked_size(pixel_size_nm: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the (row, column) pixel size as floats; raise ValueError where it is not a length."""
    if pixel_size_nm is None:
        return None
    row, column = map(float, pixel_size_nm)
    if not (0 < row < float("inf") and 0 < column < float("inf")):
        raise ValueError(f"pixel_size_nm is {pixel_size_nm}: both sizes must be more than 0 nm")
    return row, column


def label_writer(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any] | None = None
) -> Callable[[Path, Pages], None]:
    """Return what writes labels of a shape and type into the format of the path's ending.

    Raises
    ------
    ValueError
        If the ending is not known, or a PNG shall hold several frames or labels of 32 bits.
    """
    writers: dict[str, Callable[[Path, Pages], None]] = {
        ".npy": _write_npy,
        ".png": _write_png,
        ".tif": write_tiff,
        ".tiff": write_tiff,
        ".zarr": _write_ome_zarr,
    }
    ending = path.suffix.lower()
    if ending not in writers:
        raise ValueError(
            f'"{path.name}" has the ending "{ending}": labels are written to '
            f"{', '.join(LABEL_ENDINGS)}"
        )
    if ending == ".png" and len(shape) != 2:
        raise ValueError(
            f'labels for "{path.name}" have {shape[0]} frames: a PNG holds one; write .tif'
        )
    if ending == ".png" and dtype is not None and dtype.itemsize > 2:
        raise ValueError(
            f'labels for "{path.name}" go beyond 65,535, which is all that a PNG holds: write .tif'
        )
    return writers[ending]


def write_tiff(path: Path, pages: Pages, axes: str | None = None) -> None:
    """Write a TIFF that ImageJ reads with its pixel size.

    ImageJ has no whole numbers of 32 bits: those become an OME-TIFF, which Bio-Formats and Fiji
    read with its pixel size.
    """
    import tifffile

    if pages.dtype.itemsize > 2 and pages.dtype.kind in "ui":
        _write_ome_tiff(path, pages)
        return
    calibration: dict[str, Any] = {}
    metadata: dict[str, Any] = {"axes": axes or ("YX" if len(pages.shape) == 2 else "TYX")}
    if pages.pixel_size_nm is not None:
        row, column = pages.pixel_size_nm
        calibration["resolution"] = _rational(1 / column), _rational(1 / row)
        metadata["unit"] = "nm"
    tifffile.imwrite(
        path,
        iter(pages),
        shape=pages.shape,
        dtype=pages.dtype,
        imagej=True,
        compression="zlib",
        # a page that comes from an iterator is one strip
        rowsperstrip=pages.shape[-2],
        metadata=metadata,
        **calibration,
    )


def _write_ome_tiff(path: Path, pages: Pages) -> None:
    import tifffile

    metadata: dict[str, Any] = {"axes": "YX" if len(pages.shape) == 2 else "TYX"}
    if pages.pixel_size_nm is not None:
        row, column = pages.pixel_size_nm
        metadata |= {"PhysicalSizeX": column, "PhysicalSizeXUnit": "nm"}
        metadata |= {"PhysicalSizeY": row, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(
        path,
        iter(pages),
        shape=pages.shape,
        dtype=pages.dtype,
        ome=True,
        compression="zlib",
        rowsperstrip=pages.shape[-2],
        metadata=metadata,
    )


def _rational(value: float) -> tuple[int, int]:
    """Return the fraction nearest to ``value`` that a TIFF resolution can hold."""
    exact = Fraction(value)
    limit = _LARGEST_RATIONAL
    if exact > 1:
        limit = max(1, int(_LARGEST_RATIONAL / exact))
    nearest = exact.limit_denominator(limit)
    return nearest.numerator, nearest.denominator


def _write_npy(path: Path, pages: Pages) -> None:
    with path.open("wb") as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(pages.dtype),
            "fortran_order": False,
            "shape": pages.shape,
        }
        np.lib.format.write_array_header_1_0(file, header)
        for page in pages:
            file.write(page.data)


def _write_png(path: Path, pages: Pages) -> None:
    from PIL import Image

    (page,) = pages
    Image.fromarray(page).save(path, format="PNG", optimize=True)


def _write_ome_zarr(path: Path, pages: Pages) -> None:
    """Write one level of OME-Zarr 0.4 (https://ngff.openmicroscopy.org/0.4/)."""
    import zarr

    frame_axes = len(pages.shape) - 2
    space = (
        {"type": "space"} if pages.pixel_size_nm is None else {"type": "space", "unit": "nanometer"}
    )
    axes = [{"name": "t", "type": "time"}] * frame_axes
    axes += [{"name": name, **space} for name in "yx"]
    scale = [1.0] * frame_axes + list(pages.pixel_size_nm or (1.0, 1.0))
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array(
        "0",
        shape=pages.shape,
        dtype=pages.dtype,
        chunks=(1,) * frame_axes + tuple(min(1024, length) for length in pages.shape[-2:]),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )
    for index, page in enumerate(pages):
        array[(index,) * frame_axes] = page
    level = {
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": scale}],
    }
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    group.attrs["image-label"] = {"version": "0.4"}
