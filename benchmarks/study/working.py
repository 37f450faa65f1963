"""One piece of the study: train or fit, score on what was left out, measure what it sees."""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf.jobs import prepare
from napari_tem_rf.jobs.grey_levels import settle_grey_levels
from napari_tem_rf.locking import BusyError, Lock
from napari_tem_rf.measuring.scores import score_image
from napari_tem_rf.micrographs.annotation import LabelledImage, TrainingSet
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.micrographs.resampling import resample_labels
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, Reporter, Stopped, TrainingPlan, sytwu2022
from napari_tem_rf.starting import SIMULATED, read_start
from napari_tem_rf.storage import write_aside, write_text
from study.pieces import Piece
from study.sets import Parts, at_scale, contrast_of, parts_of, read_set
from study.strokes import with_strokes

FIRST_STEPS = 300
"""What is kept comes from after so many steps. Before, where particles are rare, all is called
background, and the loss of that may stay the lowest: a network that finds the particles is sure of
them, and pays for every border that was drawn elsewhere."""
CROP_PX, CROPS = 256, 4
"""Crops of a step, the same for all networks. One crop a step is normalised by its own mean, and by
that of all unlike images when the network is asked: networks then lose by the step and not by their
field."""
PATIENCE_STEPS = 300
"""A training ends when its loss on what it may stop by has not fallen for so many steps."""
CEILING_STEPS = 1500
STROKE_STEPS = 400
"""Steps of a training from strokes: too few pixels are annotated to hold any back."""
FIELD_IMAGES, FIELD_PIXELS = 3, 16
"""Scored images, and pixels of each, over which the effective field is averaged."""
SCORES = (
    *("dice", "iou", "precision", "recall", "object_f1", "object_f1_75", "ap_50", "ap_75"),
    *("panoptic_quality", "count_error_percent", "diameter_bias_percent", "object_f1_inner"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where things lie, and how they are trained.

    Attributes
    ----------
    out, data, simulated : Path
        Folders of the results, the public sets and the simulated ones.
    published : str
        Weights of the network that others trained, to start from; empty where there are none.
    preset : {"default", "sytwu2022"}
    device : str
    crop_px, crops : int
        Side and number of the crops of a step on masks, but in the paper's preset.
    """

    out: Path
    data: Path
    simulated: Path
    published: str = ""
    preset: str = "default"
    device: str = "cpu"
    crop_px: int = CROP_PX
    crops: int = CROPS

    def row(self, piece: Piece) -> Path:
        """Return the file of a piece's results."""
        return self.out / "pieces" / f"{piece.name}.json"

    def weights(self, piece: Piece) -> Path:
        """Return the file of a piece's network."""
        return self.out / "weights" / f"{piece.name}.safetensors"


def do(piece: Piece, place: Place, *, report: Reporter, stopped: Stopped) -> dict[str, Any] | None:
    """Do a piece, write its results, and return them; None where somebody else does it or has."""
    try:
        with Lock(place.row(piece), "a piece of the study", is_folder=False):
            return None if place.row(piece).is_file() else _done(piece, place)
    except BusyError:
        return None


def _done(piece: Piece, place: Place) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    parts = parts_for(piece, place)
    if piece.spec is None:
        predict, learned = _baseline(piece, parts)
    else:
        predict, learned = _network(piece, parts, place)
    scored = [_scored(image, piece, predict) for image in parts.scored]
    row = {
        **asdict(piece),
        **learned,
        "images": scored,
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "seconds": round(time.perf_counter() - began, 1),
        "preset": place.preset,
    }
    write_text(place.row(piece), json.dumps(row))
    return row


def parts_for(piece: Piece, place: Place) -> Parts:
    """Read a piece's set, in as many threads as its device wants, and return its parts."""
    import torch

    torch.set_num_threads(1 if place.device == "cpu" else torch.get_num_threads())
    images = read_set(piece.set, place.data, place.simulated)
    # baselines have nothing to stop by, and strokes are too few to hold any back
    stopping = 0.0 if piece.spec is None or piece.strokes else 0.2
    return parts_of(piece.set, images, piece.split, piece.seed, stopping)


def taught(piece: Piece, images: tuple[LabelledImage, ...]) -> TrainingSet:
    """Return what a piece learns from, at its size of a pixel."""
    scaled = tuple(at_scale(image, piece.scale) for image in images)
    if piece.strokes:
        scaled = with_strokes(scaled, piece.strokes, piece.seed)
        return prepare(scaled, "ignore", Cleaning(), {1: "background", 2: "particle"},
                       labels_are="classes")  # fmt: skip
    return prepare(scaled, "background", Cleaning(), {1: "particle"}, labels_are="classes")


def _baseline(piece: Piece, parts: Parts) -> tuple[Any, dict[str, Any]]:
    from napari_tem_rf.learning.baselines import fit_forest, fit_fourier_filter

    data = taught(piece, parts.training)
    if piece.method == "forest":
        forest = fit_forest(data.images, piece.seed, threads=1, classes=2)
        assert forest is not None
        return forest.predict, {}
    try:
        found = fit_fourier_filter(data.images)
    except ValueError as error:
        return None, {"note": str(error)}
    return found.predict, {"period_px": found.period_px, "above": found.above}


def _network(piece: Piece, parts: Parts, place: Place) -> tuple[Any, dict[str, Any]]:
    from safetensors.numpy import save_file

    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.prediction import predict

    assert piece.spec is not None
    data = taught(piece, parts.training)
    if piece.strokes or not parts.stopping:
        stopping = replace(data, images=())
    else:
        stopping = taught(piece, parts.stopping)
    plan, _ = settle_grey_levels(_plan(piece, data, place), data)
    start = None
    if piece.start != "nothing":
        source: str | Path = SIMULATED if piece.start == "simulated" else place.out / "published"
        if piece.start == "published":
            source = Path(source) / place.published
        start = read_start(source, piece.spec, data.classes)
    model, curve = _trained(data, stopping, piece.spec, plan, start)
    with write_aside(place.weights(piece)) as aside:
        save_file({k: v.numpy() for k, v in model.network.state_dict().items()}, aside)
    steps = _step(curve, -1)
    # the best epoch counts from where the choice begins
    kept = len(curve) - len(model.history) + model.best_epoch - 1
    px = _px_per_step(data, piece.spec, plan)
    seen = [as_seen(image, piece.scale) for image in parts.scored[:FIELD_IMAGES]]
    w50, w95 = widths(model.network, seen)
    folded = accelerated(model.network).folded()

    def classes(pixels: np.ndarray) -> np.ndarray:
        found = predict(folded, pixels)
        assert found is not None
        return found.classes

    return classes, {
        "steps": steps,
        "megapixels": round(steps * px / 1e6, 1),
        "ended_by": "ceiling" if plan.steps and steps >= plan.steps else "patience",
        "kept_step": _step(curve, kept) if plan.keep == "best" else steps,
        "grey_levels": plan.grey_levels,
        "curve": curve,
        "nominal_px": receptive_field(piece.spec).nominal,
        "w50_px": w50,
        "w95_px": w95,
    }


def _trained(
    data: TrainingSet, stopping: TrainingSet, spec: NetworkSpec, plan: TrainingPlan, start: Any
) -> tuple[Any, list[tuple[float | None, ...]]]:
    """Train as planned, and return the model and its curve.

    Where epochs are chosen by their held-out loss, those of the first `FIRST_STEPS` are none to
    choose from: the training goes on from there with its history forgotten.
    """
    from napari_tem_rf.learning.training import train

    gentle = start is not None
    curve: list[tuple[float | None, ...]] = []
    states: list[Any] = []
    if stopping.images and plan.patience is not None:
        per_epoch = _sampler(data, spec, plan).steps_per_epoch
        first = replace(plan, patience=None, steps=per_epoch * -(-FIRST_STEPS // per_epoch))
        _followed(
            train(data, stopping, spec, first, start=start, gentle=gentle, save=states.append),
            curve,
        )
        state = replace(states[-1], history=())
        return _followed(
            train(data, stopping, spec, plan, gentle=gentle, state=state), curve
        ), curve
    return _followed(train(data, stopping, spec, plan, start=start, gentle=gentle), curve), curve


def _followed(training: Any, curve: list[tuple[float | None, ...]]) -> Any:
    """Return the model of a training, and add its epochs to a curve."""
    while True:
        try:
            said = next(training)
        except StopIteration as end:
            return end.value
        if isinstance(said, EpochReport):
            values = (said.training_loss, said.validation_loss, said.validation_dice)
            rounded = (None if each is None else round(each, 5) for each in values)
            curve.append((said.steps, *rounded))


def _step(curve: list[tuple[float | None, ...]], place: int) -> int:
    return int(curve[place][0] or 0)


def _plan(piece: Piece, data: TrainingSet, place: Place) -> TrainingPlan:
    """Return how long is trained, by which crops: the same for all networks of a set."""
    if place.preset == "sytwu2022":
        return sytwu2022(seed=piece.seed, device=place.device)
    common: dict[str, Any] = {"epochs": None, "seed": piece.seed, "device": place.device}
    if piece.strokes:
        return TrainingPlan(**common, steps=STROKE_STEPS, validation=0.0, keep="last")
    plan = TrainingPlan(
        **common, steps=CEILING_STEPS, crop_px=place.crop_px, batch=place.crops, patience=1
    )
    return replace(
        plan, patience=-(-PATIENCE_STEPS // _sampler(data, piece.spec, plan).steps_per_epoch)
    )


def _sampler(data: TrainingSet, spec: NetworkSpec, plan: TrainingPlan) -> Any:
    from napari_tem_rf.learning.crops import CropSampler

    return CropSampler(data, spec, plan, np.random.default_rng(0))


def _px_per_step(data: TrainingSet, spec: NetworkSpec, plan: TrainingPlan) -> int:
    sampler = _sampler(data, spec, plan)
    return int(sampler.batch * sampler.geometry.rows * sampler.geometry.columns)


def widths(network: Any, images: list[np.ndarray]) -> tuple[int, int]:
    """Return w50 and w95 in px of the field averaged over pixels spread over standardised images.

    Pixels whose field goes beyond the image are left out where others are left.
    """
    from napari_tem_rf.learning.effective_field import mean_effective_field, prepared
    from napari_tem_rf.networks.effective_field import effective_field_of

    network = prepared(network)
    field = receptive_field(network.spec)
    total: Any = 0.0
    for pixels in images:
        margin = [min(field.largest // 2, (side - 1) // 2) for side in pixels.shape]
        at = [
            (r + margin[0], c + margin[1])
            for r, c in spread_pixels(
                (pixels.shape[0] - 2 * margin[0], pixels.shape[1] - 2 * margin[1]), FIELD_PIXELS
            )
        ]
        total = total + mean_effective_field(network, field, pixels, at).heat
    middle = total.shape[0] // 2
    mean = effective_field_of(total / len(images), (0, 0), (middle, middle), FIELD_PIXELS)
    return mean.w50_px, mean.w95_px


def spread_pixels(shape: tuple[int, int], number: int) -> list[tuple[int, int]]:
    """Return pixels spread evenly over an image: the additive recurrence of the plastic number."""
    plastic = 1.324717957244746
    place = np.arange(1, number + 1)
    rows, columns = (0.5 + place / plastic) % 1, (0.5 + place / plastic**2) % 1
    return [(int(r * shape[0]), int(c * shape[1])) for r, c in zip(rows, columns, strict=True)]


def _scored(image: LabelledImage, piece: Piece, predict: Any) -> dict[str, Any]:
    """Score an image on its own grid, whatever the size of the pixels that were predicted."""
    if predict is None:
        return about(image)
    found = predict(as_seen(image, piece.scale))
    if found.shape != image.labels.shape:
        found = resample_labels(found, (image.labels.shape[0], image.labels.shape[1]))
    return {**about(image), **score_of(found, image)}


def about(image: LabelledImage) -> dict[str, Any]:
    """Return what an image is told apart and sorted by."""
    return {
        "name": image.name,
        "group": image.group,
        "contrast": contrast_of(image),
        "truth": float(image.labels.mean()),
    }


def as_seen(image: LabelledImage, scale: float = 1.0) -> np.ndarray:
    """Return the pixels of an image as a network sees them, at a size of a pixel."""
    return standardise(clean(at_scale(image, scale).pixels, Cleaning()))


def score_of(found: np.ndarray, image: LabelledImage) -> dict[str, float | None]:
    """Return the scores of a mask of 0 and 1."""
    scores = score_image(found.astype(np.uint8), image.labels, foreground=(1,), name=image.name)
    values = {name: getattr(scores, name) for name in SCORES}
    return {name: None if v is None else round(float(v), 5) for name, v in values.items()}
