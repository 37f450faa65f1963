"""The Dice to expect of a prediction without a truth, and why, in words.

What is measured of an image and of its prediction is compared with the same of the training. Each
difference can only lower what is expected (`CalibratedModel`); by how much was fitted to networks
whose images were changed by known amounts, and whose truth was known. The coefficients, and which
images they come from, are in ``expected_dice.json`` beside this file.
"""

from dataclasses import asdict, dataclass
from functools import cache
from math import log2, sqrt
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

import numpy as np

from napari_tem_rf.measuring.found_masks import FoundMask
from napari_tem_rf.measuring.image_statistics import ImageStatistics
from napari_tem_rf.measuring.trained_on import Evidence, TrainedOn
from napari_tem_rf.records import read_json, record_of

__all__ = [
    "FEATURES",
    "CalibratedModel",
    "ExpectedDice",
    "Line",
    "Trust",
    "calibrated_model",
    "cannot_judge",
    "expect_dice",
    "features_of",
]

Trust = Literal["good", "doubtful", "bad", "unknown"]

FEATURES = (
    "unsure",
    "disagrees",
    "strange",
    "spectrum",
    "size",
    "noise",
    "lattice",
    "less",
    "more",
    "edges",
    "ragged",
    "own",
    "turned",
    "finished",
)
"""Names of what is compared, in the order of the coefficients. Each but the last three is 0 as in
the training."""

BAD = 0.5
"""Below this expected Dice a mask is not worth correcting."""

_LEAST_REFERENCE = 0.5
_USUAL_SPECTRUM, _OTHER_SPECTRUM = 0.12, 0.8
_SAME_PERIOD = 0.08
_LEAST_SHARE = 0.02
_SURE = 0.98
_LITTLE = 0.03
_OFTEN = 1.5
_LEAST_FOUND = 0.003
_LEAST_EDGES = 0.05


@dataclass(frozen=True, slots=True)
class ExpectedDice:
    """The Dice that a prediction is expected to have.

    Attributes
    ----------
    dice : float, optional
        Expected hard Dice of the foreground; None where it cannot be known.
    low, high : float, optional
        Between these it lies in four of five cases, as far as the calibration reaches.
    warns : bool
        Whether it is expected to be lower by more than 0.1 than on images like those of the
        training, or cannot be known because the image is too far from them.
    reasons : tuple of str
        How the image differs from those of the training, what weighs most first.
    basis : str
        What it is judged by, or why it cannot be, as a part of a sentence.
    """

    dice: float | None
    low: float | None
    high: float | None
    warns: bool
    reasons: tuple[str, ...]
    basis: str

    @property
    def trust(self) -> Trust:
        """How far the mask is to be trusted, in a word."""
        if self.dice is None:
            return "doubtful" if self.warns else "unknown"
        if self.dice < BAD:
            return "bad"
        return "doubtful" if self.warns else "good"

    @property
    def number(self) -> str:
        """The expected Dice with its interval: ``0.82 (0.71 to 0.90)``; "not known" without."""
        if self.dice is None or self.low is None or self.high is None:
            return "not known"
        return f"{self.dice:.2f} ({self.low:.2f} to {self.high:.2f})"

    @property
    def sentence(self) -> str:
        """All of it in words, without a stop at the end."""
        said = f"expected Dice {self.number}"
        if self.dice is None and not self.warns:
            return f"{said}: {self.basis}"
        why = [self.basis] if self.dice is None else []
        why += self.reasons
        return f"{said}: {'; '.join(why)}" if why else said

    @property
    def order(self) -> float:
        """What images are sorted by, the worst first; what cannot be known comes after."""
        if self.dice is not None:
            return self.dice
        return -1.0 if self.warns else 2.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "reasons": list(self.reasons), "trust": self.trust}


@dataclass(frozen=True, slots=True)
class Line:
    """Coefficients of the logit of the expected Dice.

    Attributes
    ----------
    constant : float
    of_held_out : float
        Of the logit of the Dice on held-out images.
    weights : tuple of float
        What each of the `FEATURES` takes off; never negative.
    """

    constant: float
    of_held_out: float
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.weights) != len(FEATURES) or min(self.weights) < 0:
            raise ValueError("a line has one weight for each feature, and none is negative")

    def dice(self, features: tuple[float, ...], held_out: float | None) -> float:
        """Return the Dice that is expected."""
        logit = self.constant - sum(
            weight * value for weight, value in zip(self.weights, features, strict=True)
        )
        if held_out is not None:
            logit += self.of_held_out * _logit(held_out)
        return float(1 / (1 + np.exp(-logit)))


