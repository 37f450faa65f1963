"""``drift`` and ``track``: the stage's path, and particles through time."""

import itertools
import math
import os
import re
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray

from napari_tem_rf.cli.inputs import named_files, named_masks, read_sized
from napari_tem_rf.cli.options import (
    LABELS_ARE,
    NOT_SAID,
    PIXEL_SIZE,
    Given,
    check_labels_are,
    told_by_options,
)
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, say, tell
from napari_tem_rf.describing import settings_of
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.reading import open_labels, read_micrographs
from napari_tem_rf.movie_files import (
    SeriesSource,
    drift_record,
    source_record,
    track_paths,
    track_record,
    write_tracks,
)
from napari_tem_rf.movies.aligning import write_aligned
from napari_tem_rf.movies.drift import Drift, DriftSettings, measure_drift
from napari_tem_rf.movies.following import measure_series
from napari_tem_rf.movies.linking import Limits
from napari_tem_rf.movies.tracks import Tracks, frame_table, mean_squared_displacement
from napari_tem_rf.protocol import ProgressReport
from napari_tem_rf.provenance import provenance_path, read_provenance, write_provenance
from napari_tem_rf.spreadsheets import csv_of
from napari_tem_rf.storage import refuse_existing, write_text

if TYPE_CHECKING:
    import pandas as pd

Result = TypeVar("Result")
Frame = tuple[Path, int]

_MOST_THREADS = 4
"""Frames that are measured at the same time, at most: more would wait for Python's lock."""

_FIGURES = (".png", ".svg", ".pdf")
_TIME_STEP = typer.Option(
    None, "--time-step", min=1e-12, help="Time from frame to frame in s, for speeds and rates."
)


@told_by_options(wish=settings_of(DriftSettings()))
def drift(
    images: list[Path] = typer.Argument(
        ..., help="A series, or the files or the folder of its frames, in the order of their names."
    ),
    out: Path = typer.Option(..., "--out", help="Table of the stage's path, .csv."),
    aligned: Path = typer.Option(
        None, "--aligned", help="Write the series too, moved back and cut to what all frames show."
    ),
    pixel_size: float = PIXEL_SIZE,
    wish: Given = NOT_SAID,
    json: bool = JSON_OPTION,
) -> None:
    """Measure how the stage drifts through a series."""
    _must_end_in(out, ".csv")
    for path in (out, aligned):
        if path is not None:
            refuse_existing(path)
    series = _Series.of_images(images, pixel_size)
    if len(series) < 2:
        raise ValueError(
            f'"{images[0]}" is one frame: drift needs a series; give a stack, or its frames as '
            "several files"
        )
    settings = DriftSettings(**wish)
    found = _run(
        "measuring drift",
        measure_drift(series.read, len(series), settings, series.pixel_size_nm),
    )
    table = _path_table(found)
    write_text(out, csv_of(table))
    record = {
        **source_record("images", series.source),
        "drift": drift_record(settings, found),
    }
    write_provenance(out, record)
    if aligned is not None:
        progress = Progress("writing the aligned series")
        write_aligned(
            aligned, series.read, found, lambda done: progress(ProgressReport(done, None))
        )
        progress.close()
        write_provenance(aligned, record)
    if json:
        document = {
            "table": str(out),
            "frames": found.frames,
            "largest_px": float(np.hypot(*found.offsets_px.T).max()),
            "spread_px": found.spread_px,
            "left_out": {str(frame): why for frame, why in found.left_out.items()},
        }
        if aligned is not None:
            document["aligned"] = str(aligned)
        print_json(document)
    else:
        tell(f"{out}: {found.sentence}")


