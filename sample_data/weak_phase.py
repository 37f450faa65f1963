"""Quick micrographs of very many specimens, with the truth per pixel: what starting weights see.

Where `simulate.py` calculates every atom, here an image is drawn in a tenth of a second, so that a
network can meet thousands of different ones: lattices of any spacing and direction, amorphous films
and contamination, sheets and particles, lenses and doses. Three kinds of scene:

sheet
    A crystalline sheet, often of two grains, now and then with holes, with amorphous matter on it.
particles
    Crystalline particles on an amorphous film, with more or less amplitude contrast.
masses
    The same at low magnification: no lattice is resolved and amplitude contrast shows the
    particles.

Phase contrast is linear, as for a weak phase object (L. Reimer and H. Kohl, Transmission Electron
Microscopy, 5th ed., Springer 2008, section 6.2): the projected potential, filtered by the sine of
the wave aberration and an envelope. Amplitude contrast is proportional to the mass thickness.

Show some images::

    python sample_data/weak_phase.py --count 12 --out scenes.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import distance_transform_edt, gaussian_filter

__all__ = ["CLASSES", "SIDE_PX", "Scene", "draw_scene", "wavelength_nm"]

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE_PX = 256
CLASSES = ("film", "sheet", "matter on a sheet", "particle", "vacuum")
FILM, SHEET, COVERED, PARTICLE, VACUUM = range(5)

SPACING_PX = (3.0, 13.0)  # of the lattice: finer is not resolved, coarser is rarely recorded
SPACING_NM = (0.12, 0.4)
HIGHEST_FREQUENCY = 0.45  # in 1/px: a little below the camera's limit
KINDS = {"sheet": 0.35, "particles": 0.4, "masses": 0.25}

ROWS, COLUMNS = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
FREQUENCY_2 = (fft.fftfreq(SIDE_PX)[:, None] ** 2 + fft.rfftfreq(SIDE_PX)[None] ** 2).astype(
    np.float32
)  # in 1/px^2


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image and its truth.

    Attributes
    ----------
    image : ndarray of float32, shape (row, column)
        Standardised: mean 0, standard deviation 1.
    truth : ndarray of uint8, shape (row, column)
        Place in `CLASSES` of each pixel.
    kind : str
        Kind of scene.
    pixel_size_nm : float
    """

    image: FloatImage
    truth: NDArray[np.uint8]
    kind: str
    pixel_size_nm: float


@dataclass(slots=True)
class _Specimen:
    """What the beam meets: potential (phase), mass thickness, and what is what."""

    potential: FloatImage
    mass: FloatImage
    truth: NDArray[np.uint8]


def draw_scene(rng: np.random.Generator) -> Scene:
    """Return a random scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    """
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    spacing_px = _log_uniform(rng, *SPACING_PX)
    pixel_nm = rng.uniform(*SPACING_NM) / spacing_px
    draw: Callable[[np.random.Generator, float], _Specimen] = {
        "sheet": _sheet,
        "particles": _particles,
        "masses": _masses,
    }[kind]
    specimen = draw(rng, spacing_px)
    if kind == "masses":
        phase = gaussian_filter(specimen.potential, 1.0)
    else:
        phase = _filtered(specimen.potential, _transfer(rng, pixel_nm))
    image = phase / (phase.std() + 1e-6) * rng.uniform(0.4, 1.2)
    image += gaussian_filter(specimen.mass, rng.uniform(0.5, 1.5))
    image = _recorded(image.astype(np.float32), rng)
    image = (image - image.mean()) / image.std()
    return Scene(image.astype(np.float32), specimen.truth, kind, pixel_nm)


def _sheet(rng: np.random.Generator, spacing_px: float) -> _Specimen:
    lattice = _lattice(rng, spacing_px, ROWS, COLUMNS)
    if rng.random() < 0.3:
        other = _lattice(rng, spacing_px, ROWS, COLUMNS)
        lattice = np.where(_patches(rng, rng.uniform(0.2, 0.8)), lattice, other)
    truth = np.full(lattice.shape, SHEET, np.uint8)
    if rng.random() < 0.2:
        holes = _patches(rng, rng.uniform(0.03, 0.3))
        lattice *= 1 - _soft(holes, 1.0)
        truth[holes] = VACUUM
    matter = np.zeros(lattice.shape, bool)
    if (cover := rng.uniform(0, 0.6)) > 0.02:
        as_patches = rng.random() < 0.7
        matter = _patches(rng, cover) if as_patches else _outlines(rng, cover) > 0
    truth[matter] = np.where(truth[matter] == SHEET, COVERED, FILM)
    thickness = _soft(matter, rng.uniform(0.7, 3.0))
    thickness *= 1 + 0.4 * _smooth_noise(rng, rng.uniform(5, 25))
    strength = _log_uniform(rng, 0.5, 4.0)
    potential = lattice + strength * np.maximum(thickness, 0) * _amorphous(rng)
    if strength > 1 and rng.random() < 0.5:  # thick matter hides the lattice or destroys it
        potential -= rng.uniform(0, 0.9) * _soft(matter, 1.5) * lattice
    mass = thickness * np.float32(rng.normal(0, 0.6))
    return _Specimen(potential.astype(np.float32), mass, truth)


