"""Particles told apart by what a network says of their inside and their border.

A network that learned from numbered particles (`micrographs.particle_targets`) gives three
probabilities: background, inside and border. Where two particles touch there is a border between
their insides, whether or not the outline of the two has a neck.
"""

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.instances import part_at_passes

__all__ = ["particles_of_probabilities"]

_PASS = 0.7
"""Two insides are two particles where the probability of inside falls below this share of the lower
of the two."""

_LEAST_INSIDE = 0.25
"""A summit that is less probably inside is noise on a border: it goes to its neighbour."""

_SMOOTHED = 0.4
"""Deviation of the blur of the probability of inside, in widths of the border: what is narrower
than the border is no border."""


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
    Summits of the probability of inside are the particles; the watershed runs over it, so that the
    line between two particles lies where it is lowest. Basins are joined again unless the pass
    between them is below 70 % of the lower summit.
    """
    from scipy import ndimage
    from skimage.measure import label

    particle = inside + border > 0.5
    heights = ndimage.gaussian_filter(inside.astype(np.float32), _SMOOTHED * border_px)
    # lowest outside: a patch that is border all over has a summit of its own, and is one particle
    heights = np.where(particle, heights, np.float32(-1))
    _, parts = part_at_passes(
        heights,
        particle,
        lambda height, lower: lower >= _LEAST_INSIDE and height < _PASS * lower,
    )
    numbered: NDArray[np.int32] = label(parts, background=0, connectivity=2).astype(np.int32)
    return numbered
