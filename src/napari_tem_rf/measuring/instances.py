"""Particles of a mask, one label each: finding and splitting."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_frame", "compact", "find_particles", "neighbours", "part_at_passes"]

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
_SHALLOWEST_NECK_PX = 0.75


def find_particles(
    mask: NDArray[Any],
    *,
    split: bool = True,
    neck: float = 0.8,
    smallest_px: int = 1,
    border: bool = True,
    pixel_size_nm: tuple[float, float] | None = None,
) -> NDArray[np.int32]:
    """Give each particle of a mask a label of its own.

    Parameters
    ----------
    mask : ndarray of int or bool, shape (row, column)
        0 or less is background, each other value a class; particles of different classes are
        different particles even where they touch. Pixels that meet at a corner are connected.
    split : bool
        Part touching particles where they have a neck.
    neck : float
        Two parts are two particles where the neck between them is narrower than this fraction of
        the narrower part's width: 0 never splits, 1 splits at every neck.
    smallest_px : int
        Particles of fewer pixels are left out, and none so small is split off.
    border : bool
        Keep particles that touch the image's border.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel; only the ratio of the two matters here.

    Returns
    -------
    ndarray of int32, shape (row, column)
        0 = no particle, then 1, 2, ... in the order of their first pixels.

    Raises
    ------
    ValueError
        If the mask is not one image of whole numbers, or ``neck`` is not from 0 to 1.

    Notes
    -----
    Splitting is a watershed on the distance to the particle's outline; basins are joined again
    from the widest pass down unless the pass is a neck. A pass less than 0.75 px shallower than
    the lower of the two summits is roughness of the outline and no neck.
    """
    check_frame(mask, "mask")
    if not 0 <= neck <= 1:
        raise ValueError(f"neck is {neck}: it must be from 0 (never split) to 1")
    from scipy import ndimage

    particles = np.zeros(mask.shape, np.int32)
    last = 0
    _, numbered = compact(mask)
    # each class in its own box: many classes do not look through the whole image each
    for place, box in enumerate(ndimage.find_objects(numbered), start=1):
        around = _grown(box)
        components, number = ndimage.label(numbered[around] == place, _EIGHT_NEIGHBOURS)
        sizes = np.bincount(components.ravel(), minlength=number + 1)
        components[sizes[components] < smallest_px] = 0
        if split:
            components = _split(components, neck, smallest_px, _sides(pixel_size_nm))
        here = components > 0
        particles[around][here] = components[here] + last
        last += int(components.max(initial=0))
    if not border:
        edge = np.concatenate([particles[0], particles[-1], particles[:, 0], particles[:, -1]])
        particles[np.isin(particles, edge)] = 0
    return _renumbered(particles)


def neighbours(
    shape: tuple[int, ...],
) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Return the slices of all pixels and of their neighbours: right, below, and the diagonals."""
    low, high, whole = slice(None, -1), slice(1, None), slice(None)
    return [
        ((whole, low), (whole, high)),
        ((low, whole), (high, whole)),
        ((low, low), (high, high)),
        ((low, high), (high, low)),
    ]


def _split(
    components: NDArray[np.int32], neck: float, smallest_px: int, sides: tuple[float, float]
) -> NDArray[np.int32]:
    """Split components at their necks; each is looked at by itself, in its own box.

    Most have one summit of the distance to their outline, or others no higher than roughness, and
    so no neck: these are told from the rest on the whole image. Components do not touch, so that
    the distance to what is no component is the distance to each one's own outline.
    """
    from scipy import ndimage

    parts = np.zeros_like(components)
    last = 0
    distance = ndimage.distance_transform_edt(components > 0, sampling=sides)
    second = _second_summits(components, distance)
    # no pass is lower than the distance of a pixel beside the outline
    lowest = min(sides) + _SHALLOWEST_NECK_PX
    for label, box in enumerate(ndimage.find_objects(components), start=1):
        if box is None:  # too small, and left out
            continue
        around = _grown(box)
        inside = components[around] == label
        if second[label] < lowest:
            last += 1
            parts[around][inside] = last
            continue
        number, here = _parts_of(inside, distance[around], neck, smallest_px)
        parts[around][inside] = here[inside] + last
        last += number
    return parts


def _second_summits(
    components: NDArray[np.int32], distance: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return how high the second summit of each component is, by its label; 0 without one."""
    from scipy import ndimage
    from skimage.morphology import local_maxima

    top = local_maxima(distance, connectivity=2) & (components > 0)
    summits, _ = ndimage.label(top, _EIGHT_NEIGHBOURS)
    at = np.flatnonzero(summits)
    _, first = np.unique(summits.ravel()[at], return_index=True)
    label, height = components.ravel()[at[first]], distance.ravel()[at[first]]
    order = np.lexsort((-height, label))
    label, height = label[order], height[order]
    second = np.zeros(int(components.max(initial=0)) + 1)
    is_second = label[1:] == label[:-1]
    # of several the last is kept: backwards, the highest of those that follow another
    second[label[1:][is_second][::-1]] = height[1:][is_second][::-1]
    return second


def _grown(box: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return a box with a margin of a pixel, except at the image's border.

    Beyond the image's border the particle may continue, while the margin is background.
    """
    return tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)


def _parts_of(
    inside: NDArray[np.bool_], distance: NDArray[np.floating], neck: float, smallest_px: int
) -> tuple[int, NDArray[np.int32]]:
    """Return into how many parts one component falls at its necks, and their labels from 1 up."""
    if np.count_nonzero(inside) < 2 * smallest_px:
        return 1, inside.astype(np.int32)

    def is_neck(width: float, lower: float) -> bool:
        return width < neck * lower and lower - width >= _SHALLOWEST_NECK_PX

    return part_at_passes(distance, inside, is_neck, smallest_px)


