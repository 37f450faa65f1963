"""PNG and NPY files -> images."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.frames import mapped_frames
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, labels_of_colour

__all__ = ["read_npy", "read_npy_labels", "read_png", "read_png_labels"]

# deflate gains at most a factor 1032 (zlib's own documentation)
_MOST_GAIN_OF_DEFLATE = 1032

# channels of each colour type (PNG specification, section 11.2.1)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def read_png(path: Path) -> list[RawImage]:
    """Return the image of a PNG file.

    PNG's resolution is not read: programs write the dots per inch of a page there.
    """
    pixels = _png_values(path, palette_as_colour=True)
    return [RawImage(pixels, colour=pixels.ndim == 3)]


def read_png_labels(path: Path) -> NDArray[Any]:
    """Return the values of a PNG file; those of a palette are its indices."""
    values = _png_values(path, palette_as_colour=False)
    return labels_of_colour(values, path) if values.ndim == 3 else values


def _png_values(path: Path, palette_as_colour: bool) -> NDArray[Any]:
    from PIL import Image

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
    with Image.open(path, formats=["PNG"]) as image:
        if image.mode == "P" and palette_as_colour:
            return np.asarray(image.convert("RGB"))
        return np.asarray(image)


def read_npy(path: Path) -> list[RawImage]:
    """Return the array of an NPY file: (row, column), (frame, row, column) or colour.

    Arrays whose last axis is 3 or 4 long and whose values are bytes are colour.
    """
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
    colour = len(shape) >= 3 and shape[-1] in (3, 4) and dtype == np.uint8
    if len(shape) == 3 and not colour and not columns_first and 0 not in shape:
        image_shape = int(shape[1]), int(shape[2])
        step = math.prod(image_shape) * dtype.itemsize
        offsets = range(start, start + shape[0] * step, step)
        return [RawImage(mapped_frames(path, offsets, image_shape, dtype))]
    values = np.fromfile(path, dtype, math.prod(shape), offset=start)
    return [RawImage(values.reshape(shape, order="F" if columns_first else "C"), colour=colour)]


def read_npy_labels(path: Path) -> NDArray[Any]:
    """Return the values of an NPY file; those of a picture in colour are its grey values."""
    (raw,) = read_npy(path)
    values = np.asarray(raw.pixels)
    return labels_of_colour(values, path) if raw.colour else values
