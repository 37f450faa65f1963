"""Series of labels that are not an array in memory, but are indexed like one, frame by frame."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["Framewise", "PackedLabels"]


class Framewise:
    """An array of shape (frame, row, column) of which one frame is made at a time.

    Parameters
    ----------
    shape : tuple of int
        (frame, row, column).
    dtype : dtype
    """

    ndim = 3

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.shape = tuple(int(length) for length in shape)
        self.dtype = np.dtype(dtype)

    def frame(self, index: int) -> NDArray[Any]:
        """Return a frame, shape (row, column)."""
        raise NotImplementedError

    def place(self, index: int) -> int:
        """Return the number of a frame that may be counted from the end.

        Raises
        ------
        IndexError
            If there is no such frame.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no frame {index}: the series has {len(self)}")
        return index % len(self)

    @property
    def size(self) -> int:
        """Number of pixels in all frames."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        which, *within = self._keys(key)
        if isinstance(which, int | np.integer):
            return self.frame(int(which))[tuple(within)]
        indices = np.arange(len(self))[which]
        if isinstance(which, np.ndarray) and len(within) == 2:
            return self._points(indices, within)
        planes = [self.frame(int(index))[tuple(within)] for index in indices]
        empty = np.zeros((0, *self.shape[1:]), self.dtype)[(slice(None), *within)]
        return np.stack(planes) if planes else empty

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def _keys(self, key: Any) -> list[Any]:
        keys = list(key) if isinstance(key, tuple) else [key]
        for at, each in enumerate(keys):
            if each is Ellipsis:
                keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
                break
        return keys or [slice(None)]

    def _points(self, frames: NDArray[Any], within: list[Any]) -> NDArray[Any]:
        """Return the values at single pixels: (frame, row, column) by three arrays."""
        frames, rows, columns = np.broadcast_arrays(frames, *within)
        values = np.empty(frames.shape, self.dtype)
        for index in np.unique(frames):
            here = frames == index
            values[here] = self.frame(int(index))[rows[here], columns[here]]
        return values


class PackedLabels(Framewise):
    """Labels in memory, each frame compressed: a few hundredths of their size.

    Whatever is read is a copy; what is written is packed at once. Frames that were never written
    are 0 all over.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        super().__init__(shape, dtype)
        self._packed: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f"<PackedLabels {self.shape} {self.dtype}: {self.nbytes:,} bytes>"

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return sum(len(packed) for packed in list(self._packed.values()))

    def copy(self) -> "PackedLabels":
        """Return labels of their own that are the same now; the packed frames are shared."""
        other = PackedLabels(self.shape, self.dtype)
        other._packed = dict(self._packed)
        return other

    def frame(self, index: int) -> NDArray[Any]:
        """Return a copy of a frame, shape (row, column)."""
        packed = self._packed.get(self.place(index))
        if packed is None:
            return np.zeros(self.shape[1:], self.dtype)
        plane = np.frombuffer(bytearray(zlib.decompress(packed)), np.int32)
        return plane.reshape(self.shape[1:]).astype(self.dtype, copy=False)

    def __setitem__(self, key: Any, value: Any) -> None:
        which, *within = self._keys(key)
        if isinstance(which, int | np.integer):
            self._write(int(which), within, value)
            return
        indices = np.arange(len(self))[which]
        if isinstance(which, np.ndarray) and len(within) == 2:
            frames, rows, columns = np.broadcast_arrays(indices, *within)
            values = np.broadcast_to(value, frames.shape)
            for index in np.unique(frames):
                here = frames == index
                self._write(int(index), [rows[here], columns[here]], values[here])
            return
        values = np.broadcast_to(value, self[key].shape)
        for index, part in zip(indices, values, strict=True):
            self._write(int(index), within, part)

    def _write(self, index: int, within: list[Any], value: Any) -> None:
        plane = self.frame(index)
        plane[tuple(within)] = value
        packed = np.ascontiguousarray(plane, np.int32)
        self._packed[self.place(index)] = zlib.compress(packed.data, level=1)
