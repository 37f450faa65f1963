"""What is done to pixels before a network sees them: spikes, illumination, binning, scale.

The steps come in this order, so that a spike is gone before it spreads into its neighbours' bins.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_tem_rf.describing import told

__all__ = ["Cleaning", "bin_labels", "clean", "fill_not_finite", "standardise", "unbin_labels"]

Spikes = Literal["none", "paper", "robust"]

_PAPER_THRESHOLD = 1500.0
_ROBUST_THRESHOLD = 8.0
_NOISE_BLOCK_PX = 32
_SURFACE_BLOCKS = 64
_HIGHEST_ORDER = 6
# the part of an image's contrast that the rounding to float32 may take
_LARGEST_ROUNDING = 1e-3
_SAMPLED_SIDE_PX = 256
# half the width of a normal distribution's middle half, in standard deviations
_MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is done to an image's pixels.

    Attributes
    ----------
    spikes : {"none", "paper", "robust"}
        How x-ray spikes are found. "paper": pixels above median + threshold become the mean of
        their 8 neighbours, twice (Sytwu, Groschner and Scott 2022). "robust": pixels that stand
        out of the median of their 5 x 5 surroundings by more than the threshold times the local
        noise become that median.
    spike_threshold : float, optional
        Counts for "paper" (None: 1500; the authors took 400 or 1500), local standard deviations
        for "robust" (None: 8).
    flatten : int
        Order of the polynomial surface that is taken off as uneven illumination; 0: none.
    binning : int
        Side of the blocks of pixels that become one by their mean; 1: none.
    """

    spikes: Spikes = told(
        "none",
        "spikes",
        "X-ray spikes, single pixels far too bright. Above median (paper): replaced by the mean of "
        "their 8 neighbours, twice (Sytwu et al. 2022). Above local noise (robust): by the median "
        "around them",
        choices={
            "none": "leave",
            "paper": "above median (paper)",
            "robust": "above local noise",
        },
    )
    spike_threshold: float | None = told(
        None,
        "spike from",
        "What counts as a spike: standard deviations of the local noise (robust; 8 when not "
        "given), or counts above the median (paper; 1500 when not given)",
        in_force="threshold",
        least=0.1,
        step=0.1,
        needs=lambda cleaning: cleaning.spikes != "none",
    )
    flatten: int = told(
        0,
        "flatten, order",
        "Uneven illumination: order of the polynomial surface that is taken off; 2 is common",
        least_is="off",
        least=0,
        most=_HIGHEST_ORDER,
    )
    binning: int = told(
        1,
        "bin",
        "Side of the blocks of pixels that become one. The network then sees blocks as pixels: its "
        "receptive field covers as many times more of the image",
        unit="px",
        least_is="off",
        least=1,
    )

    def __post_init__(self) -> None:
        if self.spikes not in get_args(Spikes):
            raise ValueError(
                f'spikes is "{self.spikes}": it must be one of {", ".join(get_args(Spikes))}'
            )
        if self.spike_threshold is not None and not self.spike_threshold > 0:
            raise ValueError(f"spike_threshold is {self.spike_threshold}: it must be more than 0")
        if not 0 <= self.flatten <= _HIGHEST_ORDER:
            raise ValueError(
                f"flatten is {self.flatten}: the order must be from 0 (off) to {_HIGHEST_ORDER}"
            )
        if self.binning < 1:
            raise ValueError(f"binning is {self.binning}: it must be at least 1 (off)")

    @property
    def threshold(self) -> float:
        """The spike threshold in force."""
        if self.spike_threshold is not None:
            return self.spike_threshold
        return _PAPER_THRESHOLD if self.spikes == "paper" else _ROBUST_THRESHOLD

    @property
    def sentence(self) -> str:
        """What is done, in words."""
        done = []
        if self.spikes == "paper":
            done.append(f"spikes above median + {self.threshold:g} replaced")
        elif self.spikes == "robust":
            done.append(f"spikes above {self.threshold:g} times the local noise replaced")
        if self.flatten:
            done.append(f"illumination flattened with order {self.flatten}")
        if self.binning > 1:
            done.append(f"binned {self.binning} x {self.binning}")
        return ", ".join(done) or "nothing"

    def pixel_size_nm(self, before: tuple[float, float] | None) -> tuple[float, float] | None:
        """Return the (row, column) pixel size after cleaning."""
        return None if before is None else (before[0] * self.binning, before[1] * self.binning)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


