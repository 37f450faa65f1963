"""What to compare: networks by lists or by the chart, seeds, length, what is held out."""

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)
from superqt.utils import QSignalDebouncer, signals_blocked

from napari_tem_rf.comparison import Comparison, ComparisonSettings, asked_settings
from napari_tem_rf.comparison.plan import FIRST_SECONDS_EACH
from napari_tem_rf.describing import settings_of
from napari_tem_rf.gui.compare.comparing import Comparing
from napari_tem_rf.gui.compare.grid_chart import DesignBox, GridChart
from napari_tem_rf.gui.compare.wishes import (
    Prepared,
    Wishes,
    comparison_checks,
    in_exposures,
    new_comparison_folder,
    numbers_in,
    plan_summary,
    prepare_comparison,
    split_in_words,
    wished_networks,
)
from napari_tem_rf.gui.pieces.forms import Form, tip_of
from napari_tem_rf.gui.pieces.parts import Fold, Sentence, column, listen
from napari_tem_rf.gui.pieces.preloading import CATALOG, when_ready
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.gui.session.checks import Check
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.words import nm

__all__ = ["PlanPart"]

_LISTS = "receptive_fields", "parameters"
_LENGTH = "seconds", "epochs"
_IN_VIEW = "seeds", "baselines", "decides"
"""Settings that are always shown; the others are in a section that unfolds below."""
_PAUSE_MS = 400
_FIRST_LENGTH = {"s": round(FIRST_SECONDS_EACH), "min": 2, "epochs": 50}


