"""The study of Sytwu, Groschner and Scott (2022), repeated on public and simulated images.

Trains the paper's networks (nine pairs of pools, one to four levels, dilation; first filters 4)
with five seeds on four sets of images and writes, for each set, a comparison (table, figures,
report), and for all together ``study.md``: Dice with its spread, scores of particles, and Dice
binned by the measured amplitude contrast of the held-out images. It goes on where it was stopped.

    python benchmarks/receptive_field_study.py                        # says what it would do
    python benchmarks/receptive_field_study.py --out study --data ../shared/data
    python benchmarks/receptive_field_study.py --out study --preset sytwu2022 --device cuda

Real images come from ``--data FOLDER`` (``graphene-hrtem`` and ``nanoparticles-bf`` in it, each
with ``images`` and ``labels``) or are downloaded. Simulated ones are the sample data, or as many as
``sample_data/simulate.py`` made into ``--simulated FOLDER``.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from napari_tem_rf import read_labels, read_micrographs
from napari_tem_rf.comparison import (
    Comparison,
    ComparisonPlan,
    ComparisonReport,
    hold_out,
    image_table,
    network_table,
    run_comparison,
    write_report,
)
from napari_tem_rf.engine import Engine, InlineEngine
from napari_tem_rf.figures import new_figure
from napari_tem_rf.figures.quantities import QUANTITIES
from napari_tem_rf.learning.crops import FEWEST_STEPS, MOST_STEPS
from napari_tem_rf.measuring.contrast import amplitude_contrast
from napari_tem_rf.micrographs.annotation import LabelledImage, group_of
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import PAPER_SEEDS, PRESETS, TrainingPlan
from napari_tem_rf.samples import sample_folder
from napari_tem_rf.storage import write_aside, write_text

REGISTRY = Path(__file__).with_name("public_data.json")
HELD_OUT = 0.25
CONTRAST_EDGES = (0.0, 0.25, 0.5, 1.0, np.inf)
PARTICLES = (
    *("object_f1", "ap_50", "ap_75", "panoptic_quality"),
    *("count_error_percent", "diameter_bias_percent", "object_f1_inner"),
)
MEGAPIXELS = 30.0
CROP_PX = {"graphene-hrtem": (256, 2)}  # its images are no larger; the others: (384, 1)


@dataclass(frozen=True)
class Series:
    """Networks that differ in one thing."""

    name: str
    specs: tuple[NetworkSpec, ...]


SERIES = (
    Series("pools", tuple(NetworkSpec((a, b)) for a in (2, 4, 8) for b in (2, 4, 8))),
    Series("levels", tuple(NetworkSpec((2,) * levels) for levels in (1, 2, 3, 4))),
    # 118, 120 and 136 px with one to three levels: complexity without the field
    Series("levels at one field", tuple(map(NetworkSpec, ((22,), (4, 4), (2, 2, 4))))),
    Series("dilation", tuple(NetworkSpec((2, 2), (d, d, d)) for d in (1, 2, 4))),
)
QUICK = (Series("pools", tuple(NetworkSpec((p, p)) for p in (2, 4, 8))),)

SETS = ("graphene-hrtem", "nanoparticles-bf", "simulated-hr", "simulated-lm")
SAMPLES = {"simulated-hr": "high_resolution", "simulated-lm": "low_magnification"}
GROUPS = {"graphene-hrtem": r"^(.*?)(?:_layer_\d+)?$", "nanoparticles-bf": None}


def digest(values: np.ndarray) -> str:
    """Return the hash of an array's shape and bytes, as the registry has it."""
    data = np.ascontiguousarray(values).tobytes()
    return hashlib.sha256(str(values.shape).encode() + data).hexdigest()


def real_images(name: str, data: Path | None) -> list[LabelledImage]:
    """Return a public set from a local folder, or downloaded; checked against the registry."""
    registry = json.loads(REGISTRY.read_text())[name]
    images = []
    for entry in registry["images"]:
        if data is not None:
            files = [data / name / part / f"{entry['name']}.png" for part in ("images", "labels")]
        else:
            import pooch

            # the registry's hashes are of what the files hold: known before the download
            files = [
                Path(pooch.retrieve(registry["url"] + entry[part], known_hash=None))
                for part in ("image", "label")
            ]
        pixels = read_micrographs(files[0])[0].frame()
        mask = (read_labels(files[1]) > 0).astype(np.uint8)
        for what, values in (("pixels", pixels), ("mask", mask > 0)):
            if digest(values) != entry[f"{what}_sha256"]:
                raise ValueError(
                    f'the {what} of "{entry["name"]}" are not those that the study is about: '
                    f"{files[what == 'mask']} holds something else"
                )
        group = group_of(entry["name"], GROUPS[name])
        images.append(LabelledImage(entry["name"], pixels, mask, None, group))
    return images


