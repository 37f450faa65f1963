"""What finishing does to masks: hand-drawn cases, areas of circles, another library."""

from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import remove_small_holes, remove_small_objects

from napari_tem_rf.measuring.finishing import (
    UNFINISHED,
    Finishing,
    circle_area,
    circle_diameter,
    decide,
    finish,
    finish_prediction,
    nm_sentence,
)

SHAPE = (67, 83)


def discs(*places, shape=SHAPE, values=None):
    """Return a mask of discs (row, column, radius), with 1 or the values."""
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, np.uint8)
    for number, (row, column, radius) in enumerate(places):
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        mask[inside] = 1 if values is None else values[number]
    return mask


def test_specks_and_holes_go_as_another_library_has_them_go():
    rng = np.random.default_rng(752)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.5)
    mask = noise > 0.05
    mask[0] = mask[-1] = mask[:, 0] = mask[:, -1] = False  # nothing is cut by the border
    area = 20
    diameter = circle_diameter(area) - 1e-6
    finished = finish(mask, Finishing(smallest_px=diameter, hole_px=diameter))
    if "max_size" in signature(remove_small_objects).parameters:
        objects = holes = {"max_size": area - 1}
    else:  # scikit-image before 0.26
        objects, holes = {"min_size": area}, {"area_threshold": area}
    expected = remove_small_objects(mask, connectivity=2, **objects)
    expected = remove_small_holes(expected, connectivity=1, **holes)
    assert ndimage.label(mask, np.ones((3, 3)))[1] > ndimage.label(expected, np.ones((3, 3)))[1]
    np.testing.assert_array_equal(finished, expected)
    assert finished.dtype == mask.dtype


def test_a_length_is_the_diameter_of_a_circle():
    assert circle_area(10) == pytest.approx(78.54, abs=0.01)
    assert circle_diameter(circle_area(7.3)) == pytest.approx(7.3)
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:10, 5:10] = 1  # 25 px: a circle 5.64 px across
    assert finish(mask, Finishing(smallest_px=5.6)).sum() == 25
    assert finish(mask, Finishing(smallest_px=5.7)).sum() == 0


def test_at_the_border_half_the_diameter_is_enough():
    mask = discs((0, 30, 6), (40, 40, 6), (66, 60, 2))
    whole, half, slip = (mask[40 - 7 : 40 + 8].sum(), mask[:10].sum(), mask[60:].sum())
    assert half < whole
    assert slip < whole / 4
    finished = finish(mask, Finishing(smallest_px=circle_diameter(whole - 0.5)))
    assert finished[:10].sum() == half
    assert finished[33:48].sum() == whole
    assert finished[60:].sum() == 0


def test_a_hole_open_to_the_border_is_none():
    mask = np.ones(SHAPE, np.uint8)
    mask[0:3, 20] = 0
    mask[30:32, 40] = 0
    finished = finish(mask, Finishing(hole_px=10))
    assert finished[30:32, 40].all()
    assert not finished[0:3, 20].any()


def test_classes_are_kept():
    """A speck in a particle of another class becomes that class, one alone becomes background."""
    mask = discs((20, 20, 12), (20, 20, 2), (50, 60, 2), (50, 20, 9), values=(1, 2, 2, 2))
    mask[45, 18] = 0  # a hole
    finished = finish(mask, Finishing(smallest_px=8, hole_px=8))
    expected = discs((20, 20, 12), (50, 20, 9), values=(1, 2))
    np.testing.assert_array_equal(finished, expected)


def test_a_particle_whose_every_part_is_small_stays_as_it_is():
    mask = np.zeros(SHAPE, np.uint8)
    mask[20:30, 20:25], mask[20:30, 25:30] = 1, 2
    finished = finish(mask, Finishing(smallest_px=circle_diameter(60)))
    np.testing.assert_array_equal(finished, mask)
    assert not finish(mask, Finishing(smallest_px=circle_diameter(101))).any()


def test_numbered_particles_are_never_joined():
    labels = np.zeros(SHAPE, np.int32)
    labels[10:20, 10:20], labels[10:20, 20:22], labels[30:40, 10:20] = 500, 7, 3
    labels[14, 14] = 0  # inside one particle
    labels[15, 20] = 0  # between two
    finished = finish(labels, Finishing(smallest_px=6, hole_px=3), numbered=True)
    assert finished[14, 14] == 500
    assert set(np.unique(finished)) == {0, 3, 500}
    assert (finished == 500).sum() == 100
    kept = finish(labels, Finishing(hole_px=3), numbered=True)
    assert kept[15, 20] == 0
    assert (kept == 7).sum() == 19


def test_negative_values_are_left_alone():
    labels = discs((20, 20, 8), (50, 60, 1)).astype(np.int16)
    labels[0, :5] = -1
    finished = finish(labels, Finishing(smallest_px=5))
    assert (finished[0, :5] == -1).all()
    assert finished.sum() == discs((20, 20, 8)).sum() - 5


