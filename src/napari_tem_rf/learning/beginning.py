"""Where a training starts from: random weights, those of another training, its settled borders.

**The last layer.** A network that was trained on other images sees much of what matters in new
ones, but its classes are others. A logistic regression on the input of its last layer gives the new
classes in a second; from there a training continues with all layers. Weights of a run whose
annotation has got a class since then keep all that they know: only the rows of the last layer for
new classes are fitted, beside the others.

**Borders.** Nobody draws strokes on borders, so strokes do not tell where a particle ends: a
network that learns from them alone keeps whatever border it began with. Where grey level and
texture tell particles from their surroundings, the image itself says it. A random forest learns the
two sides of every border from the pixels a little away from it, inside and outside alike, and
decides those between. Where it cannot tell even the sides, as when only a lattice shows the
particles, nothing is settled.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from napari_tem_rf.learning.fast.network import FastNetwork, accelerated
from napari_tem_rf.learning.network import Network, network_of, random_network
from napari_tem_rf.learning.pixel_features import FOREST_REACH_PX, feature_strips
from napari_tem_rf.learning.validation import annotated_window, predict_fitting
from napari_tem_rf.micrographs.annotation import AnnotatedImage, TrainingSet
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import Frozen, TrainingPlan

__all__ = [
    "Beginning",
    "SettledRows",
    "begin",
    "begin_again",
    "fit_head",
    "fit_new_rows",
    "network_without_head",
    "settle_beginning",
    "settle_borders",
    "with_settled",
]

HEAD = "head."
"""Names of the last layer's weights begin so."""

MOST_PX = 20_000
"""Annotated pixels that the regression uses, at most."""

SHRINKAGE = 0.01
"""Weight of the squared coefficients beside the mean loss; features have a deviation of 1."""


DOUBTED_PX = 5
"""Pixels at most this far from a border of the prediction are decided again."""

SIDES_PX = 12
"""How far beyond them the examples reach on either side."""

ROUNDS = 2
"""The second round takes its examples from the borders that the first one found."""

TRUSTED = 0.995
"""Share of the examples, averaged over classes, that forests must get right in places that they
did not learn from."""

PLACE_PX = 64
"""Side of the squares, like those of a chessboard, of which the forests learn every other one."""

FEWEST_EXAMPLES, MOST_EXAMPLES = 50, 6_000
TREES = 50

BLOCK_PX, MOST_BLOCKS = 512, 4
"""Borders are settled in the blocks that hold the most strokes: the time has to be short."""

Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class SettledRows:
    """Labels of a block of pixels, row by row.

    Attributes
    ----------
    starts : Tensor of int64, shape (row,)
        Where each row starts, counting the pixels of all images one after the other.
    labels : Tensor of int16, shape (row, column)
        Class indices, -1 where the pixel is not annotated.
    """

    starts: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """What a training starts from.

    Attributes
    ----------
    network : Network
        On the CPU.
    data : TrainingSet
        Annotated images; with settled borders where there are any.
    gentle : bool
        Whether to keep what the weights know.
    settled : tuple of SettledRows
        The settled borders; none where the annotation stays as it is.
    may_settle : bool
        Whether `settle_beginning` is to be tried: the last layer was fitted to the annotation.
    frozen : {"nothing", "encoder", "decoder"}
        Which part keeps its weights.
    """

    network: Network
    data: TrainingSet
    gentle: bool
    settled: tuple[SettledRows, ...] = ()
    may_settle: bool = False
    frozen: Frozen = "nothing"


def begin(
    spec: NetworkSpec,
    data: TrainingSet,
    plan: TrainingPlan,
    weights: Mapping[str, NDArray[Any]] | None = None,
    gentle: bool = False,
) -> Beginning:
    """Return what a training starts from.

    Parameters
    ----------
    spec, data, plan : NetworkSpec, TrainingSet, TrainingPlan
        What is trained, from what and how.
    weights : mapping of str to ndarray, optional
        Weights to start from instead of random ones. A last layer that is not among them is fitted
        to the annotated pixels; so are those of its rows that are not a number (NaN), the others
        stay.
    gentle : bool
        Keep what the weights know. Where the last layer was fitted to strokes, `settle_beginning`
        comes next.

    Raises
    ------
    ValueError
        When the weights are those of another network.
    """
    if weights is None:
        return Beginning(random_network(spec, plan.seed), data, gentle)
    if any(name.startswith(HEAD) for name in weights):
        network = network_of(spec, weights)
        fit_new_rows(network, data, plan.seed)
        return Beginning(network, data, gentle, frozen=plan.frozen)
    network = network_without_head(spec, weights, plan.seed)
    fit_head(network, data, plan.seed)
    may_settle = gentle and plan.agreement > 0
    return Beginning(network, data, gentle, may_settle=may_settle, frozen=plan.frozen)


def settle_beginning(beginning: Beginning, plan: TrainingPlan) -> Beginning:
    """Return what a training starts from with borders settled, if they can be; they then teach."""
    if not beginning.may_settle:
        return beginning
    settled = settle_borders(beginning.network, beginning.data, plan.seed)
    return _with_borders(beginning, settled)


