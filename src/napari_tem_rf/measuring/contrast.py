"""What an annotated image shows its particles by: grey level or lattice; and what follows.

Amplitude contrast is the difference of the grey levels of two classes in units of their spread;
the lattice is looked for in the power spectrum. Together they say how much the receptive field is
likely to matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.protocol import Unlabelled

__all__ = [
    "Advice",
    "ClassContrast",
    "Lattice",
    "Level",
    "advice",
    "amplitude_contrast",
    "lattice_period",
]

Level = Literal["amplitude", "between", "phase", "unknown"]

STRONG_SIGMA = 1.5
WEAK_SIGMA = 0.5
"""Between the images that were studied: about 2 sigma (bright field), about 0.1 (HRTEM)."""

PAPER = "Sytwu, Groschner and Scott 2022, doi 10.1017/S1431927622012466"

_TILE_PX = 128
_MOST_TILES = 256
_LARGEST_SIDE_PX = 2048
_QUANTILE = 0.25
_FALSE_ALARMS = 1e-3
_SIGNIFICANCE = 2.0


@dataclass(frozen=True, slots=True)
class ClassContrast:
    """The amplitude contrast of one class against background in one image.

    Attributes
    ----------
    value : int
        The class's label value.
    sigma : float
        Mean of the class minus mean of the background, over the pooled standard deviation;
        negative where the class is darker.
    foreground_px, background_px : int
        How many pixels it was measured on.
    """

    value: int
    sigma: float
    foreground_px: int
    background_px: int


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


@dataclass(frozen=True, slots=True)
class Advice:
    """What contrast and lattice let expect of the receptive field.

    Attributes
    ----------
    level : {"amplitude", "between", "phase", "unknown"}
        What shows the particles.
    sentence : str
        For a line beside the network.
    details : str
        Evidence and limits, for a tooltip or a report.
    """

    level: Level
    sentence: str
    details: str


def amplitude_contrast(
    pixels: NDArray[Any], labels: NDArray[Any], *, unlabelled: Unlabelled = "background"
) -> tuple[ClassContrast, ...]:
    """Measure how far the grey levels of the classes lie from the background's.

    Parameters
    ----------
    pixels : ndarray, shape (row, column)
        Grey values; those that are not finite don't count.
    labels : ndarray of int, shape (row, column)
        The annotation; negative values are not annotated.
    unlabelled : {"background", "ignore"}
        "background": 0 is background. "ignore": 0 is not annotated and 1 is background.

    Returns
    -------
    tuple of ClassContrast
        One per foreground class, by value; classes with less than 2 pixels are left out, and
        all are where the background has less than 2 or neither class has any spread.

    Raises
    ------
    ValueError
        If the shapes differ or labels are not whole numbers.

    Notes
    -----
    The standardised mean difference (Cohen's d): the variances are pooled with n - 1 weights.
    """
    if labels.dtype.kind not in "uib":
        raise ValueError(f"labels hold {labels.dtype} values: labels are whole numbers")
    if pixels.shape != labels.shape:
        raise ValueError(
            f"the image is {pixels.shape} and its labels are {labels.shape} (row, column): "
            "give labels of the image's own shape"
        )
    background_value = 1 if unlabelled == "ignore" else 0
    finite = np.isfinite(pixels)
    background = pixels[finite & (labels == background_value)].astype(np.float64)
    found = []
    for value in np.unique(labels):
        if value <= background_value:
            continue
        foreground = pixels[finite & (labels == value)].astype(np.float64)
        n, m = foreground.size, background.size
        if n < 2 or m < 2:
            continue
        squares = (n - 1) * foreground.var(ddof=1) + (m - 1) * background.var(ddof=1)
        if squares > 0:
            sigma = (foreground.mean() - background.mean()) / np.sqrt(squares / (n + m - 2))
            found.append(ClassContrast(int(value), float(sigma), n, m))
    return tuple(found)


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
    would reach it once in a thousand images. The powers of these spots are summed ring by ring.
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
        if (ring := _strongest_ring(_tiles(np.asarray(pixels), image, size), rows, columns, side))
    ]
    if not rings:
        return None
    significance, frequency, height = max(rings)
    if significance < _SIGNIFICANCE:
        return None
    period = 1 / frequency
    return Lattice(period, period * side if pixel_size_nm else None, height)


def advice(contrasts: Sequence[float], lattice: Lattice | None = None) -> Advice:
    """Say how much the receptive field is likely to matter, and why.

    Parameters
    ----------
    contrasts : sequence of float
        Amplitude contrast in sigma, one an annotated image and class; the sign doesn't matter.
    lattice : Lattice, optional
        The lattice that was found.

    Returns
    -------
    Advice

    Notes
    -----
    The evidence is Sytwu, Groschner and Scott, Microscopy and Microanalysis 2022, doi
    10.1017/S1431927622012466: gold nanoparticles at low and at high magnification. It is about
    contrast; nothing here is a rule about the size of particles.
    """
    if not len(contrasts):
        return Advice(
            "unknown",
            "Annotate particles and background to see how much the receptive field will matter.",
            f"What decides is how far the grey levels of particles and background differ ({PAPER})",
        )
    sizes = np.abs(np.asarray(contrasts, np.float64))
    sigma = float(np.median(sizes))
    differ = f"Particles differ from background by {_number(sigma)} sigma"
    if sigma >= STRONG_SIGMA:
        level: Level = "amplitude"
        follows = ": the receptive field should hardly matter; a small, fast network may well do."
        evidence = (
            "Where grey level alone shows the particles, as in bright field at low magnification "
            f"(about 2 sigma), the paper found little effect of the receptive field ({PAPER}). "
            "A random forest can be as good there: compare it."
        )
    elif sigma > WEAK_SIGMA:
        level = "between"
        follows = (
            ", between the cases studied: the receptive field may matter. "
            "Compare a small one with a large one."
        )
        evidence = (
            "The receptive field decided at about 0.1 sigma, where lattice fringes show the "
            f"particles, and hardly mattered at about 2 sigma ({PAPER})."
        )
    else:
        level = "phase"
        follows = (
            f" and show a lattice of {_length(lattice)}: the receptive field is likely to decide. "
            "Compare several."
            if lattice
            else ", and no lattice was found: the receptive field may decide. Compare several."
        )
        evidence = (
            "Where particle and background have nearly the same mean grey level and lattice "
            "fringes show the particles, the paper found the receptive field decisive, and most so "
            f"at the lowest amplitude contrast ({PAPER})."
        )
        if not lattice:
            evidence += " Without a lattice that evidence reaches less far."
    spread = (
        f" over {sizes.size} images and classes ({_number(sizes.min())} to {_number(sizes.max())})"
        if sizes.size > 1
        else ""
    )
    details = (
        f"{evidence}\n\nMeasured on the annotated pixels: the difference of the class means over "
        f"the pooled standard deviation, {_number(sigma)} sigma in the median{spread}. Few strokes,"
        " uneven illumination and thickness shift it. It is an expectation, no rule: not about the "
        "size of particles, and from one kind of sample. A comparison on your own annotations "
        "decides."
    )
    return Advice(level, differ + follows, details)


def _strongest_ring(
    tiles: NDArray[np.float32], rows: float, columns: float, side: float
) -> tuple[float, float, float] | None:
    """Return significance, frequency (per px) and height of the strongest ring of the tiles."""
    from scipy import fft, ndimage

    n_rows, n_columns = tiles.shape[1:]
    n = max(n_rows, n_columns)
    if n < 24:
        return None
    window = np.hanning(n_rows)[:, None] * np.hanning(n_columns)
    tiles = (tiles - tiles.mean(axis=(1, 2), keepdims=True)) * window.astype(np.float32)
    power = np.abs(fft.rfft2(tiles)).reshape(len(tiles), -1) ** 2  # (tile, frequency)
    frequency = np.hypot(
        fft.fftfreq(n_rows, rows / side)[:, None], fft.rfftfreq(n_columns, columns / side)
    ).ravel()
    # beyond the Nyquist frequency of the coarser axis rings are cut
    limit = 0.47 * side / max(rows, columns)
    wanted = np.arange(max(6, n // 32), int(limit * n) + 1)
    ring = np.rint(frequency * n).astype(np.int64)
    order = np.argsort(ring, kind="stable")
    edges = np.searchsorted(ring[order], np.append(wanted, wanted[-1] + 1))
    order = order[edges[0] : edges[-1]]
    power, frequency, ring = power[:, order], frequency[order], ring[order]
    parts = np.split(power, edges[1:-1] - edges[0], axis=1)
    quartile = np.stack([np.quantile(part, _QUANTILE, axis=1) for part in parts], axis=1)
    mean = quartile / -np.log1p(-_QUANTILE)  # (tile, ring)
    tiniest = np.finfo(np.float32).tiny
    mean = np.exp(ndimage.median_filter(np.log(mean + tiniest), size=(1, 5), mode="nearest"))
    height = power / mean[:, ring - wanted[0]]
    threshold = np.log(height.size / _FALSE_ALARMS)
    spots = (height > threshold) & (power > 1e-9 * power.max())
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


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 0.1 else f"{value:.1f}"


def _length(lattice: Lattice) -> str:
    in_px = f"{lattice.period_px:.1f} px"
    return in_px if lattice.period_nm is None else f"{in_px} ({lattice.period_nm:.2f} nm)"
