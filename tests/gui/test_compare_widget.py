"""The compare dock: plan in words, run, stop, continue, read, side by side and back, use."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QFont

from napari_tem_rf import jobs
from napari_tem_rf.comparison import (
    ComparisonSettings,
    ContestantJob,
    Costs,
    ImageScores,
    Result,
    prediction_path,
)
from napari_tem_rf.comparison.ensemble import RunningEnsemble
from napari_tem_rf.comparison.record import annotation_path
from napari_tem_rf.gui.compare.dock import CompareWidget
from napari_tem_rf.gui.compare.grid_chart import spread_over
from napari_tem_rf.gui.compare.wishes import (
    Wishes,
    expected_seconds,
    length_in_words,
    numbers_in,
    plan_summary,
)
from napari_tem_rf.gui.layers.marks import is_ours
from napari_tem_rf.gui.segment.network import NetworkWidget
from napari_tem_rf.gui.session.annotations import start_annotation
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.scores import Scores
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport
from napari_tem_rf.runs import RunRecord, create_run

SHAPE = (61, 83)
DICE = {5: 0.62, 44: 0.91}
"""By nominal field: what the worker of these tests says."""


def fake_contest(work: ContestantJob, *, report: Any, stopped: Any) -> Result:
    """Answer as a training of a comparison does: a run folder and a result in it."""
    spec = work.contestant.spec
    report(NoteReport("one of three groups is held out"))
    report(EpochReport(1, 10, 0.1, 0.1, 1.0, 1.0, 0.8, 1, 0.8))
    dice = 0.5
    if spec is not None:
        dice = DICE[nominal_receptive_field(spec)] + 0.01 * (work.contestant.seed == 2245)
        classes = work.held_out.classes
        record = RunRecord(
            name=work.place.name, spec=spec, plan=work.plan.training, classes=classes,
            unlabelled=work.plan.unlabelled, cleaning=work.plan.cleaning,
            pixel_size_nm=(0.02, 0.02), data=(), split={"kind": "groups", "sentence": ""},
            state="finished", epochs=3, best_epoch=2, scores={"dice": dice},
        )  # fmt: skip
        create_run(work.place, record, {})
    images = tuple(
        ImageScores(
            each.name,
            Scores(dice, dice, dice, dice, dice, boundary_error_px=20.0, boundary_error_nm=0.4),
        )
        for each in work.held_out.scored
    )
    result = Result(work.contestant, images, Costs(1.5, 0.25, 12.0), 3, 2)
    result.write(work.folder)
    return result


def fake_predict(run: Path, pixels: Any, *_: Any, report: Any, stopped: Any) -> Any:
    """Say particle left of a column that depends on the network."""
    labels = np.zeros(pixels.shape, np.uint8)
    labels[:, : 20 if "field_5_" in run.name else 45] = 1
    return jobs.PredictionResult(labels, None)


@pytest.fixture
def compared(worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a worker answer at once: trainings, predictions, reports."""
    monkeypatch.setattr("napari_tem_rf.comparison.running.contest", fake_contest)
    monkeypatch.setattr(jobs, "predict_with_run", fake_predict)

    def report_on(comparison: Any, scored: Any, *, report: Any, stopped: Any) -> Path:
        path = comparison.folder / "report.html"
        path.write_text(f"<p>{len(comparison.results)} results</p>")
        return path

    monkeypatch.setattr("napari_tem_rf.gui.compare.comparing.report_on", report_on)


