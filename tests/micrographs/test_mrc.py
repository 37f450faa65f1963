"""MRC files of many programs: axes, bytes, sizes, byte orders and endings.

What is right follows from MRC2014 (https://www.ccpem.ac.uk/mrc_format/mrc2014.php) and from IMOD's
description of its files (https://bio3d.colorado.edu/imod/doc/mrc_format.txt). Of two libraries at
hand mrcfile 1.5 gives bytes of mode 0 as signed whatever IMOD's stamp says and the cell of the main
header whatever the extended one says, and RosettaSciIO 0.15 gives all bytes as unsigned.
"""

import struct

import mrcfile
import numpy as np
import pytest
from mrcfile.dtypes import get_ext_header_dtype

from napari_tem_rf.micrographs import frames
from napari_tem_rf.micrographs.reading import (
    IMAGE_ENDINGS,
    ReadingError,
    find_images,
    read_micrographs,
)

ROWS, COLUMNS = 41, 59
MODES = {"int8": 0, "uint8": 0, "int16": 1, "float32": 2, "uint16": 6, "float16": 12}


def ramp():
    return (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 7 % 241).astype(np.uint8)


def write(
    path,
    pixels,
    *,
    mode=None,
    columns=None,
    angstrom=None,
    cell=None,
    grid=None,
    axes=(1, 2, 3),
    order="<",
    flags=None,
    stamp=True,
    extended=b"",
    kind=b"\0\0\0\0",
    extremes=None,
):
    """Write an MRC file; ``angstrom``: size of a pixel, or else ``cell`` in angstrom."""
    sections, rows, stored = pixels.shape if pixels.ndim == 3 else (1, *pixels.shape)
    columns = columns or stored
    grid = grid or (columns, rows, sections)
    if angstrom is not None:
        cell = tuple(length * angstrom for length in grid)
    header = bytearray(1024)
    mode = MODES[pixels.dtype.name] if mode is None else mode
    struct.pack_into(f"{order}4i", header, 0, columns, rows, sections, mode)
    struct.pack_into(f"{order}3i", header, 28, *grid)
    struct.pack_into(f"{order}6f", header, 40, *(cell or (0, 0, 0)), 90, 90, 90)
    struct.pack_into(f"{order}3i", header, 64, *axes)
    lowest, highest = extremes or (pixels.min(), pixels.max())
    struct.pack_into(f"{order}2f", header, 76, lowest, highest)
    struct.pack_into(f"{order}i", header, 92, len(extended))
    header[104:108] = kind
    if flags is not None:
        struct.pack_into(f"{order}2i", header, 152, 1146047817, flags)
    if stamp:
        header[208:216] = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
    values = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    path.write_bytes(bytes(header) + extended + values)
    return path


def read(path):
    (micrograph,) = read_micrographs(path)
    return micrograph


# ---------------------------------------------------------------- values


