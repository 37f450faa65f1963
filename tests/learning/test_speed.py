import numpy as np
import pytest
import torch

from napari_tem_rf.learning.fast import compiled
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.passes import LayeredPass, TiledPass, cheapest_pass
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.speed import _peak_bytes, as_of_a_camera, measure_speed
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed


def folded(**changes):
    torch.manual_seed(752)
    return accelerated(Network(NetworkSpec(**changes))).folded()


def test_memory_is_at_least_that_of_the_widest_maps():
    # decoder 1 of 4 filters on 64 x 80 px: its input of 12 channels and its output of 4, in float32
    image = np.zeros((64, 80), np.float32)
    peak = _peak_bytes(folded(pools=(2,), filters=4), image)
    assert 64 * 80 * (12 + 4) * 4 <= peak < 10 * 64 * 80 * (12 + 4) * 4


def test_more_filters_cost_more():
    small = measure_speed(folded(pools=(4, 4), filters=8))  # by torch as well
    large = measure_speed(folded(pools=(4, 4), filters=32))
    assert small.device == "cpu"
    assert large.seconds_per_megapixel > small.seconds_per_megapixel > 0
    assert large.tile_mib == pytest.approx(4 * small.tile_mib, rel=0.25)


def test_what_is_timed_is_what_runs():
    """Few filters go by the kernels in a camera's image and in the one that is timed."""
    if compiled.kernels() is None:
        pytest.skip("no kernels here")
    compiled.warm_up()
    few, many = folded(pools=(4, 4), filters=4), folded(pools=(4, 4), filters=16)
    assert type(cheapest_pass(few, (304, 336))) in (TiledPass, LayeredPass)
    way = as_of_a_camera(few, (304, 336))
    assert type(way).__name__ == "RolledPass"
    assert type(as_of_a_camera(many, (304, 336))) in (TiledPass, LayeredPass)
    image = np.random.default_rng(5).normal(size=(304, 336)).astype(np.float32)
    by_kernels = predict(few, image, pass_over=as_of_a_camera).classes
    assert (by_kernels != predict(few, image).classes).mean() < 1e-3
    # the maps of the kernels are arrays: classes and the level below of a tile at least
    assert _peak_bytes(few, image) > 304 * 336 * 4 * 2


def test_speed_in_words():
    assert (
        Speed(0.523, 88.6, "cpu").sentence
        == "0.52 s per megapixel and 89 MiB on this machine's CPU"
    )
    assert (
        Speed(41.7, 2300, "cuda").sentence == "42 s per megapixel and 2.2 GiB on this machine's GPU"
    )
