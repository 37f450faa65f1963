"""Live: the prediction of the view follows each stroke, the newest wins, a line says what it is."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.marks import AnnotationMark, PredictionMark, mark_of
from napari_tem_rf.gui.segment.live import MOST_EARLY_PX, LivePart, view_step
from napari_tem_rf.gui.segment.predicting import Predicting
from napari_tem_rf.gui.segment.training import begin_training
from napari_tem_rf.gui.session.annotations import STROKES, start_annotation
from napari_tem_rf.gui.session.current_image import CurrentImage
from napari_tem_rf.gui.session.predictions import live_layer, show_live, show_prediction
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, PreviewReport

from .conftest import SHAPE


class Worker:
    """Holds no pixels at first, and answers with the class of the newest stroke everywhere."""

    def __init__(self) -> None:
        self.kept: dict[str, np.ndarray] = {}
        self.requests: list[jobs.LiveRequest] = []
        self.judgement: jobs.Judgement | None = None
        self.learners: list[str] = []
        self.dices: tuple[float, ...] = ()
        self.is_endless = False
        self.networks = Event()
        self.networks.set()
        self.fails_early = False

    def keep(self, key: str, pixels: Any, cleaning: Any, *, report: Any, stopped: Any) -> None:
        self.kept[key] = pixels

    def predict(self, request: jobs.LiveRequest, *, report: Any, stopped: Any) -> jobs.LiveAnswer:
        self.requests.append(request)
        if request.early and self.fails_early:
            raise ValueError("no forest grows here")
        while not (request.early or self.networks.wait(0.005) or stopped()):
            pass
        keys = dict.fromkeys([request.key, *(each.key for each in request.strokes)])
        missing = tuple(key for key in keys if key not in self.kept)
        if missing:
            return jobs.LiveAnswer(missing=missing)
        if not request.strokes:
            return jobs.LiveAnswer()
        rows, columns = request.window
        classes = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        for each in request.strokes:
            if each.key == request.key:
                inside = each.classes == 1
                at = (each.rows[inside] - rows.start, each.columns[inside] - columns.start)
                classes[at] = 1
        return jobs.LiveAnswer(classes)

    def judge(self, request: jobs.LiveRequest, *, report: Any, stopped: Any) -> Any:
        return self.judgement

    def learn(self, request: Any, learner: str, *, report: Any, stopped: Any) -> int:
        """Do worse, then better; show the network's prediction after each epoch."""
        self.learners.append(learner)
        shape = request.watched.pixels.shape
        for epoch, dice in enumerate(self.dices, start=1):
            report(EpochReport(epoch, epoch, 0.1, 0.1, 0.5, 0.5, dice, epoch, dice))
            report(PreviewReport(np.full(shape, 2, np.uint8), (0, 0), epoch))
        while self.is_endless and not stopped():
            time.sleep(0.005)
        return len(self.dices)


@pytest.fixture
def live_worker(worker: None, monkeypatch: pytest.MonkeyPatch) -> Worker:
    made = Worker()
    monkeypatch.setattr(jobs, "keep_live_image", made.keep)
    monkeypatch.setattr(jobs, "predict_live", made.predict)
    monkeypatch.setattr(jobs, "judge_live", made.judge)
    monkeypatch.setattr(jobs, "learn_on", made.learn)
    return made


@pytest.fixture
def part(live_worker: Worker, viewer: Any, qtbot: Any) -> LivePart:
    part = LivePart(viewer)
    qtbot.addWidget(part)
    return part


def stroke(layer: Labels, value: int, row: int, columns: slice = slice(20, 40)) -> None:
    """Paint as a hand does: the whole stroke is told of at its end."""
    at = np.arange(columns.start, columns.stop)
    where: tuple[Any, ...] = (np.full(len(at), row), at)
    if layer.ndim == 3:
        where = (np.full(len(at), layer._data_slice.point[0], int), *where)
    with layer.block_history():
        layer.data_setitem(where, value)


def settled(part: LivePart) -> Callable[[], bool]:
    session = part.session
    return lambda: not session.works and not part._soon.isActive() and part._shown is not None


def test_the_prediction_follows_each_stroke(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    qtbot.waitUntil(settled(part))
    layer = live_layer(session, session.image)
    assert layer is not None
    assert layer.name == "gold: live"
    assert tuple(layer.scale) == tuple(session.image.scale)
    np.testing.assert_array_equal(layer.data == 2, strokes.data == 2)
    assert set(np.unique(layer.data)) == {0, 2}  # background is see-through
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: bool(layer.data[50, 30] == 2))
    assert live_layer(session, session.image) is layer
    assert part.words.text().startswith("A quick prediction from 320 painted px is shown")


