"""Predict images with a run, and say how long that takes here."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.annotation import (
    Classes,
)
from napari_tem_rf.micrographs.cleaning import (
    clean,
    standardise,
    unbin_labels,
)
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed
from napari_tem_rf.protocol import (
    Device,
    ProgressReport,
    Reporter,
    Stopped,
)
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
    network = network_of_run(run, stamp(run), device)
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
    from napari_tem_rf.learning.network import network_of

    opened = read_run(run)
    try:
        network = network_of(opened.record.spec, opened.read_weights())
    except ValueError as error:
        raise RunError(
            f'run "{run}": {error}; the folder was mixed up: restore it or train again'
        ) from error
    return network.folded().to(pick_device(device))
