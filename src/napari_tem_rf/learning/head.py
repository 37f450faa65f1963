"""The last layer of a network, fitted at once to annotated pixels.

A network that was trained on other images sees much of what matters in new ones, but its classes
are others. A logistic regression on what enters its last layer gives the new classes in a second;
from there a training goes on with all layers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_tem_rf.learning.network import Network, network_of, random_network
from napari_tem_rf.learning.validation import annotated_window
from napari_tem_rf.micrographs.annotation import TrainingSet
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["HEAD", "fit_head", "network_without_head"]

HEAD = "head."
"""Names of the last layer's weights begin so."""

MOST_PX = 20_000
"""Annotated pixels that the regression looks at, at most."""

SHRINKAGE = 0.01
"""Weight of the squared coefficients beside the mean loss; features have a deviation of 1."""


def network_without_head(
    spec: NetworkSpec, weights: Mapping[str, NDArray[Any]], seed: int
) -> Network:
    """Return a network with these weights, all but the last layer, which is random.

    Raises
    ------
    ValueError
        When the weights are those of another network.
    """
    fresh = {name: value.numpy() for name, value in random_network(spec, seed).state_dict().items()}
    body = {name: value for name, value in weights.items() if not name.startswith(HEAD)}
    head = {name: value for name, value in fresh.items() if name.startswith(HEAD)}
    return network_of(spec, body | head)


def fit_head(network: Network, data: TrainingSet, seed: int) -> None:
    """Fit the last layer to the annotated pixels, in place; classes weigh the same.

    Parameters
    ----------
    network : Network
        With batch norms, on the CPU.
    data : TrainingSet
        Standardised images with class indices; every class must have a pixel.
    seed : int
        Seed of the draw where there are very many pixels.
    """
    from sklearn.linear_model import LogisticRegression

    features, classes = _annotated_features(network, data, np.random.default_rng(seed))
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    regression = LogisticRegression(
        C=0.5 / (SHRINKAGE * len(classes)), class_weight="balanced", max_iter=500
    )
    regression.fit((features - mean) / deviation, classes)
    weight = regression.coef_ / deviation  # (class, feature)
    bias = regression.intercept_ - weight @ mean
    if len(weight) == 1:  # two classes: scikit-learn gives the margin of the second
        weight, bias = (np.concatenate([-each / 2, each / 2]) for each in (weight, bias))
    head = network.head
    assert head.bias is not None
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weight).reshape(head.weight.shape))
        head.bias.copy_(torch.tensor(bias))


def _annotated_features(
    network: Network, data: TrainingSet, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Return what enters the last layer at annotated pixels (pixel, feature), and their classes."""
    folded = network.folded()
    total = sum(int((image.labels >= 0).sum()) for image in data.images)
    features, classes = [], []
    for image in data.images:
        window = annotated_window(image, folded)
        pixels, labels = image.pixels[window], image.labels[window]
        places = np.flatnonzero(labels.ravel() >= 0)
        if total > MOST_PX:
            share = max(1, round(MOST_PX * len(places) / total))
            places = np.sort(rng.choice(places, share, replace=False))
        rows, columns = np.unravel_index(places, labels.shape)
        features.append(_features(folded, pixels)[:, rows, columns].T)
        classes.append(labels[rows, columns])
    return np.concatenate(features).astype(np.float64), np.concatenate(classes)


def _features(folded: Network, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what enters the last layer, shape (feature, row, column)."""
    period = folded.spec.period
    fill = [(0, -length % period) for length in pixels.shape]
    images = torch.from_numpy(np.pad(pixels, fill))[None, None]
    with torch.inference_mode():
        images = images.contiguous(memory_format=torch.channels_last)
        return np.asarray(folded.features(images, level=0)[0].numpy())
