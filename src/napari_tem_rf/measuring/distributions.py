"""Sizes as a sample: intervals of mean and spread, and the distribution that describes them best.

Particles of one image share its specimen, its focus and its segmentation, so that they are no
independent draws. The intervals resample whole images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "DISTRIBUTIONS",
    "LEAST_FOR_A_FIT",
    "ConfidenceInterval",
    "Estimate",
    "Fit",
    "Needed",
    "estimate",
    "fit_distributions",
    "needed_for",
    "resampled",
]

DISTRIBUTIONS = ("normal", "log-normal", "Weibull", "gamma")
"""What sizes are fitted with; all but the normal one begin at 0."""

LEAST_FOR_A_FIT = 8
"""Fewer sizes can be told from no distribution."""

_REPLICATES = 1000
_MOST_GROUPS = 2000
_KS_REPLICATES = 999
_KS_MOST = 1000
_LARGEST_DRAW = 2_000_000
_SEED = 20_220

Numbers = NDArray[np.float64]
Units = Literal["images", "frames", "particles"]


@dataclass(frozen=True, slots=True)
class ConfidenceInterval:
    """A number and its 95 % interval; NaN at both ends where nothing can be said."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean and spread of sizes.

    Attributes
    ----------
    mean, sd : ConfidenceInterval
        ``sd`` is the sample's standard deviation (n - 1).
    median : float
    number : int
        How many particles.
    units : {"images", "frames", "particles"}
        What was resampled.
    drawn : int
        How many of them there are.
    """

    mean: ConfidenceInterval
    sd: ConfidenceInterval
    median: float
    number: int
    units: Units
    drawn: int


@dataclass(frozen=True, slots=True)
class Needed:
    """How much more it takes for an interval as narrow as is wanted.

    Attributes
    ----------
    half_width : float
        The half width that is wanted, in the unit of the sizes.
    units : {"images", "frames", "particles"}
        What is counted in ``drawn``.
    drawn, particles : int
        How many images, frames or particles, and how many particles that makes at as many an image
        as now; those that there are already count.
    """

    half_width: float
    units: Units
    drawn: int
    particles: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A distribution with the parameters that make the sizes most likely.

    Attributes
    ----------
    name : str
        One of `DISTRIBUTIONS`.
    parameters : tuple of (str, float)
        By the names that scipy.stats and textbooks use; lengths in the unit of the sizes.
    log_likelihood : float
    aicc : float
        Akaike's criterion with the correction for few particles (Hurvich and Tsai 1989), which
        vanishes for many: smaller is better.
    weight : float
        Akaike weight: the share of the evidence among the distributions that were fitted.
    ks : float
        Largest distance of the sample's cumulative distribution from the fitted one.
    p_value : float
        How often a sample of the fitted distribution, fitted again itself, is as far from its fit
        (Lilliefors 1967): below 0.05 the distribution does not describe the sizes.
    """

    name: str
    parameters: tuple[tuple[str, float], ...]
    log_likelihood: float
    aicc: float
    weight: float
    ks: float
    p_value: float

    def density(self, sizes: ArrayLike) -> Numbers:
        """Return the probability density at some sizes, per unit of the sizes."""
        x = np.asarray(sizes, np.float64)
        p = np.array([[value] for _, value in self.parameters])
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            logs = _LOG_DENSITY[self.name](x[None, :], p)[0]
        if self.name != "normal":
            logs = np.where(x > 0, logs, -np.inf)
        return np.exp(logs)

    @property
    def words(self) -> str:
        """The parameters in words."""
        return ", ".join(f"{name} {value:.4g}" for name, value in self.parameters)