class PlanPart(QWidget):
    """The wishes for a comparison, and in words what they lead to before anything starts.

    Signals
    -------
    looked()
        The words are up to date: `obstacle` says whether a comparison can begin.
    """

    looked = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.comparing = session.part(Comparing)
        self._specs: tuple[NetworkSpec, ...] = ()
        self._is_listed = False
        self._split: Check | None = None
        self._tried = ""  # the pattern that the split was found with
        self._latest = Latest()
        self._is_closed = False
        self._preset = session.plan.preset
        self._asked = asked_settings(self._preset)

        self.chart = GridChart()
        self.chart.setToolTip("Draw a box for a grid of networks; click to add or remove one")
        self.chart.boxed.connect(self._take_box)
        self.chart.toggled.connect(self._toggle)
        told = {each.name: each for each in settings_of(self._asked)}
        self.fields, self.parameters = (
            QLineEdit(", ".join(f"{each:g}" for each in told[name].default)) for name in _LISTS
        )
        for name, edit in zip(_LISTS, (self.fields, self.parameters), strict=True):
            set_tip(edit, tip_of(told[name]))
            edit.editingFinished.connect(self._take_lists)
            edit.setMinimumWidth(60)
        self.fields_nm = Sentence(tone="quiet")
        self.note = Sentence(tone="quiet")

        self.length = QSpinBox()
        self.length.setRange(1, 1_000_000)
        self.length.setValue(_FIRST_LENGTH["s"])
        self.length.setFixedWidth(84)
        self.unit = QComboBox()
        self.unit.addItems(list(_FIRST_LENGTH))
        self.unit.setMinimumWidth(64)
        self.unit.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        for part in (self.length, self.unit):
            set_tip(part, f"{tip_of(told['seconds'])}\n{tip_of(told['epochs'])}")
        self.form = Form(
            self._asked,
            leave_out=told.keys() - {*_IN_VIEW},
            beside={"seeds": (PlainLabel("each"), self.length, self.unit)},
        )
        self.settings_form = Form(self._asked, leave_out=(*_LISTS, *_LENGTH, *_IN_VIEW))
        self.seeds = self.form.box("seeds")
        self.baselines = self.form.box("baselines")
        # as narrow as the dock: some scores have long names
        decides = self.form.box("decides")
        decides.setMinimumWidth(64)
        decides.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.held_out = self.settings_form.box("held_out")
        self.group_by = self.settings_form.box("group_by")
        self.split = Sentence(tone="quiet")
        self.before = Sentence()
        self._lay_out()

        self.length.valueChanged.connect(self._set_length)
        self.unit.currentTextChanged.connect(self._set_unit)
        for form in (self.form, self.settings_form):
            form.changed.connect(self._take)
        self._pause = QSignalDebouncer(parent=self)
        self._pause.setTimeout(_PAUSE_MS)
        self._pause.triggered.connect(self._look)
        session.watch(
            self,
            lambda now: (
                now.choices,
                now.scene.annotated,
                now.scene.classes,
                now.edits,
                now.activity.training,
            ),
            self._later,
        )
        listen(self, self.comparing.changed, self._later)
        session.watch(self, lambda now: now.choices.plan, self._show_recipe)
        listen(self, session.closed, self._close)
        session.watch(
            self, lambda now: (now.scene.pixel_size_nm, now.choices.image), self._show_specs
        )
        when_ready(self, self._take_first, CATALOG)

    def _lay_out(self) -> None:
        lists = QWidget()
        grid = QGridLayout(lists)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        grid.addWidget(PlainLabel("fields"), 0, 0)
        grid.addWidget(self.fields, 0, 1)
        grid.addWidget(PlainLabel("px"), 0, 2)
        grid.addWidget(self.fields_nm, 1, 1)
        grid.addWidget(PlainLabel("parameters"), 2, 0)
        grid.addWidget(self.parameters, 2, 1, 1, 2)
        self.settings = Fold("What is held out", self.settings_form)
        column(
            self,
            [
                self.chart,
                lists,
                self.note,
                self.form,
                self.settings,
                self.split,
                self.before,
            ],
        )

    # the networks

    @property
    def specs(self) -> tuple[NetworkSpec, ...]:
        """The networks chosen."""
        self._take_first()
        return self._specs

    def _take_first(self) -> None:
        if not self._is_listed and not self._is_closed:
            self._take_lists()
            self.looked.emit()

    def _take_lists(self) -> None:
        self._is_listed = True
        try:
            self._specs, note = wished_networks(self.fields.text(), self.parameters.text())
        except ValueError as error:
            self._specs = ()
            self.note.say(str(error), "warning")
        else:
            self.note.say(note, "quiet")
            lists = numbers_in(self.fields.text()), numbers_in(self.parameters.text())
            self._take(replace(self._asked, receptive_fields=lists[0], parameters=lists[1]))
        self._show_specs()
        self._later()

    def _take_box(self, box: DesignBox) -> None:
        fields, parameters = box.wishes
        self.fields.setText(", ".join(f"{each:g}" for each in fields))
        self.parameters.setText(", ".join(f"{each:.0f}" for each in parameters))
        self._take_lists()

    def _toggle(self, spec: NetworkSpec) -> None:
        if spec in self.specs:
            self._specs = tuple(each for each in self._specs if each != spec)
        else:
            self._specs = (*self._specs, spec)
        self.note.say("Networks added or removed by a click stay until a list changes.", "quiet")
        self._show_specs()
        self._later()

    def show_comparison(self, comparison: Comparison) -> None:
        """Show the networks and settings of a comparison that was opened."""
        plan = comparison.record.plan
        self._specs = tuple(spec.with_classes(2) for spec in plan.specs)
        self._is_listed = True
        training = plan.training
        seconds = training.seconds
        self._take(
            replace(
                self._asked,
                seeds=len(plan.seeds),
                baselines=bool(plan.baselines),
                decides=plan.decides,
                held_out=plan.held_out,
                split_seed=plan.split_seed,
                seconds=seconds,
                epochs=(training.epochs or 1) if seconds is None else None,
            )
        )
        self._show_length()
        self.note.say("The networks of the comparison that was opened.", "quiet")
        self._show_specs()

    def _show_specs(self, _change: object = None) -> None:
        size = self.session.pixel_size_nm
        self.chart.show_pixel_size(size)
        self.chart.show_chosen(self._specs)
        try:
            fields = [float(part) for part in self.fields.text().split(",")]
        except ValueError:
            fields = []
        if size is None or not fields:
            self.fields_nm.say("")
            return
        side = (size[0] * size[1]) ** 0.5
        lengths = ", ".join(nm(field * side).removesuffix(" nm") for field in fields)
        self.fields_nm.say(f"= {lengths} nm", "quiet")

    # the wishes

    def wishes(self) -> Wishes:
        """Return what is asked for."""
        return Wishes(self.specs, self._asked)

    def _take(self, asked: ComparisonSettings) -> None:
        self._asked = asked
        self.form.show_plan(asked)
        self.settings_form.show_plan(asked)
        self._later()

    def _set_length(self, length: int) -> None:
        unit = self.unit.currentText()
        seconds = None if unit == "epochs" else float(length * (60 if unit == "min" else 1))
        epochs = length if unit == "epochs" else None
        self._take(replace(self._asked, seconds=seconds, epochs=epochs))

    def _set_unit(self, unit: str) -> None:
        with signals_blocked(self.length):
            self.length.setValue(_FIRST_LENGTH[unit])
        self._set_length(self.length.value())

    def _show_length(self) -> None:
        asked = self._asked
        with signals_blocked(self.length), signals_blocked(self.unit):
            self.unit.setCurrentText("epochs" if asked.seconds is None else "s")
            self.length.setValue(round(asked.seconds or asked.epochs or 1))

    def _show_recipe(self, now: Situation) -> None:
        """Take the length of another recipe: the paper's trains for a number of epochs."""
        plan = now.choices.plan
        if plan.preset != self._preset:
            self._preset = plan.preset
            first = asked_settings(plan.preset)
            self._take(replace(self._asked, seconds=first.seconds, epochs=first.epochs))
            self._show_length()

    def prepare(self) -> tuple[Prepared, Path]:
        """Return all that a comparison needs, and the new folder to keep it in.

        Raises
        ------
        ValueError
            When something speaks against it; the sentence says what.
        """
        for check in comparison_checks(self.session, self.wishes()):
            if check.stops:
                raise ValueError(check.sentence)
        wishes = self.wishes()
        prepared = in_exposures(prepare_comparison(self.session, wishes), wishes)
        return prepared, new_comparison_folder(self.session)

    # what the wishes lead to, in words

    @property
    def obstacle(self) -> str:
        """Why nothing can be started, and what to do; empty when all is well."""
        if not self._is_listed:
            stops = [check.sentence for check in self.session.situation.checks if check.stops]
            return stops[0] if stops else "The networks are being listed."
        for check in (*comparison_checks(self.session, self.wishes()), self._split):
            if check is not None and check.stops:
                return check.sentence
        if self._asked.group_by.strip() != self._tried:
            return "The pattern of the exposures is being tried."
        return ""

    def _later(self, _change: object = None) -> None:
        if not self._is_closed:
            self._pause.throttle()

    def _close(self) -> None:
        """No longer ask the engine: it ends with the viewer."""
        self._is_closed = True
        self._latest.drop()
        self._pause.cancel()

    def _look(self) -> None:
        """Say how long it takes and what is held out; splitting is left to a thread."""
        if not self._is_listed:
            return  # once they are listed, this is called again
        request = self._latest.ask()
        wishes = self.wishes()
        self._say_before(wishes)
        if self.comparing.is_running:
            return
        if any(check.stops for check in comparison_checks(self.session, wishes)):
            self._show_split(None)
            return
        try:
            prepared = prepare_comparison(self.session, wishes)
        except ValueError as error:
            self._show_split(Check(str(error), stops=True))
            return
        pattern = wishes.asked.group_by.strip()
        if pattern != self._tried:
            self._split = None  # of another pattern
            self.looked.emit()

        def show(check: Check) -> None:
            self._tried = pattern
            self._show_split(check)

        work = run_in_thread(
            lambda _stopped, _say: split_in_words(in_exposures(prepared, wishes)),
            request.only(show),
            request.only(lambda trouble: show(Check(trouble, stops=True))),
            owner=self,
        )
        request.holds(work)

    def _say_before(self, wishes: Wishes) -> None:
        if not wishes.specs:
            self.before.say("")
            return
        self.before.say(plan_summary(wishes, self.session.engine.width, self.session.runs))

    def _show_split(self, check: Check | None) -> None:
        self._split = check
        self.split.say("" if check is None or check.stops else check.sentence, "quiet")
        self.looked.emit()
