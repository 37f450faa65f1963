"""Numbered particles in the window: what labels are, what is trained, what is shown."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.told_apart import instances_of, keep_instances
from napari_tem_rf.gui.particles import layers as particle_layers
from napari_tem_rf.gui.particles.dock import ParticlesWidget
from napari_tem_rf.gui.segment.annotation import AnnotationWidget
from napari_tem_rf.gui.segment.predicting import Predicting
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.predictions import show_prediction
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import default_plan
from napari_tem_rf.run_record import RunRecord

SHAPE = (61, 83)


def touching() -> np.ndarray:
    """Six squares of several sizes in two rows, which touch."""
    numbers = np.zeros(SHAPE, np.uint16)
    for number in range(6):
        row, column = 6 + 26 * (number // 3), 5 + 24 * (number % 3)
        numbers[row : row + 18 + number, column : column + 24] = number + 1
    return numbers


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> AnnotationWidget:
    widget = AnnotationWidget(viewer)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def numbered(viewer: Any, image: Image, session: Session) -> Labels:
    """A layer of few numbers, as another program wrote it."""
    layer = viewer.add_labels(touching(), name="from ImageJ", scale=image.scale)
    session.annotation = layer
    return layer


def test_a_layer_of_a_few_numbers_is_taken_for_numbered_particles(
    widget: AnnotationWidget, session: Session, numbered: Labels
) -> None:
    assert session.situation.scene.meaning.numbered
    assert session.unlabelled == "background"
    assert widget.are_particles.isChecked()
    assert widget.zeros_background.isChecked()
    assert "6 numbered particles in 1 image (detected: " in widget.words.text()
    assert session.situation.scene.classes.names == ("background", "particle")
    painted = int((touching() > 0).sum())
    (annotated,) = session.situation.scene.annotated
    assert annotated.pixels == (touching().size - painted, painted)
    assert session.situation.can_train
    request = training_request(session)
    assert request.labels_are == "particles"
    assert (
        jobs.prepare(
            request.images, request.unlabelled, request.cleaning, labels_are=request.labels_are
        ).learned
        == 3
    )


def test_the_user_says_that_they_are_classes_and_back(
    widget: AnnotationWidget, session: Session, numbered: Labels
) -> None:
    widget.are_classes.click()
    assert session.situation.scene.classes.values == tuple(range(7))
    assert training_request(session).labels_are == "classes"
    session.annotation = None
    session.annotation = numbered
    assert widget.are_classes.isChecked()  # it was said of this layer
    widget.are_particles.click()
    assert session.situation.scene.meaning.numbered
    assert "detected" not in widget.words.text()


def test_strokes_drawn_here_stay_classes(
    widget: AnnotationWidget, session: Session, strokes: Labels
) -> None:
    session.annotation = strokes
    for value in range(3, 9):
        strokes.data[40 : 40 + value, 10 * value - 25 : 10 * value - 18] = value
    session.refresh()
    assert widget.are_classes.isChecked()
    assert session.situation.scene.classes.values == tuple(range(1, 9))


def test_the_next_particle_gets_a_number_that_none_has(
    widget: AnnotationWidget, session: Session, numbered: Labels, qtbot: Any
) -> None:
    assert widget.add_button.text() == "next particle"
    qtbot.mouseClick(widget.add_button, Qt.MouseButton.LeftButton)
    assert numbered.selected_label == 7
    assert numbered.mode == "paint"


def test_one_may_number_particles_from_the_start(
    widget: AnnotationWidget, session: Session, image: Image, qtbot: Any
) -> None:
    qtbot.mouseClick(widget.new_button, Qt.MouseButton.LeftButton)
    widget.are_particles.click()
    layer = session.annotation
    assert layer is not None
    layer.data[2:9, 3:70] = 1
    layer.data[20:31, 10:20] = 2
    layer.data[20:31, 20:31] = 3
    session.refresh()
    assert "2 numbered particles" in widget.words.text()
    assert "some background with label 1" in widget.words.text()
    data = jobs.prepare(
        training_request(session).images, "ignore", session.cleaning, labels_are="particles"
    )
    assert data.classes.values == (1, 2)


def record(border_px: float | None) -> RunRecord:
    return RunRecord(
        name="run",
        spec=NetworkSpec((2,), classes=2 if border_px is None else 3),
        plan=default_plan(),
        classes=Classes((0, 1), ("background", "particle")),
        unlabelled="background",
        cleaning=Cleaning(),
        pixel_size_nm=None,
        data=(),
        labels_are="classes" if border_px is None else "particles",
        border_px=border_px,
    )


def test_predicted_particles_are_shown_apart_and_measured_as_they_are(
    session: Session, image: Image, viewer: Any, qtbot: Any, worker: None, tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[tuple[Any, ...]] = []

    def predict(*arguments: Any, report: Any, stopped: Any) -> jobs.PredictionResult:
        asked.append(arguments)
        numbers = touching().astype(np.int32)
        return jobs.PredictionResult((numbers > 0).astype(np.uint8), None, instances=numbers)

    monkeypatch.setattr(jobs, "predict_with_run", predict)
    predicting = Predicting(session, TrainedRun(tmp_path, record(2.0)))
    with qtbot.waitSignal(predicting.ended, timeout=10_000):
        predicting.begin([(image, 0)])
    assert asked[0][8] is True  # whether particles are numbered
    (mask,) = session.situation.scene.predictions
    layer = particle_layers.particles_layer(session, mask)
    assert layer is not None
    np.testing.assert_array_equal(layer.data, touching())
    assert (layer.visible, mask.visible) == (True, False)
    np.testing.assert_array_equal(np.unique(mask.data), [0, 1])

    dock = ParticlesWidget(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: len(dock.particles.table) == 6, timeout=10_000)
    dock.find()
    qtbot.waitUntil(lambda: "told those that touch apart" in dock.words.text(), timeout=10_000)
    assert len(dock.particles.table) == 6
    assert dock.particles.origin.told_apart == "border"
    # a new preview is of another network: the earlier particles make room
    particle_layers.show_mask_again(session, mask)
    assert (layer.visible, mask.visible) == (False, True)


def test_a_mask_that_was_painted_on_is_no_longer_the_predicted_one(
    session: Session, image: Image, tmp_path: Any
) -> None:
    numbers = touching().astype(np.int32)
    layer = show_prediction(
        session,
        image,
        (numbers > 0).astype(np.uint8),
        Classes((0, 1), ("background", "particle")),
        session.spec,
        run=tmp_path,
    )
    keep_instances(layer, 0, numbers)
    assert instances_of(layer) is numbers
    layer.data[0, 0] = 1
    assert instances_of(layer) is None


def test_the_split_is_seen_as_its_setting_is_moved(
    session: Session, image: Image, viewer: Any, qtbot: Any
) -> None:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    two = ((rows - 30) ** 2 + (columns - 25) ** 2 < 196) | (
        (rows - 30) ** 2 + (columns - 46) ** 2 < 196
    )
    viewer.add_labels(two.astype(np.uint8), name="mask", scale=image.scale)
    dock = ParticlesWidget(viewer)
    qtbot.addWidget(dock)
    assert dock.preview.layer is None
    neck = dock.options.form.box("neck")

    def outlined(number: int) -> bool:
        layer = dock.preview.layer
        return layer is not None and len(np.unique(layer.data)) == number + 1

    neck.setValue(90)
    qtbot.waitUntil(lambda: outlined(2), timeout=10_000)
    assert dock.preview.layer.contour > 0
    assert "2 particles with these settings" in dock.words.text()
    neck.setValue(20)
    qtbot.waitUntil(lambda: outlined(1), timeout=10_000)
    assert dock.preview.layer not in particle_layers.masks(session)
    assert dock.particles.layer is None  # nothing is measured before the button is pressed
    dock.find()
    assert dock.preview.layer is None
    qtbot.waitUntil(lambda: len(dock.particles.table) == 1, timeout=10_000)
