"""Each side of an image, each type of a column, exactly as many as it takes, and small shapes."""

import numpy as np
import pytest
from scipy import stats

from napari_tem_rf.measuring.distributions import _spread, fit_distributions
from napari_tem_rf.measuring.finishing import Finishing, at_border, finish, holes_of
from napari_tem_rf.measuring.finishing_suggestion import (
    CertaintyChoice,
    Suggestion,
    best_level,
    suggest_finishing,
)
from napari_tem_rf.measuring.particle_scores import score_particles
from napari_tem_rf.measuring.particles import measure_particles
from napari_tem_rf.measuring.populations import (
    SurveyedFrame,
    boxes_of,
    population_of,
    populations_of,
)
from napari_tem_rf.measuring.series import Finding, particles_of

SHAPE = (11, 14)
SIDES = {
    "first row": (slice(0, 2), slice(5, 8)),
    "last row": (slice(9, 11), slice(5, 8)),
    "first column": (slice(5, 8), slice(0, 2)),
    "last column": (slice(5, 8), slice(12, 14)),
}
BESIDE = {
    "second row": (slice(1, 3), slice(5, 8)),
    "last but one row": (slice(8, 10), slice(5, 8)),
    "second column": (slice(5, 8), slice(1, 3)),
    "last but one column": (slice(5, 8), slice(11, 13)),
}
ALL = [(name, True) for name in SIDES] + [(name, False) for name in BESIDE]
PLACES = SIDES | BESIDE


def two(side):
    """Return a particle at a side as 2, and one in a corner's neighbourhood as 1."""
    labels = np.zeros(SHAPE, np.int32)
    labels[3:5, 4:8] = 1
    labels[PLACES[side]] = 2
    return labels


@pytest.mark.parametrize(("side", "cut"), ALL)
def test_what_each_side_cuts(side, cut):
    labels = two(side) if side != "second row" else np.roll(two(side), 3, axis=1)
    mask = labels > 0
    assert measure_particles(labels)["touches_border"].tolist()[-1] == cut
    assert (2 in at_border(labels)) == cut
    # numbered ones are left out as others are
    kept = particles_of(labels, True, Finding(smallest_px=1, border=False))
    assert (2 in kept) != cut
    # one that nobody found: inner particles do not know it where a side cuts it
    found = np.where(labels == 1, 1, 0)
    whole, inner = score_particles(found, labels)
    assert whole.object_f1 == pytest.approx(2 / 3)
    assert inner.object_f1 == pytest.approx(1 if cut else 2 / 3)
    assert mask.any()


@pytest.mark.parametrize(("side", "cut"), ALL)
def test_a_hole_at_each_side_is_open(side, cut):
    mask = np.ones(SHAPE, np.uint8)
    mask[PLACES[side]] = 0
    holes, _ = holes_of(mask)
    assert bool(holes.any()) != cut
    assert bool(finish(mask, Finishing(hole_px=9)).all()) != cut


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_columns_keep_their_types(dtype):
    mask = np.where(two("last row") > 0, two("last row") + 40, 0).astype(dtype)
    table = measure_particles(two("last row"), np.ones(SHAPE, np.uint8), mask=mask)
    assert table["class"].dtype == dtype
    assert table["class"].tolist() == [41, 42]
    assert table["touches_border"].dtype == bool
    assert table["mean_intensity"].dtype == np.float64
    for labels in (two("last row"), np.zeros(SHAPE, dtype)):
        assert boxes_of(labels).dtype == np.int64


def surveyed(mask, lattice=None):
    labels = two("second row")
    table = measure_particles(labels, pixel_size_nm=(0.5, 0.5), mask=mask)
    if lattice is not None:
        for name, values in lattice.items():
            table[name] = values
    return SurveyedFrame("gold", None, SHAPE, (0.5, 0.5), table, boxes_of(labels))


@pytest.mark.parametrize(("values", "described"), [((3, 3), [None]), ((3, 5), [None, 3, 5])])
def test_one_class_is_all_particles(values, described):
    mask = np.choose(two("second row"), (0, *values)).astype(np.uint8)
    found = populations_of([surveyed(mask)])
    assert [each.value for each in found] == described
    assert [each.found.number for each in found] == [2, 1, 1][: len(described)]


