"""The network that learns on in the background while strokes are painted."""

from dataclasses import replace

from psygnal import Signal

from napari_tem_rf import jobs
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.protocol import EpochReport, PreviewReport, Report, default_plan

__all__ = ["LearningOn"]

LONGEST_S = 300.0
PATIENCE_EPOCHS = 6


class LearningOn:
    """Lets the training worker learn from the newest strokes, round after round, one at a time.

    It takes the place of the quick prediction once it does better than that on strokes that
    neither learned from: a higher Dice, or the same to two digits and a lower loss.
    """

    changed = Signal()
    """It does better or worse than before, or ended."""
    predicted = Signal(object)
    """A prediction of the watched image came (`PreviewReport`) while it does better."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._learner = f"live {id(session)}"
        self._work: Work | None = None
        self.quick: jobs.Judgement | None = None
        self.network: jobs.Judgement | None = None
        self.is_over = False
        self.trouble = ""

    @property
    def is_learning(self) -> bool:
        """Whether a round is going on."""
        return self._work is not None

    @property
    def is_better(self) -> bool:
        """Whether the network does better than the quick prediction."""
        mine, quick = self.network, self.quick
        if mine is None or quick is None:
            return False
        return (round(mine.dice, 2), -mine.loss) > (round(quick.dice, 2), -quick.loss)

    def begin(self, quick: jobs.Judgement) -> None:
        """Learn from the strokes as they are now, until that gets no better."""
        self.stop()
        self.quick, self.network, self.is_over, self.trouble = quick, None, False, ""
        request = training_request(self._session)
        plan = default_plan(
            seconds=LONGEST_S,
            patience=PATIENCE_EPOCHS,
            seed=request.plan.seed,
            device=request.plan.device,
        )

        def on_report(report: Report) -> None:
            if self._work is not work:
                return
            if isinstance(report, EpochReport) and report.validation_dice is not None:
                loss = report.validation_loss
                assert loss is not None
                self.network = jobs.Judgement(report.validation_dice, loss)
                self.changed.emit()
            elif isinstance(report, PreviewReport) and self.is_better:
                self.predicted.emit(report)

        def on_ended(_work: Work) -> None:
            if self._work is work:
                self._work, self.is_over, self.trouble = None, True, work.error
                self.changed.emit()

        work = self._session.submit(
            jobs.learn_on,
            replace(request, plan=plan),
            self._learner,
            name="learning from strokes",
            is_long=True,
            on_report=on_report,
        )
        self._work = work
        work.ended.connect(on_ended)

    def stop(self) -> None:
        """End the round; what was learned is where the next one begins."""
        work, self._work = self._work, None
        if work is not None:
            work.stop()
