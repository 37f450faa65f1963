"""How a mask is best finished: suggested from whole particles, else from field and lattice.

One length decides: the diameter of the smallest particle that is believed. Holes are filled up to
it, and the outline is smoothed by a quarter of it, but never by so much that a usual particle
becomes smaller by more than a hundredth: a Gaussian of standard deviation s moves the outline of a
circle of radius R inwards by about s^2 / 2R.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from napari_tem_rf.measuring.finishing import (
    ANY_CERTAINTY,
    EVEN,
    Finishing,
    circle_diameter,
    finish_prediction,
    holes_of,
    own_probability,
    patches_of,
    smoothed,
)

__all__ = [
    "FEWEST_PARTICLES",
    "CertaintyChoice",
    "Suggestion",
    "best_certainty",
    "suggest_finishing",
]

FEWEST_PARTICLES = 5
"""Fewer whole particles in the annotation say nothing of the smallest."""

_SMALL_SHARE = 0.05
_SLIP_SHARE = 1e-3
_HALF_AREA = sqrt(0.5)
_LATTICE_PERIODS = 2.0
_FIELD_PARTS = 20.0
_FIELD_LIMITS_PX = (2.0, 5.0)
_SMOOTHING = 0.25
_MOST_SMOOTHING = 0.07  # of the median diameter: s^2 / 2R is then a hundredth of R
_SLIP_HOLE = 0.25
_FEWEST_HELD_OUT = 10
_LEAST_DOUBT = 1e-3
_MOST_LOST = 0.2
_FEWEST_PAINTED = 3
_WHOLE_STROKE = 0.9
_BELOW_PAINTED = 0.02  # other images are a little less sure
_USUAL_PART = 0.4
_ON_PARTICLE = 0.5
_LEVELS = 256
_LEAST_LEVEL = 0.3


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A way to finish masks, and why.

    Attributes
    ----------
    finishing : Finishing
    reason : str
        In words, without a stop at the end.
    """

    finishing: Finishing
    reason: str


def suggest_finishing(
    annotations: Iterable[NDArray[np.integer]],
    field_px: int,
    lattice_px: Callable[[], float | None] = lambda: None,
    *,
    averaged: bool = True,
) -> Suggestion:
    """Suggest how the masks of a network are finished.

    Parameters
    ----------
    annotations : iterable of ndarray of int, each of shape (row, column)
        Class indices: 0 = background, -1 = not annotated.
    field_px : int
        Nominal receptive field of the network in px.
    lattice_px : callable
        Measures the period of the images' lattice in px, None where there is none; called only
        where the annotation does not say enough.
    averaged : bool
        Whether to ask the network in several orientations, as time allows.
    """
    sizes, hole_sizes = _whole_particles(annotations)
    if len(sizes) >= FEWEST_PARTICLES:
        annotated = _smallest(sizes)
        smallest = annotated * _HALF_AREA
        smoothing = min(_SMOOTHING * smallest, _MOST_SMOOTHING * float(np.median(sizes)))
        hole, said = smallest, ""
        real = [size for size in hole_sizes if size > _SLIP_HOLE * smallest]
        if len(real) >= FEWEST_PARTICLES:
            hole = min(smallest, float(np.quantile(real, _SMALL_SHARE)) * _HALF_AREA)
            said = f", less for holes: {len(real):,} are annotated"
        reason = (
            f"of {len(sizes):,} whole particles in the annotation nearly all are wider than "
            f"{annotated:.3g} px: half of that area is let pass{said}"
        )
    elif period := lattice_px():
        smallest = hole = _LATTICE_PERIODS * period
        smoothing = _SMOOTHING * smallest
        reason = (
            f"the lattice repeats every {period:.3g} px, and what is narrower than two of its "
            "periods shows no lattice"
        )
    else:
        smallest = hole = float(np.clip(field_px / _FIELD_PARTS, *_FIELD_LIMITS_PX))
        smoothing = 0.0  # nobody knows how fine a true outline may be
        reason = (
            f"no whole particle is annotated and no lattice is seen, so the receptive field of "
            f"{field_px:,} px says it: details are not told apart below a twentieth of it"
        )
    finishing = Finishing(
        smallest_px=_rounded(smallest),
        hole_px=_rounded(hole),
        smoothing_px=_rounded(smoothing),
        orientations="as time allows" if averaged else "one",
    )
    return Suggestion(finishing, reason)