def clean(pixels: ArrayLike, cleaning: Cleaning) -> NDArray[np.float32]:
    """Return a cleaned copy of an image.

    Parameters
    ----------
    pixels : array_like, shape (row, column)
        Any real numbers. NaN and infinities become the median of the others.
    cleaning : Cleaning

    Returns
    -------
    ndarray of float32, shape (row // binning, column // binning)
        Rows and columns that fill no whole block at the far edges are left out.

    Raises
    ------
    ValueError
        If the pixels are not (row, column), none is finite, or a block is larger than the image.
    """
    image = fill_not_finite(pixels)
    if cleaning.spikes == "paper":
        image = _without_spikes_paper(image, cleaning.threshold)
    elif cleaning.spikes == "robust":
        image = _without_spikes_robust(image, cleaning.threshold)
    if cleaning.flatten:
        image = _flat(image, cleaning.flatten)
    if cleaning.binning > 1:
        image = _binned(image, cleaning.binning)
    return image.astype(np.float32, copy=False)


def standardise(pixels: ArrayLike) -> NDArray[np.float32]:
    """Return an image scaled to mean 0 and standard deviation 1; a constant one becomes 0.

    Parameters
    ----------
    pixels : array_like, shape (row, column)
        NaN and infinities become the median of the others.

    Returns
    -------
    ndarray of float32, shape (row, column)
    """
    image = fill_not_finite(pixels)
    mean = image.mean(dtype=np.float64)
    image -= np.float32(mean)
    # what the rounding of the mean to float32 left over
    image -= np.float32(image.mean(dtype=np.float64))
    sd = image.std(dtype=np.float64)
    # below the rounding of float32 there is no signal to scale up
    if sd <= 1e-6 * abs(mean):
        return np.zeros_like(image)
    image /= np.float32(sd)
    return image


def fill_not_finite(pixels: ArrayLike) -> NDArray[np.float32]:
    """Return an image as float32, with the median of the finite pixels where others were.

    Where the image stands on an offset so large that float32 would round its grey values away,
    the offset is taken off first.

    Raises
    ------
    ValueError
        If the pixels are not (row, column) or none is finite.
    """
    pixels = np.asarray(pixels)
    # what float32 does not reach is infinite, and treated so
    with np.errstate(over="ignore"):
        offset = _offset(pixels)
        image = np.array(pixels - offset if offset else pixels, dtype=np.float32)
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"the pixels have the shape {image.shape}: an image is (row, column)")
    finite = np.isfinite(image)
    if finite.all():
        return image
    if not finite.any():
        raise ValueError("no pixel of the image is finite: it holds only NaN or infinity")
    image[~finite] = np.median(image[finite])
    return image


