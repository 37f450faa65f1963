"""What is said of a file that is refused: its name, the value seen, the rule and the remedy."""

import errno
import json
import re
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_tem_rf.micrographs.annotation import LARGEST_LABEL, check_labels
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, fill_not_finite
from napari_tem_rf.micrographs.emd import emd_images
from napari_tem_rf.micrographs.framewise import PackedLabels
from napari_tem_rf.micrographs.hyperspy_files import hspy_images
from napari_tem_rf.micrographs.label_formats import as_labels, checked_size, label_writer
from napari_tem_rf.micrographs.label_meaning import find_meaning, in_words, meaning_of
from napari_tem_rf.micrographs.label_series import LabelSeries
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.outline_files import read_outlines
from napari_tem_rf.micrographs.outlines import legend_of
from napari_tem_rf.micrographs.pixel_size import pixel_size_of
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, micrograph_of
from napari_tem_rf.micrographs.reading import (
    IMAGE_ENDINGS,
    LABEL_ENDINGS,
    find_images,
    open_labels,
    read_labels,
    read_micrographs,
)
from napari_tem_rf.micrographs.refusals import left_out, unreadable
from napari_tem_rf.micrographs.writing import (
    InstanceImage,
    write_instances,
    write_labels,
    write_probabilities,
)

IMAGES = ", ".join(IMAGE_ENDINGS)


def refusal(call, *arguments, kind=ReadingError):
    with pytest.raises(kind) as refused:
        call(*arguments)
    return str(refused.value)


# paths and endings


def test_paths_that_cannot_be_read(tmp_path):
    for name in ("a.xyz", "a"):
        (tmp_path / name).write_text("x")
    (tmp_path / "b.tif").touch()
    (tmp_path / "c.tif").mkdir()
    (tmp_path / "rois.roi").write_bytes(b"Iout")
    (tmp_path / "nothing").mkdir()
    missing = tmp_path / "no.tif"
    for read, what, endings in (
        (read_micrographs, "images", IMAGES),
        (read_labels, "labels", ", ".join(LABEL_ENDINGS)),
        (open_labels, "labels", ", ".join(LABEL_ENDINGS)),
    ):
        assert refusal(read, missing) == f'"{missing}" is not there: check the path'
        said = refusal(read, tmp_path / "a.xyz")
        assert said == f'"a.xyz" has the ending ".xyz": {what} are read from {endings}'
        assert refusal(read, tmp_path / "a") == (
            f'"a" has the ending "": {what} are read from {endings}'
        )
        assert refusal(read, tmp_path / "b.tif") == (
            '"b.tif" is empty: copy it again from where it came from'
        )
        assert refusal(read, tmp_path / "c.tif") == '"c.tif" is a folder: give a file'
        assert refusal(read, tmp_path / "rois.roi") == (
            '"rois.roi" holds outlines, which have no pixels of their own: give it as the labels '
            "of an image"
        )
    assert refusal(find_images, [missing]) == f'"{missing}" is not there: check the path'
    folder = tmp_path / "nothing"
    assert refusal(find_images, [folder]) == (
        f'the folder "{folder}" holds no file with one of the endings {IMAGES}'
    )
    with pytest.raises(ReadingError, match=rf"{re.escape(IMAGES)}, .geojson, .roi, .zip$"):
        find_images([folder], outlines=True)


