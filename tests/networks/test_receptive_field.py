"""Receptive fields by arithmetic against the gradients of networks.

The arithmetic says which pixels *can* matter. A gradient says which pixels *do* matter, but under
max pools and ReLU it vanishes at random for most of them. With positive weights, a positive image
and average pools in place of max pools no path is ever cut and no two cancel: the support of the
gradient is then all of the field.

Rows and columns pass the same arithmetic without knowing of each other (square kernels, square
pools), so a network on one axis with kernels of 3 proves it for both, at a cost that allows
fields of thousands of px; `test_both_axes` shows the same on images for a few networks. Numbers
are float64: the outermost weight of a wide field is a product of dozens of factors below 1.
"""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor
from torch.nn import functional

from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.receptive_field import nominal_receptive_field, receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

LARGEST_TESTED_PERIOD = 128
LARGEST_TESTED_FIELD = 1_500


class PositiveLine:
    """The paper's network on one axis, one channel a block, positive weights, average pools."""

    def __init__(self, pools: tuple[int, ...], dilations: tuple[int, ...], seed: int = 0) -> None:
        self.pools, self.dilations = pools, dilations
        self.generator = torch.Generator().manual_seed(seed)

    def _conv(self, x: Tensor, taps: int, dilation: int) -> Tensor:
        """Zero-padded convolution as a sum of shifted copies: torch's is slow when dilated."""
        weights = 0.5 + torch.rand(taps, x.shape[1], 1, generator=self.generator, dtype=x.dtype)
        reach = taps // 2 * dilation
        padded = functional.pad(x, (reach, reach))
        shifted = [padded[..., tap * dilation :][..., : x.shape[-1]] for tap in range(taps)]
        return sum((w * copy).sum(1, True) for w, copy in zip(weights, shifted, strict=True))

    def _block(self, x: Tensor, dilation: int) -> Tensor:
        y = self._conv(self._conv(x, 3, dilation).relu(), 3, dilation)
        return (y + self._conv(x, 1, 1)).relu()

    def __call__(self, x: Tensor) -> Tensor:
        skips = []
        for pool, dilation in zip(self.pools, self.dilations, strict=False):
            skips.append(self._block(x, dilation))
            x = functional.avg_pool1d(skips[-1], pool)
        x = self._block(x, self.dilations[-1])
        for level in reversed(range(len(self.pools))):
            x = x.repeat_interleave(self.pools[level], dim=-1)
            x = self._block(torch.cat([skips[level], x], dim=1), self.dilations[level])
        return x


def supports(
    pools: tuple[int, ...], dilations: tuple[int, ...], length: int, positions: range
) -> list[tuple[int, int]]:
    """Return the first and the last pixel of the gradient of each output position."""
    image = torch.ones(1, 1, length, dtype=torch.float64, requires_grad=True)
    values = PositiveLine(pools, dilations)(image)[0, 0, list(positions)]
    # one pass forward; all positions go back through it together: (position, pixel)
    (gradients,) = torch.autograd.grad(
        values, image, torch.eye(len(positions), dtype=torch.float64), is_grads_batched=True
    )
    reached = gradients[:, 0, 0] != 0
    first = reached.int().argmax(1)
    last = length - 1 - reached.flip(1).int().argmax(1)
    return list(zip(first.tolist(), last.tolist(), strict=True))


@st.composite
def shapes(draw) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pools, period = [], 1
    for _ in range(draw(st.integers(0, 4))):
        allowed = [pool for pool in (2, 3, 4, 8) if period * pool <= LARGEST_TESTED_PERIOD]
        if allowed:
            pools.append(draw(st.sampled_from(allowed)))
            period *= pools[-1]
    pools = draw(st.permutations(pools))  # the first found most room
    dilations = [draw(st.integers(1, 4)) for _ in range(len(pools) + 1)]
    while nominal_receptive_field(NetworkSpec(tuple(pools), tuple(dilations))) > (
        LARGEST_TESTED_FIELD
    ):
        widest = max(range(len(dilations)), key=lambda level: (dilations[level], level))
        dilations[widest] -= 1
    return tuple(pools), tuple(dilations)


drawn_networks = set()


