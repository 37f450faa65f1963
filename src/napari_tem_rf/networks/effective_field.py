"""The effective receptive field as numbers: where a pixel's influence lies and how wide it is.

The exact field says which input pixels can matter; the effective field says how much each of them
does. It is measured as a gradient elsewhere; here is what is read from it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def smallest_square(heat: NDArray[np.floating], at: tuple[int, int], fraction: float) -> int:
    """Return the side of the smallest square around a pixel that holds a fraction of a heat.

    Parameters
    ----------
    heat : ndarray of float, shape (row, column)
        Weights, none negative.
    at : tuple of int
        (row, column) of the square's centre in ``heat``.
    fraction : float
        How much of the sum the square holds, above 0 and at most 1.

    Returns
    -------
    int
        Side in px, odd because the pixel is its centre; 0 where the heat is zero everywhere.
        Parts of the square beyond the heat count as zero.

    Raises
    ------
    ValueError
        When the fraction or the pixel is out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}: it must be above 0 and at most 1")
    rows, columns = heat.shape
    if not (0 <= at[0] < rows and 0 <= at[1] < columns):
        raise ValueError(f"pixel {at} is outside the heat, which has the shape {heat.shape}")
    ring = np.maximum(
        np.abs(np.arange(rows) - at[0])[:, None], np.abs(np.arange(columns) - at[1])[None, :]
    )
    held = np.cumsum(np.bincount(ring.ravel(), weights=heat.ravel().astype(np.float64)))
    if held[-1] == 0:
        return 0
    # the last ring holds everything whatever the rounding of the sum
    half = min(int(np.searchsorted(held, fraction * held[-1] * (1 - 1e-12))), len(held) - 1)
    return 2 * half + 1


@dataclass(frozen=True, slots=True, eq=False)
class EffectiveField:
    """How strongly each pixel of the exact field influences one output pixel.

    Attributes
    ----------
    heat : ndarray of float32, shape (row, column)
        Absolute gradient of the class margin (logit of the predicted class less the largest
        other) with respect to the standardised image: logits per standard deviation of grey
        value.
    origin : tuple of int
        (row, column) of the heat's first pixel in the image.
    at : tuple of int
        (row, column) of the output pixel in the image.
    total : float
        Sum of the heat, in logits per standard deviation.
    w50_px, w95_px : int
        Side in px of the smallest square around the pixel that holds 50 % and 95 % of the total.
    pixels : int
        Number of output pixels that the heat is the mean of.
    """

    heat: NDArray[np.float32]
    origin: tuple[int, int]
    at: tuple[int, int]
    total: float
    w50_px: int
    w95_px: int
    pixels: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class WidthMap:
    """How wide the effective field is at pixels on a grid over an image.

    Attributes
    ----------
    w50_px, w95_px : ndarray of float32, shape (row, column) of the grid
        Sides in px of the smallest squares that hold 50 % and 95 % of the influence; NaN where it
        was stopped before.
    measured : int
        Number of pixels that were measured.
    """

    w50_px: NDArray[np.float32]
    w95_px: NDArray[np.float32]
    measured: int


def grid_on(shape: tuple[int, int], number: int) -> tuple[int, int]:
    """Return the (row, column) shape of a grid of about ``number`` squares on an image."""
    step = (shape[0] * shape[1] / number) ** 0.5
    rows, columns = (min(length, max(1, round(length / step))) for length in shape)
    return rows, columns


def grid_pixels(length: int, number: int) -> list[int]:
    """Return the pixels of an axis that a grid measures: the middle of each of its cells."""
    return [int((place + 0.5) * length / number) for place in range(number)]


def effective_field_of(
    heat: NDArray[np.floating], origin: tuple[int, int], at: tuple[int, int], pixels: int = 1
) -> EffectiveField:
    """Return the effective field with its numbers, from its heat; see `EffectiveField`."""
    inside = (at[0] - origin[0], at[1] - origin[1])
    return EffectiveField(
        heat=heat.astype(np.float32),
        origin=origin,
        at=at,
        total=float(heat.sum(dtype=np.float64)),
        w50_px=smallest_square(heat, inside, 0.5),
        w95_px=smallest_square(heat, inside, 0.95),
        pixels=pixels,
    )
