"""What the widgets of one viewer share: the choices made, the runs, the work going on.

`session_of` returns the one session of a viewer. Widgets read and set its properties and listen
to its signals; none knows another. All signals are emitted in the window's own thread.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.viewer import Viewer
from psygnal import Signal

from napari_tem_rf.engine import Engine
from napari_tem_rf.gui.session.selection import Selection
from napari_tem_rf.gui.session.settings import read_settings
from napari_tem_rf.gui.session.work import Desk, Work
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.words import count
from napari_tem_rf.protocol import EpochReport, Report, TrainingPlan, default_plan
from napari_tem_rf.runs import RunRecord
from napari_tem_rf.starting import SIMULATED

if TYPE_CHECKING:
    from napari_tem_rf.gui.compare.comparing import Comparing
    from napari_tem_rf.gui.segment.predicting import Predicting
    from napari_tem_rf.gui.segment.training import Interrupted
    from napari_tem_rf.gui.session.autosave import Autosave


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished training: its folder and what its record says."""

    folder: Path
    record: RunRecord

    @property
    def spec(self) -> NetworkSpec:
        """The network that was trained, with the annotation's number of classes."""
        return self.record.spec

    @property
    def dice(self) -> float | None:
        """Dice of the held-out part; None when nothing was held out."""
        return self.record.validation_dice

    @property
    def receptive_field(self) -> int:
        """Nominal field in px."""
        return nominal_receptive_field(self.record.spec)

    @property
    def title(self) -> str:
        """The run in a line: field, parameters, score and, in brackets, its folder."""
        score = "" if self.dice is None else f", Dice {self.dice:.2f}"
        size = count(self.spec.parameters)
        return f"{self.receptive_field} px, {size}{score} ({self.folder.name})"


