"""The export widget: masks on disk with the image's pixel size and how they were made."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session

from .conftest import fake_train


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> ExportWidget:
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def run(session: Session, strokes: Labels) -> TrainedRun:
    request = training_request(session)
    record = fake_train(request, report=lambda _: None, stopped=lambda: False)
    return TrainedRun(request.run, record)


def press(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_without_a_run_nothing_can_be_predicted_and_it_says_why(widget: ExportWidget) -> None:
    assert not widget.predict_button.isEnabled()
    assert not widget.export_button.isEnabled()
    assert "There is no result yet" in widget.score.text()


def test_predict_then_export_writes_the_mask_with_its_pixel_size(
    worker: None,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    session.add_run(run)
    assert "Dice 0.810 on held-out blocks" in widget.score.text()
    press(qtbot, widget.predict_button)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=10_000)
    path = tmp_path / "mask.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    press(qtbot, widget.export_button)
    qtbot.waitUntil(lambda: "Written" in widget.mask_export.words.text(), timeout=10_000)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        # ImageJ reads pixels per unit: 1 / 0.025 nm across, 1 / 0.02 nm down
        across, down = (page.tags[name].value for name in ("XResolution", "YResolution"))
        assert across[0] / across[1] == pytest.approx(40)
        assert down[0] / down[1] == pytest.approx(50)
        assert file.imagej_metadata["unit"] == "nm"
        np.testing.assert_array_equal(file.asarray(), session.refresh().scene.predictions[0].data)
    record = json.loads((tmp_path / "mask.tif.json").read_text())
    assert record["pixel_size_nm"] == pytest.approx([0.02, 0.025])
    assert record["run"] == str(run.folder)
    assert record["image"] == "gold"


def test_the_chosen_filter_gives_the_ending(
    worker: None,
    widget: ExportWidget,
    strokes: Labels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    answer = (str(tmp_path / "mask"), "NumPy, without pixel size (*.npy)")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: answer)
    press(qtbot, widget.export_button)
    qtbot.waitUntil(lambda: "Written" in widget.mask_export.words.text(), timeout=10_000)
    np.testing.assert_array_equal(np.load(tmp_path / "mask.npy"), strokes.data)


def test_what_cannot_be_written_is_said_in_a_sentence(
    widget: ExportWidget, strokes: Labels, tmp_path: Path, qtbot: Any
) -> None:
    part = widget.mask_export
    part.export_to(tmp_path / "mask.jpg", strokes)
    qtbot.waitUntil(lambda: ".jpg" in part.words.text() and part._writing is None)
    assert part.words.text().startswith("✗")
    assert widget.export_button.isEnabled()


def test_predict_all_goes_through_images_and_frames(
    worker: None, widget: ExportWidget, session: Session, run: TrainedRun, viewer: Any, qtbot: Any
) -> None:
    viewer.add_image(np.zeros((3, 29, 31), np.float32), name="series")
    session.add_run(run)
    press(qtbot, widget.all_button)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=10_000)
    assert widget.words.text() == "1 image and 3 frames predicted."
    stack = viewer.layers["series: field 200 px"]
    assert stack.data.shape == (3, 29, 31)
    assert (stack.data[:, :, :15] == 2).all()
    assert (stack.data[:, :, 15:] == 0).all()


def test_a_run_of_an_earlier_day_opens(
    widget: ExportWidget, session: Session, run: TrainedRun, tmp_path: Path
) -> None:
    widget.open_run(tmp_path)
    assert "is not a run" in widget.words.text()
    widget.open_run(run.folder)
    assert session.run is not None
    assert session.run.folder == run.folder
    assert widget.words.text() == ""


def test_another_pixel_size_than_the_runs_is_said(
    widget: ExportWidget, session: Session, run: TrainedRun, viewer: Any
) -> None:
    session.add_run(run)
    session.image = viewer.add_image(
        np.zeros((29, 31), np.float32), scale=(0.04, 0.05), units=("nm", "nm")
    )
    assert "its pixels are 2.00 times as large as those trained on" in widget.sizes.text()
    assert widget.resample.isVisibleTo(widget)
    session.image.scale = (0.02, 0.025)
    assert not widget.sizes.text()
    assert not widget.resample.isVisibleTo(widget)


def test_the_predictions_are_hidden_and_shown_again(
    worker: None,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    image: Image,
    qtbot: Any,
) -> None:
    session.add_run(run)
    press(qtbot, widget.predict_button)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=10_000)
    (layer,) = session.refresh().scene.predictions
    session.requested.emit("toggle_prediction")
    assert not layer.visible
    press(qtbot, widget.show_button)
    assert layer.visible
