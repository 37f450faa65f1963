"""A mask from strokes at once: features computed ahead, and a classifier fitted in a moment.

Two classifiers learn from the same strokes. A random forest sees what the baseline's does, grey
level, edges and texture at several scales (half of its trees see all features): it is right to the
pixel where amplitude contrast shows the particles, and lost where only a lattice does. A logistic
regression sees the last maps of networks that were trained on simulated micrographs, which tell
lattices from amorphous matter, but draw borders less exactly. How much each counts is decided by
how well it does on parts of the strokes that it did not learn from.

While the networks are loaded and look at the image, the forest answers alone, by grey level and
texture: neither it nor importing this needs PyTorch.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from napari_tem_rf.learning.forest import Forest
from napari_tem_rf.learning.pixel_features import FEATURES, feature_strips

if TYPE_CHECKING:
    from napari_tem_rf.learning.fast.network import FastNetwork

__all__ = [
    "LIVE_MARGIN_PX",
    "LIVE_NETWORKS",
    "EarlyClassifier",
    "LiveClassifier",
    "fit_early",
    "fit_live",
    "live_features",
]

LIVE_NETWORKS = (((2, 2), 8), ((4, 4), 8), ((4, 8), 8))
"""Pools and first filters of the networks whose last maps are features."""

LIVE_MARGIN_PX = 128
"""How far a feature sees at most: the halo of the widest network, a multiple of all periods."""

GREY_FEATURES = FEATURES
"""How many features, the first ones, are the baseline's."""

TREES = 50

SHRINKAGE = 0.1
"""Weight of the squared coefficients beside the mean loss; features have a deviation of 1."""

FOLDS, TREES_OF_FOLD, MOST_JUDGED_PX = 3, 10, 1_200
"""How the two are judged; pixels beyond the last number are thinned out evenly."""

TRUST = 2
"""Power of the inverse loss by which the two count."""

LEAST_PROBABILITY = 0.02
"""Below it a probability of either is not believed."""


@dataclass(frozen=True, slots=True, eq=False)
class LiveClassifier:
    """Two classifiers fitted to the same strokes, and how much each counts.

    Attributes
    ----------
    classes : ndarray of uint8, shape (class,)
        The class indices that were painted.
    forest, joint : Forest
        Of the baseline's features, and of all.
    weight, bias : ndarray of float32, shapes (feature, class) and (class,)
        Of the logistic regression.
    share : float
        How much the forest counts; the rest is the regression's.
    """

    classes: NDArray[np.uint8]
    forest: Forest
    joint: Forest
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    share: float

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return probabilities of the painted classes (pixel, class) for (pixel, feature)."""
        seen = features.astype(np.float32)
        trees = self.forest.probabilities(seen[:, :GREY_FEATURES]) + self.joint.probabilities(seen)
        grey = _doubted(trees / 2)
        maps = _doubted(_softmax(seen[:, GREY_FEATURES:] @ self.weight + self.bias))
        return _softmax(self.share * grey + (1 - self.share) * maps)

    def predict(self, features: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Return class indices, shape (row, column), of features, shape (row, column, feature)."""
        return self.classes[_most_probable(features, self.probabilities)]


