"""The course of a series by numbers worked out by hand."""

import numpy as np
import pytest

from napari_tem_rf.measuring.particles import measure_particles
from napari_tem_rf.measuring.populations import SurveyedFrame
from napari_tem_rf.movies import courses_of

SHAPE = (20, 30)


def frame(
    image: str, number: int | None, sides: list[int], *, border: bool = True
) -> SurveyedFrame:
    """Return a frame with squares of these sides, and one at the border."""
    labels = np.zeros(SHAPE, np.int32)
    labels[-2:, :3] = len(sides) + 1
    for place, side in enumerate(sides):
        labels[4 : 4 + side, 2 + 9 * place : 2 + 9 * place + side] = place + 1
    size = (0.5, 0.5)
    table = measure_particles(labels, pixel_size_nm=size)
    return SurveyedFrame(image, number, SHAPE, size, table, np.zeros((0, 2), int), border)


def test_number_coverage_and_mean_size_of_each_frame() -> None:
    frames = [frame("a", at, sides) for at, sides in ((2, [6, 8]), (0, [4, 4]), (1, []))]
    (course,) = courses_of([*frames, frame("b", None, [5])])
    table = course.frames
    assert (course.image, course.unit) == ("a", "nm")
    assert table["frame"].tolist() == [0, 1, 2]
    assert table["number"].tolist() == [3, 1, 3]
    assert table["coverage"].tolist() == pytest.approx([38 / 600, 6 / 600, 106 / 600])
    # the one at the border does not count for the mean
    diameter = [2 * 0.5 * side / np.sqrt(np.pi) for side in (4, 6, 8)]
    assert table["mean_diameter_nm"][0] == pytest.approx(diameter[0])
    assert np.isnan(table["mean_diameter_nm"][1])
    assert table["mean_diameter_nm"][2] == pytest.approx((diameter[1] + diameter[2]) / 2)
    # Student's t of two values: 12.706 standard errors, which are half their difference
    half = table["mean_diameter_high_nm"][2] - table["mean_diameter_nm"][2]
    assert half == pytest.approx(12.706 * (diameter[2] - diameter[1]) / 2, rel=1e-4)


def test_without_those_at_the_border_they_count_nowhere() -> None:
    (course,) = courses_of([frame("a", at, [4], border=False) for at in range(3)])
    assert course.frames["number"].tolist() == [1, 1, 1]


def test_two_frames_are_no_course() -> None:
    assert courses_of([frame("a", at, [4]) for at in range(2)]) == ()
