"""Images at another pixel size, and labels back on the image's own pixels.

Both grids cover the same area. Pixels are areas: pixel i of n has its centre at (i + 1/2) / n of
the side, so that nothing is shifted on the way there and back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_RATIO = 8.0
"""An image with pixels larger by more than this factor holds nothing that the network looks for."""

__all__ = [
    "LARGEST_RATIO",
    "Resampling",
    "resample_image",
    "resample_labels",
    "resample_probabilities",
]


@dataclass(frozen=True, slots=True)
class Resampling:
    """From the pixel size of an image to that of a network.

    Attributes
    ----------
    image_nm, network_nm : tuple of float
        (row, column) size of a pixel in nm: of the image, and of the images trained on.
    """

    image_nm: tuple[float, float]
    network_nm: tuple[float, float]

    @property
    def ratios(self) -> tuple[float, float]:
        """How many times larger the image's pixels are, along the rows' axis and the columns'."""
        rows, columns = np.divide(self.image_nm, self.network_nm).tolist()
        return rows, columns

    def shape(self, image_shape: Sequence[int], binning: int = 1) -> tuple[int, int]:
        """Return the (row, column) shape of an image of ``image_shape`` on the network's pixels.

        Parameters
        ----------
        image_shape : sequence of int
            (row, column) shape of the image.
        binning : int
            Side of the blocks of pixels that the network knows as one.
        """
        rows, columns = (
            max(1, round(length * ratio / binning))
            for length, ratio in zip(image_shape, self.ratios, strict=True)
        )
        return rows, columns

    def to_dict(self) -> dict[str, Any]:
        """Return both sizes as plain JSON values."""
        return {"from_nm": list(self.image_nm), "to_nm": list(self.network_nm)}


def resample_image(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return an image on a grid of another shape over the same area.

    Parameters
    ----------
    image : ndarray of float32, shape (row, column)
        Finite grey values.
    shape : tuple of int
        (row, column) shape wanted.

    Returns
    -------
    ndarray of float32, shape ``shape``
        By cubic interpolation; where pixels become larger the kernel grows with them, so that
        what is too fine for them is averaged and does not come back as moiré.
    """
    return _resized(image, shape, cubic=True)


def resample_labels(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return labels on a grid of another shape: each pixel takes the label at its centre."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * length // (2 * wanted)
        for wanted, length in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def resample_probabilities(
    probabilities: NDArray[np.float32] | NDArray[np.uint8], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Return probabilities, shape (class, row, column), on another grid by linear interpolation."""
    return np.stack([_resized(plane, shape, cubic=False) for plane in probabilities])


def _resized(plane: NDArray[Any], shape: tuple[int, int], *, cubic: bool) -> NDArray[np.float32]:
    from PIL import Image

    if plane.shape == shape:
        return plane
    kernel = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    picture = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    # Pillow's order is (width, height); one axis at a time, with half-pixel centres
    return np.asarray(picture.resize((shape[1], shape[0]), kernel))
