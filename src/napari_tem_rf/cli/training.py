"""``train``: images and labels -> a run folder, of a network or of a baseline."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.advising import advice_on
from napari_tem_rf.cli.fitting import check_method, fit
from napari_tem_rf.cli.inputs import LabelledFiles, meaning_in, read_labelled
from napari_tem_rf.cli.options import (
    DILATIONS,
    FILTERS,
    LABELS_ARE,
    NOT_SAID,
    PARAMETERS,
    PIXEL_SIZE,
    POOLS,
    RECEPTIVE_FIELD,
    RECEPTIVE_FIELD_NM,
    UNLABELLED,
    Given,
    check_labels_are,
    check_unlabelled,
    field_in_px,
    option_of,
    pick_network,
    told_by_options,
)
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, say, tell
from napari_tem_rf.cli.repeating import (
    compare_weights,
    refuse_changes,
    refuse_settings,
    repeat_request,
)
from napari_tem_rf.cli.scheduling import SCHEDULER, train_at
from napari_tem_rf.comparison import ComparisonSettings
from napari_tem_rf.describing import settings_of
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.label_meaning import in_words
from napari_tem_rf.protocol import PRESETS, TrainingPlan, default_plan
from napari_tem_rf.runs import Run, RunRecord, read_run
from napari_tem_rf.starting import DEFAULT, named_start

GROUP_BY = option_of(ComparisonSettings, "group_by")


@told_by_options(plan=settings_of(default_plan()), cleaning=settings_of(Cleaning()))
def train(
    context: typer.Context,
    images: list[Path] = typer.Argument(None, help="Image files or folders."),
    labels: list[Path] = typer.Option(
        None,
        "--labels",
        help="Label files or folders, named like the images: masks, or outlines as ROIs of ImageJ "
        "(.zip) or GeoJSON of QuPath.",
    ),
    run: Path | None = typer.Option(None, "--run", help="Folder to make, for all of the training."),
    method: str = typer.Option(
        "network",
        "--method",
        help="What learns from the labels: network, forest (a random forest) or fourier (a filter "
        "for the lattice's spacing); the last two are fitted in one go.",
    ),
    receptive_field: float = RECEPTIVE_FIELD,
    receptive_field_nm: float = RECEPTIVE_FIELD_NM,
    parameters: float = PARAMETERS,
    pools: str = POOLS,
    dilations: str = DILATIONS,
    filters: int = FILTERS,
    unlabelled: str = UNLABELLED,
    labels_are: str = LABELS_ARE,
    plan: Given = NOT_SAID,
    pixel_size: float = PIXEL_SIZE,
    group_by: str = GROUP_BY,
    start: str = typer.Option(
        DEFAULT,
        "--start",
        help='Weights to start from: "simulated" for those of simulated micrographs, "nothing" for '
        'new ones, or a run; "default" is "simulated" where such weights come for the network.',
    ),
    resume: bool = typer.Option(False, "--resume", help="Continue the run from its checkpoint."),
    repeat: Path | None = typer.Option(
        None, "--repeat", help="Train this run again, exactly, into a new folder."
    ),
    scheduler: str = SCHEDULER,
    cleaning: Given = NOT_SAID,
    json: bool = JSON_OPTION,
) -> None:
    """Train a network on annotated images; Ctrl-C stops and keeps the best weights."""
    check_unlabelled(unlabelled)
    check_labels_are(labels_are)
    check_method(method)
    if method != "network":
        if run is None or not images or not labels:
            raise typer.BadParameter("give images, --labels and the folder to make with --run")
        with stop_on_interrupt("stopping: nothing of what is not fitted is kept") as stopped:
            fit(
                context,
                method,  # type: ignore[arg-type]
                images,
                labels,
                run,
                plan=plan_of(plan),
                unlabelled=unlabelled,  # type: ignore[arg-type]
                labels_are=labels_are,  # type: ignore[arg-type]
                cleaning=cleaning_of(cleaning),
                pixel_size=pixel_size,
                group_by=group_by,
                scheduler=scheduler,
                json=json,
                stopped=stopped,
            )
        return
    if repeat is not None:
        refuse_settings(context)
        device = plan.get("device", "auto")
        _repeat(read_run(repeat), run, images, device, scheduler, json)
        return
    if run is None:
        raise typer.BadParameter("name the folder to make", param_hint="--run")
    wish = (field_in_px(receptive_field, receptive_field_nm, pixel_size), parameters)
    if resume:
        earlier = read_run(run)
        refuse_changes(context, earlier, pick=lambda: pick_network(wish, pools, dilations, filters))
        request = _resumed(earlier, images, labels, pixel_size, group_by, plan)
        record = train_request(request, scheduler)
        _show(record, run, json)
        return
    if not images or not labels:
        raise typer.BadParameter("give images, and their labels with --labels")
    asked = plan_of(plan)
    spec, sentence = pick_network(wish, pools, dilations, filters)
    cleaned = cleaning_of(cleaning)
    files = read_labelled(images, labels, pixel_size, group_by)
    first_weights = named_start(start, spec, asked.preset)
    meaning = meaning_in(files, unlabelled, labels_are)
    for note in (*files.notes, sentence):
        say(note)
    if meaning.numbered:
        say(in_words(meaning))
    for note in advice_on(files, meaning):
        say(note)
    if start == DEFAULT and first_weights is not None:
        say("starts from weights of simulated micrographs; --start nothing takes new ones")
    record = train_request(
        jobs.TrainRequest(
            run=run,
            images=files.images,
            spec=spec,
            plan=asked,
            unlabelled=meaning.unlabelled,
            labels_are="particles" if meaning.numbered else "classes",
            cleaning=cleaned,
            start=first_weights,
            class_names=files.class_names,
            sources=files.sources,
            label_sources=files.label_sources,
        ),
        scheduler,
    )
    _show(record, run, json)


def cleaning_of(given: Given) -> Cleaning:
    """Return the cleaning that the options name."""
    try:
        cleaning = Cleaning(**given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if cleaning.spikes == "none" and cleaning.spike_threshold is not None:
        raise typer.BadParameter(
            f"{cleaning.spike_threshold:g}: no spikes are removed without --spikes paper or robust",
            param_hint="--spike-threshold",
        )
    return cleaning


def plan_of(given: Given) -> TrainingPlan:
    """Return the plan of a preset with the settings that are given."""
    return PRESETS[given.get("preset", "default")](**given)


def train_request(request: jobs.TrainRequest, scheduler: str | None = None) -> RunRecord:
    """Train here or on a cluster, with messages on stderr and Ctrl-C as stop."""
    progress = Progress("training")
    with stop_on_interrupt() as stopped:
        if scheduler:
            record = train_at(scheduler, request, progress, stopped)
        else:
            record = jobs.train_run(request, report=progress, stopped=stopped)
    progress.close()
    return record


def _repeat(
    earlier: Run,
    folder: Path | None,
    images: list[Path] | None,
    device: str,
    scheduler: str | None,
    json: bool,
) -> None:
    request = repeat_request(earlier, folder, images or [], device)
    record = train_request(request, scheduler)
    difference, sentence = compare_weights(earlier, request.run)
    say(sentence)
    _show(record, request.run, json, largest_weight_difference=difference)


def _resumed(
    earlier: Run,
    images: list[Path] | None,
    labels: list[Path] | None,
    pixel_size: float | None,
    group_by: str | None,
    settings: Given,
) -> jobs.TrainRequest:
    record = earlier.record
    given = dict(settings)
    if given.get("seed", record.plan.seed) != record.plan.seed:
        raise ValueError(
            f"the run was started with seed {record.plan.seed}, not {given['seed']}: a resumed "
            "training keeps its seed; leave --seed out or start a new run"
        )
    if "validation" in given and given["validation"] != record.plan.validation:
        raise ValueError(
            f"the run holds out {record.plan.validation:g} for validation: a resumed training "
            "keeps its split; leave --validation out or start a new run"
        )
    if given.get("device") == "auto":
        del given["device"]
    if "epochs" in given and "seconds" not in given:
        given["seconds"] = None
    if "seconds" in given and "epochs" not in given:
        given["epochs"] = None
    return replace(
        _request_of(earlier, _files_of(earlier, images, labels, pixel_size, group_by)),
        plan=replace(record.plan, **given),
        resume=True,
    )


def _request_of(earlier: Run, files: LabelledFiles) -> jobs.TrainRequest:
    record = earlier.record
    groups = {entry.name: entry.group for entry in record.data}
    return jobs.TrainRequest(
        run=earlier.folder,
        images=tuple(
            replace(image, group=groups.get(image.name, image.group)) for image in files.images
        ),
        spec=record.network,
        plan=record.plan,
        unlabelled=record.unlabelled,
        labels_are=record.labels_are,
        cleaning=record.cleaning,
        class_names=dict(zip(record.classes.values, record.classes.names, strict=True)),
        sources=files.sources,
        label_sources=files.label_sources,
    )


def _files_of(
    earlier: Run,
    images: list[Path] | None,
    labels: list[Path] | None,
    pixel_size: float | None,
    group_by: str | None,
) -> LabelledFiles:
    """Return the named files, or those that the run was trained from."""
    if images and labels:
        return read_labelled(images, labels, pixel_size, group_by)
    sources = {entry.source for entry in earlier.record.data}
    label_sources = {entry.labels_source for entry in earlier.record.data}
    if None in sources or None in label_sources:
        raise ValueError(
            f'run "{earlier.folder}" does not know the files of its images: '
            "name images and --labels"
        )
    size = earlier.record.pixel_size_nm
    return read_labelled(
        [Path(path) for path in sorted(filter(None, sources))],
        [Path(path) for path in sorted(filter(None, label_sources))],
        pixel_size or (size[0] if size else None),
        group_by,
    )


@contextmanager
def stop_on_interrupt(
    sentence: str = "stopping: the best weights so far are kept",
) -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a stop and say so; a second one interrupts at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say(sentence)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


def _show(record: RunRecord, run: Path, json: bool, **more: float) -> None:
    if json:
        print_json({"run": str(run.resolve()), **record.summary(), **more})
        return
    dice = record.validation_dice
    score = "nothing held out" if dice is None else f"validation Dice {dice:.3f}"
    tell(
        f"{run}: {record.spec}, {record.epochs} epochs in {record.seconds:.0f} s, {score} "
        f"(epoch {record.best_epoch})"
    )
