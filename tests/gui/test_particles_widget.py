"""The particles dock: found, measured against hand counts, looked at, corrected, written."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_tem_rf.gui.layers.boxes import scene_overlay
from napari_tem_rf.gui.layers.layers import placement, set_pixel_size_nm
from napari_tem_rf.gui.layers.marks import MARK, PredictionMark
from napari_tem_rf.gui.particles.dock import ParticlesWidget
from napari_tem_rf.gui.session.annotations import STROKES, belong, note_classes
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring import series as particle_finding
from napari_tem_rf.measuring.particles import find_particles
from napari_tem_rf.measuring.series import Finding, Ground, find_in
from napari_tem_rf.micrographs.framewise import PackedLabels

from .conftest import NM, SHAPE

ROWS, COLUMNS = slice(5, 15), slice(6, 18)
"""A rectangle of 10 x 12 px, clear of all others: label 2, for the border's comes first."""


def mask_pixels() -> Any:
    """Return a rectangle, a strip at the border, a speck of 4 px, and two discs that touch."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[ROWS, COLUMNS] = 1
    mask[0:4, 60:71] = 1
    mask[20:22, 70:72] = 1
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for column in (20, 34):
        mask[(rows - 40) ** 2 + (columns - column) ** 2 < 8**2] = 1
    return mask


@pytest.fixture
def mask(viewer: Any, image: Image) -> Labels:
    return viewer.add_labels(mask_pixels(), name="gold: mask", **placement(image))


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> ParticlesWidget:
    widget = ParticlesWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def settled(widget: ParticlesWidget) -> bool:
    particles = widget.particles
    return not particles.work.is_busy and not particles._pause.isActive()


def wait(qtbot: Any, widget: ParticlesWidget) -> None:
    qtbot.waitUntil(lambda: settled(widget), timeout=20_000)


def find(qtbot: Any, widget: ParticlesWidget) -> Labels:
    assert widget.find_button.isEnabled()
    qtbot.mouseClick(widget.find_button, Qt.MouseButton.LeftButton)
    assert not widget.find_button.isEnabled()
    wait(qtbot, widget)
    layer = widget.particles.layer
    assert layer is not None
    return layer


def shown(widget: ParticlesWidget, label: int, title: str) -> str:
    """Return what the table shows of a particle under a header."""
    model = widget.table.particles
    (row,) = np.flatnonzero(model.labels() == label)
    titles = [model.headerData(at, Qt.Orientation.Horizontal) for at in range(model.columnCount())]
    return model.data(model.index(int(row), [t.replace("\n", " ") for t in titles].index(title)))


def click(widget: ParticlesWidget, layer: Labels, *position: float, modifiers: Any = ()) -> None:
    """Click on a pixel of a layer, as napari's canvas tells of it."""
    event = SimpleNamespace(
        type="mouse_press",
        button=1,
        pos=(50, 60),
        position=tuple(layer.data_to_world(position)),
        modifiers=modifiers,
    )
    for callback in list(widget.session.viewer.mouse_drag_callbacks):
        going = callback(widget.session.viewer, event)
        if going is not None:
            next(going, None)
            event.type = "mouse_release"
            next(going, None)


def test_without_a_mask_the_reason_stands_where_the_button_is(widget: ParticlesWidget) -> None:
    assert not widget.find_button.isEnabled()
    assert "There is no mask yet" in widget.ground.text()
    assert widget.results.isHidden()