def _offset(pixels: NDArray[Any]) -> float:
    """Return what to take off an image before it becomes float32; 0 where nothing is lost.

    Judged by the middle half of some of the pixels, so that spikes and dead pixels do not count.
    """
    if pixels.dtype.kind not in "fui" or pixels.dtype.itemsize < 4 or pixels.ndim != 2:
        return 0.0
    if pixels.dtype == np.float32:
        return 0.0
    steps = [max(1, length // _SAMPLED_SIDE_PX) for length in pixels.shape]
    some = pixels[:: steps[0], :: steps[1]].astype(np.float64)
    some = some[np.isfinite(some)]
    if not some.size:
        return 0.0
    low, middle, high = np.percentile(some, (25, 50, 75))
    spread = high - low or float(some.std())
    rounding = abs(middle) * float(np.finfo(np.float32).eps)
    return float(np.rint(middle)) if rounding > _LARGEST_ROUNDING * spread > 0 else 0.0


def bin_labels(labels: NDArray[Any], binning: int) -> NDArray[Any]:
    """Return labels binned as `clean` bins pixels: each block's most frequent label.

    Parameters
    ----------
    labels : ndarray of int, shape (row, column)
    binning : int
        Side of the blocks; where labels are equally frequent in one the largest value wins, so
        that a thin stroke outlives the zeros around it.

    Returns
    -------
    ndarray, shape (row // binning, column // binning)
    """
    if binning == 1:
        return labels
    blocks = _blocks(labels, binning)
    winner = np.zeros(blocks.shape[:2], labels.dtype)
    most = np.zeros(blocks.shape[:2], np.int64)
    for value in np.unique(labels):
        count = np.count_nonzero(blocks == value, axis=2)
        better = count >= np.maximum(most, 1)
        winner[better], most[better] = value, count[better]
    return winner


def unbin_labels(labels: NDArray[Any], binning: int, shape: tuple[int, int]) -> NDArray[Any]:
    """Return labels of binned pixels on the pixels before binning, shape (row, column) ``shape``.

    The far rows and columns that filled no whole block take the labels of their nearest block.
    """
    if binning == 1:
        return labels
    rows = np.minimum(np.arange(shape[0]) // binning, labels.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]) // binning, labels.shape[1] - 1)
    return labels[np.ix_(rows, columns)]


def _without_spikes_paper(image: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    from scipy.ndimage import convolve

    ring = np.ones((3, 3), np.float32)
    ring[1, 1] = 0
    neighbours = convolve(np.ones_like(image), ring, mode="constant")
    for _ in range(2):
        spikes = image > np.median(image) + threshold
        if not spikes.any():
            break
        means = convolve(image, ring, mode="constant") / neighbours
        image = np.where(spikes, means, image)
    return image


def _without_spikes_robust(image: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    from scipy.ndimage import median_filter

    smooth = median_filter(image, size=5, mode="reflect")
    excess = image - smooth
    return np.where(excess > threshold * _local_noise(excess), smooth, image)


def _local_noise(excess: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation around each pixel, shape (row, column).

    Per block of 32 px by the median of the absolute values, which spikes do not move. Where that
    is zero (counting detectors at low dose, where most pixels are equal) by the mean square, and
    one count at least where the pixels are counts.
    """
    from scipy.ndimage import zoom

    rows, columns = (max(1, round(length / _NOISE_BLOCK_PX)) for length in excess.shape)
    noise = np.empty((rows, columns), np.float32)
    one_count = 1.0 if np.array_equal(excess, np.rint(excess)) else 0.0
    for i, strip in enumerate(np.array_split(excess, rows, axis=0)):
        for j, block in enumerate(np.array_split(strip, columns, axis=1)):
            sd = _MAD_TO_SD * np.median(np.abs(block))
            noise[i, j] = sd if sd > 0 else max(one_count, np.sqrt(np.mean(np.square(block))))
    factors = excess.shape[0] / rows, excess.shape[1] / columns
    spread: NDArray[np.float32] = zoom(noise, factors, order=1, mode="nearest", grid_mode=True)
    return spread


def _flat(image: NDArray[np.float32], order: int) -> NDArray[np.float32]:
    """Return the image minus a polynomial surface of its block means; its mean stays."""
    rows, columns = (min(length, _SURFACE_BLOCKS) for length in image.shape)
    row_edges = np.linspace(0, image.shape[0], rows + 1).astype(int)
    column_edges = np.linspace(0, image.shape[1], columns + 1).astype(int)
    sums = np.add.reduceat(image.astype(np.float64), row_edges[:-1], axis=0)
    sums = np.add.reduceat(sums, column_edges[:-1], axis=1)
    means = sums / np.outer(np.diff(row_edges), np.diff(column_edges))

    def legendre(edges: NDArray[Any], length: int) -> NDArray[np.float64]:
        centres = (edges[:-1] + edges[1:] - 1) / 2
        return np.polynomial.legendre.legvander(2 * centres / max(1, length - 1) - 1, order)

    terms = [(a, b) for a in range(order + 1) for b in range(order + 1 - a)]
    coarse_rows = legendre(row_edges, image.shape[0])
    coarse_columns = legendre(column_edges, image.shape[1])
    design = np.stack(
        [np.outer(coarse_rows[:, a], coarse_columns[:, b]).ravel() for a, b in terms], axis=1
    )
    solution, *_ = np.linalg.lstsq(design, means.ravel(), rcond=None)
    coefficients = np.zeros((order + 1, order + 1))
    for (a, b), value in zip(terms, solution, strict=True):
        coefficients[a, b] = value
    fine_rows = legendre(np.arange(image.shape[0] + 1), image.shape[0])
    fine_columns = legendre(np.arange(image.shape[1] + 1), image.shape[1])
    surface = fine_rows @ coefficients @ fine_columns.T
    surface -= surface.mean()
    return image - surface.astype(np.float32)


def _blocks(values: NDArray[Any], binning: int) -> NDArray[Any]:
    """Return the values of each block, shape (row, column, pixel of the block)."""
    rows, columns = (length // binning for length in values.shape)
    if min(rows, columns) == 0:
        raise ValueError(
            f"binning is {binning} but the image is {values.shape[0]} x {values.shape[1]}: "
            "a block must fit into it"
        )
    cut = values[: rows * binning, : columns * binning]
    blocks = cut.reshape(rows, binning, columns, binning)  # (row, in block, column, in block)
    return blocks.transpose(0, 2, 1, 3).reshape(rows, columns, binning * binning)


def _binned(image: NDArray[np.float32], binning: int) -> NDArray[np.float32]:
    return _blocks(image, binning).mean(axis=2, dtype=np.float64).astype(np.float32)
