"""The train widget: from a press to a run, a curve and a prediction; stop; what went wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_tem_rf import jobs
from napari_tem_rf.gui.segment.train import TrainWidget
from napari_tem_rf.gui.session.request import (
    labelled_images,
    training_request,
    window_in_view,
)
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport
from napari_tem_rf.starting import SIMULATED

from .conftest import fake_train


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> TrainWidget:
    widget = TrainWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def press(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def idle(session: Session) -> Callable[[], bool]:
    return lambda: session.training is None and session.predicting is None


def test_the_button_is_dead_with_the_reason_beside_it(
    widget: TrainWidget, session: Session
) -> None:
    assert not widget.train_button.isEnabled()
    assert widget.words.text().startswith("No image is open")


def test_the_reason_goes_when_the_annotation_is_there(
    widget: TrainWidget, session: Session, strokes: Labels
) -> None:
    assert widget.train_button.isEnabled()


def test_a_training_leaves_a_run_a_curve_and_a_prediction(
    worker: None, widget: TrainWidget, session: Session, strokes: Labels, qtbot: Any
) -> None:
    session.spec = NetworkSpec(pools=(2, 2), filters=4)
    press(qtbot, widget.train_button)
    assert session.training is not None
    assert widget.train_button.isHidden()
    assert not widget.stop_button.isHidden()
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert not widget.train_button.isHidden()
    (run,) = session.runs
    assert session.run is run
    assert run.dice == 0.81
    assert run.folder.parent == session.runs_folder / "gold"
    assert [report.epoch for report in session.history] == [1, 2, 3]
    assert not widget.curve.isHidden()
    (layer,) = session.refresh().scene.predictions
    assert layer.name == "gold: field 44 px"
    assert tuple(layer.scale) == tuple(session.image.scale)
    assert tuple(layer.translate) == tuple(session.image.translate)
    assert layer.units == session.image.units
    assert layer.axis_labels == session.image.axis_labels
    # the prediction of the finished run, not the last preview
    assert (layer.data[:, :41] == 2).all()
    assert (layer.data[:, 41:] == 0).all()
    assert session.start == run.folder


def test_a_second_training_updates_the_programs_layer_and_no_other(
    worker: None, widget: TrainWidget, session: Session, strokes: Labels, viewer: Any, qtbot: Any
) -> None:
    session.spec = NetworkSpec(pools=(2, 2), filters=4)
    mine = viewer.add_labels(np.full((61, 83), 3, np.uint8), name="gold: field 44 px")
    session.annotation = strokes
    for _ in range(2):
        press(qtbot, widget.train_button)
        qtbot.waitUntil(idle(session), timeout=10_000)
    assert (mine.data == 3).all()
    assert len(session.refresh().scene.predictions) == 1
    assert len(session.runs) == 2
    assert session.runs[0].folder != session.runs[1].folder


def test_painting_goes_on_where_it_was_after_a_prediction_appears(
    worker: None, widget: TrainWidget, session: Session, strokes: Labels, viewer: Any, qtbot: Any
) -> None:
    viewer.layers.selection.active = strokes
    strokes.mode = "paint"
    press(qtbot, widget.train_button)
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert viewer.layers.selection.active is strokes
    assert strokes.mode == "paint"
    assert viewer.layers.index(session.refresh().scene.predictions[0]) < viewer.layers.index(
        strokes
    )


def test_a_failure_is_one_sentence_and_the_button_comes_back(
    worker: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: TrainWidget,
    session: Session,
    strokes: Labels,
    qtbot: Any,
) -> None:
    def fail(*_: Any, report: Any, stopped: Any) -> None:
        raise ValueError("the disk is full: make room")

    monkeypatch.setattr(jobs, "train", fail)
    press(qtbot, widget.train_button)
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert widget.note.text() == "✗ The disk is full: make room."
    assert not widget.train_button.isHidden()
    assert widget.train_button.isEnabled()
    assert session.runs == ()


def test_an_interrupted_training_goes_on_from_its_checkpoint(
    worker: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: TrainWidget,
    session: Session,
    strokes: Labels,
    qtbot: Any,
) -> None:
    asked: list[jobs.TrainRequest] = []

    def die_once(request: jobs.TrainRequest, *, report: Any, stopped: Any) -> Any:
        asked.append(request)
        if len(asked) == 1:
            report(EpochReport(1, 10, 0.1, 0.1, 1.0, 1.0, 0.8, 1, 0.8))
            request.run.mkdir(parents=True)
            (request.run / "run.json").write_text("")
            raise RuntimeError("the worker ended: memory ran out")
        (request.run / "run.json").unlink()
        return fake_train(request, report=report, stopped=stopped)

    monkeypatch.setattr(jobs, "train", die_once)
    assert widget.resume_button.isHidden()
    press(qtbot, widget.train_button)
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert "memory ran out" in widget.note.text()
    assert not widget.resume_button.isHidden()
    press(qtbot, widget.resume_button)
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert [request.resume for request in asked] == [False, True]
    assert asked[1].run == asked[0].run
    assert [report.epoch for report in session.history] == [1, 2, 3]
    assert widget.resume_button.isHidden()
    assert len(session.runs) == 1


def test_stop_asks_the_training_to_stop_and_keeps_what_it_has(
    worker: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: TrainWidget,
    session: Session,
    strokes: Labels,
    qtbot: Any,
) -> None:
    def wait(request: Any, *, report: Any, stopped: Any) -> Any:
        report(NoteReport("it goes on"))
        while not stopped():
            pass
        return fake_train(request, report=report, stopped=stopped)

    monkeypatch.setattr(jobs, "train", wait)
    press(qtbot, widget.train_button)
    qtbot.waitUntil(lambda: widget.note.text() == "It goes on.", timeout=10_000)
    press(qtbot, widget.stop_button)
    assert not widget.stop_button.isEnabled()
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert len(session.runs) == 1


def test_only_the_same_network_can_be_started_from(
    worker: None, widget: TrainWidget, session: Session, strokes: Labels, qtbot: Any
) -> None:
    session.spec = NetworkSpec(pools=(2, 2), filters=4)
    press(qtbot, widget.train_button)
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert widget.start.count() == 2
    session.spec = NetworkSpec(pools=(2, 4), filters=4)
    assert widget.start.count() == 1
    assert session.situation.start is None


def test_networks_with_weights_of_simulated_micrographs_start_from_them(
    widget: TrainWidget, session: Session, strokes: Labels
) -> None:
    session.spec = NetworkSpec(pools=(4, 4), filters=8)
    assert widget.start.currentText() == "simulated micrographs"
    assert training_request(session).start == SIMULATED
    session.spec = NetworkSpec(pools=(2, 4), filters=4)
    assert widget.start.currentText() == "new weights"
    assert training_request(session).start is None
    session.spec = NetworkSpec(pools=(4, 4), filters=8)
    assert widget.start.currentText() == "simulated micrographs"
    session.change_plan(preset="sytwu2022")
    assert training_request(session).start is None
    session.change_plan(preset="default")
    widget.start.setCurrentIndex(1)
    widget.start.activated.emit(1)
    assert training_request(session).start is None


def test_settings_go_into_the_plan(widget: TrainWidget, session: Session) -> None:
    assert session.plan.seconds == 20
    widget.length.setValue(45)
    assert session.plan.seconds == 45
    assert session.plan.epochs is None
    widget.unit.setCurrentText("epochs")
    widget.unit.activated.emit(widget.unit.currentIndex())
    assert (session.plan.epochs, session.plan.seconds) == (100, None)
    widget.more.seed.setValue(140)
    widget.more.held_out.setValue(10)
    assert session.plan.patience is None
    widget.more.patience.setValue(5)
    assert session.plan.patience == 5
    assert session.plan.seed == 140
    assert session.plan.validation == pytest.approx(0.1)
    widget.more.preset.setCurrentIndex(widget.more.preset.findData("sytwu2022"))
    widget.more.preset.activated.emit(widget.more.preset.currentIndex())
    assert session.plan.preset == "sytwu2022"
    assert session.plan.learning_rate == 1e-4
    assert session.plan.seed == 140
    assert widget.unit.currentText() == "epochs"


def test_frames_of_a_stack_are_images_of_one_group(session: Session, viewer: Any) -> None:
    pixels = np.random.default_rng(3).normal(size=(5, 31, 37)).astype(np.float32)
    image = viewer.add_image(pixels, name="series")
    labels = np.zeros(pixels.shape, np.uint8)
    labels[1, 3:9, 3:9] = 1
    labels[1, 20:25, 20:25] = 2
    labels[4, 3:9, 3:9] = 2
    session.annotation = viewer.add_labels(labels, name="strokes")
    session.image = image
    images = labelled_images(session)
    assert [each.name for each in images] == ["series [1]", "series [4]"]
    assert {each.group for each in images} == {"series"}
    np.testing.assert_array_equal(images[1].pixels, pixels[4])
    np.testing.assert_array_equal(images[1].labels, labels[4])


def test_annotations_of_several_images_train_together(
    session: Session, strokes: Labels, viewer: Any
) -> None:
    from napari_tem_rf.gui.session.annotations import start_annotation

    other = viewer.add_image(np.zeros((29, 31), np.float32), name="other")
    more = start_annotation(other, "ignore", [])
    viewer.add_layer(more)
    assert [each.name for each in labelled_images(session)] == ["gold"]
    more.data[3:5, 3:5] = 1
    assert {each.name for each in labelled_images(session)} == {"gold", "other"}


def test_the_request_carries_what_was_chosen(session: Session, strokes: Labels) -> None:
    session.spec = NetworkSpec(pools=(3,), filters=5)
    session.change_plan(seed=2245)
    request = training_request(session)
    assert request.spec == session.spec
    assert request.plan.seed == 2245
    assert request.class_names == {1: "background", 2: "particle"}
    assert request.images[0].pixel_size_nm == pytest.approx((0.02, 0.025))
    assert not request.run.exists()
    strokes.data[0, 0] = 2
    assert request.images[0].labels[0, 0] == 0


def test_of_a_large_image_the_part_in_view_is_watched(viewer: Any) -> None:
    small = viewer.add_image(np.zeros((61, 83)), name="small")
    assert window_in_view(small) is None
    large = viewer.add_image(np.zeros((1201, 1301), np.float32), name="large")
    large.corner_pixels = np.array([[100, 200], [399, 1500]])
    assert window_in_view(large) == (slice(100, 400), slice(200, 1301))


def test_the_curve_comes_with_the_history_even_when_opened_late(
    session: Session, viewer: Any, qtbot: Any
) -> None:
    session.history = (EpochReport(1, 5, 1.0, 3.0, 0.7, 0.8, 0.5, 1, 0.5),)
    widget = TrainWidget(viewer)
    qtbot.addWidget(widget)
    assert not widget.curve.isHidden()


def test_the_curve_draws_what_waits_when_no_more_epochs_come(
    widget: TrainWidget, qtbot: Any
) -> None:
    def epochs_drawn() -> int:
        lines = [line for axes in widget.curve.plot.axes for line in axes.get_lines()]
        return max((len(line.get_xdata()) for line in lines), default=0)

    reports = [EpochReport(n, 5 * n, 1.0, 3.0, 0.7 / n, 0.8, 0.5, 1, 0.5) for n in (1, 2, 3)]
    widget.curve.show_history(reports[:1])
    qtbot.waitUntil(lambda: epochs_drawn() == 1, timeout=10_000)
    widget.curve.show_history(reports)
    assert epochs_drawn() == 1
    widget.curve.hurry()
    qtbot.waitUntil(lambda: epochs_drawn() == 3, timeout=2_000)
