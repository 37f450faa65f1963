"""Loss and Dice of a network on annotated images."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_tem_rf.learning.device import give_back
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.prediction import Prediction, predict
from napari_tem_rf.micrographs.annotation import (
    NOT_ANNOTATED,
    AnnotatedImage,
    TrainingSet,
    as_classes,
)
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.rounding import round_up

SMOOTH = 1.0
"""Added to both sides of Dice, as in the paper."""

FIRST_SMALLER_PX, SMALLEST_PX = 256, 32
"""Tile sides where usual tiles do not fit the memory: the first one tried, and the last."""


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """Mean over the images; the loss is the cross entropy per annotated pixel."""

    loss: float
    dice: float
    dice_per_image: tuple[tuple[str, float], ...]


def validate(network: Network, data: TrainingSet) -> ValidationResult:
    """Score a network on the annotated pixels of a set; Dice per image, then the mean.

    Dice is of the user's classes: a border that is learned apart counts as its particle.

    Parameters
    ----------
    network : Network
        On its device.
    data : TrainingSet
        At least one image, each with an annotated pixel.
    """
    folded = accelerated(network).folded()
    classes, border = len(data.classes.values), data.border_px is not None
    losses, scores = [], []
    for image in data.images:
        window = annotated_window(image, folded)
        labels = image.labels[window]
        counted = labels >= 0
        result = predict_fitting(folded, image.pixels[window], probabilities=True, border=border)
        assert result.probabilities is not None
        losses.append(_cross_entropy(result.probabilities, labels))
        truth = as_classes(labels[counted]) if border else labels[counted]
        score = foreground_dice(result.classes[counted], truth, classes)
        scores.append((image.name, score))
    dice = float(np.mean([score for _, score in scores]))
    return ValidationResult(float(np.mean(losses)), dice, tuple(scores))


def _cross_entropy(probabilities: NDArray[np.float32], labels: NDArray[np.int16]) -> float:
    """Return the mean over annotated pixels; an impossible class counts as one in ten million."""
    logarithms = torch.from_numpy(probabilities).clamp_min(1e-7).log()
    truth = torch.from_numpy(labels.astype(np.int64))
    return float(functional.nll_loss(logarithms[None], truth[None], ignore_index=NOT_ANNOTATED))


def predict_fitting(
    network: Network,
    pixels: NDArray[np.float32],
    *,
    probabilities: bool = False,
    shares: bool = False,
    border: bool = False,
) -> Prediction:
    """Predict an image while a training holds memory too: by smaller tiles where it is full.

    Parameters
    ----------
    network : Network
        Folded and on its device.
    pixels : ndarray of float32, shape (row, column)
        Standardised image.
    probabilities, shares : bool
        Whether to return probabilities too, as fractions or in 255ths.
    border : bool
        Whether the last class is the border of the one before it; see `predict`.

    Raises
    ------
    MemoryError
        When not even a tile of the smallest side fits.
    """
    side: int | None = None
    while True:
        try:
            result = predict(
                network,
                pixels,
                tile_px=side,
                probabilities=probabilities,
                shares=shares,
                border=border,
            )
        except MemoryError:
            side = FIRST_SMALLER_PX if side is None else side // 2
            if side < SMALLEST_PX:
                raise
            give_back(network.head.weight.device)
        else:
            assert result is not None  # nobody stops it
            return result


def foreground_dice(
    predicted: NDArray[np.integer], truth: NDArray[np.integer], classes: int
) -> float:
    """Return the hard Dice of the classes from 1 up, averaged over them.

    Parameters
    ----------
    predicted, truth : ndarray of int, shape (pixel,)
        Class indices.
    classes : int
        Number of classes, background (0) included.
    """
    scores = []
    for index in range(1, classes):
        p, t = predicted == index, truth == index
        scores.append((2 * (p & t).sum() + SMOOTH) / (p.sum() + t.sum() + SMOOTH))
    return float(np.mean(scores))


def annotated_window(image: AnnotatedImage, network: Network) -> tuple[slice, slice]:
    """Return the part of an image that decides its annotated pixels, on whole periods."""
    field = receptive_field(network.spec)
    window = []
    for axis in (0, 1):
        hit = np.flatnonzero((image.labels >= 0).any(axis=1 - axis))
        first, last = int(hit[0]), int(hit[-1]) + 1
        start = max(0, first // field.period * field.period - field.halo)
        stop = round_up(last, field.period) + field.halo
        window.append(slice(start, min(stop, image.labels.shape[axis])))
    return window[0], window[1]
