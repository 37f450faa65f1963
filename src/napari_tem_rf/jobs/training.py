"""Train a network into a run folder."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf.jobs.finishing import certain, suggest_from
from napari_tem_rf.jobs.grey_levels import settle_grey_levels
from napari_tem_rf.jobs.judging import what_it_saw
from napari_tem_rf.jobs.kept import common_pixel_size, data_entries, kept_labels
from napari_tem_rf.jobs.predicting import label_values
from napari_tem_rf.jobs.request import TrainRequest, prepare
from napari_tem_rf.locking import locked
from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing, finish_prediction
from napari_tem_rf.measuring.finishing_suggestion import Suggestion
from napari_tem_rf.micrographs.annotation import (
    Classes,
    LabelledImage,
    TrainingSet,
)
from napari_tem_rf.micrographs.cleaning import (
    clean,
    standardise,
)
from napari_tem_rf.micrographs.extremes import extremes_note
from napari_tem_rf.micrographs.splitting import split
from napari_tem_rf.networks.receptive_field import nominal_receptive_field, receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import (
    EpochReport,
    NoteReport,
    PreviewReport,
    Report,
    Reporter,
    Stopped,
)
from napari_tem_rf.run_archive import is_unpacked
from napari_tem_rf.runs import (
    RECORD,
    Run,
    RunError,
    RunRecord,
    array_hash,
    create_run,
    file_hash,
    library_versions,
    now,
    read_run,
    what_remains,
)
from napari_tem_rf.starting import SIMULATED, known_rows, read_start, start_file

PREVIEW_SECONDS = 3.0
"""Time between two predictions of the watched image."""

FIRST_PREVIEW_SECONDS = 1.0
"""Time to the first one where the network has yet to learn what it shows."""

_MOST_NOTES = 3


def train_run(request: TrainRequest, *, report: Reporter, stopped: Stopped) -> RunRecord:
    """Train a network into a run folder, and return its record.

    Raises
    ------
    ValueError
        When the data or the plan cannot be trained with; RunError when the folder cannot be used,
        BusyError when another training works in it.
    """
    from napari_tem_rf.learning.device import computing_threads

    if request.run.is_file():
        raise RunError(f'"{request.run}" is a file: name a folder that does not exist yet')
    with locked(request.run, "training"), computing_threads(request.threads) as threads:
        return _train_run(request, threads, report, stopped)


def _train_run(
    request: TrainRequest, threads: int, report: Reporter, stopped: Stopped
) -> RunRecord:
    from napari_tem_rf.learning.checkpoint import read_checkpoint, write_checkpoint
    from napari_tem_rf.learning.device import pick_device
    from napari_tem_rf.learning.learner import TrainingState
    from napari_tem_rf.learning.training import TrainedModel, train

    data = prepare(
        request.images,
        request.unlabelled,
        request.cleaning,
        request.class_names,
        request.class_colors,
        request.labels_are,
    )
    plan, varied = settle_grey_levels(request.plan, data)
    request = replace(request, plan=plan)
    spec = request.spec.with_classes(data.learned)
    gap_px = max(_gap_px(spec), request.gap_px)
    parts = split(data, request.plan.validation, gap_px, request.plan.seed)
    held_out = _held_out(data, parts.kind)
    report(NoteReport(parts.sentence))
    for note in _extremes(request, data):
        report(NoteReport(note))
    for note in filter(None, (varied, _new_classes(request.start, data.classes))):
        report(NoteReport(note))
    device = pick_device(request.plan.device)
    start = None if request.start is None else read_start(request.start, spec, data.classes)
    gentle = start is not None
    if start is None and request.plan.frozen != "nothing" and not request.resume:
        report(NoteReport("nothing is frozen: the training starts from new weights"))
    state: TrainingState | None = None
    split_record = {**asdict_split(parts), "scored": held_out}
    suggestion = _finishing(request, data, spec)
    record = replace(
        _record(request, data, spec, split_record, device.type, threads),
        finishing=suggestion.finishing,
        finishing_reason=suggestion.reason,
    )
    resumes = request.resume
    if not resumes and _was_cut_off(request.run, record):
        report(NoteReport(f"{what_remains(request.run)}: the training was cut off"))
        resumes = True
    if resumes:
        run = read_run(request.run)
        _refuse_others(run)
        _check_same(run, spec, request)
        gentle = run.record.start is not None
        if run.checkpoint.is_file():
            state = read_checkpoint(run.checkpoint)
        elif run.record.start is not None:  # it ended before its first checkpoint: begin as it did
            start = read_start(run.record.start, spec, data.classes)
        run = run.with_record(
            replace(
                run.record,
                plan=request.plan,
                state="training",
                finishing=record.finishing,
                finishing_reason=record.finishing_reason,
            )
        )
        run.ensure(kept_labels(request.images))
    else:
        run = create_run(request.run, record, kept_labels(request.images))

    def ensure_folder() -> None:
        if run.ensure(kept_labels(request.images)):
            report(
                NoteReport(
                    f'the run "{run.folder}" was deleted in the meantime: it is written again'
                )
            )

    def save(state: TrainingState) -> None:
        ensure_folder()
        write_checkpoint(run.checkpoint, state)
        if state.history:
            run.write_weights({name: value.numpy() for name, value in state.best.items()})
            run.write_history(state.history)

    watch = watcher(request, data.classes, suggestion.finishing, border=data.border_px is not None)
    training = train(
        parts.training,
        parts.validation,
        spec,
        request.plan,
        start=start,
        gentle=gentle,
        state=state,
        save=save,
        stopped=stopped,
        watch=watch,
    )
    last: EpochReport | None = state.history[-1] if state and state.history else None
    while True:
        try:
            message = next(training)
        except StopIteration as end:
            model: TrainedModel = end.value
            break
        except Exception:
            if not resumes and not run.checkpoint.is_file():
                run.discard(kept_labels(request.images))  # it was refused before its first step
            raise
        if isinstance(message, EpochReport):
            last = message = replace(message, held_out=held_out)
        report(message)
    if last is None:
        raise ValueError(
            "the training was stopped before its first step: resume it, and give it more time"
        )
    # an epoch that was stopped counts when the run is used, not when it is continued
    ensure_folder()
    weights = model.network.state_dict()
    run.write_weights({name: value.numpy() for name, value in weights.items()})
    run.write_history(model.history)
    if state is not None and last.steps == state.steps and not model.stopped:
        report(
            NoteReport(
                f"nothing was left to train after {last.epoch} epochs and {last.seconds:.0f} s: "
                "give more epochs or seconds in all"
            )
        )
    if request.finishing is None:
        suggestion = certain(
            model.network.to(device), parts.training, parts.validation, suggestion, request.cleaning
        )
    record = replace(
        run.record,
        finishing=suggestion.finishing,
        finishing_reason=suggestion.reason,
        state="stopped" if model.stopped else "finished",
        epochs=last.epoch,
        steps=last.steps,
        seconds=last.seconds,
        best_epoch=model.best_epoch,
        scores=_scores(model.validation),
        trained_on=what_it_saw(
            model.network.to(device),
            request.images,
            parts.training,
            parts.validation,
            suggestion.finishing.scaled(1 / request.cleaning.binning),
        ),
    )
    run.with_record(record)
    return record


def _finishing(request: TrainRequest, data: TrainingSet, spec: NetworkSpec) -> Suggestion:
    """Return how the run's masks are to be finished, and why."""
    if request.finishing is not None:
        return Suggestion(request.finishing, "as it was chosen before the training")
    images = data.without_border.images
    suggestion = suggest_from(images, nominal_receptive_field(spec), request.cleaning)
    if request.plan.preset != "sytwu2022":
        return suggestion
    return replace(suggestion, finishing=replace(suggestion.finishing, enabled=False))


