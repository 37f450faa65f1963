"""The lattice of single particles: spacing, orientation and strength, each with its error.

Every particle is cut out with a soft edge of its own shape, so that neither its outline nor its
neighbours are in its power spectrum.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.instances import check_frame, compact

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ParticleLattice", "lattice_columns", "lattice_of_particle"]

Numbers = NDArray[np.float64]

_FALSE_ALARMS = 1e-3
_SHORTEST_PX = 2.1
_FEWEST_PERIODS = 3.0
_FEWEST_PX = 100
_LARGEST_SIDE_PX = 1024
_TAPER = 0.5
_NOISE_RINGS = 4
_PASSES = 3
_SPOT = 12.0
_LOBE = 1.5
# of exponential samples: variance of the median's logarithm times their number (1 / ln(2)**2)
_MEDIAN_COST = 1 / np.log(2) ** 2
_INNER = 0.7
_STANDS_OUT = 2.0


@dataclass(frozen=True, slots=True)
class ParticleLattice:
    """The strongest lattice planes of a particle.

    Attributes
    ----------
    spacing, spacing_error : float
        Distance of the planes and its standard error, in nm (px without a pixel size). The error is
        that of the noise; the calibration's own comes on top.
    angle_deg, angle_error_deg : float
        Direction in which the planes follow each other (the direction of the spot), from the right
        counter-clockwise, 0 to below 180 degrees, and its standard error.
    strength : float
        Power of the spot over the noise at its frequency.
    """

    spacing: float
    spacing_error: float
    angle_deg: float
    angle_error_deg: float
    strength: float


def lattice_columns(
    instances: NDArray[Any],
    image: NDArray[Any],
    pixel_size_nm: tuple[float, float] | None = None,
) -> "pd.DataFrame":
    """Return the columns of a particle table that describe each particle's lattice.

    Parameters
    ----------
    instances : ndarray of int, shape (row, column)
        0 or less = no particle, one label a particle.
    image : ndarray, shape (row, column)
        Grey values.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.

    Returns
    -------
    DataFrame
        One row a particle, in the order of the labels: ``lattice_spacing_nm`` and
        ``lattice_spacing_error_nm`` (``_px`` without a pixel size), ``lattice_angle_deg``,
        ``lattice_angle_error_deg`` and ``lattice_strength``; NaN where no lattice is significant.

    Raises
    ------
    ValueError
        If shapes differ or labels are not whole numbers.
    """
    check_frame(instances, "instance labels")
    if image.shape != instances.shape:
        raise ValueError(
            f"the image is {image.shape} and the instance labels are {instances.shape} "
            "(row, column): give the image they were made from"
        )
    import pandas as pd
    from scipy import ndimage

    labels, numbered = compact(instances)
    values = np.full((len(labels), 5), np.nan)
    for place, box in enumerate(ndimage.find_objects(numbered)):
        inside = numbered[box] == place + 1
        found = lattice_of_particle(image[box], inside, pixel_size_nm)
        if found is not None:
            values[place] = (
                *(found.spacing, found.spacing_error),
                *(found.angle_deg, found.angle_error_deg, found.strength),
            )
    unit = "nm" if pixel_size_nm else "px"
    names = (
        *(f"lattice_spacing_{unit}", f"lattice_spacing_error_{unit}"),
        *("lattice_angle_deg", "lattice_angle_error_deg", "lattice_strength"),
    )
    return pd.DataFrame(values, columns=list(names))


def lattice_of_particle(
    image: NDArray[Any],
    inside: NDArray[np.bool_],
    pixel_size_nm: tuple[float, float] | None = None,
) -> ParticleLattice | None:
    """Find the strongest lattice planes of one particle.

    Parameters
    ----------
    image : ndarray, shape (row, column)
        Grey values of the particle's box.
    inside : ndarray of bool, shape (row, column)
        The particle's pixels.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.

    Returns
    -------
    ParticleLattice or None
        None where no spot is significant. Spacings from 2.1 px to a third of the particle's
        diameter are looked for.

    Notes
    -----
    The window rises from 0 at the outline to 1 in the depth of half of the largest inscribed radius
    (a cosine bell of the distance to the outline). A plane of second order is taken off inside it,
    for thickness and shading.

    In noise, power at one frequency scatters exponentially about a mean that changes slowly with
    frequency. That mean is taken from the medians of the rings around, spots left out. The spot
    that exceeds it most must do so with a chance below one in a thousand for the whole spectrum,
    the scatter of the mean included, and must stand out against the spectrum further in, as streaks
    from edges do not.

    The spot is refined to the maximum of the Fourier transform between its frequencies. Its
    covariance is that of the maximum of a windowed periodogram to first order,
    C^-1 D C^-1 / (8 pi^2 strength), with C and D the second moments of the window and of its square
    about the window's centre (for a flat window the bound of Rife and Boorstyn 1974).
    """
    values = np.asarray(image, np.float64)
    inside = np.asarray(inside, bool) & np.isfinite(values)
    if np.count_nonzero(inside) < _FEWEST_PX:
        return None
    values, inside = _middle(values, inside)
    window = _window(inside)
    signal = window * _flattened(np.where(inside, values, 0.0), window)
    # independent frequencies are as many as pixels in a flat window of the same noise
    independent = window.sum() ** 2 / (window**2).sum()
    diameter = 2 * (np.count_nonzero(inside) / np.pi) ** 0.5
    spot = _highest_spot(signal, independent, diameter)
    if spot is None:
        return None
    frequency, strength = _refined(signal, *spot)
    if frequency is None:
        return None
    rows, columns = pixel_size_nm or (1.0, 1.0)
    covariance = _covariance(window, strength) / np.outer((rows, columns), (rows, columns))
    g = frequency / (rows, columns)
    length = float(np.hypot(*g))
    along, across = g / length, np.array([-g[1], g[0]]) / length
    error = float((along @ covariance @ along) ** 0.5)
    turn = float((across @ covariance @ across) ** 0.5) / length
    angle = float(np.degrees(np.arctan2(-g[0], g[1])) % 180)
    return ParticleLattice(
        spacing=1 / length,
        spacing_error=error / length**2,
        angle_deg=0.0 if angle >= 180 else angle,
        angle_error_deg=float(np.degrees(turn)),
        strength=float(strength),
    )


def _middle(values: Numbers, inside: NDArray[np.bool_]) -> tuple[Numbers, NDArray[np.bool_]]:
    """Cut the middle out of a particle that would take long."""
    parts = []
    for length in values.shape:
        start = max(0, length - _LARGEST_SIDE_PX) // 2
        parts.append(slice(start, start + _LARGEST_SIDE_PX))
    box = tuple(parts)
    return values[box], inside[box]


def _window(inside: NDArray[np.bool_]) -> Numbers:
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    share = np.minimum(depth / max(_TAPER * depth.max(), 1.0), 1.0)
    window: Numbers = np.sin(np.pi / 2 * share) ** 2
    return window


def _flattened(values: Numbers, window: Numbers) -> Numbers:
    """Take the weighted plane of second order off."""
    row, column = (
        np.linspace(-1, 1, length).reshape(shape)
        for length, shape in zip(values.shape, ((-1, 1), (1, -1)), strict=True)
    )
    whole = np.ones(values.shape)
    terms = np.stack(
        [(whole * term).ravel() for term in (1, row, column, row**2, row * column, column**2)]
    )
    weighted = terms * window.ravel()
    solved = np.linalg.lstsq(weighted @ terms.T, weighted @ values.ravel(), rcond=None)[0]
    return values - (solved @ terms).reshape(values.shape)


def _highest_spot(
    signal: Numbers, independent: float, diameter: float
) -> tuple[tuple[float, float], float] | None:
    """Return frequency (row, column; cycles per px) and noise of the most significant spot."""
    from scipy import fft, ndimage

    # twice as large, so that no spot falls between two frequencies
    n_rows, n_columns = (fft.next_fast_len(2 * length, real=True) for length in signal.shape)
    spectrum = np.abs(fft.rfft2(signal, (n_rows, n_columns))) ** 2
    f_row = fft.fftfreq(n_rows)[:, None]
    f_column = fft.rfftfreq(n_columns)[None, :]
    frequency = np.hypot(f_row, f_column)
    cells = independent / (n_rows * n_columns)
    width = 0.75 / independent**0.5
    lowest = max(_FEWEST_PERIODS / diameter, 3 * width)
    band = (frequency >= lowest) & (frequency <= 1 / _SHORTEST_PX)
    # in the first column each frequency is there twice
    band[n_rows // 2 + 1 :, 0] = False
    lobe = [2 * round(_LOBE * length / independent**0.5) + 1 for length in (n_rows, n_columns)]
    spots = np.zeros(spectrum.shape, bool)
    for _ in range(_PASSES):
        noise, scatter = _noise(spectrum, frequency, spots, width, cells, lowest)
        wanted = band & (noise > 0)
        if not wanted.any():
            return None
        height = np.where(wanted, spectrum / np.where(noise > 0, noise, 1), 0)
        high = height > _SPOT
        if not high.any():
            break
        # what a strong spot spreads around itself is no noise
        spots = ndimage.maximum_filter(high, size=lobe, mode=("wrap", "reflect"))
    at = int(np.argmax(height))
    row, column = divmod(at, height.shape[1])
    peak = float(height[row, column])
    number = max(np.count_nonzero(wanted) * cells, 1.0)
    degrees = max(float(scatter[row, column]), 1.0)
    # an exponential variable over the mean of others: F with 2 and 2 n degrees of freedom
    chance = 2 * number * (1 + peak / degrees) ** -degrees
    # further in, yet beyond the spot's own width
    share = min(_INNER, max(1 - _LOBE / (independent**0.5 * frequency[row, column]), 0.0))
    if chance > _FALSE_ALARMS or not _stands_alone(spectrum, row, column, share):
        return None
    return (float(f_row[row, 0]), float(f_column[0, column])), float(noise[row, column])


def _noise(
    spectrum: Numbers,
    frequency: Numbers,
    spots: NDArray[np.bool_],
    width: float,
    cells: float,
    lowest: float,
) -> tuple[Numbers, Numbers]:
    """Return the noise's mean power at each frequency, and how many samples it is as good as.

    Medians of rings without the spots; a parabola through the logarithms of the rings around, since
    the spectrum of an amorphous film falls steeply.
    """
    last = int(0.5 / width)
    number = last + 1
    ring = np.minimum((frequency / width).astype(np.int64), number)
    ring[spots] = number
    order = np.argsort(ring, axis=None, kind="stable")
    sorted_power = spectrum.ravel()[order]
    edges = np.searchsorted(ring.ravel()[order], np.arange(number + 1))
    centres = (np.arange(number) + 0.5) * width
    logs, weight = np.zeros(number), np.zeros(number)
    for at in range(number):
        part = sorted_power[edges[at] : edges[at + 1]]
        median = float(np.median(part)) if len(part) else 0.0
        if median > 0 and centres[at] > 0.5 * lowest:
            logs[at] = np.log(median / np.log(2))
            # columns from frequency 0 up hold half of the spectrum, the other is its mirror
            weight[at] = len(part) * cells / _MEDIAN_COST
    level, good = np.full(number, -np.inf), np.zeros(number)
    place = np.arange(number)
    for at in range(number):
        near = (np.abs(place - at) <= _NOISE_RINGS) & (weight > 0)
        if np.count_nonzero(near) < 4:
            continue
        powers = np.vander((place[near] - at) / _NOISE_RINGS, 3, increasing=True)
        weighted = powers.T * weight[near]
        inverse = np.linalg.inv(weighted @ powers)
        level[at] = (inverse @ weighted @ logs[near])[0]
        good[at] = 1 / inverse[0, 0]
    known = np.isfinite(level)
    if not known.any():
        return np.zeros(frequency.shape), np.zeros(frequency.shape)
    noise = np.exp(np.interp(frequency, centres[known], level[known]))
    noise[(frequency < 0.5 * lowest) | (frequency > 0.5)] = 0
    return noise, np.interp(frequency, centres[known], good[known])


def _stands_alone(spectrum: Numbers, row: int, column: int, share: float) -> bool:
    """Tell a spot from a streak, which grows towards frequency 0.

    It is compared with the spectrum at a share of its own frequency.
    """
    n_rows = spectrum.shape[0]
    signed = row - n_rows if row > n_rows // 2 else row
    r, c = round(share * signed), round(share * column)
    rows = np.arange(r - 1, r + 2)
    inner = max(
        float(spectrum[(rows * (-1 if at < 0 else 1)) % n_rows, abs(at)].max())
        for at in (c - 1, c, c + 1)
    )
    return bool(spectrum[row, column] > _STANDS_OUT * inner)


def _refined(
    signal: Numbers, start: tuple[float, float], noise: float
) -> tuple[Numbers | None, float]:
    """Return the maximum of the power near a frequency by Newton's steps, and its height.

    None where the spot is no maximum of its own.
    """
    row, column = (np.arange(length) - (length - 1) / 2 for length in signal.shape)
    reach = 1.0 / np.asarray(signal.shape)
    f = np.array(start)
    for _ in range(12):
        value, first, second = _transform(signal, f, row, column)
        gradient = 2 * (value.conjugate() * first).real
        hessian = 2 * (value.conjugate() * second).real
        hessian += 2 * (first[:, None].conj() * first[None, :]).real
        if not (np.linalg.eigvalsh(hessian) < 0).all():
            return None, 0.0
        step = -np.linalg.solve(hessian, gradient)
        f = f + np.clip(step, -reach / 2, reach / 2)
        if (np.abs(step) < 1e-6 * reach).all():
            break
    if (np.abs(f - start) > 2 * reach).any():
        return None, 0.0
    return f, float(abs(_transform(signal, f, row, column)[0]) ** 2 / noise)


def _transform(
    signal: Numbers, f: Numbers, row: Numbers, column: Numbers
) -> tuple[complex, NDArray[np.complex128], NDArray[np.complex128]]:
    """Return the Fourier transform at a frequency, and its first and second derivatives."""
    e_row, e_column = np.exp(-2j * np.pi * f[0] * row), np.exp(-2j * np.pi * f[1] * column)
    waves = np.stack([column**power * e_column for power in range(3)], axis=1)
    # (column, real and imaginary part of three): one product of real numbers
    summed = signal @ np.concatenate([waves.real, waves.imag], axis=1)
    over_columns = summed[:, :3] + 1j * summed[:, 3:]  # (row, power of the column)
    sums = np.stack([row**power * e_row for power in range(3)]) @ over_columns
    first = -2j * np.pi * np.array([sums[1, 0], sums[0, 1]])
    second: NDArray[np.complex128] = np.array(
        [[sums[2, 0], sums[1, 1]], [sums[1, 1], sums[0, 2]]], np.complex128
    )
    return complex(sums[0, 0]), first, -4 * np.pi**2 * second


def _covariance(window: Numbers, strength: float) -> Numbers:
    """Return the covariance of the spot's frequency, in cycles per px squared."""
    row, column = np.indices(window.shape)
    c, d = np.zeros((2, 2)), np.zeros((2, 2))
    centre = [(window * axis).sum() / window.sum() for axis in (row, column)]
    axes = (row - centre[0], column - centre[1])
    for i in (0, 1):
        for j in (0, 1):
            c[i, j] = (window * axes[i] * axes[j]).sum() / window.sum()
            d[i, j] = (window**2 * axes[i] * axes[j]).sum() / (window**2).sum()
    inverse = np.linalg.inv(c)
    covariance: Numbers = inverse @ d @ inverse / (8 * np.pi**2 * strength)
    return covariance
