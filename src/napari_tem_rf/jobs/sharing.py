"""A run for a colleague or another program: one zip, ONNX, or a model of the BioImage Model Zoo."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from napari_tem_rf.jobs.predicting import network_of_run, stamp
from napari_tem_rf.jobs.repeating import own_pixels
from napari_tem_rf.micrographs.cleaning import standardise
from napari_tem_rf.protocol import NoteReport, Reporter, Stopped
from napari_tem_rf.run_archive import IMAGES, pack_run
from napari_tem_rf.run_record import METHODS
from napari_tem_rf.runs import (
    HISTORY,
    RECORD,
    WEIGHTS,
    DataEntry,
    Run,
    RunError,
    RunRecord,
    library_versions,
    read_run,
    record_json,
)
from napari_tem_rf.sharing import (
    BioimageRequest,
    Sample,
    bioimage_files,
    model_card,
    onnx_bytes,
    sample_micrograph,
)
from napari_tem_rf.starting import SIMULATED
from napari_tem_rf.storage import refuse_existing, write_aside

__all__ = ["SHARED_AS", "ShareRequest", "SharedAs", "share_run"]

SharedAs = Literal["run", "bioimage.io", "onnx"]

SHARED_AS: dict[SharedAs, tuple[str, str]] = {
    "run": ("Run, for napari-tem-rf", ".zip"),
    "bioimage.io": ("Model of the BioImage Model Zoo", ".bioimageio.zip"),
    "onnx": ("ONNX, for other programs", ".onnx"),
}
"""What a run is shared as: its name in words, and the usual ending."""

NOBODY = "author not named"
_LICENCE = "CC-BY-4.0"
_NEEDED = {"run": (), "onnx": ("onnx",), "bioimage.io": ("onnx", "yaml")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRequest:
    """What is shared, as what, and what goes along.

    Attributes
    ----------
    run : Path
        A run's folder, or its zip.
    shared_as : {"run", "bioimage.io", "onnx"}
    out : Path
        The file to write.
    annotation : bool
        Whether the labels that it was trained from go along, in a ``run``.
    images : bool
        Whether the images go along too: in a ``run`` all of them, in a model the first one as its
        sample, instead of one that comes with the program.
    authors : tuple of str
        Who trained it.
    licence : str, optional
        SPDX name of the licence of a model; CC-BY-4.0 when not given, and of adopted weights the
        one that was told then.
    overwrite : bool
        Whether a file that is there is replaced.
    """

    run: Path
    shared_as: SharedAs
    out: Path
    annotation: bool = False
    images: bool = False
    authors: tuple[str, ...] = ()
    licence: str | None = None
    overwrite: bool = False


def share_run(request: ShareRequest, *, report: Reporter, stopped: Stopped) -> Path:
    """Write a run as one file, and return its path.

    Raises
    ------
    RunError
        When it is no run, or one that cannot be shared so.
    ValueError
        When a library is missing for it; FileExistsError when the file is there.
    """
    refuse_existing(request.out, request.overwrite)
    run = read_run(request.run)
    weights = run.read_weights()  # whether it can be used at all is said here, not by who gets it
    if request.shared_as != "run" and run.record.spec is None:
        raise RunError(
            f'run "{run.folder}" is a {METHODS[run.record.method]} and no network: it is shared as '
            f"a run, which this program opens, and not as {request.shared_as}"
        )
    if missing := [name for name in _NEEDED[request.shared_as] if find_spec(name) is None]:
        raise ValueError(
            f"{' and '.join(missing)} is not installed, which sharing as {request.shared_as} "
            'needs: pip install "napari-tem-rf[share]"'
        )
    if run.record.is_network:
        network_of_run(request.run, stamp(request.run), "cpu")  # raises where they do not fit
    if request.shared_as == "run":
        _share_as_run(run, request)
    elif request.shared_as == "onnx":
        with write_aside(request.out) as aside:
            aside.write_bytes(onnx_bytes(run.record, weights))
    else:
        _share_as_model(run, weights, request, report)
    return request.out


def _share_as_run(run: Run, request: ShareRequest) -> None:
    record, files = run.record, dict[str, bytes | Path]()
    shared = for_others(record)
    if request.images:
        copied = dict(_images(record))
        files |= {inside: path for inside, path, _ in copied.values()}
        data = (replace(entry, source=copied[entry.pixels_sha256][0]) for entry in shared.data)
        shared = replace(shared, data=tuple(data))
    if request.annotation or request.images:
        kept = [each for entry in record.data for each in (entry.annotation, entry.counted) if each]
        for name in dict.fromkeys(kept):
            if not (run.folder / name).is_file():
                raise RunError(
                    f'run "{run.folder}" is missing its annotation {name}: restore it, or share '
                    "the run without annotation"
                )
            files[name] = run.folder / name
    history = run.folder / HISTORY
    program = f"napari-tem-rf {library_versions().get('napari-tem-rf', '')}".strip()
    weights = run.weights.read_bytes()
    first: dict[str, bytes | Path] = {
        RECORD: record_json(shared).encode(),
        "README.md": model_card(shared, weights).encode(),
        WEIGHTS: run.weights,
        **({HISTORY: history} if history.is_file() else {}),
    }
    pack_run(request.out, request.out.stem, {**first, **files}, program)


def for_others(record: RunRecord) -> RunRecord:
    """Return a record that names no folder of this computer."""
    adopted = record.adopted
    return replace(
        record,
        data=tuple(replace(entry, source=None, labels_source=None) for entry in record.data),
        start=(
            record.start if record.start in (None, SIMULATED) else Path(record.start or "").name
        ),
        adopted=None if adopted is None else replace(adopted, file=Path(adopted.file).name),
    )


def _images(record: RunRecord) -> Iterator[tuple[str, tuple[str, Path, DataEntry]]]:
    """Yield the files of a run's images by the hash of their pixels; each file goes once."""
    names: dict[Path, str] = {}
    for entry in record.data:
        path = None if entry.source is None else Path(entry.source)
        if path is None or not path.is_file():
            where = (
                "its file is not known"
                if path is None
                else f'"{path}" is a folder, which a zip of a run does not take'
                if path.is_dir()
                else f'"{path}" is not there any more'
            )
            raise RunError(
                f'image "{entry.name}" cannot be shared: {where}; share the run without images'
            )
        if path not in names:
            safe = "".join(c if c.isalnum() or c in "._- " else "_" for c in path.name).lstrip(".")
            # small and capital letters are the same to Windows and the Mac
            taken = {each.casefold() for each in names.values()}
            inside, number = f"{IMAGES}/{safe}", 1
            while inside.casefold() in taken:
                number += 1
                inside = f"{IMAGES}/{number}_{safe}"
            names[path] = inside
        yield entry.pixels_sha256, (names[path], path, entry)


