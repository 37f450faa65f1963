"""Brush strokes like a person's, drawn by a seeded hand inside the true regions.

The strokes of the samples are drawn anew from the true masks, without simulating an image again::

    python sample_data/strokes.py --seed 1
"""

from __future__ import annotations

import argparse
from pathlib import Path as FilePath

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter1d, label
from skimage.measure import find_contours

__all__ = ["BACKGROUND", "PARTICLE", "draw_strokes", "longest_walk", "paint_walk", "redraw"]

BACKGROUND = 1
PARTICLE = 2
STROKE_PX = 90  # longest stroke
CLEARANCE_PX = 4.0  # a person stays away from borders that are hard to see
BESIDE_PX = 6.0  # as near as one dares where a border is plain
EDGE_PX = 6  # from the edge of the image
OPEN = 10  # strokes on the open background
SHORT_PX = 60  # of a stroke that corrects
OUTSIDE = 3  # particles around which the background is painted too

Mask = NDArray[np.bool_]
Path = NDArray[np.float64]


def wander(room: Mask, start: NDArray[np.int64], rng: np.random.Generator) -> Path:
    """Return the points of a smooth walk from `start`, up to where there is no more room."""
    point = start.astype(float)
    heading = rng.uniform(0.0, 2.0 * np.pi)
    bend = 0.0
    points = [point]
    for _ in range(STROKE_PX - 1):
        bend = 0.9 * bend + rng.normal(0.0, 0.02)
        heading += bend
        point = point + np.array([np.sin(heading), np.cos(heading)])
        row, column = np.rint(point).astype(int)
        if not (0 <= row < room.shape[0] and 0 <= column < room.shape[1]) or not room[row, column]:
            break
        points.append(point)
    return np.array(points)


def longest_walk(room: Mask, rng: np.random.Generator, trials: int = 12) -> Path:
    """Return the longest of some walks that start anywhere in the room."""
    starts = np.argwhere(room)
    walks = [wander(room, starts[rng.integers(len(starts))], rng) for _ in range(trials)]
    return max(walks, key=len)


def border_walk(region: Mask, room: Mask, rng: np.random.Generator) -> Path | None:
    """Return a walk along the border of a region, `BESIDE_PX` away from it; None without room.

    Parameters
    ----------
    region
        True on what has the border, shape (row, column).
    room
        True where the walk may go: on one side of the border or on the other.
    rng
        The hand: it says where along the border the walk begins.
    """
    outside, inside = distance_transform_edt(~region), distance_transform_edt(region)
    lines = find_contours(outside - inside, BESIDE_PX * (1 if not (room & region).any() else -1))
    walks = []
    for line in lines:
        points = np.roll(line, -rng.integers(len(line)), axis=0)
        rows, columns = np.rint(points).astype(int).T
        blocked = np.flatnonzero(~room[rows, columns] | _jumps(points))
        walks.append(points[: blocked[0] if len(blocked) else None][:STROKE_PX])
    walk = max(walks, key=len, default=None)
    if walk is None or len(walk) < STROKE_PX // 4:
        return None
    # a hand is smoother than the atoms that make a mask's border
    return np.asarray(gaussian_filter1d(walk, 4.0, axis=0, mode="nearest"))


def _jumps(points: Path) -> Mask:
    """Return where a line does not go on from the point before: its ends, where it is open."""
    steps = np.abs(np.diff(points, axis=0, prepend=points[:1])).max(axis=1)
    return np.asarray(steps > 2.0)


def paint_walk(strokes: NDArray[np.uint8], walk: Path, width_px: float, value: int) -> None:
    """Paint a round brush along a walk."""
    blank = np.ones(strokes.shape, dtype=bool)
    rows, columns = np.rint(walk).astype(int).T
    blank[rows, columns] = False
    strokes[distance_transform_edt(blank) <= width_px / 2.0] = value


def lonely_walk(
    room: Mask, strokes: NDArray[np.uint8], rng: np.random.Generator, trials: int = 12
) -> Path:
    """Return the longest of some walks that start where least is painted round about."""
    far = np.where(room, distance_transform_edt(strokes == 0), 0.0)
    starts = np.argwhere(far >= 0.8 * far.max())
    walks = [wander(room, starts[rng.integers(len(starts))], rng) for _ in range(trials)]
    return max(walks, key=len)


