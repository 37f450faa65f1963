"""The particles of a series of masks, measured frame by frame and ready to be tracked."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.series import Finding, counted_table, survey_frames
from napari_tem_rf.micrographs.label_meaning import LabelMeaning, count_labels, find_meaning
from napari_tem_rf.movies.drift import DriftSettings, measure_drift
from napari_tem_rf.movies.linking import Limits
from napari_tem_rf.movies.tracks import Tracks, track_particles
from napari_tem_rf.protocol import LabelsAre

if TYPE_CHECKING:
    import pandas as pd

Result = TypeVar("Result")

__all__ = ["MASK_DRIFT", "SeriesParticles", "measure_frames", "measure_series"]

MASK_DRIFT = DriftSettings(reach=2, steps=10)
"""How the drift is measured from masks: they have no noise, and whole pixels are enough."""

_LOOKED_AT = 8
"""In so many frames it is seen what the values of the masks mean."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesParticles:
    """The particles of all frames, before it is known which are the same.

    Attributes
    ----------
    tables : dict of int to DataFrame
        As `measure_particles` measures them, by frame.
    frames : int
        Number of frames.
    shape : tuple of int
        (row, column) of a frame in px.
    finding : Finding
        How they were found.
    offsets_px : ndarray, shape (frame, 2)
        The drift, (row, column).
    drift_is_of_masks : bool
        Whether the drift was measured from the masks, for want of another.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    meaning : LabelMeaning
        What the values of the masks were taken for.
    """

    tables: "Mapping[int, pd.DataFrame]"
    frames: int
    shape: tuple[int, int]
    finding: Finding
    offsets_px: NDArray[np.float64]
    drift_is_of_masks: bool
    pixel_size_nm: tuple[float, float] | None
    meaning: LabelMeaning

    @property
    def numbered(self) -> bool:
        """Whether the masks had a number for each particle."""
        return self.meaning.numbered

    def track(
        self,
        limits: Limits | Mapping[str, Any] | None = None,
        time_step_s: float | None = None,
        left_out: Mapping[int, str] | None = None,
    ) -> Tracks:
        """Find the particles again from frame to frame; see `track_particles`."""
        return track_particles(
            self.tables,
            self.frames,
            self.shape,
            limits,
            offsets_px=self.offsets_px,
            left_out=left_out,
            pixel_size_nm=self.pixel_size_nm,
            time_step_s=time_step_s,
        )


