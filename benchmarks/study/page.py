"""The page of the study, written from its tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.storage import write_text
from study.answers import (
    BIN_IMAGES,
    MARGIN,
    Row,
    answers,
    by_set,
    effect_of,
    paired,
)
from study.drawing import draw
from study.effects import FEWEST_GROUPS
from study.in_short import in_short
from study.networks import KEY, SERIES, SPECS, name_of, specs_of
from study.pieces import STROKES, pieces
from study.sets import KINDS
from study.tables import Found, done_in
from study.working import CEILING_STEPS, CROP_PX, CROPS, FIRST_STEPS, PATIENCE_STEPS, STROKE_STEPS

AMPLITUDE = ("nanoparticles-bf", "simulated-lm")
PHASE = ("graphene-hrtem", "simulated-hr")
HOLDS_NOT, OPEN, HOLDS = "does not hold here", "cannot be told yet", "holds here"


@dataclass(frozen=True, slots=True)
class Claim:
    """A finding of the paper, and what these results say of it.

    Attributes
    ----------
    claim : str
    verdict : {"does not hold here", "cannot be told yet", "holds here"}
    evidence : str
    """

    claim: str
    verdict: str
    evidence: str


def claims(found: Found) -> list[Claim]:
    """Return the paper's findings, those that do not hold first."""
    order = (HOLDS_NOT, OPEN, HOLDS)
    told = [
        _hardly_matters(found),
        _decides(found),
        _most_at_low_contrast(found),
        _complexity(found),
        _effective(found),
    ]
    return sorted(told, key=lambda claim: order.index(claim.verdict))


def _steps(found: Found, names: Iterable[str]) -> list[Row]:
    smallest, *larger = map(name_of, KEY)
    rows: list[Row] = []
    for method in larger:
        what = f"{_px(method)} against {_px(smallest)}"
        rows += [
            row
            for row in by_set(found.images, {"method": method}, {"method": smallest}, what)
            if row.where in names
        ]
    return rows


def _px(method: str) -> str:
    return f"{nominal_receptive_field(SPECS[method])} px"


def _figures(rows: Iterable[Row]) -> str:
    return "; ".join(
        f"{row.where}, {row.what} {row.effect.words}, {row.effect.groups} exposures, "
        f"{row.effect.trainings} training{'s' * (row.effect.trainings != 1)}"
        for row in rows
    )


def _hardly_matters(found: Found) -> Claim:
    rows = _steps(found, AMPLITUDE)
    matters = [
        row
        for row in rows
        if row.effect.is_sound and row.effect.is_told and abs(row.effect.mean) > MARGIN
    ]
    if matters:
        told, shown = HOLDS_NOT, matters
    elif rows and all(row.effect.is_sound and row.effect.within(MARGIN) for row in rows):
        told, shown = HOLDS, rows
    else:
        told, shown = OPEN, rows
    return Claim(
        "At low magnification, where amplitude contrast shows the particles, the receptive field "
        "hardly matters.",
        told,
        _figures(shown) or "nothing is measured yet",
    )


def _decides(found: Found) -> Claim:
    rows = _steps(found, PHASE)
    gains = [
        row
        for row in rows
        if row.effect.is_sound and row.effect.is_told and row.effect.mean > MARGIN
    ]
    if {row.where for row in gains} == set(PHASE):
        told = HOLDS
    elif rows and all(row.effect.is_sound and row.effect.within(MARGIN) for row in rows):
        told = HOLDS_NOT
    else:
        told = OPEN
    return Claim(
        "At high resolution, where lattice fringes show the particles, the receptive field "
        "decides.",
        told,
        _figures(gains or rows) or "nothing is measured yet",
    )


