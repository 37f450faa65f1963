"""Measure effective receptive fields."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.jobs.predicting import network_of_run, stamp
from napari_tem_rf.networks.effective_field import EffectiveField, WidthMap, grid_pixels
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import (
    ProgressReport,
    Reporter,
    Stopped,
)


def measure_effective_field(
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
    from napari_tem_rf.learning.device import computing_threads, keep_pages
    from napari_tem_rf.learning.effective_field import effective_field

    keep_pages()
    network = _field_network(run, 0 if run is None else stamp(run), spec, seed)
    # beside a training, several threads would only wait for each other
    with computing_threads(1):
        return effective_field(network, receptive_field(network.spec), pixels, at)


def measure_mean_effective_field(
    run: Path | None,
    spec: NetworkSpec,
    pixels: NDArray[np.float32],
    at: Sequence[tuple[int, int]],
    seed: int = 752,
    *,
    report: Reporter,
    stopped: Stopped,
) -> EffectiveField:
    """Measure the effective receptive field averaged over pixels; see `measure_effective_field`."""
    from napari_tem_rf.learning.device import keep_pages
    from napari_tem_rf.learning.effective_field import mean_effective_field

    keep_pages()
    network = _field_network(run, 0 if run is None else stamp(run), spec, seed)
    measured = 0

    def stop() -> bool:
        nonlocal measured
        measured += 1
        report(ProgressReport(measured / len(at), None))
        return stopped()

    return mean_effective_field(network, receptive_field(network.spec), pixels, at, stopped=stop)


def map_effective_field(
    run: Path | None,
    spec: NetworkSpec,
    pixels: NDArray[np.float32],
    grid: tuple[int, int],
    seed: int = 752,
    *,
    report: Reporter,
    stopped: Stopped,
) -> WidthMap:
    """Measure how wide the effective field is on a grid over an image.

    Parameters
    ----------
    run, spec, pixels, seed
        As for `measure_effective_field`; the whole image.
    grid : tuple of int
        Number of pixels to measure, down and across.

    Returns
    -------
    WidthMap
        When it was stopped, NaN where nothing was measured.
    """
    from napari_tem_rf.learning.device import computing_threads, keep_pages
    from napari_tem_rf.learning.effective_field import effective_field

    keep_pages()
    network = _field_network(run, 0 if run is None else stamp(run), spec, seed)
    exact = receptive_field(network.spec)
    rows, columns = (
        grid_pixels(length, number) for length, number in zip(pixels.shape, grid, strict=True)
    )
    w50 = np.full((len(rows), len(columns)), np.nan, np.float32)
    w95 = w50.copy()
    began, measured = monotonic(), 0
    # beside a training, several threads would only wait for each other
    with computing_threads(1):
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                if stopped():
                    return WidthMap(w50, w95, measured)
                field = effective_field(network, exact, pixels, (row, column))
                w50[i, j], w95[i, j] = field.w50_px, field.w95_px
                measured += 1
                left = (monotonic() - began) / measured * (w50.size - measured)
                report(ProgressReport(measured / w50.size, left))
    return WidthMap(w50, w95, measured)


@lru_cache(maxsize=8)
def _field_network(run: Path | None, stamp: int, spec: NetworkSpec, seed: int) -> Any:
    """Return the network whose field is measured, on the CPU, kept for the next call."""
    from napari_tem_rf.learning.effective_field import prepared
    from napari_tem_rf.learning.network import random_network

    return prepared(
        random_network(spec, seed) if run is None else network_of_run(run, stamp, "cpu")
    )
