"""Small tensors on one thread: handing them to more takes longer than the work."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.micrographs.cleaning import standardise


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def as_after_a_training(module):
    """Give batch norms statistics and scales, and convs a bias, in place."""
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.running_mean, -0.5, 0.5)
            nn.init.uniform_(each.running_var, 0.5, 2.0)
            nn.init.uniform_(each.weight, 0.5, 1.5)
            nn.init.uniform_(each.bias, -0.5, 0.5)
        elif isinstance(each, nn.Conv2d):
            nn.init.uniform_(each.bias, -0.2, 0.2)


def discs(shape, seed, classes=2):
    """Return (pixels, class indices) of bright discs of 1 to classes - 1 kinds on noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    truth = np.zeros(shape, np.int16)
    for number in range(4 * (classes - 1)):
        row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        inside = (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(9, 15) ** 2
        truth[inside] = 1 + number % (classes - 1)
    return standardise(2.0 * truth + 0.3 * rng.standard_normal(shape)), truth


@pytest.fixture
def disc_set():
    """Return a function that makes a training set of discs; strokes are every 7th row of it."""

    def make(images=1, shape=(131, 149), classes=2, strokes=False, seed=140):
        made = []
        for number in range(images):
            pixels, truth = discs(shape, seed + number, classes)
            if strokes:
                truth[np.arange(shape[0]) % 7 != 3] = -1
            made.append(AnnotatedImage(f"image {number}", pixels, truth, f"group {number}"))
        values = tuple(range(1, classes + 1)) if strokes else tuple(range(classes))
        names = ("background", *(f"class {value}" for value in values[1:]))
        return TrainingSet(
            tuple(made), Classes(values, names), "ignore" if strokes else "background"
        )

    return make
