"""Movies: the drift of the stage, and particles through time."""

from napari_tem_rf.movies.aligning import moved_back, write_aligned
from napari_tem_rf.movies.corrections import EditedTracks, correct, why_not_correct
from napari_tem_rf.movies.course import Course, courses_of
from napari_tem_rf.movies.drift import Drift, DriftSettings, measure_drift
from napari_tem_rf.movies.following import SeriesParticles, measure_series
from napari_tem_rf.movies.linking import Limits, suggest_limits
from napari_tem_rf.movies.steadying import Steadying
from napari_tem_rf.movies.tracks import (
    Correction,
    Tracks,
    frame_table,
    mean_squared_displacement,
    track_particles,
    track_table,
)

__all__ = [
    "Correction",
    "Course",
    "Drift",
    "DriftSettings",
    "EditedTracks",
    "Limits",
    "SeriesParticles",
    "Steadying",
    "Tracks",
    "correct",
    "courses_of",
    "frame_table",
    "mean_squared_displacement",
    "measure_drift",
    "measure_series",
    "moved_back",
    "suggest_limits",
    "track_particles",
    "track_table",
    "why_not_correct",
    "write_aligned",
]
