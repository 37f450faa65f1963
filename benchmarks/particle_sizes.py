"""Sizes of synthetic discs against the truth.

Each diameter is drawn at 40 places between the pixels; the table holds the mean error and its
standard deviation over them, in percent of the diameter, and the mean circularity.

    python benchmarks/particle_sizes.py
"""

import numpy as np

from napari_tem_rf.measuring.particles import find_particles, measure_particles

DIAMETERS_PX = (3, 4, 5, 7, 10, 15, 20, 30, 50, 70, 100, 140, 200)
PLACES = 40
COLUMNS = ("equivalent_diameter_px", "feret_max_px", "feret_min_px")


def measure_discs(diameter: float, rng: np.random.Generator) -> np.ndarray:
    """Return a row a place: the diameters over the true one, and the circularity."""
    side = int(diameter) + 12
    row, column = np.indices((side, side))
    found = []
    for at_row, at_column in side / 2 + rng.uniform(-0.5, 0.5, (PLACES, 2)):
        mask = np.hypot(row - at_row, column - at_column) < diameter / 2
        (particle,) = measure_particles(find_particles(mask)).to_dict("records")
        sizes = [particle[name] / diameter for name in COLUMNS]
        found.append([*sizes, particle["circularity"]])
    return np.array(found)


def main() -> None:
    rng = np.random.default_rng(752)
    print("| diameter (px) | equivalent diameter | Feret max | Feret min | circularity |")
    print("|---|---|---|---|---|")
    for diameter in DIAMETERS_PX:
        found = measure_discs(diameter, rng)
        mean, sd = found.mean(axis=0), found.std(axis=0)
        errors = [f"{100 * (mean[i] - 1):+.1f} ± {100 * sd[i]:.1f} %" for i in range(3)]
        print(f"| {diameter} | {' | '.join(errors)} | {mean[3]:.3f} |")


if __name__ == "__main__":
    main()
