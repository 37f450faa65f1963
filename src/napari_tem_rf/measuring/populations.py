"""Particles of many images as populations: sizes, coverage, number per area, neighbours, shapes.

A frame shows a piece of the specimen. Its border cuts large particles more often than small ones,
and hides the neighbours of particles near it: what is counted here is corrected for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import check_settings, told
from napari_tem_rf.measuring.distributions import (
    LEAST_FOR_A_FIT,
    ConfidenceInterval,
    Estimate,
    Fit,
    Needed,
    estimate,
    fit_distributions,
    needed_for,
    resampled,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Population",
    "PopulationSettings",
    "SurveyedFrame",
    "boxes_of",
    "population_of",
    "populations_of",
]

Numbers = NDArray[np.float64]
Quantity = Literal["equivalent_diameter", "feret_max", "feret_min", "area"]

UM2_PER_NM2 = 1e-6
_MPX_PER_PX = 1e-6
_CUT_SHARE = 0.02
_UNITS = {"nm2": "nm²"}
_MANY = 2_000


@dataclass(frozen=True, slots=True)
class PopulationSettings:
    """What is said of a population.

    Attributes
    ----------
    quantity : {"equivalent_diameter", "feret_max", "feret_min", "area"}
        The size whose distribution is fitted.
    wanted_percent : float
        The interval of the mean that is wanted: plus and minus so many percent of it.
    """

    quantity: Quantity = told(
        "equivalent_diameter",
        "size",
        "The size whose distribution is fitted",
        choices={
            "equivalent_diameter": "equivalent diameter",
            "feret_max": "Feret max",
            "feret_min": "Feret min",
            "area": "area",
        },
        option="--size",
    )
    wanted_percent: float = told(
        5.0,
        "wanted interval",
        "The 95 % interval of the mean that is wanted, plus and minus so many percent of it: the "
        "report says how many images it takes",
        unit="%",
        least=0.1,
        most=100.0,
        option="--within",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedFrame:
    """The particles of one frame, and the piece of the specimen that it shows.

    Attributes
    ----------
    image : str
        Name of the image.
    frame : int or None
        Of a series.
    shape : tuple of int
        (row, column) in px.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    table : DataFrame
        As `measure_particles` makes it, in the order of the labels.
    boxes : ndarray of int, shape (particle, 2)
        Height and width in px of the box around each particle, in the same order.
    with_border : bool
        Whether the table holds the particles that the border cuts.
    """

    image: str
    frame: int | None
    shape: tuple[int, int]
    pixel_size_nm: tuple[float, float] | None
    table: "pd.DataFrame"
    boxes: NDArray[np.int64]
    with_border: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """All particles of some frames, or those of one class.

    Attributes
    ----------
    value : int, optional
        The class; None: all.
    column : str
        The size that is described, with its unit in its name.
    sizes : ndarray of float, shape (particle,)
        Sizes of the particles that count.
    aspect_ratio, circularity : ndarray of float, shape (particle,)
        Shapes of the same particles.
    images, frames : int
        How many were looked at, those without particles included.
    found : Estimate
        Mean and spread of the sizes.
    corrected_mean : float
        Mean of the whole particles, each weighted by how rarely the border cuts one of its extent.
    fits : tuple of Fit
        The best first.
    needed : Needed, optional
        What the wanted interval takes.
    coverage : ConfidenceInterval
        Share of the area that is covered.
    per_area : ConfidenceInterval
        Particles per square micrometre; per megapixel without a pixel size.
    neighbour : ConfidenceInterval
        Mean distance of a particle's centre to the nearest other, in the unit of the sizes.
    regularity : float
        That distance over the one of points placed at random: 1 random, above it evenly spaced,
        below it in clusters (Clark and Evans 1954).
    lattices : ndarray of float, shape (particle, 4)
        Of particles with a lattice: spacing, its error, angle in degrees, strength.
    notes : tuple of str
        What to know before these numbers are used, in sentences.
    """

    value: int | None
    column: str
    sizes: Numbers
    aspect_ratio: Numbers
    circularity: Numbers
    images: int
    frames: int
    found: Estimate
    corrected_mean: float
    fits: tuple[Fit, ...]
    needed: Needed | None
    coverage: ConfidenceInterval
    per_area: ConfidenceInterval
    neighbour: ConfidenceInterval
    regularity: float
    lattices: Numbers
    notes: tuple[str, ...]

    @property
    def is_calibrated(self) -> bool:
        """Whether lengths are in nm."""
        return self.column.endswith(("_nm", "_nm2"))

    @property
    def unit(self) -> str:
        """Unit of the sizes."""
        unit = self.column.rpartition("_")[2]
        return _UNITS.get(unit, unit)

    @property
    def length_unit(self) -> str:
        """Unit of lengths: nm or px."""
        return "nm" if self.is_calibrated else "px"

    @property
    def area_unit(self) -> str:
        """What ``per_area`` is per."""
        return "µm²" if self.is_calibrated else "Mpx"


def boxes_of(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return height and width in px of each particle's box, in the order of the labels.

    Parameters
    ----------
    labels : ndarray of int, shape (row, column)
        0 or less = no particle.
    """
    from scipy import ndimage

    from napari_tem_rf.measuring.instances import compact

    _, numbered = compact(labels)
    found = [
        (box[0].stop - box[0].start, box[1].stop - box[1].start)
        for box in ndimage.find_objects(numbered)
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def populations_of(
    frames: Sequence[SurveyedFrame],
    settings: PopulationSettings = PopulationSettings(),
    *,
    border: bool = True,
) -> tuple[Population, ...]:
    """Describe all particles together, and, where there are several classes, each class.

    Parameters
    ----------
    frames : sequence of SurveyedFrame
        With pixel sizes, or all without.
    settings : PopulationSettings
    border : bool
        Whether sizes and shapes count of particles that the border cuts.
    """
    classes = sorted(
        {
            int(value)
            for frame in frames
            if "class" in frame.table
            for value in frame.table["class"].unique()
        }
    )
    wanted = [None, *classes] if len(classes) > 1 else [None]
    return tuple(population_of(frames, settings, value, border=border) for value in wanted)


def population_of(
    frames: Sequence[SurveyedFrame],
    settings: PopulationSettings = PopulationSettings(),
    value: int | None = None,
    *,
    border: bool = True,
) -> Population:
    """Describe the particles of some frames.

    Parameters
    ----------
    frames : sequence of SurveyedFrame
    settings : PopulationSettings
    value : int, optional
        Only particles of this class; for the distance to the nearest neighbour, too.
    border : bool
        Whether sizes and shapes count of particles that the border cuts.

    Raises
    ------
    ValueError
        Without frames, or where only some have a pixel size.

    Notes
    -----
    Number per area and, where the frames lack particles at the border, coverage: each whole
    particle counts one over the area of the positions in which the frame would hold it whole
    (Miles 1974; Lantuejoul 1980; Baddeley 1999), (rows - height - 1) x (columns - width - 1) px
    for a box of that height and width that may touch no side. Otherwise the coverage is the share
    of the pixels.

    Nearest neighbours: a particle counts where its neighbour is nearer than the border, and then
    one over the area of the positions for which that holds (Hanisch 1984).
    """
    if not frames:
        raise ValueError("there is no frame: a population needs one image at least")
    if len({frame.pixel_size_nm is None for frame in frames}) > 1:
        raise ValueError(
            "some frames have a pixel size and others have none: nm and px do not go into one "
            "population; give all a pixel size"
        )
    unit = "px" if frames[0].pixel_size_nm is None else "nm"
    is_area = settings.quantity == "area"
    column = f"{settings.quantity}_{'nm2' if is_area and unit == 'nm' else unit}"
    groups, units = _groups(frames)
    # by image or frame: area, area of particles, number, distances and their weights, weighted
    # sizes
    sums = np.zeros((max(groups) + 1, 6))
    sizes, aspects, circularities, places, lattices = [], [], [], [], []
    cut = 0
    for group, frame in zip(groups, frames, strict=True):
        table = frame.table
        chosen = np.ones(len(table), bool)
        if value is not None:
            chosen = table["class"].to_numpy() == value if "class" in table else ~chosen
        edge = table["touches_border"].to_numpy(bool)
        here = table[column].to_numpy(np.float64)
        counts = chosen & (border | ~edge)
        cut += int(np.count_nonzero(chosen & edge))
        sizes.append(here[counts])
        aspects.append(table["aspect_ratio"].to_numpy(np.float64)[counts])
        circularities.append(table["circularity"].to_numpy(np.float64)[counts])
        places.append(np.full(np.count_nonzero(counts), group))
        lattices.append(_lattices(table, unit)[counts])
        sums[group] += _frame_sums(frame, chosen, edge, here, unit)
    found = estimate(np.concatenate(sizes), np.concatenate(places), units)
    scale = UM2_PER_NM2 if unit == "nm" else _MPX_PER_PX
    per_area = resampled(sums, lambda s: s[:, 2] / s[:, 0] / scale, positive=True)
    neighbour = resampled(sums, lambda s: s[:, 3] / s[:, 4], positive=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        regularity = 2 * neighbour.value * (sums[:, 2].sum() / sums[:, 0].sum()) ** 0.5
        corrected = float(sums[:, 5].sum() / sums[:, 2].sum())
    fits = fit_distributions(np.concatenate(sizes))
    all_lattices = np.concatenate(lattices)
    return Population(
        value=value,
        column=column,
        sizes=np.concatenate(sizes),
        aspect_ratio=np.concatenate(aspects),
        circularity=np.concatenate(circularities),
        images=len({frame.image for frame in frames}),
        frames=len(frames),
        found=found,
        corrected_mean=corrected,
        fits=fits,
        needed=needed_for(found, settings.wanted_percent / 100),
        coverage=resampled(sums, lambda s: s[:, 1] / s[:, 0], positive=True),
        per_area=per_area,
        neighbour=neighbour,
        regularity=float(regularity),
        lattices=all_lattices[np.isfinite(all_lattices[:, 0])],
        notes=_notes(
            found, fits, corrected, cut if border else 0, frames, _UNITS.get(column[-3:], unit)
        ),
    )


def _groups(frames: Sequence[SurveyedFrame]) -> tuple[list[int], Literal["images", "frames"]]:
    """Return what is resampled: images, a series as one; frames where there is one series only."""
    names = list(dict.fromkeys(frame.image for frame in frames))
    if len(names) == 1:
        return list(range(len(frames))), "frames" if len(frames) > 1 else "images"
    place = {name: at for at, name in enumerate(names)}
    return [place[frame.image] for frame in frames], "images"


def _frame_sums(
    frame: SurveyedFrame,
    chosen: NDArray[np.bool_],
    edge: NDArray[np.bool_],
    sizes: Numbers,
    unit: str,
) -> Numbers:
    """Return what a frame adds to the sums of `population_of`."""
    rows, columns = frame.shape
    row_size, column_size = frame.pixel_size_nm or (1.0, 1.0)
    pixel = row_size * column_size
    area = rows * columns * pixel
    areas = frame.table["area_nm2" if unit == "nm" else "area_px"].to_numpy(np.float64)
    whole = chosen & ~edge
    free = (rows - frame.boxes[:, 0] - 1) * (columns - frame.boxes[:, 1] - 1) * pixel
    weight = area / np.maximum(free[whole], pixel)
    covered = areas[chosen].sum() if frame.with_border else (weight * areas[whole]).sum()
    distances, shares = _neighbours(frame, chosen, unit)
    return np.array(
        [
            area,
            covered,
            weight.sum(),
            (shares * distances).sum(),
            shares.sum(),
            (weight * sizes[whole]).sum(),
        ]
    )


def _neighbours(
    frame: SurveyedFrame, chosen: NDArray[np.bool_], unit: str
) -> tuple[Numbers, Numbers]:
    """Return distances to the nearest neighbours, and the weights of those that count."""
    from scipy.spatial import KDTree

    table = frame.table[chosen]
    if len(table) < 2:
        return np.zeros(0), np.zeros(0)
    size = np.asarray(frame.pixel_size_nm or (1.0, 1.0))
    points = table[[f"row_{unit}", f"column_{unit}"]].to_numpy(np.float64)
    distance = KDTree(points).query(points, k=2)[0][:, 1]
    # the centre of the first pixel is at 0, 0
    low, sides = -size / 2, np.asarray(frame.shape) * size
    inside = np.minimum(points - low, low + sides - points).min(axis=1)
    seen = distance <= inside
    distance = distance[seen]
    left = np.prod(sides - 2 * distance[:, None], axis=1)
    return distance, np.prod(sides) / np.maximum(left, np.prod(size))


def _lattices(table: "pd.DataFrame", unit: str) -> Numbers:
    """Return spacing, its error, angle and strength of each particle; NaN without a lattice."""
    names = (
        f"lattice_spacing_{unit}",
        f"lattice_spacing_error_{unit}",
        "lattice_angle_deg",
        "lattice_strength",
    )
    if names[0] not in table:
        return np.full((len(table), 4), np.nan)
    return np.stack([table[name].to_numpy(np.float64) for name in names], axis=1)


def _notes(
    found: Estimate,
    fits: Sequence[Fit],
    corrected: float,
    cut: int,
    frames: Sequence[SurveyedFrame],
    unit: str,
) -> tuple[str, ...]:
    notes = []
    if found.number == 0:
        return ("No particle counts: lower the smallest size, or look at the mask.",)
    if found.units == "particles":
        notes.append(
            "The intervals are from one image, as if its particles were independent: how images "
            "differ is not in them, so that the true ones are wider. Measure several images."
        )
    elif found.units == "frames":
        notes.append(
            "The frames of one series may show the same particles: the intervals are too narrow "
            "then."
        )
    elif found.drawn < 5:
        notes.append(
            f"{found.drawn} images tell little of how images differ: their intervals are wide, "
            "and rest on the assumption that images scatter as a bell curve."
        )
    if cut:
        share = cut / max(found.number, 1)
        notes.append(
            f"{cut:,} of {found.number:,} particles are cut by the border and look too small"
            + (": leave them out for a size distribution." if share > _CUT_SHARE else ".")
        )
    elif abs(corrected - found.mean.value) > _CUT_SHARE * found.mean.value:
        notes.append(
            f"The border cuts large particles more often: corrected for it the mean is "
            f"{corrected:.4g} {unit}."
        )
    if not all(frame.with_border for frame in frames):
        notes.append(
            "Particles at the border were not looked for: nearest neighbours among them are missed."
        )
    if not fits:
        notes.append(
            f"{found.number} sizes are too few, or too equal, for a fit: it takes "
            f"{LEAST_FOR_A_FIT} that differ."
        )
    elif fits[0].p_value < 0.05:
        many = (
            " With so many particles that is seen of small departures, too: look at the curve."
            if found.number > _MANY
            else ""
        )
        notes.append(
            f"No distribution here describes the sizes; the {fits[0].name} is the nearest." + many
            if max(fit.p_value for fit in fits) < 0.05
            else f"The {fits[0].name} distribution is the nearest by AIC, but the test rejects it."
            + many
        )
    return tuple(notes)
