"""EMD files of both kinds: axes by their names, units, and images beside what is not an image.

The right shapes and sizes follow from the description of EMD 0.2 (dim1 belongs to the first axis of
the data) and from ncempy, which writes and reads it so. RosettaSciIO turns every array of EMD round
whatever its axes are called, and refuses a Velox file with spectra where "sparse" is not installed.
"""

import json

import h5py
import numpy as np
import pytest

from napari_tem_rf.micrographs import frames
from napari_tem_rf.micrographs.reading import ReadingError, read_micrographs

ROWS, COLUMNS = 41, 59


def ramp():
    """Values that no transposition or flip leaves as they are."""
    return (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 7 % 241).astype(np.uint8)


def write_emd(path, pixels, names, steps, units, first=1):
    with h5py.File(path, "w") as file:
        file.attrs["version_major"], file.attrs["version_minor"] = 0, 2
        group = file.create_group("data/picture")
        group.attrs["emd_group_type"] = 1
        group["data"] = pixels
        described = zip(pixels.shape, names, steps, units, strict=True)
        for axis, (length, name, step, unit) in enumerate(described, start=first):
            dim = group.create_dataset(f"dim{axis}", data=np.arange(length) * step)
            if name is not None:
                dim.attrs["name"] = np.bytes_(name)
            if unit is not None:
                dim.attrs["units"] = np.bytes_(unit)


def read(path):
    (micrograph,) = read_micrographs(path)
    return micrograph


NM = "[n_m]"


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("names", "order"),
    [("zyx", (0, 1, 2)), ("xyz", (2, 1, 0)), ("yxz", (1, 2, 0)), (("time", "Y", "X"), (0, 1, 2))],
)
def test_axes_are_what_they_are_called(tmp_path, monkeypatch, names, order, in_memory):
    if not in_memory:
        monkeypatch.setattr(frames, "IN_MEMORY_BYTES", 1000)
    stack = np.stack([ramp() // divisor for divisor in (1, 2, 3, 4, 5)])
    steps = [(7.0, 0.4, 0.2)[axis] for axis in order]
    path = tmp_path / "stack.emd"
    write_emd(path, stack.transpose(order), names, steps, [NM] * 3)
    micrograph = read(path)
    assert isinstance(micrograph.pixels, np.ndarray) == in_memory
    np.testing.assert_array_equal(np.asarray(micrograph.pixels), stack)
    assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))


def test_an_image_is_as_its_axes_are_called(tmp_path):
    write_emd(tmp_path / "yx.emd", ramp(), "YX", (0.4, 0.2), [NM] * 2)
    write_emd(tmp_path / "xy.emd", ramp().T, "xy", (0.2, 0.4), [NM] * 2)
    for name in ("yx.emd", "xy.emd"):
        micrograph = read(tmp_path / name)
        np.testing.assert_array_equal(micrograph.pixels, ramp())
        assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))


def test_axes_without_names_follow_the_versions_programs(tmp_path):
    # RosettaSciIO writes 0.2 with x first; files that count from dim0 have x last
    write_emd(tmp_path / "a.emd", ramp().T, (None, None), (0.2, 0.4), [NM] * 2)
    write_emd(tmp_path / "b.emd", ramp(), (None, None), (0.4, 0.2), [NM] * 2, first=0)
    write_emd(tmp_path / "c.emd", ramp().T[None], ("", "", ""), (1, 0.2, 0.4), [NM] * 3)
    for name in ("a.emd", "b.emd", "c.emd"):
        micrograph = read(tmp_path / name)
        np.testing.assert_array_equal(micrograph.pixels, ramp())
        assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("[n_m]", 1),
        ("n_m", 1),
        ("u_m", 1e-3),
        ("[u_m]", 1e-3),
        ("p_m", 1e3),
        ("microns", 1e-3),
        ("µ", 1e-3),
        ("nm/px", 1),
        ("nm per pixel", 1),
        ("Å", 10),
    ],
)
def test_units_as_programs_write_them(tmp_path, unit, factor):
    path = tmp_path / "a.emd"
    write_emd(path, ramp().T, "xy", (0.2 * factor, 0.4 * factor), [unit.encode()] * 2)
    assert read(path).pixel_size_nm == pytest.approx((0.4, 0.2))


@pytest.mark.parametrize("unit", ["n_m^-1", "[n_m^-1]", "1/n_m", "A^-1", "mrad"])
def test_reciprocal_space_is_refused(tmp_path, unit):
    path = tmp_path / "a.emd"
    write_emd(path, ramp().T, "xy", (0.2, 0.4), [unit] * 2)
    with pytest.raises(ReadingError, match="reciprocal space"):
        read_micrographs(path)