def test_imods_bytes_are_as_its_flags_say(tmp_path):
    stack = np.stack([ramp(), 240 - ramp(), ramp() // 2])
    unsigned = read(write(tmp_path / "a.mrc", stack, angstrom=6, flags=0))
    np.testing.assert_array_equal(unsigned.pixels, stack)
    assert unsigned.pixels.dtype == np.uint8
    assert unsigned.pixel_size_nm == pytest.approx((0.6, 0.6))
    signed = (stack.astype(np.int16) - 120).astype(np.int8)
    micrograph = read(write(tmp_path / "b.mrc", signed, flags=1))
    np.testing.assert_array_equal(micrograph.pixels, signed)
    assert micrograph.notes == ()
    # other flags say nothing of the sign
    assert read(write(tmp_path / "c.mrc", stack, flags=2 + 4 + 8)).pixels.dtype == np.uint8


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_flags_are_in_the_files_byte_order(tmp_path, order):
    micrograph = read(write(tmp_path / "a.mrc", ramp(), flags=0, order=order))
    np.testing.assert_array_equal(micrograph.pixels, ramp())


def test_bytes_without_imods_stamp_are_signed_unless_the_header_tells_otherwise(tmp_path):
    signed = (ramp().astype(np.int16) - 120).astype(np.int8)
    np.testing.assert_array_equal(read(write(tmp_path / "a.mrc", signed)).pixels, signed)
    dark = (ramp() // 2).astype(np.int8)
    assert read(write(tmp_path / "b.mrc", dark)).pixels.dtype == np.int8
    # no signed byte is larger than 127
    micrograph = read(write(tmp_path / "c.mrc", ramp()))
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    assert "the header gives 0 to 240 as their range" in micrograph.notes[0]


@pytest.mark.parametrize("in_memory", [True, False])
def test_two_pixels_a_byte(tmp_path, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(frames, "IN_MEMORY_BYTES", 1000)
    values = (np.arange(2 * ROWS * COLUMNS).reshape(2, ROWS, COLUMNS) * 7 % 16).astype(np.uint8)
    padded = np.pad(values, ((0, 0), (0, 0), (0, 1)))  # rows end with a whole byte
    # IMOD: the first of two is in the lower bits
    packed = padded[..., ::2] | padded[..., 1::2] << 4
    mode_101 = write(tmp_path / "a.mrc", packed, mode=101, columns=COLUMNS, angstrom=2)
    micrograph = read(mode_101)
    np.testing.assert_array_equal(np.asarray(micrograph.pixels), values)
    assert micrograph.pixel_size_nm == pytest.approx((0.2, 0.2))
    # flag 16: the header counts bytes, in the grid too
    flagged = read(write(tmp_path / "b.mrc", packed, flags=16, angstrom=2))
    np.testing.assert_array_equal(np.asarray(flagged.pixels), padded)
    assert flagged.pixel_size_nm == pytest.approx((0.2, 0.2))


def test_colour_is_read_as_grey(tmp_path):
    colour = np.repeat(ramp(), 3, axis=1)
    micrograph = read(write(tmp_path / "a.mrc", colour, mode=16, columns=COLUMNS))
    np.testing.assert_array_equal(micrograph.pixels, ramp())


def test_complex_integers_are_a_fourier_transform(tmp_path):
    values = np.zeros((ROWS, COLUMNS * 2), np.int16)
    with pytest.raises(ReadingError, match="complex"):
        read_micrographs(write(tmp_path / "a.mrc", values, mode=3, columns=COLUMNS))


# ---------------------------------------------------------------- byte order


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "int8"])
def test_without_stamp_the_byte_order_is_the_one_that_makes_sense(tmp_path, dtype):
    values = np.random.default_rng(752).integers(0, 100, (3, ROWS, COLUMNS)).astype(dtype)
    for order in "<>":
        path = write(tmp_path / "a.mrc", values, angstrom=4, order=order, stamp=False)
        micrograph = read(path)
        np.testing.assert_array_equal(micrograph.pixels, values)
        assert micrograph.pixels.dtype == dtype
        assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.4))
        if dtype == "int8":
            continue  # mode 0 is the same in both orders: mrcfile believes the first
        with pytest.warns(RuntimeWarning), mrcfile.open(path, permissive=True) as mrc:
            np.testing.assert_array_equal(mrc.data, values)


def test_a_file_that_was_cut_off_is_said_to_be_so_in_either_order(tmp_path):
    for order in "<>":
        for stamp in (True, False):
            path = write(tmp_path / "a.mrc", ramp().astype(np.int16), order=order, stamp=stamp)
            path.write_bytes(path.read_bytes()[:-100])
            with pytest.raises(ReadingError, match=r"declares 4,838 bytes .* holds 4,738: it was"):
                read_micrographs(path)


# ---------------------------------------------------------------- axes and sizes


