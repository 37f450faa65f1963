"""What Velox and DigitalMicrograph call their images, and which of them are none."""

import json

import h5py
import numpy as np
import pytest

from napari_tem_rf.micrographs.digitalmicrograph import _raw
from napari_tem_rf.micrographs.emd import emd_images
from napari_tem_rf.micrographs.velox import is_velox

GREY = np.arange(23 * 31, dtype=np.uint16).reshape(23, 31)
SIZE = {"PixelSize": {"width": "2e-10", "height": "4e-10"}, "PixelUnitX": "m", "PixelUnitY": "m"}


def text(value):
    return np.array([json.dumps(value).encode()], dtype=h5py.string_dtype())


def add(file, key, about=None, values=GREY[:, :, None]):
    group = file.create_group(f"Data/Image/{key}")
    group["Data"] = values
    said = {"BinaryResult": SIZE} if about is None else about
    packed = np.frombuffer(json.dumps(said).encode().ljust(1000, b"\0"), np.uint8)
    group["Metadata"] = packed[:, None]
    return group


@pytest.fixture
def velox(tmp_path):
    """A file to which images are added, and its path."""
    path = tmp_path / "a.emd"
    with h5py.File(path, "w") as file:
        file["Version"] = text({"version": "11", "format": "Velox"})
        yield file, path


def images(velox):
    file, path = velox
    file.close()
    return emd_images(path)


@pytest.mark.parametrize(
    ("said", "is_one"),
    [
        ({"format": "Velox"}, True),
        ({"format": "DevelopersKit"}, True),
        ({"format": "velox"}, False),
        ({"version": "11"}, False),
        (["Velox"], False),
        (7, False),
    ],
)
def test_velox_says_so(tmp_path, said, is_one):
    with h5py.File(tmp_path / "a.emd", "w") as file:
        assert not is_velox(file)
        file["Version"] = text(said)
        assert is_velox(file) == is_one


def test_names_are_titles_or_detectors(velox):
    file, _ = velox
    add(file, "0a", {"BinaryResult": {**SIZE, "Detector": "HAADF"}})
    # a camera is named by its number alone
    detectors = {"Detector-3": {"DetectorName": "BM-Ceta"}}
    add(file, "0b", {"BinaryResult": {**SIZE, "DetectorIndex": "3"}, "Detectors": detectors})
    add(file, "0c", {"BinaryResult": {**SIZE, "Detector": "BF"}})
    add(file, "0d", {"BinaryResult": {**SIZE, "Detector": "BF"}})
    add(file, "0e")
    # up to version 10, and after it, both with characters of an URL
    old = {"dataPath": "/Data/Image/0c", "display": {"label": "DPC%20x"}}
    file["Presentation/Displays/ImageDisplay/1"] = text(old)
    file["Shared/2"] = text({"dataPath": "/Data/Image/0d"})
    file["Displays/ImageDisplay/2"] = text({"data": "/Shared/2", "title": "Au%20%231", "id": "x"})
    found = images(velox)
    assert [raw.name for raw in found] == ["HAADF", "BM-Ceta", "DPC x", "Au #1", ""]
    assert all(raw.steps == ((4e-10, "m"), (2e-10, "m")) for raw in found)


@pytest.mark.parametrize(
    ("fields", "name"),
    [(("real", "imag"), "FFT"), (("realFloatHalfEven", "imagFloatHalfEven"), "Half FFT")],
)
def test_numbers_of_two_parts_are_complex(velox, fields, name):
    file, _ = velox
    pair = np.zeros((23, 12, 1), [(field, "f4") for field in fields])
    add(file, "0a", {"BinaryResult": {**SIZE, "Detector": "FFT"}}, pair)
    (raw,) = images(velox)
    assert raw.name == name
    assert raw.unsuitable == "its values are complex: a Fourier transform or wave function"


def test_images_of_two_and_of_three_axes(velox):
    file, _ = velox
    add(file, "0a", values=GREY)
    add(file, "0b", {"BinaryResult": SIZE, "Scan": {"FrameTime": "0.5"}}, np.stack([GREY] * 3, -1))
    add(file, "0c", values=GREY[0])
    # without frames there is no time between them
    add(file, "0d", {"BinaryResult": SIZE, "Scan": {"FrameTime": "0.5"}})
    file.create_group("Data/Image/0e")
    plain, series, line, one = images(velox)
    np.testing.assert_array_equal(plain.pixels, GREY)
    assert series.pixels.shape == (3, 23, 31)
    assert series.metadata == {"frame_interval_s": 0.5}
    assert line.unsuitable == "it has 1 axes"
    assert one.metadata == {}
    # one frame of a series until it becomes a micrograph
    assert one.pixels.shape == (1, 23, 31)


