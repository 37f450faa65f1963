"""What finishing a mask is worth: particles, sizes and outlines before and after.

A network is trained on whole masks of a public set, split by exposure, or on the strokes of a
sample set, and predicts what was held out. Scored are the masks as the network decided them, masks
smoothed before the decision, masks of the probability's mean over the orientations of the square,
and masks finished as the run suggests, all of the same network. "finished" is what a user gets.

    python benchmarks/finishing.py [--data ../shared/data] [--sets graphene-hrtem ...]
        [--seconds 120 | --steps 1000] [--pools 4,8] [--split 0] [--runs FOLDER]

Dice and the mean distance of the outlines are means over images, object F1 (IoU of 0.5), count and
mean equivalent diameter are of all images together; the 95 % is of the outlines' distances
(Hausdorff 95). With ``--runs`` a training that is there already is not done again.
"""

import argparse
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse
from skimage import segmentation

from napari_tem_rf import jobs, read_labels, read_micrographs
from napari_tem_rf.cli.demo import PARTS
from napari_tem_rf.measuring.finishing import (
    UNFINISHED,
    Finishing,
    Orientations,
    circle_diameter,
    finish_prediction,
)
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan, default_plan
from napari_tem_rf.runs import read_run
from napari_tem_rf.samples import sample_folder
from napari_tem_rf.starting import DEFAULT, named_start

SETS = ("graphene-hrtem", "nanoparticles-bf", "high_resolution", "low_magnification")
HELD_OUT = 0.3
SAME_IOU = 0.5
EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained on, and the images and true masks to score."""

    images: tuple[LabelledImage, ...]
    held_out: tuple[tuple[np.ndarray, np.ndarray], ...]
    spec: NetworkSpec
    plan: TrainingPlan
    unlabelled: str


def public_task(folder: Path, spec: NetworkSpec, plan: TrainingPlan, split: int) -> Task:
    """Return a public set: frames of one exposure, named ..._layer_NNNN, stay together."""
    images = []
    for path in sorted((folder / "images").glob("*.png")):
        (micrograph,) = read_micrographs(path)
        mask = (read_labels(folder / "labels" / path.name) > 0).astype(np.uint8)
        exposure = re.sub(r"_layer_\d+$", "", path.stem)
        images.append(LabelledImage(path.stem, micrograph.frame(), mask, None, exposure))
    exposures = sorted({image.group for image in images})
    order = np.random.default_rng(split).permutation(len(exposures))
    scored = {exposures[place] for place in order[: round(HELD_OUT * len(exposures))]}
    return Task(
        tuple(image for image in images if image.group not in scored),
        tuple((image.pixels, image.labels > 0) for image in images if image.group in scored),
        spec,
        plan,
        "background",
    )


def sample_task(name: str) -> Task:
    """Return a part of the demonstration: strokes on some images, the others scored."""
    (part,) = (part for part in PARTS if part.name == name)
    folder = sample_folder(name)
    strokes = sorted((folder / "strokes").glob("*.tif"))[: part.annotated]
    taken = {path.stem for path in strokes}
    images, held_out = [], []
    for path in sorted((folder / "images").glob("*.tif")):
        (micrograph,) = read_micrographs(path)
        if path.stem in taken:
            labels = read_labels(folder / "strokes" / path.name)
            size = micrograph.pixel_size_nm
            images.append(LabelledImage(path.stem, micrograph.frame(), labels, size))
        else:
            held_out.append((micrograph.frame(), read_labels(folder / "labels" / path.name) > 0))
    plan = TrainingPlan(epochs=part.epochs, validation=0.0)
    return Task(tuple(images), tuple(held_out), part.spec, plan, "ignore")


def train(task: Task, run: Path, start: str | None) -> None:
    request = jobs.TrainRequest(
        run=run,
        images=task.images,
        spec=task.spec,
        plan=task.plan,
        unlabelled=task.unlabelled,  # type: ignore[arg-type]
        start=named_start(start, task.spec, "default"),
    )
    jobs.train_run(request, report=lambda report: None, stopped=lambda: False)


def probability(run: Path, pixels: np.ndarray, orientations: Orientations = "one") -> np.ndarray:
    predicted = jobs.predict_with_run(
        run,
        pixels,
        probabilities=True,
        finishing=Finishing(orientations=orientations),
        report=lambda report: None,
        stopped=lambda: False,
    )
    return predicted.probabilities[1]


def particles(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the particles of a mask as 1, 2, ..., and their areas."""
    numbered, _ = ndimage.label(mask, EIGHT)
    return numbered, np.bincount(numbered.ravel())[1:]