def _most_at_low_contrast(found: Found) -> Claim:
    """Compare what a larger field gains below 0.5 sigma with what it gains above 1 sigma."""
    less, more = name_of(KEY[0]), name_of(KEY[2])
    pairs = paired(found.images, {"method": more}, {"method": less})
    pairs = pairs[pairs["set"].isin(PHASE)]
    low = effect_of(pairs[pairs["contrast"] < 0.5])
    high = effect_of(pairs[pairs["contrast"] >= 1.0])
    enough = min(low.groups, high.groups) >= FEWEST_GROUPS and low.is_sound and high.is_sound
    told = OPEN
    if enough and low.low > high.high:
        told = HOLDS
    elif enough and low.high < high.low:
        told = HOLDS_NOT
    evidence = (
        f"{_px(more)} against {_px(less)}: below 0.5 sigma {low.words}, {low.groups} exposures; "
        f"from 1 sigma {high.words}, {high.groups} exposures"
    )
    return Claim("It decides most where amplitude contrast is lowest.", told, evidence)


def _complexity(found: Found) -> Claim:
    specs = specs_of("levels at one field")
    less, more = name_of(specs[0]), name_of(specs[-1])
    what = f"{SPECS[more].parameters:,} parameters against {SPECS[less].parameters:,}"
    rows = by_set(found.images, {"method": more}, {"method": less}, what)
    told = [
        row
        for row in rows
        if row.effect.is_sound and row.effect.is_told and abs(row.effect.mean) > MARGIN
    ]
    alike = [row for row in rows if row.effect.is_sound and row.effect.within(MARGIN)]
    said = HOLDS if told and alike else OPEN
    return Claim(
        "Whether more parameters help depends on the images.",
        said,
        _figures(rows) or "nothing is measured yet",
    )


def _effective(found: Found) -> Claim:
    claim = "Trained networks use 0.7 to 0.9 of their nominal field on high-resolution images."
    if found.fields.empty:
        return Claim(claim, OPEN, "nothing is measured yet")
    ratio = found.fields["w95_px"] / found.fields["nominal_px"]
    inside = ((ratio >= 0.7) & (ratio <= 0.9)).sum()
    share = inside / len(ratio)
    told = HOLDS if share >= 0.9 else HOLDS_NOT if share <= 0.5 else OPEN
    return Claim(
        claim,
        told,
        f"{len(ratio)} published networks of the family, trained on recorded images by others, w95 "
        "(the square around a pixel that holds 95 % of the mean absolute gradient; the paper may "
        "measure it otherwise) over the nominal field, on simulated images at the size of pixels "
        f"that they were trained at: {ratio.min():.2f} to {ratio.max():.2f}, mean "
        f"{ratio.mean():.2f}; {inside} of them within 0.7 to 0.9",
    )


# the page


def write_page(found: Found, page: Path, pictures: Path, command: str) -> None:
    """Write the page and its figures.

    Parameters
    ----------
    found : Found
    page : Path
        The Markdown file.
    pictures : Path
        Folder for the figures, beside the page.
    command : str
        What goes on with the study.
    """
    answered = answers(found)
    captions = draw(found, answered, pictures)
    lines = [
        "# The paper's study, repeated",
        "",
        "<!-- made by `benchmarks/receptive_field_study.py page` from docs/study: do not edit -->",
        "",
        "Sytwu, Groschner and Scott (Microscopy and Microanalysis 2022, doi",
        "10.1017/S1431927622012466) varied receptive field and complexity of a U-Net",
        "independently, on images of gold nanoparticles. Here the same is asked of other images.",
        "",
        "## Against the paper",
        "",
        *_claims(found),
        "## What is there",
        "",
        *_state(found, command),
        *_method(),
    ]
    for answer in answered:
        lines += ["", f"## {answer.question}", ""]
        if said := in_short(answer, found):
            lines += [f"**{said}.**", ""]
        lines += [f"- {sentence}." for sentence in answer.sentences] or ["Not measured yet."]
        if answer.name in captions:
            lines += [
                "",
                f"![{answer.question}]({pictures.name}/{answer.name}.png)",
                "",
                f"{captions[answer.name]} ([SVG]({pictures.name}/{answer.name}.svg), "
                f"[data]({pictures.name}/{answer.name}.csv))",
            ]
        if answer.table is not None and len(answer.table):
            lines += ["", *markdown(answer.table)]
        if answer.rows:
            lines += ["", *_differences(answer.rows)]
    lines += ["", *_limits(found)]
    write_text(page, "\n".join(lines) + "\n")


