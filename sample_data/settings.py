"""Quick micrographs of one specimen at chosen settings of the microscope, with the truth per pixel.

Where `weak_phase.py` draws a new specimen and a new lens for each image, here both stay and single
settings are changed: the size of a pixel, dose, defocus, thickness of the support. So it can be
seen what a network that was trained at one setting is worth at another. Lengths are nm.

particles
    Crystals on an amorphous film, shown by their lattice and by more or less amplitude contrast.
masses
    Particles at low magnification, shown by amplitude contrast alone.
sheet
    A crystalline sheet with amorphous matter on it, which is what is looked for.

Phase contrast is linear, as in `weak_phase.py`; electrons are counted (Poisson) and spread by the
camera.

Show one specimen at several settings::

    python sample_data/settings.py --seed 3 --out settings.png
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter
from weak_phase import wavelength_nm

__all__ = ["Settings", "Specimen", "draw_image", "draw_specimen"]

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]
Kind = Literal["particles", "masses", "sheet"]

ATOM_NM = 0.06
PHASE = 0.28  # of the lattice in an image of perfect transfer, as a part of the mean


@dataclass(frozen=True, slots=True)
class Settings:
    """What may change between images of one specimen.

    Attributes
    ----------
    pixel_nm
        Side of a pixel.
    dose
        Electrons per nm².
    defocus_nm
        Positive is underfocus.
    thickness
        Of the film, or of the matter on a sheet, beside the specimen's own.
    """

    pixel_nm: float
    dose: float
    defocus_nm: float
    thickness: float = 1.0


@dataclass(frozen=True, slots=True)
class Specimen:
    """What is looked at, and the microscope's usual settings.

    Attributes
    ----------
    kind
    spacing_nm
        Of the lattice.
    radius_nm
        Usual radius of particles, or size of patches.
    cover
        Part of the image that they cover.
    film
        Strength of the amorphous film's phase contrast beside the lattice's.
    mass
        Amplitude contrast of a particle of full thickness, as a part of the mean.
    uneven
        Uneven illumination and film, as a part of the mean.
    energy_kev, spherical_nm, envelope_nm
        The lens; the envelope is a Gaussian's standard deviation.
    spread_px
        Standard deviation of the camera's spread.
    usual
        Settings that a network is trained at.
    """

    kind: Kind
    spacing_nm: float
    radius_nm: float
    cover: float
    film: float
    mass: float
    uneven: float
    energy_kev: float
    spherical_nm: float
    envelope_nm: float
    spread_px: float
    usual: Settings


def draw_specimen(rng: np.random.Generator, kind: Kind) -> Specimen:
    """Return a random specimen of a kind, with usual settings for it."""
    corrected = rng.random() < 0.5
    spherical_nm = 0.0 if corrected else 1.2e6 * rng.uniform(0.4, 1.0)
    defocus_nm = rng.uniform(4, 12) if corrected else rng.uniform(40, 90)
    if kind == "masses":
        radius_nm = _log_uniform(rng, 3, 12)
        pixel_nm = radius_nm / _log_uniform(rng, 10, 26)
        electrons = _log_uniform(rng, 12, 150)
        defocus_nm = rng.uniform(100, 400)
    else:
        radius_nm = _log_uniform(rng, 0.9, 2.6)
        spacing_nm = rng.uniform(0.16, 0.3)
        pixel_nm = spacing_nm / _log_uniform(rng, 4.5, 9)
        electrons = _log_uniform(rng, 40, 400)
    return Specimen(
        kind=kind,
        spacing_nm=rng.uniform(0.16, 0.3) if kind == "masses" else spacing_nm,
        radius_nm=radius_nm,
        cover=rng.uniform(0.12, 0.35),
        film=rng.uniform(0.3, 0.9),
        mass={
            "particles": float(rng.choice([0.0, 0.05, 0.12, 0.25])),
            "masses": _log_uniform(rng, 0.15, 0.6),
            "sheet": float(rng.choice([0.0, 0.03, 0.08])),
        }[kind],
        uneven=rng.uniform(0.0, 0.06),
        energy_kev=float(rng.choice([80.0, 200.0, 300.0])),
        spherical_nm=spherical_nm,
        envelope_nm=rng.uniform(0.02, 0.045),
        spread_px=rng.uniform(0.0, 0.7),
        usual=Settings(pixel_nm, electrons / pixel_nm**2, defocus_nm),
    )


def draw_image(
    specimen: Specimen, settings: Settings, rng: np.random.Generator, side_px: int = 256
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return counts and mask of another place of a specimen.

    Parameters
    ----------
    specimen : Specimen
    settings : Settings
    rng : numpy.random.Generator
        The only source of chance.
    side_px : int
        Rows and columns of the image.
    """
    grid = np.mgrid[:side_px, :side_px].astype(np.float32) * np.float32(settings.pixel_nm)
    frequency = _frequencies(side_px, settings.pixel_nm)
    grain = _smooth_noise(rng, side_px, ATOM_NM / settings.pixel_nm)
    thick = settings.thickness
    if specimen.kind == "sheet":
        mask = _patches(rng, side_px, 0.4 * specimen.radius_nm / settings.pixel_nm, specimen.cover)
        depth = gaussian_filter(mask.astype(np.float32), 0.15 / settings.pixel_nm)
        depth *= 1 + 0.3 * _smooth_noise(rng, side_px, specimen.radius_nm / settings.pixel_nm)
        potential = _lattice(rng, specimen.spacing_nm, grid, settings.pixel_nm)
        potential += 2.5 * specimen.film * np.sqrt(thick) * np.maximum(depth, 0) * grain
        mass = specimen.mass * thick * depth
    else:
        numbered = _bodies(rng, side_px, specimen.radius_nm / settings.pixel_nm, specimen.cover)
        mask = numbered > 0
        potential = specimen.film * np.sqrt(thick) * grain
        depth = np.zeros_like(potential)
        for number, box in enumerate(find_objects(numbered), start=1):
            if box is None:
                continue
            # with a pixel around it, that its edge is one
            box = tuple(slice(max(0, each.start - 1), each.stop + 1) for each in box)
            inside = numbered[box] == number
            edge_nm = distance_transform_edt(inside)[inside] * settings.pixel_nm
            own = np.minimum(edge_nm / (0.3 * specimen.radius_nm), 1).astype(np.float32)
            depth[box][inside] = own * np.float32(rng.uniform(0.6, 1.0))
            if specimen.kind == "particles":
                spacing = specimen.spacing_nm * rng.uniform(0.85, 1.15)
                wave = _lattice(rng, spacing, grid[:, *box][:, inside], settings.pixel_nm)
                potential[box][inside] += rng.uniform(0.6, 1.6) * depth[box][inside] * wave
        mass = specimen.mass * depth
    if specimen.kind == "masses":
        phase = gaussian_filter(potential, 1.0) * np.float32(0.3)
    else:
        phase = _filtered(potential, _transfer(specimen, settings, frequency))
    drift = 1 + specimen.uneven * _smooth_noise(rng, side_px, side_px / 5)
    intensity = (1 + PHASE * phase - mass) * drift * np.exp(-0.05 * (thick - 1))
    electrons = rng.poisson(np.maximum(intensity, 0.02) * settings.dose * settings.pixel_nm**2)
    counts = gaussian_filter(20.0 * electrons, specimen.spread_px) + 100
    counts += rng.normal(0, 4, counts.shape)
    return np.clip(np.rint(counts), 0, 65535).astype(np.uint16), mask.astype(np.uint8)


