"""Predict images with a run, one after the other; what is done stays when it is stopped."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image
from psygnal import Signal

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.layers import (
    frame_pixels,
    goes_to_disk,
    image_shape,
    images_and_frames,
    pixel_size_nm,
)
from napari_tem_rf.gui.layers.plane import shown_frame
from napari_tem_rf.gui.particles.layers import take_instances
from napari_tem_rf.gui.segment.expected import next_words
from napari_tem_rf.gui.segment.refinishing import Refinishing
from napari_tem_rf.gui.segment.series import micrograph_of_layer
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread, stepwise
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.current_image import CurrentImage
from napari_tem_rf.gui.session.expectations import Expectations
from napari_tem_rf.gui.session.predictions import show_prediction, show_series
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.jobs.pixel_sizes import finishing_for, wished_resampling
from napari_tem_rf.mask_predicting import (
    Outcome,
    Step,
    masks_folder,
    predict_folder,
    predict_series,
)
from napari_tem_rf.measuring.expected_dice import ExpectedDice
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.protocol import ProgressReport, Report
from napari_tem_rf.runs import Run

Target = tuple[Image, int]
"""An image layer and a frame of it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """Frames of one image that are predicted together: one in memory, or several on disk."""

    image: Image
    frames: tuple[int, ...]
    on_disk: bool


