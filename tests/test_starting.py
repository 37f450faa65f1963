"""Weights that come with the program: which there are, and trainings that start from them."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from napari_tem_rf import workflow
from napari_tem_rf.jobs import TrainRequest, repeating
from napari_tem_rf.learning.network import network_of
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.runs import RunError, file_hash, read_run
from napari_tem_rf.starting import (
    DEFAULT,
    NOTHING,
    SIMULATED,
    known_rows,
    named_start,
    read_start,
    simulated_start,
    simulated_starts,
    start_file,
    usual_start,
)

from .test_jobs import PLAN, image_of, notes_of, train

SPEC = NetworkSpec((4, 4), filters=8)
TWO = Classes((1, 2), ("background", "particle"))


def request_of(folder: Path, **changes: object) -> TrainRequest:
    plan = replace(PLAN, epochs=None, steps=3, batch=2)
    given = {"plan": plan, "start": SIMULATED, **changes}
    return TrainRequest(folder, (image_of((1, 2)),), SPEC, **given)


def test_the_windows_network_has_weights_whatever_the_classes():
    for classes in (2, 3, 5):
        found = simulated_start(SPEC.with_classes(classes))
        assert found is not None
        assert found.path.is_file()
        assert found.steps > 0
    assert simulated_start(NetworkSpec((3, 3), filters=5)) is None
    assert all(start.path.stat().st_size < 1_000_000 for start in simulated_starts())


@pytest.mark.parametrize("start", simulated_starts(), ids=lambda start: start.path.stem)
def test_the_weights_are_those_of_the_network_and_know_where_they_come_from(start):
    assert (
        start.path.stem
        == f"field_{nominal_receptive_field(start.spec)}_filters_{start.spec.filters}"
    )
    network = network_of(start.spec, load_file(start.path))
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
    assert start.scenes > 0
    assert start.steps > 0
    assert simulated_start(start.spec.with_classes(2)) == start


def test_the_first_pick_has_weights():
    assert simulated_start(FIRST_NETWORK.with_classes(3)) is not None


def test_the_last_layer_is_left_out():
    weights = read_start(SIMULATED, SPEC, TWO)
    whole = load_file(start_file(SIMULATED, SPEC))
    assert set(whole) - set(weights) == {"head.weight", "head.bias"}


def test_a_network_without_weights_is_told_which_have_some():
    sentence = (
        r"no weights of simulated micrographs come for .*: they come for .*120 px with 31,634"
    )
    with pytest.raises(ValueError, match=sentence):
        start_file(SIMULATED, NetworkSpec((3, 3), filters=5))


def test_a_run_is_named_by_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_start("runs/gold") == tmp_path / "runs" / "gold"
    assert named_start(SIMULATED) == SIMULATED
    assert named_start(None) is None


def test_a_training_keeps_what_it_started_from(tmp_path):
    # without agreement the strokes alone teach, gently, whatever grey level shows
    plan = replace(PLAN, epochs=None, steps=3, batch=2, agreement=0.0)
    train(request_of(tmp_path / "run", plan=plan))
    run = read_run(tmp_path / "run")
    assert run.record.start == SIMULATED
    assert run.record.start_sha256 == file_hash(start_file(SIMULATED, SPEC))
    before, after = read_start(SIMULATED, SPEC, TWO), run.read_weights()
    # the batch norms keep their statistics, the weights are changed a little
    name = "bottleneck.norm1.running_mean"
    np.testing.assert_allclose(after[name], before[name], rtol=1e-6)
    moved = np.abs(after["bottleneck.conv1.weight"] - before["bottleneck.conv1.weight"])
    assert 0 < moved.max() < 0.01


def test_stopped_and_resumed_it_is_as_if_unbroken(tmp_path):
    plan = replace(PLAN, epochs=None, steps=6, batch=2)
    train(request_of(tmp_path / "whole", plan=plan))
    asked = []

    def after_three():
        asked.append(1)
        return len(asked) > 3

    train(request_of(tmp_path / "parts", plan=plan), stopped=after_three)
    train(request_of(tmp_path / "parts", plan=plan, start=None, resume=True))
    whole, parts = (read_run(tmp_path / name).read_weights() for name in ("whole", "parts"))
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_it_is_not_repeated_from_other_weights(tmp_path):
    train(request_of(tmp_path / "run"))
    run = read_run(tmp_path / "run")
    assert repeating._start(run) == SIMULATED
    other = run.with_record(replace(run.record, start_sha256="0" * 64))
    with pytest.raises(RunError, match="simulated micrographs that this version does not bring"):
        repeating._start(other)


def test_agreement_is_taught_only_where_nobody_annotated_and_the_teacher_is_sure():
    from torch.nn import functional

    from napari_tem_rf.learning.crops import Batch
    from napari_tem_rf.learning.network import random_network
    from napari_tem_rf.learning.step import SURE, Stepper

    network, teacher = random_network(SPEC, 1), random_network(SPEC, 2)
    weight = torch.ones(2)
    optimizer = torch.optim.Adam(network.parameters())
    stepper = Stepper(network, optimizer, weight, math.inf, True, teacher, 0.5)
    images = torch.randn(1, 1, 32, 32)
    labels = torch.full((1, 32, 32), -1)
    labels[:, :16] = 1
    found = stepper._taught(images, labels)
    probability = teacher.eval()(images).softmax(1).detach()
    sure = (probability.amax(1) >= SURE) & (labels < 0)
    assert 0 < sure.sum() < 512
    assert torch.equal(found, torch.where(sure, probability.argmax(1), -1))

    # both parts of the loss are taught: the step is that of their sum
    network.train()
    crops = Batch(images.numpy(), labels.numpy())
    expected = copy.deepcopy(network)
    for module in (*network.modules(), *expected.modules()):
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    logits = expected(images)
    loss = functional.cross_entropy(logits, labels, ignore_index=-1)
    disagreement = functional.cross_entropy(logits, found, ignore_index=-1, reduction="sum")
    (loss + 0.5 * disagreement / labels.numel()).backward()
    stepper.step(crops, 1)
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-3)


def test_the_default_start_is_one_for_window_command_line_and_python(tmp_path):
    """Weights of simulated micrographs where there are some, and not with a paper's protocol."""
    own = NetworkSpec((3, 3), filters=5)
    assert usual_start(SPEC, "default") == SIMULATED
    assert usual_start(SPEC, "sytwu2022") is None
    assert usual_start(own, "default") is None
    assert named_start(DEFAULT, SPEC) == SIMULATED
    assert named_start(DEFAULT, own) is None
    assert named_start(DEFAULT, SPEC, "sytwu2022") is None
    assert named_start(NOTHING, SPEC) is None
    assert named_start(None, SPEC) is None
    image = image_of((1, 2))
    plan = replace(PLAN, epochs=None, steps=1, batch=2)
    for folder, given, start in (
        ("default", {}, SIMULATED),
        ("nothing", {"start": "nothing"}, None),
        ("none", {"start": None}, None),
    ):
        run = workflow.train([image.pixels], [image.labels], tmp_path / folder, SPEC, plan, **given)
        assert run.record.start == start


