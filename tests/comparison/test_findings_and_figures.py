"""No sentence of a comparison claims what its own figures deny, on tables of any kind."""

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import nct, t, ttest_1samp, ttest_rel

from napari_tem_rf.comparison import Contestant, Costs, ImageScores, Result, findings, network_name
from napari_tem_rf.comparison.findings import difference, images_needed
from napari_tem_rf.figures.quantities import QUANTITIES, SCORES, margin, merit
from napari_tem_rf.measuring.scores import Scores
from napari_tem_rf.networks.spec import NetworkSpec

SPECS = (NetworkSpec((), filters=2), NetworkSpec((2, 2), filters=4), NetworkSpec((4, 4), filters=8))
BASELINE = "random forest"


def result(who, seed, values, score="dice", seconds=(60.0, 0.5)):
    spec = who if isinstance(who, NetworkSpec) else None
    name = who if spec is None else network_name(spec)
    images = tuple(
        ImageScores(f"image {n}", Scores(**{**dict.fromkeys(FIVE, 0.5), score: value}))
        for n, value in enumerate(values)
    )
    return Result(Contestant(name, f"{name}/{seed}", spec, seed), images, Costs(*seconds, 10.0))


FIVE = ("dice", "iou", "precision", "recall", "object_f1")


def merits(results, name, score):
    """Return a contestant's mean merit on each image over its seeds."""
    same = [each.values(score) for each in results if each.contestant.name == name]
    return np.mean([merit(score, each) for each in same], axis=0)


