"""Labels of a long series as an array that is read from the disk a frame at a time."""

from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_tem_rf.micrographs.framewise import Framewise
from napari_tem_rf.micrographs.label_series import read_written_frame

__all__ = ["SeriesLabels"]


class SeriesLabels(Framewise):
    """Labels of shape (frame, row, column) that a `LabelSeries` writes, as far as it has come.

    Frames are read when they are asked for; a frame that is not written yet is 0 all over. It is
    no dask array, because viewers keep what such an array gave them, and here it changes.

    Parameters
    ----------
    path : Path, optional
        OME-Zarr that the series becomes; while it is written, its frames lie beside it. Without,
        only drafts are shown.
    shape : tuple of int
        (frame, row, column).
    dtype : dtype
        uint8 or uint16.
    """

    def __init__(self, path: Path | None, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        super().__init__(shape, dtype)
        self.path = path
        self._drafts: dict[int, NDArray[Any]] = {}
        self._latest: tuple[int, NDArray[Any]] | None = None
        self._whole: Any = None

    def __repr__(self) -> str:
        return f"<SeriesLabels {self.shape} {self.dtype}: {self.path}>"

    def frame(self, index: int) -> NDArray[Any]:
        """Return the labels of a frame, shape (row, column)."""
        index = self.place(index)
        latest = self._latest  # another thread may read another frame in between
        if latest is not None and latest[0] == index:
            return latest[1]
        plane = self._stored(index)
        if plane is None:
            plane = self._drafts.get(index)
            return np.zeros(self.shape[1:], self.dtype) if plane is None else plane
        self._latest = index, plane
        return plane

    def draft(self, index: int) -> NDArray[Any]:
        """Return a plane of a frame to write to, shown as long as the frame is not on disk.

        There is one draft at a time: that of another frame is dropped.
        """
        if index not in self._drafts:
            self._drafts = {index: np.zeros(self.shape[1:], self.dtype)}
        return self._drafts[index]

    def _stored(self, index: int) -> NDArray[Any] | None:
        if self.path is None:
            return None
        # the file comes last and its parts go then: asked in this order none is missed
        with suppress(OSError, ValueError, EOFError, BadZipFile, KeyError):
            plane = read_written_frame(self.path, index)
            if plane is None and self.path.is_dir():
                plane = np.asarray(self._store()[index])
            if plane is not None and plane.shape == self.shape[1:]:
                return plane.astype(self.dtype, copy=False)
        return None

    def _store(self) -> Any:
        import zarr

        if self._whole is None:
            self._whole = zarr.open_group(self.path, mode="r")["0"]
        return self._whole
