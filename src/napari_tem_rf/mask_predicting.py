"""Predictions of many images and frames into masks on disk, for window and command line.

Whatever the length, a few frames are in the memory: those on their way to a worker and back.
"""

from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from napari_tem_rf import jobs
from napari_tem_rf.engine import (
    AnyEngine,
    EngineError,
    Job,
    JobCancelledError,
    Kind,
    Said,
    Task,
    run_all,
)
from napari_tem_rf.jobs.mask_files import NOT_STEADIED, MaskFile, own_mask_file
from napari_tem_rf.jobs.predicting import FrameSaid
from napari_tem_rf.locking import BusyError, wait_for
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.movies.steadying import Steadying
from napari_tem_rf.protocol import Device, ProgressReport, Stopped
from napari_tem_rf.run_archive import is_unpacked
from napari_tem_rf.runs import Run, RunError
from napari_tem_rf.settings import read_settings

__all__ = [
    "MaskStep",
    "Outcome",
    "Step",
    "masks_folder",
    "predict_folder",
    "predict_masks",
    "predict_series",
]

MOST_FAILURES = 3
"""After this many failures in a row the cause is not the files."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskStep:
    """What happened to one of many masks.

    Attributes
    ----------
    file : MaskFile
    event : {"predicting", "written", "joining", "finished", "failed", "busy"}
        A frame is being predicted, or was written; all frames are put together; the mask is whole;
        the mask cannot be made; somebody else makes it, so that it comes last.
    fraction : float
        How much of what was missing of the mask is there, from 0 to 1.
    frame : int, optional
        Which frame; of a failure None where it was not one of the frames.
    failure : str
        Why it failed, without the name of the image; of a busy one who makes it.
    notes : tuple of (str, int)
        Once it is finished or failed, or where only some frames were asked for when these are
        written: what the user should know, and for how many frames it holds, most frequent first.
    left : int
        How many frames that were asked for are missing yet.
    """

    file: MaskFile
    event: Literal["predicting", "written", "joining", "finished", "failed", "busy"]
    fraction: float
    frame: int | None = None
    failure: str = ""
    notes: tuple[tuple[str, int], ...] = ()
    left: int = 0


def predict_masks(
    engine: AnyEngine,
    files: Iterable[MaskFile],
    *,
    frames: Collection[int] | None = None,
    tile_px: int | None = None,
    device: Device = "auto",
    kind: Kind = "quick",
    stopped: Stopped = lambda: False,
) -> Iterator[MaskStep]:
    """Predict and write what is missing of masks, as many frames at once as the engine can run.

    A mask that fails does not hold up the others; no further frame of it is begun. A mask that
    somebody else makes at this moment is waited for when all others are over: what is missing of
    it then is made here.

    Parameters
    ----------
    engine : AnyEngine
        Its workers see the run at the same path.
    files : iterable of MaskFile
        Taken as workers become free.
    frames : collection of int, optional
        Which frames of each are wanted; all without.
    tile_px : int, optional
        Side of a tile in px.
    device : {"auto", "cpu", "cuda", "mps"}
    kind : {"quick", "training"}
        As for `AnyEngine.submit`; on a cluster "training" leaves workers to other programs that
        train there.
    stopped : callable
        Asked several times a second; a stop does not wait for frames that are being predicted.

    Raises
    ------
    EngineUnavailableError
        When nothing can be predicted, for example because no scheduler answers at the address.
    RunError
        When something is wrong with the run.
    """
    while True:
        masks = _Masks(files, frames, tile_px, device, kind)
        try:
            # the last frames of a steady series are made when all was said of their neighbours
            for tasks in (masks.tasks(), masks.steady_tasks()):
                for event in run_all(engine, tasks, stopped=stopped, on_stop=Job.cancel):
                    mask, key = event.key
                    if not isinstance(event, Said):
                        yield from mask.take(key, event.job)
                    elif isinstance(event.report, ProgressReport):
                        yield mask.progress(key, event.report.fraction)
                    yield from masks.ended()
                if stopped():
                    masks.break_off()
            yield from masks.ended()
        finally:
            masks.release()
        # only now, when nothing is locked here that others may wait for in turn
        if not masks.busy or not wait_for(masks.busy[0].lock, stopped):
            return
        files = masks.busy


@dataclass(frozen=True, slots=True)
class _Part:
    """A job's part in a mask: a frame of it, or what the run says of a frame of a steady one."""

    frame: int
    says: bool = False


