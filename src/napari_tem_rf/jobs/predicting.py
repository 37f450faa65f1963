"""Predict images with a run, and say how long that takes here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed
from napari_tem_rf.protocol import (
    Device,
    ProgressReport,
    Reporter,
    Stopped,
)
from napari_tem_rf.run_record import METHODS
from napari_tem_rf.runs import (
    RunError,
    read_run,
)


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


def predict_with_run(
    run: Path,
    pixels: NDArray[Any],
    tile_px: int | None = None,
    probabilities: bool = False,
    device: Device = "auto",
    resampling: Resampling | None = None,
    *,
    report: Reporter,
    stopped: Stopped,
) -> PredictionResult | None:
    """Predict an image, shape (row, column), with a run, a baseline's too; None when stopped.

    With a ``resampling`` the network sees the image at the pixel size that it was trained at; what
    comes back is on the image's own pixels.
    """
    record = read_run(run).record
    shape = (pixels.shape[0], pixels.shape[1])
    clean_pixels = standardise(_seen(pixels, record.cleaning, resampling))
    predict_tiles = _network_tiles(run, device) if record.is_network else _baseline_strips(run)
    result = predict_tiles(
        clean_pixels,
        tile_px=tile_px,
        probabilities=probabilities,
        progress=lambda fraction: report(ProgressReport(fraction, None)),
        stopped=stopped,
    )
    if result is None:
        return None
    labels = label_values(result.classes, record.classes)
    probable = result.probabilities
    binning = record.cleaning.binning
    if resampling is not None:
        labels = resample_labels(labels, shape)
        probable = None if probable is None else resample_probabilities(probable, shape)
    elif binning > 1:
        labels = unbin_labels(labels, binning, shape)
        if probable is not None:
            probable = np.stack([unbin_labels(plane, binning, shape) for plane in probable])
    return PredictionResult(labels, probable, _notes(pixels, clean_pixels, record.cleaning))


def _network_tiles(run: Path, device: Device) -> Callable[..., Any]:
    from napari_tem_rf.learning.device import keep_pages
    from napari_tem_rf.learning.prediction import predict

    keep_pages()
    return partial(predict, network_of_run(run, stamp(run), device))


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
    """Return when the weights were last written: a cached network is good until then."""
    try:
        return (Path(run) / "weights.safetensors").stat().st_mtime_ns
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