@st.composite
def tables(draw):
    """Return a score and results: networks with seeds, a baseline, and images of any difficulty."""
    score = draw(st.sampled_from(["dice", "object_f1", "count_error_percent", "boundary_error_px"]))
    images, seeds = draw(st.integers(1, 9)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise, apart = draw(st.sampled_from([0, 0.003, 0.05, 0.2])), draw(st.floats(0, 0.3))
    hard = rng.uniform(0, 0.3, images)
    found = []
    for who in (*SPECS, BASELINE):
        level = 0.8 - rng.choice([0, apart])
        for seed in range(seeds if who != BASELINE else 1):
            values = np.clip(level - hard + noise * rng.standard_normal(images), 0, 1)
            if score == "count_error_percent":
                values = 100 * (1 - values) * rng.choice([-1, 1], images)
            elif score == "boundary_error_px":
                values = 5 * (1 - values)
            found.append(result(who, seed, values.round(4).tolist(), score))
    return score, found, images, seeds


NUMBER = r"(-?\d+\.\d+)(?: %| px)?"


@settings(max_examples=250, deadline=None)
@given(tables())
def test_no_sentence_denies_its_figures(table):
    score, results, images, seeds = table
    says = findings(results, score)
    high = QUANTITIES[score].best == "high"
    step = 0.5 * 10.0 ** -QUANTITIES[score].decimals
    if says.suggestion is None:
        assert says.sentences[0].startswith("Nothing was learned")
        return
    means = {each.contestant.name: None for each in results}
    means = {name: merits(results, name, score).mean() for name in means}
    networks = {name: mean for name, mean in means.items() if name != BASELINE}
    best = max(networks.values())
    assert means[says.best] == pytest.approx(best)
    allowed = margin(score, best)
    # what is suggested is never far below, whatever the spread
    assert best - means[says.suggestion] <= 2 * allowed + 1e-9
    assert (BASELINE in says.good_baselines) == (best - means[BASELINE] <= allowed)
    assert [offer.name for offer in says.offers] == list(says.good_baselines)

    def told(one, other):
        if images == 1:
            return False
        if seeds == 1:  # scipy's own paired test
            each = merits(results, one, score) - merits(results, other, score)
            if np.ptp(each) < 1e-12:
                return abs(each.mean()) > 0
            return ttest_1samp(each, 0).pvalue < 0.05
        return None

    for sentence in says.sentences[1:]:
        figures = re.search(rf"{NUMBER} against {NUMBER} of the best network", sentence)
        field = re.search(rf"{NUMBER} with the smallest field .*, {NUMBER} with the best", sentence)
        if figures is None and field is None:
            assert "No larger receptive field does better" in sentence or "no spread" in sentence
            if "No larger" in sentence:
                narrow = {network_name(SPECS[0])}
                assert says.best in narrow
            continue
        one, other = (float(each) for each in (figures or field).groups())
        ahead = (one - other) if high else (other - one)  # of the baseline, or the small field
        rounding = 2 * step + 1e-9
        known = None if figures is None else told(BASELINE, says.best)
        if "tie here" in sentence:
            assert one == other
        elif "is as good" in sentence or "does not help" in sentence:
            assert abs(ahead) <= allowed + rounding
        elif "does better" in sentence:
            assert ahead > 0
            assert known is not False
        elif "does worse" in sentence or "field matters" in sentence:
            assert ahead < 0
            assert known is not False
        else:
            assert "cannot tell" in sentence
            assert known is not True
            assert abs(ahead) > allowed - rounding
            number = "One image" if images == 1 else f"{images} images"
            assert sentence.startswith(number)
            needed = re.search(r"about (\d+) would", sentence)
            assert needed is None or int(needed[1]) > images


def test_two_held_out_images_cannot_tell_and_how_many_would():
    """The figures that were called "as good" and "does not help" before."""
    results = [
        result(SPECS[0], 1, [0.50, 0.784]),
        result(SPECS[2], 1, [0.74, 0.788]),
        result(BASELINE, 1, [0.56, 0.752]),
    ]
    says = findings(results)
    _, field, forest = says.sentences
    assert field.startswith("2 images cannot tell whether the receptive field matters: Dice 0.642")
    assert forest.startswith("2 images cannot tell the random forest from the best network: Dice")
    assert "0.656 against 0.764" in forest
    # differences 0.18 and 0.036: mean 0.108, standard deviation 0.1018; paired t test, power 0.8
    assert ttest_rel([0.74, 0.788], [0.56, 0.752]).pvalue > 0.05
    assert forest.endswith("about 10 would")
    assert says.suggestion == network_name(SPECS[2])
    assert says.good_baselines == ()


@pytest.mark.parametrize(("mean", "spread"), [(0.1, 0.1), (0.05, 0.1), (0.02, 0.1), (0.3, 0.1)])
def test_the_images_needed_have_the_power_of_the_exact_test(mean, spread):
    """Power of the paired t test by scipy's noncentral t: four in five, with fewer images less."""

    def power(n):
        limit = t.ppf(0.975, n - 1)
        return 1 - nct.cdf(limit, n - 1, np.sqrt(n) * mean / spread)

    n = images_needed(mean, spread)
    assert power(n) >= 0.79
    assert power(n - 2) < 0.8 or n <= 4


def test_an_interval_holds_the_truth_in_95_of_100():
    """Drawn tables: images and seeds vary by chance, the true difference is 0.03."""
    rng = np.random.default_rng(752)
    for images, seeds in product((3, 8), (1, 4)):
        held = []
        for _ in range(1500):
            hard = rng.normal(0, 0.1, images)
            a, b = (
                level
                + hard
                + rng.normal(0, 0.03, (1, images))
                + rng.normal(0, 0.02, (seeds, 1)) * (seeds > 1)
                for level in (0.83, 0.80)
            )
            found = difference(a, b)
            held.append(abs(found.mean - 0.03) <= found.half_width)
        # the spread over the seeds is counted where it is known: never too narrow
        assert np.mean(held) > 0.93, (images, seeds)


def test_speed_is_said_as_it_was_measured():
    results = [
        result(SPECS[1], 1, [0.90, 0.90, 0.90], seconds=(60.0, 0.5)),
        result(BASELINE, 1, [0.90, 0.90, 0.90], seconds=(0.5, 1.0)),
    ]
    says = findings(results)
    assert "tie here: Dice 0.900 against 0.900" in says.sentences[-1]
    (offer,) = says.offers
    assert offer.sentence.endswith(
        "it was ready 120 times as fast; it predicts 2.0 times as slowly"
    )
    alike = [results[0], result(BASELINE, 1, [0.90, 0.90, 0.90], seconds=(55.0, 0.45))]
    assert findings(alike).offers[0].sentence == findings(alike).sentences[-1]


@pytest.mark.parametrize("score", SCORES)
def test_any_score_can_decide(score):
    good, bad = (0.9, 0.5) if QUANTITIES[score].best == "high" else (-1.0, 30.0)
    if QUANTITIES[score].best == "low":
        good = 1.0
    results = [
        result(SPECS[0], 1, [bad, bad, bad], score),
        result(SPECS[2], 1, [good, good, good], score),
    ]
    assert findings(results, score).suggestion == network_name(SPECS[2])
    assert QUANTITIES[score].title in findings(results, score).sentences[0]


def test_where_a_score_is_not_known_for_all_dice_decides():
    results = [
        result(SPECS[0], 1, [0.9, None], "boundary_error_px"),
        result(SPECS[2], 1, [None, 0.7], "boundary_error_px"),
    ]
    says = findings(results, "boundary_error_px")
    assert says.sentences[-1] == "No held-out image has boundary error for all: Dice decides"
    assert "Dice 0.500" in says.sentences[0]
