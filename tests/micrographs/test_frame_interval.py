"""The time between frames, as ImageJ and OME write it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_tem_rf.micrographs.frame_interval import frame_interval_s, interval_of
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
