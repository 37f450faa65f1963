"""What a comparison says: the best, the suggestion, and whether a baseline would do.

Scores of two contestants are compared image by image, because what makes an image hard makes it
hard for both. The standard error of their difference adds the spread of the difference over the
images and the spread of both over their seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.comparison.results import Result
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["Findings", "findings"]

_NOTHING = 0.05
"""A network whose mean Dice is below this has learned nothing that is of use."""

_DECIDES = 2.0
"""Difference, in standard errors, from which the receptive field is said to matter."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the scores say.

    Attributes
    ----------
    best : str, optional
        Name of the network with the highest mean Dice; None without networks.
    suggestion : str, optional
        Name of the smallest and fastest network within one standard error of the best; None where
        no network learned anything.
    good_baselines : tuple of str
        Baselines that are within one standard error of the best network, or above it.
    sentences : tuple of str
        The same in words.
    """

    best: str | None
    suggestion: str | None
    good_baselines: tuple[str, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    name: str
    spec: NetworkSpec | None
    dice: NDArray[np.float64]  # (seed, image)

    @property
    def mean(self) -> float:
        return float(self.dice.mean())

    @property
    def cost(self) -> float:
        """Size and speed alike: the logarithm of parameters times multiply-adds."""
        assert self.spec is not None
        return log(self.spec.parameters) + log(self.spec.macs_per_pixel)

    @property
    def field(self) -> int:
        assert self.spec is not None
        return nominal_receptive_field(self.spec)


def findings(results: Sequence[Result]) -> Findings:
    """Return what the results of a comparison, complete or not, say.

    Parameters
    ----------
    results : sequence of Result
        All scored on the same held-out images.
    """
    scored = _by_name(results)
    networks = [each for each in scored if each.spec is not None]
    baselines = [each for each in scored if each.spec is None]
    if not networks:
        return Findings(None, None, (), ())
    best = max(networks, key=lambda each: each.mean)
    if best.mean < _NOTHING:
        said = (_nothing(best), *(_compared(each, best) for each in baselines))
        good = tuple(each.name for each in baselines if each.mean >= _NOTHING)
        return Findings(best.name, None, good, said)
    near = [each for each in networks if _within(each, best)]
    suggestion = min(near, key=lambda each: (each.cost, -each.mean))
    good = tuple(each.name for each in baselines if _within(each, best))
    sentences = [_suggested(suggestion, best)]
    if (field := _field(networks, best)) is not None:
        sentences.append(field)
    sentences += [_compared(each, best) for each in baselines]
    if standard_error(best.dice, suggestion.dice) == 0 and best.dice.size == 1:
        sentences.append(
            "One seed and one held-out image tell no spread: take more seeds, annotate more images"
        )
    return Findings(best.name, suggestion.name, good, tuple(sentences))


def standard_error(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the standard error of the difference of two mean scores.

    Parameters
    ----------
    a, b : ndarray of float, shape (seed, image)
        Scores of two contestants on the same images; numbers of seeds may differ.

    Returns
    -------
    float
        0 where neither seeds nor images tell a spread.
    """
    difference = a.mean(axis=0) - b.mean(axis=0)  # (image,)
    square = _variance_of_mean(difference)
    square += _variance_of_mean(a.mean(axis=1)) + _variance_of_mean(b.mean(axis=1))
    return sqrt(square)


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0


def _by_name(results: Sequence[Result]) -> list[_Scored]:
    named: dict[str, list[Result]] = {}
    for result in results:
        named.setdefault(result.contestant.name, []).append(result)
    return [
        _Scored(name, same[0].contestant.spec, np.stack([each.values() for each in same]))
        for name, same in named.items()
    ]


def _within(one: _Scored, best: _Scored) -> bool:
    return best.mean - one.mean <= standard_error(best.dice, one.dice)


def _nothing(best: _Scored) -> str:
    return (
        f"Nothing was learned: the best network, {best.name}, has Dice {_number(best)}; train "
        "longer, or annotate more of each class"
    )


def _suggested(suggestion: _Scored, best: _Scored) -> str:
    said = f"Suggestion: {suggestion.name}, Dice {_number(suggestion)}"
    if suggestion.name == best.name:
        return f"{said}: the best, and none smaller or faster comes within one standard error of it"
    error = standard_error(best.dice, suggestion.dice)
    return (
        f"{said}: the smallest and fastest within one standard error ({error:.3f}) of the best, "
        f"{best.name}, Dice {_number(best)}"
    )


def _field(networks: Sequence[_Scored], best: _Scored) -> str | None:
    """Say whether the receptive field mattered: the best against the smallest fields' best."""
    smallest = min(each.field for each in networks)
    if smallest == max(each.field for each in networks):
        return None
    narrow = max((each for each in networks if each.field == smallest), key=lambda each: each.mean)
    step, error = best.mean - narrow.mean, standard_error(best.dice, narrow.dice)
    if narrow.name == best.name:
        return (
            "A larger receptive field does not help on these images: the best network has the "
            f"smallest ({narrow.field} px)"
        )
    what = (
        f"Dice {narrow.mean:.3f} with the smallest field ({narrow.field} px), {best.mean:.3f} with "
        f"the best ({best.field} px)"
    )
    if step <= error:
        return f"A larger receptive field does not help on these images: {what}"
    if step > _DECIDES * error > 0:
        return f"The receptive field matters on these images: {what}"
    return f"The receptive field may matter; more seeds or images would tell: {what}"


def _compared(baseline: _Scored, best: _Scored) -> str:
    numbers = f"Dice {baseline.mean:.3f} against {best.mean:.3f} of the best network"
    if baseline.mean > best.mean:
        return f"The {baseline.name} does better than every network here: {numbers}"
    if best.mean >= _NOTHING and _within(baseline, best):
        return f"The {baseline.name} is as good as the best network here: {numbers}"
    return f"The {baseline.name} does worse: {numbers}"


def _number(scored: _Scored) -> str:
    means: Any = scored.dice.mean(axis=1)
    spread = f" ± {means.std(ddof=1):.3f} over {len(means)} seeds" if len(means) > 1 else ""
    return f"{scored.mean:.3f}{spread}"
