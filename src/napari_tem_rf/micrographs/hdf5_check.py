"""Whether an HDF5 file declares more than it can hold, before anything is read from it."""

from pathlib import Path
from typing import Any

from napari_tem_rf.micrographs.rawimage import ReadingError

__all__ = ["refuse_absurd_hdf5"]

# a small dataset may be packed as tightly as it likes
_FREE_BYTES = 64 * 2**20
# deflate gains at most a factor 1032 (zlib's own documentation)
_MOST_GAIN = 1032
_MOST_OBJECTS = 100_000


def refuse_absurd_hdf5(path: Path) -> None:
    """Raise ReadingError where a dataset declares more bytes than the file could become.

    Raises
    ------
    ReadingError
    OSError
        If the file is no HDF5 file, or cut off: the library's own words.
    """
    import h5py

    size = path.stat().st_size
    seen = 0

    def visit(name: str, item: Any) -> None:
        nonlocal seen
        seen += 1
        if seen > _MOST_OBJECTS:
            raise ReadingError(f'"{path.name}" holds more than {_MOST_OBJECTS:,} objects: damaged')
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            return
        declared = item.size * item.dtype.itemsize
        if declared > max(_FREE_BYTES, size * _MOST_GAIN):
            raise ReadingError(
                f'"{path.name}" declares {declared:,} bytes in "{name}" but has only '
                f"{size:,}: it is damaged"
            )

    with h5py.File(path, "r") as file:
        file.visititems(visit)