@dataclass(frozen=True, slots=True)
class CalibratedModel:
    """What was learned of networks whose truth was known.

    Attributes
    ----------
    with_held_out, without : Line
        Where whole masks were held out in the training, so that a Dice is known to begin with; and
        where only strokes, or nothing, were.
    spread : tuple of (float, float, float)
        Expected Dice, and by how much the true one lay below and above it at most in four of five
        cases; in between it is interpolated.
    most : tuple of float
        The largest value of each feature that was met; beyond it nothing is known.
    warn_from : float
        Expected drop from which is warned, so that few of the drops above 0.1 go unsaid.
    source : str
        What it was fitted to, and by what command.
    errors : dict of str to float
        How well it did on networks and sets that it was not fitted to.
    """

    with_held_out: Line
    without: Line
    spread: tuple[tuple[float, float, float], ...]
    most: tuple[float, ...]
    warn_from: float
    source: str
    errors: dict[str, float]

    def interval(self, dice: float) -> tuple[float, float]:
        """Return the interval around an expected Dice."""
        at, below, above = np.array(self.spread).T
        low, high = np.interp(dice, at, below), np.interp(dice, at, above)
        return max(0.0, dice - float(low)), min(1.0, dice + float(high))


@cache
def calibrated_model() -> CalibratedModel:
    """Return the model that comes with the program."""
    return record_of(CalibratedModel, read_json(Path(__file__).with_name("expected_dice.json")))


def cannot_judge(why: str) -> ExpectedDice:
    """Return that nothing is expected, and why, as a part of a sentence."""
    return ExpectedDice(None, None, None, False, (), why)


def expect_dice(
    trained_on: TrainedOn,
    held_out_dice: float | None,
    evidence: Evidence,
    image: ImageStatistics,
    model: CalibratedModel | None = None,
) -> ExpectedDice:
    """Return the Dice to expect of a prediction, with an interval and reasons.

    Parameters
    ----------
    trained_on : TrainedOn
        What the network was trained on.
    held_out_dice : float, optional
        Its Dice on held-out whole masks; None where only strokes were held out, or nothing.
    evidence : Evidence
        What is known of the prediction.
    image : ImageStatistics
        Of the image as the network saw it.
    model : CalibratedModel, optional
        That of the program when not given.
    """
    model = model or calibrated_model()
    features = features_of(trained_on, evidence, image)
    line = model.without if held_out_dice is None else model.with_held_out
    reasons = _reasons(trained_on, evidence, image, features, line)
    beyond = [
        name
        for name, value, most in zip(FEATURES, features, model.most, strict=True)
        if value > most
    ]
    if beyond:
        return ExpectedDice(
            *(None, None, None),
            warns=True,
            reasons=reasons,
            basis="the image is farther from those of the training than any that this was tried on",
        )
    dice = line.dice(features, held_out_dice)
    usual = line.dice(usual_features(trained_on), held_out_dice)
    low, high = model.interval(dice)
    warns = usual - dice >= model.warn_from
    basis = (
        "no whole mask was held out in the training"
        if held_out_dice is None
        else f"Dice {held_out_dice:.2f} on held-out masks"
    )
    # where little is lost, small differences are no reasons
    shown = reasons if warns or usual - dice > _LITTLE else _certain(reasons)
    return ExpectedDice(round(dice, 3), round(low, 3), round(high, 3), warns, shown, basis)


def features_of(
    trained_on: TrainedOn, evidence: Evidence, image: ImageStatistics
) -> tuple[float, ...]:
    """Return how an image and its prediction differ from the training, one number a feature."""
    known = trained_on.evidence
    own = fmean(each.own_dice for each in known)
    agreed = fmean(each.agreement for each in known)
    usual = max(median(each.distance for each in known), _LEAST_REFERENCE)
    values = {
        "unsure": max(0.0, own - evidence.own_dice),
        "disagrees": max(0.0, agreed - evidence.agreement),
        "strange": log2(max(1.0, evidence.distance / usual)),
        # however different, it decides nothing by itself
        "spectrum": min(
            max(0.0, _spectral_distance(trained_on, image) - _USUAL_SPECTRUM), _OTHER_SPECTRUM
        ),
        "size": abs(log2(size_ratio(trained_on, image) or 1.0)),
        "noise": log2(max(1.0, noise_ratio(trained_on, image) or 1.0)),
        "lattice": float(_lattice_change(trained_on, image) in ("new", "lost")),
        "less": log2(max(1.0, 1 / found_ratio(trained_on, evidence))),
        "more": log2(max(1.0, found_ratio(trained_on, evidence))),
        "edges": max(0.0, _per_edge(evidence) - median(_per_edge(each) for each in known)),
        "ragged": _more_ragged(trained_on, evidence),
        "own": 1 - evidence.own_dice,
        "turned": 1 - evidence.agreement,
        "finished": 1 - evidence.finished,
    }
    return tuple(round(values[name], 4) for name in FEATURES)


