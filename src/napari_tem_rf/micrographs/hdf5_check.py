"""Whether an HDF5 file declares more than it can hold, before anything is read from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_tem_rf.micrographs.hdf5 import open_hdf5
from napari_tem_rf.micrographs.rawimage import ReadingError

__all__ = ["refuse_absurd_dataset", "refuse_absurd_hdf5", "refuse_too_many_objects"]

# a small dataset may be packed as tightly as it likes
_FREE_BYTES = 64 * 2**20
# deflate gains at most a factor 1032 (zlib's own documentation)
_MOST_GAIN = 1032
_MOST_OBJECTS = 100_000


def refuse_absurd_hdf5(path: Path) -> None:
    """Raise ReadingError where any dataset declares more bytes than the file could become.

    Raises
    ------
    ReadingError
    OSError
        If the file is not an HDF5 file, or cut off: the library's own words.
    """
    import h5py

    def visit(item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            refuse_absurd_dataset(path, item)

    with open_hdf5(path) as file:
        _visit(path, file, visit)


def refuse_absurd_dataset(path: Path, dataset: Any) -> None:
    """Raise ReadingError where a dataset declares more bytes than its file could become."""
    if dataset.shape is None:
        return
    size = path.stat().st_size
    declared = dataset.size * dataset.dtype.itemsize
    if declared > max(_FREE_BYTES, size * _MOST_GAIN):
        raise ReadingError(
            f'"{path.name}" declares {declared:,} bytes in "{dataset.name.lstrip("/")}" but has '
            f"only {size:,}: it is damaged, or was never filled"
        )


def refuse_too_many_objects(path: Path, file: Any) -> None:
    """Raise ReadingError where an open file holds more groups and datasets than files do."""
    _visit(path, file, lambda item: None)


def _visit(path: Path, file: Any, visit: Callable[[Any], None]) -> None:
    seen = 0

    def count(name: str, item: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > _MOST_OBJECTS:
            raise ReadingError(f'"{path.name}" holds more than {_MOST_OBJECTS:,} objects: damaged')
        visit(item)

    file.visititems(count)
