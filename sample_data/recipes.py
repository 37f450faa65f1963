"""What the sets of images are drawn from, and the draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from microscope import Camera, Lens
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from specimen import SpecimenPlan

__all__ = [
    "IMAGE_PX",
    "RECIPES",
    "Frame",
    "Optics",
    "Recipe",
    "draw_camera",
    "draw_frame",
    "draw_lens",
    "draw_plan",
]

IMAGE_PX = 512
Range = tuple[float, float]
OPEN_MRAD = (60.0, 100.0)  # no objective aperture: the bore of the lens


class Optics(NamedTuple):
    """A microscope: what is fixed, and the ranges of what its user sets."""

    spherical_mm: float
    defocus_nm: Range
    aperture_mrad: Range


@dataclass(frozen=True, slots=True)
class Recipe:
    """The ranges from which the images of a set are drawn.

    Attributes
    ----------
    short
        Two letters for the file names.
    pixel_sizes_nm
        Pixel sizes, taken in turn.
    sampling_nm
        The multislice grid is the coarsest whole fraction of the pixel that is not above this.
    slice_a
        Thickness of the slices in Å.
    margin_nm
        What is simulated around the image and cut off, so that no particle shows up at two borders
        of the periodic cell.
    energy_kev
        Electron energy.
    diameters_nm, film_nm, coverage
        The specimen: see `SpecimenPlan`.
    on_zone, twinned
        Probabilities: see `SpecimenPlan`.
    optics
        Microscopes, taken in turn.
    dose_per_nm2
        Electrons per nm², drawn evenly on a logarithmic scale.
    """

    short: str
    pixel_sizes_nm: tuple[float, ...]
    sampling_nm: float
    slice_a: float
    margin_nm: float
    energy_kev: float
    diameters_nm: Range
    film_nm: Range
    coverage: Range
    on_zone: float
    twinned: float
    optics: tuple[Optics, ...]
    dose_per_nm2: Range


RECIPES = {
    "high_resolution": Recipe(
        short="hr",
        pixel_sizes_nm=(0.03, 0.02, 0.04, 0.025),
        sampling_nm=0.025,
        slice_a=2.0,
        margin_nm=2.0,
        energy_kev=300.0,
        diameters_nm=(2.0, 6.0),
        film_nm=(2.0, 8.0),
        coverage=(0.12, 0.35),
        on_zone=0.5,
        twinned=0.3,
        # An aberration-corrected microscope, and a common one near its Scherzer defocus of 58 nm
        # with and without objective aperture. Without one, nearly all electrons reach the camera
        # and particles are hardly darker than the film.
        optics=(
            Optics(-0.013, (2.0, 12.0), OPEN_MRAD),
            Optics(1.2, (40.0, 90.0), (18.0, 24.0)),
            Optics(1.2, (40.0, 90.0), OPEN_MRAD),
        ),
        dose_per_nm2=(1e4, 3e5),
    ),
    "low_magnification": Recipe(
        short="lm",
        pixel_sizes_nm=(0.12, 0.1, 0.16, 0.2),
        # Up to 2/3 of the Nyquist angle a wave is right: {220} and {311} reflections of gold still
        # scatter electrons out of the aperture at 0.04 nm.
        sampling_nm=0.04,
        slice_a=4.0,
        margin_nm=5.0,
        energy_kev=200.0,
        diameters_nm=(4.0, 20.0),
        film_nm=(3.0, 8.0),
        coverage=(0.12, 0.3),
        on_zone=0.2,
        twinned=0.3,
        optics=(Optics(1.2, (0.0, 300.0), (5.0, 9.0)),),
        dose_per_nm2=(1e3, 1e4),
    ),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """How the image lies in the simulated cell.

    Attributes
    ----------
    pixel_size_nm
        Side of a pixel of the image.
    margin_px
        Pixels that are cut off at each side.
    samples
        Multislice samples along the side of one pixel.
    """

    pixel_size_nm: float
    margin_px: int
    samples: int

    @property
    def cell_px(self) -> int:
        """Pixels along each side of the cell."""
        return IMAGE_PX + 2 * self.margin_px

    def to_image(self, samples: NDArray[Any]) -> NDArray[np.float64]:
        """Average samples over pixels and cut the margin off."""
        shape = (self.cell_px, self.samples, self.cell_px, self.samples)
        pixels = samples.reshape(shape).mean(axis=(1, 3))  # (row, column)
        inner = slice(self.margin_px, self.margin_px + IMAGE_PX)
        return np.asarray(pixels[inner, inner], dtype=np.float64)


def draw_frame(recipe: Recipe, index: int) -> Frame:
    """Return the frame of specimen number `index`."""
    pixel_nm = recipe.pixel_sizes_nm[index % len(recipe.pixel_sizes_nm)]
    samples = int(np.ceil(pixel_nm / recipe.sampling_nm - 1e-9))
    # Sides with small prime factors: Fourier transforms of others take several times longer.
    half_px = next_fast_len(IMAGE_PX // 2 + int(np.ceil(recipe.margin_nm / pixel_nm)))
    return Frame(pixel_nm, half_px - IMAGE_PX // 2, samples)


def draw_plan(
    recipe: Recipe, material: str, frame: Frame, rng: np.random.Generator
) -> SpecimenPlan:
    """Return a specimen's plan."""
    smallest, largest = recipe.diameters_nm
    return SpecimenPlan(
        material=material,
        width_a=frame.cell_px * frame.pixel_size_nm * 10.0,
        film_a=rng.uniform(*recipe.film_nm) * 10.0,
        diameters_a=(smallest * 10.0, largest * 10.0),
        coverage=rng.uniform(*recipe.coverage),
        on_zone=recipe.on_zone,
        twinned=recipe.twinned,
    )


def draw_lens(recipe: Recipe, index: int, rng: np.random.Generator) -> Lens:
    """Return the microscope's state for one exposure of specimen number `index`."""
    spherical_mm, defocus_nm, aperture_mrad = recipe.optics[index % len(recipe.optics)]
    return Lens(
        defocus_nm=rng.uniform(*defocus_nm),
        spherical_mm=spherical_mm,
        astigmatism_nm=rng.uniform(0.0, 2.0),
        astigmatism_rad=rng.uniform(0.0, np.pi),
        aperture_mrad=rng.uniform(*aperture_mrad),
        focal_spread_nm=rng.uniform(2.0, 4.0),
        convergence_mrad=rng.uniform(0.1, 0.3),
        vibration_nm=rng.uniform(0.02, 0.04),
    )


def draw_camera(recipe: Recipe, frame: Frame, rng: np.random.Generator) -> Camera:
    """Return an exposure that uses a good part of the camera's range."""
    dose = float(np.exp(rng.uniform(*np.log(recipe.dose_per_nm2))))
    electrons = dose * frame.pixel_size_nm**2
    return Camera(
        dose_per_nm2=dose,
        # A mean of about 8000 counts leaves room below 65535 for bright Fresnel fringes.
        counts_per_electron=min(40.0, 8000.0 / electrons),
        spread_px=rng.uniform(0.4, 0.7),
        readout_counts=rng.uniform(5.0, 15.0),
        offset_counts=100.0,
    )
