"""The lattice of an image, found in its power spectrum."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lattice", "lattice_of_spectra", "lattice_period"]

_TILE_PX = 128
_MOST_TILES = 256
_LARGEST_SIDE_PX = 2048
_QUANTILE = 0.25
_FALSE_ALARMS = 1e-3
_SIGNIFICANCE = 2.0
_INNER = 0.7
_STANDS_OUT = 2.0


@dataclass(frozen=True, slots=True)
class Lattice:
    """The strongest ring of an image's power spectrum.

    Attributes
    ----------
    period_px, period_nm : float, optional
        Spacing of the lattice planes; in nm None without a pixel size.
    signal_to_noise : float
        Power of the ring's strongest spot over the background of its own frequency.
    """

    period_px: float
    period_nm: float | None
    signal_to_noise: float


def lattice_period(
    pixels: NDArray[Any], pixel_size_nm: tuple[float, float] | None = None
) -> Lattice | None:
    """Find the lattice of an image: the strongest ring of its power spectrum.

    Parameters
    ----------
    pixels : ndarray, shape (row, column)
        Grey values.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.

    Returns
    -------
    Lattice or None
        None where no ring stands out. Periods of 2.1 to about 20 px are found (to 32 px where the
        lattice fills an image of 1,024 px and more). With pixels that are not square,
        ``period_px`` is in units of the geometric mean of their sides.

    Raises
    ------
    ValueError
        If the image has not two axes.

    Notes
    -----
    The power of an amorphous film at one spatial frequency scatters around its mean like an
    exponential distribution, whatever the microscope's transfer function, so a lattice is what
    exceeds it: each pixel of the Hann-windowed spectrum is divided by its ring's mean, which is
    estimated from the ring's lower quartile so that spots don't raise it, and counts where chance
    would reach it once in a thousand images. What is no brighter than the spectrum further in, in
    the same direction, is a streak from a straight edge and left out. The powers of the spots are
    summed ring by ring.
    This is done on the whole image and on tiles of 128 px, where small crystals stand out more;
    the clearer answer is taken.
    """
    if pixels.ndim != 2:
        raise ValueError(
            f"the image has {pixels.ndim} axes: give one frame of (row, column) at a time"
        )
    rows, columns = pixel_size_nm or (1.0, 1.0)
    side = float(np.sqrt(rows * columns))
    image = _central(np.asarray(pixels), _LARGEST_SIDE_PX).astype(np.float32)
    image = np.where(np.isfinite(image), image, np.nanmean(image) if image.size else 0)
    sizes = {min(image.shape), min(_TILE_PX, *image.shape)}
    rings = [
        ring
        for size in sorted(sizes)
        if (ring := _ring_of_tiles(_tiles(np.asarray(pixels), image, size), (rows, columns), side))
    ]
    if not rings:
        return None
    significance, frequency, height = max(rings)
    if significance < _SIGNIFICANCE:
        return None
    period = 1 / frequency
    return Lattice(period, period * side if pixel_size_nm else None, height)


def lattice_of_spectra(spectra: NDArray[np.float32]) -> Lattice | None:
    """Find the lattice of a few square tiles of an image: sooner than `lattice_period`, and less.

    Parameters
    ----------
    spectra : ndarray of float32, shape (tile, row, column)
        Power spectra of the tiles under a window, columns from frequency 0 up; a tile has an even
        number of columns.
    """
    side = spectra.shape[1]
    ring = _strongest_ring(spectra, (side, side), (1.0, 1.0))
    if ring is None or ring[0] < _SIGNIFICANCE:
        return None
    _, frequency, height = ring
    return Lattice(1 / frequency, None, height)


def _spectra(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the power spectra of tiles under a Hann window, columns from frequency 0 up."""
    from scipy import fft

    window = np.hanning(tiles.shape[1])[:, None] * np.hanning(tiles.shape[2])
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window.astype(np.float32)
    return np.asarray(np.abs(fft.rfft2(tiles)) ** 2)


def _ring_of_tiles(
    tiles: NDArray[np.float32], size: tuple[float, float], side: float
) -> tuple[float, float, float] | None:
    shape = (tiles.shape[1], tiles.shape[2])
    return _strongest_ring(_spectra(tiles), shape, (size[0] / side, size[1] / side))


@dataclass(frozen=True, slots=True, eq=False)
class _Rings:
    """Where the rings of a spectrum lie: frequencies in their order, ring after ring."""

    wanted: NDArray[np.int64]
    order: NDArray[np.int64]
    edges: NDArray[np.int64]
    frequency: NDArray[np.float64]
    ring: NDArray[np.int64]


