"""PNG, NPY, MRC and OME-Zarr files -> images."""

import math
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.axes import arrangement
from napari_tem_rf.micrographs.frames import lazy_frames, mapped_frames
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.zarr_check import refuse_absurd_zarr, refuse_unsafe_zarr

__all__ = [
    "read_mrc",
    "read_npy",
    "read_ome_zarr",
    "read_png",
    "read_png_labels",
]

# deflate gains at most a factor 1032 (zlib's own documentation)
_MOST_GAIN_OF_DEFLATE = 1032

# channels of each colour type (PNG specification, section 11.2.1)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

# what the memory of a small machine holds; a byte of file can stand for 8,000 of them
_MOST_PNG_PIXELS = 2**31

_MRC_HEADER_BYTES = 1024
_MRC_TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}


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


def read_mrc(path: Path) -> list[RawImage]:
    """Return the image or series of an MRC file.

    The header is as in the MRC2014 standard (https://www.ccpem.ac.uk/mrc_format/mrc2014.php);
    lengths in it are in angstrom. Metadata come from the extended header of FEI/Thermo
    microscopes, where there is one.
    """
    with path.open("rb") as file:
        header = file.read(_MRC_HEADER_BYTES)
    if len(header) < _MRC_HEADER_BYTES:
        raise ReadingError(
            f'"{path.name}" has {len(header)} bytes: an MRC file starts with a header of '
            f"{_MRC_HEADER_BYTES}; it was cut off"
        )
    order = ">" if header[212:214] == b"\x11\x11" else "<"
    columns, rows, frames, mode = np.frombuffer(header, f"{order}i4", 4)
    grid = np.frombuffer(header, f"{order}i4", 3, offset=28)
    cell = np.frombuffer(header, f"{order}f4", 3, offset=40)
    (extended,) = np.frombuffer(header, f"{order}i4", 1, offset=92)
    if int(mode) not in _MRC_TYPES:
        raise ReadingError(
            f'"{path.name}" holds MRC values of mode {mode}: modes '
            f"{', '.join(map(str, _MRC_TYPES))} can be read"
        )
    if min(columns, rows, frames) < 1 or extended < 0:
        raise ReadingError(
            f'"{path.name}" declares {frames} frames of {rows} x {columns} pixels: '
            "it is no MRC file, or damaged"
        )
    dtype = np.dtype(order + _MRC_TYPES[int(mode)])
    step = int(rows) * int(columns) * dtype.itemsize
    start = _MRC_HEADER_BYTES + int(extended)
    held = path.stat().st_size - start
    if int(frames) * step > held:
        raise ReadingError(
            f'"{path.name}" declares {int(frames) * step:,} bytes of pixels but holds '
            f"{max(0, held):,}: it was cut off or damaged"
        )
    steps: tuple[Step, Step] | None = None
    if grid[0] > 0 and grid[1] > 0:
        # the header has seven digits; more would make square pixels look not square
        row, column = (float(f"{cell[axis] / grid[axis]:.7g}") for axis in (1, 0))
        steps = (row, "Å"), (column, "Å")
    offsets = range(start, start + int(frames) * step, step)
    pixels = mapped_frames(path, offsets, (int(rows), int(columns)), dtype)
    return [RawImage(pixels, steps=steps, metadata=_mrc_terms(path, header, int(extended)))]


def _mrc_terms(path: Path, header: bytes, extended: int) -> dict[str, Any]:
    """Return the terms in the extended header of the types FEI1 and FEI2."""
    if header[104:108] not in (b"FEI1", b"FEI2") or extended == 0:
        return {}
    import mrcfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mrcfile.open(path, permissive=True, header_only=True) as mrc:
            table = mrc.indexed_extended_header
            if table is None or len(table) == 0:
                return {}
            first = table[0]
    terms: dict[str, Any] = {}
    for term, key, factor in (
        ("voltage_kv", "HT", 1e-3),
        ("dose", "Dose", 1e-20),
        ("magnification", "Magnification", 1.0),
        ("defocus_nm", "Defocus", 1e9),
    ):
        if key in first.dtype.names and math.isfinite(first[key]) and first[key] != 0:
            terms[term] = float(first[key]) * factor
    if "Camera name" in first.dtype.names and first["Camera name"]:
        terms["detector"] = bytes(first["Camera name"]).rstrip(b"\0").decode("utf-8", "replace")
    return terms


def read_ome_zarr(path: Path) -> list[RawImage]:
    """Return the finest level of each multiscale image of an OME-Zarr store (0.4 and 0.5)."""
    import zarr

    refuse_unsafe_zarr(path)
    group = zarr.open_group(path, mode="r")
    attributes = dict(group.attrs)
    attributes = attributes.get("ome", attributes)
    images = []
    for multiscale in attributes.get("multiscales", []):
        dataset = multiscale["datasets"][0]
        array = group[dataset["path"]]
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in multiscale["axes"]]
        scale = [1.0] * len(axes)
        for transform in (
            *multiscale.get("coordinateTransformations", ()),
            *dataset.get("coordinateTransformations", ()),
        ):
            if transform.get("type") == "scale":
                scale = [a * float(b) for a, b in zip(scale, transform["scale"], strict=True)]
        units = [axis.get("unit") for axis in axes]
        steps: tuple[Step, Step] = (scale[-2], units[-2]), (scale[-1], units[-1])
        images.append(RawImage(_zarr_pixels(array, path), multiscale.get("name", ""), steps))
    if not images:
        raise ReadingError(f'"{path.name}" is a zarr store without OME images ("multiscales")')
    return images


def _zarr_pixels(array: Any, path: Path) -> Any:
    if array.ndim < 2:
        raise ReadingError(f'"{path.name}" holds an array of {array.ndim} axes: images have two')
    refuse_absurd_zarr(array, path)
    leading = array.shape[:-2]
    if not leading:
        return np.asarray(array[...])

    def read(index: int) -> NDArray[Any]:
        return np.asarray(array[np.unravel_index(index, leading)])

    return lazy_frames(read, math.prod(leading), array.shape[-2:], array.dtype)