@pytest.mark.parametrize(
    ("before", "now", "rows"),
    [
        (((1, 2), "bp"), ((1, 2), "bp"), (0, 1)),
        (((1, 2), "bp"), ((1, 2, 3), "bpc"), (0, 1, None)),
        (((1, 2), "bp"), ((1, 2, 3), "bgp"), (0, 1, None)),  # renamed: the value tells
        (((1, 3), "bp"), ((1, 2, 3), "bcp"), (0, None, 1)),
        (((1, 2, 3), "bpc"), ((1, 3), "bc"), (0, 2)),
        (((1, 2), "bp"), ((0, 1), "bp"), (0, 1)),  # strokes, then a mask
        (((1, 2), "bp"), ((0, 2), "bp"), (0, 1)),  # a prediction that was corrected
        (((1, 2, 3), "bpc"), ((0, 1, 2), "bpc"), (0, 1, 2)),
        (((0, 1), "bp"), ((1, 2, 3), "bpc"), (0, 1, None)),
    ],
)
def test_the_last_layers_rows_are_found_by_class(before, now, rows):
    assert known_rows(*(Classes(values, tuple(names)) for values, names in (before, now))) == rows


def with_third_class(image):
    """Return an image whose lowest disc is of a third class, and darker."""
    third = np.zeros(image.labels.shape, bool)
    third[35:56, 20:41] = True
    labels = np.where(third & (image.labels == 2), 3, image.labels).astype(np.uint16)
    mask = third & (image.pixels < 325)
    return replace(image, pixels=np.where(mask, image.pixels // 4, image.pixels), labels=labels)


def test_a_class_added_later_keeps_all_that_the_run_has_learned(tmp_path):
    plan = replace(PLAN, epochs=None, steps=3, batch=2)
    train(request_of(tmp_path / "two", plan=plan))
    before = read_run(tmp_path / "two").read_weights()
    images = (with_third_class(image_of((1, 2))),)
    nothing_moves = replace(plan, learning_rate=1e-12)
    request = replace(request_of(tmp_path / "three", plan=nothing_moves), images=images)
    record, reports = train(replace(request, start=tmp_path / "two"))
    assert record.spec.classes == 3
    assert 'the class "class 3" is new' in " ".join(notes_of(reports))
    after = read_run(tmp_path / "three").read_weights()
    for name, value in before.items():
        if "num_batches" not in name:
            rows = slice(0, 2) if name.startswith("head.") else slice(None)
            np.testing.assert_allclose(after[name][rows], value, atol=1e-6, err_msg=name)
    assert np.isfinite(after["head.weight"]).all()


def test_another_network_is_still_refused(tmp_path):
    train(request_of(tmp_path / "two"))
    with pytest.raises(RunError, match=r"its weights do not fit .*pick the same network"):
        train(
            replace(
                request_of(tmp_path / "b", start=tmp_path / "two"),
                spec=NetworkSpec((2,), filters=3),
            )
        )
