"""What the docks of one viewer share: the choices, what follows from them, and the running work.

Widgets draw `Session.situation` and change it by `Session.choose`; one signal tells of each change.
No widget knows another, and the session knows none of them. All signals are emitted in the
window's own thread.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from weakref import ref

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer
from numpy.typing import NDArray
from psygnal import Signal
from superqt.utils import QSignalDebouncer

from napari_tem_rf.engine import Engine, Kind
from napari_tem_rf.gui.layers.layers import frame_pixels, history, image_shape, number_colors
from napari_tem_rf.gui.layers.marks import AnnotationMark, note
from napari_tem_rf.gui.pieces.observable import Observable
from napari_tem_rf.gui.session.annotations import classes_of, note_classes, owner_of
from napari_tem_rf.gui.session.choices import FIRST_PLAN, Activity, Choices, Round, TrainedRun
from napari_tem_rf.gui.session.preferences import preferences
from napari_tem_rf.gui.session.situation import (
    Situation,
    choose_annotation,
    choose_image,
    frame_of,
    images_in,
    resolve,
)
from napari_tem_rf.gui.session.work import BackgroundWork, Work
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, LabelsAre, Report, TrainingPlan, Unlabelled
from napari_tem_rf.settings import read_settings

__all__ = ["Session"]

_EDIT_PAUSE_MS = 250

Part = TypeVar("Part")


class Session(Observable[Situation]):
    """The choices, the situation and the work of one viewer.

    Signals
    -------
    changed(before, after)
        The situation is another one; a change made by a listener is emitted after all listeners got
        the change before.
    requested(str)
        A shortcut or a command of napari asks for "train", "stop", "toggle_prediction" or "tour".
    closed()
        The viewer is closing.
    """

    requested = Signal(str)
    closed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = ref(viewer)
        self._parts: dict[type, Any] = {}
        self._named: set[Path] = set()
        self._is_closed = False
        preferred = preferences()
        self._background = BackgroundWork(read_settings().address, preferred.workers)
        self._heard: tuple[Image | None, Labels | None] = (None, None)
        self._painted = (0, 0)
        self._edit_pause = QSignalDebouncer()
        self._edit_pause.setTimeout(_EDIT_PAUSE_MS)
        self._edit_pause.triggered.connect(self._on_pause)
        first = Choices(
            plan=replace(FIRST_PLAN, device=preferred.device), finishing=preferred.chosen_finishing
        )
        self._situation = resolve(viewer, first)
        self._listen()
        viewer.layers.events.inserted.connect(self._on_layers)
        viewer.layers.events.removed.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.dims.events.current_step.connect(self._on_step)

    @property
    def viewer(self) -> Viewer:
        """The viewer; raises RuntimeError when it is gone."""
        viewer = self._viewer()
        if viewer is None:
            raise RuntimeError("the viewer of this session is closed")
        return viewer

    # the situation

    @property
    def situation(self) -> Situation:
        """The choices, the layers, the work that is running, and what follows from them."""
        return self._situation

    def choose(self, **changes: Any) -> None:
        """Change some of the `Choices`; an image brings its annotation along, and vice versa."""
        viewer, choices = self.viewer, self._situation.choices
        if "image" in changes:
            choices = choose_image(viewer, choices, changes.pop("image"))
        if "annotation" in changes:
            choices = choose_annotation(viewer, choices, changes.pop("annotation"))
        choices = replace(choices, **changes)
        before = self._situation.choices
        same = _looks(choices) == _looks(before)
        self._resolve(choices, keeps_scene=same)

    def note(self, **changes: Any) -> None:
        """Change some of the `Activity`."""
        situation = self._situation
        activity = replace(situation.activity, **changes)
        self._resolve(situation.choices, activity=activity, keeps_scene=True)

    def refresh(self) -> Situation:
        """Look at the layers again, whatever changed them, and return the situation."""
        self._resolve(self._situation.choices)
        return self._situation

    def _resolve(
        self,
        choices: Choices,
        *,
        activity: Activity | None = None,
        edits: int | None = None,
        keeps_scene: bool = False,
    ) -> None:
        before = self._situation
        after = resolve(
            self.viewer,
            choices,
            before.activity if activity is None else activity,
            before.scene if keeps_scene else None,
            before.edits if edits is None else edits,
        )
        if after != before:
            self._situation = after
            self._listen()
            self.changed.emit(before, after)

    # parts

    def part(self, kind: type[Part]) -> Part:
        """Return what a dock keeps for this session, by its type; made on first use.

        It is made with the session as its only argument and goes with the session.
        """
        found: Part | None = self._parts.get(kind)
        if found is None:
            found = self._parts[kind] = kind(self)  # type: ignore[call-arg]
        return found

    # shortcuts to the choices

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self._situation.choices.image

    @image.setter
    def image(self, layer: Image | None) -> None:
        if layer is not self.image:
            self.choose(image=layer)

    @property
    def annotation(self) -> Labels | None:
        """The chosen annotation layer."""
        return self._situation.choices.annotation

    @annotation.setter
    def annotation(self, layer: Labels | None) -> None:
        self.choose(annotation=layer)

    @property
    def unlabelled(self) -> Unlabelled:
        """What zeros of the annotation mean: not annotated, or background."""
        return self._situation.choices.unlabelled

    @unlabelled.setter
    def unlabelled(self, meaning: Unlabelled) -> None:
        annotation = self.annotation
        if meaning != self.unlabelled and annotation is not None:
            if self._situation.scene.meaning.numbered:
                note(annotation, AnnotationMark, unlabelled=meaning)
            else:
                note_classes(annotation, classes_of(annotation, meaning), meaning)
        self.choose(unlabelled=meaning)

    @property
    def labels_are(self) -> LabelsAre:
        """Whether values of the annotation are classes or numbers of particles."""
        return self._situation.choices.labels_are

    @labels_are.setter
    def labels_are(self, labels_are: LabelsAre) -> None:
        annotation = self.annotation
        if annotation is not None:
            note(annotation, AnnotationMark, labels_are=labels_are)
        self.choose(labels_are=labels_are)
        if annotation is None:
            return
        if self._situation.scene.meaning.numbered:
            annotation.colormap = number_colors()
        else:
            note_classes(annotation, classes_of(annotation, self.unlabelled), self.unlabelled)

    @property
    def spec(self) -> NetworkSpec:
        """The network picked, for two classes; training adapts it to the annotation's."""
        return self._situation.choices.spec

    @spec.setter
    def spec(self, spec: NetworkSpec) -> None:
        self.choose(spec=spec)

    @property
    def plan(self) -> TrainingPlan:
        """How the next training is done."""
        return self._situation.choices.plan

    @plan.setter
    def plan(self, plan: TrainingPlan) -> None:
        self.choose(plan=plan)

    @property
    def cleaning(self) -> Cleaning:
        """What is done to the pixels before the next training; a run keeps its own."""
        return self._situation.choices.cleaning

    @cleaning.setter
    def cleaning(self, cleaning: Cleaning) -> None:
        self.choose(cleaning=cleaning)

    @property
    def start(self) -> str | Path | None:
        """What the next training is to start from: `SIMULATED`, a run, or None for new weights."""
        return self._situation.choices.start

    @start.setter
    def start(self, start: str | Path | None) -> None:
        self.choose(start=start)

    @property
    def runs(self) -> tuple[TrainedRun, ...]:
        """The finished runs of this session, oldest first."""
        return self._situation.choices.runs

    @property
    def run(self) -> TrainedRun | None:
        """The current run: the one that predicts."""
        return self._situation.choices.run

    @run.setter
    def run(self, run: TrainedRun | None) -> None:
        self.choose(run=run)

    @property
    def runs_folder(self) -> Path:
        """The folder in which runs are kept, one folder an image."""
        return self._situation.choices.runs_folder

    @runs_folder.setter
    def runs_folder(self, folder: Path) -> None:
        self.choose(runs_folder=folder)

    @property
    def field_overlay(self) -> bool:
        """Whether the receptive field is drawn at the cursor."""
        return self._situation.choices.field_overlay

    @field_overlay.setter
    def field_overlay(self, visible: bool) -> None:
        self.choose(field_overlay=visible)

    def change_plan(self, **changes: Any) -> None:
        """Change some settings of the plan."""
        self.choose(plan=replace(self.plan, **changes))

    # shortcuts to the scene and the activity

    @property
    def images(self) -> tuple[Image, ...]:
        """The image layers that can be chosen, the top of the layer list last."""
        return self._situation.scene.images

    @property
    def frame(self) -> int:
        """The frame of the chosen image that the viewer shows; 0 for a single image."""
        return self._situation.scene.frame

    @property
    def pixel_size_nm(self) -> tuple[float, float] | None:
        """(row, column) pixel size of the chosen image in nm; None where it has none."""
        return self._situation.scene.pixel_size_nm

    @property
    def training(self) -> Work | None:
        """The training that is running."""
        return self._situation.activity.training

    @property
    def predicting(self) -> Round | None:
        """The round of predictions that is running."""
        return self._situation.activity.predicting

    @property
    def history(self) -> tuple[EpochReport, ...]:
        """The epochs of the training that is running, or of the last one."""
        return self._situation.activity.history

    def pixels(self) -> NDArray[np.float32] | None:
        """Return the frame that the viewer shows, shape (row, column); None without an image."""
        return None if self.image is None else frame_pixels(self.image, self.frame)

    # runs

    def add_run(self, run: TrainedRun) -> None:
        """Add a run and make it the current one."""
        others = (each for each in self.runs if each.folder != run.folder)
        self.choose(runs=(*others, run), run=run)

    def image_folder(self, image: Image) -> Path:
        """Return the folder in which the runs of an image are kept."""
        safe = re.sub(r"[^\w.-]+", "_", image.name).strip("._")
        return self.runs_folder / (safe or "image")

    def new_run_folder(self) -> Path:
        """Return the path of a run folder that does not exist yet: <image>/<date>_<time>."""
        if self.image is None:
            raise ValueError("no image is chosen: open one first")
        parent = self.image_folder(self.image)
        stem = f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        folder, number = parent / stem, 1
        while folder.exists() or folder in self._named:
            folder, number = parent / f"{stem}_{number + 1}", number + 1
        self._named.add(folder)  # a worker makes it, later
        return folder

    # work

    @property
    def engine(self) -> Engine:
        """Where work runs; made on first use."""
        return self._background.engine

    @property
    def background(self) -> BackgroundWork:
        """What hands work to the engine: its address, and the way to another one."""
        return self._background

    def warm_up(self) -> None:
        """Start the worker processes in the background, so that they are ready when needed."""
        if not self._is_closed:
            self._background.engine.start()

    @property
    def works(self) -> tuple[Work, ...]:
        """Everything that is running."""
        return self._background.works

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str,
        training: bool = False,
        is_long: bool = False,
        is_light: bool = False,
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
        is_long : bool
            Whether it goes where trainings run although it is none: quick work need not wait.
        is_light : bool
            Whether it needs no PyTorch: it does not wait until that is loaded.
        on_report, on_done, on_failed : callable, optional
            Called in the window's thread with a report, the result, or a sentence.
        remains : callable, optional
            As for `AnyEngine.submit`.

        Returns
        -------
        Work
            The work, with signals of its own.
        """
        kind: Kind = "training" if training or is_long else "light" if is_light else "quick"
        work = Work(name, function, args, kind, remains)
        slots = ((work.reported, on_report), (work.done, on_done), (work.failed, on_failed))
        for signal, slot in slots:
            if slot is not None:
                signal.connect(slot)
        if training:
            work.ended.connect(self._on_training_ended)
            self.note(training=work)
        self._background.begin(work)
        return work

    def _on_training_ended(self, _work: Work) -> None:
        self.note(training=None)

    # the layer list

    @contextmanager
    def layer_list_kept(self) -> Iterator[None]:
        """Leave what is selected in the layer list, and chosen here, while layers are added."""
        selection = self.viewer.layers.selection
        selected, active = set(selection), selection.active
        with selection.events.active.blocker(self._on_active):
            yield
            if selected:
                self.viewer.layers.selection = selected
                self.viewer.layers.selection.active = active

    def insert_unselected(self, place: int, layer: Layer) -> None:
        """Add a layer to the layer list, of which the same layers stay selected."""
        layers = self.viewer.layers
        selected = set(layers.selection)
        if not selected:
            with self.layer_list_kept():
                layers.insert(place, layer)
            return
        # or else napari shows the controls of the new layer and at once the earlier ones again
        with layers.selection.events.blocker_all():
            layers.insert(place, layer)
            layers.selection = selected

    # what the viewer does

    def _listen(self) -> None:
        """Listen to the chosen layers, and to no others."""
        before, now = self._heard, (self.image, self.annotation)
        if before[1] is not now[1]:
            for layer, verb in ((before[1], "disconnect"), (now[1], "connect")):
                if layer is not None:
                    getattr(layer.events.set_data, verb)(self._on_drawn)
            self._note_painted()
        slots = (self._on_calibration, self._on_labels)
        for old, new, slot in zip(before, now, slots, strict=True):
            if old is not new:
                for layer, verb in ((old, "disconnect"), (new, "connect")):
                    for events in () if layer is None else _events(layer):
                        getattr(events, verb)(slot)
        self._heard = now

    def _on_layers(self, _event: object = None) -> None:
        self.refresh()

    def _on_active(self, _event: object = None) -> None:
        """Choose what the user selects in the layer list: it is painted, or looked at, next."""
        layer = self.viewer.layers.selection.active
        if layer is None or layer is self.annotation:
            return
        # napari selects a new layer before it tells that it is there
        images = images_in(self.viewer)
        image = owner_of(layer, images)
        if layer in self._situation.scene.annotations:
            fits = self.image is not None and image_shape(layer) == image_shape(self.image)
            if fits or image is not None:
                self.annotation = layer
        elif image is not None:
            self.image = image

    def _on_step(self, _event: object = None) -> None:
        situation = self._situation
        frame = frame_of(self.viewer, self.image)
        if frame != situation.scene.frame:
            after = replace(situation, scene=replace(situation.scene, frame=frame))
            self._situation = after
            self.changed.emit(situation, after)

    def _on_calibration(self, _event: object = None) -> None:
        self.refresh()

    def _on_labels(self, _event: Any = None) -> None:
        self._note_painted()
        self._edit_pause.throttle()

    def _on_drawn(self, _event: Any = None) -> None:
        """Follow an undo: napari emits nothing but that the layer is drawn anew."""
        if self._note_painted():
            self._edit_pause.throttle()

    def _note_painted(self) -> bool:
        """Return whether the annotation was painted, or that undone, since this was asked."""
        before = self._painted
        self._painted = (0, 0) if self.annotation is None else history(self.annotation)
        return self._painted != before

    def _on_pause(self) -> None:
        if not self._is_closed:
            self.edited()

    def edited(self) -> None:
        """Note that the annotation was painted; called by itself at each pause of painting."""
        self._resolve(self._situation.choices, edits=self._situation.edits + 1)

    def close(self) -> None:
        """Stop all work and end the worker processes; the session is of no use afterwards."""
        if self._is_closed:
            return
        self._is_closed = True
        self.closed.emit()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.events.inserted.disconnect(self._on_layers)
            viewer.layers.events.removed.disconnect(self._on_layers)
            viewer.layers.selection.events.active.disconnect(self._on_active)
            viewer.dims.events.current_step.disconnect(self._on_step)
            before = self._situation
            self._situation = Situation(replace(before.choices, image=None, annotation=None))
            self._listen()
        self._parts.clear()
        self._background.close()


def _looks(choices: Choices) -> tuple[Any, ...]:
    """Return the choices that decide what is seen of the layers."""
    return choices.image, choices.annotation, choices.unlabelled, choices.labels_are


def _events(layer: Layer) -> tuple[Any, ...]:
    if isinstance(layer, Labels):
        return layer.events.paint, layer.events.data, layer.events.labels_update
    return layer.events.scale, layer.events.units, layer.events.translate
