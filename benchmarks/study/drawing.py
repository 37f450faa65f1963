"""The figures of the study, as PNG and SVG, each with its data as CSV."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context

from napari_tem_rf.figures import new_figure
from napari_tem_rf.figures.theme import LIGHT, dress
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.storage import write_aside, write_text
from study.answers import (
    CONTRAST_EDGES,
    MARGIN,
    WAYS,
    Answer,
    at_all_scales,
    by_amount,
    chosen,
    labels_in_words,
    scored_by_all,
    to_pool,
)
from study.networks import BASELINES, COMPARED, KEY, SPECS, name_of
from study.pieces import SCALES, STROKES
from study.sets import KINDS
from study.tables import Found

Drawn = tuple[Any, str]
"""A figure and its caption."""

SHADES = dict(zip(KINDS, LIGHT.colors, strict=False))


def draw(found: Found, answers: list[Answer], folder: Path) -> dict[str, str]:
    """Draw what there is to draw, and return the captions by the answers' names."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    for answer in answers:
        write_rows(answer, folder / f"{answer.name}.csv")
        ask = FIGURES.get(answer.name)
        drawn = ask(found) if ask is not None else _differences(answer)
        if drawn is None:
            continue
        figure, caption = drawn
        for ending in (".png", ".svg"):
            with write_aside(folder / f"{answer.name}{ending}") as aside:
                # no date and no random names in the file: the same data make the same figure
                metadata = {"Date": None} if ending == ".svg" else None
                with rc_context({"svg.hashsalt": answer.name}):
                    figure.savefig(aside, dpi=130, metadata=metadata)
        captions[answer.name] = caption
    return captions


def write_rows(answer: Answer, path: Path) -> None:
    """Write an answer's differences as CSV."""
    rows = [
        {
            "where": row.where,
            "what": row.what,
            "mean": row.effect.mean,
            "low": row.effect.low,
            "high": row.effect.high,
            "effect_size": row.effect.size,
            "exposures": row.effect.groups,
            "trainings": row.effect.trainings,
            "images": row.effect.images,
        }
        for row in answer.rows
    ]
    if rows:
        text = pd.DataFrame(rows).to_csv(index=False, float_format="%.5g")
        write_text(path, text)
    elif answer.table is not None and len(answer.table):
        write_text(path, answer.table.to_csv(float_format="%.5g"))


def _sets(images: pd.DataFrame) -> list[str]:
    return [name for name in KINDS if name in set(images["set"])]


def _fields(found: Found) -> Drawn | None:
    """Draw Dice against the nominal field, one panel a set, each training a point."""
    here = chosen(found.images)
    names = _sets(here)
    if not names:
        return None
    figure = new_figure(2.05 * len(names) + 0.6, 2.7)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    alike = {name_of(spec): nominal_receptive_field(spec) for spec in KEY}
    for panel, name in zip(panels, names, strict=True):
        own = here[here["set"] == name]
        per = own.groupby(["method", "split", "seed"])["dice"].mean().reset_index()
        nets = per[per["method"].isin(alike)]
        nets = nets.assign(field=nets["method"].map(alike))
        panel.plot(nets["field"], nets["dice"], "o", ms=3, alpha=0.5, color=SHADES[name])
        mean = nets.groupby("field")["dice"].mean()
        panel.plot(mean.index, mean, "-", color=SHADES[name], lw=1.2)
        forest, fourier = (per[per["method"] == each]["dice"].mean() for each in BASELINES)
        # a filter that fails would press all else into a line
        shown = [*nets["dice"], *([forest] if np.isfinite(forest) else [])]
        low, high = min(shown, default=0.0), max(shown, default=1.0)
        margin = max(0.1 * (high - low), 0.005)
        panel.set_ylim(low - margin, high + margin)
        panel.axhline(forest, ls="--", color="#555555", lw=1)
        if fourier > low - margin:
            panel.axhline(fourier, ls=":", color="#555555", lw=1)
        elif np.isfinite(fourier):
            panel.text(0.03, 0.03, f"Fourier filter {fourier:.2f}", transform=panel.transAxes,
                       fontsize=6.5, color="#555555")  # fmt: skip
        dress(panel, LIGHT)
        panel.set_xscale("log")
        panel.set_xlim(14, 500)
        panel.set_xticks([20, 50, 100, 200, 400], ["20", "50", "100", "200", "400"])
        panel.minorticks_off()
        panel.set_title(name, fontsize=8)
        panel.set_xlabel("field (px)")
    panels[0].set_ylabel("Dice")
    return figure, (
        "Dice against the nominal field, networks of about 8,000 parameters. A point is a training "
        "(its scored images' mean), the line their mean; dashed: random forest, dotted or in "
        "words: Fourier filter. Scales differ."
    )


