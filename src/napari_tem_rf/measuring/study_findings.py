"""What the study measured on images of other people: whether the field, or a network, pays.

The table beside this module is written by ``benchmarks/receptive_field_study.py``; the page of the
study (docs/receptive_field_study.md) says how it came about. What its intervals do not support is
not said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from napari_tem_rf.records import read_json, record_of

__all__ = [
    "BaselineName",
    "Expectation",
    "Level",
    "Study",
    "StudyFinding",
    "Taught",
    "What",
    "expectation",
    "read_study",
]

Level = Literal["amplitude", "between", "phase", "unknown"]
"""What shows the particles."""

Taught = Literal["strokes", "masks"]
"""What is learned from: a few strokes, or images labelled as a whole."""

BaselineName = Literal["forest", "fourier"]
What = Literal["field", "forest", "fourier"]
Verdict = Literal["better", "worse", "as good", "not told"]

_PAPER: dict[Level, str] = {
    "amplitude": "on such images the receptive field hardly mattered",
    "phase": "on such images the receptive field decided",
}
"""What Sytwu, Groschner and Scott (2022) found at such contrasts, said where the study does not
tell."""

_BASELINES: tuple[BaselineName, ...] = ("forest", "fourier")


@dataclass(frozen=True, slots=True)
class StudyFinding:
    """How two compare on images of one level of contrast.

    Attributes
    ----------
    level : {"amplitude", "between", "phase"}
    taught : {"strokes", "masks"}
    what : {"field", "forest", "fourier"}
        Whether a larger field is compared with a smaller one, or a baseline with the network.
    one, other : str
        What is compared, in words.
    mean, low, high : float
        Dice of the one less that of the other, and the interval that holds it in 95 of 100 cases.
    verdict : {"better", "worse", "as good", "not told"}
        What follows for the one.
    exposures, trainings : int
        How much it rests on.
    sets : tuple of str
        The sets of images.
    """

    level: Level
    taught: Taught
    what: What
    one: str
    other: str
    mean: float
    low: float
    high: float
    verdict: Verdict
    exposures: int
    trainings: int
    sets: tuple[str, ...]

    @property
    def figures(self) -> str:
        """The evidence in a sentence."""
        sets = ", ".join(self.sets)
        return (
            f"{self.one} against {self.other}: Dice {self.mean:+.3f} ({self.low:+.3f} to "
            f"{self.high:+.3f}), {self.exposures} exposures of {sets}, {self.trainings} trainings"
        )


@dataclass(frozen=True, slots=True)
class Study:
    """The table of the study.

    Attributes
    ----------
    source : str
        How it was made.
    findings : tuple of StudyFinding
    """

    source: str
    findings: tuple[StudyFinding, ...]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the study lets expect.

    Attributes
    ----------
    field : {"better", "worse", "as good", "not told"}
        How a larger field did.
    sentence : str
        What to expect of field and baseline, for a line beside the network.
    baseline : {"forest", "fourier"}, optional
        A baseline that did better than the network, or as well; None where none was seen to.
    evidence : tuple of str
        The figures.
    """

    field: Verdict
    sentence: str
    baseline: BaselineName | None
    evidence: tuple[str, ...]


@cache
def read_study() -> Study:
    """Return the table that comes with the program."""
    return record_of(Study, read_json(Path(__file__).with_name("study_findings.json")))


def expectation(level: Level, taught: Taught, findings: Sequence[StudyFinding]) -> Expectation:
    """Return what findings let expect on images of a level of contrast.

    Parameters
    ----------
    level : {"amplitude", "between", "phase", "unknown"}
    taught : {"strokes", "masks"}
    findings : sequence of StudyFinding
        Those of the study; others in tests.
    """
    here = {each.what: each for each in findings if each.level == level and each.taught == taught}
    about_field, field = _about_field(here.get("field"), level)
    good = [
        name for name in _BASELINES if name in here and here[name].verdict in ("better", "as good")
    ]
    # one that did better comes before one that did as well
    good.sort(key=lambda name: (here[name].verdict != "better", -here[name].mean))
    baseline = good[0] if good else None
    about_baseline = _about_baseline(here, baseline)
    return Expectation(
        field,
        f"{about_field}.{about_baseline}",
        baseline,
        tuple(each.figures for each in here.values()),
    )


def _about_field(found: StudyFinding | None, level: Level) -> tuple[str, Verdict]:
    if found is None or found.verdict == "not told":
        paper = _PAPER.get(level)
        if paper is None:
            return "whether the receptive field matters there was not measured yet", "not told"
        return f"{paper}, by the paper; this program's own study does not tell yet", "not told"
    how = {
        "better": f"did better than {found.other}",
        "worse": f"did worse than {found.other}",
        "as good": f"did no better than {found.other}",
    }[found.verdict]
    return f"on such images {found.one} {how}", found.verdict


def _about_baseline(here: dict[What, StudyFinding], baseline: What | None) -> str:
    if baseline is not None:
        found = here[baseline]
        how = "better than networks" if found.verdict == "better" else "as well as networks"
        return f" {found.one[0].upper()}{found.one[1:]} did {how}."
    forest = here.get("forest")
    if forest is not None and forest.verdict == "worse":
        return f" Networks did better than {forest.one}."
    return ""
