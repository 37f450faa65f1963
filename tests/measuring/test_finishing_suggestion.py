"""What is suggested: from particles of known sizes, from lattices and fields, from certainties."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import expit, logit

from napari_tem_rf.measuring.finishing import (
    ANY_CERTAINTY,
    Finishing,
    circle_diameter,
    finish,
    finish_prediction,
)
from napari_tem_rf.measuring.finishing_suggestion import (
    CertaintyChoice,
    Suggestion,
    best_certainty,
    best_level,
    suggest_finishing,
)

SHAPE = (203, 251)


def squares(sides, gap=6):
    """Return a mask of squares in rows, none at the border."""
    mask = np.zeros(SHAPE, np.int16)
    row, column = 4, 4
    for side in sides:
        if column + side + gap > SHAPE[1]:
            row, column = row + max(sides) + gap, 4
        mask[row : row + side, column : column + side] = 1
        column += side + gap
    return mask


def test_whole_particles_say_the_smallest():
    """Twenty squares of 12 px: half their area is that of a circle 9.6 px across."""
    suggestion = suggest_finishing([squares([12] * 20)], 200)
    expected = circle_diameter(12 * 12 / 2)
    assert suggestion.finishing.smallest_px == pytest.approx(expected, abs=0.06)
    assert suggestion.finishing.hole_px == suggestion.finishing.smallest_px
    # no more than makes them a hundredth smaller: s^2 / 2R = R / 100
    radius = circle_diameter(12 * 12) / 2
    assert suggestion.finishing.smoothing_px == pytest.approx(radius * 0.02**0.5, abs=0.06)
    assert "20 whole particles" in suggestion.reason
    np.testing.assert_array_equal(
        finish(squares([12] * 20), suggestion.finishing), squares([12] * 20)
    )


def test_slips_of_the_hand_do_not_say_it():
    """Ten dots of 1 px beside twenty particles hold less than a thousandth of the area."""
    mask = squares([24] * 20)
    mask[-2, 4:24:2] = 1
    suggestion = suggest_finishing([mask], 200)
    assert suggestion.finishing.smallest_px == pytest.approx(circle_diameter(24 * 24 / 2), abs=0.6)


def test_annotated_holes_stay():
    mask = squares([20] * 20)
    rows, columns = np.nonzero(mask)
    for row, column in zip(rows, columns, strict=True):
        if row >= 9 and (mask[row - 5 : row + 1, column - 5 : column + 1] == 1).all():
            inside = mask[row - 5 : row + 15, column - 5 : column + 15]
            if inside.shape == (20, 20) and inside.all():
                mask[row + 2 : row + 9, column + 2 : column + 9] = 0
    suggestion = suggest_finishing([mask], 200)
    assert "holes" in suggestion.reason
    np.testing.assert_array_equal(finish(mask, suggestion.finishing), mask)


def test_of_strokes_only_closed_ones_count():
    whole = squares([12] * 20)
    painted = np.where(whole == 1, 1, -1).astype(np.int16)  # particles without their surroundings
    assert "lattice" in suggest_finishing([painted], 120, lambda: 10.0).reason
    around = np.full(SHAPE, -1, np.int16)
    around[:40] = whole[:40]  # with background around them
    assert "whole particles" in suggest_finishing([around], 120, lambda: 10.0).reason


def test_else_two_periods_of_the_lattice_or_a_part_of_the_field():
    strokes = np.full(SHAPE, -1, np.int16)
    lattice = suggest_finishing([strokes], 120, lambda: 4.9)
    assert lattice.finishing.smallest_px == pytest.approx(9.8)
    assert lattice.finishing.smoothing_px == pytest.approx(2.45, abs=0.06)
    field = suggest_finishing([strokes], 60)
    assert field.finishing.smallest_px == 3
    assert field.finishing.smoothing_px == 0
    assert "60 px" in field.reason
    assert suggest_finishing([], 5000).finishing.smallest_px <= 5


FIRST = Suggestion(Finishing(smallest_px=3), "because")


def prediction(true, false, sure_of_true, sure_of_false):
    """Return classes, probabilities and truth with so many squares found rightly and wrongly."""
    found = squares([10] * (true + false))
    truth = squares([10] * true)
    likely = np.where(truth == 1, sure_of_true, sure_of_false) * found
    return found.astype(np.uint8), likely[None].astype(np.float32), truth


def test_held_out_particles_say_how_sure_the_network_must_be():
    choice = CertaintyChoice(FIRST.finishing)
    choice.add(*prediction(20, 12, 0.97, 0.78), held_out=True)
    chosen = choice.choose(FIRST)
    assert 0.78 < chosen.finishing.certainty <= 0.97
    assert "20 held-out particles" in chosen.reason


def test_an_outline_that_is_off_is_no_reason_to_leave_a_particle_out():
    """Of twenty squares of which the network is less sure only the middle is found: a third."""
    found = squares([12] * 40).astype(np.uint8)
    truth = found.astype(np.int16)
    numbers, _ = ndimage.label(found)
    unsure = (numbers > 20) & (found > 0)
    middle = ndimage.binary_erosion(found, np.ones((3, 3)), iterations=2)
    found[unsure & ~middle] = 0
    likely = np.where(unsure, 0.7, 0.97) * found
    # beside as many that are none, of which it is no surer
    false = np.zeros(SHAPE, np.uint8)
    false[-30:-4, 4:-4] = squares([12] * 14)[4:30, 4:-4]
    likely += np.where((false > 0) & (found == 0), 0.6, 0)
    found |= false
    choice = CertaintyChoice(FIRST.finishing)
    choice.add(found, likely[None].astype(np.float32), truth, held_out=True)
    assert 0.5 < choice.choose(FIRST).finishing.certainty < 0.7


def test_where_all_are_found_nothing_is_asked_that_costs_one():
    choice = CertaintyChoice(FIRST.finishing)
    choice.add(*prediction(20, 0, 0.6, 0.6), held_out=True)
    assert choice.choose(FIRST).finishing.certainty < 0.6


@pytest.mark.parametrize("typical", [0.62, 0.8, 0.99])
def test_without_them_it_follows_how_sure_the_network_is(typical):
    """A network trained for seconds says 0.62 of everything; none of it must go."""
    choice = CertaintyChoice(FIRST.finishing)
    classes, likely, truth = prediction(6, 0, typical, typical)
    choice.add(classes, likely, truth, held_out=False)
    assert choice.choose(FIRST).finishing.certainty == pytest.approx(
        0.5 + 0.4 * (typical - 0.5), abs=0.006
    )


def test_no_particle_that_was_painted_on_is_left_out():
    """Twenty squares of which the network is sure, one of which it is not, each with a stroke."""
    found, likely, _ = prediction(20, 1, 0.98, 0.6)
    strokes = np.where(found == 0, 0, -1).astype(np.int16)
    middles = ndimage.center_of_mass(found, *ndimage.label(found)[:1], range(1, 22))
    for row, column in np.rint(middles).astype(int):
        strokes[row, column] = 1
    blind, seeing = CertaintyChoice(FIRST.finishing), CertaintyChoice(FIRST.finishing)
    blind.add(found, likely, strokes, held_out=False)
    seeing.add(found, likely, strokes, held_out=False, strokes=True)
    assert blind.choose(FIRST).finishing.certainty > 0.6
    chosen = seeing.choose(FIRST)
    assert chosen.finishing.certainty == 0.58
    assert "painted" in chosen.reason
    finished = finish_prediction(found, likely, chosen.finishing)
    assert ndimage.label(finished)[1] == 21


def test_particles_that_were_painted_on_say_how_small_one_is():
    """Ten squares of 16 px with a stroke each, and ten specks of 6 px without."""
    found = squares([16] * 10 + [6] * 10).astype(np.uint8)
    likely = (0.95 * found)[None].astype(np.float32)
    numbered, _ = ndimage.label(found)
    sizes = np.bincount(numbered.ravel())
    strokes = np.where(found == 0, 0, -1).astype(np.int16)
    strokes[(sizes[numbered] == 256) & (found > 0)] = 1
    for binning in (1, 2):
        choice = CertaintyChoice(FIRST.finishing.scaled(1 / binning), binning)
        choice.add(found, likely, strokes, held_out=False, strokes=True)
        chosen = choice.choose(FIRST)
        # a quarter of the area of 256 px, as the diameter of a circle
        expected = binning * circle_diameter(64)
        assert chosen.finishing.smallest_px == pytest.approx(expected, abs=0.5)
        assert "10 particles that were painted on" in chosen.reason
    # of three or four an eighth of the area; two say nothing
    for columns, expected in ((100, circle_diameter(32)), (50, FIRST.finishing.smallest_px)):
        choice = CertaintyChoice(FIRST.finishing)
        few = slice(30), slice(columns)
        choice.add(found[few], likely[:, *few], strokes[few], held_out=False, strokes=True)
        assert choice.choose(FIRST).finishing.smallest_px == pytest.approx(expected, abs=0.5)


def test_a_network_that_found_nothing_says_nothing():
    choice = CertaintyChoice(FIRST.finishing)
    classes, likely, truth = prediction(6, 0, 0.9, 0.9)
    choice.add(np.zeros_like(classes), likely, truth, held_out=False)
    assert choice.choose(FIRST) == FIRST


def test_the_certainty_is_where_f1_is_highest():
    """Of very many particles whose chance to be true is known; highest by trying all."""
    rng = np.random.default_rng(3)
    sure = rng.uniform(0.5, 0.99, 20_000)
    chance = expit(2.5 * (logit(sure) - logit(0.8)))
    is_true = rng.random(len(sure)) < chance
    number = int(is_true.sum() / 0.9)  # some are not found at all
    order = np.argsort(-sure)
    f1 = 2 * np.cumsum(is_true[order]) / (np.arange(1, len(sure) + 1) + number)
    highest = sure[order][np.argmax(f1)]
    usual = 0.55
    assert best_certainty(sure, is_true, number, usual) == pytest.approx(highest, abs=0.02)
    # few of them: nearly as good for what is found elsewhere, and better than the usual one
    reached = []
    for _ in range(200):
        few = rng.choice(len(sure), 30, replace=False)
        least = best_certainty(sure[few], is_true[few], round(is_true[few].sum() / 0.9), usual)
        reached.append(f1[np.count_nonzero(sure >= least) - 1])
    assert np.mean(reached) > f1.max() - 0.02
    assert f1[np.count_nonzero(sure >= usual) - 1] < f1.max() - 0.03


@pytest.mark.parametrize("doubt", [0.3, 0.5, 1.0])
def test_pixels_are_best_taken_from_half_of_the_best_dice_on(doubt):
    """Of very many pixels whose probabilities are right; best by trying all levels."""
    rng = np.random.default_rng(3)
    likely = expit(rng.normal(-2, 3, 400_000) / doubt)
    is_particle = rng.random(len(likely)) < likely
    steps = np.minimum((likely * 256).astype(int), 255)
    particle, background = (
        np.bincount(steps[which], minlength=256).astype(float)
        for which in (is_particle, ~is_particle)
    )
    levels = np.linspace(0.2, 0.6, 81)
    dice = [
        2 * (is_particle & (likely > level)).sum() / (is_particle.sum() + (likely > level).sum())
        for level in levels
    ]
    found = best_level(particle, background)
    assert found == pytest.approx(max(dice) / 2, abs=0.006)
    assert np.interp(found, levels, dice) > max(dice) - 0.001
    # at 50 % more area is lost than there
    true = is_particle.sum()
    assert abs((likely > found).sum() - true) < abs((likely > 0.5).sum() - true)


def test_a_network_in_doubt_takes_pixels_from_less_on_and_a_sure_one_does_not():
    rng = np.random.default_rng(5)
    truth = squares([12] * 24)
    for spread, expected in ((0.1, 0.5), (1.3, 0.38)):
        choice = CertaintyChoice(FIRST.finishing)
        odds = np.where(truth > 0, 2, -2) + spread * rng.normal(size=SHAPE)
        likely = expit(odds).astype(np.float32)
        choice.add((likely > 0.5).astype(np.uint8), likely[None], truth, held_out=True)
        chosen = choice.choose(FIRST)
        assert chosen.finishing.level == pytest.approx(expected, abs=0.07)
        assert ("pixels agree best" in chosen.reason) == (chosen.finishing.level < 0.5)
    few = CertaintyChoice(FIRST.finishing)
    few.add((likely > 0.5).astype(np.uint8)[:30], likely[None, :30], truth[:30], held_out=False)
    assert few.choose(FIRST).finishing.level == 0.5


def test_true_particles_of_which_the_network_is_hardly_sure_are_all_kept():
    """As with pixels that are taken from 30 % on: the mean over a particle stays below even."""
    sure = np.linspace(0.3, 0.6, 60)
    is_true = sure > 0.32
    assert np.quantile(sure[is_true], 0.1) < 0.5
    assert best_certainty(sure, is_true, 70, 0.6) == ANY_CERTAINTY
    # and so a suggestion comes of it
    rng = np.random.default_rng(5)
    patches, number = ndimage.label(squares([12] * 40))
    is_particle = np.arange(number) % 2 == 0  # of what it finds half
    doubt = np.append(-3, rng.normal(-0.5, 0.1, number) + 0.1 * is_particle)[patches]
    likely = expit(doubt + 0.3 * rng.normal(size=SHAPE)).astype(np.float32)
    truth = np.append(False, is_particle)[patches].astype(np.int16)
    choice = CertaintyChoice(FIRST.finishing)
    choice.add((likely > 0.5).astype(np.uint8), likely[None], truth, held_out=True)
    chosen = choice.choose(FIRST)
    assert chosen.finishing.level < 0.5
    assert chosen.finishing.certainty == ANY_CERTAINTY
    assert "none is left out for being unsure" in chosen.reason


def test_sureness_that_says_nothing_decides_nothing():
    sure = np.array([0.9, 0.91, 0.7, 0.71] * 10)
    assert best_certainty(sure, sure < 0.8, 20, 0.6) == 0.6  # the surer the falser
    assert best_certainty(sure, sure < 0, 20, 0.6) == 0.6
    assert best_certainty(sure, sure > 0, 40, 0.6) == 0.6