# what a library raises


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "asks for more memory than there is: it is damaged or too large"),
        (
            ModuleNotFoundError("No module named 'a.b'", name="a.b"),
            "needs a Python package that is not installed here (No module named 'a.b'): pip "
            "install a",
        ),
        (
            ImportError("no luck"),
            "needs a Python package that is not installed here (no luck): install it",
        ),
        (
            OSError("Can't read data (required filter 'x' is not registered)"),
            "is packed in a way that nothing installed here can unpack (Can't read data (required "
            "filter 'x' is not registered)): pip install hdf5plugin, or save it again without "
            "compression",
        ),
        (
            ValueError("unknown codec: 'zip9'"),
            "is packed in a way that nothing installed here can unpack (unknown codec: 'zip9'): "
            "install what unpacks it, or save it again without compression",
        ),
        (
            OSError("unable to lock file"),
            "is held open by another program: close it there, or copy the file",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            "may not be read (Permission denied): give your account the right to read it, or copy "
            "it to a folder of your own",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            "could not be read from its disk (Input/output error): check the disk or the network, "
            "and try again",
        ),
        (
            Image.DecompressionBombError("too many pixels"),
            "is larger than the library opens (too many pixels): save it as TIFF",
        ),
        (
            NotImplementedError("that kind"),
            "uses a part of its format that cannot be read here (that kind): the file may be "
            "whole; save it as TIFF in the program that it comes from",
        ),
        (
            OSError(errno.EINVAL, "Invalid argument"),
            "cannot be read as emd (OSError: [Errno 22] Invalid argument): it is damaged or of "
            "another format",
        ),
        (
            KeyError(),
            "cannot be read as emd (KeyError: no reason given): it is damaged or of another format",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_library_raises_is_told_for_what_it_is(error, said):
    assert str(unreadable(Path("some", "gold.EMD"), error)) == f'"gold.EMD" {said}'
    if not isinstance(error, MemoryError):
        raw = left_out("FFT", error)
        assert raw.name == "FFT"
        assert raw.unsuitable == f"it {said.replace('as emd', 'as an image')}"


@pytest.mark.parametrize("length", [499, 500, 501])
def test_a_sentence_has_at_most_500_characters(length):
    said = str(unreadable(Path("a.tif"), ReadingError("x" * length)))
    assert said == ("x" * length if length <= 500 else "x" * 499 + "…")
    raw = left_out("a", ReadingError("x" * (length - 100)))
    assert len(raw.unsuitable) == min(length - 100, 400)


# images that are none


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            RawImage(np.zeros((5, 7), np.complex64)),
            "its values are complex: a Fourier transform or wave function",
        ),
        (
            RawImage(np.zeros((5, 7)), steps=((1.0, "1/nm"), (1.0, "nm"))),
            "it is in reciprocal space (1/nm): a diffraction pattern or Fourier transform",
        ),
        (
            RawImage(np.zeros((3, 5, 7)), axis_units=("eV",)),
            "one of its axes is an energy: a spectrum or spectrum image",
        ),
        (RawImage(np.zeros(5)), "it has 1 axis: a profile or spectrum"),
        (RawImage(np.zeros((0, 7))), "its shape is (0, 7): it has no pixels"),
        (RawImage(np.zeros((5, 7), "S3")), "its values are |S3, not numbers"),
        (RawImage(np.zeros((5, 7)), unsuitable="it is a map"), "it is a map"),
    ],
)
def test_why_an_image_is_left_out(raw, said):
    assert refusal(micrograph_of, raw, "a", Path("a.tif"), kind=ValueError) == said


@pytest.mark.parametrize(
    ("raw", "notes"),
    [
        (
            RawImage(np.zeros((2, 3, 5, 7))),
            ("4 axes (2, 3, 5, 7): read as one series of 6 frames",),
        ),
        (
            RawImage(np.array([[1, np.nan], [np.inf, 2]])),
            ("2 of 4 pixels are not finite: cleaning puts the median of the others there",),
        ),
        (
            RawImage(np.zeros((5, 7), np.uint8), white_is_zero=255, notes=("first",)),
            ("first", "the file says that 0 is white: its values are turned round"),
        ),
        (
            RawImage(np.zeros((5, 7, 3), np.uint8), colour=True),
            ("saved in colour, but all grey: read as grey",),
        ),
        (
            RawImage(np.arange(105, dtype=np.uint8).reshape(5, 7, 3), colour=True),
            ("in colour: read as its luminance",),
        ),
        (
            RawImage(np.zeros((5, 7, 2), np.uint8), colour=True),
            ("grey with opacity: the opacity is left out",),
        ),
        (
            RawImage(np.zeros((5, 7)), steps=((1.0, "furlong"), (1.0, "nm"))),
            ('no pixel size: the unit "furlong" is not a unit of length',),
        ),
    ],
    ids=["axes", "not finite", "white", "grey in colour", "colour", "opacity", "unit"],
)
def test_what_was_done_while_reading(raw, notes):
    found = micrograph_of(raw, "gold", Path("folder", "gold.tif"))
    assert found.notes == notes
    assert (found.name, found.source) == ("gold", Path("folder", "gold.tif"))


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (
            np.zeros(5),
            '"gold" has 1 axes: a micrograph has the axes (row, column) or (frame, row, column)',
        ),
        (
            np.zeros((2, 3, 5, 7)),
            '"gold" has 4 axes: a micrograph has the axes (row, column) or (frame, row, column)',
        ),
        (
            np.zeros((5, 7), complex),
            '"gold" holds complex128 values: a micrograph holds real numbers; take the modulus of '
            "complex images",
        ),
        (np.zeros((3, 0, 7)), '"gold" has the shape (3, 0, 7): it has no pixels'),
    ],
)
def test_what_is_no_micrograph(pixels, said):
    assert refusal(Micrograph, pixels, "gold", kind=ValueError) == said


@pytest.mark.parametrize(("frames", "wrong"), [(1, 1), (1, -1), (3, 3), (3, -1)])
def test_frames_are_counted_from_0(frames, wrong):
    values = np.arange(frames * 35).reshape((5, 7) if frames == 1 else (frames, 5, 7))
    found = Micrograph(values, "gold")
    last = values if frames == 1 else values[-1]
    np.testing.assert_array_equal(found.frame(frames - 1), last)
    assert refusal(found.frame, wrong, kind=ValueError) == (
        f'"gold" has {frames} frames: there is no frame {wrong}'
    )


