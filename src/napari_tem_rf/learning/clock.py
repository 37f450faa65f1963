"""How much of a training's time, epochs and steps is over, and how long the rest will take."""

import time

from napari_tem_rf.protocol import TrainingPlan


class Clock:
    """The clock of one training.

    Parameters
    ----------
    plan : TrainingPlan
    earlier : float
        Seconds trained before, where the training is resumed.
    epochs : float
        Epochs trained before.
    steps : int
        Steps an epoch.
    """

    def __init__(self, plan: TrainingPlan, earlier: float, epochs: float, steps: int) -> None:
        self.plan = plan
        self.begun = time.perf_counter() - earlier
        self.steps_per_epoch = steps
        self.done = 0.0
        self.first = epochs
        self.resumed = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds trained so far, earlier ones included."""
        return time.perf_counter() - self.begun

    def over(self, epochs: int, steps: int) -> bool:
        """Whether the plan's epochs, seconds or steps are over."""
        plan = self.plan
        return (
            (plan.epochs is not None and epochs >= plan.epochs)
            or (plan.seconds is not None and self.seconds() >= plan.seconds)
            or (plan.steps is not None and steps >= plan.steps)
        )

    def fraction(self, epochs: int, steps_of_epoch: int, steps: int) -> float:
        """Return how much is over, from 0 to 1.

        Parameters
        ----------
        epochs : int
            Whole epochs.
        steps_of_epoch : int
            Steps of the current epoch.
        steps : int
            All steps.
        """
        by_time = self.seconds() / self.plan.seconds if self.plan.seconds else 0.0
        by_steps = steps / self.plan.steps if self.plan.steps else 0.0
        by_epochs = 0.0
        if self.plan.epochs:
            by_epochs = (epochs + steps_of_epoch / self.steps_per_epoch) / self.plan.epochs
        self.done = min(1.0, max(by_time, by_epochs, by_steps))
        return self.done

    def left(self) -> float | None:
        """Return the seconds left; None where they are not known yet."""
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