@told_by_options(finding=settings_of(Finding()), limits=settings_of(Limits()))
def track(
    masks: list[Path] = typer.Argument(
        ..., help="A series of masks, or the files or folder of its frames, in order of names."
    ),
    out: Path = typer.Option(
        ...,
        "--out",
        help="Table, a row a particle and frame, NAME.csv; NAME_tracks.csv and "
        "NAME_frames.csv come beside it.",
    ),
    time_step: float = _TIME_STEP,
    drift_file: Path = typer.Option(
        None,
        "--drift",
        help="Table of the stage's path that `drift` wrote; without it the path is measured from "
        "the masks.",
    ),
    figure: Path = typer.Option(
        None, "--figure", help="Draw number, coverage, size and displacement: .png, .svg or .pdf."
    ),
    pixel_size: float = PIXEL_SIZE,
    labels_are: str = LABELS_ARE,
    finding: Given = NOT_SAID,
    limits: Given = NOT_SAID,
    json: bool = JSON_OPTION,
) -> None:
    """Follow the particles of a series of masks through time."""
    _must_end_in(out, ".csv")
    for path in (*track_paths(out).values(), *(() if figure is None else (figure,))):
        refuse_existing(path)
    if figure is not None and figure.suffix.lower() not in _FIGURES:
        raise ValueError(f'"{figure.name}": figures are written as {", ".join(_FIGURES)}')
    check_labels_are(labels_are)
    series = _Series.of_masks(masks, pixel_size)
    wish = Finding(**finding)
    offsets = _offsets(drift_file, len(series))
    by_record = labels_are == "auto" and series.are_numbered
    found = _run(
        "measuring particles",
        measure_series(
            series.read,
            len(series),
            wish,
            offsets_px=offsets,
            labels_are="particles" if by_record else labels_are,  # type: ignore[arg-type]
            left_out=series.left_out,
            pixel_size_nm=series.pixel_size_nm,
            threads=min(os.cpu_count() or 1, _MOST_THREADS),
        ),
    )
    assert found is not None  # nobody stops it
    meaning = found.meaning
    if by_record:
        say(f'labels "{masks[0]}" are numbered particles, as the record beside them says')
    elif meaning.unexpected:
        say(f'labels "{masks[0]}" {meaning.reason}')
    tracks = found.track(limits, time_step, series.left_out)
    record = track_record(
        tracks,
        series.source,
        wish,
        None if drift_file is None else str(drift_file.resolve()),
        numbered=meaning.numbered,
    )
    paths = write_tracks(out, tracks, record)
    if figure is not None:
        _draw(figure, tracks)
    if json:
        print_json(
            {
                "table": str(out),
                "tracks": str(paths[1]),
                "frames_table": str(paths[2]),
                "number": tracks.number,
                "frames": tracks.frames,
                "mergers": len(tracks.parents),
                "splits": len(tracks.origins),
                "limits": record["limits"],
                "left_out": record["left_out"],
            }
        )
        return
    tell(f"{out}: {tracks.sentence}")
    chosen = tracks.limits
    tell(
        f"the same particle: moved by at most {chosen.distance_px:g} px a frame, of a diameter "
        f"that changed at most {chosen.size_ratio:g} times, missing in at most {chosen.gap} frames"
    )


def _offsets(path: Path | None, frames: int) -> NDArray[np.float64] | None:
    """Return the drift of a table; None where the masks have to show it."""
    if path is not None:
        return _read_path(path, frames)
    if frames > 1:
        say("the drift is measured from the masks; give the images' own with --drift")
    return None


class _Series:
    """The frames of a series, wherever they lie, read when asked for."""

    def __init__(
        self,
        frames: Sequence[Frame],
        shapes: Sequence[tuple[int, int]],
        read: Callable[[Path, int], NDArray[Any]],
        pixel_size_nm: tuple[float, float] | None,
        paths: Sequence[Path],
    ) -> None:
        self._frames = frames
        self._read = read
        self._paths = paths
        self.pixel_size_nm = pixel_size_nm
        usual = max(set(shapes), key=shapes.count)
        self.shape = usual
        self.left_out = {
            index: f"it is {shape[0]} x {shape[1]} px and the others are {usual[0]} x {usual[1]}"
            for index, shape in enumerate(shapes)
            if shape != usual
        }
        if len(self.left_out) * 2 > len(shapes):
            raise ValueError(
                f"frames of a series have one size, and these have "
                f"{len(set(shapes))} sizes: give frames of one series"
            )

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, index: int) -> NDArray[Any]:
        """Return a frame, shape (row, column)."""
        return self._read(*self._frames[index])

    @classmethod
    def of_images(cls, paths: Sequence[Path], pixel_size: float | None) -> "_Series":
        """Open images as one series."""
        files = _in_order(named_files(paths))
        _say_gaps(files)
        opened: dict[Path, tuple[Micrograph, ...]] = {}
        frames: list[Frame] = []
        shapes: list[tuple[int, int]] = []
        first: Micrograph | None = None
        for path in files:
            micrographs = read_sized(path, pixel_size)
            longest = max(micrographs, key=lambda each: each.frames)
            first = first or longest
            frames += [(path, index) for index in range(longest.frames)]
            shapes += [longest.image_shape] * longest.frames
            if longest.frames > 1 or len(files) == 1:
                opened[path] = (longest,)

        def read(path: Path, index: int) -> NDArray[Any]:
            micrograph = opened[path][0] if path in opened else read_sized(path, pixel_size)[0]
            return micrograph.frame(index)

        size = None if first is None else first.pixel_size_nm
        return cls(frames, shapes, read, size, files)

    @classmethod
    def of_masks(cls, paths: Sequence[Path], pixel_size: float | None) -> "_Series":
        """Open masks as one series."""
        files = _in_order(named_masks(paths))
        _say_gaps(files)
        opened = {path: open_labels(path) for path in files}
        frames: list[Frame] = []
        shapes: list[tuple[int, int]] = []
        for path, labels in opened.items():
            frames += [(path, index) for index in range(len(labels))]
            rows, columns = labels.shape[-2:]
            shapes += [(rows, columns)] * len(labels)
        size = (
            (pixel_size, pixel_size)
            if pixel_size is not None
            else read_micrographs(files[0])[0].pixel_size_nm
        )

        def read(path: Path, index: int) -> NDArray[Any]:
            return opened[path].read(index)

        return cls(frames, shapes, read, size, files)

    @property
    def are_numbered(self) -> bool:
        """Whether the records beside masks say that each particle has a number."""
        return all((read_provenance(path) or {}).get("instances") for path in self._paths)

    @property
    def source(self) -> SeriesSource:
        """Where the frames come from."""
        return SeriesSource(len(self), self.pixel_size_nm, tuple(self._paths))


