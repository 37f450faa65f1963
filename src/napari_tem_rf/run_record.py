"""What a run's record says: the network, the plan, the data, and what came of it."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing
from napari_tem_rf.measuring.trained_on import TrainedOn, check_trained_on
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import LabelsAre, TrainingPlan, Unlabelled
from napari_tem_rf.records import (
    LONGEST_TEXT,
    check_file_name,
    check_fraction,
    check_words,
    is_number,
)

__all__ = [
    "BASELINE_FORMAT",
    "FORMAT",
    "METHODS",
    "Adoption",
    "DataEntry",
    "ImageEntry",
    "Method",
    "RunRecord",
    "check_classes",
    "check_image",
    "check_run_record",
]

FORMAT = 1
"""Version of a network's run folder; a run of a newer one is refused with a sentence."""

BASELINE_FORMAT = 2
"""That of a baseline's: versions that know networks alone say that they are too old for it."""

Method = Literal["network", "forest", "fourier"]

METHODS: dict[Method, str] = {
    "network": "network",
    "forest": "random forest",
    "fourier": "Fourier filter",
}
"""What a run can be, and its name in sentences."""

_LARGEST_LABEL = 65_535
_MOST_CLASSES = 64
"""As many as version 0.1.0 trained from the command line."""
_WIDEST_BORDER_PX = 1_000
_MOST = 10**12
"""Largest number of pixels, epochs, steps or seconds that is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEntry:
    """A labelled image in a record: its name, files, size and the hashes of its arrays."""

    name: str
    group: str
    shape: tuple[int, int]
    pixels_sha256: str
    labels_sha256: str
    pixel_size_nm: tuple[float, float] | None = None
    source: str | None = None
    labels_source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataEntry(ImageEntry):
    """One image that a run was trained from, with what the run keeps of it."""

    annotation: str
    """File of the labels inside the run folder."""
    counted: str | None = None
    """File in the run folder of the pixels that counted; None where all did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Where the weights of a run come from that were not trained by this program."""

    file: str
    """The file that they were read from."""
    sha256: str
    part: str = ""
    """Which of the weights in the file; empty where it holds one set."""
    normalisation: str = ""
    """What the network was shown, in words."""
    licence: str = ""
    """Under which they may be passed on; empty: not known."""
    source: str = ""
    """Who published them, in words; empty: not known."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What ``run.json`` holds."""

    name: str
    spec: NetworkSpec | None
    """None for a baseline; `network` is for whoever needs one."""
    plan: TrainingPlan
    """Of a baseline the seed and the part held out count."""
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
    """Threads that computed on the CPU; another number rounds differently. 0: not known."""
    gap_px: int = 0
    """Least gap that was asked for between training and validation pixels of one image."""
    start: str | None = None
    start_sha256: str | None = None
    """SHA-256 of the weights that the training started from."""
    finishing: Finishing = UNFINISHED
    """How its masks are finished, lengths in px of its images; a run of version 0.1.0 does not."""
    finishing_reason: str = ""
    """Why so, in words."""
    labels_are: LabelsAre = "classes"
    """"classes", or "particles" where the annotation has a number for each particle."""
    border_px: float | None = None
    """Width in px of the image's pixels of the border of particles that the network learned as one
    class more; None where it learned the classes alone."""
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT
    method: Method = "network"
    adopted: Adoption | None = None
    """None for what this program trained."""
    trained_on: TrainedOn | None = None
    """What its images look like, and what the network made of them; None for a baseline, and for
    runs of versions that did not measure it."""

    @property
    def is_network(self) -> bool:
        """Whether a network was trained; else a baseline was fitted."""
        return self.spec is not None

    @property
    def network(self) -> NetworkSpec:
        """The network.

        Raises
        ------
        ValueError
            When the run is a baseline; the message says what it cannot be used for.
        """
        if self.spec is None:
            raise ValueError(
                f'"{self.name}" is a {METHODS[self.method]} and no network: it predicts, but it '
                "has no receptive field to measure, and is neither resumed, repeated nor started "
                "from; choose the run of a network"
            )
        return self.spec

    @property
    def predictor(self) -> NetworkSpec | str:
        """The network, or the name of the baseline."""
        return METHODS[self.method] if self.spec is None else self.spec

    @property
    def parts_particles(self) -> bool:
        """Whether the network tells particles that touch apart, by their border."""
        return self.border_px is not None

    @property
    def validation_dice(self) -> float | None:
        """Dice on the held-out part; None where nothing was held out."""
        return self.scores.get("dice")

    def summary(self) -> dict[str, Any]:
        """Return what a user wants to know of the run, as plain JSON values."""
        return {
            "name": self.name,
            "state": self.state,
            "method": self.method,
            **self._described(),
            "classes": dict(zip(self.classes.names, self.classes.values, strict=True)),
            "pixel_size_nm": None if self.pixel_size_nm is None else list(self.pixel_size_nm),
            "labels_are": self.labels_are,
            "border_px": self.border_px,
            "images": len(self.data),
            "split": self.split.get("sentence"),
            "epochs": self.epochs,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "best_epoch": self.best_epoch,
            "seed": None if self.adopted else self.plan.seed,
            "preset": None if self.adopted else self.plan.preset,
            "device": self.device,
            "scores": self.scores,
            "finishing": self.finishing.to_dict(),
            **({} if self.adopted is None else {"adopted": asdict(self.adopted)}),
        }

    def _described(self) -> dict[str, Any]:
        if self.spec is None:
            return {}
        return {
            "pools": list(self.spec.pools),
            "dilations": list(self.spec.dilations),
            "filters": self.spec.filters,
            "growth": self.spec.growth,
            "parameters": self.spec.parameters,
            "receptive_field": receptive_field(self.spec).to_dict(),
        }


