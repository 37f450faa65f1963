"""``info`` and ``measure``: what files hold, and particles in masks."""

from pathlib import Path
from typing import Any

import typer

from napari_tem_rf.cli.inputs import named_files, read_sized
from napari_tem_rf.cli.options import PIXEL_SIZE
from napari_tem_rf.cli.output import JSON_OPTION, print_json, say
from napari_tem_rf.micrographs.reading import find_images, read_labels, read_micrographs


def info(
    files: list[Path] = typer.Argument(..., help="Image files or folders."),
    json: bool = JSON_OPTION,
) -> None:
    """Say what files hold: images, their shape, pixel size and metadata."""
    entries: list[dict[str, Any]] = []
    failed = []
    for path in find_images(files):
        try:
            micrographs = read_micrographs(path)
        except ValueError as error:
            failed.append(str(error))
            say(f"error: {error}")
            continue
        for micrograph in micrographs:
            for note in micrograph.notes:
                say(f"{path}: {note}")
            size = micrograph.pixel_size_nm
            entries.append(
                {
                    "file": str(path),
                    "name": micrograph.name,
                    "shape": [int(length) for length in micrograph.pixels.shape],
                    "dtype": str(micrograph.pixels.dtype),
                    "pixel_size_nm": None if size is None else list(size),
                    "metadata": dict(micrograph.metadata),
                }
            )
    if json:
        print_json(entries)
    else:
        for entry in entries:
            shape = " x ".join(map(str, entry["shape"]))
            size = entry["pixel_size_nm"]
            calibrated = "no pixel size" if size is None else f"{size[0]:.6g} x {size[1]:.6g} nm/px"
            typer.echo(f"{entry['file']}: {entry['name']}, {shape} {entry['dtype']}, {calibrated}")
            for term, value in entry["metadata"].items():
                typer.echo(f"    {term}: {value}")
    if failed:
        raise SystemExit(1)


def measure(
    masks: list[Path] = typer.Argument(..., help="Mask files or folders."),
    out: Path = typer.Option(..., "--out", help="Table of the particles, .csv."),
    pixel_size: float = PIXEL_SIZE,
    smallest: int = typer.Option(9, "--smallest", min=1, help="Smallest particle in px."),
    border: bool = typer.Option(
        True, "--border/--no-border", help="Count particles that touch the border."
    ),
    split: bool = typer.Option(True, "--split/--no-split", help="Split touching particles."),
    json: bool = JSON_OPTION,
) -> None:
    """Find the particles in masks and measure them in nm."""
    import pandas as pd

    from napari_tem_rf.measuring.particles import find_particles, measure_particles, summarise
    from napari_tem_rf.storage import refuse_existing, write_text

    refuse_existing(out)
    tables = []
    for name, path in named_files(masks).items():
        labels = read_labels(path)
        size = (pixel_size, pixel_size) if pixel_size else read_sized(path, None)[0].pixel_size_nm
        frames = [labels] if labels.ndim == 2 else list(labels)
        for index, mask in enumerate(frames):
            instances = find_particles(
                mask, split=split, smallest_px=smallest, border=border, pixel_size_nm=size
            )
            table = measure_particles(instances, pixel_size_nm=size, mask=mask)
            table.insert(0, "image", name)
            if labels.ndim == 3:
                table.insert(1, "frame", index)
            tables.append(table)
    particles = pd.concat(tables, ignore_index=True)
    write_text(out, particles.to_csv(index=False, lineterminator="\n"))
    if len(particles) == 0:
        say("no particle was found")
        if json:
            print_json({"table": str(out), "number": 0})
        return
    summary = summarise(particles)
    if json:
        print_json(
            {
                "table": str(out),
                "number": summary.number,
                "column": summary.column,
                "mean": summary.mean,
                "median": summary.median,
                "sd": summary.sd,
            }
        )
        return
    typer.echo(
        f"{out}: {summary.number} particles, {summary.column} mean {summary.mean:.4g}, "
        f"median {summary.median:.4g}, sd {summary.sd:.4g}"
    )
