"""``train`` on numbered particles, ``predict --instances`` and ``measure`` of what it writes."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.runs import read_run

from .conftest import PIXEL_SIZE_NM

QUICK = ("--pools", "2", "--filters", "4", "--device", "cpu", "--epochs", "2", "--validation", "0")


@pytest.fixture(scope="module")
def numbers(data, tmp_path_factory):
    """Folder of the masks of the images with a number for each particle, in 16 bits."""
    folder = tmp_path_factory.mktemp("numbers")
    for path in data.masks.iterdir():
        labels, count = ndimage.label(tifffile.imread(path))
        assert count == 3
        tifffile.imwrite(folder / path.name, labels.astype(np.uint16))
    return folder


def test_masks_of_numbered_particles_for_a_run_of_classes(cli, run, data, tmp_path):
    out = tmp_path / "out"
    answer = cli("predict", run, data.images, "--out", out, "--instances", "--json")
    assert answer.code == 0
    for entry in answer.json["masks"]:
        labels = tifffile.imread(entry["mask"])
        assert labels.dtype == np.uint16
        present = np.unique(labels)
        np.testing.assert_array_equal(present, np.arange(len(present)))
        assert entry["particles"] == len(present) - 1 >= 3
        (micrograph,) = read_micrographs(out / "gold_0.tif")
        assert micrograph.pixel_size_nm == pytest.approx((PIXEL_SIZE_NM,) * 2, rel=1e-6)
    made = json.loads((out / "gold_0.tif.json").read_text())
    assert made["instances"] == {"told_apart_by": "necks of the mask", "neck": 0.8}
    # foreground and background are those of the plain mask
    cli("predict", run, data.images / "gold_1.tif", "--out", tmp_path / "plain")
    plain = read_labels(tmp_path / "plain" / "gold_1.tif")
    np.testing.assert_array_equal(read_labels(out / "gold_1.tif") > 0, plain > 0)


def test_a_repeat_keeps_them_and_another_kind_of_mask_is_not_written_over(cli, run, data, tmp_path):
    image, out = data.images / "gold_1.tif", tmp_path / "out"
    cli("predict", run, image, "--out", out, "--instances")
    before = (out / "gold_1.tif").read_bytes()
    assert "is kept" in cli("predict", run, image, "--out", out, "--instances").err
    assert "nothing is overwritten" in cli("predict", run, image, "--out", out).error
    other = cli("predict", run, image, "--out", out, "--instances", "--neck", "0.5")
    assert "nothing is overwritten" in other.error
    assert (out / "gold_1.tif").read_bytes() == before


def test_a_series_of_numbered_particles(cli, run, data, tmp_path):
    frames = np.stack([tifffile.imread(data.images / f"gold_{n}.tif") for n in range(3)])
    tifffile.imwrite(tmp_path / "series.tif", frames, imagej=True, metadata={"axes": "TYX"})
    cli("predict", run, tmp_path / "series.tif", "--out", tmp_path / "out", "--instances")
    labels = tifffile.imread(tmp_path / "out" / "series.tif")
    assert (labels.shape, labels.dtype) == (frames.shape, np.uint16)


def test_measure_takes_numbers_as_they_are(cli, run, data, tmp_path):
    """However few they are: the record beside a mask says that they are numbers."""
    cli("predict", run, data.images, "--out", tmp_path / "out", "--instances", "--neck", "1")
    cli("measure", tmp_path / "out", "--out", tmp_path / "p.csv", "--smallest", "1")
    table = pd.read_csv(tmp_path / "p.csv")
    for name, rows in table.groupby("image"):
        labels = read_labels(tmp_path / "out" / f"{name}.tif")
        values, pixels = np.unique(labels[labels > 0], return_counts=True)
        assert rows["label"].tolist() == values.tolist()
        np.testing.assert_allclose(rows["area_nm2"], pixels * PIXEL_SIZE_NM**2, rtol=1e-6)


def test_train_says_what_it_takes_labels_for(cli, data, numbers, tmp_path, few_steps):
    """Three particles in each of four images, and nobody said what labels or zeros are."""
    arguments = ("train", data.images, "--labels", numbers, *QUICK)
    answer = cli(*arguments, "--run", tmp_path / "run", "--labels-are", "particles", "--json")
    assert answer.code == 0
    assert "numbered particles; zeros are background" in answer.err
    assert answer.json["labels_are"] == "particles"
    assert answer.json["classes"] == {"background": 0, "particle": 1}
    record = read_run(tmp_path / "run").record
    assert record.spec.classes == 3
    assert record.border_px == pytest.approx(2.4, abs=0.3)
    out = tmp_path / "out"
    cli("predict", tmp_path / "run", data.images, "--out", out, "--instances")
    made = json.loads((out / "gold_0.tif.json").read_text())
    assert made["instances"]["told_apart_by"] == "the border that the run learned"
    assert made["classes"] == {"background": 0, "particle": 1}
    again = cli("train", "--resume", "--run", tmp_path / "run", "--epochs", "3", "--json")
    assert again.code == 0
    assert again.json["epochs"] == 3
    refused = cli("train", "--resume", "--run", tmp_path / "run", "--labels-are", "classes")
    assert "--labels-are particles" in refused.error


def test_a_word_that_is_no_answer_is_refused(cli, data, numbers, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", numbers, "--run", tmp_path / "run"),
        *("--labels-are", "numbers"),
    )
    assert answer.code == 2
    assert "give auto, classes or particles" in answer.err