def _extremes(request: TrainRequest, data: TrainingSet) -> list[str]:
    """Return what the user should know of images whose scale a few pixels set."""
    notes = []
    for image, seen in zip(request.images, data.images, strict=True):
        if note := extremes_note(seen.pixels, image.pixels, request.cleaning):
            notes.append(f'"{image.name}": {note}')
    if len(notes) <= _MOST_NOTES:
        return notes
    return [*notes[:_MOST_NOTES], f"and the like in {len(notes) - _MOST_NOTES} more images"]


def _new_classes(start: str | Path | None, classes: Classes) -> str:
    """Say which classes the run that is started from does not know; nothing when it knows all."""
    if start is None or str(start) == SIMULATED:
        return ""
    rows = known_rows(read_run(start).record.classes, classes)
    new = [f'"{name}"' for name, row in zip(classes.names, rows, strict=True) if row is None]
    if not new:
        return ""
    them = f"class {new[0]} is" if len(new) == 1 else f"classes {' and '.join(new)} are"
    return f"the {them} new: what the run has learned of the others is kept"


def asdict_split(parts: Any) -> dict[str, Any]:
    """Return how a split was made, as plain JSON values."""
    return {"kind": parts.kind, "held_out": list(parts.held_out), "sentence": parts.sentence}


def _held_out(data: TrainingSet, kind: str) -> str:
    """Return what is scored, in a word: a score on strokes says less than one on whole masks."""
    if data.is_sparse:
        return "strokes"
    return "blocks" if kind == "blocks" else "images"


def _gap_px(spec: NetworkSpec) -> int:
    """Return how far held-out pixels must be from the training for no field to reach them."""
    field = receptive_field(spec)
    # some phases reach further from their pixel than the halo from a tile's edge
    return max(field.halo, int(field.before.max()), int(field.after.max()))


