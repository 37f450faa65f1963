"""Particles out as COCO, ROIs and GeoJSON, and outlines in as labels."""

import json
import shutil

import numpy as np
import pytest
import tifffile

from napari_tem_rf.micrographs.outline_files import read_outlines
from napari_tem_rf.micrographs.outlines import legend_of
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.micrographs.writing import InstanceImage, write_instances
from napari_tem_rf.runs import read_run

from .conftest import QUICK, SHAPE

pytest.importorskip("roifile")

pytestmark = pytest.mark.usefixtures("few_steps")


@pytest.fixture
def numbered(data):
    """The masks of the images, each particle with a number of its own."""
    from skimage.measure import label

    return {path.stem: label(read_labels(path)) for path in sorted(data.masks.glob("*.tif"))}


def drawn(path):
    file = read_outlines(path)
    return file.labels(SHAPE, legend_of(file.outlines))[0]


def test_measure_writes_each_particle_under_its_number(cli, data, tmp_path, numbered):
    out = tmp_path / "out"
    command = (
        *("measure", data.masks, "--no-split", "--out", out / "p.csv", "--json"),
        *("--coco", out / "all.json", "--rois", out / "rois", "--geojson", out / "geo"),
    )
    number = cli(*command).json["number"]
    assert number == sum(int(each.max()) for each in numbered.values())
    coco = json.loads((out / "all.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == [f"{name}.tif" for name in numbered]
    assert len(coco["annotations"]) == number
    assert len({each["id"] for each in coco["annotations"]}) == number
    for name, labels in numbered.items():
        for path in (out / "rois" / f"{name}.zip", out / "geo" / f"{name}.geojson"):
            back = drawn(path)
            np.testing.assert_array_equal(back > 0, labels > 0)
            assert len(np.unique(back)) == len(np.unique(labels))
    # the same again is kept, another is not overwritten
    (out / "p.csv").unlink()
    before = (out / "rois" / "gold_0.zip").read_bytes()
    assert cli(*command).code == 0
    assert (out / "rois" / "gold_0.zip").read_bytes() == before
    (out / "p.csv").unlink()
    shutil.copy(out / "rois" / "gold_1.zip", out / "rois" / "gold_0.zip")
    assert "gold_0.zip" in cli(*command).error
    assert "is not overwritten" in cli(*command).error


def test_outlines_are_enough_of_an_output(cli, data, tmp_path):
    assert cli("measure", data.masks, "--rois", tmp_path / "rois").code == 0
    assert cli("measure", data.masks).code == 2
    assert cli("measure", data.masks, "--coco", tmp_path / "a.txt").code == 2
    (tmp_path / "file").touch()
    assert cli("measure", data.masks, "--geojson", tmp_path / "file").code == 2


@pytest.mark.parametrize("ending", [".zip", ".geojson", ".tif.geojson"])
def test_train_takes_outlines_as_numbered_particles(cli, data, tmp_path, numbered, ending):
    labels = tmp_path / "labels"
    for name, instances in numbered.items():
        write_instances(labels / f"{name}{ending}", [InstanceImage(name, instances)], {1: "p"})
    answer = cli(
        *("train", data.images, "--labels", labels, "--run", tmp_path / "run"),
        *("--epochs", 1, "--validation", 0, "--json", *QUICK),
    )
    assert answer.code == 0, answer.err
    assert answer.json["labels_are"] == "particles"
    assert answer.json["images"] == len(numbered)
    run = read_run(tmp_path / "run")
    assert run.record.unlabelled == "background"
    for entry in run.record.data:
        kept = read_labels(run.folder / entry.annotation)
        np.testing.assert_array_equal(kept > 0, numbered[entry.name] > 0)
        assert entry.labels_source == str(labels / f"{entry.name}{ending}")


def test_classes_of_outlines_are_the_runs_classes(cli, data, tmp_path, numbered):
    """A file without a class does not change the value that the class has in the others."""
    labels = tmp_path / "labels"
    names = {1: "gold", 2: "Background"}
    for place, (name, instances) in enumerate(numbered.items()):
        around = np.zeros_like(instances)
        around[:3] = 1000
        both = instances if place == 0 else np.where(instances > 0, instances, around)
        image = InstanceImage(name, both, {1000: 2})
        write_instances(labels / f"{name}.geojson", [image], names)
    answer = cli(
        *("train", data.images, "--labels", labels, "--run", tmp_path / "run"),
        *("--epochs", 1, "--validation", 0, "--json", *QUICK[:6]),
    )
    assert answer.code == 0, answer.err
    assert answer.json["classes"] == {"Background": 1, "gold": 2}
    assert read_run(tmp_path / "run").record.unlabelled == "ignore"


def test_an_image_and_a_roiset_that_are_alone_belong_together(cli, data, tmp_path, numbered):
    path = write_instances(
        tmp_path / "RoiSet.zip", [InstanceImage("a", numbered["gold_0"])], {1: "p"}
    )
    image = data.images / "gold_0.tif"
    train = ("train", image, "--labels", path, "--epochs", 1, "--validation", 0, *QUICK)
    assert cli(*train, "--run", tmp_path / "run").code == 0
    answer = cli("train", data.images, *train[2:], "--run", tmp_path / "more")
    assert "no labels have the name of an image" in answer.error


def test_evaluate_scores_against_outlines(cli, data, tmp_path, numbered):
    labels = tmp_path / "labels"
    for name, instances in numbered.items():
        write_instances(labels / f"{name}.zip", [InstanceImage(name, instances)], {1: "p"})
    assert cli("evaluate", data.masks, "--labels", labels, "--json").json["dice"] == 1
    tifffile.imwrite(tmp_path / "gold_0.tif", np.ones((11, 13), np.uint8))
    answer = cli("evaluate", tmp_path / "gold_0.tif", "--labels", labels)
    assert "lie outside" in answer.error or "are of another image" in answer.error


def test_outlines_alone_are_no_image(cli, tmp_path, numbered):
    path = write_instances(tmp_path / "a.zip", [InstanceImage("a", numbered["gold_0"])], {1: "p"})
    assert "holds outlines, which have no pixels of their own" in cli("info", path).err
