"""A part of a network that is frozen comes out of a training bit for bit as it went in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tem_rf import jobs
from napari_tem_rf.jobs import TrainRequest
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.step import freeze, is_frozen
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport, TrainingPlan
from napari_tem_rf.runs import read_run

SPEC = NetworkSpec((2, 2), filters=3)
PLAN = TrainingPlan(
    epochs=None, steps=4, batch=2, crop_px=32, device="cpu", validation=0.0, learning_rate=0.01
)
BY_PART = {"encoder": ("encoder.", "bottleneck."), "decoder": ("decoder.",), "nothing": ()}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def request_of(folder: Path, **changes) -> TrainRequest:
    rows, columns = np.indices((47, 61))
    mask = ((rows - 20) ** 2 + (columns - 30) ** 2 < 12**2).astype(np.uint8)
    pixels = np.random.default_rng(752).poisson(400 - 150 * mask.astype(float))
    image = LabelledImage("gold", pixels.astype(np.uint16), mask)
    given = {"plan": PLAN, "unlabelled": "background", **changes}
    return TrainRequest(folder, (image,), SPEC, **given)


def train(request: TrainRequest, stopped=lambda: False) -> list[str]:
    reports = []
    jobs.train_run(request, report=reports.append, stopped=stopped)
    return [each.sentence for each in reports if isinstance(each, NoteReport)]


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "run"
    train(request_of(folder))
    return folder


@pytest.mark.parametrize("frozen", ["encoder", "decoder", "nothing"])
@pytest.mark.parametrize("gentle", [True, False])
def test_what_is_frozen_is_bit_equal_and_the_rest_moves(tmp_path, start, frozen, gentle):
    # with settled borders the batch norms take the statistics of the crops
    plan = replace(PLAN, frozen=frozen)
    request = request_of(tmp_path / "run", plan=plan, start=start)
    if gentle:
        train(request)
        after = read_run(tmp_path / "run").read_weights()
    else:
        after = trained_with_batch_statistics(request, plan)
    before = read_run(start).read_weights()
    assert before.keys() == after.keys()
    for name, value in after.items():
        if name.startswith(BY_PART[frozen]) and BY_PART[frozen]:
            assert np.array_equal(value, before[name]), name
    for part in ("encoder.0.conv1", "bottleneck.conv2", "decoder.1.conv1", "head"):
        moves = not part.startswith(BY_PART[frozen] or ("-",))
        assert np.array_equal(after[f"{part}.weight"], before[f"{part}.weight"]) != moves, part
    statistics = "decoder.1.norm1.running_mean"
    if not gentle and frozen != "decoder":
        assert not np.array_equal(after[statistics], before[statistics])


def trained_with_batch_statistics(request: TrainRequest, plan: TrainingPlan):
    """Return the weights of a training that starts from others as if they were to be moved."""
    from napari_tem_rf.learning.beginning import Beginning
    from napari_tem_rf.learning.learner import Learner
    from napari_tem_rf.learning.network import network_of

    data = jobs.prepare(request.images, request.unlabelled, request.cleaning)
    network = network_of(SPEC, read_run(request.start).read_weights())
    beginning = Beginning(network, data, gentle=False, frozen=plan.frozen)
    learner = Learner(beginning, plan, torch.device("cpu"), 0.0, chooses=False)
    for number, crops in enumerate(learner.rest_of_epoch()):
        if number == 3:
            break
        learner.step(crops)
    # as a file of weights has them: counters are lists of one
    state = learner.averaged.state_dict()
    return {name: np.ascontiguousarray(value.numpy()) for name, value in state.items()}


@pytest.mark.parametrize("frozen", ["encoder", "decoder"])
def test_stopped_and_resumed_it_is_as_if_unbroken(tmp_path, start, frozen):
    plan = replace(PLAN, frozen=frozen)
    train(request_of(tmp_path / "whole", plan=plan, start=start))
    asked = []

    def after_two():
        asked.append(1)
        return len(asked) > 2

    train(request_of(tmp_path / "parts", plan=plan, start=start), stopped=after_two)
    train(request_of(tmp_path / "parts", plan=plan, resume=True))
    whole, parts = (read_run(tmp_path / name).read_weights() for name in ("whole", "parts"))
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    assert read_run(tmp_path / "parts").record.plan.frozen == frozen


def test_new_weights_are_all_trained_and_a_note_says_so(tmp_path):
    notes = train(request_of(tmp_path / "frozen", plan=replace(PLAN, frozen="encoder")))
    assert "nothing is frozen: the training starts from new weights" in notes
    train(request_of(tmp_path / "free"))
    frozen, free = (read_run(tmp_path / name).read_weights() for name in ("frozen", "free"))
    assert all(np.array_equal(frozen[name], free[name]) for name in free)


def test_a_network_without_a_level_has_its_bottleneck_frozen_with_the_encoder():
    network = random_network(NetworkSpec((), filters=3), 1)
    freeze(network, "encoder")
    assert is_frozen(network.bottleneck)
    assert not is_frozen(network.head)


def test_only_known_parts_can_be_frozen():
    with pytest.raises(ValueError, match="frozen is head: it must be one of nothing, encoder"):
        TrainingPlan(frozen="head")  # type: ignore[arg-type]
