"""``measure`` with images and a report, and that its command makes the same again."""

import csv
import html
import re
import shlex

import numpy as np
import pytest

from napari_tem_rf.micrographs.writing import write_labels

from .conftest import PIXEL_SIZE_NM

TABLE = [
    "image",
    "label",
    "class",
    "area_nm2",
    "equivalent_diameter_nm",
    "feret_max_nm",
    "feret_min_nm",
    "aspect_ratio",
    "circularity",
    "row_nm",
    "column_nm",
    "touches_border",
]


def rows_of(table):
    return list(csv.DictReader(table.read_text().splitlines()))


def test_a_report_of_several_images(cli, data, tmp_path):
    report, out = tmp_path / "r.html", tmp_path / "p.csv"
    answer = cli(
        *("measure", data.masks, "--images", data.images, "--out", out),
        *("--report", report, "--json", "--within", 10),
    )
    document = answer.json
    table = rows_of(out)
    sizes = [float(row["equivalent_diameter_nm"]) for row in table]
    assert document["number"] == len(table)
    assert document["mean"] == pytest.approx(np.mean(sizes))
    low, high = document["mean_interval"]
    assert low < document["mean"] < high
    assert document["resampled"] == "images"
    assert document["report"] == str(report)
    assert document["area_unit"] == "µm²"
    assert {fit["name"] for fit in document["fits"]} == {
        *("normal", "log-normal", "Weibull", "gamma")
    }
    page = report.read_text()
    assert "for a mean to ± 10 %" in page
    assert page.count("data:image/png") == 3
    # images are noise around discs: no lattice, so no columns of one
    assert [name for name in table[0] if name != "mean_intensity"] == TABLE
    # the command that stands in the page makes the same again
    command = html.unescape(re.findall("<pre>(.+?)</pre>", page, re.DOTALL)[0])
    words = shlex.split(command)
    assert words[:2] == ["napari-tem-rf", "measure"]
    others = {str(out): tmp_path / "2.csv", str(report): tmp_path / "2.html"}
    again = [others.get(word, word) for word in words[1:]]
    assert cli(*again).code == 0
    assert (tmp_path / "2.csv").read_text() == out.read_text()


def test_without_images_the_table_is_as_ever(cli, data, tmp_path):
    out, report = tmp_path / "p.csv", tmp_path / "r.pdf"
    assert (
        cli("measure", data.masks, "--out", out, "--report", report, "--pixel-size", 0.05).code == 0
    )
    assert list(rows_of(out)[0]) == TABLE
    assert report.read_bytes().startswith(b"%PDF")


def test_lattices_are_measured_where_they_are_asked_for(cli, tmp_path):
    """Fringes of 5 px at 0.05 nm: 0.25 nm, from the right 30 degrees up."""
    rng = np.random.default_rng(1)
    row, column = np.indices((97, 131))
    mask = (np.hypot(row - 45, column - 60) < 30).astype(np.uint8)
    angle = np.radians(30)
    wave = np.cos(2 * np.pi * (column * np.cos(angle) - row * np.sin(angle)) / 5)
    images, masks, out = tmp_path / "images", tmp_path / "masks", tmp_path / "p.csv"
    images.mkdir()
    masks.mkdir()
    np.save(images / "a.npy", (100 + 5 * wave * mask + rng.normal(0, 3, mask.shape)))
    write_labels(masks / "a.tif", mask, (PIXEL_SIZE_NM, PIXEL_SIZE_NM))
    assert cli("measure", masks, "--images", images / "a.npy", "--lattice", "--out", out).code == 0
    (found,) = rows_of(out)
    assert float(found["lattice_spacing_nm"]) == pytest.approx(0.25, rel=0.01)
    assert float(found["lattice_angle_deg"]) == pytest.approx(30, abs=1)
    assert list(found)[-5:] == [
        "lattice_spacing_nm",
        "lattice_spacing_error_nm",
        "lattice_angle_deg",
        "lattice_angle_error_deg",
        "lattice_strength",
    ]
    plain = tmp_path / "plain.csv"
    assert cli("measure", masks, "--images", images, "--no-lattice", "--out", plain).code == 0
    assert "lattice_spacing_nm" not in rows_of(plain)[0]


def test_particles_at_the_border_do_not_count_but_are_surveyed(cli, tmp_path):
    mask = np.zeros((61, 83), np.uint8)
    mask[0:8, 10:20] = 1
    mask[20:30, 10:20] = 1
    mask[20:30, 40:50] = 1
    write_labels(tmp_path / "a.tif", mask, (0.5, 0.5))
    out = tmp_path / "p.csv"
    answer = cli(
        *("measure", tmp_path / "a.tif", "--no-border", "--out", out, "--json"),
        *("--report", tmp_path / "r.html"),
    )
    assert [row["label"] for row in rows_of(out)] == ["1", "2"]
    assert answer.json["number"] == 2
    assert answer.json["coverage"] == pytest.approx(280 / (61 * 83))
    # whole ones: one in each position that a box of 10 x 10 px may have without touching a side
    density = 2 / ((61 - 10 - 1) * (83 - 10 - 1) * 0.25) * 1e6
    assert answer.json["per_area"] == pytest.approx(density)
    assert "one image" in answer.err


def test_what_is_refused(cli, data, tmp_path):
    assert cli("measure", data.masks).code == 2
    answer = cli("measure", data.masks, "--out", tmp_path / "p.csv", "--lattice")
    assert answer.code == 2
    assert "--images" in answer.err
    error = cli("measure", data.masks, "--report", tmp_path / "r.doc").error
    assert error == 'the report "r.doc" ends in ".doc": reports are written as .html or .pdf'
    there = tmp_path / "r.html"
    there.write_text("mine")
    assert (
        "exists and nothing is overwritten" in cli("measure", data.masks, "--report", there).error
    )
    assert there.read_text() == "mine"
    np.save(tmp_path / "other.npy", np.zeros((13, 17), np.float32))
    error = cli(
        *("measure", data.masks, "--images", tmp_path / "other.npy"),
        *("--out", tmp_path / "p.csv"),
    ).error
    assert error.startswith("no image has the name of a mask")
    np.save(tmp_path / "gold_0.npy", np.zeros((13, 17), np.float32))
    error = cli(
        *("measure", data.masks, "--images", tmp_path / "gold_0.npy"),
        *("--out", tmp_path / "p.csv"),
    ).error
    assert "give the image that it was made from" in error
    assert not (tmp_path / "p.csv").exists()
