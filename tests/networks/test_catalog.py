"""The catalog covers the design space, and its first answer is the nearest network."""

import itertools

import numpy as np
import pytest

from napari_tem_rf.networks.catalog import (
    FIRST_NETWORK,
    Catalog,
    Match,
    catalog,
    nearest_networks,
)
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec


def test_nine_of_ten_wishes_are_met_within_a_tenth():
    """On a log grid over 10 to 600 px and 2,000 to 5 million parameters."""
    wishes = [
        (field, parameters)
        for field in np.geomspace(10, 600, 30)
        for parameters in np.geomspace(2_000, 5_000_000, 20)
    ]
    met = 0
    for field, parameters in wishes:
        (match,) = nearest_networks(field, parameters, limit=1)
        off = (
            nominal_receptive_field(match.spec) / field - 1,
            match.spec.parameters / parameters - 1,
        )
        met += max(map(abs, off)) <= 0.1
    assert met / len(wishes) >= 0.9


def test_range_of_the_design_space():
    fields, parameters = catalog().receptive_fields, catalog().parameters
    assert fields.min() == 5
    assert fields.max() > 1_000
    assert parameters.min() < 1_000
    assert parameters.max() > 10_000_000


def test_both_properties_range_apart_from_each_other():
    """Small and large networks exist for narrow and for wide fields."""
    fields, parameters = catalog().receptive_fields, catalog().parameters
    for low, high in ((5, 20), (20, 100), (100, 400), (400, 1_000), (1_000, 2_000)):
        within = parameters[(fields >= low) & (fields < high)]
        assert within.min() < 2_000
        assert within.max() > 5_000_000


@pytest.mark.parametrize("pools", [(2, 2), (4, 4), (8, 4), (8, 8), (2,), (2, 2, 2), (2,) * 4])
def test_the_papers_networks_are_in_it(pools):
    assert NetworkSpec(pools=pools, filters=4) in catalog().specs


def test_no_network_twice():
    assert len(set(catalog().specs)) == len(catalog().specs)