# pixel sizes


@pytest.mark.parametrize(
    ("nm", "said"),
    [
        (1.01e-4, None),
        (
            0.99e-4,
            "the file says 9.9e-05 nm, which is far smaller than an atom",
        ),
        (9_999.0, None),
        (
            20_000.0,
            "the file says 20,000 nm, which is 1.27e+03 dots per inch, as of a page, and larger "
            "than a camera's own pixels (10,000 nm)",
        ),
        (
            25.4e6 / 9600,
            "the file says 2,646 nm, which is a scanner's 9,600 dots per inch",
        ),
        (25.4e6 / 9600 * 1.0003, None),
    ],
)
def test_sizes_that_no_microscope_has(nm, said):
    size, notes = pixel_size_of(((0.5, "nm"), (nm, "nm")))
    if said is None:
        assert size == pytest.approx((0.5, nm))
        assert notes == ()
    else:
        assert size is None
        assert notes == (f"no pixel size: {said}; give the true one if you know it",)


# formats


def npy(path, values=None, version=(1, 0), cut=0):
    values = np.zeros((5, 7), np.uint16) if values is None else values
    with path.open("wb") as file:
        np.lib.format.write_array(file, values, version)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    return path


def test_npy_files(tmp_path):
    assert refusal(read_micrographs, npy(tmp_path / "a.npy", cut=1)) == (
        '"a.npy" declares 70 bytes of pixels but holds 69: it was cut off or damaged'
    )
    assert refusal(read_micrographs, npy(tmp_path / "b.npy", version=(3, 0))) == (
        '"b.npy" is NPY of version (3, 0): save it again as 1.0'
    )
    (found,) = read_micrographs(npy(tmp_path / "c.npy", version=(2, 0)))
    assert found.image_shape == (5, 7)
    objects = np.array([[1, None]], dtype=object)
    assert refusal(read_micrographs, npy(tmp_path / "d.npy", objects)) == (
        '"d.npy" holds Python objects: save an array of numbers'
    )
    (found,) = read_micrographs(npy(tmp_path / "e.npy", np.zeros((41, 59, 5), np.uint8)))
    assert found.notes == (
        "the last of the axes (41, 59, 5) is taken for 5 channels, each a frame: an image has "
        "more columns",
    )


def test_png_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"x" * 100)
    assert refusal(read_micrographs, path) == (
        '"a.png" does not start as a PNG file: it is of another format'
    )
    Image.fromarray(np.zeros((7, 11), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 50_000, 60_000)
    path.write_bytes(data)
    assert refusal(read_micrographs, path) == (
        f'"a.png" declares 60000 x 50000 pixels but has only {len(data)} bytes: it was cut off or '
        "damaged"
    )


def mrc(path, sizes=(7, 5, 1), mode=1, length=1024 + 70):
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, *sizes, mode)
    header[208:216] = b"MAP \x44\x44\0\0"
    path.write_bytes(bytes(header).ljust(length, b"\0")[:length])
    return path


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            {"mode": 5},
            "holds MRC values of mode 5: modes 0, 1, 2, 4, 6, 12, 3, 16, 101 can be read",
        ),
        (
            {"sizes": (7, -5, 1)},
            "declares 1 frames of -5 x 7 pixels: it is not an MRC file, or damaged",
        ),
        (
            {"sizes": (7, 5, 0)},
            "declares 0 frames of 5 x 7 pixels: it is not an MRC file, or damaged",
        ),
        (
            {"length": 1024 + 69},
            "declares 70 bytes of pixels but holds 69: it was cut off or damaged",
        ),
        (
            {"length": 1023},
            "has 1023 bytes: an MRC file starts with a header of 1024; it was cut off",
        ),
    ],
)
def test_mrc_files(tmp_path, made, said):
    assert refusal(read_micrographs, mrc(tmp_path / "a.mrc", **made)) == f'"a.mrc" {said}'
    (found,) = read_micrographs(mrc(tmp_path / "b.mrc"))
    assert found.image_shape == (5, 7)


