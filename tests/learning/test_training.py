"""Training learns, repeats itself, resumes where it was, and ends when it should."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from napari_tem_rf.learning import crops, learner, training
from napari_tem_rf.learning.checkpoint import read_checkpoint, write_checkpoint
from napari_tem_rf.learning.crops import CropSampler
from napari_tem_rf.learning.network import Network, random_network
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.step import RunningAverage, Stepper, class_weights
from napari_tem_rf.learning.training import train
from napari_tem_rf.learning.validation import ValidationResult, foreground_dice, validate
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import (
    EpochReport,
    NoteReport,
    ProgressReport,
    TrainingPlan,
    sytwu2022,
)

SPEC = NetworkSpec(pools=(2,), filters=3)
PLAN = TrainingPlan(epochs=2, batch=4, crop_px=32, device="cpu", validation=0.0)
PAPER = sytwu2022(epochs=2, batch=7, crop_px=64, device="cpu", validation=0.0)
SMALL = (67, 61)


@pytest.fixture
def few_steps(monkeypatch):
    """Make epochs of three steps: enough for what is not about learning."""
    monkeypatch.setattr(crops, "FEWEST_STEPS", 3)
    monkeypatch.setattr(crops, "MOST_STEPS", 3)


def run(*arguments, **options):
    """Train to the end and return the model and all reports."""
    reports, steps = [], train(*arguments, **options)
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as end:
            return end.value, reports


def none_of(data):
    return replace(data, images=())


def epochs_of(reports):
    return [report for report in reports if isinstance(report, EpochReport)]


def arrays_of(network):
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize(("classes", "strokes"), [(2, True), (3, True), (2, False)])
def test_learns_discs(disc_set, classes, strokes):
    """Discs that stand 7 sd out of the noise: nearly every pixel can be told."""
    data = disc_set(shape=(97, 113), classes=classes, strokes=strokes)
    plan = replace(PLAN, epochs=3, crop_px=48, learning_rate=2e-2)
    model, reports = run(data, none_of(data), replace(SPEC, filters=4, classes=classes), plan)
    assert model.best_epoch == 3
    losses = [report.training_loss for report in epochs_of(reports)]
    assert losses[-1] < 0.5 * losses[0]
    truth = disc_set(shape=(97, 113), classes=classes).images[0]
    predicted = predict(model.network, truth.pixels).classes
    assert foreground_dice(predicted.ravel(), truth.labels.ravel(), classes) > 0.93


def test_the_first_loss_is_that_of_a_network_that_knows_nothing(disc_set, monkeypatch):
    """With a head of zeros every class is equally probable: log(3) per pixel, however weighted."""
    monkeypatch.setattr(crops, "FEWEST_STEPS", 1)
    monkeypatch.setattr(crops, "MOST_STEPS", 1)
    spec = replace(SPEC, classes=3)
    weights = arrays_of(Network(spec))
    for name in ("head.weight", "head.bias"):
        weights[name][...] = 0
    data = disc_set(classes=3, strokes=True)
    for balanced in (False, True):
        plan = replace(PLAN, epochs=1, balanced=balanced, batch=64)
        _, reports = run(data, none_of(data), spec, plan, start=weights)
        tolerance = 0.3 if balanced else 1e-4
        assert epochs_of(reports)[0].training_loss == pytest.approx(np.log(3), abs=tolerance)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("plan", [PLAN, PAPER])
def test_same_seed_same_weights_to_the_bit(disc_set, plan):
    data = disc_set(images=2, shape=SMALL, strokes=True)
    (first, _), (second, _) = (run(data, none_of(data), SPEC, plan) for _ in range(2))
    assert_same_weights(first.network.state_dict(), second.network.state_dict())
    other, _ = run(data, none_of(data), SPEC, replace(plan, seed=2245))
    assert not torch.equal(other.network.head.weight, first.network.head.weight)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize(
    "plan",
    [replace(PLAN, epochs=4), replace(PAPER, epochs=4)],
    ids=["default", "paper"],
)
def test_resumed_is_unbroken_to_the_bit(disc_set, tmp_path, plan, after):
    data = disc_set(images=2, shape=SMALL, strokes=True)

    def save(state):
        if len(state.history) == after:
            write_checkpoint(tmp_path / "checkpoint.pt", state)

    unbroken, reports = run(data, data, SPEC, plan, save=save)
    state = read_checkpoint(tmp_path / "checkpoint.pt")
    assert len(state.history) == after
    torch.manual_seed(0)  # another process has another state
    resumed, later = run(data, data, SPEC, plan, state=state)
    assert_same_weights(resumed.network.state_dict(), unbroken.network.state_dict())
    assert resumed.best_epoch == unbroken.best_epoch
    assert [report.epoch for report in epochs_of(later)] == list(range(after + 1, 5))
    for a, b in zip(resumed.history, unbroken.history, strict=True):
        assert (a.training_loss, a.validation_loss, a.validation_dice, a.steps) == (
            b.training_loss,
            b.validation_loss,
            b.validation_dice,
            b.steps,
        )
    assert len(epochs_of(reports)) == 4


@pytest.mark.usefixtures("few_steps")
def test_resuming_what_is_over_gives_the_same_model(disc_set):
    data = disc_set()
    states = []
    model, _ = run(data, data, SPEC, PLAN, save=lambda state: states.append(copy.deepcopy(state)))
    again, reports = run(data, data, SPEC, PLAN, state=states[-1])
    assert not epochs_of(reports)
    assert again.best_epoch == model.best_epoch
    assert_same_weights(again.network.state_dict(), model.network.state_dict())


def scripted(monkeypatch, results):
    """Let validation give these (Dice, loss); return the weights it was asked about."""
    waiting, asked = list(results), []

    def scored(network, data):
        asked.append({k: v.clone() for k, v in network.state_dict().items()})
        dice, loss = waiting.pop(0) if waiting else results[-1]
        return ValidationResult(loss, dice, (("image", dice),))

    monkeypatch.setattr(training, "validate", scored)
    return asked


@pytest.mark.usefixtures("few_steps")
def test_the_best_epochs_weights_are_returned(disc_set, monkeypatch):
    # the lowest loss decides, not the jump of Dice in epoch 3
    asked = scripted(monkeypatch, [(0.5, 1.0), (0.8, 0.6), (0.9, 0.7), (0.75, 0.65)])
    data = disc_set()
    model, reports = run(data, data, SPEC, replace(PLAN, epochs=4))
    assert model.best_epoch == 2
    assert_same_weights(model.network.state_dict(), asked[1])
    assert [report.best_epoch for report in epochs_of(reports)] == [1, 2, 2, 2]
    assert [report.best_dice for report in epochs_of(reports)] == [0.5, 0.8, 0.8, 0.8]
    assert [report.sentence for report in epochs_of(reports)[1:3]] == [
        "epoch 2, Dice 0.80 on held-out pixels, the best so far by its loss",
        "epoch 3, Dice 0.90 on held-out pixels; best by its loss: epoch 2, Dice 0.80",
    ]


@pytest.mark.usefixtures("few_steps")
def test_an_epoch_that_calls_all_background_is_not_the_best(disc_set, monkeypatch):
    # rare particles: the loss is lowest where nothing is found, and rises once they are
    asked = scripted(
        monkeypatch, [(0.01, 0.3), (0.0001, 0.2), (0.4, 0.35), (0.5, 0.33), (0.1, 0.1)]
    )
    data = disc_set()
    model, reports = run(data, data, SPEC, replace(PLAN, epochs=5))
    assert [report.best_epoch for report in epochs_of(reports)] == [1, 1, 3, 4, 4]
    assert_same_weights(model.network.state_dict(), asked[3])


@pytest.mark.usefixtures("few_steps")
def test_of_equal_dice_the_more_certain_epoch_wins(disc_set, monkeypatch):
    asked = scripted(monkeypatch, [(0.9, 0.3), (0.9, 0.2), (0.9001, 0.1), (0.9, 0.15)])
    data = disc_set()
    model, _ = run(data, data, SPEC, replace(PLAN, epochs=4))
    assert model.best_epoch == 3
    assert_same_weights(model.network.state_dict(), asked[2])


@pytest.mark.usefixtures("few_steps")
def test_the_last_epoch_is_kept_where_the_plan_says_so(disc_set, monkeypatch):
    asked = scripted(monkeypatch, [(0.9, 0.1), (0.5, 0.5), (0.6, 0.5)])
    data = disc_set()
    model, reports = run(data, data, SPEC, replace(PLAN, epochs=3, keep="last"))
    assert model.best_epoch == 3
    assert_same_weights(model.network.state_dict(), asked[2])
    assert {report.kept for report in epochs_of(reports)} == {"last"}
    assert epochs_of(reports)[2].sentence == (
        "epoch 3, Dice 0.60 on held-out pixels; the last epoch is kept"
    )


def test_the_models_score_is_that_of_its_network(disc_set):
    data = disc_set(images=2, shape=SMALL)
    held_out = replace(data, images=data.images[1:])
    model, reports = run(
        replace(data, images=data.images[:1]), held_out, SPEC, replace(PLAN, epochs=2)
    )
    best = epochs_of(reports)[model.best_epoch - 1]
    assert held_out.counts().sum() < training.FEWEST_PX_TO_CHOOSE
    assert best == epochs_of(reports)[-1]
    assert model.validation == validate(model.network, held_out)
    assert model.validation.dice == pytest.approx(best.validation_dice, abs=1e-6)
    assert model.validation.loss == pytest.approx(best.validation_loss, abs=1e-6)


@pytest.mark.usefixtures("few_steps")
def test_patience(disc_set, monkeypatch):
    losses = (1.0, 0.9, 0.95, 0.89, 0.92, 0.93, 0.94)
    scripted(monkeypatch, [(0.5, loss) for loss in losses])
    data = disc_set()
    model, reports = run(data, data, SPEC, replace(PLAN, epochs=50, patience=3))
    assert [report.epoch for report in epochs_of(reports)] == [1, 2, 3, 4, 5, 6, 7]
    assert model.best_epoch == 4
    assert not model.stopped


@pytest.mark.usefixtures("few_steps")
def test_stop_ends_within_a_batch_and_keeps_the_best(disc_set, monkeypatch):
    asked = scripted(monkeypatch, [(0.7, 0.5), (0.6, 0.5)])
    data, answers = disc_set(), []

    def stopped():
        answers.append(len(answers) == 4)  # before the second batch of the second epoch
        return answers[-1]

    model, reports = run(data, data, SPEC, replace(PLAN, epochs=9), stopped=stopped)
    assert len(answers) == 5
    assert model.stopped
    assert [report.steps for report in epochs_of(reports)] == [3, 4]
    assert model.best_epoch == 1
    assert_same_weights(model.network.state_dict(), asked[0])


@pytest.mark.usefixtures("few_steps")
def test_stop_before_the_first_batch_gives_no_epoch(disc_set):
    data = disc_set()
    model, reports = run(data, data, SPEC, PLAN, stopped=lambda: True)
    assert model.stopped
    assert model.history == ()
    assert not epochs_of(reports)


class Clock:
    """A clock that advances by the same step whenever it is read."""

    def __init__(self, step):
        self.step, self.now = step, 1000.0

    def perf_counter(self):
        self.now += self.step
        return self.now


@pytest.mark.parametrize("epochs", [None, 1000])
def test_the_time_budget_ends_the_training_in_mid_epoch(disc_set, monkeypatch, epochs):
    clock = Clock(0.1)
    monkeypatch.setattr("napari_tem_rf.learning.clock.time", clock)
    data = disc_set()
    model, reports = run(data, none_of(data), SPEC, replace(PLAN, epochs=epochs, seconds=20.0))
    assert not model.stopped
    # a step asks the clock at most six times: it is over by no more than one
    assert 20 <= clock.now - 1000 < 20 + 3
    assert epochs_of(reports)[-1].steps % 25 != 0
    fractions = [report.fraction for report in reports if isinstance(report, ProgressReport)]
    assert fractions == sorted(fractions)
    assert fractions[-1] > 0.97
    left = [report.seconds_left for report in reports if isinstance(report, ProgressReport)]
    assert left[0] == pytest.approx(20, abs=1.5)
    assert left[-1] < 1


@pytest.mark.usefixtures("few_steps")
def test_progress_by_epochs_rises_to_one(disc_set):
    data = disc_set()
    _, reports = run(data, none_of(data), SPEC, replace(PLAN, epochs=3))
    fractions = [report.fraction for report in reports if isinstance(report, ProgressReport)]
    assert fractions == pytest.approx([(i + 1) / 9 for i in range(9)])
    left = [report.seconds_left for report in reports if isinstance(report, ProgressReport)]
    assert all(seconds >= 0 for seconds in left)
    assert left[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("few_steps")
def test_values_that_are_not_finite_are_said(disc_set):
    data = disc_set()
    (image,) = data.images
    pixels = image.pixels.copy()
    pixels[::5, ::5] = np.nan
    broken = replace(data, images=(replace(image, pixels=pixels),))
    saved = []
    with pytest.raises(
        learner.DivergedError,
        match=r"loss is nan in epoch 1, nothing was learned: try .* learning rate \(now 0\.003\)",
    ):
        run(broken, none_of(data), SPEC, PLAN, save=saved.append)
    assert [state.steps for state in saved] == [0]  # the last good state stays the last


def full_above(monkeypatch, crops_that_fit):
    forward, sizes = Network.forward, []

    def limited(self, images):
        if self.training:
            sizes.append(len(images))
            if len(images) > crops_that_fit:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")
        return forward(self, images)

    monkeypatch.setattr(Network, "forward", limited)
    return sizes


@pytest.mark.usefixtures("few_steps")
def test_full_memory_halves_the_batch_and_says_so(disc_set, monkeypatch):
    sizes, states, data = full_above(monkeypatch, 2), [], disc_set(strokes=True)
    model, reports = run(data, data, SPEC, replace(PLAN, batch=7, epochs=3), save=states.append)
    notes = [report.sentence for report in reports if isinstance(report, NoteReport)]
    assert notes == [
        "memory was full: continuing with batches of 3",
        "memory was full: continuing with batches of 1",
    ]
    assert sizes[:3] == [7, 3, 1]
    assert set(sizes[2:]) == {1}
    assert states[-1].batch == 1
    assert len(model.history) == 3
    sizes.clear()
    run(data, data, SPEC, replace(PLAN, batch=7, epochs=4), state=states[-1])
    assert set(sizes) == {1}  # a resumed training knows what fits


@pytest.mark.usefixtures("few_steps")
def test_memory_that_holds_no_crop_is_said(disc_set, monkeypatch):
    full_above(monkeypatch, 0)
    data = disc_set()
    with pytest.raises(MemoryError, match=r"not even one crop fits the memory of cpu: choose"):
        run(data, data, SPEC, PLAN)


def test_parts_of_a_batch_sum_up_to_the_whole(disc_set):
    """Without batch norm's own statistics the step of 2 + 2 + 1 crops is that of 5 at once."""
    data = disc_set(strokes=True)
    torch.manual_seed(140)
    whole = Network(SPEC)
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
            module.train = lambda mode, module=module: module  # stays in evaluation mode
            module.training = False
    parts = copy.deepcopy(whole)
    batch = next(CropSampler(data, SPEC, replace(PLAN, batch=5), np.random.default_rng(0)).epoch())
    weight = torch.tensor([0.7, 1.9])
    losses = []
    for network, number in ((whole, 5), (parts, 2)):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        losses.append(Stepper(network, optimizer, weight, 5.0).step(batch, number))
    torch.testing.assert_close(losses[0], losses[1])
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_errors_that_are_not_of_memory_pass(disc_set, monkeypatch):
    def wrong(self, images):
        raise RuntimeError("another error")

    monkeypatch.setattr(Network, "forward", wrong)
    data = disc_set()
    with pytest.raises(RuntimeError, match="another error"):
        run(data, none_of(data), SPEC, PLAN)


