"""TIFF files -> images, with the checks that keep a lying file from filling the memory."""

import logging
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.axes import Arrangement, arrangement
from napari_tem_rf.micrographs.frames import IN_MEMORY_BYTES, lazy_frames, mapped_frames
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError
from napari_tem_rf.micrographs.tiff_calibration import calibrations, same_steps
from napari_tem_rf.micrographs.tiff_parts import pages_lead_out, refuse_absurd_parts
from napari_tem_rf.micrographs.tiff_samples import PALETTE, in_palette, largest_value, samples_of

__all__ = ["read_tiff", "read_tiff_labels"]

# the most that each compression can gain: bytes of pixels for a byte of file
_MOST_GAIN = {"NONE": 1.0, "PACKBITS": 64, "LZW": 1400, "ADOBE_DEFLATE": 1032, "DEFLATE": 1032}
_ANY_GAIN = 2000

# series that tifffile puts together because their pages have the same shape
_GUESSED = ("generic", "uniform")
_MOST_PARTS = 16

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
        _refuse_nothing(tiff, path)
        parts = _parts(tiff)
        found = calibrations(tiff, parts)
        for number, series in enumerate(parts):
            if number > 0 and series.keyframe.subfiletype & 1:
                continue  # a thumbnail of another image
            raw, calibration = _image(tiff, series, path), found[number]
            images.append(
                replace(
                    raw,
                    name=calibration.name or (series.name if series.name != "Generic" else ""),
                    steps=calibration.steps,
                    metadata=calibration.metadata,
                    notes=(*calibration.notes, *raw.notes),
                )
            )
    return images


def _parts(tiff: Any) -> list[Any]:
    """Return the series of a file; pages that only look alike are parted by their pixel sizes."""
    import tifffile

    parts: list[Any] = []
    for series in tiff.series:
        pages = list(series.pages)
        if series.kind not in _GUESSED or len(pages) < 2 or None in pages:
            parts.append(series)
            continue

        def page(place: int, pages: list[Any] = pages) -> Any:
            return tiff.pages.get(pages[place].index, aspage=True)

        # of a long series it is enough to look at the second page and the last one
        if same_steps([page(0), page(1), page(-1)]) == [0]:
            parts.append(series)
            continue
        starts = same_steps([page(place) for place in range(len(pages))])
        if len(starts) > _MOST_PARTS:
            parts.append(series)
            continue
        for start, end in zip(starts, [*starts[1:], len(pages)], strict=True):
            first = page(start)
            alone = end - start == 1
            parts.append(
                tifffile.TiffPageSeries(
                    [first, *pages[start + 1 : end]],
                    shape=first.shape if alone else (end - start, *first.shape),
                    dtype=series.dtype,
                    axes=first.axes if alone else f"I{first.axes}",
                    kind=series.kind,
                )
            )
    return parts


def read_tiff_labels(path: Path) -> list[RawImage]:
    """Return the first series of a TIFF file, with the numbers of a palette and not its colours."""
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tiff:
        _refuse_nothing(tiff, path)
        return [_image(tiff, tiff.series[0], path, as_labels=True)]


def _refuse_nothing(tiff: Any, path: Path) -> None:
    if not len(tiff.series):
        raise ReadingError(
            f'"{path.name}" is a TIFF file without an image: it is damaged or of another format'
        )


def _image(tiff: Any, series: Any, path: Path, *, as_labels: bool = False) -> RawImage:
    """Return a series with its axes in order and its samples as the file says they are meant."""
    shape, axes, notes = _recorded(tiff, series, path)
    _refuse_absurd(series, shape, path)
    if len(shape) < 2:
        return RawImage(_all_pixels(tiff, series, shape, path), notes=notes)
    # "Q" is not a name: the axis of an array that Python wrote
    arranged = arrangement(shape, "" if "Q" in axes and "S" not in axes else axes)
    pixels = _pixels(tiff, series, shape, arranged, path)
    if arranged.note:
        notes += (arranged.note,)
    page = series.keyframe
    if arranged.channel is not None:
        samples = samples_of(pixels, page)
        return replace(samples, notes=(*notes, *samples.notes))
    if page.photometric == PALETTE and not as_labels and not tiff.is_imagej:
        # ImageJ colours what it measures; elsewhere a palette says what the numbers look like
        return RawImage(in_palette(np.asarray(pixels), page), colour=True, notes=notes)
    return RawImage(pixels, notes=notes, white_is_zero=largest_value(page, pixels.dtype))


def _recorded(tiff: Any, series: Any, path: Path) -> tuple[tuple[int, ...], str, tuple[str, ...]]:
    """Return shape and axes of what was recorded of a series, and a note where more was planned.

    Raises
    ------
    ReadingError
        If the list of pages leads out of the file: then it was cut off.
    """
    shape, axes = tuple(map(int, series.shape)), str(series.axes)
    there = [page is not None for page in series.pages]
    planned, recorded = len(there), sum(there)
    if recorded == planned:
        if series.kind in _GUESSED and pages_lead_out(tiff):
            return shape, axes, ("the file ends before its list of frames does: it was cut off",)
        return shape, axes, ()
    if pages_lead_out(tiff):
        raise ReadingError(
            f'"{path.name}" has {recorded} of {planned} frames, and its list of frames leads '
            "beyond its end: it was cut off; copy it again from where it came from"
        )
    if all(there[:recorded]) and axes.endswith("YX") and math.prod(shape[:-2]) == planned:
        note = (
            f"{planned} frames were planned and {recorded} recorded: the acquisition was stopped "
            "early"
        )
        return (recorded, *shape[-2:]), "TYX", (note,)
    return shape, axes, (f"{planned - recorded} of {planned} frames were not recorded: they are 0",)


def _refuse_absurd(series: Any, shape: tuple[int, ...], path: Path) -> None:
    """Raise where a series declares more bytes than its compressed bytes could become."""
    page = series.keyframe
    declared = math.prod(shape) * series.dtype.itemsize
    if any(each is None for each in series.pages) and declared <= IN_MEMORY_BYTES:
        return  # frames that were not recorded hold nothing
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


def _pixels(
    tiff: Any, series: Any, shape: tuple[int, ...], arranged: Arrangement, path: Path
) -> Any:
    """Return a series' pixels with their axes in order, lazily where they are many."""
    frames, dtype = math.prod(shape[:-2]), series.dtype
    in_order = arranged.channel is None and arranged.order == tuple(range(len(shape)))
    if frames == 1 or not in_order or math.prod(shape) * dtype.itemsize <= IN_MEMORY_BYTES:
        return arranged.of(_all_pixels(tiff, series, shape, path))
    image_shape = (shape[-2], shape[-1])
    if series.dataoffset is not None:
        step = math.prod(image_shape) * dtype.itemsize
        offsets = range(series.dataoffset, series.dataoffset + frames * step, step)
        on_disk = dtype.newbyteorder(tiff.byteorder)
        return mapped_frames(path, offsets, image_shape, on_disk)
    pages = list(series.pages)[:frames]
    if len(pages) != frames or None in pages:
        return _all_pixels(tiff, series, shape, path)
    reader = _PageReader(path, tuple(page.index for page in pages))
    return lazy_frames(reader, frames, image_shape, dtype)


def _all_pixels(tiff: Any, series: Any, shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    pages = [page for page in series.pages if page is not None]
    for page in pages:
        refuse_absurd_parts(tiff, page, path)
    if shape != tuple(series.shape):  # not for what was planned and never recorded
        return np.stack([np.asarray(page.asarray()).reshape(shape[-2:]) for page in pages])
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
