"""How uncertain a network is of an image, by its probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_entropy"]


def mean_entropy(probabilities: NDArray[np.floating[Any]]) -> float:
    """Return how uncertain a network is: the mean entropy over the largest that there can be.

    Parameters
    ----------
    probabilities : ndarray of float, shape (class, row, column)
        Two classes or more, adding up to 1.

    Returns
    -------
    float
        0: certain of each pixel; 1: of none.
    """
    values = np.clip(np.asarray(probabilities, np.float64), 1e-12, 1.0)
    entropy = -(values * np.log(values)).sum(axis=0)
    return float(entropy.mean() / np.log(len(values)))
