"""Shifts in parts of a pixel, against scikit-image's, which computes the same by another way."""

import numpy as np
import pytest
from scipy import fft, ndimage
from skimage.registration import phase_cross_correlation

from napari_tem_rf.movies.shifts import shift_between


@pytest.mark.parametrize("shape", [(61, 90), (64, 47), (53, 71)])
@pytest.mark.parametrize("steps", [1, 10, 20])
def test_shifts_are_those_of_scikit_image(shape: tuple[int, int], steps: int) -> None:
    rng = np.random.default_rng(5)
    wide = ndimage.gaussian_filter(rng.normal(size=(120, 120)), 1.5)
    for offset in ((0.0, 0.0), (3.3, -7.85), (-11.2, 4.55)):
        moved = ndimage.shift(wide, offset, order=3)
        here, there = (
            (plane - plane.mean()).astype(np.float32)
            for plane in (each[20 : 20 + shape[0], 20 : 20 + shape[1]] for each in (wide, moved))
        )
        expected, _, _ = phase_cross_correlation(
            here, there, upsample_factor=steps, normalization=None
        )
        found = shift_between(fft.rfft2(here), fft.rfft2(there), shape, steps)
        assert found == pytest.approx(tuple(-expected), abs=1e-6)
        assert found == pytest.approx(offset, abs=0.6)
