"""What scores say: suggestion, baselines, disagreement, ensembles; against counts by hand."""

from dataclasses import fields
from itertools import combinations

import numpy as np
import pytest

from napari_tem_rf.comparison import (
    Contestant,
    Costs,
    ImageScores,
    Result,
    disagreement,
    findings,
    most_different,
    network_name,
    network_table,
)
from napari_tem_rf.comparison.ensemble import RunningEnsemble
from napari_tem_rf.comparison.findings import difference
from napari_tem_rf.figures import quantities
from napari_tem_rf.measuring.scores import Scores
from napari_tem_rf.networks.spec import NetworkSpec

TINY, SMALL, LARGE = (
    NetworkSpec((), filters=2),
    NetworkSpec((2, 2), filters=4),
    NetworkSpec((4, 4), filters=16),
)
COSTS = Costs(1.0, 0.5, 10.0)


def result(who, seed, dice):
    spec = who if isinstance(who, NetworkSpec) else None
    name = who if spec is None else network_name(spec)
    images = tuple(
        ImageScores(f"image {n}", Scores(value, value, value, value, value))
        for n, value in enumerate(dice)
    )
    return Result(Contestant(name, f"{name}/{seed}", spec, seed), images, COSTS)


def test_standard_error_is_that_of_paired_differences():
    a = np.array([[0.9, 0.7, 0.8], [0.92, 0.74, 0.8]])
    b = np.array([[0.85, 0.68, 0.7]])
    each = a.mean(axis=0) - b[0]
    seeds = a.mean(axis=1)
    expected = each.var(ddof=1) / 3 + seeds.var(ddof=1) / 2 + b[0].var() * 0
    assert difference(a, b).error == pytest.approx(np.sqrt(expected))
    # what is hard for both tells nothing about their difference
    assert difference(a[:1], a[:1] - 0.1).error == pytest.approx(0)
    assert difference(a[:1, :1], b[:, :1]).error == 0


def test_the_smallest_within_a_standard_error_is_suggested():
    says = findings(
        [
            result(TINY, 1, [0.60, 0.70, 0.65]),
            result(SMALL, 1, [0.90, 0.80, 0.86]),
            result(LARGE, 1, [0.89, 0.83, 0.86]),
        ]
    )
    assert says.best == network_name(LARGE)
    assert says.suggestion == network_name(SMALL)
    assert "within one standard error" in says.sentences[0]
    assert "The receptive field matters" in says.sentences[1]


def test_the_best_is_suggested_when_it_is_clearly_better():
    says = findings([result(SMALL, 1, [0.80, 0.70, 0.76]), result(LARGE, 1, [0.89, 0.80, 0.85])])
    assert says.best == says.suggestion == network_name(LARGE)


def test_fast_and_small_count_alike():
    """Larger pools cost fewer multiply-adds at the same number of parameters."""
    coarse = NetworkSpec((4, 4), filters=4)
    assert coarse.parameters == SMALL.parameters
    assert coarse.macs_per_pixel < SMALL.macs_per_pixel
    same = [result(SMALL, 1, [0.8, 0.7]), result(coarse, 1, [0.8, 0.7])]
    assert findings(same).suggestion == network_name(coarse)


@pytest.mark.parametrize(
    ("forest", "words", "good"),
    [
        ([0.95, 0.93, 0.94], "does better than every network", True),
        ([0.91, 0.86, 0.88], "is as good as the best network", True),
        ([0.71, 0.60, 0.68], "does worse", False),
    ],
)
def test_baselines_are_compared_in_words(forest, words, good):
    networks = [result(SMALL, seed, [0.90, 0.88 + seed / 100, 0.87]) for seed in (1, 2)]
    says = findings([result("random forest", 1, forest), *networks])
    assert words in says.sentences[-1]
    assert says.good_baselines == (("random forest",) if good else ())


def test_a_field_that_does_not_matter_is_said():
    says = findings([result(TINY, 1, [0.90, 0.80, 0.871]), result(LARGE, 1, [0.91, 0.80, 0.87])])
    assert "larger receptive field does not help" in says.sentences[1]
    assert says.suggestion == network_name(TINY)


def test_no_spread_is_said_and_nothing_says_nothing():
    says = findings([result(TINY, 1, [0.9]), result(LARGE, 1, [0.91])])
    assert says.suggestion == network_name(LARGE)
    assert "tell no spread" in says.sentences[-1]
    assert findings([result("random forest", 1, [0.5])]).best is None


