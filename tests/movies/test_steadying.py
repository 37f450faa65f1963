"""Probabilities averaged along the drift, against the same by hand and by scipy."""

import numpy as np
import pytest
from scipy import ndimage

from napari_tem_rf.movies.steadying import Steadying, averaged_along, neighbours_of

SHAPE = (2, 23, 31)


def planes(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 128, SHAPE).astype(np.uint8) for _ in range(number)]


def test_what_stands_still_is_averaged_pixel_by_pixel() -> None:
    three = planes(3)
    found = averaged_along(three, [np.zeros(2)] * 3)
    np.testing.assert_allclose(found, np.mean(three, axis=0) / 255, atol=1e-6)


@pytest.mark.parametrize("moved", [(3, -4), (-2, 5), (0, 7)])
def test_whole_pixels_are_moved_back_and_what_is_not_shown_does_not_count(
    moved: tuple[int, int],
) -> None:
    """A frame in which all has moved by (3, -4) shows the pixel (r, c) at (r + 3, c - 4)."""
    own, other = planes(2)
    found = averaged_along([own, other], [np.zeros(2), np.array(moved, float)])
    for row in range(SHAPE[1]):
        for column in range(SHAPE[2]):
            there = row + moved[0], column + moved[1]
            values = [own[:, row, column]]
            if 0 <= there[0] < SHAPE[1] and 0 <= there[1] < SHAPE[2]:
                values.append(other[:, *there])
            expected = np.mean(values, axis=0) / 255
            np.testing.assert_allclose(found[:, row, column], expected, atol=1e-6)


def test_parts_of_a_pixel_are_interpolated_as_scipy_does() -> None:
    own, other = planes(2)
    ahead = np.array([1.25, -2.6])
    found = averaged_along([own, other], [np.zeros(2), ahead])
    moved = np.stack([ndimage.shift(plane.astype(float), -ahead, order=1) for plane in other])
    inside = (slice(None), slice(3, -3), slice(4, -4))
    expected = (own[inside] + moved[inside]) / 2 / 255
    np.testing.assert_allclose(found[inside], expected, atol=1e-6)
    assert found.max() <= 128 / 255


def test_a_frame_that_shows_another_place_adds_nothing() -> None:
    own, other = planes(2)
    found = averaged_along([own, other], [np.zeros(2), np.array([0.0, 40.0])])
    np.testing.assert_allclose(found, own / 255, atol=1e-6)


def test_the_mean_of_noise_is_steadier_by_the_root_of_the_number() -> None:
    rng = np.random.default_rng(11)
    noisy = [rng.normal(120, 20, (1, 97, 101)).round().astype(np.uint8) for _ in range(5)]
    found = averaged_along(noisy, [np.zeros(2)] * 5)
    assert found.std() == pytest.approx(20 / 255 / np.sqrt(5), rel=0.03)


@pytest.mark.parametrize(
    ("frame", "left_out", "expected"),
    [
        (0, (), (0, 1, 2)),
        (4, (), (2, 3, 4, 5, 6)),
        (8, (), (6, 7, 8)),
        (4, (3, 6), (2, 4, 5)),
        (4, (4,), (4,)),
    ],
)
def test_neighbours(frame: int, left_out: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert neighbours_of(frame, 9, 2, left_out) == expected


def test_what_is_done_is_said() -> None:
    assert Steadying().sentence == ""
    assert "the 3 frames before and after" in Steadying(3).sentence
    with pytest.raises(ValueError, match="from 0 to 20"):
        Steadying(21)
