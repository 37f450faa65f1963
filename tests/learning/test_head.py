"""The last layer, fitted at once: it separates what the network's features separate."""

import numpy as np
import pytest
import torch

from napari_tem_rf.learning.beginning import fit_head, fit_new_rows, network_without_head
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.networks.spec import NetworkSpec

SPEC = NetworkSpec((2,), filters=8)


def striped(rng: np.random.Generator, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and truth of bands whose grey levels differ far more than the noise."""
    truth = np.repeat(np.arange(classes), 48 // classes)[:, None] * np.ones(50, int)
    pixels = rng.normal(0, 0.05, truth.shape) + truth * 2.0 / (classes - 1) - 1.0
    return pixels.astype(np.float32), truth


def some_strokes(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    labels = np.full(truth.shape, -1, np.int16)
    for value in np.unique(truth):
        rows, columns = np.nonzero(truth == value)
        for place in rng.choice(len(rows), 40 * (value + 1), replace=False):
            labels[rows[place], columns[place]] = value
    return labels


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_of_a_random_body_learns_grey_levels_from_strokes(classes: int) -> None:
    rng = np.random.default_rng(4)
    pixels, truth = striped(rng, classes)
    network = random_network(SPEC.with_classes(classes), seed=1)
    names = tuple(f"class {index}" for index in range(classes))
    strokes = AnnotatedImage("bands", pixels, some_strokes(truth, rng), "bands")
    data = TrainingSet((strokes,), Classes(tuple(range(1, classes + 1)), names))
    before = {name: value.clone() for name, value in network.state_dict().items()}

    fit_head(network, data, seed=0)

    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) is not name.startswith("head."), name
    found = predict(accelerated(network).folded(), pixels)
    assert found is not None
    inner = np.zeros(truth.shape, bool)
    inner[4:-4, 4:-4] = True  # at the border the field holds zeros
    for row in np.flatnonzero(np.diff(truth[:, 0])):
        inner[row - 3 : row + 5] = False  # there the field holds both bands
    assert (found.classes == truth)[inner].mean() > 0.98


def test_an_image_that_is_no_multiple_of_the_period_is_filled_as_in_a_prediction() -> None:
    rng = np.random.default_rng(4)
    spec = NetworkSpec((4,), filters=8)
    pixels, truth = (values[:47, :49] for values in striped(rng, 2))
    strokes = AnnotatedImage("bands", pixels, some_strokes(truth, rng), "bands")
    network = random_network(spec, seed=1)
    fit_head(network, TrainingSet((strokes,), Classes((1, 2), ("a", "b"))), seed=0)
    found = predict(accelerated(network).folded(), pixels)
    assert found is not None
    assert (found.classes == truth).mean() > 0.9


def test_weights_of_other_classes_keep_all_but_their_last_layer() -> None:
    other = random_network(SPEC.with_classes(5), seed=3).state_dict()
    network = network_without_head(
        SPEC, {name: value.numpy() for name, value in other.items()}, seed=1
    )
    assert network.head.weight.shape[0] == SPEC.classes
    assert torch.equal(
        network.state_dict()["bottleneck.conv1.weight"], other["bottleneck.conv1.weight"]
    )
    with pytest.raises(ValueError, match="do not fit the network"):
        network_without_head(
            NetworkSpec((2,), filters=4), {"encoder.0.conv1.weight": np.ones(1)}, 1
        )


def test_a_new_class_is_learned_beside_the_others_whose_rows_stay() -> None:
    rng = np.random.default_rng(4)
    pixels, truth = striped(rng, 3)
    labels = some_strokes(truth, rng)
    known = np.where(labels == 2, -1, labels).astype(np.int16)
    two = random_network(SPEC.with_classes(2), seed=1)
    names = ("background", "particle", "dirt")
    data = TrainingSet(
        (AnnotatedImage("bands", pixels, known, "bands"),), Classes((1, 2), names[:2])
    )
    fit_head(two, data, seed=0)
    before = {name: value.clone() for name, value in two.state_dict().items()}
    three = random_network(SPEC.with_classes(3), seed=2)
    with torch.no_grad():
        three.load_state_dict(
            {
                name: torch.cat([value, torch.full_like(value[:1], torch.nan)])
                if name.startswith("head.")
                else value
                for name, value in before.items()
            }
        )
    data = TrainingSet(
        (AnnotatedImage("bands", pixels, labels, "bands"),), Classes((1, 2, 3), names)
    )

    fit_new_rows(three, data, seed=0)

    for name, value in three.state_dict().items():
        rows = slice(0, 2) if name.startswith("head.") else slice(None)
        assert torch.equal(value[rows] if value.ndim else value, before[name]), name
    found = predict(accelerated(three).folded(), pixels)
    assert found is not None
    inner = np.zeros(truth.shape, bool)
    inner[4:-4, 4:-4] = True
    for row in np.flatnonzero(np.diff(truth[:, 0])):
        inner[row - 3 : row + 5] = False
    assert (found.classes == truth)[inner].mean() > 0.98
    # nothing else is touched where every row is known
    whole = {name: value.clone() for name, value in three.state_dict().items()}
    fit_new_rows(three, data, seed=0)
    assert all(torch.equal(value, whole[name]) for name, value in three.state_dict().items())