def test_particles_are_measured_in_nm_in_a_layer_of_their_own(
    widget: ParticlesWidget, mask: Labels, image: Image, qtbot: Any
) -> None:
    before = mask.data.copy()
    layer = find(qtbot, widget)
    assert layer.name == "gold: mask: particles"
    np.testing.assert_array_equal(mask.data, before)
    assert mask.visible
    for attribute in ("scale", "translate"):
        np.testing.assert_allclose(getattr(layer, attribute), getattr(image, attribute))
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels
    # strip, rectangle, two discs; the speck is smaller than 9 px
    table = layer.features
    assert table["index"].tolist() == [1, 2, 3, 4]
    one = table[table["index"] == 2].iloc[0]
    assert one["area_nm2"] == pytest.approx(120 * 0.02 * 0.025)
    assert one["equivalent_diameter_nm"] == pytest.approx(2 * np.sqrt(0.06 / np.pi))
    assert one["row_nm"] == pytest.approx(9.5 * 0.02)
    assert one["column_nm"] == pytest.approx(11.5 * 0.025)
    assert one["mean_intensity"] == pytest.approx(image.data[ROWS, COLUMNS].mean(), rel=1e-6)
    assert table["touches_border"].tolist() == [True, False, False, False]
    assert shown(widget, 2, "Area (nm²)") == "0.0600"
    assert shown(widget, 1, "At the border") == "yes"
    assert "0.02 nm down and 0.025 nm across a pixel; intensity of gold" in widget.ground.text()
    assert widget.words.text() == "4 particles found."


