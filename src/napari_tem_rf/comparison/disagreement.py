"""Where networks differ: the map, and the places that are worth the next annotation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Place", "disagreement", "most_different"]


@dataclass(frozen=True, slots=True)
class Place:
    """A square of an image where networks differ.

    Attributes
    ----------
    image : str
        The image's name.
    row, column : int
        Centre of the square, in px.
    side_px : int
        Side of the square.
    disagreement : float
        Mean over the square, 0 to 1.
    """

    image: str
    row: int
    column: int
    side_px: int
    disagreement: float


def disagreement(predictions: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return how likely two of the predictions, drawn at random, differ at each pixel.

    Parameters
    ----------
    predictions : sequence of ndarray of int, each of shape (row, column)
        Predicted labels of one image; two or more.

    Returns
    -------
    ndarray of float32, shape (row, column)
        0 where all agree. Two networks that differ give 1; of n networks the share of the pairs
        that differ (Gini and Simpson's index without replacement).

    Raises
    ------
    ValueError
        When there are fewer than two, or their shapes differ.
    """
    n = len(predictions)
    if n < 2:
        raise ValueError(f"{n} predictions: where networks differ takes two or more")
    shapes = {each.shape for each in predictions}
    if len(shapes) > 1:
        raise ValueError(
            f"the predictions have the shapes {', '.join(map(str, sorted(shapes)))}: "
            "compare predictions of one image"
        )
    same = np.zeros(predictions[0].shape, np.int64)
    for value in set().union(*(np.unique(each).tolist() for each in predictions)):
        votes = np.zeros(same.shape, np.int64)
        for each in predictions:
            votes += each == value
        same += votes * (votes - 1)
    return (1 - same / (n * (n - 1))).astype(np.float32)


def most_different(
    maps: Mapping[str, NDArray[np.floating[Any]]], side_px: int = 64, most: int = 20
) -> tuple[Place, ...]:
    """Return the squares where networks differ most, over all images, worst first.

    Parameters
    ----------
    maps : mapping of str to ndarray of float, each of shape (row, column)
        `disagreement` of each image, by its name.
    side_px : int
        Side of the squares; smaller where an image is.
    most : int
        How many at most.

    Returns
    -------
    tuple of Place
        No two of one image overlap; places without any disagreement are left out.

    Raises
    ------
    ValueError
        When the side or the number is below 1.
    """
    if side_px < 1 or most < 1:
        raise ValueError(f"side {side_px} px and {most} places were asked for: both are at least 1")
    found = [
        place
        for name, values in maps.items()
        for place in _worst_squares(name, np.asarray(values, np.float64), side_px, most)
    ]
    found.sort(key=lambda place: (-place.disagreement, place.image, place.row, place.column))
    return tuple(found[:most])


def _worst_squares(name: str, values: NDArray[np.float64], side_px: int, most: int) -> list[Place]:
    side = min(side_px, *values.shape)
    sums = _square_sums(values, side)
    squares = []
    for _ in range(most):
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        worst = float(sums[row, column])
        if worst <= 1e-9 * side**2:
            break
        centre = int(row) + side // 2, int(column) + side // 2
        squares.append(Place(name, *centre, side, worst / side**2))
        near = tuple(slice(max(0, at - side + 1), at + side) for at in (int(row), int(column)))
        sums[near] = 0
    return squares


def _square_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return the sum over the square that starts at each pixel, shape of its possible starts."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(axis=0).cumsum(axis=1)
    return table[side:, side:] - table[:-side, side:] - table[side:, :-side] + table[:-side, :-side]