def _share_as_model(
    run: Run, weights: dict[str, NDArray[Any]], request: ShareRequest, report: Reporter
) -> None:
    from napari_tem_rf.learning.prediction import predict
    from napari_tem_rf.learning.tensor_files import torch_file

    record = for_others(run.record)
    own = own_pixels(run) if request.images else None
    pixels = sample_micrograph(record, own)
    network = network_of_run(request.run, stamp(request.run), "cpu")
    predicted = predict(network, standardise(pixels), probabilities=True)
    assert predicted is not None
    assert predicted.probabilities is not None
    sample = Sample(pixels, predicted.probabilities)
    versions = library_versions()
    torch_version = versions["torch"].partition("+")[0]
    licence = _licence(record, request, report)
    if not request.authors:
        report(
            NoteReport(
                "no author is named in the model: write one into its rdf.yaml, or share it on the "
                "command line with --author"
            )
        )
    files = bioimage_files(
        BioimageRequest(
            record=record,
            torch_weights=torch_file(weights),
            onnx=onnx_bytes(record, weights, labels=False),
            torch_version=torch_version,
            sample=sample,
            weights=run.weights.read_bytes(),
            authors=request.authors or (NOBODY,),
            licence=licence,
        )
    )
    with write_aside(request.out) as aside, zipfile.ZipFile(aside, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _licence(record: RunRecord, request: ShareRequest, report: Reporter) -> str:
    if request.licence is not None:
        return request.licence
    if record.adopted is None:
        report(
            NoteReport(
                f"the model is shared under {_LICENCE}: another licence is named in its rdf.yaml, "
                "or on the command line with --licence"
            )
        )
        return _LICENCE
    if not record.adopted.licence:
        report(
            NoteReport(
                "no licence is named in the model, because that of the adopted weights is not "
                "known: name it with --licence"
            )
        )
    return record.adopted.licence
