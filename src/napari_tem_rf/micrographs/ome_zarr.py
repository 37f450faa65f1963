"""OME-Zarr stores of any writer -> images.

A store may be one image, a series of images in groups (the layout of bioformats2raw, wells of a
plate), or labels under an image; a path may lead to any of these or to one level of an image. The
versions are 0.1 to 0.5 (https://ngff.openmicroscopy.org/specifications/).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.frame_interval import interval_terms
from napari_tem_rf.micrographs.frames import is_small, lazy_frames
from napari_tem_rf.micrographs.named_axes import ImageAxes, Meaning, image_axes, meaning_of
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.zarr_check import refuse_absurd_zarr, refuse_unsafe_zarr

__all__ = ["is_zarr_path", "name_in_store", "read_ome_zarr", "read_ome_zarr_labels"]

# what the axes of versions before 0.3 are, which does not write them
_OLD_AXES = "tczyx"
_MOST_DEPTH = 4
_NODE_FILES = ("zarr.json", ".zgroup", ".zarray")
_MEANINGS: dict[str, Meaning] = {"time": "frame", "channel": "channel"}


def is_zarr_path(path: Path) -> bool:
    """Whether a path is a zarr store, or a group or array inside of one."""
    if path.suffix.lower() == ".zarr":
        return True
    return path.is_dir() and any((path / name).is_file() for name in _NODE_FILES)


def name_in_store(path: Path) -> Path:
    """Return a path of which the last part names the image that a path inside a store leads to.

    Labels are named like the image that they stand under, and the only image of a store like the
    store.
    """
    store = next((p for p in (path, *path.parents) if p.suffix.lower() == ".zarr"), None)
    if store is None:
        return path
    inside = list(path.relative_to(store).parts)
    if "labels" in inside:
        del inside[inside.index("labels") :]
    if inside == ["0"] and not (store / "1").exists():
        inside = []
    stem = store.stem.removesuffix(".ome")
    return store.with_name(" ".join([stem, *inside]) + store.suffix)


def read_ome_zarr(path: Path) -> list[RawImage]:
    """Return the finest level of each image of a store, or of what a path inside it names.

    Parameters
    ----------
    path : Path
        Store, group or array: a folder, or a store in one zip file.

    Raises
    ------
    ReadingError
        If there is no image, or an array is larger than what the store could hold.
    """
    import zarr

    refuse_unsafe_zarr(path)
    store = zarr.storage.ZipStore(path, read_only=True) if path.is_file() else path
    node = zarr.open(store, mode="r")
    if isinstance(node, zarr.Array):
        levels = [_level_of_array(node, path)]
    else:
        levels = [_level(group, place) for group, place in _image_groups(node)]
    if not levels:
        raise ReadingError(_nothing_in(node, path))
    total = sum(math.prod(level.array.shape) * level.array.dtype.itemsize for level in levels)
    small = is_small((total,), np.uint8)
    # a lone image is wanted whole, a plate of them is not
    at_once = small or (len(levels) == 1 and levels[0].is_one_image)
    return [_raw(level, path, at_once) for level in levels]


def read_ome_zarr_labels(path: Path) -> list[RawImage]:
    """Return the one image that a path leads to, in a list like `read_ome_zarr`.

    Raises
    ------
    ReadingError
        If there are several: which of them is meant must be said.
    """
    images = read_ome_zarr(path)
    if len(images) > 1:
        names = ", ".join(f'"{image.name}"' for image in images[:5])
        raise ReadingError(
            f'"{path.name}" holds {len(images)} images ({names}): name the one that is meant, '
            "with the path that leads to it in the store"
        )
    return images


# ---------------------------------------------------------------- where the images are


def _ome(node: Any) -> Mapping[str, Any]:
    """Return the attributes of OME of a group; since 0.5 they have a key of their own."""
    attributes = dict(node.attrs)
    inner = attributes.get("ome", attributes)
    return inner if isinstance(inner, Mapping) else {}


def _image_groups(group: Any, place: str = "", depth: int = 0) -> Iterator[tuple[Any, str]]:
    """Yield the groups that are images, with their places under the first group."""
    import zarr

    attributes = _ome(group)
    if attributes.get("multiscales"):
        yield group, place
        return
    if depth >= _MOST_DEPTH:
        return
    for name in _named_children(group, attributes):
        child = None
        with suppress(KeyError, FileNotFoundError):  # planned, and not written
            child = group[name]
        if isinstance(child, zarr.Group):
            yield from _image_groups(child, f"{place}/{name}".strip("/"), depth + 1)


def _named_children(group: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Return the paths of the groups that a group says are its images, or of all of its groups."""
    for key, inner in (("plate", "wells"), ("well", "images")):
        if isinstance(attributes.get(key), Mapping):
            return [str(entry["path"]) for entry in attributes[key].get(inner, ())]
    if isinstance(attributes.get("labels"), list):
        return [str(name) for name in attributes["labels"]]
    if "bioformats2raw.layout" in attributes:
        with suppress(KeyError, FileNotFoundError):
            series = _ome(group["OME"]).get("series")
            if isinstance(series, list) and series:
                return [str(name) for name in series]
    names = [name for name in group.group_keys() if name not in ("labels", "OME")]
    return sorted(names, key=lambda name: (not name.isdigit(), len(name), name))


def _nothing_in(node: Any, path: Path) -> str:
    arrays = sorted(node.array_keys())
    sentence = f'"{path.name}" is a zarr store without OME images ("multiscales")'
    if arrays:
        sentence += f'; to read one of its arrays, name it: "{path.name}/{arrays[0]}"'
    return sentence