@dataclass(frozen=True, slots=True, eq=False)
class EarlyClassifier:
    """What answers until the networks are there: a forest of the baseline's features.

    Attributes
    ----------
    classes : ndarray of uint8, shape (class,)
        The class indices that were painted.
    forest : Forest
    waits : bool
        As for `Forest.probabilities`.
    """

    classes: NDArray[np.uint8]
    forest: Forest
    waits: bool

    def predict(self, features: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Return class indices, shape (row, column), of features, shape (row, column, feature)."""

        def voted(seen: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
            return self.forest.probabilities(seen.astype(np.float32), self.waits)

        return self.classes[_most_probable(features, voted)]


def _most_probable(
    features: NDArray[np.floating[Any]],
    probabilities: Callable[[NDArray[np.floating[Any]]], NDArray[np.floating[Any]]],
) -> NDArray[np.intp]:
    """Return the places of the most probable classes, shape (row, column).

    Every second row and column is asked first; the pixels between only where those around them do
    not agree, which takes a third of the time.
    """
    rows, columns, number = features.shape

    def told(seen: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
        return probabilities(seen).argmax(axis=1)

    sparse = features[::2, ::2]
    first = told(sparse.reshape(-1, number)).reshape(sparse.shape[:2])
    agree = maximum_filter(first, 3) == minimum_filter(first, 3)
    found = first.repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns]
    between = ~agree.repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns]
    between[::2, ::2] = False
    if between.any():
        found[between] = told(features[between])
    return found


def live_features(
    pixels: NDArray[np.float32], networks: Sequence["FastNetwork"]
) -> NDArray[np.float16]:
    """Return what the live classifier sees of each pixel, shape (row, column, feature).

    Parameters
    ----------
    pixels : ndarray of float32, shape (row, column)
        Part of a standardised image. Features further than `LIVE_MARGIN_PX` from its cut edges are
        those of the whole image if it starts on a multiple of the networks' periods.
    networks : sequence of FastNetwork
        Folded, on the CPU; none for what the early classifier sees.
    """

    def grey() -> NDArray[np.float16]:
        return np.concatenate([strip.astype(np.float16) for _, strip in feature_strips(pixels)])

    # half of the work, and it does not need the other half
    with ThreadPoolExecutor(1) as other:
        first = other.submit(grey)
        maps = [_last_maps(network, pixels).astype(np.float16) for network in networks]
        return np.concatenate([first.result(), *maps], axis=-1)


def _last_maps(network: "FastNetwork", pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the input of a network's last layer, shape (row, column, feature)."""
    import torch

    period = network.spec.period
    rows, columns = pixels.shape
    fill = [(0, -length % period) for length in pixels.shape]
    images = torch.from_numpy(np.pad(pixels, fill))[None, None]
    with torch.inference_mode():
        maps = network.features(images.contiguous(memory_format=torch.channels_last))[0]
    return np.asarray(maps[:, :rows, :columns].permute(1, 2, 0).numpy())


def fit_live(
    features: NDArray[np.float32],
    classes: NDArray[np.uint8],
    places: NDArray[np.integer],
    seed: int,
) -> LiveClassifier:
    """Return a classifier of pixels; the same examples and seed give the same one.

    Parameters
    ----------
    features : ndarray of float32, shape (pixel, feature)
        As `live_features` makes them.
    classes : ndarray of uint8, shape (pixel,)
        At least two different ones.
    places : ndarray of int, shape (pixel,)
        The same number for pixels that lie together: they stay together when either classifier is
        judged on pixels that it did not learn from.
    seed : int
    """
    grey, maps = features[:, :GREY_FEATURES], features[:, GREY_FEATURES:]
    painted, known = np.unique(classes, return_inverse=True)
    thin = slice(None, None, 1 + len(known) // MOST_JUDGED_PX)
    judged = grey[thin], maps[thin], known[thin], places[thin]
    # half of the work is to judge, and it does not need the other half
    with ThreadPoolExecutor(1) as other:
        share = other.submit(_share_of_forest, *judged, seed)
        weight, bias = _fit_maps(maps, known)
        forest, joint = (Forest.grow(seen, known, TREES // 2, seed) for seen in (grey, features))
        return LiveClassifier(painted, forest, joint, weight, bias, share.result())


def fit_early(
    features: NDArray[np.float32], classes: NDArray[np.uint8], seed: int, waits: bool = False
) -> EarlyClassifier:
    """Return the classifier that answers first.

    Parameters
    ----------
    features : ndarray of float32, shape (pixel, feature)
        The baseline's, as `live_features` makes them without networks.
    classes : ndarray of uint8, shape (pixel,)
        At least two different ones.
    seed : int
    waits : bool
        As for `Forest.grow`.
    """
    painted, known = np.unique(classes, return_inverse=True)
    return EarlyClassifier(painted, Forest.grow(features, known, TREES, seed, waits=waits), waits)


def _fit_maps(
    features: NDArray[np.float32], known: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight (feature, class) and bias (class,) of a regression; classes weigh the same.

    Multinomial logistic regression with a ridge, by L-BFGS.
    """
    from scipy.optimize import minimize

    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    seen = ((features - mean) / deviation).astype(np.float64)
    pixels, classes = len(known), int(known.max()) + 1
    is_class = np.eye(classes)[known]  # (pixel, class)
    share = 1 / (classes * np.bincount(known))[known]  # of a pixel in the mean over the classes
    # of two classes with opposite coefficients each has half of the margin's
    ridge = 2 * SHRINKAGE * (2 if classes == 2 else 1)

    def loss_and_slope(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        both = flat.reshape(-1, classes)
        logits = seen @ both[:-1] + both[-1]
        logits -= logits.max(axis=1, keepdims=True)
        raised = np.exp(logits)
        sums = raised.sum(axis=1)
        loss = share @ (np.log(sums) - logits[np.arange(pixels), known])
        error = (raised / sums[:, None] - is_class) * share[:, None]
        slope = np.concatenate([seen.T @ error, error.sum(axis=0)[None]])
        slope[:-1] += ridge * both[:-1]
        return float(loss + ridge / 2 * (both[:-1] ** 2).sum()), slope.ravel()

    start = np.zeros((seen.shape[1] + 1) * classes)
    found = minimize(
        loss_and_slope, start, jac=True, method="L-BFGS-B", options={"gtol": 1e-4, "maxiter": 200}
    ).x.reshape(-1, classes)
    weight = found[:-1] / deviation[:, None]
    bias = found[-1] - mean @ weight
    return weight.astype(np.float32), bias.astype(np.float32)


def _share_of_forest(
    grey: NDArray[np.float32],
    maps: NDArray[np.float32],
    known: NDArray[np.intp],
    places: NDArray[np.integer],
    seed: int,
) -> float:
    """Return how much the forest counts beside the regression, from 0 to 1.

    By the cross entropy, classes weighing the same, on the strokes' parts in turn; half where they
    are too short for that.
    """
    squares, square_of = np.unique(places, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(squares))[square_of] % FOLDS
    losses: list[tuple[float, float]] = []
    for held_out in range(FOLDS):
        asked, learnt = fold == held_out, fold != held_out
        if len(np.unique(known[learnt])) <= known.max() or not asked.any():
            continue
        forest = Forest.grow(grey[learnt], known[learnt], TREES_OF_FOLD, seed)
        weight, bias = _fit_maps(maps[learnt], known[learnt])
        pair = forest.probabilities(grey[asked]), _softmax(maps[asked] @ weight + bias)
        losses.append(tuple(_loss(each, known[asked]) for each in pair))  # type: ignore[arg-type]
    if not losses:
        return 0.5
    trust = np.mean(losses, axis=0) ** -TRUST
    return float(trust[0] / trust.sum())


def _loss(probabilities: NDArray[np.floating[Any]], known: NDArray[np.intp]) -> float:
    of_known = _doubted(probabilities)[np.arange(len(known)), known]
    return -float(np.mean([of_known[known == index].mean() for index in np.unique(known)]))


def _doubted(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return the logarithms of probabilities of which none is believed to be nought."""
    number = probabilities.shape[1]
    least = min(LEAST_PROBABILITY, 0.5 / number)
    return np.log(least + (1 - number * least) * probabilities).astype(np.float32)


def _softmax(logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