def test_the_histogram_says_number_mean_median_and_deviation(
    widget: ParticlesWidget, mask: Labels, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    sizes = layer.features["equivalent_diameter_nm"]
    qtbot.waitUntil(lambda: "4 particles" in widget.histogram.title)
    assert f"mean {np.mean(sizes):.3g} ± {np.std(sizes, ddof=1):.2g} nm" in widget.histogram.title
    assert f"median {np.median(sizes):.3g} nm" in widget.histogram.title
    widget.histogram.quantity.setCurrentText("area")
    assert f"mean {layer.features['area_nm2'].mean():.3g}" in widget.histogram.title
    assert "nm²" in widget.histogram.title


def test_options_decide_what_counts(widget: ParticlesWidget, mask: Labels, qtbot: Any) -> None:
    layer = find(qtbot, widget)
    widget.options.split.setChecked(False)
    assert "The settings changed" in widget.words.text()
    assert find(qtbot, widget) is layer
    assert len(layer.features) == 3
    widget.options.border.setChecked(False)
    find(qtbot, widget)
    assert len(layer.features) == 2
    widget.options.smallest.setValue(4)
    find(qtbot, widget)
    assert sorted(np.unique(layer.data)) == [0, 1, 2, 3]
    assert widget.words.text() == "3 particles found."
    widget.options.smallest.setValue(5000)
    find(qtbot, widget)
    assert widget.words.text().startswith("⚠ 0 particles found")
    assert not widget.export_button.isEnabled()


def test_the_smallest_size_is_given_in_px_or_as_a_diameter(
    widget: ParticlesWidget, mask: Labels
) -> None:
    options = widget.options
    assert options.smallest.value() == 9
    assert options.area.text() == "smallest area 0.0045 nm²"
    assert options.diameter.value() == pytest.approx(2 * np.sqrt(9 * 0.0005 / np.pi), abs=5e-4)
    options.diameter.setValue(0.5)
    # pi / 4 * 0.5² nm² of pixels of 0.0005 nm²: 392.7
    assert options.smallest.value() == 393
    assert options.finding == Finding(smallest_px=393)


def test_without_a_pixel_size_sizes_are_in_px_and_it_says_so(
    widget: ParticlesWidget, viewer: Any, qtbot: Any
) -> None:
    viewer.add_labels(mask_pixels(), name="bare")
    layer = find(qtbot, widget)
    assert layer.features["area_px"].tolist()[:2] == [44, 120]
    assert shown(widget, 2, "Area (px)") == "120"
    assert "No pixel size, so sizes are in px" in widget.ground.text()
    assert "no image of this shape" in widget.ground.text()
    assert widget.options.diameter.isHidden()
    assert "mean_intensity" not in layer.features


def test_a_mask_without_pixel_size_takes_that_of_its_image(
    widget: ParticlesWidget, viewer: Any, image: Image, qtbot: Any
) -> None:
    viewer.add_labels(mask_pixels(), name="bare")
    layer = find(qtbot, widget)
    np.testing.assert_allclose(layer.scale, NM)
    assert "area_nm2" in layer.features


def test_another_pixel_size_measures_again(
    widget: ParticlesWidget, mask: Labels, image: Image, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    for each in (mask, image):
        set_pixel_size_nm(each, (0.2, 0.2))
    wait(qtbot, widget)
    assert layer.features["area_nm2"][1] == pytest.approx(120 * 0.04)
    np.testing.assert_allclose(layer.scale, (0.2, 0.2))


def test_a_chosen_row_brings_the_camera_and_a_box(
    widget: ParticlesWidget, mask: Labels, viewer: Any, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    row = int(np.flatnonzero(widget.table.particles.labels() == 2)[0])
    viewer.scene.camera.zoom = 1e-3
    widget.table.selectRow(row)
    # the middle of rows 5 to 14 and columns 6 to 17, in nm, moved by the layer's translation
    middle = (9.5 * 0.02 + 1, 11.5 * 0.025 + 2)
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], middle)
    assert viewer.scene.camera.zoom * 12 * 0.025 == pytest.approx(40)
    (spot,) = widget.marks.spots
    assert (spot.rows, spot.columns) == ((5, 15), (6, 18))
    assert spot.words == f"2: {2 * np.sqrt(0.06 / np.pi):.3g} nm"
    assert viewer.scene.overlays["particles"].visible
    assert layer.selected_label == 2
    widget.table.clearSelection()
    assert not viewer.scene.overlays["particles"].visible


def test_a_click_in_the_canvas_selects_the_row(
    widget: ParticlesWidget, mask: Labels, viewer: Any, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    click(widget, layer, 10, 10)
    assert widget.table.selected() == []  # the dock is not open
    widget.show()
    center = viewer.scene.camera.center
    click(widget, layer, 10, 10)
    assert widget.table.selected() == [2]
    assert viewer.scene.camera.center == center
    click(widget, layer, 2, 65, modifiers=("Control",))
    assert widget.table.selected() == [1, 2]
    layer.mode = "paint"
    click(widget, layer, 40, 20)
    assert widget.table.selected() == [1, 2]
    layer.mode = "pan_zoom"
    click(widget, layer, 60, 82)
    assert widget.table.selected() == []
    widget.close()


def test_delete_and_undo(widget: ParticlesWidget, mask: Labels, qtbot: Any) -> None:
    layer = find(qtbot, widget)
    found, table = layer.data.copy(), layer.features.copy()
    assert not widget.delete_button.isEnabled()
    assert not widget.undo_button.isEnabled()
    assert "Nothing to take back" in widget.undo_button.toolTip()
    widget.table.select([2, 3])
    widget._mark_selected()
    qtbot.mouseClick(widget.delete_button, Qt.MouseButton.LeftButton)
    assert layer.features["index"].tolist() == [1, 4]
    np.testing.assert_array_equal(layer.data, np.where(np.isin(found, [2, 3]), 0, found))
    wait(qtbot, widget)
    assert layer.features["index"].tolist() == [1, 4]
    assert layer.metadata[MARK].by_hand
    qtbot.mouseClick(widget.undo_button, Qt.MouseButton.LeftButton)
    wait(qtbot, widget)
    np.testing.assert_array_equal(layer.data, found)
    pd.testing.assert_frame_equal(layer.features, table)
    assert not layer.metadata[MARK].by_hand


def test_merge_is_measured_and_undone_by_naparis_own_undo(
    widget: ParticlesWidget, mask: Labels, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    areas = layer.features.set_index("index")["area_nm2"]
    widget.table.select([3])
    widget._mark_selected()
    assert not widget.merge_button.isEnabled()
    assert "merging takes two particles or more" in widget.hint.text()
    widget.table.select([3, 4])
    widget._mark_selected()
    qtbot.mouseClick(widget.merge_button, Qt.MouseButton.LeftButton)
    wait(qtbot, widget)
    merged = layer.features.set_index("index")["area_nm2"]
    assert merged.index.tolist() == [1, 2, 3]
    assert merged[3] == pytest.approx(areas[3] + areas[4])
    assert widget.table.selected() == [3]
    layer.undo()
    wait(qtbot, widget)
    assert layer.features["index"].tolist() == [1, 2, 3, 4]


def test_what_the_brush_paints_is_measured(
    widget: ParticlesWidget, mask: Labels, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    layer.data_setitem((np.array([15] * 12), np.arange(6, 18)), 2)
    wait(qtbot, widget)
    assert layer.features["area_nm2"][1] == pytest.approx(132 * 0.0005)


def test_corrected_particles_are_never_written_over(
    widget: ParticlesWidget, mask: Labels, viewer: Any, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    widget.table.select([1])
    widget.delete_selected()
    wait(qtbot, widget)
    corrected = layer.data.copy()
    again = find(qtbot, widget)
    assert again is not layer
    assert layer.name == "gold: mask: particles, corrected"
    assert f'kept in "{layer.name}"' in widget.words.text()
    np.testing.assert_array_equal(layer.data, corrected)
    assert len(again.features) == 4
    # a layer that the user renamed is the user's as well
    again.name = "mine"
    assert find(qtbot, widget) is not again


def test_a_layer_that_goes_takes_its_table_along(
    widget: ParticlesWidget, mask: Labels, viewer: Any, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    widget.table.selectRow(1)
    viewer.layers.remove(layer)
    assert widget.results.isHidden()
    assert widget.particles.table.empty
    assert not viewer.scene.overlays["particles"].visible
    orphan = find(qtbot, widget)
    viewer.layers.remove(mask)
    # a mask like any other now
    assert widget.particles.mask is orphan
    assert widget.results.isHidden()
    viewer.layers.remove(orphan)
    assert not widget.find_button.isEnabled()


def test_a_prediction_is_the_mask_by_default(
    widget: ParticlesWidget, mask: Labels, viewer: Any, image: Image, qtbot: Any
) -> None:
    assert widget.particles.mask is mask
    mark = PredictionMark(image=image.name, image_id=str(image.unique_id))
    predicted = viewer.add_labels(
        2 * mask_pixels(), name="gold: field 120 px", metadata={MARK: mark}, **placement(image)
    )
    assert widget.particles.mask is predicted
    layer = find(qtbot, widget)
    assert layer.name == "gold: field 120 px: particles"
    assert not predicted.visible
    widget.masks._choose(0)
    assert widget.particles.mask is mask
    assert widget.results.isHidden()


def test_background_strokes_are_no_particles(
    widget: ParticlesWidget, viewer: Any, image: Image, qtbot: Any
) -> None:
    data = mask_pixels() * 2
    data[50:58, 50:80] = 1
    strokes = viewer.add_labels(data, name="strokes", **placement(image))
    note_classes(strokes, STROKES, "ignore")
    belong(strokes, image)
    widget.particles.mask = strokes
    assert "these are strokes" in widget.ground.text()
    assert len(find(qtbot, widget).features) == 4


def test_labels_of_single_particles_are_taken_as_they_are(
    widget: ParticlesWidget, viewer: Any, qtbot: Any
) -> None:
    data = np.zeros((47, 89), np.int32)
    for place in range(20):
        # pairs that touch: a mask of classes would join them, were they of one value
        top, left = 4 * (place // 10) * 4, 8 * (place % 10)
        data[top : top + 5, left : left + 8] = 100 + place
    viewer.add_labels(data, name="cells")
    layer = find(qtbot, widget)
    assert layer.features["area_px"].tolist() == [40] * 20
    assert "one label a particle" in widget.words.text()


@pytest.fixture
def series(viewer: Any) -> Labels:
    """Three frames with 1, 2 and 3 squares of 5 x 6 px."""
    data = np.zeros((3, 37, 53), np.uint8)
    for frame in range(3):
        for place in range(frame + 1):
            data[frame, 10 + frame : 15 + frame, 3 + 12 * place : 9 + 12 * place] = 1
    units = ("pixel", "nm", "nm")
    return viewer.add_labels(data, name="film", scale=(1, 0.5, 0.5), units=units)


@pytest.mark.parametrize("is_long", [False, True])
def test_a_series_is_measured_frame_by_frame_or_as_a_whole(
    widget: ParticlesWidget,
    series: Labels,
    viewer: Any,
    monkeypatch: pytest.MonkeyPatch,
    is_long: bool,
    qtbot: Any,
) -> None:
    if is_long:
        monkeypatch.setattr(particle_finding, "LARGEST_PLAIN_BYTES", 1000)
    viewer.dims.set_point(0, 1)
    layer = find(qtbot, widget)
    assert layer.data.shape == series.data.shape
    assert isinstance(layer.data, PackedLabels) == is_long
    assert layer.data.dtype == np.uint16
    assert layer.features["frame"].tolist() == [1, 1]
    viewer.dims.set_point(0, 0)
    assert find(qtbot, widget) is layer
    assert layer.features["frame"].tolist() == [0, 1, 1]
    assert sorted(layer.features["index"]) == [1, 2, 3]
    widget.options.frames.setCurrentIndex(1)
    find(qtbot, widget)
    assert "6 particles found in 3 of 3 frames" in widget.words.text()
    assert layer.features["frame"].tolist() == [0, 1, 1, 2, 2, 2]
    assert layer.features["index"].tolist() == [1, 2, 3, 4, 5, 6]
    assert layer.features["area_nm2"].tolist() == pytest.approx([7.5] * 6)
    assert [np.unique(plane).tolist() for plane in layer.data] == [
        [0, 1],
        [0, 2, 3],
        [0, 4, 5, 6],
    ]
    widget.table.selectRow(4)
    assert viewer.dims.current_step[0] == 2
    assert viewer.scene.overlays["particles"].visible
    viewer.dims.set_point(0, 0)
    assert not viewer.scene.overlays["particles"].visible
    widget.table.select([1, 4])
    widget._mark_selected()
    assert not widget.merge_button.isEnabled()
    assert "particles of different frames cannot be merged" in widget.hint.text()
    widget.delete_selected()
    wait(qtbot, widget)
    assert layer.features["index"].tolist() == [2, 3, 5, 6]
    assert not np.isin(layer.data, [1, 4]).any()
    qtbot.mouseClick(widget.undo_button, Qt.MouseButton.LeftButton)
    wait(qtbot, widget)
    assert layer.features["index"].tolist() == [1, 2, 3, 4, 5, 6]
    # by brush, in the frame that is shown
    layer.paint((0, 30, 30), 1)
    wait(qtbot, widget)
    assert layer.data[0, 30, 30] == 1


def test_a_stop_keeps_the_frames_that_are_done(series: Labels) -> None:
    asked = iter([False, False, True])
    job = find_in(
        lambda frame: series.data[frame],
        [0, 1, 2],
        (37, 53),
        Finding(),
        Ground(),
        stopped=lambda: next(asked),
    )
    fractions = []
    while True:
        try:
            fractions.append(next(job))
        except StopIteration as end:
            found = end.value
            break
    assert fractions == pytest.approx([1 / 3, 2 / 3])
    assert found.frames == [0, 1]
    assert not found.labels[2].any()


def test_the_dock_shows_particles_that_were_found_before_it_opened(
    widget: ParticlesWidget, mask: Labels, viewer: Any, qtbot: Any
) -> None:
    layer = find(qtbot, widget)
    other = ParticlesWidget(viewer)
    qtbot.addWidget(other)
    wait(qtbot, other)
    assert other.particles.layer is layer
    assert other.table.particles.rowCount() == 4


def test_sorting_keeps_the_selection(widget: ParticlesWidget) -> None:
    table, number = widget.table, 5003
    sizes = np.random.default_rng(3).permutation(number).astype(float)
    table.show_table(pd.DataFrame({"index": np.arange(1, number + 1), "area_nm2": sizes}))
    table.select([7, 4000])
    table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    model = table.particles
    np.testing.assert_array_equal(sizes[model.labels() - 1], np.arange(number)[::-1])
    assert set(table.selected()) == {7, 4000}
    table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert table.selected() == [7, 4000]


def test_an_error_is_a_sentence_in_the_dock(
    widget: ParticlesWidget, mask: Labels, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("neck is 2: it must be from 0 to 1")

    monkeypatch.setattr(particle_finding, "find_particles", refuse)
    qtbot.mouseClick(widget.find_button, Qt.MouseButton.LeftButton)
    wait(qtbot, widget)
    assert widget.words.text() == "✗ Neck is 2: it must be from 0 to 1."
    assert widget.find_button.isEnabled()
    monkeypatch.setattr(particle_finding, "find_particles", find_particles)
    find(qtbot, widget)


def test_the_table_is_written_with_how_it_was_made(
    widget: ParticlesWidget,
    mask: Labels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    find(qtbot, widget)
    path = tmp_path / "sizes.csv"
    # without an ending the dialog has asked for another name than the one written
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "sizes"), ""))
    qtbot.mouseClick(widget.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget._writing is None)
    assert "Written" in widget.words.text()
    table = pd.read_csv(path)
    assert list(table.columns[:3]) == ["image", "label", "area_nm2"]
    assert set(table["image"]) == {"gold"}
    assert table["area_nm2"][1] == pytest.approx(0.06)
    record = json.loads((tmp_path / "sizes.csv.json").read_text())
    assert record["mask"] == "gold: mask"
    assert record["pixel_size_nm"] == pytest.approx(list(NM))
    assert record["particles"] == {
        "split": True,
        "neck": 0.8,
        "smallest_px": 9,
        "border": True,
        "told_apart_by": "necks",
        "corrected_by_hand": False,
    }
    before = path.read_bytes()
    widget.delete_selected()
    widget.table.select([1])
    widget.delete_selected()
    qtbot.mouseClick(widget.export_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget._writing is None)
    assert widget.words.text().startswith("✗")
    assert "exists" in widget.words.text()
    assert path.read_bytes() == before
    widget.export_to(path, overwrite=True)
    qtbot.waitUntil(lambda: widget._writing is None)
    assert len(pd.read_csv(path)) == 3
    assert json.loads((tmp_path / "sizes.csv.json").read_text())["particles"]["corrected_by_hand"]
    widget.export_to(tmp_path / "sizes.xlsx")
    qtbot.waitUntil(lambda: widget._writing is None)
    assert 'ends in ".xlsx"' in widget.words.text()


def test_closing_lets_go_of_the_viewer(
    viewer: Any, session: Session, mask: Labels, qtbot: Any
) -> None:
    callbacks = len(viewer.mouse_drag_callbacks)
    widget = ParticlesWidget(viewer)
    assert len(viewer.mouse_drag_callbacks) == callbacks + 1
    find(qtbot, widget)
    with qtbot.waitSignal(widget.destroyed):
        widget.deleteLater()
    assert len(viewer.mouse_drag_callbacks) == callbacks
    mask.data = np.roll(mask.data, 1)
    viewer.add_labels(mask_pixels())


def test_the_important_numbers_stand_below_the_histogram(
    widget: ParticlesWidget, viewer: Any, image: Image, qtbot: Any
) -> None:
    """Twelve squares of 4 to 15 px in one image: interval, best fit, coverage, number."""
    mask = np.zeros(SHAPE, np.uint8)
    places = [(2 + 17 * (at // 4), 2 + 17 * (at % 4)) for at in range(12)]
    for side, (row, column) in zip(range(4, 16), places, strict=True):
        if row + side < SHAPE[0] - 1 and column + side < SHAPE[1] - 1:
            mask[row : row + side, column : column + side] = 1
    viewer.add_labels(mask, name="squares", **placement(image))
    layer = find(qtbot, widget)
    qtbot.waitUntil(lambda: "coverage" in widget.numbers.text(), timeout=20_000)
    words = widget.numbers.text()
    sizes = layer.features["equivalent_diameter_nm"]
    assert f"mean {sizes.mean():.3f} nm (" in words
    assert "95 % by particles" in words
    assert "best fit" in words
    assert f"coverage {100 * np.mean(mask):.3g} %" in words
    assert "one image" in widget.numbers.toolTip()
    qtbot.waitUntil(lambda: bool(widget.histogram.plot.axes[0].get_lines()[1:]), timeout=20_000)
    widget.histogram.quantity.setCurrentText("area")
    qtbot.waitUntil(lambda: "nm²" in widget.numbers.text(), timeout=20_000)
    # noise has no lattice, so none is offered
    assert widget.lattice_box.isHidden()


def test_the_report_is_written_in_the_background(
    widget: ParticlesWidget, mask: Labels, qtbot: Any, tmp_path: Path
) -> None:
    find(qtbot, widget)
    widget.opens_reports = False
    path = tmp_path / "r.html"
    widget.report_to(path)
    assert not widget.report_button.isEnabled()
    qtbot.waitUntil(lambda: widget.report_button.isEnabled(), timeout=120_000)
    assert widget.words.text().endswith(f"Written: {path}")
    page = path.read_text()
    assert "Particles of gold" in page
    assert "napari-tem-rf measure" in page
    assert page.count("data:image/png") == 1
    before = path.stat().st_mtime_ns
    widget.report_to(path)
    assert "exists" in widget.words.text()
    assert path.stat().st_mtime_ns == before
    widget.report_to(tmp_path / "r.doc")
    assert "written as .html or .pdf" in widget.words.text()


def test_lattices_are_offered_where_the_image_has_one(
    widget: ParticlesWidget, viewer: Any, qtbot: Any
) -> None:
    rng = np.random.default_rng(3)
    row, column = np.indices((150, 170))
    inside = np.hypot(row - 75, column - 85) < 50
    wave = np.cos(2 * np.pi * column / 5.0)
    grain = viewer.add_image(
        (100 + 8 * wave * inside + rng.normal(0, 3, inside.shape)).astype(np.float32), name="grain"
    )
    set_pixel_size_nm(grain, (0.05, 0.05))
    viewer.add_labels(inside.astype(np.uint8), name="grain: mask", **placement(grain))
    layer = find(qtbot, widget)
    qtbot.waitUntil(lambda: not widget.lattice_box.isHidden(), timeout=20_000)
    assert "0.25 nm" in widget.lattice_box.toolTip()
    assert "lattice_spacing_nm" not in layer.features
    widget.lattice_box.setChecked(True)
    wait(qtbot, widget)
    qtbot.waitUntil(lambda: "lattice_spacing_nm" in layer.features, timeout=20_000)
    assert layer.features["lattice_spacing_nm"][0] == pytest.approx(0.25, rel=0.01)
    assert float(shown(widget, 1, "Lattice (nm)")) == pytest.approx(0.25, rel=0.01)
    widget.lattice_box.setChecked(False)
    qtbot.waitUntil(lambda: "lattice_spacing_nm" not in layer.features, timeout=20_000)


# keys, and marks that go with their dock


@pytest.fixture
def in_window(viewer: Any, mask: Labels, qtbot: Any) -> Any:
    """The dock in the viewer's window, with particles found."""
    viewer.window._qt_window.show()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", "Particles")
    qtbot.waitUntil(widget.isVisible, timeout=5000)
    find(qtbot, widget)
    yield dock, widget
    viewer.window.remove_dock_widget(dock)


def press_in_canvas(viewer: Any, key: Any, modifiers: Any = Qt.KeyboardModifier.NoModifier) -> None:
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, key, modifiers)


def test_keys_of_the_dock_work_in_the_canvas(
    in_window: Any, viewer: Any, image: Image, qtbot: Any
) -> None:
    _dock, widget = in_window
    viewer.layers.selection.active = image
    number = len(widget.particles.table)
    widget.table.select([2])
    press_in_canvas(viewer, Qt.Key.Key_Delete)
    wait(qtbot, widget)
    assert len(widget.particles.table) == number - 1
    assert "1 particle deleted" in widget.words.text()
    # taken back in the canvas: the words follow
    press_in_canvas(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    wait(qtbot, widget)
    assert len(widget.particles.table) == number
    assert widget.words.text() == ""
    labels = [int(each) for each in widget.particles.table["index"]][-2:]
    widget.table.select(labels)
    press_in_canvas(viewer, Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
    wait(qtbot, widget)
    assert len(widget.particles.table) == number - 1


def test_marks_go_and_come_with_the_dock(in_window: Any, viewer: Any) -> None:
    dock, widget = in_window
    widget.table.select([2])
    widget._mark_selected()
    drawn = scene_overlay(viewer, "particles")
    assert drawn.visible
    dock.hide()
    assert not drawn.visible
    # and no key reaches a dock that is closed
    number = len(widget.particles.table)
    press_in_canvas(viewer, Qt.Key.Key_Delete)
    assert len(widget.particles.table) == number
    dock.show()
    assert drawn.visible
