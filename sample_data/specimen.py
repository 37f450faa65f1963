"""Atoms of a specimen: crystalline particles on a film of amorphous carbon.

Lengths are Å, as in ase; coordinates are (x, y, z), and the beam runs towards larger z. The film
lies at the bottom of the cell and the particles stand on its exit side.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

__all__ = ["MATERIALS", "Material", "Specimen", "SpecimenPlan", "build_specimen"]

FloatArray = NDArray[np.float64]

CARBON_ATOMS_PER_A3 = 0.100  # 2.0 g/cm3, evaporated carbon
THERMAL_A = 0.08  # root mean square displacement along one axis; gold at room temperature
TOUCHING_A = 2.4  # atoms of two particles that come closer than this would overlap
ZONE_AXES = ((1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 1, 2))


class Material(NamedTuple):
    """A cubic crystal: what ase needs to build it, and its lattice constant in Å."""

    name: str
    structure: str
    lattice_a: float


MATERIALS = {
    "Ag": Material("silver", "fcc", 4.086),
    "Au": Material("gold", "fcc", 4.078),
    "CdSe": Material("cdse", "zincblende", 6.050),
    "CeO2": Material("ceria", "fluorite", 5.411),
    "Fe": Material("iron", "bcc", 2.867),
    "PbS": Material("pbs", "rocksalt", 5.936),
    "Pd": Material("palladium", "fcc", 3.891),
    "Pt": Material("platinum", "fcc", 3.924),
    "Si": Material("silicon", "diamond", 5.431),
}


@dataclass(frozen=True, slots=True)
class SpecimenPlan:
    """What a specimen is to be.

    Attributes
    ----------
    material
        A key of `MATERIALS`.
    width_a
        Side of the square cell.
    film_a
        Mean thickness of the carbon film.
    diameters_a
        Smallest and largest particle diameter.
    coverage
        Part of the cell's area that particles are to cover.
    on_zone
        Probability that a particle has a low-index zone axis within 2 degrees of the beam.
    twinned
        Probability that a particle is twinned on a {111} plane.
    """

    material: str
    width_a: float
    film_a: float
    diameters_a: tuple[float, float]
    coverage: float
    on_zone: float
    twinned: float


@dataclass(frozen=True, slots=True)
class Specimen:
    """A specimen's atoms, the particles' apart from the film's.

    Attributes
    ----------
    atoms
        All atoms in an orthorhombic cell.
    particles
        Atom positions of each particle, each of shape (atom, 3).
    diameters_a
        Nominal diameter of each particle.
    """

    atoms: Atoms
    particles: tuple[FloatArray, ...]
    diameters_a: tuple[float, ...]

    def footprint(self, pixels: int) -> NDArray[np.bool_]:
        """Return where particles lie under the beam.

        Parameters
        ----------
        pixels
            Pixels along each side of the cell.

        Returns
        -------
        numpy.ndarray
            Shape (row, column); rows run along y. A pixel belongs to a particle when it is
            within about one atomic radius of the outline of the projected atoms.
        """
        step = float(self.atoms.cell[0, 0]) / pixels
        mask = np.zeros((pixels, pixels), dtype=bool)
        for positions in self.particles:
            indices = np.floor(positions[:, 1::-1] / step).astype(int)
            margin = int(4.0 / step) + 1
            start = np.maximum(indices.min(axis=0) - margin, 0)
            stop = np.minimum(indices.max(axis=0) + margin + 1, pixels)
            hit = np.zeros(stop - start, dtype=bool)
            hit[tuple((indices - start).T)] = True
            # Closing: projected atomic columns leave gaps, and a particle has none.
            grown = distance_transform_edt(~hit) * step <= 3.5
            window = slice(start[0], stop[0]), slice(start[1], stop[1])
            mask[window] |= distance_transform_edt(grown) * step > 2.1
        return mask


def carbon_film(plan: SpecimenPlan, rng: np.random.Generator) -> FloatArray:
    """Return positions of a film of random carbon atoms, periodic along x and y.

    One atom lies anywhere in each cell of a cubic grid. That keeps the density even, as in a
    solid, and leaves no trace of the grid: an even spread over the whole cell extinguishes its
    Bragg peaks. Atoms of neighbouring cells may come closer than a bond.
    """
    across = round(plan.width_a * CARBON_ATOMS_PER_A3 ** (1 / 3))
    step_a = plan.width_a / across
    layers = int(np.ceil((plan.film_a * 1.06 + 1.0) / step_a))
    cells = np.indices((across, across, layers)).reshape(3, -1).T
    atoms: FloatArray = (cells + rng.uniform(size=cells.shape)) * step_a
    return atoms[atoms[:, 2] < _film_height(plan, atoms, rng)]


def _film_height(plan: SpecimenPlan, atoms: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the film's gently uneven surface height above each atom."""
    pixels = 64
    noise = gaussian_filter(rng.normal(size=(pixels, pixels)), 4.0, mode="wrap")
    relief = np.clip(noise / noise.std(), -2.0, 2.0)
    rows, columns = np.floor(atoms[:, :2].T / plan.width_a * pixels).astype(int) % pixels
    height: FloatArray = plan.film_a + (0.03 * plan.film_a + 0.5) * relief[rows, columns]
    return height