def test_spread_over_seeds_and_images():
    table = network_table([result(TINY, 1, [0.9, 0.7]), result(TINY, 2, [0.8, 0.4])])
    assert len(table) == 1
    row = table.iloc[0]
    assert row["dice"] == pytest.approx(0.7)
    assert row["dice_sd_seeds"] == pytest.approx(np.std([0.8, 0.6], ddof=1))
    assert row["dice_sd_images"] == pytest.approx(np.std([0.85, 0.55], ddof=1))
    assert np.isnan(row["boundary_error_nm"])


# where networks differ


def test_disagreement_is_the_share_of_pairs_that_differ():
    rng = np.random.default_rng(140)
    for n in (2, 3, 5):
        stack = rng.integers(0, 3, (n, 13, 17))
        pairs = [a != b for a, b in combinations(stack, 2)]
        np.testing.assert_allclose(disagreement(list(stack)), np.mean(pairs, axis=0), atol=1e-6)


def test_disagreement_needs_two_predictions_of_one_image():
    one = np.zeros((5, 7), np.uint8)
    with pytest.raises(ValueError, match="takes two or more"):
        disagreement([one])
    with pytest.raises(ValueError, match="shapes"):
        disagreement([one, np.zeros((7, 5), np.uint8)])


def test_places_are_ranked_as_by_brute_force():
    rng = np.random.default_rng(956)
    maps = {"a": rng.random((29, 37)), "b": np.zeros((31, 11))}
    maps["b"][4:9, 3:8] = 1
    places = most_different(maps, side_px=5, most=6)
    assert (places[0].image, places[0].row, places[0].column) == ("b", 6, 5)
    assert places[0].disagreement == pytest.approx(1)
    means = {
        (row, column): maps["a"][row : row + 5, column : column + 5].mean()
        for row in range(25)
        for column in range(33)
    }
    worst = max(means, key=lambda at: means[at])
    best_of_a = next(place for place in places if place.image == "a")
    assert (best_of_a.row - 2, best_of_a.column - 2) == worst
    assert best_of_a.disagreement == pytest.approx(means[worst])
    values = [place.disagreement for place in places]
    assert values == sorted(values, reverse=True)
    for one, other in combinations([place for place in places if place.image == "a"], 2):
        assert max(abs(one.row - other.row), abs(one.column - other.column)) >= 5


def test_where_all_agree_there_is_no_place():
    assert most_different({"a": np.zeros((23, 29))}) == ()
    (only,) = most_different({"a": np.ones((3, 5))}, side_px=64)
    assert only.side_px == 3


def test_ensemble_is_mean_and_standard_deviation():
    rng = np.random.default_rng(752)
    maps = rng.dirichlet([1, 1, 1], (4, 11, 13)).transpose(0, 3, 1, 2)
    running = RunningEnsemble()
    for each in maps:
        running.add(each)
    together = running.result(np.array([0, 2, 7]))
    np.testing.assert_allclose(together.mean, maps.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(together.spread, maps.std(axis=0), atol=1e-6)
    expected = np.array([0, 2, 7])[maps.mean(axis=0).argmax(axis=0)]
    np.testing.assert_array_equal(together.labels, expected)
    assert together.networks == 4
    with pytest.raises(ValueError, match="ensemble is of one image"):
        running.add(maps[0][:, :5])
    with pytest.raises(ValueError, match="empty"):
        RunningEnsemble().result(np.array([0, 1]))


def test_every_score_and_cost_of_a_network_has_its_words():
    assert set(quantities.SCORES) == {field.name for field in fields(Scores)}
    assert set(quantities.COSTS) == {field.name for field in fields(Costs)} - {"device"}
    table = network_table([result(SMALL, seed, [0.9, 0.8]) for seed in (1, 2)])
    columns = {name for name in table.columns if "_sd_" not in name}
    assert columns == set(quantities.QUANTITIES) - {"field_nm"}
    assert quantities.words_for("boundary_error_nm") == "boundary error (nm)"
    assert quantities.words_for("best_epoch") == "best epoch"


# when nothing was learned


def test_no_network_is_suggested_where_none_learned_anything():
    networks = [result(SMALL, 1, [0.012, 0.01]), result(LARGE, 1, [0.03, 0.02])]
    says = findings([result("random forest", 1, [0.7, 0.8]), *networks])
    assert says.suggestion is None
    assert says.best == network_name(LARGE)
    assert says.good_baselines == ("random forest",)
    assert says.sentences[0].startswith("Nothing was learned: the best network, field 120 px")
    assert "does better than every network" in says.sentences[1]


def test_a_baseline_that_learned_nothing_either_is_not_good():
    says = findings([result("Fourier filter", 1, [0.0, 0.0]), result(TINY, 1, [0.001, 0.0])])
    assert says.good_baselines == ()
    assert "learned nothing either" in says.sentences[1]