def test_cell_and_grid_belong_to_x_y_z(tmp_path):
    # columns along y (0.5 nm), rows along x (0.2 nm)
    micrograph = read(
        write(
            tmp_path / "a.mrc",
            ramp(),
            axes=(2, 1, 3),
            grid=(ROWS, COLUMNS, 1),
            cell=(ROWS * 2.0, COLUMNS * 5.0, 9.0),
        )
    )
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    assert micrograph.pixel_size_nm == pytest.approx((0.2, 0.5))
    # columns along z (0.3 nm), rows along y (0.8 nm), sections along x (0.6 nm)
    stack = np.stack([ramp() // divisor for divisor in (1, 2, 3, 4)])
    micrograph = read(
        write(
            tmp_path / "b.mrc",
            stack,
            axes=(3, 2, 1),
            grid=(4, ROWS, COLUMNS),
            cell=(4 * 6.0, ROWS * 8.0, COLUMNS * 3.0),
        )
    )
    assert micrograph.pixel_size_nm == pytest.approx((0.8, 0.3))


@pytest.mark.parametrize("length", [-10, 0, float("nan"), float("inf"), -float("inf")])
def test_a_size_that_means_unknown_is_no_size(tmp_path, length):
    cell = (COLUMNS * length, ROWS * length, length)
    assert read(write(tmp_path / "a.mrc", ramp(), cell=cell)).pixel_size_nm is None
    # nor where one side alone is unknown
    cell = (COLUMNS * 2.0, ROWS * length, 2.0)
    assert read(write(tmp_path / "b.mrc", ramp(), cell=cell)).pixel_size_nm is None


def first_fei(size_m, order="<"):
    """Return FEI's first extended header: 1024 records of 32 numbers, the 12th the pixel size."""
    records = np.zeros((1024, 32), f"{order}f4")
    records[0, 7], records[0, 11], records[0, 12] = -2e-6, size_m, 40_000
    return records.tobytes()


@pytest.mark.parametrize("kind", [b"AGAR", b"\0\0\0\0", b"    "])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("angstrom", [1, 0, -10])
def test_the_size_in_the_first_extended_header_of_fei(tmp_path, kind, order, angstrom):
    path = write(
        tmp_path / "a.mrc",
        np.stack([ramp().astype(np.int16)] * 2),
        angstrom=angstrom,
        extended=first_fei(0.7e-9, order),
        kind=kind,
        order=order,
    )
    micrograph = read(path)
    assert micrograph.pixels.shape == (2, ROWS, COLUMNS)
    assert micrograph.pixel_size_nm == pytest.approx((0.7, 0.7))
    assert micrograph.metadata == {"magnification": 40_000.0, "defocus_nm": -2000.0}


def test_the_1_angstrom_that_fei_writes_beside_no_size_is_no_size(tmp_path):
    path = write(tmp_path / "a.mrc", ramp(), angstrom=1, extended=first_fei(0), kind=b"AGAR")
    micrograph = read(path)
    assert micrograph.pixel_size_nm is None
    assert "the microscope wrote none" in micrograph.notes[-1]


def test_a_size_that_imod_wrote_is_newer_than_the_extended_header(tmp_path):
    # binned by 2, with the extended header of the unbinned file
    path = write(tmp_path / "a.mrc", ramp(), angstrom=14, extended=first_fei(0.7e-9), flags=0)
    assert read(path).pixel_size_nm == pytest.approx((1.4, 1.4))


def test_another_extended_header_of_the_same_length_is_none_of_fei(tmp_path):
    noise = np.random.default_rng(140).integers(0, 3000, 65_536).astype("<i2").tobytes()
    for kind in (b"SERI", b"\0\0\0\0"):
        path = write(tmp_path / "a.mrc", ramp(), angstrom=6, extended=noise, kind=kind)
        assert read(path).pixel_size_nm == pytest.approx((0.6, 0.6))


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
def test_the_size_in_the_named_extended_headers_of_fei(tmp_path, kind):
    record = np.zeros(1, get_ext_header_dtype(kind, "<"))
    record["Metadata size"] = record.dtype.itemsize
    record["Pixel size X"], record["Pixel size Y"] = 0.2e-9, 0.5e-9
    record["HT"] = 300_000
    path = write(tmp_path / "a.mrc", ramp(), angstrom=1, extended=record.tobytes(), kind=kind)
    micrograph = read(path)
    assert micrograph.pixel_size_nm == pytest.approx((0.5, 0.2))
    assert micrograph.metadata["voltage_kv"] == 300


def test_a_damaged_extended_header_hides_no_image(tmp_path):
    path = write(tmp_path / "a.mrc", ramp(), angstrom=6, extended=b"\xff" * 700, kind=b"FEI1")
    micrograph = read(path)
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    assert micrograph.pixel_size_nm == pytest.approx((0.6, 0.6))


# ---------------------------------------------------------------- endings


ENDINGS = (".ali", ".ccp4", ".map", ".mrc", ".mrcs", ".preali", ".rec", ".st")


def test_all_endings_of_mrc(tmp_path):
    assert set(ENDINGS) <= set(IMAGE_ENDINGS)
    for ending in ENDINGS:
        path = write(tmp_path / f"a{ending}", ramp().astype(np.int16), angstrom=4)
        assert read(path).pixel_size_nm == pytest.approx((0.4, 0.4))


def test_other_files_of_those_endings_are_left_out_of_a_folder(tmp_path):
    (tmp_path / "styles.map").write_text('{"version": 3, "mappings": ""}' * 90)
    (tmp_path / "notes.st").write_text("short")
    (tmp_path / "empty.rec").touch()
    image = write(tmp_path / "a.rec", ramp().astype(np.int16))
    assert find_images([tmp_path]) == (image,)