@pytest.fixture
def masks(viewer: Any, session: Session) -> list[Labels]:
    """Four calibrated images with a finished mask each; the last one is chosen."""
    rng = np.random.default_rng(752)
    rows, columns = np.indices(SHAPE)
    layers = []
    with viewer.layers.batched_update():  # drawn once at the end
        for n in range(4):
            disc = (rows - 20 - 5 * n) ** 2 + (columns - 30 - 7 * n) ** 2 < 9**2
            pixels = (100 + 20 * disc + 5 * rng.standard_normal(SHAPE)).astype(np.float32)
            image = viewer.add_image(
                pixels, name=f"gold_{n // 2}_{n}", scale=(0.02, 0.02), units=("nm", "nm"),
                axis_labels=("y", "x"), translate=(1.0, 3.0),
            )  # fmt: skip
            mask = start_annotation(image, "background", [])
            mask.data[disc] = 1
            viewer.add_layer(mask)
            layers.append(mask)
    session.image = viewer.layers["gold_1_3"]
    return layers


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> CompareWidget:
    widget = CompareWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def ask_for(widget: CompareWidget, fields: str = "5, 44", parameters: str = "8000") -> None:
    plan = widget.plan
    plan.fields.setText(fields)
    plan.fields.editingFinished.emit()
    plan.parameters.setText(parameters)
    plan.parameters.editingFinished.emit()
    plan.seeds.setValue(2)
    plan.baselines.setChecked(False)


def ready(widget: CompareWidget, qtbot: Any) -> None:
    session = widget.session
    # what was asked for last: the dock follows a moment later
    qtbot.waitUntil(
        lambda: (
            widget.plan.before.text()
            == plan_summary(widget.plan.wishes(), session.engine.width, session.runs)
        ),
        timeout=20_000,
    )
    qtbot.waitUntil(lambda: widget.run.button.isEnabled(), timeout=20_000)
    qtbot.waitUntil(lambda: bool(widget.plan.split.text()), timeout=20_000)


def run(widget: CompareWidget, qtbot: Any) -> None:
    """Compare two networks with two seeds, from the press to the report."""
    ask_for(widget)
    ready(widget, qtbot)
    qtbot.mouseClick(widget.run.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: over(widget), timeout=60_000)
    assert widget.comparing.trouble == ""


def over(widget: CompareWidget) -> bool:
    return not widget.comparing.is_running and widget.comparing.report is not None


# before anything starts


def test_the_empty_dock_says_what_is_missing(
    widget: CompareWidget, viewer: Any, qtbot: Any
) -> None:
    assert not widget.run.button.isEnabled()
    assert widget.run.words.text().startswith("No image is open")
    viewer.add_image(np.zeros(SHAPE, np.float32), name="gold")
    qtbot.waitUntil(lambda: "no annotation" in widget.run.words.text(), timeout=20_000)
    assert widget.result_fold.isHidden()


def test_one_small_image_with_large_fields_is_refused_with_the_remedy(
    widget: CompareWidget, strokes: Labels, qtbot: Any
) -> None:
    qtbot.waitUntil(lambda: "can be held out" in widget.run.words.text(), timeout=20_000)
    assert "paint every class in" in widget.run.words.text()
    assert "or compare smaller receptive fields" in widget.run.words.text()
    assert not widget.run.button.isEnabled()


def test_what_will_be_done_is_plan_summary(
    worker: None, widget: CompareWidget, masks: list[Labels], qtbot: Any
) -> None:
    ask_for(widget, "5, 44", "1000, 8k")
    ready(widget, qtbot)
    assert widget.plan.before.text() == (
        "4 networks × 2 seeds = 8 trainings of 60 s each: about 9 min."
    )
    assert "1 of 4 images (gold_" in widget.plan.split.text()
    assert widget.plan.fields_nm.text() == "= 0.10, 0.88 nm"
    ask_for(widget, "5", "1000")
    widget.plan.group_by.setText(r"gold_(\d)_")
    widget.plan.group_by.editingFinished.emit()
    # two exposures are too few to hold one out: a block of each image is
    qtbot.waitUntil(lambda: "a block of each image" in widget.plan.split.text(), timeout=20_000)
    widget.plan.group_by.setText("silver")
    widget.plan.group_by.editingFinished.emit()
    qtbot.waitUntil(lambda: "silver" in widget.run.words.text(), timeout=20_000)
    assert not widget.run.button.isEnabled()


