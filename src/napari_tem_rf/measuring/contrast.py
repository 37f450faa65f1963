"""What an annotated image shows its particles by: grey level or lattice; and what follows.

Amplitude contrast is the difference of the grey levels of two classes in units of their spread. At
contrasts like it the study measured how much the receptive field matters, and what a baseline does
(`study_findings`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.lattice import Lattice, lattice_period
from napari_tem_rf.measuring.study_findings import (
    BaselineName,
    Level,
    Taught,
    expectation,
    read_study,
)
from napari_tem_rf.protocol import Unlabelled

__all__ = [
    "Advice",
    "ClassContrast",
    "Lattice",
    "advice",
    "amplitude_contrast",
    "lattice_period",
    "level_of",
]

STRONG_SIGMA = 1.5
WEAK_SIGMA = 0.5
"""Between the images that were studied: about 2 sigma (bright field), about 0.1 (HRTEM)."""

PAPER = "Sytwu, Groschner and Scott 2022, doi 10.1017/S1431927622012466"


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
    baseline : {"forest", "fourier"}, optional
        A baseline that did as well as a network on such images, or better.
    """

    level: Level
    sentence: str
    details: str
    baseline: BaselineName | None = None


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


def advice(
    contrasts: Sequence[float], lattice: Lattice | None = None, taught: Taught = "masks"
) -> Advice:
    """Say what to expect of receptive field and baselines, and why.

    Parameters
    ----------
    contrasts : sequence of float
        Amplitude contrast in sigma, one an annotated image and class; the sign doesn't matter.
    lattice : Lattice, optional
        The lattice that was found.
    taught : {"strokes", "masks"}
        What a training would learn from.

    Returns
    -------
    Advice

    Notes
    -----
    What is expected comes from the program's own study (`study_findings`), and from nothing else.
    Its question is that of Sytwu, Groschner and Scott, Microscopy and Microanalysis 2022, doi
    10.1017/S1431927622012466. It is about contrast; nothing here is a rule about the size of
    particles.
    """
    if not len(contrasts):
        return Advice(
            "unknown",
            "Annotate particles and background to see how much the receptive field will matter.",
            f"What decides is how far the grey levels of particles and background differ ({PAPER})",
        )
    sizes = np.abs(np.asarray(contrasts, np.float64))
    sigma = float(np.median(sizes))
    level = level_of(sigma)
    study = read_study()
    expected = expectation(level, taught, study.findings)
    shows = f" and show a lattice of {_length(lattice)}" if lattice and level == "phase" else ""
    sentence = (
        f"Particles differ from background by {_number(sigma)} sigma{shows}: {expected.sentence}"
    )
    spread = (
        f" over {sizes.size} images and classes ({_number(sizes.min())} to {_number(sizes.max())})"
        if sizes.size > 1
        else ""
    )
    evidence = "\n\n".join(expected.evidence) or "Nothing was measured on such images yet."
    details = (
        f"Measured by this program's study ({study.source}), with the interval that holds the "
        f"difference in 95 of 100 cases:\n\n{evidence}\n\nWhat the paper found: little effect of "
        "the receptive field at about 2 sigma, a decisive one at about 0.1 sigma, where lattice "
        f"fringes show the particles ({PAPER}).\n\nYour contrast is measured on the annotated "
        f"pixels: the difference of the class means over the pooled standard deviation, "
        f"{_number(sigma)} sigma in the median{spread}. Few strokes, uneven illumination and "
        "thickness shift it. It is an expectation, no rule. A comparison on your own annotations "
        "decides."
    )
    return Advice(level, sentence, details, expected.baseline)


def level_of(sigma: float) -> Level:
    """Return what shows the particles, by their amplitude contrast in sigma without its sign."""
    if sigma >= STRONG_SIGMA:
        return "amplitude"
    return "between" if sigma > WEAK_SIGMA else "phase"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 0.1 else f"{value:.1f}"


def _length(lattice: Lattice) -> str:
    in_px = f"{lattice.period_px:.1f} px"
    return in_px if lattice.period_nm is None else f"{in_px} ({lattice.period_nm:.2f} nm)"