@dataclass(slots=True, eq=False)
class _Mask:
    """A mask on its way."""

    file: MaskFile
    wanted: int = 0
    written: int = 0
    parts: int = 0
    done: int = 0
    is_handed_out: bool = False
    was_stopped: bool = False
    on_the_way: dict[_Part, float] = field(default_factory=dict)
    coming: deque[int] = field(default_factory=deque)
    """Frames of a steady mask for which what the run says of their neighbours is waited for."""
    said: dict[int, FrameSaid] = field(default_factory=dict)
    failed_frame: int | None = None
    failure: str = ""
    is_busy: bool = False
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def fraction(self) -> float:
        return (self.done + sum(self.on_the_way.values())) / max(1, self.parts)

    @property
    def is_over(self) -> bool:
        return self.is_handed_out and not self.on_the_way and not self.coming

    def fail(self, error: Exception, frame: int | None = None) -> None:
        if not self.failure:
            self.failed_frame, self.failure = frame, str(error)
        self.break_off()

    def break_off(self) -> None:
        """Wait for no frame any more."""
        self.coming.clear()
        self.said.clear()

    def begin(self, missing: tuple[int, ...]) -> tuple[int, ...]:
        """Note which frames are to be made; return those of which a run has to say something."""
        self.wanted = self.parts = len(missing)
        if not self.file.is_steadied:
            return missing
        self.coming.extend(missing)
        looked_at = sorted({each for frame in missing for each in self.file.neighbours(frame)})
        self.parts += len(looked_at)
        return tuple(looked_at)

    @property
    def ready(self) -> int | None:
        """The next frame of a steady mask, where all is said that it is made from."""
        if not self.coming:
            return None
        frame = self.coming[0]
        return frame if all(each in self.said for each in self.file.neighbours(frame)) else None

    def next_steady(self) -> tuple[Any, ...]:
        """Return what the job of the frame that is ready needs; forget what no other does."""
        frame = self.coming.popleft()
        arguments = self.file.steady_arguments(frame, self.said)
        # also what a frame that is left out does not need itself
        first = self.coming[0] - self.file.steadying.frames if self.coming else frame + 1
        for each in [each for each in self.said if each < first]:
            del self.said[each]
        return arguments

    def progress(self, part: _Part, fraction: float) -> MaskStep:
        self.on_the_way[part] = min(fraction, 1.0)
        return MaskStep(self.file, "predicting", self.fraction, part.frame)

    def take(self, part: _Part, job: Job) -> Iterator[MaskStep]:
        """Write what a job predicted."""
        del self.on_the_way[part]
        frame = part.frame
        try:
            result = job.result(0)
            assert result is not None
            if part.says:
                if not self.failure:
                    self.said[frame] = result
            else:
                self.file.write(frame, result)
        except JobCancelledError:
            self.was_stopped = True
            self.break_off()
        except (EngineError, ValueError) as error:
            self.fail(error, frame)
        else:
            self.done += 1
            if part.says:
                yield MaskStep(self.file, "predicting", self.fraction, frame)
                return
            self.written += 1
            self.notes.update(result.notes)
            yield MaskStep(
                self.file, "written", self.fraction, frame, left=self.wanted - self.written
            )

    def end(self) -> Iterator[MaskStep]:
        """Put the frames together, or say why that cannot be."""
        notes = tuple(self.notes.most_common())
        if self.is_busy:
            yield MaskStep(self.file, "busy", 0.0, failure=self.failure)
        elif self.failure:
            yield MaskStep(
                self.file, "failed", 1.0, self.failed_frame, failure=self.failure, notes=notes
            )
        elif not self.was_stopped:
            if not self.file.missing:
                yield MaskStep(self.file, "joining", 1.0)
                self.file.finish()
            yield MaskStep(self.file, "finished", 1.0, notes=notes)
        self.file.release()


