"""What a run's record says: the network, the plan, the data, and what came of it."""

import math
from dataclasses import dataclass, field
from typing import Any

from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan, Unlabelled

__all__ = ["FORMAT", "DataEntry", "RunRecord"]

FORMAT = 1
"""Version of the run folder; a run of a newer one is refused with a sentence."""


@dataclass(frozen=True, slots=True)
class DataEntry:
    """One image that a run was trained from: its name, file, size and the hashes of its arrays."""

    name: str
    group: str
    shape: tuple[int, int]
    pixels_sha256: str
    labels_sha256: str
    annotation: str
    """File of the labels inside the run folder."""
    pixel_size_nm: tuple[float, float] | None = None
    source: str | None = None
    labels_source: str | None = None
    counted: str | None = None
    """File in the run folder of the pixels that counted; None where all did."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What ``run.json`` holds."""

    name: str
    spec: NetworkSpec
    plan: TrainingPlan
    classes: Classes
    unlabelled: Unlabelled
    cleaning: Cleaning
    pixel_size_nm: tuple[float, float] | None
    data: tuple[DataEntry, ...]
    normalisation: str = "each image: mean 0, standard deviation 1"
    split: dict[str, Any] = field(default_factory=dict)
    state: str = "training"
    """"training", "finished" or "stopped"; a training that was cut off stays "training"."""
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    best_epoch: int | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    threads: int = 0
    """Threads that computed on the CPU, for another number rounds otherwise; 0: not known."""
    gap_px: int = 0
    """Least gap that was asked for between training and validation pixels of one image."""
    start: str | None = None
    start_sha256: str | None = None
    """Of the weights it started from."""
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def validation_dice(self) -> float | None:
        """Dice on the held-out part; None where nothing was held out."""
        return self.scores.get("dice")

    def pixel_size_ratio(self, pixel_size_nm: tuple[float, float] | None) -> float:
        """Return how many times larger an image's pixels are than those trained on.

        1 where it is not known, or where it lies between the sizes of the training images.
        """
        trained = [_side(e.pixel_size_nm) for e in self.data if e.pixel_size_nm is not None]
        if pixel_size_nm is None or not trained:
            return 1.0
        side = _side(pixel_size_nm)
        return side / min(max(side, min(trained)), max(trained))

    def summary(self) -> dict[str, Any]:
        """Return what a user wants to know of the run, as plain JSON values."""
        rf = receptive_field(self.spec)
        return {
            "name": self.name,
            "state": self.state,
            "pools": list(self.spec.pools),
            "dilations": list(self.spec.dilations),
            "filters": self.spec.filters,
            "growth": self.spec.growth,
            "parameters": self.spec.parameters,
            "receptive_field": {
                "nominal": rf.nominal,
                "smallest": rf.smallest,
                "largest": rf.largest,
                "period": rf.period,
                "halo": rf.halo,
            },
            "classes": dict(zip(self.classes.names, self.classes.values, strict=True)),
            "pixel_size_nm": None if self.pixel_size_nm is None else list(self.pixel_size_nm),
            "images": len(self.data),
            "split": self.split.get("sentence"),
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "best_epoch": self.best_epoch,
            "seed": self.plan.seed,
            "preset": self.plan.preset,
            "device": self.device,
            "scores": self.scores,
        }


def _side(pixel_size_nm: tuple[float, float]) -> float:
    return math.sqrt(pixel_size_nm[0] * pixel_size_nm[1])