def test_smoothing_decides_by_the_smoothed_probability():
    rng = np.random.default_rng(2245)
    likely = np.clip(discs((30, 40, 15)) * 0.4 + 0.3 + rng.normal(0, 0.2, SHAPE), 0, 1)
    expected = ndimage.gaussian_filter(likely, 2, truncate=3) > 0.5
    np.testing.assert_array_equal(decide(likely[None].astype(np.float32), 2), expected)
    shares = np.rint(255 * likely[None]).astype(np.uint8)
    assert (decide(shares, 2) == expected).mean() > 0.999
    np.testing.assert_array_equal(decide(shares), shares[0] >= 128)


def test_of_several_classes_the_most_probable_is_taken():
    rng = np.random.default_rng(140)
    logits = rng.normal(size=(4, *SHAPE))
    likely = np.exp(logits) / np.exp(logits).sum(0)
    np.testing.assert_array_equal(decide(likely[1:].astype(np.float32)), likely.argmax(0))


def test_smoothing_keeps_the_size_of_a_disc():
    """The curvature moves a disc's rim inwards by s^2 / 2R: 0.1 px of 20 here."""
    mask = discs((50, 50, 20), shape=(101, 101))
    finished = finish_prediction(mask, None, Finishing(smoothing_px=2))
    assert circle_diameter(finished.sum()) == pytest.approx(40 - 2 * 2**2 / (2 * 20), abs=0.35)


def test_particles_that_the_network_is_not_sure_of_go():
    classes = discs((20, 20, 9), (45, 60, 9))
    likely = np.where(np.arange(SHAPE[0])[:, None] < 33, 0.9, 0.62) * classes
    plan = Finishing(certainty=0.7)
    finished = finish_prediction(classes, likely[None], plan)
    np.testing.assert_array_equal(finished, discs((20, 20, 9)))
    shares = np.rint(255 * likely[None]).astype(np.uint8)
    np.testing.assert_array_equal(finish_prediction(classes, shares, plan), finished)
    np.testing.assert_array_equal(finish_prediction(classes, None, plan), classes)


@pytest.mark.parametrize(
    "plan", [UNFINISHED, replace(UNFINISHED, smallest_px=30, smoothing_px=3), Finishing()]
)
def test_switched_off_nothing_changes(plan):
    classes = discs((20, 20, 3), (45, 60, 9))
    assert finish_prediction(classes, classes[None] * 0.8, plan) is classes
    assert finish(classes, plan) is classes
    assert not plan.changes_something
    assert plan.sentence == "the mask stays as the network decided it"


def test_an_empty_mask_and_a_full_one():
    plan = Finishing(smallest_px=5, hole_px=5, smoothing_px=1, certainty=0.8)
    for value in (0, 1):
        classes = np.full(SHAPE, value, np.uint8)
        finished = finish_prediction(classes, classes[None] * np.float32(1), plan)
        np.testing.assert_array_equal(finished, classes)
    assert finish_prediction(np.zeros((0, 5), np.uint8), None, plan).shape == (0, 5)


def test_lengths_in_nm_and_on_other_pixels():
    plan = Finishing(smallest_px=10, hole_px=4, smoothing_px=2.5)
    assert nm_sentence(plan, (0.02, 0.02)) == (
        "smallest particle 0.2 nm, largest hole 0.08 nm, smoothing 0.05 nm"
    )
    # of the area of a pixel: 0.01 nm by 0.04 nm is as large as 0.02 nm by 0.02 nm
    assert nm_sentence(plan, (0.01, 0.04)) == nm_sentence(plan, (0.02, 0.02))
    assert nm_sentence(plan, None) == ""
    assert plan.scaled(2) == Finishing(smallest_px=20, hole_px=8, smoothing_px=5)


def test_what_cannot_be_finished_is_named():
    with pytest.raises(ValueError, match="smallest_px is -1: it must be from 0"):
        Finishing(smallest_px=-1)
    with pytest.raises(ValueError, match="float64 values"):
        finish(np.zeros(SHAPE), Finishing(smallest_px=3))
    with pytest.raises(ValueError, match="3 axes"):
        finish(np.zeros((2, *SHAPE), np.uint8), Finishing(smallest_px=3))


@pytest.mark.parametrize("level", [0.3, 0.4, 0.5, 0.6])
def test_pixels_are_of_a_particle_from_the_level_on(level):
    rng = np.random.default_rng(4)
    likely = rng.random((41, 53)).astype(np.float32)
    finishing = Finishing(level=level)
    classes = (likely > 0.5).astype(np.uint8)
    found = finish_prediction(classes, likely[None], finishing)
    np.testing.assert_array_equal(found, likely > level)
    # without probabilities there is nothing to decide
    np.testing.assert_array_equal(finish_prediction(classes, None, finishing), classes)
    assert finishing.changes_something == finishing.needs_probabilities == (level != 0.5)
    assert (f"{level:.0%}" in finishing.sentence) == (level != 0.5)


def test_of_three_classes_the_odds_of_the_background_are_weighed():
    likely = np.array([[0.3, 0.2, 0.1], [0.1, 0.25, 0.1]], np.float32)[:, None]
    classes = decide(likely)
    np.testing.assert_array_equal(classes, [[0, 0, 0]])
    # 0.6, 0.55 and 0.8 of background count as two thirds of that at 40 %
    np.testing.assert_array_equal(decide(likely, level=0.4), [[0, 0, 0]])
    np.testing.assert_array_equal(decide(likely, level=0.3), [[1, 2, 0]])
