"""Labels moved to the next frame: where the particles are that were moved there."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_tem_rf.movies.pushing import frame_offset, push_labels

SHAPE = (96, 131)


def picture(discs: list[tuple[int, int, int]], drift: tuple[int, int]) -> tuple[Any, Any]:
    """Return grey levels and numbered labels of discs on a film that has moved by a drift."""
    film = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(150, 190)), 1.5)
    top, left = 20 - drift[0], 20 - drift[1]
    grey = film[top : top + SHAPE[0], left : left + SHAPE[1]] / film.std()
    rows, columns = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    for number, (row, column, radius) in enumerate(discs, start=2):
        inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        grey = grey - 3 * inside
        labels[inside] = number
    return grey.astype(np.float32), labels


def test_particles_move_with_the_drift_and_by_themselves() -> None:
    drift = (4, -3)
    here, labels = picture([(30, 40, 7), (60, 80, 9), (70, 30, 6)], (0, 0))
    # the second one has moved by (-3, 5) besides
    there, truth = picture([(34, 37, 7), (61, 82, 9), (74, 27, 6)], drift)
    labels[2:6, 60:100] = 1  # background
    np.testing.assert_allclose(frame_offset(here, there), drift, atol=0.3)
    pushed = push_labels(labels, here, there, background=1)
    for number in (2, 4):
        np.testing.assert_array_equal(pushed.labels == number, truth == number)
    # the film around it, which went elsewhere, takes it along by a pixel at most
    places = [np.argwhere(each == 3).mean(axis=0) for each in (pushed.labels, truth)]
    np.testing.assert_allclose(*places, atol=1.01)
    expected = np.zeros(SHAPE, bool)
    expected[6:10, 57:97] = True
    np.testing.assert_array_equal(pushed.labels == 1, expected)
    assert (pushed.pieces, pushed.by_themselves) == (3, 1)


def test_what_leaves_the_frame_is_lost_and_nothing_wraps_round() -> None:
    here, labels = picture([(8, 8, 6)], (0, 0))
    there, _ = picture([(-2, 8, 6)], (-10, 0))
    pushed = push_labels(labels, here, there, np.array([-10.0, 0.0]))
    assert pushed.labels[:4].any()
    assert not pushed.labels[4:].any()


@pytest.mark.parametrize("there", [np.zeros(SHAPE), np.full(SHAPE, np.nan)])
def test_labels_stay_in_place_where_the_next_frame_is_black_or_broken(there: Any) -> None:
    here, labels = picture([(30, 40, 7)], (0, 0))
    np.testing.assert_array_equal(push_labels(labels, here, there).labels, labels)


def test_without_labels_nothing_is_moved() -> None:
    here, labels = picture([], (0, 0))
    pushed = push_labels(labels, here, here)
    assert (pushed.pieces, pushed.labels.any()) == (0, False)