def _contrast(found: Found) -> Drawn | None:
    """Draw Dice in bins of contrast, one line a method."""
    here = scored_by_all(to_pool(found.images), COMPARED).dropna(subset=["contrast"])
    if here.empty:
        return None
    figure = new_figure(4.6, 2.9)
    panel = figure.subplots()
    bins = pd.cut(here["contrast"], CONTRAST_EDGES, right=False)
    shown = [each for each in bins.cat.categories if (bins == each).any()]
    methods = [*map(name_of, KEY), "forest"]
    for method, color in zip(methods, (*LIGHT.colors[:4], "#555555"), strict=True):
        own = here[here["method"] == method]
        if own.empty:
            continue
        per = own.groupby(bins[own.index], observed=True)["dice"].mean().reindex(shown)
        label = (
            "random forest"
            if method == "forest"
            else (f"{nominal_receptive_field(SPECS[method])} px")
        )
        panel.plot(range(len(shown)), per, "--s" if method == "forest" else "-o", ms=3,
                   color=color, label=label)  # fmt: skip
    dress(panel, LIGHT)
    names = [
        f"{each.left:g} to {each.right:g}" if np.isfinite(each.right) else f"{each.left:g} and more"
        for each in shown
    ]
    counts = [here[bins == each]["image"].nunique() for each in shown]
    panel.set_xticks(
        range(len(shown)),
        [f"{name}\n{number} images" for name, number in zip(names, counts, strict=True)],
    )
    panel.set(xlabel="amplitude contrast of the scored image (sigma)", ylabel="Dice")
    panel.legend(fontsize=7, frameon=False)
    return figure, (
        "Mean Dice in bins of the measured amplitude contrast, all sets with exposures enough for "
        "an interval together; images that all of the methods scored."
    )


def _labels(found: Found) -> Drawn | None:
    """Draw Dice against the number of strokes, one panel a set."""
    images = found.images
    names = _sets(images[images["strokes"] > 0])
    if not names:
        return None
    figure = new_figure(2.05 * len(names) + 0.6, 3.1)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    amounts = (*STROKES, 0)
    ways = {**WAYS, "random forest": {"method": "forest"}}
    scores = {way: [by_amount(images, what, n) for n in amounts] for way, what in ways.items()}
    for panel, name in zip(panels, names, strict=True):
        for way, color in zip(ways, (*LIGHT.colors[:5], "#555555"), strict=True):
            dice = [of_sets.get(name, np.nan) for of_sets in scores[way]]
            if not np.isfinite(dice).any():
                continue
            style = "--s" if way == "random forest" else "-o"
            panel.plot(range(len(amounts)), dice, style, ms=3, color=color, label=way, lw=1.1)
        dress(panel, LIGHT)
        panel.set_xticks(range(len(amounts)), [*(str(n) for n in STROKES), "all"])
        panel.set_title(name, fontsize=8)
        panel.set_xlabel("strokes")
    panels[0].set_ylabel("Dice")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, frameon=False, ncols=3, loc="outside lower center")
    return figure, (
        "Dice of scored images against how much was annotated: strokes in all, half of them on "
        f"particles, or {labels_in_words(0)}. Ways that learned from every split, once each."
    )


def _widths(found: Found) -> Drawn | None:
    """Draw the width that holds 95 % of the effective field against the nominal one."""
    pieces = found.pieces.dropna(subset=["w95_px"])
    if pieces.empty and found.fields.empty:
        return None
    figure = new_figure(4.6, 3.4)
    panel = figure.subplots()
    masks = pieces[(pieces["strokes"] == 0) & (pieces["scale"] == 1)]
    for place, name in enumerate(_sets(masks) if len(masks) else []):
        own = masks[masks["set"] == name]
        # side by side, for many have the same width
        beside = own["nominal_px"] * 1.03 ** (place - 2)
        panel.plot(beside, own["w95_px"] / own["nominal_px"], "o", ms=3, alpha=0.6,
                   color=SHADES[name], label=name)  # fmt: skip
    if not found.fields.empty:
        fields = found.fields
        beside = fields["nominal_px"] * 1.03**3
        panel.plot(beside, fields["w95_px"] / fields["nominal_px"], "^", ms=4,
                   color="#000000", label="published networks")  # fmt: skip
    panel.axhspan(0.7, 0.9, color="#bbbbbb", alpha=0.35, lw=0)
    dress(panel, LIGHT)
    panel.set_xscale("log")
    panel.set_xticks([20, 50, 100, 200, 400], ["20", "50", "100", "200", "400"])
    panel.minorticks_off()
    panel.set(xlabel="nominal field (px)", ylabel="w95 / nominal field")
    figure.legend(fontsize=7, frameon=False, ncols=3, loc="outside lower center")
    return figure, (
        "The part of the nominal field that holds 95 % of the influence (w95), each training a "
        "point, those of a set side by side; grey: what the paper reports."
    )


