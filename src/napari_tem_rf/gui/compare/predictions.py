"""Predictions of the networks that are looked at side by side, each made once, in a worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from psygnal import Signal

from napari_tem_rf import jobs
from napari_tem_rf.comparison import (
    Comparison,
    Contestant,
    ContestantJob,
    Ensemble,
    predict_baseline,
    predict_ensemble,
)
from napari_tem_rf.figures.quantities import merit
from napari_tem_rf.gui.compare.comparing import Comparing
from napari_tem_rf.gui.layers.layers import frame_name, frame_pixels
from napari_tem_rf.gui.layers.marks import MARK, OverlayMark, find_ours, note
from napari_tem_rf.gui.layers.plane import plane_placement
from napari_tem_rf.gui.session.background import Latest, Request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.work import Work

__all__ = ["Ensembles", "Target", "TickedPredictions", "contestant_of", "run_of"]

Target = tuple[Image, int]
"""An image layer and a frame of it."""

_MOST_KEPT = 64


def contestant_of(comparison: Comparison, name: str) -> Contestant:
    """Return what predicts for a row: a baseline, or the first seed of a network."""
    return next(each.contestant for each in comparison.results if each.contestant.name == name)


def run_of(comparison: Comparison, name: str) -> Contestant:
    """Return the seed of a network that scored best."""
    score = comparison.record.plan.decides
    same = [each for each in comparison.results if each.contestant.name == name]
    merits = [merit(score, each.values(score)) for each in same]
    means = [float(known.mean()) for m in merits if len(known := m[~np.isnan(m)])]
    if len(means) < len(same):  # not known of all
        means = [each.mean() for each in same]
    return same[int(np.argmax(means))].contestant


@dataclass(frozen=True, slots=True)
class _Task:
    """One prediction that is wanted."""

    contestant: Contestant
    target: Target

    def key(self, comparison: Comparison) -> tuple[Any, ...]:
        image, frame = self.target
        return comparison.folder, self.contestant.folder, image.unique_id, frame


class TickedPredictions:
    """Predicts images with several networks and baselines, one after the other.

    Signals
    -------
    progressed(float, str)
        Fraction done from 0 to 1, and what is being done.
    done(dict)
        The labels by target, in the order of the names asked for: all are there.
    failed(str)
        A sentence.
    """

    progressed = Signal(float, str)
    done = Signal(object)
    failed = Signal(str)

    def __init__(self, session: Session, comparing: Comparing) -> None:
        self._session, self._comparing = session, comparing
        self._kept: dict[tuple[Any, ...], NDArray[Any]] = {}
        self._tasks: list[_Task] = []
        self._following = 0
        self._work: Work | None = None
        self._latest = Latest()

    @property
    def is_busy(self) -> bool:
        """Whether something is being predicted."""
        return self._work is not None

    def ask(self, names: Sequence[str], targets: Sequence[Target]) -> None:
        """Predict targets with rows of the comparison, by their names; `done` comes later."""
        comparison = self._comparing.comparison
        if comparison is None:
            return
        self.stop()
        contestants = [contestant_of(comparison, name) for name in names]
        self._tasks = [_Task(each, target) for target in targets for each in contestants]
        self._following = 0
        self._next(self._latest.ask())

    def stop(self) -> None:
        """Stop predicting; what is done is kept for the next time."""
        self._latest.drop()
        self._work = None

    def _next(self, request: Request) -> None:
        comparison = self._comparing.comparison
        if not request or comparison is None:
            return
        while self._following < len(self._tasks):
            task = self._tasks[self._following]
            if task.key(comparison) not in self._kept:
                self._predict(request, comparison, task)
                return
            self._following += 1
        self._work = None
        found: dict[Target, list[NDArray[Any]]] = {}
        for task in self._tasks:
            found.setdefault(task.target, []).append(self._kept[task.key(comparison)])
        self._forget(comparison)
        self.done.emit(found)

    def _predict(self, request: Request, comparison: Comparison, task: _Task) -> None:
        image, frame = task.target
        what = f"predicting {frame_name(image, frame)} with {task.contestant.name}"
        self.progressed.emit(self._following / len(self._tasks), what)
        pixels = frame_pixels(image, frame)
        device = comparison.record.plan.training.device
        run = comparison.folder / task.contestant.folder
        if run in comparison.runs(task.contestant.name):
            work: tuple[Any, ...] = (jobs.predict_with_run, run, pixels, None, False, device)
        else:
            try:
                held_out = self._comparing.held_out()
            except ValueError as error:
                # one of an earlier version is no run yet: it is fitted, which needs the images
                self._fail(f"{task.contestant.name}: {error}")
                return
            plan = comparison.record.plan
            contest = ContestantJob(comparison.folder, task.contestant, plan, held_out, {}, {})
            work = (predict_baseline, contest, pixels)
        self._work = self._session.submit(
            *work,
            name=what,
            on_done=partial(self._take, request, comparison, task),
            on_failed=request.only(self._fail),
        )
        request.holds(self._work)

    def _take(self, request: Request, comparison: Comparison, task: _Task, result: Any) -> None:
        if result is not None:
            labels = result.labels if isinstance(result, jobs.PredictionResult) else result
            self._kept[task.key(comparison)] = labels
        if not request:
            return
        if result is None:
            self._work = None
            return
        self._following += 1
        self._next(request)

    def _fail(self, words: str) -> None:
        self.stop()
        self.failed.emit(words)

    def _forget(self, comparison: Comparison) -> None:
        """Keep no more than a few predictions beside those in use."""
        used = {task.key(comparison) for task in self._tasks}
        spare = [key for key in self._kept if key not in used]
        for key in spare[: max(0, len(self._kept) - _MOST_KEPT)]:
            del self._kept[key]


class Ensembles:
    """Asks all seeds of a network about an image and shows what they say together.

    Signals
    -------
    shown(str)
        A sentence: the layers are there.
    failed(str)
        A sentence.
    """

    shown = Signal(str)
    failed = Signal(str)

    def __init__(self, session: Session, comparing: Comparing) -> None:
        self._session, self._comparing = session, comparing

    def ask(self, name: str, target: Target) -> None:
        """Predict a target with all seeds of a network, in a worker.

        Raises
        ------
        ValueError
            When fewer than two seeds are done.
        """
        comparison = self._comparing.comparison
        assert comparison is not None
        runs = comparison.runs(name)
        if len(runs) < 2:
            raise ValueError(
                f"{name} has {len(runs)} trained seed{'s' if len(runs) != 1 else ''}: an ensemble "
                "takes two or more"
            )
        image, frame = target
        self._session.submit(
            predict_ensemble,
            runs,
            frame_pixels(image, frame),
            comparison.record.plan.training.device,
            name=f"{len(runs)} seeds of {name} on {frame_name(image, frame)}",
            on_done=partial(self._show, name, target),
            on_failed=self._fail,
        )

    def _show(self, name: str, target: Target, together: Ensemble | None) -> None:
        image, frame = target
        if together is None or image not in self._session.viewer.layers:
            return
        # what is not background: of two classes the particle, of more all but the first
        layers = (
            ("probability", 1 - together.mean[0], (0.0, 1.0), "viridis", True),
            ("spread", together.spread[0], (0.0, 0.5), "magma", False),
        )
        for what, values, limits, colors, visible in layers:
            title = f"{frame_name(image, frame)}: {name}, {what} of {together.networks} seeds"
            self._put(image, values, title, limits, colors, visible)
        self.shown.emit(
            f"Mean probability and spread of {together.networks} seeds are layers now; the spread "
            "is hidden: switch it on by its eye."
        )

    def _fail(self, words: str) -> None:
        self.failed.emit(words)

    def _put(
        self,
        image: Image,
        values: NDArray[np.float32],
        title: str,
        limits: tuple[float, float],
        colors: str,
        visible: bool,
    ) -> None:
        layers = self._session.viewer.layers
        earlier = find_ours(layers, title, "ensemble")
        if earlier is not None:
            earlier.data = values
            return
        layer = Image(
            values,
            name=title,
            colormap=colors,
            contrast_limits=limits,
            opacity=0.6,
            visible=visible,
            metadata={MARK: OverlayMark("ensemble", title, image=str(image.name))},
            **plane_placement(image),
        )
        with self._session.layer_list_kept():
            layers.insert(layers.index(image) + 1, layer)
        note(layer, OverlayMark, name=str(layer.name))