def test_the_pixels_travel_once(
    part: LivePart, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    qtbot.waitUntil(settled(part))
    (kept,) = live_worker.kept.values()
    assert kept.shape == SHAPE
    live_worker.kept = dict.fromkeys(live_worker.kept, kept)
    for row in (40, 45, 50):
        asked = len(live_worker.requests)
        stroke(strokes, 2, row)
        qtbot.waitUntil(lambda asked=asked: len(live_worker.requests) > asked)
        qtbot.waitUntil(settled(part))
    assert len(live_worker.kept) == 1
    # an answer without the networks and one with them; then one a stroke
    assert len(live_worker.requests) == 2 + 3


def test_the_newest_stroke_wins_and_nothing_queues(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    qtbot.waitUntil(settled(part))
    asked = len(live_worker.requests)
    for row in range(36, 60):
        stroke(strokes, 2, row)
    qtbot.waitUntil(lambda: len(live_worker.requests) > asked)
    qtbot.waitUntil(settled(part))
    layer = live_layer(session, session.image)
    assert layer is not None
    np.testing.assert_array_equal(layer.data == 2, strokes.data == 2)
    assert len(live_worker.requests) - asked < 5


def test_an_undo_is_followed(part: LivePart, session: Session, strokes: Labels, qtbot: Any) -> None:
    qtbot.waitUntil(settled(part))
    layer = live_layer(session, session.image)
    assert layer is not None
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: bool(layer.data[50, 30] == 2))
    strokes.undo()
    qtbot.waitUntil(lambda: bool(layer.data[50, 30] == 0))


def test_with_one_class_it_says_what_to_paint(
    part: LivePart, session: Session, image: Any, qtbot: Any
) -> None:
    layer = start_annotation(image, "ignore", [])
    session.viewer.add_layer(layer)
    qtbot.waitUntil(lambda: part.words.text() != "")
    assert part.words.text() == (
        "Live: paint a stroke on background and particle, and the prediction follows."
    )
    stroke(layer, 2, 30)
    qtbot.waitUntil(lambda: "too" in part.words.text())
    assert part.words.text() == (
        "Live: paint a stroke on background too; one class says nothing yet."
    )
    assert live_layer(session, image) is None


def test_a_frame_of_a_stack_has_its_own_prediction(
    part: LivePart, viewer: Any, session: Session, qtbot: Any
) -> None:
    stack = viewer.add_image(np.random.default_rng(3).normal(size=(3, *SHAPE)), name="stack")
    session.image = stack
    layer = start_annotation(stack, "ignore", [])
    layer.data[1, 5:9, 10:30] = 1
    viewer.add_layer(layer)
    viewer.dims.set_current_step(0, 1)
    stroke(layer, 2, 50)
    found = lambda: live_layer(session, stack)  # noqa: E731
    qtbot.waitUntil(lambda: found() is not None and bool(found().data[1, 50, 30] == 2))
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: part._shown is not None and part._shown.frame == 2)
    assert not found().data[2].any()  # this worker tells only what is painted on the frame
    assert not found().data[0].any()


