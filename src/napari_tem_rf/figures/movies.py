"""Particles through time: number, coverage, mean size and mean squared displacement."""

from typing import TYPE_CHECKING

import numpy as np

from napari_tem_rf.figures.theme import LIGHT, Theme, dress

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "displacement_over_time",
    "draw_movie",
    "drift_over_time",
    "drift_path",
    "particles_over_time",
]


def particles_over_time(
    axes: "Axes", frames: "pd.DataFrame", column: str, label: str, theme: Theme = LIGHT
) -> None:
    """Draw a column of a table of frames against frame or time.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    frames : DataFrame
        As `napari_tem_rf.movies.frame_table` gives it; a column ``time_s`` makes the axis of time.
        The interval of a mean diameter is drawn as a band.
    column, label : str
        What is drawn, and its name on the axis.
    theme : Theme
    """
    timed = "time_s" in frames
    along = frames["time_s" if timed else "frame"].to_numpy(float)
    color = theme.colors[0]
    if column.startswith("mean_diameter_"):
        low, high = (
            frames[column.replace("mean_diameter", f"mean_diameter_{end}")]
            for end in ("low", "high")
        )
        axes.fill_between(along, low, high, color=color, alpha=0.25, linewidth=0)
    axes.plot(along, frames[column].to_numpy(float), color=color, linewidth=1.2)
    axes.set_xlabel("time (s)" if timed else "frame")
    axes.set_ylabel(label)
    dress(axes, theme)


def drift_path(axes: "Axes", offsets: "np.ndarray", unit: str = "px", theme: Theme = LIGHT) -> None:
    """Draw the path of a stage, as it is seen on the image: rows downwards.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    offsets : ndarray, shape (frame, 2)
        (row, column), in ``unit``.
    unit : str
    theme : Theme
    """
    rows, columns = np.asarray(offsets).T
    axes.plot(columns, rows, color=theme.colors[0], linewidth=1.0)
    axes.plot(columns[:1], rows[:1], "o", color=theme.colors[1], markersize=4)
    axes.set_xlabel(f"column ({unit})")
    axes.set_ylabel(f"row ({unit})")
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_yaxis()
    dress(axes, theme)


def drift_over_time(
    axes: "Axes",
    offsets: "np.ndarray",
    unit: str = "px",
    time_step_s: float | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Draw how far a stage has moved, down and to the right, against frame or time.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    offsets : ndarray, shape (frame, 2)
        (row, column), in ``unit``.
    unit : str
    time_step_s : float, optional
        Time from frame to frame; the axis is the frame's number where None.
    theme : Theme
    """
    along = np.arange(len(offsets)) * (1.0 if time_step_s is None else time_step_s)
    for axis, name in enumerate(("row", "column")):
        axes.plot(
            along, np.asarray(offsets)[:, axis], color=theme.colors[axis], linewidth=1.0, label=name
        )
    axes.set_xlabel("frame" if time_step_s is None else "time (s)")
    axes.set_ylabel(f"drift ({unit})")
    axes.legend(frameon=False, handlelength=1.2)
    dress(axes, theme)


def displacement_over_time(
    axes: "Axes", displacement: "pd.DataFrame", unit: str, theme: Theme = LIGHT
) -> None:
    """Draw the mean squared displacement against the time between, on logarithmic axes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    displacement : DataFrame
        As `napari_tem_rf.movies.mean_squared_displacement` gives it.
    unit : str
        Unit of lengths.
    theme : Theme
    """
    timed = "time_s" in displacement
    between = displacement["time_s" if timed else "frames"].to_numpy(float)
    square = displacement[f"msd_{unit}2"].to_numpy(float)
    axes.plot(between, square, color=theme.colors[0], linewidth=1.2)
    if len(between) > 1 and (square > 0).all():
        axes.set(xscale="log", yscale="log")
    axes.set_xlabel("time between (s)" if timed else "frames between")
    axes.set_ylabel(f"mean squared displacement ({unit}²)")
    dress(axes, theme)


def draw_movie(
    figure: "Figure",
    frames: "pd.DataFrame",
    displacement: "pd.DataFrame",
    unit: str,
    theme: Theme = LIGHT,
) -> None:
    """Draw number, coverage, mean diameter and mean squared displacement of a series.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        An empty figure.
    frames : DataFrame
        As `napari_tem_rf.movies.frame_table` gives it.
    displacement : DataFrame
        As `napari_tem_rf.movies.mean_squared_displacement` gives it.
    unit : str
        Unit of lengths.
    theme : Theme
    """
    (number, coverage), (size, moved) = figure.subplots(2, 2)
    particles_over_time(number, frames, "number", "particles", theme)
    particles_over_time(coverage, frames, "coverage", "coverage", theme)
    particles_over_time(size, frames, f"mean_diameter_{unit}", f"mean diameter ({unit})", theme)
    displacement_over_time(moved, displacement, unit, theme)
