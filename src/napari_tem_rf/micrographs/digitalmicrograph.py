"""DigitalMicrograph files (dm3, dm4), by RosettaSciIO.

RosettaSciIO is GPL-3.0 and an optional extra, so that it is imported here and only when such a
file comes.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf.micrographs.digitalmicrograph_check import refuse_damaged_tags
from napari_tem_rf.micrographs.frame_interval import interval_terms
from napari_tem_rf.micrographs.frames import IN_MEMORY_BYTES, mapped_frames
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.terms import microscope_terms, tag_at

__all__ = ["read_digital_micrograph"]

logging.getLogger("rsciio").addHandler(logging.NullHandler())


def read_digital_micrograph(path: Path) -> list[RawImage]:
    """Return the images of a .dm3 or .dm4 file; large series stay on disk."""
    _require_rosettasciio()
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
        terms = microscope_terms(tags.get("source", {}).get("Tags at creation", tags))
        if date := tag_at(tags, "DataBar.Acquisition Date"):
            time = tag_at(tags, "DataBar.Acquisition Time") or ""
            terms["date"] = f"{date} {time}".strip()
        pixels = signal["data"]
        _refuse_absurd(path, pixels, path.stat().st_size)
        if lazy and pixels.ndim >= 3 and pixels.dtype.kind in "uif":
            pixels = _mapped(path, pixels, int(image["ImageData"]["Data"]["offset"]))
        images.append(_raw(signal, pixels, terms))
    return images


def _require_rosettasciio() -> None:
    from importlib.util import find_spec

    if find_spec("rsciio") is None:
        raise ReadingError(
            "dm3 and dm4 files are read by RosettaSciIO, which is not installed: "
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
    if len(axes) == 3 and units[0]:
        terms |= interval_terms(axes[0]["scale"], units[0])
    return RawImage(
        pixels, name, steps, colour, tuple(str(unit or "") for unit in units[:-2]), terms
    )
