"""From atoms to detector counts: multislice, lens, partial coherence, camera.

The multislice calculation and the lens's transfer function are abTEM's (J. Madsen and T. Susi,
Open Research Europe 2021, doi 10.12688/openreseurope.13015.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import abtem
import numpy as np
from abtem.core.energy import energy2wavelength
from abtem.parametrizations import LobatoParametrization
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["Camera", "Lens", "exit_wave", "mean_intensity", "record"]

FloatArray = NDArray[np.float64]
Waves: TypeAlias = Any  # abtem.Waves: abTEM's hints are unions that only run time narrows
# Measuring the fastest plan takes minutes for a new size, longer than it saves.
abtem.config.set({"fftw.planning_effort": "FFTW_ESTIMATE"})

FOCUS_NODES = 5  # points of the Gauss-Hermite rule over the focal spread


@dataclass(frozen=True, slots=True)
class Lens:
    """The objective lens and its illumination.

    Attributes
    ----------
    defocus_nm
        Positive is underfocus, measured from the exit side of the highest particle.
    spherical_mm
        Spherical aberration.
    astigmatism_nm, astigmatism_rad
        Twofold astigmatism and its azimuth.
    aperture_mrad
        Semi-angle of the objective aperture.
    focal_spread_nm
        Standard deviation of the defocus, from chromatic aberration and energy spread.
    convergence_mrad
        Semi-angle of the illumination's angular spread.
    vibration_nm
        Standard deviation of the image's movement during the exposure.
    """

    defocus_nm: float
    spherical_mm: float
    astigmatism_nm: float
    astigmatism_rad: float
    aperture_mrad: float
    focal_spread_nm: float
    convergence_mrad: float
    vibration_nm: float


@dataclass(frozen=True, slots=True)
class Camera:
    """The exposure and the detector.

    Attributes
    ----------
    dose_per_nm2
        Electrons per nm² of specimen.
    counts_per_electron
        Gain.
    spread_px
        Standard deviation of the scintillator's spread: it correlates neighbouring pixels' noise.
    readout_counts
        Standard deviation of the readout noise.
    offset_counts
        Level without beam.
    """

    dose_per_nm2: float
    counts_per_electron: float
    spread_px: float
    readout_counts: float
    offset_counts: float


def exit_wave(atoms: Atoms, pixels: int, energy_kev: float, slice_a: float) -> Waves:
    """Return the wave behind the specimen for a plane wave along z.

    Parameters
    ----------
    atoms
        The specimen, in an orthorhombic cell.
    pixels
        Samples along each side of the cell.
    energy_kev
        Electron energy.
    slice_a
        Thickness of the slices in Å.
    """
    potential: Any = abtem.Potential(
        atoms,
        gpts=(pixels, pixels),
        slice_thickness=slice_a,
        projection="infinite",
        parametrization="lobato",
    )
    plane: Any = abtem.PlaneWave(energy=energy_kev * 1e3)
    wave = plane.multislice(potential)
    return wave.compute(progress_bar=False)


def wide_angle_loss(atoms: Atoms, wave: Waves, aperture_mrad: float) -> FloatArray:
    """Return the part of the intensity that is left when the widest scattering is stopped.

    abTEM computes waves up to 2/3 of the grid's largest angle. What atoms scatter beyond that and
    beyond the aperture does not reach the camera either: without this loss, thick particles on a
    coarse grid would be as bright as the film. Taken as absorption along straight lines. What is
    scattered between the two, where the aperture is the wider one, arrives as unresolved light
    and stays where it is.

    Returns
    -------
    numpy.ndarray
        Transmitted part of the intensity, shape (x, y) as abTEM's waves.
    """
    pixels = wave.array.shape[-1]
    sampling_a = float(atoms.cell[0, 0]) / pixels
    energy_kev = wave.energy / 1e3
    grid_limit = 2.0 / 3.0 / (2.0 * sampling_a)
    limit = max(grid_limit, aperture_mrad * 1e-3 / energy2wavelength(wave.energy))
    loss: FloatArray = np.zeros((pixels, pixels))
    for number in np.unique(atoms.numbers):
        x, y = atoms.positions[atoms.numbers == number, :2].T / sampling_a
        cells = (np.floor(x).astype(int) % pixels) * pixels + np.floor(y).astype(int) % pixels
        per_a2 = np.bincount(cells, minlength=pixels**2).reshape(pixels, pixels) / sampling_a**2
        loss += per_a2 * wide_angle_cross_section(int(number), limit, energy_kev)
    # Thermal motion and bonding leave no sharp atoms in what is scattered widest.
    return np.asarray(np.exp(-gaussian_filter(loss, 0.7 / sampling_a, mode="wrap")))


def wide_angle_cross_section(number: int, limit: float, energy_kev: float) -> float:
    """Return the elastic cross-section in Å² beyond a spatial frequency in 1/Å.

    The first Born approximation with the form factors of I. Lobato and D. Van Dyck, Acta
    Crystallographica A 70 (2014) 636, and the relativistic electron mass.
    """
    form_factor = LobatoParametrization().scattering_factor(chemical_symbols[number])
    frequency = np.linspace(limit, 12.0, 4000)
    gamma = 1.0 + energy_kev / 510.999
    wavelength_a = energy2wavelength(energy_kev * 1e3)
    scattered = (gamma * np.asarray(form_factor(frequency**2))) ** 2 * 2.0 * np.pi * frequency
    return float(wavelength_a**2 * np.trapezoid(scattered, frequency))


def mean_intensity(wave: Waves, atoms: Atoms, lens: Lens) -> FloatArray:
    """Return the intensity that reaches the detector, as a part of the incident one.

    The focal spread is summed over intensities, not put into an envelope of the transfer
    function: the envelope holds for weak scatterers only, and metal particles are strong ones.

    Returns
    -------
    numpy.ndarray
        Shape (row, column) = (y, x).
    """
    wave = wave.copy()
    wave.array[...] *= np.sqrt(wide_angle_loss(atoms, wave, lens.aperture_mrad))
    nodes, weights = np.polynomial.hermite_e.hermegauss(FOCUS_NODES)
    intensity: FloatArray = np.zeros(wave.array.shape[-2:])
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        transfer = abtem.CTF(
            energy=wave.energy,
            semiangle_cutoff=lens.aperture_mrad,
            angular_spread=lens.convergence_mrad,
            defocus=(lens.defocus_nm + node * lens.focal_spread_nm) * 10.0,
            Cs=lens.spherical_mm * 1e7,
            astigmatism=lens.astigmatism_nm * 10.0,
            astigmatism_angle=lens.astigmatism_rad,
        )
        image = wave.apply_ctf(transfer).intensity().compute(progress_bar=False)
        intensity += weight * np.asarray(image.array, dtype=np.float64)
    pixel_nm = float(wave.sampling[0]) / 10.0
    # abTEM's arrays are (x, y); images here are (row, column).
    return np.asarray(gaussian_filter(intensity.T, lens.vibration_nm / pixel_nm, mode="wrap"))


def record(
    intensity: FloatArray, pixel_size_nm: float, camera: Camera, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Return what the camera reads.

    Parameters
    ----------
    intensity
        Relative intensity at the camera's pixels, shape (row, column).
    pixel_size_nm
        Side of a camera pixel on the specimen.
    camera
        The exposure and the detector.
    rng
        The source of shot and readout noise.

    Raises
    ------
    ValueError
        When counts pass the 16 bits of the camera.
    """
    electrons = rng.poisson(intensity * camera.dose_per_nm2 * pixel_size_nm**2)
    light = gaussian_filter(electrons * camera.counts_per_electron, camera.spread_px)
    counts = light + camera.offset_counts + rng.normal(0.0, camera.readout_counts, light.shape)
    if counts.max() > np.iinfo(np.uint16).max:
        raise ValueError(
            f"counts reach {counts.max():.0f}, the camera ends at 65535: lower the gain"
        )
    return np.asarray(np.clip(np.rint(counts), 0, None), dtype=np.uint16)
