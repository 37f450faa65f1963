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
    table: "pd.DataFrame | None",
    shape: tuple[int, int],
    pixel_size_nm: tuple[float, float] | None,
) -> dict[str, float]:
    """Return what is said of the particles of a frame.

    Parameters
    ----------
    table : DataFrame, optional
        As `measure_particles` makes it; None: there are none.
    shape : tuple of int
        (row, column) of the frame in px.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.

    Returns
    -------
    dict of str to float
        ``number``; ``coverage``, the fraction of the area; ``mean_diameter`` and the borders of its
        95 % interval (Student's t of the particles that the border does not cut), with their unit.
    """
    from scipy.stats import t as student

    unit, area = ("px", "area_px") if pixel_size_nm is None else ("nm", "area_nm2")
    whole = float(np.prod(shape) * np.prod(pixel_size_nm or (1.0, 1.0)))
    mean = low = high = np.nan
    if table is not None:
        inside = table[~table["touches_border"].astype(bool)]
        diameters = inside[f"equivalent_diameter_{unit}"].to_numpy()
        if len(diameters):
            mean = float(diameters.mean())
        if len(diameters) > 1:
            half = student.ppf(0.975, len(diameters) - 1)
            half *= diameters.std(ddof=1) / np.sqrt(len(diameters))
            low, high = mean - half, mean + half
    return {
        "number": 0 if table is None else len(table),
        "coverage": 0.0 if table is None else table[area].sum() / whole,
        f"mean_diameter_{unit}": mean,
        f"mean_diameter_low_{unit}": low,
        f"mean_diameter_high_{unit}": high,
    }


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
        rows = []
        for each in sorted(members, key=lambda one: one.frame or 0):
            table = each.table
            if not each.with_border:
                table = table[~table["touches_border"].astype(bool)]
            rows.append({"frame": each.frame, **frame_numbers(table, each.shape, size)})
        courses.append(Course(image, pd.DataFrame(rows), "px" if size is None else "nm"))
    return tuple(courses)
