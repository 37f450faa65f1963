"""In how many orientations a network is asked about an image, where time is to decide it.

Not the clock decides, but the arithmetic: the same run makes the same mask of an image on every
machine.
"""

from dataclasses import replace

from napari_tem_rf.measuring.finishing import Finishing, Orientations
from napari_tem_rf.micrographs.resampling import Resampling
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.run_record import RunRecord

__all__ = ["MOST_MACS", "NUMBER_OF", "allowed", "settled"]

MOST_MACS = 1.5e11
"""Multiply-adds that an image or a series may take in all: a few seconds on two cores."""

NUMBER_OF: dict[Orientations, int] = {"one": 1, "two": 2, "eight": 8}
"""How many orientations are meant."""


def allowed(network: NetworkSpec, pixels: float) -> Orientations:
    """Return how many orientations time allows where a network sees so many pixels in all."""
    macs = network.macs_per_pixel * pixels
    return "eight" if 8 * macs <= MOST_MACS else "two" if 2 * macs <= MOST_MACS else "one"


def settled(
    finishing: Finishing,
    record: RunRecord,
    shape: tuple[int, int],
    resampling: Resampling | None,
    frames: int = 1,
) -> Finishing:
    """Return a plan that says in how many orientations the network is asked.

    Parameters
    ----------
    finishing : Finishing
        A plan that may leave it to time.
    record : RunRecord
        The run that predicts. What a forest or a filter sees is the same in all orientations: they
        are asked once.
    shape : tuple of int
        (row, column) of the image, or of a frame.
    resampling : Resampling, optional
        How it is shown to the network.
    frames : int
        Of the series: time is for all of them together.
    """
    chosen = finishing.asks_for if record.is_network else "one"
    if chosen == "as time allows":
        binning = record.cleaning.binning
        rows, columns = shape if resampling is None else resampling.shape(shape)
        chosen = allowed(record.network, frames * rows * columns / binning**2)
    if chosen == finishing.orientations:
        return finishing
    return replace(finishing, orientations=chosen)
