"""How far from what a network was trained on its features of an image lie.

The features of the training are described by a Gaussian of low rank: their mean, a few directions
in which they vary most, and one variance for all others (probabilistic principal components; M. E.
Tipping and C. M. Bishop, Journal of the Royal Statistical Society B 61 (1999) 611).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FeatureSpace", "feature_space"]

MOST_DIRECTIONS = 4
MOST_FEATURES = 4096

_PRIOR_CROPS = 4.0
_LEAST_SPREAD = 0.02
_DIGITS = 5

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """The features of the crops of a training, as a Gaussian of low rank.

    Attributes
    ----------
    mean : tuple of float
        Mean of each feature.
    spread : tuple of float
        What each feature is divided by: its standard deviation, never less than a small part of the
        features' usual size.
    directions : tuple of tuple of float
        Directions in which the divided features vary most, each of length 1.
    variances : tuple of float
        Variance along each direction.
    rest : float
        Variance along each other direction.
    crops : int
        How many crops it was made from.
    """

    mean: tuple[float, ...]
    spread: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    variances: tuple[float, ...]
    rest: float
    crops: int

    def __post_init__(self) -> None:
        number = len(self.mean)
        if not 0 < number <= MOST_FEATURES or len(self.spread) != number:
            raise ValueError(f"{number} features have {len(self.spread)} spreads")
        if len(self.directions) != len(self.variances) or len(self.directions) > MOST_DIRECTIONS:
            raise ValueError(f"there are {len(self.directions)} directions of features")
        if any(len(each) != number for each in self.directions):
            raise ValueError("a direction of features has another length than their mean")
        if not (all(each > 0 for each in (*self.spread, *self.variances, self.rest))):
            raise ValueError("a spread or variance of features is not more than 0")

    def distances(self, features: Features) -> Features:
        """Return how far crops are from the training's mean: about 1 for the training's own.

        Parameters
        ----------
        features : ndarray of float, shape (crop, feature)

        Returns
        -------
        ndarray of float, shape (crop,)
            The Mahalanobis distance, divided by the root of the number of features.
        """
        off = (features - np.array(self.mean)) / np.array(self.spread)
        along = off @ np.array(self.directions).reshape(-1, off.shape[1]).T  # (crop, direction)
        squares = (along**2 / np.array(self.variances)).sum(axis=1)
        left = np.maximum((off**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.asarray(np.sqrt((squares + left / self.rest) / off.shape[1]))


def feature_space(features: Features) -> FeatureSpace:
    """Describe the features of the crops of a training.

    Parameters
    ----------
    features : ndarray of float, shape (crop, feature)
        At least one crop.

    Notes
    -----
    Few crops say little of how features vary: variances are those of the crops, and of four more
    that vary like the mean of all features.
    """
    crops, number = features.shape
    mean = features.mean(axis=0)
    size = float(np.sqrt((features**2).mean())) or 1.0
    variance = features.var(axis=0)
    usual = max(float(variance.mean()), (_LEAST_SPREAD * size) ** 2)
    spread = np.sqrt((crops * variance + _PRIOR_CROPS * usual) / (crops + _PRIOR_CROPS))
    off = (features - mean) / spread
    _, lengths, directions = np.linalg.svd(off, full_matrices=False)
    variances = lengths**2 / crops
    kept = min(MOST_DIRECTIONS, max(0, crops - 2), number - 1)
    left = float(variances[kept:].sum()) / max(1, number - kept)
    rest = (crops * left + _PRIOR_CROPS * 0.5) / (crops + _PRIOR_CROPS)
    return FeatureSpace(
        _rounded(mean),
        _rounded(spread),
        tuple(_rounded(each) for each in directions[:kept]),
        _rounded(np.maximum(variances[:kept], rest)),
        float(f"{rest:.{_DIGITS}g}"),
        crops,
    )


def _rounded(values: Features) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
