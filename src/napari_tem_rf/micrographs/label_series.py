"""Masks of a series, written frame by frame: a stop keeps what is done, a repeat continues."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from napari_tem_rf.micrographs.label_formats import Pages, as_labels, checked_size, label_writer
from napari_tem_rf.records import RecordError, read_json
from napari_tem_rf.storage import is_empty, refuse_existing, remove, write_aside, write_text

__all__ = ["LabelSeries", "read_written_frame"]


class LabelSeries:
    """The masks of a series on their way into one file.

    Each frame is a small file of its own in the folder ``<path>.parts`` until `finish` puts them
    together; no more than one frame is in the memory at any time.

    Parameters
    ----------
    path : str or Path
        File that is wanted, with an ending that holds stacks: .tif, .tiff, .ome.zarr, .zarr, .npy.
    frames : int
        Number of frames.
    image_shape : tuple of int
        (row, column) shape of a frame.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    made_by : mapping, optional
        What the frames come from (run, image), as plain JSON values. Frames of an earlier, stopped
        work are kept if this is the same, and begun anew if not.
    overwrite : bool
        Replace ``path`` if it is there.
    least : dtype
        The smallest type that the labels are written in.

    Raises
    ------
    ValueError
        If the ending is not known or holds no stacks.
    FileExistsError
        If the path exists and ``overwrite`` is not set.
    StorageError
        If the disk is full or the folder cannot be written to.
    """

    def __init__(
        self,
        path: str | Path,
        frames: int,
        image_shape: tuple[int, int],
        pixel_size_nm: tuple[float, float] | None = None,
        *,
        made_by: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        least: DTypeLike = np.uint8,
    ) -> None:
        self.path = Path(path)
        self._least = least
        self._shape = (frames, *image_shape)
        self._pixel_size_nm = checked_size(pixel_size_nm)
        self._write = label_writer(self.path, self._shape)
        refuse_existing(self.path, overwrite)
        self._parts = _parts_of(self.path)
        # through JSON, because tuples come back as lists
        wanted = json.loads(json.dumps({"shape": self._shape, "made_by": dict(made_by or {})}))
        if _begun(self._parts) != wanted:
            remove(self._parts)
            write_text(self._parts / "series.json", json.dumps(wanted))

    @property
    def missing(self) -> tuple[int, ...]:
        """The frames that are not written yet."""
        return tuple(i for i in range(self._shape[0]) if not self.has(i))

    def has(self, index: int) -> bool:
        """Return whether a frame is written."""
        return self._part(index).exists()

    @staticmethod
    def made_by(path: str | Path) -> dict[str, Any] | None:
        """Return what the frames that were begun for a file come from; None where there are none.

        An empty dict stands for frames of which that is not known.
        """
        parts = _parts_of(Path(path))
        if not parts.is_dir() or is_empty(parts):
            return None
        made_by = (_begun(parts) or {}).get("made_by")
        return made_by if isinstance(made_by, dict) else {}

    @staticmethod
    def sweep(path: str | Path) -> None:
        """Remove what is left of the frames of a file that is whole."""
        if _parts_of(Path(path)).is_dir():
            remove(_parts_of(Path(path)))

    def write(self, index: int, labels: ArrayLike) -> None:
        """Write the mask of one frame, shape (row, column)."""
        if not 0 <= index < self._shape[0]:
            raise ValueError(f'"{self.path.name}" has {self._shape[0]} frames: no frame {index}')
        values = as_labels(labels, self.path, self._least)
        if values.shape != self._shape[1:]:
            raise ValueError(
                f'frame {index} for "{self.path.name}" is {values.shape}: '
                f"it must be {self._shape[1:]}"
            )
        with write_aside(self._part(index)) as aside, aside.open("wb") as file:
            np.savez_compressed(file, labels=values)

    def read(self, index: int) -> NDArray[Any]:
        """Return the mask of a frame that is written, shape (row, column)."""
        return _read_part(self._part(index))

    def finish(self) -> Path:
        """Put the frames together into the file, and return its path.

        Raises
        ------
        ValueError
            If frames are missing.
        """
        if missing := self.missing:
            raise ValueError(
                f'"{self.path.name}" is missing {len(missing)} of {self._shape[0]} frames, '
                f"the first is {missing[0]}: write all of them first"
            )
        # each part is of the smallest type that holds it
        dtype = max(
            (self.read(index).dtype for index in range(self._shape[0])), key=lambda d: d.itemsize
        )
        with write_aside(self.path) as aside:
            self._write(aside, Pages(self._shape, dtype, self.read, self._pixel_size_nm))
        remove(self._parts)
        return self.path

    def _part(self, index: int) -> Path:
        return _part_of(self.path, index)


def read_written_frame(path: str | Path, index: int) -> NDArray[Any] | None:
    """Return the mask of a frame of a series that is being written; None where it is missing."""
    try:
        return _read_part(_part_of(Path(path), index))
    except FileNotFoundError:
        return None


def _read_part(path: Path) -> NDArray[Any]:
    # NumPy leaves a file that it opened itself open where it is none of its own
    with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
        return np.asarray(part["labels"])


def _parts_of(path: Path) -> Path:
    return path.with_name(path.name + ".parts")


def _part_of(path: Path, index: int) -> Path:
    return _parts_of(path) / f"{index:06d}.npz"


def _begun(parts: Path) -> dict[str, Any] | None:
    """Return the note of what a series was begun as."""
    try:
        begun = read_json(parts / "series.json")
    except RecordError:
        return None
    return begun if isinstance(begun, dict) else None
