"""A network that learns on in the background from the newest strokes; some of them judge it.

The blocks of strokes that are held out stay the same while strokes are added, so that a network
that learned from earlier ones has never seen them.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.jobs.grey_levels import settle_grey_levels
from napari_tem_rf.jobs.live import LiveRequest, classes_of_held_out
from napari_tem_rf.jobs.request import TrainRequest, prepare
from napari_tem_rf.jobs.training import watcher
from napari_tem_rf.micrographs.annotation import NOT_ANNOTATED, TrainingSet
from napari_tem_rf.micrographs.splitting import in_judging_block
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import Reporter, Stopped
from napari_tem_rf.starting import read_start

__all__ = ["Judgement", "judge_live", "learn_on"]

MOST_LEARNERS = 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a prediction does on strokes that it did not learn from: Dice and cross entropy."""

    dice: float
    loss: float


_learnt: "OrderedDict[str, tuple[NetworkSpec, dict[str, NDArray[Any]]]]" = OrderedDict()


def learn_on(request: TrainRequest, learner: str, *, report: Reporter, stopped: Stopped) -> int:
    """Train on strokes without a run folder; return the epochs.

    Parameters
    ----------
    request : TrainRequest
        What to learn from; its run is not written. Its plan says when it is no longer better.
    learner : str
        Whose weights go on: those that this worker keeps by that name, else the request's start.
    """
    from napari_tem_rf.learning.training import train

    data = prepare(
        request.images,
        request.unlabelled,
        request.cleaning,
        request.class_names,
        request.class_colors,
    )
    plan, _ = settle_grey_levels(request.plan, data)
    spec = request.spec.with_classes(len(data.classes.values))
    kept = _learnt.get(learner)
    start = None if request.start is None else read_start(request.start, spec, data.classes)
    if kept is not None and kept[0] == spec:
        start = kept[1]
    training = train(
        _part(data, held_out=False),
        _part(data, held_out=True),
        spec,
        plan,
        start=start,
        gentle=start is not None,
        stopped=stopped,
        watch=watcher(replace(request, spec=spec), data.classes),
    )
    while True:
        try:
            report(next(training))
        except StopIteration as end:
            model = end.value
            break
    weights = {name: value.numpy() for name, value in model.network.state_dict().items()}
    _learnt[learner] = spec, weights
    while len(_learnt) > MOST_LEARNERS:
        _learnt.popitem(last=False)
    return len(model.history)


def _part(data: TrainingSet, *, held_out: bool) -> TrainingSet:
    """Return the strokes that are learned from, or those that are held out."""
    images = []
    for image in data.images:
        rows, columns = np.ogrid[: image.labels.shape[0], : image.labels.shape[1]]
        keeps = in_judging_block(rows, columns) == held_out
        labels = np.where(keeps, image.labels, np.int16(NOT_ANNOTATED))
        if (labels >= 0).any():
            images.append(replace(image, labels=labels))
    return replace(data, images=tuple(images))


def judge_live(request: LiveRequest, *, report: Reporter, stopped: Stopped) -> Judgement | None:
    """Return how the live classifier does on the held-out strokes; None where it cannot be told.

    Both the strokes that are learned from and those held out need pixels of every class.
    """
    found = classes_of_held_out(request)
    if found is None:
        return None
    from napari_tem_rf.learning.validation import foreground_dice

    probabilities, truth = found  # (pixel, class), (pixel,)
    of_truth = probabilities[np.arange(len(truth)), truth]
    dice = foreground_dice(probabilities.argmax(axis=1), truth, probabilities.shape[1])
    return Judgement(dice, float(-np.log(of_truth.clip(1e-7)).mean()))
