"""What is done to a predicted mask before it is used: outline, specks, holes.

A network decides pixel by pixel and knows nothing of particles: it leaves specks where the
background looks like a particle for a few pixels, holes where a particle looks like background,
and an outline that follows the noise, or the steps of large pools. All three say nothing of the
specimen, and a count or a mean diameter is spoilt by them while Dice hardly notices.
"""

from dataclasses import asdict, dataclass, replace
from math import pi, sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import check_settings, told
from napari_tem_rf.measuring.instances import check_frame

__all__ = [
    "UNFINISHED",
    "Finishing",
    "Orientations",
    "circle_area",
    "circle_diameter",
    "decide",
    "finish",
    "finish_prediction",
    "holes_of",
    "nm_sentence",
    "own_probability",
    "patches_of",
    "smoothed",
]

LARGEST_PX = 2000.0
"""Largest diameter in px that can be asked for."""

MOST_SMOOTHING_PX = 50.0

Orientations = Literal["one", "two", "eight", "as time allows"]
"""In how many of the eight orientations of a square an image is shown to a network."""

EVEN = 0.5
"""Level at which the more probable of two classes is taken."""

ANY_CERTAINTY = 0.5
"""Of two classes no pixel of the more probable one has less."""

_AVERAGED: dict[Orientations, str] = {
    "two": "two orientations of the image",
    "eight": "the eight orientations of the image",
    "as time allows": "as many orientations of the image as time allows",
}
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)
_HIGHEST_BYTE = 255
# the part of a particle that an image's border leaves may be half as wide
_CUT = 0.5


def _is_on(finishing: "Finishing") -> bool:
    return finishing.enabled