def usual_features(trained_on: TrainedOn) -> tuple[float, ...]:
    """Return the features as they are on images like those of the training."""
    known = trained_on.evidence
    usual = (
        1 - fmean(each.own_dice for each in known),
        1 - fmean(each.agreement for each in known),
        1 - fmean(each.finished for each in known),
    )
    return (*(0.0,) * (len(FEATURES) - len(usual)), *usual)


def found_ratio(trained_on: TrainedOn, evidence: Evidence) -> float:
    """Return how many times more is found than on any image of the training, or less than on all.

    Specimens differ in how much they hold; but a network that goes wrong mostly finds far too
    little or too much.
    """
    known = [max(each.foreground, _LEAST_FOUND) for each in trained_on.masks or trained_on.evidence]
    found = max(evidence.foreground, _LEAST_FOUND)
    return found / min(max(found, min(known)), max(known))


def _more_ragged(trained_on: TrainedOn, evidence: Evidence) -> float:
    """Return by how many doublings outlines are longer beside what is found than in training."""
    if evidence.outline is None or not trained_on.masks:
        return 0.0
    here = FoundMask(evidence.foreground, evidence.outline).raggedness
    return max(0.0, here - max(each.raggedness for each in trained_on.masks))


def _per_edge(evidence: Evidence) -> float:
    """Return the entropy beside what is found: a network is unsure where there are outlines."""
    found = evidence.foreground
    return evidence.unsure / max(4 * found * (1 - found), _LEAST_EDGES)


def size_ratio(trained_on: TrainedOn, image: ImageStatistics) -> float | None:
    """Return how many times larger pixels are than any, or smaller than all, of the training."""
    known = sorted(_side(each.pixel_size_nm) for each in trained_on.images if each.pixel_size_nm)
    if not known or image.pixel_size_nm is None:
        return None
    side = _side(image.pixel_size_nm)
    return side / min(max(side, known[0]), known[-1])


def noise_ratio(trained_on: TrainedOn, image: ImageStatistics) -> float | None:
    """Return how many times noisier an image is than any of the training."""
    most = max(each.noise for each in trained_on.images)
    return image.noise / most if most > 0 and image.noise > 0 else None


def _side(size_nm: tuple[float, float]) -> float:
    return sqrt(size_nm[0] * size_nm[1])


def _spectral_distance(trained_on: TrainedOn, image: ImageStatistics) -> float:
    """Return the root mean square difference of the spectra, to the nearest of the training."""
    here = np.array(image.spectrum)
    off = [
        float(np.sqrt(np.mean((here - np.array(each.spectrum)) ** 2)))
        for each in trained_on.images
        if len(each.spectrum) == len(here) > 0
    ]
    return min(off, default=0.0)


def _lattice_change(
    trained_on: TrainedOn, image: ImageStatistics
) -> Literal["none", "new", "lost", "other"]:
    known = [each.lattice_px for each in trained_on.images]
    periods = [each for each in known if each is not None]
    if image.lattice_px is None:
        return "lost" if periods and len(periods) == len(known) else "none"
    if not periods:
        return "new"
    low, high = min(periods) * (1 - _SAME_PERIOD), max(periods) * (1 + _SAME_PERIOD)
    return "none" if low <= image.lattice_px <= high else "other"


def _contrast_lost(trained_on: TrainedOn, evidence: Evidence) -> float:
    """Return how often the contrast of what is predicted must be doubled to be as in training."""
    known = [abs(each.contrast) for each in trained_on.evidence if each.contrast is not None]
    if not known:
        return 0.0
    usual = max(median(known), 0.1)
    here = 0.1 if evidence.contrast is None else max(abs(evidence.contrast), 0.1)
    return log2(max(1.0, usual / here))


# reasons in words


