"""How good predictions are expected to be, in the window: the line, the list, the worst first."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_tem_rf import jobs
from napari_tem_rf.gui.segment.expected import ExpectedWidget, dot, expectation_in_words, next_words
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.expectations import Expectations
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.expected_dice import ExpectedDice, Trust, cannot_judge

from .conftest import fake_train

BASIS = "Dice 0.90 on held-out masks"
GOOD = ExpectedDice(0.9, 0.85, 0.94, False, (), BASIS)
NOISY = ExpectedDice(0.61, 0.4, 0.8, True, ("twice the noise, beside its contrast",), BASIS)
BAD = ExpectedDice(0.3, 0.1, 0.5, True, ("pixels 1.25 times as large",), BASIS)


@pytest.fixture
def answers(worker: None, monkeypatch: pytest.MonkeyPatch) -> dict[int, ExpectedDice]:
    """What is expected of an image, by the first of its pixels."""
    expected = {0: GOOD, 1: BAD, 2: NOISY}

    def predict(run: Path, pixels: Any, *_: Any, **__: Any) -> jobs.PredictionResult:
        labels = np.zeros(pixels.shape, np.uint8)
        return jobs.PredictionResult(labels, None, expected=expected[int(pixels[0, 0])])

    monkeypatch.setattr(jobs, "predict_with_run", predict)
    return expected


@pytest.fixture
def run(session: Session, strokes: Labels) -> TrainedRun:
    request = training_request(session)
    record = fake_train(request, report=lambda _: None, stopped=lambda: False)
    run = TrainedRun(request.run, record)
    session.add_run(run)
    return run


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> ExportWidget:
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def add(viewer: Any, number: int, name: str) -> Image:
    return viewer.add_image(np.full((31, 29), number, np.float32), name=name)


def shown(widget: ExpectedWidget) -> list[str]:
    return [widget.images.item(place).text() for place in range(widget.images.count())]


def test_all_predicted_images_are_listed_the_worst_first(
    answers: Any, run: TrainedRun, widget: ExportWidget, viewer: Any, session: Session, qtbot: Any
) -> None:
    viewer.layers.clear()
    images = [add(viewer, number, name) for number, name in enumerate(("clear", "far", "noisy"))]
    session.image = images[0]
    expected = widget.expected
    assert not expected.isVisibleTo(widget)
    qtbot.mouseClick(widget.all_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=10_000)
    assert shown(expected) == [
        "far: 0.30 (0.10 to 0.50)",
        "noisy: 0.61 (0.40 to 0.80)",
        "clear: 0.90 (0.85 to 0.94)",
    ]
    assert widget.words.text().endswith(
        "2 are expected to be worse than in training: annotate far next."
    )
    assert expected.words.text() == (
        "Expected Dice 0.90 (0.85 to 0.94), about as good as in training."
    )
    expected.fold.open()
    assert expected.images.maximumHeight() < 120  # three lines
    expected.images.itemClicked.emit(expected.images.item(0))
    assert session.image is images[1]
    assert expected.words.text() == (
        "Expected Dice 0.30 (0.10 to 0.50), of little use: pixels 1.25 times as large."
    )
    assert BASIS in expected.words.toolTip()
    # what is closed is not listed, and an image that was not predicted has no line
    viewer.layers.remove(images[1])
    session.image = images[2]
    assert "twice the noise" in expected.words.text()
    session.image = add(viewer, 0, "another")
    assert not expected.words.isVisibleTo(expected)
    assert not expected.dot.isVisibleTo(expected)


def test_frames_of_a_series_have_their_own_line(
    answers: Any, run: TrainedRun, widget: ExportWidget, viewer: Any, session: Session, qtbot: Any
) -> None:
    series = viewer.add_image(
        np.arange(3, dtype=np.float32)[:, None, None] + np.zeros((1, 31, 29), np.float32),
        name="series",
    )
    session.image = series
    widget._predict([(series, frame) for frame in range(3)])
    qtbot.waitUntil(lambda: session.predicting is None, timeout=10_000)
    assert [each.split(":")[0] for each in shown(widget.expected)] == [
        "series [1]",
        "series [2]",
        "series [0]",
    ]
    widget.expected.images.itemClicked.emit(widget.expected.images.item(1))
    assert session.frame == 2
    assert "twice the noise" in widget.expected.words.text()


def test_what_cannot_be_judged_is_said(session: Session, image: Image) -> None:
    old = cannot_judge("the run does not say what it was trained on")
    assert expectation_in_words(old) == (
        "Expected Dice not known: the run does not say what it was trained on."
    )
    beyond = ExpectedDice(None, None, None, True, ("pixels 9.00 times as large",), "it is too far")
    assert expectation_in_words(beyond) == (
        "Expected Dice not known, worse than in training: it is too far; pixels 9.00 times as "
        "large."
    )
    little = replace(GOOD, dice=0.85, reasons=("pixels 1.25 times as large",))
    assert "not much worse than in training: pixels 1.25" in expectation_in_words(little)
    kept = session.part(Expectations)
    kept.keep(image, 0, Path("run"), old)
    assert kept.of(image, 0, Path("run")).expected is old
    assert kept.of(image, 0, Path("other")) is None
    assert next_words(kept.worst_first(Path("run"))) == ""
    kept.keep(image, 0, Path("run"), None)
    assert kept.worst_first(Path("run")) == []


@pytest.mark.parametrize("trust", ["good", "doubtful", "bad", "unknown"])
def test_dots_have_colours_of_their_own(qtbot: Any, trust: Trust) -> None:
    colors = {
        each: dot(each).pixmap(24, 24).toImage().pixelColor(12, 12).name()  # type: ignore[arg-type]
        for each in ("good", "doubtful", "bad", "unknown")
    }
    assert len(set(colors.values())) == 4
    assert colors[trust] != "#000000"