def ser(path, *, order=0x4949, kind=0x4122, frames=2, shapes=((5, 7), (5, 7)), codes=(2, 2), cut=0):
    """Write a series by the layout of Chris Boothroyd (offsets of 4 bytes)."""
    head = struct.pack("<HHHIIIIII", order, 0x0197, 0x0210, kind, 0, frames, frames, 30, 0)
    body, offsets = b"", []
    for (rows, columns), code in zip(shapes, codes, strict=True):
        offsets.append(30 + 4 * len(shapes) + len(body))
        body += struct.pack("<ddIddIHII", 0, 2e-10, 0, 0, 2e-10, 0, code, columns, rows)
        body += bytes(2 * rows * columns)
    data = head + np.array(offsets, "<u4").tobytes() + body
    path.write_bytes(data[: len(data) - cut])
    return path


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"order": 0x4D4D}, '"a_1.ser" does not start as a TIA series: it is not a .ser file'),
        ({"kind": 0x4123}, '"a_1.ser" holds data of the kind 0x4123: images are 0x4122'),
        (
            {"frames": 0},
            '"a_1.ser" holds no frame: the acquisition was stopped before one',
        ),
        (
            {"frames": 90},
            '"a_1.ser" declares 90 frames whose table ends beyond its 278 bytes: it was cut off or '
            "damaged",
        ),
        ({"codes": (11, 2)}, '"a_1.ser" holds values of type 11: 1 to 10 are known'),
        (
            {"shapes": ((5, 7), (7, 5))},
            'frame 1 of "a_1.ser" is 7 x 5 of type 2, the first is 5 x 7 of type 2: the frames '
            "must be alike",
        ),
        (
            {"codes": (2, 5)},
            'frame 1 of "a_1.ser" is 5 x 7 of type 5, the first is 5 x 7 of type 2: the frames '
            "must be alike",
        ),
        (
            {"cut": 1},
            '"a_1.ser" declares frames of 5 x 7 pixels but has only 277 bytes: it was cut off or '
            "damaged",
        ),
        ({"cut": 71}, 'frame 1 of "a_1.ser" starts beyond its end: cut off'),
    ],
)
def test_ser_files(tmp_path, made, said):
    path = ser(tmp_path / "a_1.ser", **made)
    assert refusal(read_micrographs, path) == said
    (tmp_path / "a.emi").write_bytes(b"x")
    assert refusal(read_micrographs, tmp_path / "a.emi") == (
        f'"a_1.ser" of "a.emi" cannot be read: {said}'
    )


def test_emi_files(tmp_path):
    (tmp_path / "a.emi").write_bytes(b"x")
    assert refusal(read_micrographs, tmp_path / "a.emi") == (
        '"a.emi" holds no pixels itself: put its "a_1.ser" beside it'
    )
    ser(tmp_path / "a_1.ser", kind=0x4120)
    assert refusal(read_micrographs, tmp_path / "a_1.ser") == (
        '"a_1.ser" holds no real-space image: "a_1" is left out: it holds spectra'
    )
    (found,) = read_micrographs(ser(tmp_path / "b_1.ser"))
    assert found.pixels.shape == (2, 5, 7)


def ome_zarr(path, *, shape=(5, 7), axes="yx", scale=None, name=None):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", shape=shape, dtype="u1", chunks=shape)[...] = 0
    level = {"path": "0"}
    if scale is not None:
        level["coordinateTransformations"] = [{"type": "scale", "scale": scale}]
    described = {"axes": [{"name": axis} for axis in axes], "datasets": [level]}
    group.attrs["multiscales"] = [described | ({} if name is None else {"name": name})]
    return path


def test_zarr_stores(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    assert refusal(read_micrographs, tmp_path / "a.zarr") == (
        '"a.zarr" is a zarr store without OME images ("multiscales")'
    )
    group = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2)
    for array in ("raw", "mask"):
        group.create_array(array, shape=(5, 7), dtype="u1", chunks=(5, 7))[...] = 0
    assert refusal(read_micrographs, tmp_path / "b.zarr") == (
        '"b.zarr" is a zarr store without OME images ("multiscales"); to read one of its arrays, '
        'name it: "b.zarr/mask"'
    )
    (found,) = read_micrographs(tmp_path / "b.zarr" / "raw")
    assert found.notes == ("no pixel size: the array has no OME metadata",)
    assert refusal(read_micrographs, ome_zarr(tmp_path / "c.zarr", axes="zyx")) == (
        '"0" has 2 axes, of which its metadata describe 3: they must be as many'
    )
    assert refusal(read_micrographs, ome_zarr(tmp_path / "d.zarr", shape=(7,), axes="x")) == (
        '"0" is an array of 1 axes: images have two'
    )
    (found,) = read_micrographs(ome_zarr(tmp_path / "e.zarr", scale=[0.4, 0.2]))
    assert found.notes == ("no pixel size: its axes have a scale, but no unit",)
    (found,) = read_micrographs(ome_zarr(tmp_path / "f.zarr", scale=[0.4]))
    assert found.notes == ("no pixel size: its scale cannot be read (1 numbers for 2 axes)",)
    many = ome_zarr(tmp_path / "g.zarr", shape=(2, 3, 5, 7), axes="tcyx")
    (found,) = read_micrographs(many)
    assert found.notes == ("4 axes (2, 3, 5, 7): read as one series of 6 frames",)
    series = zarr.open_group(tmp_path / "h.zarr", mode="w", zarr_format=2)
    for place in "01":
        ome_zarr(tmp_path / "h.zarr" / place, name=f"left {place}")
    assert series is not None
    assert refusal(read_labels, tmp_path / "h.zarr") == (
        '"h.zarr" holds 2 images ("left 0", "left 1"): name the one that is meant, with the path '
        "that leads to it in the store"
    )


