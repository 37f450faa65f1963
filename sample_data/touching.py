"""Micrographs of crowded particles that touch and overlap, with a number for each particle.

Bright-field images at low magnification, drawn in a tenth of a second each: ellipsoids of several
sizes in clusters, whose edges overlap by up to a sixth of their radii. What the beam passes in two
particles is darker than in one; some crystals diffract, and are darker as a whole. Film, uneven
illumination, blur and shot noise are as in any recorded image. Where two overlap, the labels give
the pixel to the upper one, as somebody who draws outlines would.

Write a set::

    python sample_data/touching.py --out touching --count 60 --seed 1

In ``touching/``: ``images/`` (512 x 512, 16-bit counts), ``labels/`` (16 bits, 0 = background, then
a number for each particle) and ``masks/`` (1 = particle), all TIFF with the pixel size in nm.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["IMAGE_PX", "PIXEL_NM", "TouchingScene", "draw_touching", "write_set"]

IMAGE_PX = 512
PIXEL_NM = 0.2

_MARGIN_PX = 30
_RADII_PX = (6.0, 26.0)
_MOST_OVERLAP = 0.22  # of the area of the smaller one
_TRIES = 4_000


@dataclass(frozen=True, slots=True, eq=False)
class TouchingScene:
    """An image and its truth.

    Attributes
    ----------
    image : ndarray of uint16, shape (row, column)
        Counts of electrons.
    numbers : ndarray of uint16, shape (row, column)
        0 = background, then 1, 2, ... for the particles.
    """

    image: NDArray[np.uint16]
    numbers: NDArray[np.uint16]


@dataclass(slots=True)
class _Particle:
    """An ellipsoid that lies flat: where it is, and how it darkens the image."""

    row: float
    column: float
    radii: tuple[float, float]
    turn: float
    strength: float


def draw_touching(rng: np.random.Generator, side_px: int = IMAGE_PX) -> TouchingScene:
    """Return a random scene of crowded particles.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    side_px : int
        Rows and columns of the image.
    """
    side = side_px + 2 * _MARGIN_PX
    mean_radius = rng.uniform(1.5 * _RADII_PX[0], 0.75 * _RADII_PX[1])
    spread = rng.uniform(0.1, 0.35)
    wanted = rng.uniform(0.3, 0.5) * side * side
    numbers = np.zeros((side, side), np.uint16)
    mass = np.zeros((side, side), np.float32)
    areas: dict[int, int] = {}
    placed: list[_Particle] = []
    covered = 0
    for _ in range(_TRIES):
        if covered >= wanted:
            break
        particle = _draw(rng, placed, side, mean_radius, spread)
        window, shape, thickness = _seen(particle, side)
        if not shape.any():
            continue
        below = numbers[window][shape]
        hidden = np.bincount(below, minlength=1)[1:]
        smallest = min([int(shape.sum()), *(areas[int(k) + 1] for k in np.flatnonzero(hidden))])
        if hidden.sum() > _MOST_OVERLAP * smallest:
            continue
        placed.append(particle)
        areas[len(placed)] = int(shape.sum())
        covered += int(shape.sum()) - int(hidden.sum())
        numbers[window][shape] = len(placed)
        mass[window] += particle.strength * thickness
    inner = slice(_MARGIN_PX, _MARGIN_PX + side_px)
    image = _recorded(mass / mean_radius, rng)[inner, inner]
    _, kept = np.unique(numbers[inner, inner], return_inverse=True)
    kept = kept.reshape(side_px, side_px) + (0 if (numbers[inner, inner] == 0).any() else 1)
    return TouchingScene(image, kept.astype(np.uint16))


def _draw(
    rng: np.random.Generator,
    placed: list[_Particle],
    side: int,
    mean_radius: float,
    spread: float,
) -> _Particle:
    """Return a particle: most lie beside another one, with their edges over each other."""
    radius = float(np.clip(mean_radius * np.exp(spread * rng.standard_normal()), *_RADII_PX))
    aspect = float(np.exp(0.15 * abs(rng.standard_normal())))
    radii = (radius * aspect**0.5, radius / aspect**0.5)
    row, column = rng.uniform(0, side, 2)
    if placed and rng.random() < 0.8:
        beside = placed[int(rng.integers(len(placed)))]
        direction = rng.uniform(0, 2 * np.pi)
        reach = (radius + sum(beside.radii) / 2) * (1 - rng.uniform(-0.03, 0.17))
        row = beside.row + reach * np.sin(direction)
        column = beside.column + reach * np.cos(direction)
    row, column = np.clip((row, column), 0, side - 1)
    diffracts = rng.random() < 0.15
    strength = rng.uniform(0.8, 1.2) * (1.8 if diffracts else 1.0)
    return _Particle(float(row), float(column), radii, float(rng.uniform(0, np.pi)), strength)


def _seen(
    particle: _Particle, side: int
) -> tuple[tuple[slice, slice], NDArray[np.bool_], NDArray[np.float32]]:
    """Return the window of a particle, where it is in there, and how thick."""
    reach = int(max(particle.radii)) + 2
    rows, columns = (
        slice(max(0, int(at) - reach), max(0, min(side, int(at) + reach + 1)))
        for at in (particle.row, particle.column)
    )
    row, column = np.mgrid[rows, columns].astype(np.float32)
    row, column = row - particle.row, column - particle.column
    cosine, sine = np.cos(particle.turn), np.sin(particle.turn)
    along = (cosine * column + sine * row) / particle.radii[0]
    across = (cosine * row - sine * column) / particle.radii[1]
    left = 1 - along**2 - across**2
    thickness = 2 * min(particle.radii) * np.sqrt(np.maximum(left, 0))
    return (rows, columns), left > 0, thickness.astype(np.float32)


def _recorded(mass: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Return the counts of a camera behind matter of this mass thickness."""
    shape = mass.shape
    film = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), rng.uniform(0.8, 2.0))
    film /= film.std()
    clouds = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 60.0)
    clouds /= clouds.std()
    passed = np.exp(-rng.uniform(0.18, 0.5) * mass - 0.05 * film)
    passed = gaussian_filter(passed, rng.uniform(0.7, 1.6)) * (1 + 0.06 * clouds)
    dose = np.exp(rng.uniform(np.log(30.0), np.log(400.0)))  # electrons a pixel
    return np.minimum(rng.poisson(dose * np.maximum(passed, 0)), 65_535).astype(np.uint16)


def write_set(folder: Path, count: int, seed: int) -> list[Path]:
    """Write ``count`` images with their labels and masks into a folder; return the images."""
    written = []
    for number in range(1, count + 1):
        # each image by itself: a longer set begins with the images of a shorter one
        scene = draw_touching(np.random.default_rng([seed, number]))
        name = f"touching_{number:03d}.tif"
        for kind, pixels in (
            ("images", scene.image),
            ("labels", scene.numbers),
            ("masks", (scene.numbers > 0).astype(np.uint8)),
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                folder / kind / name,
                pixels,
                imagej=True,
                compression="zlib",
                resolution=(1 / PIXEL_NM, 1 / PIXEL_NM),
                metadata={"unit": "nm", "axes": "YX"},
            )
        written.append(folder / "images" / name)
    return written


def main() -> None:
    """Read the command line and write a set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--count", type=int, default=60, help="images, at most 100")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if not 1 <= given.count <= 100:
        parser.error(f"--count is {given.count}: give 1 to 100")
    for path in write_set(given.out, given.count, given.seed):
        print(path)


if __name__ == "__main__":
    main()
