"""The train widget: time, start, stop, and how it goes."""

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QPushButton,
    QSpinBox,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_tem_rf.gui.layers.layers import unmarked
from napari_tem_rf.gui.pieces.activity_bar import ActivityBar
from napari_tem_rf.gui.pieces.bars import CalmBar
from napari_tem_rf.gui.pieces.garbage import tidy_at_rest
from napari_tem_rf.gui.pieces.parts import (
    Choice,
    Fold,
    PrimaryButton,
    Sentence,
    Tone,
    column,
    listen,
    row,
    sentence,
    time_left,
)
from napari_tem_rf.gui.pieces.preloading import MATPLOTLIB, preload
from napari_tem_rf.gui.pieces.shortcuts import key_of
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.gui.pieces.windows import canvas_of
from napari_tem_rf.gui.segment.curve import CurveCanvas
from napari_tem_rf.gui.segment.train_settings import TrainSettings
from napari_tem_rf.gui.segment.training import begin_training, resume_training
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.protocol import (
    FIRST_SECONDS,
    EpochReport,
    NoteReport,
    PreviewReport,
    ProgressReport,
    Report,
)

_FIRST_EPOCHS = 100
_LEARNING = (
    "It learns from what you painted, and the picture follows. Paint on meanwhile, or press Stop "
    "when it looks right."
)
_LONG_NOTE = 120
_WAIT_MS = 1000