def test_a_pattern_without_end_is_given_up_while_the_window_goes_on(
    widget: CompareWidget, masks: list[Labels], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python's own documentation warns: (a+)+ takes twice as long for each further a."""
    monkeypatch.setattr("napari_tem_rf.micrographs.grouping.LONGEST_SECONDS", 1.0)
    image = widget.session.image
    assert image is not None
    image.name = 40 * "a"
    ask_for(widget, "5", "1000")
    ready(widget, qtbot)
    widget.plan.group_by.setText("(a+)+!|(gold)")
    widget.plan.group_by.editingFinished.emit()
    widget.plan._look()
    assert widget.plan.obstacle == "The pattern of the exposures is being tried."
    qtbot.waitUntil(
        lambda: "write one without repeats inside repeats" in widget.run.words.text(),
        timeout=20_000,
    )
    assert not widget.run.button.isEnabled()
    widget.plan.group_by.setText("^(a+|gold)")
    widget.plan.group_by.editingFinished.emit()
    ready(widget, qtbot)


def test_a_list_that_is_none_is_said(widget: CompareWidget) -> None:
    ask_for(widget, "5, forty")
    assert '"forty" is not a number' in widget.plan.note.text()
    assert widget.plan.specs == ()
    ask_for(widget, "")
    assert "Name at least one receptive field" in widget.plan.note.text()


def test_a_box_in_the_chart_fills_the_lists_and_a_click_adds_and_removes(
    widget: CompareWidget, qtbot: Any
) -> None:
    chart = widget.plan.chart
    chart.resize(356, 215)
    low, high = chart.position_of(20, 3000), chart.position_of(120, 40_000)
    qtbot.mousePress(chart, Qt.MouseButton.LeftButton, pos=low.toPoint())
    qtbot.mouseMove(chart, high.toPoint())
    qtbot.mouseRelease(chart, Qt.MouseButton.LeftButton, pos=high.toPoint())
    fields, parameters = (
        numbers_in(edit.text()) for edit in (widget.plan.fields, widget.plan.parameters)
    )
    assert fields == pytest.approx((20, 49, 120), rel=0.08)
    assert parameters == pytest.approx((3000, 11_000, 40_000), rel=0.12)
    chosen = chart.chosen
    assert len(chosen) == 9
    assert chosen == widget.plan.specs
    at = chart.position_of(nominal_receptive_field(chosen[0]), chosen[0].parameters)
    qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=at.toPoint())
    assert chart.chosen == chosen[1:]
    far = chart.position_of(400, 1_000_000)
    qtbot.mouseClick(chart, Qt.MouseButton.LeftButton, pos=far.toPoint())
    assert nominal_receptive_field(chart.chosen[-1]) == pytest.approx(400, rel=0.1)
    box = chart.box_between(QPointF(low), QPointF(high))
    assert box.fields == pytest.approx((20, 120), rel=0.01)


def test_numbers_are_spread_evenly_by_ratio() -> None:
    assert spread_over(5, 5.1, 2.5, 6) == (5.0,)
    assert spread_over(10, 1000, 10, 6) == (10.0, 100.0, 1000.0)
    assert len(spread_over(5, 1500, 2.5, 4)) == 4
    assert numbers_in(" 8k; 1.5M 44 ") == (8000.0, 1_500_000.0, 44.0)


def test_expected_time() -> None:
    specs = (NetworkSpec((2, 2)), NetworkSpec((4, 4)))
    wishes = Wishes(specs, ComparisonSettings(seeds=3, seconds=60, baselines=False))
    assert expected_seconds(wishes, 1) == pytest.approx(6 * 60, rel=0.1)
    assert expected_seconds(wishes, 3) == pytest.approx(2 * 60, rel=0.1)
    epochs = Wishes(specs, ComparisonSettings(seconds=None, epochs=10))
    assert expected_seconds(epochs, 1) is None
    assert "known after the first training" in plan_summary(epochs, 1)
    assert [length_in_words(each) for each in (41, 720, 12_240)] == ["41 s", "12 min", "3.4 h"]


# running


