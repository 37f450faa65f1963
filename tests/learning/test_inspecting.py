"""What a network makes of crops, as they lie or turned: features, and what it finds."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.inspecting import (
    crop_side,
    inspect_crops,
)
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.networks.spec import NetworkSpec


def crops(count=2, side=24):
    return np.random.default_rng(2).normal(size=(count, side, side)).astype(np.float32)


@pytest.fixture
def network():
    return accelerated(random_network(NetworkSpec((2,)), 5).eval()).folded()


@pytest.fixture
def pointwise():
    """A network without pools whose 3x3 kernels see their middle alone: it turns with the image."""
    plain = random_network(NetworkSpec(()), 5).eval()
    with torch.no_grad():
        for module in plain.modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
                middle = module.weight[:, :, 1, 1].clone()
                module.weight.zero_()
                module.weight[:, :, 1, 1] = middle
    return accelerated(plain).folded()


def found_as_it_lies(network, some):
    return network(torch.from_numpy(some)[:, None]).argmax(1).numpy() > 0


def test_turned_crops_are_turned_back(pointwise, network):
    """One that turns with the image finds the same, whatever the way; another one does not."""
    some = crops(9)
    np.testing.assert_array_equal(
        inspect_crops(pointwise, some, turned=True).found, found_as_it_lies(pointwise, some)
    )
    plain = found_as_it_lies(network, some)
    np.testing.assert_array_equal(inspect_crops(network, some).found, plain)
    differs = (inspect_crops(network, some, turned=True).found != plain).mean(axis=(1, 2))
    assert (differs > 0).all()


def test_features_are_mean_and_spread_of_the_bottleneck(network):
    some = crops()
    found = inspect_crops(network, some)
    kept = []
    hook = network.bottleneck.register_forward_hook(lambda _m, _i, out: kept.append(out))
    network(torch.from_numpy(some)[:, None])
    hook.remove()
    values = kept[0].flatten(2).numpy()  # (crop, channel, pixel)
    np.testing.assert_allclose(
        found.features,
        np.concatenate([values.mean(2), values.std(2)], axis=1),
        rtol=2e-4,
        atol=1e-5,
    )


def test_a_border_counts_as_its_particle():
    network = accelerated(random_network(NetworkSpec((2,), classes=3), 5).eval()).folded()
    some = crops(1)
    likely = network(torch.from_numpy(some)[:, None]).softmax(1).numpy()[0]
    found = inspect_crops(network, some, border=True)
    np.testing.assert_array_equal(found.found[0], likely[1] + likely[2] > likely[0])


def test_features_are_those_of_the_own_crops(network):
    """Another frame passes the same network meanwhile, in another thread."""
    some, other = crops(), torch.from_numpy(crops()[:, None] + 3)
    alone = inspect_crops(network, some).features
    with ThreadPoolExecutor(1) as thread:

        def pass_over(*_):
            hook.remove()
            thread.submit(network, other).result()

        hook = network.bottleneck.register_forward_pre_hook(pass_over)
        found = inspect_crops(network, some).features
    np.testing.assert_array_equal(found, alone)


def test_the_hook_is_gone_afterwards(network):
    inspect_crops(network, crops(), turned=True)
    assert not network.bottleneck._forward_hooks


def test_crops_are_whole_periods_and_fit():
    network = random_network(NetworkSpec((4, 8)), 5)
    assert crop_side(network, (500, 600)) == (128, 128)
    assert crop_side(random_network(NetworkSpec((3, 7)), 1), (500, 600)) == (147, 147)
    assert crop_side(network, (71, 600)) == (71, 71)
