"""A few pixels that set the scale of an image are said with a remedy that helps, and only they."""

import numpy as np
import pytest

from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.micrographs.extremes import extremes_note

ROBUST = Cleaning("robust")


def micrograph(contrast=600.0, noise=80.0, radius=11, shape=(113, 127)):
    """Return dark discs in noise, as counts."""
    rng = np.random.default_rng(3)
    row, column = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, bool)
    for y, x in ((24, 26), (30, 92), (66, 58), (88, 20), (84, 104)):
        mask |= (row - y) ** 2 + (column - x) ** 2 < radius**2
    return (3000 - contrast * mask + rng.normal(0, noise, shape)).astype(np.uint16)


def note(pixels, cleaning=Cleaning()):  # noqa: B008 - frozen
    return extremes_note(standardise(clean(pixels, cleaning)), pixels, cleaning)


def hot_column(pixels):
    pixels = pixels.copy()
    pixels[:, 61] = 65535
    return pixels


def hot_pixels(pixels):
    pixels = pixels.copy()
    rng = np.random.default_rng(9213)
    pixels[rng.integers(0, 113, 25), rng.integers(0, 127, 25)] = 60_000
    return pixels


@pytest.mark.parametrize("spoiled", [hot_column, hot_pixels])
def test_bright_pixels_are_noticed_with_a_remedy_that_helps(spoiled):
    pixels = spoiled(micrograph())
    sentence = note(pixels)
    assert "so bright that the network hardly sees the others" in sentence
    assert "--spikes robust" in sentence
    assert note(pixels, ROBUST) is None
    # the remedy gives the other pixels their contrast back
    before, after = (standardise(clean(pixels, each)) for each in (Cleaning(), ROBUST))
    here = micrograph() < 2700
    assert abs(before[here].mean() - before[~here].mean()) < 0.5
    assert abs(after[here].mean() - after[~here].mean()) > 1


def test_dead_pixels_have_another_remedy():
    pixels = micrograph(noise=10, contrast=60)
    pixels[:, 61] = 0
    assert "so dark that" in note(pixels)
    assert "dead pixels" in note(pixels)


@pytest.mark.parametrize("contrast", [0, 60, 600, 2500])
@pytest.mark.parametrize("noise", [1, 20, 80])
@pytest.mark.parametrize("radius", [3, 5, 11])
def test_particles_are_no_such_pixels(contrast, noise, radius):
    assert note(micrograph(contrast, noise, radius)) is None


def test_a_constant_image_and_counts_of_few_electrons_have_no_note():
    assert note(np.full((37, 41), 7, np.uint8)) is None
    assert note(np.random.default_rng(2).poisson(0.2, (113, 127)).astype(np.uint8)) is None
