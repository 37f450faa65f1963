"""A run is a folder: specs, weights, history, annotation; all that is needed to use or repeat it.

Every file is written aside and renamed, so that a kill at any moment leaves the last good state.
Nothing in a run is ever unpickled.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.protocol import EpochReport
from napari_tem_rf.records import RecordError, plain_bytes, read_json, record_of
from napari_tem_rf.run_archive import IMAGES, ArchiveError, unpacked
from napari_tem_rf.run_record import (
    BASELINE_FORMAT,
    FORMAT,
    DataEntry,
    ImageEntry,
    RunRecord,
    check_run_record,
)
from napari_tem_rf.storage import is_empty, is_passing, remove, write_aside, write_text

__all__ = [
    "DataEntry",
    "ImageEntry",
    "Run",
    "RunError",
    "RunRecord",
    "array_hash",
    "create_run",
    "file_hash",
    "labels_as_given",
    "library_versions",
    "read_run",
    "record_json",
    "run_folder",
    "what_remains",
]

RECORD, WEIGHTS, CHECKPOINT, HISTORY = (
    "run.json",
    "weights.safetensors",
    "checkpoint.pt",
    "history.csv",
)
_OF_THE_MOMENT = ("seconds_left", "kept", "held_out")
"""What an epoch's report says beside the history."""
_LARGEST_BASELINE = 2**29
"""Bytes of the arrays of a forest, at most: it has some 10 MB."""
_LABEL_TYPES = ("u1", "i4", "i8", "u2", "i2", "u4", "i1", "u8", "b1")
_LIBRARIES = ("napari-tem-rf", "torch", "numpy", "scipy", "scikit-image", "napari")


class RunError(ValueError):
    """A run folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder and what its record says.

    Attributes
    ----------
    folder : Path
    record : RunRecord
    """

    folder: Path
    record: RunRecord

    def ensure(self, annotations: Mapping[str, NDArray[Any]]) -> bool:
        """Write record and labels where they are missing; True if the record was deleted."""
        deleted = not (self.folder / RECORD).is_file()
        if deleted:
            self.with_record(self.record)
        _write_labels(self.folder, self.record, annotations)
        return deleted

    def discard(self, annotations: Iterable[str]) -> None:
        """Remove what a training that was refused wrote: nothing was learned yet."""
        for name in (*annotations, HISTORY, WEIGHTS, CHECKPOINT, RECORD):
            remove(self.folder / name)

    def with_record(self, record: RunRecord) -> "Run":
        """Write another record into the folder and return the run with it."""
        write_text(self.folder / RECORD, record_json(record))
        return Run(self.folder, record)

    def write_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Write the weights, or a baseline's arrays, that predictions use, by name."""
        from safetensors.numpy import save

        # safetensors keeps no zero-dimensional counters apart; arrays must be contiguous
        arrays = {name: np.ascontiguousarray(value) for name, value in weights.items()}
        with write_aside(self.folder / WEIGHTS) as aside:
            aside.write_bytes(save(arrays))

    def read_weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights, or a baseline's arrays, as numpy arrays by name.

        Raises
        ------
        RunError
            When the file is missing or is not a weights file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self.folder / WEIGHTS
        if not path.is_file():
            raise RunError(
                f'run "{self.folder}" has no {WEIGHTS}: its training ended before the first '
                "epoch; train it again"
            )
        # four bytes a number, running means and variances included, and the names
        spec = self.record.spec
        largest = _LARGEST_BASELINE if spec is None else 16 * spec.parameters + 2**20
        try:
            weights: dict[str, NDArray[Any]] = load(plain_bytes(path, largest))
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f'"{path}" is not a weights file ({error}): restore it from a copy or train again'
            ) from error
        for name, values in weights.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise RunError(
                    f'"{path}" holds values that are not numbers (NaN or infinite, in {name}): '
                    "nothing can be predicted with it; restore it from a copy or train again"
                )
        return weights

    def write_history(self, history: Iterable[EpochReport]) -> None:
        """Write one row an epoch."""
        text = io.StringIO()
        names = [each.name for each in fields(EpochReport) if each.name not in _OF_THE_MOMENT]
        writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(report) for report in history)
        write_text(self.folder / HISTORY, text.getvalue())

    @property
    def checkpoint(self) -> Path:
        """The file that a training continues from."""
        return self.folder / CHECKPOINT

    @property
    def weights(self) -> Path:
        """The file of the weights that predictions use."""
        return self.folder / WEIGHTS


def create_run(
    folder: str | Path, record: RunRecord, annotations: Mapping[str, NDArray[Any]]
) -> Run:
    """Make a new run folder with its record and the labels it is trained from.

    Parameters
    ----------
    folder : str or Path
        A folder that does not exist yet, is empty, or holds only the labels of this very record:
        what is left of a training that was cut off before its record was written.
    record : RunRecord
        What to train.
    annotations : mapping of str to ndarray of int, shape (row, column)
        The labels, by the file name that the record's data entries give them.

    Raises
    ------
    RunError
        When the folder holds something: nothing is ever overwritten.
    """
    folder = Path(folder)
    if folder.is_file() or not (is_empty(folder) or _holds_only(folder, annotations)):
        hint = (
            "resume it, or name another folder"
            if (folder / RECORD).is_file()
            else ("name a folder that does not exist yet")
        )
        raise RunError(f'"{folder}" exists and is not empty: {hint}; nothing is overwritten')
    # the record goes first: whatever a kill leaves can then be told from what others put there
    run = Run(folder, record).with_record(record)
    _write_labels(folder, record, annotations)
    return run


