from pathlib import Path

import numpy as np
import pytest

from napari_tem_rf.measuring.contrast import advice, amplitude_contrast, lattice_period

DATA = Path(__file__).parents[3] / "shared" / "data"


def read(folder):
    from skimage.io import imread

    if not (DATA / folder).is_dir():
        pytest.skip(f"no {folder} here")
    for path in sorted((DATA / folder / "images").iterdir()):
        label = next((DATA / folder / "labels").glob(f"{path.stem}.*"))
        yield imread(path), imread(label)


def amorphous(shape, seed):
    """Noise with the rings of an underfocused microscope, which are not a lattice."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    transfer = np.abs(np.sin(900 * np.pi * f**2)) / (1 + (f / 0.15) ** 2) + 0.05
    noise = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * transfer).real
    return noise / noise.std()


def crystals(shape, periods, seed, diameter=80):
    """Fringes of a period (row, column) in discs of random place and direction."""
    rng = np.random.default_rng(seed)
    row, column = np.indices(shape)
    image = np.zeros(shape)
    for _ in range(15):
        at_row, at_column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        disc = np.hypot(row - at_row, column - at_column) < diameter / 2
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        wave = np.sin(angle) * row / periods[0] + np.cos(angle) * column / periods[1]
        image[disc] = np.cos(2 * np.pi * wave + phase)[disc]
    return image


def test_contrast_by_hand():
    pixels = np.array([[1.0, 3.0, 10.0, 14.0, np.nan]])
    labels = np.array([[0, 0, 1, 1, 1]])
    (found,) = amplitude_contrast(pixels, labels)
    # means 2 and 12, variances 2 and 8, pooled 5
    assert found.sigma == pytest.approx(10 / np.sqrt(5))
    assert (found.value, found.foreground_px, found.background_px) == (1, 2, 2)


def test_contrast_of_strokes_and_several_classes():
    rng = np.random.default_rng(9213)
    labels = rng.choice([0, 1, 2, 4], size=(211, 307))
    pixels = rng.normal(size=labels.shape) + np.array([9.0, 0.0, 1.5, 0, -0.2])[labels]
    found = amplitude_contrast(pixels, labels, unlabelled="ignore")
    assert [c.value for c in found] == [2, 4]
    assert [c.sigma for c in found] == pytest.approx([1.5, -0.2], abs=0.05)


def test_contrast_where_there_is_none():
    pixels = np.ones((5, 7))
    labels = np.zeros((5, 7), int)
    assert amplitude_contrast(pixels, labels) == ()
    labels[2, 2:6] = 1
    assert amplitude_contrast(pixels, labels) == ()
    with pytest.raises(ValueError, match="own shape"):
        amplitude_contrast(pixels, labels.T)


@pytest.mark.parametrize(
    ("folder", "low", "high"), [("graphene-hrtem", 0.02, 0.35), ("nanoparticles-bf", 1.8, 2.8)]
)
def test_contrast_of_real_images(folder, low, high):
    # the data's own README: about 0.1 and about 2.3 sigma
    sigmas = [
        abs(contrast.sigma)
        for pixels, labels in read(folder)
        for contrast in amplitude_contrast(pixels, labels)
    ]
    assert low < np.median(sigmas) < high


@pytest.mark.parametrize("period", [3.1, 4.9, 7.7, 11.3])
def test_known_lattice_is_found(period):
    shape = (409, 523)
    image = amorphous(shape, 752) + crystals(shape, (period, period), 140)
    found = lattice_period(image, (0.02, 0.02))
    assert found.period_px == pytest.approx(period, rel=0.02)
    assert found.period_nm == pytest.approx(0.02 * period, rel=0.02)


def test_lattice_of_pixels_that_are_not_square():
    shape = (409, 523)
    # 0.2 nm planes at 0.03 and 0.02 nm a pixel
    image = amorphous(shape, 2245) + crystals(shape, (0.2 / 0.03, 0.2 / 0.02), 956)
    found = lattice_period(image, (0.03, 0.02))
    assert found.period_nm == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("shape", [(256, 256), (409, 523), (1021, 1013)])
def test_amorphous_film_has_no_lattice(shape):
    assert [lattice_period(amorphous(shape, seed)) for seed in range(4)] == [None] * 4


def test_no_lattice_in_degenerate_images():
    assert lattice_period(np.full((101, 97), 7, np.uint16)) is None
    assert lattice_period(np.random.default_rng(0).normal(size=(11, 13))) is None
    discs = crystals((409, 523), (np.inf, np.inf), 956) != 0
    assert lattice_period(5 * discs + amorphous(discs.shape, 9213)) is None
    with pytest.raises(ValueError, match="3 axes"):
        lattice_period(np.zeros((2, 64, 64)))


def test_lattice_of_graphene():
    found = [lattice_period(pixels) for pixels, _ in read("graphene-hrtem")]
    # 0.213 nm planes at several magnifications; the data's README: about 4.9 px
    periods = [lattice.period_px for lattice in found if lattice]
    assert len(periods) == len(found) == 92
    assert np.median(periods) == pytest.approx(4.9, abs=0.2)


def test_advice_follows_the_contrast():
    lattice = lattice_period(crystals((256, 256), (4.9, 4.9), 1) + amorphous((256, 256), 2))
    cases = {
        "amplitude": advice([-2.3, 2.1, 1.9], lattice),
        "between": advice([0.8]),
        "phase": advice([0.1, -0.12], lattice),
        "unknown": advice([]),
    }
    for level, found in cases.items():
        assert found.level == level
        assert len(found.sentence) < 260
        assert "Sytwu" in found.details
    assert "2.1 sigma" in cases["amplitude"].sentence
    assert "4.9 px" in cases["phase"].sentence
    # what shows by its grey level is not said to show by its lattice
    assert "lattice" not in cases["amplitude"].sentence
    assert "lattice" not in advice([0.1]).sentence
    # the evidence and its source, for who asks
    assert "receptive_field_study" in cases["phase"].details


SAMPLES = Path(__file__).parents[2] / "sample_data"
GOLD_NM = np.array([0.2355, 0.2039, 0.1442, 0.1230])  # (111), (200), (220), (311), a = 0.4078 nm


@pytest.mark.parametrize("folder", ["high_resolution", "low_magnification"])
def test_lattice_of_simulated_gold(folder):
    from tifffile import TiffFile

    paths = sorted((SAMPLES / folder / "images").glob("*.tif"))
    assert paths
    for path in paths:
        with TiffFile(path) as file:
            page = file.pages[0]
            pixels = page.asarray()
            per_unit, unit = page.tags["XResolution"].value
        size = unit / per_unit
        found = lattice_period(pixels, (size, size))
        if folder == "low_magnification":
            # 0.1 nm a pixel and more behind a small aperture: fringes are out of reach
            assert found is None, path.name
        else:
            assert np.min(np.abs(found.period_nm / GOLD_NM - 1)) < 0.035, path.name
