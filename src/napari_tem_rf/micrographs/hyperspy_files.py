"""HyperSpy's own files: .hspy (HDF5) and .zspy (zarr), which share one layout.

``Experiments/<title>/data`` holds the values, ``axis-<n>`` their axes, ``metadata`` the metadata
(https://hyperspy.org/rosettasciio/file_specification/index.html).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.frame_interval import interval_terms
from napari_tem_rf.micrographs.frames import lazy_frames
from napari_tem_rf.micrographs.hdf5 import open_hdf5
from napari_tem_rf.micrographs.hdf5_check import refuse_absurd_hdf5
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.refusals import left_out
from napari_tem_rf.micrographs.trial import open_on_trial
from napari_tem_rf.micrographs.zarr_check import refuse_absurd_zarr, refuse_unsafe_zarr

__all__ = ["hspy_images", "read_hspy", "read_zspy"]


def read_hspy(path: Path) -> list[RawImage]:
    """Return the signals of an .hspy file that have two image axes."""
    open_on_trial(path, hspy_images)
    return hspy_images(path)


def hspy_images(path: Path) -> list[RawImage]:
    """Return the signals as `read_hspy` does, without a trial before."""
    refuse_absurd_hdf5(path)
    file = open_hdf5(path)
    return _images_of_open_file(file, file, path)


def read_zspy(path: Path) -> list[RawImage]:
    """Return the signals of a .zspy folder or zip file that have two image axes."""
    import zarr

    refuse_unsafe_zarr(path)
    store_class = zarr.storage.LocalStore if path.is_dir() else zarr.storage.ZipStore
    store = store_class(path, read_only=True)
    root = zarr.open_group(store, mode="r")
    for _, experiment in root["Experiments"].groups() if "Experiments" in root else ():
        refuse_absurd_zarr(experiment["data"], path)
    return _images_of_open_file(store, root, path)


def _images_of_open_file(file: Any, root: Any, path: Path) -> list[RawImage]:
    """Return the images, with the file closed unless a lazy one needs it."""
    images: list[RawImage] = []
    try:
        images = _images(root, path)
    finally:
        if all(isinstance(image.pixels, np.ndarray) for image in images):
            file.close()
    return images


def _images(root: Any, path: Path) -> list[RawImage]:
    if "Experiments" not in root:
        raise ReadingError(f'"{path.name}" has no group "Experiments": it is not a HyperSpy file')
    experiments = root["Experiments"]
    images = []
    for title in sorted(experiments):
        try:
            images.append(_image(experiments[title], str(title)))
        except Exception as error:
            images.append(left_out(str(title), error))
    return images


def _image(experiment: Any, title: str) -> RawImage:
    data = experiment["data"]
    axes = [_axis(experiment, number) for number in range(data.ndim)]
    name = "" if title == "__unnamed__" else title
    metadata = _terms(experiment["metadata"]) if "metadata" in experiment else {}
    signal_axes = [axis for axis in axes if not axis.get("navigate", False)]
    # images that were transposed for work have no signal axis, and their image axes come last
    if len(signal_axes) not in (0, 2) or data.ndim < 2:
        return RawImage(
            np.zeros((0,)), name, unsuitable=f"it has {len(signal_axes)} signal axis: a spectrum"
        )
    colour = data.dtype.names is not None and set(data.dtype.names) <= set("RGBA")
    steps: tuple[Step, Step] | None = None
    if all("scale" in axis for axis in axes[-2:]):
        row, column = ((float(axis["scale"]), _text(axis.get("units"))) for axis in axes[-2:])
        steps = row, column
    units = tuple(_text(axis.get("units")) or "" for axis in axes[:-2])
    if len(axes) == 3 and units[0]:
        metadata |= interval_terms(axes[0].get("scale"), units[0])
    return RawImage(_pixels(data, colour), name, steps, colour, units, metadata)


def _axis(experiment: Any, number: int) -> dict[str, Any]:
    name = f"axis-{number}"
    return dict(experiment[name].attrs) if name in experiment else {}


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return None if value is None or value in ("_None_", "<undefined>") else str(value)


def _pixels(data: Any, colour: bool) -> Any:
    shape = tuple(map(int, data.shape))
    if colour:
        values = np.asarray(data[...])
        return np.stack([values[channel] for channel in data.dtype.names], axis=-1)
    leading = shape[:-2]
    if not leading:
        return np.asarray(data[...])

    def read(index: int) -> NDArray[Any]:
        return np.asarray(data[tuple(int(i) for i in np.unravel_index(index, leading))])

    return lazy_frames(read, math.prod(leading), (shape[-2], shape[-1]), data.dtype)


def _terms(metadata: Any) -> dict[str, Any]:
    general = _attributes(metadata, "General")
    microscope: Mapping[str, Any] = {}
    for kind in ("TEM", "SEM"):
        microscope = microscope or _attributes(metadata, f"Acquisition_instrument/{kind}")
    terms: dict[str, Any] = {}
    for term, key in (("magnification", "magnification"), ("voltage_kv", "beam_energy")):
        if key in microscope:
            terms[term] = float(microscope[key])
    if date := _text(general.get("date")):
        terms["date"] = f"{date} {_text(general.get('time')) or ''}".strip()
    if name := _text(microscope.get("microscope")):
        terms["microscope"] = name
    return terms


def _attributes(group: Any, path: str) -> dict[str, Any]:
    return dict(group[path].attrs) if path in group else {}
