"""What a network says in several orientations is turned back and averaged."""

import numpy as np
import pytest
import torch

from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.orientations import (
    ORIENTATIONS,
    predict_turned,
    turned_back,
    turned_to,
)
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.networks.spec import NetworkSpec

SHAPE = (37, 54)


def image():
    return np.random.default_rng(752).standard_normal(SHAPE).astype(np.float32)


def network(classes=2):
    made = random_network(NetworkSpec(pools=(2,), filters=3, classes=classes), 752)
    with torch.no_grad():  # so that it is sure of something
        made.head.weight.mul_(8)
    return made.eval()


def by(made):
    return lambda pixels, **named: predict(made, pixels, **named)


def said_by_torch(made, pixels):
    """Return the softmax of the network on a plane turned and turned back by torch alone."""
    plane = torch.from_numpy(pixels)
    said = []
    with torch.inference_mode():
        for mirrored in (False, True):
            for quarter in range(4):
                turned = torch.rot90(plane, quarter)
                turned = turned.flip(1) if mirrored else turned
                rows, columns = turned.shape
                padded = torch.nn.functional.pad(turned, (0, -columns % 2, 0, -rows % 2))
                likely = made(padded[None, None].contiguous())[0, :, :rows, :columns].softmax(0)
                likely = likely.flip(2) if mirrored else likely
                said.append(torch.rot90(likely, -quarter, (1, 2)).numpy())
    return np.stack(said)


def test_the_eight_are_all_different_and_undone():
    plane = np.arange(12).reshape(3, 4)
    turned = [turned_to(plane, each) for each in ORIENTATIONS[8]]
    assert len({each.tobytes() + bytes(each.shape) for each in turned}) == 8
    for each, orientation in zip(turned, ORIENTATIONS[8], strict=True):
        np.testing.assert_array_equal(turned_back(each, orientation), plane)
    stack = np.stack([plane, -plane])
    np.testing.assert_array_equal(turned_to(stack, 5)[1], -turned_to(plane, 5))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("number", [2, 8])
def test_the_mean_is_that_of_the_turned_images(classes, number):
    made, pixels = network(classes), image()
    said = said_by_torch(made, pixels)[list(ORIENTATIONS[number])]
    assert np.ptp(said[:, 1], axis=0).max() > 0.1  # it does answer differently
    mean = said.mean(0)
    fractions = []
    found = predict_turned(
        by(made), pixels, ORIENTATIONS[number], probabilities=True, progress=fractions.append
    )
    np.testing.assert_allclose(found.probabilities, mean, atol=1e-5)
    np.testing.assert_allclose(found.shares / 255, mean[1:], atol=0.005)
    ordered = np.sort(mean, axis=0)
    clear = ordered[-1] - ordered[-2] > 0.01
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(found.classes[clear], mean.argmax(0)[clear])
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


def test_a_turned_image_gives_the_turned_mask():
    """All eight together know no orientation: that is what they are asked for."""
    made, pixels = network(), image()
    straight = predict_turned(by(made), pixels, ORIENTATIONS[8])
    turned = predict_turned(by(made), turned_to(pixels, 6), ORIENTATIONS[8])
    np.testing.assert_array_equal(turned.shares, turned_to(straight.shares, 6))
    once = predict(made, np.ascontiguousarray(turned_to(pixels, 6)), shares=True)
    assert (once.shares != turned_to(predict(made, pixels, shares=True).shares, 6)).any()


def test_the_first_answer_is_shown_and_a_stop_is_heard():
    made, pixels = network(), image()
    first = []
    predict_turned(by(made), pixels, ORIENTATIONS[2], look=first.append)
    (said,) = first
    np.testing.assert_array_equal(said.classes, predict(made, pixels).classes)
    asked = iter([False, True])

    def stops(pixels, **named):
        return None if next(asked) else predict(made, pixels, **named)

    assert predict_turned(stops, pixels, ORIENTATIONS[2]) is None


@pytest.mark.parametrize("shares", [False, True])
def test_in_one_orientation_it_is_asked_once(shares):
    made, pixels = network(), image()
    first = []
    found = predict_turned(by(made), pixels, ORIENTATIONS[1], shares=shares, look=first.append)
    once = predict(made, pixels, shares=shares)
    assert first == [found]
    np.testing.assert_array_equal(found.classes, once.classes)
    assert (found.shares is None) == (once.shares is None) == (not shares)


def test_with_a_border_the_class_is_inside_and_border_together():
    made, pixels = network(3), image()
    found = predict_turned(by(made), pixels, ORIENTATIONS[8], probabilities=True, border=True)
    inside, border = found.probabilities[1:]
    assert found.shares.shape == (1, *SHAPE)
    np.testing.assert_allclose(found.shares[0] / 255, inside + border, atol=0.005)
    clear = abs(inside + border - 0.5) > 0.01
    np.testing.assert_array_equal(found.classes[clear] > 0, (inside + border > 0.5)[clear])