class Predicting:
    """One round of predictions with a run; what is done stays when it is stopped.

    Parameters
    ----------
    session : Session
    run : TrainedRun
        The run that predicts.
    resample : bool, optional
        Show images of another pixel size to the network at the size that it was trained at; see
        `wished_resampling`.
    """

    progressed = Signal(float, object, str)
    """Fraction done from 0 to 1, seconds left or None, and what is being done."""
    ended = Signal(str, bool)
    """A sentence on what was done, and whether all went well."""
    written = Signal(object)
    """The folder that masks were written into."""

    def __init__(self, session: Session, run: TrainedRun, *, resample: bool | None = None) -> None:
        self._session = session
        self._run = run
        self._resample = resample
        self._steadying = session.situation.choices.steadying
        self._tasks: list[_Task] = []
        self._at, self._shown_at = 0, -1
        self._frames = 0
        self._notes: dict[str, None] = {}
        self._is_stopped = False
        self._is_closed = False
        self._work: Work | None = None
        self._thread: ThreadWork | None = None

    def begin(self, targets: Sequence[Target]) -> None:
        """Predict images, in order; returns at once."""
        self._tasks = _tasks(targets, self._steadying.frames > 0)
        self._open()
        self._next()

    def begin_folder(self, folder: Path) -> None:
        """Predict the files of a folder into masks beside the run; returns at once.

        Raises
        ------
        ValueError
            If the folder holds no file that can be read.
        """
        from napari_tem_rf.micrographs.reading import find_images

        paths = find_images([folder])
        out = masks_folder(self._run.folder) / folder.name
        self._open()
        steps = partial(
            predict_folder,
            *(self._session.engine, self._opened(), paths, out, self._resample),
            steadying=self._steadying,
        )
        self._in_thread(steps, self._on_folder_step, self._on_folder)

    def stop(self) -> None:
        """Stop after the current tile."""
        self._is_stopped = True
        for work in (self._work, self._thread):
            if work is not None:
                work.stop()

    def _open(self) -> None:
        self._session.closed.connect(self._on_closed)
        self._session.note(predicting=self)

    def _on_closed(self) -> None:
        self._is_closed = True
        self.stop()

    def _opened(self) -> Run:
        record, chosen = self._run.record, self._session.situation.choices.finishing
        return Run(
            self._run.folder, record if chosen is None else replace(record, finishing=chosen)
        )

    # image after image

    def _next(self) -> None:
        while self._at < len(self._tasks) and not self._is_there(self._task):
            self._at += 1
        if self._is_stopped or self._at == len(self._tasks):
            self._end()
        elif self._task.on_disk:
            self._begin_series(self._task)
        else:
            self._begin_frame(self._task)

    @property
    def _task(self) -> _Task:
        return self._tasks[self._at]

    def _is_there(self, task: _Task) -> bool:
        return task.image in self._session.viewer.layers

    def _begin_frame(self, task: _Task) -> None:
        try:
            resampling = self._resampling(task.image)
        except ValueError as error:
            self._on_failed(f"{task.image.name}: {error}")
            return
        # taken from the layer only now: a long series is never in memory as a whole
        pixels = frame_pixels(task.image, task.frames[0])
        size = pixel_size_nm(task.image)
        self._work = self._session.submit(
            jobs.predict_with_run,
            self._run.folder,
            pixels,
            None,
            False,
            "auto",
            resampling,
            finishing_for(self._run.record, size, self._session.situation.choices.finishing),
            True,
            self._run.record.parts_particles,
            Finding().neck,
            size,
            True,
            name=f"predicting {task.image.name}",
            on_report=self._on_report,
            on_done=self._on_done,
            on_failed=self._on_failed,
        )

    def _resampling(self, image: Image) -> Any:
        shape = image_shape(image)[-2:]
        return wished_resampling(self._run.record, pixel_size_nm(image), shape, self._resample)

    def _on_report(self, report: Report) -> None:
        if isinstance(report, ProgressReport):
            self._say_progress(report.fraction, None, f"predicting {self._task.image.name}")

    def _say_progress(self, fraction: float, seconds_left: float | None, what: str) -> None:
        number = len(self._tasks)
        if number > 1:
            what = f"{what}, {self._at + 1} of {number}"
        left = seconds_left if self._at == number - 1 else None
        self.progressed.emit((self._at + fraction) / number, left, what)

    def _on_done(self, result: jobs.PredictionResult | None) -> None:
        task = self._task
        if result is not None and self._is_there(task):
            layer = show_prediction(
                self._session,
                task.image,
                result.labels,
                self._run.record.classes,
                self._run.record.predictor,
                run=self._run.folder,
                frame=task.frames[0],
                resampling=self._resampling(task.image),
                finishing=result.finishing,
            )
            self._session.part(CurrentImage).show_only(layer, task.image)
            self._session.part(Refinishing).keep(task.image, task.frames[0], self._run, result)
            take_instances(self._session, layer, task.frames[0], result.instances)
            self._expect(task, task.frames[0], result.expected)
            self._frames += 1
            self._notes |= dict.fromkeys(f"{task.image.name}: {note}" for note in result.notes)
        self._at += 1
        self._next()

    def _expect(self, task: _Task, frame: int, expected: ExpectedDice | None) -> None:
        part = self._session.part(Expectations)
        part.keep(task.image, frame, self._run.folder, expected)

    def _on_failed(self, sentence: str) -> None:
        self._session.note(predicting=None)
        self.ended.emit(sentence, False)

    def _end(self) -> None:
        self._session.note(predicting=None)
        asked = sum(len(task.frames) for task in self._tasks)
        words = []
        if self._is_stopped:
            words.append(f"Stopped after {self._frames:,} of {asked:,}.")
            if any(task.on_disk for task in self._tasks):
                words.append("What is done is kept; predict again to continue.")
        elif asked > 1:
            tasks = self._tasks
            frames = [len(task.frames) for task in tasks]
            words.append(f"{images_and_frames([task.image for task in tasks], frames)} predicted.")
        words += _some([f"{note}." for note in self._notes])
        if asked > 1:
            words.append(next_words(self._session.part(Expectations).worst_first(self._run.folder)))
        self.ended.emit(" ".join(filter(None, words)), True)

    # series, frame after frame on disk

    def _begin_series(self, task: _Task) -> None:
        session = self._session
        if self._steadying.frames:
            session.part(Refinishing).forget(task.image)
        steps = partial(
            predict_series,
            session.engine,
            self._opened(),
            micrograph_of_layer(task.image),
            session.image_folder(task.image).name,
            task.frames,
            self._resample,
            steadying=self._steadying,
        )
        self._in_thread(steps, self._on_series_step, self._on_series)

    def _on_series_step(self, step: Step) -> None:
        task = self._task
        self._say_progress(step.fraction, step.seconds_left, step.what)
        if step.file is None or not self._is_there(task):
            return
        layer = show_series(
            self._session,
            task.image,
            step.file.target,
            self._run.record.classes,
            self._run.record.predictor,
            run=self._run.folder,
            resampling=step.file.resampling,
            finishing=step.file.finishing,
        )
        if self._shown_at != self._at:  # later on it stays as the user shows or hides it
            self._shown_at = self._at
            self._session.part(CurrentImage).show_only(layer, task.image)
        if step.frame is not None:
            self._expect(task, step.frame, step.file.expected_of(step.frame))
        if step.frame is not None and step.frame == shown_frame(self._session.viewer, layer):
            layer.refresh()

    def _on_series(self, outcome: Outcome) -> None:
        self._frames += outcome.frames if outcome.stopped else len(self._task.frames)
        self._notes |= dict.fromkeys(outcome.notes)
        self._at += 1
        self._next()

    # folders

    def _on_folder_step(self, step: Step) -> None:
        self.progressed.emit(step.fraction, step.seconds_left, step.what)

    def _on_folder(self, outcome: Outcome) -> None:
        self._session.note(predicting=None)
        begun = "Stopped: " if outcome.stopped else ""
        words = [f"{begun}{outcome.files:,} files predicted, masks in {outcome.folder}."]
        self.written.emit(outcome.folder)
        if outcome.stopped:
            words.append("Predict the folder again to continue.")
        if outcome.refusals:
            words.append(f"{len(outcome.refusals):,} left out:")
            words += _some(list(outcome.refusals))
        words += _some([f"{note}." for note in outcome.notes])
        self.ended.emit(" ".join(words), not outcome.refusals)

    # the thread

    def _in_thread(
        self,
        steps: Callable[[Callable[[], bool]], Generator[Step, None, Outcome]],
        on_step: Callable[[Step], None],
        on_done: Callable[[Outcome], None],
    ) -> None:
        def unless_closed(function: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda value: None if self._is_closed else function(value)

        def failed(error: str) -> None:
            self._on_failed(f"{error.rstrip('.')}. What is done is kept; predict again.")

        self._thread = run_in_thread(
            stepwise(steps), unless_closed(on_done), unless_closed(failed), unless_closed(on_step)
        )


def _tasks(targets: Sequence[Target], is_steady: bool = False) -> list[_Task]:
    """Return what is predicted in a go: each frame in memory, the frames on disk of an image.

    Masks that are made steady go to the disk, where they are made with their neighbours.
    """
    tasks: list[_Task] = []
    for image, frame in targets:
        on_disk = goes_to_disk(image) or (is_steady and len(image_shape(image)) == 3)
        if on_disk and tasks and tasks[-1].image is image:
            tasks[-1] = _Task(image, (*tasks[-1].frames, frame), True)
        else:
            tasks.append(_Task(image, (frame,), on_disk))
    return tasks


def _some(sentences: list[str], most: int = 3) -> list[str]:
    rest = len(sentences) - most
    return [*sentences[:most], *([f"And {rest} more like these."] if rest > 0 else [])]