def test_diffraction_and_spectra_are_said_to_be_so(tmp_path):
    values = np.zeros((3, 4, 5, 6), np.uint8)
    write_emd(tmp_path / "a.emd", values, ("R_x", "R_y", "Q_x", "Q_y"), (1,) * 4, [NM] * 4)
    with pytest.raises(ReadingError, match="4D-STEM"):
        read_micrographs(tmp_path / "a.emd")
    write_emd(tmp_path / "b.emd", values[0], ("energy", "y", "x"), (1,) * 3, ("eV", NM, NM))
    with pytest.raises(ReadingError, match="an energy"):
        read_micrographs(tmp_path / "b.emd")


def test_py4dstem_calls_the_rows_rx(tmp_path):
    write_emd(tmp_path / "a.emd", ramp(), ("Rx", "Ry"), (0.4, 0.2), ["nm"] * 2, first=0)
    micrograph = read(tmp_path / "a.emd")
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))
    values = np.zeros((3, 4, 5, 6), np.uint8)
    units = ("nm", "nm", "A^-1", "A^-1")
    write_emd(tmp_path / "b.emd", values, ("Rx", "Ry", "Qx", "Qy"), (1,) * 4, units, first=0)
    with pytest.raises(ReadingError, match="4D-STEM"):
        read_micrographs(tmp_path / "b.emd")


def test_a_tilt_series_has_an_angle_before_row_and_column(tmp_path):
    stack = np.stack([ramp(), ramp() // 2, ramp() // 3])
    path = tmp_path / "a.emd"
    write_emd(path, stack, ("angle", "y", "x"), (2, 0.4, 0.2), ("deg", NM, NM))
    np.testing.assert_array_equal(read(path).pixels, stack)


def test_unknown_and_uneven_steps_are_no_pixel_size(tmp_path):
    for name, steps in (("zero", (0, 0)), ("nan", (np.nan, np.nan))):
        write_emd(tmp_path / f"{name}.emd", ramp(), "yx", steps, [NM] * 2)
        assert read(tmp_path / f"{name}.emd").pixel_size_nm is None
    write_emd(tmp_path / "a.emd", ramp(), "yx", (0.4, 0.2), [NM] * 2)
    with h5py.File(tmp_path / "a.emd", "r+") as file:
        file["data/picture/dim2"][-1] = 50
    micrograph = read(tmp_path / "a.emd")
    assert micrograph.pixel_size_nm is None
    assert "not evenly spaced" in micrograph.notes[0]


def test_what_rosettasciio_writes_is_read_back(tmp_path):
    writer = pytest.importorskip("rsciio.emd").file_writer
    stack = np.random.default_rng(140).normal(size=(5, ROWS, COLUMNS)).astype(np.float32)
    axes = [
        {
            "_type": "UniformDataAxis",
            "name": name,
            "size": size,
            "scale": scale,
            "offset": 0.0,
            "units": unit,
            "navigate": name == "t",
            "index_in_array": index,
        }
        for index, (name, size, scale, unit) in enumerate(
            (("t", 5, 1.0, "s"), ("y", ROWS, 0.4, "nm"), ("x", COLUMNS, 0.2, "nm"))
        )
    ]
    signal = {
        "data": stack,
        "axes": axes,
        "metadata": {"General": {"title": "t"}, "Signal": {}},
        "original_metadata": {},
        "attributes": {"_lazy": False},
        "package": "a test",
        "package_version": "1",
        "learning_results": {},
    }
    writer(str(tmp_path / "a.emd"), signal)
    micrograph = read(tmp_path / "a.emd")
    np.testing.assert_array_equal(micrograph.pixels, stack)
    assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))


def test_hdf5_without_an_array_of_emd_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["data"] = ramp()
    with pytest.raises(ReadingError, match="emd_group_type"):
        read_micrographs(tmp_path / "a.emd")


# ---------------------------------------------------------------- Velox


def text(value):
    return np.array([json.dumps(value).encode()], dtype=h5py.string_dtype())