def fit_distributions(sizes: ArrayLike, names: Sequence[str] = DISTRIBUTIONS) -> tuple[Fit, ...]:
    """Fit distributions to sizes by maximum likelihood, the best first.

    Parameters
    ----------
    sizes : array of float, shape (particle,)
        Sizes above 0; those that are not finite are left out.
    names : sequence of str
        Which of `DISTRIBUTIONS`.

    Returns
    -------
    tuple of Fit
        By AICc; empty where there are fewer than 8 sizes or all are the same.

    Raises
    ------
    ValueError
        If a size is not above 0.

    Notes
    -----
    The location of log-normal, Weibull and gamma distribution is 0: a size cannot be negative, and
    a third parameter would be fitted to the smallest particle alone.

    The p value is by parametric bootstrap: 999 samples of the fitted distribution are each fitted
    and compared with their own fit. Tables of Kolmogorov and Smirnov hold for parameters known
    beforehand, and would accept nearly everything. Of more than 1,000 sizes samples of 1,000 are
    drawn, and distances compared times the root of the number.
    """
    x = np.asarray(sizes, np.float64)
    x = x[np.isfinite(x)]
    if (x <= 0).any():
        raise ValueError(
            f"a size is {x.min():g}: distributions of sizes are fitted to numbers above 0"
        )
    n = len(x)
    if n < LEAST_FOR_A_FIT or np.ptp(x) <= 1e-9 * x.max():
        return ()
    rng = np.random.default_rng(_SEED)
    found = []
    for name in names:
        p = _PARAMETERS[name](x[None, :])
        likelihood = float(_LOG_DENSITY[name](x[None, :], p).sum())
        k = len(p)
        aicc = 2 * k - 2 * likelihood + 2 * k * (k + 1) / (n - k - 1)
        ks = float(_distance(name, x[None, :], p)[0])
        p_value = _chance_of(name, p, ks, n, rng)
        named = tuple(zip(_NAMES[name], p[:, 0].tolist(), strict=True))
        found.append((aicc, name, named, likelihood, ks, p_value))
    found.sort()
    relative = np.exp(-(np.array([each[0] for each in found]) - found[0][0]) / 2)
    weights = (relative / relative.sum()).tolist()
    return tuple(
        Fit(name, named, likelihood, aicc, weight, ks, p_value)
        for (aicc, name, named, likelihood, ks, p_value), weight in zip(found, weights, strict=True)
    )


def estimate(
    sizes: ArrayLike, images: ArrayLike, units: Literal["images", "frames"] = "images"
) -> Estimate:
    """Return mean and spread of sizes with 95 % intervals.

    Parameters
    ----------
    sizes : array of float, shape (particle,)
    images : array of int, shape (particle,)
        The image, or the frame, that each particle lies in.
    units : {"images", "frames"}
        Which of the two.

    Returns
    -------
    Estimate
        With one image the particles themselves are resampled, as if they were independent: that
        leaves out how images differ, and the interval is a lower bound.
    """
    x = np.asarray(sizes, np.float64)
    places = np.unique(np.asarray(images), return_inverse=True)[1]
    kept = np.isfinite(x)
    x, places = x[kept], places[kept]
    n, drawn = len(x), len(np.unique(places))
    if n == 0:
        nothing = ConfidenceInterval(float("nan"), float("nan"), float("nan"))
        return Estimate(nothing, nothing, float("nan"), 0, units, 0)
    used: Units = units
    if drawn == 1:
        used, drawn = "particles", n
        # independent particles may be resampled in groups, which bounds the work
        places = np.arange(n) % _MOST_GROUPS
        places = np.random.default_rng(_SEED).permutation(places)
    # about the mean, so that the squares keep their digits
    centre = x.mean()
    apart = x - centre
    sums: Numbers = np.stack(
        [np.bincount(places, weights) for weights in (np.ones(n), apart, apart**2)], axis=1
    )
    sums = sums[sums[:, 0] > 0].astype(np.float64)
    mean = resampled(sums, lambda s: centre + s[:, 1] / s[:, 0])
    sd = resampled(sums, _spread, positive=True)
    return Estimate(mean, sd, float(np.median(x)), n, used, drawn)


