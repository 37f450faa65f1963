"""Apple's GPU has no floating-point numbers of 64 bits: nothing that runs on a device makes any.

No such GPU is at hand. "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't
support float64": PyTorch's aten/src/ATen/mps. Its operations are watched on the CPU instead, in a
network that PyTorch itself computes, as it does on a GPU.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from napari_tem_rf.learning.effective_field import effective_field
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.inspecting import inspect_crops
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.step import Stepper
from napari_tem_rf.learning.training import train
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import ProgressReport, TrainingPlan

SPEC = NetworkSpec((2,), dilations=(1, 2), filters=3)


class NoDouble(TorchDispatchMode):
    """Refuses what Apple's GPU does."""

    def __init__(self) -> None:
        super().__init__()
        self.watched = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.watched += 1
        for each in tree_iter(result):
            # one number may be Python's own
            if isinstance(each, torch.Tensor) and each.dtype == torch.float64 and each.ndim:
                raise TypeError(f"{func}: the MPS framework doesn't support float64")
        return result


@pytest.fixture
def apple() -> Iterator[NoDouble]:
    with NoDouble() as mode:
        yield mode
    assert mode.watched > 3


def test_the_watch_sees_a_double(apple: NoDouble) -> None:
    some = torch.zeros(12).split(1)
    assert len(torch.stack(some)) == 12
    with pytest.raises(TypeError, match="float64"):
        some[0].double()


def test_prediction_and_what_is_expected_of_it(apple: NoDouble) -> None:
    network = accelerated(random_network(SPEC, 752).eval()).folded()
    pixels = np.random.default_rng(9213).normal(size=(53, 61)).astype(np.float32)
    predicted = predict(network, pixels, tile_px=32, probabilities=True)
    assert predicted is not None
    crops = np.stack([pixels[:24, :24], pixels[24:48, 24:48]])
    features = inspect_crops(network, crops, turned=True).features
    assert features.dtype == np.float64
    assert np.isfinite(features).all()


def test_the_effective_field(apple: NoDouble) -> None:
    network = accelerated(random_network(SPEC, 752).eval()).folded()
    pixels = np.random.default_rng(9213).normal(size=(53, 61)).astype(np.float32)
    measured = effective_field(network, receptive_field(SPEC), pixels, (20, 30))
    assert measured.heat.sum() > 0


@pytest.mark.parametrize("agreement", [0.0, 1.0])
def test_steps_of_a_training(
    disc_set: Any, monkeypatch: pytest.MonkeyPatch, agreement: float
) -> None:
    """The last layer is fitted on the CPU before them, wherever they are made."""
    step, watch = Stepper.step, NoDouble()

    def watched(self: Stepper, *given: Any) -> Any:
        with watch:
            return step(self, *given)

    monkeypatch.setattr(Stepper, "step", watched)
    data = disc_set(shape=(67, 61), strokes=True)
    plan = TrainingPlan(
        epochs=None, steps=2, batch=2, crop_px=32, device="cpu", validation=0.0, agreement=agreement
    )
    reports = list(train(data, replace(data, images=()), SPEC, plan))
    assert any(isinstance(report, ProgressReport) for report in reports)
    assert watch.watched > 100
