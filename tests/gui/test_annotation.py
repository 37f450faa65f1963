"""The annotation widget: a layer that lies on the image, its classes, what zeros mean."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_tem_rf.gui.segment.annotation import AnnotationWidget
from napari_tem_rf.gui.session.annotations import classes_of, meaning_of_zeros
from napari_tem_rf.gui.session.predictions import show_prediction
from napari_tem_rf.gui.session.session import Session


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> AnnotationWidget:
    widget = AnnotationWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def press(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_new_makes_a_layer_that_lies_on_the_image_ready_to_paint(
    widget: AnnotationWidget, session: Session, image: Image, qtbot: Any
) -> None:
    press(qtbot, widget.new_button)
    layer = session.annotation
    assert layer.name == "gold: strokes"
    assert layer.data.shape == image.data.shape
    assert tuple(layer.scale) == tuple(image.scale)
    assert tuple(layer.translate) == tuple(image.translate)
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels
    assert layer.mode == "paint"
    assert session.viewer.layers.selection.active is layer
    assert session.situation.scene.classes.names == ("background", "particle")


def test_two_presses_make_two_layers_with_names_of_their_own(
    widget: AnnotationWidget, session: Session, image: Image, qtbot: Any
) -> None:
    press(qtbot, widget.new_button)
    press(qtbot, widget.new_button)
    names = [layer.name for layer in session.situation.scene.annotations]
    assert names == ["gold: strokes", "gold: strokes 2"]


def test_a_class_button_chooses_the_label_to_paint_with(
    widget: AnnotationWidget, session: Session, image: Image, qtbot: Any
) -> None:
    press(qtbot, widget.new_button)
    session.viewer.layers.selection.active = image
    press(qtbot, widget._labels[0])
    assert session.annotation.selected_label == 1
    assert session.viewer.layers.selection.active is session.annotation


def test_a_class_more_is_named_and_coloured_and_kept_with_the_layer(
    widget: AnnotationWidget, session: Session, image: Image, qtbot: Any
) -> None:
    press(qtbot, widget.new_button)
    press(qtbot, widget.add_button)
    edit = widget._names[2]
    edit.setText("dirt")
    edit.editingFinished.emit()
    classes = classes_of(session.annotation, "ignore")
    assert classes.values == (1, 2, 3)
    assert classes.names == ("background", "particle", "dirt")
    assert len(set(classes.colors)) == 3
    assert session.annotation.selected_label == 3
    assert list(session.annotation.features["class"]) == ["background", "particle", "dirt"]


def test_painted_pixels_are_counted_by_class(
    widget: AnnotationWidget, strokes: Labels, qtbot: Any
) -> None:
    assert [count.text() for count in widget._counts] == ["200 px", "100 px"]
    strokes.selected_label = 2
    strokes.paint((50, 50), 2)
    painted = int((strokes.data == 2).sum())
    assert painted > 100
    qtbot.waitUntil(lambda: widget._counts[1].text() == f"{painted} px", timeout=5000)


def test_a_layer_of_one_value_is_taken_for_a_mask(
    widget: AnnotationWidget, session: Session, image: Image, viewer: Any
) -> None:
    mask = np.zeros((61, 83), np.uint8)
    mask[10:20, 30:50] = 1
    layer = viewer.add_labels(mask, name="mask")
    assert meaning_of_zeros(layer) == "background"
    session.annotation = layer
    assert widget.zeros_background.isChecked()
    assert session.situation.scene.classes.values == (0, 1)
    assert session.situation.scene.classes.names == ("background", "particle")


def test_what_zeros_mean_is_chosen_and_kept_with_the_layer(
    widget: AnnotationWidget, session: Session, strokes: Labels, qtbot: Any
) -> None:
    assert session.unlabelled == "ignore"
    widget.zeros_background.click()
    assert session.unlabelled == "background"
    assert meaning_of_zeros(strokes) == "background"


def test_choosing_another_image_brings_its_own_annotation(
    session: Session, strokes: Labels, image: Image, viewer: Any
) -> None:
    other = viewer.add_image(np.zeros((61, 83)), name="other")
    session.image = other
    assert session.annotation is None
    session.annotation = strokes
    assert session.image is image


def test_a_corrected_prediction_becomes_an_annotation_and_is_left_alone(
    session: Session, strokes: Labels, image: Image, tmp_path: Any
) -> None:
    labels = np.zeros((61, 83), np.uint8)
    labels[20:30, 20:30] = 2
    show = {"classes": session.situation.scene.classes, "by": session.spec, "run": tmp_path}
    first = show_prediction(session, image, labels, **show)
    assert show_prediction(session, image, labels, **show) is first
    first.selected_label = 2
    first.paint((50, 50), 2)
    corrected = first.data.copy()
    assert first in session.situation.scene.annotations
    assert first not in session.refresh().scene.predictions
    second = show_prediction(session, image, labels, **show)
    assert second is not first
    np.testing.assert_array_equal(first.data, corrected)
    session.annotation = first
    assert session.unlabelled == "background"
    assert session.situation.scene.classes.values == (0, 2)


def test_counts_follow_an_undo_and_a_redo(
    widget: AnnotationWidget, strokes: Labels, qtbot: Any
) -> None:
    strokes.selected_label = 2
    strokes.paint((50, 50), 2)
    painted = f"{int((strokes.data == 2).sum())} px"
    qtbot.waitUntil(lambda: widget._counts[1].text() == painted, timeout=5000)
    strokes.undo()
    qtbot.waitUntil(lambda: widget._counts[1].text() == "100 px", timeout=5000)
    assert "300 px in all" in widget.words.text()
    strokes.redo()
    qtbot.waitUntil(lambda: widget._counts[1].text() == painted, timeout=5000)


def test_frames_of_a_stack_are_called_frames(
    widget: AnnotationWidget, session: Session, viewer: Any, image: Image, strokes: Labels
) -> None:
    assert widget.words.text() == "1 image annotated, 300 px in all."
    stack = viewer.add_image(np.zeros((3, 61, 83), np.float32), name="series")
    session.image = stack
    widget._new()
    labels = session.annotation
    data = np.array(labels.data)
    data[0, 4:8, 4:14], data[2, 20:30, 20:30] = 1, 2
    labels.data = data
    session.edited()
    assert widget.words.text() == "1 image and 2 frames annotated, 440 px in all."
