"""How much of the nominal field trained networks use, and the same networks before training.

    python benchmarks/effective_field_widths.py RUN... --images IMAGES... [--pixels 64]

Prints, for each run, the widths that hold 50 % and 95 % of the effective field, averaged over
pixels spread over the images, with the trained weights and with the random ones that the run began
with. Sytwu, Groschner and Scott (2022) report 0.7 to 0.9 of the nominal field for trained networks
on high-resolution images, and for 120 px about 96 px trained against 78 px untrained.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_tem_rf.gui.widgets.receptive_field import spread_pixels
from napari_tem_rf.learning.effective_field import mean_effective_field, prepared
from napari_tem_rf.learning.network import Network
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", nargs="+", type=Path, required=True)
    parser.add_argument("--pixels", type=int, default=64, help="of each image")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames = [
        np.asarray(micrograph.frame())
        for path in find_images(options.images)
        for micrograph in read_micrographs(path)
    ]
    print(f"{len(frames)} images, {options.pixels} pixels of each")
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
