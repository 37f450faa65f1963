"""The time between frames, as other programs and libraries write it."""

import json
import struct
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
import pytest
import rsciio.emd
import rsciio.hspy
import tifffile
import zarr
from mrcfile.dtypes import get_ext_header_dtype

from napari_tem_rf.micrographs.frame_interval import (
    frame_interval_s,
    interval_of,
    interval_of_times,
)
from napari_tem_rf.micrographs.reading import read_micrographs

STACK = np.arange(3 * 11 * 13, dtype=np.uint16).reshape(3, 11, 13)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"finterval": 0.25}, 0.25),
        ({"finterval": 40, "tunit": "ms"}, 0.04),
        ({"finterval": 0}, None),  # ImageJ writes it where it knows none
        ({"finterval": 2, "tunit": "frames"}, None),
        ({}, None),
    ],
)
def test_imagej(tmp_path: Path, said: dict[str, Any], seconds: float | None) -> None:
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX", **said})
    (film,) = read_micrographs(path)
    assert interval_of(film.metadata) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"TimeIncrement": 0.5}, 0.5),  # seconds are the default of the OME schema
        ({"TimeIncrement": 2.5, "TimeIncrementUnit": "min"}, 150.0),
        ({"TimeIncrement": 30, "TimeIncrementUnit": "µs"}, 30e-6),
        ({}, None),
    ],
)
def test_ome(tmp_path: Path, said: dict[str, Any], seconds: float | None) -> None:
    path = tmp_path / "film.ome.tif"
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "TYX", **said})
    (film,) = read_micrographs(path)
    assert interval_of(film.metadata) == pytest.approx(seconds)


@pytest.mark.parametrize("value", [None, "", "soon", float("nan"), float("inf"), -1, 0])
def test_what_is_no_time_is_none(value: Any) -> None:
    assert frame_interval_s(value) is None


@pytest.mark.parametrize("metadata", [None, {}, {"frame_interval_s": "x"}, 7])
def test_metadata_of_other_readers_name_none(metadata: Any) -> None:
    assert interval_of(metadata) is None


def seconds_in(path: Path) -> float | None:
    (film,) = read_micrographs(path)
    assert film.frames == len(STACK)
    return interval_of(film.metadata)


@pytest.mark.parametrize(
    ("unit", "times", "seconds"),
    [
        (None, [0.0, 0.5, 1.0], 0.5),
        ("ms", [3, 43, 83], 0.04),
        (None, [0.0, 1.0, 0.5], None),
    ],
)
def test_ome_that_says_when_each_frame_was_taken(
    tmp_path: Path, unit: str | None, times: list[float], seconds: float | None
) -> None:
    path = tmp_path / "film.ome.tif"
    plane: dict[str, Any] = {"DeltaT": times}
    plane |= {} if unit is None else {"DeltaTUnit": [unit] * len(times)}
    tifffile.imwrite(path, STACK, ome=True, metadata={"axes": "TYX", "Plane": plane})
    assert seconds_in(path) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("scale", "unit", "version", "seconds"),
    [
        (2.0, "second", "0.4", 2.0),
        (40.0, "millisecond", "0.5", 0.04),
        (1.0, None, "0.4", None),  # the format asks for a scale, whether it is known or not
    ],
)
def test_ome_zarr(
    tmp_path: Path, scale: float, unit: str | None, version: str, seconds: float | None
) -> None:
    """As the specification has it: https://ngff.openmicroscopy.org."""
    path = tmp_path / "film.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    values = group.create_array("0", shape=STACK.shape, chunks=(1, 11, 13), dtype=STACK.dtype)
    values[...] = STACK
    axes: list[dict[str, str]] = [
        {"name": "t", "type": "time"} | ({} if unit is None else {"unit": unit}),
        {"name": "y", "type": "space", "unit": "nanometer"},
        {"name": "x", "type": "space", "unit": "nanometer"},
    ]
    transforms = [{"type": "scale", "scale": [scale, 0.2, 0.2]}]
    described = {
        "version": version,
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": transforms}],
    }
    said: dict[str, Any] = {"multiscales": [described]}
    group.attrs.update({"ome": said} if version == "0.5" else said)
    assert seconds_in(path) == pytest.approx(seconds)


def signal(unit: str, scale: float) -> dict[str, Any]:
    """Return a series as HyperSpy hands it to RosettaSciIO."""
    axes = [
        {
            **{"name": name, "scale": size, "offset": 0.0, "units": units},
            **{"size": length, "index_in_array": place, "navigate": name == "t"},
            "_type": "UniformDataAxis",
        }
        for place, (name, size, units, length) in enumerate(
            (("t", scale, unit, 3), ("y", 0.2, "nm", 11), ("x", 0.2, "nm", 13))
        )
    ]
    return {
        **{"data": STACK, "axes": axes, "original_metadata": {}, "package": "hyperspy"},
        **{"metadata": {"General": {"title": "film"}, "Signal": {"signal_type": ""}}},
        **{"tmp_parameters": {}, "models": {}, "package_info": {}},
        **{"package_version": "2.0", "attributes": {"_lazy": False}, "learning_results": {}},
    }


