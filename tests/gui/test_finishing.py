"""The form "Finish the mask": what a run suggests, one tick, and the shown prediction follows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.marks import image_mark_of
from napari_tem_rf.gui.segment import refinishing
from napari_tem_rf.gui.segment.expected import ExpectedWidget
from napari_tem_rf.gui.segment.finishing import FinishingWidget
from napari_tem_rf.gui.segment.predicting import Predicting
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.expected_dice import ExpectedDice
from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing, finish_prediction

from .conftest import SHAPE, fake_train

SUGGESTED = Finishing(smallest_px=6, certainty=0.7)


def mask() -> np.ndarray:
    """Return class indices: a particle, and a speck."""
    classes = np.zeros(SHAPE, np.uint8)
    classes[20:40, 20:40] = 1
    classes[50:52, 60:62] = 1
    return classes


@pytest.fixture
def asked(worker: None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let predictions be the mask above; keep how they were asked to be finished."""
    asked: list[Any] = []

    def predict(
        run: Any,
        pixels: Any,
        tile_px: Any,
        probabilities: bool,
        device: str,
        resampling: Any,
        finishing: Finishing,
        keep: bool,
        *_: Any,
        report: Any,
        stopped: Any,
    ) -> jobs.PredictionResult:
        asked.append(finishing)
        classes = mask()
        shares = (classes * 255)[None]
        finished = finish_prediction(classes, shares, finishing)
        expected = ExpectedDice(0.9, 0.8, 0.95, False, (), "held-out masks")
        return jobs.PredictionResult(
            2 * finished, None, (), classes, shares, finishing, expected=expected
        )

    monkeypatch.setattr(jobs, "predict_with_run", predict)
    return asked


@pytest.fixture
def run(session: Session, strokes: Labels) -> TrainedRun:
    request = training_request(session)
    record = fake_train(request, report=lambda _: None, stopped=lambda: False)
    record = replace(record, finishing=SUGGESTED, finishing_reason="five particles are annotated")
    run = TrainedRun(request.run, record)
    session.add_run(run)
    return run


def prediction(session: Session) -> Labels:
    (layer,) = session.refresh().scene.predictions
    return layer


def predicted(
    session: Session, image: Image, run: TrainedRun, asked: list[Any], qtbot: Any
) -> Labels:
    """Predict the image and return its mask."""
    Predicting(session, run).begin([(image, 0)])
    qtbot.waitUntil(lambda: session.predicting is None and bool(asked))
    return prediction(session)


def test_the_form_shows_what_the_run_suggests_and_why(viewer: Any, run: TrainedRun) -> None:
    widget = FinishingWidget(viewer)
    assert widget.form.plan == SUGGESTED
    assert widget.form.box("smallest_px").value() == 6
    assert widget.form.box("certainty").value() == 70
    assert "five particles are annotated" in widget.reason.text()
    # 6 px of the geometric mean of 0.02 and 0.025 nm
    assert "0.134 nm" in widget.reason.text()
    assert widget.as_suggested.isHidden()


def test_without_a_run_it_says_where_it_comes_from(viewer: Any) -> None:
    widget = FinishingWidget(viewer)
    assert not widget.form.isEnabled()
    assert "train a network, or open a run" in widget.reason.text()


def test_one_tick_shows_the_mask_as_it_was_decided(
    viewer: Any, session: Session, image: Image, run: TrainedRun, asked: list[Any], qtbot: Any
) -> None:
    widget, expected = FinishingWidget(viewer), ExpectedWidget(viewer)
    qtbot.addWidget(expected)
    layer = predicted(session, image, run, asked, qtbot)
    assert asked == [SUGGESTED]
    judged = expected.words.text()
    assert judged == "Expected Dice 0.90 (0.80 to 0.95), about as good as in training."
    assert np.count_nonzero(layer.data) == 400
    assert image_mark_of(layer).finishing == SUGGESTED

    widget.form.box("enabled").click()
    qtbot.waitUntil(lambda: np.count_nonzero(layer.data) == 404)
    np.testing.assert_array_equal(layer.data, 2 * mask())
    assert expected.words.text().startswith(f"{judged} That was before")
    assert not session.situation.finishing.enabled
    assert not image_mark_of(layer).finishing.enabled
    assert widget.form.box("smallest_px").isHidden()
    assert "as the network decided" in widget.reason.text()

    widget.as_suggested.click()
    qtbot.waitUntil(lambda: np.count_nonzero(layer.data) == 400)
    assert session.situation.finishing == SUGGESTED
    assert expected.words.text() == judged
    assert len(asked) == 1  # the network was not asked again