@given(shapes())
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_every_phase_is_the_support_of_a_gradient(shape):
    pools, dilations = shape
    spec = NetworkSpec(pools, dilations)
    field = receptive_field(spec)
    period = spec.period
    # whole periods on both sides of one period, so that no field meets the image's border
    margin = -(-max(field.before.max(), field.after.max()) // period) * period
    positions = range(margin, margin + period)
    length = 2 * margin + period
    expected = [field.interval(position, length) for position in positions]
    assert not any(interval.clipped for interval in expected)
    found = supports(pools, dilations, length, positions)
    assert [(each.start, each.stop - 1) for each in expected] == found
    drawn_networks.add(shape)


def test_many_different_networks_were_drawn():
    """Follows the test above: hypothesis may draw a network twice."""
    if not drawn_networks:
        pytest.skip("the property test did not run")
    assert len(drawn_networks) >= 200
    assert {len(pools) for pools, _ in drawn_networks} == {0, 1, 2, 3, 4}
    assert {pool for pools, _ in drawn_networks for pool in pools} == {2, 3, 4, 8}
    assert {d for _, dilations in drawn_networks for d in dilations} == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("pools", "dilations", "at"),
    [
        ((), (2,), (13, 14)),
        ((2,), (1, 1), (21, 26)),
        ((3, 2), (1, 1, 1), (67, 78)),
        ((2, 2), (1, 2, 1), (45, 66)),
    ],
)
def test_both_axes(pools, dilations, at, monkeypatch):
    """On an image of rows and columns: the real network, its weights made positive."""
    spec = NetworkSpec(pools, dilations, filters=2)
    network = Network(spec).double().eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights.abs_().add_(0.1)
    shape = 24 * spec.period, 31 * spec.period
    image = torch.ones(1, 1, *shape, dtype=torch.float64, requires_grad=True)
    monkeypatch.setattr(functional, "max_pool2d", functional.avg_pool2d)
    network(image)[0, 0, at[0], at[1]].backward()
    for axis, interval in enumerate(receptive_field(spec).box(at, shape)):
        assert not interval.clipped
        pixels = image.grad[0, 0].sum(1 - axis).nonzero()
        assert (interval.start, interval.stop - 1) == (int(pixels[0]), int(pixels[-1]))


@pytest.mark.parametrize("seed", [752, 2245])
def test_no_gradient_of_a_real_network_leaves_the_field(seed):
    """Max pools, ReLU and random weights cut paths but never make one."""
    torch.manual_seed(seed)
    spec = NetworkSpec((3, 2), (1, 2, 1), filters=5)
    network = Network(spec).eval()
    field = receptive_field(spec)
    shape = 113, 127
    reached = torch.zeros(shape)
    for at in [(56, 61), (55, 60), (58, 63)]:
        image = torch.randn(1, 1, *shape, requires_grad=True)
        network(image)[0, 1, at[0], at[1]].backward()
        rows, columns = field.box(at, shape)
        outside = image.grad[0, 0].clone()
        outside[rows.start : rows.stop, columns.start : columns.stop] = 0
        assert not outside.any()
        reached = torch.maximum(reached, image.grad[0, 0].abs())
    assert reached.count_nonzero() > 0.5 * field.smallest**2


TABLE = [
    # pools, nominal, {exact width: number of phases}, halo where known
    ((2, 2), 44, {44: 4}, 24),
    ((2, 4), 64, {60: 4, 68: 4}, None),
    ((4, 2), 80, {76: 4, 84: 4}, None),
    ((2, 8), 104, {92: 4, 108: 12}, None),
    ((4, 4), 120, {116: 12, 132: 4}, 64),
    ((8, 2), 152, {148: 12, 164: 4}, None),
    ((4, 8), 200, {180: 12, 212: 20}, None),
    ((8, 4), 232, {228: 28, 260: 4}, None),
    ((8, 8), 392, {356: 28, 420: 36}, 256),
    ((2, 2, 2), 96, {92: 4, 100: 4}, None),
    ((2, 2, 4), 136, {124: 4, 140: 12}, None),
    ((2, 2, 2, 2), 200, {188: 4, 204: 12}, None),
    ((4, 4, 4), 488, {468: 44, 532: 20}, None),
]


