"""Predictions of series and folders, written to disk as they come.

Whatever the length, a few frames are in the memory: those on their way to a worker and back.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from napari_tem_rf import jobs
from napari_tem_rf.engine import AnyEngine, EngineError, Job
from napari_tem_rf.jobs.mask_files import MaskFile, own_mask_file
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.reading import image_name, read_micrographs
from napari_tem_rf.runs import Run

ASK_SECONDS = 0.2

MOST_FAILURES = 3
"""After so many files that failed in a row it is not the files."""


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
    """What came of it: frames written, notes, and files that could not be predicted."""

    frames: int = 0
    files: int = 0
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    folder: Path | None = None
    stopped: bool = False

    def note(self, sentences: Iterable[str]) -> None:
        """Keep sentences, each once."""
        self.notes = tuple(dict.fromkeys((*self.notes, *sentences)))


def masks_folder(run: Path) -> Path:
    """Return the folder beside a run in which the window keeps its masks."""
    return run.with_name(f"{run.name}_masks")


def predict_series(
    engine: AnyEngine,
    run: Run,
    micrograph: Micrograph,
    name: str,
    frames: Sequence[int] | None,
    resample: bool,
    stopped: Callable[[], bool],
) -> Generator[Step, None, Outcome]:
    """Predict a series, or some frames of it, into an OME-Zarr beside the run.

    Frames that are there from the same run and image are kept. Yields a step a frame; the first
    step says which file it is.
    """
    outcome = Outcome(folder=masks_folder(run.folder), files=1)
    yield Step(f"reading {micrograph.name}", 0.0)
    file = own_mask_file(
        run, micrograph, masks_folder(run.folder), name, ".ome.zarr", resample=resample
    )
    yield Step(f"predicting {micrograph.name}", 0.0, file=file)
    if not file.is_done:
        yield from _predict_missing(engine, file, frames, outcome, stopped)
    return outcome


def predict_folder(
    engine: AnyEngine,
    run: Run,
    paths: Sequence[Path],
    out: Path,
    resample: bool,
    stopped: Callable[[], bool],
) -> Generator[Step, None, Outcome]:
    """Predict files into calibrated TIFF masks of their names, one file after the other.

    What is there from the same run and image is kept; a file that cannot be read is named at the
    end and does not hold the others up.
    """
    outcome = Outcome(folder=out)
    failures = 0
    for number, path in enumerate(paths):
        if stopped():
            outcome.stopped = True
            break
        what = f"{path.name}, {number + 1} of {len(paths)}"
        yield Step(what, number / len(paths))
        try:
            found = read_micrographs(path)
            for micrograph in found:
                name = image_name(path) if len(found) == 1 else micrograph.name
                file = own_mask_file(run, micrograph, out, name, ".tif", resample=resample)
                outcome.note(f"{micrograph.name}: {note}" for note in micrograph.notes)
                if file.is_done:
                    continue
                for step in _predict_missing(engine, file, None, outcome, stopped):
                    fraction = (number + step.fraction) / len(paths)
                    left = step.seconds_left if number == len(paths) - 1 else None
                    yield Step(f"predicting {what}", fraction, left, file, step.frame)
        except EngineError as error:
            failures += 1
            if failures == MOST_FAILURES:
                raise
            outcome.refusals += (f"{path.name}: {error}",)
        except ValueError as error:
            outcome.refusals += (str(error),)
        else:
            failures = 0
            outcome.files += not outcome.stopped
    return outcome


def _predict_missing(
    engine: AnyEngine,
    file: MaskFile,
    frames: Sequence[int] | None,
    outcome: Outcome,
    stopped: Callable[[], bool],
) -> Generator[Step, None, None]:
    """Predict and write what is missing of a mask, with as many frames on the way as can run."""
    wanted = range(file.micrograph.frames) if frames is None else set(frames)
    missing = [index for index in file.begin() if index in wanted]
    name, total = file.micrograph.name, file.micrograph.frames
    coming = iter(missing)
    on_the_way: deque[tuple[int, Job]] = deque()
    begun, done = monotonic(), 0
    try:
        while not stopped():
            # one more than can run, so that no worker waits for its next frame
            while len(on_the_way) <= engine.width and (index := next(coming, None)) is not None:
                job = engine.submit(
                    jobs.predict,
                    *file.arguments(index),
                    name=f"predicting {name}",
                    kind="quick",
                )
                on_the_way.append((index, job))
            if not on_the_way:
                break
            index, job = on_the_way[0]
            try:
                result = job.result(ASK_SECONDS)
            except TimeoutError:
                continue
            on_the_way.popleft()
            file.write(index, result)
            done += 1
            outcome.frames += 1
            outcome.note(f"{name}: {note}" for note in result.notes)
            left = (monotonic() - begun) / done * (len(missing) - done)
            what = f"{name}, frame {index + 1} of {total}" if total > 1 else name
            yield Step(what, done / len(missing), left, file, index)
    finally:
        for _, job in on_the_way:
            job.cancel()
    outcome.stopped = done < len(missing)
    if not file.missing:
        yield Step(f"putting the frames of {name} together" if total > 1 else name, 1.0, None, file)
        file.finish()


def guarded(
    steps: Callable[[Callable[[], bool]], Generator[Step, None, Outcome]],
    stopped: Callable[[], bool],
) -> Generator[Step, None, tuple[Outcome | None, str]]:
    """Run predictions to their end; return what came of them, or a sentence on why nothing did."""
    try:
        outcome = yield from steps(stopped)
    except (EngineError, OSError, ValueError) as error:
        return None, str(error)
    except Exception as error:
        # whatever it is, the window goes on and the user sees it
        return None, f"{type(error).__name__}: {error}"
    return outcome, ""
