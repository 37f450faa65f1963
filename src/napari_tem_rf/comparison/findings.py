"""What a comparison says: the best, the suggestion, and whether a baseline would do.

Scores of two contestants are compared image by image, because what makes an image hard makes it
hard for both. The standard error of their difference adds the spread of the difference over the
images and the spread of both over their seeds; from it follows, by Student's t with the degrees of
freedom of Welch and Satterthwaite, the interval that holds the difference in 95 of 100 comparisons
like this one.

- A difference is **told** where that interval leaves out 0.
- Two are **as good** where their figures differ by no more than what matters (`margin`).
- Otherwise these images **cannot tell**, and the number that would follows from the spread over the
  images: with it a difference as large as the one seen is told in 4 of 5 comparisons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, isinf, log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.comparison.results import Result
from napari_tem_rf.figures.quantities import QUANTITIES, margin, merit
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["BaselineOffer", "Difference", "Findings", "difference", "findings", "images_needed"]

_NOTHING = 0.05
"""A network whose mean Dice is below this has learned nothing that is of use."""

_CONFIDENCE, _POWER = 0.95, 0.80
_MOST_IMAGES = 1000
"""More images than that are not worth a number."""

_FACTOR = 1.5
"""Speeds that differ by less are not spoken of."""


@dataclass(frozen=True, slots=True)
class BaselineOffer:
    """A baseline that does as well as the best network, or better.

    Attributes
    ----------
    name : str
    sentence : str
        How good it is, and how quick, as measured.
    """

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What the scores say.

    Attributes
    ----------
    best : str, optional
        Name of the network with the best mean score; None without networks.
    suggestion : str, optional
        Name of the smallest and fastest network within one standard error of the best whose figure
        is hardly lower; None where no network learned anything.
    good_baselines : tuple of str
        Baselines whose figure is as good as that of the best network, or better; the best first.
    sentences : tuple of str
        The same in words.
    offers : tuple of BaselineOffer
        The good baselines, with what they are offered by.
    """

    best: str | None
    suggestion: str | None
    good_baselines: tuple[str, ...]
    sentences: tuple[str, ...]
    offers: tuple[BaselineOffer, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one contestant's mean merit is above another's.

    Attributes
    ----------
    mean : float
    error : float
        Standard error; 0 where neither seeds nor images tell a spread.
    half_width : float
        Half of the interval that holds it in 95 of 100 comparisons; infinite where one image, or
        no spread, tells none.
    images : int
    spread : float
        Standard deviation (n - 1) of the difference over the images; NaN with one image.
    """

    mean: float
    error: float
    half_width: float
    images: int
    spread: float

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.mean) > self.half_width


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    name: str
    spec: NetworkSpec | None
    merits: NDArray[np.float64]  # (seed, image); more is better
    dice: float
    train_seconds: float
    predict_seconds: float

    @property
    def mean(self) -> float:
        return float(self.merits.mean())

    @property
    def cost(self) -> float:
        """Size and speed alike: the logarithm of parameters times multiply-adds."""
        assert self.spec is not None
        return log(self.spec.parameters) + log(self.spec.macs_per_pixel)

    @property
    def field(self) -> int:
        assert self.spec is not None
        return nominal_receptive_field(self.spec)


def findings(results: Sequence[Result], score: str = "dice") -> Findings:
    """Return what the results of a comparison, complete or not, say.

    Parameters
    ----------
    results : sequence of Result
        All scored on the same held-out images.
    score : str
        The score that decides; of a signed one its distance from 0 does. Where there is no image of
        which all contestants have it, Dice decides, and a sentence says so.
    """
    scored = _by_name(results, score)
    notes: tuple[str, ...] = ()
    if scored is None:
        notes = (f"No held-out image has {QUANTITIES[score].title} for all: Dice decides",)
        score = "dice"
        scored = _by_name(results, score) or []
    return _Says(score, notes).all(scored)


def difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> Difference:
    """Return how far one contestant is above another.

    Parameters
    ----------
    a, b : ndarray of float, shape (seed, image)
        Merits of two contestants on the same images; numbers of seeds may differ.
    """
    each = a.mean(axis=0) - b.mean(axis=0)  # (image,)
    parts = [(_variance_of_mean(v), len(v) - 1) for v in (each, a.mean(axis=1), b.mean(axis=1))]
    square = sum(variance for variance, _ in parts)
    error = sqrt(square)
    half_width = inf
    if len(each) > 1:
        half_width = 0.0
        if square > 0:
            freedom = square**2 / sum(v**2 / free for v, free in parts if free > 0)
            half_width = _t(0.5 + _CONFIDENCE / 2, freedom) * error
    spread = float(each.std(ddof=1)) if len(each) > 1 else float("nan")
    return Difference(float(each.mean()), error, half_width, len(each), spread)


def images_needed(mean: float, spread: float) -> float:
    """Return how many images tell a difference, in 4 of 5 comparisons.

    Parameters
    ----------
    mean : float
        The difference.
    spread : float
        Its standard deviation over the images.

    Returns
    -------
    float
        The least n with n >= ((t(0.975, n - 1) + t(0.8, n - 1)) spread / mean)^2, at least 2: the
        usual sum for a paired t test (Cohen, Statistical power analysis, 1988). Infinite where
        there is no difference.
    """
    if mean == 0 or not np.isfinite(spread):
        return inf
    ratio = spread / abs(mean)
    for n in range(2, _MOST_IMAGES + 1):
        t = _t(0.5 + _CONFIDENCE / 2, n - 1) + _t(_POWER, n - 1)
        if n >= (t * ratio) ** 2:
            return n
    return max(ceil((2.802 * ratio) ** 2), _MOST_IMAGES + 1)


def _t(probability: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def _by_name(results: Sequence[Result], score: str) -> list[_Scored] | None:
    """Return all contestants on the images of which all have the score; None without such."""
    if not results:
        return []
    known = np.all([~np.isnan(each.values(score)) for each in results], axis=0)
    if not known.any():
        return None
    named: dict[str, list[Result]] = {}
    for result in results:
        named.setdefault(result.contestant.name, []).append(result)
    return [
        _Scored(
            name,
            same[0].contestant.spec,
            np.stack([merit(score, each.values(score)[known]) for each in same]),
            float(np.mean([each.mean() for each in same])),
            float(np.mean([each.costs.train_seconds for each in same])),
            float(np.mean([each.costs.predict_seconds_per_megapixel for each in same])),
        )
        for name, same in named.items()
    ]


@dataclass(frozen=True, slots=True)
class _Says:
    """Puts into words what contestants scored; every sentence follows from its own figures."""

    score: str
    notes: tuple[str, ...]

    def all(self, scored: Sequence[_Scored]) -> Findings:
        networks = [each for each in scored if each.spec is not None]
        baselines = [each for each in scored if each.spec is None]
        if not networks:
            return Findings(None, None, (), ())
        best = max(networks, key=lambda each: each.mean)
        learned = max(each.dice for each in networks) >= _NOTHING
        good = [
            each
            for each in sorted(baselines, key=lambda each: -each.mean)
            if each.dice >= _NOTHING and (not learned or self._is_as_good(each, best))
        ]
        compared = {each.name: self._compared(each, best) for each in baselines}
        offers = tuple(
            BaselineOffer(e.name, self._offered(compared[e.name], e, best)) for e in good
        )
        compared |= {offer.name: offer.sentence for offer in offers}
        names = tuple(each.name for each in good)
        if not learned:
            said = (self._nothing(best), *compared.values())
            return Findings(best.name, None, names, (*said, *self.notes), offers)
        near = [each for each in networks if self._is_near(each, best)]
        suggestion = min(near, key=lambda each: (each.cost, -each.mean))
        sentences = [self._suggested(suggestion, best)]
        if (field := self._field(networks, best)) is not None:
            sentences.append(field)
        sentences += compared.values()
        if best.merits.size == 1 and len(scored) > 1:
            sentences.append(
                "One seed and one held-out image tell no spread: take more seeds, annotate more "
                "images"
            )
        return Findings(best.name, suggestion.name, names, (*sentences, *self.notes), offers)

    # what is near, and as good

    def _margin(self, best: _Scored) -> float:
        return margin(self.score, best.mean)

    def _is_as_good(self, one: _Scored, best: _Scored) -> bool:
        return best.mean - one.mean <= self._margin(best)

    def _is_near(self, one: _Scored, best: _Scored) -> bool:
        step = difference(best.merits, one.merits)
        return step.mean <= min(step.error, 2 * self._margin(best))

    # words

    def _figure(self, value: float) -> str:
        """Return a mean merit as the score that it came from."""
        quantity = QUANTITIES[self.score]
        shown = value if quantity.best == "high" else -value
        unit = f" {quantity.unit}" if quantity.unit else ""
        return f"{shown:.{quantity.decimals}f}{unit}"

    @property
    def _title(self) -> str:
        quantity = QUANTITIES[self.score]
        return f"absolute {quantity.title}" if quantity.is_signed else quantity.title

    def _figures(self, one: _Scored, of: str, other: _Scored) -> str:
        return f"{self._title} {self._figure(one.mean)} against {self._figure(other.mean)}{of}"

    def _number(self, scored: _Scored) -> str:
        means = scored.merits.mean(axis=1)
        spread = ""
        if len(means) > 1:
            decimals = QUANTITIES[self.score].decimals
            spread = f" ± {means.std(ddof=1):.{decimals}f} over {len(means)} seeds"
        return f"{self._figure(scored.mean)}{spread}"

    def _nothing(self, best: _Scored) -> str:
        return (
            f"Nothing was learned: the best network, {best.name}, has Dice {best.dice:.3f}; train "
            "longer, or annotate more of each class"
        )

    def _suggested(self, suggestion: _Scored, best: _Scored) -> str:
        said = f"Suggestion: {suggestion.name}, {self._title} {self._number(suggestion)}"
        hardly = self._figure(abs(2 * self._margin(best))).lstrip("-")
        if suggestion.name == best.name:
            return (
                f"{said}: the best, and none smaller or faster comes within one standard error and "
                f"{hardly} of it"
            )
        error = difference(best.merits, suggestion.merits).error
        return (
            f"{said}: the smallest and fastest within one standard error "
            f"({self._width(error)}), and {hardly}, of the best, {best.name}, {self._title} "
            f"{self._number(best)}"
        )

    def _width(self, value: float) -> str:
        """Return a difference of merits, without a sign."""
        quantity = QUANTITIES[self.score]
        unit = f" {quantity.unit}" if quantity.unit else ""
        return f"{abs(value):.{quantity.decimals}f}{unit}"

    def _field(self, networks: Sequence[_Scored], best: _Scored) -> str | None:
        """Say whether the receptive field mattered: the best against the smallest fields' best."""
        smallest = min(each.field for each in networks)
        if smallest == max(each.field for each in networks):
            return None
        narrow = max(
            (each for each in networks if each.field == smallest), key=lambda each: each.mean
        )
        if narrow.name == best.name:
            return (
                "No larger receptive field does better on these images: the best network has the "
                f"smallest ({narrow.field} px)"
            )
        what = (
            f"{self._title} {self._figure(narrow.mean)} with the smallest field "
            f"({narrow.field} px), {self._figure(best.mean)} with the best ({best.field} px)"
        )
        step = difference(best.merits, narrow.merits)
        if step.mean <= self._margin(best):
            return f"A larger receptive field does not help on these images: {what}"
        if step.is_told:
            return f"The receptive field matters on these images: {what}"
        return f"{_images(step)} cannot tell whether the receptive field matters: {what}; " + (
            _would(step)
        )

    def _compared(self, baseline: _Scored, best: _Scored) -> str:
        numbers = self._figures(baseline, " of the best network", best)
        step = difference(baseline.merits, best.merits)
        verdict = self._verdict(step, best)
        if max(baseline.dice, best.dice) < _NOTHING:
            return f"The {baseline.name} learned nothing either: {numbers}"
        if verdict == "as good":
            if self._figure(baseline.mean) == self._figure(best.mean):
                return f"The {baseline.name} and the best network tie here: {numbers}"
            return f"The {baseline.name} is as good as the best network here: {numbers}"
        if verdict == "better":
            return f"The {baseline.name} does better than every network here: {numbers}"
        if verdict == "worse":
            return f"The {baseline.name} does worse: {numbers}"
        return (
            f"{_images(step)} cannot tell the {baseline.name} from the best network: {numbers}; "
            f"{_would(step)}"
        )

    def _verdict(
        self, step: Difference, best: _Scored
    ) -> Literal["as good", "better", "worse", "cannot tell"]:
        if abs(step.mean) <= self._margin(best):
            return "as good"
        if not step.is_told:
            return "cannot tell"
        return "better" if step.mean > 0 else "worse"

    def _offered(self, said: str, baseline: _Scored, best: _Scored) -> str:
        """Add to a sentence how much quicker, or slower, a baseline was."""
        speeds = [
            _times(*pair)
            for pair in (
                ("was ready", baseline.train_seconds, best.train_seconds),
                ("predicts", baseline.predict_seconds, best.predict_seconds),
            )
        ]
        return said + "".join(f"; it {each}" for each in speeds if each)


def _times(what: str, own: float, others: float) -> str:
    """Return how much faster or slower something was measured to be; empty where hardly."""
    if min(own, others) <= 0 or max(own / others, others / own) < _FACTOR:
        return ""
    fast = own < others
    factor = others / own if fast else own / others
    number = f"{factor:.1f}" if factor < 10 else f"{round(factor):,}"
    return f"{what} {number} times as {'fast' if fast else 'slowly'}"


def _images(step: Difference) -> str:
    return "One image" if step.images == 1 else f"{step.images:,} images"


def _would(step: Difference) -> str:
    """Say how many images would tell a difference that these do not."""
    needed = images_needed(step.mean, step.spread)
    if isinf(needed):
        return "two and more would show how many it takes"
    if needed <= step.images:
        return "more seeds would"
    if needed > _MOST_IMAGES:
        return f"more than {_MOST_IMAGES:,} would be needed"
    return f"about {needed:,.0f} would"
