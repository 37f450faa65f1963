"""The particles that ``measure`` finds, one by one: COCO, ROIs of ImageJ, GeoJSON of QuPath."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from numpy.typing import NDArray

from napari_tem_rf.measuring.populations import SurveyedFrame
from napari_tem_rf.micrographs.writing import InstanceImage, write_instances
from napari_tem_rf.provenance import read_provenance

if TYPE_CHECKING:
    import pandas as pd

COCO = typer.Option(
    None, "--coco", help="One COCO file for the particles of all images, .json; CVAT takes it."
)
ROIS = typer.Option(
    None, "--rois", help="Folder for the outlines as ROIs of ImageJ, a .zip an image."
)
GEOJSON = typer.Option(
    None, "--geojson", help="Folder for the outlines as GeoJSON of QuPath, a .geojson an image."
)


def check_places(coco: Path | None, rois: Path | None, geojson: Path | None) -> None:
    """Raise BadParameter where a file or folder cannot be what is asked for."""
    if coco is not None and coco.suffix.lower() != ".json":
        raise typer.BadParameter(f"{str(coco)!r}: COCO is written as .json", param_hint="--coco")
    for folder, option in ((rois, "--rois"), (geojson, "--geojson")):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise typer.BadParameter(
                f"{str(folder)!r} is a file: name a folder, which gets one file an image",
                param_hint=option,
            )


@dataclass(slots=True, eq=False)
class InstanceFiles:
    """Files of particles one by one, filled image by image.

    Attributes
    ----------
    coco, rois, geojson : Path, optional
        File, and folders.
    """

    coco: Path | None = None
    rois: Path | None = None
    geojson: Path | None = None
    _images: list[InstanceImage] = field(default_factory=list)
    _names: dict[int, str] = field(default_factory=dict)

    @property
    def are_wanted(self) -> bool:
        """Whether any is asked for."""
        return any(path is not None for path in (self.coco, self.rois, self.geojson))

    def add(self, name: str, mask: Path, frames: list[InstanceImage]) -> None:
        """Write the particles of an image or series, and keep them for the file of all.

        Parameters
        ----------
        name : str
            The image's name.
        mask : Path
            The file of its mask.
        frames : list of InstanceImage
            As `instances_in` gives them.
        """
        names = _class_names(mask, frames)
        self._names |= names
        for folder, ending in ((self.rois, ".zip"), (self.geojson, ".geojson")):
            if folder is not None:
                _write(folder / f"{name}{ending}", frames, names)
        if self.coco is not None:
            self._images += frames

    def finish(self) -> list[Path]:
        """Write the file of all images; return what was written."""
        if self.coco is not None:
            names = dict(sorted(self._names.items())) or {1: "particle"}
            _write(self.coco, self._images, names)
        return [path for path in (self.coco, self.rois, self.geojson) if path is not None]


def _write(path: Path, images: list[InstanceImage], names: dict[int, str]) -> None:
    """Write a file; one that is there is kept if it is the same, and never replaced."""
    if not path.exists():
        write_instances(path, images, names)
        return
    with TemporaryDirectory() as folder:
        new = write_instances(Path(folder) / path.name, images, names)
        if new.read_bytes() != path.read_bytes():
            raise FileExistsError(
                f'"{path}" exists, is another file and is not overwritten: name another place, or '
                "delete it"
            )


def instances_in(
    frame: SurveyedFrame,
    labels: NDArray[np.integer],
    table: "pd.DataFrame",
    mask: Path,
    image: Path | None,
) -> InstanceImage:
    """Return the particles of a frame that are in its table, under the table's numbers.

    Parameters
    ----------
    frame : SurveyedFrame
        All particles that were found, those at the border with them.
    labels : ndarray of int, shape (row, column)
        Their labels.
    table : DataFrame
        Those that count, in the same order.
    mask, image : Path
        Files; the image's is None where it is not known.
    """
    every = frame.table["label"].to_numpy(int)
    if len(table) != len(every):
        every = every[~frame.table["touches_border"].to_numpy(bool)]
    numbers = table["label"].to_numpy(int)
    lookup = np.zeros(max(int(labels.max(initial=0)), int(every.max(initial=0))) + 1, np.int32)
    lookup[every] = numbers
    values = table["class"].to_numpy(int).tolist() if "class" in table else [1] * len(numbers)
    source = _source(mask, image)
    return InstanceImage(
        source if frame.frame is None else f"{source}[{frame.frame}]",
        lookup[labels],
        dict(zip(numbers.tolist(), values, strict=True)),
        frame.pixel_size_nm,
        frame.frame,
    )


def _source(mask: Path, image: Path | None) -> str:
    """Return the name of the image's file, by which other programs know it."""
    if image is not None:
        return image.name
    known = (read_provenance(mask) or {}).get("source")
    # of another system, perhaps
    return known.replace("\\", "/").rpartition("/")[2] if isinstance(known, str) else mask.name


def _class_names(mask: Path, frames: list[InstanceImage]) -> dict[int, str]:
    """Return the names of the classes that there are: those of the mask's record, if it has one."""
    named: Any = (read_provenance(mask) or {}).get("classes")
    known: dict[int, str] = {}
    if isinstance(named, dict):
        known = {value: name for name, value in named.items() if isinstance(value, int)}
    values = sorted({value for frame in frames for value in frame.classes.values()}) or [1]
    lone = "particle" if len(values) == 1 else ""
    return {value: known.get(value) or lone or f"class {value}" for value in values}
