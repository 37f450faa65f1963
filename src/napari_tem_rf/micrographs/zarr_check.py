"""Whether a zarr store would run code or unpack without end, before zarr opens it."""

import json
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.special_files import refuse_special_file

__all__ = ["refuse_absurd_zarr", "refuse_unsafe_zarr"]

# a small array may be packed as tightly as it likes
_FREE_BYTES = 64 * 2**20
# what the codecs of zarr gain on images, with room
_MOST_GAIN = 2000

_DESCRIPTIONS = (".zarray", "zarr.json", ".zmetadata")
_LARGEST_DESCRIPTION = 64 * 2**20


def refuse_unsafe_zarr(path: Path) -> None:
    """Raise ReadingError where an array of a store is pickled Python objects.

    Unpickling runs whatever code the file's author put into it. Pipes and devices in the store's
    folder are refused too.
    """
    for name, text in _descriptions(path):
        if _names_pickle(json.loads(text)):
            raise ReadingError(
                f'"{path.name}" holds pickled Python objects ({name}), which could run any '
                "program: save an array of numbers"
            )


def refuse_absurd_zarr(array: Any, path: Path) -> None:
    """Raise ReadingError where an array or one of its chunks is larger than the store could hold.

    Parameters
    ----------
    array : zarr.Array
    path : Path
        The folder or zip file that the array is in.

    Raises
    ------
    ReadingError
    """
    frame = math.prod(array.shape[-2:]) * array.dtype.itemsize
    chunk = math.prod(array.chunks) * array.dtype.itemsize
    declared = max(frame, chunk)
    if declared <= _FREE_BYTES:
        return
    files = [path] if path.is_file() else path.rglob("*")
    held = 0
    for file in files:
        held += file.stat().st_size if file.is_file() else 0
        if held * _MOST_GAIN >= declared:
            return
    raise ReadingError(
        f'"{path.name}" declares {declared:,} bytes a frame or chunk but holds {held:,}: it is '
        "damaged"
    )


def _descriptions(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in path.rglob("*"):
            refuse_special_file(file)
            if file.name in _DESCRIPTIONS and file.stat().st_size <= _LARGEST_DESCRIPTION:
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.rpartition("/")[2] not in _DESCRIPTIONS:
                continue
            if entry.file_size > _LARGEST_DESCRIPTION:
                raise ReadingError(
                    f'"{path.name}" declares {entry.file_size:,} bytes of "{entry.filename}": '
                    "it is damaged"
                )
            yield entry.filename, archive.read(entry)


def _names_pickle(value: Any) -> bool:
    if isinstance(value, dict):
        codec = value.get("id", value.get("name", ""))
        if isinstance(codec, str) and codec.rpartition(".")[2] in ("pickle", "dill"):
            return True
        return any(_names_pickle(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_names_pickle(inner) for inner in value)
    return False