def test_rows_appear_and_the_suggestion_is_marked(
    compared: None, widget: CompareWidget, masks: list[Labels], session: Session, qtbot: Any
) -> None:
    run(widget, qtbot)
    comparison = widget.comparing.comparison
    assert comparison is not None
    assert comparison.folder.parent == session.runs_folder / "gold_1_3"
    assert [each.contestant.seed for each in comparison.results] == [752, 752, 2245, 2245]
    assert not widget.comparing.is_running
    assert widget.findings.text().startswith('<p style="margin: 2px 0;"><b>Suggestion: field 44 px')
    # 0.62 against 0.91, on one held-out image
    assert "One image cannot tell whether the receptive field matters" in widget.findings.text()
    rows = widget.table.rows
    assert rows.rowCount() == 2
    dice, error = (rows.columns.index(key) for key in ("dice", "boundary_error_nm"))
    best = rows.place_of(comparison.findings.suggestion)
    assert rows.data(rows.index(best, dice)) == "0.915 ± 0.007"
    assert rows.data(rows.index(best, error)) == "0.400 ± 0.000"
    assert rows.data(rows.index(best, 0)).startswith("★ ")
    font = rows.data(rows.index(best, 0), Qt.ItemDataRole.FontRole)
    assert isinstance(font, QFont)
    assert font.bold()
    assert widget.table.name == comparison.findings.suggestion
    assert not widget.curve.isHidden()
    assert annotation_path(comparison.folder, 3).is_file()
    # the columns sort, unknown values last
    rows.sort(dice, Qt.SortOrder.AscendingOrder)
    assert rows.place_of(comparison.findings.suggestion) == 1
    rows.sort(dice, Qt.SortOrder.DescendingOrder)
    assert rows.place_of(comparison.findings.suggestion) == 0


def test_stop_keeps_what_is_done_and_go_on_takes_it_up(
    compared: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: CompareWidget,
    masks: list[Labels],
    session: Session,
    qtbot: Any,
) -> None:
    begun: list[str] = []
    waits = threading.Event()

    def wait(work: ContestantJob, *, report: Any, stopped: Any) -> Result | None:
        begun.append(work.contestant.folder)
        if len(begun) == 2 and not waits.is_set():
            waits.set()
            while not stopped():
                pass
            return None
        return fake_contest(work, report=report, stopped=stopped)

    monkeypatch.setattr("napari_tem_rf.comparison.running.contest", wait)
    ask_for(widget)
    ready(widget, qtbot)
    qtbot.mouseClick(widget.run.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: waits.is_set() and widget.table.rows.rowCount() == 1, timeout=30_000)
    assert session.refresh().checks[0].sentence.startswith("A comparison is running")
    qtbot.mouseClick(widget.run.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: over(widget), timeout=30_000)
    assert len(widget.comparing.comparison.results) == 1
    assert widget.run.words.text().startswith("1 of 4 are done: Go on")
    # painting on does not matter: it continues with the labels that it was begun with
    masks[3].data[:5] = 1
    qtbot.mouseClick(widget.run.go_on_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: over(widget), timeout=30_000)
    assert widget.comparing.trouble == ""
    assert len(widget.comparing.comparison.results) == 4
    assert len(begun) == 5
    assert widget.run.go_on_button.isHidden()


def test_one_failure_does_not_stop_the_others(
    compared: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: CompareWidget,
    masks: list[Labels],
    qtbot: Any,
) -> None:
    def fail_once(work: ContestantJob, *, report: Any, stopped: Any) -> Result:
        if "field_44" in work.contestant.folder and work.contestant.seed == 752:
            raise ValueError("the disk is full: make room")
        return fake_contest(work, report=report, stopped=stopped)

    monkeypatch.setattr("napari_tem_rf.comparison.running.contest", fail_once)
    run(widget, qtbot)
    assert len(widget.comparing.comparison.results) == 3
    assert "seed 752: the disk is full: make room" in widget.run.failures.text()
    assert not widget.run.go_on_button.isHidden()


# looking


def tick_both(widget: CompareWidget, qtbot: Any) -> None:
    for place in (0, 1):
        index = widget.table.rows.index(place, 0)
        value = Qt.CheckState.Checked.value
        assert widget.table.rows.setData(index, value, Qt.ItemDataRole.CheckStateRole)
    qtbot.waitUntil(lambda: widget.view.view.is_shown, timeout=30_000)


