"""The steps from an image to its lattice, against numpy, derivatives and counts by hand."""

from itertools import pairwise

import numpy as np
import pytest

from napari_tem_rf.measuring import image_statistics as statistics, lattice, particle_lattice
from napari_tem_rf.measuring.image_statistics import BANDS, ImageStatistics, image_statistics
from napari_tem_rf.measuring.lattice import Lattice, lattice_of_spectra, lattice_period
from napari_tem_rf.measuring.particle_lattice import lattice_of_particle

RNG = np.random.default_rng(752)


def waves(shape, period_px, angle_deg=30.0, phase=0.3):
    rows, columns = np.indices(shape)
    angle = np.radians(angle_deg)
    along = columns * np.cos(angle) - rows * np.sin(angle)
    return np.cos(2 * np.pi * along / period_px + phase)


# whole images


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 13, 40])
def test_a_quartile_is_numpys(length):
    values = RNG.normal(size=(7, length)).astype(np.float32)
    np.testing.assert_allclose(
        lattice._quartile(values), np.quantile(values, 0.25, axis=1), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((10, 13), (0, 10), (2, 11)), ((9, 9), (0, 9), (0, 9)), ((30, 9), (10, 20), (0, 9))],
)
def test_of_a_large_image_the_middle_is_looked_at(shape, rows, columns):
    values = np.arange(np.prod(shape)).reshape(shape)
    longest = max(rows[1] - rows[0], columns[1] - columns[0], 9)
    found = lattice._central(values, longest)
    assert found.shape == tuple(min(length, longest) for length in shape)
    spare = [(length - side) // 2 for length, side in zip(shape, found.shape, strict=True)]
    np.testing.assert_array_equal(
        found,
        values[spare[0] : spare[0] + found.shape[0], spare[1] : spare[1] + found.shape[1]],
    )


def test_tiles_overlap_by_half():
    image = RNG.normal(size=(30, 41)).astype(np.float32)
    tiles = lattice._tiles(image, image, 10)
    places = [(row, column) for row in range(0, 21, 5) for column in range(0, 32, 5)]
    assert len(tiles) == len(places) == 5 * 7
    for tile, (row, column) in zip(tiles, places, strict=True):
        np.testing.assert_array_equal(tile, image[row : row + 10, column : column + 10])
    np.testing.assert_array_equal(lattice._tiles(image, image, 30), image[None])
    image[3, 5] = np.nan
    filled = lattice._tiles(image, np.full((30, 41), 7.0, np.float32), 10)
    assert filled[0, 3, 5] == 7
    assert np.isfinite(filled).all()


def test_of_very_many_tiles_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(lattice, "_MOST_TILES", 4)
    image = RNG.normal(size=(20, 90)).astype(np.float32)
    tiles = lattice._tiles(image, image, 10)
    # 3 x 17 places: of 0 to 50 the numbers 0, 17, 33 and 50
    for tile, number in zip(tiles, (0, 17, 33, 50), strict=True):
        row, column = 5 * (number // 17), 5 * (number % 17)
        np.testing.assert_array_equal(tile, image[row : row + 10, column : column + 10])


@pytest.mark.parametrize("side", [1.0, 2.0])
def test_rings_lie_between_a_few_periods_and_the_highest_frequency(side):
    """By hand: of 128 px rings from 6 (a period of 21 px) to 0.47 of the sampling (2.13 px)."""
    rings = lattice._rings((128, 128), (side, side))
    last = int(0.47 / side * 128)
    assert (rings.wanted[0], rings.wanted[-1]) == (6, last)
    frequency = np.hypot(np.fft.fftfreq(128, side)[:, None], np.fft.rfftfreq(128, side)).ravel()
    inside = (np.rint(frequency * 128) >= 6) & (np.rint(frequency * 128) <= last)
    assert len(rings.order) == inside.sum()
    assert inside[rings.order].all()
    np.testing.assert_array_equal(rings.frequency, frequency[rings.order])
    np.testing.assert_array_equal(rings.ring, np.rint(rings.frequency * 128))
    # ring after ring, and the edges between them
    assert (np.diff(rings.ring) >= 0).all()
    parts = np.split(rings.ring, rings.edges)
    assert [np.unique(part).tolist() for part in parts] == [[ring] for ring in rings.wanted]
    # of a large image the lowest rings are too near to the middle
    assert lattice._rings((640, 512), (1.0, 1.0)).wanted[0] == 20


@pytest.mark.parametrize("shape", [(128, 128), (160, 131)])
def test_a_spectrum_is_that_of_a_hann_window(shape):
    tile = (RNG.normal(size=shape) + 50).astype(np.float32)
    window = np.outer(np.hanning(shape[0]), np.hanning(shape[1]))
    expected = np.abs(np.fft.rfft2((tile - tile.mean()) * window)) ** 2
    np.testing.assert_allclose(lattice._spectra(tile[None])[0], expected, rtol=2e-3, atol=1e-2)


def test_a_lattice_is_in_nm_where_a_size_is_known():
    image = waves((140, 150), 5.0) + 0.3 * RNG.normal(size=(140, 150))
    plain, sized = lattice_period(image), lattice_period(image, (0.02, 0.02))
    assert plain.period_nm is None
    assert sized.period_nm == pytest.approx(0.02 * plain.period_px)
    assert sized.period_px == pytest.approx(plain.period_px)
    assert plain.period_px == pytest.approx(5, rel=0.02)
    image[3:9, 5:8] = np.nan
    assert lattice_period(image).period_px == pytest.approx(5, rel=0.02)
    assert lattice_period(np.full((140, 150), 3.0)) is None


def test_spots_on_a_streak_are_no_lattice():
    """A spot that is no brighter than the spectrum further in, at 0.7 of its frequency."""
    order = np.arange(64 * 33)
    for inner, alone in ((0.49, True), (0.51, False)):
        for row, column in ((20, 10), (44, 10), (20, 0), (0, 20)):
            spectrum = np.zeros((1, 64, 33), np.float32)
            spectrum[0, row, column] = 1
            signed = row - 64 if row > 32 else row
            r, c = round(0.7 * signed), round(0.7 * column)
            spectrum[0, r % 64, c] = inner
            spot = np.array([row * 33 + column])
            found = lattice._stand_alone(spectrum, np.array([0]), spot, order)
            assert found.tolist() == [alone]


# a few tiles of an image


@pytest.mark.parametrize(
    ("shape", "starts"),
    [
        ((128, 128), [(0, 0)]),
        ((128, 191), [(0, 0)]),
        ((128, 193), [(0, 0), (0, 65)]),
        ((300, 256), [(0, 0), (0, 128), (172, 0), (172, 128)]),
        ((1000, 128), [(0, 0), (436, 0), (872, 0)]),
        ((50, 70), [(0, 0)]),
        ((20, 50), [(0, 0), (0, 30)]),
    ],
)
def test_up_to_three_by_three_tiles(shape, starts):
    image = RNG.normal(size=shape).astype(np.float32)
    tiles = statistics._tiles(image)
    side = min(128, *shape)
    assert tiles.shape == (len(starts), side, side)
    for tile, (row, column) in zip(tiles, starts, strict=True):
        np.testing.assert_array_equal(tile, image[row : row + side, column : column + side])


def test_power_of_white_noise_is_its_variance():
    """Parseval over 40 tiles: each frequency but those of the mean has the variance, 4."""
    tiles = (2 * RNG.normal(size=(40, 64, 64))).astype(np.float32) + 9
    power = statistics._spectra(tiles).mean(axis=0)
    assert power[4:-4, 4:].mean() == pytest.approx(4, rel=0.02)
    # the mean of 9 would be 81 times the number of pixels
    assert power[0, 0] < 10


def test_bands_are_the_mean_over_their_frequencies():
    side = 128
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    spectra = (1 + frequency).astype(np.float32)[None].repeat(2, axis=0)
    spectra[1] *= 3
    found = statistics._band_powers(spectra)
    expected = [
        2 * (1 + frequency[(frequency >= low) & (frequency < high)]).mean()
        for low, high in pairwise(BANDS)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # of 24 px the lowest two bands have no frequency, and take the next one's power
    small = np.hypot(np.fft.fftfreq(24)[:, None], np.fft.rfftfreq(24)).astype(np.float32)
    found = statistics._band_powers(small[None])
    third = small[(small >= BANDS[2]) & (small < BANDS[3])].mean()
    assert found[:3] == pytest.approx([third] * 3)
    assert found[3] > third
    assert statistics._band_powers(small[None, :23]) == []


@pytest.mark.parametrize(
    ("pixels", "mean", "sd"),
    [
        (np.array([[1, 3], [5, 7]], np.uint8), 4, 5**0.5),
        (np.array([[1.0, np.nan], [3.0, np.inf]]), 2, 1),
        (np.full((2, 2), np.nan), 0, 0),
        # of 512 x 512 px each second row and column
        (np.kron(np.ones((256, 256)), np.array([[7, 99], [99, 99]])), 7, 0),
        (np.kron(np.ones((255, 256)), np.array([[7, 99], [99, 99]])), 76, np.std([7, 99, 99, 99])),
    ],
)
def test_grey_levels(pixels, mean, sd):
    assert statistics._grey_levels(pixels) == pytest.approx((mean, sd), rel=1e-5)


def test_what_is_measured_of_an_image_is_rounded_and_kept():
    seen = (waves((140, 150), 5.0) + 0.3 * RNG.normal(size=(140, 150))).astype(np.float32)
    found = image_statistics(seen, pixel_size_nm=(0.02, 0.03), dose=20.0, contrast=(0.123456, -1.0))
    assert (found.pixel_size_nm, found.dose) == ((0.02, 0.03), 20.0)
    assert found.contrast == (0.1235, -1.0)
    assert found.grey_mean == pytest.approx(seen[::1].mean(), abs=1e-4)
    assert found.lattice_px == round(found.lattice_px, 3) == pytest.approx(5, rel=0.02)
    assert found.lattice_nm == pytest.approx(found.lattice_px * 0.0006**0.5)
    assert found.noise == pytest.approx(10 ** (found.spectrum[-1] / 2), rel=1e-3)
    still = image_statistics(np.zeros((140, 150), np.float32))
    assert (still.noise, still.lattice_strength) == (0, None)
    assert set(still.spectrum) == {-12.0}
    # beside no noise the strength of a lattice has a bound
    clear = image_statistics(waves((140, 150), 5.0).astype(np.float32))
    assert clear.lattice_strength is None or clear.lattice_strength <= 1e6


def test_signal_over_noise_in_each_band():
    found = ImageStatistics(0.0, 1.0, (0.0, 1.0, -1.0), 0.5)
    assert found.signal_to_noise == pytest.approx((1 / 0.25 - 1, 10 / 0.25 - 1, 0))
    assert found.bands_per_nm is None
    assert found.lattice_nm is None
    assert ImageStatistics(0.0, 1.0, (0.0,), 0.0).signal_to_noise == pytest.approx((1e12,))


def test_a_lattice_of_tiles_is_that_of_the_image():
    tiles = (waves((2, 128, 128)[1:], 4.7)[None] + RNG.normal(size=(2, 128, 128))).astype(
        np.float32
    )
    found = lattice_of_spectra(statistics._spectra(tiles))
    assert isinstance(found, Lattice)
    assert found.period_px == pytest.approx(4.7, rel=0.02)
    assert found.period_nm is None
    noise = RNG.normal(size=(2, 128, 128)).astype(np.float32)
    assert lattice_of_spectra(statistics._spectra(noise)) is None


# one particle


def disc(radius, shape=(61, 67)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - shape[0] // 2, columns - shape[1] // 2) < radius


def test_a_window_rises_over_the_outer_half_of_the_depth():
    """sin^2 of the share: 1/2 at a quarter of the largest depth, 1 from a half on."""
    inside = np.zeros((9, 41), bool)
    inside[:, :] = True
    window = particle_lattice._window(inside)
    # in the middle column the depth is 1 to 5 and back
    expected = np.sin(np.pi / 2 * np.minimum(np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 2.5, 1)) ** 2
    np.testing.assert_allclose(window[:, 20], expected)
    assert particle_lattice._window(np.ones((1, 1), bool)).tolist() == [[1]]


def test_a_plane_of_second_order_is_taken_off():
    rows, columns = np.indices((31, 43))
    plane = (
        3 + 0.2 * rows - 0.1 * columns + 0.01 * rows**2 + 0.02 * rows * columns - 0.005 * columns**2
    )
    window = particle_lattice._window(disc(12, (31, 43)))
    left = particle_lattice._flattened(plane, window)
    assert np.abs(left * (window > 0)).max() < 1e-8
    detail = waves((31, 43), 4.0)
    kept = particle_lattice._flattened(plane + detail, window)
    assert (window * kept * detail).sum() > 0.9 * (window * detail**2).sum()


def test_derivatives_of_the_transform_are_those_of_differences():
    signal = RNG.normal(size=(13, 17))
    row, column = np.arange(13) - 6.0, np.arange(17) - 8.0
    f, step = np.array([0.13, -0.21]), 1e-5

    def at(*offset):
        return particle_lattice._transform(signal, f + np.array(offset), row, column)

    value, first, second = at(0, 0)
    direct = sum(
        signal[r, c] * np.exp(-2j * np.pi * (f[0] * row[r] + f[1] * column[c]))
        for r in range(13)
        for c in range(17)
    )
    assert value == pytest.approx(direct)
    for axis, offset in enumerate(((step, 0), (0, step))):
        ahead, behind = at(*offset), at(*(-each for each in offset))
        assert first[axis] == pytest.approx((ahead[0] - behind[0]) / (2 * step), rel=1e-5)
        np.testing.assert_allclose(
            second[axis], (ahead[1] - behind[1]) / (2 * step), rtol=1e-4, atol=1e-3
        )


def test_the_covariance_of_a_flat_window_is_the_bound_of_rife_and_boorstyn():
    """For N samples and the power S of a spot over the noise: 6 / (4 pi^2 S (N^2 - 1))."""
    found = particle_lattice._covariance(np.ones((21, 33)), strength=50.0)
    for axis, length in enumerate((21, 33)):
        expected = 6 / (4 * np.pi**2 * 50.0 * (length**2 - 1))
        assert found[axis, axis] == pytest.approx(expected)
    assert found[0, 1] == found[1, 0] == pytest.approx(0, abs=1e-12)


def test_a_spot_is_refined_between_the_frequencies():
    signal = waves((61, 67), 5.37, 20.0) * particle_lattice._window(disc(25))
    truth = np.array([-np.sin(np.radians(20)), np.cos(np.radians(20))]) / 5.37
    found, height = particle_lattice._refined(signal, tuple(truth + np.array([0.004, -0.003])), 2.0)
    np.testing.assert_allclose(found, truth, atol=2e-4)
    rows, columns = np.arange(61) - 30.0, np.arange(67) - 33.0
    power = abs(particle_lattice._transform(signal, found, rows, columns)[0]) ** 2
    assert height == pytest.approx(power / 2)
    # from where there is no maximum near, none is found
    assert particle_lattice._refined(signal, tuple(truth + np.array([0.03, 0.03])), 2.0)[0] is None


@pytest.mark.parametrize(
    ("row", "column"), [(10, 7), (54, 7), (10, 0), (0, 20), (33, 12), (32, 12)]
)
@pytest.mark.parametrize(("inner", "alone"), [(0.49, True), (0.51, False)])
def test_a_spot_is_compared_with_what_lies_further_in(row, column, inner, alone):
    spectrum = np.zeros((64, 33))
    spectrum[row, column] = 1
    signed = row - 64 if row > 32 else row
    spectrum[round(0.5 * signed) % 64, round(0.5 * column)] = inner
    assert particle_lattice._stands_alone(spectrum, row, column, 0.5) == alone


def test_the_middle_of_a_large_particle_is_looked_at(monkeypatch):
    monkeypatch.setattr(particle_lattice, "_LARGEST_SIDE_PX", 20)
    values = np.arange(30.0 * 15).reshape(30, 15)
    found, inside = particle_lattice._middle(values, values > 100)
    np.testing.assert_array_equal(found, values[5:25])
    np.testing.assert_array_equal(inside, values[5:25] > 100)


@pytest.mark.parametrize(("number", "looked_at"), [(99, False), (100, True)])
def test_a_particle_has_100_px(monkeypatch, number, looked_at):
    seen = []

    def spot(signal, independent, diameter):
        seen.append(diameter)

    monkeypatch.setattr(particle_lattice, "_highest_spot", spot)
    inside = np.zeros((12, 13), bool)
    inside.ravel()[:number] = True
    image = RNG.normal(size=(12, 13))
    assert lattice_of_particle(image, inside) is None
    assert seen == ([pytest.approx(2 * (100 / np.pi) ** 0.5)] if looked_at else [])
    # a pixel without a value is none
    image[0, 0] = np.nan
    lattice_of_particle(image, inside)
    assert len(seen) == looked_at


@pytest.mark.parametrize(("angle", "pixel_size"), [(25.0, None), (155.0, (0.04, 0.04))])
def test_a_particles_lattice_in_numbers(angle, pixel_size):
    image = waves((61, 67), 4.6, angle) + 0.5 * RNG.normal(size=(61, 67))
    found = lattice_of_particle(image, disc(25), pixel_size)
    side = 1 if pixel_size is None else pixel_size[0]
    assert found.spacing == pytest.approx(4.6 * side, rel=0.01)
    assert found.angle_deg == pytest.approx(angle, abs=1)
    # both errors come from one covariance: of a round window they are the same part of a turn
    assert np.radians(found.angle_error_deg) == pytest.approx(
        found.spacing_error / found.spacing, rel=0.05
    )
    window = particle_lattice._window(disc(25))
    along = particle_lattice._covariance(window, found.strength)[0, 0] ** 0.5
    assert found.spacing_error == pytest.approx(along * 4.6**2 * side, rel=0.05)
