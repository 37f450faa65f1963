"""The questions, and what the results say to each: differences with intervals, and sentences.

Every sentence follows from its own figures. A difference is told where its interval leaves out 0;
two are as good where the whole interval lies within `MARGIN`; anything else is "no difference
measured".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from study.effects import FEWEST_GROUPS, NOTHING, Effect, effect, rank_correlation
from study.networks import COMPARED, KEY, PUBLISHED_SPEC, SPECS, STARTED, name_of, specs_of
from study.pieces import SCALES, STROKES, round_of
from study.sets import KINDS, SPLITS
from study.tables import Found

MARGIN = 0.02
"""A difference of Dice that hardly matters: hand-drawn borders differ by more."""
CONTRAST_EDGES = (0.0, 0.25, 0.5, 1.0, 2.0, np.inf)
BIN_IMAGES = 10
"""A bin of contrast with fewer images is shown and not spoken of."""

LARGE, SMALL = name_of(STARTED), name_of(KEY[1])
BASE = {"strokes": 0, "start": "nothing", "scale": 1.0}


@dataclass(frozen=True, slots=True)
class Row:
    """A comparison of two in one place.

    Attributes
    ----------
    where : str
        Set, or bin of contrast.
    what : str
        What less what.
    effect : Effect
    """

    where: str
    what: str
    effect: Effect


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """An answer.

    Attributes
    ----------
    name : str
        For files.
    question : str
    sentences : tuple of str
        For a microscopist.
    rows : tuple of Row
    table : DataFrame
        Figures to show; may be empty.
    """

    name: str
    question: str
    sentences: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    table: pd.DataFrame = None  # type: ignore[assignment]


def chosen(images: pd.DataFrame, **what: Any) -> pd.DataFrame:
    """Return the rows of a method, with masks, from nothing, at the set's own pixels by default."""
    here = np.ones(len(images), bool)
    for column, value in {**BASE, **what}.items():
        here &= (images[column] == value).to_numpy()
    return images[here]