def _particles(rng: np.random.Generator, spacing_px: float) -> _Specimen:
    film = rng.uniform(0.1, 1.5) * (1 + 0.15 * _smooth_noise(rng, 30.0))
    potential = (film * _amorphous(rng)).astype(np.float32)
    mass = np.zeros_like(potential)
    numbered = _bodies(rng)
    for inside, thickness in _each(numbered, rng, (1.0, 6.0)):
        lattice = _lattice(rng, spacing_px * rng.uniform(0.8, 1.25), ROWS[inside], COLUMNS[inside])
        potential[inside] += rng.uniform(0.5, 2.5) * thickness * lattice
        mass[inside] -= rng.uniform(0.3, 1.0) * thickness
    mass *= np.float32(rng.choice([0.0, 0.1, 0.3, 1.0, 2.5]))
    return _Specimen(potential, mass, np.where(numbered > 0, PARTICLE, FILM).astype(np.uint8))


def _masses(rng: np.random.Generator, spacing_px: float) -> _Specimen:
    grain = _amorphous(rng)
    mass = np.zeros_like(grain)
    numbered = _bodies(rng)
    for inside, thickness in _each(numbered, rng, (0.5, 6.0)):
        speckle = 1 + 0.2 * grain[inside]
        mass[inside] -= rng.uniform(0.6, 1.6) * np.sqrt(thickness) * speckle
    mass *= np.float32(_log_uniform(rng, 0.7, 5.0))
    truth = np.where(numbered > 0, PARTICLE, FILM).astype(np.uint8)
    return _Specimen(np.float32(rng.uniform(0.05, 0.6)) * grain, mass, truth)


def _bodies(rng: np.random.Generator) -> NDArray[np.int32]:
    """Return numbered particles, 0 between them: facetted ones, or one irregular aggregate."""
    cover = rng.uniform(0.05, 0.45)
    return _outlines(rng, cover) if rng.random() < 0.75 else _patches(rng, cover).astype(np.int32)


def _each(
    numbered: NDArray[np.int32], rng: np.random.Generator, slope_px: tuple[float, float]
) -> list[tuple[Mask, FloatImage]]:
    """Return where each particle is, and its thickness there: rising from its edge up to 1.

    It rises within few pixels, so that the truth ends where a person sees the particle end.
    """
    found = []
    for number in range(1, int(numbered.max()) + 1):
        inside = numbered == number
        if inside.any():
            depth = distance_transform_edt(inside)[inside] / rng.uniform(*slope_px)
            found.append((inside, np.minimum(depth, 1).astype(np.float32)))
    return found


def _outlines(rng: np.random.Generator, cover: float) -> NDArray[np.int32]:
    """Return numbered polygons with rounded corners that cover about so much of the image."""
    numbered = np.zeros((SIDE_PX, SIDE_PX), np.int32)
    typical_px = _log_uniform(rng, 8.0, 50.0)
    for number in range(1, 200):
        if (numbered > 0).mean() > cover:
            break
        radius = typical_px * rng.uniform(0.6, 1.5)
        row, column = rng.uniform(-10, SIDE_PX + 10, 2)
        turn, tilt, stretch = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1)
        window = tuple(
            slice(max(0, int(at - 1.5 * radius)), max(0, int(at + 1.5 * radius) + 1))
            for at in (row, column)
        )
        down, right = ROWS[window] - row, COLUMNS[window] - column
        u = np.cos(turn) * right + np.sin(turn) * down
        v = (np.cos(turn) * down - np.sin(turn) * right) / stretch
        facets = tilt + 2 * np.pi * np.arange(rng.integers(4, 9))[:, None, None] / 6
        reach = np.max(np.cos(facets) * u + np.sin(facets) * v, axis=0, initial=-np.inf)
        body = (np.hypot(u, v) < radius) & (reach < radius * rng.uniform(0.8, 1.0))
        numbered[window][body & (numbered[window] == 0)] = number
    return numbered


def _patches(rng: np.random.Generator, cover: float) -> Mask:
    """Return irregular patches that cover so much of the image."""
    size_px = _log_uniform(rng, 6.0, 40.0)
    field = _smooth_noise(rng, size_px) + 0.25 * _smooth_noise(rng, max(2.0, size_px / 4))
    return np.asarray(field > np.quantile(field, 1 - cover))