def test_two_ticks_show_the_image_with_each_prediction_and_back_restores_all(
    compared: None, widget: CompareWidget, masks: list[Labels], viewer: Any, qtbot: Any
) -> None:
    run(widget, qtbot)
    masks[0].visible = False
    viewer.layers.selection.active = masks[3]
    viewer.scene.camera.center = (0.0, 1.5, 3.5)
    viewer.scene.camera.zoom = 321.0
    grid, layers = viewer.canvas.grid, list(viewer.layers)
    before = {name: getattr(grid, name) for name in ("enabled", "stride", "shape", "spacing")}
    visible = [layer.visible for layer in layers]

    tick_both(widget, qtbot)
    ours = list(viewer.layers)[:8]
    # annotation, two networks, and where they differ: two layers a cell
    assert [type(layer) for layer in ours] == [Image, Labels, Image, Labels, Image, Labels] + [
        Image
    ] * 2
    assert grid.enabled
    cells = [set(indices) for _, indices in grid.iter_viewboxes(viewer.layers)]
    assert cells == [{0, 1}, {2, 3}, {4, 5}, {6, 7}]
    assert not any(layer.visible for layer in layers)
    image = viewer.layers["gold_1_3"]
    for layer in ours:
        assert tuple(layer.scale) == tuple(image.scale)
        assert tuple(layer.translate) == tuple(image.translate)
        assert layer.units == image.units
    np.testing.assert_array_equal(ours[1].data, masks[3].data)
    # 25 columns that one network calls particle and the other does not
    differs = np.zeros(SHAPE, bool)
    differs[:, 20:45] = True
    np.testing.assert_array_equal(ours[7].data, differs)
    assert {ours[3].name, ours[5].name} == {
        "5 px, 8,122: Dice 0.62",
        "44 px, 8,074: Dice 0.91",
    }
    ours[0].contrast_limits = (90.0, 110.0)
    assert tuple(ours[4].contrast_limits) == (90.0, 110.0)
    # none of them can be taken for the user's
    assert image not in ours
    assert widget.session.images == tuple(each for each in layers if type(each) is Image)
    assert viewer.layers.selection.active is masks[3]

    assert widget.view.button.text() == "Back to the single view"
    qtbot.mouseClick(widget.view.button, Qt.MouseButton.LeftButton)
    assert list(viewer.layers) == layers
    assert [layer.visible for layer in layers] == visible
    assert {name: getattr(grid, name) for name in before} == before
    assert tuple(viewer.scene.camera.center) == (0.0, 1.5, 3.5)
    assert viewer.scene.camera.zoom == 321.0
    assert viewer.layers.selection.active is masks[3]
    assert tuple(image.contrast_limits) != (90.0, 110.0)


def test_a_place_is_jumped_to_and_the_map_lies_on_the_image(
    compared: None, widget: CompareWidget, masks: list[Labels], viewer: Any, qtbot: Any
) -> None:
    run(widget, qtbot)
    tick_both(widget, qtbot)
    view = widget.view
    first = view._places[0]
    assert first.disagreement == pytest.approx(1)
    assert view.places.item(0).text() == f"row {first.row}, column {first.column}: 100 % differs"
    view.places.itemClicked.emit(view.places.item(0))
    image = viewer.layers["gold_1_3"]
    world = image.data_to_world((first.row, first.column))
    assert tuple(viewer.scene.camera.center)[1:] == pytest.approx(tuple(world))
    view.toggle()
    view.map.setChecked(True)
    (layer,) = (each for each in viewer.layers if is_ours(each, "difference"))
    assert layer.name == "gold_1_3: where networks differ"
    assert layer.visible
    assert viewer.layers.index(layer) == viewer.layers.index(image) + 1
    view.map.setChecked(False)
    assert layer not in viewer.layers


def test_places_of_all_images_lead_to_the_other_image(
    compared: None, widget: CompareWidget, masks: list[Labels], session: Session, qtbot: Any
) -> None:
    run(widget, qtbot)
    tick_both(widget, qtbot)
    widget.view.where.setCurrentIndex(1)
    widget.view.where.activated.emit(1)
    qtbot.waitUntil(lambda: len(widget.view._found) == 4, timeout=30_000)
    assert {place.image for place in widget.view._places} == {
        f"gold_{n // 2}_{n}" for n in range(4)
    }
    widget.view.toggle()
    other = next(
        item
        for item in map(widget.view.places.item, range(widget.view.places.count()))
        if item.text().startswith("gold_0_0")
    )
    widget.view.places.itemClicked.emit(other)
    assert session.image.name == "gold_0_0"