def described(size_m, unit="m", detector="HAADF"):
    """Return the JSON of an image as Velox packs it."""
    about = {
        "BinaryResult": {
            "Detector": detector,
            "PixelSize": {"width": str(size_m), "height": str(2 * size_m)},
            "PixelUnitX": unit,
            "PixelUnitY": unit,
        },
        "Optics": {"AccelerationVoltage": "200000"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
    }
    packed = np.frombuffer(json.dumps(about).encode().ljust(2000, b"\0"), np.uint8)
    return packed[:, None]


@pytest.fixture
def velox(tmp_path):
    """A file with one image, open for more to be added, and its path."""
    path = tmp_path / "velox.emd"
    with h5py.File(path, "w") as file:
        file["Version"] = text({"version": "11", "format": "Velox"})
        file["Data/Image/0123/Data"] = ramp().astype(np.uint16)[:, :, None]
        file["Data/Image/0123/Metadata"] = described(0.3e-9)
        yield file, path


def test_an_image_with_spectra_beside_it(velox):
    file, path = velox
    file["Data/SpectrumStream/ab/Data"] = np.full((ROWS * COLUMNS, 1), 65535, np.uint16)
    file["Data/SpectrumStream/ab/AcquisitionSettings"] = text({"bincount": "4096"})
    file["Data/SpectrumImage/ab/SpectrumImageSettings"] = text({"endFramePosition": "1"})
    file["Data/Spectrum/cd/Data"] = np.zeros((4096, 1), np.uint32)
    file.close()
    micrograph = read(path)
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    assert micrograph.pixel_size_nm == pytest.approx((0.6, 0.3))
    assert micrograph.metadata == {
        "voltage_kv": 200.0,
        "detector": "HAADF",
        "date": "2023-11-14T22:13:20+00:00",
    }
    assert micrograph.notes == ()


def test_a_spectrum_image_that_declares_much_and_holds_little_stops_no_image(velox):
    file, path = velox
    # chunks that were never written take no place
    file.create_dataset("Data/SpectrumImage/ab/Data", (4096, 4096, 4096), "u2", chunks=True)
    file.close()
    np.testing.assert_array_equal(read(path).pixels, ramp())
    with h5py.File(path, "r+") as again:
        del again["Data/Image/0123/Data"]
        again.create_dataset("Data/Image/0123/Data", (40_000, 40_000, 900), "u2", chunks=True)
    with pytest.raises(ReadingError, match="declares 2,880,000,000,000 bytes"):
        read_micrographs(path)


def test_a_velox_file_of_spectra_alone_says_so(velox):
    file, path = velox
    del file["Data/Image"]
    file["Data/SpectrumStream/ab/Data"] = np.zeros((7, 1), np.uint16)
    file.close()
    with pytest.raises(ReadingError, match="without an image; it holds SpectrumStream"):
        read_micrographs(path)


def test_one_image_that_cannot_be_unpacked_stops_no_other(velox):
    file, path = velox
    group = file.create_group("Data/Image/4567")
    # bitshuffle, which the HDF5 library does not bring along
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((ROWS, COLUMNS, 1))
    made.set_filter(32_008, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((ROWS, COLUMNS, 1))
    data = h5py.h5d.create(group.id, b"Data", h5py.h5t.STD_U16LE, space, dcpl=made)
    data.write_direct_chunk((0, 0, 0), b"packed")
    group["Metadata"] = described(0.3e-9, detector="BF")
    file.close()
    micrograph = read(path)
    assert micrograph.name == "velox HAADF"
    (note,) = micrograph.notes
    assert "pip install hdf5plugin" in note
    assert "damaged" not in note


def test_damaged_metadata_hide_no_image(velox):
    file, path = velox
    file["Data/Image/0123/Metadata"][5:15] = 0
    file.close()
    micrograph = read(path)
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    assert micrograph.pixel_size_nm is None
    assert micrograph.notes[0].startswith("no pixel size: what Velox wrote")


@pytest.mark.parametrize("chunks", [None, (ROWS, COLUMNS, 1), (8, 8, 5)])
@pytest.mark.parametrize("in_memory", [True, False])
def test_a_series_of_velox_has_its_frames_last(velox, monkeypatch, chunks, in_memory):
    file, path = velox
    stack = np.stack([ramp() // divisor for divisor in (1, 2, 3, 4, 5)])
    del file["Data/Image/0123/Data"]
    data = np.moveaxis(stack, 0, -1)
    file.create_dataset("Data/Image/0123/Data", data=data, chunks=chunks)
    file.close()
    if not in_memory:
        monkeypatch.setattr(frames, "IN_MEMORY_BYTES", 1000)
    micrograph = read(path)
    assert isinstance(micrograph.pixels, np.ndarray) == in_memory
    np.testing.assert_array_equal(np.asarray(micrograph.pixels), stack)
    assert micrograph.pixel_size_nm == pytest.approx((0.6, 0.3))


def test_images_have_the_titles_that_velox_shows(velox):
    file, path = velox
    for key, title in (("0123", "HAADF#1"), ("89ab", "Au")):
        if key not in file["Data/Image"]:
            file.copy("Data/Image/0123", f"Data/Image/{key}")
        reference = f"SharedProperties/ImageSeriesDataReference/{key}"
        file[reference] = text({"dataPath": f"/Data/Image/{key}"})
        file[f"Displays/ImageDisplay/{key}"] = text({"data": f"/{reference}", "id": title})
    file.close()
    assert [m.name for m in read_micrographs(path)] == ["velox HAADF#1", "velox Au"]
