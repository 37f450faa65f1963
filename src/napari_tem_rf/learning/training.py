"""Training: one visible loop that yields reports and returns a trained model."""

import copy
import json
import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_tem_rf.learning.crops import Batch, CropSampler
from napari_tem_rf.learning.device import keep_pages, out_of_memory, pick_device
from napari_tem_rf.learning.network import Network, network_of, random_network, with_layout
from napari_tem_rf.learning.validation import ValidationResult, validate
from napari_tem_rf.micrographs.annotation import NOT_ANNOTATED, TrainingSet
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport, ProgressReport, Report, TrainingPlan

MOST_GRADIENT = 5.0
"""Norm to which a larger gradient is cut: one odd crop must not throw the training off.

The paper's preset cuts none.
"""

FEWEST_PX_TO_CHOOSE = 5_000
"""Held-out pixels that it takes to tell epochs apart: on fewer, as with a few strokes of one image,
the first epochs often score best by chance, and the last one is kept."""

Weights = dict[str, Tensor]


@dataclass(slots=True)
class TrainingState:
    """All that a training needs to go on as if it had never stopped.

    Attributes
    ----------
    weights, average, best : dict of Tensor
        Weights now, their running average, and those of the best epoch.
    optimizer : dict
        State of Adam.
    sampler : dict
        State of the generator of the crops.
    history : list of EpochReport
        The epochs so far.
    steps : int
    seconds : float
        Seconds trained so far.
    batch : int
        Crops a step: the plan's, or fewer when memory ran out.
    """

    weights: Weights
    average: Weights
    best: Weights
    optimizer: dict[str, Any]
    sampler: dict[str, Any]
    history: list[EpochReport] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    batch: int = 0

    def tensors(self) -> dict[str, Any]:
        """Return the state as tensors in plain dicts, for `torch.save`."""
        words = {
            "sampler": self.sampler,
            "history": [asdict(report) for report in self.history],
            "steps": self.steps,
            "seconds": self.seconds,
            "batch": self.batch,
        }
        text = torch.tensor(list(json.dumps(words).encode()), dtype=torch.uint8)
        return {
            "weights": self.weights,
            "average": self.average,
            "best": self.best,
            "optimizer": self.optimizer,
            "words": text,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Any]) -> "TrainingState":
        """Rebuild the state from what `tensors` returned."""
        words = json.loads(bytes(tensors["words"].tolist()))
        history = [EpochReport(**report) for report in words.pop("history")]
        names = ("weights", "average", "best", "optimizer")
        return cls(**{name: tensors[name] for name in names}, history=history, **words)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """A trained network and how it came to be."""

    network: Network
    history: tuple[EpochReport, ...]
    best_epoch: int
    validation: ValidationResult | None
    stopped: bool
    """Whether it was stopped by hand."""


