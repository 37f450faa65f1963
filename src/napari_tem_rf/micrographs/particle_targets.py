"""Numbered particles -> what a network learns of them: background, inside and border.

A network that learns particle and background alone has no way to say that two particles touch. Of
particles that are numbered it learns the rim apart from the inside: where two touch, both rims lie
between them, and the insides stay apart. The rim belongs to the particle, so that a prediction is
particle wherever inside and border together are more probable than background.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.label_meaning import LabelMeaning

__all__ = ["BORDER", "INSIDE", "border_width", "index_numbers"]

INSIDE, BORDER = 1, 2
"""What is learned besides background, which is 0."""

_SHARE = 0.12
_NARROWEST_PX, _WIDEST_PX = 1.0, 8.0
_MOST_OF_DEPTH = 0.5
_MOST_MEASURED = 64


def border_width(planes: Sequence[NDArray[Any]], meaning: LabelMeaning) -> float:
    """Return how wide a border to learn, in px: about an eighth of the median diameter.

    Parameters
    ----------
    planes : sequence of ndarray of int, shape (row, column)
        Labels with a number for each particle.
    meaning : LabelMeaning
        What they mean.
    """
    areas = [
        np.bincount(places.ravel())[1:]
        for places in (_places(plane, meaning) for plane in planes[:_MOST_MEASURED])
    ]
    found = np.concatenate(areas) if areas else np.zeros(0)
    if not found.size:
        return _NARROWEST_PX
    diameter = 2 * float(np.sqrt(np.median(found) / np.pi))
    return float(np.clip(round(_SHARE * diameter, 1), _NARROWEST_PX, _WIDEST_PX))


def index_numbers(
    labels: NDArray[Any], meaning: LabelMeaning, border_px: float
) -> NDArray[np.int16]:
    """Return what is learned of each pixel, shape (row, column); -1 where it is not annotated.

    The border is the pixels of a particle that are no further than its width from another particle
    or the background, but at most the outer half of how deep the particle is, so that each has an
    inside. The image's edge is no border: the particle may go on beyond it.

    Parameters
    ----------
    labels : ndarray of int, shape (row, column)
        A number for each particle.
    meaning : LabelMeaning
        What they mean.
    border_px : float
        Width of the border in px.
    """
    from scipy import ndimage

    indices = np.zeros(labels.shape, np.int16)
    if meaning.unlabelled == "ignore":
        indices[labels == 0] = -1
    indices[labels < 0] = -1
    places = _places(labels, meaning)
    for place, box in enumerate(ndimage.find_objects(places), start=1):
        if box is None:
            continue
        around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        inside = places[around] == place
        if inside.all():  # it fills the image
            indices[around] = INSIDE
            continue
        depth = ndimage.distance_transform_edt(inside)
        # the first pixel is 1 px from the outside: its own width is not half of its depth
        width = min(border_px, _MOST_OF_DEPTH * float(depth.max()))
        indices[around][inside] = np.where(depth[inside] > width, INSIDE, BORDER)
    return indices


def _places(labels: NDArray[Any], meaning: LabelMeaning) -> NDArray[np.int32]:
    """Return the particles as 1, 2, ..., and 0 elsewhere."""
    plain = np.where(labels == meaning.background, 0, np.maximum(labels, 0))
    values, places = np.unique(plain, return_inverse=True)
    shaped: NDArray[np.int32] = places.reshape(labels.shape).astype(np.int32)
    return shaped if values[0] == 0 else shaped + 1
