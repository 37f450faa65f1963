"""Differences with their intervals: a bootstrap over exposures and over trainings.

What makes an image hard makes it hard for all, so what is compared is the difference on each image.
Images of one exposure or specimen go together, and so do all images of one training, whose seed
they share. Both are drawn anew with replacement, crossed: a value counts as often as its exposure
times as often as its training was drawn (the pigeonhole bootstrap, A. B. Owen, Annals of Applied
Statistics 1 (2007) 386, doi 10.1214/07-AOAS122, which errs on the wide side).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

DRAWS = 4000
CONFIDENCE = 0.95
FEWEST_GROUPS = 6
"""With fewer exposures no interval is believed: that all six have one sign happens by chance in 3
of 100 cases, and with five in 6."""


FEWEST_TRAININGS = 3
"""With fewer the seed may have made the difference: what is claimed of the paper, and what the
program's advice says, needs so many."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A mean difference.

    Attributes
    ----------
    mean, low, high : float
        The difference, and the interval that holds it in 95 of 100 cases; not a number where there
        is nothing, or one exposure only.
    size : float
        The mean over the standard deviation of the exposures' means (Cohen's d of paired values).
    groups, trainings, images : int
    """

    mean: float
    low: float
    high: float
    size: float
    groups: int
    trainings: int
    images: int

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves out 0, over exposures enough to believe it."""
        return self.groups >= FEWEST_GROUPS and (self.low > 0 or self.high < 0)

    def within(self, margin: float) -> bool:
        """Return whether the whole interval lies nearer to 0 than a margin."""
        return self.groups >= FEWEST_GROUPS and -margin < self.low and self.high < margin

    @property
    def is_sound(self) -> bool:
        """Whether it rests on trainings enough to be claimed beyond them."""
        return self.trainings >= FEWEST_TRAININGS

    @property
    def words(self) -> str:
        """The difference and its interval in figures."""
        if self.images == 0:
            return "not measured"
        if self.groups < 2:
            return f"{self.mean:+.3f} (one exposure)"
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


NOTHING = Effect(nan, nan, nan, nan, 0, 0, 0)


def effect(
    values: Sequence[float] | np.ndarray,
    groups: Sequence[str],
    trainings: Sequence[str],
    draws: int = DRAWS,
    seed: int = 0,
) -> Effect:
    """Return the mean of values with its interval.

    Parameters
    ----------
    values : sequence of float
        One an image and training: the difference of two methods.
    groups : sequence of str
        Exposure or specimen of each.
    trainings : sequence of str
        Split and seed of each.
    draws : int
        Of the bootstrap.
    seed : int
        Of the draws.
    """
    numbers = np.asarray(values, float)
    if not len(numbers):
        return NOTHING
    names, by_group = np.unique(np.asarray(groups), return_inverse=True)
    runs, by_run = np.unique(np.asarray(trainings), return_inverse=True)
    shape = (len(runs), len(names))
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, (by_run, by_group), numbers)
    np.add.at(counts, (by_run, by_group), 1)
    mean = float(numbers.mean())
    if len(names) < 2:
        return Effect(mean, nan, nan, nan, len(names), len(runs), len(numbers))
    rng = np.random.default_rng(seed)
    often = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), draws)
    # one training says nothing of the spread over trainings
    again = rng.multinomial(len(runs), np.full(len(runs), 1 / len(runs)), draws)
    drawn = np.einsum("dr,rg,dg->d", again, sums, often)
    number = np.einsum("dr,rg,dg->d", again, counts, often)
    means = drawn[number > 0] / number[number > 0]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    each = sums.sum(axis=0) / counts.sum(axis=0)
    spread = float(each.std(ddof=1))
    size = mean / spread if spread > 0 else nan
    return Effect(mean, float(low), float(high), size, len(names), len(runs), len(numbers))


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation; not a number below three pairs, or without a spread."""
    from scipy.stats import rankdata

    if len(a) < 3:
        return nan
    ranks = [rankdata(each) for each in (a, b)]
    if any(each.std() == 0 for each in ranks):
        return nan
    return float(np.corrcoef(*ranks)[0, 1])
