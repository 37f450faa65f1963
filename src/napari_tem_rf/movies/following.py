"""The particles of a series of masks, measured frame by frame and ready to be tracked."""

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.series import Finding, counted_table, survey_frames
from napari_tem_rf.micrographs.label_meaning import count_labels, find_meaning
from napari_tem_rf.movies.drift import DriftSettings, measure_drift
from napari_tem_rf.movies.linking import Limits
from napari_tem_rf.movies.tracks import Tracks, track_particles
from napari_tem_rf.protocol import LabelsAre

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SeriesParticles", "measure_series"]

_OF_MASKS = DriftSettings(reach=2, steps=10)
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
            job = measure_drift(
                lambda frame: np.asarray(planes(frame)) > 0, frames, _OF_MASKS, stopped=stopped
            )
            while True:
                try:
                    yield _COUNTING + _DRIFTING * next(job)
                except StopIteration as end:
                    found = end.value
                    break
            if stopped():
                return None
            offsets_px = found.offsets_px
        begun += _DRIFTING
    tables: dict[int, pd.DataFrame] = {}
    for frame, (surveyed, _labels) in enumerate(
        survey_frames(planes, range(frames), meaning, finding, pixel_size_nm)
    ):
        if stopped():
            return None
        tables[frame] = counted_table(surveyed, finding, meaning.numbered)
        yield begun + (1 - begun) * (frame + 1) / frames
    rows, columns = np.asarray(planes(0)).shape
    return SeriesParticles(
        *(tables, frames, (rows, columns), finding),
        *(np.asarray(offsets_px), of_masks, pixel_size_nm, meaning.numbered),
    )
