"""Training: one visible loop that yields reports and returns a trained model."""

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray

from napari_tem_rf.learning.beginning import begin, begin_again, settle_beginning
from napari_tem_rf.learning.crops import ahead
from napari_tem_rf.learning.device import keep_pages, pick_device
from napari_tem_rf.learning.fast import compiled
from napari_tem_rf.learning.fast.network import suits_kernels
from napari_tem_rf.learning.learner import Learner, TrainingState
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.validation import ValidationResult, validate
from napari_tem_rf.micrographs.annotation import TrainingSet
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport, Report, TrainingPlan

FEWEST_PX_TO_CHOOSE = 5_000
"""Held-out pixels that it takes to tell epochs apart: on fewer, as with a few strokes of one image,
the first epochs often score best by chance, and the last one is kept."""


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
        A state to resume from, as ``save`` received it.
    save : callable
        Receives the state before the first epoch, after every epoch, and within an epoch when the
        training ends there. A training that is resumed from it is number for number one that never
        ended (on the CPU).
    stopped : callable
        Asked before every batch; when true, the training ends and keeps the best weights, those
        of the unfinished current epoch among them.
    watch : callable
        Called with the averaged network after every step, and with epoch 0 where a network that
        sees already is about to begin; what it returns is yielded.

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
    if device.type == "cpu" and suits_kernels(spec):
        compiled.warm_up()  # once a machine it takes seconds, which are not the user's budget
        if trouble := compiled.trouble_once():
            yield NoteReport(trouble)
    torch.manual_seed(plan.seed)
    began_at = time.perf_counter()
    if state is None:
        beginning = begin(spec, training, plan, start, gentle)
        # a network whose last layer was fitted knows the classes: that is worth a look at once
        if beginning.gentle and (seen := watch(beginning.network, 0)) is not None:
            yield seen
        beginning = settle_beginning(beginning, plan)
    else:
        beginning = begin_again(spec, training, plan, gentle, state.settled)
    if beginning.settled and state is None:
        yield NoteReport(
            "grey level and texture show where the classes end: the borders that they show are "
            "taught along with the strokes"
        )
    chooses = int(validation.counts().sum()) >= FEWEST_PX_TO_CHOOSE
    learner = Learner(beginning, plan, device, time.perf_counter() - began_at, chooses)
    if state is None:
        save(learner.state())
    else:
        learner.restore(state)

    by_hand, whole = False, True
    # an epoch that was begun is scored and reported even if there is no time to finish it
    while whole and (learner.losses or not (learner.is_over or learner.waits_in_vain)):
        for crops in ahead(learner.rest_of_epoch()):
            by_hand = stopped()
            if by_hand or learner.is_over:
                whole = False
                break
            if memory := learner.step(crops):
                yield NoteReport(memory)
                continue
            yield learner.progress()
            if (seen := watch(learner.averaged, learner.epoch)) is not None:
                yield seen
        if not learner.losses:
            break
        loss = learner.mean_loss()
        if not whole:
            save(learner.state())
        result, memory = _score(learner.averaged, validation)
        if memory:
            yield NoteReport(memory)
        report = learner.end_epoch(loss, result)
        if whole:
            learner.begin_epoch()
            save(learner.state())
        yield report

    network = Network(spec).eval()
    network.load_state_dict(learner.best)
    result, _ = _score(network.to(device), validation)
    return TrainedModel(network.cpu(), learner.history, learner.kept_epoch, result, by_hand)


def _score(network: Network, data: TrainingSet) -> tuple[ValidationResult | None, str]:
    """Return how a network does on the held-out part, and a note where memory did not allow it."""
    if not data.images:
        return None, ""
    try:
        return validate(network, data), ""
    except MemoryError as error:
        return None, f"{error}; this epoch goes without a score"