def test_strokes_of_all_images_teach_the_current_one(
    part: LivePart, viewer: Any, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    qtbot.waitUntil(settled(part))
    other = viewer.add_image(np.random.default_rng(4).normal(size=SHAPE), name="silver")
    session.image = other
    layer = start_annotation(other, "ignore", [])
    viewer.add_layer(layer)
    session.annotation = layer
    stroke(layer, 2, 20)
    qtbot.waitUntil(lambda: live_layer(session, other) is not None)
    request = live_worker.requests[-1]
    assert len({each.key for each in request.strokes}) == 2
    assert request.key in live_worker.kept
    assert len(live_worker.kept) == 2


def test_an_answer_for_an_image_that_is_left_shows_nothing(
    part: LivePart, viewer: Any, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    gold = session.image
    CurrentImage(session)
    qtbot.waitUntil(settled(part))
    layer, asked = live_layer(session, gold), part._shown
    assert layer is not None
    other = viewer.add_image(np.random.default_rng(4).normal(size=SHAPE), name="silver")
    session.image = other
    assert not layer.visible
    # a busy loop comes to the answer before it comes to what follows the view
    part._show(asked, np.ones(SHAPE, np.uint8), part._latest.ask())
    assert not layer.visible
    session.image = gold
    assert layer.visible
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: bool(layer.data[50, 30] == 2))


def test_the_tick_ends_it(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    qtbot.waitUntil(settled(part))
    layer = live_layer(session, session.image)
    assert layer is not None
    part.tick.setChecked(False)
    assert not layer.visible
    assert part.words.text() == ""
    asked = len(live_worker.requests)
    stroke(strokes, 2, 50)
    part.follow()
    qtbot.wait(3 * part._soon.interval())
    assert len(live_worker.requests) == asked
    part.tick.setChecked(True)
    qtbot.waitUntil(lambda: bool(layer.data[50, 30] == 2))
    assert layer.visible


def test_a_mask_waits_for_train(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any
) -> None:
    session.unlabelled = "background"
    part.follow()
    assert part.words.text() == "Live follows strokes; a finished mask needs Train."


def test_while_train_runs_no_stroke_is_answered(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    qtbot.waitUntil(settled(part))
    layer = live_layer(session, session.image)
    assert layer is not None
    session.note(training=SimpleNamespace(name="training", state="running"))
    assert layer.visible  # until there is another one
    assert part.words.text() == "Train is running: its own prediction follows."
    session.note(training=None)
    asked = len(live_worker.requests)
    part.follow()
    qtbot.wait(3 * part._soon.interval())
    assert len(live_worker.requests) == asked  # until the next stroke
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: bool(layer.data[50, 30] == 2))


def test_what_train_and_predict_say_is_seen_in_place_of_the_quick_prediction(
    part: LivePart, session: Session, viewer: Any, strokes: Labels, qtbot: Any
) -> None:
    gold = session.image
    assert gold is not None

    def seen() -> list[str]:
        session.refresh()
        return [layer.name for layer in session.situation.scene.predictions if layer.visible]

    def train() -> None:
        begin_training(session)
        qtbot.waitUntil(lambda: not session.works and session.predicting is None)

    other = viewer.add_image(np.random.default_rng(4).normal(size=SHAPE), name="silver")
    session.image = gold
    # each time the quick prediction comes between
    for row in (50, 52):
        stroke(strokes, 2, row)
        qtbot.waitUntil(lambda: seen() == ["gold: live"])
        train()
        assert seen() == ["gold: field 200 px"]
    # and where another image is looked at meanwhile
    stroke(strokes, 2, 54)
    qtbot.waitUntil(lambda: seen() == ["gold: live"])
    session.image = other
    Predicting(session, session.run).begin([(gold, 0), (other, 0)])
    qtbot.waitUntil(lambda: not session.works and session.predicting is None)
    assert seen() == ["silver: field 200 px"]
    session.image = gold
    assert seen() == ["gold: field 200 px"]


def test_a_corrected_live_prediction_is_the_users(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any
) -> None:
    qtbot.waitUntil(settled(part))
    layer = live_layer(session, session.image)
    assert layer is not None
    assert isinstance(mark_of(layer), PredictionMark)
    stroke(layer, 2, 55)
    assert isinstance(mark_of(layer), AnnotationMark)
    corrected = layer.data.copy()
    session.annotation = strokes
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: live_layer(session, session.image) is not None)
    np.testing.assert_array_equal(layer.data, corrected)


def test_what_fails_is_said(
    part: LivePart, strokes: Labels, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    qtbot.waitUntil(settled(part))

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("the image holds only NaN")

    monkeypatch.setattr(jobs, "predict_live", fail)
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: "only NaN" in part.words.text())


def test_what_a_run_predicted_comes_after_what_follows_the_strokes(
    session: Session, image: Any, tmp_path: Path
) -> None:
    """The last one is what *Export* offers first."""
    labels = np.full(SHAPE, 2, np.uint8)
    spec = NetworkSpec(pools=(2, 2), filters=4)
    of_run = show_prediction(session, image, labels, STROKES, spec, run=tmp_path)
    live = show_live(session, image, labels, STROKES)
    assert session.refresh().scene.predictions == (live, of_run)


def rested(part: LivePart) -> None:
    """Let the time pass after which a hand rests."""
    part._rest.setInterval(0)


def test_the_network_takes_over_once_it_does_better(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    rested(part)
    live_worker.judgement = jobs.Judgement(0.7, 0.4)
    live_worker.dices = (0.6, 0.9)
    qtbot.waitUntil(lambda: part.learning.is_over)
    layer = live_layer(session, session.image)
    assert layer is not None
    assert (layer.data == 2).all()
    assert part.words.text() == (
        "The network's prediction is shown: the network does better on strokes held back "
        "(Dice 0.90 against 0.70); it gets no better."
    )
    assert session.runs == ()
    assert session.training is None


@pytest.mark.parametrize("dice", [0.6, 0.7])
def test_a_network_that_does_no_better_is_not_shown(
    part: LivePart,
    session: Session,
    strokes: Labels,
    qtbot: Any,
    live_worker: Worker,
    dice: float,
) -> None:
    rested(part)
    live_worker.judgement = jobs.Judgement(0.7, 0.4)
    live_worker.dices = (dice,)  # with a loss of 0.5
    qtbot.waitUntil(lambda: part.learning.is_over)
    assert not part.learning.is_better
    layer = live_layer(session, session.image)
    assert layer is not None
    np.testing.assert_array_equal(layer.data == 2, strokes.data == 2)
    assert part.words.text().startswith("A quick prediction from 300 painted px is shown: the")


def test_a_stroke_sends_the_network_to_the_newest_strokes(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    rested(part)
    live_worker.judgement = jobs.Judgement(0.7, 0.4)
    live_worker.dices, live_worker.is_endless = (0.9,), True
    qtbot.waitUntil(lambda: part.learning.is_better)
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: len(live_worker.learners) == 2)
    assert len(set(live_worker.learners)) == 1  # its weights go on
    assert len([work for work in session.works if work.kind == "training"]) <= 2
    part.tick.setChecked(False)
    qtbot.waitUntil(lambda: not session.works)


def test_the_stop_key_and_train_end_the_learning(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    rested(part)
    live_worker.judgement = jobs.Judgement(0.7, 0.4)
    live_worker.dices, live_worker.is_endless = (0.9,), True
    qtbot.waitUntil(lambda: part.learning.is_better)
    session.requested.emit("stop")
    qtbot.waitUntil(lambda: not session.works)
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: part.learning.is_learning)
    begin_training(session)
    qtbot.waitUntil(lambda: session.training is None and session.predicting is None)
    assert len(session.runs) == 1
    assert not part.learning.is_learning


def test_with_too_few_strokes_to_judge_by_it_says_so(
    part: LivePart, strokes: Labels, qtbot: Any
) -> None:
    rested(part)
    qtbot.waitUntil(lambda: "paint more of each class" in part.words.text())


def test_a_large_view_is_seen_in_blocks() -> None:
    """1.2 million px at a time: 4096 x 4096 px are 1024 x 1024 blocks of 4 px."""
    assert view_step((slice(0, 512), slice(0, 512)), 1) == 1
    assert view_step((slice(0, 4096), slice(0, 4096)), 1) == 4
    assert view_step((slice(0, 4096), slice(0, 4096)), 4) == 1
    assert view_step((slice(1000, 1700), slice(0, 900)), 1) == 1


def test_a_first_answer_without_the_networks_comes_before_theirs(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    live_worker.networks.clear()  # they are not loaded yet
    qtbot.waitUntil(lambda: part.words.text().startswith("A first"))
    assert part.words.text() == (
        "A first prediction from grey level and texture of 300 painted px is shown; a better one "
        "follows in a moment."
    )
    layer = live_layer(session, session.image)
    assert layer is not None
    assert layer.visible
    np.testing.assert_array_equal(layer.data == 2, strokes.data == 2)
    assert part._shown is None  # nothing is judged by it, and no network begins to learn
    live_worker.networks.set()
    qtbot.waitUntil(settled(part))
    assert part.words.text().startswith("A quick prediction from 300 painted px is shown;")
    assert [each.early for each in live_worker.requests] == [True, False]
    stroke(strokes, 2, 50)
    qtbot.waitUntil(lambda: bool(layer.data[50, 30] == 2))
    assert not live_worker.requests[-1].early


def test_without_a_first_answer_the_networks_come_all_the_same(
    part: LivePart, session: Session, strokes: Labels, qtbot: Any, live_worker: Worker
) -> None:
    live_worker.fails_early = True
    qtbot.waitUntil(settled(part))
    assert part.words.text().startswith("A quick prediction from 300 painted px is shown;")


def test_the_first_answer_sees_large_views_in_larger_blocks() -> None:
    window = (slice(1000, 1700), slice(0, 900))
    assert view_step(window, 1) == 1
    assert view_step(window, 1, MOST_EARLY_PX) == 2  # 630,000 px are 157,500 blocks