def test_other_orientations_ask_the_network_again(
    viewer: Any, session: Session, image: Image, run: TrainedRun, asked: list[Any], qtbot: Any
) -> None:
    widget = FinishingWidget(viewer)
    layer = predicted(session, image, run, asked, qtbot)
    choice = widget.form.box("orientations")
    choice.setCurrentIndex(choice.findText("two"))
    qtbot.waitUntil(lambda: len(asked) == 2 and not session.works)
    assert asked[1] == replace(SUGGESTED, orientations="two")
    assert image_mark_of(layer).finishing == asked[1]
    assert "1 shown mask finished anew" in widget.words.text()

    widget.form.box("smallest_px").setValue(40)  # the same orientations: nobody is asked
    qtbot.waitUntil(lambda: not layer.data.any())
    assert len(asked) == 2
    widget.form.box("enabled").click()  # off is off: the network decides on the image as it lies
    qtbot.waitUntil(lambda: len(asked) == 3 and np.count_nonzero(layer.data) == 404)
    assert asked[2].asks_for == "one"


def test_what_is_chosen_holds_for_the_next_prediction_and_the_live_one(
    viewer: Any, session: Session, image: Image, run: TrainedRun, asked: list[Any], qtbot: Any
) -> None:
    widget = FinishingWidget(viewer)
    widget.form.box("smallest_px").setValue(40)
    chosen = replace(SUGGESTED, smallest_px=40)
    assert session.situation.finishing == chosen
    watched = training_request(session).watched
    assert watched is not None
    assert watched.finishing == chosen
    Predicting(session, run).begin([(image, 0)])
    qtbot.waitUntil(lambda: session.predicting is None and bool(asked))
    assert asked == [chosen]
    assert not prediction(session).data.any()


def test_a_run_that_says_nothing_is_asked_for_its_annotation(
    viewer: Any, session: Session, run: TrainedRun, qtbot: Any
) -> None:
    session.add_run(
        TrainedRun(run.folder, replace(run.record, finishing=UNFINISHED, finishing_reason=""))
    )
    widget = FinishingWidget(viewer)
    assert not widget.form.plan.enabled
    widget.form.box("enabled").click()
    qtbot.waitUntil(lambda: session.situation.finishing.changes_something)
    assert "receptive field" in widget.reason.text()


def test_a_layer_that_was_corrected_or_closed_is_left_alone(
    viewer: Any, session: Session, image: Image, run: TrainedRun, asked: list[Any], qtbot: Any
) -> None:
    widget = FinishingWidget(viewer)
    layer = predicted(session, image, run, asked, qtbot)
    layer.name = "mine"
    viewer.layers.selection = [layer]
    before = layer.data.copy()
    widget.form.box("enabled").click()
    qtbot.waitUntil(lambda: not session.works)
    np.testing.assert_array_equal(layer.data, before)


def test_memory_is_bounded(
    session: Session, viewer: Any, image: Image, run: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinishing, "MOST_BYTES", 5 * mask().nbytes)
    kept = session.part(refinishing.Refinishing)
    for frame in range(4):
        classes = mask()
        result = jobs.PredictionResult(classes, None, (), classes, classes[None], SUGGESTED)
        kept.keep(image, frame, run, result)
    assert kept.frames == 2
