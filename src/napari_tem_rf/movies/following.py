"""The particles of a series of masks, measured frame by frame and ready to be tracked."""

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
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

_PLANES_LOOKED_AT = 8

_COUNTING, _DRIFTING = 0.05, 0.25
"""Shares of the work that come before the particles are measured."""


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
    numbered : bool
        Whether the masks had a number for each particle.
    """

    tables: "Mapping[int, pd.DataFrame]"
    frames: int
    shape: tuple[int, int]
    finding: Finding
    offsets_px: NDArray[np.float64]
    drift_is_of_masks: bool
    pixel_size_nm: tuple[float, float] | None = None
    numbered: bool = False

    def track(
        self, limits: Limits | Mapping[str, Any] | None = None, time_step_s: float | None = None
    ) -> Tracks:
        """Find the particles again from frame to frame; see `track_particles`."""
        return track_particles(
            self.tables,
            self.frames,
            self.shape,
            limits,
            offsets_px=self.offsets_px,
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
    pixel_size_nm: tuple[float, float] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[float, None, SeriesParticles | None]:
    """Measure the particles of all frames of a series of masks; yields the fraction done.

    Returns None when stopped.

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
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    stopped : callable
        Asked between frames.
    """
    counts: Counter[int] = Counter()
    some: list[NDArray[Any]] = []
    for frame in range(frames):
        if stopped():
            return None
        plane = np.asarray(planes(frame))
        counts.update(count_labels(plane))
        if len(some) < _PLANES_LOOKED_AT and plane.any():
            some.append(plane)
        yield _COUNTING * (frame + 1) / frames
    # a few numbers look like classes until it is seen where they lie
    meaning = find_meaning(some, "background", labels_are, counts)
    begun, of_masks = _COUNTING, offsets_px is None
    if offsets_px is None:
        offsets_px = np.zeros((frames, 2))
        if frames > 1:
            found = yield from _share_of(
                measure_drift(
                    lambda frame: np.asarray(planes(frame)) > 0, frames, MASK_DRIFT, stopped=stopped
                ),
                begun,
                _DRIFTING,
            )
            if stopped():
                return None
            offsets_px = found.offsets_px
        begun += _DRIFTING
    tables = yield from _share_of(
        measure_frames(planes, range(frames), meaning, finding, pixel_size_nm, stopped=stopped),
        begun,
        1 - begun,
    )
    if tables is None:
        return None
    rows, columns = np.asarray(planes(0)).shape
    return SeriesParticles(
        *(tables, frames, (rows, columns), finding),
        *(np.asarray(offsets_px), of_masks, pixel_size_nm, meaning.numbered),
    )


def measure_frames(
    planes: Callable[[int], NDArray[Any]],
    frames: Sequence[int],
    meaning: LabelMeaning,
    finding: Finding,
    pixel_size_nm: tuple[float, float] | None = None,
    *,
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
    stopped : callable
        Asked between frames.
    """
    tables: dict[int, pd.DataFrame] = {}
    surveyed = survey_frames(planes, frames, meaning, finding, pixel_size_nm)
    for frame, (found, _labels) in zip(frames, surveyed, strict=True):
        if stopped():
            return None
        tables[frame] = counted_table(found, finding, meaning.numbered)
        yield len(tables) / len(frames)
    return tables


def _share_of(
    job: Generator[float, None, Result], begun: float, share: float
) -> Generator[float, None, Result]:
    """Run a job as a share of a larger one, and return what it returns."""
    while True:
        try:
            yield begun + share * next(job)
        except StopIteration as end:
            result: Result = end.value
            return result