class Session(Selection):
    """The choices, runs and work of one viewer; see `Selection` for image and annotation.

    Signals
    -------
    spec_changed(NetworkSpec)
        Another network was picked.
    cleaning_changed(Cleaning)
        What is done to the pixels before training and prediction changed.
    plan_changed(TrainingPlan)
        Time, seed or another setting of the training changed.
    start_changed(str | Path | None)
        The run to go on from changed.
    runs_changed()
        A run was added.
    run_changed(TrainedRun | None)
        Another run is the current one.
    runs_folder_changed(Path)
        Runs are kept elsewhere.
    training_changed(Work | None)
        A training began (the work) or ended (None); its reports come from the work.
    history_changed(tuple of EpochReport)
        The training has another epoch behind it, or a new one began.
    interrupted_changed(Interrupted | None)
        A training ended before its time, or is taken up again.
    predicting_changed(Predicting | None)
        A round of predictions began or ended.
    field_overlay_changed(bool)
        The receptive field at the cursor was switched on or off.
    train_requested(), stop_requested(), prediction_toggled()
        A keyboard shortcut was pressed.
    engine_changed(), closed()
        The engine is another one or in another state; the viewer is closing.
    """

    spec_changed = Signal(object)
    cleaning_changed = Signal(object)
    plan_changed = Signal(object)
    start_changed = Signal(object)
    runs_changed = Signal()
    run_changed = Signal(object)
    runs_folder_changed = Signal(object)
    training_changed = Signal(object)
    history_changed = Signal(object)
    interrupted_changed = Signal(object)
    predicting_changed = Signal(object)
    field_overlay_changed = Signal(bool)
    engine_changed = Signal()
    train_requested = Signal()
    stop_requested = Signal()
    prediction_toggled = Signal()
    closed = Signal()
    autosave: "Autosave"
    comparing: "Comparing | None" = None

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer)
        self._spec = FIRST_NETWORK
        self._plan = default_plan()
        self._cleaning = Cleaning()
        self._start: str | Path | None = SIMULATED
        self._named: set[Path] = set()
        self._runs: tuple[TrainedRun, ...] = ()
        self._run: TrainedRun | None = None
        self._runs_folder = read_settings().runs_path
        self._training: Work | None = None
        self._history: tuple[EpochReport, ...] = ()
        self._interrupted: Interrupted | None = None
        self._predicting: Predicting | None = None
        self._field_overlay = False
        self._desk = Desk(read_settings().address)
        self._desk.engine_changed.connect(self.engine_changed.emit)
        self._is_closed = False

    # network and plan

    @property
    def spec(self) -> NetworkSpec:
        """The network picked, for two classes; training adapts it to the annotation's."""
        return self._spec

    @spec.setter
    def spec(self, spec: NetworkSpec) -> None:
        if spec != self._spec:
            self._spec = spec
            self.spec_changed.emit(spec)

    @property
    def plan(self) -> TrainingPlan:
        """How the next training is done."""
        return self._plan

    @plan.setter
    def plan(self, plan: TrainingPlan) -> None:
        if plan != self._plan:
            self._plan = plan
            self.plan_changed.emit(plan)

    @property
    def cleaning(self) -> Cleaning:
        """What is done to the pixels before the next training; a run keeps its own."""
        return self._cleaning

    @cleaning.setter
    def cleaning(self, cleaning: Cleaning) -> None:
        if cleaning != self._cleaning:
            self._cleaning = cleaning
            self.cleaning_changed.emit(cleaning)

    def change_plan(self, **changes: Any) -> None:
        """Change some settings of the plan."""
        self.plan = replace(self._plan, **changes)

    @property
    def start(self) -> str | Path | None:
        """What the next training is to start from: `SIMULATED`, a run, or None for new weights."""
        return self._start

    @start.setter
    def start(self, start: str | Path | None) -> None:
        if start != self._start:
            self._start = start
            self.start_changed.emit(start)

    # runs

    @property
    def runs(self) -> tuple[TrainedRun, ...]:
        """The finished runs of this session, oldest first."""
        return self._runs

    def add_run(self, run: TrainedRun) -> None:
        """Add a run and make it the current one."""
        self._runs = (*(each for each in self._runs if each.folder != run.folder), run)
        self.runs_changed.emit()
        self.run = run

    @property
    def run(self) -> TrainedRun | None:
        """The current run: the one that predicts."""
        return self._run

    @run.setter
    def run(self, run: TrainedRun | None) -> None:
        if run != self._run:
            self._run = run
            self.run_changed.emit(run)

    @property
    def runs_folder(self) -> Path:
        """The folder in which runs are kept, one folder an image."""
        return self._runs_folder

    @runs_folder.setter
    def runs_folder(self, folder: Path) -> None:
        if folder != self._runs_folder:
            self._runs_folder = folder
            self.runs_folder_changed.emit(folder)

    def image_folder(self, image: Image) -> Path:
        """Return the folder in which the runs of an image are kept."""
        safe = re.sub(r"[^\w.-]+", "_", image.name).strip("._")
        return self._runs_folder / (safe or "image")

    def new_run_folder(self) -> Path:
        """Return the path of a run folder that does not exist yet: <image>/<date>_<time>."""
        if self._image is None:
            raise ValueError("no image is chosen: open one first")
        parent = self.image_folder(self._image)
        stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        folder, count = parent / stem, 1
        while folder.exists() or folder in self._named:
            folder, count = parent / f"{stem}_{count + 1}", count + 1
        self._named.add(folder)  # a worker makes it, later
        return folder

    # the overlay

    @property
    def field_overlay(self) -> bool:
        """Whether the receptive field is drawn at the cursor."""
        return self._field_overlay

    @field_overlay.setter
    def field_overlay(self, visible: bool) -> None:
        if visible != self._field_overlay:
            self._field_overlay = visible
            self.field_overlay_changed.emit(visible)

    # work

    @property
    def engine(self) -> Engine:
        """Where work runs; made on first use."""
        return self._desk.engine

    @property
    def desk(self) -> Desk:
        """What hands work to the engine: its address, and the way to another one."""
        return self._desk

    def warm_up(self) -> None:
        """Start the worker processes in the background, so that they are ready when needed."""
        if not self._is_closed:
            self._desk.engine.start()

    @property
    def training(self) -> Work | None:
        """The training that goes on."""
        return self._training

    @property
    def history(self) -> tuple[EpochReport, ...]:
        """The epochs of the training that goes on, or of the last one."""
        return self._history

    @history.setter
    def history(self, epochs: tuple[EpochReport, ...]) -> None:
        self._history = epochs
        self.history_changed.emit(epochs)

    @property
    def interrupted(self) -> "Interrupted | None":
        """The training that ended before its time and can be taken up again."""
        return self._interrupted

    @interrupted.setter
    def interrupted(self, interrupted: "Interrupted | None") -> None:
        self._interrupted = interrupted
        self.interrupted_changed.emit(interrupted)

    @property
    def predicting(self) -> "Predicting | None":
        """The round of predictions that goes on."""
        return self._predicting

    @predicting.setter
    def predicting(self, predicting: "Predicting | None") -> None:
        self._predicting = predicting
        self.predicting_changed.emit(predicting)

    @property
    def works(self) -> tuple[Work, ...]:
        """Everything that goes on."""
        return self._desk.works

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str,
        training: bool = False,
        on_report: Callable[[Report], None] | None = None,
        on_done: Callable[[Any], None] | None = None,
        on_failed: Callable[[str], None] | None = None,
        remains: Callable[[], str] | None = None,
    ) -> Work:
        """Let a worker call ``function(*args, report=..., stopped=...)``; returns at once.

        Parameters
        ----------
        function : callable
            A function of `napari_tem_rf.jobs`.
        *args
            Its arguments.
        name : str
            What is being done, for the user: "training on gold_03".
        training : bool
            Whether this is the session's training: there is one at a time.
        on_report, on_done, on_failed : callable, optional
            Called in the window's thread with a report, the result, or a sentence.
        remains : callable, optional
            As for `AnyEngine.submit`.

        Returns
        -------
        Work
            The work, with signals of its own.
        """
        work = Work(name, function, args, "training" if training else "quick", remains)
        slots = ((work.reported, on_report), (work.done, on_done), (work.failed, on_failed))
        for signal, slot in slots:
            if slot is not None:
                signal.connect(slot)
        if training:
            self._training = work
            work.ended.connect(self._on_training_ended)
            self.training_changed.emit(work)
        self._desk.begin(work)
        return work

    def _on_training_ended(self, _work: Work) -> None:
        self._training = None
        self.training_changed.emit(None)

    def close(self) -> None:
        """Stop all work and end the worker processes; the session is of no use afterwards."""
        if self._is_closed:
            return
        self._is_closed = True
        self.closed.emit()
        self._let_go()
        self._desk.close()