def begin_again(
    spec: NetworkSpec,
    data: TrainingSet,
    plan: TrainingPlan,
    gentle: bool,
    settled: Sequence[SettledRows],
) -> Beginning:
    """Return what a training that is resumed started from; its weights come from its state.

    One that keeps what weights know is one that started from some.
    """
    frozen: Frozen = plan.frozen if gentle else "nothing"
    beginning = Beginning(random_network(spec, plan.seed), data, gentle, frozen=frozen)
    return _with_borders(beginning, tuple(settled))


def _with_borders(beginning: Beginning, settled: tuple[SettledRows, ...]) -> Beginning:
    if not settled:
        return replace(beginning, may_settle=False)
    data = with_settled(beginning.data, settled)
    return replace(beginning, data=data, gentle=False, settled=settled, may_settle=False)


# the last layer


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


def fit_new_rows(network: Network, data: TrainingSet, seed: int) -> None:
    """Fit the rows of the last layer that are not a number to the annotated pixels, in place.

    The other rows stay as they are: the cross entropy of all classes together, which weigh the
    same, is least where the new rows find what the others do not know.

    Parameters
    ----------
    network : Network
        With batch norms, on the CPU.
    data : TrainingSet
        Standardised images with class indices.
    seed : int
        Seed of the draw where there are very many pixels.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    head = network.head
    assert head.bias is not None
    with torch.no_grad():
        weight, bias = head.weight[:, :, 0, 0].double().numpy(), head.bias.double().numpy()
    new = np.flatnonzero(np.isnan(bias) | np.isnan(weight).any(axis=1))
    if not len(new):
        return
    with torch.no_grad():  # features must not be reached by what is not a number
        head.weight[new], head.bias[new] = 0, 0
    features, classes = _annotated_features(network, data, np.random.default_rng(seed))
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-3
    seen = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    logits = features @ np.nan_to_num(weight).T + np.nan_to_num(bias)  # (pixel, class)
    is_class = np.eye(network.spec.classes)[classes]
    share = is_class @ (1 / np.maximum(is_class.sum(axis=0), 1))  # of each pixel in the loss
    share /= share.sum()

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        rows = flat.reshape(len(new), -1)  # (new class, feature and 1)
        logits[:, new] = seen @ rows.T
        likely = log_softmax(logits, axis=1)
        off = share[:, None] * (np.exp(likely) - is_class)[:, new]
        slope = off.T @ seen
        slope[:, :-1] += 2 * SHRINKAGE * rows[:, :-1]
        value = -(share[:, None] * is_class * likely).sum() + SHRINKAGE * (rows[:, :-1] ** 2).sum()
        return float(value), slope.ravel()

    first = np.zeros(len(new) * seen.shape[1])
    found = minimize(loss, first, jac=True, method="L-BFGS-B").x.reshape(len(new), -1)
    rows = found[:, :-1] / deviation
    with torch.no_grad():
        head.weight[new] = torch.tensor(rows, dtype=head.weight.dtype)[:, :, None, None]
        head.bias[new] = torch.tensor(found[:, -1] - rows @ mean, dtype=head.bias.dtype)


def _annotated_features(
    network: Network, data: TrainingSet, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Return the last layer's input at annotated pixels (pixel, feature), and their classes."""
    folded = accelerated(network).folded()
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


def _features(folded: FastNetwork, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the input of the last layer, shape (feature, row, column)."""
    period = folded.spec.period
    fill = [(0, -length % period) for length in pixels.shape]
    images = torch.from_numpy(np.pad(pixels, fill))[None, None]
    with torch.inference_mode():
        images = images.contiguous(memory_format=torch.channels_last)
        return np.asarray(folded.features(images)[0].numpy())


# borders


def settle_borders(network: Network, data: TrainingSet, seed: int) -> tuple[SettledRows, ...]:
    """Return the labels of the blocks with the most strokes: the network's, with settled borders.

    Strokes stay as they are.

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
    tuple of SettledRows
        For `with_settled`; none where the annotation is masks, or the forests cannot be trusted in
        every block.
    """
    if not data.is_sparse:
        return ()
    folded = accelerated(network).folded()
    rng = np.random.default_rng(seed)
    first_px = np.cumsum([0, *(image.labels.size for image in data.images)])
    settled = []
    for number, window in _blocks(data):
        image = data.images[number]
        first, features = _seen(folded, image, window)
        if first.min() == first.max():
            continue
        found = _settled(first, features, rng)
        if found is None:
            return ()
        drawn = image.labels[window]
        rows, columns = window
        starts = first_px[number] + np.arange(rows.start, rows.stop) * image.labels.shape[1]
        labels = np.where(drawn >= 0, drawn, found).astype(np.int16)
        settled.append(
            SettledRows(torch.from_numpy(starts + columns.start), torch.from_numpy(labels))
        )
    return tuple(settled)


def with_settled(data: TrainingSet, settled: Sequence[SettledRows]) -> TrainingSet:
    """Return the set with the labels that `settle_borders` returned."""
    flat = np.concatenate([image.labels.ravel() for image in data.images])
    for block in settled:
        for start, labels in zip(block.starts.tolist(), block.labels.numpy(), strict=True):
            flat[start : start + len(labels)] = labels
    ends = np.cumsum([image.labels.size for image in data.images])[:-1]
    pairs = zip(data.images, np.split(flat, ends), strict=True)
    images = (replace(image, labels=part.reshape(image.labels.shape)) for image, part in pairs)
    return replace(data, images=tuple(images))


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
    folded: FastNetwork, image: AnnotatedImage, window: Window
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
    """Draw pixels of each class: as many as there may be examples of it."""
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
