"""``predict``: masks of images, with what they come from."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.inputs import named_files, read_sized
from napari_tem_rf.cli.options import DEVICE, PIXEL_SIZE
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, tell
from napari_tem_rf.cli.scheduling import SCHEDULER, engine_at
from napari_tem_rf.cli.spreading import predict_on
from napari_tem_rf.jobs.mask_files import MaskFile
from napari_tem_rf.jobs.pixel_sizes import size_note
from napari_tem_rf.locking import BusyError, wait_for
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.reading import read_micrographs
from napari_tem_rf.protocol import ProgressReport
from napari_tem_rf.runs import Run, RunError, read_run


def predict(
    run: Path = typer.Argument(..., help="Run folder."),
    images: list[Path] = typer.Argument(..., help="Image files or folders."),
    out: Path = typer.Option(..., "--out", help="Folder for the masks."),
    probabilities: bool = typer.Option(False, "--probabilities", help="Write probabilities too."),
    tile: int = typer.Option(None, "--tile", min=1, help="Side of a tile in px, without its halo."),
    pixel_size: float = PIXEL_SIZE,
    resample: bool = typer.Option(
        False,
        "--resample",
        help="Show images of another pixel size to the network at the size it was trained at; "
        "masks keep the image's own pixels.",
    ),
    device: str = DEVICE,
    scheduler: str = SCHEDULER,
    json: bool = JSON_OPTION,
) -> None:
    """Predict images into calibrated masks; what is already there from the same run is kept."""
    opened = read_run(run)
    opened.read_weights()
    files = named_files(images)
    if out.exists() and not out.is_dir():
        raise ValueError(f'"{out}" is a file: name a folder for the masks with --out')
    out.mkdir(parents=True, exist_ok=True)
    wish = MaskWish(replace(opened, folder=run.resolve()), out, pixel_size, probabilities, resample)
    progress = Progress("predicting")
    if scheduler:
        written, failed = _predict_spread(scheduler, files, wish, tile, device, progress)
    else:
        written, failed = _predict_here(files, wish, tile, device, progress)
    progress.close()
    if json and not (failed and len(files) == 1):
        print_json({"masks": written, "left_out": failed})
    elif not json:
        for entry in written:
            tell(f"{entry['mask']}  {entry['foreground']:.1%} foreground")
    if failed:
        raise ValueError(
            failed[0]["error"]
            if len(files) == 1
            else f"{len(failed)} of {len(files)} images could not be predicted, the first: "
            f"{failed[0]['error']}"
        )


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
    resample: bool = False

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
            )
            if file.is_done:
                progress.line(f'"{target}" is there from this run and is kept')
            elif sentence := _size_sentence(self.run, micrograph, self.resample):
                progress.line(f"{micrograph.name}: {sentence}")
            yield file


Entries = list[dict[str, Any]]


def _predict_here(
    files: dict[str, Path], wish: MaskWish, tile: int | None, device: str, progress: Progress
) -> tuple[Entries, Entries]:
    """Predict one file after the other; return what was written and what was left out."""
    written: dict[Path, Entries] = {path: [] for path in files.values()}
    failed: Entries = []
    coming = deque(enumerate(files.items(), start=1))
    told = False
    while coming:
        number, (name, path) = coming.popleft()
        progress.title = f"{name} ({number} of {len(files)})"
        try:
            written[path] = predict_file(path, name, wish, tile, device, progress)
        except RunError:
            raise  # what is wrong with the run is wrong for every image
        except BusyError as error:
            # another command makes it: the others first, and what it leaves when it has ended
            if not told:
                progress.line(f"{error}: its masks are waited for")
                told = True
            coming.append((number, (name, path)))
            time.sleep(_ASK_SECONDS)
        except ValueError as error:
            failed.append(_left_out(path, str(error), len(files), progress))
    return [entry for each in written.values() for entry in each], failed


def _predict_spread(
    scheduler: str,
    files: dict[str, Path],
    wish: MaskWish,
    tile: int | None,
    device: str,
    progress: Progress,
) -> tuple[Entries, Entries]:
    """Predict on the workers of a cluster; return what was written and what was left out."""
    entries: dict[Path, Entries] = {path: [] for path in files.values()}
    failed: dict[Path, dict[str, Any]] = {}
    paths: dict[Path, Path] = {}

    def finished(file: MaskFile, failure: str) -> None:
        path = paths[file.target]
        if failure:
            failed[path] = _left_out(path, failure, len(files), progress)
        else:
            entries[path].append(_entry(path, file))
            over = sum(map(len, entries.values()))
            progress(ProgressReport(min(over / len(files), 1.0), None))

    busy: list[MaskFile] = []

    def masks() -> Iterator[MaskFile]:
        yield from free()
        for file in busy:
            wait_for(file.lock)
            yield file

    def free() -> Iterator[MaskFile]:
        for name, path in files.items():
            try:
                for file in wish.masks(path, name, progress):
                    paths[file.target] = path
                    if file.is_done:
                        finished(file, "")
                    elif file.is_free:
                        yield file
                    else:
                        busy.append(file)
            except ValueError as error:
                failed[path] = _left_out(path, str(error), len(files), progress)

    with engine_at(scheduler) as engine:
        predict_on(engine, masks(), tile, device, progress, finished)
    # a series of which one frame failed is left out, its neighbours in the file are not
    return [entry for each in entries.values() for entry in each], [*failed.values()]


def _left_out(path: Path, error: str, files: int, progress: Progress) -> dict[str, Any]:
    if files > 1:
        progress.line(f"left out: {error}")
    return {"file": str(path), "error": error}


def predict_file(
    path: Path, name: str, wish: MaskWish, tile: int | None, device: str, progress: Progress
) -> Entries:
    """Predict every micrograph of a file and return what was written."""
    entries = []
    for file in wish.masks(path, name, progress):
        try:
            if not file.is_done:
                _predict_micrograph(file, tile, device, progress)
        finally:
            file.release()
        entries.append(_entry(path, file))
    return entries


def _entry(path: Path, file: MaskFile) -> dict[str, Any]:
    """Return what was written of a micrograph, as plain JSON values."""
    shape, foreground = _foreground(file.target)
    size = file.micrograph.pixel_size_nm
    return {
        "image": str(path),
        "mask": str(file.target),
        "shape": list(shape),
        "foreground": foreground,
        "pixel_size_nm": None if size is None else list(size),
    }


def _foreground(mask: Path) -> tuple[tuple[int, ...], float]:
    """Return the shape of a mask and the part of it that is no background, frame by frame."""
    stored = read_micrographs(mask)[0]
    shares = [float((stored.frame(index) > 0).mean()) for index in range(stored.frames)]
    return tuple(stored.pixels.shape), float(np.mean(shares))


def _predict_micrograph(file: MaskFile, tile: int | None, device: str, progress: Progress) -> None:
    """Write what is missing of a micrograph's masks and probabilities, a frame at a time."""
    title, frames = progress.title, file.micrograph.frames
    notes: Counter[str] = Counter()
    for index in file.begin():
        if frames > 1:
            progress.title = f"{title}, frame {index + 1} of {frames}"
        try:
            result = jobs.predict_with_run(
                *file.arguments(index, tile, device),  # type: ignore[arg-type]
                report=progress,
                stopped=lambda: False,
            )
        except RunError:
            raise
        except ValueError as error:
            raise ValueError(file.failure(index, error)) from error
        assert result is not None
        file.write(index, result)
        notes.update(result.notes)
    file.finish()
    progress.title = title
    for note, number in notes.most_common(3):
        progress.line(f"{file.micrograph.name}: {note}" + f" ({number} frames)" * (number > 1))
    if len(notes) > 3:
        progress.line(f"{file.micrograph.name}: and the like in other frames")


def _size_sentence(run: Run, micrograph: Micrograph, resample: bool) -> str | None:
    """Return what the user should know when the image's pixel size is not that of the training."""
    note = size_note(run.record, micrograph.pixel_size_nm)
    if note is None:
        return None
    if resample:
        return f"{note}: resampled for the prediction; the mask has the image's own pixels"
    return (
        f"{note}: what the network learned may not hold; predict with --resample, or train on "
        "images of this magnification"
    )
