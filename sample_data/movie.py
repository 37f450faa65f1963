"""Simulated in-situ series with a known truth: particles that drift, wander, ripen and merge.

``python sample_data/movie.py --out FOLDER`` writes ``images/movie.tif`` and ``labels/movie.tif``,
the path of the stage and the history of the particles. Rendered in bulk: a particle is a sphere on
an amorphous film, its grey level its projected thickness (Beer-Lambert in the limit of thin
specimens); no multislice.
"""

import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Recipe:
    """What happens in a series.

    Attributes
    ----------
    frames, side_px, particles : int
    radius_px : float
        Median radius at the beginning; the radii are log-normal.
    spread : float
        Standard deviation of the logarithm of the radii.
    drift_px : float
        Standard deviation of the change of the stage's speed, in px a frame; the speed forgets
        itself over ten frames.
    wander_px : float
        Standard deviation of a step along an axis of a particle of the median radius; it falls
        with the radius.
    ripening : float
        How fast small particles feed large ones: 0 for not at all.
    noise : float
        Standard deviation of the noise over the contrast of the middle of a median particle.
    film : float
        Standard deviation of the film's texture over that contrast.
    seed : int
    """

    frames: int = 200
    side_px: int = 512
    particles: int = 300
    radius_px: float = 6.0
    spread: float = 0.25
    drift_px: float = 0.25
    wander_px: float = 0.5
    ripening: float = 0.15
    noise: float = 0.5
    film: float = 0.3
    seed: int = 0


@dataclass
class Movie:
    """A simulated series and its truth.

    Attributes
    ----------
    images : ndarray of uint16, shape (frame, row, column)
    labels : ndarray of uint16, shape (frame, row, column)
        A particle keeps its number; what comes of a merger has a new one.
    drift_px : ndarray, shape (frame, 2)
        Where the stage is, (row, column), against the first frame.
    mergers : list of (int, tuple of int, int)
        The first frame after it, the particles that merged, and what came of them.
    vanished : list of (int, int)
        The first frame without it, and the particle.
    """

    recipe: Recipe
    images: NDArray[np.uint16]
    labels: NDArray[np.uint16]
    drift_px: NDArray[np.float64]
    mergers: list[tuple[int, tuple[int, int], int]] = field(default_factory=list)
    vanished: list[tuple[int, int]] = field(default_factory=list)