@lru_cache(maxsize=8)
def _rings(shape: tuple[int, int], sides: tuple[float, float]) -> _Rings:
    """Return the rings of the spectra of tiles of a shape, kept for the next image."""
    from scipy import fft

    n = max(shape)
    frequency = np.hypot(
        fft.fftfreq(shape[0], sides[0])[:, None], fft.rfftfreq(shape[1], sides[1])
    ).ravel()
    # beyond the Nyquist frequency of the coarser axis rings are cut
    limit = 0.47 / max(sides)
    wanted = np.arange(max(6, n // 32), int(limit * n) + 1)
    ring = np.rint(frequency * n).astype(np.int64)
    order = np.argsort(ring, kind="stable")
    edges = np.searchsorted(ring[order], np.append(wanted, wanted[-1] + 1))
    order = order[edges[0] : edges[-1]]
    return _Rings(wanted, order, edges[1:-1] - edges[0], frequency[order], ring[order])


def _strongest_ring(
    spectrum: NDArray[np.float32], shape: tuple[int, int], sides: tuple[float, float]
) -> tuple[float, float, float] | None:
    """Return significance, frequency (per px) and height of the strongest ring of the tiles.

    Parameters
    ----------
    spectrum : ndarray of float32, shape (tile, row, column)
        Power, columns from frequency 0 up.
    shape : tuple of int
        (row, column) of a tile.
    sides : tuple of float
        (row, column) size of a pixel in units of their geometric mean.
    """
    from scipy import ndimage

    if max(shape) < 24:
        return None
    rings = _rings(shape, sides)
    wanted, frequency, ring = rings.wanted, rings.frequency, rings.ring
    power = spectrum.reshape(len(spectrum), -1)[:, rings.order]  # (tile, frequency)
    parts = np.split(power, rings.edges, axis=1)
    quartile = np.stack([_quartile(part) for part in parts], axis=1)
    mean = quartile / -np.log1p(-_QUANTILE)  # (tile, ring)
    tiniest = np.finfo(np.float32).tiny
    mean = np.exp(ndimage.median_filter(np.log(mean + tiniest), size=(1, 5), mode="nearest"))
    height = power / mean[:, ring - wanted[0]]
    threshold = np.log(height.size / _FALSE_ALARMS)
    spots = (height > threshold) & (power > 1e-9 * power.max())
    tile, spot = np.nonzero(spots)
    spots[tile, spot] = _stand_alone(spectrum, tile, spot, rings.order)
    if not spots.any():
        return None
    spot_power = np.where(spots, power, 0).sum(axis=0, dtype=np.float64)
    by_ring = np.bincount(ring, spot_power, minlength=wanted[-1] + 2)
    # a spot of the Hann window is three rings wide
    strongest = int(np.argmax(np.convolve(by_ring, np.ones(3), mode="same")))
    near = np.abs(ring - strongest) <= 1
    highest = float(height[:, near].max(where=spots[:, near], initial=0))
    centre = float(np.average(frequency[near], weights=spot_power[near]))
    return highest / float(threshold), centre, highest


def _quartile(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lower quartile of each row: for short ones sooner than `numpy.quantile` does."""
    at = _QUANTILE * (values.shape[1] - 1)
    low = int(at)
    high = min(low + 1, values.shape[1] - 1)
    ordered = np.partition(values, (low, high), axis=1)
    below, above = ordered[:, low], ordered[:, high]
    return np.asarray(below + (above - below) * np.float32(at - low))


def _stand_alone(
    spectrum: NDArray[np.float32],
    tile: NDArray[np.intp],
    spot: NDArray[np.intp],
    order: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Tell spots from the streaks that straight edges make, which grow towards frequency 0.

    Parameters
    ----------
    spectrum : ndarray, shape (tile, row, column)
        Power, columns from frequency 0 up.
    tile, spot : ndarray of int, shape (spot,)
        Where the spots are: the tile, and the place in ``order``.
    order : ndarray of int, shape (frequency,)
        Flat index of each frequency in the spectrum of a tile.
    """
    n_rows, n_columns = spectrum.shape[1:]
    row, column = np.divmod(order[spot], n_columns)
    height = spectrum[tile, row, column]
    row = np.where(row > n_rows // 2, row - n_rows, row)
    inner_row = np.rint(_INNER * row).astype(np.int64)
    inner_column = np.rint(_INNER * column).astype(np.int64)
    inner = np.max(
        [
            # the spectrum of a real image is symmetric about frequency 0
            spectrum[tile, (r * np.where(c < 0, -1, 1)) % n_rows, np.abs(c)]
            for r in (inner_row - 1, inner_row, inner_row + 1)
            for c in (inner_column - 1, inner_column, inner_column + 1)
        ],
        axis=0,
    )
    return height > _STANDS_OUT * inner


def _tiles(
    pixels: NDArray[Any], image: NDArray[np.float32], size: int
) -> NDArray[np.float32]:  # (tile, row, column)
    if size >= min(image.shape):
        return image[None]
    starts = [range(0, length - size + 1, size // 2) for length in pixels.shape]
    corners = [(row, column) for row in starts[0] for column in starts[1]]
    if len(corners) > _MOST_TILES:
        chosen = np.linspace(0, len(corners) - 1, _MOST_TILES).round().astype(int)
        corners = [corners[i] for i in chosen]
    tiles = np.stack([pixels[r : r + size, c : c + size] for r, c in corners]).astype(np.float32)
    return np.where(np.isfinite(tiles), tiles, image.mean())


def _central(pixels: NDArray[Any], longest: int) -> NDArray[Any]:
    spare = [max(0, length - longest) // 2 for length in pixels.shape]
    row, column = (slice(s, s + longest) for s in spare)
    return pixels[row, column]
