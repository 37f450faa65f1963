"""EMD files of the Berkeley kind -> images.

A group with the attribute ``emd_group_type`` holds an array and, for each of its axes, the
coordinates of the pixels: ``dim1`` for the first axis as it is stored, ``dim2`` for the second
(https://emdatasets.com/format); since version 1.0 the count starts with ``dim0``. Each has a name
and a unit. Files of ncempy, of Prismatic, py4DSTEM and RosettaSciIO are of this kind.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf.micrographs.frame_interval import interval_terms
from napari_tem_rf.micrographs.hdf5_check import refuse_absurd_dataset
from napari_tem_rf.micrographs.hdf5_images import hdf5_pixels
from napari_tem_rf.micrographs.named_axes import Meaning, image_axes, meaning_of
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.refusals import left_out
from napari_tem_rf.micrographs.units import is_reciprocal, is_spectral

__all__ = ["berkeley_images"]

_DIM = re.compile(r"dim\d+")
# py4DSTEM counts from dim0 and calls the rows Rx and the columns Ry
_PY4DSTEM = re.compile(r"R_?[xy]", re.IGNORECASE)
_DATA = ("data", "datacube", "counted_datacube", "realslice", "diffractionslice")
# steps that differ more are not of one size
_EVEN = 0.01


def berkeley_images(path: Path, file: Any) -> list[RawImage]:
    """Return the images of an open file.

    Raises
    ------
    ReadingError
        If no group of the file is one of EMD.
    """
    images = []
    for group, dataset in _arrays(file):
        name = group.name.rpartition("/")[2]
        try:
            images.append(_image(path, group, dataset, name))
        except Exception as error:
            images.append(left_out(name, error))
    if not images:
        raise ReadingError(
            f'"{path.name}" is HDF5 but neither a Velox file nor one of Berkeley\'s EMD: no group '
            'has the attribute "emd_group_type" and an array "data"'
        )
    return images


def _arrays(file: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the groups of EMD with their arrays."""
    import h5py

    groups = [file] if "emd_group_type" in file.attrs else []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and "emd_group_type" in item.attrs:
            groups.append(item)

    file.visititems(visit)
    for group in groups:
        arrays = {
            name: item
            for name, item in group.items()
            if isinstance(item, h5py.Dataset) and item.shape and not _DIM.fullmatch(name)
        }
        named = [array for name, array in arrays.items() if name.startswith(_DATA)]
        for array in named or (list(arrays.values()) if len(arrays) == 1 else []):
            yield group, array


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of an array, as its ``dim`` describes it; ``step`` is None where it is unknown."""

    meaning: Meaning = ""
    step: float | None = None
    unit: str | None = None
    even: bool = True


def _image(path: Path, group: Any, dataset: Any, name: str) -> RawImage:
    first = 0 if "dim0" in group else 1
    dims = [group.get(f"dim{first + place}") for place in range(len(dataset.shape))]
    for described in (dataset, *(dim for dim in dims if dim is not None)):
        refuse_absurd_dataset(path, described)
    axes = [
        _axis(dim, length, by_py4dstem=first == 0)
        for dim, length in zip(dims, dataset.shape, strict=True)
    ]
    if unsuitable := _unsuitable(dataset.shape, axes):
        return RawImage(np.zeros((0,)), name, unsuitable=unsuitable)
    # without names: programs of version 0.2 put x first, those that count from dim0 put it last
    found = image_axes(
        dataset.shape, [axis.meaning for axis in axes], fastest_first="dim0" not in group
    )
    row, column = axes[found.row], axes[found.column]
    steps: tuple[Step, Step] | None = None
    notes: tuple[str, ...] = ()
    if not (row.even and column.even):
        notes = ("no pixel size: the pixels' coordinates in the file are not evenly spaced",)
    elif row.step is not None and column.step is not None:
        steps = (row.step, row.unit), (column.step, column.unit)
    units = tuple(axes[axis].unit or "" for axis in found.leading)
    terms: dict[str, float] = {}
    if len(found.leading) == 1:
        frames = axes[found.leading[0]]
        if frames.even and frames.unit:
            terms = interval_terms(frames.step, frames.unit)
    pixels = hdf5_pixels(path, dataset, found)
    return RawImage(pixels, name, steps, axis_units=units, metadata=terms, notes=notes)


def _axis(dim: Any, length: int, by_py4dstem: bool) -> _Axis:
    if dim is None:
        return _Axis()
    name, unit = _text(dim.attrs.get("name")), _text(dim.attrs.get("units"))
    meaning = meaning_of(name)
    if by_py4dstem and _PY4DSTEM.match(name or ""):
        meaning = ""
    # the coordinate of each pixel, or of the first two; slices may have names in their place
    if dim.shape is None or len(dim.shape) != 1 or dim.shape[0] < 2 or dim.dtype.kind not in "uif":
        return _Axis(meaning, None, unit)
    if dim.shape[0] != length:
        first, second = np.asarray(dim[:2], dtype=np.float64)
        return _Axis(meaning, float(second - first), unit)
    places = np.asarray(dim[...], dtype=np.float64)
    step = float(places[-1] - places[0]) / (len(places) - 1)
    # far from the origin, single precision has no more digits
    blur = 4 * float(np.finfo(np.float32).eps * np.abs(places).max())
    even = bool(np.all(np.abs(np.diff(places) - step) <= _EVEN * abs(step) + blur))
    return _Axis(meaning, float(f"{step:.7g}"), unit, even or not np.isfinite(step))


def _unsuitable(shape: tuple[int, ...], axes: list[_Axis]) -> str:
    """Return why an array is not an image, as far as its axes tell; empty if they do not."""
    if len(shape) < 2:
        return f"it has {len(shape)} axis: a profile or spectrum"
    long = [axis for axis, length in zip(axes, shape, strict=True) if length > 1]
    if any(axis.meaning == "energy" or is_spectral(axis.unit) for axis in long):
        return "one of its axes is an energy: a spectrum or spectrum image"
    if sum(axis.meaning == "diffraction" for axis in long) == 0:
        return ""
    if any(axis.meaning != "diffraction" for axis in long):
        return "it holds a diffraction pattern for each point (4D-STEM)"
    units = {axis.unit for axis in long if axis.meaning == "diffraction" and axis.unit}
    unit = next((unit for unit in units if is_reciprocal(unit)), "")
    return f"it is in reciprocal space{f' ({unit})' if unit else ''}: a diffraction pattern"


def _text(value: Any) -> str | None:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
