"""Loss and Dice against counts by hand and against one pass over the whole image."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.validation import annotated_window, foreground_dice, validate
from napari_tem_rf.micrographs.annotation import NOT_ANNOTATED
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

SPEC = NetworkSpec(pools=(4, 2), filters=2, classes=3)


def network():
    return random_network(SPEC, seed=752).eval()


def only(image, rows, columns):
    """Return the image with labels in a window alone."""
    labels = np.full_like(image.labels, NOT_ANNOTATED)
    labels[rows, columns] = image.labels[rows, columns]
    return replace(image, labels=labels)


@pytest.mark.parametrize(
    ("predicted", "truth", "classes", "expected"),
    [
        # 2 of 3 predicted and of 3 true pixels agree: (2 * 2 + 1) / (3 + 3 + 1)
        ([1, 1, 1, 0, 0], [0, 1, 1, 1, 0], 2, 5 / 7),
        ([0, 0, 0], [0, 0, 0], 2, 1.0),
        ([1, 1], [0, 0], 2, 1 / 3),
        # classes 1: (2 * 1 + 1) / (1 + 2 + 1), 2: (2 * 1 + 1) / (2 + 1 + 1), 3 nowhere: 1
        ([1, 2, 2, 0], [1, 1, 2, 0], 4, (3 / 4 + 3 / 4 + 1) / 3),
    ],
)
def test_dice_by_hand(predicted, truth, classes, expected):
    assert foreground_dice(np.array(predicted), np.array(truth), classes) == pytest.approx(expected)


def test_loss_is_torchs_cross_entropy_per_annotated_pixel(disc_set):
    data, model = disc_set(images=2, classes=3, strokes=True), network()
    result = validate(model, data)
    losses, scores = [], []
    for image in data.images:
        with torch.no_grad():
            logits = model(torch.from_numpy(image.pixels)[None, None])
        labels = torch.from_numpy(image.labels.astype(np.int64))[None]
        losses.append(torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1).item())
        counted = image.labels >= 0
        found = logits[0].argmax(0).numpy()[counted]
        scores.append(foreground_dice(found, image.labels[counted], 3))
    assert result.loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert result.dice == pytest.approx(np.mean(scores), abs=2e-3)
    assert [name for name, _ in result.dice_per_image] == ["image 0", "image 1"]


def test_pixels_that_are_not_annotated_do_not_count(disc_set):
    data = disc_set(classes=3)
    image, model = data.images[0], network()
    part = replace(data, images=(only(image, slice(40, 60), slice(70, 101)),))
    truth = image.labels[40:60, 70:101].ravel()
    found = predict(model, image.pixels).classes[40:60, 70:101].ravel()
    assert validate(model, part).dice == pytest.approx(foreground_dice(found, truth, 3), abs=2e-3)


@pytest.mark.parametrize(
    "window",
    [
        (slice(0, 1), slice(0, 1)),
        (slice(130, 131), slice(148, 149)),
        (slice(57, 58), slice(90, 91)),
        (slice(50, 75), slice(3, 5)),
        (slice(0, 131), slice(0, 149)),
    ],
)
def test_the_window_decides_its_annotated_pixels(disc_set, window):
    """On whole periods and with the halo, so that nothing that is left out matters."""
    image, model = only(disc_set(classes=3).images[0], *window), network().double()
    rows, columns = annotated_window(image, model)
    field = receptive_field(SPEC)
    assert rows.start % field.period == columns.start % field.period == 0
    pixels = image.pixels.astype(float)
    whole = predict(model, pixels, probabilities=True).probabilities
    part = predict(model, pixels[rows, columns], probabilities=True).probabilities
    inside = image.labels[rows, columns] >= 0
    np.testing.assert_allclose(part[:, inside], whole[:, image.labels >= 0], atol=1e-7)


def test_the_window_spares_work(disc_set):
    image = only(disc_set(shape=(523, 547)).images[0], slice(250, 251), slice(300, 301))
    rows, columns = annotated_window(image, network())
    assert rows.stop - rows.start <= 2 * 48 + 8
    assert columns.stop - columns.start <= 2 * 48 + 8
