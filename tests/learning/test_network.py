"""The module is the network of the paper, layer by layer."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.spec import NetworkSpec

from .conftest import as_after_a_training

SPECS = [
    NetworkSpec(pools=(), dilations=(2,), filters=3),
    NetworkSpec(pools=(2,), filters=4),
    NetworkSpec(pools=(4, 2), filters=3, classes=3),
    NetworkSpec(pools=(2, 3, 2), dilations=(1, 2, 3, 1), filters=2, growth=1.5),
]


def network_of(spec, seed=752):
    """Return a network whose batch norms have statistics and scales as after a training."""
    torch.manual_seed(seed)
    network = Network(spec)
    as_after_a_training(network)
    return network.double().eval()


def image_of(shape, seed=9213):
    values = np.random.default_rng(seed).standard_normal((1, 1, *shape))
    return torch.as_tensor(values)


@pytest.mark.parametrize(
    ("levels", "published"), [(1, 1_826), (2, 8_074), (3, 32_730), (4, 130_682)]
)
@pytest.mark.parametrize("pool", [2, 4, 8])
def test_parameters_are_the_papers_for_any_pool(levels, published, pool):
    network = Network(NetworkSpec(pools=(pool,) * levels, filters=4))
    assert sum(each.numel() for each in network.parameters()) == published
    assert all(each.requires_grad for each in network.parameters())


def test_layers_come_in_the_papers_order():
    """What runs, in turn, for pools (3, 2): sizes and channels counted by hand."""
    network = network_of(NetworkSpec(pools=(3, 2), filters=4, classes=3))
    seen = []

    def kind_of(module):
        return next(
            kind.__name__ for kind in (nn.Conv2d, nn.BatchNorm2d) if isinstance(module, kind)
        )

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(
                lambda m, inputs, output: seen.append(
                    (kind_of(m), *inputs[0].shape[1:], output.shape[1])
                )
            )
    network(image_of((18, 24)))

    def block(channels_in, channels_out, rows, columns):
        return [
            ("Conv2d", channels_in, rows, columns, channels_out),
            ("BatchNorm2d", channels_out, rows, columns, channels_out),
            ("Conv2d", channels_out, rows, columns, channels_out),
            ("BatchNorm2d", channels_out, rows, columns, channels_out),
            ("Conv2d", channels_in, rows, columns, channels_out),
        ]

    assert seen == [
        *block(1, 4, 18, 24),
        *block(4, 8, 6, 8),
        *block(8, 16, 3, 4),
        *block(24, 8, 6, 8),
        *block(12, 4, 18, 24),
        ("Conv2d", 4, 18, 24, 3),
    ]


def test_every_conv_has_a_bias_same_padding_and_the_blocks_dilation():
    network = Network(NetworkSpec(pools=(2, 4), dilations=(1, 3, 2), filters=3))
    blocks = [*network.encoder, network.bottleneck, *network.decoder]
    for block, dilation in zip(blocks, (1, 3, 2, 3, 1), strict=True):
        for conv in (block.conv1, block.conv2):
            assert conv.kernel_size == (3, 3)
            assert conv.dilation == (dilation, dilation)
            assert conv.padding == (dilation, dilation)
            assert conv.padding_mode == "zeros"
        assert block.shortcut.kernel_size == (1, 1)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == 5 * 3 + 1
    for conv in convs:
        assert conv.bias is not None
        assert conv.stride == (1, 1)
        assert conv.groups == 1
        assert not conv.bias.any()


def test_weights_are_he_normal():
    """Variance 2 / fan in, and the kurtosis of a normal distribution (a uniform one has 1.8)."""
    torch.manual_seed(2245)
    network = Network(NetworkSpec(pools=(2, 2), filters=32, channels=5))
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 3000:
            weights = module.weight.detach().double().flatten()
            fan_in = module.in_channels * math.prod(module.kernel_size)
            assert weights.var().item() * fan_in / 2 == pytest.approx(1, abs=0.1)
            kurtosis = (weights**4).mean() / weights.var() ** 2
            assert kurtosis.item() == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize("way", [lambda network: network, accelerated], ids=["plain", "fast"])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_forward_is_the_papers_formula(spec, way):
    """The pass written down once more with bare functions on the same weights."""
    network, image = way(network_of(spec)), image_of((30, 42))
    period = spec.period
    image = image[..., : 30 // period * period, : 42 // period * period]

    def norm(x, layer):
        shape = (1, -1, 1, 1)
        scaled = (x - layer.running_mean.view(shape)) / torch.sqrt(
            layer.running_var.view(shape) + 1e-5
        )
        return scaled * layer.weight.view(shape) + layer.bias.view(shape)

    def block(x, layers, dilation):
        y = functional.conv2d(
            x, layers.conv1.weight, layers.conv1.bias, padding=dilation, dilation=dilation
        )
        y = torch.clamp(norm(y, layers.norm1), min=0)
        y = functional.conv2d(
            y, layers.conv2.weight, layers.conv2.bias, padding=dilation, dilation=dilation
        )
        y = norm(y, layers.norm2)
        return torch.clamp(
            y + functional.conv2d(x, layers.shortcut.weight, layers.shortcut.bias), min=0
        )

    x, skips = image, []
    for level, pool in enumerate(spec.pools):
        skips.append(block(x, network.encoder[level], spec.dilations[level]))
        rows = skips[-1].unfold(2, pool, pool).unfold(3, pool, pool)
        x = rows.amax((4, 5))
    x = block(x, network.bottleneck, spec.dilations[-1])
    for place, level in enumerate(reversed(range(spec.levels))):
        up = x.repeat_interleave(spec.pools[level], 2).repeat_interleave(spec.pools[level], 3)
        x = block(torch.cat([skips[level], up], 1), network.decoder[place], spec.dilations[level])
    logits = functional.conv2d(x, network.head.weight, network.head.bias)
    with torch.no_grad():
        torch.testing.assert_close(network(image), logits, atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (5, 3), (17, 19), (31, 16), (32, 48)])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_any_size_is_filled_with_zeros_below_and_to_the_right(spec, shape):
    network, image = network_of(spec), image_of(shape)
    rows, columns = (-(-length // spec.period) * spec.period for length in shape)
    filled = torch.zeros(1, 1, rows, columns, dtype=torch.float64)
    filled[..., : shape[0], : shape[1]] = image
    with torch.no_grad():
        logits = network(image)
        assert logits.shape == (1, spec.classes, *shape)
        expected = network(filled)[..., : shape[0], : shape[1]]
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=0)


def test_same_seed_same_weights():
    first, second, other = (network_of(SPECS[3], seed) for seed in (752, 752, 2245))
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
    )
    assert not torch.equal(first.head.weight, other.head.weight)
