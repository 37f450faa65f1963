"""A forest in the window: offered where it does as well, used and shown as a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_tem_rf import jobs
from napari_tem_rf.comparison import ComparisonPlan, run_comparison
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.gui.compare.dock import CompareWidget
from napari_tem_rf.gui.field.two_networks import subjects_of
from napari_tem_rf.gui.segment.network import NetworkWidget
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan

SHAPE = (71, 89)
FOREST = "random forest"


def discs(number: int) -> LabelledImage:
    rng = np.random.default_rng(number)
    rows, columns = np.indices(SHAPE)
    mask = (rows - 20 - 5 * number) ** 2 + (columns - 30 - 7 * number) ** 2 < 13**2
    pixels = (100 + 20 * mask + 5 * rng.standard_normal(SHAPE)).astype(np.float32)
    return LabelledImage(f"gold_{number}", pixels, mask.astype(np.uint8), (0.02, 0.02))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that hardly learned, and a forest: a comparison on disk."""
    folder = tmp_path_factory.mktemp("comparisons") / "comparison"
    plan = ComparisonPlan(
        (NetworkSpec((2,), filters=2),),
        seeds=(752,),
        training=TrainingPlan(epochs=1, crop_px=32, batch=2, device="cpu"),
        unlabelled="background",
        baselines=(FOREST,),
    )
    assert not run_comparison([discs(n) for n in range(4)], plan, folder).missing
    return folder


@pytest.fixture
def widget(
    viewer: Any, qtbot: Any, comparison: Path, monkeypatch: pytest.MonkeyPatch
) -> CompareWidget:
    monkeypatch.setattr(
        "napari_tem_rf.gui.session.work.Engine", lambda: InlineEngine(threaded=True)
    )
    image = discs(0)
    viewer.add_image(
        image.pixels, name=image.name, scale=(0.02, 0.02), units=("nm", "nm"),
        axis_labels=("y", "x"),
    )  # fmt: skip
    widget = CompareWidget(viewer)
    qtbot.addWidget(widget)
    widget.run.open(comparison)
    qtbot.waitUntil(lambda: bool(widget.table.rows.names), timeout=30_000)
    return widget


def test_a_forest_that_does_as_well_is_offered_and_used(
    widget: CompareWidget, session: Session, viewer: Any, qtbot: Any
) -> None:
    found = widget.comparing.comparison
    assert found is not None
    assert found.findings.good_baselines == (FOREST,)
    assert not widget.offer_button.isHidden()
    # the speed is the one that was measured
    (offer,) = found.findings.offers
    assert widget.offer.text() == f"{offer.sentence}."
    assert offer.sentence not in widget.findings.text()
    network, picked = NetworkWidget(viewer), session.spec
    result = ExportWidget(viewer)
    for each in (network, result):
        qtbot.addWidget(each)
    qtbot.mouseClick(widget.offer_button, Qt.MouseButton.LeftButton)
    assert "random forest predicts now" in widget.note.text()
    assert session.run is not None
    assert session.run.title.startswith("random forest, Dice ")
    assert session.spec == picked
    assert result.runs.currentText() == session.run.title
    # what is of networks alone leaves it out
    assert [subject.run for subject in subjects_of(session)] == [None]
    assert all(start.value != session.run.folder for start in session.situation.starts)

    result._predict_shown()
    qtbot.waitUntil(lambda: f"gold_0: {FOREST}" in viewer.layers, timeout=60_000)
    says = {"report": lambda report: None, "stopped": lambda: False}
    expected = jobs.predict_with_run(session.run.folder, discs(0).pixels, **says)
    qtbot.waitUntil(lambda: session.situation.activity.predicting is None, timeout=60_000)
    np.testing.assert_array_equal(viewer.layers[f"gold_0: {FOREST}"].data, expected.labels)


def test_a_forest_is_chosen_in_the_table_and_seen_beside_a_network(
    widget: CompareWidget, qtbot: Any
) -> None:
    rows = widget.table.rows
    place = rows.place_of(FOREST)
    assert place is not None
    widget.table.selectRow(place)
    assert widget.use_button.isEnabled()
    assert widget.use_button.text() == "Use the random forest"
    assert not widget.ensemble_button.isEnabled()
    columns = rows.columns
    assert {"object_f1_75", "ap_50", "panoptic_quality", "ap_50_inner"} <= set(columns)
    assert columns.index("ap_50_inner") > columns.index("seeds")
    signed = rows.data(rows.index(place, columns.index("count_error_percent")))
    assert signed[0] in "+-"
    widget.table.tick(rows.names)
    qtbot.waitUntil(lambda: widget.view.view.is_shown, timeout=60_000)
    widget.view.toggle()


def test_the_score_that_decides_is_a_setting(widget: CompareWidget) -> None:
    box = widget.plan.form.box("decides")
    assert box.currentText() == "Dice"
    box.setCurrentText("AP at 0.5")
    assert widget.plan.wishes().asked.decides == "ap_50"


def test_predictions_that_were_scored_come_again(comparison: Path) -> None:
    from napari_tem_rf.comparison import prediction_path, read_comparison

    opened = read_comparison(comparison)
    forest = opened.results[0]
    (run,) = opened.runs(FOREST)
    names = [each.image for each in forest.images]
    for place, name in enumerate(names):
        image = discs(int(name.removeprefix("gold_")))
        again = jobs.predict_with_run(
            run, image.pixels, report=lambda report: None, stopped=lambda: False
        )
        kept = read_labels(prediction_path(comparison, forest.contestant, place))
        np.testing.assert_array_equal(again.labels, kept)
