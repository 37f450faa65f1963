"""What a comparison runs in a worker: train or fit one contestant, predict, score, time.

Like `napari_tem_rf.jobs`, every function is called with ``report`` and ``stopped`` and imports
`learning` inside.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf import jobs
from napari_tem_rf.comparison.ensemble import Ensemble, RunningEnsemble
from napari_tem_rf.comparison.holdout import HeldOut, HeldOutImage
from napari_tem_rf.comparison.plan import ComparisonPlan, Contestant
from napari_tem_rf.comparison.results import Costs, ImageScores, Result
from napari_tem_rf.locking import locked
from napari_tem_rf.measuring.finishing import UNFINISHED
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.peak_memory import peak_bytes
from napari_tem_rf.protocol import Device, NoteReport, ProgressReport, Report, Reporter, Stopped
from napari_tem_rf.run_record import METHODS, Method
from napari_tem_rf.runs import RECORD, Run, RunRecord, read_run
from napari_tem_rf.storage import remove

__all__ = [
    "ContestantJob",
    "contest",
    "predict_baseline",
    "predict_ensemble",
    "prediction_path",
]

_WARM_UP_PX = 64

Predictor = Callable[[NDArray[Any]], jobs.PredictionResult | None]

_METHODS: dict[str, Method] = {name: method for method, name in METHODS.items()}


class _StoppedError(Exception):
    """The owner asked to stop."""


@dataclass(frozen=True, slots=True, eq=False)
class ContestantJob:
    """All that one contestant needs.

    Attributes
    ----------
    folder : Path
        The comparison's folder.
    contestant : Contestant
    plan : ComparisonPlan
    held_out : HeldOut
    sources, label_sources : dict of str to str
        File of each image and of its labels, by image name.
    """

    folder: Path
    contestant: Contestant
    plan: ComparisonPlan
    held_out: HeldOut
    sources: dict[str, str]
    label_sources: dict[str, str]

    @property
    def place(self) -> Path:
        """Folder of the contestant's files."""
        return self.folder / self.contestant.folder


def prediction_path(folder: Path, contestant: Contestant, index: int) -> Path:
    """Return where a contestant's prediction of a held-out image, by its place, is kept."""
    return folder / contestant.folder / "held_out" / f"{index:04d}.tif"


def contest(work: ContestantJob, *, report: Reporter, stopped: Stopped) -> Result | None:
    """Train and score one contestant, or continue with it; None when stopped."""
    run = _baseline if work.contestant.spec is None else _network
    result = run(work, report, stopped)
    if result is not None:
        result.write(work.folder)
    return result


def _network(work: ContestantJob, report: Reporter, stopped: Stopped) -> Result | None:
    record = _trained(work, report, stopped)
    if record is None:
        return None
    device = work.plan.training.device
    predict = _predictor(work, stopped)
    # the first call reads and folds the weights
    predict(work.held_out.scored[0].pixels[:_WARM_UP_PX, :_WARM_UP_PX])
    scored = _scored(work, predict)
    if scored is None:
        return None
    images, seconds = scored
    costs = Costs(record.seconds, seconds, _tile_mib(record.network, device), record.device)
    return Result(work.contestant, images, costs, record.epochs, record.best_epoch)


@lru_cache
def _tile_mib(spec: NetworkSpec, device: Device) -> float:
    """Return the memory of a tile; the same for all seeds."""
    speed = jobs.time_network(spec, device, report=_silent, stopped=lambda: False)
    return speed.tile_mib