def test_unticking_or_removing_the_image_goes_back(
    compared: None, widget: CompareWidget, masks: list[Labels], viewer: Any, qtbot: Any
) -> None:
    run(widget, qtbot)
    tick_both(widget, qtbot)
    widget.table.tick(widget.table.rows.ticked[:1])
    assert not widget.view.view.is_shown
    assert not viewer.canvas.grid.enabled
    widget.table.tick(widget.table.rows.names)
    qtbot.waitUntil(lambda: widget.view.view.is_shown, timeout=30_000)
    viewer.layers.remove(viewer.layers["gold_1_3"])
    qtbot.waitUntil(lambda: not widget.view.predictions.is_busy, timeout=30_000)
    assert not any("gold_1_3" in layer.name and is_ours(layer) for layer in viewer.layers[:8:2])


def test_a_fifth_tick_is_refused(widget: CompareWidget, qtbot: Any) -> None:
    rows = widget.table.rows
    rows._table = pd.DataFrame({"name": list("abcde")})
    rows._order = list(range(5))
    with qtbot.waitSignal(widget.table.refused) as told:
        assert [rows.tick(name, True) for name in "abcde"] == [True] * 4 + [False]
    assert told.args == ["4 are ticked: untick one first."]
    assert rows.ticked == tuple("abcd")


# using


def test_the_seeds_of_a_network_are_asked_together(
    compared: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: CompareWidget,
    masks: list[Labels],
    viewer: Any,
    qtbot: Any,
) -> None:
    def together(runs: Any, pixels: Any, _device: str, *, report: Any, stopped: Any) -> Any:
        assert len(runs) == 2
        seeds = RunningEnsemble()
        for value in (0.2, 0.4):
            seeds.add(np.full((2, *pixels.shape), value, np.float32))
        return seeds.result(np.array([0, 1]))

    monkeypatch.setattr("napari_tem_rf.gui.compare.predictions.predict_ensemble", together)
    run(widget, qtbot)
    name = widget.table.name
    qtbot.mouseClick(widget.ensemble_button, Qt.MouseButton.LeftButton)
    title = f"gold_1_3: {name}, probability of 2 seeds"
    qtbot.waitUntil(lambda: title in viewer.layers, timeout=20_000)
    np.testing.assert_allclose(viewer.layers[title].data, 0.7, atol=1e-6)
    spread = viewer.layers[f"gold_1_3: {name}, spread of 2 seeds"]
    np.testing.assert_allclose(spread.data, 0.1, atol=1e-6)
    assert tuple(spread.scale) == (0.02, 0.02)
    qtbot.mouseClick(widget.ensemble_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.session.works, timeout=20_000)
    assert sum(is_ours(layer, "ensemble") for layer in viewer.layers) == 2


def test_the_network_is_picked_and_its_best_run_predicts(
    compared: None, widget: CompareWidget, masks: list[Labels], session: Session, qtbot: Any
) -> None:
    run(widget, qtbot)
    qtbot.mouseClick(widget.use_button, Qt.MouseButton.LeftButton)
    assert nominal_receptive_field(session.spec) == 44
    assert session.run is not None
    assert session.run.folder.name.endswith("seed_2245")
    assert "is picked" in widget.note.text()


