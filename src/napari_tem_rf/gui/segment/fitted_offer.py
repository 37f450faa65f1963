"""A baseline that is expected to do as well as a network is offered: one press fits it."""

from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf import jobs
from napari_tem_rf.gui.pieces.parts import Sentence, column, row
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.measuring.study_findings import BaselineName
from napari_tem_rf.run_record import METHODS, RunRecord

__all__ = ["FittedOffer"]


class FittedOffer(QWidget):
    """A button that fits the baseline that is offered to the annotation; hidden where none is.

    What it makes is a run like any other, and becomes the one that predicts.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._method: BaselineName | None = None
        self._work: Work | None = None
        self.button = QPushButton()
        self.button.clicked.connect(self.fit)
        self.words = Sentence(tone="quiet")
        column(self, [row(self.button, self.words, stretch=1)])
        session.watch(self, lambda now: (now.can_train, now.checks), self._show_checks)
        self.offer(None)

    def offer(self, method: BaselineName | None) -> None:
        """Offer a baseline, or none; what is being fitted stays in sight."""
        self._method = method
        self.setHidden(method is None and self._work is None)
        if method is not None:
            self.button.setText(f"Fit a {METHODS[method]}")
            set_tip(
                self.button,
                f"Fit a {METHODS[method]} to what is annotated now, in one go, and let it "
                "predict. The network stays as it is picked",
            )
        self._show_checks(self.session.situation)

    def fit(self) -> None:
        """Fit what is offered to the annotation, or say why not."""
        method = self._method
        if method is None or self._work is not None:
            return
        now = self.session.refresh()
        if not now.can_train:
            self.words.say(now.checks[0].sentence, "warning")
            return
        asked = training_request(self.session)
        name = METHODS[method]

        def done(record: RunRecord | None) -> None:
            if record is not None:
                self.session.add_run(TrainedRun(asked.run, record))
                self.words.say(f"The {name} predicts now: press Predict under Result.", "good")

        def failed(sentence: str) -> None:
            self.words.say(sentence, "error")

        self.words.say(f"Fitting the {name}.", "quiet")
        self._work = self.session.submit(
            jobs.fit_run,
            jobs.fit_instead(asked, method),
            name=f"fitting a {name}",
            is_long=True,
            on_done=done,
            on_failed=failed,
        )
        self._work.ended.connect(self._ended, max_args=0)
        self._show_checks(self.session.situation)

    def _ended(self) -> None:
        self._work = None
        self._show_checks(self.session.situation)

    def _show_checks(self, now: Situation) -> None:
        self.button.setEnabled(now.can_train and self._work is None)
