"""The train widget: time, start, stop, and how it goes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
from napari.utils import progress
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_tem_rf.gui.checks import training_checks
from napari_tem_rf.gui.session import session_of
from napari_tem_rf.gui.shortcuts import key_of
from napari_tem_rf.gui.training import begin_training, resume_training
from napari_tem_rf.gui.widgets.curve import CurveCanvas
from napari_tem_rf.gui.widgets.parts import (
    Fold,
    PrimaryButton,
    Sentence,
    column,
    form,
    listen,
    row,
    sentence,
    time_left,
)
from napari_tem_rf.gui.work import Work
from napari_tem_rf.protocol import (
    PRESETS,
    EpochReport,
    NoteReport,
    PreviewReport,
    ProgressReport,
    Report,
)

_FIRST_EPOCHS = 100
_LONG_NOTE = 120
_PRESET_NAMES = {"default": "this program's", "sytwu2022": "Sytwu et al. 2022"}
_DEVICE_NAMES = {"auto": "fastest there is", "cpu": "CPU", "cuda": "CUDA", "mps": "Apple GPU"}


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
        self._bar_in_napari: progress | None = None

        self.train_button = PrimaryButton("Train")
        self.train_button.setToolTip(
            f"Train the picked network on everything that is annotated ({key_of('train')})"
        )
        self.train_button.clicked.connect(self.train)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip(
            f"Stop the training; the best weights so far are kept ({key_of('stop')})"
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
        self.length.setToolTip(tip)
        self.unit.setToolTip(tip)

        self.start = QComboBox()
        self.start.setToolTip(
            "new weights: start afresh. A run: go on from its weights with the annotation as it is "
            "now,\nwhich is quick after correcting a few strokes (same network only)."
        )
        self.start.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.start.setMinimumWidth(80)
        self.start.activated.connect(self._set_start)

        self.settings = Fold("Settings", self._settings())
        self.words = Sentence()
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
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
                row(self.train_button, self.stop_button, QLabel("for"), self.length, self.unit),
                row(QLabel("start from"), self.start, stretch=1),
                self.settings,
                self.bar,
                self.words,
                self.curve,
                self.note,
                self.resume_button,
            ],
        )
        self.length.valueChanged.connect(self._set_length)
        self.unit.activated.connect(self._set_unit)

        session = self.session
        for signal in (
            session.layers_changed,
            session.image_changed,
            session.annotation_changed,
            session.annotation_edited,
            session.unlabelled_changed,
            session.runs_folder_changed,
        ):
            listen(self, signal, self._show_checks)
        listen(self, session.spec_changed, self._show_starts)
        listen(self, session.plan_changed, self._show_plan)
        listen(self, session.runs_changed, self._show_starts)
        listen(self, session.start_changed, self._show_starts)
        listen(self, session.training_changed, self._on_training)
        listen(self, session.history_changed, self._on_history)
        listen(self, session.interrupted_changed, self._show_interrupted)
        listen(self, session.train_requested, self.train)
        listen(self, session.stop_requested, self.stop)
        self._show_plan()
        self._show_starts()
        self._on_history(session.history)
        self._on_training(session.training)
        self._show_interrupted()

    def _settings(self) -> QWidget:
        box = QWidget()
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip(
            "Seed of weights, crops and split: same seed, same result (on the CPU)"
        )
        self.seed.valueChanged.connect(lambda seed: self.session.change_plan(seed=seed))
        self.held_out = QSpinBox()
        self.held_out.setRange(0, 50)
        self.held_out.setSuffix(" %")
        self.held_out.setToolTip(
            "Part of the annotation that is not trained on but scored: whole images from three "
            "images on,\nblocks of each image below that; 0 for none"
        )
        self.held_out.valueChanged.connect(
            lambda percent: self.session.change_plan(validation=percent / 100)
        )
        self.preset = QComboBox()
        for name in PRESETS:
            self.preset.addItem(_PRESET_NAMES.get(name, name), name)
        self.preset.setToolTip(
            "The recipe: this program's own, or the protocol of Sytwu, Groschner, Scott (2022),\n"
            "which is slower and meant for comparison with the paper"
        )
        self.preset.activated.connect(self._set_preset)
        self.device = QComboBox()
        for name, title in _DEVICE_NAMES.items():
            self.device.addItem(title, name)
        self.device.setToolTip("Where to train")
        self.device.activated.connect(
            lambda _: self.session.change_plan(device=self.device.currentData())
        )
        self.folder = QLabel()
        self.folder.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.folder.setWordWrap(True)
        self.folder_button = QToolButton()
        self.folder_button.setText("...")
        self.folder_button.setToolTip("Choose the folder in which runs are kept")
        self.folder_button.clicked.connect(self._ask_folder)
        lines = form(box)
        lines.addRow("recipe", self.preset)
        lines.addRow("held out", self.held_out)
        lines.addRow("seed", self.seed)
        lines.addRow("device", self.device)
        lines.addRow("runs in", row(self.folder, self.folder_button, stretch=0))
        listen(self, self.session.runs_folder_changed, self._show_folder)
        self._show_folder(self.session.runs_folder)
        return box

    # plan

    def _show_plan(self, _plan: object = None) -> None:
        plan = self.session.plan
        parts = (self.length, self.unit, self.seed, self.held_out)
        for part in parts:
            part.blockSignals(True)
        if plan.seconds is None:
            self.unit.setCurrentText("epochs")
            self.length.setValue(plan.epochs or _FIRST_EPOCHS)
        elif self.unit.currentText() == "min":
            self.length.setValue(max(1, round(plan.seconds / 60)))
        else:
            self.unit.setCurrentText("s")
            self.length.setValue(round(plan.seconds))
        self.seed.setValue(plan.seed)
        self.held_out.setValue(round(100 * plan.validation))
        self.preset.setCurrentIndex(self.preset.findData(plan.preset))
        self.device.setCurrentIndex(self.device.findData(plan.device))
        for part in parts:
            part.blockSignals(False)
        self._show_checks()

    def _set_length(self, length: int) -> None:
        unit = self.unit.currentText()
        if unit == "epochs":
            self.session.change_plan(epochs=length, seconds=None)
        else:
            factor = 60 if unit == "min" else 1
            self.session.change_plan(epochs=None, seconds=float(length * factor))

    def _set_unit(self, _place: int) -> None:
        first = {"s": 20, "min": 2, "epochs": _FIRST_EPOCHS}[self.unit.currentText()]
        self.length.blockSignals(True)
        self.length.setValue(first)
        self.length.blockSignals(False)
        self._set_length(first)

    def _set_preset(self, _place: int) -> None:
        old = self.session.plan
        new = PRESETS[self.preset.currentData()]()
        if new.preset == "default":
            new = replace(new, epochs=old.epochs, seconds=old.seconds)
        self.session.plan = replace(new, seed=old.seed, device=old.device)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Keep runs in", str(self.session.runs_folder)
        )
        if folder:
            self.session.runs_folder = Path(folder)

    def _show_folder(self, folder: Path) -> None:
        self.folder.setText(str(folder))

    def _show_starts(self, _value: object = None) -> None:
        session = self.session
        fitting = [
            run for run in session.runs if run.spec == session.spec.with_classes(run.spec.classes)
        ]
        self.start.blockSignals(True)
        self.start.clear()
        self.start.addItem("new weights", None)
        for run in reversed(fitting):
            self.start.addItem(run.title, run.folder)
        if session.start is not None and session.start not in [run.folder for run in fitting]:
            session.start = None
        self.start.setCurrentIndex(max(0, self.start.findData(session.start)))
        self.start.setEnabled(bool(fitting))
        self.start.blockSignals(False)
        self._show_checks()

    def _set_start(self, place: int) -> None:
        self.session.start = self.start.itemData(place)

    # doing

    def train(self) -> None:
        """Start a training, or say why not."""
        stops = [check for check in training_checks(self.session) if check.stops]
        if stops:
            self.words.say(stops[0].sentence, "warning")
            return
        self.note.say("")
        try:
            begin_training(self.session)
        except (OSError, ValueError) as error:
            self.words.say(str(error), "error")

    def resume(self) -> None:
        """Take the interrupted training up again."""
        self.note.say("")
        resume_training(self.session)

    def stop(self) -> None:
        """Ask the training to stop; it keeps its best weights."""
        work = self.session.training
        if work is not None:
            work.stop()
            self.stop_button.setEnabled(False)
            self.words.say("Stopping; the best weights so far are kept.", "quiet")

    # showing

    def _show_checks(self, _value: object = None) -> None:
        if self.session.training is not None:
            return
        checks = training_checks(self.session)
        can_train = not any(check.stops for check in checks)
        self.train_button.setEnabled(can_train)
        if checks:
            self.words.say(checks[0].sentence, "warning" if can_train else "advice")
        else:
            self.words.say(self._ready(), "quiet")

    def _ready(self) -> str:
        history = self.session.history
        return sentence(history[-1].sentence) if history else "Ready to train."

    def _on_training(self, work: Work | None) -> None:
        goes_on = work is not None
        self.train_button.setVisible(not goes_on)
        self.stop_button.setVisible(goes_on)
        self.stop_button.setEnabled(work is not None and work.state == "running")
        self.bar.setVisible(goes_on)
        if work is None:
            self._end_bar()
            self._show_checks()
            return
        # busy until the first report says how far it is
        self.bar.setRange(0, 0)
        self.bar.setFormat("starting")
        self.words.say("Sending the images to the worker.", "quiet")
        work.reported.connect(self._on_report)
        work.failed.connect(self._on_failed)
        self._bar_in_napari = progress(total=1000, desc=work.name)

    def _on_report(self, report: Report) -> None:
        match report:
            case EpochReport():
                self.words.say(sentence(report.sentence), "plain")
                self._show_progress(None, report.seconds_left)
            case ProgressReport():
                self._show_progress(report.fraction, report.seconds_left)
                if report.sentence and not self.session.history:
                    self.words.say(sentence(report.sentence), "quiet")
            case NoteReport():
                self._say_note(report.sentence)
            case PreviewReport():
                pass  # `begin_training` shows it on the canvas

    def _say_note(self, words: str) -> None:
        """Show a note; of a long one what comes before the colon, the rest in the tooltip."""
        short = words.partition(": ")[0] if len(words) > _LONG_NOTE else words
        self.note.say(sentence(short), "quiet")
        self.note.setToolTip(sentence(words))
        if not self.session.history:
            self.words.say("Training goes on; the first epoch is not over yet.", "quiet")

    def _show_progress(self, fraction: float | None, seconds_left: float | None) -> None:
        if fraction is not None:
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * fraction))
        if seconds_left is not None:
            self.bar.setFormat(time_left(seconds_left))
        bar = self._bar_in_napari
        if bar is not None and fraction is not None:
            bar.update(max(0, round(1000 * fraction) - bar.n))

    def _end_bar(self) -> None:
        if self._bar_in_napari is not None:
            self._bar_in_napari.close()
            self._bar_in_napari = None

    def _show_interrupted(self, _interrupted: object = None) -> None:
        self.resume_button.setVisible(self.session.interrupted is not None)

    def _on_failed(self, words: str) -> None:
        self.note.say(sentence(words), "error")

    def _on_history(self, history: Any) -> None:
        self.curve.show_history(history)
