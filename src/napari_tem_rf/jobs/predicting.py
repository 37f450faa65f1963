"""Predict images with a run, and say how long that takes here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.jobs.judging import Saying, judge, nothing_to_judge_by
from napari_tem_rf.jobs.orientations import NUMBER_OF, settled
from napari_tem_rf.jobs.pixel_sizes import finishing_for
from napari_tem_rf.jobs.turns import share_of, taking_turns
from napari_tem_rf.measuring.expected_dice import ExpectedDice, cannot_judge
from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing, finish_prediction
from napari_tem_rf.measuring.instances import find_particles
from napari_tem_rf.measuring.probable_particles import (
    finished_numbers,
    particles_of_probabilities,
)
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.annotation import (
    Classes,
)
from napari_tem_rf.micrographs.cleaning import (
    Cleaning,
    clean,
    standardise,
    unbin_labels,
)
from napari_tem_rf.micrographs.extremes import extremes_note
from napari_tem_rf.micrographs.resampling import (
    Resampling,
    resample_image,
    resample_labels,
    resample_probabilities,
)
from napari_tem_rf.movies.steadying import averaged_along
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed
from napari_tem_rf.protocol import (
    Device,
    ProgressReport,
    Reporter,
    Stopped,
)
from napari_tem_rf.run_record import METHODS, RunRecord
from napari_tem_rf.runs import (
    RunError,
    read_run,
    run_folder,
)


@dataclass(frozen=True, slots=True, eq=False)
class PredictionResult:
    """What a run says of an image.

    Attributes
    ----------
    labels : ndarray of uint8 or uint16, shape (row, column)
        Label values of the annotation, background 0.
    probabilities : ndarray of float32, shape (class, row, column), optional
        Of the annotation's classes.
    instances : ndarray of int32, shape (row, column), optional
        A number for each particle, 0 elsewhere: told apart by the border that the run learned from
        numbered particles, or else by the necks of the mask.
    notes : tuple of str
        Sentences for the user.
    classes : ndarray of uint8, shape (row, column), optional
        Index of each pixel's most probable class, averaged over the orientations, before anything
        else was done to the mask.
    shares : ndarray of uint8, shape (class - 1, row, column), optional
        Probabilities in 255ths of all classes but the background.
    finishing : Finishing
        How the labels were finished, with the number of orientations that time allowed.
    expected : ExpectedDice, optional
        The Dice to expect of them, and why; None where it was not asked for.
    """

    labels: NDArray[Any]
    probabilities: NDArray[np.float32] | None
    notes: tuple[str, ...] = ()
    classes: NDArray[np.uint8] | None = None
    shares: NDArray[np.uint8] | None = None
    finishing: Finishing = UNFINISHED
    instances: NDArray[np.int32] | None = None
    expected: ExpectedDice | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FrameSaid:
    """What a run says of a frame of a series, before anything is made of it.

    Attributes
    ----------
    shares : ndarray of uint8, shape (class, row, column)
        Probabilities in 255ths of all that the network tells apart but the background, on the
        pixels that it saw.
    shape : tuple of int
        (row, column) of the frame.
    notes : tuple of str
        Sentences for the user.
    expected : ExpectedDice, optional
        The Dice to expect of its mask, and why; None where it was not asked for.
    """

    shares: NDArray[np.uint8]
    shape: tuple[int, int]
    notes: tuple[str, ...] = ()
    expected: ExpectedDice | None = None


def predict_with_run(
    run: Path,
    pixels: NDArray[Any],
    tile_px: int | None = None,
    probabilities: bool = False,
    device: Device = "auto",
    resampling: Resampling | None = None,
    finishing: Finishing | None = None,
    keep: bool = False,
    instances: bool = False,
    neck: float = Finding().neck,
    pixel_size_nm: tuple[float, float] | None = None,
    judged: bool = False,
    *,
    report: Reporter,
    stopped: Stopped,
) -> PredictionResult | None:
    """Predict an image, shape (row, column), with a run, a baseline's too; None when stopped.

    With a ``resampling`` the network sees the image at the pixel size that it was trained at; what
    comes back is on the image's own pixels. The mask is finished as the run says, or as
    ``finishing`` does with its lengths in px of the image; probabilities are the network's own,
    averaged over the orientations that it was asked in. With ``keep`` comes back what it takes to
    finish it in another way (`finish_again`).

    With ``instances`` particles are numbered too. Where the run learned a border, they are told
    apart on the whole image, at the pixel size that the network saw; where it learned classes
    alone, touching ones are split at necks narrower than ``neck``, as `Finding` says.

    With ``judged`` comes back how good the mask is expected to be; ``pixel_size_nm``, that of the
    image, takes part in it. What was learned of that is of masks from one orientation, and so is
    what is expected: the mean over several is, if anything, better.
    """
    record = read_run(run).record
    finishing = _finishing(record, finishing, resampling, pixels)
    with taking_turns(pixels.size):
        said = _what_it_says(
            *(record, run, pixels, tile_px, device, resampling),
            number=NUMBER_OF[finishing.orientations],
            probabilities=probabilities or (instances and record.parts_particles),
            shares=keep or finishing.needs_probabilities or _can_be_judged(record, judged),
            report=report,
            stopped=stopped,
        )
        if said is None:
            return None
        network, first, notes, seen = said
        result = _result(
            *(record, network, (pixels.shape[0], pixels.shape[1]), probabilities, resampling),
            finishing=finishing,
            keep=keep,
            instances=instances,
            neck=neck,
            notes=notes,
        )
        if not judged:
            return result
        nm = pixel_size_nm if resampling is None else resampling.network_nm
        mask: NDArray[Any] = result.labels
        if first is not network:
            mask = finish_prediction(first.classes, first.shares, _on_seen(finishing, seen, pixels))
        expected = _judged(run, record, device, seen, first, mask, nm)
        return replace(result, expected=expected)


def look_at_frame(
    run: Path,
    pixels: NDArray[Any],
    tile_px: int | None = None,
    device: Device = "auto",
    resampling: Resampling | None = None,
    pixel_size_nm: tuple[float, float] | None = None,
    judged: bool = False,
    finishing: Finishing | None = None,
    *,
    report: Reporter,
    stopped: Stopped,
) -> FrameSaid | None:
    """Return what a run says of a frame, for `predict_steadily`; None when stopped.

    Parameters are those of `predict_with_run`.
    """
    record = read_run(run).record
    parts = record.parts_particles
    finishing = _finishing(record, finishing, resampling, pixels)
    with taking_turns(pixels.size):
        said = _what_it_says(
            *(record, run, pixels, tile_px, device, resampling),
            number=NUMBER_OF[finishing.orientations],
            probabilities=parts,
            shares=not parts or _can_be_judged(record, judged),
            report=report,
            stopped=stopped,
        )
        if said is None:
            return None
        network, first, notes, seen = said
        expected = None
        if judged:
            nm = pixel_size_nm if resampling is None else resampling.network_nm
            # the frame by itself, on the pixels that the network saw
            mask = finish_prediction(first.classes, first.shares, _on_seen(finishing, seen, pixels))
            expected = _judged(run, record, device, seen, first, mask, nm)
    shares = network.shares
    if parts:
        shares = np.rint(255 * network.probabilities[1:]).astype(np.uint8)
    return FrameSaid(shares, (pixels.shape[0], pixels.shape[1]), notes, expected)


def predict_steadily(
    run: Path,
    frames: Sequence[FrameSaid],
    ahead_px: NDArray[np.float64],
    frame: int,
    probabilities: bool = False,
    resampling: Resampling | None = None,
    finishing: Finishing | None = None,
    instances: bool = False,
    neck: float = Finding().neck,
    *,
    report: Reporter,
    stopped: Stopped,
) -> PredictionResult:
    """Predict a frame of a series from what a run says of it and of its neighbours.

    Probabilities are averaged along the drift, then everything is done as `predict_with_run` does
    it. Notes and what is expected are those of the frame by itself.

    Parameters
    ----------
    run : Path
    frames : sequence of FrameSaid
    ahead_px : ndarray, shape (frame, 2)
        How much further what is seen has moved in each of them than in the one that is predicted,
        (row, column) in px of the image.
    frame : int
        Which of them is predicted.
    probabilities, resampling, finishing, instances, neck
        As for `predict_with_run`; probabilities are of 255ths.
    report, stopped : callable
    """
    record, own = read_run(run).record, frames[frame]
    # the network may have seen the image with other pixels
    ratios = np.divide(own.shares.shape[1:], own.shape)
    likely = averaged_along([each.shares for each in frames], list(ahead_px * ratios))
    background = np.maximum(1 - likely.sum(axis=0, keepdims=True), 0)
    told = likely
    if record.border_px is not None:
        told = np.concatenate([likely[:-2], likely[-2:].sum(axis=0, keepdims=True)])
    network = _Said(
        np.concatenate([background, told]).argmax(axis=0).astype(np.uint8),
        np.concatenate([background, likely]),
        np.rint(255 * told).astype(np.uint8),
    )
    return _result(
        *(record, network, own.shape, probabilities, resampling),
        finishing=_finishing(record, finishing, resampling, own),
        instances=instances,
        neck=neck,
        notes=own.notes,
        expected=own.expected,
    )


def _can_be_judged(record: RunRecord, judged: bool) -> bool:
    return judged and not nothing_to_judge_by(record)


def _on_seen(finishing: Finishing, seen: NDArray[Any], pixels: NDArray[Any]) -> Finishing:
    """Return a plan for the image with its lengths in px of what the network saw of it."""
    return finishing.scaled(float(np.sqrt(seen.size / max(1, pixels.size))))


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What a network says of an image on the pixels that it saw; see `learning.prediction`."""

    classes: NDArray[np.uint8]
    probabilities: NDArray[np.float32] | None
    shares: NDArray[np.uint8] | None


