"""Running a comparison: begin, stop, continue, open an earlier one, and how far it is."""

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QProgressBar, QPushButton, QWidget

from napari_tem_rf.comparison import Comparison, ComparisonReport
from napari_tem_rf.gui.compare.comparing import Comparing
from napari_tem_rf.gui.compare.plan_part import PlanPart
from napari_tem_rf.gui.pieces.parts import (
    PrimaryButton,
    Sentence,
    column,
    listen,
    row,
    sentence,
    time_left,
)
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.protocol import EpochReport

__all__ = ["RunPart"]


class RunPart(QWidget):
    """The buttons that begin, stop and continue a comparison, with reason and progress beside.

    Signals
    -------
    begins()
        Another comparison is about to begin.
    """

    begins = Signal()

    def __init__(self, session: Session, plan: PlanPart) -> None:
        super().__init__()
        self.session, self.plan = session, plan
        self.comparing = session.part(Comparing)
        self.button = PrimaryButton("Compare")
        self.button.setToolTip("Train and score all of it, in a new folder")
        self.button.clicked.connect(self.compare)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop after the current epoch; what is done stays")
        self.stop_button.clicked.connect(self.comparing.stop)
        self.go_on_button = QPushButton("Go on")
        self.go_on_button.setToolTip("Train what is missing in the comparison that is shown")
        self.go_on_button.clicked.connect(self.go_on)
        self.open_button = QPushButton("Open...")
        self.open_button.setToolTip("Show a comparison of an earlier day, and continue it")
        self.open_button.clicked.connect(self._ask_folder)
        self.words = Sentence()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.running = Sentence(tone="quiet")
        self.failures = Sentence(tone="warning")
        column(
            self,
            [
                row(self.button, self.stop_button, self.go_on_button, self.open_button),
                self.words,
                self.bar,
                self.running,
                self.failures,
            ],
            spacing=4,
        )
        plan.looked.connect(self._show)
        listen(self, self.comparing.changed, self._show)
        listen(self, self.comparing.reported, self._on_report)
        session.watch(self, lambda now: (now.checks, now.activity.training), self._show)
        self._show()

    # doing

    def compare(self) -> None:
        """Begin a comparison, or say why not."""
        try:
            prepared, folder = self.plan.prepare()
        except ValueError as error:
            self.words.say(str(error), "warning")
            return
        self.begins.emit()
        self.comparing.begin(prepared.images, prepared.plan, folder, prepared.sources)

    def go_on(self) -> None:
        """Train what is missing in the comparison shown."""
        try:
            self.comparing.go_on()
        except ValueError as error:
            self.words.say(sentence(str(error)), "error")

    def open(self, folder: Path) -> None:
        """Show the comparison of a folder."""
        try:
            self.comparing.open(folder)
        except ValueError as error:
            self.words.say(sentence(str(error)), "error")
            return
        assert self.comparing.comparison is not None
        self.plan.show_comparison(self.comparing.comparison)

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(
            self, "Open a comparison", str(self.session.runs_folder)
        )
        if name:
            self.open(Path(name))

    # showing

    def _show(self, _change: object = None) -> None:
        comparing, comparison = self.comparing, self.comparing.comparison
        running = comparing.is_running
        missing = 0 if comparison is None else len(comparison.missing)
        obstacle = self.plan.obstacle
        self.plan.setEnabled(not running)
        self.button.setVisible(not running)
        self.button.setEnabled(not obstacle)
        self.stop_button.setVisible(running)
        self.stop_button.setEnabled(not comparing.is_stopping)
        self.go_on_button.setVisible(bool(missing) and not running)
        self.go_on_button.setEnabled(self.session.training is None)
        self.open_button.setVisible(not running)
        self.bar.setVisible(running)
        self.running.setVisible(running and bool(self.running.text()))
        if comparing.is_stopping:
            self.words.say("Stopping after the current epoch; what is done stays.", "quiet")
        elif running:
            self.words.say("")
        elif comparing.trouble:
            self.words.say(sentence(comparing.trouble), "error")
        elif obstacle and not missing:
            self.words.say(obstacle, "advice")
        elif comparison is not None and missing:
            total = len(comparison.record.contestants)
            self.words.say(
                f"{total - missing} of {total} are done: Go on trains the others, and Compare "
                "begins anew in another folder.",
                "plain",
            )
        else:
            self.words.say("" if comparison is None else f"Kept in {comparison.folder}.", "quiet")
        self._show_failures(comparison)

    def _show_failures(self, comparison: Comparison | None) -> None:
        said = []
        if comparison is not None:
            said = [f"{name}: {why}" for name, why in comparison.failed]
        if not said:
            self.failures.say("")
            return
        more = f" And {len(said) - 1} more." if len(said) > 1 else ""
        self.failures.say(f"Could not be done: {sentence(said[0])}{more}", "warning")

    def _on_report(self, said: ComparisonReport) -> None:
        self.bar.setValue(round(1000 * said.fraction))
        left = "" if said.seconds_left is None else f", {time_left(said.seconds_left)}"
        self.bar.setFormat(f"{said.done} of {said.total}{left}")
        if said.contestant is None:
            return
        name = f"{said.contestant.name}, seed {said.contestant.seed}"
        if said.failure:
            self.failures.say(f"{name} could not be done: {sentence(said.failure)}", "warning")
        elif said.result is not None and said.result.left_out:
            self.running.say(f"{name} is left out: {sentence(said.result.note)}", "quiet")
        elif said.result is None:
            epoch = said.report.sentence if isinstance(said.report, EpochReport) else ""
            if epoch or not self.running.text():
                self.running.say(f"{name}: {epoch or 'begins'}.", "quiet")