def measure_series(
    planes: Callable[[int], NDArray[Any]],
    frames: int,
    finding: Finding,
    *,
    offsets_px: NDArray[np.float64] | None = None,
    labels_are: LabelsAre = "auto",
    left_out: Mapping[int, str] = MappingProxyType({}),
    pixel_size_nm: tuple[float, float] | None = None,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[float, None, SeriesParticles | None]:
    """Measure the particles of all frames of a series of masks; yields the fraction done.

    Returns None when stopped. Each frame is asked for once; a second time only where the last
    frames show that values which looked like classes are numbers of particles.

    Parameters
    ----------
    planes : callable
        Gives the mask of a frame, shape (row, column); all of one shape.
    frames : int
        Number of frames.
    finding : Finding
    offsets_px : ndarray, shape (frame, 2), optional
        The drift, (row, column); measured from the masks where None.
    labels_are : {"auto", "classes", "particles"}
        Whether the masks hold classes, or a number for each particle.
    left_out : mapping of int to str
        Frames that cannot be measured, and why.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    threads : int
        In how many threads frames are measured, as many at the same time; all but a fifth of that
        work is outside of Python. ``planes`` is called in the caller's own.
    stopped : callable
        Asked between frames.
    """
    ahead = {
        frame: np.asarray(planes(frame))
        for frame in islice((each for each in range(frames) if each not in left_out), _LOOKED_AT)
    }
    shape: tuple[int, ...] = next(iter(ahead.values())).shape if ahead else (0, 0)
    some = [plane for plane in ahead.values() if plane.any()]
    guess = find_meaning(some, "background", labels_are)
    counts: Counter[int] = Counter()
    tables: dict[int, pd.DataFrame] = {}
    troubles: list[ValueError] = []

    def read(frame: int) -> NDArray[Any]:
        return ahead.pop(frame) if frame in ahead else np.asarray(planes(frame))

    def measure(plane: NDArray[Any]) -> "tuple[NDArray[Any], dict[int, int], pd.DataFrame]":
        (found, _), *_ = survey_frames(lambda _: plane, [0], guess, finding, pixel_size_nm)
        return plane, count_labels(plane), counted_table(found, finding, guess.numbered)

    there = [frame for frame in range(frames) if frame not in left_out]
    measured = _in_threads(measure, read, there, threads)

    def look(frame: int) -> NDArray[np.bool_]:
        """Measure a frame and return where its particles are: it is read once for all."""
        if frame in left_out:
            raise ValueError(left_out[frame])
        try:
            plane, counted, tables[frame] = next(measured)
        except ValueError as trouble:  # not that of a frame that only the drift leaves out
            troubles.append(trouble)
            raise
        counts.update(counted)
        if len(some) < _LOOKED_AT and plane.any():
            some.append(plane)
        where: NDArray[np.bool_] = plane != guess.background if guess.background else plane > 0
        return where

    of_masks = offsets_px is None
    if offsets_px is not None or frames < 2:
        for frame in range(frames):
            if stopped():
                return None
            if frame not in left_out:
                look(frame)
            yield (frame + 1) / frames
        offsets_px = np.zeros((frames, 2)) if offsets_px is None else offsets_px
    else:
        drifting = measure_drift(look, frames, MASK_DRIFT, stopped=stopped)
        while of_masks:
            try:
                yield next(drifting)
            except StopIteration as end:
                offsets_px = end.value.offsets_px
                break
            if troubles:
                raise troubles[0]
        if stopped():
            return None
    if troubles:
        raise troubles[0]
    # a few numbers look like classes until it is seen where all of them lie
    meaning = find_meaning(some, "background", labels_are, counts)
    if (meaning.numbered, meaning.background) != (guess.numbered, guess.background):
        again = yield from measure_frames(
            *(planes, list(tables), meaning, finding, pixel_size_nm),
            threads=threads,
            stopped=stopped,
        )
        if again is None:
            return None
        tables = again
    return SeriesParticles(
        *(tables, frames, (shape[0], shape[1]), finding),
        *(np.asarray(offsets_px), of_masks, pixel_size_nm, meaning),
    )


def measure_frames(
    planes: Callable[[int], NDArray[Any]],
    frames: Sequence[int],
    meaning: LabelMeaning,
    finding: Finding,
    pixel_size_nm: tuple[float, float] | None = None,
    *,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> "Generator[float, None, dict[int, pd.DataFrame] | None]":
    """Measure the particles of some frames of masks; yields the fraction done.

    Returns a table for each frame as `measure_particles` makes it, without what does not count;
    None when stopped.

    Parameters
    ----------
    planes : callable
        Gives the mask of a frame, shape (row, column).
    frames : sequence of int
    meaning : LabelMeaning
        What the values of the masks mean.
    finding : Finding
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    threads : int
        As for `measure_series`.
    stopped : callable
        Asked between frames.
    """

    def measure(plane: NDArray[Any]) -> "pd.DataFrame":
        (found, _), *_ = survey_frames(lambda _: plane, [0], meaning, finding, pixel_size_nm)
        return counted_table(found, finding, meaning.numbered)

    tables: dict[int, pd.DataFrame] = {}
    measured = _in_threads(measure, lambda frame: np.asarray(planes(frame)), frames, threads)
    for frame in frames:
        if stopped():
            measured.close()
            return None
        tables[frame] = next(measured)
        yield len(tables) / len(frames)
    return tables


def _in_threads(
    measure: Callable[[NDArray[Any]], Result],
    read: Callable[[int], NDArray[Any]],
    frames: Iterable[int],
    threads: int,
) -> Generator[Result, None, None]:
    """Yield what is measured of frames, in their order; a few of them are in the memory."""
    if threads < 2:
        for frame in frames:
            yield measure(read(frame))
        return
    with ThreadPoolExecutor(threads, "frame") as pool:
        coming: deque[Future[Result]] = deque()
        for frame in frames:
            coming.append(pool.submit(measure, read(frame)))
            if len(coming) > threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