@pytest.mark.parametrize("read", [read_micrographs, hspy_images], ids=["on trial", "at once"])
def test_hyperspys_files(tmp_path, read):
    """Files of HDF5 are opened in a process of its own first, which says the same."""
    with h5py.File(tmp_path / "a.hspy", "w") as file:
        file["data"] = np.zeros((5, 7))
    assert refusal(read, tmp_path / "a.hspy") == (
        '"a.hspy" has no group "Experiments": it is not a HyperSpy file'
    )
    with h5py.File(tmp_path / "b.hspy", "w") as file:
        signal = file.create_group("Experiments/eels")
        signal["data"] = np.zeros((5, 7))
        signal.create_group("axis-0").attrs["navigate"] = True
    assert refusal(read_micrographs, tmp_path / "b.hspy") == (
        '"b.hspy" holds no real-space image: "b" is left out: it has 1 signal axis: a spectrum'
    )


@pytest.mark.parametrize("read", [read_micrographs, emd_images], ids=["on trial", "at once"])
def test_emd_files(tmp_path, read):
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["data"] = np.zeros((5, 7))
    assert refusal(read, tmp_path / "a.emd") == (
        '"a.emd" is HDF5 but neither a Velox file nor one of Berkeley\'s EMD: no group has the '
        'attribute "emd_group_type" and an array "data"'
    )
    for others, held in (
        ({}, "nothing"),
        ({"Data/Spectrum/a": 1, "Data/Map/b": 2}, "Map, Spectrum"),
    ):
        with h5py.File(tmp_path / "b.emd", "w") as file:
            said = json.dumps({"format": "Velox"}).encode()
            file["Version"] = np.array([said], dtype=h5py.string_dtype())
            for place, value in others.items():
                file[place] = value
        assert refusal(read, tmp_path / "b.emd") == (
            f'"b.emd" is a Velox file without an image; it holds {held}: export an image from Velox'
        )


def berkeley(path, shape, *dims):
    with h5py.File(path, "w") as file:
        group = file.create_group("data/picture")
        group.attrs["emd_group_type"] = 1
        group["data"] = np.zeros(shape, np.uint8)
        for number, (name, unit) in enumerate(dims, start=1):
            dim = group.create_dataset(f"dim{number}", data=np.arange(shape[number - 1]) ** 2)
            dim.attrs["name"], dim.attrs["units"] = name, unit
    return path


@pytest.mark.parametrize(
    ("shape", "dims", "said"),
    [
        ((7,), (("x", "nm"),), "it has 1 axis: a profile or spectrum"),
        (
            (3, 5, 7),
            (("energy", ""), ("y", "nm"), ("x", "nm")),
            "one of its axes is an energy: a spectrum or spectrum image",
        ),
        (
            (3, 5, 7),
            (("a", "keV"), ("y", "nm"), ("x", "nm")),
            "one of its axes is an energy: a spectrum or spectrum image",
        ),
        (
            (5, 7),
            (("Q_y", "A^-1"), ("Q_x", "A^-1")),
            "it is in reciprocal space (A^-1): a diffraction pattern",
        ),
        (
            (5, 7),
            (("Q_y", "pixels"), ("Q_x", "pixels")),
            "it is in reciprocal space: a diffraction pattern",
        ),
        (
            (2, 3, 5, 7),
            (("y", "nm"), ("x", "nm"), ("Q_y", "A^-1"), ("Q_x", "A^-1")),
            "it holds a diffraction pattern for each point (4D-STEM)",
        ),
    ],
)
def test_arrays_of_emd_that_are_no_images(tmp_path, shape, dims, said):
    (raw,) = emd_images(berkeley(tmp_path / "a.emd", shape, *dims))
    assert raw.unsuitable == said
    assert raw.name == "picture"


def test_places_of_emd_that_are_not_even(tmp_path):
    (raw,) = emd_images(berkeley(tmp_path / "a.emd", (5, 7), ("y", "nm"), ("x", "nm")))
    assert raw.steps is None
    assert raw.notes == (
        "no pixel size: the pixels' coordinates in the file are not evenly spaced",
    )


def test_tiff_files(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((50, 70), np.uint8), rowsperstrip=50)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size - 1])
    assert refusal(read_micrographs, path) == (
        '"a.tif" declares 3,500 bytes of pixels but holds 3,499: it was cut off or damaged; copy '
        "it again from where it came from"
    )
    values = np.random.default_rng(1).integers(0, 255, (50, 70)).astype(np.uint8)
    tifffile.imwrite(path, values, compression="zlib", rowsperstrip=10)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["RowsPerStrip"].overwrite(1)
    assert refusal(read_micrographs, path) == (
        '"a.tif" declares 50 compressed parts but holds 5: it is damaged; copy it again from where '
        "it came from"
    )
    tifffile.imwrite(path, values, compression="zlib")
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    assert refusal(read_micrographs, path) == (
        f'"a.tif" has pixels beyond its end of {len(data) - 9:,} bytes: it was cut off; copy it '
        "again from where it came from"
    )


