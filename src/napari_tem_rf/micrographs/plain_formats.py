"""PNG and NPY files -> images."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.axes import arrangement
from napari_tem_rf.micrographs.frames import mapped_frames
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError

__all__ = ["read_npy", "read_png", "read_png_labels"]

# deflate gains at most a factor 1032 (zlib's own documentation)
_MOST_GAIN_OF_DEFLATE = 1032

# channels of each colour type (PNG specification, section 11.2.1)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

# what the memory of a small machine holds; a byte of file can stand for 8,000 of them
_MOST_PNG_PIXELS = 2**31


def read_png(path: Path) -> list[RawImage]:
    """Return the image of a PNG file.

    PNG's resolution is not read: programs write the dots per inch of a page there.
    """
    pixels = _png_values(path, palette_as_colour=True)
    return [RawImage(pixels, colour=pixels.ndim == 3)]


def read_png_labels(path: Path) -> list[RawImage]:
    """Return the values of a PNG file; those of a palette are its indices."""
    pixels = _png_values(path, palette_as_colour=False)
    return [RawImage(pixels, colour=pixels.ndim == 3)]


def _png_values(path: Path, palette_as_colour: bool) -> NDArray[Any]:
    """Return the samples that a PNG file stores, and not the bytes that a screen shows of them."""
    from PIL.PngImagePlugin import PngImageFile

    with path.open("rb") as file:
        front = file.read(26)
    if len(front) < 26 or front[:8] != b"\x89PNG\r\n\x1a\n":
        raise ReadingError(f'"{path.name}" does not start as a PNG file: it is of another format')
    columns, rows, bits, kind = struct.unpack(">IIBB", front[16:26])
    declared = columns * rows * bits * _PNG_CHANNELS.get(kind, 4) // 8
    if declared > path.stat().st_size * _MOST_GAIN_OF_DEFLATE:
        raise ReadingError(
            f'"{path.name}" declares {rows} x {columns} pixels but has only '
            f"{path.stat().st_size:,} bytes: it was cut off or damaged"
        )
    if columns * rows > _MOST_PNG_PIXELS:
        raise ReadingError(
            f'"{path.name}" has {rows:,} x {columns:,} pixels: a PNG is read up to '
            f"{_MOST_PNG_PIXELS:,}; save so large an image as TIFF"
        )
    if bits == 16 and kind in (2, 4, 6):
        # Pillow leaves the low bytes of these out
        import imagecodecs

        return np.asarray(imagecodecs.png_decode(path.read_bytes()))
    # not by Image.open, which refuses large images whatever their file holds
    with path.open("rb") as file, PngImageFile(file) as image:
        if image.mode == "P" and palette_as_colour:
            return np.asarray(image.convert("RGB"))
        values = np.asarray(image)
    if kind == 0 and bits in (2, 4):
        # Pillow spreads them over a byte
        return values // np.uint8(255 // (2**bits - 1))
    return values


def read_npy(path: Path) -> list[RawImage]:
    """Return the array of an NPY file, whose axes have no names: see `axes.arrangement`."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if header is None:
            raise ReadingError(f'"{path.name}" is NPY of version {version}: save it again as 1.0')
        shape, columns_first, dtype = header(file)
        start = file.tell()
    if dtype.hasobject:
        raise ReadingError(f'"{path.name}" holds Python objects: save an array of numbers')
    declared, held = math.prod(shape) * dtype.itemsize, path.stat().st_size - start
    if declared > held:
        raise ReadingError(
            f'"{path.name}" declares {declared:,} bytes of pixels but holds {held:,}: it was cut '
            "off or damaged"
        )
    if len(shape) < 2:
        return [RawImage(np.fromfile(path, dtype, math.prod(shape), offset=start).reshape(shape))]
    axes = arrangement(shape)
    colour = axes.channel is not None
    notes = (axes.note,) if axes.note else ()
    in_order = axes.order == tuple(range(len(shape)))
    if len(shape) == 3 and in_order and not colour and not columns_first and 0 not in shape:
        image_shape = int(shape[1]), int(shape[2])
        step = math.prod(image_shape) * dtype.itemsize
        offsets = range(start, start + shape[0] * step, step)
        return [RawImage(mapped_frames(path, offsets, image_shape, dtype))]
    values = np.fromfile(path, dtype, math.prod(shape), offset=start)
    values = values.reshape(shape, order="F" if columns_first else "C")
    return [RawImage(np.ascontiguousarray(axes.of(values)), colour=colour, notes=notes)]