def _finishing(
    record: RunRecord,
    finishing: Finishing | None,
    resampling: Resampling | None,
    image: NDArray[Any] | FrameSaid,
) -> Finishing:
    """Return how the mask is finished, and in how many orientations the network is asked."""
    if finishing is None:
        finishing = finishing_for(record, None if resampling is None else resampling.image_nm)
    return settled(finishing, record, (image.shape[0], image.shape[1]), resampling)


def _what_it_says(
    record: RunRecord,
    run: Path,
    pixels: NDArray[Any],
    tile_px: int | None,
    device: Device,
    resampling: Resampling | None,
    *,
    number: int,
    probabilities: bool,
    shares: bool,
    report: Reporter,
    stopped: Stopped,
) -> tuple[Any, Saying, tuple[str, ...], NDArray[np.float32]] | None:
    """Return what a run says of an image in so many orientations and of the image as it lies.

    With that come notes for the user and what the network saw.
    """
    clean_pixels = standardise(_seen(pixels, record.cleaning, resampling))
    named: dict[str, Any] = {
        "tile_px": tile_px,
        "probabilities": probabilities,
        "shares": shares,
        "progress": lambda fraction: report(ProgressReport(fraction, None)),
        "stopped": stopped,
        **({"border": True} if record.parts_particles else {}),
    }
    first: list[Saying] = []
    if record.is_network:
        from napari_tem_rf.learning.orientations import ORIENTATIONS, predict_turned

        result = predict_turned(
            *(_network_tiles(run, device), clean_pixels, ORIENTATIONS[number]),
            look=first.append,
            **named,
        )
    else:
        result = _baseline_strips(run)(clean_pixels, **named)
    if result is None:
        return None
    notes = _notes(pixels, clean_pixels, record.cleaning)
    return result, first[0] if first else result, notes, clean_pixels