class TrainWidget(QWidget):
    """Train the picked network on what is annotated, watch it, stop it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._waiting = QTimer(self)
        self._waiting.setInterval(_WAIT_MS)
        self._waiting.timeout.connect(self._say_waiting)

        self.train_button = PrimaryButton("Train")
        set_tip(
            self.train_button,
            f"Train the picked network on everything that is annotated ({key_of('train')})",
        )
        self.train_button.clicked.connect(self.train)
        self.stop_button = QPushButton("Stop")
        set_tip(
            self.stop_button,
            f"Stop the training; the best weights so far are kept ({key_of('stop')})",
        )
        self.stop_button.clicked.connect(self.stop)

        self.length = QSpinBox()
        self.length.setRange(1, 1_000_000)
        self.length.setFixedWidth(110)
        self.unit = QComboBox()
        self.unit.addItems(["s", "min", "epochs"])
        tip = (
            "How long to train: a time budget in seconds or minutes,\n"
            "or a number of epochs (rounds over what is annotated)"
        )
        set_tip(self.length, tip)
        set_tip(self.unit, tip)

        self.start = Choice()
        self.start.setToolTip(
            "simulated micrographs: the network has seen lattices, amorphous matter and dark\n"
            "particles already, which makes the most of a few strokes (for some networks).\n"
            "new weights: start afresh. A run: go on from its weights with the annotation as it\n"
            "is now, which is quick after correcting a few strokes (same network only)."
        )
        self.start.activated.connect(self._set_start)

        self.more = TrainSettings(self.session)
        self.words = Sentence()
        self._state = ""
        self._trouble = ""
        self.caution = Sentence()
        self.report = Sentence()
        self.bar = CalmBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self._activity = ActivityBar()
        self.curve = CurveCanvas()
        self.note = Sentence()
        self.resume_button = QPushButton("Go on from the last checkpoint")
        self.resume_button.setToolTip(
            "Take the training up where it was interrupted, with the same images and labels"
        )
        self.resume_button.clicked.connect(self.resume)

        column(
            self,
            [
                row(self.train_button, self.bar, self.stop_button, stretch=1),
                self.words,
                row(PlainLabel("train for"), self.length, self.unit),
                row(PlainLabel("start from"), self.start, stretch=1),
                Fold("Settings", self.more),
                self.caution,
                self.report,
                self.curve,
                self.note,
                self.resume_button,
            ],
        )
        self.length.valueChanged.connect(self._set_length)
        self.unit.activated.connect(self._set_unit)

        session = self.session
        session.watch(
            self,
            lambda now: (now.checks, now.activity.training, now.choices.run),
            self._show_checks,
        )
        session.watch(self, lambda now: now.choices.plan, self._show_plan)
        session.watch(self, lambda now: (now.starts, now.start), self._show_starts)
        session.watch(self, lambda now: now.activity.training, self._on_training)
        session.watch(self, lambda now: now.activity.history, self._on_history)
        session.watch(self, lambda now: now.activity.interrupted, self._show_interrupted)
        listen(self, session.part(Status).said, self._hear)
        listen(self, session.requested, self._on_request)
        listen(self, session.closed, self._waiting.stop)
        listen(self, session.closed, self._activity.end)
        now = session.situation
        self._show_plan(now)
        self._show_starts(now)
        self._on_history(now)
        self._on_training(now)
        self._show_interrupted(now)
        preload(self, MATPLOTLIB)  # for the curve
        tidy_at_rest(self, viewer)

    # plan

    def _show_plan(self, now: Situation) -> None:
        plan = now.choices.plan
        with signals_blocked(self.length):
            if plan.seconds is None:
                self.unit.setCurrentText("epochs")
                self.length.setValue(plan.epochs or _FIRST_EPOCHS)
            elif self.unit.currentText() == "min":
                self.length.setValue(max(1, round(plan.seconds / 60)))
            else:
                self.unit.setCurrentText("s")
                self.length.setValue(round(plan.seconds))

    def _set_length(self, length: int) -> None:
        unit = self.unit.currentText()
        if unit == "epochs":
            self.session.change_plan(epochs=length, seconds=None)
        else:
            factor = 60 if unit == "min" else 1
            self.session.change_plan(epochs=None, seconds=float(length * factor))

    def _set_unit(self, _place: int) -> None:
        first = {"s": round(FIRST_SECONDS), "min": 2, "epochs": _FIRST_EPOCHS}[
            self.unit.currentText()
        ]
        with signals_blocked(self.length):
            self.length.setValue(first)
        self._set_length(first)

    def _show_starts(self, now: Situation) -> None:
        with signals_blocked(self.start):
            self.start.clear()
            for each in now.starts:
                self.start.addItem(each.title, each.value)
            self.start.setCurrentIndex(max(0, self.start.findData(now.start)))
            self.start.setEnabled(self.start.count() > 1)

    def _set_start(self, place: int) -> None:
        self.session.start = self.start.itemData(place)

    # doing

    def train(self) -> None:
        """Start a training, or say why not; the keys are the canvas's then, for painting on."""
        now = self.session.refresh()
        if not now.can_train:
            self.words.say(now.checks[0].sentence, "warning")
            return
        self.note.say("")
        self._trouble = ""
        try:
            begin_training(self.session)
        except (OSError, ValueError) as error:
            self.words.say(str(error), "error")
        canvas = canvas_of(self.session.viewer)
        if canvas is not None:
            canvas.setFocus()

    def _on_request(self, name: str) -> None:
        if name == "train":
            self.train()
        elif name == "stop":
            self.stop()

    def resume(self) -> None:
        """Take the interrupted training up again."""
        self.note.say("")
        self._trouble = ""
        resume_training(self.session)

    def stop(self) -> None:
        """Ask the training to stop; it keeps its best weights."""
        work = self.session.training
        if work is not None:
            waiting = work.state == "waiting"
            self.stop_button.setEnabled(False)
            if not waiting:
                self._say("Stopping; what was learned so far is kept.", "quiet")
            work.stop()

    # showing

    def _show_checks(self, now: Situation) -> None:
        if now.activity.training is not None:
            return
        self.train_button.setEnabled(now.can_train)
        caution = now.checks[0].sentence if now.checks and now.can_train else ""
        self.caution.say(caution, "warning")
        if self._trouble:
            self._say(self._trouble, "error")
        else:
            self._say(_to_do(now), "plain" if now.can_train else "advice")

    def _say(self, words: str, tone: Tone = "plain") -> None:
        """Say how things are; once, so that what is said in the meantime can be read."""
        if words != self._state:
            self._state = words
            self._hear(words, tone)

    def _hear(self, words: str, tone: Tone) -> None:
        self.words.say(words, tone)
        set_tip(self.words, words)

    def _on_training(self, now: Situation) -> None:
        work = now.activity.training
        is_training = work is not None
        self.train_button.setVisible(not is_training)
        self.stop_button.setVisible(is_training)
        self.stop_button.setEnabled(work is not None and work.state != "stopping")
        self.bar.setVisible(is_training)
        if work is None:
            self._waiting.stop()
            self._activity.end()
            self.curve.hurry()
            self._show_checks(now)
            return
        # nothing that moves by itself: each step of it draws the canvas
        self.bar.setValue(0)
        self.bar.setFormat("starting")
        self.caution.say("")
        self.report.say("")
        self._say_waiting()
        self._waiting.start()
        self._activity.begin(unmarked(work.name))
        work.begun.connect(self._on_begun)
        work.reported.connect(self._on_report)
        work.failed.connect(self._on_failed)

    def _say_waiting(self) -> None:
        """Say what a training waits for; it may be a while until a worker takes it."""
        work = self.session.training
        if work is None or work.state != "waiting":
            self._waiting.stop()
        elif self.session.engine.state != "ready":
            self._say("Getting ready, which takes some seconds the first time.", "quiet")
        elif self._waiting.isActive():
            self.bar.setFormat("waiting")
            self._say(
                "Waiting for a free worker: other work is running there. Stop cancels this "
                "training.",
                "quiet",
            )
        else:
            self._say("Getting ready.", "quiet")

    def _on_begun(self) -> None:
        self._waiting.stop()
        self.bar.setFormat("starting")
        self._say("The images are being prepared.", "quiet")

    def _on_report(self, report: Report) -> None:
        match report:
            case EpochReport():
                self.report.say(sentence(report.sentence), "plain")
                self._say(_LEARNING)
                self._show_progress(None, report.seconds_left)
            case ProgressReport():
                self._show_progress(report.fraction, report.seconds_left)
                if report.sentence and not self.session.history:
                    self.report.say(sentence(report.sentence), "quiet")
            case NoteReport():
                self._say_note(report.sentence)
            case PreviewReport():
                pass  # `begin_training` shows it on the canvas

    def _say_note(self, words: str) -> None:
        """Show a note; of a long one what comes before the colon, the rest in the tooltip."""
        short = words.partition(": ")[0] if len(words) > _LONG_NOTE else words
        self.note.say(sentence(short), "quiet")
        set_tip(self.note, sentence(words))
        if not self.session.history:
            self._say(_LEARNING)

    def _show_progress(self, fraction: float | None, seconds_left: float | None) -> None:
        if fraction is not None:
            self.bar.setValue(round(1000 * fraction))
            self._activity.move(fraction)
        if seconds_left is not None:
            self.bar.setFormat(time_left(seconds_left))

    def _show_interrupted(self, now: Situation) -> None:
        self.resume_button.setVisible(now.activity.interrupted is not None)

    def _on_failed(self, words: str) -> None:
        work = self.session.training
        if work is not None and work.cancelled:
            self.note.say("Cancelled before it began.", "quiet")
        else:
            self._trouble = sentence(words)
            self.note.say(self._trouble, "error")

    def _on_history(self, now: Situation) -> None:
        history = now.activity.history
        self.report.say(sentence(history[-1].sentence) if history else "", "plain")
        self.curve.show_history(now.activity.history)
        if now.activity.training is None:
            self.curve.hurry()


def _to_do(now: Situation) -> str:
    """Say what can be done next, and why what is grey cannot."""
    if not now.can_train:
        words = now.checks[0].sentence
    elif now.choices.run is None:
        words = "Ready to train."
    else:
        return (
            "Look at the picture: paint where it is wrong and press Train again, or press Predict "
            "all for all images."
        )
    if now.choices.run is not None:
        return words
    grey = "Predict all follows" if now.scene.annotations else "Predict all and Export... follow"
    return f"{words} {grey} after the first training."
