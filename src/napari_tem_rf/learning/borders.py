"""Where particles end: the borders of a first prediction, moved to where the image changes.

Nobody draws strokes on borders, so strokes do not tell where a particle ends: a network that
learns from them alone keeps whatever border it began with. Where grey level and texture tell
particles from their surroundings, the image itself says it. A random forest learns the two sides of
every border from the pixels a little away from it, inside and outside alike, and decides those
between. Where it cannot tell even the sides, as when only a lattice shows the particles, nothing is
settled.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from napari_tem_rf.learning.baselines import FOREST_REACH_PX, feature_strips
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.validation import predict_fitting
from napari_tem_rf.micrographs.annotation import AnnotatedImage, TrainingSet
from napari_tem_rf.networks.receptive_field import receptive_field

__all__ = ["NOTHING_SETTLED", "settle_borders", "with_settled"]

DOUBTED_PX = 5
"""Pixels so near to a border of the prediction are decided anew."""

SIDES_PX = 12
"""How far beyond them the examples reach on either side."""

ROUNDS = 2
"""The second round takes its examples from the borders that the first one found."""

TRUSTED = 0.995
"""Part of the examples of each class, averaged, that forests have to tell right in places that
they did not learn from."""

PLACE_PX = 64
"""Side of the squares, like those of a chessboard, of which the forests learn every other one."""

FEWEST_EXAMPLES, MOST_EXAMPLES = 50, 6_000
TREES = 50

BLOCK_PX, MOST_BLOCKS = 512, 4
"""Borders are settled in the blocks that hold the most strokes: the time has to be short."""

NOTHING_SETTLED = torch.empty(0, dtype=torch.uint8)

Window = tuple[slice, slice]


def settle_borders(network: Network, data: TrainingSet, seed: int) -> Tensor:
    """Return labels on every pixel: the network's, with settled borders.

    Strokes stay as they are, and so do large images outside the blocks with the most strokes.

    Parameters
    ----------
    network : Network
        It knows the classes already; on the CPU.
    data : TrainingSet
        Standardised images.
    seed : int
        Seed of the draw of examples and of the forests.

    Returns
    -------
    Tensor of uint8
        The labels, packed, for `with_settled`; `NOTHING_SETTLED` where the annotation is masks, or
        the forests cannot be trusted in every block.
    """
    if not data.is_sparse:
        return NOTHING_SETTLED
    folded = network.folded()
    rng = np.random.default_rng(seed)
    labels = [image.labels.copy() for image in data.images]
    any_border = False
    for number, window in _blocks(data):
        image = data.images[number]
        first, features = _seen(folded, image, window)
        if first.min() == first.max():
            continue
        found = _settled(first, features, rng)
        if found is None:
            return NOTHING_SETTLED
        any_border = True
        drawn = image.labels[window]
        labels[number][window] = np.where(drawn >= 0, drawn, found)
    return _packed(labels) if any_border else NOTHING_SETTLED


def with_settled(data: TrainingSet, settled: Tensor) -> TrainingSet:
    """Return the set with the labels that `settle_borders` returned."""
    flat = np.frombuffer(zlib.decompress(settled.numpy().tobytes()), "<i2").astype(np.int16)
    ends = np.cumsum([image.labels.size for image in data.images])[:-1]
    pairs = zip(data.images, np.split(flat, ends), strict=True)
    images = (replace(image, labels=part.reshape(image.labels.shape)) for image, part in pairs)
    return replace(data, images=tuple(images))


def _packed(labels: list[NDArray[np.int16]]) -> Tensor:
    flat = np.concatenate([each.ravel() for each in labels]).astype("<i2")
    packed = np.frombuffer(zlib.compress(flat.tobytes(), 1), np.uint8)
    return torch.from_numpy(packed.copy())


def _blocks(data: TrainingSet) -> Iterator[tuple[int, Window]]:
    """Yield images, by number, and their blocks of most strokes."""
    blocks = []
    for number, image in enumerate(data.images):
        rows, columns = image.labels.shape
        for row in range(0, rows, BLOCK_PX):
            for column in range(0, columns, BLOCK_PX):
                window = (
                    slice(row, min(row + BLOCK_PX, rows)),
                    slice(column, min(column + BLOCK_PX, columns)),
                )
                if strokes := int((image.labels[window] >= 0).sum()):
                    blocks.append((strokes, number, window))
    blocks.sort(key=lambda block: -block[0])
    for _, number, window in blocks[:MOST_BLOCKS]:
        yield number, window


def _seen(
    folded: Network, image: AnnotatedImage, window: Window
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the classes of a block (row, column), and what a forest sees (pixel, feature).

    Classes are predicted ones, and those of strokes where they were drawn.
    """
    period = folded.spec.period
    context = max(receptive_field(folded.spec).halo, FOREST_REACH_PX)
    starts = [max(0, side.start - context) // period * period for side in window]
    outer = tuple(
        slice(start, side.stop + context) for start, side in zip(starts, window, strict=True)
    )
    inner = tuple(
        slice(side.start - start, side.stop - start)
        for start, side in zip(starts, window, strict=True)
    )
    pixels = image.pixels[outer]
    predicted = predict_fitting(folded, pixels).classes[inner]
    features = np.concatenate([strip for _, strip in feature_strips(pixels)])[inner]
    drawn = image.labels[window]
    classes = np.where(drawn >= 0, drawn, predicted).astype(np.uint8)
    return classes, features.reshape(-1, features.shape[-1])


def _settled(
    classes: NDArray[np.uint8], features: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """Return classes (row, column) with other borders; None where forests cannot tell the sides."""
    rows, columns = np.indices(classes.shape)
    place = ((rows // PLACE_PX + columns // PLACE_PX) % 2).ravel()
    for _ in range(ROUNDS):
        depth, known = _depth(classes).ravel(), classes.ravel()
        examples = (depth > DOUBTED_PX) & (depth <= DOUBTED_PX + SIDES_PX)
        present = np.unique(known[examples])
        folds = [[_of(examples & (place == p), known, v) for v in present] for p in (0, 1)]
        if len(present) < 2 or min(len(few) for fold in folds for few in fold) < FEWEST_EXAMPLES:
            return None
        doubted = np.flatnonzero(depth <= DOUBTED_PX)
        told, votes = list[float](), 0.0
        for learnt, asked in (folds, folds[::-1]):
            forest = _fit(features, known, _some(learnt, rng), rng)
            for each in _some(asked, rng):
                told.append(float((forest.predict(features[each]) == known[each]).mean()))
            votes = votes + forest.predict_proba(features[doubted])  # (pixel, class)
        if np.mean(told) < TRUSTED:
            return None
        moved = known.copy()
        moved[doubted] = present[np.argmax(votes, axis=1)]
        classes = moved.reshape(classes.shape)
    return classes


def _depth(classes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return how far each pixel is from the next one of another class, in px."""
    depth = np.zeros(classes.shape)
    for value in np.unique(classes):
        inside = classes == value
        depth[inside] = distance_transform_edt(inside)[inside]
    return depth


def _of(part: NDArray[np.bool_], known: NDArray[np.uint8], value: int) -> NDArray[np.intp]:
    return np.flatnonzero(part & (known == value))


def _some(by_class: list[NDArray[np.intp]], rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """Draw as many pixels of each class as there may be examples."""
    quota = MOST_EXAMPLES // len(by_class)
    return [rng.choice(each, min(quota, len(each)), replace=False) for each in by_class]


def _fit(
    features: NDArray[np.float32],
    known: NDArray[np.uint8],
    by_class: list[NDArray[np.intp]],
    rng: np.random.Generator,
) -> Any:
    """Return a forest of scikit-learn; the classes weigh the same."""
    from sklearn.ensemble import RandomForestClassifier

    chosen = np.concatenate(by_class)
    forest = RandomForestClassifier(
        TREES,
        min_samples_leaf=3,
        class_weight="balanced",
        n_jobs=torch.get_num_threads(),  # the forest does not depend on it
        random_state=int(rng.integers(2**31)),
    )
    return forest.fit(features[chosen], known[chosen])
