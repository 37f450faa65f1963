"""Finds the images and labels of an earlier comparison again, to continue it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.comparison.record import Comparison, annotation_path
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.runs import ImageEntry, RunError, array_hash, labels_as_given

__all__ = ["recall_images"]

Offer = Callable[[ImageEntry], Iterable[NDArray[Any]]]
"""Returns arrays that may be the pixels of an image of the record."""


def _nothing(_entry: ImageEntry) -> Iterable[NDArray[Any]]:
    return ()


def recall_images(comparison: Comparison, offer: Offer = _nothing) -> tuple[LabelledImage, ...]:
    """Return the images that a comparison was begun with.

    Labels come from the comparison's folder, pixels from what is offered or else from the files
    that the record names; all are recognised by their hashes.

    Parameters
    ----------
    comparison : Comparison
    offer : callable, optional
        Returns arrays that may be the pixels of an entry, such as the layers of a viewer.

    Raises
    ------
    RunError
        When an image or its labels are found nowhere, or have changed.
    """
    return tuple(
        LabelledImage(
            entry.name,
            _pixels(entry, offer),
            _labels(comparison.folder, index, entry),
            entry.pixel_size_nm,
            entry.group,
        )
        for index, entry in enumerate(comparison.record.images)
    )


def _labels(folder: Path, index: int, entry: ImageEntry) -> NDArray[Any]:
    places = [annotation_path(folder, index)]
    if entry.labels_source is not None:
        places.append(Path(entry.labels_source))
    for path in filter(_is_read, places):
        try:
            labels = read_labels(path)
        except ValueError:
            continue
        for plane in _planes(labels):
            given = labels_as_given(plane, entry.labels_sha256)
            if given is not None:
                return given
    raise RunError(
        f'the labels of "{entry.name}" are not in "{places[0].parent}" as they were when the '
        "comparison was begun: restore them, or compare anew in another folder"
    )


def _pixels(entry: ImageEntry, offer: Offer) -> NDArray[Any]:
    for found in (*offer(entry), *_in_file(entry)):
        for plane in (found, found.astype(np.float32)):
            if array_hash(plane) == entry.pixels_sha256:
                return plane
    source = "" if entry.source is None else f' (it was "{entry.source}")'
    raise RunError(
        f'image "{entry.name}" of the comparison is not open{source}, or its pixels have '
        "changed: open it under that name to continue"
    )


def _in_file(entry: ImageEntry) -> Iterator[NDArray[Any]]:
    if entry.source is None or not _is_read(Path(entry.source)):
        return
    try:
        micrographs = read_micrographs(entry.source)
    except ValueError:
        return
    for micrograph in micrographs:
        for frame in range(micrograph.frames):
            yield micrograph.frame(frame)


def _is_read(path: Path) -> bool:
    """Return whether there is a file, or a store; a pipe would be waited for."""
    try:
        return path.is_file() or path.is_dir()
    except ValueError:  # a NUL in the name
        return False


def _planes(labels: NDArray[Any]) -> Iterable[NDArray[Any]]:
    return (labels,) if labels.ndim == 2 else labels