@pytest.mark.usefixtures("few_steps")
def test_starts_from_given_weights(disc_set):
    weights = arrays_of(random_network(SPEC, seed=9213))
    data = disc_set()
    plan = replace(PLAN, learning_rate=1e-9, averaging=0.0)
    model, _ = run(data, none_of(data), SPEC, plan, start=weights)
    for name, value in model.network.named_parameters():
        np.testing.assert_allclose(value.detach(), weights[name], atol=1e-7)


@pytest.mark.usefixtures("few_steps")
def test_watch_sees_the_network_after_every_step(disc_set):
    data, seen = disc_set(), []

    def watch(network, epoch):
        seen.append(epoch)
        return NoteReport("seen") if len(seen) == 2 else None

    _, reports = run(data, none_of(data), SPEC, PLAN, watch=watch)
    assert seen == [1, 1, 1, 2, 2, 2]
    assert [report.sentence for report in reports if isinstance(report, NoteReport)] == ["seen"]


def test_the_papers_plan_is_the_papers():
    """Section "Training procedure" of Sytwu, Groschner and Scott (2022), by DESIGN section 5."""
    plan = sytwu2022()
    assert (plan.learning_rate, plan.batch, plan.epochs, plan.crop_px) == (1e-4, 32, 100, 512)
    assert (plan.keep, plan.augmentation, plan.averaging) == ("last", "dihedral", 0.0)
    assert (plan.balanced, plan.true_context, plan.patience) == (False, False, None)
    assert plan.seed == 752
    assert sytwu2022(epochs=3, seed=956).epochs == 3