def _reasons(
    trained_on: TrainedOn,
    evidence: Evidence,
    image: ImageStatistics,
    features: tuple[float, ...],
    line: Line,
) -> tuple[str, ...]:
    """Return how the image differs, what weighs most first."""
    weighs = {
        name: weight * value
        for name, weight, value in zip(FEATURES, line.weights, features, strict=True)
    }
    said: list[tuple[float, str]] = []

    def say(name: str, words: str, *, extra: float = 0.0) -> None:
        if words:
            said.append((weighs.get(name, 0.0) + extra, words))

    # what is known from outside comes before what the network does
    say("size", _of_size(trained_on, image), extra=4.0)
    say("noise", _of_noise(trained_on, image), extra=3.0)
    say("lattice", _of_lattice(trained_on, image), extra=2.0)
    say("contrast", _of_contrast(trained_on, evidence), extra=1.0)
    usual = max(median(each.distance for each in trained_on.evidence), _LEAST_REFERENCE)
    times = evidence.distance / usual
    if times > 1.5:
        say(
            "strange",
            f"it shows the network what it hardly met in training ({times:.1f} times "
            "as far off as its own images)",
        )
    agreed = fmean(each.agreement for each in trained_on.evidence)
    if features[FEATURES.index("disagrees")] > 0.05:
        say(
            "disagrees",
            "turned and mirrored it is predicted otherwise (agreement "
            f"{evidence.agreement:.2f}, in training {agreed:.2f})",
        )
    ratio = found_ratio(trained_on, evidence)
    if evidence.foreground >= _LEAST_SHARE and ratio < 1 / _OFTEN:
        say(
            "less",
            f"particle is a part of it {1 / ratio:.1f} times smaller than of any in training",
        )
    if ratio > _OFTEN:
        say("more", f"{times_in_words(ratio)} as much of it is particle as of any in training")
    finished = fmean(each.finished for each in trained_on.evidence)
    if finished - evidence.finished > 0.1:
        say(
            "finished",
            "finishing changes much of what the network found (agreement "
            f"{evidence.finished:.2f}, in training {finished:.2f})",
        )
    finer = 2 ** features[FEATURES.index("ragged")]
    if finer > 1.2:
        say(
            "ragged",
            f"its outlines are {times_in_words(finer)} as long, for what they hold, as any in "
            "training",
        )
    own = fmean(each.own_dice for each in trained_on.evidence)
    if features[FEATURES.index("unsure")] > 0.05:
        say(
            "unsure",
            f"the network is less sure of what it says ({evidence.own_dice:.2f}, in training "
            f"{own:.2f})",
        )
    said.sort(key=lambda each: -each[0])
    return tuple(words for _, words in said)


def _certain(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Return the reasons that stand for themselves, whatever the network makes of them."""
    return tuple(each for each in reasons if each.startswith(("pixels ", "a lattice ")))


def _of_size(trained_on: TrainedOn, image: ImageStatistics) -> str:
    ratio = size_ratio(trained_on, image)
    if ratio is None or abs(ratio - 1) <= 0.05:
        return ""
    return f"pixels {ratio:.2f} times as large"


def _of_noise(trained_on: TrainedOn, image: ImageStatistics) -> str:
    ratio = noise_ratio(trained_on, image)
    if ratio is None or ratio < 1.3:
        return ""
    return f"{times_in_words(ratio)} the noise, beside its contrast"


def _of_lattice(trained_on: TrainedOn, image: ImageStatistics) -> str:
    change = _lattice_change(trained_on, image)
    if change == "none":
        return ""
    if change == "lost":
        return "a lattice that was there in training is not to be seen"
    here = _lattice_words(image)
    if change == "new":
        return f"a lattice that was not there in training ({here})"
    off = [
        (abs(each.lattice_px - image.lattice_px), number)
        for number, each in enumerate(trained_on.images)
        if each.lattice_px is not None and image.lattice_px is not None
    ]
    nearest = trained_on.images[min(off)[1]]
    return f"a lattice of {here}, in training {_lattice_words(nearest)}"


def _lattice_words(image: ImageStatistics) -> str:
    in_px = f"{image.lattice_px:.1f} px"
    return in_px if image.lattice_nm is None else f"{image.lattice_nm:.3f} nm or {in_px}"


def _of_contrast(trained_on: TrainedOn, evidence: Evidence) -> str:
    if _contrast_lost(trained_on, evidence) < 1:
        return ""
    known = [abs(each.contrast) for each in trained_on.evidence if each.contrast is not None]
    if evidence.contrast is None:
        return "no particle was found" if evidence.foreground < _LEAST_SHARE else ""
    return (
        f"what is found stands out by {abs(evidence.contrast):.1f} sigma, in training by "
        f"{median(known):.1f}"
    )


def times_in_words(ratio: float) -> str:
    """Return a ratio as it is spoken: ``twice``, ``1.6 times``."""
    return "twice" if abs(ratio - 2) < 0.15 else f"{ratio:.1f} times"


def _logit(dice: float) -> float:
    bounded = min(max(dice, 1 - _SURE), _SURE)
    return float(np.log(bounded / (1 - bounded)))
