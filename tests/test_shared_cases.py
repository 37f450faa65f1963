"""Files that are easily read or counted wrong: those that ``make_cases.py`` writes, where it is.

What is right for each stands in the README beside it, and why; numbers here are that README's.
"""

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from napari_tem_rf.cli import main
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.runs import read_run

SCRIPT = Path(__file__).resolve().parents[1] / ".." / "shared" / "cases" / "make_cases.py"
KINDS = (
    *("f05_dots_per_inch", "f06_png_bits", "f07_axes", "f10_numbered", "f11_labels"),
    *("f13_one_bad_field", "f15_white_is_zero", "f16_sentences", "f17_later_page"),
    "f18_f19_training",
)
RAMP_SHAPE = (40, 56)


@pytest.fixture(scope="module")
def make() -> ModuleType:
    if not SCRIPT.is_file():
        pytest.skip("no ../shared/cases")
    spec = importlib.util.spec_from_file_location("make_cases", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_cases"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cases(make: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    for kind in KINDS:
        getattr(make, kind)(folder)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def one(path: Path):
    (image,) = read_micrographs(path)
    return image


@pytest.mark.parametrize(
    "name",
    ["imagej_inch_72.tif", "imagej_cm_28.tif", "imagej_mm_12.tif", "ome_72_dpi.ome.tif"],
)
def test_f05_dots_per_inch(cases, name):
    image = one(cases / f"f05_{name}")
    assert image.pixel_size_nm is None
    assert any("no pixel size" in note for note in image.notes)


def test_f05_other_sizes(cases):
    image = one(cases / "f05_mrc_cell_in_metres.mrc")
    assert image.pixel_size_nm is None or image.pixel_size_nm == pytest.approx((0.7, 0.7))
    assert image.notes
    for name in ("inch", "cm"):
        size = one(cases / f"f05_imagej_{name}_true.tif").pixel_size_nm
        assert size == pytest.approx((0.4, 0.4))


def test_f06_bits_of_png(cases, make):
    for name in ("rgb16", "rgba16"):
        values = read_labels(cases / f"f06_labels_{name}.png")
        assert np.unique(values).tolist() == [0, 1, 258, 1025]
    for name in ("rgb16", "grey_alpha16"):
        image = one(cases / f"f06_image_{name}.png")
        np.testing.assert_array_equal(image.pixels, make.ramp().astype(np.uint16) * 16 + 90)
    for name, values in (("grey2", [0, 1, 2, 3]), ("grey4", [0, 3, 6, 9])):
        assert np.unique(read_labels(cases / f"f06_labels_{name}.png")).tolist() == values


def test_f07_axes(cases, make, tmp_path, capsys):
    for folder in ("row_column_1", "row_column_1_tif"):
        out = tmp_path / f"{folder}.csv"
        code, said, _ = run(capsys, "measure", cases / f"f07_{folder}", "--out", out, "--json")
        assert (code, json.loads(said)["number"]) == (0, 3)
    for folder in ("f07_row_column_1", "f07_1_row_column"):
        code, said, _ = run(
            capsys, "evaluate", cases / "f07_mask.npy", "--labels", cases / folder, "--json"
        )
        assert (code, json.loads(said)["dice"]) == (0, 1)
    for name in ("together", "apart"):
        assert one(cases / f"f07_five_samples_{name}.tif").pixels.shape == (5, *RAMP_SHAPE)
    np.testing.assert_array_equal(one(cases / "f07_cmyk_black_only.tif").pixels, make.ramp())
    image = one(cases / "f07_rgb_float.npy")
    np.testing.assert_array_equal(image.pixels, make.ramp() / np.float32(240))
    movie = read_labels(cases / "f07_labels_tzyx.tif")
    np.testing.assert_array_equal(movie, one(cases / "f07_labels_tzyx.tif").pixels)
    assert movie.shape == (6, *RAMP_SHAPE)


def areas(path: Path) -> list[float]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = next(name for name in rows[0] if name.startswith("area"))
    return [float(row[column]) for row in rows]


def test_f10_numbered_particles(cases, make, tmp_path, capsys):
    for name, number in (("24", 24), ("4096", 4096)):
        out = tmp_path / f"{name}.csv"
        code, said, told = run(
            capsys, "measure", cases / f"f10_numbered_{name}.tif", "--out", out, "--json"
        )
        assert (code, json.loads(said)["number"]) == (0, number)
        assert "a number each" in told
    # pixels of 0.4 nm
    counted = np.bincount(make.numbered().ravel())[1:] * 0.16
    assert areas(tmp_path / "24.csv") == pytest.approx(counted)


@pytest.mark.parametrize(
    ("prediction", "labels", "words"),
    [
        ("f11_mask", "f11_truth_numbered", "a number each"),
        ("f11_truth_numbered", "f11_mask", "a number each"),
        ("f11_mask", "f11_truth_1_and_2", "1 is taken as background"),
    ],
)
def test_f11_labels_of_another_kind(cases, capsys, prediction, labels, words):
    code, said, told = run(
        capsys, "evaluate", cases / prediction, "--labels", cases / labels, "--json"
    )
    assert (code, json.loads(said)["dice"]) == (0, 1)
    assert words in told


def test_f11_measured_and_trained_from(cases, tmp_path, capsys):
    out = tmp_path / "particles.csv"
    code, said, told = run(capsys, "measure", cases / "f11_truth_1_and_2", "--out", out, "--json")
    assert (code, json.loads(said)["number"]) == (0, 29)
    assert "1 is taken as background" in told
    code, _, told = run(
        capsys,
        *("train", cases / "f11_twenty_images", "--labels", cases / "f11_twenty_labels"),
        *("--unlabelled", "background", "--pools", 2, "--epochs", 1, "--run", tmp_path / "run"),
    )
    # twenty values are particles with a number each, as the window takes them, too
    assert code == 0
    assert "numbered particles" in told
    assert read_run(tmp_path / "run").record.labels_are == "particles"


def test_f13_one_bad_field(cases):
    assert one(cases / "f13_fei_voltage_blank.tif").pixel_size_nm == pytest.approx((3, 3))
    assert one(cases / "f13_imagej_voltage_dash.tif").pixel_size_nm == pytest.approx((0.4, 0.4))
    first, second = read_micrographs(cases / "f13_ome_first_size_blank.ome.tif")
    assert first.pixel_size_nm is None
    assert second.pixel_size_nm == pytest.approx((0.4, 0.4))


def test_f15_white_is_zero(cases, make):
    for name in ("white", "black"):
        labels = read_labels(cases / f"f15_mask_{name}_is_zero.tif")
        np.testing.assert_array_equal(labels, make.three_squares())


def test_f16_limits_and_plans(cases, make, tmp_path, capsys):
    big = read_labels(cases / "f16_png_182_megapixels.png")
    assert big.shape == (14_000, 13_000)
    assert int(np.count_nonzero(big)) == 12_469_997
    stopped = one(cases / "f16_ome_stopped.ome.tif")
    np.testing.assert_array_equal(stopped.pixels, [make.ramp(), make.ramp() // 2])
    assert stopped.pixel_size_nm == pytest.approx((0.4, 0.4))
    assert "5 frames were planned" in stopped.notes[0]
    assert int(read_labels(cases / "f16_labels_to_70000.npy").max()) == 70_000
    out = tmp_path / "many.csv"
    code, said, _ = run(
        capsys,
        *("measure", cases / "f16_labels_to_70000.npy", "--smallest", 1),
        *("--out", out, "--json"),
    )
    assert (code, json.loads(said)["number"]) == (0, 35_000)


def test_f17_the_calibration_of_another_page(cases):
    _, image = read_micrographs(cases / "f17_olympus_second_page.tif")
    assert image.pixel_size_nm == pytest.approx((0.8, 0.8))
    assert image.pixels.dtype == np.uint16
    _, image = read_micrographs(cases / "f17_fei_second_page.tif")
    assert image.pixel_size_nm == pytest.approx((3, 3))
    sizes = [image.pixel_size_nm for image in read_micrographs(cases / "f17_two_calibrations.tif")]
    assert sizes == [pytest.approx((0.4, 0.4)), pytest.approx((1, 1))]


def test_f16_f18_f19_training(cases, tmp_path, capsys):
    """One epoch from the default start: a start that is noted, an offset, a hot column."""
    code, _, told = run(
        capsys,
        *("train", cases / "f18_images", "--labels", cases / "f18_labels"),
        *("--unlabelled", "background", "--receptive-field", 44, "--parameters", 31634),
        *("--epochs", 1, "--device", "cpu", "--run", tmp_path / "run"),
    )
    assert code == 0
    assert "so bright" not in told
    assert json.loads((tmp_path / "run" / "run.json").read_text())["start"] == "simulated"
    for folder in ("f18_images", "f16_offset_images", "f18_hot_column"):
        code, _, told = run(
            capsys, "predict", tmp_path / "run", cases / folder, "--out", tmp_path / folder
        )
        assert code == 0
        assert ("--spikes robust" in told) == (folder == "f18_hot_column")
    for name in ("a0.tif", "a1.tif"):
        mask = read_labels(tmp_path / "f18_images" / name)
        assert mask.any()
        offset = read_labels(tmp_path / "f16_offset_images" / name)
        assert np.count_nonzero(mask != offset) <= 3
