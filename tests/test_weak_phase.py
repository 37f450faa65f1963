"""The quick scenes that starting weights are trained on are physics, and the same from a seed."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[1] / "sample_data" / "weak_phase.py"


@pytest.fixture(scope="module")
def weak_phase() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weak_phase", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["weak_phase"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("energy_kev", "picometres"),
    [(80, 4.176), (200, 2.508), (300, 1.969)],  # Reimer and Kohl, table 2.2
)
def test_wavelengths_are_the_published_ones(
    weak_phase: ModuleType, energy_kev: float, picometres: float
) -> None:
    assert weak_phase.wavelength_nm(energy_kev) * 1e3 == pytest.approx(picometres, abs=0.001)


def test_scenes_are_standardised_of_known_classes_and_the_same_from_a_seed(
    weak_phase: ModuleType,
) -> None:
    kinds = Counter()
    for seed in range(40):
        scene = weak_phase.draw_scene(np.random.default_rng(seed))
        assert scene.image.shape == scene.truth.shape == (256, 256)
        assert scene.image.dtype == np.float32
        assert abs(float(scene.image.mean())) < 1e-4
        assert float(scene.image.std()) == pytest.approx(1, abs=1e-4)
        assert scene.truth.max() < len(weak_phase.CLASSES)
        assert 0.12 / 13 < scene.pixel_size_nm < 0.4 / 3
        kinds[scene.kind] += 1
    assert set(kinds) == set(weak_phase.KINDS)
    again = weak_phase.draw_scene(np.random.default_rng(39))
    assert np.array_equal(again.image, scene.image)
    assert np.array_equal(again.truth, scene.truth)


@pytest.mark.parametrize("spacing_px", [3.5, 6.0, 11.0])
def test_a_lattice_has_no_spacing_longer_than_the_one_asked_for(
    weak_phase: ModuleType, spacing_px: float
) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        lattice = weak_phase._lattice(rng, spacing_px, weak_phase.ROWS, weak_phase.COLUMNS)
        window = np.outer(np.hanning(256), np.hanning(256))
        power = np.abs(np.fft.rfft2(lattice * window)) ** 2
        frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
        strong = frequency[power > 0.01 * power.max()]
        # an oblique or stretched cell has a second spacing of up to 1/0.75 of the first, and
        # differences of the two vectors
        assert strong.min() > 0.45 / spacing_px
        assert strong.max() < weak_phase.HIGHEST_FREQUENCY + 3 / 256
