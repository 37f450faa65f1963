"""The dots of the design chart, one a network."""

import math

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QColor, QImage

__all__ = ["picture_of_dots"]

_RADIUS_PX = 1.0


def picture_of_dots(
    across: NDArray[np.floating],
    down: NDArray[np.floating],
    size: tuple[int, int],
    color: QColor,
    scale: float = 1.0,
) -> QImage:
    """Return a picture of thousands of dots, where many overlap the more opaque.

    Qt takes twice as long, and thousands of points, which are garbage to collect later.

    Parameters
    ----------
    across, down : ndarray of float, shape (dot,)
        Places in px of the picture.
    size : tuple of int
        (rows, columns) of the picture.
    color : QColor
        Of one dot; its alpha counts.
    scale : float
        Pixels of the picture in one of the widget.
    """
    rows, columns = size
    first_row, first_column = np.floor(down).astype(int), np.floor(across).astype(int)
    # what the dots let through: the product, so the sum of logarithms
    through = np.zeros(rows * columns)
    reach = math.ceil(_RADIUS_PX * scale + 0.5)
    for row in range(-reach, reach + 1):
        for column in range(-reach, reach + 1):
            at_row, at_column = first_row + row, first_column + column
            distance = np.hypot(at_row + 0.5 - down, at_column + 0.5 - across)
            covered = np.clip(_RADIUS_PX * scale + 0.5 - distance, 0, 1)
            inside = (at_row >= 0) & (at_row < rows) & (at_column >= 0) & (at_column < columns)
            through += np.bincount(
                (at_row * columns + at_column)[inside],
                np.log1p(-0.999 * color.alphaF() * covered[inside]),
                rows * columns,
            )
    pixels = np.empty((rows, columns, 4), np.uint8)
    pixels[...] = (*color.getRgb()[:3], 0)
    pixels[..., 3] = np.rint(-255 * np.expm1(through)).reshape(rows, columns)
    image = QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888)
    return image.copy()  # the bytes are gone after this