def matches(found: np.ndarray, true: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """Return how many particles are the same, and the areas of the found and of the true."""
    (a, areas), (b, true_areas) = particles(found), particles(true)
    both = found & true
    ones = np.ones(np.count_nonzero(both))
    shape = len(areas), len(true_areas)
    shared = sparse.coo_array((ones, (a[both] - 1, b[both] - 1)), shape=shape).tocsr().tocoo()
    union = areas[shared.row] + true_areas[shared.col] - shared.data
    return int((shared.data > SAME_IOU * union).sum()), areas, true_areas


def contour(mask: np.ndarray) -> np.ndarray:
    """Return a mask's pixels beside the background; the image's border is none."""
    return mask & ~ndimage.binary_erosion(mask, border_value=1)


def distances(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    a, b = contour(found), contour(true)
    if not a.any() or not b.any():
        return np.zeros(0)
    to_b, to_a = ndimage.distance_transform_edt(~b)[a], ndimage.distance_transform_edt(~a)[b]
    return np.concatenate([to_b, to_a])


def row(name: str, masks: list[np.ndarray], truths: list[np.ndarray]) -> str:
    same, sizes, true_sizes, dices, means, far = 0, [], [], [], [], []
    for found, true in zip(masks, truths, strict=True):
        matched, areas, true_areas = matches(found, true)
        same += matched
        sizes += [circle_diameter(area) for area in areas]
        true_sizes += [circle_diameter(area) for area in true_areas]
        dices.append(dice(found, true))
        away = distances(found, true)
        if len(away):
            means.append(away.mean())
            far.append(np.quantile(away, 0.95))
    f1 = 2 * same / max(1, len(sizes) + len(true_sizes))
    bias = np.mean(sizes) / np.mean(true_sizes) - 1 if sizes else np.nan
    return (
        f"| {name} | {np.mean(dices):.4f} | {f1:.3f} | {len(sizes)} of {len(true_sizes)} "
        f"({len(sizes) / len(true_sizes) - 1:+.0%}) | {bias:+.1%} | {np.mean(means):.2f} | "
        f"{np.mean(far):.1f} |"
    )


def inside(mask: np.ndarray) -> np.ndarray:
    """Return a mask without the particles that the image's border cuts."""
    return segmentation.clear_border(particles(mask)[0]) > 0


def measure(task: Task, run: Path) -> None:
    record = read_run(run).record
    finishing = record.finishing
    truths = [true for _, true in task.held_out]
    plain, two, eight = (
        [probability(run, pixels, number) for pixels, _ in task.held_out]
        for number in ("one", "two", "eight")
    )

    def done(likely: list[np.ndarray], how: Finishing) -> list[np.ndarray]:
        return [
            finish_prediction((each > 0.5).astype(np.uint8), each[None], how) > 0 for each in likely
        ]

    smooth = Finishing(smoothing_px=finishing.smoothing_px)
    unsmoothed = replace(finishing, smoothing_px=0.0)
    print(f"{record.spec}, {record.steps} steps; {finishing.sentence}")
    print(f"({record.finishing_reason})\n")
    print("| mask | Dice | object F1 | particles | mean diameter | outline / px | 95 % / px |")
    print("|---|---|---|---|---|---|---|")
    print(row("as decided", done(plain, UNFINISHED), truths))
    print(row("smoothed only", done(plain, smooth), truths))
    print(row("eight orientations only", done(eight, UNFINISHED), truths))
    print(row("finished as the image lies", done(plain, finishing), truths))
    print(row("finished, two orientations", done(two, finishing), truths))
    print(row("finished without smoothing", done(eight, unsmoothed), truths))
    print(row("finished", done(eight, finishing), truths), flush=True)
    inner = [inside(mask) for mask in done(eight, finishing)], [inside(true) for true in truths]
    print(row("finished, without those at the border", *inner), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--steps", type=int, help="instead of seconds, for a busy machine")
    parser.add_argument("--pools", default="4,8")
    parser.add_argument("--filters", type=int, default=8)
    parser.add_argument("--split", type=int, default=0, help="seed of the draw of what is scored")
    parser.add_argument("--runs", type=Path, help="folder to keep the runs in")
    options = parser.parse_args()
    length = {"steps": options.steps} if options.steps else {"seconds": options.seconds}
    plan = default_plan(**length, device="cpu")
    spec = NetworkSpec(tuple(map(int, options.pools.split(","))), filters=options.filters)
    with tempfile.TemporaryDirectory() as temporary:
        runs = options.runs or Path(temporary)
        for name in options.sets:
            print(f"\n## {name}\n")
            start = None
            if name in ("high_resolution", "low_magnification"):
                task = sample_task(name)
            elif (options.data / name).is_dir():
                task, start = public_task(options.data / name, spec, plan, options.split), DEFAULT
            else:
                print(f"not in {options.data}: left out")
                continue
            run = runs / f"{name}_{task.spec.pools}_{options.split}"
            if not run.is_dir():
                train(task, run, start)
            measure(task, run)


if __name__ == "__main__":
    main()
