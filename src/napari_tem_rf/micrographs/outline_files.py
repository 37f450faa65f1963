"""Files of outlines -> labels on the grid of an image, which such files do not know.

ImageJ's RoiSet.zip and .roi, and GeoJSON of QuPath. Which labels the outlines become is decided
over all files together, so that a class has one value in all images.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.geojson import read_geojson
from napari_tem_rf.micrographs.imagej_rois import holds_rois, read_rois
from napari_tem_rf.micrographs.outlines import Legend, Outline, labels_inside
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.refusals import unreadable
from napari_tem_rf.micrographs.special_files import refuse_special_file

__all__ = ["OUTLINE_ENDINGS", "OutlineFile", "holds_outlines", "read_outlines"]

_READERS: dict[str, Callable[[Path], tuple[list[Outline], tuple[str, ...]]]] = {
    ".geojson": read_geojson,
    ".roi": read_rois,
    ".zip": read_rois,
}

OUTLINE_ENDINGS = tuple(sorted(_READERS))
"""Endings of files of outlines, in small letters; a zip may hold something else."""


@dataclass(frozen=True, slots=True, eq=False)
class OutlineFile:
    """The outlines of a file.

    Attributes
    ----------
    path : Path
    outlines : tuple of Outline
    notes : tuple of str
        Sentences for the user.
    """

    path: Path
    outlines: tuple[Outline, ...]
    notes: tuple[str, ...] = ()

    def labels(
        self, shape: tuple[int, ...], legend: Legend
    ) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Return the labels on the grid of an image, and sentences for the user.

        Parameters
        ----------
        shape : tuple of int
            Of the image: (row, column) or (frame, row, column).
        legend : Legend
            Which labels the outlines become.

        Returns
        -------
        labels : ndarray of uint8, uint16 or int32
            Of the image's shape. Numbers of particles go on from frame to frame.
        notes : tuple of str

        Raises
        ------
        ReadingError
            If the outlines are of several frames and the image is one, the frame of one is not
            known or not there, or all of them lie outside the image.
        """
        rows, columns = shape[-2:]
        frames = shape[0] if len(shape) == 3 else 1
        by_frame = self._by_frame(frames, len(shape) == 3)
        # of a long series the frames without outlines take no memory
        labels = np.zeros((frames, rows, columns), legend.dtype(len(self.outlines)))
        overlapping, before, is_empty = 0, 0, True
        for frame, outlines in sorted(by_frame.items()):
            overlapping += labels_inside(outlines, labels[frame], legend, before)
            is_empty = is_empty and not labels[frame].any()
            before += len(outlines)
        if is_empty:
            raise ReadingError(
                f'all outlines of "{self.path.name}" lie outside of the image, which is '
                f"{rows} x {columns}: they are of another image, or in units other than px"
            )
        notes = self.notes
        if overlapping:
            notes += (
                f'{overlapping} outlines of "{self.path.name}" overlap others: where two overlap '
                "the later one has the pixels",
            )
        return labels.reshape(shape), notes

    def _by_frame(self, frames: int, is_series: bool) -> dict[int, list[Outline]]:
        named = Counter(outline.frame for outline in self.outlines)
        if not is_series:
            known = sorted({frame for frame in named if frame is not None})
            if len(known) > 1:
                raise ReadingError(
                    f'"{self.path.name}" has outlines on {len(known)} frames, {known[0] + 1} to '
                    f"{known[-1] + 1}, but the image is a single one: open the series that they "
                    "were drawn on"
                )
            return {0: list(self.outlines)}
        by_frame: dict[int, list[Outline]] = {}
        for outline in self.outlines:
            if outline.frame is None:
                raise ReadingError(
                    f'{named[None]} outlines of "{self.path.name}" are on no frame, and the image '
                    f"is a series of {frames}: tick Associate ROIs with slices in the options of "
                    "ImageJ's ROI manager, and draw them there"
                )
            if outline.frame >= frames:
                raise ReadingError(
                    f'"{self.path.name}" has outlines on frame {outline.frame + 1}, but the image '
                    f"has {frames}: they are of another series"
                )
            by_frame.setdefault(outline.frame, []).append(outline)
        return by_frame


def holds_outlines(path: str | Path) -> bool:
    """Return whether a file holds outlines: by its ending, and of a zip by what is in it."""
    path = Path(path)
    ending = path.suffix.lower()
    return ending in _READERS and path.is_file() and (ending != ".zip" or holds_rois(path))


def read_outlines(path: str | Path) -> OutlineFile:
    """Return the outlines of a file.

    Parameters
    ----------
    path : str or Path
        RoiSet.zip or .roi of ImageJ, or .geojson of QuPath.

    Raises
    ------
    ReadingError
        If the file cannot be read, or holds no area.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _READERS:
        raise ReadingError(
            f'"{path.name}" has the ending "{ending}": outlines are read from '
            f"{', '.join(OUTLINE_ENDINGS)}"
        )
    if not path.exists():
        raise ReadingError(f'"{path}" is not there: check the path')
    refuse_special_file(path)
    try:
        outlines, notes = _READERS[ending](path)
    except Exception as error:
        raise unreadable(path, error) from error
    return OutlineFile(path, tuple(outlines), notes)