def test_lattices_of_the_particles_that_have_one():
    names = (
        *("lattice_spacing_nm", "lattice_spacing_error_nm"),
        *("lattice_angle_deg", "lattice_strength"),
    )
    values = {name: [np.nan, 1.0 + at] for at, name in enumerate(names)}
    found = population_of([surveyed(None, values)])
    assert found.lattices.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert population_of([surveyed(None)]).lattices.shape == (0, 4)


@pytest.mark.parametrize(("holes", "said"), [(4, False), (5, True)])
def test_five_holes_say_how_large_holes_are(holes, said):
    mask = np.zeros((60, 200), np.int16)
    for place in range(8):
        column = 4 + 22 * place
        mask[5:20, column : column + 15] = 1
        if place < holes:
            mask[10:15, column + 5 : column + 10] = 0
    found = suggest_finishing([mask], 100)
    assert (f"{holes} are annotated" in found.reason) == said
    assert (found.finishing.hole_px < found.finishing.smallest_px) == said


@pytest.mark.parametrize(
    ("number", "part"), [(2, None), (3, "an eighth"), (4, "an eighth"), (5, "a quarter")]
)
def test_as_many_as_were_painted_on(number, part):
    """Circles of the area of 16 x 16 px, of a quarter of it (9 px) and of an eighth (6.4 px)."""
    found = np.zeros((30, 130), np.uint8)
    for place in range(number):
        found[5:21, 4 + 24 * place : 20 + 24 * place] = 1
    strokes = np.where(found == 1, 1, 0).astype(np.int16)
    choice = CertaintyChoice(Finishing())
    choice.add(
        found, (0.95 * found)[None].astype(np.float32), strokes, held_out=False, strokes=True
    )
    chosen = choice.choose(Suggestion(Finishing(smallest_px=3), "because"))
    if part is None:
        assert chosen.finishing.smallest_px == 3
        assert "painted on and are found" not in chosen.reason
    else:
        assert chosen.finishing.smallest_px == (6.4 if number < 5 else 9.0)
        assert (
            f"; of {number} particles that were painted on and are found whole nearly all are "
            f"wider than 18.1 px: {part} of that area is let pass"
        ) in chosen.reason


@pytest.mark.parametrize(
    ("particle", "background", "level"),
    [
        # all that is sure is right: half of a Dice of 1
        ([0, 0, 10], [10, 0, 0], 0.5),
        # everything taken is best, at a Dice of 2 * 10 / (10 + 40 + 10), a third: below 30 %
        ([10, 0, 0], [40, 0, 0], 0.3),
        # of 10, 8 are taken with 2 others: 2 * 8 / (8 + 2 + 10) = 0.8
        ([2, 0, 8], [90, 0, 2], 0.4),
        ([0, 0, 0], [5, 5, 5], 0.3),
    ],
)
def test_half_of_the_best_dice_by_hand(particle, background, level):
    assert best_level(np.array(particle, float), np.array(background, float)) == level


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("gamma", stats.gamma(0.3, scale=2)),
        ("gamma", stats.gamma(60, scale=0.1)),
        ("Weibull", stats.weibull_min(0.5, scale=3)),
        ("Weibull", stats.weibull_min(12, scale=3)),
    ],
)
def test_shapes_far_from_1_are_those_of_scipy(name, truth):
    """Both fits solve the same equation: to as many digits as scipy's search gives."""
    x = truth.rvs(400, random_state=np.random.default_rng(2))
    (fit,) = fit_distributions(x, [name])
    kind = {"Weibull": stats.weibull_min, "gamma": stats.gamma}[name]
    shape, _, scale = kind.fit(x, floc=0)
    likelihood = kind.logpdf(x, shape, 0, scale).sum()
    # no parameters are more likely
    assert fit.log_likelihood >= likelihood - 1e-6
    assert [value for _, value in fit.parameters] == pytest.approx([shape, scale], rel=1e-3)


def test_a_spread_of_sums_is_the_samples():
    x = np.array([3.0, 4.0, 9.0, 11.0])
    sums = np.array([[len(x), x.sum(), (x**2).sum()], [2, 6.0, 18.0]])
    assert _spread(sums) == pytest.approx([x.std(ddof=1), 0])
