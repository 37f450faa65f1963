"""Folders of results, read back: masks with their records, runs and comparisons with their images.

A folder of masks is what `predict` writes, a run what `train` writes, a comparison what `compare`
writes: of that come the annotations, and the suggested network's masks of the images held out. Of
each mask its record says which image it is of; images are looked for where they were, and where
they are not any more a sentence says so.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from napari_tem_rf.comparison import prediction_path, read_comparison
from napari_tem_rf.comparison.record import RECORD as COMPARISON, annotation_path
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import Unlabelled
from napari_tem_rf.provenance import read_provenance
from napari_tem_rf.records import RecordError, record_of
from napari_tem_rf.run_archive import is_run_archive
from napari_tem_rf.run_record import check_classes
from napari_tem_rf.runs import RECORD, RunError, labels_as_given, read_run

__all__ = ["MOST_RESULTS", "FolderImage", "Mask", "Strokes", "read_results", "result_kind"]

MOST_RESULTS = 30
"""So many images are brought in at once: a viewer with hundreds of layers is of no use."""

_STORE = ".ome.zarr"
_ENDINGS = (".tif", ".tiff", _STORE, ".png", ".npy")


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A predicted mask: labels, classes, network and run.

    Attributes
    ----------
    path : Path
        Its file.
    labels : ndarray of int, optional
        Shape of the image; None for the store of a series, which is read frame by frame.
    classes : Classes
    spec : NetworkSpec
    run : Path
    """

    path: Path
    labels: NDArray[Any] | None
    classes: Classes
    spec: NetworkSpec
    run: Path


@dataclass(frozen=True, slots=True, eq=False)
class Strokes:
    """What an image was annotated with for a run."""

    labels: NDArray[Any]
    classes: Classes
    unlabelled: Unlabelled


@dataclass(frozen=True, slots=True, eq=False)
class FolderImage:
    """One image of a folder of results, or why it cannot be shown.

    Attributes
    ----------
    name : str
        The image's name.
    source : Path, optional
        The file that it was read from.
    image : Micrograph, optional
        The image; None where its file is gone or cannot be read.
    content : Mask or Strokes, optional
    trouble : str
        Why something of it is missing; empty if nothing is.
    """

    name: str
    source: Path | None
    image: Micrograph | None
    content: Mask | Strokes | None
    trouble: str = ""


def result_kind(folder: Path) -> str:
    """Return what a folder holds: "run", "comparison", "masks" or nothing that is known.

    The zip of a shared run is a run.
    """
    if folder.is_file():
        return "run" if is_run_archive(folder) else ""
    if (folder / RECORD).is_file():
        return "run"
    if (folder / COMPARISON).is_file():
        return "comparison"
    return "masks" if next(_masks(folder), None) is not None else ""


def read_results(folder: Path) -> Iterator[FolderImage]:
    """Yield the images of a run, a comparison or a folder of masks, with what belongs to them.

    Raises
    ------
    ValueError
        When the folder holds none of them.
    """
    kind = result_kind(folder)
    if not kind:
        raise ValueError(
            f'"{folder}" holds neither a run nor masks with their records: choose the folder of a '
            "training or a comparison, or one that predict wrote"
        )
    kinds = {"run": _of_run, "comparison": _of_comparison, "masks": _of_masks}
    found = kinds[kind](folder)
    for number, result in enumerate(found):
        if number == MOST_RESULTS:
            trouble = f"only the first {MOST_RESULTS} images are shown: open others by hand"
            yield FolderImage("", None, None, None, trouble)
            return
        yield result


def _masks(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the masks of a folder that have a record, by name."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.name.endswith(_ENDINGS) and not path.name.startswith("."):
                record = read_provenance(path)
                if record is not None and "run" in record and "image" in record:
                    yield path, record


def _of_masks(folder: Path) -> Iterator[FolderImage]:
    for path, record in _masks(folder):
        name, source = _text(record, "image") or path.stem, _text(record, "source")
        try:
            spec = record_of(NetworkSpec, record.get("network"))
            mask, trouble = _mask(path, _classes(record), spec, Path(_text(record, "run")))
        except ValueError as error:
            mask, trouble = None, f"{path.name}: {error}"
        yield _with_image(name, source, mask, trouble)


def _of_comparison(folder: Path) -> Iterator[FolderImage]:
    comparison = read_comparison(folder)
    record = comparison.record
    for index, entry in enumerate(record.images):
        path = annotation_path(folder, index)
        given = _annotation(path, entry.labels_sha256, record.classes, record.plan.unlabelled)
        yield _with_image(entry.name, entry.source or "", *given)
    name = comparison.findings.suggestion
    seeds = [each for each in comparison.results if each.contestant.name == name]
    if not seeds:
        return
    contestant = max(seeds, key=lambda each: each.mean()).contestant
    sources = {entry.name: entry.source or "" for entry in record.images}
    for index, name in enumerate(record.scored):
        path = prediction_path(folder, contestant, index)
        if path.is_file() and contestant.spec is not None:
            run = folder / contestant.folder
            mask, trouble = _mask(path, record.classes, contestant.spec, run)
            yield _with_image(name, sources.get(name, ""), mask, trouble)


def _mask(path: Path, classes: Classes, spec: NetworkSpec, run: Path) -> tuple[Mask | None, str]:
    from napari_tem_rf.micrographs.reading import read_labels

    try:
        labels = None if path.name.endswith(_STORE) else read_labels(path)
    except (ValueError, OSError) as error:
        return None, f"{path.name}: {error}"
    return Mask(path, labels, classes, spec, run), ""


def _annotation(
    path: Path, sha256: str, classes: Classes, unlabelled: Unlabelled
) -> tuple[Strokes | None, str]:
    from napari_tem_rf.micrographs.reading import read_labels

    try:
        kept = read_labels(path)
        given = labels_as_given(kept, sha256)
    except (ValueError, OSError) as error:
        return None, f"{path.name}: {error}"
    return Strokes(kept if given is None else given, classes, unlabelled), ""


def _of_run(folder: Path) -> Iterator[FolderImage]:
    run = read_run(folder)
    record = run.record
    for entry in record.data:
        path = run.folder / entry.annotation
        given = _annotation(path, entry.labels_sha256, record.classes, record.unlabelled)
        yield _with_image(entry.name, entry.source or "", *given)


def _with_image(
    name: str, source: str, content: Mask | Strokes | None, trouble: str
) -> FolderImage:
    from napari_tem_rf.micrographs.reading import read_micrographs

    path = Path(source) if source else None
    image = None
    if path is None:
        missing = f"{name}: its record names no file of the image: open it, then press Show again"
    elif not path.exists():
        missing = f'{name}: "{path}" is not there any more: open the image, then press Show again'
    else:
        missing = ""
        try:
            found = read_micrographs(path)
            named = [each for each in found if each.name == name]
            image = (named or found)[0]
        except (ValueError, OSError) as error:
            missing = str(error)
    return FolderImage(name, path, image, content, trouble or missing)


def _classes(record: dict[str, Any]) -> Classes:
    """Return the classes of a mask: those of its run, in its colours, or those of its record."""
    with suppress(RunError, OSError):
        return read_run(Path(_text(record, "run"))).record.classes
    named = record.get("classes")
    if not isinstance(named, dict) or not all(isinstance(value, int) for value in named.values()):
        raise RecordError("its record does not name its classes")
    classes = Classes(tuple(named.values()), tuple(map(str, named)))
    check_classes(classes)
    return classes


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) and "\0" not in value else ""
