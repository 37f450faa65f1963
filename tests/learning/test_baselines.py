"""Random forest and Fourier filter: against constructed images, scikit-image and SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from napari_tem_rf.learning import baselines
from napari_tem_rf.learning.baselines import (
    FourierFilter,
    fit_forest,
    fit_fourier_filter,
)
from napari_tem_rf.micrographs.annotation import AnnotatedImage
from napari_tem_rf.micrographs.cleaning import standardise


def lattice_image(shape=(149, 167), period=7.0, seed=2245, inside=True):
    """Return an image of noise with fringes in (or outside of) an ellipse, and the ellipse."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    mask = ((rows - 70) / 45) ** 2 + ((columns - 80) / 50) ** 2 < 1
    fringes = np.cos(2 * np.pi * (0.8 * rows + 0.6 * columns) / period)
    pixels = fringes * (mask if inside else ~mask) + 0.3 * rng.standard_normal(shape)
    return AnnotatedImage("fringes", standardise(pixels), mask.astype(np.int16), "fringes")


def share_right(found, image):
    return float((found == image.labels).mean())


def test_forest_learns_discs_and_is_the_same_for_a_seed(disc_set):
    data = disc_set(images=2, shape=(83, 97), classes=3, strokes=True)
    truth = disc_set(images=2, shape=(83, 97), classes=3)
    fitted = fit_forest(data.images, seed=752, most_px=1500, trees=12)
    again = fit_forest(data.images, seed=752, most_px=1500, trees=12, threads=1)
    for image in truth.images:
        found = fitted.predict(image.pixels)
        assert found.shape == (83, 97)
        assert share_right(found, image) > 0.93
        np.testing.assert_array_equal(found, again.predict(image.pixels))


def test_forest_draws_no_pixel_that_is_not_annotated():
    rng = np.random.default_rng(9213)
    labels = [np.full((31, 37), -1, np.int16), np.full((23, 29), -1, np.int16)]
    labels[0][3:9, 5:25] = 0
    labels[1][10:20, 4:20] = 0
    labels[1][2:4, 2:5] = 1
    drawn = baselines._draw_pixels(labels, 200, rng)
    values = [each.ravel()[places] for each, places in zip(labels, drawn, strict=True)]
    assert all((each >= 0).all() for each in values)
    assert all(len(np.unique(places)) == len(places) for places in drawn)
    # 280 px of background and 6 of particle: 196 of the one in proportion, all 6 of the other
    counts = np.bincount(np.concatenate(values))
    assert counts.tolist() == [round(200 * 280 / 286), 6]


def test_forest_needs_two_classes(disc_set):
    image = disc_set(shape=(41, 43)).images[0]
    only = AnnotatedImage("one", image.pixels, np.zeros((41, 43), np.int16), "one")
    with pytest.raises(ValueError, match="one class only"):
        fit_forest([only], seed=1, most_px=100, trees=2)


def test_forest_stops(disc_set):
    image = disc_set(shape=(41, 43)).images[0]
    assert fit_forest([image], seed=1, stopped=lambda: True) is None


@pytest.mark.parametrize("inside", [True, False])
def test_fourier_filter_finds_period_and_direction(inside):
    image = lattice_image(inside=inside)
    fitted = fit_fourier_filter([image])
    assert fitted.period_px == pytest.approx(7.0, rel=0.03)
    assert fitted.above is inside
    assert share_right(fitted.predict(image.pixels), image) > 0.93


def test_fourier_filter_chooses_on_annotated_pixels_only():
    image = lattice_image()
    labels = image.labels.copy()
    labels[:, 100:] = 1 - labels[:, 100:]
    # a wrong half that is not annotated must not matter
    labels[:, 100:] = -1
    part = AnnotatedImage("part", image.pixels, labels, "part")
    assert fit_fourier_filter([part]).above


def test_envelope_of_a_plane_wave_is_its_rms_amplitude():
    rows, columns = np.indices((127, 139))
    wave = np.cos(2 * np.pi * (0.6 * rows + 0.8 * columns) / 6.0).astype(np.float32)
    envelope = FourierFilter(6.0, 2.0, True).envelope(wave)
    inner = ndimage.uniform_filter(envelope, 5)[40:-40, 40:-40]
    np.testing.assert_allclose(inner, np.sqrt(0.5), rtol=0.05)
    # a wave of thrice the period is far off the ring
    slow = np.cos(2 * np.pi * columns / 18.0).astype(np.float32)
    assert FourierFilter(6.0, 2.0, True).envelope(slow)[40:-40, 40:-40].max() < 0.05


def test_fourier_filter_of_a_constant_image_finds_nothing():
    assert not FourierFilter(6.0, 2.0, True).predict(np.zeros((31, 37), np.float32)).any()


def test_fourier_filter_says_when_it_cannot_be_applied(disc_set):
    with pytest.raises(ValueError, match="several particle classes"):
        fit_fourier_filter(disc_set(classes=3, shape=(61, 67)).images)
    noise = np.random.default_rng(140).standard_normal((101, 103)).astype(np.float32)
    labels = np.zeros((101, 103), np.int16)
    labels[20:40, 30:60] = 1
    with pytest.raises(ValueError, match="no lattice was found"):
        fit_fourier_filter([AnnotatedImage("noise", noise, labels, "noise")])
