"""Brush strokes like a person's, drawn by a seeded hand inside the true regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

__all__ = ["BACKGROUND", "PARTICLE", "draw_strokes", "longest_walk", "paint_walk"]

BACKGROUND = 1
PARTICLE = 2
STROKE_PX = 50  # longest stroke
CLEARANCE_PX = 4.0  # a person stays away from borders that are hard to see

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


def paint_walk(strokes: NDArray[np.uint8], walk: Path, width_px: float, value: int) -> None:
    """Paint a round brush along a walk."""
    blank = np.ones(strokes.shape, dtype=bool)
    rows, columns = np.rint(walk).astype(int).T
    blank[rows, columns] = False
    strokes[distance_transform_edt(blank) <= width_px / 2.0] = value


def draw_strokes(mask: Mask, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return three strokes on the background and up to three on different particles.

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
    for region in rng.permutation(np.array(order, dtype=int))[:3]:
        width_px = rng.uniform(3.0, 5.0)
        paint_walk(strokes, longest_walk(regions == region, rng), width_px, PARTICLE)
    for _ in range(3):
        width_px = rng.uniform(3.0, 5.0)
        paint_walk(strokes, longest_walk(outer, rng, trials=3), width_px, BACKGROUND)
    return strokes
