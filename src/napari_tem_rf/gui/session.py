"""What the widgets of one viewer share: the choices made, the runs, the work going on.

`session_of` returns the one session of a viewer. Widgets read and set its properties and listen
to its signals; none knows another. All signals are emitted in the window's own thread.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer
from qtpy.QtCore import Signal as QtSignal

from napari_tem_rf.engine import Engine
from napari_tem_rf.gui.layers import frame_pixels, image_shape, is_ours, pixel_size_nm
from napari_tem_rf.networks.catalog import nearest_networks
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import Report, TrainingPlan, Unlabelled

FIRST_FIELD_PX, FIRST_PARAMETERS = 120, 30_000
FIRST_SECONDS = 20.0
_EDIT_PAUSE_MS = 250


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """One finished training of this session."""

    folder: Path
    spec: NetworkSpec
    image: str
    """Name of the image it was trained on."""
    dice: float | None
    """Dice of the held-out part; None when nothing was held out."""
    seconds: float

    @property
    def receptive_field(self) -> int:
        """Nominal field in px."""
        return nominal_receptive_field(self.spec)

    @property
    def title(self) -> str:
        """The run in a line."""
        score = "" if self.dice is None else f", Dice {self.dice:.2f}"
        field = f"field {self.receptive_field} px, {self.spec.parameters:,} parameters"
        return f"{self.folder.name}: {field}{score}"


class Work:
    """A job that runs in a worker, as the window sees it.

    Attributes
    ----------
    name : str
        What is being done, for the user.
    state : {"running", "stopping", "done", "failed"}
    result : object
        What the function returned, once done.
    error : str
        One sentence, once failed.
    """

    reported = Signal(object)
    """A report came (`napari_tem_rf.protocol.Report`)."""
    ended = Signal(object)
    """The work is over; the argument is this work."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "running"
        self.result: Any = None
        self.error = ""
        self._job: Any = None

    @property
    def over(self) -> bool:
        """Whether it is done or failed."""
        return self.state in ("done", "failed")

    def stop(self) -> None:
        """Ask the work to stop; it ends within a batch and keeps what it has."""
        if self.state == "running" and self._job is not None:
            self.state = "stopping"
            self._job.stop()

    def _end(self, state: str) -> None:
        if not self.over:
            self.state = state
            self.ended.emit(self)


class _WindowThread(QObject):
    """Runs functions in the thread that the window lives in."""

    called = QtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        # queued to this object's own thread, whichever thread emits
        self.called.connect(self._run)

    def _run(self, function: Callable[[], None]) -> None:
        function()