def edge_walk(room: Mask, strokes: NDArray[np.uint8], rng: np.random.Generator) -> Path | None:
    """Return a walk along the edge of the image, far from what is painted; None without room."""
    line = _ring(room.shape)
    # the ring begins where there is no room, so that no walk is cut where it closes
    line = np.roll(line, -int(room[tuple(line.T)].argmin()), axis=0)
    far = distance_transform_edt(strokes == 0)[tuple(line.T)]
    walls = np.flatnonzero(np.append(~room[tuple(line.T)], True))
    found, best = None, 0.0
    for first, last in zip(np.append(0, walls[:-1] + 1), walls, strict=True):
        if last - first < STROKE_PX // 3:
            continue
        middle = first + int(far[first:last].argmax())
        if far[middle] > best:
            best = float(far[middle])
            start = int(np.clip(middle - STROKE_PX // 2, first, max(first, last - STROKE_PX)))
            found = line[start : min(start + STROKE_PX, last)].astype(float)
    if found is None:
        return None
    shaky = gaussian_filter1d(rng.normal(0.0, 8.0, found.shape), 12.0, axis=0)
    return np.asarray(gaussian_filter1d(found, 6.0, axis=0, mode="nearest") + shaky)


def _ring(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the points (row, column) around an image, `EDGE_PX` inside its edge."""
    ring = np.zeros(shape, dtype=bool)
    ring[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = True
    (line,) = find_contours(ring.astype(float), 0.5)
    return np.asarray(np.rint(line[:-1]).astype(int))


def draw_strokes(mask: Mask, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return strokes as they are once a person has corrected a first mask.

    A stroke on each of up to six particles; short ones on the open background, each where least
    is painted yet, and two along the edges of the image: there a first mask has false areas. Where
    it is too narrow or too wide, one along the inside of the border of each of these particles, and
    along the outside of some.

    Parameters
    ----------
    mask
        True on particles, shape (row, column).
    rng
        The hand.

    Returns
    -------
    numpy.ndarray
        Same shape: 0 not annotated, 1 background, 2 particle.
    """
    strokes = np.zeros(mask.shape, dtype=np.uint8)
    inner = distance_transform_edt(mask) > CLEARANCE_PX
    outer = distance_transform_edt(~mask) > 2.0 * CLEARANCE_PX
    regions, _ = label(inner)
    areas = np.bincount(regions.ravel())[1:]
    # Larger particles first, for a person begins with those; small ones hold no stroke.
    order = [int(region) + 1 for region in np.argsort(-areas)[:6] if areas[region] > 60]
    chosen = rng.permutation(np.array(order, dtype=int))
    for region in chosen:
        width_px = rng.uniform(3.0, 5.0)
        paint_walk(strokes, longest_walk(regions == region, rng), width_px, PARTICLE)
    background = np.zeros_like(strokes)
    for _ in range(OPEN):
        width_px = rng.uniform(3.0, 5.0)
        walk = lonely_walk(outer, background, rng)[:SHORT_PX]
        paint_walk(background, walk, width_px, BACKGROUND)
    for _ in range(2):
        walk = edge_walk(outer, background, rng)
        if walk is not None:
            paint_walk(background, walk[:SHORT_PX], 3.0, BACKGROUND)
    strokes[background > 0] = BACKGROUND
    particles, _ = label(mask)
    near = distance_transform_edt(~mask) > CLEARANCE_PX
    for place, region in enumerate(chosen[::-1]):
        particle = particles == particles[regions == region][0]
        for room, value in ((inner, PARTICLE), (near, BACKGROUND))[: 1 + (place < OUTSIDE)]:
            walk = border_walk(particle, room, rng)
            if walk is not None:
                paint_walk(strokes, walk[:SHORT_PX], 3.0, value)
    return strokes


def redraw(folder: FilePath, seed: int) -> None:
    """Draw the strokes of a set anew from its masks, as `simulate.py` does with that seed."""
    for path in sorted((folder / "strokes").glob("*.tif")):
        _, short, number = path.stem.split("_")
        mask = tifffile.imread(folder / "labels" / path.name) > 0
        hand = np.random.default_rng([seed, ord(short[0]), int(number) - 1, 0])
        with tifffile.TiffFile(path) as file:
            resolution = file.pages[0].tags["XResolution"].value
        tifffile.imwrite(
            path,
            draw_strokes(mask, hand),
            imagej=True,
            resolution=(resolution[0] / resolution[1],) * 2,
            metadata={"axes": "YX", "unit": "nm"},
            compression="zlib",
        )


def main() -> None:
    """Draw the strokes of all sets anew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=FilePath, default=FilePath(__file__).parent)
    parser.add_argument("--seed", type=int, default=1, help="the seed that made the images")
    given = parser.parse_args()
    for images in sorted(given.folder.glob("*/images")):
        redraw(images.parent, given.seed)


if __name__ == "__main__":
    main()
