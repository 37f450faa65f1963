"""How predicted masks are finished: the form, what is suggested, and why."""

from dataclasses import replace
from functools import partial

import napari
from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf import jobs
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import Sentence, column, listen, row, sentence
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.segment.refinishing import Refinishing
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.measuring.finishing import Finishing, nm_sentence
from napari_tem_rf.measuring.finishing_suggestion import Suggestion

_NOT_PREDICTED = (
    "It holds for every mask that is predicted from now on; series on disk keep theirs until they "
    "are predicted again."
)


class FinishingWidget(QWidget):
    """Specks, holes and outline of predicted masks: as the run suggests, or as chosen here.

    What is changed shows at once on the predictions of this session, without predicting anew.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._latest = Latest()
        self._suggested: dict[str, Suggestion] = {}
        self.refinishing = self.session.part(Refinishing)

        self.form = Form(self.session.situation.finishing)
        self.form.changed.connect(self._set)
        self.as_suggested = QPushButton("As suggested")
        set_tip(self.as_suggested, "Finish masks as the run suggests again")
        self.as_suggested.clicked.connect(self._reset)
        self.reason = Sentence()
        self.words = Sentence()

        column(self, [self.form, self.reason, row(self.as_suggested), self.words])
        self.session.watch(
            self,
            lambda now: (now.finishing, now.choices.run, now.choices.finishing),
            self._show,
        )
        listen(self, self.refinishing.said, partial(self.words.say, tone="quiet"))
        self._show(self.session.situation)

    def _show(self, now: Situation) -> None:
        run, finishing = now.choices.run, now.finishing
        self.form.show_plan(finishing)
        self.form.setEnabled(run is not None)
        changed = now.choices.finishing is not None
        self.as_suggested.setVisible(changed)
        if run is None:
            self.reason.say("A run suggests it: train a network, or open a run.", "quiet")
            return
        record = run.record
        said = []
        if finishing.changes_something:
            nm = nm_sentence(finishing, record.pixel_size_nm)
            said += [sentence(f"That is {nm}")] if nm else []
        elif not finishing.enabled:
            said.append("Masks stay as the network decided them, pixel by pixel.")
        why = record.finishing_reason
        if str(run.folder) in self._suggested:
            why = self._suggested[str(run.folder)].reason
        if why:
            said.append(sentence(f"Suggested because {why}"))
        self.reason.say(" ".join(said), "quiet")

    def _set(self, finishing: Finishing) -> None:
        run = self.session.run
        was_on = self.session.situation.finishing.enabled
        if run is not None and finishing.enabled and not was_on and not finishing.changes_something:
            self._suggest(finishing)
            return
        self._choose(finishing)

    def _choose(self, finishing: Finishing | None) -> None:
        self.words.say("" if self.refinishing.frames else _NOT_PREDICTED, "quiet")
        self.session.choose(finishing=finishing)

    def _suggest(self, finishing: Finishing) -> None:
        """Ask the annotation of a run that says nothing, as runs of version 0.1.0."""
        run = self.session.run
        assert run is not None
        self.words.say("Looking at the annotation of the run...", "quiet")
        request = self._latest.ask()

        def take(suggestion: Suggestion) -> None:
            self._suggested[str(run.folder)] = suggestion
            self._choose(suggestion.finishing)

        run_in_thread(
            lambda _stopped, _say: jobs.suggest_from_run(
                run.folder, report=lambda report: None, stopped=lambda: False
            ),
            request.only(take),
            request.only(partial(self.words.say, tone="error")),
            owner=self,
        )
        self._choose(replace(finishing, enabled=True))

    def _reset(self) -> None:
        self._choose(None)