@pytest.mark.parametrize(("unit", "scale", "seconds"), [("ms", 40.0, 0.04), ("nm", 40.0, None)])
def test_hyperspy_and_berkeley_as_rosettasciio_writes_them(
    tmp_path: Path, unit: str, scale: float, seconds: float | None
) -> None:
    rsciio.hspy.file_writer(tmp_path / "film.hspy", signal(unit, scale))
    assert seconds_in(tmp_path / "film.hspy") == pytest.approx(seconds)
    rsciio.emd.file_writer(str(tmp_path / "film.emd"), signal(unit, scale))
    assert seconds_in(tmp_path / "film.emd") == pytest.approx(seconds)


@pytest.mark.parametrize("where", ["scan", "camera"])
def test_velox(tmp_path: Path, where: str) -> None:
    """The time that RosettaSciIO gives the axis of frames."""
    path = tmp_path / "film.emd"
    about: dict[str, Any] = {
        "Core": {"MetadataDefinitionVersion": "7.9", "MetadataSchemaVersion": "v1"},
        "BinaryResult": {
            **{"DetectorIndex": "0", "Detector": "BM-Ceta"},
            **{"PixelSize": {"width": "2e-10", "height": "2e-10"}},
            **{"PixelUnitX": "m", "PixelUnitY": "m", "Offset": {"x": "0", "y": "0"}},
        },
        "Scan": {"FrameTime": "0.61"} if where == "scan" else {},
        "Detectors": {"Detector-0": {"DetectorName": "BM-Ceta", "ExposureTime": "0.25"}},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
        "Optics": {"AccelerationVoltage": "200000", "CameraLength": "0.1"},
        "Instrument": {},
    }
    packed = np.frombuffer(json.dumps(about).encode().ljust(2000, b"\0"), np.uint8)
    with h5py.File(path, "w") as file:
        file["Version"] = np.array(
            [json.dumps({"version": "11", "format": "Velox"}).encode()],
            dtype=h5py.string_dtype(),
        )
        file["Data/Image/0123/Data"] = np.moveaxis(STACK, 0, 2)
        file["Data/Image/0123/Metadata"] = np.stack([packed] * 3, axis=1)
    assert seconds_in(path) == pytest.approx(0.61 if where == "scan" else 0.25)
    (theirs,) = rsciio.emd.file_reader(str(path))
    axis = theirs["axes"][0]
    assert axis["size"] == 3
    assert frame_interval_s(axis["scale"], axis["units"]) == pytest.approx(seconds_in(path))


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
def test_times_in_the_extended_header_of_an_mrc_file(tmp_path: Path, kind: bytes) -> None:
    """Written by mrcfile; the microscope counts days since 1899."""
    path = tmp_path / "film.mrc"
    records = np.zeros(3, get_ext_header_dtype(kind, "<"))
    records["Metadata size"] = records.dtype.itemsize
    records["Timestamp"] = 45_000.3 + np.arange(3) * 0.8 / 86_400
    with mrcfile.new(path) as file:
        file.set_data(STACK)
        file.set_extended_header(records)
        file.header.exttyp = kind
    assert seconds_in(path) == pytest.approx(0.8, rel=1e-4)
    with mrcfile.open(path, mode="r+") as file:
        file.indexed_extended_header["Timestamp"] = 0
    assert seconds_in(path) is None


@pytest.mark.parametrize(
    ("times", "kind", "seconds"),
    [
        ([100, 130, 160], 0x4152, 30.0),
        ([100, 130, 160], 0x4142, 30.0),
        ([100, 102, 104], 0x4152, None),  # to a second, four are known to a quarter
        ([100, 100, 100], 0x4152, None),
    ],
)
def test_times_of_a_ser_file(
    tmp_path: Path, times: list[int], kind: int, seconds: float | None
) -> None:
    """The layout is Chris Boothroyd's: https://www.er-c.org/cbb/info/TIAformat/."""
    path = tmp_path / "film.ser"
    frames, rows, columns = STACK.shape
    head = struct.pack("<HHHIIIIQI", 0x4949, 0x0197, 0x0220, 0x4122, kind, frames, frames, 66, 1)
    head += struct.pack("<IddIII", frames, 0.0, 1.0, 0, 0, 0)
    assert len(head) == 66
    body, offsets, tags = b"", [], []
    first = len(head) + 16 * frames
    for plane, second in zip(STACK, times, strict=True):
        offsets.append(first + len(body))
        body += struct.pack("<ddIddIHII", 0, 2e-10, 0, 0, 2e-10, 0, 2, columns, rows)
        body += plane[::-1].astype("<u2").tobytes()
        tags.append(first + len(body))
        body += struct.pack("<HHI", kind, 0, second)
        body += struct.pack("<dd", 0, 0) if kind == 0x4142 else b""
    path.write_bytes(head + np.array(offsets + tags, "<u8").tobytes() + body)
    (film,) = read_micrographs(path)
    np.testing.assert_array_equal(film.pixels, STACK)
    assert seconds_in(path) == pytest.approx(seconds)


def test_digital_micrograph(tmp_path: Path, benchmark_module: Any) -> None:
    """A DM4 file whose third axis is calibrated in s, read by RosettaSciIO."""
    path = tmp_path / "film.dm4"
    benchmark_module("sparse_series").digital_micrograph(path, STACK.shape, 0.2)
    assert seconds_in(path) == 1.0


def test_times_that_say_nothing() -> None:
    assert interval_of_times([3.0, 3.5, 4.1]) == pytest.approx(0.55)
    for times in ([], [1.0], [1.0, 1.0], [2.0, 1.0], [0.0, float("nan"), 2.0]):
        assert interval_of_times(times) is None