@pytest.mark.parametrize(("pools", "nominal", "phases", "halo"), TABLE)
def test_table(pools, nominal, phases, halo):
    """Nominal fields of the paper; widths and numbers of phases measured with gradients."""
    field = receptive_field(NetworkSpec(pools))
    assert field.nominal == nominal
    counted = {int(width): int((field.widths == width).sum()) for width in set(field.widths)}
    assert counted == phases
    assert field.period == sum(phases.values()) == len(field.phases)
    assert (field.smallest, field.largest) == (min(phases), max(phases))
    if halo is not None:
        assert field.halo == halo


@pytest.mark.parametrize("first", [2, 3, 5, 8])
@pytest.mark.parametrize("second", [2, 4, 7])
def test_formula_of_two_pools(first, second):
    """Sytwu, Groschner and Scott (2022): 8 + 8 p1 + 5 p1 p2."""
    field = nominal_receptive_field(NetworkSpec((first, second)))
    assert field == 8 + 8 * first + 5 * first * second


def test_field_without_pools_is_that_of_two_convs():
    for dilation, width in ((1, 5), (2, 9), (5, 21)):
        field = receptive_field(NetworkSpec((), (dilation,)))
        assert field.nominal == field.smallest == field.largest == width
        assert field.phases == ((width // 2, width // 2),)


@pytest.mark.parametrize("pools", [(2, 2), (4, 4), (8, 8), (3, 2, 4), (2,), (), (6, 6)])
@pytest.mark.parametrize("bottleneck", [1, 3])
def test_halo_is_the_smallest_that_makes_a_tile_exact(pools, bottleneck):
    spec = NetworkSpec(pools, (1,) * len(pools) + (bottleneck,))
    field, period = receptive_field(spec), spec.period
    tile = range(20 * period, 23 * period)
    intervals = [field.interval(position, 10_000_000) for position in tile]
    first = min(interval.start for interval in intervals)
    last = max(interval.stop for interval in intervals)
    assert field.halo % period == 0
    assert tile.start - field.halo <= first
    assert last <= tile.stop + field.halo
    smaller = field.halo - period
    assert first < tile.start - smaller or last > tile.stop + smaller


@pytest.mark.parametrize("pools", [(2, 2), (3, 4), (2, 2, 2)])
def test_a_field_larger_than_the_image_is_clipped_and_said_to_be(pools):
    spec = NetworkSpec(pools)
    field, length = receptive_field(spec), 2 * spec.period
    assert field.smallest > length
    seen = supports(spec.pools, spec.dilations, length, range(length))
    for position, (first, last) in enumerate(seen):
        interval = field.interval(position, length)
        assert interval.clipped
        assert interval.width == field.widths[position % spec.period]
        assert interval.inside == (first, last + 1) == (0, length)


def test_a_field_near_the_border_says_what_is_padding():
    field = receptive_field(NetworkSpec((2, 2)))
    length = 101
    rows, columns = field.box((3, 50), (97, length))
    before, after = field.phases[3]
    assert rows.start == 3 - before
    assert rows.clipped
    assert rows.inside == (0, 3 + after + 1)
    assert not columns.clipped
    assert columns.inside == (columns.start, columns.stop)
    last = field.interval(length - 1, length)
    assert last.clipped
    assert last.inside[1] == length


@pytest.mark.parametrize("position", [-1, 97])
def test_a_pixel_outside_is_refused(position):
    field = receptive_field(NetworkSpec())
    with pytest.raises(
        ValueError, match=rf"^position {position} is outside the image, which has 97 px$"
    ):
        field.interval(position, 97)


def test_filters_channels_and_classes_do_not_matter():
    field = receptive_field(NetworkSpec((4, 2), filters=3, channels=2, classes=5, growth=1.5))
    assert field.phases == receptive_field(NetworkSpec((4, 2))).phases


def test_a_shared_field_cannot_be_changed():
    field = receptive_field(NetworkSpec((4, 2)))
    with pytest.raises(ValueError, match="read-only"):
        field.before[0] = 0


def test_a_field_as_plain_values():
    """The line of the paper's network of two pools of 4: its widths stand in the table above."""
    described = receptive_field(NetworkSpec((4, 4))).to_dict()
    assert described == {
        "nominal": 120,
        "smallest": 116,
        "largest": 132,
        "period": 16,
        "halo": 64,
    }
