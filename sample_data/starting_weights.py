"""Train a network on quick simulated scenes: the weights that a training may start from.

The network learns to tell the five classes of `weak_phase.CLASSES` apart on scenes of thousands of
specimens. A training on real strokes takes all but the last layer from it.

    python sample_data/starting_weights.py --pools 4,4 --filters 8 --out FOLDER

Scenes, crops and weights come from seeds: the same machine makes the same file.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weak_phase import CLASSES, draw_scene

from napari_tem_rf.learning.training import TrainedModel, train
from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, TrainingPlan
from napari_tem_rf.storage import write_aside

__all__ = ["simulated_set", "train_start"]

HELD_OUT = 100
STEP_SIZES = ((3e-3, 0.75), (1e-3, 0.25))  # of Adam, and for which part of the steps


def simulated_set(count: int, seed: int, workers: int) -> tuple[TrainingSet, TrainingSet]:
    """Return so many scenes to learn from, and a hundred to look at how it goes."""
    with ProcessPoolExecutor(workers) as pool:
        scenes = list(pool.map(_scene, repeat(seed), range(count + HELD_OUT), chunksize=20))
    images = tuple(
        AnnotatedImage(f"scene {number}", pixels, truth.astype(np.int16), f"scene {number}")
        for number, (pixels, truth) in enumerate(scenes)
    )
    classes = Classes(tuple(range(len(CLASSES))), CLASSES)
    return (
        TrainingSet(images[HELD_OUT:], classes, "background"),
        TrainingSet(images[:HELD_OUT], classes, "background"),
    )


def _scene(seed: int, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    scene = draw_scene(np.random.default_rng([seed, number]))
    return scene.image, scene.truth


def train_start(
    spec: NetworkSpec, data: tuple[TrainingSet, TrainingSet], steps: int, seed: int
) -> TrainedModel:
    """Train a network: large steps of Adam first, then small ones."""
    start: dict[str, NDArray[Any]] | None = None
    for step_size, part in STEP_SIZES:
        plan = TrainingPlan(
            epochs=None,
            steps=round(part * steps),
            seed=seed,
            learning_rate=step_size,
            averaging=0.995,
            keep="last",
        )
        training = train(*data, spec, plan, start=start)
        while True:
            try:
                report = next(training)
            except StopIteration as end:
                model: TrainedModel = end.value
                break
            if isinstance(report, EpochReport):
                print(
                    f"step {report.steps}: loss {report.training_loss:.3f}, held-out scenes "
                    f"{report.validation_loss:.3f}, Dice {report.validation_dice:.3f}",
                    flush=True,
                )
        start = {name: value.numpy() for name, value in model.network.state_dict().items()}
        seed += 1  # other crops
    return model


def write_start(path: Path, model: TrainedModel, words: dict[str, Any]) -> None:
    """Write weights and, in the file's metadata, the network and how it was trained."""
    from safetensors.numpy import save

    weights = {name: value.numpy() for name, value in model.network.state_dict().items()}
    arrays = {name: np.ascontiguousarray(value) for name, value in weights.items()}
    with write_aside(path) as aside:
        aside.write_bytes(save(arrays, {"start": json.dumps(words)}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pools", default="4,4")
    parser.add_argument("--filters", type=int, default=8)
    parser.add_argument("--scenes", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw scenes")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    options = parser.parse_args()
    pools = tuple(int(pool) for pool in options.pools.split(","))
    spec = NetworkSpec(pools, filters=options.filters, classes=len(CLASSES))
    begun = time.monotonic()
    data = simulated_set(options.scenes, options.seed, options.workers)
    print(f"{options.scenes} scenes after {time.monotonic() - begun:.0f} s", flush=True)
    model = train_start(spec, data, options.steps, options.seed)
    assert model.validation is not None
    words = {
        "pools": spec.pools,
        "filters": spec.filters,
        "classes": CLASSES,
        "scenes": options.scenes,
        "steps": options.steps,
        "seed": options.seed,
        "loss": model.validation.loss,
        "dice": model.validation.dice,
    }
    field = nominal_receptive_field(spec)
    path = options.out / f"field_{field}_filters_{spec.filters}.safetensors"
    write_start(path, model, words)
    print(f"{path} after {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
