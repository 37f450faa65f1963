"""Where the layers of a receptive field lie: in world coordinates, on their frame of a series."""

from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_tem_rf.gui.layers.layers import image_shape, placement
from napari_tem_rf.networks.receptive_field import Interval

__all__ = ["corners_of", "on_image", "plane_of"]


def on_image(
    image: Image, frame: int, origin: tuple[float, float], px: tuple[float, float]
) -> dict[str, Any]:
    """Return scale, translate and the like for pixels that lie on a part of an image.

    Parameters
    ----------
    image : Image
    frame : int
        Of a series.
    origin : tuple of float
        (row, column) of the image where the first of the pixels begins, at its edge.
    px : tuple of float
        Px of the image per pixel, down and across.
    """
    whole = placement(image)
    lead = (float(frame),) if len(image_shape(image)) == 3 else ()
    middle = tuple(edge + (each - 1) / 2 for edge, each in zip(origin, px, strict=True))
    scale = np.asarray(whole["scale"], float)
    scale[-2:] *= px
    translate = np.asarray(image.data_to_world((*lead, *middle)), float)
    return {**whole, "scale": tuple(scale), "translate": tuple(translate)}


def plane_of(image: Image, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels with the axes of an image: one frame of a series shows there alone."""
    return pixels[None] if len(image_shape(image)) == 3 else pixels


def corners_of(image: Image, frame: int, rows: Interval, columns: Interval) -> NDArray[np.float64]:
    """Return the corners of a field in data coordinates of its image, shape (4, axis)."""
    top, bottom = rows.start - 0.5, rows.stop - 0.5
    left, right = columns.start - 0.5, columns.stop - 0.5
    corners = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    if len(image_shape(image)) == 2:
        return corners
    return np.column_stack([np.full(4, float(frame)), corners])
