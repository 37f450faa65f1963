"""Predictions of many images on the workers of a cluster, a frame a worker."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from napari_tem_rf import jobs
from napari_tem_rf.cli.output import Progress
from napari_tem_rf.engine import AnyEngine, EngineError, Job
from napari_tem_rf.jobs.mask_files import MaskFile


def predict_on(
    engine: AnyEngine,
    files: Iterable[MaskFile],
    tile: int | None,
    device: str,
    progress: Progress,
    finished: Callable[[MaskFile, str], None],
) -> None:
    """Predict what is missing of many mask files, as many frames at once as there are workers.

    Parameters
    ----------
    engine : AnyEngine
        Its workers see the run at the same path.
    files : iterable of MaskFile
        Taken as workers become free, so that few images are in memory at a time.
    tile : int, optional
        Side of a tile in px.
    device : str
    progress : Progress
    finished : callable
        Called with each file that is over and why it failed; an empty text where it is whole.

    Raises
    ------
    EngineError
        When no scheduler answers, or it is gone.
    """
    course = _Course(files, tile, device, finished)
    for index, job in engine.map_unordered(
        jobs.predict_with_run, course.frames(), name="the prediction"
    ):
        if engine.state == "lost":
            job.result(0)  # raises why
        course.take(index, job, progress)


@dataclass(slots=True, eq=False)
class _Mask:
    """A mask file on its way."""

    file: MaskFile
    handed_out: bool = False
    waiting: set[int] = field(default_factory=set)
    failure: str = ""


class _Course:
    """Which frame of which file each job predicts."""

    def __init__(
        self,
        files: Iterable[MaskFile],
        tile: int | None,
        device: str,
        finished: Callable[[MaskFile, str], None],
    ) -> None:
        self._files, self._tile, self._device = files, tile, device
        self._finished = finished
        self._number = 0
        self._jobs: dict[int, tuple[_Mask, int]] = {}

    def frames(self) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of one prediction after the other."""
        for file in self._files:
            mask = _Mask(file)
            try:
                missing = file.begin()
                for frame in missing:
                    arguments = file.arguments(frame, self._tile, self._device)  # type: ignore[arg-type]
                    mask.waiting.add(frame)
                    self._jobs[self._number] = mask, frame
                    self._number += 1
                    yield arguments
            except ValueError as error:
                mask.failure = str(error)
            mask.handed_out = True
            self._end(mask)

    def take(self, index: int, job: Job, progress: Progress) -> None:
        """Write what a job predicted."""
        mask, frame = self._jobs.pop(index)
        mask.waiting.discard(frame)
        try:
            result = job.result(0)
            assert result is not None
            mask.file.write(frame, result)
            for note in result.notes:
                progress.line(f"{mask.file.micrograph.name}: {note}")
        except (EngineError, ValueError) as error:
            mask.failure = mask.failure or mask.file.failure(frame, error)
        self._end(mask)

    def _end(self, mask: _Mask) -> None:
        if mask.waiting or not mask.handed_out:
            return
        if not mask.failure:
            mask.file.finish()
        self._finished(mask.file, mask.failure)
