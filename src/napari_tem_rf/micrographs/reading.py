"""Any TEM file -> micrographs with their pixel size in nm; masks -> labels.

Every reader gives images as it finds them; what is a micrograph and what is not is decided once,
in `rawimage`. Whatever a library raises over a file comes out as one `ReadingError`.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.digitalmicrograph import read_digital_micrograph
from napari_tem_rf.micrographs.emd import read_emd
from napari_tem_rf.micrographs.hyperspy_files import read_hspy, read_zspy
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.mrc import looks_like_mrc, read_mrc
from napari_tem_rf.micrographs.ome_zarr import (
    is_zarr_path,
    name_in_store,
    read_ome_zarr,
    read_ome_zarr_labels,
)
from napari_tem_rf.micrographs.outline_files import OUTLINE_ENDINGS, holds_outlines
from napari_tem_rf.micrographs.plain_formats import (
    read_npy,
    read_png,
    read_png_labels,
)
from napari_tem_rf.micrographs.rawimage import (
    NotAMicrographError,
    RawImage,
    ReadingError,
    labels_of,
    micrograph_of,
)
from napari_tem_rf.micrographs.refusals import unreadable
from napari_tem_rf.micrographs.ser import read_emi, read_ser
from napari_tem_rf.micrographs.special_files import refuse_special_file
from napari_tem_rf.micrographs.tiff import read_tiff, read_tiff_labels

__all__ = [
    "IMAGE_ENDINGS",
    "LABEL_ENDINGS",
    "LabelFrames",
    "ReadingError",
    "find_images",
    "image_name",
    "open_labels",
    "read_labels",
    "read_micrographs",
]

# MRC of stacks, tilt series, maps and tomograms; other programs use some of them for other things
_MRC_ENDINGS = (".ali", ".ccp4", ".map", ".preali", ".rec", ".st")

_READERS: dict[str, Callable[[Path], list[RawImage]]] = {
    **dict.fromkeys(_MRC_ENDINGS, read_mrc),
    ".dm3": read_digital_micrograph,
    ".dm4": read_digital_micrograph,
    ".emd": read_emd,
    ".emi": read_emi,
    ".hspy": read_hspy,
    ".mrc": read_mrc,
    ".mrcs": read_mrc,
    ".npy": read_npy,
    ".png": read_png,
    ".ser": read_ser,
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".zarr": read_ome_zarr,
    ".zspy": read_zspy,
}

_LABEL_READERS: dict[str, Callable[[Path], list[RawImage]]] = {
    ".npy": read_npy,
    ".png": read_png_labels,
    ".tif": read_tiff_labels,
    ".tiff": read_tiff_labels,
    ".zarr": read_ome_zarr_labels,
}

IMAGE_ENDINGS = tuple(sorted(_READERS))
"""Endings of the files that `read_micrographs` reads, in small letters."""

LABEL_ENDINGS = tuple(sorted(_LABEL_READERS))
"""Endings of the files that `read_labels` reads, in small letters."""

_LARGEST_LABEL = 2**31 - 1

# what Windows forbids in the name of a file, and what would lead out of a folder
_NOT_IN_FILE_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f]+')

T = TypeVar("T")


def image_name(path: str | Path) -> str:
    """Return a file's name without its ending; ``.ome.tif`` and ``.ome.zarr`` are one ending.

    A path inside a zarr store has the name of the image that it leads to or belongs to.
    """
    named = name_in_store(Path(path))
    stem = named.stem
    if named.suffix.lower() in OUTLINE_ENDINGS and Path(stem).suffix.lower() in _READERS:
        # QuPath names its files after the image's, ending and all
        stem = Path(stem).stem
    return stem[:-4] if stem.lower().endswith(".ome") else stem


def read_micrographs(path: str | Path) -> tuple[Micrograph, ...]:
    """Return every real-space image of a file, by the file's ending.

    Images that are none (complex, in reciprocal space, spectra, profiles) are left out; the first
    micrograph's notes say so. Series larger than 64 MiB stay on disk and come as dask arrays with
    one chunk a frame.

    Parameters
    ----------
    path : str or Path
        File, or folder of a zarr store.

    Returns
    -------
    tuple of Micrograph
        At least one; their names are unique within the file.

    Raises
    ------
    ReadingError
        If the file is not there, cannot be read, or holds no real-space image.
    """
    path = Path(path)
    read = _reader(path, _READERS, "images")
    return _in_one_sentence(path, lambda: _micrographs(path, read(path)))


def read_labels(path: str | Path) -> NDArray[Any]:
    """Return the labels of a mask file, as the file holds them.

    Parameters
    ----------
    path : str or Path
        TIFF, PNG, NPY or OME-Zarr. A mask of 0 and 255 keeps these values, and one that was saved
        in colour is taken where its colours are all grey.

    Returns
    -------
    ndarray of uint8, uint16 or int32, shape (row, column) or (frame, row, column)
        Labels from 0 to 2,147,483,647. True and false become 1 and 0; numbers of float type are
        taken only where every one is whole, so that nothing is lost.

    Raises
    ------
    ReadingError
        If the file cannot be read or holds no labels.
    """
    path = Path(path)
    return _in_one_sentence(path, lambda: _labels(path, np.asarray(_stored_labels(path))))


@dataclass(frozen=True, slots=True, eq=False)
class LabelFrames:
    """Labels of a file, read frame by frame.

    Attributes
    ----------
    shape : tuple of int
        (row, column) or (frame, row, column).
    read : callable
        Gives frame ``index``, shape (row, column), as `read_labels` gives it.
    """

    shape: tuple[int, ...]
    read: Callable[[int], NDArray[Any]]

    def __len__(self) -> int:
        return 1 if len(self.shape) == 2 else self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for index in range(len(self)):
            yield self.read(index)


def open_labels(path: str | Path) -> LabelFrames:
    """Open the labels of a mask file, of which a series larger than 64 MiB stays on disk.

    Parameters
    ----------
    path : str or Path
        As for `read_labels`.

    Returns
    -------
    LabelFrames

    Raises
    ------
    ReadingError
        If the file cannot be read or holds no labels; of a series on disk, when such a frame is
        read.
    """
    path = Path(path)
    pixels = _in_one_sentence(path, lambda: _stored_labels(path))
    if isinstance(pixels, np.ndarray):
        labels = _in_one_sentence(path, lambda: _labels(path, pixels))
        return LabelFrames(labels.shape, lambda i: labels if labels.ndim == 2 else labels[i])

    def read(index: int) -> NDArray[Any]:
        return _in_one_sentence(path, lambda: _labels(path, np.asarray(pixels[index])))

    return LabelFrames(tuple(map(int, pixels.shape)), read)


def find_images(paths: Sequence[str | Path], *, outlines: bool = False) -> tuple[Path, ...]:
    """Return the files among ``paths``, with each folder's readable files in its place.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, which are taken as they are, and folders, whose readable files come sorted by name.
        A .ser file whose .emi file is in the same folder comes with it and not alone.
    outlines : bool
        Take a folder's files of outlines too, which stand for labels.

    Returns
    -------
    tuple of Path

    Raises
    ------
    ReadingError
        If a path is not there, or a folder holds no readable file.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ReadingError(f'"{path}" is not there: check the path')
        refuse_special_file(path)
        if path.is_file() or _ending(path) in _READERS:
            found[path] = None
            continue
        inside = [
            p for p in sorted(path.iterdir()) if _is_image(p) or (outlines and _is_outlines(p))
        ]
        if not inside:
            endings = (*IMAGE_ENDINGS, *(OUTLINE_ENDINGS if outlines else ()))
            raise ReadingError(
                f'the folder "{path}" holds no file with one of the endings {", ".join(endings)}'
            )
        found.update(dict.fromkeys(inside))
    return tuple(found)


