"""What a training is asked to do, and what it says while it works.

A plan is intent, a report is what happened; neither knows torch or a window, so that every floor
can hold them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import told

Device = Literal["auto", "cpu", "cuda", "mps"]
Frozen = Literal["nothing", "encoder", "decoder"]
"""Which part of a network keeps the weights that its training starts from."""
Unlabelled = Literal["ignore", "background"]
LabelsAre = Literal["auto", "classes", "particles"]
"""What the values of labels are: found out, classes, or a number for each particle."""

PAPER_SEEDS = (752, 2245, 140, 9213, 956)
"""The seeds of Sytwu, Groschner and Scott (2022)."""

FIRST_SECONDS = 20.0
"""Length of a training in s when none is given, in the window and without it."""

FITS, FITS_MOST = 0.95, 0.8
"""Dice of held-out strokes from which a network is said to fit them, or most of them."""

LARGEST_SEED = 2**32 - 1
"""What NumPy and scikit-learn take as a seed; a run of an earlier version may have a larger one."""

LARGEST_CROP_PX = 65_536
"""Largest side of a crop in px, and also the most crops a step."""

_LARGEST_TORCH_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a network is trained.

    Attributes
    ----------
    preset : str
        Name of the preset the plan came from.
    epochs : int, optional
        Number of epochs; with ``seconds`` the first that comes ends the training.
    seconds : float, optional
        Time budget of the training in seconds.
    validation : float
        Fraction held out for validation.
    patience : int, optional
        Stop after this many epochs without a lower validation loss.
    seed : int
        Seed of weights, crops and split.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    frozen : {"nothing", "encoder", "decoder"}
        Which part keeps the weights that the training starts from; of new weights none does. The
        bottleneck goes with the encoder; the last layer is trained in any case.
    steps : int, optional
        Number of steps after which the training ends, within an epoch too; a training that ended
        by its time is repeated by its steps.
    learning_rate : float
        Step size of Adam.
    batch : int, optional
        Crops a step; when not given, as many as keep a step's pixels the same for every side.
    crop_px : int, optional
        Side of a crop in px, context included; rounded up to the network's period. When not
        given it follows the receptive field, so that the training sees what a prediction sees.
    averaging : float
        Decay of the running average of the weights per step that is validated and kept; 0 keeps
        the weights themselves.
    agreement : float
        A training on strokes that starts from weights that see already also teaches, on the pixels
        that nobody annotated, what the averaged network is sure of; this is the weight of it in
        the loss, 0 for none. Where grey level and texture show where the classes end, the first
        prediction with these borders is taught instead, as if it were annotated; not with 0.
    balanced : bool
        Weigh the classes in the loss by the inverse root of their frequency.
    augmentation : {"dihedral", "full", "none"}
        The 8 symmetries of the square; or these with brightness, contrast, blur and noise.
    grey_levels : {"auto", "kept", "varied"}
        Whether slow changes of the grey level are weakened, removed or turned round at random in
        half of the crops, so that the lattice teaches and not how dark a particle is; "auto": where
        the annotation shows a lattice and no strong amplitude contrast.
    true_context : bool
        Let only pixels with context inside the image count in the loss, but in a quarter of the
        crops, whose edges stand for the border of an image.
    keep : {"best", "last"}
        Which epoch's weights are kept: those of the lowest validation loss, or the last. Where too
        few pixels are held out to tell epochs apart, it is the last.
    """

    preset: str = told(
        "default",
        "recipe",
        "This program's own way to train, or the protocol of Sytwu, Groschner, Scott (2022), which "
        "is slower and meant for comparison with the paper",
        choices={"default": "this program's", "sytwu2022": "Sytwu et al. 2022"},
    )
    epochs: int | None = told(
        100,
        "epochs",
        "How long to train, in rounds over what is annotated",
        none="no limit",
        least=1,
    )
    seconds: float | None = told(
        None,
        "time",
        "How long to train",
        unit="s",
        none="no limit",
        least=0.1,
        step=0.1,
    )
    validation: float = told(
        0.2,
        "held out",
        "Part of the annotation that is not trained on but scored: whole images where at least "
        "three are annotated (frames of one series stay together), blocks of each image with a gap "
        "below that; 0 for none",
        percent=True,
        least=0,
        most=0.9,
    )
    patience: int | None = told(
        None,
        "stop early after",
        "End the training after this many epochs without a lower loss on the held-out part; "
        "without effect where too little is held out to tell epochs apart",
        unit="epochs",
        none="never",
        least=1,
    )
    seed: int = told(
        PAPER_SEEDS[0],
        "seed",
        "Seed of weights, crops and split: the same seed gives the same result on the same CPU",
        least=0,
        most=LARGEST_SEED,
    )
    device: Device = told(
        "auto",
        "device",
        "Where to train",
        choices={"auto": "fastest there is", "cpu": "CPU", "cuda": "CUDA", "mps": "Apple GPU"},
    )
    frozen: Frozen = told(
        "nothing",
        "freeze",
        "Which part of the network keeps the weights that the training starts from, with the "
        "statistics of its batch norms, so that few strokes cannot spoil it: the encoder, which "
        "sees (the bottleneck included), or the decoder, which draws. Without effect on new "
        "weights",
        choices={"nothing": "nothing", "encoder": "the encoder", "decoder": "the decoder"},
        option="--freeze",
    )
    steps: int | None = None
    learning_rate: float = 3e-3
    batch: int | None = None
    crop_px: int | None = None
    averaging: float = 0.99
    agreement: float = 0.5
    balanced: bool = False
    augmentation: Literal["dihedral", "full", "none"] = "full"
    grey_levels: Literal["auto", "kept", "varied"] = told(
        "auto",
        "grey levels",
        "Vary how dark particles are beside their surroundings, so that the network learns their "
        "lattice and not their grey level; by itself where there is a lattice and little amplitude "
        "contrast",
        choices={
            "auto": "as the contrast asks",
            "kept": "as they are",
            "varied": "varied at random",
        },
    )
    true_context: bool = True
    keep: Literal["best", "last"] = "best"

    def __post_init__(self) -> None:
        most = f"at most {LARGEST_CROP_PX:,}"
        rules: list[tuple[str, bool, str]] = [
            ("frozen", self.frozen in get_args(Frozen), f"one of {', '.join(get_args(Frozen))}"),
            ("epochs", self.epochs is None or self.epochs >= 1, "at least 1"),
            ("seconds", self.seconds is None or 0 < self.seconds < inf, "more than 0"),
            ("steps", self.steps is None or self.steps >= 1, "at least 1"),
            ("seed", 0 <= self.seed <= _LARGEST_TORCH_SEED, f"from 0 to {_LARGEST_TORCH_SEED:,}"),
            ("learning_rate", 0 < self.learning_rate < inf, "more than 0, and finite"),
            ("batch", self.batch is None or self.batch >= 1, "at least 1"),
            ("batch", self.batch is None or self.batch <= LARGEST_CROP_PX, most),
            ("crop_px", self.crop_px is None or self.crop_px >= 8, "at least 8"),
            ("crop_px", self.crop_px is None or self.crop_px <= LARGEST_CROP_PX, most),
            ("averaging", 0 <= self.averaging < 1, "from 0 to below 1"),
            ("agreement", 0 <= self.agreement < inf, "0 or more, and finite"),
            ("validation", 0 <= self.validation < 1, "from 0 to below 1"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1"),
        ]
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be {rule}")
        if self.epochs is None and self.seconds is None and self.steps is None:
            raise ValueError("the training has no end: give epochs, seconds or both")


def default_plan(**changes: Any) -> TrainingPlan:
    """Return the plan that window, command line and Python begin with, with changes.

    Where no length is given the training takes `FIRST_SECONDS`.
    """
    if changes.keys().isdisjoint(("epochs", "seconds", "steps")):
        changes["seconds"] = FIRST_SECONDS
    return TrainingPlan(**{"epochs": None, **changes})


def sytwu2022(**changes: Any) -> TrainingPlan:
    """Return the protocol of Sytwu, Groschner and Scott (2022), with changes.

    Cross entropy, Adam with step size 1e-4, batches of 32 crops of 512 px, 100 epochs, the last
    epoch kept, the 8 symmetries of the square; validation is a tenth of the data. A time budget
    takes the place of the epochs.
    """
    plan = TrainingPlan(
        epochs=100,
        learning_rate=1e-4,
        batch=32,
        crop_px=512,
        averaging=0.0,
        balanced=False,
        augmentation="dihedral",
        grey_levels="kept",
        true_context=False,
        keep="last",
        validation=0.1,
        preset="sytwu2022",
    )
    if changes.get("seconds") is not None:
        changes = {"epochs": None, **changes}
    return replace(plan, **changes)


PRESETS: dict[str, Callable[..., TrainingPlan]] = {
    "default": default_plan,
    "sytwu2022": sytwu2022,
}


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One epoch is over. Losses are cross entropies; Dice is of the held-out part."""

    epoch: int
    steps: int
    seconds: float
    """Seconds trained so far, earlier parts of a resumed training included."""
    seconds_left: float
    training_loss: float
    validation_loss: float | None
    validation_dice: float | None
    best_epoch: int
    best_dice: float | None
    kept: Literal["best", "last"] = "best"
    """Which epoch's weights are kept, should the training end here: the best one's by its loss,
    or, where too little is held out to tell epochs apart, the last one's."""
    held_out: str = "pixels"
    """What is scored: held-out "strokes", "blocks" or "images"."""

    @property
    def sentence(self) -> str:
        """The epoch in words."""
        if self.validation_dice is None:
            return f"epoch {self.epoch}, training loss {self.training_loss:.3f}"
        on_strokes = self.held_out == "strokes"
        dice = f"Dice {self.validation_dice:.2f} on held-out {self.held_out}"
        said = fit_in_words(self.validation_dice) if on_strokes else dice
        said = f"epoch {self.epoch}{' ' if on_strokes else ', '}{said}"
        if self.kept == "last":
            return f"{said}; the last epoch is kept"
        if self.best_dice is None or self.best_epoch == self.epoch:
            return f"{said}, the best so far by its loss"
        best = f"{said}; best by its loss: epoch {self.best_epoch}"
        return best if on_strokes else f"{best}, Dice {self.best_dice:.2f}"


def fit_in_words(dice: float) -> str:
    """Return what a Dice of held-out strokes says, as a part of a sentence.

    Strokes lie where the answer is easy: a number near 1 says that they are learned, and nothing of
    the outlines of particles.
    """
    if dice >= FITS:
        return "fits your strokes"
    if dice >= FITS_MOST:
        return "fits most of your strokes"
    return "does not fit your strokes yet"


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """How far a work is: a fraction from 0 to 1 and the seconds left (None: not known yet)."""

    fraction: float
    seconds_left: float | None
    sentence: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PreviewReport:
    """The prediction of the watched image during the training.

    Attributes
    ----------
    labels : ndarray of uint8 or uint16, shape (row, column)
        Labels in the annotation's values, background 0.
    origin : tuple of int
        (row, column) of the labels' first pixel in the watched image.
    epoch : int
    """

    labels: NDArray[np.generic]
    origin: tuple[int, int]
    epoch: int


@dataclass(frozen=True, slots=True)
class NoteReport:
    """Something the user should know, in one sentence."""

    sentence: str


Report = EpochReport | ProgressReport | PreviewReport | NoteReport

Reporter = Callable[[Report], None]
"""Receives the reports of a work."""

Stopped = Callable[[], bool]
"""Asked between pieces of a work; true ends it early."""