def _lattice(
    rng: np.random.Generator, spacing_px: float, rows: FloatImage, columns: FloatImage
) -> FloatImage:
    """Return the potential of a crystal at pixels: plane waves of a random reciprocal lattice."""
    direction = rng.uniform(0, np.pi)
    angle, ratio = (
        (np.pi / 3, 1.0),
        (np.pi / 2, 1.0),
        (rng.uniform(0.9, 1.9), rng.uniform(0.75, 1.3)),
        (np.pi / 2, rng.uniform(1.0, 1.6)),
    )[rng.integers(4)]
    first = np.array([np.sin(direction), np.cos(direction)]) / spacing_px
    second = np.array([np.sin(direction + angle), np.cos(direction + angle)]) / spacing_px * ratio
    fringes_only = rng.random() < 0.25  # off the zone axis
    falloff = rng.uniform(0.3, 1.2)
    potential = np.zeros(rows.shape, np.float32)
    for h in range(3):
        for k in range(-2, 3):
            if (h, k) <= (0, 0) or (fringes_only and k):
                continue
            wave = h * first + k * second  # (row, column), in 1/px
            frequency = float(np.hypot(*wave))
            if frequency < HIGHEST_FREQUENCY:
                strength = np.exp(-falloff * ((frequency * spacing_px) ** 2 - 1))
                phase = 2 * np.pi * (wave[0] * rows + wave[1] * columns + rng.random())
                potential += rng.uniform(0.3, 1) * strength * np.cos(phase, dtype=np.float32)
    spread = float(potential.std())
    return np.asarray(potential / spread if spread > 0 else potential, np.float32)


def _transfer(rng: np.random.Generator, pixel_nm: float) -> FloatImage:
    """Return a lens's phase contrast transfer: corrected, or with common spherical aberration."""
    wavelength = wavelength_nm(float(rng.choice([80.0, 200.0, 300.0])))
    if rng.random() < 0.5:
        defocus_nm, spherical_nm = rng.uniform(-15, 15), 0.0
    else:
        defocus_nm, spherical_nm = rng.uniform(20, 120), 1.2e6 * rng.uniform(0.4, 1.0)
    q2 = FREQUENCY_2 / pixel_nm**2  # in 1/nm^2
    aberration = np.pi * wavelength * q2 * (defocus_nm - 0.5 * spherical_nm * wavelength**2 * q2)
    amplitude_part = rng.uniform(0, 0.25)
    envelope = np.exp(-(rng.uniform(0.06, 0.2) ** 2) * q2 * rng.uniform(0.3, 1.5))
    return np.asarray(np.sin(aberration + amplitude_part) * envelope, np.float32)


def wavelength_nm(energy_kev: float) -> float:
    """Return the relativistic wavelength of electrons: 2.51 pm at 200 keV."""
    return float(1.22643 / np.sqrt(energy_kev * 1e3 * (1 + 0.97845e-3 * energy_kev)))


def _recorded(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """Return an image with the camera's noise, uneven illumination and unequal ports."""
    noise = gaussian_filter(rng.standard_normal(image.shape, np.float32), rng.uniform(0, 0.7))
    image = image + _log_uniform(rng, 0.05, 0.8) * noise
    image += rng.choice([0.0, 0.1, 0.3, 0.6]) * _smooth_noise(rng, rng.uniform(40, 90))
    if rng.random() < 0.2:
        row, column = rng.integers(SIDE_PX // 4, 3 * SIDE_PX // 4, 2)
        for rows in (slice(None, row), slice(row, None)):
            for columns in (slice(None, column), slice(column, None)):
                image[rows, columns] += rng.normal(0, 0.25)
    return image


def _amorphous(rng: np.random.Generator) -> FloatImage:
    """Return the potential of an amorphous film: random atoms of some size, variance 1."""
    return _smooth_noise(rng, rng.uniform(0.8, 2.5) / np.sqrt(2))


def _smooth_noise(rng: np.random.Generator, sigma_px: float) -> FloatImage:
    """Return periodic Gaussian noise, smoothed, with mean 0 and standard deviation 1."""
    noise = rng.standard_normal((SIDE_PX, SIDE_PX), np.float32)
    smooth = _filtered(noise, np.exp(-2 * (np.pi * sigma_px) ** 2 * FREQUENCY_2))
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def _filtered(image: FloatImage, transfer: FloatImage) -> FloatImage:
    return np.asarray(fft.irfft2(fft.rfft2(image) * transfer, s=image.shape), np.float32)


def _soft(mask: Mask, sigma_px: float) -> FloatImage:
    return np.asarray(gaussian_filter(mask.astype(np.float32), sigma_px), np.float32)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def main() -> None:
    """Draw scenes beside their truth."""
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("scenes.png"))
    options = parser.parse_args()
    pairs = 4
    rows = -(-options.count // pairs)
    figure = Figure(figsize=(4.4 * pairs, 2.3 * rows), layout="constrained")
    panels = figure.subplots(rows, 2 * pairs, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for number in range(options.count):
        scene = draw_scene(np.random.default_rng([options.seed, number]))
        panels[2 * number].imshow(scene.image, cmap="gray")
        panels[2 * number].set_title(f"{scene.kind}, {scene.pixel_size_nm:.3f} nm/px", fontsize=8)
        panels[2 * number + 1].imshow(
            scene.truth, cmap="viridis", vmin=0, vmax=len(CLASSES) - 1, interpolation="nearest"
        )
    figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