def _pixels(found: Found) -> Drawn | None:
    images = at_all_scales(found.images)
    names = _sets(images)
    if not names:
        return None
    figure = new_figure(2.05 * len(names) + 0.6, 2.8)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    scales = sorted({*SCALES, 1.0})
    methods = [*map(name_of, KEY[1:]), "forest"]
    for panel, name in zip(panels, names, strict=True):
        for method, color in zip(methods, (*LIGHT.colors[1:4], "#555555"), strict=True):
            dice = [
                chosen(images, method=method, scale=scale, set=name)["dice"].mean()
                for scale in scales
            ]
            label = (
                "random forest"
                if method in BASELINES
                else f"{nominal_receptive_field(SPECS[method])} px"
            )
            panel.plot(range(len(scales)), dice, "-o", ms=3, color=color, label=label)
        dress(panel, LIGHT)
        panel.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
        panel.set_title(name, fontsize=8)
        panel.set_xlabel("side of a pixel")
    panels[0].set_ylabel("Dice")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, frameon=False, ncols=4, loc="outside lower center")
    return figure, "Dice at other sizes of a pixel; 1 is that of the files."


def _differences(answer: Answer) -> Drawn | None:
    """Draw an answer's differences with their intervals, what is compared one below the other."""
    rows = [row for row in answer.rows if row.effect.groups > 1]
    if not rows:
        return None
    compared = list(dict.fromkeys(row.what for row in rows))
    names = [name for name in KINDS if any(row.where == name for row in rows)]
    step = 1 / (len(names) + 1)
    figure = new_figure(6.4, 0.9 + 0.11 * len(compared) * (len(names) + 1))
    panel = figure.subplots()
    panel.axvspan(-MARGIN, MARGIN, color="#bbbbbb", alpha=0.35, lw=0)
    panel.axvline(0, color="#555555", lw=0.8)
    for place, name in enumerate(names):
        own = [row for row in rows if row.where == name]
        heights = [compared.index(row.what) + (place + 1) * step - 0.5 for row in own]
        means = np.array([row.effect.mean for row in own])
        ends = np.array([[row.effect.low, row.effect.high] for row in own]).T
        panel.errorbar(means, heights, xerr=np.abs(ends - means), fmt="o", ms=3, lw=1,
                       color=SHADES[name], label=name)  # fmt: skip
    dress(panel, LIGHT)
    panel.set_yticks(range(len(compared)), compared)
    panel.set_ylim(len(compared) - 0.5, -0.5)
    panel.set_xlabel("difference")
    figure.legend(fontsize=7, frameon=False, ncols=5, loc="outside lower center")
    return figure, (
        f"Differences with the interval of 95 %; grey: within {MARGIN} of none. What is compared "
        "stands on the left, the first less the second."
    )


def _published(found: Found) -> Drawn | None:
    """Draw the Dice of published networks, each a point, by set and size of pixels."""
    if found.published.empty:
        return None
    per = found.published.groupby(["set", "way", "network"])["dice"].mean().reset_index()
    names = _sets(per)
    figure = new_figure(5.2, 2.7)
    panel = figure.subplots()
    ways = (("as_is", "o", -0.15, "at the file's pixels"), ("resampled", "s", 0.15, "resampled"))
    for way, mark, aside, label in ways:
        own = per[per["way"] == way]
        places = [names.index(name) + aside for name in own["set"]]
        panel.plot(places, own["dice"], mark, ms=3.5, alpha=0.6, label=label,
                   color=LIGHT.colors[way == "resampled"])  # fmt: skip
    dress(panel, LIGHT)
    panel.set_xticks(range(len(names)), names)
    panel.set(ylabel="Dice", ylim=(0, 1))
    panel.legend(fontsize=7, frameon=False)
    return figure, (
        "Dice of published networks that nobody taught anything here, each a point; resampled: to "
        "the size of pixels that they were trained at, where it is another."
    )


def _schedule(found: Found) -> Drawn | None:
    """Draw the held-out Dice against the pixels seen."""
    if found.curves.empty:
        return None
    curves = found.curves[(found.curves["strokes"] == 0) & (found.curves["scale"] == 1)]
    names = _sets(curves)
    if not names:
        return None
    figure = new_figure(2.05 * len(names) + 0.6, 2.7)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for method, color in zip(map(name_of, KEY), LIGHT.colors, strict=False):
            own = curves[(curves["set"] == name) & (curves["method"] == method)]
            own = own[own["start"] == "nothing"]
            label = f"{nominal_receptive_field(SPECS[method])} px"
            for place, (_, one) in enumerate(own.groupby(["split", "seed"])):
                panel.plot(one["megapixels"], one["held_out_dice"], "-o", ms=2, color=color,
                           lw=1, label=label if place == 0 else None)  # fmt: skip
        dress(panel, LIGHT)
        panel.set_xscale("log")
        panel.set_xticks([10, 40, 160], ["10", "40", "160"])
        panel.minorticks_off()
        panel.set_title(name, fontsize=8)
        panel.set_xlabel("megapixels seen")
    panels[0].set_ylabel("held-out Dice")
    panels[0].legend(fontsize=7, frameon=False)
    return figure, (
        "Dice on the exposures that say when to stop, of the weights that would be kept, against "
        "the pixels seen."
    )


FIGURES = {
    "field": _fields,
    "contrast": _contrast,
    "labels": _labels,
    "effective": _widths,
    "pixels": _pixels,
    "published": _published,
    "schedule": _schedule,
}
"""Of the answers that ask for one of their own; the others have their differences drawn."""