def _trained(work: ContestantJob, report: Reporter, stopped: Stopped) -> RunRecord | None:
    """Return the record of the run, finished; None when stopped."""
    spec, plan = work.contestant.spec, work.plan
    assert spec is not None
    resume = False
    if (work.place / RECORD).is_file():
        run = read_run(work.place)
        if run.record.state == "finished":
            return run.record
        resume = run.checkpoint.is_file()
    if not resume:
        _clear(work)
    request = jobs.TrainRequest(
        run=work.place,
        images=work.held_out.training,
        spec=spec,
        plan=replace(plan.training, seed=work.contestant.seed),
        unlabelled=plan.unlabelled,
        labels_are=work.held_out.labels_are,
        cleaning=plan.cleaning,
        class_names=plan.class_names,
        class_colors=plan.class_colors,
        resume=resume,
        gap_px=plan.reach_px,
        finishing=None if plan.finish else UNFINISHED,
        sources=work.sources,
        label_sources=work.label_sources,
    )

    def report_or_stop(said: Report) -> None:
        report(said)
        if stopped():
            raise _StoppedError

    # A training that ends itself counts its broken epoch as a whole one, and would then have
    # learned less than the others: from its last checkpoint it continues as if it had never
    # stopped.
    try:
        return jobs.train_run(request, report=report_or_stop, stopped=lambda: False)
    except _StoppedError:
        return None


def _baseline(work: ContestantJob, report: Reporter, stopped: Stopped) -> Result | None:
    try:
        record = _fitted(work, report, stopped)
    except jobs.NoLatticeError as error:
        # these images have nothing to filter for: no failure
        return Result(work.contestant, (), Costs(0.0, 0.0, 0.0), note=str(error))
    if record is None:
        return None
    note = _note(work.place, record)
    if note:
        report(NoteReport(f"{work.contestant.name}: {note}"))

    predict = _predictor(work, stopped)
    # the first call reads and checks the arrays, and compiles
    predict(work.held_out.scored[0].pixels[:_WARM_UP_PX, :_WARM_UP_PX])
    scored = _scored(work, predict)
    if scored is None:
        return None
    images, per_megapixel = scored
    mib = peak_bytes(lambda: predict(work.held_out.scored[0].pixels)) / 2**20
    _note_scores(work, images)
    return Result(work.contestant, images, Costs(record.seconds, per_megapixel, mib), note=note)


def _fitted(work: ContestantJob, report: Reporter, stopped: Stopped) -> RunRecord | None:
    """Fit a baseline to the training part into a run, unless it is there; None when stopped."""
    if (work.place / RECORD).is_file():
        run = read_run(work.place)
        if run.record.state == "finished":
            return run.record
    _clear(work)
    return _fit(work, work.place, stopped)


def _fit(work: ContestantJob, folder: Path, stopped: Stopped) -> RunRecord | None:
    plan = work.plan
    return jobs.fit_run(
        jobs.FitRequest(
            run=folder,
            method=_METHODS[work.contestant.name],
            images=work.held_out.training,
            # all of the training part: there is no epoch to choose
            plan=replace(plan.training, seed=work.contestant.seed, validation=0.0),
            unlabelled=plan.unlabelled,
            cleaning=plan.cleaning,
            class_names=plan.class_names,
            class_colors=plan.class_colors,
            sources=work.sources,
            label_sources=work.label_sources,
            labels_are=work.held_out.labels_are,
            finishing=None if plan.finish else UNFINISHED,
        ),
        report=_silent,
        stopped=stopped,
    )


def _clear(work: ContestantJob) -> None:
    """Remove what was cut off before its first step, unless somebody works in it."""
    if work.place.exists():
        with locked(work.place, "comparing"):
            remove(work.place)


def _predictor(work: ContestantJob, stopped: Stopped) -> Predictor:
    """Return what predicts an image: with numbered particles where those are what is annotated."""
    return partial(
        jobs.predict_with_run,
        work.place,
        device=work.plan.training.device,
        instances=work.held_out.labels_are == "particles",
        report=_silent,
        stopped=stopped,
    )


def _note(place: Path, record: RunRecord) -> str:
    """Return what a filter found, in words; a forest has nothing to tell."""
    if record.method != "fourier":
        return ""
    arrays = read_run(place).read_weights()
    side = "strong" if arrays["above"][0] else "weak"
    period = float(arrays["period_px"][0])
    return f"lattice period {period:.2f} px; particles where it is {side}"


def _note_scores(work: ContestantJob, images: Sequence[ImageScores]) -> None:
    """Tell the run how it did on the part that the comparison holds out."""
    run, held_out = read_run(work.place), work.held_out
    dice = [{"name": each.image, "dice": each.scores.dice} for each in images]
    split = {
        "kind": held_out.kind,
        "held_out": list(held_out.names),
        "sentence": held_out.sentence,
        "scored": "images" if held_out.kind == "groups" else "blocks",
    }
    scores = {"dice": float(np.mean([each.scores.dice for each in images])), "images": dice}
    run.with_record(replace(run.record, scores=scores, split=split))