class _Specimen:
    """Particles on a film that is larger than the picture, so that drift brings new ones in."""

    def __init__(self, recipe: Recipe, rng: np.random.Generator) -> None:
        self.recipe, self.rng = recipe, rng
        self.margin = 80
        side = recipe.side_px + 2 * self.margin
        number = round(recipe.particles * (side / recipe.side_px) ** 2)
        self.radius = np.zeros(0)
        self.place = np.zeros((0, 2))
        self._fill(number, side)
        self.name = np.arange(1, len(self.radius) + 1)
        self._next = len(self.radius) + 1
        texture = ndimage.gaussian_filter(rng.normal(size=(side, side)), 1.5)
        self.film = (texture / texture.std()).astype(np.float32)

    def _fill(self, number: int, side: int) -> None:
        radii = self.recipe.radius_px * np.exp(self.recipe.spread * self.rng.normal(size=number))
        for radius in np.sort(radii)[::-1]:
            for _ in range(200):
                place = self.rng.uniform(0, side, 2)
                apart = np.hypot(*(self.place - place).T) - self.radius - radius
                if not len(apart) or apart.min() > 2:
                    self.place = np.vstack([self.place, place])
                    self.radius = np.append(self.radius, radius)
                    break

    def step(self, frame: int, movie: Movie) -> None:
        """Let a frame's time pass."""
        recipe = self.recipe
        steps = self.rng.normal(size=self.place.shape)
        self.place += steps * (recipe.wander_px * recipe.radius_px / self.radius)[:, None]
        critical = self.radius.mean()
        self.radius += (
            recipe.ripening * (1 / critical - 1 / self.radius) * recipe.radius_px / self.radius
        )
        gone = self.radius < 2
        movie.vanished += [(frame, int(name)) for name in self.name[gone]]
        self._keep(~gone)
        self._merge(frame, movie)

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        self.radius, self.place, self.name = self.radius[keep], self.place[keep], self.name[keep]

    def _merge(self, frame: int, movie: Movie) -> None:
        from scipy.spatial import cKDTree

        pairs = cKDTree(self.place).query_pairs(2 * self.radius.max(), output_type="ndarray")
        first, second = pairs.T
        apart = np.hypot(*(self.place[first] - self.place[second]).T)
        touching = pairs[apart < self.radius[first] + self.radius[second]]
        taken: set[int] = set()
        for a, b in touching:
            if taken & {int(a), int(b)}:
                continue
            taken |= {int(a), int(b)}
            volume = self.radius[[a, b]] ** 3
            movie.mergers.append((frame, (int(self.name[a]), int(self.name[b])), self._next))
            self.place[a] = volume @ self.place[[a, b]] / volume.sum()
            self.radius[a] = volume.sum() ** (1 / 3)
            self.name[a] = self._next
            self._next += 1
            self.radius[b] = 0
        self._keep(self.radius > 0)

    def render(self, drift: NDArray[np.float64]) -> tuple[Plane, NDArray[np.uint16]]:
        """Return the grey levels and the labels of what the camera sees."""
        recipe, side = self.recipe, self.recipe.side_px
        moved = ndimage.shift(self.film, drift, order=1, mode="grid-wrap")
        inside = slice(self.margin, self.margin + side)
        thickness = np.zeros((side, side), np.float32)
        labels = np.zeros((side, side), np.uint16)
        for name, radius, place in zip(
            self.name, self.radius, self.place - self.margin + drift, strict=True
        ):
            low = np.floor(place - radius).astype(int)
            high = np.ceil(place + radius).astype(int) + 1
            if (high <= 0).any() or (low >= side).any():
                continue
            low, high = np.maximum(low, 0), np.minimum(high, side)
            rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
            left = radius**2 - (rows - place[0]) ** 2 - (columns - place[1]) ** 2
            box = (slice(low[0], high[0]), slice(low[1], high[1]))
            thickness[box] += np.sqrt(np.maximum(left, 0)) / recipe.radius_px
            labels[box][left > 0] = name
        noise = self.rng.normal(size=(side, side)) * recipe.noise
        return (recipe.film * moved[inside, inside] - thickness + noise).astype(np.float32), labels


def simulate(recipe: Recipe) -> Movie:
    """Simulate a series; equal recipes give equal series."""
    rng = np.random.default_rng(recipe.seed)
    shape = (recipe.frames, recipe.side_px, recipe.side_px)
    movie = Movie(
        recipe, np.zeros(shape, np.uint16), np.zeros(shape, np.uint16), np.zeros((shape[0], 2))
    )
    specimen = _Specimen(recipe, rng)
    speed = np.zeros(2)
    for frame in range(recipe.frames):
        if frame:
            speed = 0.9 * speed + recipe.drift_px * rng.normal(size=2)
            ahead = movie.drift_px[frame - 1] + speed
            # the stage stays where the specimen was simulated
            movie.drift_px[frame] = np.clip(ahead, -specimen.margin + 10, specimen.margin - 10)
            specimen.step(frame, movie)
        grey, movie.labels[frame] = specimen.render(movie.drift_px[frame])
        movie.images[frame] = np.clip(3000 + 400 * grey, 0, 65535)
    return movie


def main() -> None:
    """Write a series and its truth into a folder."""
    import tifffile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    for name, value in asdict(Recipe()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    out = options.pop("out")
    movie = simulate(Recipe(**options))
    for kind, stack in (("images", movie.images), ("labels", movie.labels)):
        (out / kind).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(out / kind / "movie.tif", stack, imagej=True, compression="zlib")
    truth = {
        "recipe": asdict(movie.recipe),
        "drift_px": movie.drift_px.tolist(),
        "mergers": movie.mergers,
        "vanished": movie.vanished,
    }
    (out / "truth.json").write_text(json.dumps(truth, indent=1))
    print(f"{len(movie.mergers)} mergers and {len(movie.vanished)} vanished particles in {out}")


if __name__ == "__main__":
    main()