def resampled(
    sums: Numbers, statistic: Callable[[Numbers], Numbers], *, positive: bool = False
) -> ConfidenceInterval:
    """Return a statistic of sums over images with its 95 % interval by bootstrap over images.

    Parameters
    ----------
    sums : ndarray of float, shape (image, quantity)
        What each image adds.
    statistic : callable
        Gives the statistic of total sums, shape (replicate, quantity).
    positive : bool
        The statistic is above 0, and the interval one of its logarithm.

    Returns
    -------
    ConfidenceInterval
        Without ends where there is one image.

    Notes
    -----
    The interval is the estimate plus and minus Student's t with (images - 1) degrees of freedom
    times the bootstrap's standard error, which is too small by the factor sqrt((m - 1) / m) for m
    images and is corrected for it (Hesterberg 2015, doi 10.1080/00031305.2015.1089789, "bootstrap t
    interval with bootstrap standard error"). Percentiles of the replicates are far too narrow for
    the handful of images that there usually are.
    """
    from scipy.special import stdtrit

    m = len(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
    if m < 2 or not np.isfinite(value) or (positive and value <= 0):
        return ConfidenceInterval(value, float("nan"), float("nan"))
    rng = np.random.default_rng(_SEED)
    share = np.full(m, 1 / m)
    chunk = max(1, _LARGEST_DRAW // m)
    replicates = []
    for start in range(0, _REPLICATES, chunk):
        times = rng.multinomial(m, share, size=min(chunk, _REPLICATES - start))
        with np.errstate(divide="ignore", invalid="ignore"):
            replicates.append(statistic(times @ sums))
    drawn = np.concatenate(replicates)
    if positive:
        drawn = np.log(drawn[drawn > 0])
    drawn = drawn[np.isfinite(drawn)]
    error = float(drawn.std(ddof=1)) if len(drawn) > 1 else float("nan")
    reach = float(stdtrit(m - 1, 0.975)) * error * (m / (m - 1)) ** 0.5
    if positive:
        with np.errstate(over="ignore"):
            return ConfidenceInterval(
                value, float(value * np.exp(-reach)), float(value * np.exp(reach))
            )
    return ConfidenceInterval(value, value - reach, value + reach)


def needed_for(found: Estimate, relative_half_width: float) -> Needed | None:
    """Return how many images and particles the wanted interval of the mean takes.

    Parameters
    ----------
    found : Estimate
        What there is now.
    relative_half_width : float
        Half of the wanted interval over the mean: 0.05 for plus and minus 5 %.

    Returns
    -------
    Needed or None
        None where nothing is known of the scatter.
    """
    from scipy.special import stdtrit

    reach, m = found.mean.half_width, found.drawn
    if not np.isfinite(reach) or m < 2 or found.mean.value <= 0 or relative_half_width <= 0:
        return None
    wanted = relative_half_width * found.mean.value
    # of one image, its particle, or group of particles
    scatter = reach / float(stdtrit(m - 1, 0.975)) * m**0.5
    if found.units == "particles":
        groups = min(m, _MOST_GROUPS)
        scatter = reach / float(stdtrit(groups - 1, 0.975)) * m**0.5

    def is_enough(number: int) -> bool:
        return bool(stdtrit(number - 1, 0.975) * scatter <= wanted * number**0.5)

    high = 2
    while not is_enough(high):
        high *= 2
        if high > 2**50:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    number = max(high, 2)
    particles = number if found.units == "particles" else round(number * found.number / m)
    return Needed(wanted, found.units, number, max(particles, 1))


def _spread(sums: Numbers) -> Numbers:
    """Return the standard deviation of sums of 1, x and x squared, shape (replicate, 3)."""
    n, first, second = sums.T
    variance = (second - first**2 / n) / (n - 1)
    return np.sqrt(np.maximum(variance, 0))


# Parameters have the shape (parameter, sample), sizes (sample, particle).


def _normal(x: Numbers) -> Numbers:
    return np.stack([x.mean(axis=1), x.std(axis=1)])


def _log_normal(x: Numbers) -> Numbers:
    logs = np.log(x)
    return np.stack([np.exp(logs.mean(axis=1)), logs.std(axis=1)])


def _weibull(x: Numbers) -> Numbers:
    """Solve sum(y exp(k y)) / sum(exp(k y)) = 1 / k for the shape k, with y = ln x - mean(ln x)."""
    logs = np.log(x)
    centre = logs.mean(axis=1, keepdims=True)
    y = logs - centre
    k = np.pi / np.sqrt(6) / np.maximum(y.std(axis=1, keepdims=True), 1e-12)
    for _ in range(60):
        powers = k * y
        e = np.exp(powers - powers.max(axis=1, keepdims=True))
        e /= e.sum(axis=1, keepdims=True)
        mean = (e * y).sum(axis=1, keepdims=True)
        slope = (e * y**2).sum(axis=1, keepdims=True) - mean**2 + k**-2
        # the left side less the right grows with k: Newton's step, never past half of k
        following = np.maximum(k - (mean - 1 / k) / slope, k / 2)
        done = np.abs(following - k) <= 1e-10 * k
        k = following
        if done.all():
            break
    powers = k * y
    top = powers.max(axis=1, keepdims=True)
    scale = centre + (np.log(np.exp(powers - top).mean(axis=1, keepdims=True)) + top) / k
    return np.stack([k[:, 0], np.exp(scale[:, 0])])


def _gamma(x: Numbers) -> Numbers:
    """Solve ln k - digamma(k) = ln(mean) - mean(ln) for the shape k (Minka 2002)."""
    from scipy.special import digamma, polygamma

    mean = x.mean(axis=1)
    s = np.maximum(np.log(mean) - np.log(x).mean(axis=1), 1e-12)
    k = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)
    for _ in range(20):
        wrong = np.log(k) - digamma(k) - s
        following = 1 / (1 / k + wrong / (k**2 * (1 / k - polygamma(1, k))))
        done = np.abs(following - k) <= 1e-12 * k
        k = following
        if done.all():
            break
    return np.stack([k, mean / k])


def _log_density_normal(x: Numbers, p: Numbers) -> Numbers:
    mean, sd = p[:, :, None]
    return -(((x - mean) / sd) ** 2) / 2 - np.log(sd) - np.log(2 * np.pi) / 2


def _log_density_log_normal(x: Numbers, p: Numbers) -> Numbers:
    median, sigma = p[:, :, None]
    z = np.log(x / median) / sigma
    return -(z**2) / 2 - np.log(sigma * x) - np.log(2 * np.pi) / 2


def _log_density_weibull(x: Numbers, p: Numbers) -> Numbers:
    shape, scale = p[:, :, None]
    return np.log(shape / scale) + (shape - 1) * np.log(x / scale) - (x / scale) ** shape


def _log_density_gamma(x: Numbers, p: Numbers) -> Numbers:
    from scipy.special import gammaln

    shape, scale = p[:, :, None]
    return (shape - 1) * np.log(x / scale) - x / scale - gammaln(shape) - np.log(scale)


def _cumulative(name: str, x: Numbers, p: Numbers) -> Numbers:
    from scipy.special import gammainc, ndtr

    first, second = p[:, :, None]
    if name == "normal":
        return np.asarray(ndtr((x - first) / second))
    if name == "log-normal":
        return np.asarray(ndtr(np.log(x / first) / second))
    if name == "Weibull":
        return -np.expm1(-((x / second) ** first))
    return np.asarray(gammainc(first, x / second))


def _draw(name: str, p: Numbers, shape: tuple[int, int], rng: np.random.Generator) -> Numbers:
    first, second = p[:, 0]
    if name == "normal":
        return rng.normal(first, second, shape)
    if name == "log-normal":
        return rng.lognormal(np.log(first), second, shape)
    if name == "Weibull":
        return second * rng.weibull(first, shape)
    return rng.gamma(first, second, shape)


def _distance(name: str, x: Numbers, p: Numbers) -> Numbers:
    """Return the distance of Kolmogorov and Smirnov of each sample from its fit."""
    f = _cumulative(name, np.sort(x, axis=1), p)
    n = x.shape[1]
    steps = np.arange(n + 1) / n
    return np.maximum((steps[1:] - f).max(axis=1), (f - steps[:-1]).max(axis=1))


def _chance_of(name: str, p: Numbers, ks: float, n: int, rng: np.random.Generator) -> float:
    """Return the share of samples of a fit, the one seen among them, that are as far from theirs.

    That share is never 0 (Davison and Hinkley 1997, eq. 4.11).
    """
    size = min(n, _KS_MOST)
    samples = _draw(name, p, (_KS_REPLICATES, size), rng)
    if name != "normal":
        samples = np.maximum(samples, np.finfo(np.float64).tiny)
    distances = _distance(name, samples, _PARAMETERS[name](samples))
    as_far = np.count_nonzero(distances * size**0.5 >= ks * n**0.5)
    return (as_far + 1) / (_KS_REPLICATES + 1)


_PARAMETERS: dict[str, Callable[[Numbers], Numbers]] = {
    "normal": _normal,
    "log-normal": _log_normal,
    "Weibull": _weibull,
    "gamma": _gamma,
}
_LOG_DENSITY: dict[str, Callable[[Any, Any], Any]] = {
    "normal": _log_density_normal,
    "log-normal": _log_density_log_normal,
    "Weibull": _log_density_weibull,
    "gamma": _log_density_gamma,
}
_NAMES = {
    "normal": ("mean", "standard deviation"),
    "log-normal": ("median", "sigma of the logarithm"),
    "Weibull": ("shape", "scale"),
    "gamma": ("shape", "scale"),
}
