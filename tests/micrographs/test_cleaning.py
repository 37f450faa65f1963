import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from napari_tem_rf.micrographs.cleaning import (
    Cleaning,
    bin_labels,
    clean,
    fill_not_finite,
    standardise,
    unbin_labels,
)


def noise(shape=(101, 67), mean=100.0, sd=5.0, seed=752):
    return np.random.default_rng(seed).normal(mean, sd, shape)


def test_the_papers_rule_takes_the_mean_of_the_eight_neighbours():
    image = np.arange(35, dtype=float).reshape(5, 7)
    spiked = image.copy()
    spiked[2, 3] = 2000  # median 17 + 1500 < 2000
    cleaned = clean(spiked, Cleaning(spikes="paper"))
    # neighbours of (2, 3): 9 10 11, 16 18, 23 24 25
    assert cleaned[2, 3] == 17
    assert np.count_nonzero(cleaned != image) == 0


def test_the_papers_rule_goes_twice_over_neighbouring_spikes():
    image = np.zeros((5, 7))
    image[2, 3] = image[2, 4] = 8000
    # first pass: each becomes 8000 / 8 = 1000; second pass with threshold 400: 1000 / 8 = 125
    cleaned = clean(image, Cleaning(spikes="paper", spike_threshold=400))
    np.testing.assert_allclose(cleaned[2, 3:5], [125, 125])


def test_a_spike_in_the_corner_has_three_neighbours():
    image = np.full((5, 7), 10.0)
    image[0, 0] = 9000
    image[1, 1] = 40
    assert clean(image, Cleaning(spikes="paper"))[0, 0] == pytest.approx(20)


def test_robust_finds_spikes_that_the_papers_rule_misses():
    image = noise()
    spiked = image.copy()
    places = ([0, 50, 51, 98], [0, 20, 20, 66])
    spiked[places] += 100  # 20 standard deviations, far below 1500 counts
    assert (clean(spiked, Cleaning(spikes="paper"))[places] > 180).all()
    cleaned = clean(spiked, Cleaning(spikes="robust"))
    assert (np.abs(cleaned[places] - 100) < 15).all()
    untouched = np.ones(image.shape, bool)
    untouched[places] = False
    np.testing.assert_array_equal(cleaned[untouched], image.astype(np.float32)[untouched])


def test_robust_measures_noise_where_it_is():
    image = noise((96, 96), sd=2.0)
    image[:, 48:] = 100 + (image[:, 48:] - 100) * 20
    image[20, 20] = 140  # 20 standard deviations here, and ordinary in the other half
    cleaned = clean(image, Cleaning(spikes="robust"))
    assert cleaned[20, 20] < 110
    changed = cleaned != image.astype(np.float32)
    assert np.count_nonzero(changed[:, 60:]) == 0


def test_robust_leaves_single_electrons_alone():
    counts = np.random.default_rng(2245).poisson(0.05, (64, 96)).astype(float)
    counts[30, 40] = 60
    cleaned = clean(counts, Cleaning(spikes="robust"))
    assert cleaned[30, 40] == 0
    assert cleaned.sum() == counts.sum() - 60


def test_robust_takes_a_spike_out_of_an_even_image():
    image = np.full((64, 96), 0.5)
    image[30, 40] = 60
    assert (clean(image, Cleaning(spikes="robust")) == 0.5).all()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_flattening_takes_a_surface_of_its_order_away(order):
    rows, columns = np.mgrid[0:97, 0:131] / 100
    surface = 40 * rows**order - 30 * columns**order + 20 * rows * columns ** (order - 1)
    detail = noise((97, 131), mean=0, sd=1)
    cleaned = clean(500 + surface + detail, Cleaning(flatten=order))
    # the surface fitted to noise of 1 is not zero, but small
    assert np.abs(cleaned - cleaned.mean() - (detail - detail.mean())).max() < 0.25
    assert cleaned.mean() == pytest.approx((500 + surface + detail).mean(), rel=1e-5)


def test_flattening_of_too_low_order_leaves_a_rest():
    rows, _ = np.mgrid[0:97, 0:131] / 100
    assert clean(40 * rows**2, Cleaning(flatten=1)).std() > 1


def test_binning_is_the_mean_of_whole_blocks():
    image = np.arange(5 * 7, dtype=float).reshape(5, 7)
    binned = clean(image, Cleaning(binning=2))
    # by hand: block (0, 0) has 0 1 7 8, block (1, 2) has 18 19 25 26
    assert binned.shape == (2, 3)
    assert binned[0, 0] == 4
    assert binned[1, 2] == 22
    assert Cleaning(binning=2).pixel_size_nm((0.1, 0.3)) == (0.2, 0.6)
    assert Cleaning(binning=2).pixel_size_nm(None) is None


def test_a_block_must_fit():
    with pytest.raises(ValueError, match="binning is 6 but the image is 5 x 7"):
        clean(np.zeros((5, 7)), Cleaning(binning=6))


