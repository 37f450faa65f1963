"""Whose receptive field is shown, and where: a network and the exact field of one pixel."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.receptive_field import (
    Interval,
    nominal_receptive_field,
    receptive_field,
)
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.words import count

__all__ = ["Reading", "Subject", "picked", "read_field", "shown_first", "trained"]


@dataclass(frozen=True, slots=True)
class Subject:
    """The network whose field is shown: a pick, or a trained run.

    Attributes
    ----------
    spec : NetworkSpec
    run : Path, optional
        The run's folder; None for random weights.
    title : str
        Short, for a list of networks: "120 px, 31.6 k, Dice 0.88 · run".
    cleaning : Cleaning
        What is done to the pixels before the network sees them.
    seed : int
        Seed of the random weights.
    """

    spec: NetworkSpec
    run: Path | None
    title: str
    cleaning: Cleaning = field(default_factory=Cleaning)
    seed: int = 752

    @property
    def untrained(self) -> "Subject":
        """The same network before training."""
        if self.run is None:
            return self
        name = f"{_size(self.spec)}, before training · {self.run.name}"
        return replace(self, run=None, title=name)


@dataclass(frozen=True, slots=True)
class Reading:
    """The exact field of one pixel of an image.

    Attributes
    ----------
    at : tuple of int
        (row, column) of the pixel.
    frame : int
    rows, columns : Interval
        The field in px of the image.
    nominal : int
        The nominal field in px of the image.
    """

    at: tuple[int, int]
    frame: int
    rows: Interval
    columns: Interval
    nominal: int

    @property
    def nominal_box(self) -> tuple[Interval, Interval]:
        """The nominal field around the pixel, which is the same at all phases."""
        sides = zip(self.at, (self.rows, self.columns), strict=True)
        starts = [(at - (self.nominal - 1) // 2, interval.length) for at, interval in sides]
        rows, columns = (Interval(a, a + self.nominal, length) for a, length in starts)
        return rows, columns


def read_field(
    subject: Subject, at: tuple[int, int], shape: tuple[int, int], frame: int = 0
) -> Reading:
    """Return the exact field of a pixel, in px of the image; binned pixels count in full.

    Raises
    ------
    ValueError
        When the pixel is outside the image.
    """
    field, by = receptive_field(subject.spec), subject.cleaning.binning
    if by == 1:
        rows, columns = field.box(at, shape)
        return Reading(at, frame, rows, columns, field.nominal)
    binned = (max(shape[0] // by, 1), max(shape[1] // by, 1))
    # what fills no whole block at the far edges shows the nearest block's prediction
    inside = (min(at[0] // by, binned[0] - 1), min(at[1] // by, binned[1] - 1))
    rows, columns = (
        Interval(interval.start * by, interval.stop * by, length)
        for interval, length in zip(field.box(inside, binned), shape, strict=True)
    )
    return Reading(at, frame, rows, columns, field.nominal * by)


def picked(session: Session) -> Subject:
    """Return the picked network, with random weights."""
    spec = session.spec
    title = f"{_size(spec)}, not trained"
    return Subject(spec, None, title, session.cleaning, session.plan.seed)


def trained(run: TrainedRun) -> Subject:
    """Return the network of a run; ValueError where it is a baseline."""
    record = run.record
    spec, dice = record.network, run.telling_dice
    score = "trained" if dice is None else f"Dice {dice:.2f}"
    title = f"{_size(spec)}, {score} · {run.folder.name}"
    return Subject(spec, run.folder, title, record.cleaning, record.plan.seed)


def _size(spec: NetworkSpec) -> str:
    return f"{nominal_receptive_field(spec)} px, {count(spec.parameters)}"


def shown_first(session: Session) -> Subject:
    """Return the current run where it is of the picked network, otherwise the pick."""
    run = session.run
    if run is None or run.spec is None:  # a baseline has no field
        return picked(session)
    same = run.spec.with_classes(2) == session.spec.with_classes(2)
    return trained(run) if same else picked(session)
