"""``demo``: the main job on the sample data, from strokes to scored masks and one picture."""

import json as json_text
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.inputs import read_labelled
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, print_table, say, tell
from napari_tem_rf.cli.predicting import MaskWish, predict_files
from napari_tem_rf.cli.scheduling import engine_at
from napari_tem_rf.cli.training import train_request
from napari_tem_rf.engine import interpreters
from napari_tem_rf.measuring.scores import Pair, ScoreTable, score_images
from napari_tem_rf.micrographs.reading import find_images, image_name, read_labels, read_micrographs
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.runs import read_run
from napari_tem_rf.samples import sample_folder
from napari_tem_rf.storage import write_aside, write_text


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the demonstration: a sample set, the network for it and how long to train."""

    name: str
    spec: NetworkSpec
    epochs: int
    annotated: int
    """Images whose strokes are used; the others are scored."""


PARTS = (
    # phase contrast: the field must hold many lattice periods
    Part("high_resolution", NetworkSpec((4, 4), filters=8), 10, 4),
    # amplitude contrast: the grey level says it, a small field will do
    Part("low_magnification", NetworkSpec((2, 2), filters=4), 6, 3),
)


def demo(
    out: Path = typer.Option(Path("demo_output"), "--out", help="Folder for runs and masks."),
    show: bool = typer.Option(False, "--show", help="Open napari on the result, with a screen."),
    json: bool = JSON_OPTION,
) -> None:
    """Train, predict and score on the sample micrographs, in about a minute."""
    folder = free_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {part.name: run_part(part, folder / part.name) for part in PARTS}
    results = {name: _summary(PARTS[i], parts[name]) for i, name in enumerate(parts)}
    write_text(folder / "scores.json", json_text.dumps(results, indent=2) + "\n")
    picture = folder / "overview.png"
    draw_overview(parts, folder, picture)
    if json:
        print_json({"folder": str(folder), "overview": str(picture), "sets": results})
    else:
        rows = [
            (name, r["receptive_field"], r["parameters"], f"{r['dice']:.3f}", r["images_scored"])
            for name, r in results.items()
        ]
        print_table(("set", "field/px", "parameters", "Dice", "images"), rows)
        tell(f"masks, runs and picture: {folder}")
    if show:
        open_napari(folder)


def free_folder(wanted: Path) -> Path:
    """Return the folder, or the first of folder_2, folder_3, ... that is free."""
    if not wanted.exists() or (wanted.is_dir() and not any(wanted.iterdir())):
        return wanted
    numbered = (wanted.with_name(f"{wanted.name}_{number}") for number in count(2))
    return next(folder for folder in numbered if not folder.exists())


def run_part(part: Part, folder: Path) -> ScoreTable:
    """Train on the set's strokes, predict all its images, score those without strokes."""
    sample = sample_folder(part.name)
    files = read_labelled([sample / "images"], [sample / "strokes"])
    images = files.images[: part.annotated]
    say(
        f"{part.name}: {part.spec}, field {nominal_receptive_field(part.spec)} px, trained "
        f"{part.epochs} epochs from strokes on {len(images)} images"
    )
    train_request(
        jobs.TrainRequest(
            run=folder / "run",
            images=images,
            spec=part.spec,
            plan=TrainingPlan(epochs=part.epochs, validation=0.0),
            sources=files.sources,
            label_sources=files.label_sources,
        )
    )
    run = read_run(folder / "run")
    masks = folder / "masks"
    masks.mkdir()
    progress = Progress("predicting")
    micrographs = {image_name(path): path for path in find_images([sample / "images"])}
    with engine_at(None) as engine:
        _, failed = predict_files(engine, micrographs, MaskWish(run, masks), progress)
    if failed:
        raise ValueError(failed[0]["error"])
    progress.close()
    annotated = {image.name for image in images}
    pairs = [
        Pair(name, read_labels(masks / f"{name}.tif"), read_labels(truth))
        for truth in find_images([sample / "labels"])
        if (name := image_name(truth)) not in annotated
    ]
    return score_images(pairs)


def _summary(part: Part, table: ScoreTable) -> dict[str, Any]:
    return {
        "receptive_field": nominal_receptive_field(part.spec),
        "parameters": part.spec.parameters,
        "images_scored": len(table.images),
        **table.to_dict(),
    }


def draw_overview(parts: dict[str, ScoreTable], folder: Path, picture: Path) -> None:
    """Draw images, true outlines and predictions of the scored images, a few of each set."""
    from matplotlib.figure import Figure

    from napari_tem_rf.figures import overview

    names, images, truths, predictions, dice, sizes = [], [], [], [], [], []
    for part, table in parts.items():
        sample = sample_folder(part)
        for name, scores in list(zip(table.names, table.images, strict=True))[:2]:
            micrograph = read_micrographs(sample / "images" / f"{name}.tif")[0]
            names.append(name)
            images.append(micrograph.frame())
            sizes.append(micrograph.pixel_size_nm)
            truths.append(read_labels(sample / "labels" / f"{name}.tif"))
            predictions.append(read_labels(folder / part / "masks" / f"{name}.tif"))
            dice.append(scores.dice)
    figure = Figure(figsize=(2.6 * len(names), 5.6), layout="constrained")
    overview(figure, images, truths, predictions, names, dice, sizes)
    with write_aside(picture) as aside:
        figure.savefig(aside, dpi=120)


def open_napari(folder: Path) -> None:
    """Open napari on the folder's images and masks where there is a screen, in its own process."""
    on_linux = sys.platform.startswith("linux")
    if on_linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        say("no screen: napari is not opened; look at overview.png")
        return
    window = interpreters.command("napari_tem_rf.gui.show", str(folder))
    subprocess.run(window, env=interpreters.environment(), check=False)
