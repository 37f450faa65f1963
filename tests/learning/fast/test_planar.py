"""The block of the kernels against the block of torch's layers, in double precision."""

import copy

import pytest
import torch
from torch.nn import functional

from napari_tem_rf.learning.device import computing_threads
from napari_tem_rf.learning.fast import planar
from napari_tem_rf.learning.fast.network import accelerated, threads_for
from napari_tem_rf.learning.network import Block, joined, random_network
from napari_tem_rf.networks.spec import BlockShape, NetworkSpec

from ..conftest import as_after_a_training


def block_of(channels_in, channels_out):
    torch.manual_seed(752)
    block = Block(BlockShape("block", channels_in, channels_out, 1, 1))
    as_after_a_training(block)
    return block.train()


def maps(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def run(block, skip, below, pool, gradient):
    """Return result, input gradients and weight gradients of a block as dicts of tensors.

    The output of an encoder, which has nothing below, is pooled too where there is a pool.
    """
    skip = skip.clone().requires_grad_()
    below = None if below is None else below.clone().requires_grad_()
    gradient = gradient.to(skip.dtype)
    down = pool if below is None and pool > 1 else 0
    if skip.dtype == torch.float64:
        result = block(skip if below is None else joined(skip, below, pool))
        pooled = functional.max_pool2d(result, pool) if down else None
    else:
        up = pool if below is not None else 1
        result, pooled = planar.planar_block(block, skip, below, up=up, down=down)
    block.zero_grad()
    found = {"result": result.detach()}
    loss = (result * gradient).sum()
    if down:
        found["pooled"] = pooled.detach()
        loss = loss + (pooled * gradient[:, :, : pooled.shape[2], : pooled.shape[3]]).sum()
    loss.backward()
    found["of skip"] = skip.grad
    if below is not None:
        found["of below"] = below.grad
    found |= {f"of {name}": each.grad.clone() for name, each in block.named_parameters()}
    return found | {name: each.clone() for name, each in block.named_buffers()}


CASES = [
    # own, below, pool, out, crops, rows, columns
    (1, 0, 1, 4, 3, 24, 20),
    (1, 0, 2, 4, 2, 24, 20),
    (4, 0, 4, 7, 2, 16, 32),
    (2, 0, 3, 3, 1, 9, 12),
    (4, 8, 2, 4, 2, 16, 32),
    (3, 5, 3, 5, 1, 9, 12),
    (8, 16, 4, 8, 2, 16, 16),
    (2, 4, 8, 1, 2, 32, 16),
]


@pytest.mark.parametrize("keeps", [False, True], ids=["moves its norms", "keeps its norms"])
@pytest.mark.parametrize("band", [1 << 20, 1], ids=["one band a crop", "many bands"])
@pytest.mark.parametrize(("own", "under", "pool", "out", "crops", "rows", "columns"), CASES)
def test_results_gradients_and_moments_are_those_of_torch(
    own, under, pool, out, crops, rows, columns, band, keeps, monkeypatch
):
    monkeypatch.setattr(planar, "BAND_BYTES", band)
    ours = block_of(own + under, out)
    if keeps:
        ours.norm1.eval(), ours.norm2.eval()
    theirs = copy.deepcopy(ours).double()
    skip, gradient = maps(crops, own, rows, columns), maps(crops, out, rows, columns, seed=2)
    below = maps(crops, under, rows // pool, columns // pool, seed=1) if under else None
    double = None if below is None else below.double()

    found = run(ours, skip, below, pool, gradient)
    expected = run(theirs, skip.double(), double, pool, gradient)

    assert found["result"].is_contiguous()
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(
            found[name].double() / scale, value.double() / scale, atol=5e-6, rtol=0, msg=name
        )
    moved = not torch.equal(
        expected["norm1.running_mean"], block_of(own + under, out).norm1.running_mean.double()
    )
    assert moved is not keeps


def test_a_network_of_such_blocks_has_the_gradients_of_torchs_layers():
    """Pools, skips and the head are between the blocks; crops whose side is not a whole period."""
    spec = NetworkSpec((2, 4), filters=4, classes=3)
    images, weight = maps(2, 1, 40, 52), maps(2, 3, 40, 52, seed=1)
    found = {}
    for way in ("kernels", "layers"):
        network = random_network(spec, 752).train()
        if way == "kernels":
            network = accelerated(network)
        else:
            network, images, weight = network.double(), images.double(), weight.double()
        (network(images) * weight).sum().backward()
        found[way] = [each.grad.double() for each in network.parameters()]
    for ours, theirs in zip(found["kernels"], found["layers"], strict=True):
        scale = float(theirs.abs().max()) + 1e-3
        torch.testing.assert_close(ours / scale, theirs / scale, atol=2e-4, rtol=0)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_same_threads_give_the_same_bits(threads):
    skip, gradient = maps(5, 3, 24, 24), maps(5, 4, 24, 24, seed=1)
    with computing_threads(threads):
        first, second = (run(block_of(3, 4), skip, None, 1, gradient) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_torch_has_one_thread_where_the_kernels_do_all():
    small, wide = (
        accelerated(random_network(NetworkSpec((2,), filters=filters), 0)) for filters in (4, 32)
    )
    crops = maps(2, 1, 128, 128)
    with computing_threads(2):
        with threads_for(small, crops):
            assert torch.get_num_threads() == 1
            assert planar._Bands(8, 16).threads == 2
        with threads_for(wide, crops):
            assert torch.get_num_threads() == 2
        with threads_for(small, crops.double()):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (NetworkSpec((4, 4), filters=12), True),
        (NetworkSpec((), filters=12), True),
        (NetworkSpec((4, 4), filters=13), False),
        (NetworkSpec((2, 2, 2, 2), filters=8), True),
        (NetworkSpec((2, 2, 2, 2, 2), filters=8), False),
        (NetworkSpec((4,), (1, 2), filters=4), False),
    ],
)
def test_networks_that_the_kernels_train(spec, expected, monkeypatch):
    done = []
    block = planar.planar_block
    monkeypatch.setattr(planar, "planar_block", lambda *a, **k: done.append(0) or block(*a, **k))
    network = accelerated(random_network(spec, 0)).train()
    crops = maps(1, 1, spec.period, 2 * spec.period)
    network(crops)
    assert len(done) == (2 * spec.levels + 1 if expected else 0)
    network.eval()(crops)
    network.double().train()(crops.double())
    assert len(done) == (2 * spec.levels + 1 if expected else 0)


def test_compiling_draws_no_random_numbers():
    torch.manual_seed(752)
    planar.warm_up()
    drawn = torch.rand(3)
    torch.manual_seed(752)
    assert torch.equal(drawn, torch.rand(3))
