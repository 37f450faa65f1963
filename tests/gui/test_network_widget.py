"""Picking a network: chart, sliders, typed numbers, own pools, what the image shows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_tem_rf import jobs
from napari_tem_rf.gui.pieces.design_chart import DesignChart, LengthMark, RunDot
from napari_tem_rf.gui.segment.image_findings import ImageFindings, find
from napari_tem_rf.gui.segment.network import NetworkWidget
from napari_tem_rf.measuring.contrast import Advice
from napari_tem_rf.networks.catalog import catalog
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed


@pytest.fixture
def widget(viewer, image, qtbot):
    widget = NetworkWidget(viewer)
    qtbot.addWidget(widget)
    widget.resize(380, 600)
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def test_click_on_a_dot_picks_it(widget, session, qtbot):
    # 120 px and 31,634 parameters: the paper's pools 4, 4 with 8 filters
    at = widget.chart.position_of(120, 31_634)
    qtbot.mouseClick(
        widget.chart, Qt.MouseButton.LeftButton, pos=QPoint(round(at.x()), round(at.y()))
    )
    field = nominal_receptive_field(session.spec)
    near = widget.chart.position_of(field, session.spec.parameters)
    assert abs(near.x() - at.x()) < 3
    assert abs(near.y() - at.y()) < 3
    assert session.spec in catalog().specs


def test_chart_puts_dots_where_it_finds_them(widget):
    for spec in catalog().specs[::977]:
        at = widget.chart.position_of(nominal_receptive_field(spec), spec.parameters)
        found = widget.chart.nearest(QPointF(at))
        assert nominal_receptive_field(found) == nominal_receptive_field(spec)
        assert found.parameters == spec.parameters


def test_sliders_move_one_axis_and_keep_the_wish_for_the_other(widget, session):
    widget.parameters.setValue(30_000)
    widget.parameters.editingFinished.emit()
    for value in (100, 180, 230, 300):
        widget.field_slider.setValue(value)
        wished = widget.field_slider.number
        assert nominal_receptive_field(session.spec) == pytest.approx(wished, rel=0.15)
        assert session.spec.parameters == pytest.approx(30_000, rel=0.1)


def test_typed_numbers_snap_to_the_catalog_and_it_says_so(widget, session):
    widget.field_px.setValue(5)
    widget.field_px.editingFinished.emit()
    widget.parameters.setValue(20_000_000)
    widget.parameters.editingFinished.emit()
    best = catalog().nearest(5, 20_000_000, limit=1)[0]
    assert session.spec == best.spec
    assert f"{best.parameters:,} parameters are" in widget.snap.text()
    assert widget.parameters.value() == best.parameters


def test_field_can_be_typed_in_nm(widget, session, image):
    image.scale = (0.02, 0.02)
    widget.field_nm.setValue(2.4)
    widget.field_nm.editingFinished.emit()
    assert nominal_receptive_field(session.spec) == 120
    assert "120 px = 2.40 nm" in widget.words.text()
    assert "116 to 132 px by phase = 2.32 to 2.64 nm" in widget.details.text()
    image.units = ("pixel", "pixel")
    assert not widget.field_nm.isVisible()
    assert "nm" not in widget.words.text()


def test_own_pools_are_taken_and_errors_said_beside(widget, session):
    own = widget.advanced
    own.pools.setText("5 3")
    own.pools.editingFinished.emit()
    assert session.spec.pools == (5, 3)
    own.dilations.setText("1, 2")
    own.dilations.editingFinished.emit()
    assert session.spec.dilations == (1, 1, 1)
    assert "2 pools need 3 dilations" in own.error.text()
    own.dilations.setText("1, 2, 1")
    own.dilations.editingFinished.emit()
    assert session.spec.dilations == (1, 2, 1)
    assert own.error.text() == ""
    own.filters.setText("eight")
    own.filters.editingFinished.emit()
    assert "whole numbers" in own.error.text()


def test_network_picked_elsewhere_is_shown(widget, session):
    session.spec = NetworkSpec(pools=(8, 8), filters=4)
    assert widget.field_px.value() == 392
    assert widget.parameters.value() == 8_074
    assert widget.chart.pick == session.spec


def test_checkbox_and_session_agree_on_the_overlay(widget, session):
    widget.show_field.click()
    assert session.field_overlay
    session.field_overlay = False
    assert not widget.show_field.isChecked()


def test_lattice_and_particles_are_marked_and_advice_given(viewer, session, widget, qtbot):
    rows, columns = np.mgrid[:256, :301]
    disc = (rows - 120) ** 2 + (columns - 150) ** 2 < 40**2
    noise = np.random.default_rng(752).normal(0, 1, disc.shape)
    fringes = 2 * np.sin(2 * np.pi * columns / 9.5) * disc
    session.image = viewer.add_image((noise + fringes).astype(np.float32), name="lattice")
    session.annotation = viewer.add_labels(disc.astype(np.uint8), name="mask")
    session.unlabelled = "background"
    qtbot.waitUntil(lambda: len(widget.chart._marks) == 2, timeout=10_000)
    marks = {mark.name: mark.length_px for mark in widget.chart._marks}
    assert marks["lattice"] == pytest.approx(9.5, rel=0.02)
    assert marks["particle"] == pytest.approx(79, abs=2)
    said = widget.advice.text()
    assert f"show a lattice of {marks['lattice']:.1f} px" in said
    assert said == widget.findings.findings.advice.sentence


def test_baseline_that_is_expected_to_do_as_well_is_offered_and_fitted(
    worker, session, widget, strokes, qtbot
):
    assert not widget.fitted.isVisible()
    said = Advice("amplitude", "Particles differ from background by 3 sigma.", "", "forest")
    widget._show_findings(ImageFindings(None, None, said, True))
    assert widget.fitted.isVisible()
    assert widget.fitted.button.text() == "Fit a random forest"
    picked = session.spec
    widget.fitted.button.click()
    assert not widget.fitted.button.isEnabled()
    qtbot.waitUntil(lambda: session.run is not None, timeout=20_000)
    assert session.run.record.method == "forest"
    assert session.run.record.state == "finished"
    assert session.spec == picked
    qtbot.waitUntil(widget.fitted.button.isEnabled, timeout=5_000)
    assert "predicts now" in widget.fitted.words.text()
    widget._show_findings(ImageFindings(None, None, replace(said, baseline=None), True))
    assert not widget.fitted.isVisible()


def test_offer_waits_for_an_annotation(session, widget):
    widget._show_findings(ImageFindings(None, None, Advice("amplitude", "", "", "fourier"), True))
    assert widget.fitted.button.text() == "Fit a Fourier filter"
    assert not widget.fitted.button.isEnabled()


def test_strokes_are_no_particles():
    pixels = np.random.default_rng(5).normal(size=(61, 83)).astype(np.float32)
    strokes = np.zeros((61, 83), np.uint8)
    strokes[10:20, 10:20], strokes[40:50, 10:60] = 2, 1
    found = find(None, [(pixels, strokes)], "ignore")
    assert found.particle_px is None
    assert found.annotated


def test_chart_paints_in_both_themes_and_says_what_is_under_the_mouse(qtbot):
    chart = DesignChart()
    qtbot.addWidget(chart)
    chart.resize(356, 215)
    spec = NetworkSpec(pools=(4, 4), filters=8)
    chart.show_pick(spec)
    chart.show_pixel_size((0.02, 0.02))
    chart.show_marks([LengthMark(11.8, "lattice"), LengthMark(3000.0, "particle")])
    chart.show_runs([RunDot(spec, 0.88, "the run", True), RunDot(spec, 0.71, "another", False)])
    picture = chart.grab().toImage()
    colors = {
        picture.pixelColor(x, y).name()
        for x in range(picture.width())
        for y in range(picture.height())
    }
    assert len(colors) > 20
    at = chart.position_of(120, 31_634)
    assert chart._words_at(at) == "the run"
    assert "parameters" in chart._words_at(QPointF(at.x() + 60, at.y()))


def test_arrow_keys_walk_the_catalog(qtbot):
    chart = DesignChart()
    qtbot.addWidget(chart)
    chart.show_pick(NetworkSpec(pools=(4, 4), filters=8))
    picked = []
    chart.picked.connect(picked.append)
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Left):
        qtbot.keyClick(chart, key)
    up, right, down, left = picked
    assert up.parameters > 31_634
    assert down.parameters < 31_634
    assert nominal_receptive_field(right) > 120
    assert nominal_receptive_field(left) < 120


def test_runs_show_with_their_scores(widget, session, tmp_path, monkeypatch):
    spec = NetworkSpec(pools=(4, 4), filters=8, classes=3)
    run = SimpleNamespace(spec=spec, telling_dice=0.88, title="gold", folder=tmp_path)
    session.choose(runs=(run,))
    (dot,) = widget.chart._runs
    # scored runs of three classes stand beside the catalog's networks of two
    assert (dot.spec.classes, dot.score, dot.title) == (2, 0.88, "gold")


def test_speed_is_measured_once_the_pick_stays_and_workers_are_there(
    viewer, session, image, worker, monkeypatch, qtbot
):
    asked = []

    def measure(spec, *, report, stopped):
        asked.append(spec)
        return Speed(0.5, 89.0, "cpu")

    monkeypatch.setattr(jobs, "time_network", measure)
    widget = NetworkWidget(viewer)
    qtbot.addWidget(widget)
    session.spec = NetworkSpec(pools=(2, 2), filters=4)
    session.spec = NetworkSpec(pools=(4, 2), filters=4)
    session.warm_up()
    qtbot.waitUntil(lambda: "0.5 s per megapixel" in widget.words.text(), timeout=10_000)
    assert asked == [NetworkSpec(pools=(4, 2), filters=4)]


def test_networks_with_weights_are_marked_and_a_click_near_one_picks_it(widget, session, qtbot):
    chart = widget.chart
    pre_trained = NetworkSpec(pools=(4, 4), filters=8)
    assert pre_trained in chart._prepared
    assert chart._recommended == NetworkSpec(pools=(4, 8), filters=8)
    at = chart._position(pre_trained)
    # a few px beside it lie other networks of the catalog
    beside = QPointF(at.x() + 3, at.y() - 3)
    assert chart.nearest(beside) != pre_trained
    qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=beside.toPoint())
    assert session.spec == pre_trained
    assert chart._words_at(beside).startswith("pre-trained on simulated micrographs")
    there = chart._position(chart._recommended)
    assert chart._words_at(there).startswith("recommended, pre-trained")
