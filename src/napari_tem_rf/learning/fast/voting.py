"""The trees of a forest, walked from root to leaf by Numba, exactly as scikit-learn walks them."""

from typing import Any

import numpy as np
from numba import njit

# no fastmath: sums are to be those of scikit-learn, to the last digit
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def _walk(
    features: Any,
    roots: Any,
    feature: Any,
    threshold: Any,
    left: Any,
    right: Any,
    values: Any,
    sums: Any,
) -> None:
    """Add the class shares of every tree's leaf to the sums, shape (pixel, class)."""
    for tree in range(roots.shape[0]):
        for pixel in range(features.shape[0]):
            node = roots[tree]
            while left[node] >= 0:
                if np.float64(features[pixel, feature[node]]) <= threshold[node]:
                    node = left[node]
                else:
                    node = right[node]
            for index in range(values.shape[1]):
                sums[pixel, index] += values[node, index]


try:
    walk = njit(cache=True, **_OPTIONS)(_walk)
except RuntimeError:  # neither the package's folder nor the user's can be written to
    walk = njit(**_OPTIONS)(_walk)
