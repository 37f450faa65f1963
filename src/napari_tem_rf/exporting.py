"""What is exported, in which formats; the table of particles, and the record beside a file."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_tem_rf.describing import check_settings, told
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.measuring.series import Finding, ToldApart
from napari_tem_rf.provenance import file_hash, provenance_of, provenance_path, write_provenance
from napari_tem_rf.runs import library_versions, now, read_run
from napari_tem_rf.spreadsheets import csv_of
from napari_tem_rf.storage import refuse_existing, remove, write_aside, write_text

if TYPE_CHECKING:
    import pandas as pd

Exported = Literal["labels", "instances", "probabilities"]


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format that something is written in.

    Attributes
    ----------
    ending : str
        The ending that chooses it.
    title : str
    holds_size : bool
        Whether it holds the pixel size; the record beside the file always does.
    """

    ending: str
    title: str
    holds_size: bool


FORMATS: dict[Exported, tuple[FileFormat, ...]] = {
    "labels": (
        FileFormat(".tif", "TIFF, ImageJ calibration", True),
        FileFormat(".ome.zarr", "OME-Zarr 0.4", True),
        FileFormat(".png", "PNG, single images", False),
        FileFormat(".npy", "NumPy array", False),
    ),
    "instances": (
        FileFormat(".json", "COCO, for CVAT", False),
        FileFormat(".zip", "ROIs, for ImageJ and Fiji", False),
        FileFormat(".geojson", "GeoJSON, for QuPath", False),
    ),
    "probabilities": (FileFormat(".tif", "32-bit TIFF, a channel a class", True),),
}
"""The formats of what can be exported, the usual one first."""


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What is written of a mask; the file's ending says in which format.

    Attributes
    ----------
    kind : {"labels", "instances", "probabilities"}
    """

    kind: Exported = told(
        "labels",
        "write",
        "labels: the mask, or the particles, pixel by pixel. outlines: each particle with its "
        "outline or its pixels, and its class, as COCO, ROIs of ImageJ or GeoJSON; those of a mask "
        "are found first. probabilities: of each class, for the frame that is shown, predicted "
        "anew by its run",
        choices={
            "labels": "labels",
            "instances": "outlines",
            "probabilities": "probabilities",
        },
        # `predict` writes labels, and probabilities beside them
        option="",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def formats(self) -> tuple[FileFormat, ...]:
        """The formats to choose from."""
        return FORMATS[self.kind]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a table of particles comes from.

    Attributes
    ----------
    image : str
        Name of the image, or of the mask where no image is known.
    mask : str
        Name of the mask.
    source : Path, optional
        File of the image.
    run : Path, optional
        The run that predicted the mask.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    finding : Finding, optional
        How the particles were found; None where that is not known.
    told_apart : {"necks", "numbers", "border"}
        By what particles that touch were told apart.
    by_hand : bool
        Whether particles were deleted, merged or painted, or the mask was drawn.
    is_particles : bool
        Whether it is of particles, and not of the mask itself.
    resampling : mapping, optional
        From which pixel size to which the network was shown the image.
    finishing : Finishing, optional
        How the mask was finished; the run's own way when not given.
    """

    image: str
    mask: str
    source: Path | None = None
    run: Path | None = None
    pixel_size_nm: tuple[float, float] | None = None
    finding: Finding | None = None
    told_apart: ToldApart = "necks"
    by_hand: bool = False
    is_particles: bool = True
    resampling: Mapping[str, Any] | None = None
    finishing: Finishing | None = None


def export_table(
    path: Path, table: "pd.DataFrame", origin: Origin, overwrite: bool = False
) -> tuple[bool, str]:
    """Write particles and how they were made; return whether it went well, and a sentence.

    Parameters
    ----------
    path : Path
        Where to; ``.csv``.
    table : DataFrame
        The particles, with their labels in the column ``index``.
    origin : Origin
    overwrite : bool
        Whether a file of that name may be replaced.
    """
    try:
        if path.suffix.lower() != ".csv":
            raise ValueError(f'"{path.name}" ends in "{path.suffix}": tables are written as .csv')
        refuse_existing(path, overwrite)
        rows = table.rename(columns={"index": "label"})
        rows.insert(0, "image", origin.image)
        if "frame" in rows:
            rows.insert(1, "frame", rows.pop("frame"))
        text = csv_of(rows)
        beside = write_with_record(path, origin, lambda: write_text(path, text))
    except (OSError, ValueError) as error:
        return False, str(error)
    count = f"{len(rows):,} particle{'s' * (len(rows) != 1)}"
    return True, f"Written: {path} with {count}, and how they were found: {beside.name}"


def write_with_record(path: Path, origin: Origin, write: Callable[[], object]) -> Path:
    """Write a file and how it was made beside it; return the path of that record.

    The record of a new file comes first, so that after a kill the same export goes on; that of a
    file that is replaced goes before it and comes anew after it. At no time does a record stand
    beside a file that it does not describe. Where the file cannot be written, all is as before.

    Parameters
    ----------
    path : Path
    origin : Origin
    write : callable
        Writes the file in one step, or raises.
    """
    record, beside = export_record(origin), provenance_path(path)
    is_new = not path.exists()
    earlier = beside.read_bytes() if beside.is_file() else None
    if is_new:
        write_provenance(path, record)
    else:
        remove(beside)
    try:
        write()
    except BaseException:
        with suppress(OSError):
            if earlier is None:
                remove(beside)
            else:
                with write_aside(beside) as aside:
                    aside.write_bytes(earlier)
        raise
    if not is_new:
        write_provenance(path, record)
    return beside


def export_record(origin: Origin) -> dict[str, Any]:
    """Return how something was made from a mask, as plain JSON values."""
    size, source = origin.pixel_size_nm, origin.source
    try:
        run = None if origin.run is None else read_run(origin.run)
    except (OSError, ValueError):
        run = None  # moved or deleted since: the sizes are as good without it
    if run is None:
        record: dict[str, Any] = {
            "image": origin.image,
            "source": None if source is None else str(source.resolve()),
            "source_sha256": None if source is None else file_hash(source),
            "pixel_size_nm": None if size is None else list(size),
            "versions": library_versions(),
            "date": now(),
        }
    else:
        record = provenance_of(run, origin.image, source, size, origin.finishing)
    record["mask"] = origin.mask
    if origin.resampling is not None:
        record["resampling"] = dict(origin.resampling)
    if origin.is_particles:
        finding = {} if origin.finding is None else asdict(origin.finding)
        if finding and origin.told_apart != "necks":
            finding |= {"split": False, "neck": None}  # nothing was looked for in the mask
        record["particles"] = {
            **finding,
            "told_apart_by": origin.told_apart,
            "corrected_by_hand": origin.by_hand,
        }
    elif origin.by_hand:
        record["by_hand"] = True
    return record
