"""Fit a baseline into a run folder: a random forest, or a Fourier filter."""

import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tem_rf.jobs.finishing import suggest_from
from napari_tem_rf.jobs.kept import common_pixel_size, data_entries, kept_labels
from napari_tem_rf.jobs.request import TrainRequest, prepare
from napari_tem_rf.jobs.training import asdict_split
from napari_tem_rf.locking import locked
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.measuring.finishing_suggestion import Suggestion
from napari_tem_rf.micrographs.annotation import LabelledImage, TrainingSet
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.splitting import Split, split
from napari_tem_rf.protocol import (
    LabelsAre,
    NoteReport,
    Reporter,
    Stopped,
    TrainingPlan,
    Unlabelled,
    default_plan,
)
from napari_tem_rf.run_record import BASELINE_FORMAT, METHODS, Method
from napari_tem_rf.runs import RunError, RunRecord, create_run, library_versions, now

if TYPE_CHECKING:
    from napari_tem_rf.learning.baselines import Baseline

__all__ = ["FitRequest", "NoLatticeError", "fit_instead", "fit_run"]


class NoLatticeError(ValueError):
    """The Fourier filter finds nothing to filter for."""


@dataclass(frozen=True, slots=True, eq=False)
class FitRequest:
    """All that fitting a baseline needs.

    Attributes
    ----------
    run : Path
        Folder of the run; new.
    method : {"forest", "fourier"}
    images : tuple of LabelledImage
        Raw images with their labels.
    plan : TrainingPlan
        Its seed draws the pixels that a forest learns from, and what is held out; its
        ``validation`` is the part that is held out for a score. Nothing else of it counts.
    unlabelled : {"ignore", "background"}
        What a label of 0 means.
    cleaning : Cleaning
    class_names, class_colors : dict of int to str
        By label value.
    sources, label_sources : dict of str to str
        File of each image and of its labels, by image name.
    labels_are : {"classes", "particles"}
        What the label values are; a baseline learns numbered particles as one class.
    finishing : Finishing, optional
        How its masks are finished; suggested from the annotation when not given.
    """

    run: Path
    method: Method
    images: tuple[LabelledImage, ...]
    plan: TrainingPlan = field(default_factory=default_plan)
    unlabelled: Unlabelled = "ignore"
    cleaning: Cleaning = field(default_factory=Cleaning)
    class_names: dict[int, str] = field(default_factory=dict)
    class_colors: dict[int, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    label_sources: dict[str, str] = field(default_factory=dict)
    labels_are: LabelsAre = "classes"
    finishing: Finishing | None = None


def fit_instead(request: TrainRequest, method: Method) -> FitRequest:
    """Return what fits a baseline to what a network would have been trained on."""
    shared = {each.name for each in fields(FitRequest)} - {"method"}
    return FitRequest(method=method, **{name: getattr(request, name) for name in shared})


def fit_run(request: FitRequest, *, report: Reporter, stopped: Stopped) -> RunRecord | None:
    """Fit a baseline into a run folder, and return its record; None, and no run, when stopped.

    Raises
    ------
    ValueError
        When the data cannot be learned from: NoLatticeError where there is no lattice, RunError
        when the folder cannot be used, BusyError when somebody else works in it.
    """
    if request.method not in ("forest", "fourier"):
        raise ValueError(f'"{request.method}" is no baseline: it must be forest or fourier')
    if request.run.is_file():
        raise RunError(f'"{request.run}" is a file: name a folder that does not exist yet')
    with locked(request.run, "training"):
        return _fit_run(request, report, stopped)


def _fit_run(request: FitRequest, report: Reporter, stopped: Stopped) -> RunRecord | None:
    data = prepare(
        request.images,
        request.unlabelled,
        request.cleaning,
        request.class_names,
        request.class_colors,
        request.labels_are,
    ).without_border
    parts = _split(request, data)
    report(NoteReport(parts.sentence))
    suggestion = _finishing(request, data)
    record = RunRecord(
        name=request.run.name,
        spec=None,
        plan=request.plan,
        classes=data.classes,
        unlabelled=request.unlabelled,
        cleaning=request.cleaning,
        pixel_size_nm=common_pixel_size(request.images),
        data=data_entries(request.images, request.sources, request.label_sources),
        split={**asdict_split(parts), "scored": _scored(data, parts)},
        device="cpu",
        created=now(),
        versions=library_versions(),
        format=BASELINE_FORMAT,
        method=request.method,
        finishing=suggestion.finishing,
        finishing_reason=suggestion.reason,
    )
    labels = kept_labels(request.images)
    run = create_run(request.run, record, labels)
    begun = time.perf_counter()
    try:
        report(NoteReport(f"fitting the {METHODS[request.method]}"))
        fitted = _fitted(request, parts.training, stopped)
        if fitted is None:
            run.discard(labels)
            return None
        run.write_weights(fitted.to_arrays())
    except Exception:
        run.discard(labels)
        raise
    seconds = time.perf_counter() - begun
    scores = _scores(fitted, parts.validation)
    record = replace(record, state="finished", seconds=seconds, scores=scores)
    run.with_record(record)
    return record


def _split(request: FitRequest, data: TrainingSet) -> Split:
    from napari_tem_rf.learning.pixel_features import FOREST_REACH_PX

    # a filter has three numbers to learn, none of them from one place
    gap_px = FOREST_REACH_PX if request.method == "forest" else 0
    return split(data, request.plan.validation, gap_px, request.plan.seed)


def _finishing(request: FitRequest, data: TrainingSet) -> Suggestion:
    from napari_tem_rf.learning.pixel_features import FOREST_REACH_PX

    if request.finishing is not None:
        return Suggestion(request.finishing, "as it was chosen before")
    return suggest_from(data.images, FOREST_REACH_PX, request.cleaning, is_network=False)


def _scored(data: TrainingSet, parts: Split) -> str:
    """Return what is scored, in a word."""
    if data.is_sparse:
        return "strokes"
    return "blocks" if parts.kind == "blocks" else "images"


def _fitted(request: FitRequest, data: TrainingSet, stopped: Stopped) -> "Baseline | None":
    from napari_tem_rf.learning.baselines import fit_forest, fit_fourier_filter

    if stopped():
        return None
    if request.method == "forest":
        number = len(data.classes.values)
        return fit_forest(data.images, request.plan.seed, stopped=stopped, classes=number)
    try:
        return fit_fourier_filter(data.images)
    except ValueError as error:
        raise NoLatticeError(str(error)) from error


def _scores(fitted: "Baseline", held_out: TrainingSet) -> dict[str, Any]:
    """Return the Dice of the annotated pixels that were held out, as a network's record has it."""
    from napari_tem_rf.learning.validation import foreground_dice

    if not held_out.images:
        return {}
    images = []
    for image in held_out.images:
        known = image.labels >= 0
        found = fitted.predict(image.pixels)[known]
        score = foreground_dice(found, image.labels[known], len(held_out.classes.values))
        images.append({"name": image.name, "dice": score})
    return {"dice": float(np.mean([each["dice"] for each in images])), "images": images}