class _Masks:
    """Which frame of which mask each job predicts."""

    def __init__(
        self,
        files: Iterable[MaskFile],
        frames: Collection[int] | None,
        tile_px: int | None,
        device: Device,
        kind: Kind,
    ) -> None:
        self._files, self._frames = files, frames
        self._tile_px, self._device, self._kind = tile_px, device, kind
        self._open: deque[_Mask] = deque()
        self.busy: list[MaskFile] = []
        """What others make; to be tried again."""

    def tasks(self) -> Iterator[Task[tuple[_Mask, _Part]]]:
        """Yield one prediction after the other."""
        for file in self._files:
            mask = _Mask(file)
            self._open.append(mask)
            try:
                yield from self._tasks_of(mask)
            except RunError:
                raise
            except BusyError as error:
                self.busy.append(file)
                mask.is_busy = True
                mask.fail(error)
            except ValueError as error:
                mask.fail(error)
            mask.is_handed_out = True

    def _tasks_of(self, mask: _Mask) -> Iterator[Task[tuple[_Mask, _Part]]]:
        missing = mask.file.begin()
        if self._frames is not None:
            missing = tuple(frame for frame in missing if frame in self._frames)
        name = f"predicting {mask.file.micrograph.name}"
        for frame in mask.begin(missing):
            yield from self.steady_tasks()
            if mask.failure:
                return
            part = _Part(frame, says=mask.file.is_steadied)
            mask.on_the_way[part] = 0.0
            if part.says:
                arguments = mask.file.look_arguments(frame, self._tile_px, self._device)
                yield Task((mask, part), jobs.look_at_frame, arguments, name, self._kind)
            else:
                arguments = mask.file.arguments(frame, self._tile_px, self._device)
                yield Task((mask, part), jobs.predict_with_run, arguments, name, self._kind)

    def steady_tasks(self) -> Iterator[Task[tuple[_Mask, _Part]]]:
        """Yield the frames of steady masks for which all is said that they are made from."""
        for mask in list(self._open):
            while (frame := mask.ready) is not None:
                part = _Part(frame)
                arguments = mask.next_steady()
                mask.on_the_way[part] = 0.0
                name = f"steadying {mask.file.micrograph.name}"
                yield Task((mask, part), jobs.predict_steadily, arguments, name, self._kind)

    def break_off(self) -> None:
        """Wait for no frame any more: what is on the way is over."""
        for mask in self._open:
            mask.was_stopped |= bool(mask.coming)
            mask.break_off()

    def ended(self) -> Iterator[MaskStep]:
        """End the masks that are over."""
        for mask in [mask for mask in self._open if mask.is_over]:
            self._open.remove(mask)
            yield from mask.end()

    def release(self) -> None:
        """Let others make what was not finished here."""
        for mask in self._open:
            mask.file.release()


# what the window shows of it


@dataclass(frozen=True, slots=True)
class Step:
    """How far predictions on disk have come.

    Attributes
    ----------
    what : str
        What is being done, for the user.
    fraction : float
        From 0 to 1.
    seconds_left : float, optional
        None while that is not known.
    file : MaskFile, optional
        The mask that is being written.
    frame : int, optional
        The frame of it that was written last.
    """

    what: str
    fraction: float
    seconds_left: float | None = None
    file: MaskFile | None = None
    frame: int | None = None


