"""Feret diameters of all particles of an image at once.

The convex hull of a particle is found from the first and the last pixel of each of its rows, in
whole numbers, for all particles together: one by one the calls would take longer than the sums.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["feret_diameters"]

_MOST_AT_ONCE = 2**20
"""Distances that are held at once."""


def feret_diameters(
    numbered: NDArray[np.int32], number: int, sides: tuple[float, float] = (1.0, 1.0)
) -> NDArray[np.float64]:
    """Return the largest and the smallest Feret diameter of each particle.

    They are the largest and the smallest distance of two parallel tangents, of the convex hull of
    the midpoints of the pixels' edges.

    Parameters
    ----------
    numbered : ndarray of int32, shape (row, column)
        0 = no particle; all of 1 to ``number`` are there.
    number : int
    sides : tuple of float
        (row, column) size of a pixel.

    Returns
    -------
    ndarray, shape (particle, 2)
        In units of ``sides``.
    """
    found = np.zeros((number, 2))
    if not number:
        return found
    chain, height, across = _ends_of_rows(numbered, number)
    chain, height, across = _convex(chain, height, across)
    # around each particle: down its left side and up its right one
    is_right = chain >= number
    particle = chain - number * is_right
    order = np.lexsort((np.where(is_right, -height, height), is_right, particle))
    points = np.stack([height, np.where(is_right, -across, across)], axis=1)[order] / 2 * sides
    count = np.bincount(particle, minlength=number)
    start = np.cumsum(count) - count
    by_count = np.argsort(count)
    while len(by_count):
        # those with the most corners first, so that the others of the piece are filled up to them
        most = int(count[by_count[-1]])
        some = by_count[-max(_MOST_AT_ONCE // most**2, 1) :]
        by_count = by_count[: -len(some)]
        corner = np.minimum(np.arange(most), count[some, None] - 1)
        found[some] = _of_hulls(points[start[some, None] + corner])
    return found


def _ends_of_rows(
    numbered: NDArray[np.int32], number: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the left and the right side of each particle, in half pixels.

    Returns
    -------
    chain : ndarray of int
        Its number less one on the left side, and ``number`` more on the right side; in order.
    height : ndarray of int
        Row of the midpoint of an edge; in order.
    across : ndarray of int
        Its column; on the right side the negative, so that the outermost is the least on both.
    """
    padded = np.pad(numbered, ((0, 0), (1, 1)))
    changes = padded[:, 1:] != padded[:, :-1]
    begins_row, begins = np.nonzero(changes & (padded[:, 1:] > 0))
    ends_row, ends = np.nonzero(changes & (padded[:, :-1] > 0))
    left = padded[begins_row, begins + 1].astype(np.int64) - 1
    right = padded[ends_row, ends].astype(np.int64) - 1 + number
    chain = np.concatenate([left, right])
    row = np.concatenate([begins_row, ends_row])
    pixel = np.concatenate([begins, -(ends - 1)])
    # of an outer pixel the outer edge, and the upper and the lower one
    chain = np.tile(chain, 3)
    height = np.concatenate([2 * row, 2 * row - 1, 2 * row + 1])
    across = np.concatenate([2 * pixel - 1, 2 * pixel, 2 * pixel])
    order = np.lexsort((across, height, chain))
    chain, height, across = chain[order], height[order], across[order]
    outermost = np.ones(len(chain), bool)
    outermost[1:] = (chain[1:] != chain[:-1]) | (height[1:] != height[:-1])
    return chain[outermost], height[outermost], across[outermost]


def _convex(
    chain: NDArray[np.int64], height: NDArray[np.int64], across: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the corners of chains: without what lies on or inside the line of its neighbours.

    A corner of the hull lies outside all lines between others, so that none is ever lost, and what
    is left when nothing lies inside any more is convex.
    """
    while True:
        first, middle, last = slice(None, -2), slice(1, -1), slice(2, None)
        turn = (across[middle] - across[first]) * (height[last] - height[first])
        straight = (across[last] - across[first]) * (height[middle] - height[first])
        inside = (turn >= straight) & (chain[first] == chain[last])
        if not inside.any():
            return chain, height, across
        kept = np.ones(len(chain), bool)
        kept[middle] = ~inside
        chain, height, across = chain[kept], height[kept], across[kept]


def _of_hulls(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return both diameters of convex hulls, shape (hull, corner, 2); corners may be repeated."""
    across = corners[:, :, None] - corners[:, None]
    longest = np.sqrt((across**2).sum(axis=-1).max(axis=(1, 2)))
    edges = np.roll(corners, -1, axis=1) - corners
    length = np.hypot(edges[..., 0], edges[..., 1])
    with np.errstate(invalid="ignore"):
        normals = np.stack([-edges[..., 1], edges[..., 0]], axis=-1) / length[..., None]
    # (hull, corner, edge)
    along = np.einsum("hcx,hex->hce", corners, normals)
    widths = np.where(length > 0, np.ptp(along, axis=1), np.inf)
    return np.stack([longest, widths.min(axis=1)], axis=1)
