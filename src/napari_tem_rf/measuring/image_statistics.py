"""What an image looks like to a network, in numbers: grey levels, noise, spectrum, lattice.

All are measured on a few tiles, so that they cost little beside a prediction, in the same way for
the images of a training and for those that are predicted.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log10, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.lattice import lattice_of_spectra

__all__ = ["BANDS", "ImageStatistics", "image_statistics"]

BANDS = (1 / 64, 1 / 40, 1 / 25, 1 / 16, 1 / 10, 1 / 6.4, 1 / 4, 1 / 2.9, 1 / 2.1)
"""Edges of the bands of spatial frequency, in periods per px."""

_TILE_PX = 128
_MOST_TILES = 9
_LEAST_SIDE_PX = 24
_GREY_PX = 2**16
"""Pixels whose grey levels are looked at, of a larger image."""

_TINIEST = 1e-12
_STRONGEST = 1e6


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """What an image looks like.

    Attributes
    ----------
    grey_mean, grey_sd : float
        Mean and standard deviation of the grey values as the file holds them.
    spectrum : tuple of float
        Decimal logarithm of the mean power in each of the `BANDS`, of the image as the network sees
        it (standard deviation 1; white noise of standard deviation s has the power s squared).
    noise : float
        Standard deviation of the noise in units of the image's own: the root of the power in the
        highest band, where little signal is left.
    lattice_px : float, optional
        Spacing of the strongest lattice planes in px as the network sees them; None without one.
    lattice_strength : float, optional
        Power of its strongest spot over the background of its own frequency.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel as the network sees it.
    dose : float, optional
        Electrons per square ångström, where the file says it.
    contrast : tuple of float
        Of each class against the background, in sigma; empty where it is not annotated.
    """

    grey_mean: float
    grey_sd: float
    spectrum: tuple[float, ...]
    noise: float
    lattice_px: float | None = None
    lattice_strength: float | None = None
    pixel_size_nm: tuple[float, float] | None = None
    dose: float | None = None
    contrast: tuple[float, ...] = ()

    @property
    def signal_to_noise(self) -> tuple[float, ...]:
        """Power over that of the noise, less 1, in each of the `BANDS`: 0 where there is noise."""
        floor = max(self.noise**2, _TINIEST)
        return tuple(max(10**power / floor - 1, 0.0) for power in self.spectrum)

    @property
    def bands_per_nm(self) -> tuple[float, ...] | None:
        """Middle of each of the `BANDS` in periods per nm; None without a pixel size."""
        if self.pixel_size_nm is None:
            return None
        side = sqrt(self.pixel_size_nm[0] * self.pixel_size_nm[1])
        return tuple(sqrt(low * high) / side for low, high in pairwise(BANDS))

    @property
    def lattice_nm(self) -> float | None:
        """Spacing of the lattice planes in nm."""
        if self.lattice_px is None or self.pixel_size_nm is None:
            return None
        return self.lattice_px * sqrt(self.pixel_size_nm[0] * self.pixel_size_nm[1])


def image_statistics(
    seen: NDArray[np.float32],
    raw: NDArray[Any] | None = None,
    *,
    pixel_size_nm: tuple[float, float] | None = None,
    dose: float | None = None,
    contrast: tuple[float, ...] = (),
) -> ImageStatistics:
    """Measure what an image looks like.

    Parameters
    ----------
    seen : ndarray of float32, shape (row, column)
        The image as the network sees it: cleaned and standardised.
    raw : ndarray, shape (row, column), optional
        Grey values as the file holds them; without, grey levels are those of ``seen``.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel of ``seen``.
    dose, contrast
        What is known of it besides; see `ImageStatistics`.

    Notes
    -----
    Power is that of tiles of 128 px under a Hann window, averaged over the tiles and over all
    directions. What is taken for noise is noise and whatever the lens still carries at two to three
    px a period.
    """
    spectra = _spectra(_tiles(seen))
    spectrum = _band_powers(spectra)
    lattice = lattice_of_spectra(spectra)
    strength = None
    if lattice is not None:  # beside no noise at all it would be without bounds
        strength = round(min(lattice.signal_to_noise, _STRONGEST), 2)
    mean, sd = _grey_levels(seen if raw is None else raw)
    return ImageStatistics(
        grey_mean=mean,
        grey_sd=sd,
        spectrum=tuple(round(log10(max(power, _TINIEST)), 4) for power in spectrum),
        noise=round(sqrt(max(spectrum[-1], 0.0)), 5) if spectrum else 0.0,
        lattice_px=None if lattice is None else round(lattice.period_px, 3),
        lattice_strength=strength,
        pixel_size_nm=pixel_size_nm,
        dose=dose,
        contrast=tuple(round(each, 4) for each in contrast),
    )


def _tiles(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return square tiles spread over an image, shape (tile, row, column)."""
    side = min(_TILE_PX, *image.shape)
    per_axis = [min(3, max(1, round(length / side))) for length in image.shape]
    starts = [
        np.linspace(0, length - side, number).round().astype(int)
        for length, number in zip(image.shape, per_axis, strict=True)
    ]
    corners = [(row, column) for row in starts[0] for column in starts[1]][:_MOST_TILES]
    return np.stack([image[r : r + side, c : c + side] for r, c in corners]).astype(np.float32)


def _spectra(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return power spectra of tiles, columns from frequency 0 up; white noise has its variance."""
    from scipy import fft

    side = tiles.shape[-1]
    line = np.hanning(side + 2)[1:-1].astype(np.float32)
    window = line[:, None] * line
    flat = tiles - tiles.mean(axis=(1, 2), keepdims=True)
    flat *= window / np.sqrt((window**2).sum())
    found = fft.rfft2(flat)
    return np.asarray(found.real**2 + found.imag**2)


@lru_cache(maxsize=8)
def _bands(side: int) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.intp]]:
    """Return the band of each frequency of a tile, whether there is one, and their numbers."""
    from scipy import fft

    frequency = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side))
    band = np.searchsorted(BANDS, frequency.ravel(), side="right") - 1
    inside = (band >= 0) & (band < len(BANDS) - 1)
    return band[inside], inside, np.bincount(band[inside], minlength=len(BANDS) - 1)


def _band_powers(spectra: NDArray[np.float32]) -> list[float]:
    """Return the mean power in each of the bands; none where tiles are too small for them."""
    side = spectra.shape[1]
    if side < _LEAST_SIDE_PX:
        return []
    mean = spectra.mean(axis=0).ravel()
    band, inside, counts = _bands(side)
    sums = np.bincount(band, mean[inside], minlength=len(BANDS) - 1)
    # of a small tile the lowest bands hold no frequency: they take the next one's power
    found = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    for place in range(len(found) - 2, -1, -1):
        if counts[place] == 0:
            found[place] = found[place + 1]
    return [float(each) for each in found]


def _grey_levels(pixels: NDArray[Any]) -> tuple[float, float]:
    """Return mean and standard deviation of the finite values, of a part of a large image."""
    step = max(1, int(sqrt(pixels.size / _GREY_PX)))
    values = np.asarray(pixels[::step, ::step], np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    return float(f"{values.mean():.6g}"), float(f"{values.std():.6g}")