def read_run(folder: str | Path) -> Run:
    """Read a run folder, or the zip of a run that was shared, which is unpacked first.

    Raises
    ------
    RunError
        When it is not a run, its record is damaged, or a newer version wrote it.
    """
    folder = run_folder(folder)
    path = folder / RECORD
    if not path.is_file():
        raise RunError(
            f'"{folder}" is not a run: it has no {RECORD}; give the folder of a training'
        )
    try:
        values = read_json(path)
    except RecordError as error:
        raise RunError(f'"{path}" cannot be read ({error}): restore it or train again') from error
    form = values.get("format") if isinstance(values, dict) else None
    if not isinstance(form, int) or isinstance(form, bool):
        raise RunError(f'"{path}" is not the record of a run: it has no "format"')
    newest = FORMAT if values.get("method", "network") == "network" else BASELINE_FORMAT
    if form > newest:
        raise RunError(
            f'run "{folder}" has format {form!s:.20} but this version reads up to {newest}: '
            "update napari-tem-rf"
        )
    try:
        record = record_of(RunRecord, values)
        check_run_record(record)
    except ValueError as error:
        raise RunError(f'"{path}" is damaged ({error}): restore it or train again') from error
    return Run(folder, _with_own_images(folder, record))


def run_folder(path: str | Path) -> Path:
    """Return the folder of a run: the path itself, or where the zip of a run is unpacked.

    Raises
    ------
    RunError
        When it is a zip, but not one that may be unpacked as a run.
    """
    path = Path(path)
    if not path.is_file():
        return path
    if not _is_zip(path):
        if path.suffix.lower() == ".zip":
            raise RunError(
                f'"{path}" is called a zip, but is none or not a whole one '
                f"({path.stat().st_size:,} bytes): get it again"
            )
        return path
    try:
        return unpacked(path)
    except ArchiveError as error:
        raise RunError(str(error)) from error


def _is_zip(path: Path) -> bool:
    try:
        return is_zipfile(path)
    except BadZipFile:  # the end of one, said to be of several disks
        return False


def _with_own_images(folder: Path, record: RunRecord) -> RunRecord:
    """Return a record whose images are found in the run's folder, where they came along."""
    if not (folder / IMAGES).is_dir():
        return record

    def own(entry: DataEntry) -> DataEntry:
        name = (entry.source or "").removeprefix(f"{IMAGES}/")
        path = folder / IMAGES / name
        is_here = f"{IMAGES}/{name}" == entry.source and path.name == name and path.is_file()
        return replace(entry, source=str(path)) if is_here else entry

    return replace(record, data=tuple(own(entry) for entry in record.data))


def what_remains(folder: str | Path) -> str:
    """Say what is left of a broken-off training and how to continue: the end of a sentence."""
    folder = Path(folder)
    if not (folder / RECORD).is_file():
        return "nothing of it was kept yet, train again"
    try:
        epochs = len((folder / HISTORY).read_text(encoding="utf-8").splitlines()) - 1
    except OSError:
        epochs = 0
    if epochs < 1:
        return "no epoch of it was over yet, go on and it begins again"
    return f"go on from the end of epoch {epochs}"


def array_hash(values: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's type, shape and values."""
    digest = hashlib.sha256(f"{values.dtype.str}{values.shape}".encode())
    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def labels_as_given(kept: NDArray[Any], sha256: str) -> NDArray[Any] | None:
    """Return labels in the type that they were given in; None where they are not those.

    Parameters
    ----------
    kept : ndarray of int
        As they were kept: masks are written in the smallest type that holds them.
    sha256 : str
        The `array_hash` of those that were given.
    """
    for dtype in dict.fromkeys((kept.dtype.str, *_LABEL_TYPES)):
        labels = kept.astype(dtype)
        if array_hash(labels) == sha256:
            return labels
    return None


def file_hash(path: str | Path) -> str | None:
    """Return the SHA-256 of a file; None where there is none.

    That of a folder (a zarr store) is of its files' names and contents, in the order of the names.
    """
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if not path.is_dir():
        return None
    together = hashlib.sha256()
    for inside in sorted(p for p in path.rglob("*") if p.is_file()):
        together.update(inside.relative_to(path).as_posix().encode() + b"\0")
        with inside.open("rb") as file:
            together.update(hashlib.file_digest(file, "sha256").digest())
    return together.hexdigest()


def library_versions() -> dict[str, str]:
    """Return the versions of the program and the libraries that decide its results."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Read once: six files are parsed for it, which takes longer than a small prediction."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_labels(folder: Path, record: RunRecord, annotations: Mapping[str, NDArray[Any]]) -> None:
    from napari_tem_rf.micrographs.writing import write_labels

    for name, labels in annotations.items():
        if not (folder / name).exists():
            write_labels(folder / name, labels, record.pixel_size_nm)


def _holds_only(folder: Path, annotations: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether all that a folder holds are these labels."""
    from napari_tem_rf.micrographs.reading import read_labels

    for path in folder.iterdir():
        if is_passing(path):
            continue
        if path.name not in annotations or not path.is_file():
            return False
        try:
            if not np.array_equal(read_labels(path), annotations[path.name]):
                return False
        except ValueError:
            return False
    return True


def record_json(record: RunRecord) -> str:
    """Return a record as ``run.json`` has it."""
    return json.dumps(asdict(record), indent=2, allow_nan=False) + "\n"