# labels


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            np.array([[0, 0.5]], np.float32),
            "are of type float32 with fractions: labels are whole numbers, 0 and up; this looks "
            "like an image or probabilities",
        ),
        (np.array([[1j]]), "are of type complex128: give whole numbers"),
        (
            np.array([[-1, 3]]),
            "go from -1 to 3: labels go from 0 to 2147483647; number them again from 1 up, and "
            "give background 0",
        ),
        (
            np.array([[0, 2**31]]),
            "go from 0 to 2147483648: labels go from 0 to 2147483647; number them again from 1 up, "
            "and give background 0",
        ),
        (
            np.zeros(5, int),
            "have the shape (5,): labels are (row, column) or (frame, row, column)",
        ),
        (
            np.zeros((0, 5), int),
            "have the shape (0, 5): labels are (row, column) or (frame, row, column)",
        ),
    ],
)
def test_what_is_no_label(tmp_path, values, said):
    np.save(tmp_path / "a.npy", values)
    assert refusal(read_labels, tmp_path / "a.npy") == f'labels "a.npy" {said}'


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(255, "u1"), (256, "u2"), (65_535, "u2"), (65_536, "i4"), (2**31 - 1, "i4")],
)
def test_labels_are_read_in_the_smallest_type(tmp_path, largest, dtype):
    np.save(tmp_path / "a.npy", np.array([[0, largest]]))
    found = read_labels(tmp_path / "a.npy")
    assert found.dtype == dtype
    assert found.tolist() == [[0, largest]]


@pytest.mark.parametrize(
    ("largest", "dtype"), [(255, "u1"), (256, "u2"), (65_535, "u2"), (65_536, "u4")]
)
def test_labels_are_written_in_the_smallest_type(largest, dtype):
    assert as_labels([[0, largest]], Path("a.tif")).dtype == dtype
    assert as_labels([[0, 1]], Path("a.tif"), dtype).dtype == dtype


def colour(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    return tmp_path / "a.npy"


def test_labels_in_colour(tmp_path):
    grey = np.zeros((41, 59, 4), np.uint8)
    grey[3, 5, 3] = 1
    assert refusal(read_labels, colour(tmp_path, grey)) == (
        '"a.npy" is see-through in places: labels are one whole number a pixel; save the mask '
        "without opacity"
    )
    grey = np.zeros((41, 59, 3), np.uint8)
    grey[3, 5, 2] = 1
    assert refusal(read_labels, colour(tmp_path, grey)) == (
        '"a.npy" is in colour: labels are one whole number a pixel; save the mask in grey, or with '
        "a palette"
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda folder: write_labels(folder / "a.jpg", [[1]]),
            '"a.jpg" has the ending ".jpg": labels are written to .npy, .ome.zarr, .png, .tif, '
            ".tiff, .zarr",
        ),
        (
            lambda folder: write_labels(folder / "a.png", np.ones((3, 5, 7), int)),
            'labels for "a.png" have 3 frames: a PNG holds one; write .tif',
        ),
        (
            lambda folder: write_labels(folder / "a.png", [[65_536]]),
            'labels for "a.png" go beyond 65,535, which is all that a PNG holds: write .tif',
        ),
        (
            lambda folder: write_labels(folder / "a.tif", [1, 2]),
            'labels for "a.tif" have the shape (2,): give (row, column) or (frame, row, column)',
        ),
        (
            lambda folder: write_labels(folder / "a.tif", [[0.5]]),
            'labels for "a.tif" are of type float64: give whole numbers',
        ),
        (
            lambda folder: write_labels(folder / "a.tif", [[-1, 2**31]]),
            'labels for "a.tif" go from -1 to 2147483648: they must be from 0 to 2,147,483,647',
        ),
        (
            lambda folder: write_labels(folder / "a.tif", [[1]], (0.0, 1.0)),
            "pixel_size_nm is (0.0, 1.0): both sizes must be more than 0 nm",
        ),
        (
            lambda folder: write_probabilities(folder / "a.tif", np.ones((5, 7))),
            "probabilities have the shape (5, 7): give (class, row, column)",
        ),
        (
            lambda folder: write_probabilities(folder / "a.png", np.ones((2, 5, 7))),
            '"a.png" has no ending of TIFF: probabilities go into .tif',
        ),
        (
            lambda folder: write_instances(folder / "a.csv", [], {}),
            '"a.csv" ends in ".csv": COCO is written as .json, ROIs of ImageJ as .zip, GeoJSON as '
            ".geojson",
        ),
        *(
            (
                lambda folder, name=name: write_instances(
                    folder / name, [InstanceImage("b.tif", np.ones((5, 7)))], {1: "x"}
                ),
                'instances of "b.tif" have the shape (5, 7) and the type float64: give whole '
                "numbers (row, column)",
            )
            for name in ("a.json", "a.geojson", "a.zip")
        ),
        *(
            (
                lambda folder, name=name: write_instances(
                    folder / name, [InstanceImage("b.tif", np.eye(3, dtype=int), {1: 7})], {1: "x"}
                ),
                'instance 1 of "b.tif" is of class 7, which has no name',
            )
            for name in ("a.json", "a.geojson", "a.zip")
        ),
        (
            lambda folder: LabelSeries(folder / "a.tif", 2, (5, 7)).write(-1, np.ones((5, 7), int)),
            '"a.tif" has 2 frames: no frame -1',
        ),
        (
            lambda folder: LabelSeries(folder / "a.tif", 2, (5, 7)).write(0, np.ones((5, 6), int)),
            'frame 0 for "a.tif" is (5, 6): it must be (5, 7)',
        ),
        (
            lambda folder: LabelSeries(folder / "a.tif", 2, (5, 7)).finish(),
            '"a.tif" is missing 2 of 2 frames, the first is 0: write all of them first',
        ),
    ],
)
def test_what_cannot_be_written(tmp_path, call, said):
    assert refusal(call, tmp_path, kind=ValueError) == said
    assert not (tmp_path / "a.tif").exists()


