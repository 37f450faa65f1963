"""What runs in a worker: train, predict. The only place above `learning` that imports it.

Every function is called as ``function(*arguments, report=..., stopped=...)``; torch is imported
inside, so that importing this module loads none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.annotation import (
    NOT_ANNOTATED,
    AnnotatedImage,
    Classes,
    LabelledImage,
    TrainingSet,
    check_labels,
    find_classes,
    index_labels,
)
from napari_tem_rf.micrographs.cleaning import (
    Cleaning,
    bin_labels,
    clean,
    standardise,
    unbin_labels,
)
from napari_tem_rf.micrographs.splitting import split
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed
from napari_tem_rf.protocol import (
    Device,
    EpochReport,
    NoteReport,
    PreviewReport,
    ProgressReport,
    Report,
    TrainingPlan,
    Unlabelled,
)
from napari_tem_rf.runs import (
    DataEntry,
    Run,
    RunError,
    RunRecord,
    array_hash,
    create_run,
    library_versions,
    now,
    read_run,
)

Reporter = Callable[[Report], None]
Stopped = Callable[[], bool]

PREVIEW_SECONDS = 3.0
"""Time between two predictions of the watched image."""
FIRST_PREVIEW_SECONDS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """The image, or the part of it in view, whose prediction is shown while the training goes on.

    Attributes
    ----------
    pixels : ndarray, shape (row, column)
        Raw grey values of the whole image.
    window : tuple of slice, optional
        (rows, columns) to predict; the whole image when not given.
    """

    pixels: NDArray[Any]
    window: tuple[slice, slice] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TrainRequest:
    """All that a training needs.

    Attributes
    ----------
    run : Path
        Folder of the run; new, or the one to go on with when ``resume``.
    images : tuple of LabelledImage
        Raw images with their labels.
    spec : NetworkSpec
        The network; the number of classes is taken from the labels.
    plan : TrainingPlan
    unlabelled : {"ignore", "background"}
        What a label of 0 means.
    cleaning : Cleaning
    class_names, class_colors : dict of int to str
        By label value.
    start : Path, optional
        Run whose weights to start from.
    resume : bool
        Go on with the run from its checkpoint.
    watched : Watched, optional
    gap_px : int
        Least gap in px between training and validation pixels of one image; the network's halo
        where that is larger. Networks that are compared take the largest of all.
    sources, label_sources : dict of str to str
        File of each image and of its labels, by image name.
    """

    run: Path
    images: tuple[LabelledImage, ...]
    spec: NetworkSpec
    plan: TrainingPlan = field(default_factory=TrainingPlan)
    unlabelled: Unlabelled = "ignore"
    cleaning: Cleaning = field(default_factory=Cleaning)
    class_names: dict[int, str] = field(default_factory=dict)
    class_colors: dict[int, str] = field(default_factory=dict)
    start: Path | None = None
    resume: bool = False
    watched: Watched | None = None
    gap_px: int = 0
    sources: dict[str, str] = field(default_factory=dict)
    label_sources: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class PredictionResult:
    """What a run says of an image.

    Attributes
    ----------
    labels : ndarray of uint8 or uint16, shape (row, column)
        Label values of the annotation, background 0.
    probabilities : ndarray of float32, shape (class, row, column), optional
    notes : tuple of str
        Sentences for the user.
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float32] | None
    notes: tuple[str, ...] = ()


def prepare(
    images: tuple[LabelledImage, ...],
    unlabelled: Unlabelled,
    cleaning: Cleaning,
    class_names: dict[int, str] | None = None,
    class_colors: dict[int, str] | None = None,
) -> TrainingSet:
    """Return the training set of labelled images: checked, cleaned, standardised.

    Raises
    ------
    ValueError
        When labels do not fit their image or there is nothing to learn.
    """
    if not images:
        raise ValueError("there is no image to train from: give at least one with its labels")
    for image in images:
        check_labels(image.name, image.pixels, image.labels)
    classes = find_classes([i.labels for i in images], unlabelled, class_names, class_colors)
    annotated = []
    for image in images:
        labels = index_labels(bin_labels(image.labels, cleaning.binning), classes, unlabelled)
        if image.counted is not None:
            labels[bin_labels(~image.counted, cleaning.binning)] = NOT_ANNOTATED
        annotated.append(
            AnnotatedImage(
                name=image.name,
                pixels=standardise(clean(image.pixels, cleaning)),
                labels=labels,
                group=image.group or image.name,
                pixel_size_nm=cleaning.pixel_size_nm(image.pixel_size_nm),
            )
        )
    return TrainingSet(tuple(annotated), classes, unlabelled)


