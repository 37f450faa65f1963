"""FEI TIA series: .ser files, and the .emi file that belongs to them.

The layout is as Chris Boothroyd worked it out (https://www.er-c.org/cbb/info/TIAformat/). It is
read here rather than by RosettaSciIO, which has the whole series in memory before it is asked for
a frame.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np

from napari_tem_rf.micrographs.frame_interval import interval_of_times, interval_terms
from napari_tem_rf.micrographs.frames import mapped_frames
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.special_files import refuse_special_file

__all__ = ["read_emi", "read_ser"]

_MAGIC = 0x0197
_SPECTRA, _IMAGES = 0x4120, 0x4122
_TYPES = {
    1: "u1",
    2: "<u2",
    3: "<u4",
    4: "i1",
    5: "<i2",
    6: "<i4",
    7: "<f4",
    8: "<f8",
    9: "<c8",
    10: "<c16",
}
# with each frame the time, or the time and the place of the beam
_TAGS = (0x4152, 0x4142)
_TAG = struct.Struct("<HHI")
# from here on offsets take 8 bytes
_LONG_OFFSETS = 0x0220
_ELEMENT = struct.Struct("<ddIddIHII")


def read_emi(path: Path) -> list[RawImage]:
    """Return the images of the .ser files that belong to an .emi file.

    Raises
    ------
    ReadingError
        If there is no .ser file beside it: the .emi file itself holds no pixels.
    """
    found: dict[int, Path] = {}
    for file in path.parent.iterdir():
        name, _, number = file.stem.casefold().rpartition("_")
        if file.suffix.lower() == ".ser" and name == path.stem.casefold() and number.isdigit():
            found[int(number)] = file
    if not found:
        raise ReadingError(
            f'"{path.name}" holds no pixels itself: put its "{path.stem}_1.ser" beside it'
        )
    images = []
    for place, file in sorted(found.items()):
        try:
            refuse_special_file(file)
            images += read_ser(file, title=str(place) if len(found) > 1 else "")
        except (ReadingError, struct.error, OSError) as error:
            raise ReadingError(f'"{file.name}" of "{path.name}" cannot be read: {error}') from error
    return images


def read_ser(path: Path, title: str = "") -> list[RawImage]:
    """Return the image or series of a .ser file, with the metadata of its .emi file if there."""
    with path.open("rb") as file:
        series = _series(file, path)
        if series is None:
            unsuitable = "it holds spectra"
            return [RawImage(np.zeros((0,)), title, unsuitable=unsuitable)]
    description = _description(path)
    unit = "1/m" if _is_diffraction(description) else "m"
    pixels = mapped_frames(path, series.offsets, series.image_shape, series.dtype, upside_down=True)
    steps: tuple[Step, Step] = (series.step_m[0], unit), (series.step_m[1], unit)
    terms = _terms(description) | interval_terms(interval_of_times(series.times_s, 1.0))
    return [RawImage(pixels, title, steps, metadata=terms)]


@dataclass(frozen=True, slots=True)
class _Series:
    """Where the frames of a .ser file are."""

    offsets: tuple[int, ...]
    image_shape: tuple[int, int]
    dtype: np.dtype[Any]
    step_m: tuple[float, float]
    times_s: tuple[float, ...] = ()
    """When the frames were taken, to a second; empty where that is not written."""


def _series(file: BinaryIO, path: Path) -> _Series | None:
    """Return where the frames are; None if the file holds spectra."""
    size = path.stat().st_size
    order, magic, version, kind, tag_kind, total, valid = struct.unpack("<HHHIIII", file.read(22))
    if order != 0x4949 or magic != _MAGIC:
        raise ReadingError(f'"{path.name}" does not start as a TIA series: it is not a .ser file')
    if kind == _SPECTRA:
        return None
    if kind != _IMAGES:
        raise ReadingError(f'"{path.name}" holds data of the kind {kind:#x}: images are 0x4122')
    width = 8 if version >= _LONG_OFFSETS else 4
    (table,) = struct.unpack("<Q" if width == 8 else "<I", file.read(width))
    if valid == 0:
        raise ReadingError(f'"{path.name}" holds no frame: the acquisition was stopped before one')
    if table + valid * width > size:
        raise ReadingError(
            f'"{path.name}" declares {valid} frames whose table ends beyond its {size:,} bytes: '
            "it was cut off or damaged"
        )
    file.seek(table)
    offsets = np.frombuffer(file.read(valid * width), f"<u{width}").tolist()
    first = None
    for number, offset in enumerate(offsets):
        if offset + _ELEMENT.size > size:
            raise ReadingError(f'frame {number} of "{path.name}" starts beyond its end: cut off')
        file.seek(offset)
        _, step_x, _, _, step_y, _, code, columns, rows = _ELEMENT.unpack(file.read(_ELEMENT.size))
        element = code, rows, columns
        if first is None:
            if code not in _TYPES:
                raise ReadingError(f'"{path.name}" holds values of type {code}: 1 to 10 are known')
            first, step_m = element, (abs(step_y), abs(step_x))
        if element != first:
            raise ReadingError(
                f'frame {number} of "{path.name}" is {rows} x {columns} of type {code}, the first '
                f"is {first[1]} x {first[2]} of type {first[0]}: the frames must be alike"
            )
        dtype = np.dtype(_TYPES[code])
        if rows * columns == 0 or offset + _ELEMENT.size + rows * columns * dtype.itemsize > size:
            raise ReadingError(
                f'"{path.name}" declares frames of {rows} x {columns} pixels but has only '
                f"{size:,} bytes: it was cut off or damaged"
            )
    starts = tuple(offset + _ELEMENT.size for offset in offsets)
    times_s = _times(file, tag_kind, table + total * width, valid, width)
    return _Series(starts, (rows, columns), dtype, step_m, times_s)


def _times(file: BinaryIO, kind: int, table: int, number: int, width: int) -> tuple[float, ...]:
    """Return when the frames were taken; empty where no tags say it, or not all can be read."""
    if kind not in _TAGS:
        return ()
    file.seek(table)
    data = file.read(number * width)
    if len(data) < number * width:
        return ()
    times = []
    for offset in np.frombuffer(data, f"<u{width}").tolist():
        file.seek(offset)
        tag = file.read(_TAG.size)
        if len(tag) < _TAG.size:
            return ()
        said, _, seconds = _TAG.unpack(tag)
        if said != kind:
            return ()
        times.append(float(seconds))
    return tuple(times)


def _description(path: Path) -> ElementTree.Element | None:
    """Return what the .emi file says about a .ser file: its XML, in between binary data."""
    stem, _, number = path.stem.rpartition("_")
    emi = next(
        (p for p in (path.with_name(stem + ending) for ending in (".emi", ".EMI")) if p.exists()),
        None,
    )
    if emi is None or not emi.is_file() or not number.isdigit():
        return None
    objects = list(_objects(emi.read_bytes()))
    if not 1 <= int(number) <= len(objects):
        return None
    with suppress(ElementTree.ParseError):
        return ElementTree.fromstring(objects[int(number) - 1].decode("utf-8", "replace"))
    return None


def _objects(data: bytes) -> Iterator[bytes]:
    end = 0
    while (start := data.find(b"<ObjectInfo>", end)) >= 0:
        closing = data.find(b"</ObjectInfo>", start)
        if closing < 0:
            return
        end = closing + len(b"</ObjectInfo>")
        yield data[start:end]


def _conditions(description: ElementTree.Element | None) -> dict[str, str]:
    if description is None:
        return {}
    return {
        node.findtext("Label") or "": node.findtext("Value") or ""
        for node in description.iterfind("ExperimentalDescription/Root/Data")
    }


def _is_diffraction(description: ElementTree.Element | None) -> bool:
    """Whether the calibration, which has no unit in the file, is one of reciprocal space."""
    if description is None:
        return False
    mode = _conditions(description).get("Mode", "")
    if "STEM" in mode:
        # a camera's image under a scanning beam
        return description.find("AcquireInfo/CameraNamePath") is not None
    return "Diffraction" in mode


def _terms(description: ElementTree.Element | None) -> dict[str, Any]:
    terms: dict[str, Any] = {}
    if description is None:
        return terms
    conditions = _conditions(description)
    for term, label, factor in (
        ("magnification", "Magnification", 1.0),
        ("voltage_kv", "High tension", 1.0),
        ("defocus_nm", "Defocus", 1e3),
    ):
        with suppress(KeyError, ValueError):
            terms[term] = float(conditions[label]) * factor
    for term, value in (
        ("detector", description.findtext("AcquireInfo/CameraNamePath")),
        ("date", description.findtext("AcquireDate")),
        ("microscope", conditions.get("Microscope")),
    ):
        if value and value.strip():
            terms[term] = value.strip()
    return terms
