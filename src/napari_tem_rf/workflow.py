"""The way from images to masks in Python: train, predict, look at the field.

Everything runs in this process; `napari_tem_rf.engine` gives the same work to other processes.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_tem_rf import jobs
from napari_tem_rf.jobs.orientations import settled
from napari_tem_rf.jobs.pixel_sizes import finishing_for, size_sentence, wished_resampling
from napari_tem_rf.jobs.repeating import repetition
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.micrographs.label_meaning import find_meaning, in_words
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.movies.drift import measure_drift
from napari_tem_rf.movies.steadying import Steadying, neighbours_of
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import (
    LabelsAre,
    NoteReport,
    Report,
    Reporter,
    Stopped,
    TrainingPlan,
    Unlabelled,
    default_plan,
)
from napari_tem_rf.run_record import Method
from napari_tem_rf.runs import Run, read_run
from napari_tem_rf.starting import DEFAULT, named_start

__all__ = [
    "adopt",
    "effective_field",
    "fit_baseline",
    "predict",
    "predict_movie",
    "repeat",
    "share",
    "train",
]

Result = TypeVar("Result")


def _silent(report: Report) -> None:
    """Ignore the report."""


def train(
    images: Sequence[Micrograph | ArrayLike],
    labels: Sequence[ArrayLike],
    run: str | Path,
    spec: NetworkSpec = FIRST_NETWORK,
    plan: TrainingPlan | None = None,
    *,
    unlabelled: Unlabelled | None = None,
    labels_are: LabelsAre = "auto",
    cleaning: Cleaning | None = None,
    groups: Sequence[str] | None = None,
    start: str | Path | None = DEFAULT,
    finishing: Finishing | None = None,
    on_report: Reporter = _silent,
    stopped: Stopped = lambda: False,
) -> Run:
    """Train a network on annotated images into a new run folder.

    Parameters
    ----------
    images : sequence of Micrograph or array, each of shape (row, column)
        Raw images.
    labels : sequence of array of int, each of shape (row, column)
        Labels of the images, in their order.
    run : str or Path
        Folder to make.
    spec : NetworkSpec
        The network; the number of classes comes from the labels.
    plan : TrainingPlan, optional
        How to train; when not given as window and command line do, `protocol.default_plan`.
    unlabelled : {"ignore", "background"}, optional
        What a label of 0 means: not annotated, or background (a finished mask). When not given it
        is background beside numbered particles, and not annotated beside classes.
    labels_are : {"auto", "classes", "particles"}
        Whether label values are classes, or a number for each particle: then the network learns the
        border of particles too, and tells those that touch apart. "auto" looks at the labels and
        says in a report what it takes them for.
    cleaning : Cleaning, optional
        What is done to the pixels first; repeated at prediction.
    groups : sequence of str, optional
        Exposure of each image: images of one are never split between training and validation.
    start : str or Path, optional
        Run whose weights to start from, "simulated" for those of simulated micrographs, which
        come with the program for some networks, or None for new ones. "default" is "simulated"
        where such weights come for the network, unless the plan is that of a paper.
    finishing : Finishing, optional
        How the run's masks are finished; suggested from the annotation when not given.
    on_report : callable
        Receives the reports of the training.
    stopped : callable
        Asked before every batch; when true, the training ends and keeps the best weights.

    Returns
    -------
    Run
        The run folder and its record, scores included.

    Raises
    ------
    ValueError
        When images, labels or plan cannot be trained with; the message says what to do.
    """
    plan = plan or default_plan()
    arrays = [np.asarray(each) for each in labels]
    meaning = find_meaning(arrays, unlabelled, labels_are)
    if meaning.numbered:
        on_report(NoteReport(in_words(meaning)))
    request = jobs.TrainRequest(
        run=Path(run),
        images=_all_labelled(images, arrays, groups),
        spec=spec,
        plan=plan,
        unlabelled=meaning.unlabelled,
        labels_are="particles" if meaning.numbered else "classes",
        cleaning=cleaning or Cleaning(),
        start=named_start(start, spec, plan.preset),
        finishing=finishing,
    )
    jobs.train_run(request, report=on_report, stopped=stopped)
    return read_run(run)


def fit_baseline(
    images: Sequence[Micrograph | ArrayLike],
    labels: Sequence[ArrayLike],
    run: str | Path,
    method: Method = "forest",
    *,
    seed: int | None = None,
    validation: float | None = None,
    unlabelled: Unlabelled | None = None,
    labels_are: LabelsAre = "auto",
    cleaning: Cleaning | None = None,
    groups: Sequence[str] | None = None,
    on_report: Reporter = _silent,
    stopped: Stopped = lambda: False,
) -> Run | None:
    """Fit a baseline to annotated images into a new run folder; `predict` uses it like any other.

    Parameters
    ----------
    images, labels, run, unlabelled, labels_are, cleaning, groups, on_report
        As for `train`; a baseline learns numbered particles as one class.
    method : {"forest", "fourier"}
        A random forest, or a filter for the lattice's spacing.
    seed : int, optional
        Seed of the draw of pixels and of what is held out; that of a training when not given.
    validation : float, optional
        Fraction held out for a score; that of a training when not given.
    stopped : callable
        Asked before each image; when true, nothing is kept.

    Returns
    -------
    Run or None
        The run folder and its record, scores included; None when stopped.

    Raises
    ------
    ValueError
        When images or labels cannot be learned from; the message says what to do.
    """
    plan = default_plan()
    arrays = [np.asarray(each) for each in labels]
    meaning = find_meaning(arrays, unlabelled, labels_are)
    if meaning.numbered:
        on_report(NoteReport(in_words(meaning)))
    request = jobs.FitRequest(
        run=Path(run),
        method=method,
        images=_all_labelled(images, arrays, groups),
        plan=replace(
            plan,
            seed=plan.seed if seed is None else seed,
            validation=plan.validation if validation is None else validation,
        ),
        unlabelled=meaning.unlabelled,
        labels_are="particles" if meaning.numbered else "classes",
        cleaning=cleaning or Cleaning(),
    )
    record = jobs.fit_run(request, report=on_report, stopped=stopped)
    return None if record is None else read_run(run)


def repeat(
    run: str | Path | Run,
    folder: str | Path,
    images: Sequence[str | Path] = (),
    *,
    on_report: Reporter = _silent,
    stopped: Stopped = lambda: False,
) -> Run:
    """Train a run again, exactly as it was trained, into a new run folder.

    On the CPU of the same machine, with the same libraries, the weights come out the same.

    Parameters
    ----------
    run : str, Path or Run
        The run, whose training has ended.
    folder : str or Path
        Folder to make.
    images : sequence of str or Path, optional
        Image files or folders, if the images are no longer where the run found them.
    on_report, stopped : callable
        As for `train`.

    Returns
    -------
    Run
        The new run.

    Raises
    ------
    ValueError
        When images, labels or first weights are gone or have changed.
    """
    opened = run if isinstance(run, Run) else read_run(run)
    again = repetition(opened, folder, images)
    for note in again.notes:
        on_report(NoteReport(note))
    jobs.train_run(again.request, report=on_report, stopped=stopped)
    return read_run(folder)


def predict(
    run: str | Path | Run,
    image: Micrograph | ArrayLike,
    *,
    tile_px: int | None = None,
    probabilities: bool = False,
    resample: bool | None = None,
    finishing: Finishing | None = None,
    instances: bool = False,
    neck: float = Finding().neck,
) -> jobs.PredictionResult:
    """Predict an image with a run.

    Parameters
    ----------
    run : str, Path or Run
        The run.
    image : Micrograph or array, shape (row, column)
        Raw image of any size.
    tile_px : int, optional
        Side of a tile without its halo; the labels do not depend on it.
    probabilities : bool
        Whether to return probabilities too.
    resample : bool, optional
        Show a Micrograph of another pixel size to the network at the size that it was trained at;
        labels and probabilities come back on the image's own pixels. When not given, so where its
        size is known and the receptive field still finds room; a note says it.
    finishing : Finishing, optional
        How the mask is finished, lengths in px of the training images; the run's own way when not
        given. ``Finishing(enabled=False)`` leaves each pixel as the network decided.
    instances : bool
        Whether to number the particles too: told apart by their borders where the run learned from
        numbered particles, else at the necks of the mask.
    neck : float
        How narrow a neck has to be, where particles are told apart at necks; see `Finding`.

    Returns
    -------
    PredictionResult
        Labels of the annotation's values with background 0, shape (row, column), and in
        ``expected`` how good they are expected to be, and why.

    Raises
    ------
    ValueError
        When the image is not (row, column), or its pixels are too large to resample from.
    """
    size = image.pixel_size_nm if isinstance(image, Micrograph) else None
    record, pixels = read_run(_folder(run)).record, _pixels(image)
    result = jobs.predict_with_run(
        _folder(run),
        pixels,
        tile_px,
        probabilities,
        "auto",
        wished_resampling(record, size, pixels.shape, resample),
        finishing_for(record, size, finishing),
        False,
        instances,
        neck,
        size,
        True,
        report=_silent,
        stopped=lambda: False,
    )
    assert result is not None
    said = size_sentence(record, size, pixels.shape, resample)
    return replace(result, notes=(*result.notes, said)) if said else result


def predict_movie(
    run: str | Path | Run,
    series: Micrograph | Sequence[ArrayLike],
    *,
    steady: int = 0,
    tile_px: int | None = None,
    probabilities: bool = False,
    resample: bool | None = None,
    finishing: Finishing | None = None,
    instances: bool = False,
    neck: float = Finding().neck,
) -> Iterator[jobs.PredictionResult]:
    """Predict a series frame by frame, steadily if wished.

    Whatever its length, no more frames are in the memory than the masks are steadied over.

    Parameters
    ----------
    run : str, Path or Run
        The run.
    series : Micrograph or sequence of arrays, each of shape (row, column)
        May be lazy: frames are asked for one by one, twice where masks are made steady.
    steady : int
        Over how many frames before and after each the network's probabilities are averaged, along
        the drift of the series, before the mask is finished. Frames that are black are left out
        of it.
    tile_px, probabilities, resample, finishing, instances, neck
        As for `predict`.

    Yields
    ------
    PredictionResult
        Of each frame in turn.

    Raises
    ------
    ValueError
        When there is no frame, frames are of several sizes, or pixels are too large to resample
        from.
    """
    reach = Steadying(steady).frames
    size = series.pixel_size_nm if isinstance(series, Micrograph) else None
    count = series.frames if isinstance(series, Micrograph) else len(series)
    if not count:
        raise ValueError("the series has no frames: give at least one")

    def frame(index: int) -> NDArray[Any]:
        return _pixels(series.frame(index) if isinstance(series, Micrograph) else series[index])

    folder, record = _folder(run), read_run(_folder(run)).record
    shape = frame(0).shape
    resampling = wished_resampling(record, size, shape, resample)
    finish = settled(finishing_for(record, size, finishing), record, shape, resampling, count)
    if not reach or count < 2:
        for index in range(count):
            result = jobs.predict_with_run(
                *(folder, frame(index), tile_px, probabilities, "auto", resampling, finish),
                *(False, instances, neck, size, True),
                report=_silent,
                stopped=lambda: False,
            )
            assert result is not None
            yield result
        return
    drift = _end_of(measure_drift(frame, count))
    said: dict[int, jobs.FrameSaid] = {}
    for index in range(count):
        around = neighbours_of(index, count, reach, drift.left_out)
        for each in around:
            if each not in said:
                pixels = frame(each)
                if pixels.shape != shape:
                    raise ValueError(
                        f"frame {each} is {pixels.shape[0]} x {pixels.shape[1]} px and the first "
                        f"is {shape[0]} x {shape[1]}: steady masks need frames of one size"
                    )
                looked = jobs.look_at_frame(
                    *(folder, pixels, tile_px, "auto", resampling, size, True, finish),
                    report=_silent,
                    stopped=lambda: False,
                )
                assert looked is not None
                said[each] = looked
        yield jobs.predict_steadily(
            folder,
            [said[each] for each in around],
            drift.offsets_px[list(around)] - drift.offsets_px[index],
            around.index(index),
            probabilities=probabilities,
            resampling=resampling,
            finishing=finish,
            instances=instances,
            neck=neck,
            report=_silent,
            stopped=lambda: False,
        )
        for old in [each for each in said if each <= index - reach]:
            del said[old]


def effective_field(
    run: str | Path | Run, image: Micrograph | ArrayLike, at: tuple[int, int]
) -> EffectiveField:
    """Measure how strongly each pixel of an image influences one output pixel of a run.

    Parameters
    ----------
    run : str, Path or Run
        The run.
    image : Micrograph or array, shape (row, column)
        Raw image.
    at : tuple of int
        (row, column) of the output pixel, after binning where the run bins.

    Returns
    -------
    EffectiveField
        The absolute gradient of the class margin, its total, and the sides of the smallest
        squares that hold 50 % and 95 % of it.

    Raises
    ------
    ValueError
        When the pixel is outside the image.
    """
    record = read_run(_folder(run)).record
    return jobs.measure_effective_field(
        _folder(run),
        record.network,
        standardise(clean(_pixels(image), record.cleaning)),
        at,
        record.plan.seed,
        report=_silent,
        stopped=lambda: False,
    )


def share(
    run: str | Path | Run,
    out: str | Path,
    shared_as: jobs.SharedAs = "run",
    *,
    annotation: bool = False,
    images: bool = False,
    authors: Sequence[str] = (),
    licence: str | None = None,
    on_report: Reporter = _silent,
) -> Path:
    """Write a run as one file, for a colleague or another program.

    Parameters
    ----------
    run : str, Path or Run
        The run.
    out : str or Path
        The file; nothing is overwritten.
    shared_as : {"run", "bioimage.io", "onnx"}
        A zip that stands for the run's folder everywhere, a model of the BioImage Model Zoo, or an
        ONNX graph. The last two need the extra ``share``.
    annotation, images : bool
        Whether the labels that it was trained from, or labels and images, go into a "run"; with
        ``images`` a model's sample is the run's first image.
    authors : sequence of str
        Who trained it, for a model.
    licence : str, optional
        SPDX name of a model's licence; CC-BY-4.0 when not given.
    on_report : callable
        Receives notes.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        When the run cannot be shared so; the message says why.
    """
    request = jobs.ShareRequest(
        run=_folder(run),
        shared_as=shared_as,
        out=Path(out),
        annotation=annotation,
        images=images,
        authors=tuple(authors),
        licence=licence,
    )
    return jobs.share_run(request, report=on_report, stopped=lambda: False)


def adopt(
    file: str | Path,
    run: str | Path,
    *,
    pools: Sequence[int],
    pixel_size_nm: tuple[float, float] | None,
    sees: tuple[float, float] = (0.0, 1.0),
    dilations: Sequence[int] = (),
    class_names: Sequence[str] = (),
    part: str | None = None,
    skip_first: bool = True,
    norm_epsilon: float | None = None,
    licence: str = "",
    source: str = "",
    on_report: Reporter = _silent,
) -> Run:
    """Make a run of weights of the same family that were trained elsewhere.

    Parameters
    ----------
    file : str or Path
        Safetensors, a state dict or checkpoint of ``torch.save``, or HDF5.
    run : str or Path
        Folder to make.
    pools : sequence of int
        Sizes of the max pools, that of the image's own level first.
    pixel_size_nm : tuple of float, optional
        (row, column) pixel size in nm at which it was trained; None where it is not known.
    sees : tuple of float
        Mean and standard deviation of the images as the network was shown them there.
    dilations, class_names, part, skip_first, norm_epsilon, licence, source
        As for `napari_tem_rf.jobs.AdoptRequest`.
    on_report : callable
        Receives notes on what was taken for granted.

    Returns
    -------
    Run
        The run, without scores.

    Raises
    ------
    ValueError
        When the file holds no network of the family; the message says in what it differs.
    """
    request = jobs.AdoptRequest(
        file=Path(file),
        run=Path(run),
        pools=tuple(pools),
        dilations=tuple(dilations),
        pixel_size_nm="unknown" if pixel_size_nm is None else pixel_size_nm,
        sees=sees,
        class_names=tuple(class_names),
        part=part,
        skip_first=skip_first,
        norm_epsilon=norm_epsilon,
        licence=licence,
        source=source,
    )
    jobs.adopt_weights(request, report=on_report, stopped=lambda: False)
    return read_run(run)


def _end_of(job: Generator[float, None, Result]) -> Result:
    """Run a job to its end, and return what it returns."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            result: Result = end.value
            return result


