"""The fast network gives the numbers of the plain one, in training and in prediction."""

import pytest
import torch
from torch import nn

from napari_tem_rf.learning.fast.network import Pointwise, accelerated
from napari_tem_rf.learning.network import joined
from napari_tem_rf.networks.spec import NetworkSpec

from ..test_network import SPECS, image_of, network_of

WIDE = NetworkSpec(pools=(2, 4), filters=13)  # beyond what the kernels train


def test_it_shares_the_weights_by_name():
    network = network_of(SPECS[2])
    fast = accelerated(network)
    assert accelerated(fast) is fast
    assert list(fast.state_dict()) == list(network.state_dict())
    pairs = zip(fast.named_parameters(), network.named_parameters(), strict=True)
    assert all(name == other and ours is theirs for (name, ours), (other, theirs) in pairs)
    for ours, theirs in zip(fast.buffers(), network.buffers(), strict=True):
        assert ours is theirs
    assert not fast.training
    assert accelerated(network.train()).training


@pytest.mark.parametrize("spec", [*SPECS, WIDE], ids=str)
def test_training_gives_the_loss_the_gradients_and_the_moments_of_the_plain_network(spec):
    """In double precision, where torch computes; the kernels have tests of their own."""
    found = {}
    for way in ("plain", "fast"):
        network = network_of(spec).train()
        model = accelerated(network) if way == "fast" else network
        loss = model(image_of((30, 42))).square().mean()
        loss.backward()
        found[way] = [loss, *(each.grad for each in network.parameters()), *network.buffers()]
    for ours, theirs in zip(found["fast"], found["plain"], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("channels_in", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_way_of_a_pointwise_conv_is_that_of_torch(channels_in, layout):
    conv = nn.Conv2d(channels_in, 5, 1).double()
    x = torch.randn(2, channels_in, 7, 11, dtype=torch.float64)
    x = x.contiguous(memory_format=layout).requires_grad_()
    found, expected = Pointwise(conv)(x), conv(x)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    weights = torch.randn(expected.shape, dtype=torch.float64)
    inputs = (x, conv.weight, conv.bias)
    ours, theirs = (torch.autograd.grad(y, inputs, weights) for y in (found, expected))
    for given, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(given, wanted, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_folded_gives_the_same_logits(spec):
    network, image = network_of(spec), image_of((61, 47))
    folded = accelerated(network).folded()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(each.requires_grad for each in folded.parameters())
    with torch.no_grad():
        torch.testing.assert_close(folded(image), network(image), atol=1e-9, rtol=0)
    single, image = network.float(), image.float()
    with torch.no_grad():
        expected = single(image)
        difference = (accelerated(single).folded()(image) - expected).abs().max()
    assert difference < 1e-5 * expected.abs().max()


def test_folding_leaves_the_network_as_it_was():
    network = network_of(SPECS[1]).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    accelerated(network).folded()
    assert network.training
    assert all(each.requires_grad for each in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_gradients_pass_the_relus_that_work_in_place():
    """Against finite differences, in double precision."""
    network = accelerated(network_of(NetworkSpec(pools=(2,), filters=2), seed=956))
    image = image_of((6, 4)).requires_grad_(True)
    assert torch.autograd.gradcheck(network, (image,), eps=1e-6, atol=1e-5)


@pytest.mark.parametrize(("pool", "filters"), [(2, 4), (3, 2), (5, 3), (8, 4)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_training_convolves_before_it_upsamples_to_the_same_numbers(pool, filters, dilation):
    """Logits and gradients are those of the upsampled and joined map, in double precision."""
    network = network_of(NetworkSpec((pool,), (dilation, 1), filters=filters))
    plain = network.decoder[0].train()
    block = accelerated(network).decoder[0]
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    generator = torch.Generator().manual_seed(140)
    skip = torch.randn(2, filters, 3 * pool, 5 * pool, generator=generator).double()
    low = torch.randn(2, block.conv1.in_channels - filters, 3, 5, generator=generator).double()
    inputs = (skip.requires_grad_(), low.requires_grad_(), *block.parameters())
    found, expected = block.decode(skip, low, pool), plain(joined(skip, low, pool))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    weights = torch.randn(expected.shape, generator=generator).double()
    ours, theirs = (torch.autograd.grad(y, inputs, weights) for y in (found, expected))
    for given, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(given, wanted, atol=1e-10, rtol=1e-10)
