"""Every plot, drawn on a given matplotlib Axes: windows, reports and papers share them.

Each function draws on fresh Axes and dresses them, and their figure, in a `Theme`. matplotlib is
imported when something is drawn; its state machine (pyplot) never.
"""

from napari_tem_rf.figures.comparing import cost_against_score, score_curve
from napari_tem_rf.figures.micrographs import draw_outlines
from napari_tem_rf.figures.overview import overview
from napari_tem_rf.figures.particles import (
    FittedCurve,
    lattice_plot,
    shape_plot,
    size_histogram,
)
from napari_tem_rf.figures.theme import LIGHT, Theme, new_figure
from napari_tem_rf.figures.training import training_curve

__all__ = [
    "LIGHT",
    "FittedCurve",
    "Theme",
    "cost_against_score",
    "draw_outlines",
    "lattice_plot",
    "new_figure",
    "overview",
    "score_curve",
    "shape_plot",
    "size_histogram",
    "training_curve",
]
