"""The kernels of prediction give the numbers of one pass of the plain network, in double precision.

In single precision sums in another order move the logits by 1e-6 of their size; a label may only
differ where two classes are that near to each other.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from napari_tem_rf.learning import passes
from napari_tem_rf.learning.fast import compiled, network as fast_network
from napari_tem_rf.learning.fast.network import accelerated, fastest_pass
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.passes import LayeredPass
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

if compiled.kernels() is None:
    pytest.skip("Numba is missing or fails here", allow_module_level=True)

from napari_tem_rf.learning.fast.rolled import RolledPass, suits_rolling

NETWORKS = [
    NetworkSpec((2,), filters=2),
    NetworkSpec((3,), filters=2, classes=4),
    NetworkSpec((2, 2), filters=4),
    NetworkSpec((4, 4), filters=5, classes=3),
    NetworkSpec((8, 4), filters=3),
    NetworkSpec((2, 5), filters=6),
    NetworkSpec((16,), filters=2),
]


def network_of(spec, seed=752):
    torch.manual_seed(seed)
    network = Network(spec).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.bias, 0.1, 0.5)
    return network


def image_of(shape, seed=2245):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_same(result, network, image):
    with torch.inference_mode():
        logits = network.double()(torch.from_numpy(image).double()[None, None])[0]
    probabilities, classes = logits.softmax(0).numpy(), logits.argmax(0).numpy()
    np.testing.assert_allclose(result.probabilities, probabilities, atol=2e-5)
    first, second = np.sort(logits.numpy(), axis=0)[[-1, -2]]
    told_apart = first - second > 1e-5 * np.abs(logits.numpy()).max()
    assert told_apart.mean() > 0.99
    np.testing.assert_array_equal(result.classes[told_apart], classes[told_apart])


@pytest.mark.parametrize("tile_px", [37, 512])
@pytest.mark.parametrize("spec", NETWORKS, ids=str)
def test_kernels_give_what_one_pass_gives(spec, tile_px):
    assert suits_rolling(spec)
    network, image = network_of(spec), image_of((131, 149))
    folded = accelerated(network).folded()
    result = predict(folded, image, tile_px=tile_px, probabilities=True, pass_over=RolledPass)
    assert_same(result, network, image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 211), (197, 1), (3, 5), (24, 27), (17, 1301)])
@pytest.mark.parametrize("spec", [NETWORKS[2], NETWORKS[4]], ids=str)
def test_images_of_any_shape(spec, shape):
    """The widest is more than two lines of the kernels, in one tile."""
    network, image = network_of(spec), image_of(shape)
    folded = accelerated(network).folded()
    result = predict(folded, image, tile_px=2000, probabilities=True, pass_over=RolledPass)
    assert_same(result, network, image)


def test_areas_and_tiles_change_no_label(monkeypatch):
    """A label is the same wherever the cuts between tiles and areas fall."""
    spec = NETWORKS[3]
    folded, image = accelerated(network_of(spec)).folded(), image_of((389, 457))
    whole = predict(folded, image, pass_over=RolledPass)
    side = 96 + 2 * receptive_field(spec).halo
    bytes_per_px = 4 * sum(spec.widths[:2]) / spec.pools[0] ** 2
    monkeypatch.setattr(passes, "MAPS_BYTES", round(bytes_per_px * side**2))
    cut = predict(folded, image, tile_px=48, pass_over=RolledPass)
    by_torch = predict(folded, image, tile_px=48, pass_over=LayeredPass)
    np.testing.assert_array_equal(cut.classes, whole.classes)
    np.testing.assert_array_equal(cut.classes, by_torch.classes)


def test_what_is_chosen(monkeypatch):
    """Kernels where they suit and the image is large; torch otherwise."""
    few, shape = NetworkSpec((4, 4), filters=4), (2048, 2048)
    folded = accelerated(network_of(few)).folded()
    assert isinstance(fastest_pass(folded, shape), RolledPass)
    assert not isinstance(fastest_pass(folded, (512, 512)), RolledPass)
    assert not isinstance(fastest_pass(accelerated(network_of(few)), shape), RolledPass)
    for other in (
        NetworkSpec((4, 4), filters=8),
        NetworkSpec((4,), dilations=(2, 1), filters=4),
        NetworkSpec((), filters=4),
    ):
        assert not isinstance(
            fastest_pass(accelerated(network_of(other)).folded(), shape), RolledPass
        )
    monkeypatch.setattr(compiled, "prediction_kernels", lambda: None)
    assert not isinstance(fastest_pass(folded, shape), RolledPass)


def test_a_large_image_is_predicted_by_them(monkeypatch):
    monkeypatch.setattr(fast_network, "LARGE_PX", 100 * 100)
    network, image = network_of(NETWORKS[2]), image_of((131, 149))
    used = []
    monkeypatch.setattr(
        RolledPass, "go_down", lambda *a, way=RolledPass.go_down: used.append(1) or way(*a)
    )
    result = predict(accelerated(network).folded(), image, probabilities=True)
    assert used
    assert_same(result, network, image)


def test_no_image_waits_until_they_are_compiled(tmp_path):
    """Where nobody has tried them, torch predicts; where they were found to work, they do."""
    code = (
        "from napari_tem_rf.learning.fast import compiled; import sys; "
        "found = compiled.prediction_kernels(); "
        "print(found is not None, 'numba' in sys.modules)"
    )
    before = (
        f"import pathlib; from napari_tem_rf.learning.fast import compiled as c; "
        f"c.trial_file = lambda: pathlib.Path({str(tmp_path / 'trial.json')!r}); "
    )

    def told():
        done = subprocess.run(
            [sys.executable, "-c", before + code], capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert told() == ["False", "False"]
    (tmp_path / "trial.json").write_text(json.dumps({"trouble": "it fails", "at": 4e9}))
    assert told() == ["False", "False"]
    (tmp_path / "trial.json").write_text(json.dumps({"trouble": "", "at": 0}))
    assert told() == ["True", "True"]
