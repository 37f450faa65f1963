"""Receptive fields as layers: in the right place, on their frame, moved, kept and removed."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Shapes
from qtpy.QtWidgets import QApplication

from napari_tem_rf import jobs
from napari_tem_rf.field_files import kept_fields
from napari_tem_rf.gui.field.dock import ReceptiveFieldWidget
from napari_tem_rf.gui.field.layers import FieldLayers
from napari_tem_rf.gui.field.map import show_map
from napari_tem_rf.gui.field.overlay import FieldOverlay
from napari_tem_rf.gui.field.subject import Subject
from napari_tem_rf.gui.layers.boxes import scene_overlay
from napari_tem_rf.gui.layers.layers import pixel_size_nm, set_pixel_size_nm
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.effective_field import WidthMap, effective_field_of
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

SPEC = NetworkSpec(pools=(2, 4), filters=4)


def answer(run, spec, pixels, at, seed=752, *, report, stopped):
    """Answer as the measurement does, with a heat that is highest at the pixel."""
    rows, columns = (each.inside for each in receptive_field(spec).box(at, pixels.shape))
    heat = np.ones((rows[1] - rows[0], columns[1] - columns[0]), np.float32)
    heat[at[0] - rows[0], at[1] - columns[0]] = 7
    return effective_field_of(heat, (rows[0], columns[0]), at)


@pytest.fixture
def overlay(session: Session, image: Image, worker: None, monkeypatch: Any) -> FieldOverlay:
    monkeypatch.setattr(jobs, "measure_effective_field", answer)
    session.spec = SPEC
    overlay = session.part(FieldOverlay)
    session.part(FieldLayers)
    session.viewer.mouse_over_canvas = True
    return overlay


def layers_of(session: Session, number: int) -> tuple[Shapes, Image]:
    boxes, heat = session.part(FieldLayers).layers_of(number)
    assert isinstance(boxes, Shapes)
    assert isinstance(heat, Image)
    return boxes, heat


def measured(qtbot: Any, overlay: FieldOverlay, number: int) -> None:
    qtbot.waitUntil(
        lambda: any(p.number == number and p.field is not None for p in overlay.pins),
        timeout=10_000,
    )


def test_a_pin_has_its_boxes_and_its_effective_field_as_layers(
    overlay: FieldOverlay, session: Session, image: Image, qtbot: Any
) -> None:
    active = session.viewer.layers.selection.active
    pin = overlay.pin((30, 41))
    measured(qtbot, overlay, pin.number)
    boxes, heat = layers_of(session, 1)
    assert boxes.name == "gold: receptive field, 64 px at (30, 41)"
    assert heat.name == "gold: effective field, 64 px at (30, 41)"
    assert heat.blending == "additive"
    # the heat lies where its pixels lie, and its highest one under the pin
    rows, columns = receptive_field(SPEC).box((30, 41), image.data.shape)
    at = np.array(np.unravel_index(heat.data.argmax(), heat.data.shape))
    np.testing.assert_allclose(heat.data_to_world(at), image.data_to_world((30, 41)))
    assert heat.data.shape == tuple(i.inside[1] - i.inside[0] for i in (rows, columns))
    # both boxes in world coordinates, from edge to edge of their pixels
    exact, nominal = boxes.data
    assert boxes.data_to_world(exact[0]) == pytest.approx(
        image.data_to_world((rows.start - 0.5, columns.start - 0.5))
    )
    assert exact[2] == pytest.approx((rows.stop - 0.5, columns.stop - 0.5))
    assert np.ptp(nominal, axis=0) == pytest.approx((64, 64))
    (words, nothing) = boxes.features["sides"]
    sizes = f"{rows.width * 0.02:.2f} × {columns.width * 0.025:.2f} nm"
    assert sizes in words
    assert "nominal 64 px = 1.28 × 1.60 nm" in words
    assert nothing == ""
    # nothing of the user's is touched: neither images to choose from nor what is selected
    assert session.viewer.layers.selection.active is active
    assert session.images == (image,)
    assert pixel_size_nm(heat) == pytest.approx(pixel_size_nm(image))


def test_layers_follow_a_pin_that_is_dragged(
    overlay: FieldOverlay, session: Session, viewer: Any, image: Image, qtbot: Any
) -> None:
    overlay.pin((30, 41))
    measured(qtbot, overlay, 1)
    boxes, heat = layers_of(session, 1)
    before = [each.copy() for each in boxes.data]
    event = SimpleNamespace(type="mouse_press", button=1, handled=False)
    viewer.cursor.position = tuple(image.data_to_world((30, 41)))
    (going,) = [
        each(viewer, event) for each in viewer.mouse_drag_callbacks if each == overlay._on_drag
    ]
    next(going)
    assert event.handled
    event.type = "mouse_move"
    viewer.cursor.position = tuple(image.data_to_world((33, 46)))
    next(going)
    assert overlay.pins[0].reading.at == (33, 46)
    assert boxes.name == "gold: receptive field, 64 px at (33, 46)"
    rows, columns = receptive_field(SPEC).box((33, 46), image.data.shape)
    assert boxes.data[0][0] == pytest.approx((rows.start - 0.5, columns.start - 0.5))
    assert not np.array_equal(boxes.data[0], before[0])
    assert not heat.visible
    event.type = "mouse_release"
    next(going, None)
    measured(qtbot, overlay, 1)
    assert layers_of(session, 1) == (boxes, heat)
    assert heat.visible
    assert heat.name == "gold: effective field, 64 px at (33, 46)"
    at = np.array(np.unravel_index(heat.data.argmax(), heat.data.shape))
    np.testing.assert_allclose(heat.data_to_world(at), image.data_to_world((33, 46)))


def test_a_press_beside_the_pins_or_with_the_brush_drags_nothing(
    overlay: FieldOverlay, session: Session, viewer: Any, image: Image, strokes: Any, qtbot: Any
) -> None:
    overlay.pin((30, 41))
    event = SimpleNamespace(type="mouse_press", button=1, handled=False)
    viewer.layers.selection.active = image
    viewer.cursor.position = tuple(image.data_to_world((5, 5)))
    assert next(overlay._on_drag(viewer, event), None) is None
    viewer.layers.selection.active = strokes
    strokes.mode = "paint"
    viewer.cursor.position = tuple(image.data_to_world((30, 41)))
    assert next(overlay._on_drag(viewer, event), None) is None
    assert not event.handled


def test_the_field_of_a_frame_shows_on_that_frame_alone(
    overlay: FieldOverlay, session: Session, viewer: Any, qtbot: Any
) -> None:
    stack = viewer.add_image(
        np.random.default_rng(3).normal(size=(3, 61, 83)).astype(np.float32),
        name="series",
        scale=(1, 0.1, 0.1),
    )
    session.image = stack
    viewer.dims.set_point(0, 2)
    overlay.pin((20, 40))
    measured(qtbot, overlay, 1)
    boxes, heat = layers_of(session, 1)
    assert heat.name == "series: effective field, 64 px at (20, 40), frame 2"
    assert heat.data.shape[0] == 1
    assert heat.extent.world[:, 0] == pytest.approx([2, 2])
    assert {float(corner[0]) for each in boxes.data for corner in each} == {2.0}
    assert len(boxes._data_view.displayed_vertices)
    viewer.dims.set_point(0, 1)
    assert not len(boxes._data_view.displayed_vertices)


def test_binned_pixels_are_drawn_as_large_as_they_are(
    overlay: FieldOverlay, session: Session, image: Image, qtbot: Any
) -> None:
    overlay.subject = replace(overlay.subject, cleaning=Cleaning(binning=2))
    overlay.pin((31, 40))
    measured(qtbot, overlay, 1)
    _boxes, heat = layers_of(session, 1)
    np.testing.assert_allclose(heat.scale, 2 * np.asarray(image.scale))
    at = np.array(np.unravel_index(heat.data.argmax(), heat.data.shape))
    # the binned pixel that holds (31, 40) is that of rows 30 and 31, columns 40 and 41
    np.testing.assert_allclose(heat.data_to_world(at), image.data_to_world((30.5, 40.5)))


def test_layers_follow_the_pixel_size_of_their_image(
    overlay: FieldOverlay, session: Session, image: Image, qtbot: Any
) -> None:
    overlay.pin((30, 41))
    measured(qtbot, overlay, 1)
    set_pixel_size_nm(image, (0.5, 0.5))
    session.refresh()
    boxes, heat = layers_of(session, 1)
    at = np.array(np.unravel_index(heat.data.argmax(), heat.data.shape))
    np.testing.assert_allclose(heat.data_to_world(at), image.data_to_world((30, 41)))
    assert "nominal 64 px = 32.0 nm" in boxes.features["sides"][0]


def test_layers_go_with_their_pin_unless_they_are_the_users(
    overlay: FieldOverlay, session: Session, viewer: Any, qtbot: Any
) -> None:
    overlay.pin((30, 41))
    measured(qtbot, overlay, 1)
    boxes, heat = layers_of(session, 1)
    heat.name = "mine"
    overlay.remove_pin(1)
    assert boxes not in viewer.layers
    assert heat in viewer.layers
    overlay.pin((30, 41))
    measured(qtbot, overlay, 2)
    viewer.layers.remove(layers_of(session, 2)[0])
    overlay.move_pin(2, (31, 41))
    assert len(session.part(FieldLayers).layers_of(2)) == 1


def test_the_cursors_field_is_kept_as_layers_by_the_button(
    overlay: FieldOverlay, session: Session, viewer: Any, image: Image, qtbot: Any
) -> None:
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    dock.cursor.keep_button.click()
    assert "Move the mouse over the image first" in dock.cursor.note.text()
    session.field_overlay = True
    viewer.cursor.position = tuple(image.data_to_world((12, 40)))
    viewer.mouse_over_canvas = False  # it went to the button
    dock.cursor.keep_button.click()
    assert [pin.reading.at for pin in overlay.pins] == [(12, 40)]
    assert session.part(FieldLayers).layers_of(1)


def test_boxes_come_and_go_where_a_software_renderer_draws(
    overlay: FieldOverlay, session: Session, viewer: Any, qtbot: Any
) -> None:
    viewer.window._qt_window.resize(500, 400)
    viewer.window._qt_window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    # without what `keep_what_draws_shapes` keeps, the process ends in the second or third round
    for place in range(4):
        pin = overlay.pin((20, 20 + place))
        viewer.screenshot(canvas_only=True, flash=False)
        overlay.move_pin(pin.number, (22, 30))
        QApplication.processEvents()
        overlay.remove_pin(pin.number)
        QApplication.processEvents()
    assert not [layer for layer in viewer.layers if isinstance(layer, Shapes)]


# with the run


def a_run(folder: Path) -> Subject:
    folder.mkdir()
    return Subject(SPEC, folder, "64 px, trained")


def test_a_field_is_kept_with_its_run_and_shown_again(
    overlay: FieldOverlay, session: Session, viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    run = a_run(tmp_path / "run")
    overlay.subject = run
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    assert dock.pins.kept_button.isHidden()
    overlay.pin((30, 41))
    layers = session.part(FieldLayers)
    qtbot.waitUntil(lambda: layers.file_of(1) is not None, timeout=10_000)
    path = layers.file_of(1)
    assert path == run.run / "fields" / "gold_at_30_41.tif"
    with tifffile.TiffFile(path) as file:
        np.testing.assert_array_equal(file.asarray().squeeze(), overlay.pins[0].field.heat)
        across = file.pages[0].tags["XResolution"].value
        assert across[1] / across[0] == pytest.approx(0.025)
    (record,) = kept_fields(run.run)
    assert (record.image, record.at, record.nominal_px) == ("gold", (30, 41), 64)
    rows, _columns = receptive_field(SPEC).box((30, 41), (61, 83))
    assert record.rows == (rows.start, rows.stop)
    # moved: the run keeps the field of the new place alone
    overlay.move_pin(1, (20, 21))
    overlay.measure_pin(1)
    qtbot.waitUntil(
        lambda: [each.at for each in kept_fields(run.run)] == [(20, 21)], timeout=10_000
    )


def test_fields_of_an_earlier_session_are_offered(
    overlay: FieldOverlay, session: Session, viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    run = a_run(tmp_path / "run")
    overlay.subject = run
    overlay.pin((30, 41))
    layers = session.part(FieldLayers)
    qtbot.waitUntil(lambda: layers.file_of(1) is not None, timeout=10_000)
    # as after a restart: no pin, and the files are there
    layers._shown.clear()
    overlay._change(pins=())
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    assert dock.pins.kept_button.text() == "Show the 1 field kept with this run"
    dock.pins.kept_button.click()
    assert [pin.reading.at for pin in overlay.pins] == [(30, 41)]
    assert dock.pins.kept_button.isHidden()


def test_a_field_is_exported_as_numbers_and_as_a_picture(
    overlay: FieldOverlay, viewer: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    overlay.pin((30, 41))
    measured(qtbot, overlay, 1)
    for name in ("field.tif", "field.png"):
        dock.pins.export_to(tmp_path / name, overlay.pins[0])
        qtbot.waitUntil(lambda name=name: name in dock.pins.written.text(), timeout=10_000)
    heat = overlay.pins[0].field.heat
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "field.tif").squeeze(), heat)
    assert (tmp_path / "field.png").stat().st_size > 100
    dock.pins.export_to(tmp_path / "field.png", overlay.pins[0])
    qtbot.waitUntil(lambda: "✗" in dock.pins.written.text(), timeout=10_000)


# with the dock


def test_pins_go_and_come_with_their_dock(
    overlay: FieldOverlay, session: Session, viewer: Any, qtbot: Any
) -> None:
    viewer.window._qt_window.show()
    dock, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", "Receptive field")
    qtbot.waitUntil(widget.isVisible, timeout=5000)
    overlay.pin((30, 41))
    viewer.mouse_over_canvas = False
    drawn = scene_overlay(viewer)
    assert drawn.visible
    dock.hide()
    assert not drawn.visible
    dock.show()
    assert drawn.visible
    assert [pin.number for pin in overlay.pins] == [1]
    viewer.window.remove_dock_widget(dock)


# the map


def test_a_map_covers_the_image(session: Session, image: Image, overlay: FieldOverlay) -> None:
    w50 = np.full((4, 6), 11, np.float32)
    w95 = np.arange(24, dtype=np.float32).reshape(4, 6)
    layers = show_map(session, image, 0, overlay.subject, "not trained", WidthMap(w50, w95, 24))
    assert [layer.name for layer in layers] == [
        "gold: 50 % width of the effective field in px, 64 px, not trained",
        "gold: 95 % width of the effective field in px, 64 px, not trained",
    ]
    _half, most = layers
    np.testing.assert_array_equal(most.data, w95)
    for corner, at in (((-0.5, -0.5), (-0.5, -0.5)), ((3.5, 5.5), (60.5, 82.5))):
        np.testing.assert_allclose(most.data_to_world(corner), image.data_to_world(at))
    assert most.visible
    again = show_map(session, image, 0, overlay.subject, "not trained", WidthMap(w95, w50, 24))
    assert again == layers
    np.testing.assert_array_equal(most.data, w50)
    assert session.images == (image,)


def test_a_run_is_mapped_after_and_before_training_and_stops(
    overlay: FieldOverlay,
    session: Session,
    viewer: Any,
    tmp_path: Path,
    monkeypatch: Any,
    qtbot: Any,
) -> None:
    asked = []

    def measure(run, spec, pixels, grid, seed=752, *, report, stopped):
        asked.append((run, grid, pixels.shape))
        width = np.full(grid, 20 if run is None else 30, np.float32)
        return WidthMap(width, width, width.size)

    monkeypatch.setattr(jobs, "map_effective_field", measure)
    run = a_run(tmp_path / "run")
    overlay.subject = run
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    dock.map.button.click()
    assert dock.map.stop_button.isVisibleTo(dock.map)
    qtbot.waitUntil(lambda: dock.map.button.isEnabled(), timeout=10_000)
    assert [each[0] for each in asked] == [run.run, None]
    (rows, columns) = asked[0][1]
    assert 300 <= rows * columns <= 500
    names = [layer.name for layer in viewer.layers if "width" in layer.name]
    assert len(names) == 4
    shown = [layer for layer in viewer.layers if "width" in layer.name and layer.visible]
    assert [layer.name.rpartition(", ")[2] for layer in shown] == ["after training"]
    assert {tuple(layer.contrast_limits) for layer in viewer.layers if "width" in layer.name} == {
        (0.0, 64.0)
    }
