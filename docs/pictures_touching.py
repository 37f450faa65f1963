"""Makes the picture of particles that touch: before and after.

    python docs/pictures_touching.py [--runs FOLDER] [--out docs/pictures]

``FOLDER`` is what `benchmarks/touching_particles.py --out FOLDER` wrote, which is run first where
none is given. The run that learned from numbers is shown on a part of an image that it was not
trained on: its mask split at necks, and its particles by their borders; what is wrong has another
colour.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_tem_rf import workflow
from napari_tem_rf.measuring.instances import find_particles
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.runs import read_run

NAME, WINDOW = "touching_003", (slice(130, 330), slice(150, 350))
SCALE, SMALLEST_PX, GAP_PX = 3, 81, 12
RIGHT, WRONG = (86, 180, 233), (213, 94, 0)  # colour-blind safe: Okabe and Ito, 2008


def without_small(found: NDArray[Any]) -> NDArray[Any]:
    """Return numbered particles without small ones."""
    small = np.bincount(found.ravel()) < SMALLEST_PX
    return np.where(small[found], 0, found)


def right_ones(found: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Return, for each number found, whether it overlaps a true particle by more than a half."""
    pairs = np.zeros((int(found.max()) + 1, int(truth.max()) + 1), np.int64)
    np.add.at(pairs, (found.ravel(), truth.ravel()), 1)
    area, true_area = pairs.sum(axis=1, keepdims=True), pairs.sum(axis=0, keepdims=True)
    iou = pairs / np.maximum(area + true_area - pairs, 1)
    right: NDArray[np.bool_] = (iou[:, 1:] > 0.5).any(axis=1)
    return right


def outlines(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the rim of each particle, 1 px wide."""
    low = ndimage.minimum_filter(numbers, 3)
    high = ndimage.maximum_filter(numbers, 3)
    return (numbers > 0) & ((low != numbers) | (high != numbers))


def panel(image: Any, found: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a part of an image with the particles that were found, and the true outlines."""
    grey = image.frame()[WINDOW].astype(float)
    low, high = np.percentile(grey, [1, 99])
    grey = np.clip((grey - low) / (high - low), 0, 1) * 255
    rgb = np.repeat(grey[..., None], 3, axis=2)
    rgb = rgb.repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    right = right_ones(found, truth)
    numbers = found[WINDOW].repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    for good, color in ((True, RIGHT), (False, WRONG)):
        inside = (numbers > 0) & (right[numbers] == good)
        rgb[inside] = 0.55 * rgb[inside] + 0.45 * np.array(color)
        rim = outlines(numbers) & inside
        rgb[rim] = color
    true = outlines(truth[WINDOW].repeat(SCALE, axis=0).repeat(SCALE, axis=1))
    rgb[true] = 255
    return rgb.astype(np.uint8)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=Path, help="what the benchmark wrote")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        runs = given.runs or Path(made, "touching")
        if given.runs is None:
            benchmark = Path(__file__).parents[1] / "benchmarks" / "touching_particles.py"
            subprocess.run([sys.executable, str(benchmark), "--out", str(runs)], check=True)
        draw(runs, given.out)


def draw(runs: Path, out: Path) -> None:
    """Draw the mask split at its necks, and the particles by their borders."""
    folder = runs / "scored"
    image = read_micrographs(folder / "images" / f"{NAME}.tif")[0]
    truth = read_labels(folder / "labels" / f"{NAME}.tif")
    result = workflow.predict(read_run(runs / "numbers"), image, instances=True)
    assert result.instances is not None
    before, after = (
        panel(image, without_small(found), truth)
        for found in (find_particles(result.labels), result.instances)
    )
    gap = np.full((before.shape[0], GAP_PX, 3), 255, np.uint8)
    picture = Image.fromarray(np.concatenate([before, gap, after], axis=1))
    out.mkdir(parents=True, exist_ok=True)
    picture.save(out / "touching.png", optimize=True)


if __name__ == "__main__":
    main()