def part_at_passes(
    heights: NDArray[np.floating],
    inside: NDArray[np.bool_],
    parts: Callable[[float, float], bool],
    smallest_px: int = 1,
) -> tuple[int, NDArray[np.int32]]:
    """Part an area by a watershed on heights, whose basins are joined again at high passes.

    Parameters
    ----------
    heights : ndarray of float, shape (row, column)
        High inside particles, low between them.
    inside : ndarray of bool, shape (row, column)
        The area.
    parts : callable
        Gets the height of the pass between two basins and that of the lower of their summits; says
        whether the two stay apart. Passes are asked from the highest down.
    smallest_px : int
        No part is smaller, unless the area's component is.

    Returns
    -------
    int
        The number of parts.
    ndarray of int32, shape (row, column)
        Their labels from 1 up; 0 outside.
    """
    from scipy import ndimage
    from skimage.morphology import local_maxima
    from skimage.segmentation import watershed

    summits, n = ndimage.label(local_maxima(heights, connectivity=2) & inside, _EIGHT_NEIGHBOURS)
    if n < 2:
        return 1, inside.astype(np.int32)
    basins = watershed(-heights, summits, connectivity=2, mask=inside)
    height = np.zeros(n + 1)
    height[1:] = ndimage.maximum(heights, basins, np.arange(1, n + 1))
    sizes = np.bincount(basins.ravel(), minlength=n + 1)
    root = list(range(n + 1))

    def find(basin: int) -> int:
        while root[basin] != basin:
            root[basin] = root[root[basin]]
            basin = root[basin]
        return basin

    for one, other, height_of_pass in zip(*_passes(basins, heights), strict=True):
        a, b = find(one), find(other)
        if a == b:
            continue
        stays = parts(height_of_pass, min(height[a], height[b]))
        if stays and min(sizes[a], sizes[b]) >= smallest_px:
            continue
        root[b] = a
        height[a] = max(height[a], height[b])
        sizes[a] += sizes[b]
    roots = np.array([find(basin) for basin in range(n + 1)])
    kept, compact = np.unique(roots, return_inverse=True)
    labels: NDArray[np.int32] = compact.astype(np.int32)[basins]
    return len(kept) - 1, labels


def _passes(
    basins: NDArray[np.int32], heights: NDArray[np.floating]
) -> tuple[list[int], list[int], list[float]]:
    """Return the pairs of neighbouring basins and the height of their pass, highest first."""
    pairs, widths = [], []
    base = int(basins.max(initial=0)) + 1
    for here, there in neighbours(basins.shape):
        a, b = basins[here], basins[there]
        apart = (a != b) & (a > 0) & (b > 0)
        one, other = a[apart].astype(np.int64), b[apart]
        # a pair as one number, which sorts faster than two
        pairs.append(np.minimum(one, other) * base + np.maximum(one, other))
        widths.append(np.minimum(heights[here][apart], heights[there][apart]))
    width = np.concatenate(widths)
    order = np.argsort(-width, kind="stable")
    unique, first = np.unique(np.concatenate(pairs)[order], return_index=True)
    widest = np.argsort(first)
    lower, upper = np.divmod(unique[widest], base)
    return lower.tolist(), upper.tolist(), width[order][first[widest]].tolist()


def _renumbered(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels as 1, 2, ... in the order of their first pixels."""
    flat = labels.ravel()
    inside = np.flatnonzero(flat)[::-1]
    first = np.full(int(flat.max(initial=0)) + 1, -1)
    # of several values for one place the last is kept: backwards, that is the first pixel
    first[flat[inside]] = inside
    found = np.flatnonzero(first >= 0)
    rank = np.zeros(len(first), np.int32)
    rank[found[np.argsort(first[found])]] = np.arange(1, len(found) + 1)
    return rank[labels]


def _sides(pixel_size_nm: tuple[float, float] | None) -> tuple[float, float]:
    """Return the pixel's sides in units of their geometric mean."""
    rows, columns = pixel_size_nm or (1.0, 1.0)
    return (rows / columns) ** 0.5, (columns / rows) ** 0.5


def check_frame(labels: NDArray[Any], what: str) -> None:
    """Raise a ValueError unless labels are whole numbers of shape (row, column)."""
    if labels.dtype.kind not in "uib":
        raise ValueError(f"the {what} holds {labels.dtype} values: labels are whole numbers")
    if labels.ndim != 2:
        raise ValueError(
            f"the {what} has {labels.ndim} axes: give one frame of (row, column) at a time"
        )


def compact(instances: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the labels above 0 in order, and the instances renumbered as 1, 2, ... in that order.

    Without a sort of all pixels wherever labels are not much larger than the number of pixels.
    """
    top = int(instances.max(initial=0))
    if instances.dtype.kind == "b" or top <= instances.size:
        values = instances if instances.dtype.kind in "bu" else np.maximum(instances, 0)
        there = np.zeros(top + 1, bool)
        there[values.ravel().astype(np.intp, copy=False)] = True
        there[0] = False
        rank = np.where(there, np.cumsum(there), 0).astype(np.int32)
        return np.flatnonzero(there), rank[values.astype(np.intp, copy=False)]
    found, index = np.unique(np.maximum(instances, 0), return_inverse=True)
    numbered = index.reshape(instances.shape).astype(np.int32)
    found = found.astype(np.int64)
    return (found[1:], numbered) if found[0] == 0 else (found, numbered + 1)
