"""Effective fields as files: a TIFF or a PNG, and those that are kept in the folder of their run.

A run keeps them in ``fields/``: a calibrated TIFF and a record beside it that says of which image
and pixel. Nothing else in a run knows of them, and a run without them is whole.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.writing import write_probabilities
from napari_tem_rf.records import RecordError, check_words, read_json, record_of
from napari_tem_rf.runs import now
from napari_tem_rf.storage import refuse_existing, remove, write_aside, write_text

__all__ = [
    "FIELD_ENDINGS",
    "FieldRecord",
    "forget_field",
    "keep_field",
    "kept_fields",
    "write_field",
]

FIELD_ENDINGS = (".tif", ".png")
"""What an effective field is written as, the usual one first."""

_FOLDER = "fields"
_FORMAT = 1
_MOST_KEPT = 1000
_MOST_PX = 10**7


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRecord:
    """Where a field that a run keeps was measured, and what came of it.

    Attributes
    ----------
    image : str
        Name of the image.
    at : tuple of int
        (row, column) of the output pixel in the image.
    frame : int
        Frame of a series; 0 for a single image.
    nominal_px : int
        The nominal field, in px of the image.
    rows, columns : tuple of int
        First and last (exclusive) px of the exact field; beyond the image where it is padding.
    origin : tuple of int
        (row, column) of the heat's first pixel in the image.
    px : int
        Px of the image per px of the heat, down and across: more than 1 where the run bins.
    total : float
        Sum of the heat, in logits per standard deviation of grey value.
    w50_px, w95_px : int
        Sides in px of the image of the squares that hold 50 % and 95 % of it.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel of the image.
    """

    image: str
    at: tuple[int, int]
    frame: int
    nominal_px: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    origin: tuple[int, int]
    px: int
    total: float
    w50_px: int
    w95_px: int
    pixel_size_nm: tuple[float, float] | None = None
    created: str = ""
    format: int = _FORMAT


def write_field(
    path: Path,
    heat: NDArray[np.float32],
    pixel_size_nm: tuple[float, float] | None,
    *,
    overwrite: bool = False,
) -> None:
    """Write the heat of an effective field.

    Parameters
    ----------
    path : Path
        ``.tif``: the numbers, calibrated; ``.png``: a picture of their square root.
    heat : ndarray of float32, shape (row, column)
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel of the heat.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    ValueError
        When the ending is another one.
    FileExistsError
        When the file exists and ``overwrite`` is not set.
    """
    refuse_existing(path, overwrite)
    if path.suffix.lower() in (".tif", ".tiff"):
        write_probabilities(path, heat[None], pixel_size_nm, overwrite=overwrite)
    elif path.suffix.lower() == ".png":
        import matplotlib as mpl
        from skimage.io import imsave

        shade = heat / max(float(heat.max()), 1e-30)
        picture = (mpl.colormaps["magma"](shade**0.5)[..., :3] * 255).astype(np.uint8)
        with write_aside(path) as aside:
            imsave(aside, picture, check_contrast=False)
    else:
        raise ValueError(f'"{path}" ends in "{path.suffix}": the field is written to .tif or .png')


def keep_field(run: Path, record: FieldRecord, heat: NDArray[np.float32]) -> Path:
    """Keep a field in the folder of its run; an earlier one of that pixel is replaced.

    Returns
    -------
    Path
        The TIFF; its record lies beside it.
    """
    safe = re.sub(r"[^\w.-]+", "_", record.image).strip("._") or "image"
    frame = f"_frame_{record.frame}" if record.frame else ""
    path = run / _FOLDER / f"{safe[:80]}{frame}_at_{record.at[0]}_{record.at[1]}.tif"
    path.parent.mkdir(exist_ok=True)
    size = record.pixel_size_nm
    px = None if size is None else (size[0] * record.px, size[1] * record.px)
    write_field(path, heat, px, overwrite=True)
    text = json.dumps({**asdict(record), "created": now()}, indent=2, allow_nan=False)
    write_text(path.with_suffix(".json"), f"{text}\n")
    return path


def forget_field(path: Path) -> None:
    """Remove a field that `keep_field` wrote, and its record."""
    remove(path.with_suffix(".json"))
    remove(path)


def kept_fields(run: Path) -> tuple[FieldRecord, ...]:
    """Return the fields that a run keeps; records that cannot be read are left out."""
    found: list[FieldRecord] = []
    folder = run / _FOLDER
    if not folder.is_dir():
        return ()
    for path in sorted(folder.glob("*.json"))[:_MOST_KEPT]:
        try:
            record = record_of(FieldRecord, read_json(path))
            _check(record)
        except (RecordError, ValueError):
            continue
        found.append(record)
    return tuple(found)


def _check(record: FieldRecord) -> None:
    """Raise ValueError where a record passes a bound."""
    check_words({"image": record.image}, "field", ["image"])
    lengths = (*record.at, record.frame, *record.origin)
    if min(lengths) < 0 or max(lengths) > _MOST_PX or record.format > _FORMAT:
        raise ValueError(f"at is {record.at}, frame {record.frame}: not a pixel of an image")