def test_an_earlier_comparison_is_opened_and_gone_on_with(
    compared: None, widget: CompareWidget, masks: list[Labels], viewer: Any, qtbot: Any
) -> None:
    run(widget, qtbot)
    folder = widget.comparing.comparison.folder
    missing = widget.comparing.comparison.results[-1].contestant.folder
    for path in sorted((folder / missing).rglob("*"), reverse=True):
        path.unlink()
    (folder / missing).rmdir()
    ask_for(widget, "120", "30000")
    widget.run.open(folder)
    assert [nominal_receptive_field(spec) for spec in widget.plan.specs] == [5, 44]
    assert widget.table.rows.rowCount() == 2
    assert widget.run.words.text().startswith("3 of 4 are done")
    # labels come from the folder, pixels from the layers
    for mask in masks:
        viewer.layers.remove(mask)
    qtbot.mouseClick(widget.run.go_on_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: over(widget), timeout=30_000)
    assert widget.comparing.trouble == ""
    assert len(widget.comparing.comparison.results) == 4


def test_going_on_without_an_image_says_which_one(
    compared: None, widget: CompareWidget, masks: list[Labels], viewer: Any, qtbot: Any
) -> None:
    run(widget, qtbot)
    folder = widget.comparing.comparison.folder
    (folder / widget.comparing.comparison.results[0].contestant.folder / "result.json").unlink()
    viewer.layers.remove(viewer.layers["gold_0_1"])
    widget.run.open(folder)
    qtbot.mouseClick(widget.run.go_on_button, Qt.MouseButton.LeftButton)
    assert 'mage "gold_0_1" of the comparison is not open' in widget.run.words.text()
    widget.run.open(folder / "runs")
    assert "is not a comparison" in widget.run.words.text()


def test_report_table_and_curve_are_saved(
    compared: None, widget: CompareWidget, masks: list[Labels], tmp_path: Path, qtbot: Any
) -> None:
    run(widget, qtbot)
    for ending in (".html", ".csv", ".png", ".svg"):
        widget.save(tmp_path / f"it{ending}")
        assert (tmp_path / f"it{ending}").stat().st_size > 10
        assert widget.note.text().startswith("Saved as")
    table = pd.read_csv(tmp_path / "it.csv")
    np.testing.assert_allclose(sorted(table["dice"]), [0.625, 0.915])
    widget.save(tmp_path / "it.docx")
    assert '".docx" is not an ending' in widget.note.text()
    qtbot.waitUntil(lambda: bool(widget.curve.plot.axes), timeout=20_000)
    for place in range(widget.curve.along.count()):
        widget.curve.along.setCurrentIndex(place)
        assert widget.curve.plot.axes


def test_the_network_widget_leads_here_and_takes_what_is_picked_here(
    viewer: Any, session: Session, qtbot: Any
) -> None:
    network = NetworkWidget(viewer)
    qtbot.addWidget(network)
    qtbot.mouseClick(network.compare_button, Qt.MouseButton.LeftButton)
    assert any("Compare" in name for name in viewer.window.dock_widgets)
    session.spec = NetworkSpec((2, 2), filters=4)
    assert network.field_px.value() == 44
    assert network.snap.text() == ""


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_comparison_with_real_workers() -> None:
    way = Path(__file__).with_name("compare_way.py")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(way)],
        capture_output=True, text=True, timeout=400, cwd=way.parents[2],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_its_folder_is_named_and_brings_the_masks_of_the_suggested_network(
    compared: None, widget: CompareWidget, masks: list[Labels], session: Session, qtbot: Any
) -> None:
    run(widget, qtbot)
    comparison = widget.comparing.comparison
    assert comparison is not None
    best = max(comparison.results, key=lambda each: each.mean()).contestant
    for index, name in enumerate(comparison.record.scored):
        mask = np.zeros(SHAPE, np.uint8)
        mask[:, : 10 + index] = 1
        write_labels(prediction_path(comparison.folder, best, index), mask)
        assert name.startswith("gold_")
    line = widget.folder_line
    assert line.folder == comparison.folder
    assert line.words.text().startswith("The comparison is in ")
    layers = set(session.viewer.layers)
    line.show_button.click()
    qtbot.waitUntil(line.show_button.isEnabled, timeout=20_000)
    new = set(session.viewer.layers) - layers
    # images and annotations are there already: the masks alone come in
    assert {layer.name for layer in new} == {
        f"{name}: field 44 px" for name in comparison.record.scored
    }
    assert sorted(int(layer.data[0].sum()) for layer in new) == [
        10 + index for index in range(len(new))
    ]
