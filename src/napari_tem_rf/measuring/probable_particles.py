"""Particles told apart by what a network says of their inside and their border.

A network that learned from numbered particles (`micrographs.particle_targets`) gives three
probabilities: background, inside and border. Where two particles touch there is a border between
their insides, whether or not the outline of the two has a neck.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.finishing import Finishing, circle_area
from napari_tem_rf.measuring.instances import compact, part_at_passes

__all__ = ["finished_numbers", "particles_of_probabilities"]

_NECK, _SHALLOWEST_NECK_PX = 0.85, 0.5
"""Insides are parted at weaker necks than whole masks: the border between two has eaten into them
from both sides, and a network that is not quite sure leaves a bridge."""

_SMOOTHED = 0.25
"""Deviation of the blur of the probability of inside, in widths of the border: what is much
narrower than the border is noise."""


def particles_of_probabilities(
    inside: NDArray[np.floating], border: NDArray[np.floating], border_px: float
) -> NDArray[np.int32]:
    """Give each particle a number of its own, by a watershed on probabilities.

    Parameters
    ----------
    inside, border : ndarray of float, shape (row, column)
        Probabilities of the two, over the whole image.
    border_px : float
        Width in px of the border that was learned.

    Returns
    -------
    ndarray of int32, shape (row, column)
        1, 2, ... in the order of the first pixels where inside and border together are more
        probable than background, 0 elsewhere.

    Notes
    -----
    A particle is marked by its inside: what is inside by more than one half. Insides that hang
    together by a bridge are parted where it is a neck, as deep and as sure as they are: by the
    distance to their outline times the probability. From these marks a watershed on the
    probability of inside gives the rest of the mask to its particles, so that two meet where the
    border is surest. A piece of mask without an inside is a particle too.
    """
    from scipy import ndimage
    from skimage.measure import label
    from skimage.segmentation import watershed

    particle = inside + border > 0.5
    sure = ndimage.gaussian_filter(inside.astype(np.float32), _SMOOTHED * border_px)
    core = particle & (sure > 0.5)
    depth = ndimage.distance_transform_edt(core) * sure
    _, marks = part_at_passes(
        depth,
        core,
        lambda width, lower: width < _NECK * lower and lower - width >= _SHALLOWEST_NECK_PX,
    )
    marks = _with_pieces(marks, particle)
    parts = watershed(-sure, marks, connectivity=2, mask=particle)
    numbered: NDArray[np.int32] = label(parts, background=0, connectivity=2).astype(np.int32)
    return numbered


def finished_numbers(
    numbered: NDArray[np.int32], labels: NDArray[np.integer], finishing: Finishing
) -> NDArray[np.int32]:
    """Give the pixels of a finished mask to the particles that were told apart before.

    What was filled or smoothed on goes to the nearest particle of its piece; a particle smaller
    than the smallest goes to those that it touches.

    Parameters
    ----------
    numbered : ndarray of int32, shape (row, column)
        The particles before the mask was finished.
    labels : ndarray of int, shape (row, column)
        The finished mask.
    finishing : Finishing

    Returns
    -------
    ndarray of int32, shape (row, column)
        1, 2, ... where the mask is more than 0, and 0 elsewhere.
    """
    from skimage.segmentation import watershed

    mask = labels > 0
    marks = np.where(mask, numbered, np.int32(0))
    if finishing.enabled:
        sizes = np.bincount(marks.ravel())
        marks[sizes[marks] < circle_area(finishing.smallest_px)] = 0
    marks = _with_pieces(marks, mask)
    flat = np.zeros(mask.shape, np.uint8)
    _, parts = compact(watershed(flat, marks, connectivity=2, mask=mask))
    return parts


def _with_pieces(marks: NDArray[np.int32], particle: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return the marks, and one more for each connected piece of the mask that has none."""
    from scipy import ndimage

    pieces: NDArray[Any]
    pieces, number = ndimage.label(particle, np.ones((3, 3), bool))
    marked = np.zeros(number + 1, bool)
    marked[pieces[marks > 0]] = True
    marked[0] = True
    return np.where(marked[pieces], marks, pieces + marks.max(initial=0)).astype(np.int32)
