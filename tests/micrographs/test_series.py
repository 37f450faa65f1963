"""Long series stay on disk; HyperSpy's files; frames are the right ones."""

import math

import dask.array
import h5py
import numpy as np
import pytest
import tifffile
import zarr

from napari_tem_rf.micrographs import (
    frames as frames_module,
    reading as reading_module,
    tiff as tiff_module,
)
from napari_tem_rf.micrographs.reading import (
    ReadingError,
    open_labels,
    read_labels,
    read_micrographs,
)
from napari_tem_rf.micrographs.writing import write_labels

SERIES = [
    "series.mrc",
    "series.npy",
    "contiguous.tif",
    "pages.tif",
    "series.ser",
    "series.dm4",
    "series.hspy",
]


@pytest.mark.parametrize("name", SERIES)
def test_a_long_series_opens_without_being_read(tmp_path, benchmark_module, name):
    if name.endswith("dm4"):
        pytest.importorskip("rsciio")
    shape = (211, 431, 509)  # 93 MB
    benchmark_module("sparse_series").SERIES[name](tmp_path / name, shape, 0.0177)
    (micrograph,) = read_micrographs(tmp_path / name)
    assert isinstance(micrograph.pixels, dask.array.Array)
    assert micrograph.pixels.shape == shape
    assert micrograph.pixels.dtype == np.int16
    assert micrograph.pixels.chunks[0] == (1,) * shape[0]
    if not name.endswith("npy"):
        assert micrograph.pixel_size_nm == pytest.approx((0.0177, 0.0177), rel=1e-6)
    assert not micrograph.frame(210).any()
    assert np.asarray(micrograph.pixels[3:5, 7, ::100]).shape == (2, 6)


def numbered(shape):
    """A series whose values tell their frame, row and column."""
    return np.arange(math.prod(shape), dtype=np.int32).reshape(shape)


@pytest.mark.parametrize("name", ["a.npy", "a.mrc", "contiguous.tif", "pages.tif", "big.tif"])
def test_lazy_frames_are_the_right_ones(tmp_path, monkeypatch, name):
    values = numbered((7, 37, 41)).astype(np.int16)
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, values)
    elif name == "a.mrc":
        import mrcfile

        with mrcfile.new(path) as mrc:
            mrc.set_data(values)
    else:
        tifffile.imwrite(
            path,
            values,
            compression="zlib" if name == "pages.tif" else None,
            byteorder=">" if name == "big.tif" else "<",
        )
    for module in (frames_module, pytest.importorskip("napari_tem_rf.micrographs.tiff")):
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", 100)
    (micrograph,) = read_micrographs(path)
    assert isinstance(micrograph.pixels, dask.array.Array)
    np.testing.assert_array_equal(micrograph.frame(5), values[5])
    np.testing.assert_array_equal(np.asarray(micrograph.pixels), values)
    np.testing.assert_array_equal(
        np.asarray(micrograph.pixels[2:6:3, 5, 7:9]), values[2:6:3, 5, 7:9]
    )


def test_a_ser_series_stands_upright(tmp_path, benchmark_module):
    path = tmp_path / "series.ser"
    shape = (3, 37, 41)
    benchmark_module("sparse_series").SERIES["series.ser"](path, shape, 0.1)
    data = bytearray(path.read_bytes())
    values = numbered(shape).astype("<i2")
    start = 34 + 32 + 3 * 8 * 2
    for frame in range(3):
        place = start + frame * (50 + 37 * 41 * 2) + 50
        data[place : place + 37 * 41 * 2] = values[frame].tobytes()
    path.write_bytes(data)
    (micrograph,) = read_micrographs(path)
    # TIA's first row is the lowest
    np.testing.assert_array_equal(micrograph.pixels, values[:, ::-1])


def test_a_series_that_shrinks_while_it_is_open_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(frames_module, "IN_MEMORY_BYTES", 100)
    path = tmp_path / "a.npy"
    np.save(path, numbered((7, 37, 41)))
    (micrograph,) = read_micrographs(path)
    with path.open("r+b") as file:
        file.truncate(10_000)
    with pytest.raises(EOFError, match=r'frame 6 of "a\.npy" has 0 of 1517 values'):
        micrograph.frame(6)


# HyperSpy


def write_signal(root, data, axes, title="signal", metadata=None):
    experiment = root.create_group(f"Experiments/{title}")
    if isinstance(root, h5py.Group):
        experiment.create_dataset("data", data=data)
    else:
        array = experiment.create_array("data", shape=data.shape, dtype=data.dtype)
        array[...] = data
    for number, axis in enumerate(axes):
        experiment.create_group(f"axis-{number}").attrs.update(axis)
    for place, attributes in (metadata or {}).items():
        experiment.require_group(f"metadata/{place}").attrs.update(attributes)


def image_axes(row=("nm", 0.4), column=("nm", 0.3)):
    return [
        {"name": name, "units": unit, "scale": scale, "navigate": False}
        for name, (unit, scale) in (("y", row), ("x", column))
    ]


FRAMES = {"name": "time", "units": "s", "scale": 0.5, "navigate": True}
METADATA = {
    "General": {"date": "2020-03-04", "time": "05:06:07"},
    "Acquisition_instrument/TEM": {"beam_energy": 80.0, "magnification": 2e5},
}


