"""DigitalMicrograph (dm3, dm4) and EMD files (Velox, NCEM), by RosettaSciIO.

RosettaSciIO is GPL-3.0 and an optional extra, so that it is imported here and only when such a
file comes.
"""

import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf.micrographs.digitalmicrograph_check import refuse_damaged_tags
from napari_tem_rf.micrographs.frames import IN_MEMORY_BYTES, mapped_frames
from napari_tem_rf.micrographs.hdf5_check import refuse_absurd_hdf5
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.trial import open_on_trial

__all__ = ["emd_images", "read_digital_micrograph", "read_emd"]

logging.getLogger("rsciio").addHandler(logging.NullHandler())

# where DigitalMicrograph and Velox write the terms of `Micrograph`, and in which unit
_NUMBERS: tuple[tuple[str, str, float], ...] = (
    ("magnification", "Microscope Info.Indicated Magnification", 1.0),
    ("magnification", "CustomProperties.StemMagnification.value", 1.0),
    ("magnification", "Optics.NominalMagnification", 1.0),
    ("voltage_kv", "Microscope Info.Voltage", 1e-3),
    ("voltage_kv", "Optics.AccelerationVoltage", 1e-3),
    ("defocus_nm", "Optics.Defocus", 1e9),
    ("exposure_s", "DataBar.Exposure Time (s)", 1.0),
)
_WORDS: tuple[tuple[str, str], ...] = (
    ("detector", "DataBar.Device Name"),
    ("detector", "BinaryResult.Detector"),
    ("microscope", "Microscope Info.Name"),
    ("microscope", "Instrument.InstrumentModel"),
)


def read_digital_micrograph(path: Path) -> list[RawImage]:
    """Return the images of a .dm3 or .dm4 file; large series stay on disk."""
    _require("dm3 and dm4")
    from rsciio.digitalmicrograph import file_reader

    refuse_damaged_tags(path)
    lazy = path.stat().st_size > IN_MEMORY_BYTES
    try:
        signals = file_reader(str(path), lazy=lazy)
    except ValueError:
        if not lazy:
            raise
        # RosettaSciIO reads colour only at once
        signals, lazy = file_reader(str(path), lazy=False), False
    images = []
    for signal in signals:
        image = signal["original_metadata"]["ImageList"]["TagGroup0"]
        tags = image.get("ImageTags", {})
        terms = _terms(tags.get("source", {}).get("Tags at creation", tags))
        if date := _find(tags, "DataBar.Acquisition Date"):
            time = _find(tags, "DataBar.Acquisition Time") or ""
            terms["date"] = f"{date} {time}".strip()
        pixels = signal["data"]
        _refuse_absurd(path, pixels, path.stat().st_size)
        if lazy and pixels.ndim >= 3 and pixels.dtype.kind in "uif":
            pixels = _mapped(path, pixels, int(image["ImageData"]["Data"]["offset"]))
        images.append(_raw(signal, pixels, terms))
    return images


def read_emd(path: Path) -> list[RawImage]:
    """Return the images of an .emd file of Velox or NCEM; large series stay on disk."""
    _require("emd")
    open_on_trial(path)
    return emd_images(path)


def emd_images(path: Path) -> list[RawImage]:
    """Return the images as `read_emd` does, without a trial before."""
    from rsciio.emd import file_reader

    refuse_absurd_hdf5(path)
    lazy = path.stat().st_size > IN_MEMORY_BYTES
    images = []
    for signal in file_reader(str(path), lazy=lazy, select_type="images"):
        pixels = signal["data"]
        if lazy:
            _refuse_absurd(path, pixels, path.stat().st_size * 1032)
            if math.prod(pixels.shape) * pixels.dtype.itemsize <= IN_MEMORY_BYTES:
                pixels = np.asarray(pixels)
            elif pixels.ndim >= 3:
                pixels = pixels.rechunk((1,) * (pixels.ndim - 2) + pixels.shape[-2:])
        terms = _terms(signal["original_metadata"])
        start = _find(signal["original_metadata"], "Acquisition.AcquisitionStartDatetime.DateTime")
        if start is not None and str(start).isdigit() and int(start) > 0:
            terms["date"] = datetime.fromtimestamp(int(start), UTC).isoformat()
        images.append(_raw(signal, pixels, terms))
    return images


def _require(formats: str) -> None:
    from importlib.util import find_spec

    if find_spec("rsciio") is None:
        raise ReadingError(
            f"{formats} files are read by RosettaSciIO, which is not installed: "
            'pip install "napari-tem-rf[formats]"'
        )


def _refuse_absurd(path: Path, pixels: Any, most: int) -> None:
    declared = math.prod(pixels.shape) * pixels.dtype.itemsize
    if declared > most and declared > IN_MEMORY_BYTES:
        raise ReadingError(
            f'"{path.name}" declares {declared:,} bytes of pixels but has only '
            f"{path.stat().st_size:,}: it was cut off or damaged"
        )


def _mapped(path: Path, pixels: Any, start: int) -> Any:
    """Return the same series as plain numbers of the file, one frame a chunk."""
    shape = tuple(map(int, pixels.shape))
    step = math.prod(shape[-2:]) * pixels.dtype.itemsize
    offsets = range(start, start + math.prod(shape[:-2]) * step, step)
    return mapped_frames(path, offsets, (shape[-2], shape[-1]), pixels.dtype)


def _raw(signal: Mapping[str, Any], pixels: Any, terms: dict[str, Any]) -> RawImage:
    axes = signal["axes"]
    name = str(signal["metadata"].get("General", {}).get("title") or "")
    colour = pixels.dtype.names is not None and set(pixels.dtype.names) <= set("RGBA")
    if colour:
        pixels = np.stack([pixels[channel] for channel in pixels.dtype.names], axis=-1)
    units = [axis.get("units") for axis in axes]
    image_axes = [axis for axis in axes if not axis.get("navigate", False)]
    if len(axes) < 2 or len(image_axes) == 1:
        return RawImage(
            np.zeros((0,)), name, unsuitable="it has one image axis: a profile or spectrum"
        )
    steps: tuple[Step, Step] = (
        (float(axes[-2]["scale"]), units[-2]),
        (float(axes[-1]["scale"]), units[-1]),
    )
    return RawImage(
        pixels, name, steps, colour, tuple(str(unit or "") for unit in units[:-2]), terms
    )


def _terms(tags: Mapping[str, Any]) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    for term, place, factor in _NUMBERS:
        value = _find(tags, place)
        if term not in terms and isinstance(value, str | float | int):
            try:
                terms[term] = float(value) * factor
            except ValueError:
                continue
    for term, place in _WORDS:
        value = _find(tags, place)
        if term not in terms and isinstance(value, str) and value.strip():
            terms[term] = value.strip()
    return {term: value for term, value in terms.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or math.isfinite(value)


def _find(tags: Any, place: str) -> Any:
    for key in place.split("."):
        if not isinstance(tags, Mapping) or key not in tags:
            return None
        tags = tags[key]
    return tags
