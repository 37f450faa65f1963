"""Specs count what torch counts, and refuse what is not a network of the family."""

import json
from dataclasses import FrozenInstanceError
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st
from torch import Tensor, cat, nn, zeros
from torch.nn.functional import interpolate, max_pool2d
from torch.utils.flop_counter import FlopCounterMode

from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.spec import NetworkSpec


class PaperNetwork(nn.Module):
    """The paper's network written down once more, from its text and not from the spec's code."""

    def __init__(self, pools, dilations, widths, channels, classes):
        super().__init__()
        self.pools = pools
        down = [channels, *widths]
        pairs = list(pairwise(down))
        pairs += [(deep + wide, wide) for wide, deep in reversed(list(pairwise(widths)))]
        levels = len(pools)
        order = [*range(levels + 1), *reversed(range(levels))]
        self.main, self.side = nn.ModuleList(), nn.ModuleList()
        for (width_in, width), level in zip(pairs, order, strict=True):
            d = dilations[level]
            self.main.append(
                nn.Sequential(
                    nn.Conv2d(width_in, width, 3, padding=d, dilation=d),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 3, padding=d, dilation=d),
                    nn.BatchNorm2d(width),
                )
            )
            self.side.append(nn.Conv2d(width_in, width, 1))
        self.classifier = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept, levels = [], len(self.pools)
        for index, (main, side) in enumerate(zip(self.main, self.side, strict=True)):
            if index > levels:
                pool = self.pools[2 * levels - index]
                x = cat([kept.pop(), interpolate(x, scale_factor=pool, mode="nearest")], 1)
            x = (main(x) + side(x)).relu()
            if index < levels:
                kept.append(x)
                x = max_pool2d(x, self.pools[index])
        return self.classifier(x)


def trainable(module: nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters() if weights.requires_grad)


@st.composite
def specs(draw) -> NetworkSpec:
    pools = draw(st.lists(st.integers(2, 5), max_size=4))
    dilations = [draw(st.integers(1, 3)) for _ in range(len(pools) + 1)]
    return NetworkSpec(
        pools=tuple(pools),
        dilations=tuple(dilations),
        filters=draw(st.integers(1, 11)),
        growth=draw(st.sampled_from([1, 1.5, 2, 3])),
        channels=draw(st.integers(1, 3)),
        classes=draw(st.integers(2, 5)),
    )


@pytest.mark.parametrize(
    ("pools", "published"),
    [((2,), 1_826), ((2, 2), 8_074), ((2, 2, 2), 32_730), ((2, 2, 2, 2), 130_682)],
)
def test_published_parameters(pools, published):
    """Sytwu, Groschner and Scott (2022): first filters 4, two classes."""
    assert NetworkSpec(pools=pools, filters=4).parameters == published


def test_hand_count_of_one_level():
    # 3x3 convs, batch norms (2 each) and the 1x1 conv of blocks 1 -> 2, 2 -> 4, then 2 + 4 -> 2
    first = (9 * 1 * 2 + 2) + 4 + (9 * 2 * 2 + 2) + 4 + (1 * 2 + 2)
    bottleneck = (9 * 2 * 4 + 4) + 8 + (9 * 4 * 4 + 4) + 8 + (2 * 4 + 4)
    last = (9 * 6 * 2 + 2) + 4 + (9 * 2 * 2 + 2) + 4 + (6 * 2 + 2)
    classifier = 2 * 3 + 3
    spec = NetworkSpec(pools=(5,), filters=2, classes=3)
    assert spec.parameters == first + bottleneck + last + classifier
    # the bottleneck works on one pixel in 25
    macs = (18 + 36 + 2) + Fraction(72 + 144 + 8, 25) + (108 + 36 + 12) + 6
    assert spec.macs_per_pixel == pytest.approx(float(macs), rel=1e-12)


@pytest.mark.parametrize("pools", [(8, 8), (4, 4), (2, 2), (3, 7)])
def test_pools_cost_no_parameters(pools):
    """The two properties can be chosen apart from each other: the paper's point."""
    assert NetworkSpec(pools=pools).parameters == 8_074


@given(specs())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_parameters_equal_torchs_count(spec):
    here = PaperNetwork(spec.pools, spec.dilations, spec.widths, spec.channels, spec.classes)
    assert spec.parameters == trainable(here) == trainable(Network(spec))


@given(specs())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_multiply_adds_equal_torchs_count(spec):
    rows, columns = spec.period, 2 * spec.period
    model = PaperNetwork(spec.pools, spec.dilations, spec.widths, spec.channels, spec.classes)
    counter = FlopCounterMode(display=False)
    with counter:
        model.to("meta")(zeros(1, spec.channels, rows, columns, device="meta"))
    macs = counter.get_total_flops() / 2
    assert spec.macs_per_pixel * rows * columns == pytest.approx(macs, rel=1e-9)


