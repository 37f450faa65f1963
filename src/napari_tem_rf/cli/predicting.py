"""``predict``, ``evaluate`` and ``effective-field``: what a run says of images."""

from pathlib import Path
from typing import Any

import numpy as np
import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.inputs import named_files, read_sized
from napari_tem_rf.cli.options import DEVICE, PIXEL_SIZE
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json
from napari_tem_rf.micrographs.label_series import LabelSeries
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.reading import read_micrographs
from napari_tem_rf.micrographs.writing import write_labels, write_probabilities
from napari_tem_rf.provenance import (
    file_hash,
    provenance_of,
    read_provenance,
    write_provenance,
)
from napari_tem_rf.runs import Run, read_run

PIXEL_SIZE_TOLERANCE = 0.05
"""From this relative difference on the pixel size of training and image is remarked."""


def predict(
    run: Path = typer.Argument(..., help="Run folder."),
    images: list[Path] = typer.Argument(..., help="Image files or folders."),
    out: Path = typer.Option(..., "--out", help="Folder for the masks."),
    probabilities: bool = typer.Option(False, "--probabilities", help="Write probabilities too."),
    tile: int = typer.Option(None, "--tile", min=1, help="Side of a tile in px, without its halo."),
    pixel_size: float = PIXEL_SIZE,
    device: str = DEVICE,
    json: bool = JSON_OPTION,
) -> None:
    """Predict images into calibrated masks; what is already there from the same run is kept."""
    opened = read_run(run)
    opened.read_weights()
    files = named_files(images)
    out.mkdir(parents=True, exist_ok=True)
    written, failed = [], []
    progress = Progress("predicting")
    for number, (name, path) in enumerate(files.items(), start=1):
        progress.title = f"{name} ({number} of {len(files)})"
        try:
            written += predict_file(
                opened, path, name, out, pixel_size, tile, probabilities, device, progress
            )
        except ValueError as error:
            if len(files) == 1:
                raise
            failed.append({"file": str(path), "error": str(error)})
            progress.line(f"left out: {error}")
    progress.close()
    if json:
        print_json({"masks": written, "left_out": failed})
    else:
        for entry in written:
            typer.echo(f"{entry['mask']}  {entry['foreground']:.1%} foreground")
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(files)} images could not be predicted, the first: "
            f"{failed[0]['error']}"
        )


def predict_file(
    run: Run,
    path: Path,
    name: str,
    out: Path,
    pixel_size: float | None,
    tile: int | None,
    probabilities: bool,
    device: str,
    progress: Progress,
) -> list[dict[str, Any]]:
    """Predict every micrograph of a file and return what was written."""
    micrographs = read_sized(path, pixel_size)
    entries = []
    for micrograph in micrographs:
        target = out / f"{name if len(micrographs) == 1 else micrograph.name}.tif"
        for note in micrograph.notes:
            progress.line(note)
        if _done(run, target, path, micrograph, probabilities):
            progress.line(f'"{target}" is there from this run and is kept')
        else:
            _predict_micrograph(run, micrograph, target, tile, probabilities, device, progress)
        shape, foreground = _foreground(target)
        entries.append(
            {
                "image": str(path),
                "mask": str(target),
                "shape": list(shape),
                "foreground": foreground,
                "pixel_size_nm": (
                    None if micrograph.pixel_size_nm is None else list(micrograph.pixel_size_nm)
                ),
            }
        )
    return entries


def _foreground(mask: Path) -> tuple[tuple[int, ...], float]:
    """Return the shape of a mask and the part of it that is no background, frame by frame."""
    stored = read_micrographs(mask)[0]
    shares = [float((stored.frame(index) > 0).mean()) for index in range(stored.frames)]
    return tuple(stored.pixels.shape), float(np.mean(shares))


def _done(
    run: Run, target: Path, source: Path, micrograph: Micrograph, probabilities: bool
) -> bool:
    """Whether all is there from the same weights and image; from others is an error."""
    wanted = [target, *(_probability_paths(target, micrograph) if probabilities else ())]
    there = [path for path in wanted if path.exists()]
    if not there:
        return False
    provenance = read_provenance(target)
    expected = {
        "weights_sha256": file_hash(run.weights),
        "source_sha256": file_hash(source),
        "pixel_size_nm": (
            None if micrograph.pixel_size_nm is None else list(micrograph.pixel_size_nm)
        ),
    }
    if not provenance or any(provenance.get(key) != value for key, value in expected.items()):
        raise ValueError(
            f'"{there[0]}" exists and is not from this run and image: name another --out folder; '
            "nothing is overwritten"
        )
    return there == wanted


def _probability_paths(target: Path, micrograph: Micrograph) -> list[Path]:
    """Return where the probabilities of each frame go."""
    if micrograph.pixels.ndim == 2:
        return [target.with_name(f"{target.stem}_probabilities.tif")]
    return [
        target.with_name(f"{target.stem}_{index:04d}_probabilities.tif")
        for index in range(micrograph.frames)
    ]


def _predict_micrograph(
    run: Run,
    micrograph: Micrograph,
    target: Path,
    tile: int | None,
    probabilities: bool,
    device: str,
    progress: Progress,
) -> None:
    """Write what is missing of a micrograph's masks and probabilities, a frame at a time."""
    if sentence := pixel_size_note(run, micrograph):
        progress.line(sentence)
    provenance = provenance_of(run, micrograph.name, micrograph.source, micrograph.pixel_size_nm)
    # The provenance comes first: what is there after a kill is then known to be ours. Every file
    # is whole or not there, so that only missing ones are written.
    write_provenance(target, provenance)
    size = micrograph.pixel_size_nm
    likely = _probability_paths(target, micrograph) if probabilities else []
    series = None
    if micrograph.pixels.ndim == 3 and not target.exists():
        made_by = {key: provenance[key] for key in ("weights_sha256", "source_sha256")}
        series = LabelSeries(
            target, micrograph.frames, micrograph.image_shape, size, made_by=made_by
        )
    missing = set(() if series is None else series.missing)
    title = progress.title
    for index in range(micrograph.frames):
        likely_here = likely[index] if likely and not likely[index].exists() else None
        mask_here = index in missing if micrograph.pixels.ndim == 3 else not target.exists()
        if likely_here is None and not mask_here:
            continue
        if micrograph.pixels.ndim == 3:
            progress.title = f"{title}, frame {index + 1} of {micrograph.frames}"
        result = jobs.predict(
            run.folder,
            micrograph.frame(index),
            tile,
            likely_here is not None,
            device,  # type: ignore[arg-type]
            report=progress,
            stopped=lambda: False,
        )
        assert result is not None
        for note in result.notes:
            progress.line(f"{micrograph.name}: {note}")
        if likely_here is not None:
            assert result.probabilities is not None
            write_probabilities(likely_here, result.probabilities, size)
        if series is not None and mask_here:
            series.write(index, result.labels)
        elif mask_here:
            write_labels(target, result.labels, size)
    if series is not None:
        series.finish()


def pixel_size_note(run: Run, micrograph: Micrograph) -> str | None:
    """Return a sentence when the image's pixel size is not that of the training."""
    ratio = run.record.pixel_size_ratio(micrograph.pixel_size_nm)
    if abs(ratio - 1) <= PIXEL_SIZE_TOLERANCE:
        return None
    return (
        f"{micrograph.name}: its pixels are {ratio:.2f} times as large as those trained on: "
        "what the network learned may not hold; train on images of this magnification"
    )