_NUMBERS_NAMED = 5


def missing_numbers(names: Sequence[str]) -> list[int]:
    """Return the numbers that names of files leave out, in order.

    Of names that differ in one number alone; where every so many is there, none is missing.
    """
    parts = [re.split(r"(\d+)", name) for name in names]
    if len(parts) < 3 or len({len(each) for each in parts}) > 1:
        return []
    differing = [place for place, same in enumerate(zip(*parts, strict=True)) if len(set(same)) > 1]
    if len(differing) != 1 or not parts[0][differing[0]].isdecimal():
        return []
    numbers = sorted({int(each[differing[0]]) for each in parts})
    step = math.gcd(*(after - before for before, after in itertools.pairwise(numbers)))
    missing = (numbers[-1] - numbers[0]) // max(step, 1) + 1 - len(numbers)
    # numbers that are times, or names of places, leave out more than is there
    if not 0 < missing <= len(numbers):
        return []
    return sorted(set(range(numbers[0], numbers[-1], step)) - set(numbers))


def _say_gaps(files: Sequence[Path]) -> None:
    missing = missing_numbers([path.name for path in files])
    if missing:
        listed = ", ".join(map(str, missing[:_NUMBERS_NAMED]))
        if len(missing) > _NUMBERS_NAMED:
            listed += f" and {len(missing) - _NUMBERS_NAMED} more"
        say(
            f"the numbers of the files leave out {listed}: "
            "frames are counted as if nothing was between, and so is the time"
        )


def _in_order(files: dict[str, Path]) -> list[Path]:
    """Return files in the order of the numbers in their names: frame 2 before frame 10."""

    def key(path: Path) -> tuple[str, list[tuple[int, str]]]:
        parts = re.split(r"(\d+)", path.name)
        return os.fspath(path.parent), [
            (int(part), "") if part.isdecimal() else (-1, part) for part in parts
        ]

    return sorted(files.values(), key=key)


def _path_table(found: Drift) -> "pd.DataFrame":
    import pandas as pd

    table = {
        "frame": np.arange(found.frames),
        "row_px": found.offsets_px[:, 0],
        "column_px": found.offsets_px[:, 1],
    }
    scaled = found.offsets_nm
    if scaled is not None:
        table |= {"row_nm": scaled[:, 0], "column_nm": scaled[:, 1]}
    return pd.DataFrame(table).assign(
        left_out=[found.left_out.get(frame, "") for frame in range(found.frames)]
    )


def _read_path(path: Path, frames: int) -> NDArray[np.float64]:
    import pandas as pd

    try:
        table = pd.read_csv(path)
        offsets = table[["row_px", "column_px"]].to_numpy(np.float64)
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise ValueError(
            f'"{path}" is not a path of the stage: it needs the columns row_px and column_px of '
            "numbers, as `drift` writes them"
        ) from error
    if len(offsets) != frames:
        raise ValueError(
            f'"{path}" is the path of {len(offsets)} frames and the masks have {frames}: measure '
            "the drift of the same series"
        )
    if not np.isfinite(offsets).all():
        raise ValueError(f'"{path}" has places without a number: measure the drift again')
    return offsets


def _draw(path: Path, tracks: Tracks) -> None:
    from matplotlib.figure import Figure

    from napari_tem_rf.figures.movies import draw_movie
    from napari_tem_rf.storage import write_aside

    figure = Figure(figsize=(8, 6), layout="constrained")
    unit = tracks.unit
    draw_movie(figure, frame_table(tracks), mean_squared_displacement(tracks), unit)
    with write_aside(path) as aside:
        figure.savefig(aside, format=path.suffix[1:].lower(), dpi=150)


def _run(title: str, job: Generator[float, None, Result]) -> Result:
    """Run a job to its end with its progress on stderr."""
    progress = Progress(title)
    try:
        while True:
            try:
                progress(ProgressReport(next(job), None))
            except StopIteration as end:
                result: Result = end.value
                return result
    finally:
        progress.close()


def _must_end_in(path: Path, ending: str) -> None:
    if path.suffix.lower() != ending:
        raise ValueError(f'"{path.name}" ends in "{path.suffix}": tables are written as {ending}')
    if provenance_path(path) == path:
        raise ValueError(f'"{path.name}" is the name of the record beside it: take another')