def simulated_images(name: str, simulated: Path | None) -> list[LabelledImage]:
    """Return a simulated set: the sample data, or more of the same from a folder."""
    folder = sample_folder(SAMPLES[name]) if simulated is None else simulated / SAMPLES[name]
    specimens = {}
    if (parameters := folder.parent / "parameters.json").is_file():
        rows = json.loads(parameters.read_text())[SAMPLES[name]]
        specimens = {row["name"]: f"specimen {row['specimen']}" for row in rows}
    images = []
    for path in sorted((folder / "images").glob("*.tif")):
        (micrograph,) = read_micrographs(path)
        mask = read_labels(folder / "labels" / path.name)
        # images of one specimen share their particles
        specimen = specimens.get(path.stem, path.stem)
        images.append(
            LabelledImage(path.stem, micrograph.frame(), mask, micrograph.pixel_size_nm, specimen)
        )
    if not images:
        raise ValueError(f'"{folder}" holds no images: make them with sample_data/simulate.py')
    return images


def plan_of(
    options: argparse.Namespace,
    series: tuple[Series, ...],
    name: str,
    images: list[LabelledImage],
    seeds: int,
) -> ComparisonPlan:
    changes: dict[str, object] = {"device": options.device}
    if options.preset == "default":
        changes |= short_schedule(name, images, options.megapixels)
    elif options.epochs:
        changes |= {"epochs": options.epochs}
    training: TrainingPlan = PRESETS[options.preset](**changes)
    specs = dict.fromkeys(spec for each in series for spec in each.specs)
    return ComparisonPlan(
        specs=tuple(specs),
        seeds=PAPER_SEEDS[:seeds],
        training=training,
        held_out=HELD_OUT,
        unlabelled="background",
    )


def short_schedule(name: str, images: list[LabelledImage], megapixels: float) -> dict[str, object]:
    """Return the changes of the default plan that show each network the same crops, so many px.

    Crops are as large for the smallest field as for the largest, nothing is held back to choose
    an epoch by, and the averaged weights of the last step are scored.
    """
    side, batch = CROP_PX.get(name, (384, 1))
    pixels = (1 - HELD_OUT) * sum(image.pixels.size for image in images)
    steps = float(np.clip(pixels / (batch * side**2), FEWEST_STEPS, MOST_STEPS))
    epochs = max(1, round(megapixels * 1e6 / (steps * batch * side**2)))
    return {
        "epochs": epochs,
        "crop_px": side,
        "batch": batch,
        "validation": 0.0,
        "keep": "last",
    }


def contrasts(images: list[LabelledImage], scored: tuple[str, ...]) -> dict[str, float]:
    """Return the amplitude contrast in sigma (without sign) of each scored image that has one."""
    measured = {}
    for image in images:
        if image.name in scored:
            found = amplitude_contrast(image.pixels, image.labels)
            if found:
                measured[image.name] = abs(found[0].sigma)
    return measured


def by_contrast(comparison: Comparison, measured: dict[str, float]) -> pd.DataFrame:
    """Return mean Dice a receptive field (rows) and bin of amplitude contrast (columns)."""
    table = image_table(comparison.results)
    table = table[table["image"].isin(measured.keys())]
    sigma = table["image"].map(measured)
    bins = pd.cut(sigma, CONTRAST_EDGES, right=False)
    rows = table["receptive_field"].map("{:.0f} px".format)
    rows = rows.where(table["receptive_field"].notna(), table["name"])
    pairs = [spec for spec in comparison.record.plan.specs if spec in SERIES[0].specs]
    fields = {nominal_receptive_field(spec) for spec in pairs}
    same = table["parameters"].isna() | (
        table["receptive_field"].isin(fields) & (table["parameters"] == 8074)
    )
    means = table[same].groupby([rows[same], bins[same]], observed=True, sort=False)["dice"].mean()
    return means.unstack()


def draw_by_contrast(means: pd.DataFrame, path: Path) -> None:
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    for name, row in means.iterrows():
        style = "-o" if str(name).endswith("px") else "--s"
        axes.plot([str(column) for column in means.columns], row, style, label=str(name))
    axes.set(xlabel="amplitude contrast of the held-out image (sigma)", ylabel="Dice")
    axes.legend(fontsize=7, ncols=2)
    for ending in (".png", ".svg"):
        with write_aside(path.with_suffix(ending)) as aside:
            figure.savefig(aside, dpi=150)


def _particles(score: str, value: float) -> str:
    quantity = QUANTITIES[score]
    sign = "+" if quantity.is_signed else ""
    return "" if value != value else f"{value:{sign}.{quantity.decimals}f}"