def test_sizes_that_are_written_are_lengths():
    assert checked_size(None) is None
    assert checked_size((1, 2)) == (1.0, 2.0)
    for wrong in ((0, 1), (1, 0), (-1, 1), (float("inf"), 1), (1, float("inf"))):
        with pytest.raises(ValueError, match="both sizes must be more than 0 nm"):
            checked_size(wrong)
    for name in ("a.NPY", "a.Png", "a.TIF", "a.tiff", "a.ome.zarr"):
        assert callable(label_writer(Path(name), (5, 7)))


def test_a_frame_that_is_not_there():
    packed = PackedLabels((3, 5, 7), np.uint8)
    assert refusal(lambda: packed[-4], kind=IndexError) == (
        "there is no frame -4: the series has 3"
    )
    assert not packed[-3].any()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array([[0, LARGEST_LABEL]]), None),
        (np.array([[True]]), None),
        (np.zeros((0, 5), int), None),
        (
            np.array([[0, LARGEST_LABEL + 1]]),
            'labels of "gold" go from 0 to 2147483648: use label values from 0 to 2,147,483,647',
        ),
        (
            np.array([[0.0]]),
            'labels of "gold" hold float64 values: labels are whole numbers; save them as an '
            "integer image",
        ),
    ],
)
def test_labels_fit_their_image(labels, said):
    if said is None:
        check_labels("gold", np.zeros(labels.shape), labels)
    else:
        assert (
            refusal(check_labels, "gold", np.zeros(labels.shape), labels, kind=ValueError) == said
        )


@pytest.mark.parametrize(
    ("counts", "unlabelled", "labels_are", "said"),
    [
        ({0: 9}, "background", "auto", "the labels hold nothing but background"),
        ({0: 9, 255: 1}, "background", "auto", "the labels hold the value 255"),
        ({0: 9, 1: 1, 3: 1}, "background", "auto", "the labels hold the classes 1, 3"),
        (
            {0: 9, 1: 1, 3: 1},
            "ignore",
            "auto",
            "the labels are strokes: 0 is not annotated, 1 background",
        ),
        (
            {0: 9, 1: 1, 3: 1},
            "background",
            "particles",
            "the labels are numbers of particles: taken as 2 numbered particles; zeros are "
            "background",
        ),
        (
            {0: 9, 1: 1, 3: 1},
            "ignore",
            "particles",
            "the labels are numbers of particles: taken as 1 numbered particles; zeros are not "
            "annotated, 1 is background, and each numbered particle is drawn whole",
        ),
        (
            dict.fromkeys(range(1_236), 5),
            "background",
            "auto",
            "the labels hold 1,235 values: more than 16 are particles with a number each: taken as "
            "1,235 numbered particles; zeros are background",
        ),
    ],
)
def test_what_labels_mean_in_words(counts, unlabelled, labels_are, said):
    assert in_words(meaning_of(counts, unlabelled, labels_are)) == said
    planes = [np.repeat(list(counts), list(counts.values()))[None]]
    if labels_are == "particles":
        assert in_words(find_meaning(planes, unlabelled, labels_are)) == said


# outlines


def geojson(path, *features):
    path.write_text(json.dumps(list(features)))
    return path


def square(at=0, **more):
    ring = [[at, at], [at + 4, at], [at + 4, at + 4], [at, at + 4], [at, at]]
    geometry = {"type": "Polygon", "coordinates": [ring], **more}
    return {"type": "Feature", "geometry": geometry}


POINT = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}}