def crystal_particle(
    material: str, diameter_a: float, twinned: bool, rng: np.random.Generator
) -> Atoms:
    """Return a faceted particle around the origin, in its crystal's axes.

    The shape is a sphere cut by {111} and {100} planes whose distances vary by some per cent, as
    Wulff shapes of real particles do. A twin has one half mirrored in (111).
    """
    _, structure, lattice_a = MATERIALS[material]
    cell: Any = bulk(material, structure, a=lattice_a, cubic=True)
    repeats = int(np.ceil(diameter_a * 1.17 / lattice_a)) + 2
    atoms = cell.repeat(repeats)
    atoms.positions -= atoms.positions.mean(axis=0) + rng.uniform(-0.5, 0.5, 3) * lattice_a
    if twinned:
        normal = np.ones(3) / np.sqrt(3.0)
        # The twin plane must be a lattice plane, else the halves would not match.
        heights = atoms.positions @ normal
        atoms.positions -= normal * heights[np.argmin(np.abs(heights))]
        half = atoms.positions @ normal < -1e-3
        atoms = atoms[~half]
        mirrored = atoms[atoms.positions @ normal > 1e-3]
        mirrored.positions -= 2.0 * np.outer(mirrored.positions @ normal, normal)
        atoms = atoms + mirrored
    kept: Atoms = atoms[_inside_facets(atoms.positions, diameter_a / 2.0, rng)]
    return kept


def _inside_facets(
    positions: FloatArray, radius_a: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which positions lie in a randomly faceted body of about this radius."""
    stretch = rng.uniform(0.92, 1.08, 3)
    inside: NDArray[np.bool_] = np.linalg.norm(positions / stretch, axis=1) < 1.08 * radius_a
    ratio_100 = rng.uniform(0.98, 1.2)  # 1.15 is the Wulff ratio of gold
    for normal in product((-1.0, 1.0), repeat=3):
        inside &= positions @ normal / np.sqrt(3.0) < 0.95 * radius_a * rng.uniform(0.94, 1.06)
    for axis, sign in product(range(3), (-1.0, 1.0)):
        limit = ratio_100 * 0.95 * radius_a * rng.uniform(0.94, 1.06)
        inside &= sign * positions[:, axis] < limit
    return inside


def _orientation(on_zone: float, rng: np.random.Generator) -> Rotation:
    """Return a random orientation, now and then with a zone axis nearly along the beam."""
    if rng.uniform() >= on_zone:
        return Rotation.random(rng=rng)
    axis = np.array(ZONE_AXES[rng.integers(len(ZONE_AXES))], dtype=float)
    onto_beam, _ = Rotation.align_vectors([[0.0, 0.0, 1.0]], [axis / np.linalg.norm(axis)])
    about_beam = Rotation.from_euler("z", rng.uniform(0.0, 360.0), degrees=True)
    tilt = Rotation.from_euler("xy", rng.normal(0.0, 1.0, 2), degrees=True)
    return tilt * about_beam * onto_beam


def _place(plan: SpecimenPlan, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Return (x, y, diameter) of particles, whole within the cell, at most just touching."""
    placed: list[tuple[float, float, float]] = []
    missing = plan.coverage * plan.width_a**2
    for _ in range(400):
        diameter = rng.uniform(*plan.diameters_a)
        if missing < 0.3 * np.pi * diameter**2 / 4.0:
            break
        x, y = rng.uniform(diameter * 0.56, plan.width_a - diameter * 0.56, 2)
        if all(np.hypot(x - u, y - v) > 0.48 * (diameter + d) for u, v, d in placed):
            placed.append((x, y, diameter))
            missing -= np.pi * diameter**2 / 4.0
    return placed


def _particles(plan: SpecimenPlan, rng: np.random.Generator) -> tuple[list[Atoms], list[float]]:
    """Return the particles in place, standing on the film, and their diameters."""
    particles: list[Atoms] = []
    diameters: list[float] = []
    for x, y, diameter in _place(plan, rng):
        atoms = crystal_particle(plan.material, diameter, bool(rng.uniform() < plan.twinned), rng)
        atoms.positions = _orientation(plan.on_zone, rng).apply(atoms.positions)
        # A flat foot: particles wet the carbon a little and do not stand on a single atom.
        foot = -diameter / 2.0 * rng.uniform(0.7, 0.95)
        atoms = atoms[atoms.positions[:, 2] > foot]
        atoms.positions += (x, y, plan.film_a - foot)
        if particles:
            others = cKDTree(np.concatenate([p.positions for p in particles]))
            atoms = atoms[others.query(atoms.positions)[0] > TOUCHING_A]
        particles.append(atoms)
        diameters.append(diameter)
    return particles, diameters


def build_specimen(plan: SpecimenPlan, rng: np.random.Generator) -> Specimen:
    """Return the atoms of one specimen.

    Parameters
    ----------
    plan
        What the specimen is to be.
    rng
        The only source of chance.
    """
    particles, diameters = _particles(plan, rng)
    carbon = carbon_film(plan, rng)
    if particles:
        metal = np.concatenate([p.positions for p in particles])
        # Carbon gives way where a particle has sunk into a hill of the film.
        upper = np.flatnonzero(carbon[:, 2] > metal[:, 2].min() - 1.8)
        sunk = cKDTree(metal).query(carbon[upper], distance_upper_bound=1.8)[0] < 1.8
        carbon = np.delete(carbon, upper[sunk], axis=0)
    atoms: Any = Atoms(numbers=np.full(len(carbon), 6), positions=carbon)
    for particle in particles:
        moved = particle[:]
        moved.positions += rng.normal(0.0, THERMAL_A, moved.positions.shape)
        atoms += moved
    atoms.positions[:, 2] += 2.0
    height = float(atoms.positions[:, 2].max()) + 2.0
    atoms.set_cell([plan.width_a, plan.width_a, height])
    atoms.set_pbc(True)
    return Specimen(atoms, tuple(p.positions for p in particles), tuple(diameters))
