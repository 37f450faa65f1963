"""Several networks asked about the same image: their mean, and how far they are apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ensemble", "RunningEnsemble"]


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """What several networks say together.

    Attributes
    ----------
    labels : ndarray of uint8 or uint16, shape (row, column)
        Label value of the class with the largest mean probability; background 0.
    mean, spread : ndarray of float32, shape (class, row, column)
        Mean and standard deviation (n) of the networks' probabilities.
    networks : int
    """

    labels: NDArray[Any]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    networks: int


class RunningEnsemble:
    """Adds probability maps up one by one, so that only two of them are ever held.

    By Welford's recurrence (Technometrics 1962, doi 10.1080/00401706.1962.10490022), which loses
    no digits where the networks agree.
    """

    def __init__(self) -> None:
        self._n = 0
        self._mean: NDArray[np.float32] | None = None
        self._squares: NDArray[np.float32] | None = None

    def add(self, probabilities: NDArray[np.floating[Any]]) -> None:
        """Add one network's probabilities, shape (class, row, column).

        Raises
        ------
        ValueError
            When the shape is another than before.
        """
        now = probabilities.astype(np.float32)
        if self._mean is None or self._squares is None:
            self._mean, self._squares = np.zeros_like(now), np.zeros_like(now)
        if now.shape != self._mean.shape:
            raise ValueError(
                f"probabilities are {now.shape} but those before were {self._mean.shape} (class, "
                "row, column): an ensemble is of one image and the same classes"
            )
        self._n += 1
        off = now - self._mean
        self._mean += off / self._n
        self._squares += off * (now - self._mean)

    def result(self, values: NDArray[np.integer[Any]]) -> Ensemble:
        """Return the ensemble.

        Parameters
        ----------
        values : ndarray of int, shape (class,)
            Label value of each class in a prediction, background 0.

        Raises
        ------
        ValueError
            When nothing was added.
        """
        if self._mean is None or self._squares is None:
            raise ValueError("the ensemble is empty: add one network's probabilities at least")
        kind = np.uint8 if values.max() < 256 else np.uint16
        labels = values.astype(kind)[self._mean.argmax(axis=0)]
        return Ensemble(labels, self._mean, np.sqrt(self._squares / self._n), self._n)
