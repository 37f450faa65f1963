"""From strokes to a mask: what 20 seconds of training on a few strokes are worth.

A seeded hand draws 8 strokes (about 1,000 px) on each of 3 graphene images, or on 1 image of
nanoparticles. The window's default network is trained on them for 20 s of the clock, from nothing
and from simulated micrographs, and its masks, finished as the run suggests, are scored on all
images of other exposures: mean Dice per image.
A random forest learns from the same strokes. Five seeds, each with other images, strokes and
weights.

    python benchmarks/strokes_to_mask.py [--data ../shared/data] [--seeds 5] [--seconds 20]
        [--pools 4,8] [--filters 8] [--ways "from simulated" "random forest"]
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from napari_tem_rf import jobs, read_labels, read_micrographs
from napari_tem_rf.learning.baselines import fit_forest
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning, standardise
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.starting import SIMULATED

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "sample_data"))
from strokes import BACKGROUND, PARTICLE, longest_walk, paint_walk  # noqa: E402

STROKES_PER_CLASS = 4
WIDTHS_PX = (2.2, 3.6)
CLEARANCE_PX = {PARTICLE: 3.0, BACKGROUND: 5.0}
FEWEST_PX = 300
IMAGES = {"graphene-hrtem": 3, "nanoparticles-bf": 1}
WAYS = ("from simulated", "from nothing", "random forest")


@dataclass(frozen=True, eq=False)
class Known:
    """An image with its true mask."""

    name: str
    exposure: str
    pixels: np.ndarray
    mask: np.ndarray


def read_set(folder: Path) -> list[Known]:
    """Return the images of a set; frames of one exposure are named ``..._layer_NNNN``."""
    found = []
    for path in sorted((folder / "images").glob("*.png")):
        (micrograph,) = read_micrographs(path)
        mask = read_labels(folder / "labels" / path.name) > 0
        exposure = re.sub(r"_layer_\d+$", "", path.stem)
        found.append(Known(path.stem, exposure, micrograph.frame(), mask))
    return found


def draw(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return four strokes on the largest particles and four on the background."""
    strokes = np.zeros(mask.shape, np.uint8)
    inner = distance_transform_edt(mask) > CLEARANCE_PX[PARTICLE]
    outer = distance_transform_edt(~mask) > CLEARANCE_PX[BACKGROUND]
    regions, _ = label(inner)
    areas = np.bincount(regions.ravel())[1:]
    largest = [int(region) + 1 for region in np.argsort(-areas)[:6] if areas[region] > 40]
    for number in range(STROKES_PER_CLASS):
        room = regions == largest[number % len(largest)]
        paint_walk(strokes, longest_walk(room, rng, trials=6), rng.uniform(*WIDTHS_PX), PARTICLE)
    for _ in range(STROKES_PER_CLASS):
        paint_walk(strokes, longest_walk(outer, rng, trials=3), rng.uniform(*WIDTHS_PX), BACKGROUND)
    return strokes


def task(
    images: list[Known], number: int, seed: int
) -> tuple[tuple[LabelledImage, ...], list[Known]]:
    """Return images with strokes, each of another exposure, and the images to score on."""
    rng = np.random.default_rng(1000 + seed)
    enough = [
        i
        for i, image in enumerate(images)
        if (distance_transform_edt(image.mask) > CLEARANCE_PX[PARTICLE]).sum() > FEWEST_PX
    ]
    chosen: dict[str, Known] = {}
    for index in rng.permutation(enough):
        if len(chosen) < number:
            chosen.setdefault(images[index].exposure, images[index])
    annotated = tuple(
        LabelledImage(each.name, each.pixels, draw(each.mask, rng), None, each.exposure)
        for each in chosen.values()
    )
    return annotated, [image for image in images if image.exposure not in chosen]


def network_dice(
    spec: NetworkSpec,
    annotated: tuple[LabelledImage, ...],
    held_out: list[Known],
    start: str | None,
    seconds: float,
    seed: int,
) -> float:
    with tempfile.TemporaryDirectory() as folder:
        request = jobs.TrainRequest(
            run=Path(folder) / "run",
            images=annotated,
            spec=spec,
            plan=TrainingPlan(epochs=None, seconds=seconds, seed=seed),
            start=start,
        )
        jobs.train_run(request, report=lambda report: None, stopped=lambda: False)
        scores = []
        for image in held_out:
            found = jobs.predict_with_run(
                request.run, image.pixels, report=lambda report: None, stopped=lambda: False
            )
            assert found is not None
            scores.append(dice(found.labels > 0, image.mask))
    return float(np.mean(scores))


def forest_dice(annotated: tuple[LabelledImage, ...], held_out: list[Known], seed: int) -> float:
    data = jobs.prepare(annotated, "ignore", Cleaning())
    forest = fit_forest(data.images, seed)
    assert forest is not None
    return float(
        np.mean([dice(forest.predict(standardise(i.pixels)) == 1, i.mask) for i in held_out])
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=list(IMAGES), default=list(IMAGES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--pools", default=",".join(map(str, FIRST_NETWORK.pools)), help="of the network"
    )
    parser.add_argument(
        "--filters", type=int, default=FIRST_NETWORK.filters, help="of its first level"
    )
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f'"{options.data}" is not there: give the folder of the public sets by --data')
        return
    pools = tuple(int(pool) for pool in options.pools.split(","))
    spec = NetworkSpec(pools, filters=options.filters)
    ways = {
        "from simulated": lambda a, h, s: network_dice(spec, a, h, SIMULATED, options.seconds, s),
        "from nothing": lambda a, h, s: network_dice(spec, a, h, None, options.seconds, s),
        "random forest": forest_dice,
    }
    ways = {way: score for way, score in ways.items() if way in options.ways}
    print(f"Dice on images of other exposures after {options.seconds:g} s; {spec}")
    print(f"{'set':18s} {'way':15s} {'mean':>6s} {'sd':>6s}   each seed")
    for name in options.sets:
        images = read_set(options.data / name)
        scores: dict[str, list[float]] = {way: [] for way in ways}
        for seed in range(options.seeds):
            annotated, held_out = task(images, IMAGES[name], seed)
            for way, score in ways.items():
                begun = time.perf_counter()
                scores[way].append(score(annotated, held_out, seed))
                took = time.perf_counter() - begun
                print(
                    f"  {name}, seed {seed}, {way}: {scores[way][-1]:.3f} in {took:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )
        for way, each in scores.items():
            spread = statistics.stdev(each) if len(each) > 1 else 0.0
            listed = " ".join(f"{value:.3f}" for value in each)
            print(f"{name:18s} {way:15s} {np.mean(each):6.3f} {spread:6.3f}   {listed}")
        if {WAYS[0], WAYS[-1]} <= ways.keys():
            above = sum(a > b for a, b in zip(scores[WAYS[0]], scores[WAYS[-1]], strict=True))
            print(f"{name:18s} from simulated above the forest in {above} of {options.seeds} seeds")


if __name__ == "__main__":
    main()