def _ending(path: Path) -> str:
    """Return the ending that names the reader of a path."""
    ending = path.suffix.lower()
    return ".zarr" if ending != ".zspy" and is_zarr_path(path) else ending


def _is_image(path: Path) -> bool:
    if path.name.startswith(".") or path.suffix.lower() not in _READERS:
        return False
    if path.suffix.lower() in _MRC_ENDINGS:
        return path.is_file() and looks_like_mrc(path)
    if path.suffix.lower() == ".ser":
        belongs_to = path.with_name(path.stem.rpartition("_")[0])
        return not any(belongs_to.with_suffix(ending).exists() for ending in (".emi", ".EMI"))
    return True


def _is_outlines(path: Path) -> bool:
    return not path.name.startswith(".") and holds_outlines(path)


def _reader(path: Path, readers: dict[str, T], what: str) -> T:
    if not path.exists():
        raise ReadingError(f'"{path}" is not there: check the path')
    refuse_special_file(path)
    ending = _ending(path)
    if ending not in readers and holds_outlines(path):
        raise ReadingError(
            f'"{path.name}" holds outlines, which have no pixels of their own: give it as the '
            "labels of an image"
        )
    if ending not in readers:
        raise ReadingError(
            f'"{path.name}" has the ending "{ending}": {what} are read from '
            f"{', '.join(sorted(readers))}"
        )
    if path.is_file() and path.stat().st_size == 0:
        raise ReadingError(f'"{path.name}" is empty: copy it again from where it came from')
    if path.is_dir() and ending not in (".zarr", ".zspy"):
        raise ReadingError(f'"{path.name}" is a folder: give a file')
    return readers[ending]


