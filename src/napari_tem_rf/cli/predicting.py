"""``predict``: masks of images, with what they come from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.inputs import named_files, read_sized
from napari_tem_rf.cli.options import (
    DEVICE,
    NOT_SAID,
    PIXEL_SIZE,
    Given,
    option_of,
    told_by_options,
)
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, tell
from napari_tem_rf.cli.scheduling import SCHEDULER, engine_at
from napari_tem_rf.describing import settings_of
from napari_tem_rf.engine import AnyEngine
from napari_tem_rf.jobs.mask_files import EXPECTED, NOT_STEADIED, MaskFile
from napari_tem_rf.jobs.pixel_sizes import size_sentence
from napari_tem_rf.mask_predicting import predict_masks
from napari_tem_rf.measuring.expected_dice import ExpectedDice
from napari_tem_rf.measuring.finishing import Finishing, nm_sentence
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.reading import read_micrographs
from napari_tem_rf.movies.steadying import Steadying
from napari_tem_rf.protocol import Device, ProgressReport
from napari_tem_rf.run_record import RunRecord
from napari_tem_rf.runs import Run, RunError, read_run


@told_by_options(finish=settings_of(Finishing()), steady=settings_of(Steadying()))
def predict(
    run: Path = typer.Argument(..., help="Run folder, or the zip of a shared run."),
    images: list[Path] = typer.Argument(..., help="Image files or folders."),
    out: Path = typer.Option(..., "--out", help="Folder for the masks."),
    probabilities: bool = typer.Option(False, "--probabilities", help="Write probabilities too."),
    instances: bool = typer.Option(
        False,
        "--instances",
        help="Write masks with a number for each particle, in 16 or 32 bits. Particles that touch "
        "are told apart by their border where the run learned from numbered particles, and at the "
        "necks of the mask otherwise.",
    ),
    neck: float = option_of(Finding(), "neck", given=False),
    tile: int = typer.Option(None, "--tile", min=1, help="Side of a tile in px, without its halo."),
    pixel_size: float = PIXEL_SIZE,
    resample: bool = typer.Option(
        None,
        "--resample/--no-resample",
        help="Show images of another pixel size to the network at the size it was trained at, or "
        "as they are; masks keep the image's own pixels. Not given: resampled where the receptive "
        "field still finds room.",
    ),
    finish: Given = NOT_SAID,
    steady: Given = NOT_SAID,
    device: str = DEVICE,
    scheduler: str = SCHEDULER,
    json: bool = JSON_OPTION,
) -> None:
    """Predict images into calibrated masks; what is already there from the same run is kept.

    Masks are finished as the run suggests, or as the options say.
    """
    opened = finished_as(read_run(run), finish)
    opened.read_weights()
    files = named_files(images)
    if out.exists() and not out.is_dir():
        raise ValueError(f'"{out}" is a file: name a folder for the masks with --out')
    out.mkdir(parents=True, exist_ok=True)
    wish = MaskWish(
        replace(opened, folder=opened.folder.resolve()),
        out,
        pixel_size,
        probabilities,
        resample,
        instances,
        neck,
        Steadying(**steady),
    )
    progress = Progress("predicting")
    if wish.steadying.frames:
        progress.line(f"series: {wish.steadying.sentence}")
    progress.line(_finishing_line(opened.record))
    with engine_at(scheduler) as engine:
        written, failed = predict_files(
            engine,
            files,
            wish,
            progress,
            tile_px=tile,
            device=device,  # type: ignore[arg-type]
        )
    progress.close()
    if json and not (failed and len(files) == 1):
        print_json({"masks": written, "left_out": failed})
    elif not json:
        for entry in written:
            particles = f", {entry['particles']:,} particles" if instances else ""
            tell(
                f"{entry['mask']}  {entry['foreground']:.1%} foreground{particles}"
                f"{_expected_line(entry)}"
            )
        if worst := _worst_line(written):
            tell(worst)
    if failed:
        raise ValueError(
            failed[0]["error"]
            if len(files) == 1
            else f"{len(failed)} of {len(files)} images could not be predicted, the first: "
            f"{failed[0]['error']}"
        )


def finished_as(run: Run, given: Given) -> Run:
    """Return a run whose masks are finished as the command line says.

    A run that says nothing of it, as of version 0.1.0, has it suggested from its annotation once it
    is asked for.
    """
    if not given:
        return run
    finishing = run.record.finishing
    asked = given.get("enabled", True)
    if asked and not replace(finishing, enabled=True).changes_something:
        finishing = jobs.suggest_from_run(
            run.folder, report=lambda report: None, stopped=lambda: False
        ).finishing
    finishing = replace(finishing, **{"enabled": True, **given})
    return replace(run, record=replace(run.record, finishing=finishing))


def _finishing_line(record: RunRecord) -> str:
    """Return how masks are finished, in px and nm."""
    finishing = record.finishing
    if not finishing.changes_something:
        return f"finishing: {finishing.sentence}"
    nm = nm_sentence(finishing, record.pixel_size_nm)
    return f"finishing: {finishing.sentence}{nm and f' ({nm})'}; not with --no-finish"


_ASK_SECONDS = 0.2

# a file that takes some seconds to read
_LONG_TO_HASH = 2e9


@dataclass(frozen=True, slots=True)
class MaskWish:
    """What masks are wanted of an image."""

    run: Run
    out: Path
    pixel_size: float | None = None
    probabilities: bool = False
    resample: bool | None = None
    instances: bool = False
    neck: float = Finding().neck
    steadying: Steadying = NOT_STEADIED

    def masks(self, path: Path, name: str, progress: Progress) -> Iterator[MaskFile]:
        """Yield the masks of a file, one a micrograph, and say what the user should know."""
        micrographs = read_sized(path, self.pixel_size)
        if path.is_file() and (held := path.stat().st_size) > _LONG_TO_HASH:
            progress.line(
                f"{name}: reading its {held / 1e9:.1f} GB once, for the record of where the masks "
                "come from"
            )
        for micrograph in micrographs:
            target = self.out / f"{name if len(micrographs) == 1 else micrograph.name}.tif"
            for note in micrograph.notes:
                progress.line(f"{micrograph.name}: {note}")
            file = MaskFile(
                self.run,
                micrograph,
                target,
                probabilities=self.probabilities,
                resample=self.resample,
                instances=self.instances,
                neck=self.neck,
                steadying=self.steadying,
            )
            if file.is_done:
                progress.line(f'"{target}" is there from this run and is kept')
            elif sentence := size_sentence(
                self.run.record, micrograph.pixel_size_nm, micrograph.image_shape, self.resample
            ):
                progress.line(f"{micrograph.name}: {sentence}")
            if file.is_steadied and not file.is_done:
                progress.line(f"{micrograph.name}: measuring its drift")
            for done in file.measure_drift():
                progress(ProgressReport(done, None))
            yield file


Entries = list[dict[str, Any]]


def predict_files(
    engine: AnyEngine,
    files: Mapping[str, Path],
    wish: MaskWish,
    progress: Progress,
    *,
    tile_px: int | None = None,
    device: Device = "auto",
) -> tuple[Entries, Entries]:
    """Predict files, by name, into masks; return what was written and what was left out.

    Both in the order of the files. Of a file with several micrographs one may be left out, its
    neighbours are not.
    """
    order = {path: number for number, path in enumerate(files.values(), start=1)}
    written: dict[Path, Entries] = {path: [] for path in order}
    failed: dict[Path, dict[str, Any]] = {}
    paths: dict[Path, Path] = {}
    over = 0

    def leave_out(path: Path, error: str) -> None:
        if len(files) > 1:
            progress.line(f"left out: {error}")
        failed.setdefault(path, {"file": str(path), "error": error})

    def keep(path: Path, file: MaskFile) -> None:
        nonlocal over
        over += 1
        written[path].append(_entry(path, file))

    def masks() -> Iterator[MaskFile]:
        for name, path in files.items():
            try:
                for file in wish.masks(path, name, progress):
                    paths[file.target] = path
                    if file.is_done:
                        keep(path, file)
                    else:
                        yield file
            except RunError:
                raise  # what is wrong with the run is wrong for every image
            except ValueError as error:
                leave_out(path, str(error))

    title = progress.title
    for step in predict_masks(engine, masks(), tile_px=tile_px, device=device, kind="training"):
        file, path = step.file, paths[step.file.target]
        name, frames = file.micrograph.name, file.micrograph.frames
        if step.event == "finished":
            keep(path, file)
        elif step.event == "busy":
            progress.line(f"{step.failure}: its masks are waited for")
        elif step.event == "failed":
            over += 1
            leave_out(
                path,
                step.failure
                if step.frame is None
                else file.failure(step.frame, ValueError(step.failure)),
            )
        elif step.frame is not None:
            frame = f", frame {step.frame + 1} of {frames}" if frames > 1 else ""
            progress.title = f"{title} {name}{frame} ({order[path]} of {len(files)})"
            progress(ProgressReport(min((over + step.fraction) / len(files), 1.0), None))
        _say_notes(name, step.notes, progress)
    progress.title = title
    return [entry for each in written.values() for entry in each], [
        failed[path] for path in order if path in failed
    ]


def _say_notes(name: str, notes: Sequence[tuple[str, int]], progress: Progress) -> None:
    for note, number in notes[:3]:
        progress.line(f"{name}: {note}" + f" ({number} frames)" * (number > 1))
    if len(notes) > 3:
        progress.line(f"{name}: and the like in other frames")


def _entry(path: Path, file: MaskFile) -> dict[str, Any]:
    """Return what was written of a micrograph, as plain JSON values."""
    shape, foreground, particles = _foreground(file.target)
    size = file.micrograph.pixel_size_nm
    entry: dict[str, Any] = {
        "image": str(path),
        "mask": str(file.target),
        "shape": list(shape),
        "foreground": foreground,
        "pixel_size_nm": None if size is None else list(size),
    }
    if file.instances:
        entry["particles"] = particles
    return entry | {EXPECTED: file.expected}


def _expected_line(entry: Mapping[str, Any]) -> str:
    """Return what is expected of a mask, for the end of its line."""
    found = entry[EXPECTED]
    if found is None:
        return ""
    said = ExpectedDice(
        *(found["dice"], found["low"], found["high"], found["warns"]),
        tuple(found["reasons"]),
        found["basis"],
    )
    frame = f", worst in frame {found['frame'] + 1}" if "frame" in found else ""
    return f"{frame}, {said.sentence}"


def _worst_line(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return which of several images to look at, or to annotate, next."""
    known = [entry for entry in entries if (entry[EXPECTED] or {}).get("dice") is not None]
    if len(known) < 2:
        return ""
    worst = min(known, key=lambda entry: entry[EXPECTED]["dice"])
    return (
        f"expected to be the worst: {Path(worst['image']).name}, Dice "
        f"{worst[EXPECTED]['dice']:.2f}; annotate it next"
    )


def _foreground(mask: Path) -> tuple[tuple[int, ...], float, int]:
    """Return shape, fraction of foreground and largest labels of a mask, read frame by frame.

    Frames are numbered each by itself, so that the sum of their largest labels is the number of
    particles.
    """
    stored = read_micrographs(mask)[0]
    shares, largest = [], 0
    for index in range(stored.frames):
        labels = stored.frame(index)
        shares.append(float((labels > 0).mean()))
        largest += int(labels.max())
    return tuple(stored.pixels.shape), float(np.mean(shares)), largest
