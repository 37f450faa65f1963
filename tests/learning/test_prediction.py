"""Tiles give what one pass over the whole image gives."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from napari_tem_rf.learning import passes
from napari_tem_rf.learning.device import computing_threads
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.passes import LayeredPass, TiledPass, cheapest_pass
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

NETWORKS = [
    NetworkSpec(pools=(), filters=3),
    NetworkSpec(pools=(), dilations=(5,), filters=2),
    NetworkSpec(pools=(2,), filters=3),
    NetworkSpec(pools=(3,), filters=2, classes=4),
    NetworkSpec(pools=(2, 2), filters=3),
    NetworkSpec(pools=(4, 2), filters=2),
    NetworkSpec(pools=(2, 5), filters=2),
    NetworkSpec(pools=(4, 4), filters=3, classes=3),
    NetworkSpec(pools=(2, 3, 2), dilations=(2, 1, 3, 2), filters=2),
    NetworkSpec(pools=(8, 4), filters=2),
]

WAYS = [TiledPass, LayeredPass]


def network_of(spec, seed=752):
    """Return a network in double precision, with norms as after a training.

    In single precision sums that come in another order move the logits by 1e-6 of their size,
    and labels of nearly equal classes with them.
    """
    torch.manual_seed(seed)
    network = Network(spec).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.bias, 0.1, 0.5)
    return network


def image_of(shape, seed=2245):
    return np.random.default_rng(seed).standard_normal(shape)


def one_pass(network, image):
    with torch.inference_mode():
        logits = network(torch.from_numpy(image)[None, None])[0]
    return logits.argmax(0).numpy(), logits.softmax(0).numpy()


def assert_same(result, network, image):
    classes, probabilities = one_pass(network, image)
    np.testing.assert_allclose(result.probabilities, probabilities, atol=1e-7)
    np.testing.assert_array_equal(result.classes, classes)


@pytest.mark.parametrize("tile_px", [1, 37, 64])
@pytest.mark.parametrize(
    ("spec", "way"),
    [(spec, way) for spec in NETWORKS for way in WAYS if spec.levels or way is TiledPass],
    ids=str,
)
def test_tiles_give_what_one_pass_gives(spec, way, tile_px):
    network, image = network_of(spec), image_of((131, 149))
    if tile_px == 1:
        image = image[:23, :29]  # thousands of tiles tell no more than dozens
    result = predict(network, image, tile_px=tile_px, probabilities=True, pass_over=way)
    assert_same(result, network, image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 211), (197, 1), (3, 5), (13, 61), (24, 27)])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("spec", [NETWORKS[4], NETWORKS[7], NETWORKS[9]], ids=str)
def test_images_smaller_than_halo_or_period(spec, way, shape):
    assert min(shape) < receptive_field(spec).halo + spec.period
    network, image = network_of(spec), image_of(shape)
    result = predict(network, image, tile_px=16, probabilities=True, pass_over=way)
    assert_same(result, network, image)


@pytest.mark.parametrize("spec", [NETWORKS[5], NETWORKS[8], NETWORKS[9]], ids=str)
def test_layers_of_several_areas(monkeypatch, spec):
    """The maps that a layered pass keeps are those of a part of the image."""
    side = 64 + 2 * receptive_field(spec).halo
    bytes_per_px = 4 * (spec.widths[0] + spec.widths[1]) / spec.pools[0] ** 2
    monkeypatch.setattr(passes, "MAPS_BYTES", round(bytes_per_px * side**2))
    network, image = network_of(spec), image_of((131, 149))
    assert len(list(LayeredPass(network, image.shape).stages(None, None))) >= 3 * 4
    result = predict(network, image, tile_px=24, probabilities=True, pass_over=LayeredPass)
    assert_same(result, network, image)


@pytest.mark.parametrize("way", WAYS)
def test_several_tiles_at_once(way):
    network, image = network_of(NETWORKS[7]), image_of((131, 149))
    used = set()
    network.decoder[-1].register_forward_hook(
        lambda *_: used.add((threading.get_ident(), torch.get_num_threads()))
    )
    with computing_threads(3):
        result = predict(network, image, tile_px=16, probabilities=True, pass_over=way)
        assert torch.get_num_threads() == 3
    assert len(used) > 1
    assert {threads for _, threads in used} == {1}
    assert threading.get_ident() not in {thread for thread, _ in used}
    assert_same(result, network, image)


def test_layers_where_the_halo_is_large():
    """Pools 8, 8 have a halo of 256 px; a whole image needs none."""
    large, small = NetworkSpec(pools=(8, 8)), NetworkSpec(pools=(2, 2))
    assert isinstance(cheapest_pass(network_of(large), (4096, 4096)), LayeredPass)
    assert isinstance(cheapest_pass(network_of(large), (512, 500)), TiledPass)
    assert isinstance(cheapest_pass(network_of(NETWORKS[0]), (4096, 4096)), TiledPass)
    layered, tiled = (way(network_of(large), (4096, 4096)).macs for way in (LayeredPass, TiledPass))
    assert layered < 1.4 * large.macs_per_pixel * 4096**2
    assert tiled > 2 * large.macs_per_pixel * 4096**2
    small_macs = cheapest_pass(network_of(small), (4096, 4096)).macs
    assert small_macs < 1.3 * small.macs_per_pixel * 4096**2


def test_single_precision_and_folded():
    spec = NETWORKS[8]
    network, image = network_of(spec).float(), image_of((101, 83)).astype(np.float32)
    result = predict(accelerated(network).folded(), image, tile_px=24, probabilities=True)
    classes, probabilities = one_pass(network, image)
    np.testing.assert_allclose(result.probabilities, probabilities, atol=1e-5)
    first, second = np.sort(probabilities, axis=0)[[-1, -2]]
    clear = first - second > 1e-4
    assert clear.mean() > 0.8  # the rest: no filter of the last block is on
    np.testing.assert_array_equal(result.classes[clear], classes[clear])


def test_a_smaller_halo_would_not_do(monkeypatch):
    """The comparison above can fail: half the nominal field, which others take, is too small."""
    spec = NetworkSpec(pools=(4, 4), filters=3)
    network, image = network_of(spec), image_of((131, 149))
    field = receptive_field(spec)
    half = field.nominal // 2 // spec.period * spec.period
    assert half < field.halo

    class TooSmall:
        halo, period = half, field.period

    monkeypatch.setattr(passes, "receptive_field", lambda spec: TooSmall)
    result = predict(network, image, tile_px=32, probabilities=True, pass_over=TiledPass)
    assert np.abs(result.probabilities - one_pass(network, image)[1]).max() > 1e-5


@pytest.mark.parametrize("classes", [2, 3])
def test_arrays_have_the_promised_shapes_and_types(classes):
    network, image = (
        network_of(NetworkSpec(pools=(2,), filters=2, classes=classes)),
        image_of((31, 47)),
    )
    plain = predict(network, image)
    assert plain.probabilities is None
    assert (plain.classes.shape, plain.classes.dtype) == ((31, 47), np.uint8)
    result = predict(network, image, probabilities=True)
    assert (result.probabilities.shape, result.probabilities.dtype) == (
        (classes, 31, 47),
        np.float32,
    )
    np.testing.assert_allclose(result.probabilities.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(result.classes, plain.classes)


def test_any_layout_of_pixels_in_memory():
    network, image = network_of(NETWORKS[4]), image_of((62, 58))
    expected = predict(network, image).classes
    np.testing.assert_array_equal(predict(network, np.asfortranarray(image)).classes, expected)
    flipped = image[::-1, ::-1]
    np.testing.assert_array_equal(predict(network, flipped[::-1, ::-1]).classes, expected)


def test_progress_rises_to_one():
    network, image = network_of(NETWORKS[4]), image_of((61, 83))
    seen = []
    predict(network, image, tile_px=20, progress=seen.append, pass_over=TiledPass)
    assert len(seen) == 4 * 5
    assert seen == sorted(set(seen))
    assert seen[-1] == 1


def test_stop_gives_nothing_and_comes_before_the_next_tile():
    network, image = network_of(NETWORKS[4]), image_of((61, 83))
    answers = iter([False, False, True])
    seen = []
    result = predict(
        network, image, tile_px=20, stopped=lambda: next(answers), progress=seen.append
    )
    assert result is None
    assert len(seen) == 2


@pytest.mark.parametrize("tile_px", [0, -16])
def test_a_tile_without_pixels_is_refused(tile_px):
    with pytest.raises(ValueError, match=f"tile is {tile_px} px: it must be at least 1 px"):
        predict(network_of(NETWORKS[2]), image_of((17, 19)), tile_px=tile_px)


def test_full_memory_says_what_to_do(monkeypatch):
    network = network_of(NETWORKS[4])

    def full(images):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(network, "forward", full)
    with pytest.raises(MemoryError, match=r"no memory on cpu for a tile of 61 x 83 px.*smaller"):
        predict(network, image_of((61, 83)))


def test_other_errors_are_not_taken_for_full_memory(monkeypatch):
    network = network_of(NETWORKS[4])

    def wrong(images):
        raise RuntimeError("expected another size")

    monkeypatch.setattr(network, "forward", wrong)
    with pytest.raises(RuntimeError, match="expected another size"):
        predict(network, image_of((61, 83)))


def test_memory_does_not_grow_with_the_image():
    """The largest part of the image that a block sees at once is a tile with its halo."""
    network, image = network_of(NETWORKS[4]), image_of((523, 211))
    largest = 0

    def watch(module, inputs):
        nonlocal largest
        largest = max(largest, inputs[0][0, 0].numel())

    network.encoder[0].register_forward_pre_hook(watch)
    network.decoder[-1].register_forward_pre_hook(watch)
    for way, halo in ((TiledPass, receptive_field(network.spec).halo), (LayeredPass, 4)):
        largest = 0
        predict(network, image, tile_px=64, pass_over=way)
        assert 0.8 * (64 + 2 * halo) ** 2 < largest <= (64 + 2 * halo) ** 2


def test_kept_maps_do_not_grow_with_the_image(monkeypatch):
    made = []
    monkeypatch.setattr(
        LayeredPass, "_empty", lambda _, channels, shape: made.append(channels * np.prod(shape))
    )
    for side in (4096, 16384):
        assert LayeredPass(Network(NetworkSpec(pools=(4, 4))), (side, side)).macs
        assert 0.5 * passes.MAPS_BYTES < 4 * (made[0] + made[1]) < 1.1 * passes.MAPS_BYTES
        made.clear()