def _in_one_sentence(path: Path, read: Callable[[], T]) -> T:
    """Return ``read()``; whatever it raises becomes one ReadingError."""
    try:
        with warnings.catch_warnings():
            # the libraries warn of odd tags; what matters of them is in the notes
            warnings.simplefilter("ignore")
            return read()
    except Exception as error:
        raise unreadable(path, error) from error


def _micrographs(path: Path, raws: list[RawImage]) -> tuple[Micrograph, ...]:
    names = iter(_names(path, raws))
    kept: list[Micrograph] = []
    left_out: list[str] = []
    for raw in raws:
        name = next(names)
        try:
            kept.append(micrograph_of(raw, name, path))
        except NotAMicrographError as reason:
            left_out.append(f'"{name}" is left out: {reason}')
    if not kept:
        because = "; ".join(left_out) or "it holds no image"
        raise ReadingError(f'"{path.name}" holds no real-space image: {because}')
    if not left_out:
        return tuple(kept)
    first = kept[0]
    return (replace(first, notes=(*first.notes, *left_out)), *kept[1:])


def _names(path: Path, raws: list[RawImage]) -> Iterator[str]:
    stem = image_name(path)
    if len(raws) == 1:
        yield stem
        return
    used: set[str] = set()
    for number, raw in enumerate(raws, start=1):
        # masks are named like their images, so that a name must do for a file
        title = " ".join(_NOT_IN_FILE_NAMES.sub(" ", raw.name).split())[:60].strip(" .")
        name = first = f"{stem} {title or number}"
        count = number
        # without regard to capitals, as some systems' file names
        while name.casefold() in used:
            name, count = f"{first} {count}", count + 1
        used.add(name.casefold())
        yield name


def _stored_labels(path: Path) -> Any:
    """Return the labels of a file as it stores them, numpy or lazy dask; the first of several."""
    read = _reader(path, _LABEL_READERS, "labels")
    return labels_of(read(path)[0], path)


def _labels(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise ReadingError(
            f'labels "{path.name}" have the shape {values.shape}: labels are (row, column) or '
            "(frame, row, column)"
        )
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = bool(np.isfinite(values).all() and (values == np.rint(values)).all())
        if not whole:
            raise ReadingError(
                f'labels "{path.name}" are of type {values.dtype} with fractions: labels are '
                "whole numbers, 0 and up; this looks like an image or probabilities"
            )
    elif values.dtype.kind not in "ui":
        raise ReadingError(f'labels "{path.name}" are of type {values.dtype}: give whole numbers')
    smallest, largest = values.min(), values.max()
    if smallest < 0 or largest > _LARGEST_LABEL:
        raise ReadingError(
            f'labels "{path.name}" go from {smallest} to {largest}: labels go from 0 to '
            f"{_LARGEST_LABEL}; number them again from 1 up, and give background 0"
        )
    if largest > 65_535:
        return values.astype(np.int32)
    return values.astype(np.uint8 if largest < 256 else np.uint16)