def test_files_of_outlines(tmp_path):
    assert refusal(read_outlines, tmp_path / "a.txt") == (
        '"a.txt" has the ending ".txt": outlines are read from .geojson, .roi, .zip'
    )
    missing = tmp_path / "a.roi"
    assert refusal(read_outlines, missing) == f'"{missing}" is not there: check the path'
    assert refusal(read_outlines, geojson(tmp_path / "a.geojson", POINT, POINT)) == (
        '"a.geojson" holds 2 features of type Point and no area: outline the particles in QuPath '
        "and write them with File > Export objects as GeoJSON"
    )
    assert refusal(read_outlines, geojson(tmp_path / "a.geojson")) == (
        '"a.geojson" holds no feature and no area: outline the particles in QuPath and write them '
        "with File > Export objects as GeoJSON"
    )
    broken = square()
    broken["geometry"]["coordinates"][0][1] = [float("nan"), 1]
    assert refusal(read_outlines, geojson(tmp_path / "a.geojson", square(), broken)).startswith(
        ('feature 2 of "a.geojson" is damaged (a corner is not a number): ', '"a.geojson" cannot')
    )
    below = square(plane={"t": -1})
    assert refusal(read_outlines, geojson(tmp_path / "a.geojson", below)) == (
        'feature 1 of "a.geojson" is damaged (its plane is -1): write the file anew in the program '
        "that it comes from"
    )
    found = read_outlines(geojson(tmp_path / "a.geojson", square(), POINT))
    assert found.notes == ("Point among the features are left out: they have no area",)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    assert refusal(read_outlines, tmp_path / "a.zip") == (
        '"a.zip" holds no ImageJ ROI: save the ROIs with "Save..." in ImageJ\'s ROI manager'
    )


def test_outlines_that_do_not_fit_their_image(tmp_path):
    def labels(shape, *features):
        file = read_outlines(geojson(tmp_path / "a.geojson", *features))
        return file.labels(shape, legend_of(file.outlines))

    planes = [square(at, plane={"t": at}) for at in (0, 3)]
    assert refusal(labels, (9, 9), *planes) == (
        '"a.geojson" has outlines on 2 frames, 1 to 4, but the image is a single one: open the '
        "series that they were drawn on"
    )
    assert refusal(labels, (3, 9, 9), *planes) == (
        '"a.geojson" has outlines on frame 4, but the image has 3: they are of another series'
    )
    assert labels((4, 9, 9), *planes)[0][3].any()
    assert refusal(labels, (9, 9), square(20)) == (
        'all outlines of "a.geojson" lie outside of the image, which is 9 x 9: they are of another '
        "image, or in units other than px"
    )
    found, notes = labels((9, 9), square(), square(2), square(5))
    assert notes == (
        '2 outlines of "a.geojson" overlap others: where two overlap the later one has the pixels',
    )
    assert found[3, 3] == 2


# cleaning


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"spikes": "all"}, 'spikes is "all": it must be one of none, paper, robust'),
        ({"spike_threshold": 0}, "spike_threshold is 0: it must be more than 0"),
        (
            {"spike_threshold": float("nan")},
            "spike_threshold is nan: it must be more than 0",
        ),
        ({"flatten": 7}, "flatten is 7: the order must be from 0 (off) to 6"),
        ({"flatten": -1}, "flatten is -1: the order must be from 0 (off) to 6"),
        ({"binning": 0}, "binning is 0: it must be at least 1 (off)"),
    ],
)
def test_wrong_cleaning(settings, said):
    assert refusal(lambda: Cleaning(**settings), kind=ValueError) == said


@pytest.mark.parametrize(
    ("cleaning", "threshold", "said"),
    [
        (Cleaning(), 8, "nothing"),
        (Cleaning("paper"), 1500, "spikes above median + 1500 replaced"),
        (Cleaning("paper", 400), 400, "spikes above median + 400 replaced"),
        (Cleaning("robust"), 8, "spikes above 8 times the local noise replaced"),
        (Cleaning(flatten=6), 8, "illumination flattened with order 6"),
        (Cleaning(binning=2), 8, "binned 2 x 2"),
    ],
)
def test_cleaning_in_words(cleaning, threshold, said):
    assert (cleaning.threshold, cleaning.sentence) == (threshold, said)
    assert cleaning.pixel_size_nm((0.5, 0.25)) == (
        0.5 * cleaning.binning,
        0.25 * cleaning.binning,
    )


def test_what_cannot_be_cleaned():
    assert refusal(clean, np.zeros((5, 7)), Cleaning(binning=6), kind=ValueError) == (
        "binning is 6 but the image is 5 x 7: a block must fit into it"
    )
    assert refusal(fill_not_finite, np.zeros(5), kind=ValueError) == (
        "the pixels have the shape (5,): an image is (row, column)"
    )
    assert refusal(fill_not_finite, np.full((5, 7), np.nan), kind=ValueError) == (
        "no pixel of the image is finite: it holds only NaN or infinity"
    )
