"""``info`` and ``measure``, and the installed command itself."""

import csv
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_tem_rf.micrographs.writing import write_labels, write_probabilities

from .conftest import PIXEL_SIZE_NM, SHAPE

COMMAND = Path(sys.executable).with_name("napari-tem-rf")


def test_info_lists_images(cli, data, tmp_path):
    np.save(tmp_path / "plain.npy", np.zeros((3, 13, 17), np.float32))
    document = cli("info", data.images / "gold_0.tif", tmp_path, "--json").json
    assert [list(entry) for entry in document] == [
        ["file", "name", "shape", "dtype", "pixel_size_nm", "metadata"]
    ] * 2
    first, second = document
    assert first["file"] == str(data.images / "gold_0.tif")
    assert (first["name"], first["shape"], first["dtype"]) == ("gold_0", list(SHAPE), "uint16")
    assert first["pixel_size_nm"] == pytest.approx([PIXEL_SIZE_NM] * 2)
    assert isinstance(first["metadata"], dict)
    assert (second["shape"], second["pixel_size_nm"]) == ([3, 13, 17], None)
    assert len(cli("info", data.images, "--json").json) == 4


def test_info_of_a_file_that_cannot_be_read_lists_the_others(cli, data, tmp_path):
    shutil.copy(data.images / "gold_0.tif", tmp_path)
    (tmp_path / "damaged.tif").write_bytes(b"II*\0")
    answer = cli("info", tmp_path, "--json")
    assert answer.code == 1
    assert [entry["name"] for entry in answer.json] == ["gold_0"]
    assert '"damaged.tif"' in answer.error


def test_info_as_text(cli, data):
    answer = cli("info", data.images / "gold_0.tif")
    assert answer.out.splitlines()[0].endswith("gold_0, 67 x 83 uint16, 0.05 x 0.05 nm/px")


def test_measure_by_hand(cli, tmp_path):
    """A square of 6 x 6 px at 0.5 nm/px has 9 nm2: the diameter of that circle is 3.385 nm."""
    mask = np.zeros((31, 37), np.uint8)
    mask[5:11, 8:14] = 1
    tifffile.imwrite(
        tmp_path / "mask.tif", mask, imagej=True, resolution=(2, 2), metadata={"unit": "nm"}
    )
    out = tmp_path / "particles.csv"
    answer = cli("measure", tmp_path / "mask.tif", "--out", out, "--json")
    document = answer.json
    assert document["number"] == 1
    assert document["table"] == str(out)
    (row,) = csv.DictReader(out.read_text().splitlines())
    assert row["image"] == "mask"
    areas = [
        float(value) for name, value in row.items() if name.startswith("area") and "nm" in name
    ]
    assert areas == pytest.approx([9.0])
    assert document["mean"] == pytest.approx(2 * (9 / np.pi) ** 0.5, rel=0.02)
    before = out.read_bytes()
    assert "exists" in cli("measure", tmp_path / "mask.tif", "--out", out).error
    assert out.read_bytes() == before


def test_measure_of_nothing(cli, tmp_path):
    np.save(tmp_path / "mask.npy", np.zeros((31, 37), np.uint8))
    answer = cli("measure", tmp_path / "mask.npy", "--out", tmp_path / "particles.csv", "--json")
    assert answer.code == 0
    assert answer.json["number"] == 0
    assert "no particle of 9 px or more was found" in answer.err


def test_px_and_nm_do_not_mix_in_one_table(cli, tmp_path):
    """Their mean would be of neither, and half of each column empty."""
    mask = np.zeros((31, 37), np.uint8)
    mask[5:11, 8:14] = 1
    write_labels(tmp_path / "a.tif", mask, (0.5, 0.25))
    write_labels(tmp_path / "b.tif", mask)
    masks, out = (tmp_path / "a.tif", tmp_path / "b.tif"), tmp_path / "particles.csv"
    assert cli("measure", *masks, "--out", out).error == (
        f'1 of 2 masks have no pixel size, the first is "{tmp_path / "b.tif"}": nm and px do not '
        "go into one table; give --pixel-size for all, or measure them apart"
    )
    assert not out.exists()
    answer = cli("measure", *masks, "--out", out, "--pixel-size", 0.5, "--json")
    assert answer.json["number"] == 2
    # 6 x 6 px of 0.5 x 0.5 nm, both
    assert [row["area_nm2"] for row in rows_of(out)] == ["9.0", "9.0"]


def test_measure_leaves_probabilities_out(cli, tmp_path):
    mask = np.zeros((31, 37), np.uint8)
    mask[5:11, 8:14] = 1
    write_labels(tmp_path / "a.tif", mask, (0.5, 0.25))
    write_probabilities(
        tmp_path / "a_probabilities.tif", np.stack([1 - mask, mask]) * 0.7, (0.5, 0.25)
    )
    out = tmp_path / "particles.csv"
    assert cli("measure", tmp_path, "--out", out, "--json").json["number"] == 1
    # 36 px of 0.125 nm2
    assert [(row["image"], row["area_nm2"]) for row in rows_of(out)] == [("a", "4.5")]
    error = cli("measure", tmp_path / "a_probabilities.tif", "--out", tmp_path / "b.csv").error
    assert error.startswith("only probabilities are found in")


def test_a_series_is_measured_frame_by_frame(cli, tmp_path):
    frames = np.zeros((3, 31, 37), np.uint8)
    frames[0, 5:11, 8:14] = 1
    frames[2, 20:24, 3:9] = 255
    write_labels(tmp_path / "series.tif", frames, (0.5, 0.25))
    out = tmp_path / "particles.csv"
    answer = cli("measure", tmp_path / "series.tif", "--out", out)
    assert [(row["frame"], row["class"], row["area_nm2"]) for row in rows_of(out)] == [
        ("0", "1", "4.5"),
        ("2", "255", "3.0"),
    ]
    assert answer.out == f"{out}: 2 particles, equivalent diameter 2.17 ± 0.31 nm, median 2.17 nm\n"


def rows_of(table):
    return list(csv.DictReader(table.read_text().splitlines()))


def run_installed(*arguments, **options):
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )


@pytest.mark.skipif(not COMMAND.exists(), reason="the command is not installed")
def test_the_installed_command(data, tmp_path):
    done = run_installed("field", "--pools", "4,4", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["parameters"] == 8074
    assert done.stderr == ""
    done = run_installed("train", "no.tif", "--labels", "no.tif", "--run", "r", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == ['error: "no.tif" is not there: check the path']


def test_version(cli):
    answer = cli("--version")
    assert (answer.code, answer.out.strip()) == (0, version("napari-tem-rf"))


def test_help_names_every_command(cli):
    answer = cli("--help")
    assert answer.code == 0
    for command in (
        *("info", "networks", "field", "train", "predict", "evaluate"),
        *("effective-field", "measure", "demo"),
    ):
        assert f"\n  {command} " in answer.out
        assert cli(command, "--help").code == 0
