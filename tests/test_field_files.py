"""Effective fields as files, and those that a run keeps."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.io import imread

from napari_tem_rf.field_files import (
    FieldRecord,
    forget_field,
    keep_field,
    kept_fields,
    write_field,
)

HEAT = np.random.default_rng(5).random((17, 23)).astype(np.float32)
RECORD = FieldRecord(
    image="gold/03",
    at=(9, 11),
    frame=2,
    nominal_px=64,
    rows=(-3, 57),
    columns=(0, 68),
    origin=(0, 0),
    px=2,
    total=1.5,
    w50_px=18,
    w95_px=44,
    pixel_size_nm=(0.02, 0.025),
)


def test_a_field_is_written_as_numbers_and_as_a_picture(tmp_path: Path) -> None:
    write_field(tmp_path / "a.tif", HEAT, (0.04, 0.05))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.asarray().squeeze(), HEAT)
        down = file.pages[0].tags["YResolution"].value
        assert down[1] / down[0] == pytest.approx(0.04)
    write_field(tmp_path / "a.png", HEAT, None)
    assert imread(tmp_path / "a.png").shape == (17, 23, 3)
    with pytest.raises(FileExistsError):
        write_field(tmp_path / "a.png", HEAT, None)
    with pytest.raises(ValueError, match=r"\.tif or \.png"):
        write_field(tmp_path / "a.jpg", HEAT, None)


def test_a_run_keeps_a_field_with_its_record(tmp_path: Path) -> None:
    path = keep_field(tmp_path, RECORD, HEAT)
    assert path == tmp_path / "fields" / "gold_03_frame_2_at_9_11.tif"
    with tifffile.TiffFile(path) as file:
        across = file.pages[0].tags["XResolution"].value
        # a pixel of the heat is two of the image
        assert across[1] / across[0] == pytest.approx(0.05)
    (record,) = kept_fields(tmp_path)
    assert record.created
    for name in ("image", "at", "frame", "rows", "columns", "w95_px", "pixel_size_nm"):
        assert getattr(record, name) == getattr(RECORD, name)
    keep_field(tmp_path, RECORD, HEAT)
    assert len(kept_fields(tmp_path)) == 1
    forget_field(path)
    assert kept_fields(tmp_path) == ()
    assert not list((tmp_path / "fields").iterdir())


def test_records_that_are_damaged_are_left_out(tmp_path: Path) -> None:
    path = keep_field(tmp_path, RECORD, HEAT)
    for name, text in (
        ("broken", "{"),
        ("other", '{"at": [1, 2]}'),
        ("far", path.with_suffix(".json").read_text().replace("9,\n", "-9,\n", 1)),
    ):
        (tmp_path / "fields" / f"{name}.json").write_text(text)
    assert [record.at for record in kept_fields(tmp_path)] == [(9, 11)]
    assert kept_fields(tmp_path / "nowhere") == ()
