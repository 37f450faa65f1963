"""How many pixels of each value a labels layer holds, frame by frame."""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_tem_rf.gui.layers.layers import frame_labels, image_shape

Count = dict[int, int]
"""Pixels by label value, zero left out."""

Counts = tuple[Count, ...]
"""One count a frame."""

COUNTED_AT_ONCE_PX = 4_000_000
"""A layer of up to this many pixels is counted again each time, which takes some 20 ms."""

_LARGEST_VALUE = 65_535


_BAND_PX = 1 << 16
"""Pixels that are counted at a time: NumPy makes eight bytes of each."""


def painted_rows(plane: NDArray[np.integer]) -> slice:
    """Return the rows from the first to the last that hold anything but zero.

    Strokes cover few rows of a large image: to look for them there takes a fiftieth of the time
    that it takes everywhere.
    """
    rows = np.flatnonzero(plane.any(axis=1))
    return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)


def count_values(plane: NDArray[np.integer]) -> Count:
    """Return the pixels of each value in one frame, zero left out."""
    plane = plane[painted_rows(plane)]
    if not plane.size:
        return {}
    lowest, highest = int(plane.min()), int(plane.max())
    if lowest < 0 or highest > _LARGEST_VALUE:
        values, counts = np.unique(plane, return_counts=True)
    else:
        table = np.zeros(highest + 1, np.intp)
        band = max(1, _BAND_PX // plane.shape[1])
        for first in range(0, len(plane), band):
            table += np.bincount(plane[first : first + band].ravel(), minlength=highest + 1)
        values = np.flatnonzero(table)
        counts = table[values]
    return {
        int(value): int(count) for value, count in zip(values, counts, strict=True) if value != 0
    }


class _Counted:
    """The counts of a large layer, kept; painting makes only the frame in view uncertain."""

    def __init__(self, layer: Labels) -> None:
        self._frames: list[Count | None] = [None] * image_shape(layer)[0]
        layer.events.paint.connect(self._on_paint)
        layer.events.labels_update.connect(self._on_paint)
        layer.events.set_data.connect(self._on_paint)
        layer.events.data.connect(self._on_data)

    def frames(self, layer: Labels) -> Counts:
        for place, count in enumerate(self._frames):
            if count is None:
                self._frames[place] = count_values(frame_labels(layer, place))
        return tuple(count or {} for count in self._frames)

    def _on_paint(self, event: Any) -> None:
        # the frame that napari slices is the one that is painted on
        frame = int(np.clip(round(event.source._data_slice.point[0]), 0, len(self._frames) - 1))
        self._frames[frame] = None

    def _on_data(self, event: Any) -> None:
        self._frames = [None] * image_shape(event.source)[0]


_LARGE: WeakKeyDictionary[Labels, _Counted] = WeakKeyDictionary()


def label_counts(layer: Labels) -> Counts:
    """Return the pixels of each value in each frame of a layer; one frame for a single image."""
    shape = image_shape(layer)
    if len(shape) == 2:
        return (count_values(frame_labels(layer)),)
    if int(np.prod(shape)) <= COUNTED_AT_ONCE_PX:
        return tuple(count_values(frame_labels(layer, frame)) for frame in range(shape[0]))
    if layer not in _LARGE:
        _LARGE[layer] = _Counted(layer)
    return _LARGE[layer].frames(layer)
