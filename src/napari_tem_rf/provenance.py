"""Where a mask comes from: written as JSON beside every mask."""

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.records import RecordError, read_json
from napari_tem_rf.run_record import METHODS
from napari_tem_rf.runs import Run, file_hash, library_versions, now
from napari_tem_rf.storage import write_text

__all__ = [
    "file_hash",
    "known_hash",
    "provenance_of",
    "provenance_path",
    "read_provenance",
    "write_provenance",
]


def provenance_path(mask: str | Path) -> Path:
    """Return the path of a mask's provenance: the mask's own with ``.json`` behind."""
    mask = Path(mask)
    return mask.with_name(mask.name + ".json")


def provenance_of(
    run: Run,
    image: str,
    source: str | Path | None,
    pixel_size_nm: tuple[float, float] | None,
    finishing: Finishing | None = None,
) -> dict[str, Any]:
    """Return how a mask of an image was made, as plain JSON values.

    Parameters
    ----------
    run : Run
        The run that predicted it.
    image : str
        The image's name.
    source : str or Path, optional
        The image's file.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel of the image in nm.
    finishing : Finishing, optional
        How the mask was finished, lengths in px of the image; the run's own way when not given.
    """
    record = run.record
    finishing = record.finishing if finishing is None else finishing
    return {
        "image": image,
        "source": None if source is None else str(Path(source).resolve()),
        "source_sha256": None if source is None else file_hash(source),
        "pixel_size_nm": None if pixel_size_nm is None else list(pixel_size_nm),
        "run": str(run.folder.resolve()),
        "weights_sha256": known_hash(run.weights),
        **_method(run),
        **({} if record.adopted is None else {"adopted_from": asdict(record.adopted)}),
        "trained_at_pixel_size_nm": (
            None if record.pixel_size_nm is None else list(record.pixel_size_nm)
        ),
        "classes": dict(zip(record.classes.names, record.classes.prediction_values, strict=True)),
        "seed": None if record.adopted else record.plan.seed,
        "best_epoch": record.best_epoch,
        "cleaning": record.cleaning.to_dict(),
        "normalisation": record.normalisation,
        "finishing": finishing.to_dict() if finishing.changes_something else None,
        "versions": library_versions(),
        "date": now(),
    }


def _method(run: Run) -> dict[str, Any]:
    """Return what predicted: the network, or which baseline."""
    spec = run.record.spec
    if spec is None:
        return {"method": METHODS[run.record.method]}
    return {
        "network": spec.to_dict(),
        "parameters": spec.parameters,
        "receptive_field": receptive_field(spec).to_dict(),
    }


def write_provenance(mask: str | Path, provenance: dict[str, Any]) -> Path:
    """Write the provenance beside a mask and return its path."""
    path = provenance_path(mask)
    write_text(path, json.dumps(provenance, indent=2, allow_nan=False) + "\n")
    return path


def read_provenance(mask: str | Path) -> dict[str, Any] | None:
    """Return the provenance beside a mask; None where there is none that can be read."""
    try:
        values = read_json(provenance_path(mask))
    except RecordError:
        return None
    return values if isinstance(values, dict) else None


def known_hash(path: Path) -> str | None:
    """Return the SHA-256 of a file, calculated again only when the file has changed."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    if path.is_dir():  # a store's own time says nothing of the files inside
        return file_hash(path)
    return _hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash(path: Path, _size: int, _time: int) -> str | None:
    return file_hash(path)