@pytest.fixture(params=["hspy", "zspy", "zipped zspy"])
def hyperspy_file(request, tmp_path):
    """Write signals to a file of HyperSpy, and give its path."""

    def write(*signals):
        if request.param == "hspy":
            path = tmp_path / "file.hspy"
            with h5py.File(path, "w") as root:
                for signal in signals:
                    write_signal(root, **signal)
            return path
        path = tmp_path / "file.zspy"
        if request.param == "zspy":
            for signal in signals:
                write_signal(zarr.open_group(path, mode="a", zarr_format=2), **signal)
            return path
        store = zarr.storage.ZipStore(path, mode="w")
        for signal in signals:
            write_signal(zarr.open_group(store, mode="a", zarr_format=2), **signal)
        store.close()
        return path

    return write


# zarr writes the attributes of a zip file's groups a second time
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hyperspy_files(hyperspy_file):
    stack = numbered((5, 37, 41))
    path = hyperspy_file(
        {"data": stack[0], "axes": image_axes(), "title": "b", "metadata": METADATA},
        {"data": stack, "axes": [FRAMES, *image_axes(("Å", 4.0))], "title": "a stack"},
        {"data": stack[1], "axes": image_axes(("1/nm", 1), ("1/nm", 1)), "title": "fft"},
        {"data": stack[0, 0], "axes": image_axes()[:1], "title": "profile"},
        {
            "data": stack,
            "axes": [FRAMES, FRAMES, {"name": "Energy", "units": "eV", "scale": 1.0}],
            "title": "spectra",
        },
    )
    first, second = read_micrographs(path)
    assert (first.name, second.name) == ("file a stack", "file b")
    np.testing.assert_array_equal(first.pixels, stack)
    np.testing.assert_array_equal(second.pixels, stack[0])
    assert first.pixel_size_nm == pytest.approx((0.4, 0.3))
    assert second.pixel_size_nm == pytest.approx((0.4, 0.3))
    assert second.metadata == {
        "voltage_kv": 80.0,
        "magnification": 2e5,
        "date": "2020-03-04 05:06:07",
    }
    assert [note.split('"')[1] for note in first.notes] == [
        "file fft",
        "file profile",
        "file spectra",
    ]


def test_a_zarr_store_that_is_not_hyperspys_is_refused(tmp_path):
    zarr.open_group(tmp_path / "a.zspy", mode="w")
    with pytest.raises(ReadingError, match="not a HyperSpy file"):
        read_micrographs(tmp_path / "a.zspy")
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(ReadingError, match="without OME images"):
        read_labels(tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["a.zarr", "a.zspy"])
def test_pickled_objects_are_never_opened(tmp_path, name):
    path = tmp_path / name / "Experiments" / "a" / "data"
    path.mkdir(parents=True)
    (path / ".zarray").write_text(
        '{"zarr_format": 2, "shape": [5, 7], "chunks": [5, 7], "dtype": "|O", "order": "C", '
        '"fill_value": 0, "compressor": null, "filters": [{"id": "pickle", "protocol": 5}]}'
    )
    with pytest.raises(ReadingError, match="pickled Python objects"):
        read_micrographs(tmp_path / name)


@pytest.mark.parametrize("name", ["mask.npy", "mask.tif", "mask.ome.zarr"])
def test_labels_of_a_long_series_are_read_frame_by_frame(tmp_path, monkeypatch, name):
    masks = np.random.default_rng(956).integers(0, 3, (5, 37, 41)).astype(np.uint8)
    path = write_labels(tmp_path / name, masks)
    whole = open_labels(path)
    assert whole.shape == (5, 37, 41)
    np.testing.assert_array_equal(np.stack(list(whole)), masks)
    for module in (frames_module, tiff_module):
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", 1000)
    assert isinstance(read_micrographs(path)[0].pixels, dask.array.Array)
    # were they read at once, this would be asked for
    monkeypatch.setattr(reading_module, "read_labels", None)
    labels = open_labels(path)
    assert labels.shape == (5, 37, 41)
    np.testing.assert_array_equal(np.stack(list(labels)), masks)
    assert labels.read(4).dtype == np.uint8


def test_a_frame_that_holds_no_labels_is_named_when_it_is_read(tmp_path, monkeypatch):
    values = np.zeros((3, 37, 41), np.float32)
    values[2, 5, 7] = 0.5
    np.save(tmp_path / "mask.npy", values)
    monkeypatch.setattr(frames_module, "IN_MEMORY_BYTES", 1000)
    labels = open_labels(tmp_path / "mask.npy")
    assert not labels.read(1).any()
    with pytest.raises(ReadingError, match=r'"mask.npy" are of type float32 with fractions'):
        labels.read(2)


def test_labels_of_one_image_are_one_frame(tmp_path):
    mask = np.eye(37, 41, dtype=np.uint8)
    for name in ("mask.png", "mask.tif"):
        labels = open_labels(write_labels(tmp_path / name, mask))
        assert labels.shape == (37, 41)
        (frame,) = labels
        np.testing.assert_array_equal(frame, mask)