def scored_by_all(images: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    """Return the base rows of images that all of the methods scored that there are at all.

    A mean over other images of each method would compare the images.
    """
    here = chosen(images)
    here = here[here["method"].isin(list(methods))]
    wanted = here["method"].nunique()
    known = here.groupby(["set", "split", "seed", "image"])["method"].transform("nunique")
    return here[known == wanted]


def paired(
    images: pd.DataFrame, one: dict[str, Any], other: dict[str, Any], score: str = "dice"
) -> pd.DataFrame:
    """Return the images that both scored with the same split and seed, and their difference."""
    keys = ["set", "split", "seed", "image", "group"]
    first = chosen(images, **one)[[*keys, "contrast", score]]
    second = chosen(images, **other)[[*keys, score]]
    both = first.merge(second, on=keys, suffixes=("_one", "_other")).dropna(
        subset=[f"{score}_one", f"{score}_other"]
    )
    return both.assign(difference=both[f"{score}_one"] - both[f"{score}_other"])


def effect_of(pairs: pd.DataFrame) -> Effect:
    """Return the effect of paired images, exposures and trainings told apart by their set."""
    if pairs.empty:
        return NOTHING
    groups = (pairs["set"] + "/" + pairs["group"].astype(str)).tolist()
    trainings = pairs["set"] + "/" + pairs["split"].astype(str) + "/" + pairs["seed"].astype(str)
    return effect(pairs["difference"].to_numpy(), groups, trainings.tolist())


def spoken_of(images: pd.DataFrame) -> list[str]:
    """Return the sets with exposures enough for an interval."""
    exposures = images.groupby("set")["group"].nunique()
    return [name for name in KINDS if exposures.get(name, 0) >= FEWEST_GROUPS]


def to_pool(images: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of sets with exposures enough for an interval.

    The spread of a set of three exposures would be taken for that of all.
    """
    return images[images["set"].isin(spoken_of(images))]


def by_set(
    images: pd.DataFrame,
    one: dict[str, Any],
    other: dict[str, Any],
    what: str,
    score: str = "dice",
) -> list[Row]:
    """Return a comparison in every set that has it."""
    pairs = paired(images, one, other, score)
    rows = [Row(name, what, effect_of(pairs[pairs["set"] == name])) for name in KINDS]
    return [row for row in rows if row.effect.images]


Verdict = Literal["gains", "loses", "as good", "not told"]


def verdict(found: Effect, margin: float = MARGIN) -> Verdict:
    """Return what a difference says."""
    if found.within(margin):
        return "as good"
    if found.is_told:
        return "gains" if found.mean > 0 else "loses"
    return "not told"


def summed_up(rows: Sequence[Row], gains: str, loses: str) -> tuple[str, ...]:
    """Return what comparisons say, those that say the same together; a sentence for each.

    Parameters
    ----------
    rows : sequence of Row
    gains, loses : str
        What a told difference above and below 0 means, as the beginning of a sentence.
    """
    said: dict[Verdict, list[str]] = {"gains": [], "loses": [], "as good": [], "not told": []}
    for row in rows:
        if row.effect.images:
            told = verdict(row.effect)
            figures = f" by {row.effect.words}" if told in ("gains", "loses") else ""
            said[told].append(f"{row.where}, {row.what}{figures}")
    heads = {
        "gains": gains,
        "loses": loses,
        "as good": f"No difference that matters (all of the interval within {MARGIN})",
        "not told": "No difference measured",
    }
    return tuple(f"{heads[told]}: {'; '.join(listed)}" for told, listed in said.items() if listed)


def field_name(method: str) -> str:
    """Return a network in words: its field, and its dilation where it has one."""
    if method not in SPECS:
        return {"forest": "random forest", "fourier": "Fourier filter"}[method]
    spec: NetworkSpec = SPECS[method]
    words = f"{nominal_receptive_field(spec)} px"
    return words if spec.dilations[0] == 1 else f"{words} by dilation {spec.dilations[0]}"


def means(images: pd.DataFrame, methods: Iterable[str], score: str = "dice") -> pd.DataFrame:
    """Return the mean score of methods (rows) in sets (columns), from masks and nothing."""
    here = chosen(images)
    table = {}
    for method in methods:
        own = here[here["method"] == method]
        if len(own):
            table[field_name(method)] = own.groupby("set")[score].mean()
    columns = [name for name in KINDS if name in set(here["set"])]
    return pd.DataFrame(table).T.reindex(columns=columns)


# questions


def does_the_field_matter(found: Found) -> Answer:
    """Ask whether the field matters, in each set."""
    rows: list[Row] = []
    for less, more in pairwise(map(name_of, KEY)):
        what = f"{field_name(more)} against {field_name(less)}"
        rows += by_set(found.images, {"method": more}, {"method": less}, what)
    sentences = summed_up(rows, "The larger field gains", "The larger field loses")
    table = means(found.images, ["fourier", "forest", *map(name_of, KEY)])
    return Answer("field", "Does the receptive field matter?", sentences, tuple(rows), table)


def by_contrast(found: Found) -> Answer:
    """Ask whether the field matters, in bins of the measured contrast of the scored images."""
    rows, table = [], {}
    images = to_pool(found.images)
    shown = scored_by_all(images, COMPARED)
    bins = list(pairwise(CONTRAST_EDGES))
    for low, high in bins:
        name = f"{low:g} to {high:g} sigma" if np.isfinite(high) else f"{low:g} sigma and more"
        contrast = images["contrast"]
        inside = images[(contrast >= low) & (contrast < high)]
        base = shown[(shown["contrast"] >= low) & (shown["contrast"] < high)]
        table[name] = {
            "images": base["image"].nunique(),
            **{
                field_name(method): base[base["method"] == method]["dice"].mean()
                for method in COMPARED
            },
        }
        for less, more in pairwise(map(name_of, KEY)):
            pairs = paired(inside, {"method": more}, {"method": less})
            what = f"{field_name(more)} against {field_name(less)}"
            rows.append(Row(name, what, effect_of(pairs)))
    spoken = [row for row in rows if row.effect.images and table[row.where]["images"] >= BIN_IMAGES]
    sentences = [*summed_up(spoken, "The larger field gains", "The larger field loses")]
    few = [name for name in table if 0 < table[name]["images"] < BIN_IMAGES]
    if few:
        sentences.append(f"Too few images to speak of (below {BIN_IMAGES}): {', '.join(few)}")
    return Answer(
        "contrast",
        "Does it matter most where amplitude contrast is lowest?",
        tuple(sentences),
        tuple(rows),
        pd.DataFrame(table).T,
    )


def does_complexity_matter(found: Found) -> Answer:
    """Ask for more parameters at one field, and for more levels."""
    one_field = specs_of("levels at one field")
    rows: list[Row] = []
    for less, more in pairwise(map(name_of, one_field)):
        what = f"{SPECS[more].parameters:,} parameters against {SPECS[less].parameters:,}"
        rows += by_set(found.images, {"method": more}, {"method": less}, what)
    sentences = summed_up(
        rows, "At one field more parameters gain", "At one field more parameters lose"
    )
    methods = [*map(name_of, one_field)]
    table = means(scored_by_all(found.images, methods), methods)
    levels: list[Row] = []
    for less, more in pairwise(specs_of("levels")):
        what = (
            f"{len(more.pools)} levels against {len(less.pools)} ({field_name(name_of(more))}, "
            f"{more.parameters:,} parameters)"
        )
        levels += by_set(found.images, {"method": name_of(more)}, {"method": name_of(less)}, what)
    sentences += summed_up(levels, "A level more gains", "A level more loses")
    return Answer("complexity", "Does complexity matter?", sentences, (*rows, *levels), table)


def dilation_or_pools(found: Found) -> Answer:
    """Ask for dilation against pools at nearly the same field and the same parameters."""
    rows: list[Row] = []
    for dilated, pooled in (
        (NetworkSpec((2, 2), (2, 2, 2)), NetworkSpec((4, 2))),
        (NetworkSpec((2, 2), (4, 4, 4)), NetworkSpec((8, 2))),
    ):
        one, other = name_of(dilated), name_of(pooled)
        what = f"{field_name(one)} against {field_name(other)} by pools"
        rows += by_set(found.images, {"method": one}, {"method": other}, what)
    sentences = summed_up(rows, "Dilation gains", "Dilation loses")
    return Answer("dilation", "Dilation or pools, at the same field?", sentences, tuple(rows))


FEWEST_RANKED = 6
"""Of fewer networks a rank correlation says nothing."""


def ranks_better(effective: float, nominal: float) -> Literal["effective", "nominal", ""]:
    """Return the field whose rank correlation with Dice is clearly stronger, if one is."""
    better = abs(effective) - abs(nominal)
    return "" if abs(better) < 0.1 else "effective" if better > 0 else "nominal"


def nominal_or_effective(found: Found) -> Answer:
    """Ask which field ranks the networks better, and how much of the nominal one is used."""
    pieces = found.pieces
    base = pieces[
        (pieces["strokes"] == 0) & (pieces["scale"] == 1) & (pieces["start"] == "nothing")
    ].dropna(subset=["w95_px"])
    table, sentences = {}, []
    for name in KINDS:
        here = base[base["set"] == name]
        if here.empty:
            continue
        # of about the same complexity, so that the field alone is asked for
        alike = here[[6900 < SPECS[method].parameters < 8200 for method in here["method"]]]
        # of images that all of them scored: a mean over other splits would compare the images
        common = scored_by_all(found.images[found.images["set"] == name], set(alike["method"]))
        if common.empty:
            continue
        alike = alike.merge(common[["split", "seed"]].drop_duplicates())
        per = alike.groupby("method")[["nominal_px", "w50_px", "w95_px"]].mean()
        scores = common.groupby("method")["dice"].mean().reindex(per.index).tolist()
        ratio = (here["w95_px"] / here["nominal_px"]).astype(float)
        table[name] = {
            "networks": len(per),
            "trainings of each": len(common[["split", "seed"]].drop_duplicates()),
            "nominal": rank_correlation(per["nominal_px"].tolist(), scores),
            "w95": rank_correlation(per["w95_px"].tolist(), scores),
            "w50": rank_correlation(per["w50_px"].tolist(), scores),
            "w95 of nominal, least": ratio.min(),
            "mean": ratio.mean(),
            "most": ratio.max(),
        }
        if len(per) >= FEWEST_RANKED:
            row = table[name]
            better = ranks_better(row["w95"], row["nominal"])
            how = f"the {better} field ranks them better" if better else "the two rank them alike"
            sentences.append(
                f"{name}: {how} (rank correlation with Dice {row['w95']:.2f} for w95, "
                f"{row['nominal']:.2f} for the nominal field, {len(per)} networks)"
            )
    if not sentences:
        sentences = [
            "Too few networks of one complexity are trained yet to rank them by either field"
        ]
    return Answer(
        "effective",
        "Does the effective field foresee the score better than the nominal one?",
        tuple(sentences),
        (),
        pd.DataFrame(table).T,
    )


WAYS = {
    "120 px from simulated scenes": {"method": LARGE, "start": "simulated"},
    "120 px from nothing": {"method": LARGE},
    "44 px from nothing": {"method": SMALL},
    "200 px from a published network": {"method": name_of(PUBLISHED_SPEC), "start": "published"},
    "200 px from nothing": {"method": name_of(PUBLISHED_SPEC)},
}


FIRST_ROUNDS = [round_of(number) for number in range(SPLITS)]
"""The rounds that take each split once."""


def by_amount(images: pd.DataFrame, what: dict[str, Any], strokes: int) -> pd.Series:
    """Return the mean Dice of a way to learn in the sets where it was scored with every split.

    A mean over other splits or rounds would compare the images.
    """
    here = chosen(images, **what, strokes=strokes)
    here = here[pd.MultiIndex.from_frame(here[["split", "seed"]]).isin(FIRST_ROUNDS)]
    per = here.groupby("set")
    return per["dice"].mean()[per["split"].nunique() == SPLITS]


def labels_in_words(strokes: int) -> str:
    """Return how much is annotated, in words."""
    return f"{strokes} strokes" if strokes else "all masks"


def few_labels(found: Found) -> Answer:
    """Ask from how many labels on networks pass the forest."""
    rows, table = [], {}
    for strokes in (*STROKES, 0):
        forest = {"method": "forest", "strokes": strokes}
        for way, what in WAYS.items():
            rows += by_set(
                found.images,
                {**what, "strokes": strokes},
                forest,
                f"{way} against the forest, {labels_in_words(strokes)}",
            )
        for way, what in {**WAYS, "random forest": {"method": "forest"}}.items():
            own = by_amount(found.images, what, strokes)
            if len(own):
                table[(labels_in_words(strokes), way)] = own
    sentences = [*_passes(rows)]
    frame = pd.DataFrame(table).T.reindex(columns=list(KINDS)) if table else pd.DataFrame()
    return Answer(
        "labels",
        "Few labels or many: where do networks pass the forest?",
        tuple(sentences),
        tuple(rows),
        frame.dropna(axis=1, how="all"),
    )


def _passes(rows: Sequence[Row]) -> Iterator[str]:
    """Say of each set from how many labels on some network passes the forest."""
    for name in KINDS:
        here = [row for row in rows if row.where == name]
        said: dict[Verdict, list[str]] = {"gains": [], "loses": [], "as good": [], "not told": []}
        for strokes in (*STROKES, 0):
            amount = labels_in_words(strokes)
            ways = [row for row in here if row.what.endswith(f", {amount}")]
            if not ways:
                continue
            best = max(ways, key=lambda row: row.effect.mean)
            way = best.what.partition(" against ")[0]
            said[verdict(best.effect)].append(f"from {amount} ({way}, {best.effect.words})")
        heads = {
            "gains": "a network passes the forest",
            "loses": "the forest is ahead of all networks",
            "as good": "the best network is as good as the forest",
            "not told": "no difference is measured between the best network and the forest",
        }
        parts = [f"{heads[told]} {', '.join(listed)}" for told, listed in said.items() if listed]
        if parts:
            yield f"{name}: {'; '.join(parts)}"


def particle_scores(found: Found) -> Answer:
    """Ask what the field brings by particles, in masks finished as the program finishes them."""
    masks = found.finished if len(found.finished) else found.images.iloc[:0]
    rows: list[Row] = []
    for less, more in pairwise(map(name_of, KEY)):
        what = f"object F1: {field_name(more)} against {field_name(less)}"
        rows += by_set(masks, {"method": more}, {"method": less}, what, "object_f1")
    sentences = summed_up(rows, "The larger field gains", "The larger field loses")
    against = [
        row
        for score, words in (("object_f1", "object F1"), ("panoptic_quality", "panoptic quality"))
        for row in by_set(
            masks,
            {"method": LARGE},
            {"method": "forest"},
            f"{words}: 120 px against the forest",
            score,
        )
    ]
    sentences += summed_up(against, "The network is ahead", "The forest is ahead")
    here = chosen(masks)
    table = {}
    for name in KINDS:
        for method in COMPARED:
            own = here[(here["set"] == name) & (here["method"] == method)]
            if own.empty:
                continue
            as_decided = before_finishing(found, own)
            table[(name, field_name(method))] = {
                "Dice, as decided": as_decided["dice"].mean(),
                "Dice": own["dice"].mean(),
                "object F1, as decided": as_decided["object_f1"].mean(),
                "object F1": own["object_f1"].mean(),
                "panoptic quality": own["panoptic_quality"].mean(),
                "count error (%), median": own["count_error_percent"].median(),
                "diameter bias (%), median": own["diameter_bias_percent"].median(),
            }
    return Answer(
        "particles",
        "What does the field bring, counted by particles?",
        sentences,
        (*rows, *against),
        pd.DataFrame(table).T,
    )


def before_finishing(found: Found, finished: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of the masks that were finished as they were before, in their order."""
    keys = ["set", "method", "split", "seed", "image"]
    return finished[keys].merge(chosen(found.images), on=keys)


def at_all_scales(images: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of trainings that were done at every size of a pixel.

    A mean over other splits of one size would compare the images.
    """
    here = images[(images["strokes"] == 0) & (images["start"] == "nothing")]
    training = here.groupby(["set", "method", "split", "seed"])["scale"]
    return here[training.transform("nunique") == len({*SCALES, 1.0})]


def pixel_sizes(found: Found) -> Answer:
    """Ask how the answer moves with the size of a pixel."""
    rows: list[Row] = []
    methods = ("forest", *map(name_of, KEY[1:]))
    for scale in SCALES:
        for method in methods:
            rows += by_set(
                found.images,
                {"method": method, "scale": scale},
                {"method": method},
                f"{field_name(method)}: pixels {scale:g} times as large against the set's own",
            )
    table = {}
    everywhere = at_all_scales(found.images)
    for scale in (SCALES[0], 1.0, *SCALES[1:]):
        for method in methods:
            own = chosen(everywhere, method=method, scale=scale)
            if len(own):
                table[(f"pixels times {scale:g}", field_name(method))] = own.groupby("set")[
                    "dice"
                ].mean()
    sentences = summed_up(rows, "Other pixels gain", "Other pixels lose")
    return Answer(
        "pixels",
        "How does the answer move with the size of a pixel?",
        sentences,
        tuple(rows),
        pd.DataFrame(table).T if table else pd.DataFrame(),
    )


def starts(found: Found) -> Answer:
    """Ask what a start from weights gives beside a start from nothing."""
    rows: list[Row] = []
    for strokes in (*STROKES, 0):
        for start, method in (("simulated", LARGE), ("published", name_of(PUBLISHED_SPEC))):
            rows += by_set(
                found.images,
                {"method": method, "start": start, "strokes": strokes},
                {"method": method, "strokes": strokes},
                f"start from {start} weights against none, {field_name(method)}, "
                f"{labels_in_words(strokes)}",
            )
    sentences = summed_up(rows, "The start gains", "The start loses")
    return Answer("starts", "What is a start from trained weights worth?", sentences, tuple(rows))


def published_networks(found: Found) -> Answer:
    """Ask what published networks see, and score without a stroke."""
    if found.published.empty:
        return Answer("published", "What do published networks see and score?", ())
    table = {}
    for (name, way), own in found.published.groupby(["set", "way"], sort=False):
        per = own.groupby("network")["dice"].mean()
        other = own.groupby("network")["dice_the_other_way"].mean()
        table[(name, way.replace("_", " "))] = {
            "networks": len(per),
            "images": own["image"].nunique(),
            "Dice, mean": per.mean(),
            "worst network": per.min(),
            "best network": per.max(),
            "Dice with the classes exchanged, mean": other.mean(),
        }
    sentences = []
    if not found.fields.empty:
        ratio = found.fields["w95_px"] / found.fields["nominal_px"]
        half = found.fields["w50_px"] / found.fields["nominal_px"]
        raw = found.fields["untrained_w95_px"] / found.fields["nominal_px"]
        inside = int(((ratio >= 0.7) & (ratio <= 0.9)).sum())
        sentences.append(
            f"{len(ratio)} published networks of {found.fields['nominal_px'].iloc[0]:.0f} px use "
            f"{ratio.min():.2f} to {ratio.max():.2f} of the nominal field (w95; mean "
            f"{ratio.mean():.2f}), {inside} of them 0.7 to 0.9 as the paper reports; half of the "
            f"influence lies within {half.mean():.2f} of it (w50). The same network with random "
            f"weights: {raw.mean():.2f}"
        )
    for (name, way), row in table.items():
        sentences.append(
            f"{name}, {'at its own pixels' if way == 'as is' else 'resampled to theirs'}: Dice "
            f"{row['Dice, mean']:.2f} without a stroke ({row['worst network']:.2f} to "
            f"{row['best network']:.2f})"
        )
    return Answer(
        "published",
        "What do published networks see, and what do they score without a stroke?",
        tuple(sentences),
        (),
        pd.DataFrame(table).T,
    )


def seen_by(megapixels: float) -> str:
    """Return the heading of what was seen by then."""
    return f"{megapixels:g} Mpx"


def was_it_long_enough(found: Found) -> Answer:
    """Ask whether a training was too short rather than its network worse."""
    if found.curves.empty:
        return Answer("schedule", "Was the training long enough?", ())
    curves = found.curves[
        (found.curves["strokes"] == 0)
        & (found.curves["scale"] == 1)
        & (found.curves["start"] == "nothing")
    ]
    key = [*map(name_of, KEY)]
    table = {}
    for name in KINDS:
        for method in key:
            own = curves[(curves["set"] == name) & (curves["method"] == method)]
            if own.empty:
                continue
            # one that is over stays where it ended
            last = own.groupby(["split", "seed"])[["megapixels", "held_out_dice"]].last()
            shown = {}
            for megapixels in sorted(set(curves["megapixels"])):
                at = own[own["megapixels"] == megapixels].set_index(["split", "seed"])
                values = at["held_out_dice"].reindex(last.index)
                shown[seen_by(megapixels)] = values.fillna(last["held_out_dice"]).mean()
            pieces = _base_pieces(found, name, method)
            shown["ended by the ceiling"] = (
                f"{(pieces['ended_by'] == 'ceiling').sum()} of {len(pieces)}"
            )
            table[(name, field_name(method))] = shown
    trained = found.pieces.dropna(subset=["steps"])
    masks = trained[trained["strokes"] == 0]
    sentences = (
        f"{len(masks)} trainings on masks took {masks['steps'].median():.0f} steps in the median "
        f"({masks['steps'].min():.0f} to {masks['steps'].max():.0f}), "
        f"{masks['megapixels'].median():.0f} megapixels; "
        f"{(masks['ended_by'] == 'ceiling').sum()} were ended by the ceiling",
    )
    return Answer("schedule", "Was the training long enough?", sentences, (), pd.DataFrame(table).T)


def _base_pieces(found: Found, name: str, method: str) -> pd.DataFrame:
    pieces = found.pieces
    return pieces[
        (pieces["set"] == name)
        & (pieces["method"] == method)
        & (pieces["strokes"] == 0)
        & (pieces["scale"] == 1)
        & (pieces["start"] == "nothing")
    ]


QUESTIONS = (
    does_the_field_matter,
    by_contrast,
    does_complexity_matter,
    dilation_or_pools,
    nominal_or_effective,
    few_labels,
    particle_scores,
    pixel_sizes,
    starts,
    published_networks,
    was_it_long_enough,
)


def answers(found: Found) -> list[Answer]:
    """Return the answers to all questions."""
    return [ask(found) for ask in QUESTIONS]
