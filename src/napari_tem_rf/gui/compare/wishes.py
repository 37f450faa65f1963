"""From the user's wishes to a plan of comparison, said in words before it starts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil
from pathlib import Path

from napari_tem_rf.comparison import (
    BASELINES,
    ComparisonPlan,
    ComparisonSettings,
    grid,
    hold_out,
)
from napari_tem_rf.gui.pieces.preloading import CATALOG
from napari_tem_rf.gui.session.checks import Check
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.grouping import groups_of
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = [
    "Prepared",
    "Wishes",
    "comparison_checks",
    "expected_seconds",
    "in_exposures",
    "length_in_words",
    "new_comparison_folder",
    "numbers_in",
    "plan_summary",
    "prepare_comparison",
    "split_in_words",
    "wished_networks",
]

_BASELINE_SECONDS = 15.0
_SCORING_SECONDS = 4.0
"""About what scoring takes beside a training; shown with the word "about"."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asks of a comparison.

    Attributes
    ----------
    specs : tuple of NetworkSpec
        The networks.
    asked : ComparisonSettings
        Everything else.
    """

    specs: tuple[NetworkSpec, ...]
    asked: ComparisonSettings = field(default_factory=ComparisonSettings)

    @property
    def trainings(self) -> int:
        """How many networks are trained."""
        return len(self.specs) * self.asked.seeds

    @property
    def steps(self) -> int:
        """How many trainings and baselines there are."""
        return self.trainings + (len(BASELINES) if self.asked.baselines else 0)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """All that `Comparing.begin` needs."""

    images: tuple[LabelledImage, ...]
    plan: ComparisonPlan
    sources: dict[str, str]


def numbers_in(text: str) -> tuple[float, ...]:
    """Return the positive numbers of a list such as ``5, 44, 120`` or ``8k 32k``.

    Raises
    ------
    ValueError
        When a part of the text is not a positive number.
    """
    numbers = []
    for part in re.split(r"[,;\s]+", text.strip()):
        if not part:
            continue
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([kM]?)", part)
        if found is None or float(found[1]) == 0:
            raise ValueError(f'"{part}" is not a number: write a list like 5, 44, 120 or 8k, 32k')
        numbers.append(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6}[found[2]])
    return tuple(numbers)


def wished_networks(fields: str, parameters: str) -> tuple[tuple[NetworkSpec, ...], str]:
    """Return the networks nearest to each pair of two lists, and how far off they are in words.

    Raises
    ------
    ValueError
        When a list holds something else than numbers, or nothing.
    """
    wishes = numbers_in(fields), numbers_in(parameters)
    if not all(wishes):
        raise ValueError("Name at least one receptive field and one number of parameters.")
    CATALOG.get()  # a thread may be at it: to wait is quicker than to do it again
    specs, notes = grid(*wishes)
    if not notes:
        return specs, ""
    more = f" And {len(notes) - 1} more of the wishes." if len(notes) > 1 else ""
    return specs, f"{notes[0][0].upper()}{notes[0][1:]}.{more}"


def comparison_checks(session: Session, wishes: Wishes | None) -> tuple[Check, ...]:
    """Return what speaks against comparing now; empty when nothing does."""
    now = session.situation
    if now.activity.is_comparing:
        return ()
    stops = tuple(check for check in now.checks if check.stops)
    if stops:
        return stops[:1]
    if wishes is None or not wishes.specs:
        return (Check("Choose networks: by the lists, or draw a box in the chart.", stops=True),)
    return ()


def prepare_comparison(session: Session, wishes: Wishes) -> Prepared:
    """Return plan and images; everything that is annotated takes part.

    The recipe is that of the train section: preset, device, cleaning.

    Its exposures come by `in_exposures`.

    Raises
    ------
    ValueError
        When a number is out of its range.
    """
    request = training_request(session)
    plan = wishes.asked.plan(
        wishes.specs,
        training=request.plan,
        unlabelled=request.unlabelled,
        labels_are=request.labels_are,
        cleaning=request.cleaning,
        class_names=request.class_names,
        class_colors=request.class_colors,
    )
    return Prepared(request.images, plan, request.sources)


def in_exposures(prepared: Prepared, wishes: Wishes) -> Prepared:
    """Return what was prepared with the images in exposures, by the pattern that was asked for.

    A pattern may take seconds before it is given up: call it in a thread.

    Raises
    ------
    ValueError
        When the pattern is none, does not fit the names, or is too slow.
    """
    pattern = wishes.asked.group_by.strip()
    if not pattern:
        return prepared
    groups = dict(_groups(tuple(each.name for each in prepared.images), pattern))
    return replace(
        prepared,
        images=tuple(replace(each, group=groups[each.name]) for each in prepared.images),
    )


@lru_cache(maxsize=8)
def _groups(names: tuple[str, ...], pattern: str) -> tuple[tuple[str, str], ...]:
    """Return names with their groups; those that a thread has found need no second process."""
    return tuple(groups_of(names, pattern).items())


def split_in_words(prepared: Prepared) -> Check:
    """Say what is held out, or why nothing can be; takes a moment for large images."""
    try:
        held_out = hold_out(prepared.images, prepared.plan)
    except ValueError as error:
        words = str(error)
        return Check(f"{words[:1].upper()}{words[1:]}.", stops=True)
    groups = len({each.group or each.name for each in prepared.images})
    what = (
        f"{len(held_out.names)} of {groups} exposures"
        if held_out.kind == "groups" and groups < len(prepared.images)
        else f"{len(held_out.names)} of {groups} images"
        if held_out.kind == "groups"
        else f"a block of each image, {held_out.gap_px} px away from what is trained on"
    )
    note = f" {held_out.note[:1].upper()}{held_out.note[1:]}." if held_out.note else ""
    return Check(
        f"Held out for the scores, the same for all: {what} ({_shortened(held_out.names)}).{note}",
        stops=False,
    )


def _shortened(names: Sequence[str], most: int = 2) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + rest


def expected_seconds(wishes: Wishes, at_once: int, runs: Iterable[TrainedRun] = ()) -> float | None:
    """Return about how long a comparison takes; None where nothing tells.

    Parameters
    ----------
    wishes : Wishes
    at_once : int
        How many trainings the engine does at a time.
    runs : iterable of TrainedRun
        Earlier trainings; they tell what an epoch takes, by the multiply-adds.
    """
    per_network: list[float] = []
    if wishes.asked.seconds is not None:
        per_network = [wishes.asked.seconds] * len(wishes.specs)
    else:
        rates = [
            run.record.seconds / (run.record.epochs * run.spec.macs_per_pixel)
            for run in runs
            if run.spec is not None and run.record.epochs and run.record.seconds
        ]
        if not rates or wishes.asked.epochs is None:
            return None
        rate = sorted(rates)[len(rates) // 2]
        per_network = [rate * wishes.asked.epochs * spec.macs_per_pixel for spec in wishes.specs]
    rounds = [(each + _SCORING_SECONDS) * wishes.asked.seeds for each in per_network]
    total = sum(rounds) + (_BASELINE_SECONDS * len(BASELINES) if wishes.asked.baselines else 0)
    return total / max(1, at_once)


def plan_summary(wishes: Wishes, at_once: int, runs: Iterable[TrainedRun] = ()) -> str:
    """Return how much is trained and how long that takes, to be shown before it starts."""
    networks = len(wishes.specs)
    many = f"{networks} network{'s' if networks != 1 else ''}"
    times = f" × {wishes.asked.seeds} seeds" if wishes.asked.seeds > 1 else ""
    trainings = f" = {wishes.trainings} trainings" if times else ""
    each = (
        length_in_words(wishes.asked.seconds)
        if wishes.asked.seconds is not None
        else f"{wishes.asked.epochs} epochs"
    )
    beside = f", and {len(BASELINES)} baselines" if wishes.asked.baselines else ""
    seconds = expected_seconds(wishes, at_once, runs)
    time = (
        f"about {length_in_words(seconds)}"
        if seconds is not None
        else "how long that takes is known after the first training"
    )
    beyond = f", {at_once} at a time" if at_once > 1 else ""
    return f"{many}{times}{trainings} of {each} each{beyond}{beside}: {time}."


def length_in_words(seconds: float) -> str:
    """Return a length of time in words: 40 s, 12 min, 3.4 h."""
    if seconds < 90:
        return f"{ceil(seconds)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def new_comparison_folder(session: Session) -> Path:
    """Return the path of a folder for a comparison that does not exist yet."""
    run = session.new_run_folder()
    stem = f"comparison_{run.name}"
    folder, count = run.with_name(stem), 1
    while folder.exists():
        count += 1
        folder = run.with_name(f"{stem}_{count}")
    return folder
