"""What networks must beat: a random forest on multi-scale features, and Fourier filtering.

Both learn from the same annotated pixels as a network and know neither torch nor a device. They are
kept as arrays, from which `baseline_of` makes them again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.learning.forest import Forest
from napari_tem_rf.learning.pixel_features import FEATURES, feature_strips
from napari_tem_rf.measuring.lattice import lattice_period
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs.annotation import AnnotatedImage

__all__ = [
    "Baseline",
    "Decision",
    "FourierFilter",
    "RandomForest",
    "baseline_of",
    "fit_forest",
    "fit_fourier_filter",
]

LONGEST_PERIOD_PX = 4096

_RING_WIDTH = 0.15
_SMOOTHING_PERIODS = (1.0, 2.0, 4.0)
_PAD_PERIODS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a baseline says of an image.

    Attributes
    ----------
    classes : ndarray of uint8, shape (row, column)
        Index of the class.
    probabilities : ndarray of float32, shape (class, row, column), optional
        Of a forest: the mean over its trees of the share of each class in a leaf.
    shares : ndarray of uint8, shape (class - 1, row, column), optional
        The same of all classes but the background, in 255ths.
    """

    classes: NDArray[np.uint8]
    probabilities: NDArray[np.float32] | None = None
    shares: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RandomForest:
    """A trained forest on scikit-image's multi-scale features."""

    forest: Forest

    def decide(
        self,
        pixels: NDArray[np.float32],
        *,
        tile_px: int | None = None,
        probabilities: bool = False,
        shares: bool = False,
        progress: Callable[[float], None] = lambda fraction: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Decision | None:
        """Tell the classes of standardised pixels, shape (row, column); None when stopped.

        Memory is for a strip of ``tile_px`` rows and what its features see; a strip gets what the
        whole image would give it.
        """
        classes = np.empty(pixels.shape, np.uint8)
        number = self.forest.values.shape[1]
        likely = np.empty((number, *pixels.shape), np.float32) if probabilities else None
        in_parts = np.empty((number - 1, *pixels.shape), np.uint8) if shares else None
        for rows, features in feature_strips(pixels, tile_px):
            if stopped():
                return None
            shape = features.shape[:2]
            votes = self.forest.probabilities(features.reshape(-1, features.shape[-1]))
            classes[rows] = votes.argmax(axis=1).reshape(shape)
            planes = votes.T.reshape(number, *shape)  # (class, row, column)
            if likely is not None:
                likely[:, rows] = planes
            if in_parts is not None:
                in_parts[:, rows] = np.rint(255 * planes[1:])
            progress(rows.stop / pixels.shape[0])
        return Decision(classes, likely, in_parts)

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return class indices, shape (row, column), of standardised pixels."""
        decision = self.decide(pixels)
        assert decision is not None
        return decision.classes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the forest as arrays by name."""
        return self.forest.to_arrays()


def fit_forest(
    images: Sequence[AnnotatedImage],
    seed: int,
    most_px: int = 40_000,
    trees: int = 100,
    threads: int = 2,
    stopped: Callable[[], bool] = lambda: False,
    classes: int | None = None,
) -> RandomForest | None:
    """Train a random forest on annotated pixels; None when stopped.

    Intensity, edges (Sobel) and texture (eigenvalues of the Hessian) after Gaussians of 0.5 to 16
    px, as ``skimage.feature.multiscale_basic_features`` makes them; each class counts by its share
    of the pixels.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Standardised images with class indices; -1 is not annotated.
    seed : int
        Seed of the draw of pixels and of the forest: the same seed gives the same forest.
    most_px : int
        Pixels to learn from at most; drawn over all images, and of each class at least a
        twentieth of them where it has that many.
    trees : int
        Trees of the forest.
    threads : int
        Threads to use; the forest does not depend on it.
    stopped : callable
        Asked before each image.
    classes : int, optional
        Classes that there are, background included; as many as the images have when not given.

    Raises
    ------
    ValueError
        When fewer than two classes are annotated.
    """
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(seed)
    chosen = _draw_pixels([image.labels for image in images], most_px, rng)
    features, truth = [], []
    for image, places in zip(images, chosen, strict=True):
        if stopped():
            return None
        for rows, strip in feature_strips(image.pixels):
            first, last = (row * image.pixels.shape[1] for row in (rows.start, rows.stop))
            here = places[(places >= first) & (places < last)]
            features.append(strip.reshape(-1, strip.shape[-1])[here - first])  # (pixel, feature)
            truth.append(image.labels.ravel()[here])
    known = np.concatenate(truth)
    if len(np.unique(known)) < 2:
        raise ValueError(
            "the training part holds one class only: a random forest needs two; annotate more"
        )
    forest = RandomForestClassifier(
        trees, min_samples_leaf=3, n_jobs=threads, random_state=int(rng.integers(2**31))
    )
    if stopped():
        return None
    grown = forest.fit(np.concatenate(features), known)
    return RandomForest(Forest.of(grown, classes or int(known.max()) + 1))


def _draw_pixels(
    labels: Sequence[NDArray[np.int16]], most_px: int, rng: np.random.Generator
) -> list[NDArray[np.intp]]:
    """Return the flat indices of the drawn pixels of each image, ascending."""
    classes = 1 + max(int(each.max(initial=0)) for each in labels)
    counts = np.stack(
        [np.bincount(each[each >= 0].ravel(), minlength=classes) for each in labels]
    )  # (image, class)
    totals = counts.sum(axis=0)
    quota = np.maximum(np.round(most_px * totals / max(1, totals.sum())), most_px // 20)
    quota = np.minimum(quota.astype(np.int64), totals)
    drawn: list[list[NDArray[np.intp]]] = [[] for _ in labels]
    for index in range(classes):
        shares = rng.multivariate_hypergeometric(counts[:, index], quota[index], method="marginals")
        for image, share in enumerate(shares):
            places = np.flatnonzero(labels[image].ravel() == index)
            drawn[image].append(rng.choice(places, share, replace=False))
    return [np.sort(np.concatenate(parts)) for parts in drawn]


@dataclass(frozen=True, slots=True)
class FourierFilter:
    """A ring around the lattice's spatial frequency, the envelope of what passes, Otsu's threshold.

    Attributes
    ----------
    period_px : float
        Spacing of the lattice planes.
    smoothing : float
        Standard deviation of the envelope's Gaussian, in periods.
    above : bool
        Whether particles are where the lattice is strong; else where it is weak.
    """

    period_px: float
    smoothing: float
    above: bool

    def decide(
        self,
        pixels: NDArray[np.float32],
        *,
        tile_px: int | None = None,
        probabilities: bool = False,
        shares: bool = False,
        progress: Callable[[float], None] = lambda fraction: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Decision | None:
        """Tell the classes of standardised pixels, shape (row, column); None when stopped.

        One threshold holds for the whole image: it is filtered in one piece, whatever ``tile_px``.

        Raises
        ------
        ValueError
            When probabilities are asked for: a threshold has none.
        """
        if probabilities:
            raise ValueError(
                "a Fourier filter decides by one threshold and knows no probabilities: leave them "
                "out, or take a random forest or a network"
            )
        if stopped():
            return None
        classes = self.predict(pixels)
        progress(1.0)
        return Decision(classes)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the filter as arrays by name."""
        return {
            "period_px": np.array([self.period_px]),
            "smoothing": np.array([self.smoothing]),
            "above": np.array([int(self.above)]),
        }

    def predict(self, pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return class indices, shape (row, column), of standardised pixels."""
        from skimage.filters import threshold_otsu

        envelope = self.envelope(pixels)
        if envelope.max() == envelope.min():
            return np.zeros(pixels.shape, np.uint8)
        strong = envelope > threshold_otsu(envelope)
        return (strong if self.above else ~strong).astype(np.uint8)

    def envelope(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the local amplitude of the lattice, shape (row, column)."""
        from scipy import fft, ndimage

        # mirrored borders: the image's own would make streaks through the ring
        pad = [(min(round(_PAD_PERIODS * self.period_px), n - 1),) * 2 for n in pixels.shape]
        padded = np.pad(pixels, pad, mode="reflect")
        frequency = np.hypot(
            fft.fftfreq(padded.shape[0])[:, None], fft.rfftfreq(padded.shape[1])
        )  # (row, column), per px
        off = (frequency * self.period_px - 1) / _RING_WIDTH
        ring = np.exp(-0.5 * off**2).astype(np.float32)
        passed = fft.irfft2(fft.rfft2(padded) * ring, padded.shape)
        power = ndimage.gaussian_filter(passed**2, self.smoothing * self.period_px)
        inside = tuple(
            slice(before, before + n) for (before, _), n in zip(pad, pixels.shape, strict=True)
        )
        amplitude: NDArray[np.float32] = np.sqrt(np.maximum(power[inside], 0), dtype=np.float32)
        return amplitude


Baseline = RandomForest | FourierFilter


def baseline_of(method: str, arrays: Mapping[str, NDArray[Any]], classes: int) -> Baseline:
    """Return a baseline that was kept as arrays, all of them checked.

    Parameters
    ----------
    method : {"forest", "fourier"}
    arrays : mapping of str to ndarray
        By name, as ``to_arrays`` gives them.
    classes : int
        Classes that its run knows, background included.

    Raises
    ------
    ValueError
        When the arrays are not such a baseline; the message is a part of a sentence.
    """
    if method == "forest":
        return RandomForest(Forest.from_arrays(arrays, FEATURES, classes))
    if classes != 2:
        raise ValueError(f"its run knows {classes} classes, a Fourier filter tells two apart")
    if set(arrays) != {"period_px", "smoothing", "above"} or any(
        each.shape != (1,) or each.dtype.kind not in "iuf" for each in arrays.values()
    ):
        raise ValueError("a Fourier filter has one number each for period_px, smoothing and above")
    period, smoothing, above = (float(arrays[n][0]) for n in ("period_px", "smoothing", "above"))
    if not 2 <= period <= LONGEST_PERIOD_PX:
        raise ValueError(f"period_px is {period:g}: it must be from 2 to {LONGEST_PERIOD_PX}")
    if not 0 < smoothing <= 16 or above not in (0, 1):
        raise ValueError("smoothing must be above 0 and at most 16, above 0 or 1")
    return FourierFilter(period, smoothing, above == 1)


def fit_fourier_filter(images: Sequence[AnnotatedImage]) -> FourierFilter:
    """Return the Fourier filter that does best on annotated pixels of two classes.

    The period is the median of those of the images' lattices; smoothing and direction are those
    of the best mean Dice over the images.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Standardised images with class indices; -1 is not annotated.

    Raises
    ------
    ValueError
        When no image shows a lattice, or there are more than two classes.
    """
    if any(int(image.labels.max(initial=0)) > 1 for image in images):
        raise ValueError(
            "the annotation has several particle classes: Fourier filtering tells only two apart"
        )
    lattices = [lattice_period(image.pixels) for image in images]
    periods = [lattice.period_px for lattice in lattices if lattice is not None]
    if not periods:
        raise ValueError(
            "no lattice was found in the training images: Fourier filtering has no ring to pass"
        )
    period = float(np.median(periods))
    tried = [FourierFilter(period, smoothing, True) for smoothing in _SMOOTHING_PERIODS]
    scores = [
        (score, FourierFilter(period, candidate.smoothing, above))
        for candidate in tried
        for above, score in zip((True, False), _both_ways(candidate, images), strict=True)
    ]
    return max(scores, key=lambda pair: pair[0])[1]


def _both_ways(candidate: FourierFilter, images: Sequence[AnnotatedImage]) -> tuple[float, float]:
    """Return the mean Dice of a filter and of its opposite on the annotated pixels."""
    scores = []
    for image in images:
        known = image.labels >= 0
        if not known.any():
            continue
        found, true = candidate.predict(image.pixels)[known] == 1, image.labels[known] == 1
        scores.append((dice(found, true), dice(~found, true)))
    above, below = np.mean(scores, axis=0)
    return float(above), float(below)
