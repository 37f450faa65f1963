"""The receptive field at the cursor: right place, no layer, no stolen attention."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_tem_rf import jobs
from napari_tem_rf.gui.field.dock import ReceptiveFieldWidget, spread_pixels
from napari_tem_rf.gui.field.overlay import REST_MS, FieldOverlay
from napari_tem_rf.gui.field.subject import read_field
from napari_tem_rf.gui.layers.boxes import free_top, outline, scene_overlay, to_scene
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.cleaning import Cleaning, standardise
from napari_tem_rf.networks.effective_field import effective_field_of
from napari_tem_rf.networks.receptive_field import Interval, receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.words import box_sides, by_phase, count, side, structure


@pytest.fixture
def overlay(session, image):
    session.spec = NetworkSpec(pools=(2, 4), filters=4)
    overlay = session.part(FieldOverlay)
    session.viewer.mouse_over_canvas = True
    session.field_overlay = True
    return overlay


def point_at(viewer, layer, *position):
    """Put the cursor on the middle of a pixel, as the mouse does: in world coordinates."""
    viewer.cursor.position = tuple(layer.data_to_world(position))


def answer(run, spec, pixels, at, seed=752, *, report, stopped):
    """Answer as the measurement does, with a heat of one at the pixel alone."""
    field = receptive_field(spec)
    rows, columns = (interval.inside for interval in field.box(at, pixels.shape))
    heat = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), np.float32)
    heat[at[0] - rows[0], at[1] - columns[0]] = 1 if run is None else 2
    return effective_field_of(heat, (rows[0], columns[0]), at)


# geometry


def test_outline_is_cut_at_the_image_border():
    inside, padding = outline(Interval(-3, 5, 20), Interval(4, 9, 20))
    # upper side all padding; the left and right sides cut at the first pixel's edge
    assert padding == [
        ((-3.5, 3.5), (-3.5, 8.5)),
        ((-3.5, 3.5), (-0.5, 3.5)),
        ((-3.5, 8.5), (-0.5, 8.5)),
    ]
    assert inside == [
        ((4.5, 3.5), (4.5, 8.5)),
        ((-0.5, 3.5), (4.5, 3.5)),
        ((-0.5, 8.5), (4.5, 8.5)),
    ]


def test_captions_keep_clear_of_each_other():
    # two captions of 10 x 100 at one place: the second stands 2 above the first
    taken = [(50.0, 60.0, 0.0, 100.0)]
    view = (0.0, 400.0)
    assert free_top(50, 20, 10, 100, taken, view, 2) == 38
    # beside it nothing is in the way
    assert free_top(50, 101, 10, 100, taken, view, 2) == 50
    # at the canvas's upper edge it stands below
    assert free_top(3, 0, 10, 100, [(3.0, 13.0, 0.0, 100.0)], view, 2) == 15
    # a third finds its place above both
    assert free_top(50, 0, 10, 100, [*taken, (38.0, 48.0, 20.0, 120.0)], view, 2) == 26


def test_reading_follows_the_phases_of_the_table(overlay):
    # pools 2, 4: widths of 60 at half of the 8 phases and 68 at the others (DESIGN.md)
    widths = [
        read_field(overlay.subject, (20 + phase, 40), (61, 83)).rows.width for phase in range(8)
    ]
    assert sorted(widths) == [60] * 4 + [68] * 4


def test_binned_pixels_count_in_full(overlay):
    binned = replace(overlay.subject, cleaning=Cleaning(binning=2))
    reading = read_field(binned, (21, 40), (61, 83))
    rows, columns = receptive_field(binned.spec).box((10, 20), (30, 41))
    assert (reading.rows.start, reading.rows.stop) == (2 * rows.start, 2 * rows.stop)
    assert (reading.columns.start, reading.columns.stop) == (2 * columns.start, 2 * columns.stop)
    assert reading.nominal == 128


def test_nominal_box_lies_around_the_pixel(overlay):
    reading = read_field(overlay.subject, (30, 40), (61, 83))
    rows, columns = reading.nominal_box
    assert (rows.width, columns.width) == (64, 64)
    assert rows.start == 30 - 31


def test_field_is_read_at_the_pixel_under_the_cursor(overlay, viewer, image):
    point_at(viewer, image, 12.4, 39.6)
    reading = overlay.reading
    assert reading.at == (12, 40)
    rows, columns = receptive_field(overlay.subject.spec).box((12, 40), (61, 83))
    assert (reading.rows, reading.columns) == (rows, columns)


def test_field_is_read_on_the_shown_frame_of_a_stack(viewer, session):
    stack = viewer.add_image(np.zeros((3, 29, 31), np.float32), scale=(1, 0.1, 0.1))
    session.image = stack
    overlay = session.part(FieldOverlay)
    viewer.mouse_over_canvas = True
    session.field_overlay = True
    viewer.dims.current_step = (2, 0, 0)
    point_at(viewer, stack, 2, 7, 9)
    assert (overlay.reading.at, overlay.reading.frame) == ((7, 9), 2)


def test_there_is_no_field_beside_the_image_or_beside_the_canvas(overlay, viewer, image):
    drawn = scene_overlay(viewer)
    point_at(viewer, image, 12, 40)
    assert drawn.visible
    point_at(viewer, image, 61, 40)
    assert overlay.reading is None
    assert not drawn.visible
    point_at(viewer, image, 12, 40)
    viewer.mouse_over_canvas = False
    assert not drawn.visible
    viewer.mouse_over_canvas = True
    assert drawn.visible
    viewer.dims.ndisplay = 3
    assert not drawn.visible


def test_box_is_drawn_where_it_belongs(overlay, viewer, image, qtbot):
    image.contrast_limits = (100, 200)  # black
    # a window that is not shown draws nothing
    viewer.window._qt_window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    viewer.reset_view()
    overlay.session.spec = NetworkSpec(pools=(2,), filters=4)
    point_at(viewer, image, 30, 50)
    QApplication.processEvents()
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    yellow = (picture[..., 0] > 180) & (picture[..., 1] > 180) & (picture[..., 2] < 110)
    rows, columns = np.nonzero(yellow)
    reading, camera = overlay.reading, viewer.scene.camera
    middle = np.array(picture.shape[:2]) / 2
    corners = [
        (np.asarray(image.data_to_world(corner)) - camera.center[-2:]) * camera.zoom + middle
        for corner in (
            (reading.rows.start - 0.5, reading.columns.start - 0.5),
            (reading.rows.stop - 0.5, reading.columns.stop - 0.5),
        )
    ]
    # a line is 2 px wide; the label's coloured edge lies above the upper left corner
    assert columns.min() == pytest.approx(corners[0][1], abs=2)
    assert columns.max() == pytest.approx(corners[1][1], abs=2)
    assert rows.max() == pytest.approx(corners[1][0], abs=2)
    right = yellow[:, int(corners[1][1]) - 2 : int(corners[1][1]) + 3].any(axis=1)
    assert np.flatnonzero(right).min() == pytest.approx(corners[0][0], abs=2)


def test_scene_matrix_is_the_layers_own(viewer):
    layer = viewer.add_image(np.zeros((2, 11, 13)), scale=(1, 2, 3), translate=(0, 5, 7), rotate=30)
    matrix = to_scene(layer)
    for row, column in ((0, 0), (4, 9), (10, 2)):
        world = layer.data_to_world((0, row, column))[-2:]
        np.testing.assert_allclose((matrix @ (row, column, 1))[:2], world)


def test_every_grid_cell_shows_the_field(overlay, viewer, image):
    viewer.add_image(image.data[::-1], name="other", scale=image.scale, units=image.units)
    session_of(viewer).image = image
    viewer.canvas.grid.enabled = True
    point_at(viewer, image, 12, 40)
    QApplication.processEvents()
    canvas = viewer.window._qt_viewer.canvas
    assert len(canvas._viewer_overlay_to_visual[scene_overlay(viewer)]) == 2
    viewer.canvas.grid.enabled = False


def test_nothing_of_the_viewer_is_touched(overlay, viewer, image):
    labels = viewer.add_labels(np.zeros((61, 83), int), scale=image.scale, units=image.units)
    labels.mode = "paint"
    before = list(viewer.layers)
    for column in range(10, 30):
        point_at(viewer, image, 12, column)
    assert list(viewer.layers) == before
    assert viewer.layers.selection.active is labels
    assert labels.mode == "paint"


def test_switching_the_overlay_off_hides_it(overlay, viewer, image):
    point_at(viewer, image, 12, 40)
    overlay.session.field_overlay = False
    assert not scene_overlay(viewer).visible
    point_at(viewer, image, 12, 41)
    assert overlay.reading is None


# the heat


def test_heat_is_measured_at_rest_on_the_standardised_crop(
    overlay, viewer, image, worker, monkeypatch, qtbot
):
    asked = []

    def record(run, spec, pixels, at, seed=752, *, report, stopped):
        asked.append((pixels, at))
        return answer(run, spec, pixels, at, seed, report=report, stopped=stopped)

    monkeypatch.setattr(jobs, "measure_effective_field", record)
    image.data = np.random.default_rng(5).normal(50, 9, (131, 127)).astype(np.float32)
    overlay.heat = True
    point_at(viewer, image, 100, 101)
    qtbot.waitUntil(lambda: overlay.field is not None, timeout=5000)
    field = overlay.field
    assert field.at == (100, 101)
    rows, columns = receptive_field(overlay.subject.spec).box((100, 101), (131, 127))
    assert field.origin == (rows.inside[0], columns.inside[0])
    pixels, at = asked[-1]
    # the crop starts on a multiple of the period, 8, and is a part of the whole standardised image
    corner = (100 - at[0], 101 - at[1])
    assert corner == (rows.inside[0] // 8 * 8, columns.inside[0] // 8 * 8)
    whole = standardise(image.data)
    np.testing.assert_array_equal(pixels, whole[corner[0] :, corner[1] :][: len(pixels)])
    assert len(scene_overlay(viewer).drawing.heats) == 1
    point_at(viewer, image, 100, 102)
    assert overlay.field is None
    assert scene_overlay(viewer).drawing.heats == ()


def test_answer_for_a_pixel_that_the_mouse_left_is_not_shown(
    overlay, viewer, image, worker, monkeypatch, qtbot
):
    monkeypatch.setattr(jobs, "measure_effective_field", answer)
    point_at(viewer, image, 30, 40)
    overlay.measure()
    point_at(viewer, image, 30, 41)
    qtbot.wait(REST_MS + 200)
    assert overlay.field is None


def test_failure_is_said(overlay, viewer, image, worker, monkeypatch, qtbot):
    def fail(*args, **kwargs):
        raise ValueError("the run is gone: train again")

    monkeypatch.setattr(jobs, "measure_effective_field", fail)
    said = []
    overlay.on(lambda now: now.note, lambda now: said.append(now.note))
    point_at(viewer, image, 30, 40)
    overlay.measure()
    qtbot.waitUntil(lambda: bool(said), timeout=5000)
    assert "train again" in said[-1]


# pins


def click(overlay, viewer, layer, *position):
    point_at(viewer, layer, *position)
    for function in viewer.mouse_drag_callbacks:
        function(viewer, SimpleNamespace(button=1))


def test_click_pins_instead_of_painting(overlay, viewer, image, worker, monkeypatch, qtbot):
    monkeypatch.setattr(jobs, "measure_effective_field", answer)
    labels = viewer.add_labels(np.zeros((61, 83), int), scale=image.scale, units=image.units)
    labels.mode = "paint"
    overlay.pinning = True
    assert labels.mode == "pan_zoom"
    click(overlay, viewer, image, 30, 40)
    click(overlay, viewer, image, 5, 6)
    overlay.pinning = False
    assert labels.mode == "paint"
    assert [pin.reading.at for pin in overlay.pins] == [(30, 40), (5, 6)]
    qtbot.waitUntil(lambda: all(pin.field for pin in overlay.pins), timeout=5000)
    click(overlay, viewer, image, 7, 8)
    assert len(overlay.pins) == 2
    viewer.mouse_over_canvas = False
    assert len(scene_overlay(viewer).drawing.boxes) == 2
    overlay.remove_pin(1)
    assert [pin.number for pin in overlay.pins] == [2]


def test_pins_show_on_their_own_image_only(overlay, viewer, image, worker, monkeypatch):
    monkeypatch.setattr(jobs, "measure_effective_field", answer)
    overlay.pin((30, 40))
    other = viewer.add_image(np.zeros((61, 83), np.float32))
    viewer.mouse_over_canvas = False
    overlay.session.image = other
    assert not scene_overlay(viewer).visible
    overlay.session.image = image
    assert scene_overlay(viewer).visible
    assert overlay.pin((61, 0)) is None


# words


@pytest.mark.parametrize(
    ("length", "size", "words"),
    [
        (120, (0.02, 0.02), "120 px = 2.40 nm"),
        (120, None, "120 px"),
        (100, (0.02, 0.5), "100 px = 2.00 × 50.0 nm"),
        (1268, (0.2, 0.2), "1,268 px = 254 nm"),
    ],
)
def test_sides_in_words(length, size, words):
    assert side(length, size) == words


def test_fields_in_words():
    spec = NetworkSpec(pools=(4, 4), filters=8)
    assert by_phase(receptive_field(spec)) == "116 to 132 px by phase"
    assert by_phase(receptive_field(NetworkSpec(pools=(2, 2)))) == "44 px at every pixel"
    assert structure(spec) == "pools 4, 4; 8 filters"
    assert structure(NetworkSpec((), (3,), 1)) == "no pools; dilations 3; 1 filter"
    box = Interval(0, 116, 200), Interval(0, 132, 200)
    assert box_sides(*box, (0.02, 0.02)) == "116 × 132 px = 2.32 × 2.64 nm"
    assert [count(each) for each in (812, 31_634, 129_500, 1_200_000, 4.5e9)] == [
        "812",
        "31.6 k",
        "130 k",
        "1.2 M",
        "4.5 G",
    ]


# the dock


def test_spread_pixels_reach_every_phase():
    pixels = spread_pixels((61, 83), 64)
    assert len(set(pixels)) == 64
    assert all(0 <= row < 61 and 0 <= column < 83 for row, column in pixels)
    assert {(row % 4, column % 4) for row, column in pixels} == {
        (row, column) for row in range(4) for column in range(4)
    }


def test_dock_reads_out_pins_and_compares(overlay, viewer, image, worker, monkeypatch, qtbot):
    monkeypatch.setattr(jobs, "measure_effective_field", answer)
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    point_at(viewer, image, 30, 40)
    assert "row 30, column 40" in dock.cursor.words.text()
    assert "reaches beyond the image" in dock.cursor.words.text()
    dock.controls.nominal.click()
    assert len(scene_overlay(viewer).drawing.boxes) == 2
    assert not dock.comparison.button.isEnabled()
    overlay.pin()
    assert dock.comparison.button.isEnabled()
    dock.comparison.button.click()
    qtbot.waitUntil(
        lambda: all("95 % 1 px" in caption.text() for caption in dock.comparison.captions),
        timeout=5000,
    )


def test_an_answer_that_nothing_changes_is_said_so(
    overlay, viewer, image, worker, monkeypatch, qtbot
):
    """As where all maps of a network are at zero."""

    def dead(run, spec, pixels, at, seed=752, *, report, stopped):
        return effective_field_of(np.zeros((9, 9), np.float32), (at[0] - 4, at[1] - 4), at)

    monkeypatch.setattr(jobs, "measure_effective_field", dead)
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    overlay.heat = True
    point_at(viewer, image, 30, 40)
    words = "none: no small change of the image changes this answer"
    qtbot.waitUntil(lambda: words in dock.cursor.words.text(), timeout=5000)
    assert "0 px" not in dock.cursor.words.text().split("influence")[1]


def test_mean_is_shown_beside_the_nominal_field(overlay, viewer, image, worker, monkeypatch, qtbot):
    def mean(run, spec, pixels, at, seed=752, *, report, stopped):
        heat = np.ones((33, 33), np.float32)
        return effective_field_of(heat, (0, 0), (16, 16), len(at))

    monkeypatch.setattr(jobs, "measure_mean_effective_field", mean)
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    dock.cursor.mean_button.click()
    qtbot.waitUntil(lambda: "Mean over 64 pixels" in dock.cursor.mean.text(), timeout=5000)
    # a flat square of 33 px: 95 % need all of it; 33 of the nominal 64 px
    assert "95 % within 33 px" in dock.cursor.mean.text()
    assert "0.52 of the nominal field" in dock.cursor.mean.text()
