"""A dataset of HDF5 as one image or series, in memory where it is small."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.frames import is_small, lazy_frames
from napari_tem_rf.micrographs.hdf5 import open_hdf5
from napari_tem_rf.micrographs.hdf5_check import refuse_absurd_dataset
from napari_tem_rf.micrographs.named_axes import ImageAxes

__all__ = ["hdf5_pixels"]


def hdf5_pixels(path: Path, dataset: Any, axes: ImageAxes) -> Any:
    """Return the pixels of a dataset, shape ([frame,] row, column).

    Parameters
    ----------
    path : Path
        The file, which is opened again for each frame of a long series.
    dataset : h5py.Dataset
        Of an open file.
    axes : ImageAxes
        Which of its axes are row and column.

    Raises
    ------
    ReadingError
        If the dataset declares more than the file could hold.
    """
    refuse_absurd_dataset(path, dataset)
    lengths = [int(dataset.shape[axis]) for axis in axes.leading]
    image_shape = int(dataset.shape[axes.row]), int(dataset.shape[axes.column])
    frames = math.prod(lengths)
    small = is_small(dataset.shape, dataset.dtype)
    if frames <= 1 or (small and not _is_cut_into_frames(dataset, axes)):
        return axes.series_of(np.asarray(dataset[...]))
    if small:
        # one chunk a frame: read at once, each would be scattered over the whole array
        out = np.empty((frames, *image_shape), dataset.dtype)
        for index in range(frames):
            out[index] = axes.frame_of(dataset, index)
        return out
    reader = _Frame(path, dataset.name, axes)
    return lazy_frames(reader, frames, image_shape, dataset.dtype, at_once=False)


def _is_cut_into_frames(dataset: Any, axes: ImageAxes) -> bool:
    chunks = dataset.chunks
    return chunks is not None and all(chunks[axis] == 1 for axis in axes.leading)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Reads one image of a dataset of a file that is open only for as long as it takes."""

    path: Path
    name: str
    axes: ImageAxes

    def __call__(self, index: int) -> NDArray[Any]:
        with open_hdf5(self.path) as file:
            return self.axes.frame_of(file[self.name], index)