def _transfer(specimen: Specimen, settings: Settings, q: FloatImage) -> FloatImage:
    """Return the lens's phase contrast transfer at frequencies in 1/nm."""
    wavelength, q2 = wavelength_nm(specimen.energy_kev), q**2
    aberration = np.pi * wavelength * q2
    aberration *= settings.defocus_nm - 0.5 * specimen.spherical_nm * wavelength**2 * q2
    # illumination that is not quite parallel costs more, the farther from focus
    slope = settings.defocus_nm * q - specimen.spherical_nm * wavelength**2 * q**3
    coherence = np.exp(-((np.pi * 2e-4 * slope) ** 2))
    envelope = np.exp(-2 * (np.pi * specimen.envelope_nm) ** 2 * q2)
    return np.asarray(np.sin(aberration + 0.1) * envelope * coherence, np.float32)


def _lattice(
    rng: np.random.Generator, spacing_nm: float, grid: FloatImage, pixel_nm: float
) -> FloatImage:
    """Return plane waves of a random crystal at places (row, column) in nm, of variance 1."""
    direction, wide = rng.uniform(0, np.pi), float(rng.choice([np.pi / 3, np.pi / 2]))
    wave = np.zeros(grid.shape[1:], np.float32)
    for number in range(1 if rng.random() < 0.25 else 2):
        at = direction + number * wide
        g = np.array([np.sin(at), np.cos(at)]) / spacing_nm
        phase = 2 * np.pi * (g[0] * grid[0] + g[1] * grid[1] + rng.random())
        wave += np.cos(phase, dtype=np.float32) * np.float32(rng.uniform(0.5, 1))
    # what pixels are too large for is averaged by them
    return np.asarray(wave / 0.75 if 2 * pixel_nm < spacing_nm else 0 * wave, np.float32)