# ---------------------------------------------------------------- one image


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One array of an image, and what the store says of it."""

    array: Any
    axes: ImageAxes
    name: str = ""
    steps: tuple[Step, Step] | None = None
    axis_units: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    terms: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_one_image(self) -> bool:
        return all(self.array.shape[axis] == 1 for axis in self.axes.leading)


def _level(group: Any, place: str) -> _Level:
    """Return the finest level of the first multiscale image of a group."""
    multiscale = _ome(group)["multiscales"][0]
    name = str(multiscale.get("name") or place)
    return _described(group, multiscale, multiscale["datasets"][0], name)


def _level_of_array(array: Any, path: Path) -> _Level:
    """Return an array that a path leads to, with what the group above says of it."""
    import zarr

    with suppress(Exception):
        # nothing is opened of that group but its attributes
        group = zarr.open_group(path.parent, mode="r", use_consolidated=False)
        for multiscale in _ome(group).get("multiscales", ()):
            for dataset in multiscale["datasets"]:
                if dataset["path"] == path.name:
                    return _described(group, multiscale, dataset, "", array)
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    if not names or len(names) != array.ndim:
        names = [""] * array.ndim
    _refuse_one_axis(array, path.name)
    axes = image_axes(array.shape, [meaning_of(str(name or "")) for name in names])
    return _Level(array, axes, notes=("no pixel size: the array has no OME metadata",))


def _described(
    group: Any,
    multiscale: Mapping[str, Any],
    dataset: Mapping[str, Any],
    name: str,
    array: Any = None,
) -> _Level:
    array = group[dataset["path"]] if array is None else array
    _refuse_one_axis(array, name or str(dataset["path"]))
    described = multiscale.get("axes") or list(_OLD_AXES[-array.ndim :])
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in described]
    if len(axes) != array.ndim:
        raise ReadingError(
            f'"{name or dataset["path"]}" has {array.ndim} axes, of which its metadata describe '
            f"{len(axes)}: they must be as many"
        )
    meanings = [
        _MEANINGS.get(str(axis.get("type"))) or meaning_of(str(axis.get("name", "")))
        for axis in axes
    ]
    found = image_axes(array.shape, meanings)
    units = [None if axis.get("unit") is None else str(axis["unit"]) for axis in axes]
    steps: tuple[Step, Step] | None = None
    notes: tuple[str, ...] = ()
    try:
        scale = _scale(group, multiscale, dataset, array.ndim)
    except (KeyError, TypeError, ValueError) as error:
        scale, notes = None, (f"no pixel size: its scale cannot be read ({error})",)
    if scale is not None:
        row, column = ((scale[axis], units[axis]) for axis in (found.row, found.column))
        steps = row, column
        if row[1] is None or column[1] is None:
            notes = ("no pixel size: its axes have a scale, but no unit",)
    leading_units = tuple(units[axis] or "" for axis in found.leading)
    terms: Mapping[str, Any] = {}
    several = [axis for axis in found.leading if array.shape[axis] > 1]
    # a scale without a unit is the 1 that the format asks for where nothing is known
    if scale is not None and len(several) == 1 and units[several[0]]:
        terms = interval_terms(scale[several[0]], units[several[0]])
    return _Level(array, found, name, steps, leading_units, notes, terms)


def _refuse_one_axis(array: Any, name: str) -> None:
    if array.ndim < 2:
        raise ReadingError(f'"{name}" is an array of {array.ndim} axes: images have two')


def _scale(
    group: Any, multiscale: Mapping[str, Any], dataset: Mapping[str, Any], axes: int
) -> list[float] | None:
    """Return the distance of two pixels along each axis; None where none is written."""
    scale: list[float] | None = None
    for transform in (
        *(dataset.get("coordinateTransformations") or ()),
        *(multiscale.get("coordinateTransformations") or ()),
    ):
        if transform.get("type") != "scale":
            continue
        # the numbers themselves, or the path of an array that holds them
        factors = transform["scale"] if "scale" in transform else group[transform["path"]][...]
        if len(factors) != axes:
            raise ValueError(f"{len(factors)} numbers for {axes} axes")
        scale = [a * float(b) for a, b in zip(scale or [1.0] * axes, factors, strict=True)]
    return scale


# ---------------------------------------------------------------- pixels


def _raw(level: _Level, path: Path, at_once: bool) -> RawImage:
    refuse_absurd_zarr(level.array, path)
    lengths = tuple(int(level.array.shape[axis]) for axis in level.axes.leading)
    image_shape = int(level.array.shape[level.axes.row]), int(level.array.shape[level.axes.column])
    notes = list(level.notes)
    if sum(length > 1 for length in lengths) > 1:
        shape = (*lengths, *image_shape)
        frames = math.prod(lengths)
        notes.append(f"{len(shape)} axes {shape}: read as one series of {frames} frames")
    pixels: Any
    if at_once:
        pixels = level.axes.series_of(np.asarray(level.array[...]))
    else:
        reader = _Frame(level.array, level.axes)
        frames = math.prod(lengths)
        pixels = lazy_frames(reader, frames, image_shape, level.array.dtype, at_once=False)
    return RawImage(
        pixels,
        level.name,
        level.steps,
        axis_units=level.axis_units,
        metadata=level.terms,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Reads one image of an array of more axes."""

    array: Any
    axes: ImageAxes

    def __call__(self, index: int) -> NDArray[Any]:
        return self.axes.frame_of(self.array, index)
