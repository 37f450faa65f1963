"""How much of the nominal field trained networks use, and the same networks before training.

    python benchmarks/effective_field_widths.py RUN... --images IMAGES... [--pixels 64]
        [--definitions]

Prints, for each run, the widths that hold 50 % and 95 % of the effective field, averaged over
pixels spread over the images, with the trained weights and with the random ones that the run began
with. ``--definitions`` adds the 95 % width under other definitions, and of the random network with
batch norms calibrated on the images. Sytwu, Groschner and Scott (2022) report 0.7 to 0.9 of the
nominal field for trained networks on high-resolution images, and for 120 px about 96 px trained
against 78 px untrained.
"""

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_tem_rf.gui.field.dock import spread_pixels
from napari_tem_rf.learning.effective_field import mean_effective_field, prepared
from napari_tem_rf.learning.network import Network, network_of
from napari_tem_rf.micrographs.cleaning import clean, standardise
from napari_tem_rf.micrographs.reading import find_images, read_micrographs
from napari_tem_rf.networks.effective_field import EffectiveField, effective_field_of
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.runs import Run, read_run


def trained(run: Run) -> Network:
    network = Network(run.record.spec)
    weights = run.read_weights()
    network.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in weights.items()})
    return prepared(network)


def untrained(run: Run) -> Network:
    torch.manual_seed(run.record.plan.seed)
    return prepared(Network(run.record.spec))


def mean_over(
    network: Network, images: list[np.ndarray], number: int, margin: int
) -> EffectiveField:
    """Return the field averaged over pixels of all images, those near the border left out."""
    field = receptive_field(network.spec)
    total = None
    for pixels in images:
        inner = tuple(max(length - 2 * margin, 1) for length in pixels.shape)
        offset = tuple(
            (length - side) // 2 for length, side in zip(pixels.shape, inner, strict=True)
        )
        at = [
            (r + offset[0], c + offset[1]) for r, c in spread_pixels((inner[0], inner[1]), number)
        ]
        one = mean_effective_field(network, field, pixels, at)
        total = one.heat if total is None else total + one.heat
    assert total is not None
    middle = total.shape[0] // 2
    mean = effective_field_of(total / len(images), (0, 0), (middle, middle), number * len(images))
    return replace(mean, pixels=number * len(images))


def calibrated(network: Network, images: list[np.ndarray]) -> Network:
    """Return a copy whose batch norms have the statistics of these images."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all images
    network.train()
    with torch.no_grad():
        for pixels in images:
            network(torch.from_numpy(pixels)[None, None])
    return network.eval()


def gradients(network: Network, images: list[np.ndarray], number: int) -> np.ndarray:
    """Return margin gradients centred on random pixels, shape (pixel, row, column)."""
    reach = receptive_field(network.spec).largest // 2 + network.spec.period
    rng = np.random.default_rng(1)
    found = []
    for pixels in images:
        for _ in range(number):
            row, column = (int(rng.integers(reach, length - reach)) for length in pixels.shape)
            x = torch.from_numpy(pixels)[None, None].requires_grad_(True)
            logits = network(x)[0, :, row, column]
            (gradient,) = torch.autograd.grad(logits[1] - logits[0], x)
            window = slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1)
            found.append(gradient[0, 0].numpy()[window])
    return np.stack(found)


def width(heat: np.ndarray, distance: np.ndarray, part: float = 0.95) -> float:
    """Return the size of the smallest region of equal distance that holds a part of the heat."""
    order = np.argsort(distance, axis=None, kind="stable")
    held = np.cumsum(heat.ravel()[order])
    return 2 * float(distance.ravel()[order][np.searchsorted(held, part * held[-1] * (1 - 1e-9))])


def definitions(found: np.ndarray) -> dict[str, float]:
    """Return the 95 % width in px under each definition."""
    reach = found.shape[1] // 2
    rows, columns = np.indices(found.shape[1:]) - reach
    square, disc = np.maximum(abs(rows), abs(columns)), np.hypot(rows, columns)
    mean = np.abs(found).mean(axis=0)
    return {
        "square of the mean": width(mean, square) + 1,
        "mean of the squares": float(np.mean([width(abs(one), square) + 1 for one in found])),
        "disc": width(mean, disc),
        "profile": width(mean.sum(axis=0), abs(np.arange(-reach, reach + 1))) + 1,
        "energy": width((found**2).mean(axis=0), square) + 1,
    }


def print_definitions(runs: list[Path], frames: list[np.ndarray], number: int) -> None:
    for folder in runs:
        run = read_run(folder)
        images = [standardise(clean(pixels, run.record.cleaning)) for pixels in frames]
        torch.manual_seed(run.record.plan.seed)
        random = Network(run.record.spec).eval()
        ways = {
            "random": random,
            "random, calibrated": calibrated(random, images),
            "trained": network_of(run.record.spec, run.read_weights()).eval(),
        }
        field = receptive_field(run.record.spec).nominal
        print(
            f"{folder.name}: {field} px, {run.record.steps} steps, preset {run.record.plan.preset}"
        )
        for way, network in ways.items():
            widths = definitions(gradients(network, images, number))
            listed = ", ".join(f"{name} {value:.0f}" for name, value in widths.items())
            print(f"  {way:>18s}: {listed}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", nargs="+", type=Path, required=True)
    parser.add_argument("--pixels", type=int, default=64, help="of each image")
    parser.add_argument("--definitions", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames = [
        np.asarray(micrograph.frame())
        for path in find_images(options.images)
        for micrograph in read_micrographs(path)
    ]
    print(f"{len(frames)} images, {options.pixels} pixels of each")
    if options.definitions:
        print_definitions(options.runs, frames, options.pixels)
        return
    print(
        f"{'network':>28s} {'dice':>5s} {'weights':>9s} {'total':>8s}"
        f" {'w50 px':>7s} {'w95 px':>7s} {'w95 / nominal':>14s}"
    )
    for folder in options.runs:
        run = read_run(folder)
        record, field = run.record, receptive_field(run.record.spec)
        images = [standardise(clean(pixels, record.cleaning)) for pixels in frames]
        dice = "" if record.validation_dice is None else f"{record.validation_dice:.2f}"
        for name, network in (("random", untrained(run)), ("trained", trained(run))):
            mean = mean_over(network, images, options.pixels, field.largest // 2)
            print(
                f"{f'{field.nominal} px, {record.spec.parameters:,}':>28s} {dice:>5s} {name:>9s} "
                f"{mean.total:8.3g} {mean.w50_px:7d} {mean.w95_px:7d} "
                f"{mean.w95_px / field.nominal:14.2f}"
            )


if __name__ == "__main__":
    main()
