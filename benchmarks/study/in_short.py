"""What a microscopist takes from an answer: a sentence or two, from the same figures.

What is said to be as good was not measured to be worse; the differences themselves, with their
intervals, stand below it on the page.
"""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from study.answers import (
    FEWEST_RANKED,
    LARGE,
    SMALL,
    Answer,
    Row,
    Verdict,
    before_finishing,
    chosen,
    effect_of,
    field_name,
    labels_in_words,
    paired,
    ranks_better,
    scored_by_all,
    seen_by,
    spoken_of,
    to_pool,
    verdict,
)
from study.effects import FEWEST_GROUPS, Effect
from study.networks import KEY, SPECS, name_of, specs_of
from study.pieces import STROKES
from study.tables import MEGAPIXELS, Found

__all__ = ["in_short"]


def in_short(answer: Answer, found: Found) -> str:
    """Return the sentences for an answer; empty where it has none yet."""
    ask = SHORT.get(answer.name)
    return "" if ask is None or found.images.empty else ask(answer, found)


def _least(
    images: pd.DataFrame, methods: Sequence[str], name: str, score: str = "dice"
) -> tuple[str, list[tuple[str, Effect]]] | None:
    """Return the least of the methods from which on none is told worse than the best of all.

    Parameters
    ----------
    images : DataFrame
    methods : sequence of str
        The least first.
    name : str
        Of the set.
    score : str

    Returns
    -------
    method : str
    worse : list of (str, Effect)
        Those before it that are told worse, and what they lose against the best.
    """
    here = scored_by_all(images[images["set"] == name], methods)
    scores = here.groupby("method")[score].mean()
    there = [method for method in methods if method in scores.index]
    if len(there) < 2:
        return None
    best = max(there, key=lambda method: float(scores[method]))
    least = best
    worse: list[tuple[str, Effect]] = []
    for method in reversed(there[: there.index(best)]):
        lost = effect_of(paired(here, {"method": method}, {"method": best}, score))
        if verdict(lost) == "loses":
            worse.insert(0, (method, lost))
        elif not worse:
            least = method
    return least, worse


def _sentence(parts: Iterable[str]) -> str:
    said = "; ".join(parts)
    return said[:1].upper() + said[1:]


def _smallest(
    images: pd.DataFrame,
    methods: Sequence[str],
    called: Callable[[str], str],
    head: str,
    score: str = "dice",
) -> str:
    parts = []
    for name in spoken_of(images):
        least = _least(images, methods, name, score)
        if least is None:
            continue
        method, worse = least
        lost = ", ".join(f"{called(one)} loses {-effect.mean:.3f}" for one, effect in worse)
        parts.append(f"{name} {called(method)}" + (f" ({lost})" if lost else ""))
    return f"{head}: {'; '.join(parts)}" if parts else ""


def _field(answer: Answer, found: Found) -> str:
    return _smallest(
        found.images,
        [*map(name_of, KEY)],
        field_name,
        "The smallest field that is enough (from there on none was measured to be worse than the "
        "best)",
    )


def _complexity(answer: Answer, found: Found) -> str:
    specs = specs_of("levels at one field")
    return _smallest(
        found.images,
        [*map(name_of, specs)],
        lambda method: f"{SPECS[method].parameters:,}",
        "The fewest parameters that are enough at a field of about 120 px (from there on none were "
        "measured to be worse than the best)",
    )


def _told(rows: Iterable[Row], wanted: Verdict) -> list[Row]:
    return [row for row in rows if verdict(row.effect) == wanted]


def _dilation(answer: Answer, found: Found) -> str:
    rows = [row for row in answer.rows if row.effect.groups >= FEWEST_GROUPS]
    if not rows:
        return ""
    gains, losses = len(_told(rows, "gains")), len(_told(rows, "loses"))
    if not gains and not losses:
        return f"Either: in none of {len(rows)} comparisons is a difference told"
    # one of several is no rule
    head = "Either"
    if 2 * max(gains, losses) > len(rows):
        head = "Dilation" if gains > losses else "Pools"
    return f"{head}: of {len(rows)} comparisons dilation gains in {gains} and loses in {losses}"


def _labels(answer: Answer, found: Found) -> str:
    """Say for each amount in how many sets a network started from scenes passes the forest."""
    parts = []
    for strokes in (*STROKES, 0):
        ahead, behind, asked = [], [], 0
        for name in spoken_of(found.images):
            ways = [
                row
                for row in answer.rows
                if row.where == name and row.what.endswith(f", {labels_in_words(strokes)}")
            ]
            if not ways:
                continue
            asked += 1
            if any(verdict(row.effect) == "gains" for row in ways):
                ahead.append(name)
            elif all(verdict(row.effect) == "loses" for row in ways):
                behind.append(name)
        if asked:
            words = f"with {labels_in_words(strokes)} some network passes the forest in "
            words += f"{len(ahead)} of {asked} sets" + (f" ({', '.join(ahead)})" if ahead else "")
            if behind:
                words += f", and the forest passes all networks in {', '.join(behind)}"
            parts.append(words)
    return _sentence(parts)


