"""What an image looks like to a network: noise, spectrum, lattice, grey levels."""

import numpy as np
import pytest

from napari_tem_rf.measuring.image_statistics import BANDS, image_statistics
from napari_tem_rf.micrographs.cleaning import standardise

SHAPE = (253, 307)


def noise(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def waves(period_px, shape=SHAPE):
    rows, columns = np.indices(shape)
    along = rows * np.sin(0.4) + columns * np.cos(0.4)
    return np.cos(2 * np.pi * along / period_px).astype(np.float32)


def test_white_noise_has_the_same_power_everywhere():
    """Parseval: the mean power of white noise is its variance, whatever the frequency."""
    found = image_statistics(3 * noise())
    np.testing.assert_allclose(found.spectrum, np.log10(9), atol=0.12)
    assert found.noise == pytest.approx(3, rel=0.03)
    assert max(found.signal_to_noise) < 0.3
    assert found.lattice_px is None


def test_noise_is_told_beside_the_signal():
    """A wave of amplitude a has the variance a^2 / 2; standardised, noise of sd 1 becomes less."""
    seen = standardise(4 * waves(12) + noise())
    found = image_statistics(seen)
    assert found.noise == pytest.approx(1 / np.sqrt(1 + 16 / 2), rel=0.05)
    strongest = int(np.argmax(found.spectrum))
    assert BANDS[strongest] <= 1 / 12 < BANDS[strongest + 1]
    assert found.signal_to_noise[strongest] > 50
    assert found.signal_to_noise[-1] == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("period_px", [4.3, 7.7])
def test_a_lattice_is_found_in_px_and_nm(period_px):
    found = image_statistics(standardise(waves(period_px) + noise()), pixel_size_nm=(0.03, 0.03))
    assert found.lattice_px == pytest.approx(period_px, rel=0.02)
    assert found.lattice_nm == pytest.approx(0.03 * period_px, rel=0.02)
    assert found.lattice_strength > 10


def test_frequencies_are_per_nm_where_the_pixel_size_is_known():
    found = image_statistics(noise(), pixel_size_nm=(0.02, 0.05))
    side = np.sqrt(0.02 * 0.05)
    assert found.bands_per_nm[0] == pytest.approx(np.sqrt(BANDS[0] * BANDS[1]) / side)
    assert len(found.bands_per_nm) == len(found.spectrum)
    assert image_statistics(noise()).bands_per_nm is None


def test_grey_levels_are_those_of_the_file():
    raw = np.array([[100.0, 300.0], [np.nan, 200.0]] * 50)
    found = image_statistics(standardise(noise(shape=(100, 100))), raw)
    assert found.grey_mean == pytest.approx(200)
    assert found.grey_sd == pytest.approx(np.std([100, 300, 200]), rel=1e-4)


@pytest.mark.parametrize("shape", [(3, 5), (25, 31), (1, 200)])
def test_small_images_are_no_trouble(shape):
    found = image_statistics(noise(shape=shape))
    assert len(found.spectrum) in (0, len(BANDS) - 1)
    assert np.isfinite([*found.spectrum, found.noise]).all()


def test_an_image_without_anything_is_no_trouble():
    found = image_statistics(np.zeros((150, 140), np.float32))
    assert found.noise == pytest.approx(0, abs=1e-5)
    assert found.lattice_px is None
