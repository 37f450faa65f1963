"""Series that stay on disk: one lazy dask chunk a frame."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    import dask.array

__all__ = ["IN_MEMORY_BYTES", "is_small", "lazy_frames", "mapped_frames"]

IN_MEMORY_BYTES = 64 * 2**20
"""Series up to this size are read at once: then no file stays open."""


def is_small(shape: Sequence[int], dtype: DTypeLike) -> bool:
    """Whether an array takes no more memory than `IN_MEMORY_BYTES`."""
    return math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class _Frames:
    """What dask asks of an array, answered frame by frame."""

    read: Callable[[int], NDArray[Any]]
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return 3

    def __getitem__(self, key: tuple[slice | int, ...]) -> NDArray[Any]:
        # dask hands a viewer's own slices down to here
        which, *within = key
        if isinstance(which, slice):
            indices = range(self.shape[0])[which]
            out = np.empty((len(indices), *self.shape[1:]), self.dtype)
            for place, index in enumerate(indices):
                out[place] = self.read(index)
            return out[:, *within]
        return self.read(int(which))[tuple(within)]


def lazy_frames(
    read: Callable[[int], NDArray[Any]],
    frames: int,
    image_shape: tuple[int, int],
    dtype: DTypeLike,
    at_once: bool | None = None,
) -> "NDArray[Any] | dask.array.Array":
    """Return a series whose frames are read when they are asked for.

    Parameters
    ----------
    read : callable
        Gives frame ``index`` as an array of shape (row, column). It is called from one thread at
        a time.
    frames : int
        Number of frames.
    image_shape : tuple of int
        (row, column) shape of a frame.
    dtype : dtype
        Type of the values.
    at_once : bool, optional
        Whether all frames are read now; without, whether they are small (`is_small`).

    Returns
    -------
    array, shape (frame, row, column)
        In memory when read at once, else lazy.
    """
    source = _Frames(read, (frames, *image_shape), np.dtype(dtype))
    if is_small(source.shape, source.dtype) if at_once is None else at_once:
        return source[:, :, :]
    import dask.array

    return dask.array.from_array(
        source,
        chunks=(1, *image_shape),
        name=False,
        lock=True,
        asarray=False,
        meta=np.empty((0, 0, 0), dtype),
    )


@dataclass(frozen=True, slots=True)
class _MappedFrame:
    """Reads frame by frame from a file that holds plain numbers."""

    path: Path
    offsets: Sequence[int]
    image_shape: tuple[int, int]
    dtype: np.dtype[Any]
    upside_down: bool = False

    def __call__(self, index: int) -> NDArray[Any]:
        count = math.prod(self.image_shape)
        values = np.fromfile(self.path, self.dtype, count, offset=self.offsets[index])
        if values.size < count:
            raise EOFError(
                f'frame {index} of "{self.path.name}" has {values.size} of {count} values: '
                "the file was cut off"
            )
        frame = values.reshape(self.image_shape)  # (row, column)
        return frame[::-1] if self.upside_down else frame


def mapped_frames(
    path: Path,
    offsets: Sequence[int],
    image_shape: tuple[int, int],
    dtype: DTypeLike,
    upside_down: bool = False,
) -> "NDArray[Any] | dask.array.Array":
    """Return a series of plain numbers at byte ``offsets`` of a file, lazily where large."""
    reader = _MappedFrame(path, offsets, image_shape, np.dtype(dtype), upside_down)
    return lazy_frames(reader, len(offsets), image_shape, reader.dtype)
