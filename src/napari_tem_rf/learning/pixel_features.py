"""What a forest sees of a pixel: grey level, edges and texture at several scales.

The numbers are those of ``skimage.feature.multiscale_basic_features``, to the last bit: its import
brings scipy.stats and Matplotlib along, a second for which the first answer to a stroke would wait.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_filter

__all__ = ["FEATURES", "FOREST_REACH_PX", "feature_strips"]

SCALES_PX = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Standard deviations of the Gaussians under the features."""

FOREST_REACH_PX = 68
"""How far a feature sees: Gaussians are cut at 4 standard deviations, then come derivatives."""

FEATURES = 4 * len(SCALES_PX)
"""Intensity, edges and two of texture, at each scale."""

_STRIP_ROWS = 1024

_SOBEL = np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]]) / 4.0


def feature_strips(
    pixels: NDArray[np.float32], strip_rows: int | None = None
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield rows and their features, shape (row, column, feature): memory for a strip at a time."""
    rows, most = pixels.shape[0], strip_rows or _STRIP_ROWS
    for start in range(0, rows, most):
        stop = min(start + most, rows)
        first, last = max(0, start - FOREST_REACH_PX), min(rows, stop + FOREST_REACH_PX)
        features = _features(np.ascontiguousarray(pixels[first:last], np.float32))
        yield slice(start, stop), features[start - first : stop - first]


def _features(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the features of an image, shape (row, column, feature)."""
    found = np.empty((*pixels.shape, FEATURES), np.float32)
    for place, scale_px in enumerate(SCALES_PX):
        smooth = gaussian_filter(pixels, scale_px, mode="nearest")
        found[..., 4 * place] = smooth
        found[..., 4 * place + 1] = _edges(smooth)
        found[..., 4 * place + 2], found[..., 4 * place + 3] = _texture(smooth)
    return found


def _edges(smooth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the magnitude of the gradient, after Sobel."""
    squares = np.zeros_like(smooth)
    for weights in (_SOBEL, _SOBEL.T):
        slope = convolve(smooth, weights, mode="reflect")
        slope *= slope
        squares += slope
    return np.asarray(np.sqrt(squares) / np.sqrt(2, dtype=squares.dtype))


def _texture(smooth: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the eigenvalues of the Hessian, the larger first."""
    down, across = np.gradient(smooth)
    rows, both = np.gradient(down)
    columns = np.gradient(across, axis=1)
    mean = (rows + columns) / 2
    half = np.sqrt(both**2 + ((rows - columns) / 2) ** 2)
    return mean + half, mean - half
