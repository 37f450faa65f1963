"""Each exposure in turn left out of the training and scored: the worst, and the mean.

What a network learns of grey level holds for the exposures that it saw and misleads on another; a
lattice does not. The same training is done with grey levels kept and varied (`--grey-levels` of
`train`), from the same weights, with the same crops drawn.

    python benchmarks/leave_one_out.py [--data ../shared/data] [--steps 300] [--start nothing]
        [--sets high_resolution simulated low_magnification graphene-hrtem nanoparticles-bf]

``simulated`` are scenes of `sample_data/weak_phase.py` with a lattice and amplitude contrast of
either sign. Of a public set, whose frames of one exposure stay together, the exposures are put into
at most ``--folds`` parts.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from napari_tem_rf import jobs, read_labels, read_micrographs
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import default_plan
from napari_tem_rf.samples import sample_folder
from napari_tem_rf.starting import named_start

ROOT = Path(__file__).parents[1]
SETS = (
    "high_resolution",
    "simulated",
    "low_magnification",
    "graphene-hrtem",
    "nanoparticles-bf",
)
SIMULATED = 10


def read_set(name: str, data: Path) -> list[LabelledImage]:
    """Return the images of a set, each with its exposure as group."""
    if name == "simulated":
        return simulated()
    public = name in ("graphene-hrtem", "nanoparticles-bf")
    folder = data / name if public else sample_folder(name)
    images = []
    for path in sorted((folder / "images").iterdir()):
        if path.suffix not in (".png", ".tif"):
            continue
        (micrograph,) = read_micrographs(path)
        mask = (read_labels(folder / "labels" / path.name) > 0).astype(np.uint8)
        exposure = re.sub(r"_layer_\d+$", "", path.stem)
        images.append(
            LabelledImage(path.stem, micrograph.frame(), mask, micrograph.pixel_size_nm, exposure)
        )
    return images


def simulated() -> list[LabelledImage]:
    """Return scenes with particles and a lattice, drawn by seed."""
    sys.path.insert(0, str(ROOT / "sample_data"))
    from weak_phase import PARTICLE, draw_scene

    images: list[LabelledImage] = []
    seed = 0
    while len(images) < SIMULATED:
        scene = draw_scene(np.random.default_rng([7, seed]))
        seed += 1
        mask = (scene.truth == PARTICLE).astype(np.uint8)
        if scene.kind == "particles" and 0.05 < mask.mean() < 0.7:
            name = f"scene_{seed - 1}"
            images.append(LabelledImage(name, scene.image, mask, None, name))
    return images


def score(
    images: list[LabelledImage], out: set[str], grey_levels: str, start: str | None, steps: int
) -> dict[str, float]:
    """Train without some exposures, and return the Dice of their images."""
    spec = NetworkSpec((4, 4), filters=8)
    plan = default_plan(steps=steps, validation=0.0, device="cpu", grey_levels=grey_levels)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        jobs.train_run(
            jobs.TrainRequest(
                run=run,
                images=tuple(image for image in images if image.group not in out),
                spec=spec,
                plan=plan,
                unlabelled="background",
                start=named_start(start, spec, "default"),
            ),
            report=lambda _: None,
            stopped=lambda: False,
        )
        return {
            image.name: dice(
                jobs.predict_with_run(
                    run, image.pixels, report=lambda _: None, stopped=lambda: False
                ).labels
                > 0,
                image.labels > 0,
            )
            for image in images
            if image.group in out
        }


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--start", choices=("nothing", "simulated"), default="nothing")
    parser.add_argument("--grey-levels", nargs="+", default=["kept", "varied"])
    options = parser.parse_args()
    start = None if options.start == "nothing" else "simulated"
    for name in options.sets:
        try:
            images = read_set(name, options.data)
        except FileNotFoundError:
            print(f"{name} is not in {options.data}: left out")
            continue
        exposures = sorted({image.group for image in images})
        number = len(exposures) if len(exposures) <= SIMULATED else options.folds
        folds = [set(exposures[place::number]) for place in range(number)]
        for how in options.grey_levels:
            found: dict[str, float] = {}
            for out in folds:
                found |= score(images, out, how, start, options.steps)
            worst = min(found, key=lambda image: found[image])
            print(
                f"{name}, {options.steps} steps, from {options.start}, grey levels {how}: mean "
                f"Dice {np.mean(list(found.values())):.3f}, worst {found[worst]:.3f} ({worst})",
                flush=True,
            )
            if len(found) <= SIMULATED:
                print("   ", "  ".join(f"{image} {each:.2f}" for image, each in found.items()))


if __name__ == "__main__":
    main()