def _result(
    record: RunRecord,
    network: Any,
    shape: tuple[int, int],
    probabilities: bool,
    resampling: Resampling | None,
    *,
    finishing: Finishing,
    instances: bool,
    neck: float,
    keep: bool = False,
    notes: tuple[str, ...],
    expected: ExpectedDice | None = None,
) -> PredictionResult:
    """Return what comes of what a network says: on the image's own pixels, finished, numbered."""
    classes, probable, shares = network.classes, network.probabilities, network.shares
    numbered: NDArray[np.int32] | None = None
    binning = record.cleaning.binning
    if probable is not None and record.border_px is not None:
        inside, border = probable[-2:]
        if instances:
            width_px = record.border_px / binning
            numbered = np.where(
                network.classes > 0,
                particles_of_probabilities(inside, border, width_px),
                np.int32(0),
            )
        probable = np.stack([*probable[:-2], inside + border]) if probabilities else None
    elif not probabilities:
        probable = None
    if resampling is not None:
        classes = resample_labels(classes, shape)
        numbered = None if numbered is None else resample_labels(numbered, shape)
        probable = None if probable is None else resample_probabilities(probable, shape)
        if shares is not None:
            shares = np.rint(resample_probabilities(shares, shape)).astype(np.uint8)
    elif binning > 1:
        classes = unbin_labels(classes, binning, shape)
        numbered = None if numbered is None else unbin_labels(numbered, binning, shape)
        probable = None if probable is None else _unbinned(probable, binning, shape)
        shares = None if shares is None else _unbinned(shares, binning, shape)
    labels = label_values(finish_prediction(classes, shares, finishing), record.classes)
    if instances:
        if numbered is None:
            numbered = find_particles(labels, neck=neck)
        else:
            numbered = finished_numbers(numbered, labels, finishing)
    return PredictionResult(
        labels,
        probable,
        notes,
        classes if keep else None,
        shares if keep else None,
        finishing,
        numbered,
        expected,
    )


