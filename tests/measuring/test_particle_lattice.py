"""Lattices of single particles against fringes of known spacing, direction and noise."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_tem_rf.measuring import particle_lattice
from napari_tem_rf.measuring.particle_lattice import lattice_columns, lattice_of_particle
from napari_tem_rf.measuring.particles import find_particles
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs

SAMPLE = Path(__file__).parents[2] / "sample_data" / "high_resolution"
SHAPE = (75, 83)


def disc(radius, shape=SHAPE, stretch=1.0):
    row, column = np.indices(shape)
    middle = np.array(shape) / 2
    return np.hypot((row - middle[0]) * stretch, column - middle[1]) < radius


def fringes(spacing_px, angle_deg, shape=SHAPE, phase=0.3):
    """Return waves that follow each other in a direction, counter-clockwise from the right."""
    row, column = np.indices(shape)
    angle = np.radians(angle_deg)
    return np.cos(2 * np.pi * (column * np.cos(angle) - row * np.sin(angle)) / spacing_px + phase)


def apart_deg(one, other):
    """Return the angle between two directions, of which 0 and 180 degrees are the same."""
    return (one - other + 90) % 180 - 90


@pytest.mark.parametrize("spacing", [2.6, 4.9, 7.7, 13.0])
@pytest.mark.parametrize("angle", [0.0, 27.0, 90.0, 118.5, 179.0])
def test_spacing_and_direction(spacing, angle):
    """To half a percent, where two frequencies of the particle lie 6 to 30 % apart."""
    rng = np.random.default_rng(1)
    image = 100 + fringes(spacing, angle) + rng.normal(0, 0.4, SHAPE)
    found = lattice_of_particle(image, disc(28))
    assert found.spacing == pytest.approx(spacing, rel=5e-3)
    assert abs(apart_deg(found.angle_deg, angle)) < 0.5
    assert 0 <= found.angle_deg < 180


def test_errors_are_those_of_repeats():
    """Spacing, angle and their errors over 100 draws of noise: pulls scatter by 1."""
    rng = np.random.default_rng(2)
    inside, truth, pulls, turns = disc(24, stretch=1.4), 5.3, [], []
    for _ in range(100):
        image = 0.9 * fringes(truth, 34, phase=rng.uniform(0, 6)) + rng.normal(0, 1, SHAPE)
        found = lattice_of_particle(image, inside)
        pulls.append((found.spacing - truth) / found.spacing_error)
        turns.append(apart_deg(found.angle_deg, 34) / found.angle_error_deg)
    for pull in (pulls, turns):
        assert abs(np.mean(pull)) < 0.3
        # the noise is estimated from few frequencies, so that an error is off by some 10 %
        assert 0.8 < np.std(pull) < 1.25


def test_strength_is_power_over_noise():
    """For amplitude a, noise s and window w: (a / 2 sum(w))^2 / (s^2 sum(w^2)), and 1 of noise."""
    rng = np.random.default_rng(3)
    inside = disc(28)
    window = particle_lattice._window(inside)
    expected = (0.5 * window.sum()) ** 2 / (window**2).sum()
    found = [
        lattice_of_particle(fringes(5.1, 61) + rng.normal(0, 1, SHAPE), inside).strength
        for _ in range(40)
    ]
    assert np.mean(found) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("radius", [9, 15, 30])
def test_noise_has_no_lattice(radius):
    """Of 200 particles of noise, white or red as an amorphous film, hardly one has a lattice."""
    rng = np.random.default_rng(radius)
    inside = disc(radius)
    taken = 0
    for at in range(200):
        image = rng.normal(0, 1, SHAPE)
        if at % 2:
            image = ndimage.gaussian_filter(image, 0.9)
        taken += lattice_of_particle(image, inside) is not None
    assert taken <= 2


def test_neither_outline_nor_shading_is_a_lattice():
    """Dark facetted particles, thicker in the middle, with sharp outlines and a bright rim."""
    rng = np.random.default_rng(5)
    row, column = np.indices(SHAPE)
    taken = 0
    for at in range(60):
        turn = np.radians(6.1 * at)
        u = (row - 37) * np.cos(turn) + (column - 41) * np.sin(turn)
        v = (column - 41) * np.cos(turn) - (row - 37) * np.sin(turn)
        inside = np.maximum(np.abs(u), 1.3 * np.abs(v)) < 25
        depth = ndimage.distance_transform_edt(inside)
        image = 50 - 8 * inside - 0.3 * depth + 6 * (~inside & (u > 20))
        image = image + rng.normal(0, 1, SHAPE)
        taken += lattice_of_particle(image, inside) is not None
    assert taken <= 1


def test_a_neighbour_leaves_nothing_in_a_particle():
    rng = np.random.default_rng(6)
    labels = np.zeros((91, 161), np.int32)
    row, column = np.indices(labels.shape)
    labels[np.hypot(row - 44, column - 42) < 34] = 4
    labels[np.hypot(row - 44, column - 116) < 34] = 7
    labels[2:5, 2:5] = 9
    image = rng.normal(0, 1, labels.shape)
    image += np.where(labels == 7, 2 * fringes(4.4, 130, labels.shape), 0)
    table = lattice_columns(labels, image, (0.02, 0.02))
    assert np.isnan(table["lattice_spacing_nm"][[0, 2]]).all()
    assert table["lattice_spacing_nm"][1] == pytest.approx(4.4 * 0.02, rel=0.005)
    assert table["lattice_angle_deg"][1] == pytest.approx(130, abs=0.5)
    assert table["lattice_strength"][1] > 100
    assert list(table) == [
        "lattice_spacing_nm",
        "lattice_spacing_error_nm",
        "lattice_angle_deg",
        "lattice_angle_error_deg",
        "lattice_strength",
    ]


def test_the_strongest_of_two_lattices_is_taken():
    rng = np.random.default_rng(7)
    image = fringes(4.0, 20) + 1.5 * fringes(5.5, 95) + rng.normal(0, 1, SHAPE)
    found = lattice_of_particle(image, disc(30))
    assert found.spacing == pytest.approx(5.5, rel=0.01)


def test_pixels_that_are_not_square():
    """Waves of 0.25 nm along 40 degrees of the specimen, in pixels of 0.05 x 0.03 nm."""
    rng = np.random.default_rng(8)
    row, column = np.indices(SHAPE)
    angle = np.radians(40)
    wave = np.cos(2 * np.pi * (0.03 * column * np.cos(angle) - 0.05 * row * np.sin(angle)) / 0.25)
    found = lattice_of_particle(wave + rng.normal(0, 0.5, SHAPE), disc(30), (0.05, 0.03))
    assert found.spacing == pytest.approx(0.25, rel=0.005)
    assert abs(apart_deg(found.angle_deg, 40)) < 0.5


def test_what_is_too_small_or_not_there_has_none():
    image = fringes(4.0, 20)
    assert lattice_of_particle(image, disc(4)) is None
    assert lattice_of_particle(np.full(SHAPE, 7.0), disc(30)) is None
    assert lattice_of_particle(np.full(SHAPE, np.nan), disc(30)) is None
    empty = lattice_columns(np.zeros(SHAPE, np.uint8), image)
    assert len(empty) == 0
    assert "lattice_spacing_px" in empty
    with pytest.raises(ValueError, match="give the image they were made from"):
        lattice_columns(np.zeros((5, 7), np.uint8), image)


def test_simulated_gold_has_the_planes_of_gold():
    """Spacings of the sample's particles, simulated atom by atom: those of gold, 0.4078 nm.

    Seen are {111}, {200} and {220}; a few per cent are allowed for, as focus and tilt move spots
    of particles of a few nm.
    """
    images, labels = (SAMPLE / name / "gold_hr_06.tif" for name in ("images", "labels"))
    micrograph = read_micrographs(images)[0]
    particles = find_particles(read_labels(labels), smallest_px=100)
    table = lattice_columns(particles, micrograph.frame(), micrograph.pixel_size_nm)
    spacings = table["lattice_spacing_nm"].dropna().to_numpy()
    assert len(spacings) >= 3
    planes = 0.4078 / np.sqrt([3, 4, 8])
    off = np.abs(spacings[:, None] / planes - 1).min(axis=1)
    assert (off < 0.02).all()
