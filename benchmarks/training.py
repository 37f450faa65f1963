"""Training: ours against the authors' way, in pixels a second and in Dice per pixel seen.

Ours is `learning.training.train` with the window's recipe, `TrainingPlan()`: crops drawn and
augmented, weights averaged, each epoch validated, all of it on the clock. The authors' way is a
plain torch loop: batches of 32 patches of 512 x 512 px (smaller where the images are), shuffled
with their 8 symmetries, cross entropy, Adam 1e-4, contiguous layout, torch's own layers, threads
and allocator as they come. Both train the same 8,074 parameters at fields of 44, 120 and 392 px;
each in a process of its own, in the environment as it is. Pixels are those of the crops that go
through the network; "in the loss" is the share of them that counts (ours leaves out those without
true context).

The second table gives the mean Dice on images of other exposures after so many pixels: ours is the
running average of the weights, theirs the weights. The images are the public graphene set where
its folder is there (92 of 256 x 256 px), or the sample data.

Both compute on the same device; on a GPU the authors' way reads its loss after each step, as their
script does, so that the clock waits for the card.

    python benchmarks/training.py [--repeats 3] [--fields 44 120 392] [--device auto]
        [--dice-fields 120] [--mpx 5 10 20 40] [--seeds 3] [--data ../shared/data]
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_tem_rf import jobs, read_labels, read_micrographs
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs import splitting
from napari_tem_rf.micrographs.annotation import AnnotatedImage, LabelledImage, TrainingSet
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.samples import sample_folder

POOLS = {44: (2, 2), 120: (4, 4), 392: (8, 8)}
BATCH, PATCH_PX, LEARNING_RATE = 32, 512, 1e-4
MOST_HELD_OUT = 24
ROOT = Path(__file__).resolve().parents[1]


def labelled(folder: Path) -> TrainingSet:
    """Return all images of a folder with their whole masks; its frames know their exposure."""
    images = []
    for path in sorted((folder / "images").iterdir()):
        (micrograph,) = read_micrographs(path)
        labels = read_labels(folder / "labels" / path.name)
        group = re.sub(r"_layer_\d+$", "", path.stem)
        images.append(LabelledImage(path.stem, micrograph.frame(), labels, None, group))
    return jobs.prepare(tuple(images), "background", Cleaning())


def split(data: TrainingSet, seed: int) -> tuple[TrainingSet, TrainingSet]:
    """Return a training and a held-out half; no exposure is in both."""
    groups = sorted({image.group for image in data.images})
    chosen = set(np.random.default_rng(seed).permutation(groups)[: len(groups) // 2])
    kept = tuple(image for image in data.images if image.group in chosen)
    others = tuple(image for image in data.images if image.group not in chosen)
    return replace(data, images=kept), replace(data, images=others[:MOST_HELD_OUT])


def patches(images: tuple[AnnotatedImage, ...], seed: int) -> Iterator[tuple]:
    """Yield the authors' batches without end: (images, labels) as tensors."""
    import torch

    rng = np.random.default_rng(seed)
    side = min(PATCH_PX, *(min(image.pixels.shape) for image in images))
    grid = [
        (turn(image.pixels, symmetry), turn(image.labels, symmetry), row, column)
        for image in images
        for row in range(0, image.pixels.shape[0] - side + 1, side)
        for column in range(0, image.pixels.shape[1] - side + 1, side)
        for symmetry in range(8)
    ]
    while True:
        order = rng.permutation(len(grid))
        if len(order) < BATCH:
            order = np.resize(order, BATCH)
        for first in range(0, len(order) - BATCH + 1, BATCH):
            cut = [
                [values[row : row + side, column : column + side] for values in (pixels, labels)]
                for pixels, labels, row, column in (grid[i] for i in order[first : first + BATCH])
            ]
            yield (
                torch.from_numpy(np.stack([pixels for pixels, _ in cut])[:, None]),
                torch.from_numpy(np.stack([labels for _, labels in cut]).astype(np.int64)),
            )


def turn(values: np.ndarray, symmetry: int) -> np.ndarray:
    turned = np.rot90(values, symmetry % 4)
    return turned[:, ::-1] if symmetry >= 4 else turned


