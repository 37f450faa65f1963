"""MRC files -> images: micrographs, stacks, tilt series and tomograms, under all their endings.

The header is that of the MRC2014 standard (https://www.ccpem.ac.uk/mrc_format/mrc2014.php);
lengths in it are in angstrom. IMOD says in a stamp of its own how bytes are stored
(https://bio3d.colorado.edu/imod/doc/mrc_format.txt), and the microscopes of FEI/Thermo write the
pixel size into an extended header, where the header proper may say nothing.
"""

import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.frame_interval import interval_of_times, interval_terms
from napari_tem_rf.micrographs.frames import lazy_frames, mapped_frames
from napari_tem_rf.micrographs.named_axes import axes_of_map
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step

__all__ = ["looks_like_mrc", "read_mrc"]

_HEADER_BYTES = 1024
_TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}
_COMPLEX_INTEGERS, _COLOUR, _HALF_BYTES = 3, 16, 101
_MODES = (*_TYPES, _COMPLEX_INTEGERS, _COLOUR, _HALF_BYTES)

_IMOD = 1146047817
_IMOD_SIGNED, _IMOD_HALF_BYTES = 1, 16

# FEI's first extended header: 1024 records of 32 numbers of 4 bytes
_FEI_RECORD, _FEI_RECORDS = 128, 1024
# days since 1899 have no more digits
_DAY_S, _CLOCK_S = 86400.0, 1e-5
_SMALLEST_FEI_M, _LARGEST_FEI_M = 1e-13, 1e-4


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first 1024 bytes of a file say, read in one byte order.

    Attributes
    ----------
    order : str
        "<" or ">".
    columns, rows, sections : int
        Of the pixels, not of what is stored: half bytes are counted one by one.
    grid, cell : tuple of float
        Intervals and length in angstrom of the unit cell along x, y, z.
    axes : tuple of int
        Which of x, y, z columns, rows and sections step along.
    flags : int or None
        IMOD's flags; None where IMOD did not write the file.
    """

    order: str
    columns: int
    rows: int
    sections: int
    mode: int
    grid: tuple[float, float, float]
    cell: tuple[float, float, float]
    axes: tuple[int, int, int]
    lowest: float
    highest: float
    extended: int
    extended_kind: bytes
    flags: int | None

    @property
    def half_bytes(self) -> bool:
        return self.mode == _HALF_BYTES or (
            self.mode == 0 and bool((self.flags or 0) & _IMOD_HALF_BYTES)
        )

    @property
    def row_bytes(self) -> int:
        if self.half_bytes:
            return (self.columns + 1) // 2
        if self.mode == _COLOUR:
            return self.columns * 3
        size = 4 if self.mode == _COMPLEX_INTEGERS else np.dtype(_TYPES[self.mode]).itemsize
        return self.columns * size

    @property
    def start(self) -> int:
        return _HEADER_BYTES + self.extended

    @property
    def is_sane(self) -> bool:
        sizes = min(self.columns, self.rows, self.sections)
        return self.mode in _MODES and sizes >= 1 and self.extended >= 0

    def fits(self, size: int) -> bool:
        return self.is_sane and self.start + self.sections * self.rows * self.row_bytes <= size


def read_mrc(path: Path) -> list[RawImage]:
    """Return the image or series of an MRC file, its pixels in the order of the file.

    Raises
    ------
    ReadingError
        If the file is not an MRC file, was cut off, or holds values of a mode that is not known.
    """
    header = _header(path)
    size = path.stat().st_size
    if header.mode not in _MODES:
        raise ReadingError(
            f'"{path.name}" holds MRC values of mode {header.mode}: modes '
            f"{', '.join(map(str, _MODES))} can be read"
        )
    if not header.is_sane:
        raise ReadingError(
            f'"{path.name}" declares {header.sections} frames of {header.rows} x '
            f"{header.columns} pixels: it is not an MRC file, or damaged"
        )
    if not header.fits(size):
        raise ReadingError(
            f'"{path.name}" declares {header.sections * header.rows * header.row_bytes:,} bytes '
            f"of pixels but holds {max(0, size - header.start):,}: it was cut off or damaged"
        )
    if header.mode == _COMPLEX_INTEGERS:
        unsuitable = "its values are complex: a Fourier transform"
        return [RawImage(np.zeros((0,)), unsuitable=unsuitable)]
    extended = _extended(path, header)
    steps, size_notes = _steps(header, extended)
    pixels, value_notes = _pixels(path, header)
    return [
        RawImage(
            pixels,
            steps=steps,
            colour=header.mode == _COLOUR,
            metadata=extended.terms,
            notes=(*value_notes, *size_notes),
        )
    ]


def looks_like_mrc(path: Path) -> bool:
    """Whether a file, of whatever ending, starts as an MRC file and holds what it declares."""
    try:
        return _header(path).fits(path.stat().st_size)
    except (OSError, ReadingError):
        return False


def _header(path: Path) -> _Header:
    with path.open("rb") as file:
        data = file.read(_HEADER_BYTES)
    if len(data) < _HEADER_BYTES:
        raise ReadingError(
            f'"{path.name}" has {len(data)} bytes: an MRC file starts with a header of '
            f"{_HEADER_BYTES}; it was cut off"
        )
    size = path.stat().st_size
    # files older than the standard have no stamp: the order is the one that makes sense
    orders = "><" if data[212:213] == b"\x11" else "<>"
    read = [_header_in(data, order) for order in orders]
    return max(read, key=lambda header: (header.fits(size), header.is_sane))


def _header_in(data: bytes, order: str) -> _Header:
    def integers(offset: int, count: int) -> tuple[int, ...]:
        return tuple(map(int, np.frombuffer(data, f"{order}i4", count, offset)))

    def numbers(offset: int, count: int) -> tuple[float, ...]:
        return tuple(map(float, np.frombuffer(data, f"{order}f4", count, offset)))

    columns, rows, sections, mode = integers(0, 4)
    grid_x, grid_y, grid_z = integers(28, 3)
    cell_x, cell_y, cell_z = numbers(40, 3)
    column_axis, row_axis, section_axis = integers(64, 3)
    lowest, highest = numbers(76, 2)
    stamp, flags = integers(152, 2)
    header = _Header(
        order,
        columns,
        rows,
        sections,
        mode,
        (grid_x, grid_y, grid_z),
        (cell_x, cell_y, cell_z),
        axes_of_map(column_axis, row_axis, section_axis),
        lowest,
        highest,
        integers(92, 1)[0],
        data[104:108],
        flags if stamp == _IMOD else None,
    )
    return _with_half_bytes_apart(header) if mode == 0 and header.half_bytes else header


def _with_half_bytes_apart(header: _Header) -> _Header:
    """Return the header of pixels of which two lie in each byte that it counts."""
    grid, cell, along = list(header.grid), list(header.cell), header.axes[0]
    if grid[along] == header.columns:  # the grid counts bytes too
        grid[along], cell[along] = grid[along] * 2, cell[along] * 2
    return replace(
        header,
        columns=header.columns * 2,
        grid=(grid[0], grid[1], grid[2]),
        cell=(cell[0], cell[1], cell[2]),
    )


# ---------------------------------------------------------------- values


def _pixels(path: Path, header: _Header) -> tuple[Any, tuple[str, ...]]:
    """Return the pixels, lazily where they are many, and notes on how their values were taken."""
    image_shape = header.rows, header.columns
    step = header.rows * header.row_bytes
    offsets = range(header.start, header.start + header.sections * step, step)
    if header.mode == _COLOUR:
        values = np.fromfile(path, np.uint8, header.sections * step, offset=header.start)
        return values.reshape((header.sections, *image_shape, 3)), ()
    if header.half_bytes:
        reader = _HalfBytes(path, offsets, image_shape)
        return lazy_frames(reader, header.sections, image_shape, np.uint8), ()
    if header.mode != 0:
        dtype = np.dtype(header.order + _TYPES[header.mode])
        return mapped_frames(path, offsets, image_shape, dtype), ()
    signed, notes = _signed(header)
    return mapped_frames(path, offsets, image_shape, np.int8 if signed else np.uint8), notes


def _signed(header: _Header) -> tuple[bool, tuple[str, ...]]:
    """Return whether bytes go from -128 to 127, and a note where that is inferred."""
    if header.flags is not None:
        return bool(header.flags & _IMOD_SIGNED), ()
    # MRC2014 says signed; of files before it the header's own extremes tell
    if header.lowest >= 0 and 127 < header.highest <= 255:
        note = (
            f"bytes are read as 0 to 255, since the header gives {header.lowest:g} to "
            f"{header.highest:g} as their range"
        )
        return False, (note,)
    return True, ()


@dataclass(frozen=True, slots=True)
class _HalfBytes:
    """Reads frames of 4 bits a pixel, of which the first of two is the lower half of a byte."""

    path: Path
    offsets: range
    image_shape: tuple[int, int]

    def __call__(self, index: int) -> NDArray[Any]:
        rows, columns = self.image_shape
        row_bytes = (columns + 1) // 2
        packed = np.fromfile(
            self.path, np.uint8, rows * row_bytes, offset=self.offsets[index]
        ).reshape(rows, row_bytes)
        # (row, byte) -> (row, byte, half) -> (row, column)
        halves = np.stack([packed & 15, packed >> 4], axis=-1)
        return halves.reshape(rows, row_bytes * 2)[:, :columns]


# ---------------------------------------------------------------- sizes


@dataclass(frozen=True, slots=True)
class _ExtendedHeader:
    """What the extended header of an FEI/Thermo microscope says.

    Attributes
    ----------
    is_fei : bool
        Whether there is one.
    size_angstrom : tuple of float, optional
        (column, row) size of a pixel; None where it is unknown.
    terms : dict
        Metadata under the terms of `Micrograph`.
    """

    is_fei: bool
    size_angstrom: tuple[float, float] | None
    terms: dict[str, Any]


def _steps(
    header: _Header, extended: _ExtendedHeader
) -> tuple[tuple[Step, Step] | None, tuple[str, ...]]:
    """Return the (row, column) size of a pixel from the better of two sources, and notes."""
    column, row = (_along(header, axis) for axis in header.axes[:2])
    size = proper = None if column is None or row is None else (column, row)
    notes: tuple[str, ...] = ()
    if extended.is_fei:
        # the microscope writes 1 Å into the header proper, whatever the pixel; what IMOD puts
        # there is newer than the extended header, which it leaves as it was when it bins
        says_nothing = proper is None or all(abs(step - 1) < 1e-5 for step in proper)
        if says_nothing:
            size = extended.size_angstrom
        elif header.flags is None:
            size = extended.size_angstrom or proper
    if size is not None and proper is not None and size != proper:
        notes = ("pixel size from the microscope's extended header",)
    elif size is None and proper is not None:
        notes = ("no pixel size: the microscope wrote none, and 1 Å a pixel in its place",)
    if size is None:
        return None, notes
    # the header has seven digits; more would make square pixels look not square
    column, row = (float(f"{step:.7g}") for step in size)
    return ((row, "Å"), (column, "Å")), notes


def _along(header: _Header, axis: int) -> float | None:
    """Return the size of a pixel along x, y or z in angstrom; None where it is unknown."""
    grid, cell = header.grid[axis], header.cell[axis]
    # programs that know no size write a cell of 0, or of -1 nm a pixel
    if not (grid > 0 and cell > 0 and math.isfinite(cell)):
        return None
    return cell / grid


def _extended(path: Path, header: _Header) -> _ExtendedHeader:
    if header.extended_kind in (b"FEI1", b"FEI2") and header.extended > 0:
        try:
            return _fei(path, header)
        except Exception:
            # a damaged extended header must not hide a good image
            return _ExtendedHeader(False, None, {})
    named = header.extended_kind == b"AGAR" and header.extended >= _FEI_RECORD
    unnamed = header.extended_kind in (b"\0\0\0\0", b"    ")
    if named or (unnamed and header.extended == _FEI_RECORD * _FEI_RECORDS):
        return _first_fei(path, header)
    return _ExtendedHeader(False, None, {})


def _first_fei(path: Path, header: _Header) -> _ExtendedHeader:
    """Read the extended header without names: tilt, stage, defocus, ..., pixel size in metres."""
    first = np.fromfile(path, f"{header.order}f4", _FEI_RECORD // 4, offset=_HEADER_BYTES)
    defocus_m, size_m, magnification = (float(first[place]) for place in (7, 11, 12))
    terms: dict[str, Any] = {}
    # others use as long a header for other things; then these numbers make no sense
    if not (size_m == 0 or _SMALLEST_FEI_M < size_m < _LARGEST_FEI_M):
        return _ExtendedHeader(header.extended_kind == b"AGAR", None, {})
    if math.isfinite(magnification) and magnification > 0:
        terms["magnification"] = magnification
    if 0 < abs(defocus_m) < 1e-3:
        terms["defocus_nm"] = float(f"{defocus_m * 1e9:.7g}")
    size = size_m * 1e10
    is_fei = header.extended_kind == b"AGAR" or size > 0 or "magnification" in terms
    return _ExtendedHeader(is_fei, (size, size) if size > 0 else None, terms)


def _fei(path: Path, header: _Header) -> _ExtendedHeader:
    """Read the extended headers of the types FEI1 and FEI2, whose fields mrcfile knows."""
    import mrcfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mrcfile.open(path, permissive=True, header_only=True) as mrc:
            table = mrc.indexed_extended_header
            if table is None or len(table) == 0:
                return _ExtendedHeader(False, None, {})
            table = np.array(table)
            first = table[0]

    def value(key: str) -> float | None:
        number = float(first[key]) if key in first.dtype.names else math.nan
        return number if math.isfinite(number) and number != 0 else None

    terms: dict[str, Any] = {}
    for term, key, factor in (
        ("voltage_kv", "HT", 1e-3),
        ("dose", "Dose", 1e-20),
        ("magnification", "Magnification", 1.0),
        ("defocus_nm", "Defocus", 1e9),
    ):
        if (number := value(key)) is not None:
            terms[term] = number * factor
    if "Camera name" in first.dtype.names and first["Camera name"]:
        terms["detector"] = bytes(first["Camera name"]).rstrip(b"\0").decode("utf-8", "replace")
    if len(table) >= header.sections > 1 and "Timestamp" in first.dtype.names:
        days = np.asarray(table["Timestamp"][: header.sections], np.float64)
        terms |= interval_terms(interval_of_times((days * _DAY_S).tolist(), _CLOCK_S))
    column_m, row_m = value("Pixel size X"), value("Pixel size Y")
    size = None
    if column_m is not None and row_m is not None and min(column_m, row_m) > 0:
        size = column_m * 1e10, row_m * 1e10
    return _ExtendedHeader(True, size, terms)
