"""An interrupted training is resumed as if unbroken; one that is short of memory continues."""

import copy
from dataclasses import replace

import pytest
import torch

from napari_tem_rf.learning import crops, training, validation
from napari_tem_rf.learning.checkpoint import read_checkpoint, write_checkpoint
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.training import train
from napari_tem_rf.learning.validation import predict_fitting, validate
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport, TrainingPlan, sytwu2022

SPEC = NetworkSpec(pools=(2,), filters=3)
PLAN = TrainingPlan(epochs=4, batch=4, crop_px=32, device="cpu", validation=0.0)
PAPER = sytwu2022(epochs=4, batch=7, crop_px=64, device="cpu", validation=0.0)
SMALL = (67, 61)
STEPS = 5


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Make epochs of a few steps: enough for what is not about learning."""
    monkeypatch.setattr(crops, "FEWEST_STEPS", STEPS)
    monkeypatch.setattr(crops, "MOST_STEPS", STEPS)


def run(*arguments, **options):
    """Train to the end and return the model, all reports and all states."""
    reports, states = [], []
    steps = train(*arguments, save=lambda state: states.append(copy.deepcopy(state)), **options)
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as end:
            return end.value, reports, states


def epochs_of(reports):
    return [report for report in reports if isinstance(report, EpochReport)]


def stop_after(batches):
    """Return a function that says stop after this many batches."""
    asked = []

    def stopped():
        asked.append(1)
        return len(asked) > batches

    return stopped


def largest_difference(first, second):
    """Return the largest difference between two dicts of tensors, however nested."""
    if isinstance(first, torch.Tensor):
        return float((first.double() - second.double()).abs().max()) if first.numel() else 0.0
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        return max((largest_difference(first[name], second[name]) for name in first), default=0.0)
    if isinstance(first, list | tuple):
        assert len(first) == len(second)
        return max(map(largest_difference, first, second), default=0.0)
    assert first == second
    return 0.0


def numbers(history):
    return [(r.epoch, r.steps, r.training_loss, r.validation_loss, r.best_epoch) for r in history]


@pytest.mark.parametrize("batches", [2, STEPS, STEPS + 3, 3 * STEPS + 1])
@pytest.mark.parametrize("plan", [PLAN, PAPER, replace(PLAN, keep="last")])
def test_stopped_anywhere_and_resumed_is_unbroken(disc_set, tmp_path, plan, batches):
    data = disc_set(images=2, shape=SMALL, strokes=True)
    unbroken, _, whole = run(data, data, SPEC, plan)
    model, reports, states = run(data, data, SPEC, plan, stopped=stop_after(batches))
    assert model.stopped
    # what was learned in the interrupted epoch is reported and can be used ...
    assert epochs_of(reports)[-1].steps == states[-1].steps == batches
    # ... and nothing of it is done twice
    write_checkpoint(tmp_path / "checkpoint.pt", states[-1])
    torch.manual_seed(0)  # another process has another state
    state = read_checkpoint(tmp_path / "checkpoint.pt")
    resumed, later, broken = run(data, data, SPEC, plan, state=state)
    assert not resumed.stopped
    assert epochs_of(later)[0].steps > batches
    assert numbers(resumed.history) == numbers(unbroken.history)
    assert largest_difference(resumed.network.state_dict(), unbroken.network.state_dict()) == 0
    for name in ("weights", "average", "best", "optimizer", "sampler"):
        assert largest_difference(getattr(broken[-1], name), getattr(whole[-1], name)) == 0, name


def test_broken_many_times_is_unbroken(disc_set):
    data = disc_set(shape=SMALL, strokes=True)
    unbroken, _, _ = run(data, data, SPEC, PLAN)
    state = None
    for batches in (1, 3, 0, 4, 2, 100):
        model, _, states = run(data, data, SPEC, PLAN, state=state, stopped=stop_after(batches))
        state = states[-1] if states else state
    assert not model.stopped
    assert largest_difference(model.network.state_dict(), unbroken.network.state_dict()) == 0


def test_the_part_of_an_epoch_is_used_until_it_goes_on(disc_set):
    """Resumed without time left, it keeps what the stop had kept."""
    data = disc_set(shape=SMALL)
    stopped, _, states = run(data, data, SPEC, PLAN, stopped=stop_after(STEPS + 2))
    again, reports, _ = run(data, data, SPEC, replace(PLAN, steps=STEPS + 2), state=states[-1])
    assert numbers(epochs_of(reports)) == numbers(stopped.history[-1:])
    assert largest_difference(again.network.state_dict(), stopped.network.state_dict()) == 0


def test_the_first_state_comes_before_the_first_epoch(disc_set):
    data = disc_set(shape=SMALL)
    _, _, states = run(data, data, SPEC, PLAN, stopped=lambda: True)
    assert [(state.steps, state.history) for state in states] == [(0, ())]
    model, _, _ = run(data, data, SPEC, PLAN, state=states[0])
    unbroken, _, _ = run(data, data, SPEC, PLAN)
    assert largest_difference(model.network.state_dict(), unbroken.network.state_dict()) == 0


# memory


def full_above(monkeypatch, side_px):
    """Let predictions by larger tiles run out of memory; returns the sides asked for."""
    sides = []

    def limited(network, pixels, *, tile_px=None, **options):
        sides.append(tile_px)
        if tile_px is None or tile_px > side_px:
            raise MemoryError("no memory on cuda for a tile: use a smaller tile")
        return predict(network, pixels, tile_px=tile_px, **options)

    monkeypatch.setattr(validation, "predict", limited)
    return sides


def test_scores_come_by_smaller_tiles_where_memory_is_full(disc_set, monkeypatch):
    data = disc_set()
    network = random_network(SPEC, 752)
    expected = validate(network, data)
    sides = full_above(monkeypatch, 64)
    found = validate(network, data)
    assert sides == [None, 256, 128, 64]
    assert found.dice == pytest.approx(expected.dice, abs=1e-6)
    assert found.loss == pytest.approx(expected.loss, abs=1e-6)


def test_the_smallest_tile_that_does_not_fit_is_said(disc_set, monkeypatch):
    sides = full_above(monkeypatch, 1)
    with pytest.raises(MemoryError, match="use a smaller tile"):
        predict_fitting(random_network(SPEC, 752), disc_set().images[0].pixels)
    assert sides[-1] == validation.SMALLEST_PX


def test_an_epoch_without_memory_for_its_score_goes_without(disc_set, monkeypatch):
    scored = iter([0.5, None, 0.4, None, None])

    def sometimes(network, data):
        loss = next(scored)
        if loss is None:
            raise MemoryError("no memory on cuda for a tile of 100 x 100 px: use a smaller tile")
        return training.ValidationResult(loss, 0.8, ())

    monkeypatch.setattr(training, "validate", sometimes)
    data = disc_set()
    model, reports, _ = run(data, data, SPEC, PLAN)
    assert [report.validation_dice for report in epochs_of(reports)] == [0.8, None, 0.8, None]
    assert [report.best_epoch for report in epochs_of(reports)] == [1, 1, 3, 3]
    assert model.best_epoch == 3
    assert model.validation is None
    notes = [report.sentence for report in reports if isinstance(report, NoteReport)]
    assert len(notes) == 2
    assert notes[0].endswith("use a smaller tile; this epoch goes without a score")
