"""Opening HDF5 files, with the filters that are installed beside the library's own."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["hdf5_library", "open_hdf5"]


def hdf5_library() -> Any:
    """Return h5py.

    Where the package hdf5plugin is installed, values packed by its filters (bitshuffle, blosc,
    zstd, ...) can be read: it makes them known to the library when it is imported.
    """
    import h5py

    if find_spec("hdf5plugin") is not None:
        import_module("hdf5plugin")
    return h5py


def open_hdf5(path: Path) -> Any:
    """Return an HDF5 file open for reading, to be closed by the caller."""
    return hdf5_library().File(path, "r")