def _judged(
    run: Path,
    record: RunRecord,
    device: Device,
    seen: NDArray[np.float32],
    said: Any,
    mask: NDArray[Any],
    pixel_size_nm: tuple[float, float] | None,
) -> ExpectedDice:
    """Return what to expect of a finished mask."""
    network = network_of_run(run, stamp(run), device) if record.is_network else None
    nm = record.cleaning.pixel_size_nm(pixel_size_nm)
    try:
        return judge(network, record, seen, said, mask, nm)
    except MemoryError:
        return cannot_judge("the memory was full")


def _unbinned(planes: NDArray[Any], binning: int, shape: tuple[int, int]) -> NDArray[Any]:
    return np.stack([unbin_labels(plane, binning, shape) for plane in planes])


def _network_tiles(run: Path, device: Device) -> Callable[..., Any]:
    from napari_tem_rf.learning.device import computing_threads, keep_pages
    from napari_tem_rf.learning.prediction import predict

    keep_pages()
    network = network_of_run(run, stamp(run), device)

    def in_its_share(pixels: NDArray[np.float32], **named: Any) -> Any:
        with computing_threads(None) as threads, computing_threads(share_of(threads, pixels.size)):
            return predict(network, pixels, **named)

    return in_its_share


def _baseline_strips(run: Path) -> Callable[..., Any]:
    decide: Callable[..., Any] = _baseline_of_run(run, stamp(run)).decide
    return decide


def _seen(
    pixels: NDArray[Any], cleaning: Cleaning, resampling: Resampling | None
) -> NDArray[np.float32]:
    """Return what a network is given of an image: cleaned, at the pixel size of its training."""
    if resampling is None:
        return clean(pixels, cleaning)
    # straight to the network's pixels: binning first would lose what the image has between
    whole = clean(pixels, replace(cleaning, binning=1))
    return resample_image(whole, resampling.shape(whole.shape, cleaning.binning))


def _notes(pixels: NDArray[Any], seen: NDArray[np.float32], cleaning: Cleaning) -> tuple[str, ...]:
    """Return what the user should know of an image that was predicted."""
    notes = []
    lost = 0
    if pixels.dtype.kind == "f":
        lost = pixels.size - int(np.count_nonzero(np.isfinite(pixels)))
    if lost:
        notes.append(
            f"{lost:,} px {'is' if lost == 1 else 'are'} NaN or infinite and "
            f"{'was' if lost == 1 else 'were'} taken as the median of the others"
        )
    if seen.std() == 0:
        notes.append("the image is constant: its prediction means nothing")
    elif extremes := extremes_note(seen, pixels, cleaning):
        notes.append(extremes)
    return tuple(notes)


def time_network(
    spec: NetworkSpec, device: Device = "auto", *, report: Reporter, stopped: Stopped
) -> Speed:
    """Measure time and memory of a network's prediction on this machine."""
    from napari_tem_rf.learning.device import keep_pages, pick_device
    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.network import Network
    from napari_tem_rf.learning.speed import measure_speed

    keep_pages()
    return measure_speed(accelerated(Network(spec)).folded().to(pick_device(device)))


def label_values(indices: NDArray[Any], classes: Classes) -> NDArray[Any]:
    """Return the label values of class indices, uint8 where they fit, else uint16."""
    values = classes.prediction_values
    return np.array(values, np.uint8 if max(values) < 256 else np.uint16)[indices]


def stamp(run: Path) -> int:
    """Return when the weights were last written: a cached network is good until then.

    Those of a zip are another file where the zip is another one.
    """
    try:
        return (run_folder(run) / "weights.safetensors").stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=8)
def network_of_run(run: Path, stamp: int, device: Device) -> Any:
    """Return the folded network of a run on a device, kept for the next call."""
    from napari_tem_rf.learning.device import pick_device
    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.network import network_of

    opened = read_run(run)
    try:
        network = network_of(opened.record.network, opened.read_weights())
    except ValueError as error:
        raise RunError(
            f'run "{run}": {error}; the folder was mixed up: restore it or train again'
        ) from error
    return accelerated(network).folded().to(pick_device(device))


@lru_cache(maxsize=4)
def _baseline_of_run(run: Path, stamp: int) -> Any:
    """Return the forest or filter of a run, checked as a whole, kept for the next call."""
    from napari_tem_rf.learning.baselines import baseline_of

    opened = read_run(run)
    record = opened.record
    try:
        return baseline_of(record.method, opened.read_weights(), len(record.classes.values))
    except RunError:
        raise
    except ValueError as error:
        raise RunError(
            f'"{opened.weights}" is no {METHODS[record.method]} ({error}): restore it from a copy '
            "or fit it again"
        ) from error
