"""Simulate bright-field TEM images of nanoparticles on amorphous carbon, with true masks.

Examples
--------
The images beside this script::

    python sample_data/simulate.py --set high_resolution --count 8 --seed 1
    python sample_data/simulate.py --set low_magnification --count 8 --seed 1

A training set of another metal::

    python sample_data/simulate.py --out /tmp/platinum --set high_resolution --material Pt \
        --count 100 --exposures 4 --seed 7
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import tifffile
from microscope import Camera, Lens, exit_wave, mean_intensity, record
from numpy.typing import NDArray
from recipes import (
    IMAGE_PX,
    RECIPES,
    Frame,
    Recipe,
    draw_camera,
    draw_frame,
    draw_lens,
    draw_plan,
)
from specimen import MATERIALS, SpecimenPlan, build_specimen
from strokes import draw_strokes

__all__ = ["Exposure", "amplitude_contrast", "main", "simulate_set", "simulate_specimen"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """One image with its truth and how it came about."""

    image: NDArray[np.uint16]
    mask: NDArray[np.bool_]
    strokes: NDArray[np.uint8]
    frame: Frame
    plan: SpecimenPlan
    diameters_a: tuple[float, ...]
    lens: Lens
    camera: Camera

    def parameters(self, specimen: int, seed: int, recipe: Recipe) -> dict[str, Any]:
        """Return a flat record; a name ends with its unit."""
        return {
            "specimen": specimen,
            "seed": seed,
            "material": self.plan.material,
            "pixel_size_nm": self.frame.pixel_size_nm,
            "sampling_nm": self.frame.pixel_size_nm / self.frame.samples,
            "slice_nm": recipe.slice_a / 10.0,
            "energy_kev": recipe.energy_kev,
            "film_nm": self.plan.film_a / 10.0,
            "diameters_nm": [diameter / 10.0 for diameter in self.diameters_a],
            "particle_area": float(self.mask.mean()),
            "amplitude_contrast": amplitude_contrast(self.image, self.mask),
            "mean_counts": float(self.image.mean()),
            **asdict(self.lens),
            **asdict(self.camera),
        }


def uneven_illumination(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the beam's intensity over the image: a tilt of a few per cent, mean 1."""
    rows, columns = np.linspace(-0.5, 0.5, IMAGE_PX), np.linspace(-0.5, 0.5, IMAGE_PX)
    slope = rng.normal(0.0, 0.015, 2)
    return np.asarray(1.0 + slope[0] * rows[:, None] + slope[1] * columns[None, :])


def amplitude_contrast(image: NDArray[Any], mask: NDArray[Any]) -> float:
    """Return the difference of the class means over the pooled standard deviation.

    Parameters
    ----------
    image, mask
        Shape (row, column); the mask is true on particles.

    Returns
    -------
    float
        Negative where particles are darker than the background.
    """
    particle, background = image[mask > 0].astype(float), image[mask == 0].astype(float)
    within = particle.size * particle.var() + background.size * background.var()
    return float((particle.mean() - background.mean()) / np.sqrt(within / image.size))


def write_tiff(path: Path, pixels: NDArray[Any], pixel_size_nm: float) -> None:
    """Write an image or a mask with its pixel size, as ImageJ and most readers understand it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1.0 / pixel_size_nm, 1.0 / pixel_size_nm),
        metadata={"axes": "YX", "unit": "nm"},
        # Shot noise hardly compresses, and plain images open everywhere.
        compression="zlib" if pixels.dtype == np.uint8 else None,
    )


def simulate_specimen(
    recipe: Recipe, material: str, index: int, exposures: int, seed: int
) -> Iterator[Exposure]:
    """Simulate the exposures of one specimen.

    The specimen depends on the seed and its own number only, so a longer set begins with the
    images of a shorter one.
    """
    numbers = [seed, ord(recipe.short[0]), index]
    rng = np.random.default_rng(numbers)
    frame = draw_frame(recipe, index)
    plan = draw_plan(recipe, material, frame, rng)
    specimen = build_specimen(plan, rng)
    samples = frame.cell_px * frame.samples
    mask = frame.to_image(specimen.footprint(samples)) >= 0.5
    wave = exit_wave(specimen.atoms, samples, recipe.energy_kev, recipe.slice_a)
    for exposure in range(exposures):
        lens, camera = draw_lens(recipe, index, rng), draw_camera(recipe, frame, rng)
        intensity = frame.to_image(
            mean_intensity(wave, specimen.atoms, lens)
        ) * uneven_illumination(rng)
        image = record(intensity, frame.pixel_size_nm, camera, rng)
        # A hand of their own: strokes can change without changing the images after them.
        strokes = draw_strokes(mask, np.random.default_rng([*numbers, exposure]))
        yield Exposure(image, mask, strokes, frame, plan, specimen.diameters_a, lens, camera)


def simulate_set(
    folder: Path,
    name: str,
    count: int,
    seed: int,
    *,
    material: str = "Au",
    exposures: int = 1,
    strokes: int | None = None,
) -> list[dict[str, Any]]:
    """Simulate a set and write its files.

    Parameters
    ----------
    folder
        Gets `<name>/images`, `<name>/labels`, `<name>/strokes` and `parameters.json`.
    name
        A key of `RECIPES`.
    count
        Number of images.
    seed
        Same seed, same images.
    material
        A key of `specimen.MATERIALS`.
    exposures
        Images of each specimen, with other defocus, aberrations and dose. Keep images of one
        specimen on one side of a training/validation split.
    strokes
        How many images get strokes, from the first on; all if None.

    Returns
    -------
    list of dict
        The parameters of each image, as in `parameters.json`.
    """
    recipe = RECIPES[name]
    rows: list[dict[str, Any]] = []
    for index in range(-(-count // exposures)):
        started = time.perf_counter()
        wanted = min(exposures, count - len(rows))
        for exposure in simulate_specimen(recipe, material, index, wanted, seed):
            stem = f"{MATERIALS[material].name}_{recipe.short}_{len(rows) + 1:02d}"
            pixel_nm = exposure.frame.pixel_size_nm
            file = f"{stem}.tif"
            write_tiff(folder / name / "images" / file, exposure.image, pixel_nm)
            write_tiff(folder / name / "labels" / file, exposure.mask.astype(np.uint8), pixel_nm)
            if strokes is None or len(rows) < strokes:
                write_tiff(folder / name / "strokes" / file, exposure.strokes, pixel_nm)
            rows.append({"name": stem, **exposure.parameters(index, seed, recipe)})
            print(f"{stem}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    write_parameters(folder / "parameters.json", name, rows)
    return rows


def write_parameters(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write the parameters of a set beside those of the other sets."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, name: rows}, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Simulate what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to"
    )
    parser.add_argument("--set", choices=sorted(RECIPES), required=True, help="kind of images")
    parser.add_argument("--count", type=int, default=8, help="number of images")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same images")
    parser.add_argument("--material", choices=sorted(MATERIALS), default="Au")
    parser.add_argument("--exposures", type=int, default=1, help="images of each specimen")
    parser.add_argument("--strokes", type=int, help="images that get strokes (default: all)")
    given = parser.parse_args()
    # One thread: the grids are small, and sets are best made by several processes.
    with dask.config.set(scheduler="synchronous"):
        simulate_set(
            given.out,
            given.set,
            given.count,
            given.seed,
            material=given.material,
            exposures=given.exposures,
            strokes=given.strokes,
        )


if __name__ == "__main__":
    main()