def _bodies(
    rng: np.random.Generator, side_px: int, radius_px: float, cover: float
) -> NDArray[np.int32]:
    """Return numbered particles: circles cut by some straight sides."""
    rows, columns = np.mgrid[:side_px, :side_px].astype(np.float32)
    numbered = np.zeros((side_px, side_px), np.int32)
    for number in range(1, 400):
        if (numbered > 0).mean() > cover:
            break
        radius = radius_px * rng.uniform(0.65, 1.4)
        row, column = rng.uniform(0, side_px, 2)
        tilt, sides = rng.uniform(0, 2 * np.pi), int(rng.integers(4, 9))
        reach = 1.2 * radius + 2
        window = tuple(slice(max(0, int(at - reach)), int(at + reach) + 2) for at in (row, column))
        down, right = rows[window] - row, columns[window] - column
        angles = tilt + 2 * np.pi * np.arange(sides)[:, None, None] / sides
        out = np.max(np.cos(angles) * right + np.sin(angles) * down, axis=0)
        body = (np.hypot(down, right) < radius) & (out < radius * rng.uniform(0.82, 1.0))
        numbered[window][body & (numbered[window] == 0)] = number
    return numbered


def _patches(rng: np.random.Generator, side_px: int, size_px: float, cover: float) -> Mask:
    noise = _smooth_noise(rng, side_px, size_px) + 0.2 * _smooth_noise(rng, side_px, size_px / 4)
    return np.asarray(noise > np.quantile(noise, 1 - cover))


def _smooth_noise(rng: np.random.Generator, side_px: int, sigma_px: float) -> FloatImage:
    """Return periodic Gaussian noise, smoothed, with mean 0 and standard deviation 1."""
    noise = rng.standard_normal((side_px, side_px), np.float32)
    smooth = _filtered(noise, np.exp(-2 * (np.pi * sigma_px * _frequencies(side_px, 1.0)) ** 2))
    return np.asarray((smooth - smooth.mean()) / smooth.std(), np.float32)


def _filtered(image: FloatImage, transfer: FloatImage) -> FloatImage:
    return np.asarray(fft.irfft2(fft.rfft2(image) * transfer, s=image.shape), np.float32)


def _frequencies(side_px: int, pixel_nm: float) -> FloatImage:
    rows, columns = fft.fftfreq(side_px, pixel_nm), fft.rfftfreq(side_px, pixel_nm)
    return np.hypot(rows[:, None], columns).astype(np.float32)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def main() -> None:
    """Draw one specimen of each kind at some settings."""
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("settings.png"))
    options = parser.parse_args()
    kinds: tuple[Kind, ...] = ("particles", "masses", "sheet")
    figure = Figure(figsize=(15, 7.8), layout="constrained")
    panels = figure.subplots(3, 6)
    for number, kind in enumerate(kinds):
        rng = np.random.default_rng([options.seed, number])
        specimen = draw_specimen(rng, kind)
        usual = specimen.usual
        shown = {
            "usual": usual,
            "pixel x 1.5": replace(usual, pixel_nm=1.5 * usual.pixel_nm),
            "pixel x 0.67": replace(usual, pixel_nm=usual.pixel_nm / 1.5),
            "dose / 8": replace(usual, dose=usual.dose / 8),
            "defocus + 60 nm": replace(usual, defocus_nm=usual.defocus_nm + 60),
            "film x 5": replace(usual, thickness=5.0),
        }
        for panel, (title, settings) in zip(panels[number], shown.items(), strict=True):
            counts, _ = draw_image(specimen, settings, np.random.default_rng([options.seed, 9]))
            panel.imshow(counts, cmap="gray")
            panel.set_title(f"{kind}, {title}", fontsize=8)
            panel.axis("off")
    figure.savefig(options.out)
    print(options.out)


if __name__ == "__main__":
    main()
