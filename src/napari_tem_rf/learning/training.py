"""Training: one visible loop that yields reports and returns a trained model."""

import copy
import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_tem_rf.learning.borders import NOTHING_SETTLED, settle_borders, with_settled
from napari_tem_rf.learning.clock import Clock
from napari_tem_rf.learning.crops import CropSampler, ahead
from napari_tem_rf.learning.device import FullMemoryError, keep_pages, out_of_memory, pick_device
from napari_tem_rf.learning.fast import planar
from napari_tem_rf.learning.head import HEAD, fit_head, network_without_head
from napari_tem_rf.learning.network import Network, network_of, random_network, with_layout
from napari_tem_rf.learning.step import RunningAverage, Stepper, class_weights
from napari_tem_rf.learning.validation import ValidationResult, validate
from napari_tem_rf.micrographs.annotation import TrainingSet
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport, ProgressReport, Report, TrainingPlan

FEWEST_PX_TO_CHOOSE = 5_000
"""Held-out pixels that it takes to tell epochs apart: on fewer, as with a few strokes of one image,
the first epochs often score best by chance, and the last one is kept."""

Weights = dict[str, Tensor]


class DivergedError(FloatingPointError):
    """The loss of a training is not finite any more; the text is one sentence for the user."""


@dataclass(slots=True)
class TrainingState:
    """All that a training needs to go on as if it had never stopped, at any of its batches.

    Attributes
    ----------
    weights, average, best : dict of Tensor
        Weights now, their running average, and those of the best whole epoch.
    optimizer : dict
        State of Adam.
    sampler : dict
        State of the generator of the crops at the beginning of the epoch at hand.
    history : list of EpochReport
        The whole epochs so far.
    steps : int
    seconds : float
        Seconds trained so far.
    batch : int
        Crops a step: the plan's, or fewer when memory ran out.
    drawn : int
        Batches of the epoch at hand that are behind it.
    losses : list of float
        Their losses.
    settled : Tensor
        What `settle_borders` returned.
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
    drawn: int = 0
    losses: list[float] = field(default_factory=list)
    settled: Tensor = NOTHING_SETTLED

    def tensors(self) -> dict[str, Any]:
        """Return the state as tensors in plain dicts, for `torch.save`."""
        words = {
            "sampler": self.sampler,
            "history": [asdict(report) for report in self.history],
            "steps": self.steps,
            "seconds": self.seconds,
            "batch": self.batch,
            "drawn": self.drawn,
            "losses": self.losses,
        }
        text = torch.tensor(list(json.dumps(words).encode()), dtype=torch.uint8)
        return {
            "weights": self.weights,
            "average": self.average,
            "best": self.best,
            "optimizer": self.optimizer,
            "settled": self.settled,
            "words": text,
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, Any]) -> "TrainingState":
        """Rebuild the state from what `tensors` returned."""
        words = json.loads(bytes(tensors["words"].tolist()))
        history = [EpochReport(**report) for report in words.pop("history")]
        names = ("weights", "average", "best", "optimizer", "settled")
        given = {name: tensors[name] for name in names if name in tensors}
        return cls(**given, history=history, **words)


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
    gentle: bool = False,
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
        Weights to start from instead of random ones. A last layer that is not among them is fitted
        to the annotated pixels first.
    gentle : bool
        Keep what the weights it starts from know: smaller steps, batch norms that keep their
        statistics, and agreement with the averaged network where nobody annotated. Where the last
        layer was fitted to strokes, and grey level and texture tell the classes apart, the first
        prediction with settled borders teaches instead (`settle_borders`), in steps of the usual
        size.
    state : TrainingState, optional
        A state to go on from, as ``save`` received it.
    save : callable
        Receives the state before the first epoch, after every epoch, and within an epoch when the
        training ends there. A training that goes on from it is number for number one that never
        ended (on the CPU).
    stopped : callable
        Asked before every batch; when true, the training ends and keeps the best weights, those
        of the part of an epoch at hand among them.
    watch : callable
        Called with the averaged network every few steps; what it returns is yielded.

    Raises
    ------
    DivergedError
        When the loss of an epoch is not finite: the step size is too large, or the image
        holds values that are not finite.
    FullMemoryError
        When not even one crop fits the device.
    """
    keep_pages()
    device = pick_device(plan.device)
    if device.type == "cpu" and planar.suits(spec):
        planar.warm_up()  # once a machine it takes seconds, which are not the user's budget
    torch.manual_seed(plan.seed)
    begun_at = time.perf_counter()
    network = _begun(spec, training, plan.seed, start, state is not None)
    settled = state.settled if state is not None else NOTHING_SETTLED
    if gentle and state is None and plan.agreement > 0 and _without_head(start):
        settled = settle_borders(network, training, plan.seed)
        if len(settled):
            yield NoteReport(
                "grey level and texture show where the classes end: the borders that they show "
                "are taught along with the strokes"
            )
    if len(settled):
        training, gentle = with_settled(training, settled), False
    with_layout(network.to(device), torch.channels_last)
    averaged = copy.deepcopy(network).requires_grad_(False)
    average = RunningAverage(averaged, network, plan.averaging)
    rng = np.random.default_rng(plan.seed)
    sampler = CropSampler(training, spec, plan, rng)
    batch = sampler.batch
    history: list[EpochReport] = []
    best = _copy(averaged)
    steps, earlier, drawn, losses = 0, time.perf_counter() - begun_at, 0, list[Tensor]()
    weight = class_weights(sampler.counts, plan.balanced).to(device)
    stepper = Stepper.of(network, averaged, plan, weight, gentle, sampler.sparse)
    if state is not None:
        network.load_state_dict(state.weights)
        averaged.load_state_dict(state.average)
        stepper.optimizer.load_state_dict(state.optimizer)
        rng.bit_generator.state = state.sampler
        best, history, batch = state.best, list(state.history), state.batch
        steps, earlier, drawn = state.steps, state.seconds, state.drawn
        losses = list(torch.tensor(state.losses, device=device))
    begun = dict(rng.bit_generator.state)
    per_epoch = sampler.steps_per_epoch
    clock = Clock(plan, earlier, len(history) + drawn / per_epoch, per_epoch)
    choosing = int(validation.counts().sum()) >= FEWEST_PX_TO_CHOOSE
    by_hand, whole = False, True

    def now() -> TrainingState:
        return TrainingState(
            weights=_copy(network),
            average=_copy(averaged),
            best=best,
            optimizer=copy.deepcopy(stepper.optimizer.state_dict()),
            sampler=begun,
            history=history,
            steps=steps,
            seconds=clock.seconds(),
            batch=batch,
            drawn=drawn,
            losses=[float(each) for each in losses],
            settled=settled,
        )

    if state is None:
        save(now())
    # what was begun is scored and told of, even if there is no time to go on with it
    while whole and (losses or not (clock.over(len(history), steps) or _impatient(history, plan))):
        # crops of this epoch that were trained on before are drawn again, for those that follow
        for crops in ahead(islice(sampler.epoch(), drawn, None)):
            by_hand = stopped()
            if by_hand or clock.over(len(history), steps):
                whole = False
                break
            drawn += 1
            try:
                losses.append(stepper.step(crops, batch))
            except Exception as error:
                if not out_of_memory(error):
                    raise
                batch = _halved(batch, device, error)
                yield NoteReport(f"memory was full: going on with batches of {batch}")
                continue
            steps += 1
            average.move(steps)
            yield ProgressReport(clock.fraction(len(history), len(losses), steps), clock.left())
            if (seen := watch(averaged, len(history) + 1)) is not None:
                yield seen
        if not losses:
            break
        loss = float(torch.stack(losses).mean())  # waits for the device
        if not np.isfinite(loss):
            left = "the weights of the epochs before are kept" if history else "nothing was learned"
            raise DivergedError(
                f"the training loss is {loss} in epoch {len(history) + 1}, {left}: try another "
                f"seed, a lower learning rate (now {plan.learning_rate:g}), or check the images "
                "for extreme values"
            )
        if not whole:
            save(now())
        result, note = _score(averaged, validation)
        if note:
            yield NoteReport(note)
        report = _report(history, clock, steps, loss, result, plan, choosing)
        history = [*history, report]
        if report.best_epoch == report.epoch or plan.keep == "last":
            best = _copy(averaged)
        if whole:
            begun, drawn, losses = dict(rng.bit_generator.state), 0, []
            save(now())
        yield report

    network = Network(spec)
    network.load_state_dict(best)
    network.eval()
    kept = history[-1].best_epoch if history and plan.keep == "best" else len(history)
    result, _ = _score(network.to(device), validation)
    return TrainedModel(network.cpu(), tuple(history), kept, result, by_hand)