def train(
    training: TrainingSet,
    validation: TrainingSet,
    spec: NetworkSpec,
    plan: TrainingPlan,
    *,
    start: Mapping[str, NDArray[Any]] | None = None,
    state: TrainingState | None = None,
    save: Callable[[TrainingState], None] = lambda state: None,
    stopped: Callable[[], bool] = lambda: False,
    watch: Callable[[Network, int], Report | None] = lambda network, epoch: None,
) -> Generator[Report, None, TrainedModel]:
    """Train a network; yields reports and returns the model of the kept epoch.

    Parameters
    ----------
    training, validation : TrainingSet
        Annotated images; the validation set may be empty.
    spec : NetworkSpec
        The network; its classes are those of the training set.
    plan : TrainingPlan
        How to train.
    start : mapping of str to ndarray, optional
        Weights to start from instead of random ones.
    state : TrainingState, optional
        A state to go on from, as ``save`` received it.
    save : callable
        Receives the state after every epoch.
    stopped : callable
        Asked before every batch; when true, the training ends and keeps the best weights.
    watch : callable
        Called with the averaged network every few steps; what it returns is yielded.

    Raises
    ------
    FloatingPointError
        When the loss of an epoch is not finite: the step size is too large, or the image
        holds values that are not finite.
    MemoryError
        When not even one crop fits the device.
    """
    keep_pages()
    device = pick_device(plan.device)
    torch.manual_seed(plan.seed)
    network = random_network(spec, plan.seed) if start is None else network_of(spec, start)
    with_layout(network.to(device), torch.channels_last)
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate)
    rng = np.random.default_rng(plan.seed)
    sampler = CropSampler(training, spec, plan, rng)
    batch = sampler.batch
    history: list[EpochReport] = []
    best = _copy(averaged)
    steps, earlier = 0, 0.0
    if state is not None:
        network.load_state_dict(state.weights)
        averaged.load_state_dict(state.average)
        optimizer.load_state_dict(state.optimizer)
        rng.bit_generator.state = state.sampler
        best, history, batch = state.best, list(state.history), state.batch
        steps, earlier = state.steps, state.seconds
    weight = _class_weights(sampler.counts, plan.balanced).to(device)
    clock = _Clock(plan, earlier, len(history), sampler.steps_per_epoch)
    most_gradient = math.inf if plan.preset == "sytwu2022" else MOST_GRADIENT
    choosing = int(validation.counts().sum()) >= FEWEST_PX_TO_CHOOSE
    by_hand = False
    result: ValidationResult | None = None

    while not (clock.over(len(history)) or _impatient(history, plan) or by_hand):
        losses: list[Tensor] = []
        for crops in sampler.epoch():
            by_hand = stopped()
            if by_hand or clock.out_of_time():
                break
            try:
                losses.append(_step(network, optimizer, crops, batch, weight, most_gradient))
            except Exception as error:
                if not out_of_memory(error):
                    raise
                batch = _halved(batch, device, error)
                yield NoteReport(f"memory was full: going on with batches of {batch}")
                continue
            steps += 1
            _average(averaged, network, plan.averaging, steps)
            yield ProgressReport(clock.fraction(len(history), len(losses)), clock.left())
            if (seen := watch(averaged, len(history) + 1)) is not None:
                yield seen
        if not losses:
            break
        loss = float(torch.stack(losses).mean())  # waits for the device
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the training loss is {loss} in epoch {len(history) + 1}: lower the learning "
                f"rate (now {plan.learning_rate:g}) or check the images for extreme values"
            )
        result = validate(averaged, validation) if validation.images else None
        report = _report(history, clock, steps, loss, result, choosing)
        history.append(report)
        if report.best_epoch == report.epoch or plan.keep == "last" or result is None:
            best = _copy(averaged)
        save(
            TrainingState(
                _copy(network),
                _copy(averaged),
                best,
                copy.deepcopy(optimizer.state_dict()),
                dict(rng.bit_generator.state),
                history,
                steps,
                clock.seconds(),
                batch,
            )
        )
        yield report

    network = Network(spec)
    network.load_state_dict(best)
    network.eval()
    kept = history[-1].best_epoch if history and plan.keep == "best" else len(history)
    result = validate(network.to(device), validation) if validation.images else None
    return TrainedModel(network.cpu(), tuple(history), kept, result, by_hand)


def _step(
    network: Network,
    optimizer: torch.optim.Optimizer,
    crops: Batch,
    batch: int,
    weight: Tensor,
    most_gradient: float,
) -> Tensor:
    """Make one step of Adam; crops that do not fit at once are summed up in parts."""
    network.train()
    optimizer.zero_grad(set_to_none=True)
    device = weight.device
    counted = max(1, int((crops.labels != NOT_ANNOTATED).sum()))
    total = torch.zeros((), device=device)
    for first in range(0, len(crops.images), batch):
        images = torch.from_numpy(crops.images[first : first + batch]).to(device)
        labels = torch.from_numpy(crops.labels[first : first + batch]).to(device)
        images = images.contiguous(memory_format=torch.channels_last)
        loss = functional.cross_entropy(
            network(images), labels, weight, ignore_index=NOT_ANNOTATED, reduction="sum"
        )
        loss = loss / counted
        loss.backward()
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(network.parameters(), most_gradient)
    optimizer.step()
    return total