def _particles(answer: Answer, found: Found) -> str:
    """Say which field is enough by particles, and what finishing the masks is worth."""
    if found.finished.empty:
        return ""
    said = _smallest(
        found.finished,
        [*map(name_of, KEY)],
        field_name,
        "By object F1, the smallest field that is enough",
        "object_f1",
    )
    lifts = []
    for name in spoken_of(found.finished):
        own = chosen(found.finished, set=name, method=LARGE)
        before = before_finishing(found, own)["object_f1"].mean()
        lifts.append(f"{name} {before:.2f} to {own['object_f1'].mean():.2f}")
    return (
        f"{said}. Finished by the program, masks of {field_name(LARGE)} gain in object F1: "
        f"{'; '.join(lifts)}"
    )


def _effective(answer: Answer, found: Found) -> str:
    """Say which field ranks the networks better, and how much of the nominal one is used."""
    table = answer.table
    if table.empty:
        return ""
    ranked = table[table["networks"] >= FEWEST_RANKED]
    better = [ranks_better(row.w95, row.nominal) for row in ranked.itertuples()]
    said = (
        f"Networks trained here use {table['w95 of nominal, least'].min():.2f} to "
        f"{table['most'].max():.2f} of their nominal field, in the mean "
        f"{table['mean'].mean():.2f}"
    )
    if better:
        said += (
            f"; in {len(better)} sets, the effective field ranks networks of one complexity better "
            f"in {better.count('effective')}, the nominal one in {better.count('nominal')}"
        )
    return said


def _schedule(answer: Answer, found: Found) -> str:
    """Say what the last part of the trainings still brought."""
    if answer.table is None or answer.table.empty:
        return ""
    before, end = map(seen_by, MEGAPIXELS[-3:-1])
    gain = (answer.table[end] - answer.table[before]).astype(float)
    name, method = gain.idxmax()
    return (
        f"From {before} to {end}, twice as much, the held-out Dice of the four key networks still "
        f"rose by {gain.mean():.3f} in the mean, at most by {gain.max():.3f} ({name}, {method}): "
        "smaller differences may be of the schedule"
    )


def _pixels(answer: Answer, found: Found) -> str:
    rows = [row for row in answer.rows if row.effect.groups >= FEWEST_GROUPS]
    if not rows:
        return ""
    gains, losses = _told(rows, "gains"), _told(rows, "loses")
    said = (
        f"Of {len(rows)} comparisons with the files' own pixels, others lose in {len(losses)} and "
        f"gain in {len(gains)}"
    )
    if gains:
        best = max(gains, key=lambda row: row.effect.mean)
        said += f", most in {best.where}, {best.what}, {best.effect.words}"
    return said


def _starts(answer: Answer, found: Found) -> str:
    parts = []
    for start in ("simulated", "published"):
        for strokes in (*STROKES, 0):
            ending = f", {labels_in_words(strokes)}"
            rows = [
                row
                for row in answer.rows
                if row.what.startswith(f"start from {start} ")
                and row.what.endswith(ending)
                and row.effect.groups >= FEWEST_GROUPS
            ]
            if rows:
                gains, losses = _told(rows, "gains"), _told(rows, "loses")
                parts.append(
                    f"from {start} weights, {labels_in_words(strokes)}: gains in {len(gains)} of "
                    f"{len(rows)} sets, loses in {len(losses)}"
                )
    return _sentence(parts)


def _contrast(answer: Answer, found: Found) -> str:
    """Say what the step from the smallest field to the usual one brings below and above."""
    small = name_of(KEY[0])
    pairs = paired(to_pool(found.images), {"method": LARGE}, {"method": small})
    parts = []
    for low, high, words in ((0.0, 0.5, "below 0.5 sigma"), (1.0, float("inf"), "from 1 sigma")):
        effect = effect_of(pairs[(pairs["contrast"] >= low) & (pairs["contrast"] < high)])
        if effect.groups >= FEWEST_GROUPS:
            parts.append(f"{words} it brings {effect.words}")
    if not parts:
        return ""
    fields = f"{field_name(small).removesuffix(' px')} to {field_name(LARGE)}"
    return f"From {fields}, all sets together: {'; '.join(parts)}"


def _published(answer: Answer, found: Found) -> str:
    per = found.published.groupby(["set", "way"])["dice"].mean() if len(found.published) else None
    if per is None:
        return ""
    parts = []
    for name in dict.fromkeys(per.index.get_level_values("set")):
        own = chosen(found.images, set=name)
        small = own[own["method"].isin([LARGE, SMALL])]["dice"].mean()
        parts.append(f"{name} {per[name].max():.2f} (a network trained there {small:.2f})")
    return (
        "Others' networks, asked without a stroke, by Dice at the better size of pixels: "
        f"{'; '.join(parts)}"
    )


SHORT: dict[str, Callable[[Answer, Found], str]] = {
    "field": _field,
    "contrast": _contrast,
    "complexity": _complexity,
    "dilation": _dilation,
    "labels": _labels,
    "particles": _particles,
    "effective": _effective,
    "schedule": _schedule,
    "pixels": _pixels,
    "starts": _starts,
    "published": _published,
}
"""By the answers' names."""
