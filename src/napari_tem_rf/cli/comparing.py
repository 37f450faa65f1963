"""``compare``: a grid of networks and baselines on the same annotations -> table and report."""

from pathlib import Path
from typing import Any

import typer

from napari_tem_rf.cli.inputs import meaning_in, read_labelled
from napari_tem_rf.cli.options import (
    LABELS_ARE,
    NOT_SAID,
    PIXEL_SIZE,
    UNLABELLED,
    Given,
    check_labels_are,
    check_unlabelled,
    told_by_options,
)
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, print_table, say, tell
from napari_tem_rf.cli.scheduling import SCHEDULER
from napari_tem_rf.cli.training import cleaning_of, plan_of, stop_on_interrupt
from napari_tem_rf.comparison import (
    Comparison,
    ComparisonReport,
    ComparisonSettings,
    asked_settings,
    grid,
    hold_out,
    network_table,
    result_table,
    run_comparison,
    write_report,
)
from napari_tem_rf.describing import settings_of
from napari_tem_rf.engine import AnyEngine, Engine, InlineEngine, most_workers
from napari_tem_rf.figures.quantities import QUANTITIES
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.label_meaning import in_words
from napari_tem_rf.protocol import EpochReport, NoteReport, ProgressReport, default_plan


@told_by_options(
    settings=settings_of(ComparisonSettings()),
    plan=settings_of(
        default_plan(), leave_out=("epochs", "seconds", "validation", "seed", "frozen")
    ),
    cleaning=settings_of(Cleaning()),
)
def compare(
    images: list[Path] = typer.Argument(..., help="Image files or folders."),
    labels: list[Path] = typer.Option(
        ..., "--labels", help="Label files or folders, named like the images."
    ),
    settings: Given = NOT_SAID,
    out: Path = typer.Option(
        ..., "--out", help="Folder to make, or that of a comparison to continue."
    ),
    unlabelled: str = UNLABELLED,
    labels_are: str = LABELS_ARE,
    pixel_size: float = PIXEL_SIZE,
    plan: Given = NOT_SAID,
    scheduler: str = SCHEDULER,
    workers: int = typer.Option(
        0, "--workers", min=0, help="Local processes to train in; 0: one training after the other."
    ),
    cleaning: Given = NOT_SAID,
    json: bool = JSON_OPTION,
) -> None:
    """Compare networks on your annotations; the same command continues a stopped one."""
    check_unlabelled(unlabelled)
    check_labels_are(labels_are)
    recipe = plan_of(plan)
    asked = asked_settings(recipe.preset, **settings)
    specs, notes = grid(asked.receptive_fields, asked.parameters)
    files = read_labelled(images, labels, pixel_size, asked.group_by or None)
    meaning = meaning_in(files, unlabelled, labels_are)
    comparison_plan = asked.plan(
        specs,
        training=recipe,
        unlabelled=meaning.unlabelled,
        labels_are="particles" if meaning.numbered else "classes",
        cleaning=cleaning_of(cleaning),
    )
    for note in (*files.notes, *notes):
        say(note)
    if meaning.numbered:
        say(in_words(meaning))
    shown = _ReportPrinter()
    with _engine(scheduler, workers) as engine, stop_on_interrupt(_STOPPING) as stopped:
        comparison = run_comparison(
            files.images,
            comparison_plan,
            out,
            engine=engine,
            on_report=shown,
            stopped=stopped,
            sources=files.sources,
            label_sources=files.label_sources,
        )
        was_stopped = stopped()
    shown.progress.close()
    if comparison.results:
        write_report(comparison, hold_out(files.images, comparison_plan).scored)
        _show(comparison, json)
    if comparison.failed:
        raise ValueError(
            f"{len(comparison.failed)} of {len(comparison.record.contestants)} could not be done, "
            f"the first: {comparison.failed[0][1]}"
        )
    if was_stopped and comparison.missing:
        raise ValueError(
            f"stopped with {len(comparison.missing)} trainings to go: what is done is kept in "
            f'"{out}"; the same command continues'
        )


_SIGNED = ("count_error_percent", "diameter_bias_percent")

_STOPPING = "stopping: what is done is kept, and the same command continues it"


def _engine(scheduler: str | None, workers: int) -> AnyEngine:
    if scheduler:
        return Engine(scheduler)
    # an engine of local processes keeps one free for quick answers, which nobody asks for here
    if workers >= most_workers():
        raise ValueError(
            f"--workers is {workers}: give this machine at most {most_workers() - 1}; more would "
            "train no sooner"
        )
    return Engine(workers=workers + 1) if workers else InlineEngine(threaded=True)


class _ReportPrinter:
    """Prints what a comparison says: a line a result, and one moving line in a terminal."""

    def __init__(self) -> None:
        self.progress = Progress("comparing")

    def __call__(self, said: ComparisonReport) -> None:
        """Show a report."""
        name = ""
        if said.contestant is not None:
            name = f"{said.contestant.name}, seed {said.contestant.seed}"
        if said.result is not None and said.result.left_out:
            self.progress.line(f"{said.done} of {said.total}: {name} left out: {said.result.note}")
        elif said.result is not None:
            self.progress.line(
                f"{said.done} of {said.total}: {name}: Dice {said.result.mean():.3f} in "
                f"{said.result.costs.train_seconds:.0f} s"
            )
        elif said.failure:
            self.progress.line(f"{said.done} of {said.total}: {name} left out: {said.failure}")
        elif isinstance(said.report, NoteReport):
            self.progress.line(f"{name}: {said.report.sentence}" if name else said.report.sentence)
        elif isinstance(said.report, ProgressReport | EpochReport):
            self.progress(ProgressReport(said.fraction, said.seconds_left))


def _show(comparison: Comparison, json: bool) -> None:
    says = comparison.findings
    if json:
        print_json(_document(comparison))
        return
    rows = [
        (
            row["name"],
            row["seeds"],
            _spread(row["dice"], row["dice_sd_seeds"]),
            f"{row['object_f1']:.3f}",
            *(f"{row[name]:+.1f}" for name in _SIGNED),
            f"{row['train_seconds']:.0f}",
            f"{row['predict_seconds_per_megapixel']:.2g}",
            "suggestion" if row["name"] == says.suggestion else "",
        )
        for _, row in network_table(comparison.results).iterrows()
    ]
    signed = (QUANTITIES[name].words for name in _SIGNED)
    print_table(
        ("network", "seeds", "Dice", "object F1", *signed, "train/s", "s/megapixel", ""), rows
    )
    for sentence in says.sentences:
        tell(sentence)
    tell(f"table, figures and report: {comparison.folder}")


def _document(comparison: Comparison) -> dict[str, Any]:
    says = comparison.findings
    rows = result_table(comparison.results).to_dict("records")
    for row, result in zip(rows, comparison.results, strict=True):
        row["images"] = [{"name": each.image, **each.scores.to_dict()} for each in result.images]
    return {
        "folder": str(comparison.folder.resolve()),
        "split": comparison.record.split["sentence"],
        "complete": not comparison.missing,
        "best": says.best,
        "suggestion": says.suggestion,
        "good_baselines": list(says.good_baselines),
        "sentences": list(says.sentences),
        "left_out": {each.contestant.name: each.note for each in comparison.left_out},
        "networks": network_table(comparison.results).to_dict("records"),
        "table": rows,
    }


def _spread(mean: float, sd: float) -> str:
    return f"{mean:.3f}" if sd != sd else f"{mean:.3f} ± {sd:.3f}"
