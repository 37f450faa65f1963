import numpy as np
import pytest

from napari_tem_rf.networks.effective_field import (
    effective_field_of,
    grid_on,
    grid_pixels,
    smallest_square,
)


def test_one_hot_pixel_off_centre_needs_a_square_that_reaches_it():
    heat = np.zeros((11, 13))
    heat[7, 4] = 2.0
    # distance 3 rows and 2 columns from (4, 6): the ring of radius 3, a square of 7
    assert smallest_square(heat, (4, 6), 0.5) == 7
    assert smallest_square(heat, (7, 4), 0.95) == 1


def test_flat_heat_agrees_with_counting():
    heat = np.ones((21, 21))
    # of 441 px, 15 x 15 = 225 are the first odd square with half of them, 21 x 21 with 95 %
    assert smallest_square(heat, (10, 10), 0.5) == 15
    assert smallest_square(heat, (10, 10), 0.95) == 21


def test_agrees_with_trying_every_square():
    heat = np.random.default_rng(752).gamma(0.3, size=(31, 23)).astype(np.float32)
    for at in ((0, 0), (17, 5), (30, 22)):
        for fraction in (0.1, 0.5, 0.95, 1.0):
            half = next(
                h
                for h in range(64)
                if heat[max(at[0] - h, 0) : at[0] + h + 1, max(at[1] - h, 0) : at[1] + h + 1].sum(
                    dtype=np.float64
                )
                >= fraction * heat.sum(dtype=np.float64) * (1 - 1e-12)
            )
            assert smallest_square(heat, at, fraction) == 2 * half + 1


def test_no_influence_at_all_has_no_width():
    field = effective_field_of(np.zeros((5, 7)), (3, 2), (4, 5))
    assert (field.total, field.w50_px, field.w95_px) == (0.0, 0, 0)


@pytest.mark.parametrize(("at", "fraction"), [((5, 0), 0.5), ((0, -1), 0.5), ((0, 0), 0.0)])
def test_what_makes_no_sense_is_refused(at, fraction):
    with pytest.raises(ValueError, match=r"fraction|pixel"):
        smallest_square(np.ones((5, 7)), at, fraction)


def test_a_field_says_where_its_heat_lies_and_of_how_many_pixels_it_is():
    heat = np.zeros((5, 7))
    heat[1, 4] = 3.0  # the pixel itself: a square of 1 px holds all
    field = effective_field_of(heat, (3, 2), (4, 6), pixels=9)
    assert field.heat.dtype == np.float32
    assert np.array_equal(field.heat, heat)
    assert (field.origin, field.at, field.pixels) == ((3, 2), (4, 6), 9)
    assert (field.total, field.w50_px, field.w95_px) == (3.0, 1, 1)
    assert effective_field_of(heat, (3, 2), (4, 6)).pixels == 1


def test_half_and_nearly_all_are_told_apart():
    heat = np.zeros((9, 11))
    heat[4, 5], heat[3, 5], heat[1, 5] = 6.0, 3.5, 0.5  # 60 %, 95 % and 100 %
    field = effective_field_of(heat, (0, 0), (4, 5))
    assert (field.w50_px, field.w95_px) == (1, 3)


@pytest.mark.parametrize(
    ("shape", "number", "grid"),
    [
        ((60, 90), 6, (2, 3)),  # squares of 30 px
        ((100, 100), 100, (10, 10)),
        ((5, 500), 4, (1, 20)),  # squares of 25 px: half of one is one
        ((3, 4), 1000, (3, 4)),  # no more squares than pixels
    ],
)
def test_a_grid_of_squares(shape, number, grid):
    rows, columns = grid_on(shape, number)
    assert (rows, columns) == grid


def test_a_grid_measures_the_middles_of_its_cells():
    assert grid_pixels(100, 4) == [12, 37, 62, 87]
    assert grid_pixels(7, 7) == [0, 1, 2, 3, 4, 5, 6]