def _record(
    request: TrainRequest,
    data: TrainingSet,
    spec: NetworkSpec,
    split_record: dict[str, Any],
    device: str,
    threads: int,
) -> RunRecord:
    return RunRecord(
        name=request.run.name,
        spec=spec,
        plan=request.plan,
        classes=data.classes,
        labels_are="classes" if data.border_px is None else "particles",
        border_px=data.border_px,
        unlabelled=request.unlabelled,
        cleaning=request.cleaning,
        pixel_size_nm=common_pixel_size(request.images),
        data=data_entries(request.images, request.sources, request.label_sources),
        split=split_record,
        device=device,
        threads=threads,
        gap_px=request.gap_px,
        start=None if request.start is None else str(request.start),
        start_sha256=(
            None if request.start is None else file_hash(start_file(request.start, spec))
        ),
        created=now(),
        versions=library_versions(),
    )


def _was_cut_off(folder: Path, record: RunRecord) -> bool:
    """Return whether a folder holds the very training that is asked for, cut off on its way."""
    if not (folder / RECORD).is_file():
        return False
    earlier = read_run(folder).record
    same = (
        *("spec", "plan", "classes", "unlabelled", "cleaning", "data", "split", "gap_px"),
        *("start", "start_sha256", "labels_are", "border_px"),
    )
    return earlier.state == "training" and all(
        getattr(earlier, name) == getattr(record, name) for name in same
    )


def _refuse_others(run: Run) -> None:
    """Raise RunError where a run was not trained here: it has no state to go on from."""
    if run.record.adopted is not None or is_unpacked(run.folder):
        how = "adopted" if run.record.adopted is not None else "shared"
        raise RunError(
            f'run "{run.folder.name}" was {how} and has no training to go on with: start a new run '
            "from its weights (--start)"
        )


def _check_same(run: Run, spec: NetworkSpec, request: TrainRequest) -> None:
    record = run.record
    if record.network != spec:
        raise RunError(
            f'run "{run.folder}" has the network {record.network} with {record.network.classes} '
            f"classes, not {spec} with {spec.classes}: resume with the same, or start a new run"
        )
    now_, then = (
        sorted((h.pixels_sha256, h.labels_sha256) for h in entries)
        for entries in (_hashes(request.images), record.data)
    )
    if now_ != then:
        raise RunError(
            f'run "{run.folder}" was trained from other images or labels: to continue exactly give '
            "the same; to learn from corrected labels start a new run from its weights"
        )


@dataclass(frozen=True, slots=True)
class _Hashes:
    pixels_sha256: str
    labels_sha256: str


def _hashes(images: tuple[LabelledImage, ...]) -> list[_Hashes]:
    return [_Hashes(array_hash(image.pixels), array_hash(image.labels)) for image in images]


def _scores(validation: Any) -> dict[str, Any]:
    if validation is None:
        return {}
    return {
        "dice": validation.dice,
        "loss": validation.loss,
        "images": [{"name": name, "dice": dice} for name, dice in validation.dice_per_image],
    }


def watcher(
    request: TrainRequest,
    classes: Classes,
    finishing: Finishing = UNFINISHED,
    *,
    border: bool = False,
) -> Callable[[Any, int], Report | None]:
    """Return what predicts the watched image every few seconds."""
    import time

    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.validation import predict_fitting

    watched = request.watched
    if watched is None:
        return lambda network, epoch: None
    cleaned = standardise(clean(watched.pixels, request.cleaning))
    binning, period, halo_px = (
        request.cleaning.binning,
        request.spec.period,
        receptive_field(request.spec).halo,
    )
    window = watched.window or (
        slice(0, watched.pixels.shape[0]),
        slice(0, watched.pixels.shape[1]),
    )
    # pixels of the cleaned image below the window's, and where their field begins and ends
    below = [
        np.minimum(np.arange(side.start, side.stop) // binning, length - 1)
        for side, length in zip(window, cleaned.shape, strict=True)
    ]
    first = [max(0, int(at[0]) // period * period - halo_px) for at in below]
    last = [(int(at[-1]) // period + 1) * period + halo_px for at in below]
    part = cleaned[first[0] : last[0], first[1] : last[1]]
    finishing = watched.finishing or finishing
    below_plan = finishing.scaled(1 / binning)
    inside = np.ix_(below[0] - first[0], below[1] - first[1])
    due = time.perf_counter() + FIRST_PREVIEW_SECONDS

    def watch(network: Any, epoch: int) -> Report | None:
        nonlocal due
        if epoch > 0 and time.perf_counter() < due:
            return None
        begun = time.perf_counter()
        try:
            result = predict_fitting(
                accelerated(network).folded(),
                part,
                shares=finishing.needs_probabilities,
                border=border,
            )
        except MemoryError:
            due = math.inf
            return NoteReport("memory is full: the training continues without its live prediction")
        finished = finish_prediction(result.classes, result.shares, below_plan)
        labels = label_values(finished[inside], classes)
        took = time.perf_counter() - begun
        # at most a fifth of the time goes to looking
        due = time.perf_counter() + max(PREVIEW_SECONDS, 4 * took)
        return PreviewReport(labels, (window[0].start, window[1].start), epoch)

    return watch