def train_theirs(
    field: int, images: tuple[AnnotatedImage, ...], seed: int, device: str
) -> Iterator[tuple]:
    """Yield (network, pixels of the step) after each step of the authors' loop."""
    import torch
    from paper_unet import PaperUNet
    from torch.nn import functional

    torch.manual_seed(seed)
    network = PaperUNet(POOLS[field]).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    for pixels, labels in patches(images, seed):
        network.train()
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(pixels.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
        loss.item()
        yield network, pixels.numel()


def speed_of_theirs(field: int, repeats: int, device: str) -> dict:
    steps = train_theirs(field, labelled(sample_folder("high_resolution")).images, 752, device)
    next(steps)  # the first step is slower
    rates = []
    for _ in range(repeats):
        begun = time.perf_counter()
        _, px = next(steps)
        rates.append(px / (time.perf_counter() - begun) / 1e6)
    return {"rates": rates, "counted": 1.0, "what": f"{BATCH} of {PATCH_PX} x {PATCH_PX}"}


def speed_of_ours(field: int, repeats: int, device: str) -> dict:
    from napari_tem_rf.learning.crops import CropSampler
    from napari_tem_rf.learning.training import train
    from napari_tem_rf.networks.spec import NetworkSpec
    from napari_tem_rf.protocol import EpochReport, TrainingPlan

    data = labelled(sample_folder("high_resolution"))
    spec, plan = (
        NetworkSpec(POOLS[field], filters=4),
        TrainingPlan(epochs=1 + repeats, device=device),
    )
    parts = splitting.split(data, plan.validation, 0, 752)
    training, validation = parts.training, parts.validation
    sampler = CropSampler(training, spec, plan, np.random.default_rng(0))
    shape = (sampler.geometry.rows, sampler.geometry.columns)
    counted = np.mean([(batch.labels >= 0).mean() for batch in sampler.epoch()])
    rates, steps, begun = [], 0, 0.0
    for report in train(training, validation, spec, plan):
        if isinstance(report, EpochReport):
            now = time.perf_counter()
            if steps:  # the first epoch is slower
                px = (report.steps - steps) * sampler.batch * shape[0] * shape[1]
                rates.append(px / (now - begun) / 1e6)
            steps, begun = report.steps, time.perf_counter()
    what = f"{sampler.batch} of {shape[0]} x {shape[1]}"
    return {"rates": rates, "counted": float(counted), "what": what}


@dataclass(frozen=True, slots=True, eq=False)
class DiceTask:
    """What either way learns from, and after how many megapixels it is scored."""

    field: int
    training: TrainingSet
    held_out: TrainingSet
    mpx: list[float]
    seed: int
    device: str


def dice_of_theirs(task: DiceTask) -> list[float]:
    import torch

    scores, seen = [], 0
    for network, px in train_theirs(task.field, task.training.images, task.seed, task.device):
        seen += px
        while len(scores) < len(task.mpx) and seen >= task.mpx[len(scores)] * 1e6:
            network.eval()
            with torch.inference_mode():
                wholes = [
                    torch.from_numpy(whole(image.pixels, 64))[None, None].to(task.device)
                    for image in task.held_out.images
                ]
                found = [network(each)[0].argmax(0).cpu().numpy() for each in wholes]
            scores.append(mean_dice(found, task.held_out))
        if len(scores) == len(task.mpx):
            break
    return scores


def dice_of_ours(task: DiceTask) -> list[float]:
    from napari_tem_rf.learning.crops import CropSampler
    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.prediction import predict
    from napari_tem_rf.learning.training import train
    from napari_tem_rf.networks.spec import NetworkSpec
    from napari_tem_rf.protocol import TrainingPlan

    spec = NetworkSpec(POOLS[task.field], filters=4)
    plan = TrainingPlan(epochs=10_000, seed=task.seed, device=task.device)
    sampler = CropSampler(task.training, spec, plan, np.random.default_rng(0))
    px = sampler.batch * sampler.geometry.rows * sampler.geometry.columns
    scores: list[float] = []
    seen = 0

    def watch(averaged, epoch: int) -> None:
        nonlocal seen
        seen += px
        if len(scores) < len(task.mpx) and seen >= task.mpx[len(scores)] * 1e6:
            folded = accelerated(averaged).folded()
            found = [predict(folded, image.pixels).classes for image in task.held_out.images]
            scores.append(mean_dice(found, task.held_out))

    nothing = replace(task.held_out, images=())
    for _ in train(
        task.training,
        nothing,
        spec,
        plan,
        watch=watch,
        stopped=lambda: len(scores) == len(task.mpx),
    ):
        pass
    return scores


def whole(pixels: np.ndarray, period: int) -> np.ndarray:
    """Return the part of an image on whole periods: the plain network fills nothing up."""
    rows, columns = (length // period * period for length in pixels.shape)
    return np.ascontiguousarray(pixels[:rows, :columns])


def mean_dice(found: list[np.ndarray], held_out: TrainingSet) -> float:
    pairs = zip(found, held_out.images, strict=True)
    return float(
        np.mean([dice(f == 1, i.labels[: f.shape[0], : f.shape[1]] == 1) for f, i in pairs])
    )


def in_a_process(*arguments: object) -> dict | list:
    command = [sys.executable, __file__, "--work", *map(str, arguments)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def print_speeds(fields: list[int], repeats: int, device: str) -> None:
    print(
        f"Training, 8,074 parameters, sample data, median of {repeats} (min to max), "
        f"{name_of(device)}"
    )
    print(
        f"{'field/px':>8}  {'way':8}  {'crops a step':>16}  {'Mpx/s':>6}  {'min to max':>14}  "
        f"{'in the loss':>11}  {'ratio':>5}"
    )
    for field in fields:
        results = {
            way: in_a_process("speed", way, field, device, repeats) for way in ("authors", "ours")
        }
        slow = statistics.median(results["authors"]["rates"])
        for way, result in results.items():
            rates = result["rates"]
            spread = f"{min(rates):.2f} to {max(rates):.2f}"
            rate = statistics.median(rates)
            print(
                f"{field:8d}  {way:8}  {result['what']:>16}  {rate:6.2f}  {spread:>14}  "
                f"{result['counted']:11.0%}  {rate / slow:5.2f}",
                flush=True,
            )


def name_of(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device


def print_dice(fields: list[int], mpx: list[float], seeds: int, data: Path, device: str) -> None:
    folder = data / "graphene-hrtem"
    if not folder.is_dir():
        print(f'\n"{folder}" is not there: Dice on the sample data instead')
        folder = sample_folder("high_resolution")
    print(f"\nDice on images of other exposures, {folder.name}, mean (and spread) of {seeds} seeds")
    print(f"{'field/px':>8}  {'way':8}  " + "  ".join(f"{f'{m:g} Mpx':>13}" for m in mpx))
    for field in fields:
        for way in ("authors", "ours"):
            scores = np.array(
                [
                    in_a_process("dice", way, field, device, seed, folder, *mpx)
                    for seed in range(seeds)
                ]
            )
            cells = [f"{each.mean():.3f} ({np.ptp(each):.3f})" for each in scores.T]
            print(f"{field:8d}  {way:8}  " + "  ".join(f"{c:>13}" for c in cells), flush=True)


def work(what: str, way: str, field: str, device: str, *rest: str) -> None:
    """Do one measurement in this process and print it as JSON."""
    ours = way == "ours"
    if what == "speed":
        measure = speed_of_ours if ours else speed_of_theirs
        print(json.dumps(measure(int(field), int(rest[0]), device)))
        return
    seed, folder, *mpx = rest
    training, held_out = split(labelled(Path(folder)), int(seed))
    score = dice_of_ours if ours else dice_of_theirs
    points = [float(each) for each in mpx]
    print(json.dumps(score(DiceTask(int(field), training, held_out, points, int(seed), device))))


def device_for(wish: str) -> str:
    from napari_tem_rf.learning.device import pick_device

    return pick_device(wish).type


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fields", type=int, nargs="*", choices=POOLS, default=list(POOLS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dice-fields", type=int, nargs="*", choices=POOLS, default=[120])
    parser.add_argument("--mpx", type=float, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work)
        return
    device = device_for(options.device)
    if options.fields:
        print_speeds(options.fields, options.repeats, device)
    if options.dice_fields:
        print_dice(options.dice_fields, sorted(options.mpx), options.seeds, options.data, device)


if __name__ == "__main__":
    main()