@dataclass(slots=True)
class Outcome:
    """The outcome of a prediction: frames written, notes, and files that could not be predicted."""

    frames: int = 0
    files: int = 0
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    folder: Path | None = None
    stopped: bool = False

    def note(self, sentences: Iterable[str]) -> None:
        """Keep sentences, each once."""
        self.notes = tuple(dict.fromkeys((*self.notes, *sentences)))

    def take(self, step: MaskStep) -> None:
        """Count what was written and keep what is to be said."""
        self.frames += step.event == "written"
        self.note(f"{step.file.micrograph.name}: {note}" for note, _ in step.notes)


class _Clock:
    """Guesses how long it still takes, from how fast the fraction grows."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None

    def seconds_left(self, fraction: float) -> float | None:
        now = monotonic()
        if self._begun is None:
            self._begun = now, fraction
        begun, first = self._begun
        return (now - begun) / (fraction - first) * (1 - fraction) if fraction > first else None


def masks_folder(run: Path) -> Path:
    """Return the folder beside a run in which the window keeps its masks.

    Those of a run that was unpacked from a zip stand where runs are kept: the cache is no place
    for results.
    """
    if is_unpacked(run):
        return read_settings().runs_path / f"{run.name}_masks"
    return run.with_name(f"{run.name}_masks")


def predict_series(
    engine: AnyEngine,
    run: Run,
    micrograph: Micrograph,
    name: str,
    frames: Sequence[int] | None,
    resample: bool | None,
    stopped: Stopped,
    steadying: Steadying = NOT_STEADIED,
) -> Generator[Step, None, Outcome]:
    """Predict a series, or some frames of it, into an OME-Zarr beside the run.

    Frames that are there from the same run and image are kept. Yields a step a frame; the first
    step says which file it is.
    """
    outcome = Outcome(folder=masks_folder(run.folder), files=1)
    yield Step(f"reading {micrograph.name}", 0.0)
    file = own_mask_file(
        *(run, micrograph, masks_folder(run.folder), name, ".ome.zarr"),
        resample=resample,
        steadying=steadying,
    )
    yield Step(f"predicting {micrograph.name}", 0.0, file=file)
    if file.is_done:
        return outcome
    yield from _drift_steps(file, stopped)
    if stopped():
        outcome.stopped = True
        return outcome
    wanted = None if frames is None else set(frames)
    clock = _Clock()
    clock.seconds_left(0.0)
    outcome.stopped = True
    for step in predict_masks(engine, [file], frames=wanted, stopped=stopped):
        outcome.take(step)
        if step.event == "failed":
            raise EngineError(step.failure)
        if step.event == "finished":
            outcome.stopped = False
        elif step.event == "busy":
            yield Step(
                f"{micrograph.name}: {step.failure}; its masks are waited for", 0.0, file=file
            )
        elif step.event in ("written", "joining"):
            yield Step(
                _what(step), step.fraction, clock.seconds_left(step.fraction), file, step.frame
            )
    return outcome


def _drift_steps(file: MaskFile, stopped: Stopped) -> Iterator[Step]:
    """Measure the drift along which masks are made steady."""
    name, frames = file.micrograph.name, file.micrograph.frames
    for done in file.measure_drift(stopped):
        what = f"measuring the drift of {name}, frame {round(done * frames)} of {frames}"
        yield Step(what, 0.0, file=file)


def _what(step: MaskStep) -> str:
    name, frames = step.file.micrograph.name, step.file.micrograph.frames
    if frames == 1:
        return name
    if step.event == "joining":
        return f"putting the frames of {name} together"
    return name if step.frame is None else f"{name}, frame {step.frame + 1} of {frames}"


def predict_folder(
    engine: AnyEngine,
    run: Run,
    paths: Sequence[Path],
    out: Path,
    resample: bool | None,
    stopped: Stopped,
    steadying: Steadying = NOT_STEADIED,
) -> Generator[Step, None, Outcome]:
    """Predict files into calibrated TIFF masks of their names.

    What is there from the same run and image is kept; a file that cannot be read is named at the
    end and does not hold the others up.
    """
    outcome = Outcome(folder=out)
    if not paths:
        return outcome
    yield Step(f"{paths[0].name}, 1 of {len(paths)}", 0.0)
    folder = _Folder(run, paths, out, resample, steadying, outcome)
    clock = _Clock()
    failures = 0
    for step in predict_masks(engine, folder.files(stopped), stopped=stopped):
        outcome.take(step)
        path = folder.take(step)
        if step.event == "failed":
            failures += 1
            if failures == MOST_FAILURES:
                raise EngineError(step.failure)
        elif step.event == "finished":
            failures = 0
        what = f"predicting {path.name}, {paths.index(path) + 1} of {len(paths)}"
        fraction = folder.fraction
        yield Step(what, fraction, clock.seconds_left(fraction), step.file, step.frame)
    outcome.files = folder.finished
    outcome.stopped = stopped() and folder.fraction < 1
    return outcome


class _Folder:
    """Which masks each file of a folder has, and how far they are."""

    def __init__(
        self,
        run: Run,
        paths: Sequence[Path],
        out: Path,
        resample: bool | None,
        steadying: Steadying,
        outcome: Outcome,
    ) -> None:
        self._run, self._paths, self._out = run, paths, out
        self._resample, self._steadying, self._outcome = resample, steadying, outcome
        self._path_of: dict[Path, Path] = {}
        self._parts: dict[Path, dict[Path, float]] = {}
        self._read: set[Path] = set()
        self._refused: set[Path] = set()

    def files(self, stopped: Stopped) -> Iterator[MaskFile]:
        """Yield the masks that are not whole yet."""
        # the readers of all formats are not loaded for a dock to open
        from napari_tem_rf.micrographs.reading import image_name, read_micrographs

        for path in self._paths:
            if stopped():
                return
            self._parts[path] = {}
            try:
                found = read_micrographs(path)
                for micrograph in found:
                    name = image_name(path) if len(found) == 1 else micrograph.name
                    file = self._own(micrograph, name)
                    self._path_of[file.target] = path
                    self._parts[path][file.target] = float(file.is_done)
                    self._outcome.note(f"{micrograph.name}: {note}" for note in micrograph.notes)
                    for _ in file.measure_drift(stopped):
                        pass
                    if stopped():
                        return
                    if not file.is_done:
                        yield file
            except RunError:
                raise
            except ValueError as error:
                self._refuse(path, str(error))
            self._read.add(path)

    def _own(self, micrograph: Micrograph, name: str) -> MaskFile:
        """Return the mask of a micrograph, at a place that none of this folder's others has."""
        for number in count(1):
            stem = name if number == 1 else f"{name}_{number}"
            file = own_mask_file(
                *(self._run, micrograph, self._out, stem, ".tif"),
                resample=self._resample,
                steadying=self._steadying,
            )
            if file.target not in self._path_of:
                return file
        raise AssertionError("there is always another number")

    def take(self, step: MaskStep) -> Path:
        """Note how far a mask is, and return the file that it belongs to."""
        path = self._path_of[step.file.target]
        # a mask that is put together is not there yet
        whole = step.event in ("finished", "failed")
        self._parts[path][step.file.target] = 1.0 if whole else min(step.fraction, 0.999)
        if step.event == "failed":
            self._refuse(path, f"{path.name}: {step.failure}")
        return path

    def _refuse(self, path: Path, sentence: str) -> None:
        self._refused.add(path)
        self._outcome.refusals += (sentence,)

    @property
    def finished(self) -> int:
        """How many files have all their masks."""
        return sum(
            all(part == 1 for part in self._parts[path].values())
            for path in self._read - self._refused
        )

    @property
    def fraction(self) -> float:
        """How much of all is over, from 0 to 1."""
        total = 0.0
        for path, parts in self._parts.items():
            if path in self._refused and path in self._read:
                total += 1
            elif parts:
                total += sum(parts.values()) / len(parts)
        return total / len(self._paths)