def _class_weights(counts: NDArray[np.int64], balanced: bool) -> Tensor:
    """Return a weight per class with mean 1 over the pixels: inverse root of its frequency."""
    share = counts / max(1, counts.sum())
    weights = np.where(share > 0, 1 / np.sqrt(np.maximum(share, 1e-6)), 0)
    if not balanced:
        weights = np.ones_like(share)
    return torch.tensor(weights / (weights * share).sum(), dtype=torch.float32)


def _average(averaged: Network, network: Network, decay: float, steps: int) -> None:
    """Move the running average towards the weights; quickly at first, when they still travel."""
    decay = min(decay, steps / (steps + 10)) if decay else 0.0
    with torch.no_grad():
        for mean, now in zip(
            averaged.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)


def _copy(network: Network) -> Weights:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _halved(batch: int, device: torch.device, error: BaseException) -> int:
    if batch == 1:
        raise MemoryError(
            f"not even one crop fits the memory of {device}: choose fewer filters, "
            "or a smaller receptive field"
        ) from error
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return max(1, batch // 2)


def _impatient(history: list[EpochReport], plan: TrainingPlan) -> bool:
    if plan.patience is None or not history or history[-1].validation_dice is None:
        return False
    return history[-1].epoch - history[-1].best_epoch >= plan.patience


def _report(
    history: list[EpochReport],
    clock: "_Clock",
    steps: int,
    loss: float,
    result: ValidationResult | None,
    choosing: bool,
) -> EpochReport:
    epoch = len(history) + 1
    best_epoch, best_dice = epoch, result.dice if result else None
    if result and history and choosing:
        earlier = history[history[-1].best_epoch - 1]
        assert earlier.validation_loss is not None
        # Dice of a few images jumps from epoch to epoch, and an early jump is easily the
        # highest; the loss moves steadily with what the network has learned.
        if result.loss >= earlier.validation_loss:
            best_epoch, best_dice = earlier.epoch, earlier.validation_dice
    return EpochReport(
        epoch=epoch,
        steps=steps,
        seconds=clock.seconds(),
        seconds_left=clock.left() or 0.0,
        training_loss=loss,
        validation_loss=result.loss if result else None,
        validation_dice=result.dice if result else None,
        best_epoch=best_epoch,
        best_dice=best_dice,
    )


class _Clock:
    """How much of a plan's time and epochs is over."""

    def __init__(self, plan: TrainingPlan, earlier: float, epochs: int, steps: int) -> None:
        self.plan = plan
        self.begun = time.perf_counter() - earlier
        self.steps_per_epoch = steps
        self.done = 0.0
        self.first = epochs
        self.resumed = time.perf_counter()

    def seconds(self) -> float:
        return time.perf_counter() - self.begun

    def out_of_time(self) -> bool:
        return self.plan.seconds is not None and self.seconds() >= self.plan.seconds

    def over(self, epochs: int) -> bool:
        enough = self.plan.epochs is not None and epochs >= self.plan.epochs
        return enough or self.out_of_time()

    def fraction(self, epochs: int, steps: int) -> float:
        by_time = self.seconds() / self.plan.seconds if self.plan.seconds else 0.0
        by_epochs = 0.0
        if self.plan.epochs:
            by_epochs = (epochs + steps / self.steps_per_epoch) / self.plan.epochs
        self.done = min(1.0, max(by_time, by_epochs))
        return self.done

    def left(self) -> float | None:
        if self.plan.seconds and (not self.plan.epochs or self.done >= 1):
            return max(0.0, self.plan.seconds - self.seconds())
        if self.done <= 0:
            return None
        since = time.perf_counter() - self.resumed
        begun = self.first / self.plan.epochs if self.plan.epochs else 0.0
        gained = self.done - begun
        left = since * (1 - self.done) / gained if gained > 0 else None
        if left is not None and self.plan.seconds:
            left = min(left, max(0.0, self.plan.seconds - self.seconds()))
        return left
