"""TIFF files -> images, with the checks that keep a lying file from filling the memory."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.frames import IN_MEMORY_BYTES, lazy_frames, mapped_frames
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, labels_of_colour
from napari_tem_rf.micrographs.tiff_calibration import calibrations
from napari_tem_rf.micrographs.tiff_parts import refuse_absurd_parts

__all__ = ["read_tiff", "read_tiff_labels"]

# the most that each compression can gain: bytes of pixels for a byte of file
_MOST_GAIN = {"NONE": 1.0, "PACKBITS": 64, "LZW": 1400, "ADOBE_DEFLATE": 1032, "DEFLATE": 1032}
_ANY_GAIN = 2000

# a damaged file is answered with one sentence, not with the library's messages on stderr
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff(path: Path) -> list[RawImage]:
    """Return the images of a TIFF file, one for each of its series.

    Raises
    ------
    ReadingError
        If the file declares more pixels than it can hold.
    """
    import tifffile

    images: list[RawImage] = []
    with tifffile.TiffFile(path, _multifile=False) as tiff:
        found = calibrations(tiff)
        for number, series in enumerate(tiff.series):
            if number > 0 and series.keyframe.subfiletype & 1:
                continue  # a thumbnail of another image
            calibration = found[min(number, len(found) - 1)]
            images.append(
                RawImage(
                    _pixels(tiff, series, path),
                    name=calibration.name or (series.name if series.name != "Generic" else ""),
                    steps=calibration.steps,
                    colour="S" in series.axes,
                    axis_units=calibration.axis_units,
                    metadata=calibration.metadata,
                    notes=calibration.notes,
                )
            )
    return images


def read_tiff_labels(path: Path) -> NDArray[Any]:
    """Return the values of a TIFF file's first series, as they are in the file."""
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tiff:
        series = tiff.series[0]
        _refuse_absurd(series, path)
        values = _all_pixels(tiff, series, path)
        if "S" in series.axes:
            return labels_of_colour(np.moveaxis(values, series.axes.index("S"), -1), path)
        return values


def _refuse_absurd(series: Any, path: Path) -> None:
    """Raise where a series declares more bytes than its compressed bytes could become."""
    page = series.keyframe
    declared = math.prod(series.shape) * series.dtype.itemsize
    size = path.stat().st_size
    held = min(size, sum(page.databytecounts) * max(1, len(series.pages)))
    if series.dataoffset is not None:
        held = size - series.dataoffset
    segments = math.prod(page.chunked)
    if page.compression != 1 and segments > len(page.databytecounts):
        raise ReadingError(
            f'"{path.name}" declares {segments:,} compressed parts but holds '
            f"{len(page.databytecounts):,}: it is damaged; copy it again from where it came from"
        )
    gain = _MOST_GAIN.get(getattr(page.compression, "name", ""), _ANY_GAIN)
    # numbers of 1 to 7 bits are packed in the file and take a whole byte in memory
    gain *= max(1.0, series.dtype.itemsize * 8 / max(1, page.bitspersample))
    if declared > held * gain and (gain <= 8 or declared > IN_MEMORY_BYTES):
        raise ReadingError(
            f'"{path.name}" declares {declared:,} bytes of pixels but holds {held:,}: it was cut '
            "off or damaged; copy it again from where it came from"
        )
    cut_off = [
        offset
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)
        if offset + count > size
    ]
    if cut_off:
        raise ReadingError(
            f'"{path.name}" has pixels beyond its end of {size:,} bytes: it was cut off; copy it '
            "again from where it came from"
        )


def _pixels(tiff: Any, series: Any, path: Path) -> Any:
    """Return a series' pixels, lazily where they are many."""
    _refuse_absurd(series, path)
    shape, dtype, axes = series.shape, series.dtype, series.axes
    frames = math.prod(shape[:-2])
    if frames == 1 or "S" in axes or math.prod(shape) * dtype.itemsize <= IN_MEMORY_BYTES:
        pixels = _all_pixels(tiff, series, path)
        # colours may come as planes: (..., channel, row, column)
        return np.moveaxis(pixels, axes.index("S"), -1) if "S" in axes else pixels
    image_shape = (int(shape[-2]), int(shape[-1]))
    if series.dataoffset is not None:
        step = math.prod(image_shape) * dtype.itemsize
        offsets = range(series.dataoffset, series.dataoffset + frames * step, step)
        on_disk = dtype.newbyteorder(tiff.byteorder)
        return mapped_frames(path, offsets, image_shape, on_disk)
    if len(series.pages) != frames:
        return _all_pixels(tiff, series, path)
    reader = _PageReader(path, tuple(page.index for page in series.pages))
    return lazy_frames(reader, frames, image_shape, dtype)


def _all_pixels(tiff: Any, series: Any, path: Path) -> NDArray[Any]:
    for page in series.pages:
        if page is not None:  # left out of the file: zeros
            refuse_absurd_parts(tiff, page, path)
    return np.asarray(series.asarray())


@dataclass(frozen=True, slots=True)
class _PageReader:
    """Reads frames from the pages of a file that is open only for as long as it takes."""

    path: Path
    pages: tuple[int, ...]

    def __call__(self, index: int) -> NDArray[Any]:
        import tifffile

        with tifffile.TiffFile(self.path, _multifile=False) as tiff:
            page = tiff.pages[self.pages[index]]
            refuse_absurd_parts(tiff, page, self.path)
            return np.asarray(page.asarray())
