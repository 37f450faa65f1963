"""``train --method forest`` or ``fourier``: a baseline -> a run folder."""

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.inputs import meaning_in, read_labelled
from napari_tem_rf.cli.output import Progress, print_json, say, tell
from napari_tem_rf.cli.repeating import given_options
from napari_tem_rf.cli.scheduling import engine_at, result_of
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.label_meaning import in_words
from napari_tem_rf.protocol import LabelsAre, Stopped, TrainingPlan, Unlabelled
from napari_tem_rf.run_record import METHODS, Method, RunRecord

__all__ = ["check_method", "fit"]

_COUNT = {
    *("images", "labels", "run", "method", "unlabelled", "labels_are", "pixel_size", "group_by"),
    *("seed", "validation", "scheduler", "json"),
    *(each.name for each in fields(Cleaning)),
}
"""What a baseline can be told; all else is of a network."""


def check_method(method: str) -> None:
    """Raise a usage error for a method that there is not."""
    if method not in METHODS:
        raise typer.BadParameter(
            f"{method!r} is not a method: it must be one of {', '.join(METHODS)}",
            param_hint="--method",
        )


def fit(
    context: typer.Context,
    method: Method,
    images: Collection[Path],
    labels: Collection[Path],
    run: Path,
    *,
    plan: TrainingPlan,
    unlabelled: Unlabelled | None,
    labels_are: LabelsAre,
    cleaning: Cleaning,
    pixel_size: float | None,
    group_by: str | None,
    scheduler: str | None,
    json: bool,
    stopped: Stopped,
) -> None:
    """Fit a baseline to labelled images, and say how good it is on what was held out."""
    name = METHODS[method]
    for parameter, option in given_options(context).items():
        if parameter not in _COUNT:
            raise typer.BadParameter(
                f"a {name} is fitted in one go and is no network: it has no such setting; leave it "
                "out, or train with --method network",
                param_hint=option,
            )
    files = read_labelled(list(images), list(labels), pixel_size, group_by)
    meaning = meaning_in(files, unlabelled, labels_are)
    for note in files.notes:
        say(note)
    if meaning.numbered:
        say(in_words(meaning))
    request = jobs.FitRequest(
        run=run,
        method=method,
        images=files.images,
        plan=plan,
        unlabelled=meaning.unlabelled,
        labels_are="particles" if meaning.numbered else "classes",
        cleaning=cleaning,
        class_names=files.class_names,
        sources=files.sources,
        label_sources=files.label_sources,
    )
    progress = Progress("fitting")
    record = _fitted(request, scheduler, progress, stopped)
    progress.close()
    if record is None:
        raise ValueError(f"stopped before the {name} was fitted: nothing of it is kept")
    if json:
        print_json({"run": str(run.resolve()), **record.summary()})
        return
    dice = record.validation_dice
    score = "nothing held out" if dice is None else f"validation Dice {dice:.3f}"
    tell(f"{run}: {name}, fitted in {record.seconds:.1f} s, {score}")


def _fitted(
    request: jobs.FitRequest, scheduler: str | None, progress: Progress, stopped: Stopped
) -> RunRecord | None:
    if not scheduler:
        return jobs.fit_run(request, report=progress, stopped=stopped)
    with engine_at(scheduler) as engine:
        job = engine.submit(
            jobs.fit_run,
            replace(request, run=request.run.resolve()),
            on_report=progress,
            name=f"fitting {request.run.name}",
        )
        record: RunRecord | None = result_of(job, engine, stopped)
    return record