def test_sorted_by_field_then_parameters():
    order = list(zip(catalog().receptive_fields, catalog().parameters, strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("field", "parameters"), [(120, 8_074), (44, 130_000), (391, 31_000), (7, 900), (1_500, 2e6)]
)
def test_nearest_first(field, parameters):
    matches = nearest_networks(field, parameters, limit=7)
    assert len(matches) == 7

    def ratio(match: Match) -> float:
        off = match.receptive_field / field, match.parameters / parameters
        return max(max(r, 1 / r) for r in off)

    ratios = [ratio(match) for match in matches]
    assert ratios == pytest.approx(sorted(ratios))
    everything = [
        max(max(f / field, field / f), max(p / parameters, parameters / p))
        for f, p in zip(catalog().receptive_fields, catalog().parameters, strict=True)
    ]
    assert ratios == pytest.approx(sorted(everything)[:7])


def test_a_wish_that_is_a_network_is_met_exactly():
    (match,) = nearest_networks(120, 8_074, limit=1)
    assert (match.receptive_field, match.parameters) == (120, 8_074)
    assert match.within == match.receptive_field_off == match.parameters_off == 0


def test_how_far_a_match_is_off():
    one = Catalog((NetworkSpec(pools=(4, 4), filters=4),))
    (match,) = one.nearest(receptive_field=100, parameters=10_000)
    assert match.receptive_field_off == pytest.approx(0.2)
    assert match.parameters_off == pytest.approx(-0.1926)
    assert match.within == pytest.approx(0.2)


def test_a_wish_that_cannot_be_met_gets_the_nearest_and_its_distance():
    (match,) = nearest_networks(20_000, 50, limit=1)
    assert match.within > 0.5
    assert match.receptive_field_off < 0 < match.parameters_off


def test_one_wish_alone():
    (by_field,) = nearest_networks(receptive_field=392, limit=1)
    assert by_field.receptive_field == 392
    assert by_field.parameters_off == 0
    (by_parameters,) = nearest_networks(parameters=32_730, limit=1)
    assert by_parameters.parameters == 32_730
    assert by_parameters.receptive_field_off == 0
    cheapest = nearest_networks(limit=1)[0].spec.macs_per_pixel
    assert cheapest == min(spec.macs_per_pixel for spec in catalog().specs)


def test_of_equals_the_cheapest_comes_first():
    """80 px: pools 4,2 at a fraction of the multiply-adds of dilated convs."""
    matches = nearest_networks(receptive_field=80, limit=50)
    same = [match.spec.macs_per_pixel for match in matches if match.receptive_field == 80]
    assert len(same) > 1
    assert same == sorted(same)


def test_limit_larger_than_the_catalog():
    small = Catalog((NetworkSpec(), NetworkSpec(filters=8)))
    assert len(small.nearest(100, 10_000, limit=10)) == 2


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"receptive_field": 0}, "receptive field 0 was wished for: it must be a positive number"),
        ({"parameters": -5}, "parameters -5 was wished for: it must be a positive number"),
        (
            {"receptive_field": float("nan")},
            "receptive field nan was wished for: it must be a positive number",
        ),
        (
            {"parameters": float("inf")},
            "parameters inf was wished for: it must be a positive number",
        ),
        ({"limit": 0}, "limit is 0: ask for at least one network"),
    ],
)
def test_a_wish_that_is_none_is_refused(wish, sentence):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the whole sentence is compared)
        nearest_networks(**wish)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("wish", "pools", "filters"),
    [((120, 30_000), (4, 4), 8), ((44, 30_000), (2, 2), 8), ((392, 30_000), (8, 8), 8)],
)
def test_the_pick_is_one_of_the_papers_networks_where_one_meets_the_wish(wish, pools, filters):
    spec = catalog().pick(*wish).spec
    assert (spec.pools, spec.filters, spec.growth) == (pools, filters, 2)


def test_the_pick_is_the_nearest_where_no_doubling_network_meets_the_wish():
    wishes = itertools.product(np.geomspace(10, 600, 7), np.geomspace(2_000, 5e6, 7))
    for wish in wishes:
        picked, nearest = catalog().pick(*wish), catalog().nearest(*wish, limit=1)[0]
        assert picked == nearest or (picked.spec.growth == 2 and picked.within <= 0.1)


def test_the_first_pick_is_what_its_numbers_pick():
    spec = FIRST_NETWORK
    assert catalog().pick(nominal_receptive_field(spec), spec.parameters).spec == spec


def test_the_pools_of_the_design_space_are_these():
    """Written out once more, by level: a pool that is left out is a field that nobody can pick."""
    offered = {spec.pools for spec in catalog().specs if set(spec.dilations) == {1}}
    of_levels = {
        levels: {pools for pools in offered if len(pools) == levels} for levels in range(7)
    }
    assert of_levels[1] == {(2,), (3,), (4,), (6,), (8,)}
    assert of_levels[2] == set(itertools.product((2, 3, 4, 6, 8), repeat=2))
    small = set(itertools.product((2, 3, 4), repeat=3))
    large = {(8, 4, 2), (2, 4, 8), (4, 8, 2), (4, 4, 6), (4, 6, 4), (6, 4, 3)}
    assert of_levels[3] == small | large
    twos = itertools.product((2, 3), repeat=4), itertools.product((2, 4), repeat=4)
    assert of_levels[4] == set(itertools.chain(*twos))
    assert (of_levels[5], of_levels[6]) == ({(2,) * 5}, {(2,) * 6})
    dilated = {(spec.pools, spec.dilations) for spec in catalog().specs} - {
        (pools, (1,) * (len(pools) + 1)) for pools in offered
    }
    alone = {((), (dilation,)) for dilation in (2, 3, 4, 5)}
    assert dilated == alone | {((2,), (1, 2)), ((2,), (2, 2))}
