"""Particles that touch: a border that is learned against the split of a mask at its necks.

    python benchmarks/touching_particles.py --out FOLDER [--steps 800]
    python benchmarks/touching_particles.py --out FOLDER --loops ../shared/data/dislocation-loops

Makes a simulated set of crowded particles (`sample_data/touching.py`; 24 images to train on, 16
others to score), trains the same network for as many steps from the numbers and from masks of the
same images, and scores the particles of both. With ``--loops`` also dislocation loops, each column
of tiles left out in turn. Prints tables in Markdown and writes ``results.json``.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf import workflow
from napari_tem_rf.measuring.instances import find_particles
from napari_tem_rf.micrographs.cleaning import standardise
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import default_plan
from napari_tem_rf.runs import Run, read_run
from napari_tem_rf.starting import DEFAULT

sys.path.insert(0, str(Path(__file__).parents[1] / "sample_data"))
from touching import write_set

TRAINING, SCORED = 24, 16


@dataclass(slots=True)
class Tally:
    """True and false particles at an IoU of 0.5 and 0.75, and counts, over several images."""

    hits_50: int = 0
    hits_75: int = 0
    found: int = 0
    true: int = 0
    overlap: int = 0
    found_px: int = 0
    true_px: int = 0

    def add(self, instances: NDArray[Any], truth: NDArray[Any]) -> None:
        """Add an image; both with a number for each particle, shape (row, column)."""
        best = matches(instances, truth)
        self.hits_50 += int((best >= 0.5).sum())
        self.hits_75 += int((best >= 0.75).sum())
        self.found += len(np.unique(instances[instances > 0]))
        self.true += len(np.unique(truth[truth > 0]))
        self.overlap += int(((instances > 0) & (truth > 0)).sum())
        self.found_px += int((instances > 0).sum())
        self.true_px += int((truth > 0).sum())

    @property
    def row(self) -> dict[str, float]:
        """The scores: AP is TP / (TP + FP + FN), as Cellpose and StarDist report it."""
        union = self.found + self.true
        return {
            "AP 0.5": self.hits_50 / max(1, union - self.hits_50),
            "AP 0.75": self.hits_75 / max(1, union - self.hits_75),
            "F1 0.5": 2 * self.hits_50 / max(1, union),
            "found": self.found,
            "true": self.true,
            "Dice": 2 * self.overlap / max(1, self.found_px + self.true_px),
        }


def matches(instances: NDArray[Any], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Return the IoU of the pairs of a one-to-one matching that is best above an IoU of 0.5."""
    from scipy.sparse import coo_matrix

    both = (instances > 0) & (truth > 0)
    if not both.any():
        return np.zeros(0)
    ones = np.ones(int(both.sum()))
    pairs = coo_matrix((ones, (instances[both], truth[both]))).tocsr().tocoo()
    area, true_area = np.bincount(instances.ravel()), np.bincount(truth.ravel())
    # above 0.5 no two particles can have the same partner
    iou = pairs.data / (area[pairs.row] + true_area[pairs.col] - pairs.data)
    return np.asarray(iou[iou > 0.5])


Images = Sequence[tuple[Any, NDArray[Any]]]
"""Micrographs and their labels."""


def read_set(folder: Path, labels: str = "labels") -> Images:
    """Return the images of a folder with their labels, by name."""
    files = sorted((folder / "images").glob("*"))
    return [
        (read_micrographs(path)[0], read_labels(next((folder / labels).glob(f"{path.stem}.*"))))
        for path in files
    ]


def trained(folder: Path, images: Images, spec: NetworkSpec, steps: int, labels_are: str) -> Run:
    """Return a run on these images, trained or as it lies there."""
    if (folder / "run.json").is_file() and read_run(folder).record.state == "finished":
        return read_run(folder)
    labels = [
        each if labels_are == "particles" else (each > 0).astype(np.uint8) for _, each in images
    ]
    return workflow.train(
        [image for image, _ in images],
        labels,
        folder,
        spec,
        default_plan(steps=steps),
        unlabelled="background",
        labels_are=labels_are,  # type: ignore[arg-type]
        start=DEFAULT,
    )


def score(
    images: Images, particles: Callable[[Any], NDArray[Any]], least_px: int
) -> dict[str, float]:
    """Return the scores of what finds particles in a micrograph, small ones left out.

    On both sides: what the image's border leaves of a particle may be a sliver.
    """
    tally = Tally()
    for image, truth in images:
        tally.add(without_small(particles(image), least_px), without_small(truth, least_px))
    return tally.row


def by_run(run: Run) -> Callable[[Any], NDArray[Any]]:
    """Return what numbers the particles of a micrograph by a run."""

    def particles(image: Any) -> NDArray[Any]:
        found = workflow.predict(run, image, instances=True).instances
        assert found is not None
        return found

    return particles


def smallest_px(images: Images) -> int:
    """Return the area of the smallest annotated particle that no border cuts."""
    smallest = []
    for _, truth in images:
        areas = np.bincount(truth.ravel())
        edge = np.concatenate([truth[0], truth[-1], truth[:, 0], truth[:, -1]])
        whole = np.setdiff1d(np.flatnonzero(areas), [0, *np.unique(edge)])
        smallest += areas[whole].tolist()
    return int(min(smallest))