def _folder(run: str | Path | Run) -> Path:
    return run.folder if isinstance(run, Run) else Path(run)


def _pixels(image: Micrograph | ArrayLike) -> NDArray[Any]:
    pixels = image.frame() if isinstance(image, Micrograph) else np.asarray(image)
    if pixels.ndim != 2:
        raise ValueError(
            f"the image has the shape {pixels.shape}: give one of shape (row, column), "
            "a frame of a series at a time"
        )
    return pixels


def _all_labelled(
    images: Sequence[Micrograph | ArrayLike],
    labels: Sequence[ArrayLike],
    groups: Sequence[str] | None,
) -> tuple[LabelledImage, ...]:
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images have {len(labels)} labels: give one per image")
    if groups is not None and len(groups) != len(images):
        raise ValueError(f"{len(images)} images have {len(groups)} groups: give one per image")
    return tuple(
        _labelled(image, np.asarray(each), index, "" if groups is None else groups[index])
        for index, (image, each) in enumerate(zip(images, labels, strict=True))
    )


def _labelled(
    image: Micrograph | ArrayLike, labels: NDArray[Any], index: int, group: str
) -> LabelledImage:
    name = image.name if isinstance(image, Micrograph) else f"image {index + 1}"
    size = image.pixel_size_nm if isinstance(image, Micrograph) else None
    dose = image.dose if isinstance(image, Micrograph) else None
    return LabelledImage(name, _pixels(image), labels, size, group, dose=dose)