def predict_baseline(
    work: ContestantJob, pixels: NDArray[Any], *, report: Reporter, stopped: Stopped
) -> NDArray[Any] | None:
    """Predict an image with a baseline; None when stopped.

    One of an earlier version is no run yet: it is fitted, with the same seed to the same training
    part, and kept.

    Parameters
    ----------
    work : ContestantJob
        Of a baseline.
    pixels : ndarray, shape (row, column)
        Raw grey values.

    Returns
    -------
    ndarray of uint8 or uint16, shape (row, column)
        Label values, background 0.

    Raises
    ------
    ValueError
        When it cannot be applied to the images of the comparison.
    """
    if not (work.place / RECORD).is_file():
        report(NoteReport(f"fitting the {work.contestant.name}"))
        if not _fit_beside(work, stopped):
            return None
    predicted = _predictor(work, stopped)(pixels)
    return None if predicted is None else predicted.labels


def _fit_beside(work: ContestantJob, stopped: Stopped) -> bool:
    """Fit a baseline whose scores are there already, and put its run beside them."""
    aside = work.place.with_name(f"{work.place.name}_fitting")
    remove(aside)
    record = _fit(work, aside, stopped)
    if record is None:
        return False
    work.place.mkdir(parents=True, exist_ok=True)
    # the record goes last: with it the run is there
    for path in sorted(aside.iterdir(), key=lambda path: path.name == RECORD):
        path.replace(work.place / path.name)
    Run(work.place, record).with_record(replace(record, name=work.place.name))
    remove(aside)
    return True


def _scored(
    work: ContestantJob, predict: Predictor
) -> tuple[tuple[ImageScores, ...], float] | None:
    """Predict, keep and score the held-out images; scores and seconds a megapixel."""
    scores: list[ImageScores] = []
    seconds = 0.0
    held_out = work.held_out
    for index, image in enumerate(held_out.scored):
        begun = time.perf_counter()
        predicted = predict(image.pixels)
        if predicted is None:
            return None
        seconds += time.perf_counter() - begun
        path = prediction_path(work.folder, work.contestant, index)
        write_labels(path, predicted.labels, image.pixel_size_nm, overwrite=True)
        found = image.score(predicted.labels, held_out.classes, predicted.instances)
        scores.append(ImageScores(image.name, found))
    return tuple(scores), seconds / _megapixels(held_out.scored)


def _megapixels(images: Sequence[HeldOutImage]) -> float:
    return sum(image.pixels.size for image in images) / 1e6


def predict_ensemble(
    runs: Sequence[Path],
    pixels: NDArray[Any],
    device: Device = "auto",
    *,
    report: Reporter,
    stopped: Stopped,
) -> Ensemble | None:
    """Predict an image with several runs of the same classes together; None when stopped.

    Parameters
    ----------
    runs : sequence of Path
        Folders of runs, such as the seeds of one network.
    pixels : ndarray, shape (row, column)
        Raw grey values.
    device : {"auto", "cpu", "cuda", "mps"}

    Raises
    ------
    ValueError
        When there is no run, or their classes differ.
    """
    records = [read_run(run).record for run in runs]
    if not records:
        raise ValueError("there is no run to predict with: give at least one")
    if len({record.classes.values for record in records}) > 1:
        raise ValueError(
            "the runs know different classes: an ensemble needs runs of the same annotation"
        )
    together = RunningEnsemble()
    for number, run in enumerate(runs):
        predicted = jobs.predict_with_run(
            Path(run), pixels, probabilities=True, device=device, report=_silent, stopped=stopped
        )
        if predicted is None:
            return None
        assert predicted.probabilities is not None
        together.add(predicted.probabilities)
        report(ProgressReport((number + 1) / len(runs), None))
    return together.result(np.array(records[0].classes.prediction_values))


def _silent(report: Report) -> None:
    """Ignore the report: the comparison as a whole has its own progress."""