class Session:
    """The choices, runs and work of one viewer.

    Signals
    -------
    image_changed(Image | None)
        Another image layer was chosen.
    calibration_changed()
        The chosen image's pixel size, units or position changed.
    frame_changed(int)
        The viewer shows another frame of the chosen image.
    annotation_changed(Labels | None)
        Another annotation layer was chosen.
    annotation_edited()
        Labels were painted; comes once after each pause of painting.
    unlabelled_changed(str)
        What zeros of the annotation mean: "ignore" or "background".
    layers_changed()
        A layer was added or removed.
    spec_changed(NetworkSpec)
        Another network was picked.
    plan_changed(TrainingPlan)
        Time, seed or another setting of the training changed.
    start_changed(Path | None)
        The run to go on from changed.
    runs_changed()
        A run was added.
    run_changed(TrainedRun | None)
        Another run is the current one.
    runs_folder_changed(Path)
        Runs are kept elsewhere.
    training_changed(Work | None)
        A training began (the work) or ended (None); its reports come from the work.
    field_overlay_changed(bool)
        The receptive field at the cursor was switched on or off.
    train_requested(), stop_requested(), prediction_toggled()
        A keyboard shortcut was pressed.
    closed()
        The viewer is closing.
    """

    image_changed = Signal(object)
    calibration_changed = Signal()
    frame_changed = Signal(int)
    annotation_changed = Signal(object)
    annotation_edited = Signal()
    unlabelled_changed = Signal(str)
    layers_changed = Signal()
    spec_changed = Signal(object)
    plan_changed = Signal(object)
    start_changed = Signal(object)
    runs_changed = Signal()
    run_changed = Signal(object)
    runs_folder_changed = Signal(object)
    training_changed = Signal(object)
    field_overlay_changed = Signal(bool)
    train_requested = Signal()
    stop_requested = Signal()
    prediction_toggled = Signal()
    closed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = ref(viewer)
        self._thread = _WindowThread()
        self._image: Image | None = None
        self._annotation: Labels | None = None
        self._frame = 0
        self._unlabelled: Unlabelled = "ignore"
        self._spec = nearest_networks(FIRST_FIELD_PX, FIRST_PARAMETERS, limit=1)[0].spec
        self._plan = TrainingPlan(epochs=None, seconds=FIRST_SECONDS)
        self._start: Path | None = None
        self._runs: tuple[TrainedRun, ...] = ()
        self._run: TrainedRun | None = None
        self._runs_folder = Path.home() / "napari-tem-rf"
        self._training: Work | None = None
        self._works: list[Work] = []
        self._field_overlay = False
        self._engine: Engine | None = None
        self._is_closed = False
        self._edit_pause = QTimer()
        self._edit_pause.setSingleShot(True)
        self._edit_pause.setInterval(_EDIT_PAUSE_MS)
        self._edit_pause.timeout.connect(self.annotation_edited.emit)
        viewer.layers.events.inserted.connect(self._on_layers)
        viewer.layers.events.removed.connect(self._on_layers)
        viewer.dims.events.current_step.connect(self._on_step)
        self._on_layers()

    @property
    def viewer(self) -> Viewer:
        """The viewer; raises RuntimeError when it is gone."""
        viewer = self._viewer()
        if viewer is None:
            raise RuntimeError("the viewer of this session is closed")
        return viewer

    # images and annotations

    def images(self) -> list[Image]:
        """Return the image layers that can be chosen, the top of the list last."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Image) and not is_ours(layer) and len(image_shape(layer)) in (2, 3)
        ]

    def annotations(self) -> list[Labels]:
        """Return the labels layers that can be chosen; predictions are not among them."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels) and (not is_ours(layer) or is_ours(layer, "annotation"))
        ]

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self._image

    @image.setter
    def image(self, layer: Image | None) -> None:
        if layer is self._image:
            return
        if self._image is not None:
            for events in self._calibration_events(self._image):
                events.disconnect(self._on_calibration)
        self._image = layer
        if layer is not None:
            for events in self._calibration_events(layer):
                events.connect(self._on_calibration)
        self._frame = self._current_frame()
        self.image_changed.emit(layer)

    @property
    def pixel_size_nm(self) -> tuple[float, float] | None:
        """(row, column) pixel size of the chosen image in nm; None where it has none."""
        return None if self._image is None else pixel_size_nm(self._image)

    @property
    def frame(self) -> int:
        """The frame of the chosen image that the viewer shows; 0 for a single image."""
        return self._frame

    @property
    def frames(self) -> int:
        """Number of frames of the chosen image; 1 for a single image, 0 without one."""
        if self._image is None:
            return 0
        shape = image_shape(self._image)
        return shape[0] if len(shape) == 3 else 1

    def pixels(self) -> NDArray[np.float32] | None:
        """Return the frame that the viewer shows, shape (row, column); None without an image."""
        return None if self._image is None else frame_pixels(self._image, self._frame)

    @property
    def annotation(self) -> Labels | None:
        """The chosen annotation layer."""
        return self._annotation

    @annotation.setter
    def annotation(self, layer: Labels | None) -> None:
        if layer is self._annotation:
            return
        if self._annotation is not None:
            for events in self._label_events(self._annotation):
                events.disconnect(self._on_labels)
        self._annotation = layer
        if layer is not None:
            for events in self._label_events(layer):
                events.connect(self._on_labels)
        self.annotation_changed.emit(layer)

    @property
    def unlabelled(self) -> Unlabelled:
        """What zeros of the annotation mean: not annotated, or background."""
        return self._unlabelled

    @unlabelled.setter
    def unlabelled(self, meaning: Unlabelled) -> None:
        if meaning != self._unlabelled:
            self._unlabelled = meaning
            self.unlabelled_changed.emit(meaning)

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

    def change_plan(self, **changes: Any) -> None:
        """Change some settings of the plan."""
        self.plan = replace(self._plan, **changes)

    @property
    def start(self) -> Path | None:
        """The run whose weights the next training goes on from; None: from new weights."""
        return self._start

    @start.setter
    def start(self, folder: Path | None) -> None:
        if folder != self._start:
            self._start = folder
            self.start_changed.emit(folder)

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

    def new_run_folder(self) -> Path:
        """Return the path of a run folder that does not exist yet: <image>/<date>_<time>."""
        name = "image" if self._image is None else self._image.name
        safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "image"
        stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        folder, count = self._runs_folder / safe / stem, 1
        while folder.exists():
            count += 1
            folder = self._runs_folder / safe / f"{stem}_{count}"
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
        if self._is_closed:
            raise RuntimeError("the viewer of this session is closed")
        if self._engine is None:
            self._engine = Engine()
        return self._engine

    def warm_up(self) -> None:
        """Start the worker processes in the background, so that they are ready when needed."""
        self.engine.start()

    @property
    def training(self) -> Work | None:
        """The training that goes on."""
        return self._training

    @property
    def works(self) -> tuple[Work, ...]:
        """Everything that goes on."""
        return tuple(self._works)

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str,
        training: bool = False,
        on_report: Callable[[Report], None] | None = None,
        on_done: Callable[[Any], None] | None = None,
        on_failed: Callable[[str], None] | None = None,
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

        Returns
        -------
        Work
            The work, with signals of its own.
        """
        work = Work(name)
        if on_report is not None:
            work.reported.connect(on_report, weak=False)
        self._works.append(work)
        if training:
            self._training = work
            self.training_changed.emit(work)

        def done(result: Any) -> None:
            work.result = result
            self._forget(work)
            if on_done is not None and not self._is_closed:
                on_done(result)
            work._end("done")

        def failed(error: object) -> None:
            work.error = str(error)
            self._forget(work)
            if on_failed is not None and not self._is_closed:
                on_failed(work.error)
            work._end("failed")

        try:
            work._job = self.engine.submit(
                function,
                *args,
                on_report=lambda report: self.in_window(lambda: work.reported.emit(report)),
                on_done=lambda result: self.in_window(lambda: done(result)),
                on_failed=lambda error: self.in_window(lambda: failed(error)),
                name=name,
            )
        except Exception as error:
            failed(error)
        return work

    def in_window(self, function: Callable[[], None]) -> None:
        """Call a function in the window's own thread, soon; from any thread."""
        if not self._is_closed:
            self._thread.called.emit(function)

    def _forget(self, work: Work) -> None:
        if work in self._works:
            self._works.remove(work)
        if work is self._training:
            self._training = None
            self.training_changed.emit(None)

    # what the viewer does

    def _on_layers(self, _event: object = None) -> None:
        images, annotations = self.images(), self.annotations()
        if self._image not in images:
            self.image = images[-1] if images else None
        if self._annotation not in annotations:
            self.annotation = annotations[-1] if annotations else None
        self.layers_changed.emit()

    def _on_step(self, _event: object = None) -> None:
        frame = self._current_frame()
        if frame != self._frame:
            self._frame = frame
            self.frame_changed.emit(frame)

    def _current_frame(self) -> int:
        layer = self._image
        if layer is None or len(image_shape(layer)) == 2:
            return 0
        position = layer.world_to_data(self.viewer.dims.point)
        return int(np.clip(round(float(position[0])), 0, image_shape(layer)[0] - 1))

    def _on_calibration(self, _event: object = None) -> None:
        self.calibration_changed.emit()

    def _on_labels(self, _event: object = None) -> None:
        self._edit_pause.start()

    @staticmethod
    def _calibration_events(layer: Layer) -> tuple[Any, ...]:
        return layer.events.scale, layer.events.units, layer.events.translate

    @staticmethod
    def _label_events(layer: Labels) -> tuple[Any, ...]:
        return layer.events.paint, layer.events.data, layer.events.labels_update

    def close(self) -> None:
        """Stop all work and end the worker processes; the session is of no use afterwards."""
        if self._is_closed:
            return
        self._is_closed = True
        self.closed.emit()
        self._edit_pause.stop()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.events.inserted.disconnect(self._on_layers)
            viewer.layers.events.removed.disconnect(self._on_layers)
            viewer.dims.events.current_step.disconnect(self._on_step)
            self.annotation = None
            self.image = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None


_SESSIONS: dict[int, Session] = {}


def session_of(viewer: Viewer) -> Session:
    """Return the session of a viewer, made on first use and closed with the viewer's window."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    session = _SESSIONS.get(id(viewer))
    if session is None or session._viewer() is not viewer:
        session = _SESSIONS[id(viewer)] = Session(viewer)
        # napari says nothing public when a window closes; the Qt window does
        viewer.window._qt_window.destroyed.connect(partial(_close, id(viewer)))
    return session


def _close(key: int, _window: object = None) -> None:
    session = _SESSIONS.pop(key, None)
    if session is not None:
        session.close()
