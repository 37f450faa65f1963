"""What an annotated image shows its particles by: grey level or lattice; and what follows.

Amplitude contrast is the difference of the grey levels of two classes in units of their spread.
With the lattice it says how much the receptive field is likely to matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.measuring.lattice import Lattice, lattice_period
from napari_tem_rf.protocol import Unlabelled

__all__ = [
    "Advice",
    "ClassContrast",
    "Lattice",
    "Level",
    "advice",
    "amplitude_contrast",
    "lattice_period",
]

Level = Literal["amplitude", "between", "phase", "unknown"]

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
    """

    level: Level
    sentence: str
    details: str


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


def advice(contrasts: Sequence[float], lattice: Lattice | None = None) -> Advice:
    """Say how much the receptive field is likely to matter, and why.

    Parameters
    ----------
    contrasts : sequence of float
        Amplitude contrast in sigma, one an annotated image and class; the sign doesn't matter.
    lattice : Lattice, optional
        The lattice that was found.

    Returns
    -------
    Advice

    Notes
    -----
    The evidence is Sytwu, Groschner and Scott, Microscopy and Microanalysis 2022, doi
    10.1017/S1431927622012466: gold nanoparticles at low and at high magnification. It is about
    contrast; nothing here is a rule about the size of particles.
    """
    if not len(contrasts):
        return Advice(
            "unknown",
            "Annotate particles and background to see how much the receptive field will matter.",
            f"What decides is how far the grey levels of particles and background differ ({PAPER})",
        )
    sizes = np.abs(np.asarray(contrasts, np.float64))
    sigma = float(np.median(sizes))
    differ = f"Particles differ from background by {_number(sigma)} sigma"
    if sigma >= STRONG_SIGMA:
        level: Level = "amplitude"
        follows = ": the receptive field should hardly matter; a small, fast network may well do."
        evidence = (
            "Where grey level alone shows the particles, as in bright field at low magnification "
            f"(about 2 sigma), the paper found little effect of the receptive field ({PAPER}). "
            "A random forest can be as good there: compare it."
        )
    elif sigma > WEAK_SIGMA:
        level = "between"
        follows = (
            ", between the cases studied: the receptive field may matter. "
            "Compare a small one with a large one."
        )
        evidence = (
            "The receptive field decided at about 0.1 sigma, where lattice fringes show the "
            f"particles, and hardly mattered at about 2 sigma ({PAPER})."
        )
    else:
        level = "phase"
        follows = (
            f" and show a lattice of {_length(lattice)}: the receptive field is likely to decide. "
            "Compare several."
            if lattice
            else ", and no lattice was found: the receptive field may decide. Compare several."
        )
        evidence = (
            "Where particle and background have nearly the same mean grey level and lattice "
            "fringes show the particles, the paper found the receptive field decisive, and most so "
            f"at the lowest amplitude contrast ({PAPER})."
        )
        if not lattice:
            evidence += " Without a lattice that evidence reaches less far."
    spread = (
        f" over {sizes.size} images and classes ({_number(sizes.min())} to {_number(sizes.max())})"
        if sizes.size > 1
        else ""
    )
    details = (
        f"{evidence}\n\nMeasured on the annotated pixels: the difference of the class means over "
        f"the pooled standard deviation, {_number(sigma)} sigma in the median{spread}. Few strokes,"
        " uneven illumination and thickness shift it. It is an expectation, no rule: not about the "
        "size of particles, and from one kind of sample. A comparison on your own annotations "
        "decides."
    )
    return Advice(level, differ + follows, details)


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 0.1 else f"{value:.1f}"


def _length(lattice: Lattice) -> str:
    in_px = f"{lattice.period_px:.1f} px"
    return in_px if lattice.period_nm is None else f"{in_px} ({lattice.period_nm:.2f} nm)"
