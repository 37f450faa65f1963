"""How far one picture lies from another, from their Fourier transforms, in parts of a pixel.

The upsampled cross-correlation of Guizar-Sicairos, Thurman and Fienup (Optics Letters 2008, doi
10.1364/OL.33.000156): its highest pixel, then the neighbourhood of that pixel by a product with two
small matrices. scikit-image's ``phase_cross_correlation(..., normalization=None)`` computes the
same; here half of the spectrum is enough, because pictures are real numbers, and single precision.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["shift_between"]

_AROUND_PX = 1.5
"""So wide is the neighbourhood that is looked at in steps of a part of a pixel."""

_LARGEST_PRODUCT = 2**15
"""So many multiplications of a product of matrices OpenBLAS does in one thread."""


def shift_between(
    here: NDArray[np.complex64],
    there: NDArray[np.complex64],
    shape: tuple[int, int],
    steps: int,
) -> tuple[float, float]:
    """Return how far what both show lies further in ``there`` than in ``here``.

    Parameters
    ----------
    here, there : ndarray of complex64, shape (row, column // 2 + 1)
        The transforms of two pictures by ``scipy.fft.rfft2``.
    shape : tuple of int
        (row, column) of the pictures.
    steps : int
        Into how many steps a pixel is resolved.

    Returns
    -------
    tuple of float
        (row, column) in px, each less than half a picture.
    """
    from scipy import fft

    cross = np.conj(here) * there
    correlation = fft.irfft2(cross, shape)
    peak = np.unravel_index(int(np.argmax(correlation)), shape)
    rows, columns = (
        int(at) - side if at > side // 2 else int(at) for at, side in zip(peak, shape, strict=True)
    )
    if steps < 2:
        return float(rows), float(columns)
    # (sample, row) x (row, frequency) x (frequency, sample)
    along_rows = _waves(shape[0], steps) * _wave(shape[0], rows)
    along_columns = _half_waves(shape[1], steps) * _wave(shape[1], columns)[: cross.shape[1]]
    fine = _product(along_rows, _product(cross, along_columns.T)).real
    row, column = np.unravel_index(int(np.argmax(fine)), fine.shape)
    samples = _samples(steps)
    return rows + float(samples[row]), columns + float(samples[column])


def _product(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """Return the product of two matrices.

    In pieces too small for BLAS to start threads: these wait for each other, many times longer than
    they work, where something else computes.
    """
    rows = max(_LARGEST_PRODUCT // other.size, 2)  # a row by itself is multiplied otherwise
    pieces = np.array_split(one, max(len(one) // rows, 1))
    return np.concatenate([part @ other for part in pieces])


def _samples(steps: int) -> NDArray[np.float64]:
    """Return the places that are looked at around the highest pixel, in px."""
    number = int(np.ceil(_AROUND_PX * steps))
    return (np.arange(number) - number // 2) / steps


def _frequencies(side: int) -> NDArray[np.float64]:
    """Return the frequencies of a side in radians per px."""
    return np.asarray(2 * np.pi * np.fft.fftfreq(side), np.float64)


def _wave(side: int, at: int) -> NDArray[np.complex64]:
    return np.exp(1j * _frequencies(side) * at).astype(np.complex64)


@lru_cache(maxsize=8)
def _waves(side: int, steps: int) -> NDArray[np.complex64]:
    """Return the waves of a side at the samples, shape (sample, frequency)."""
    return np.exp(1j * np.outer(_samples(steps), _frequencies(side))).astype(np.complex64)


@lru_cache(maxsize=8)
def _half_waves(side: int, steps: int) -> NDArray[Any]:
    """Return the same of half the frequencies; the others are their mirror images and count too."""
    weight = np.full(side // 2 + 1, 2, np.float32)
    weight[0] = 1
    if side % 2 == 0:
        weight[-1] = 1
    return _waves(side, steps)[:, : len(weight)] * weight