def check_run_record(record: RunRecord) -> None:
    """Raise ValueError where the fields of a record contradict each other or pass a bound."""
    check_classes(record.classes)
    if (record.spec is None) != (record.method != "network"):
        raise ValueError(f"method is {record.method}: a network has a spec, a baseline has none")
    learned = len(record.classes.values) + record.parts_particles
    if record.spec is not None and record.spec.classes != learned:
        border = " and a border is learned" if record.parts_particles else ""
        raise ValueError(
            f"spec.classes is {record.spec.classes}, but {len(record.classes.values)} classes are "
            f"named{border}"
        )
    if record.labels_are not in ("classes", "particles"):
        raise ValueError(f"labels_are is {record.labels_are!r:.100}: classes or particles")
    if (record.labels_are == "particles") != record.parts_particles:
        raise ValueError("border_px: numbered particles have one, and classes have none")
    if record.border_px is not None and (
        len(record.classes.values) != 2
        or not (is_number(record.border_px) and 0 < record.border_px <= _WIDEST_BORDER_PX)
    ):
        raise ValueError(
            f"border_px is {record.border_px!r:.100}: above 0, at most {_WIDEST_BORDER_PX}, with "
            "background and one class"
        )
    if record.state not in ("training", "finished", "stopped"):
        raise ValueError(f"state is {record.state!r:.100}: training, finished or stopped")
    for entry in record.data:
        check_image(entry.name, entry.shape, entry.pixel_size_nm)
        check_file_name(entry.annotation, "annotation")
        if entry.counted is not None:
            check_file_name(entry.counted, "counted")
    _check_size(record.pixel_size_nm)
    for what in ("epochs", "steps", "seconds", "threads", "gap_px"):
        if not (is_number(getattr(record, what)) and 0 <= getattr(record, what) <= _MOST):
            raise ValueError(f"{what} is {getattr(record, what)!r:.100}: 0 or more")
    if record.best_epoch is not None and not 0 <= record.best_epoch <= _MOST:
        raise ValueError(f"best_epoch is {record.best_epoch}: 0 or more, or null")
    if record.trained_on is not None:
        check_trained_on(record.trained_on)
    check_words(record.split, "split", ("kind", "sentence", "scored"))
    _check_scores(record.scores)
    texts = (record.name, record.created, record.device, record.start or "")
    if record.adopted is not None:
        texts += tuple(asdict(record.adopted).values())
    for text in (*texts, record.finishing_reason):
        if len(text) > LONGEST_TEXT:
            raise ValueError(f"a text of {len(text):,} characters: at most {LONGEST_TEXT:,}")


def check_classes(classes: Classes) -> None:
    """Raise ValueError unless classes are such as labels give them."""
    values = classes.values
    if not 2 <= len(values) <= _MOST_CLASSES:
        raise ValueError(f"classes: there are {len(values)}, it must be 2 to {_MOST_CLASSES}")
    if len(classes.names) != len(values) or len(classes.colors) not in (0, len(values)):
        raise ValueError("classes: each needs one value, one name and one colour")
    if list(values) != sorted(set(values)) or values[-1] > _LARGEST_LABEL:
        raise ValueError(f"classes: their values must rise, to {_LARGEST_LABEL} at most")
    if values[0] not in (0, 1):
        raise ValueError(f"classes: the background is {values[0]}, it must be 0 or 1")
    if any(len(text) > LONGEST_TEXT for text in (*classes.names, *classes.colors)):
        raise ValueError(f"classes: a name has more than {LONGEST_TEXT:,} characters")


def check_image(
    name: str, shape: tuple[int, int], pixel_size_nm: tuple[float, float] | None
) -> None:
    """Raise ValueError unless an image's name, shape and pixel size can be such."""
    if len(name) > LONGEST_TEXT:
        raise ValueError(f"an image's name has {len(name):,} characters")
    if not all(1 <= length <= _MOST for length in shape):
        raise ValueError(f'"{name:.100}" has the shape {shape}: it must have rows and columns')
    _check_size(pixel_size_nm)


def _check_size(size: tuple[float, float] | None) -> None:
    if size is not None and not all(is_number(side) and side > 0 for side in size):
        raise ValueError(f"pixel_size_nm is {size}: it must be more than 0, or null")


def _check_scores(scores: dict[str, Any]) -> None:
    check_fraction(scores.get("dice"), "scores.dice")
    if scores.get("loss") is not None and not is_number(scores["loss"]):
        raise ValueError(f"scores.loss is {scores['loss']!r:.100}: it must be a number, or null")
    images = scores.get("images", [])
    if not isinstance(images, list):
        raise ValueError(f"scores.images is {images!r:.100}: it must be a list")
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get("name"), str):
            raise ValueError(f"scores.images holds {image!r:.100}: each needs a name and a dice")
        check_fraction(image.get("dice"), "scores.images.dice")