class CertaintyChoice:
    """Finds how sure a network must be of a particle, from what it says of annotated images.

    How sure a network is in numbers says more of how long it was trained than of the particle. So
    the least certainty is set between none and how sure it is of annotated particles, and where
    enough whole ones are held out, where these are found best.

    Parameters
    ----------
    finishing : Finishing
        What else is done to the masks, lengths in px of what it is given.
    binning : int
        Pixels of the image along a side of one of those.
    """

    def __init__(self, finishing: Finishing, binning: int = 1) -> None:
        self._finishing = replace(finishing, certainty=ANY_CERTAINTY)
        self._binning = binning
        self._painted_sizes: list[float] = []
        self._sure: list[float] = []
        self._is_true: list[bool] = []
        self._true = 0
        self._least_painted = 1.0
        self._held_out: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        self._right = 0.0
        self._right_px = 0

    def add(
        self,
        classes: NDArray[np.integer],
        probabilities: NDArray[Any],
        truth: NDArray[np.integer],
        *,
        held_out: bool,
        strokes: bool = False,
    ) -> None:
        """Look at one annotated image.

        Parameters
        ----------
        classes : ndarray of uint8, shape (row, column)
            Predicted class indices.
        probabilities : ndarray of float32, shape (class, row, column)
            Of all classes but the background.
        truth : ndarray of int, shape (row, column)
            True class indices, -1 = not annotated.
        held_out : bool
            Whether the network did not see these annotations, and they are of whole particles.
        strokes : bool
            Whether somebody painted on particles: none of those that were found is left out.
        """
        right = (classes == truth) & (classes > 0)
        self._right += float(own_probability(probabilities, classes)[right].sum(dtype=float))
        self._right_px += int(np.count_nonzero(right))
        if held_out:
            self._held_out.append((classes, probabilities, truth))
        if strokes:
            self._keep_painted(classes, probabilities, truth)

    def _keep_painted(
        self,
        classes: NDArray[np.integer],
        probabilities: NDArray[Any],
        truth: NDArray[np.integer],
    ) -> None:
        """Note how large particles are that hold a stroke, and how sure it is of the least sure.

        What holds only a part of a stroke is a fragment of the particle; what the edge of the
        image, or of the part of it that is looked at, may cut has no size.
        """
        found = finish_prediction(classes, probabilities, self._finishing)
        patches, number = patches_of(found)
        strokes, _ = patches_of(np.maximum(truth, 0))
        right = (strokes > 0) & (found == truth)
        pairs, shared = np.unique(
            strokes[right].astype(np.int64) * (number + 1) + patches[right], return_counts=True
        )
        lengths = np.bincount(strokes.ravel())
        holds = shared >= _WHOLE_STROKE * lengths[pairs // (number + 1)]
        painted = np.unique(pairs[holds] % (number + 1))
        if not len(painted):
            return
        inside = patches.ravel()
        areas = np.bincount(inside, minlength=number + 1)
        sums = np.bincount(inside, own_probability(probabilities, found).ravel(), number + 1)
        self._least_painted = min(
            self._least_painted, float((sums[painted] / areas[painted]).min())
        )
        rim = np.concatenate([patches[0], patches[-1], patches[:, 0], patches[:, -1]])
        self._painted_sizes += [
            circle_diameter(float(area)) for area in areas[np.setdiff1d(painted, rim)]
        ]

    def _compare(
        self,
        classes: NDArray[np.integer],
        probabilities: NDArray[Any],
        truth: NDArray[np.integer],
    ) -> None:
        known = truth >= 0
        found = np.where(known, finish_prediction(classes, probabilities, self._finishing), 0)
        true = np.where(known, truth, 0)
        patches, number = patches_of(found)
        self._true += patches_of(true)[1]
        if not number:
            return
        inside = patches.ravel()
        sizes = np.bincount(inside, minlength=number + 1)
        sure = np.bincount(
            inside, own_probability(probabilities, found).ravel(), minlength=number + 1
        )
        is_true = _on_particles(patches, (found == true) & (found > 0), sizes)
        self._sure += (sure[1:] / sizes[1:]).tolist()
        self._is_true += is_true[1:].tolist()

    def choose(self, suggestion: Suggestion) -> Suggestion:
        """Return the suggestion with a least certainty."""
        if not self._right_px:
            return suggestion
        level = self._best_level()
        self._finishing = replace(self._finishing, level=level)
        for each in self._held_out:
            self._compare(*each)
        typical = max(ANY_CERTAINTY, self._right / self._right_px)
        usual = ANY_CERTAINTY + _USUAL_PART * (typical - ANY_CERTAINTY)
        why = f"the network is {typical:.0%} sure of annotated particles in the mean"
        if self._true >= _FEWEST_HELD_OUT:
            sure, is_true = np.array(self._sure), np.array(self._is_true, bool)
            usual = best_certainty(sure, is_true, self._true, usual)
            why = f"the {self._true:,} held-out particles are found best"
            why = (
                f"with a least certainty of {usual:.0%} {why}"
                if usual > ANY_CERTAINTY
                else f"{why} where none is left out for being unsure"
            )
        if level != EVEN:
            why += f"; their pixels agree best, at a Dice of {2 * level:.2f}, from half of that on"
        if usual > (least := max(ANY_CERTAINTY, self._least_painted - _BELOW_PAINTED)):
            usual = least
            why = "no particle that was painted on is left out"
        finishing = replace(suggestion.finishing, certainty=round(usual, 2), level=level)
        because = suggestion.reason
        number = len(self._painted_sizes)
        if number >= _FEWEST_PAINTED:
            painted = self._binning * _smallest(self._painted_sizes)
            # people paint on the larger ones
            share, part = (
                (0.5, "a quarter") if number >= FEWEST_PARTICLES else (sqrt(0.125), "an eighth")
            )
            if (smallest := _rounded(share * painted)) > finishing.smallest_px:
                finishing = replace(finishing, smallest_px=smallest)
                because += (
                    f"; of {number:,} particles that were painted on and are found whole nearly "
                    f"all are wider than {painted:.3g} px: {part} of that area is let pass"
                )
        return Suggestion(finishing, f"{because}; {why}")

    def _best_level(self) -> float:
        """Return the level that is best for the pixels of held-out particles; even without them."""
        number = sum(patches_of(np.maximum(truth, 0))[1] for *_, truth in self._held_out)
        if number < _FEWEST_HELD_OUT:
            return EVEN
        particle, background = np.zeros(_LEVELS), np.zeros(_LEVELS)
        for _, probabilities, truth in self._held_out:
            likely = sum(smoothed(plane, self._finishing.smoothing_px) for plane in probabilities)
            steps = np.clip(np.asarray(likely) * _LEVELS, 0, _LEVELS - 1).astype(np.int64)
            particle += np.bincount(steps[truth > 0], minlength=_LEVELS)
            background += np.bincount(steps[truth == 0], minlength=_LEVELS)
        return best_level(particle, background)


def best_level(particle: NDArray[np.floating[Any]], background: NDArray[np.floating[Any]]) -> float:
    """Return the probability from which pixels are best given to particles: half of the best Dice.

    Dice is the F1 of pixels, and F1 is highest where everything is taken whose chance to be true is
    above half of that F1 [1]_. A network that is sure stays near 50 %; one that is in doubt would
    lose area there, for where all say 45 % nearly half are of a particle.

    Parameters
    ----------
    particle, background : ndarray, shape (level,)
        How many pixels of particles and of background have a probability of each level, from 0 on.

    References
    ----------
    .. [1] As for `best_certainty`.
    """
    taken = np.cumsum(particle[::-1]), np.cumsum(background[::-1])
    dice = 2 * taken[0] / np.maximum(taken[0] + taken[1] + particle.sum(), 1)
    return float(np.clip(round(float(dice.max()) / 2, 2), _LEAST_LEVEL, EVEN))


def best_certainty(
    sure: NDArray[np.floating[Any]], is_true: NDArray[np.bool_], number: int, usual: float
) -> float:
    """Return the certainty below which a found particle harms more than it helps.

    The share of true ones grows with how sure the network is, as a logistic curve that is fitted to
    all of them: counting what each least certainty would leave lets chance decide, for one particle
    more or less moves it far. F1 is highest where everything is kept whose chance to be true is
    above half of that F1 [1]_.

    Parameters
    ----------
    sure : ndarray of float, shape (particle,)
        Mean probability of each found particle.
    is_true : ndarray of bool, shape (particle,)
        Whether it is one of the annotated particles.
    number : int
        How many are annotated.
    usual : float
        What to return where none, or all, of those found are true.

    Returns
    -------
    float
        `ANY_CERTAINTY` where none is to be left out.

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan, B. Naryanaswamy, Optimal thresholding of classifiers to maximize
       F1 measure, ECML PKDD (2014), doi 10.1007/978-3-662-44851-9_15, theorem 1.
    """
    from sklearn.linear_model import LogisticRegression

    if is_true.all() or not is_true.any():
        return usual
    order = np.argsort(-sure)
    kept = np.arange(1, len(order) + 1)
    best_f1 = float((2 * np.cumsum(is_true[order]) / (kept + number)).max())
    odds = logit(np.clip(sure, _LEAST_DOUBT, 1 - _LEAST_DOUBT))
    centre, spread = odds.mean(), odds.std() + _LEAST_DOUBT
    curve = LogisticRegression().fit(((odds - centre) / spread)[:, None], is_true)
    slope, at_centre = float(curve.coef_[0, 0]), float(curve.intercept_[0])
    if slope <= 0:
        return usual
    least = expit(centre + spread * (logit(best_f1 / 2) - at_centre) / slope)
    # nobody is to lose much of what is true to a curve that a few particles drew; where pixels are
    # taken from less than even on, that may lie below what any particle is left out by
    return max(ANY_CERTAINTY, float(min(least, np.quantile(sure[is_true], _MOST_LOST))))


def _whole_particles(
    annotations: Iterable[NDArray[np.integer]],
) -> tuple[list[float], list[float]]:
    """Return the diameters in px of the annotated particles with all their outline, and of holes.

    In a finished mask that is all of them, also those that the image's border cuts; of strokes
    those that are painted to their rim and have background painted all around.
    """
    sizes: list[float] = []
    hole_sizes: list[float] = []
    for labels in annotations:
        patches, number = patches_of(np.maximum(labels, 0))
        if not number:
            continue
        areas = np.bincount(patches.ravel(), minlength=number + 1).astype(float)
        areas[0] = areas[_beside_unknown(patches, labels)] = 0
        sizes += [circle_diameter(area) for area in areas[areas > 0]]
        if (labels >= 0).all():
            holes, number = holes_of(labels)
            areas = np.bincount(holes.ravel(), minlength=number + 1)[1:].astype(float)
            hole_sizes += [circle_diameter(area) for area in areas[areas > 0]]
    return sizes, hole_sizes


def _beside_unknown(patches: NDArray[np.int32], labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the patches that border on a pixel that is not annotated."""
    unknown = np.pad(labels < 0, 1)
    beside = unknown[:-2, 1:-1] | unknown[2:, 1:-1] | unknown[1:-1, :-2] | unknown[1:-1, 2:]
    return np.unique(patches[beside])


def _smallest(sizes: Sequence[float]) -> float:
    """Return the diameter that hardly a particle is below.

    One in twenty is; or those below hold a thousandth of the area, where a mask has many slips of
    the hand.
    """
    by_number = float(np.quantile(sizes, _SMALL_SHARE))
    ordered = np.sort(sizes)
    share = np.cumsum(ordered**2) / np.sum(ordered**2)
    by_area = float(ordered[np.searchsorted(share, _SLIP_SHARE)])
    return max(by_number, by_area)


def _on_particles(
    patches: NDArray[np.int32], right: NDArray[np.bool_], sizes: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Return which patches lie by more than half of their area on annotated particles.

    No outline is asked for: one that is off is no reason to leave a particle out, for then its
    place is wrong and its number too.
    """
    on = np.bincount(patches.ravel(), right.ravel(), minlength=len(sizes))
    found: NDArray[np.bool_] = on > _ON_PARTICLE * sizes
    return found


def _rounded(length: float) -> float:
    """Return a length as it is shown: to a tenth below 10 px, to whole px above."""
    return round(length, 1 if length < 10 else 0)