def section(name: str, comparison: Comparison, images: list[LabelledImage], out: Path) -> str:
    """Write the tables and figures of one set and return its part of the text."""
    table = network_table(comparison.results)
    lines = [
        f"## {name}",
        "",
        f"{comparison.record.split['sentence']}. {len(comparison.missing)} trainings to go.",
        "",
        "| network | field (px) | parameters | seeds | Dice | sd over seeds | sd over images | "
        f"{' | '.join(QUANTITIES[score].words for score in PARTICLES)} |",
        "|---" * (7 + len(PARTICLES)) + "|",
    ]
    for _, row in table.iterrows():
        numbers = [row["receptive_field"], row["parameters"], row["seeds"]]
        scores = [row["dice"], row["dice_sd_seeds"], row["dice_sd_images"]]
        cells = ["" if n != n else f"{n:,.0f}" for n in numbers]
        cells += ["" if n != n else f"{n:.3f}" for n in scores]
        cells += [_particles(score, row[score]) for score in PARTICLES]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    measured = contrasts(images, comparison.record.scored)
    if measured:
        means = by_contrast(comparison, measured)
        draw_by_contrast(means, out / f"{name}_by_contrast.png")
        counts = pd.cut(pd.Series(measured), CONTRAST_EDGES, right=False).value_counts()
        heads = [f"{column} sigma, {counts[column]} images" for column in means.columns]
        lines += ["", "Mean Dice by amplitude contrast, networks of 8,074 parameters:", ""]
        lines += [f"| field | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
        for field, row in means.iterrows():
            cells = ["" if value != value else f"{value:.3f}" for value in row]
            lines.append(f"| {field} | {' | '.join(cells)} |")
    lines += ["", *(f"- {sentence}" for sentence in comparison.findings.sentences), ""]
    return "\n".join(lines)


def listener(name: str) -> Callable[[ComparisonReport], None]:
    def listen(said: ComparisonReport) -> None:
        who = said.contestant
        if said.result is not None and who is not None:
            left = "" if said.seconds_left is None else f", {said.seconds_left / 3600:.1f} h left"
            score = said.result.note if said.result.left_out else f"Dice {said.result.mean():.3f}"
            print(
                f"{name} {said.done}/{said.total} {who.name}, seed {who.seed}: {score}{left}",
                flush=True,
            )
        elif said.failure and who is not None:
            print(f"{name}: {who.name}, seed {who.seed} failed: {said.failure}", flush=True)

    return listen


def say_plan(options: argparse.Namespace, series: tuple[Series, ...]) -> None:
    specs = dict.fromkeys(spec for each in series for spec in each.specs)
    print(f"{len(options.sets)} sets, {len(specs)} networks, {options.seeds} seeds each:")
    for spec in specs:
        print(f"  {nominal_receptive_field(spec):4d} px  {spec.parameters:7,}  {spec}")
    number = len(specs) * options.seeds * len(options.sets)
    length = (
        f"about {options.megapixels:g} megapixels of crops each"
        if options.preset == "default"
        else f"{options.epochs or 100} epochs each ({options.preset})"
    )
    print(f"{number} trainings, {length}; give --out FOLDER to run them")


def images_of(name: str, options: argparse.Namespace) -> list[LabelledImage]:
    if name in SAMPLES:
        images = simulated_images(name, options.simulated)
    else:
        images = real_images(name, options.data)
    return images[: options.images]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder for everything; without it a plan only")
    parser.add_argument("--data", type=Path, help="local folder of the public sets")
    parser.add_argument("--simulated", type=Path, help="folder of more simulated images")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument(
        "--megapixels", type=float, default=MEGAPIXELS, help="crops of each default training"
    )
    parser.add_argument("--epochs", type=int, help="fewer epochs than the preset's")
    parser.add_argument("--seeds", type=int, default=5, choices=range(1, 6))
    parser.add_argument("--images", type=int, help="the first so many images of each set only")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--scheduler", help="address of a Dask cluster")
    parser.add_argument("--workers", type=int, default=0, help="local processes")
    parser.add_argument("--quick", action="store_true", help="three networks, for a look")
    options = parser.parse_args()
    series = QUICK if options.quick else SERIES
    if options.out is None:
        say_plan(options, series)
        return
    engine = InlineEngine(threaded=True)
    if options.scheduler or options.workers:
        engine = Engine(options.scheduler, workers=options.workers + 1)
    sections: dict[str, str] = {}
    with engine:
        # seed by seed over all sets: a study that is stopped early has all of them
        for seeds in range(1, options.seeds + 1):
            for name in options.sets:
                images = images_of(name, options)
                plan = plan_of(options, series, name, images, seeds)
                comparison = run_comparison(
                    images, plan, options.out / name, engine=engine, on_report=listener(name)
                )
                if comparison.results:
                    write_report(comparison, hold_out(images, plan).scored)
                    sections[name] = section(name, comparison, images, options.out)
                    text = ["# Study", "", f"`python {' '.join(sys.argv)}`", "", *sections.values()]
                    write_text(options.out / "study.md", "\n".join(text))
    print(options.out / "study.md")


if __name__ == "__main__":
    main()
