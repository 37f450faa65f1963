"""What a network says of an image in several orientations, averaged.

A network has learned from crops in all of the eight orientations of a square and still answers
differently in each: where its pools begin, and what noise looks like to it, changes with them. The
mean of its answers is closer to the truth than one of them; see Krizhevsky et al. (2012),
https://doi.org/10.1145/3065386, who averaged over crops and their mirror images.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.learning.prediction import Prediction
from napari_tem_rf.measuring.finishing import decide

__all__ = ["ORIENTATIONS", "predict_turned", "turned_back", "turned_to"]

ORIENTATIONS = {1: (0,), 2: (0, 5), 8: tuple(range(8))}
"""Which ones are taken when there are so many: of two, neither rows nor columns run alike."""

_WHOLE = 255


def turned_to(plane: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return a plane, shape (row, column), in one of the eight orientations; 0 is as it lies.

    From 4 on it is mirrored after it was turned. Axes before the last two stay.
    """
    turned = np.rot90(plane, orientation % 4, axes=(-2, -1))
    return turned[..., ::-1] if orientation >= 4 else turned


def turned_back(plane: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return to how it lay what `turned_to` has turned."""
    straight = plane[..., ::-1] if orientation >= 4 else plane
    return np.rot90(straight, -(orientation % 4), axes=(-2, -1))


def predict_turned(
    predict: Callable[..., Prediction | None],
    pixels: NDArray[np.float32],
    orientations: Sequence[int],
    *,
    probabilities: bool = False,
    shares: bool = True,
    border: bool = False,
    progress: Callable[[float], None] | None = None,
    look: Callable[[Prediction], None] = lambda first: None,
    **named: Any,
) -> Prediction | None:
    """Predict an image in some orientations and average what is said; None when stopped.

    Parameters
    ----------
    predict : callable
        `napari_tem_rf.learning.prediction.predict` of a network, or what stands for it: called with
        pixels and by name.
    pixels : ndarray of float32, shape (row, column)
        Standardised image.
    orientations : sequence of int
        Which of the eight; see `turned_to`.
    probabilities, shares, border : bool
        As for `predict`; a mean has its shares whether they are asked for or not.
    progress : callable
        Called with the fraction done, where ``predict`` tells it.
    look : callable
        Called with what is said of the image in the first orientation.
    **named
        For `predict`.

    Returns
    -------
    Prediction
        The mean; between two classes that are as probable, the first is taken. Of the image as it
        lies alone, what ``predict`` says of it.
    """
    number = len(orientations)
    parts: NDArray[np.uint16] | None = None
    likely: NDArray[np.float32] | None = None
    for done, orientation in enumerate(orientations):
        if progress is not None:
            named["progress"] = lambda part, done=done: progress((done + part) / number)
        said = predict(
            # a mirrored row of one pixel is "contiguous" with a step that torch does not take
            turned_to(pixels, orientation).copy() if orientation else pixels,
            probabilities=probabilities,
            shares=shares or number > 1,
            **({"border": True} if border else {}),
            **named,
        )
        if said is None:
            return None
        if done == 0:
            look(said)
        if tuple(orientations) == ORIENTATIONS[1]:
            return said
        assert said.shares is not None
        part = turned_back(said.shares, orientation)
        parts = part.astype(np.uint16) if parts is None else np.add(parts, part, out=parts)
        if said.probabilities is not None:
            straight = turned_back(said.probabilities, orientation)
            likely = straight.copy() if likely is None else np.add(likely, straight, out=likely)
    assert parts is not None
    if likely is not None:
        likely /= number
    return Prediction(decide(parts, whole=number * _WHOLE), likely, _rounded(parts, number))


def _rounded(parts: NDArray[np.uint16], number: int) -> NDArray[np.uint8]:
    return ((parts + np.uint16(number // 2)) // np.uint16(number)).astype(np.uint8)