@pytest.mark.parametrize(
    ("about", "steps"),
    [
        ({}, None),
        ({"BinaryResult": {**SIZE, "PixelSize": {"width": "2e-10"}}}, None),
        ({"BinaryResult": {**SIZE, "PixelSize": {"width": "wide", "height": "1"}}}, None),
        (
            {"BinaryResult": {"PixelSize": {"width": 2, "height": 4}}},
            ((4.0, None), (2.0, None)),
        ),
        (
            {"BinaryResult": {**SIZE, "PixelUnitX": "1/m", "PixelUnitY": "um"}},
            ((4e-10, "um"), (2e-10, "1/m")),
        ),
    ],
)
def test_sizes_of_velox(velox, about, steps):
    add(velox[0], "0a", about)
    (raw,) = images(velox)
    assert raw.steps == steps


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b'["a"]', "it is not a table"),
        (b"no JSON", "Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_what_cannot_be_read_of_an_image_is_said(velox, packed, said):
    group = add(velox[0], "0a")
    del group["Metadata"]
    group["Metadata"] = np.frombuffer(packed.ljust(50, b"\0"), np.uint8)
    (raw,) = images(velox)
    assert raw.notes == (
        f"no pixel size: what Velox wrote about the image cannot be read ({said})",
    )
    np.testing.assert_array_equal(raw.pixels[0], GREY)


# DigitalMicrograph, as RosettaSciIO hands its images on


def signal(*axes, title="gold"):
    described = [
        {"name": name, "scale": scale, "units": unit, "navigate": navigate}
        for name, scale, unit, navigate in axes
    ]
    return {"axes": described, "metadata": {"General": {"title": title}}}


Y, X = ("y", 0.4, "nm", False), ("x", 0.2, "µm", False)


@pytest.mark.parametrize(
    ("axes", "units", "terms"),
    [
        ((Y, X), (), {}),
        ((("t", 40.0, "ms", True), Y, X), ("ms",), {"frame_interval_s": 0.04}),
        ((("t", 2.0, "s", True), Y, X), ("s",), {"frame_interval_s": 2.0}),
        ((("z", 2.0, "nm", True), Y, X), ("nm",), {}),
        ((("t", 2.0, None, True), Y, X), ("",), {}),
        ((("t", 2.0, "s", True), ("u", 1.0, "eV", True), Y, X), ("s", "eV"), {}),
    ],
)
def test_axes_of_digitalmicrograph(axes, units, terms):
    pixels = np.zeros((2,) * (len(axes) - 2) + (23, 31))
    raw = _raw(signal(*axes), pixels, {"voltage_kv": 200.0})
    assert raw.pixels is pixels
    assert raw.name == "gold"
    assert raw.steps == ((0.4, "nm"), (0.2, "µm"))
    assert raw.axis_units == units
    assert raw.metadata == {"voltage_kv": 200.0} | {
        name: pytest.approx(value) for name, value in terms.items()
    }
    assert not raw.colour


@pytest.mark.parametrize(
    "axes",
    [(X,), (("t", 1.0, "s", True), X)],
    ids=["one axis", "one image axis"],
)
def test_profiles_of_digitalmicrograph(axes):
    raw = _raw(signal(*axes, title=None), np.zeros((2,) * len(axes)), {})
    assert raw.unsuitable == "it has one image axis: a profile or spectrum"
    assert raw.name == ""


@pytest.mark.parametrize(("names", "colour"), [("RGBA", True), ("RGB", True), ("RGX", False)])
def test_colour_of_digitalmicrograph(names, colour):
    pixels = np.zeros((23, 31), [(name, "u1") for name in names])
    pixels[names[1]] = 7
    raw = _raw(signal(Y, X), pixels, {})
    assert raw.colour == colour
    if colour:
        assert raw.pixels.shape == (23, 31, len(names))
        assert raw.pixels[0, 0].tolist() == [0, 7, *(0,) * (len(names) - 2)]
