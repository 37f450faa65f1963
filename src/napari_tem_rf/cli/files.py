"""``info`` and ``measure``: what files hold, and particles in masks."""

from functools import cache
from pathlib import Path
from typing import Any

import typer

from napari_tem_rf.cli import reporting
from napari_tem_rf.cli.inputs import meaning_of_masks, named_masks
from napari_tem_rf.cli.instance_files import (
    COCO,
    GEOJSON,
    ROIS,
    InstanceFiles,
    check_places,
    instances_in,
)
from napari_tem_rf.cli.options import (
    LABELS_ARE,
    NOT_SAID,
    PIXEL_SIZE,
    Given,
    check_labels_are,
    told_by_options,
)
from napari_tem_rf.cli.output import JSON_OPTION, print_json, say, tell
from napari_tem_rf.describing import settings_of
from napari_tem_rf.measuring.populations import PopulationSettings
from napari_tem_rf.measuring.series import Finding, counted_table, survey_frames
from napari_tem_rf.micrographs.reading import (
    find_images,
    open_labels,
    read_micrographs,
)


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
            tell(f"{entry['file']}: {entry['name']}, {shape} {entry['dtype']}, {calibrated}")
            for term, value in entry["metadata"].items():
                tell(f"    {term}: {value}")
    if failed:
        raise SystemExit(1)


@told_by_options(finding=settings_of(Finding()), population=settings_of(PopulationSettings()))
def measure(
    context: typer.Context,
    masks: list[Path] = typer.Argument(..., help="Mask files or folders."),
    out: Path = typer.Option(None, "--out", help="Table of the particles, .csv."),
    report: Path = typer.Option(
        None, "--report", help="One page with fits, intervals and outlines, .html or .pdf."
    ),
    images: list[Path] = typer.Option(
        [], "--images", help="Images of the same names: for grey values, outlines and lattices."
    ),
    lattice: bool = typer.Option(
        None,
        "--lattice/--no-lattice",
        help="Measure the lattice of each particle in its image (with --images: where the image "
        "has a lattice).",
    ),
    coco: Path = COCO,
    rois: Path = ROIS,
    geojson: Path = GEOJSON,
    pixel_size: float = PIXEL_SIZE,
    labels_are: str = LABELS_ARE,
    finding: Given = NOT_SAID,
    population: Given = NOT_SAID,
    json: bool = JSON_OPTION,
) -> None:
    """Find the particles in masks and measure them in nm."""
    import pandas as pd

    from napari_tem_rf.measuring.particles import summarise
    from napari_tem_rf.spreadsheets import csv_of
    from napari_tem_rf.storage import write_text

    one_by_one = InstanceFiles(coco, rois, geojson)
    check_places(coco, rois, geojson)
    reporting.check_outputs(out, report, one_by_one.are_wanted)
    check_labels_are(labels_are)
    wish = Finding(**finding)
    files = named_masks(masks)
    pictures = reporting.images_of(files, images, lattice)
    sizes = _sizes(files, pixel_size, pictures)
    pages = None
    if report is not None:
        number = sum(len(open_labels(path)) for path in files.values())
        settings, command = PopulationSettings(**population), reporting.command_of(context)
        pages = reporting.ReportPages(report, number, wish, settings, command)

    @cache
    def some_numbered() -> bool:
        return any(meaning_of_masks({path: open_labels(path)}).numbered for path in files.values())

    tables = []
    for name, path in files.items():
        labels = open_labels(path)
        meaning = meaning_of_masks({path: labels}, labels_are)
        # of several files with numbered particles some may show few
        few = meaning.kind == "classes" and labels_are == "auto"
        if few and len(files) > 1 and some_numbered():
            meaning = meaning.as_particles(
                "hold few values, but lie beside labels with a number for each particle"
            )
        if meaning.unexpected:
            say(f'labels "{path}" {meaning.reason}')
        picture = reporting.open_picture(name, pictures.get(name), labels.shape, path, lattice)
        is_series = len(labels.shape) == 3
        instances = []
        for frame, found in survey_frames(
            labels.read,
            range(len(labels)),
            meaning,
            wish,
            sizes[name],
            image=name,
            is_series=is_series,
            grey=picture.grey,
            lattice=picture.has_lattice,
        ):
            table = counted_table(frame, wish, meaning.numbered)
            table.insert(0, "image", name)
            if is_series:
                table.insert(1, "frame", frame.frame)
            tables.append(table)
            if one_by_one.are_wanted:
                instances.append(instances_in(frame, found, table, path, pictures.get(name)))
            if pages is not None:
                pages.add(frame, found, picture)
        if one_by_one.are_wanted:
            one_by_one.add(name, path, instances)
        if pages is not None:
            pages.add_source(name, path, pictures.get(name), sizes[name])
    particles = pd.concat(tables, ignore_index=True)
    if out is not None:
        write_text(out, csv_of(particles))
    report_says = {} if pages is None else pages.write()
    paths = [*(path for path in (out, report) if path is not None), *one_by_one.finish()]
    written = " and ".join(map(str, paths))
    if len(particles) == 0:
        say(f"no particle of {wish.smallest_px} px or more was found")
        if json:
            print_json({"table": None if out is None else str(out), "number": 0, **report_says})
        return
    summary = summarise(particles)
    if json:
        print_json(
            {
                "table": None if out is None else str(out),
                "number": summary.number,
                "column": summary.column,
                "mean": summary.mean,
                "median": summary.median,
                "sd": summary.sd,
                **report_says,
            }
        )
        return
    tell(f"{written}: {summary.sentence}")


def _sizes(
    files: dict[str, Path], pixel_size: float | None, images: dict[str, Path]
) -> dict[str, tuple[float, float] | None]:
    """Return the pixel size of each mask in nm: as given, of its file, or else of its image.

    Raises
    ------
    ValueError
        When some masks have one and others do not: px and nm do not go into one table.
    """
    if pixel_size is not None:
        return dict.fromkeys(files, (pixel_size, pixel_size))
    sizes = {name: read_micrographs(path)[0].pixel_size_nm for name, path in files.items()}
    for name, image in images.items():
        if sizes[name] is None:
            sizes[name] = read_micrographs(image)[0].pixel_size_nm
    without = [name for name, size in sizes.items() if size is None]
    if without and len(without) < len(sizes):
        raise ValueError(
            f"{len(without)} of {len(sizes)} masks have no pixel size, the first is "
            f'"{files[without[0]]}": nm and px do not go into one table; give --pixel-size for '
            "all, or measure them apart"
        )
    return sizes
