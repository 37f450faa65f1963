"""What is exported is what was shown, at the same place, with how it was made beside it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtWidgets import QFileDialog

from napari_tem_rf.gui.export.mask_export import MaskExport
from napari_tem_rf.gui.export.masks import export_instances, outgoing
from napari_tem_rf.gui.particles.dock import ParticlesWidget
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.predictions import show_prediction
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.particles import find_particles
from napari_tem_rf.micrographs.outline_files import read_outlines
from napari_tem_rf.micrographs.outlines import legend_of
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.micrographs.writing import write_labels

from .conftest import NM, SHAPE, fake_train

KNOWN = {"image", "source", "source_sha256", "pixel_size_nm", "versions", "date"}
OF_A_RUN = {"run", "network", "receptive_field", "seed", "cleaning"}


@pytest.fixture
def run(session: Session, strokes: Labels) -> TrainedRun:
    request = training_request(session)
    record = fake_train(request, report=lambda _: None, stopped=lambda: False)
    run = TrainedRun(request.run, record)
    session.add_run(run)
    return run


@pytest.fixture
def prediction(session: Session, image: Image, run: TrainedRun) -> Labels:
    """Two discs of class 2 that touch, and one apart."""
    rows, columns = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    for row, column in ((20, 20), (20, 38), (45, 60)):
        labels[(rows - row) ** 2 + (columns - column) ** 2 < 100] = 2
    return show_prediction(
        session, image, labels, run.record.classes, run.record.spec, run=run.folder
    )


@pytest.fixture
def part(viewer: Any, qtbot: Any, prediction: Labels) -> MaskExport:
    part = MaskExport(viewer)
    qtbot.addWidget(part)
    return part


def export(qtbot: Any, part: MaskExport, path: Path, layer: Labels, **options: Any) -> str:
    part.export_to(path, layer, **options)
    qtbot.waitUntil(lambda: part._writing is None, timeout=20_000)
    return str(part.words.text())


def record_beside(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert record.keys() >= KNOWN
    return record


@pytest.mark.parametrize("name", ["m.tif", "m.tiff", "m.ome.zarr", "m.png", "m.npy"])
def test_a_mask_comes_back_the_same_at_the_same_place(
    part: MaskExport, prediction: Labels, tmp_path: Path, viewer: Any, qtbot: Any, name: str
) -> None:
    """The image, too, is written and read: both lie on each other as they did before."""
    image = viewer.layers["gold"]
    path = tmp_path / name
    assert "Written" in export(qtbot, part, path, prediction)
    np.testing.assert_array_equal(read_labels(path), prediction.data)
    record = record_beside(path)
    assert record.keys() >= OF_A_RUN
    assert record["pixel_size_nm"] == pytest.approx(NM)
    (back,) = read_micrographs(path)
    if name[-3:] in ("png", "npy"):  # they have no place for it: the record has
        assert back.pixel_size_nm is None
        return
    assert back.pixel_size_nm == pytest.approx(NM)
    again = viewer.add_labels(
        np.asarray(back.pixels), scale=back.pixel_size_nm, translate=image.translate, units="nm"
    )
    for corner in ((0, 0), (60, 82), (31, 7)):
        assert again.data_to_world(corner) == pytest.approx(prediction.data_to_world(corner))
        assert again.data_to_world(corner) == pytest.approx(image.data_to_world(corner))


@pytest.mark.parametrize("name", ["m.tif", "m.ome.zarr", "m.json"])
def test_nothing_is_replaced_that_was_not_asked_about(
    part: MaskExport, prediction: Labels, tmp_path: Path, qtbot: Any, name: str
) -> None:
    part.kind.setCurrentText("outlines" if name == "m.json" else "labels")
    path = tmp_path / name
    export(qtbot, part, path, prediction)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    assert "exists: give another name" in export(qtbot, part, path, prediction)
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before
    assert "Written" in export(qtbot, part, path, prediction, overwrite=True)


def test_an_ending_that_was_added_is_not_what_the_dialog_asked_about(
    part: MaskExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    write_labels(tmp_path / "mask.npy", np.ones((5, 7), int))
    answer = (str(tmp_path / "mask"), "NumPy, without pixel size (*.npy)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: answer)
    part.export_button.click()
    qtbot.waitUntil(lambda: part._writing is None and "exists" in part.words.text())
    assert read_labels(tmp_path / "mask.npy").shape == (5, 7)
    # typed in full, the dialog has asked
    answer = (str(tmp_path / "mask.npy"), "NumPy, without pixel size (*.npy)")
    part.export_button.click()
    qtbot.waitUntil(lambda: part._writing is None and "Written" in part.words.text())
    assert read_labels(tmp_path / "mask.npy").shape == SHAPE


def pixels_of(annotation: dict[str, Any]) -> Any:
    counts = annotation["segmentation"]["counts"]
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    return flat.reshape(annotation["segmentation"]["size"], order="F").astype(bool)


def instances_in(path: Path) -> Any:
    coco = json.loads(path.read_text())
    back = np.zeros(SHAPE, np.int64)
    for annotation in coco["annotations"]:
        back[pixels_of(annotation)] = annotation["instance"]
    return coco, back


def test_coco_of_a_mask_holds_its_particles(
    part: MaskExport, prediction: Labels, tmp_path: Path, qtbot: Any
) -> None:
    part.kind.setCurrentText("outlines")
    path = tmp_path / "m.json"
    assert "Written" in export(qtbot, part, path, prediction)
    coco, back = instances_in(path)
    np.testing.assert_array_equal(
        back, find_particles(prediction.data, smallest_px=9, pixel_size_nm=NM)
    )
    assert len(coco["annotations"]) == 3
    assert coco["categories"][-1]["id"] == 2
    assert coco["categories"][-1]["name"] == "particle"
    assert {each["category_id"] for each in coco["annotations"]} == {2}
    assert coco["images"][0]["pixel_size_nm"] == pytest.approx(NM)
    assert record_beside(path)["particles"]["smallest_px"] == 9
    assert "COCO is written as .json" in export(qtbot, part, tmp_path / "m.tif", prediction)


@pytest.mark.parametrize("name", ["p.tif", "p.ome.zarr", "p.json", "p.zip", "p.geojson"])
def test_particles_are_written_as_they_were_corrected(
    part: MaskExport, prediction: Labels, viewer: Any, tmp_path: Path, qtbot: Any, name: str
) -> None:
    widget = ParticlesWidget(viewer)
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: widget.find_button.isEnabled())
    widget.find_button.click()
    qtbot.waitUntil(lambda: len(widget.particles.table) == 3, timeout=20_000)
    layer = widget.particles.layer
    widget.particles.delete([2])
    qtbot.waitUntil(lambda: not widget.particles.work.is_busy, timeout=20_000)
    assert layer in part.masks._layers
    one_by_one = name in ("p.json", "p.zip", "p.geojson")
    if one_by_one:
        part.kind.setCurrentText("outlines")
    path = tmp_path / name
    assert "Written" in export(qtbot, part, path, layer)
    if name in ("p.zip", "p.geojson"):
        file = read_outlines(path)
        assert [each.name[-1] for each in file.outlines] == ["1", "3"]
        # outlines are numbered in the order of the file
        back = np.array([0, 1, 3])[file.labels(SHAPE, legend_of(file.outlines))[0]]
    else:
        back = instances_in(path)[1] if one_by_one else read_labels(path)
    np.testing.assert_array_equal(back, layer.data)
    assert sorted(np.unique(back)) == [0, 1, 3]
    record = record_beside(path)
    assert record["particles"]["corrected_by_hand"]
    assert record.keys() >= OF_A_RUN
    if not one_by_one:
        assert read_micrographs(path)[0].pixel_size_nm == pytest.approx(NM)


def test_probabilities_are_predicted_anew_and_written(
    worker: None, part: MaskExport, prediction: Labels, strokes: Labels, tmp_path: Path, qtbot: Any
) -> None:
    part.kind.setCurrentText("probabilities")
    path = tmp_path / "likely.tif"
    part.export_to(path, prediction)
    qtbot.waitUntil(lambda: "Written" in part.words.text(), timeout=20_000)
    likely = tifffile.imread(path)
    assert likely.dtype == np.float32
    assert likely.shape == (2, *SHAPE)
    assert (likely[1, :, : SHAPE[1] // 2] == 1).all()
    assert record_beside(path).keys() >= OF_A_RUN
    part._choose_mask(strokes)
    part.export_button.click()
    assert "was not predicted by a run" in part.words.text()


def test_strokes_are_written_with_a_record_and_their_background_is_no_particle(
    session: Session, part: MaskExport, strokes: Labels, tmp_path: Path, qtbot: Any
) -> None:
    path = tmp_path / "strokes.tif"
    assert "Written" in export(qtbot, part, path, strokes)
    np.testing.assert_array_equal(read_labels(path), strokes.data)
    record = record_beside(path)
    assert record["by_hand"]
    assert "run" not in record
    well, _ = export_instances(tmp_path / "strokes.json", outgoing(session, strokes))
    assert well
    _, back = instances_in(tmp_path / "strokes.json")
    np.testing.assert_array_equal(back > 0, strokes.data == 2)
    assert session.refresh().scene.predictions