def train(request: TrainRequest, *, report: Reporter, stopped: Stopped) -> RunRecord:
    """Train a network into a run folder, and return its record.

    Raises
    ------
    ValueError
        When the data or the plan cannot be trained with; RunError when the folder cannot be used.
    """
    from napari_tem_rf.learning.checkpoint import read_checkpoint, write_checkpoint
    from napari_tem_rf.learning.device import pick_device
    from napari_tem_rf.learning.training import TrainedModel, TrainingState
    from napari_tem_rf.learning.training import train as run_training

    data = prepare(
        request.images,
        request.unlabelled,
        request.cleaning,
        request.class_names,
        request.class_colors,
    )
    spec = request.spec.with_classes(len(data.classes.values))
    gap_px = max(_gap_px(spec), request.gap_px)
    parts = split(data, request.plan.validation, gap_px, request.plan.seed)
    report(NoteReport(parts.sentence))
    device = pick_device(request.plan.device)
    start = None if request.start is None else _start_weights(request.start, spec)
    state: TrainingState | None = None
    if request.resume:
        run = read_run(request.run)
        _check_same(run, spec, request)
        if run.checkpoint.is_file():
            state = read_checkpoint(run.checkpoint)
        elif run.record.start is not None:  # it ended before its first epoch: begin as it did
            start = _start_weights(Path(run.record.start), spec)
        run = run.with_record(replace(run.record, plan=request.plan, state="training"))
    else:
        run = _create(request, data.classes, spec, asdict_split(parts), device.type)

    def save(state: TrainingState) -> None:
        write_checkpoint(run.checkpoint, state)
        run.write_weights({name: value.numpy() for name, value in state.best.items()})
        run.write_history(state.history)

    watch = _watcher(request, data.classes)
    training = run_training(
        parts.training,
        parts.validation,
        spec,
        request.plan,
        start=start,
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
        if isinstance(message, EpochReport):
            last = message
        report(message)
    if last is None:
        ended = "stopped" if model.stopped else "over"
        raise ValueError(
            f"the training was {ended} before its first step: resume it, and give it more time"
        )
    if state is not None and last.epoch == state.history[-1].epoch and not model.stopped:
        report(
            NoteReport(
                f"nothing was left to train after {last.epoch} epochs and {last.seconds:.0f} s: "
                "give more epochs or seconds in all"
            )
        )
    record = replace(
        run.record,
        state="stopped" if model.stopped else "finished",
        epochs=last.epoch,
        steps=last.steps,
        seconds=last.seconds,
        best_epoch=model.best_epoch,
        scores=_scores(model.validation),
    )
    run.with_record(record)
    return record


def predict(
    run: Path,
    pixels: NDArray[Any],
    tile_px: int | None = None,
    probabilities: bool = False,
    device: Device = "auto",
    *,
    report: Reporter,
    stopped: Stopped,
) -> PredictionResult | None:
    """Predict an image, shape (row, column), with a run; None when stopped."""
    from napari_tem_rf.learning.device import keep_pages
    from napari_tem_rf.learning.prediction import predict as predict_tiles

    keep_pages()
    record = read_run(run).record
    network = _network(run, _stamp(run), device)
    clean_pixels = standardise(clean(pixels, record.cleaning))
    result = predict_tiles(
        network,
        clean_pixels,
        tile_px=tile_px,
        probabilities=probabilities,
        progress=lambda fraction: report(ProgressReport(fraction, None)),
        stopped=stopped,
    )
    if result is None:
        return None
    labels = label_values(result.classes, record.classes)
    notes: tuple[str, ...] = ()
    if clean_pixels.std() == 0:
        notes = ("the image is constant: its prediction means nothing",)
    shape = (pixels.shape[0], pixels.shape[1])
    probable = result.probabilities
    if probable is not None and record.cleaning.binning > 1:
        probable = np.stack([unbin_labels(p, record.cleaning.binning, shape) for p in probable])
    return PredictionResult(unbin_labels(labels, record.cleaning.binning, shape), probable, notes)


def effective_field(
    run: Path | None,
    spec: NetworkSpec,
    pixels: NDArray[np.float32],
    at: tuple[int, int],
    seed: int = 752,
    *,
    report: Reporter,
    stopped: Stopped,
) -> EffectiveField:
    """Measure the effective receptive field of one pixel.

    Parameters
    ----------
    run : Path or None
        The trained network; None for one with random weights.
    spec : NetworkSpec
        The network of random weights; a run has its own.
    pixels : ndarray of float32, shape (row, column)
        The cleaned and standardised image, or a part of it that starts on a multiple of the
        period and holds the pixel's exact field.
    at : tuple of int
        (row, column) of the output pixel in ``pixels``.
    seed : int
        Seed of random weights: a run's seed gives the weights that it began with.
    """
    from napari_tem_rf.learning.device import keep_pages, one_thread
    from napari_tem_rf.learning.effective_field import effective_field as measure

    keep_pages()
    network = _field_network(run, 0 if run is None else _stamp(run), spec, seed)
    with one_thread():
        return measure(network, receptive_field(network.spec), pixels, at)


def mean_effective_field(
    run: Path | None,
    spec: NetworkSpec,
    pixels: NDArray[np.float32],
    at: Sequence[tuple[int, int]],
    seed: int = 752,
    *,
    report: Reporter,
    stopped: Stopped,
) -> EffectiveField:
    """Measure the effective receptive field averaged over pixels; see `effective_field`."""
    from napari_tem_rf.learning.device import keep_pages
    from napari_tem_rf.learning.effective_field import mean_effective_field as measure

    keep_pages()
    network = _field_network(run, 0 if run is None else _stamp(run), spec, seed)
    measured = 0

    def stop() -> bool:
        nonlocal measured
        measured += 1
        report(ProgressReport(measured / len(at), None))
        return stopped()

    return measure(network, receptive_field(network.spec), pixels, at, stopped=stop)


def _gap_px(spec: NetworkSpec) -> int:
    """Return how far held-out pixels must be from the training for no field to reach them."""
    field = receptive_field(spec)
    # some phases reach further from their pixel than the halo from a tile's edge
    return max(field.halo, int(field.before.max()), int(field.after.max()))


def measure_speed(
    spec: NetworkSpec, device: Device = "auto", *, report: Reporter, stopped: Stopped
) -> Speed:
    """Measure time and memory of a network's prediction on this machine."""
    from napari_tem_rf.learning.device import keep_pages, pick_device
    from napari_tem_rf.learning.network import Network
    from napari_tem_rf.learning.speed import measure_speed as measure

    keep_pages()
    return measure(Network(spec).folded().to(pick_device(device)))


def label_values(indices: NDArray[Any], classes: Classes) -> NDArray[Any]:
    """Return the label values of class indices, uint8 where they fit, else uint16."""
    values = classes.prediction_values
    return np.array(values, np.uint8 if max(values) < 256 else np.uint16)[indices]


def asdict_split(parts: Any) -> dict[str, Any]:
    """Return how a split was made, as plain JSON values."""
    return {"kind": parts.kind, "held_out": list(parts.held_out), "sentence": parts.sentence}


def _create(
    request: TrainRequest,
    classes: Classes,
    spec: NetworkSpec,
    split_record: dict[str, Any],
    device: str,
) -> Run:
    one = len(request.images) == 1
    entries, annotations = [], {}
    for number, image in enumerate(request.images, start=1):
        file = "annotation.ome.tif" if one else f"annotation_{number:04d}.ome.tif"
        annotations[file] = image.labels
        entries.append(
            DataEntry(
                name=image.name,
                group=image.group or image.name,
                shape=(image.pixels.shape[0], image.pixels.shape[1]),
                pixels_sha256=array_hash(image.pixels),
                labels_sha256=array_hash(image.labels),
                annotation=file,
                pixel_size_nm=image.pixel_size_nm,
                source=request.sources.get(image.name),
                labels_source=request.label_sources.get(image.name),
            )
        )
    sizes = [i.pixel_size_nm for i in request.images if i.pixel_size_nm is not None]
    record = RunRecord(
        name=request.run.name,
        spec=spec,
        plan=request.plan,
        classes=classes,
        unlabelled=request.unlabelled,
        cleaning=request.cleaning,
        pixel_size_nm=sizes[0] if sizes else None,
        data=tuple(entries),
        split=split_record,
        device=device,
        start=None if request.start is None else str(request.start),
        created=now(),
        versions=library_versions(),
    )
    return create_run(request.run, record, annotations)


def _check_same(run: Run, spec: NetworkSpec, request: TrainRequest) -> None:
    record = run.record
    if record.spec != spec:
        raise RunError(
            f'run "{run.folder}" has the network {record.spec} with {record.spec.classes} classes, '
            f"not {spec} with {spec.classes}: resume with the same, or start a new run"
        )
    now_, then = (
        sorted((h.pixels_sha256, h.labels_sha256) for h in entries)
        for entries in (_hashes(request.images), record.data)
    )
    if now_ != then:
        raise RunError(
            f'run "{run.folder}" was trained from other images or labels: to go on exactly give '
            "the same; to learn from corrected labels start a new run from its weights"
        )


@dataclass(frozen=True, slots=True)
class _Hashes:
    pixels_sha256: str
    labels_sha256: str


def _hashes(images: tuple[LabelledImage, ...]) -> list[_Hashes]:
    return [_Hashes(array_hash(image.pixels), array_hash(image.labels)) for image in images]


def _start_weights(folder: Path, spec: NetworkSpec) -> dict[str, NDArray[Any]]:
    run = read_run(folder)
    if run.record.spec != spec:
        raise RunError(
            f'run "{folder}" has the network {run.record.spec} with {run.record.spec.classes} '
            f"classes: its weights do not fit {spec} with {spec.classes}; pick the same network "
            "or start from nothing"
        )
    return run.read_weights()


def _scores(validation: Any) -> dict[str, Any]:
    if validation is None:
        return {}
    return {
        "dice": validation.dice,
        "loss": validation.loss,
        "images": [{"name": name, "dice": dice} for name, dice in validation.dice_per_image],
    }


def _watcher(request: TrainRequest, classes: Classes) -> Callable[[Any, int], Report | None]:
    """Return what predicts the watched image every few seconds."""
    import time

    from napari_tem_rf.learning.prediction import predict as predict_tiles

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
    inside = np.ix_(below[0] - first[0], below[1] - first[1])
    due = time.perf_counter() + FIRST_PREVIEW_SECONDS

    def watch(network: Any, epoch: int) -> Report | None:
        nonlocal due
        if time.perf_counter() < due:
            return None
        begun = time.perf_counter()
        result = predict_tiles(network.folded(), part)
        assert result is not None
        labels = label_values(result.classes[inside], classes)
        took = time.perf_counter() - begun
        # at most a fifth of the time goes to looking
        due = time.perf_counter() + max(PREVIEW_SECONDS, 4 * took)
        return PreviewReport(labels, (window[0].start, window[1].start), epoch)

    return watch


def _stamp(run: Path) -> int:
    """Return when the weights were last written: a cached network is good until then."""
    try:
        return (Path(run) / "weights.safetensors").stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=8)
def _network(run: Path, stamp: int, device: Device) -> Any:
    """Return the folded network of a run on a device, kept for the next call."""
    from napari_tem_rf.learning.device import pick_device
    from napari_tem_rf.learning.network import network_of

    opened = read_run(run)
    try:
        network = network_of(opened.record.spec, opened.read_weights())
    except ValueError as error:
        raise RunError(
            f'run "{run}": {error}; the folder was mixed up: restore it or train again'
        ) from error
    return network.folded().to(pick_device(device))


@lru_cache(maxsize=8)
def _field_network(run: Path | None, stamp: int, spec: NetworkSpec, seed: int) -> Any:
    """Return the network whose field is measured, on the CPU, kept for the next call."""
    from napari_tem_rf.learning.effective_field import prepared
    from napari_tem_rf.learning.network import random_network

    return prepared(random_network(spec, seed) if run is None else _network(run, stamp, "cpu"))


__all__ = [
    "PredictionResult",
    "TrainRequest",
    "Watched",
    "asdict_split",
    "effective_field",
    "label_values",
    "mean_effective_field",
    "measure_speed",
    "predict",
    "prepare",
    "train",
]