def test_the_papers_training_is_plain_adam_on_cross_entropy(disc_set):
    """The same batches through a loop written down here, without anything of ours."""
    plan, data = PAPER, disc_set(shape=SMALL)
    model, reports = run(data, none_of(data), SPEC, plan)

    network = random_network(SPEC, plan.seed).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    sampler = CropSampler(data, SPEC, plan, np.random.default_rng(plan.seed))
    means = []
    for _ in range(2):
        losses = []
        for batch in sampler.epoch():
            optimizer.zero_grad()
            loss = functional.cross_entropy(
                network(torch.from_numpy(batch.images)),
                torch.from_numpy(batch.labels),
                ignore_index=-1,
            )
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        means.append(np.mean(losses))
    assert [report.training_loss for report in epochs_of(reports)] == pytest.approx(means, rel=1e-4)
    for (name, value), expected in zip(
        model.network.named_parameters(), network.parameters(), strict=True
    ):
        # a bias before a norm has no gradient but rounding, which Adam scales up to whole steps
        if "conv" not in name or not name.endswith("bias"):
            torch.testing.assert_close(value, expected, atol=2e-5, rtol=0, msg=name)


def test_running_average_of_the_weights():
    """Against the sum written out: decay 0.5 from (0, 4, 8) with start 0, capped at n/(n + 10)."""
    network, averaged = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(averaged.weight)
    average, expected = RunningAverage(averaged, network, 0.5), 0.0
    for step, value in enumerate([4.0, 8.0, 2.0, -6.0] * 10, start=1):
        nn.init.constant_(network.weight, value)
        average.move(step)
        decay = min(0.5, step / (step + 10))
        expected = decay * expected + (1 - decay) * value
        assert averaged.weight.item() == pytest.approx(expected, rel=1e-5)
    RunningAverage(averaged, network, 0.0).move(5)
    assert averaged.weight.item() == -6.0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # inverse roots of the shares 0.8 and 0.2, over their mean 2 * (0.8**0.5 + 0.2**0.5) / 2
        ([80, 20], [0.8333333, 1.6666667]),
        ([50, 50], [1.0, 1.0]),
        ([0, 30, 30], [0.0, 1.0, 1.0]),
    ],
)
def test_class_weights(counts, expected):
    weights = class_weights(np.array(counts), True)
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert (class_weights(np.array(counts), False) == 1).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "epochs is 0: it must be at least 1"),
        ({"seconds": 0.0}, "seconds is 0.0: it must be more than 0"),
        ({"seconds": float("nan")}, "seconds is nan: it must be more than 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0: it must be more than 0"),
        ({"batch": 0}, "batch is 0: it must be at least 1"),
        ({"crop_px": 4}, "crop_px is 4: it must be at least 8"),
        ({"averaging": 1.0}, "averaging is 1.0: it must be from 0 to below 1"),
        ({"validation": 1.0}, "validation is 1.0: it must be from 0 to below 1"),
        ({"patience": 0}, "patience is 0: it must be at least 1"),
        ({"epochs": None}, "the training has no end: give epochs, seconds or both"),
    ],
)
def test_plans_that_are_none(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        TrainingPlan(**change)


@pytest.mark.parametrize(("strokes", "chooses"), [(False, True), (True, False)])
def test_a_few_held_out_strokes_do_not_choose_the_epoch(
    disc_set, few_steps, monkeypatch, strokes, chooses
):
    # 131 x 149 labelled px of a mask can tell epochs apart, 18 rows of strokes cannot
    data = disc_set(strokes=strokes)
    scores = iter([0.9, 0.5, 0.4, 0.9])
    monkeypatch.setattr(
        training, "validate", lambda network, data: ValidationResult(0.1, next(scores), ())
    )
    model, reports = run(data, data, SPEC, replace(PLAN, epochs=3))
    assert model.best_epoch == (1 if chooses else 3)
    assert {report.kept for report in epochs_of(reports)} == {"best" if chooses else "last"}
    assert [report.best_epoch for report in epochs_of(reports)] == (
        [1, 1, 1] if chooses else [1, 2, 3]
    )
