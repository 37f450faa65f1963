"""What the user chose, and what is running: two frozen values that all docks of a viewer share."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from napari.layers import Image, Labels

from napari_tem_rf import jobs
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.movies.steadying import Steadying
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.words import count
from napari_tem_rf.protocol import (
    EpochReport,
    LabelsAre,
    TrainingPlan,
    Unlabelled,
    default_plan,
)
from napari_tem_rf.run_record import METHODS
from napari_tem_rf.runs import RunRecord
from napari_tem_rf.settings import read_settings
from napari_tem_rf.starting import SIMULATED

__all__ = ["Activity", "Choices", "Interrupted", "Round", "TrainedRun"]

FIRST_PLAN = default_plan()
NOTHING_CLEANED = Cleaning()
NOT_STEADIED = Steadying()


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished training: its folder and what its record says."""

    folder: Path
    record: RunRecord

    @property
    def spec(self) -> NetworkSpec | None:
        """The network that was trained, with the annotation's classes; None for a baseline."""
        return self.record.spec

    @property
    def dice(self) -> float | None:
        """Dice of the held-out part; None when nothing was held out."""
        return self.record.validation_dice

    @property
    def scored(self) -> str:
        """What was held out and scored: "strokes", "blocks" or "images"; empty for nothing."""
        split = self.record.split
        if self.dice is None:
            return ""
        return split.get("scored") or ("images" if split.get("kind") == "groups" else "blocks")

    @property
    def telling_dice(self) -> float | None:
        """The Dice, unless it is of strokes: those lie where the answer is easy."""
        return None if self.scored == "strokes" else self.dice

    @property
    def title(self) -> str:
        """The run in a line: field and parameters or baseline, score and, in brackets, folder."""
        dice = self.telling_dice
        score = "" if dice is None else f", Dice {dice:.2f}"
        return f"{self.what}{score} ({self.folder.name})"

    @property
    def what(self) -> str:
        """The network's field and parameters, or the baseline's name."""
        if self.spec is None:
            return METHODS[self.record.method]
        return _told(self.spec)


@lru_cache(maxsize=1024)  # asked of every run, whatever changes
def _told(spec: NetworkSpec) -> str:
    return f"{nominal_receptive_field(spec)} px, {count(spec.parameters)}"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user chose.

    Attributes
    ----------
    image : Image, optional
        The image that is worked on.
    annotation : Labels, optional
        Its annotation.
    unlabelled : {"ignore", "background"}
        What zeros of the annotation mean.
    labels_are : {"auto", "classes", "particles"}
        Whether values of the annotation are classes or numbers of particles.
    spec : NetworkSpec
        The network picked, for two classes; training adapts it to the annotation's.
    plan : TrainingPlan
        How the next training is done.
    cleaning : Cleaning
        What is done to the pixels before the next training; a run keeps its own.
    start : str or Path, optional
        What the next training starts from: `SIMULATED`, a run's folder, or None for new weights.
    runs : tuple of TrainedRun
        The finished runs of this session, oldest first.
    run : TrainedRun, optional
        The current run: the one that predicts.
    runs_folder : Path
        Where runs are kept, one folder an image.
    field_overlay : bool
        Whether the receptive field is drawn at the cursor.
    side_by_side : bool
        Whether all images are shown, and not the chosen one alone.
    finishing : Finishing, optional
        How predicted masks are finished, lengths in px of the images trained on; None: as each run
        says.
    steadying : Steadying
        Over how many frames of a series what is predicted is averaged.
    """

    image: Image | None = None
    annotation: Labels | None = None
    unlabelled: Unlabelled = "ignore"
    labels_are: LabelsAre = "auto"
    spec: NetworkSpec = FIRST_NETWORK
    plan: TrainingPlan = FIRST_PLAN
    cleaning: Cleaning = NOTHING_CLEANED
    start: str | Path | None = SIMULATED
    runs: tuple[TrainedRun, ...] = ()
    run: TrainedRun | None = None
    runs_folder: Path = field(default_factory=lambda: read_settings().runs_path)
    field_overlay: bool = False
    side_by_side: bool = False
    finishing: Finishing | None = None
    steadying: Steadying = NOT_STEADIED


@dataclass(frozen=True, slots=True, eq=False)
class Interrupted:
    """A training that ended before its time and can be continued from its run's last checkpoint."""

    request: jobs.TrainRequest
    image: Image
    frame: int


class Round(Protocol):
    """A round of predictions that is running."""

    progressed: Any
    """Fraction done from 0 to 1, seconds left or None, and what is being done."""
    ended: Any
    """A sentence on what was done, and whether all went well."""
    written: Any
    """The folder that masks were written into."""

    def stop(self) -> None:
        """Stop after the current tile."""


@dataclass(frozen=True, slots=True)
class Activity:
    """What is running.

    Attributes
    ----------
    training : Work, optional
        The training; its reports come from the work.
    history : tuple of EpochReport
        The epochs of that training, or of the last one.
    interrupted : Interrupted, optional
        A training that ended before its time.
    predicting : Round, optional
        The round of predictions.
    is_comparing : bool
        Whether a comparison trains.
    """

    training: Work | None = None
    history: tuple[EpochReport, ...] = ()
    interrupted: Interrupted | None = None
    predicting: Round | None = None
    is_comparing: bool = False
