"""Particles told apart by probabilities, against the numbers that these were made from."""

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_tem_rf.measuring.instances import find_particles
from napari_tem_rf.measuring.probable_particles import particles_of_probabilities
from napari_tem_rf.micrographs.annotation import index_all

BORDER_PX = 3.0


def overlapping(shape=(151, 187), radius=16.0, apart=0.8):
    """Rows of discs nearer to each other than their diameters: the outline has shallow necks."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    numbers = np.zeros(shape, np.uint16)
    number = 0
    for row in (25, 75, 125):
        for column in np.arange(20, shape[1] - 15, 2 * radius * apart):
            number += 1
            numbers[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = number
    return numbers


def probabilities(numbers, noise=0.0, seed=752):
    """Return what a network would say that learned these: softmax of blurred targets and noise."""
    (indices,) = index_all([numbers], "background", labels_are="particles").indices
    rng = np.random.default_rng(seed)
    logits = np.stack([4 * gaussian_filter((indices == k) * 1.0, 1.0) for k in range(3)])
    logits += noise * rng.standard_normal(logits.shape)
    likely = np.exp(logits)
    return likely / likely.sum(axis=0)


def iou_of_each(found, numbers):
    """Return the best IoU of each true particle."""
    best = []
    for number in np.unique(numbers[numbers > 0]):
        truth = numbers == number
        over = [
            (truth & (found == k)).sum() / (truth | (found == k)).sum()
            for k in np.unique(found[truth])
            if k > 0
        ]
        best.append(max(over, default=0.0))
    return np.array(best)


def test_particles_come_out_as_they_were_numbered():
    numbers = overlapping()
    _, inside, border = probabilities(numbers, noise=0.7)
    found = particles_of_probabilities(inside, border, BORDER_PX)
    assert found.dtype == np.int32
    # noise makes single pixels besides
    assert (np.bincount(found.ravel())[1:] > 2).sum() == numbers.max() == 18
    assert iou_of_each(found, numbers).min() > 0.8
    # nothing of the mask is lost or added
    np.testing.assert_array_equal(found > 0, inside + border > 0.5)


def test_numbers_follow_the_first_pixels():
    _, inside, border = probabilities(overlapping())
    found = particles_of_probabilities(inside, border, BORDER_PX)
    _, first = np.unique(found[found > 0], return_index=True)
    assert (np.diff(first) > 0).all()


def test_a_patch_of_border_alone_is_a_particle_of_its_own():
    inside, border = np.full((2, 31, 41), 0.02)
    border[5:8, 5:9] = 0.9
    border[20:25, 20:31] = 0.5
    inside[20:25, 20:31] = 0.4
    found = particles_of_probabilities(inside, border, 1.0)
    np.testing.assert_array_equal(np.unique(found), [0, 1, 2])
    assert (found[5:8, 5:9] == 1).all()


def test_no_particle_is_none():
    empty = np.zeros((13, 17))
    assert not particles_of_probabilities(empty, empty, 1.0).any()


def test_the_split_at_necks_misses_what_the_border_shows():
    """The same mask, without the border: the necks are too shallow to be told from roughness."""
    numbers = overlapping(apart=0.65)
    _, inside, border = probabilities(numbers)
    found = particles_of_probabilities(inside, border, BORDER_PX)
    assert found.max() == numbers.max()
    assert find_particles(inside + border > 0.5, neck=0.7).max() < numbers.max()
