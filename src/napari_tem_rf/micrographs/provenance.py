"""How a result was made, in a JSON file beside it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.storage import refuse_existing, write_text

__all__ = ["file_sha256", "library_versions", "provenance_path", "write_provenance"]

_LIBRARIES = (
    "napari-tem-rf",
    "napari",
    "numpy",
    "rosettasciio",
    "safetensors",
    "scikit-image",
    "scipy",
    "tifffile",
    "torch",
    "zarr",
)


def provenance_path(output: str | Path) -> Path:
    """Return where the provenance of an output is: ``mask.tif`` -> ``mask.tif.json``."""
    output = Path(output)
    return output.with_name(output.name + ".json")


def write_provenance(
    output: str | Path,
    *,
    source: str | Path | None,
    pixel_size_nm: tuple[float, float] | None = None,
    run: str | Path | None = None,
    network: Mapping[str, Any] | None = None,
    receptive_field: Mapping[str, Any] | None = None,
    seed: int | None = None,
    cleaning: Cleaning | None = None,
    more: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write how an output was made beside it.

    Parameters
    ----------
    output : str or Path
        The mask, table or other file that was made.
    source : str or Path or None
        The image's file; its SHA-256 is taken here. None for an image that came from no file.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    run : str or Path, optional
        The run folder that predicted.
    network, receptive_field : mapping, optional
        As plain JSON values.
    seed : int, optional
        Seed of the training.
    cleaning : Cleaning, optional
        What was done to the pixels.
    more : mapping, optional
        Further entries as plain JSON values; they must not be named as the others.
    overwrite : bool
        Replace what is there.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is not set.
    """
    record: dict[str, Any] = {
        "output": Path(output).name,
        "source": None if source is None else _source(Path(source)),
        "pixel_size_nm": None if pixel_size_nm is None else list(pixel_size_nm),
        "run": None if run is None else str(run),
        "network": None if network is None else dict(network),
        "receptive_field": None if receptive_field is None else dict(receptive_field),
        "seed": seed,
        "cleaning": None if cleaning is None else cleaning.to_dict(),
        "versions": library_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    taken = set(record) & set(more or {})
    if taken:
        raise ValueError(f"the entries {', '.join(sorted(taken))} have a place of their own")
    path = provenance_path(output)
    refuse_existing(path, overwrite)
    write_text(path, json.dumps({**record, **(more or {})}, indent=2, ensure_ascii=False) + "\n")
    return path


def library_versions() -> dict[str, str]:
    """Return the versions of this program and of the libraries that results depend on."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, or of a folder's file names and contents, in hexadecimal."""
    path = Path(path)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    together = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        together.update(file_path.relative_to(path).as_posix().encode() + b"\0")
        together.update(bytes.fromhex(file_sha256(file_path)))
    return together.hexdigest()


def _source(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"name": path.name, "path": str(path), "sha256": None}
    return {"name": path.name, "path": str(path.resolve()), "sha256": file_sha256(path)}
