"""A series moved back along its drift and written as a series of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.label_formats import Pages, write_tiff
from napari_tem_rf.movies.drift import Drift
from napari_tem_rf.storage import refuse_existing, write_aside

__all__ = ["moved_back", "write_aligned"]


def moved_back(pixels: NDArray[Any], offset_px: NDArray[np.float64]) -> NDArray[Any]:
    """Return a frame moved back by its drift, by cubic interpolation, of the same type.

    Parameters
    ----------
    pixels : ndarray, shape (row, column)
    offset_px : ndarray, shape (2,)
        How far what is seen has moved, (row, column) in px. Whole pixels are moved without
        interpolation, so that no value changes.
    """
    from scipy import ndimage

    whole = np.round(offset_px)
    if np.abs(offset_px - whole).max() < 1e-3:
        return np.roll(pixels, tuple((-whole).astype(int)), axis=(0, 1))
    moved = ndimage.shift(pixels.astype(np.float32), -offset_px, order=3, mode="nearest")
    if pixels.dtype.kind in "ui":
        limits = np.iinfo(pixels.dtype)
        moved = np.clip(np.rint(moved), limits.min, limits.max)
    return moved.astype(pixels.dtype)


def write_aligned(
    path: Path,
    frames: Callable[[int], NDArray[Any]],
    drift: Drift,
    report: Callable[[float], object] = lambda _fraction: None,
) -> tuple[int, int]:
    """Write a series moved back, cut to what all frames show; return its (row, column) shape.

    Frames are read and written one by one. Those that were left out of the drift are written where
    the path passes between their neighbours, so that frame numbers stay.

    Parameters
    ----------
    path : Path
        ``.tif``; nothing is overwritten.
    frames : callable
        Gives the pixels of a frame.
    drift : Drift
    report : callable
        Called with the fraction done.

    Raises
    ------
    ValueError
        If the ending is another, or no part of the specimen is seen in all frames.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f'"{path.name}": an aligned series is written as .tif')
    refuse_existing(path)
    first = np.asarray(frames(0))
    box = drift.common_box((first.shape[0], first.shape[1]))
    shape = (box[0].stop - box[0].start, box[1].stop - box[1].start)
    kept = first.dtype if first.dtype in (np.uint8, np.uint16) else np.dtype(np.float32)

    def page(index: int) -> NDArray[Any]:
        pixels = np.asarray(frames(index))
        if pixels.shape != first.shape:
            pixels = np.zeros_like(first)  # a frame of another size has no place here
        report((index + 1) / drift.frames)
        return moved_back(pixels, drift.offsets_px[index])[box]

    with write_aside(path) as aside:
        write_tiff(aside, Pages((drift.frames, *shape), kept, page, drift.pixel_size_nm))
    return shape
