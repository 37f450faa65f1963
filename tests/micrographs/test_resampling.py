"""Grids of another pixel size lie exactly on the image: checked against shapes of known place."""

import numpy as np
import pytest
from skimage.transform import resize

from napari_tem_rf.micrographs.resampling import (
    Resampling,
    resample_image,
    resample_labels,
    resample_probabilities,
)

SIDES_NM = (61.0, 83.0)


def disc(shape, centre_nm=(23.7, 51.3), radius_nm=9.0, soft_nm=2.0):
    """A soft disc drawn on a grid of any shape over the same area: its place is known in nm."""
    rows, columns = (
        (np.arange(n) + 0.5) * side / n - at
        for n, side, at in zip(shape, SIDES_NM, centre_nm, strict=True)
    )
    distance = np.hypot(rows[:, None], columns[None])
    return (1 / (1 + np.exp((distance - radius_nm) / soft_nm))).astype(np.float32)


def centre_nm(weights):
    total = weights.sum()
    return tuple(
        float((weights.sum(axis=1 - axis) * (np.arange(n) + 0.5) * side / n).sum() / total)
        for axis, (n, side) in enumerate(zip(weights.shape, SIDES_NM, strict=True))
    )


@pytest.mark.parametrize("shape", [(61, 83), (122, 166), (30, 41), (20, 27), (89, 31), (47, 200)])
def test_an_image_is_where_it_was_drawn(shape):
    """The same disc, resampled or drawn anew on the other grid: the same to a hundredth of it."""
    found = resample_image(disc((122, 166)), shape)
    assert found.shape == shape
    assert found.dtype == np.float32
    assert np.abs(found - disc(shape)).max() < 0.03
    # a shift of a pixel's half would be 0.25 nm and more
    assert centre_nm(found) == pytest.approx(centre_nm(disc(shape)), abs=0.02)


@pytest.mark.parametrize("shape", [(183, 249), (61, 83), (45, 50), (20, 27)])
def test_labels_are_where_they_were(shape):
    labels = (disc(shape, radius_nm=13) > 0.5).astype(np.uint8) * 7
    back = resample_labels(labels, (61, 83))
    assert set(np.unique(back)) == {0, 7}
    # where the labels were on their own grid, and that is where the disc is
    assert centre_nm(back / 7) == pytest.approx(centre_nm(labels / 7), abs=0.15)
    pixel_nm = max(side / n for side, n in zip(SIDES_NM, shape, strict=True))
    true = disc((61, 83), radius_nm=13) > 0.5
    assert np.count_nonzero((back > 0) != true) < 2 * np.pi * 13 * (0.2 + pixel_nm / 3)


def test_labels_take_the_label_at_their_centre():
    """By hand: 3 px onto 5, the centres fall on 0.3, 0.9, 1.5, 2.1, 2.7."""
    np.testing.assert_array_equal(
        resample_labels(np.array([[10, 20, 30]]), (1, 5)), [[10, 10, 20, 30, 30]]
    )
    np.testing.assert_array_equal(resample_labels(np.arange(9)[None], (1, 3)), [[1, 4, 7]])


def test_coarser_pixels_average_and_do_not_alias():
    """A checkerboard finer than the new pixels is grey there, as on a coarser detector."""
    rows, columns = np.indices((120, 150))
    board = ((rows + columns) % 2).astype(np.float32)
    inner = resample_image(board, (24, 30))[3:-3, 3:-3]
    assert np.abs(inner - 0.5).max() < 0.02


def test_probabilities_are_interpolated_linearly_as_skimage_does():
    small = np.random.default_rng(752).random((3, 23, 31)).astype(np.float32)
    large = resample_probabilities(small, (57, 64))
    assert large.shape == (3, 57, 64)
    for plane, source in zip(large, small, strict=True):
        expected = resize(source, (57, 64), order=1, mode="edge", anti_aliasing=False)
        np.testing.assert_allclose(plane, expected, atol=1e-5)


def test_the_shape_follows_from_the_pixel_sizes():
    half = Resampling((0.02, 0.04), (0.04, 0.02))
    assert half.ratios == (0.5, 2.0)
    assert half.shape((61, 83)) == (30, 166)
    assert half.shape((61, 83), binning=2) == (15, 83)
    assert half.shape((1, 1)) == (1, 2)