def _begun(
    spec: NetworkSpec,
    training: TrainingSet,
    seed: int,
    start: Mapping[str, NDArray[Any]] | None,
    goes_on: bool,
) -> Network:
    """Return the network that a training begins with."""
    if start is None or goes_on:  # going on, the state brings its weights
        return random_network(spec, seed)
    if not _without_head(start):
        return network_of(spec, start)
    network = network_without_head(spec, start, seed)
    fit_head(network, training, seed)
    return network


def _without_head(start: Mapping[str, NDArray[Any]] | None) -> bool:
    return start is not None and not any(name.startswith(HEAD) for name in start)


def _score(network: Network, data: TrainingSet) -> tuple[ValidationResult | None, str]:
    """Return how a network does on the held-out part, and a note where memory did not allow it."""
    if not data.images:
        return None, ""
    try:
        return validate(network, data), ""
    except MemoryError as error:
        return None, f"{error}; this epoch goes without a score"


def _copy(network: Network) -> Weights:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _halved(batch: int, device: torch.device, error: BaseException) -> int:
    if batch == 1:
        raise FullMemoryError(
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
    clock: Clock,
    steps: int,
    loss: float,
    result: ValidationResult | None,
    plan: TrainingPlan,
    choosing: bool,
) -> EpochReport:
    epoch = len(history) + 1
    best_epoch, best_dice = epoch, result.dice if result else None
    earlier = history[history[-1].best_epoch - 1] if history else None
    if choosing and earlier is not None and earlier.validation_loss is not None:
        # Dice of a few images jumps from epoch to epoch, and an early jump is easily the
        # highest; the loss moves steadily with what the network has learned.
        lowest = result is not None and result.loss < earlier.validation_loss
        if not lowest:
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
        kept="best" if choosing and plan.keep == "best" else "last",
    )
