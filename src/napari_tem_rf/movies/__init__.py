"""Movies: the drift of the stage, and particles through time."""

from napari_tem_rf.movies.aligning import moved_back, write_aligned
from napari_tem_rf.movies.drift import Drift, DriftSettings, measure_drift
from napari_tem_rf.movies.linking import Limits, suggest_limits
from napari_tem_rf.movies.tracks import (
    Tracks,
    frame_table,
    mean_squared_displacement,
    track_particles,
    track_table,
)

__all__ = [
    "Drift",
    "DriftSettings",
    "Limits",
    "Tracks",
    "frame_table",
    "mean_squared_displacement",
    "measure_drift",
    "moved_back",
    "suggest_limits",
    "track_particles",
    "track_table",
    "write_aligned",
]
