"""Networks drawn at random from the catalog, shared in every format, and what others make of them.

    make bioimage                                    # sets up their environment, then runs this
    python benchmarks/shared_models.py --python .venv-bioimage/bin/python --networks 20

For each: the BioImage Model Zoo's own test of the model (``bioimageio test``, in an environment of
its own, where this program is not installed); the labels of ONNX by onnxruntime, whole and in
tiles by the halo that the file names, against those of the run; and the zip of the run, opened in a
fresh cache, against the run. Prints a row a network and leaves with 1 if any differs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from napari_tem_rf import jobs, workflow
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.tiles import cut_tiles
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning, standardise
from napari_tem_rf.networks.catalog import catalog
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import default_plan
from napari_tem_rf.runs import RunRecord, create_run

TESTED = 900
"""Seconds that the test of one model may take, on a busy machine."""


def drawn(number: int, seed: int, most_gmacs: float) -> list[NetworkSpec]:
    """Return networks of the catalog, drawn at random; each for two to four classes.

    What a test of a model computes at least, the smallest image with its halo, is bounded.
    """
    draw = np.random.default_rng(seed)
    specs = catalog().specs
    found: list[NetworkSpec] = []
    while len(found) < number:
        spec = specs[int(draw.integers(len(specs)))]
        side = 2 * receptive_field(spec).halo + spec.period
        if spec.macs_per_pixel * side**2 < most_gmacs * 1e9:
            found.append(spec.with_classes(int(draw.integers(2, 5))))
    return found


def run_of(folder: Path, spec: NetworkSpec, seed: int) -> Path:
    """Make a run of a random network whose batch norms have other numbers than the first ones."""
    network = random_network(spec, seed)
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    names = ("background", "gold", "carbon", "void")[: spec.classes]
    record = RunRecord(
        name=folder.name,
        spec=spec,
        plan=default_plan(),
        classes=Classes(tuple(range(1, spec.classes + 1)), names),
        unlabelled="ignore",
        cleaning=Cleaning(),
        pixel_size_nm=(0.03, 0.03),
        data=(),
        state="finished",
        created="2026-01-02T03:04:05+00:00",
    )
    run = create_run(folder, record, {})
    run.write_weights({name: value.numpy() for name, value in network.state_dict().items()})
    return folder


def onnx_differences(file: Path, run: Path, image: np.ndarray) -> tuple[int, int]:
    """Return how many labels differ: of the whole pass from the run's, and of tiles from it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    period, halo = int(told["period"]), int(told["halo"])
    pixels = standardise(image)
    (whole,) = session.run(["labels"], {"image": pixels[None, None]})
    tiled = np.empty_like(whole[0])
    for tile in cut_tiles(pixels.shape, 128, period, halo):
        (part,) = session.run(["labels"], {"image": pixels[tile.read][None, None]})
        tiled[tile.write] = part[0][tile.keep]
    ours = workflow.predict(run, image).labels
    return int((whole[0] != ours).sum()), int((tiled != whole[0]).sum())


def tested(python: Path, model: Path) -> str:
    """Return what the test of the zoo says of a model: "passed" or why not."""
    tool = python.with_name("bioimageio")
    done = subprocess.run(
        [str(tool), "test", str(model)], capture_output=True, text=True, timeout=TESTED
    )
    if done.returncode == 0:
        return "passed"
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "❌" in line]
    return f"failed: {lines[:3]}"


def main() -> None:
    """Test each network and print a row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", type=Path, help="that of the environment with bioimageio.core")
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="leave out so many of them")
    parser.add_argument("--last", type=int, help="end before this one")
    parser.add_argument("--seed", type=int, default=752)
    parser.add_argument("--most-gmacs", type=float, default=60.0)
    asked = parser.parse_args()
    specs = drawn(asked.networks, asked.seed, asked.most_gmacs)
    image = np.random.default_rng(asked.seed).normal(300, 20, (301, 403)).astype(np.float32)
    wrong = False
    print("| network | classes | parameters | halo | bioimageio test | onnx | tiles | zip |")
    print("|---|---|---|---|---|---|---|---|")
    for number, spec in list(enumerate(specs))[asked.first : asked.last]:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            os.environ["TEM_RF_CACHE"] = str(place / "cache")
            run = run_of(place / f"run {number}", spec, number)
            files = {
                each: place / f"shared{ending}" for each, (_, ending) in jobs.SHARED_AS.items()
            }
            for shared_as, out in files.items():
                request = jobs.ShareRequest(run=run, shared_as=shared_as, out=out)
                jobs.share_run(request, report=lambda report: None, stopped=lambda: False)
            whole, tiles = onnx_differences(files["onnx"], run, image)
            ours, theirs = (workflow.predict(each, image).labels for each in (run, files["run"]))
            zipped = int((ours != theirs).sum())
            zoo = (
                "not asked" if asked.python is None else tested(asked.python, files["bioimage.io"])
            )
        wrong |= bool(whole or tiles or zipped) or zoo.startswith("failed")
        halo = receptive_field(spec).halo
        print(
            f"| {spec} | {spec.classes} | {spec.parameters:,} | {halo} | {zoo} | {whole} px | "
            f"{tiles} px | {zipped} px |",
            flush=True,
        )
    sys.exit(wrong)


if __name__ == "__main__":
    main()
