"""The figures of a report on particles."""

from typing import TYPE_CHECKING

import numpy as np

from napari_tem_rf.figures import (
    FittedCurve,
    draw_outlines,
    lattice_plot,
    shape_plot,
    size_histogram,
)
from napari_tem_rf.figures.movies import particles_over_time
from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.measuring.populations import Population
from napari_tem_rf.movies import Course
from napari_tem_rf.particle_report.content import Example
from napari_tem_rf.particle_report.wording import quantity_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COURSES",
    "draw_course",
    "draw_example",
    "draw_lattices",
    "draw_shapes",
    "draw_sizes",
    "rasterise",
]

COURSES = {
    "number": "number of particles",
    "coverage": "coverage",
    "mean_diameter": "mean diameter",
}
"""What is drawn of a series in time, and its name."""

_MOST_CURVES = 2
_MANY_POINTS = 500


def draw_sizes(axes: "Axes", population: Population) -> None:
    """Draw the histogram with the best fits and the mean's interval."""
    mean = population.found.mean
    size_histogram(
        axes,
        population.sizes,
        population.unit,
        quantity_words(population),
        fits=[FittedCurve(fit.name, fit.density) for fit in population.fits[:_MOST_CURVES]],
        mean=(mean.value, mean.low, mean.high),
    )


def draw_shapes(axes: "Axes", population: Population) -> None:
    """Draw aspect ratio against circularity."""
    shape_plot(axes, population.aspect_ratio, population.circularity)


def draw_lattices(axes: "Axes", population: Population) -> None:
    """Draw lattice spacings over directions."""
    spacing, error, angle, _ = population.lattices.T
    lattice_plot(axes, spacing, error, angle, population.length_unit)


def draw_example(axes: "Axes", example: Example) -> None:
    """Draw the outlines of particles on their image."""
    draw_outlines(
        axes,
        example.pixels,
        example.labels,
        example.pixel_size_nm,
        colors=CLASS_COLORS[1:],
        title=example.title,
    )


def draw_course(axes: "Axes", course: Course, what: str) -> None:
    """Draw one of `COURSES` against the frame."""
    column, label = what, COURSES[what]
    if what == "mean_diameter":
        column, label = f"{what}_{course.unit}", f"{label} ({course.unit})"
    particles_over_time(axes, course.frames, column, label)


def rasterise(axes: "Axes") -> None:
    """Turn thousands of points into pixels: drawn one by one they make megabytes."""
    for artist in axes.collections:
        artist.set_rasterized(np.size(artist.get_offsets()) > _MANY_POINTS)
    for line in axes.lines:
        line.set_rasterized(np.size(line.get_xdata()) > _MANY_POINTS)
