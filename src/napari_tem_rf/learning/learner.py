"""A training under way: what its steps change, as one object that can be saved and restored."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_tem_rf.learning.beginning import Beginning, SettledRows
from napari_tem_rf.learning.clock import Clock
from napari_tem_rf.learning.crops import Batch, CropSampler
from napari_tem_rf.learning.device import FullMemoryError, give_back, out_of_memory
from napari_tem_rf.learning.fast.network import accelerated, with_layout
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.step import RunningAverage, Stepper, class_weights, freeze
from napari_tem_rf.learning.validation import ValidationResult
from napari_tem_rf.protocol import EpochReport, ProgressReport, TrainingPlan

__all__ = ["DivergedError", "Learner", "TrainingState", "Weights"]

Weights = dict[str, Tensor]

LEAST_OF_HIGHEST_DICE = 0.5
"""Share of the highest held-out Dice so far that an epoch must have to be the best by its loss."""


class DivergedError(FloatingPointError):
    """The loss of a training is no longer finite; the text is one sentence for the user."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """All that a training needs to continue as if it had never stopped, at any of its batches.

    Attributes
    ----------
    weights, average, best : dict of Tensor
        Current weights, their running average, and those of the best whole epoch.
    optimizer : dict
        State of Adam.
    sampler : dict
        State of the random numbers of the crops when the current epoch began.
    history : tuple of EpochReport
        The whole epochs so far.
    steps : int
    seconds : float
        Seconds trained so far.
    batch : int
        Crops a step: the plan's, or fewer when memory ran out.
    drawn : int
        Batches of the current epoch that are done.
    losses : tuple of float
        Their losses.
    settled : tuple of SettledRows
        The settled borders that it started from.
    """

    weights: Weights
    average: Weights
    best: Weights
    optimizer: dict[str, Any]
    sampler: dict[str, Any]
    history: tuple[EpochReport, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    batch: int = 0
    drawn: int = 0
    losses: tuple[float, ...] = ()
    settled: tuple[SettledRows, ...] = ()


class Learner:
    """A training under way.

    Parameters
    ----------
    beginning : Beginning
        What it starts from.
    plan : TrainingPlan
        How it is trained.
    device : torch.device
    seconds : float
        Seconds that the beginning took.
    chooses : bool
        Whether the held-out part can tell epochs apart; otherwise the last epoch is kept.
    """

    def __init__(
        self,
        beginning: Beginning,
        plan: TrainingPlan,
        device: torch.device,
        seconds: float,
        chooses: bool,
    ) -> None:
        self.plan, self.device, self.chooses = plan, device, chooses
        self.settled = beginning.settled
        network = accelerated(beginning.network.to(device))
        self.network: Network = with_layout(network, torch.channels_last)
        freeze(self.network, beginning.frozen)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        self.average = RunningAverage(self.averaged, self.network, plan.averaging)
        rng = np.random.default_rng(plan.seed)
        self.sampler = CropSampler(beginning.data, network.spec, plan, rng)
        weight = class_weights(self.sampler.counts, plan.balanced).to(device)
        self.stepper = Stepper.of(
            self.network, self.averaged, plan, weight, beginning.gentle, self.sampler.sparse
        )
        self.batch = self.sampler.batch
        self.history: tuple[EpochReport, ...] = ()
        self.best = _copy(self.averaged)
        self.steps = 0
        self.clock = Clock(plan, seconds, 0, self.sampler.steps_per_epoch)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch_began = dict(self.sampler.rng.bit_generator.state)
        self.drawn = 0
        self.losses: list[Tensor] = []

    @property
    def epoch(self) -> int:
        """Number of the current epoch, from 1."""
        return len(self.history) + 1

    @property
    def is_over(self) -> bool:
        """Whether the plan's epochs, seconds or steps are over; never before the first step.

        On a busy machine the beginning may take all the seconds that there are.
        """
        return self.steps > 0 and self.clock.over(len(self.history), self.steps)

    @property
    def waits_in_vain(self) -> bool:
        """Whether no epoch has been better for as many as the plan waits."""
        if self.plan.patience is None or not self.history:
            return False
        last = self.history[-1]
        waited = last.epoch - last.best_epoch
        return last.validation_dice is not None and waited >= self.plan.patience

    def rest_of_epoch(self) -> Iterator[Batch]:
        """Yield the batches of the current epoch that are not done.

        Those that are done, before the training was interrupted, are drawn again: the others follow
        from the same random numbers.
        """
        return islice(self.sampler.epoch(), self.drawn, None)

    def step(self, crops: Batch) -> str:
        """Make a step; where memory is full, return a sentence and continue with fewer crops.

        Raises
        ------
        FullMemoryError
            When not even one crop fits.
        """
        self.drawn += 1
        try:
            self.losses.append(self.stepper.step(crops, self.batch))
        except Exception as error:
            if not out_of_memory(error):
                raise
            self._halve_batch(error)
            return f"memory was full: continuing with batches of {self.batch}"
        self.steps += 1
        self.average.move(self.steps)
        return ""

    def _halve_batch(self, error: Exception) -> None:
        if self.batch == 1:
            raise FullMemoryError(
                f"not even one crop fits the memory of {self.device}: choose fewer filters, "
                "or a smaller receptive field"
            ) from error
        give_back(self.device)
        self.batch = max(1, self.batch // 2)

    def progress(self) -> ProgressReport:
        """Return how much is over and how long the rest takes."""
        done = self.clock.fraction(len(self.history), len(self.losses), self.steps)
        return ProgressReport(done, self.clock.left())

    def mean_loss(self) -> float:
        """Return the mean loss of the current epoch.

        Raises
        ------
        DivergedError
            When it is not finite.
        """
        loss = float(torch.stack(self.losses).mean())  # waits for the device
        if not np.isfinite(loss):
            earlier = self.history
            left = "the weights of the epochs before are kept" if earlier else "nothing was learned"
            raise DivergedError(
                f"the training loss is {loss} in epoch {self.epoch}, {left}: try another seed, a "
                f"lower learning rate (now {self.plan.learning_rate:g}), or check the images for "
                "extreme values"
            )
        return loss

    def end_epoch(self, loss: float, result: ValidationResult | None) -> EpochReport:
        """Put the current epoch into the history, and keep its weights where it is the best."""
        best_epoch, best_dice = self.epoch, result.dice if result else None
        best = self.history[self.history[-1].best_epoch - 1] if self.history else None
        if self.chooses and best is not None and not self._is_better(result, best):
            best_epoch, best_dice = best.epoch, best.validation_dice
        keeps_best = self.plan.keep == "best"
        report = EpochReport(
            epoch=self.epoch,
            steps=self.steps,
            seconds=self.clock.seconds(),
            seconds_left=self.clock.left() or 0.0,
            training_loss=loss,
            validation_loss=result.loss if result else None,
            validation_dice=result.dice if result else None,
            best_epoch=best_epoch,
            best_dice=best_dice,
            kept="best" if self.chooses and keeps_best else "last",
        )
        if best_epoch == report.epoch or not keeps_best:
            self.best = _copy(self.averaged)
        self.history = (*self.history, report)
        return report

    def _is_better(self, result: ValidationResult | None, best: EpochReport) -> bool:
        """Whether the current epoch takes the place of the best one before it.

        Dice of a few images jumps from epoch to epoch, and an early jump is easily the highest; the
        loss moves steadily with what the network has learned. But where particles are rare it may
        be lowest for a network that calls everything background.
        """
        if best.validation_loss is None or best.validation_dice is None:
            return True
        if result is None:
            return False
        dices = [each.validation_dice for each in self.history if each.validation_dice is not None]
        least = LEAST_OF_HIGHEST_DICE * max(*dices, result.dice)
        if (best.validation_dice < least) != (result.dice < least):
            return result.dice >= least
        return result.loss < best.validation_loss

    @property
    def kept_epoch(self) -> int:
        """Number of the epoch whose weights are the best; 0 before the first."""
        if self.history and self.plan.keep == "best":
            return self.history[-1].best_epoch
        return len(self.history)

    def state(self) -> TrainingState:
        """Return all that `restore` needs."""
        return TrainingState(
            weights=_copy(self.network),
            average=_copy(self.averaged),
            best=self.best,
            optimizer=copy.deepcopy(self.stepper.optimizer.state_dict()),
            sampler=self.epoch_began,
            history=self.history,
            steps=self.steps,
            seconds=self.clock.seconds(),
            batch=self.batch,
            drawn=self.drawn,
            losses=tuple(float(each) for each in self.losses),
            settled=self.settled,
        )

    def restore(self, state: TrainingState) -> None:
        """Continue from a state as if there had been no break."""
        self.network.load_state_dict(state.weights)
        self.averaged.load_state_dict(state.average)
        self.best = state.best
        self.stepper.optimizer.load_state_dict(state.optimizer)
        self.sampler.rng.bit_generator.state = state.sampler
        self.begin_epoch()
        self.history = state.history
        self.steps = state.steps
        self.batch = state.batch
        self.drawn = state.drawn
        self.losses = list(torch.tensor(state.losses, device=self.device))
        per_epoch = self.sampler.steps_per_epoch
        epochs = len(self.history) + self.drawn / per_epoch
        self.clock = Clock(self.plan, state.seconds, epochs, per_epoch)


def _copy(network: Network) -> Weights:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