def _differences(rows: Iterable[Row]) -> list[str]:
    lines = ["| | difference | effect size | exposures | trainings |", "|---|---|---|---|---|"]
    for row in rows:
        found = row.effect
        if found.images:
            size = "" if np.isnan(found.size) else f"{found.size:+.1f}"
            lines.append(
                f"| {row.where}: {row.what} | {found.words} | {size} | {found.groups} | "
                f"{found.trainings} |"
            )
    return lines


def _claims(found: Found) -> list[str]:
    lines = []
    for claim in claims(found):
        lines += [f"- **{claim.verdict.capitalize()}**: {claim.claim} {claim.evidence}."]
    return [*lines, ""]


def _state(found: Found, command: str) -> list[str]:
    done = found.pieces
    wanted = list(pieces())
    trained = done.dropna(subset=["steps"])
    hours = done["cpu_seconds"].sum() / 3600
    each = done.groupby(done["steps"].notna())["cpu_seconds"].mean()
    known = done_in(found)
    waiting = [piece for piece in wanted if piece.name not in known]
    on_masks = float(trained[trained["strokes"] == 0]["steps"].mean())
    # a training from strokes is so much shorter
    networks = sum(
        (STROKE_STEPS / on_masks if piece.strokes else 1.0)
        for piece in waiting
        if piece.spec is not None
    )
    fits = sum(piece.spec is None for piece in waiting)
    rest = networks * each.get(True, np.nan) + fits * each.get(False, np.nan)
    rounds = done[(done["strokes"] == 0) & (done["scale"] == 1) & (done["start"] == "nothing")]
    key = rounds[rounds["method"].isin(list(map(name_of, KEY)))]
    lines = [
        f"{len(done):,} pieces are done: {len(trained):,} trainings of networks "
        f"and {len(done) - len(trained)} fits of a random forest or a Fourier filter, in "
        f"{hours:.1f} core hours (processor time, training, scoring and effective field). "
        + (
            f"{len(waiting):,} of the plan's {len(wanted):,} are left, for about "
            f"{rest / 3600:.1f} core hours at the same rate."
            if waiting
            else "Nothing of the plan is left."
        ),
        "",
        "| set | what shows the particles | images scored | exposures | trainings of the four key "
        "networks | splits | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kind in KINDS.items():
        own = key[key["set"] == name]
        images = found.images[found.images["set"] == name]
        lines.append(
            f"| {name} | {kind.shown_by} | {images['image'].nunique()} | "
            f"{images['group'].nunique()} | {len(own)} | {own['split'].nunique()} | "
            f"{own['seed'].nunique()} |"
        )
    lines += [
        "",
        "What is done goes on, piece by piece and in the order of what is wanted most, by",
        "",
        "```",
        command,
        "```",
        "",
        "A piece is written whole or not at all, so it may be stopped at any moment; "
        "`--scheduler tcp://...` gives the pieces to a Dask cluster whose scheduler and workers "
        "have `benchmarks` on their `PYTHONPATH` (`--workers N`: how many at once), `--workers N` "
        "alone to so many processes here. `page` then writes this page anew.",
        "",
    ]
    return lines


def _method() -> list[str]:
    return [
        "## How it was done",
        "",
        f"**Schedule.** A training on masks ends when its loss on exposures that are neither "
        f"trained on nor scored has not fallen for {PATIENCE_STEPS} steps, and at "
        f"{CEILING_STEPS:,} steps in any case; the weights of the lowest such loss are scored. The "
        f"first {FIRST_STEPS} steps are none to choose from: where particles are rare, calling all "
        "background has a lower loss than the first networks that find them. "
        f"A step sees {CROPS} crops of {CROP_PX} px ({CROPS * CROP_PX**2 / 1e6:.2f} megapixels), "
        "whatever the network; the program's default recipe otherwise. From strokes too few pixels "
        "are annotated to hold any back: "
        f"{STROKE_STEPS} steps, the last weights, crops as the program chooses them.",
        "",
        "**What misled before.** With 30 megapixels a training a fifth of the networks stayed "
        "untrained on graphene ([a page of its own](study_short_schedule.md)). With one crop of "
        "384 px a step (`--crop-px 384 --crops 1`) batch norms see one image at a time, and are "
        "asked by the mean of all: 120 px on simulated-hr, first split, Dice 0.896, held-out loss "
        "0.39; two crops of 256 px 0.903 and 0.18, four 0.918 and 0.13, stopped by the same rule. "
        "And grey levels, varied by the program where a median of the first images said so, took "
        "that network from 0.945 to 0.847 on the second split, whose exposures differ in amplitude "
        "contrast; it now asks three images of four.",
        "",
        "**Splits.** Exposures, specimens or, of the dislocation loops, columns of tiles are put "
        "into three parts once and for all; each part is scored by trainings on the other two "
        "(what lies within 64 px of a column that is left out does not teach). The seeds are the "
        "paper's. Images of which less than 0.1 % is particles are not scored.",
        "",
        "**Masks** are scored as the network decides each pixel. Where particles are counted they "
        "are finished as the program finishes masks by itself: averaged over orientations as time "
        "allows, smoothed, specks left out and holes filled, by what the annotation of the "
        "training part suggests and by how sure the network is of particles in the part that says "
        "when to stop; masks of a forest by the same rules, as it is asked: once.",
        "",
        f"**Intervals** hold the mean difference in 95 of 100 cases: a bootstrap over exposures "
        "and, crossed with it, over trainings (split and seed). With one training a set they hold "
        "the spread over exposures alone, and are too narrow. A difference is told where its "
        f"interval leaves out 0 over at least {FEWEST_GROUPS} exposures; two are as good where the "
        f'whole interval lies within {MARGIN} of 0; everything else is "no difference measured", '
        f"which does not say that there is none. A bin of contrast needs {BIN_IMAGES} images to be "
        "spoken of, and, like the advice, takes in sets with exposures enough for an interval of "
        "their own: the spread of a set of three would be taken for that of all. Many differences "
        "are looked at, and one in twenty will be told by chance.",
        "",
        "| series | networks |",
        "|---|---|",
        *(
            f"| {series.words} | "
            + ", ".join(f"{_px(name_of(s))} ({s.parameters:,})" for s in series.specs)
            + " |"
            for series in SERIES
        ),
        "",
        "Simulated images are those of `sample_data/simulate.py`, seed 7: 64 at high resolution "
        "and 24 at low magnification, two exposures of a specimen each. Graphene's pixel "
        "size is taken from its lattice. Strokes are drawn by a seeded hand inside the true "
        f"regions, {', '.join(map(str, STROKES))} in all, eight on an image as long as there are "
        "images enough.",
    ]


def _limits(found: Found) -> list[str]:
    hours = found.pieces["cpu_seconds"].sum() / 3600
    few = [
        name
        for name in KINDS
        if found.images[found.images["set"] == name]["group"].nunique() < FEWEST_GROUPS
    ]
    lines = [
        "## What these results do not show",
        "",
        "The paper's own schedule (`--preset sytwu2022`: 100 epochs of batches of 32 crops of 512 "
        "px) wants a GPU and was not run; nor are there images of gold recorded at high "
        f"resolution. What is here took {hours:.1f} core hours.",
    ]
    if few:
        lines += [
            "",
            f"Too few exposures for any interval to be believed: {', '.join(few)}.",
        ]
    return lines


def markdown(table: pd.DataFrame) -> list[str]:
    """Return a table as lines of Markdown; scores have three decimals, counts none."""
    rows = table.copy()
    names = [
        " ".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in rows.index
    ]
    lines = [
        "| | " + " | ".join(map(str, rows.columns)) + " |",
        "|---" * (len(rows.columns) + 1) + "|",
    ]
    cells = [_column(rows[column]) for column in rows.columns]
    for name, *values in zip(names, *cells, strict=True):
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    return lines


def _column(values: pd.Series) -> list[str]:
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all() and (numbers == numbers.round()).all():
        return [f"{number:,.0f}" for number in numbers]
    return [_cell(value) for value in values]


def _cell(value: object) -> str:
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    if not np.isfinite(number):
        return ""
    if number == round(number) and abs(number) > 1:
        return f"{number:,.0f}"
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"