def without_small(instances: NDArray[Any], least_px: int) -> NDArray[Any]:
    """Return instances without those of fewer pixels."""
    small = np.bincount(instances.ravel()) < least_px
    return np.where(small[instances], 0, instances)


def simulated(out: Path, steps: int, spec: NetworkSpec) -> dict[str, dict[str, float]]:
    """Return the scores on the simulated set."""
    for name, count, seed in (("train", TRAINING, 1), ("scored", SCORED, 2)):
        if not (out / name).is_dir():
            write_set(out / name, count, seed)
    training, scored = read_set(out / "train"), read_set(out / "scored")
    numbers = trained(out / "numbers", training, spec, steps, "particles")
    masks = trained(out / "masks", training, spec, steps, "classes")
    truth = {id(image): labels for image, labels in scored}
    least = smallest_px(training)
    ways: dict[str, Callable[[Any], NDArray[Any]]] = {
        "learned from numbers, border": by_run(numbers),
        "the same mask, split at necks": lambda image: find_particles(
            workflow.predict(numbers, image).labels
        ),
        "learned from masks, split at necks": by_run(masks),
        "learned from masks, not split": lambda image: find_particles(
            workflow.predict(masks, image).labels, split=False
        ),
        "true masks, split at necks": lambda image: find_particles(truth[id(image)] > 0),
    }
    return {name: score(scored, way, least) for name, way in ways.items()}


def loops(
    out: Path, data: Path, steps: int, specs: Iterable[NetworkSpec]
) -> dict[str, dict[str, float]]:
    """Return the scores on dislocation loops, each column of tiles left out in turn."""
    from scipy.ndimage import label

    from napari_tem_rf.jobs import prepare
    from napari_tem_rf.learning.baselines import fit_forest
    from napari_tem_rf.micrographs.annotation import LabelledImage
    from napari_tem_rf.micrographs.cleaning import Cleaning

    everything = [
        (image, label(truth > 0, np.ones((3, 3)))[0].astype(np.uint16))
        for image, truth in read_set(data, "masks" if (data / "masks").is_dir() else "labels")
    ]
    columns = sorted({image.name.split("column")[1] for image, _ in everything})
    tallies: dict[str, Tally] = {}

    def tally(name: str, images: Images, particles: Callable[[Any], NDArray[Any]]) -> None:
        for image, truth in images:
            found = without_small(particles(image), smallest_px(everything))
            tallies.setdefault(name, Tally()).add(found, truth)

    for column in columns:
        left_out = [each for each in everything if each[0].name.endswith(f"column{column}")]
        rest = [each for each in everything if not each[0].name.endswith(f"column{column}")]
        for spec in specs:
            field = "-".join(map(str, spec.pools)) or "none"
            for labels_are, name in (("particles", "numbers, border"), ("classes", "masks, necks")):
                run = trained(out / f"{column}_{field}_{labels_are}", rest, spec, steps, labels_are)
                tally(f"pools {field}: {name}", left_out, by_run(run))
        masks = tuple(
            LabelledImage(image.name, image.frame(), (truth > 0).astype(np.uint8), None, image.name)
            for image, truth in rest
        )
        forest = fit_forest(prepare(masks, "background", Cleaning()).images, 0)
        tally(
            "random forest, necks",
            left_out,
            lambda image, forest=forest: find_particles(
                forest.decide(standardise(image.frame().astype(np.float32))).classes
            ),
        )
        grey = threshold_of(rest)
        tally(
            "best threshold, necks",
            left_out,
            lambda image, grey=grey: find_particles(blurred(image) < grey),
        )
    return {name: each.row for name, each in tallies.items()}


def blurred(image: Any) -> NDArray[np.float32]:
    """Return a standardised image, blurred a little."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(standardise(image.frame().astype(np.float32)), 2.0))


def threshold_of(images: Images) -> float:
    """Return the grey level below which the particles of these images have the best F1."""
    levels = np.linspace(-4, 0, 17)
    scores = []
    for level in levels:
        tally = Tally()
        for image, truth in images:
            found = without_small(find_particles(blurred(image) < level), smallest_px(images))
            tally.add(found, truth)
        scores.append(tally.row["F1 0.5"])
    return float(levels[int(np.argmax(scores))])


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return scores as a table in Markdown."""
    names = list(next(iter(rows.values())))
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for title, row in rows.items():
        cells = [
            f"{value:,}" if isinstance(value, int) else f"{value:.3f}" for value in row.values()
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=800, help="of each training")
    parser.add_argument("--pools", default="2,2", help="of the network, or of several: 2,2;4,4")
    parser.add_argument("--filters", type=int, default=8)
    parser.add_argument("--loops", type=Path, help="folder of the dislocation loops")
    given = parser.parse_args()
    specs = [
        NetworkSpec(tuple(int(each) for each in pools.split(",")), filters=given.filters)
        for pools in given.pools.split(";")
    ]
    given.out.mkdir(parents=True, exist_ok=True)
    if given.loops is None:
        rows = simulated(given.out, given.steps, specs[0])
    else:
        rows = loops(given.out, given.loops, given.steps, specs)
    print(table(rows))
    asked: dict[str, Any] = {"steps": given.steps, "networks": [asdict(spec) for spec in specs]}
    (given.out / "results.json").write_text(json.dumps(asked | {"scores": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
