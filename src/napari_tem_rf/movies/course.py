"""What becomes of the particles of a series, frame by frame: number, coverage, mean size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_tem_rf.measuring.populations import SurveyedFrame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Course", "courses_of", "frame_numbers"]

_FEWEST_FRAMES = 3
"""With fewer there is no course in time."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The particles of one series in time.

    Attributes
    ----------
    image : str
        Name of the series.
    frames : DataFrame
        A row a frame: ``frame``, and what `frame_numbers` says.
    unit : str
        Unit of lengths.
    """

    image: str
    frames: "pd.DataFrame"
    unit: str


def frame_numbers(
    particles: "pd.DataFrame",
    frames: Sequence[int],
    shape: tuple[int, int],
    pixel_size_nm: tuple[float, float] | None,
) -> "pd.DataFrame":
    """Return what is said of the particles of each frame.

    Parameters
    ----------
    particles : DataFrame
        As `measure_particles` makes it, of all frames, with a column ``frame``.
    frames : sequence of int
        The frames, in order; there may be some without particles.
    shape : tuple of int
        (row, column) of a frame in px.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.

    Returns
    -------
    DataFrame
        A row a frame: ``frame``; ``number``; ``coverage``, the fraction of the area;
        ``mean_diameter`` and the borders of its 95 % interval (Student's t of the particles that
        the border does not cut), with their unit.
    """
    import pandas as pd
    from scipy.special import stdtrit  # Student's t; scipy.stats takes a second to import

    unit, area = ("px", "area_px") if pixel_size_nm is None else ("nm", "area_nm2")
    whole = float(np.prod(shape) * np.prod(pixel_size_nm or (1.0, 1.0)))
    count = len(frames)
    row = np.searchsorted(frames, particles["frame"].to_numpy())
    covered = np.bincount(row, particles[area].to_numpy(np.float64), count)
    numbers = {
        "frame": np.asarray(frames, np.intp),
        "number": np.bincount(row, minlength=count),
        "coverage": covered / whole,
    }
    inside = particles[~particles["touches_border"].to_numpy(bool)]
    diameter = inside[f"equivalent_diameter_{unit}"].to_numpy(np.float64)
    row = np.searchsorted(frames, inside["frame"].to_numpy())
    of_mean = np.bincount(row, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(row, diameter, count) / of_mean
        square = np.bincount(row, (diameter - mean[row]) ** 2, count)
        # of one particle there is no interval
        error = np.sqrt(square / np.where(of_mean > 1, of_mean - 1, np.nan) / of_mean)
    half = stdtrit(np.maximum(of_mean - 1, 1), 0.975) * error
    return pd.DataFrame(
        {
            **numbers,
            f"mean_diameter_{unit}": mean,
            f"mean_diameter_low_{unit}": mean - half,
            f"mean_diameter_high_{unit}": mean + half,
        }
    )


def courses_of(frames: Sequence[SurveyedFrame]) -> tuple[Course, ...]:
    """Return the course of each series among surveyed frames; single images have none."""
    import pandas as pd

    series: dict[str, list[SurveyedFrame]] = {}
    for each in frames:
        if each.frame is not None:
            series.setdefault(each.image, []).append(each)
    courses = []
    for image, members in series.items():
        if len(members) < _FEWEST_FRAMES:
            continue
        size = members[0].pixel_size_nm
        members.sort(key=lambda one: one.frame or 0)
        tables = []
        for each in members:
            table = each.table
            if not each.with_border:
                table = table[~table["touches_border"].astype(bool)]
            tables.append(table.assign(frame=each.frame))
        # a frame without particles has no types either
        filled = [table for table in tables if len(table)] or tables[:1]
        shown = [each.frame or 0 for each in members]
        rows = frame_numbers(pd.concat(filled, ignore_index=True), shown, members[0].shape, size)
        courses.append(Course(image, rows, "px" if size is None else "nm"))
    return tuple(courses)