def test_spikes_go_before_they_spread_into_a_block():
    image = np.full((6, 10), 10.0)
    image[3, 4] = 50_000
    assert clean(image, Cleaning(spikes="paper", binning=2)).max() == 10


def test_the_original_stays():
    image = noise().astype(np.float32)
    image[3, 3] = 1e5
    before = image.copy()
    clean(image, Cleaning("robust", None, 2, 2))
    clean(image, Cleaning())
    standardise(image)
    np.testing.assert_array_equal(image, before)


def test_standardise():
    scaled = standardise(noise(mean=30_000, sd=7))
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("value", [0, 1, 65_535, 1e-20, 0.1])
def test_a_constant_image_becomes_zeros(value):
    np.testing.assert_array_equal(standardise(np.full((5, 7), value)), np.zeros((5, 7)))


def test_faint_images_are_not_taken_for_constant():
    assert standardise(noise(mean=0, sd=1e-12)).std() == pytest.approx(1, rel=1e-4)


def test_values_that_are_not_finite_become_the_median():
    image = np.array([[1, 2, np.nan], [3, np.inf, -np.inf]])
    np.testing.assert_array_equal(fill_not_finite(image), [[1, 2, 2], [3, 2, 2]])
    assert np.isfinite(clean(image, Cleaning())).all()
    assert np.isfinite(standardise(image)).all()


def test_an_image_without_a_finite_pixel_is_refused():
    with pytest.raises(ValueError, match="no pixel of the image is finite"):
        clean(np.full((5, 7), np.nan), Cleaning())


@pytest.mark.parametrize("shape", [(7,), (2, 5, 7), (0, 7)])
def test_only_images_are_cleaned(shape):
    with pytest.raises(ValueError, match="an image is"):
        clean(np.zeros(shape), Cleaning())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spikes": "all"}, 'spikes is "all"'),
        ({"spike_threshold": 0}, "more than 0"),
        ({"flatten": 7}, "from 0"),
        ({"binning": 0}, "at least 1"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        Cleaning(**settings)


def test_settings_go_to_a_file_and_back():
    cleaning = Cleaning("robust", 6.5, 2, 3)
    assert TypeAdapter(Cleaning).validate_json(json.dumps(cleaning.to_dict())) == cleaning
    assert cleaning.sentence == (
        "spikes above 6.5 times the local noise replaced, illumination flattened with order 2, "
        "binned 3 x 3"
    )
    assert Cleaning().sentence == "nothing"


def test_binned_labels_are_the_most_frequent():
    labels = np.array([[0, 0, 2, 2, 9], [0, 1, 2, 1, 9], [1, 1, 3, 0, 9], [0, 0, 3, 0, 9]])
    np.testing.assert_array_equal(bin_labels(labels, 2), [[0, 2], [1, 3]])
    assert bin_labels(labels, 1) is labels


def test_labels_come_back_to_their_pixels():
    labels = np.array([[0, 2], [1, 3]])
    np.testing.assert_array_equal(
        unbin_labels(labels, 2, (5, 5)),
        [[0, 0, 2, 2, 2], [0, 0, 2, 2, 2], [1, 1, 3, 3, 3], [1, 1, 3, 3, 3], [1, 1, 3, 3, 3]],
    )


def test_numbers_beyond_float32_count_as_infinite():
    """They become the median of the others (here 4), and no warning is on the way."""
    image = np.array([[3.0, 1e300, 4.0], [5.0, -1e39, 4.0]])
    np.testing.assert_array_equal(fill_not_finite(image), [[3, 4, 4], [5, 4, 4]])


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64, np.uint32])
@pytest.mark.parametrize("offset", [1e9, 2e9])
def test_grey_values_on_a_large_offset_are_not_rounded_away(dtype, offset):
    """float64 and 32-bit integers hold them exactly; steps of float32 are 64 there."""
    grey = np.random.default_rng(752).integers(500, 1800, (61, 83))
    image = (grey + offset).astype(dtype)
    np.testing.assert_array_equal(image.astype(np.float64) - offset, grey)
    np.testing.assert_allclose(
        standardise(clean(image, Cleaning())), standardise(clean(grey, Cleaning())), atol=1e-6
    )
    np.testing.assert_allclose(standardise(image), standardise(grey), atol=1e-6)


def test_spikes_and_pixels_that_are_not_finite_do_not_hide_an_offset():
    grey = np.random.default_rng(752).integers(500, 1800, (61, 83)).astype(np.float64)
    image = grey + 1e9
    image[3, 5], image[7, 9], grey[3, 5], grey[7, 9] = np.nan, 0.0, np.nan, -1e9
    seen = clean(image, Cleaning())
    others = np.isfinite(grey) & (grey > 0)
    np.testing.assert_allclose(np.ptp(seen[others]), np.ptp(grey[others]), rtol=1e-6)


def test_ordinary_images_are_as_they_were():
    image = np.random.default_rng(752).normal(3000, 5, (61, 83))
    np.testing.assert_array_equal(clean(image, Cleaning()), image.astype(np.float32))
