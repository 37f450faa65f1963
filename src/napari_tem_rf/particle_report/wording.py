"""The numbers of a population in words, for report and window alike."""

from dataclasses import dataclass

import numpy as np

from napari_tem_rf.measuring.distributions import ConfidenceInterval, Fit
from napari_tem_rf.measuring.populations import Population

__all__ = ["Fact", "facts_of", "quantity_words", "short_facts", "with_interval"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what it is, its value, and how to read it."""

    title: str
    value: str
    meaning: str = ""


def quantity_words(population: Population) -> str:
    """Return the size that a population is described by: "equivalent diameter"."""
    words = population.column.rpartition("_")[0].replace("_", " ")
    return words.replace("feret", "Feret")


def with_interval(interval: ConfidenceInterval, unit: str = "", scale: float = 1.0) -> str:
    """Return a number with its unit and 95 % interval, as many digits as that interval allows."""
    value, low, high = (scale * each for each in (interval.value, interval.low, interval.high))
    behind = f" {unit}" if unit else ""
    if not np.isfinite(value):
        return "not known"
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"{_rounded(value, abs(value) / 10)}{behind}"
    reach = (high - low) / 2
    return f"{_rounded(value, reach)}{behind} ({_rounded(low, reach)} to {_rounded(high, reach)})"


def facts_of(population: Population) -> tuple[Fact, ...]:
    """Return all that is said of a population."""
    found, unit, length = population.found, population.unit, population.length_unit
    size = quantity_words(population)
    where = _where(population)
    facts = [Fact("particles", f"{found.number:,}", f"in {where}")]
    if found.number == 0:
        return tuple(facts)
    facts += [
        Fact(f"mean {size}", with_interval(found.mean, unit), _resampling(population)),
        Fact(
            "standard deviation",
            with_interval(found.sd, unit),
            "of the sizes; " + _resampling(population),
        ),
        Fact("median", f"{found.median:.4g} {unit}"),
    ]
    if np.isfinite(population.corrected_mean):
        facts.append(
            Fact(
                "mean, border corrected",
                f"{population.corrected_mean:.4g} {unit}",
                "of whole particles; large ones are cut more often, and weigh more",
            )
        )
    if population.fits:
        best = population.fits[0]
        facts.append(Fact("best fit", best.name, f"{best.words}; {_verdict(best)}"))
    facts += [
        Fact("coverage", with_interval(population.coverage, "%", 100), "share of the area"),
        Fact(
            "number per area",
            with_interval(population.per_area, f"per {population.area_unit}"),
            "of whole particles, corrected for those that are cut",
        ),
    ]
    if np.isfinite(population.neighbour.value):
        facts.append(
            Fact(
                "distance to the nearest",
                with_interval(population.neighbour, length),
                f"centre to centre; {population.regularity:.2f} times that of random points",
            )
        )
    facts.append(
        Fact(
            "shape",
            f"aspect ratio {np.median(population.aspect_ratio):.3g}, "
            f"circularity {np.median(population.circularity):.3g}",
            "medians; both are 1 for a circle",
        )
    )
    if len(population.lattices):
        spacing = population.lattices[:, 0]
        facts.append(
            Fact(
                "lattice",
                f"in {len(spacing):,} of {found.number:,}, "
                f"median {np.median(spacing):.4g} {length}",
                f"spacing of the strongest planes, {spacing.min():.4g} to "
                f"{spacing.max():.4g} {length}",
            )
        )
    if population.needed is not None:
        needed = population.needed
        share = needed.half_width / found.mean.value
        enough = needed.drawn <= found.drawn
        facts.append(
            Fact(
                f"for a mean to ± {100 * share:.3g} %",
                (
                    f"{needed.drawn:,} {needed.units}"
                    + ("" if needed.units == "particles" else f", {needed.particles:,} particles")
                    + (": there are enough" if enough else "")
                ),
                f"± {needed.half_width:.3g} {unit}; those that there are count",
            )
        )
    return tuple(facts)


def short_facts(population: Population) -> tuple[str, ...]:
    """Return the lines that fit into a dock."""
    found = population.found
    if found.number == 0:
        return ()
    lines = [f"mean {with_interval(found.mean, population.unit)}, 95 % by {found.units}"]
    if population.fits:
        best = population.fits[0]
        lines.append(f"best fit {best.name}, {_verdict(best)}")
    lines.append(
        f"coverage {100 * population.coverage.value:.3g} %, "
        + with_interval(ConfidenceInterval(population.per_area.value, np.nan, np.nan))
        + f" per {population.area_unit}"
    )
    if len(population.lattices):
        spacing = population.lattices[:, 0]
        lines.append(
            f"lattice in {len(spacing):,}: median {np.median(spacing):.4g} {population.length_unit}"
        )
    return tuple(lines)


def _rounded(value: float, error: float) -> str:
    """Return a number to the second digit of its error."""
    digits = int(np.clip(1 - np.floor(np.log10(error)), -12, 6)) if error > 0 else 3
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def _where(population: Population) -> str:
    images = f"{population.images:,} image{'s' * (population.images != 1)}"
    if population.frames > population.images:
        return f"{population.frames:,} frames of {images}"
    return images


def _resampling(population: Population) -> str:
    found = population.found
    if found.units == "particles":
        return "95 % interval over the particles of one image"
    return f"95 % interval over {found.drawn:,} {found.units}"


def _verdict(fit: Fit) -> str:
    return f"p = {fit.p_value:.2g}" + (" (rejected)" if fit.p_value < 0.05 else "")