def test_networks_output_has_a_logit_per_class_and_pixel():
    spec = NetworkSpec(pools=(2, 3), dilations=(1, 2, 1), filters=3, channels=2, classes=4)
    assert Network(spec)(zeros(2, 2, 23, 31)).shape == (2, 4, 23, 31)


def test_widths_and_strides():
    spec = NetworkSpec(pools=(2, 4, 3), filters=5)
    assert spec.widths == (5, 10, 20, 40)
    assert spec.strides == (1, 2, 8, 24)
    assert spec.period == 24
    assert spec.levels == 3
    assert NetworkSpec(pools=(2, 2), filters=6, growth=1.5).widths == (6, 9, 14)
    assert [block.name for block in spec.blocks()] == [
        "encoder 1",
        "encoder 2",
        "encoder 3",
        "bottleneck",
        "decoder 3",
        "decoder 2",
        "decoder 1",
    ]


def test_no_pools():
    spec = NetworkSpec(pools=(), filters=3)
    assert (spec.levels, spec.period, spec.dilations) == (0, 1, (1,))


@given(specs())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_a_spec_survives_json(spec):
    assert NetworkSpec(**json.loads(json.dumps(spec.to_dict()))) == spec


def test_specs_are_values():
    spec = NetworkSpec(pools=[4, 4], dilations=[1, 1, 1])
    assert spec == NetworkSpec(pools=(4, 4))
    assert len({spec, NetworkSpec(pools=(4, 4))}) == 1
    with pytest.raises(FrozenInstanceError):
        spec.filters = 8
    assert spec.with_classes(5) == NetworkSpec(pools=(4, 4), classes=5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (NetworkSpec(), "pools 4,4, 4 filters"),
        (NetworkSpec(pools=(), filters=7), "no pools, 7 filters"),
        (
            NetworkSpec(pools=(2,), dilations=(1, 3), filters=8, growth=1.5),
            "pools 2, dilations 1,3, 8 filters, growth 1.5",
        ),
    ],
)
def test_a_spec_in_words(spec, words):
    assert str(spec) == words


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pools": (4, 1)}, "pools 4,1: every pool must be >= 2; leave a pool of 1 out"),
        ({"pools": (2,) * 7}, "pools 2,2,2,2,2,2,2 make 7 levels: a network has at most 6"),
        ({"pools": (2.5,)}, "pools holds 2.5: whole numbers are needed"),
        (
            {"pools": (64, 64, 64, 64)},
            "pools 64,64,64,64 multiply to 16,777,216 px: at most 1,048,576 px are allowed; "
            "use smaller pools or fewer levels",
        ),
        (
            {"pools": (4, 4), "dilations": (1, 1)},
            "dilations 1,1: 2 pools need 3 dilations, one per level and one for the bottleneck",
        ),
        (
            {"pools": (), "dilations": (0,)},
            "dilations 0: every dilation must be from 1 to 256",
        ),
        (
            {"pools": (), "dilations": (257,)},
            "dilations 257: every dilation must be from 1 to 256",
        ),
        ({"dilations": (1.5, 1)}, "dilations holds 1.5: whole numbers are needed"),
        (
            {"pools": (64, 64, 64, 5)},
            "pools 64,64,64,5 multiply to 1,310,720 px: at most 1,048,576 px are allowed; use "
            "smaller pools or fewer levels",
        ),
        ({"filters": 0}, "filters is 0: a network needs filters >= 1"),
        ({"filters": True}, "filters holds True: whole numbers are needed"),
        ({"filters": "4"}, "filters holds '4': whole numbers are needed"),
        ({"filters": float("nan")}, "filters holds nan: whole numbers are needed"),
        ({"pools": (float("inf"),)}, "pools holds inf: whole numbers are needed"),
        ({"filters": None}, "filters holds None: whole numbers are needed"),
        ({"channels": -3}, "channels is -3: a network needs channels >= 1"),
        ({"classes": 1}, "classes is 1: a network needs classes >= 2"),
        ({"growth": 0.5}, "growth is 0.5: it must be from 1 to 4"),
        ({"growth": float("nan")}, "growth is nan: it must be from 1 to 4"),
    ],
)
def test_what_is_no_network_is_refused_in_one_sentence(fields, sentence):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (the whole sentence is compared)
        NetworkSpec(**fields)
    assert str(refusal.value) == sentence


def test_the_largest_period_is_allowed():
    assert NetworkSpec(pools=(64, 64, 64, 4), filters=1).period == 2**20