@dataclass(frozen=True, slots=True)
class Finishing:
    """How a predicted mask is finished.

    Attributes
    ----------
    enabled : bool
        Whether anything is done.
    smallest_px : float
        Particles whose area is that of a circle of a smaller diameter become background.
    hole_px : float
        Holes whose area is that of a circle of a smaller diameter are filled.
    smoothing_px : float
        Standard deviation of the Gaussian by which the classes' probabilities are smoothed before
        the most probable one is taken.
    certainty : float
        Particles for which the mean probability of their class is smaller become background.
    level : float
        Of two classes, the probability above which a pixel is of the particle and not of the
        background.
    orientations : {"one", "two", "eight", "as time allows"}
        In how many orientations, turned and mirrored, the network is asked about the image; what it
        says is averaged before anything else is done. How much time allows follows from the
        arithmetic that it takes: see `napari_tem_rf.jobs.orientations`.
    """

    enabled: bool = told(
        True,
        "Finish the mask",
        "Smooth the outline, leave out specks and fill holes of what the network predicts; without "
        "it every pixel stays as the network decided",
        option="--finish",
    )
    smallest_px: float = told(
        0.0,
        "smallest particle",
        "Particles smaller than a circle of this diameter are left out (at the image's border, "
        "which may cut them, those smaller than half of it)",
        unit="px",
        least=0.0,
        most=LARGEST_PX,
        least_is="any",
        step=0.1,
        needs=_is_on,
        option="--smallest-particle",
    )
    hole_px: float = told(
        0.0,
        "largest hole",
        "Holes in a particle that are smaller than a circle of this diameter are filled",
        unit="px",
        least=0.0,
        most=LARGEST_PX,
        least_is="none",
        step=0.1,
        needs=_is_on,
        option="--largest-hole",
    )
    smoothing_px: float = told(
        0.0,
        "smooth the outline",
        "Width (standard deviation) of the Gaussian that smooths the network's probabilities "
        "before a pixel is given to a class: what is finer goes, what is coarser stays in place",
        unit="px",
        least=0.0,
        most=MOST_SMOOTHING_PX,
        least_is="not",
        step=0.1,
        needs=_is_on,
        option="--smooth",
    )

    certainty: float = told(
        0.5,
        "least certainty",
        "Particles of which the network is less sure, in the mean over their pixels, are left out; "
        "at 50 % none is",
        percent=True,
        least=0.5,
        most=0.99,
        least_is="any",
        needs=_is_on,
        option="--least-certainty",
    )

    level: float = told(
        0.5,
        "particle from",
        "Probability above which a pixel belongs to a particle. Where noise leaves a network in "
        "doubt, too much area is lost at 50 %",
        percent=True,
        least=0.25,
        most=0.75,
        needs=_is_on,
        option="--particle-from",
    )

    orientations: Orientations = told(
        "one",
        "orientations",
        "The network is asked about the image turned and mirrored too, and what it says is "
        "averaged: truer outlines and fewer false particles, for two or eight times the time. As "
        "time allows: eight or two where that is little work for this network and this image; one "
        "for long series",
        choices={
            "one": "as the image lies",
            "two": "two",
            "eight": "all eight",
            "as time allows": "as time allows",
        },
        needs=_is_on,
        option="--orientations",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def changes_something(self) -> bool:
        """Whether a mask may come out other than the network decided on the image as it lies."""
        return self.changes_masks or self.asks_for != "one"

    @property
    def changes_masks(self) -> bool:
        """Whether anything is done to what the network said."""
        return self.enabled and (
            max(self.smallest_px, self.hole_px) > 0 or self.needs_probabilities
        )

    @property
    def asks_for(self) -> Orientations:
        """In how many orientations the network is asked: one where nothing is finished."""
        return self.orientations if self.enabled else "one"

    @property
    def needs_probabilities(self) -> bool:
        """Whether it is more than what can be done to a mask alone."""
        return self.enabled and (self.decides or self.certainty > ANY_CERTAINTY)

    @property
    def decides(self) -> bool:
        """Whether pixels are given to the classes anew."""
        return self.smoothing_px > 0 or self.level != EVEN

    def scaled(self, ratio: float) -> "Finishing":
        """Return the same lengths on pixels that are ``ratio`` times smaller."""
        if ratio == 1:
            return self
        return replace(
            self,
            smallest_px=min(LARGEST_PX, self.smallest_px * ratio),
            hole_px=min(LARGEST_PX, self.hole_px * ratio),
            smoothing_px=min(MOST_SMOOTHING_PX, self.smoothing_px * ratio),
        )

    @property
    def sentence(self) -> str:
        """What is done, in words."""
        if not self.changes_something:
            return "the mask stays as the network decided it"
        done = []
        if self.asks_for != "one":
            done.append(f"averaged over {_AVERAGED[self.asks_for]}")
        if self.level != EVEN:
            done.append(f"pixels are of a particle from a probability of {self.level:.0%}")
        if self.smoothing_px:
            done.append(f"outline smoothed by {self.smoothing_px:.3g} px")
        if self.smallest_px:
            done.append(f"particles below {self.smallest_px:.3g} px across left out")
        if self.certainty > ANY_CERTAINTY:
            done.append(f"particles that the network is less than {self.certainty:.0%} sure of too")
        if self.hole_px:
            done.append(f"holes below {self.hole_px:.3g} px across filled")
        return ", ".join(done)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values.

        One orientation is not named: masks that were begun before others could be asked for go on.
        """
        settings = asdict(self)
        if self.orientations == "one":
            del settings["orientations"]
        return settings


UNFINISHED = Finishing(enabled=False)
"""Nothing is done."""


def nm_sentence(finishing: Finishing, pixel_size_nm: tuple[float, float] | None) -> str:
    """Return the lengths of a plan in nm; empty without a pixel size or where nothing is done."""
    if pixel_size_nm is None or not finishing.changes_something:
        return ""
    side = sqrt(pixel_size_nm[0] * pixel_size_nm[1])
    said = [
        f"{what} {length * side:.3g} nm"
        for what, length in (
            ("smallest particle", finishing.smallest_px),
            ("largest hole", finishing.hole_px),
            ("smoothing", finishing.smoothing_px),
        )
        if length
    ]
    return ", ".join(said)


def finish_prediction(
    classes: NDArray[np.integer],
    probabilities: NDArray[Any] | None,
    finishing: Finishing,
) -> NDArray[np.integer]:
    """Return the finished class indices of a prediction; the same array where nothing is done.

    Parameters
    ----------
    classes : ndarray of uint8, shape (row, column)
        Index of each pixel's class, 0 = background.
    probabilities : ndarray, shape (class, row, column), optional
        Of all classes but the background: fractions, or 255ths as uint8. Without them an outline is
        smoothed from the classes alone, and all of them are certain.
    finishing : Finishing
    """
    if not finishing.changes_masks or not classes.size:
        return classes
    certain = probabilities is None
    if probabilities is None:
        values = range(1, int(classes.max(initial=0)) + 1)
        probabilities = np.stack([classes == value for value in values] or [classes > 0])
        probabilities = probabilities.astype(np.uint8) * np.uint8(_HIGHEST_BYTE)
    if finishing.smoothing_px > 0 or (finishing.decides and not certain):
        level = EVEN if certain else finishing.level
        classes = decide(probabilities, finishing.smoothing_px, level).astype(
            classes.dtype, copy=False
        )
    sure = None if certain else own_probability(probabilities, classes)
    return finish(classes, finishing, sure=sure)


def decide(
    probabilities: NDArray[Any],
    smoothing_px: float = 0.0,
    level: float = EVEN,
    whole: float | None = None,
) -> NDArray[np.uint8]:
    """Return the most probable class of smoothed probabilities.

    Parameters
    ----------
    probabilities : ndarray, shape (class, row, column)
        Of all classes but the background: fractions, 255ths as uint8, or parts of ``whole``.
    smoothing_px : float
        Standard deviation of the Gaussian in px; at the image's border it is mirrored.
    level : float
        Of two classes, the probability above which it is not the background; with more, the odds
        of the background are weighed alike.
    whole : float, optional
        What stands for certainty; that of fractions or 255ths when not given.

    Returns
    -------
    ndarray of uint8, shape (row, column)
        Index of the class, 0 = background.
    """
    if whole is None:
        whole = _HIGHEST_BYTE if probabilities.dtype == np.uint8 else 1.0
    highest = smoothed(probabilities[0], smoothing_px)
    best = np.ones(highest.shape, np.uint8)
    background = whole - highest
    for index, plane in enumerate(probabilities[1:], start=2):
        likely = smoothed(plane, smoothing_px)
        background -= likely
        best[likely > highest] = index
        np.maximum(highest, likely, out=highest)
    if level != EVEN:
        background *= level / (1 - level)
    best[background >= highest] = 0
    return best


def smoothed(plane: NDArray[Any], smoothing_px: float) -> NDArray[np.float32]:
    """Return one class's probabilities, shape (row, column), smoothed by a Gaussian, as float32."""
    from scipy.ndimage import gaussian_filter

    values = plane.astype(np.float32)
    if smoothing_px > 0:
        gaussian_filter(values, smoothing_px, output=values, truncate=3)
    return values


def finish(
    labels: NDArray[Any],
    finishing: Finishing,
    *,
    numbered: bool = False,
    sure: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return labels without specks and small holes; the same array where nothing is done.

    Parameters
    ----------
    labels : ndarray of int or bool, shape (row, column)
        0 or less is background; each other value is a class, or with ``numbered`` a particle.
    finishing : Finishing
        Its smoothing is not for labels; see `finish_prediction`.
    numbered : bool
        Whether every particle has a number of its own. Holes are filled only inside of one
        particle, the gap between three that touch stays, and no two are ever joined.
    sure : ndarray, shape (row, column), optional
        Probability of each pixel's own class: a fraction, or 255ths as uint8.

    Returns
    -------
    ndarray of the labels' type, shape (row, column)

    Raises
    ------
    ValueError
        If the labels are not one image of whole numbers.

    Notes
    -----
    A particle is a connected patch of one value (8 neighbours), a hole a patch of background
    (4 neighbours) that does not reach the image's border. A patch that is too small becomes what
    it borders on most: a speck becomes background, a hole the particle around it, a speck of one
    class inside a particle of another the class around it. A particle that is large enough but has
    no part of a class that is, keeps all its parts. Specks go first, so that a speck in a hole does
    not keep it open.
    """
    check_frame(labels, "mask")
    if not finishing.changes_masks or not labels.size:
        return labels
    kept = np.maximum(labels, 0) if labels.dtype.kind == "i" else labels
    kept = _without_specks(kept, finishing, numbered, sure)
    if finishing.hole_px > 0:
        kept = _without_holes(kept, finishing.hole_px, numbered)
    if labels.dtype.kind == "i" and labels.min() < 0:  # a negative value says something
        kept = np.where((kept == 0) & (labels < 0), labels, kept)
    return kept


def circle_area(diameter_px: float) -> float:
    """Return the area in px of a circle."""
    return pi / 4 * diameter_px**2


def circle_diameter(area_px: float) -> float:
    """Return the diameter in px of a circle."""
    return sqrt(4 / pi * area_px)


def own_probability(probabilities: NDArray[Any], classes: NDArray[np.integer]) -> NDArray[Any]:
    """Return the probability of each pixel's class; that of the background is not asked for."""
    sure: NDArray[Any] = probabilities[0]
    for index, plane in enumerate(probabilities[1:], start=2):
        sure = np.where(classes == index, plane, sure)
    return sure


def _without_specks(
    labels: NDArray[Any], finishing: Finishing, numbered: bool, sure: NDArray[Any] | None
) -> NDArray[Any]:
    """Return labels whose patches of one value are large and certain enough."""
    patches, number = patches_of(labels)
    flat = patches.ravel()
    sizes = np.bincount(flat, minlength=number + 1)
    least = np.full(number + 1, circle_area(finishing.smallest_px))
    least[at_border(patches)] *= _CUT**2
    small = sizes < least
    small[0] = False
    several = not numbered and _has_several(labels)
    if several and small.any():
        small &= ~_in_parts(labels, patches, small, finishing.smallest_px)
    unsure = np.zeros(number + 1, bool)
    if sure is not None and finishing.certainty > ANY_CERTAINTY:
        whole = _HIGHEST_BYTE if sure.dtype == np.uint8 else 1.0
        sums = np.bincount(flat, sure.ravel(), minlength=number + 1)
        unsure = sums < finishing.certainty * whole * sizes
        unsure[0] = False
    gone = small | unsure
    if not gone.any():
        return labels
    becomes = np.zeros(number + 1, labels.dtype)
    if several:
        becomes = _most_beside(labels, patches, gone)
    kept: NDArray[Any] = np.where(gone[patches], becomes[patches], labels)
    return kept


def _in_parts(
    labels: NDArray[Any], patches: NDArray[np.int32], small: NDArray[np.bool_], smallest_px: float
) -> NDArray[np.bool_]:
    """Return which patches belong to particles large enough of which every part is too small."""
    from scipy import ndimage

    particles, number = ndimage.label(labels > 0, _EIGHT_NEIGHBOURS)
    sizes = np.bincount(particles.ravel(), minlength=number + 1)
    large_part = np.bincount(particles.ravel(), ~small[patches].ravel(), minlength=number + 1) > 0
    least = np.full(number + 1, circle_area(smallest_px))
    least[at_border(particles)] *= _CUT**2
    kept = (sizes >= least) & ~large_part
    inside = kept[particles] & (particles > 0)
    found = np.zeros(len(small), bool)
    found[patches[inside]] = True
    return found


def _without_holes(labels: NDArray[Any], hole_px: float, numbered: bool) -> NDArray[Any]:
    """Return labels whose small holes are filled."""
    holes, number = holes_of(labels)
    sizes = np.bincount(holes.ravel(), minlength=number + 1)
    small = sizes < circle_area(hole_px)
    small[0] = False
    if not small.any():
        return labels
    becomes = _most_beside(labels, holes, small, alone=numbered)
    kept: NDArray[Any] = np.where(small[holes], becomes[holes], labels)
    return kept


def holes_of(labels: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Return the holes of labels as 1, 2, ..., 0 elsewhere, and the highest number."""
    from scipy import ndimage

    holes, number = ndimage.label(labels == 0)
    is_hole = np.ones(number + 1, bool)
    is_hole[at_border(holes)] = False
    return np.where(is_hole[holes], holes, 0), number


def _has_several(labels: NDArray[Any]) -> bool:
    top = labels.max(initial=0)
    return bool(((labels > 0) & (labels != top)).any())


def patches_of(labels: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Return connected patches of one value as 1, 2, ..., and how many there are."""
    if not _has_several(labels):
        from scipy import ndimage

        found: tuple[NDArray[np.int32], int] = ndimage.label(labels > 0, _EIGHT_NEIGHBOURS)
        return found
    from skimage.measure import label

    patches, number = label(labels, background=0, return_num=True, connectivity=2)
    return patches, number


def at_border(patches: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the numbers of the patches that touch the image's border."""
    return np.unique(np.concatenate([patches[0], patches[-1], patches[:, 0], patches[:, -1]]))


def _most_beside(
    labels: NDArray[Any],
    patches: NDArray[np.int32],
    gone: NDArray[np.bool_],
    *,
    alone: bool = False,
) -> NDArray[Any]:
    """Return for each patch that goes the value that most of its edges border on; 0 for others.

    Parameters
    ----------
    labels, patches : ndarray of int, shape (row, column)
    gone : ndarray of bool, shape (patch,)
        Which patches go; the edge between two of them doesn't count.
    alone : bool
        Whether the value must be the only one beside; 0 where it is not.
    """
    sides, values = [], []
    for here, there in (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    ):
        for inner, outer in ((here, there), (there, here)):
            inside, outside = patches[inner], patches[outer]
            edge = gone[inside] & ~gone[outside]
            sides.append(inside[edge])
            values.append(labels[outer][edge])
    patch, value = np.concatenate(sides), np.concatenate(values)
    becomes = np.zeros(len(gone), labels.dtype)
    if not len(patch):
        return becomes
    beside, place = np.unique(value, return_inverse=True)
    pairs, edges = np.unique(patch.astype(np.int64) * len(beside) + place, return_counts=True)
    order = np.argsort(edges, kind="stable")  # the value with the most edges is written last
    becomes[pairs[order] // len(beside)] = beside[pairs[order] % len(beside)]
    if alone:
        becomes[np.bincount(pairs // len(beside), minlength=len(gone)) > 1] = 0
    return becomes
