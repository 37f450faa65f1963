"""From a run back to the training that made it: the same images, labels, network, plan, seed."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.jobs.request import TrainRequest
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.reading import (
    find_images,
    image_name,
    read_labels,
    read_micrographs,
)
from napari_tem_rf.runs import (
    HISTORY,
    WEIGHTS,
    DataEntry,
    Run,
    RunError,
    array_hash,
    file_hash,
    labels_as_given,
    library_versions,
    run_folder,
)
from napari_tem_rf.starting import SIMULATED, start_file


@dataclass(frozen=True, slots=True, eq=False)
class Repetition:
    """How a run is trained again.

    Attributes
    ----------
    request : TrainRequest
        The training, into another folder.
    notes : tuple of str
        Sentences for the user: why the weights may come out differently.
    """

    request: TrainRequest
    notes: tuple[str, ...] = ()


def repetition(run: Run, folder: str | Path, files: Sequence[str | Path] = ()) -> Repetition:
    """Return the training that repeats a run.

    Everything comes from the run's own folder but the pixels of its images, which are looked up
    by their hash in the files that the run names, or in those given.

    Parameters
    ----------
    run : Run
        A run whose training has ended.
    folder : str or Path
        Folder of the new run.
    files : sequence of str or Path, optional
        Image files or folders, if the images are no longer where they were.

    Returns
    -------
    Repetition

    Raises
    ------
    RunError
        When the run has not ended, or its images, labels or first weights are gone or have changed.
    """
    record = run.record
    spec = record.network
    if record.adopted is not None:
        raise RunError(
            f'run "{run.folder}" was adopted from "{record.adopted.file}" and not trained here: '
            "there is no training to repeat; start one from it with --start"
        )
    if record.state == "training" or not record.steps:
        raise RunError(
            f'run "{run.folder}" has not ended: resume it first, there is nothing to repeat yet'
        )
    found = _find_pixels(run, [Path(file) for file in files])
    images, sources = [], {}
    for entry in record.data:
        pixels, source = found[entry.pixels_sha256]
        part = None if entry.counted is None else read_labels(_kept(run, entry.counted))
        sources[entry.name] = str(source.resolve())
        images.append(
            LabelledImage(
                name=entry.name,
                pixels=pixels,
                labels=_labels(run, entry),
                pixel_size_nm=entry.pixel_size_nm,
                group=entry.group,
                counted=None if part is None else part > 0,
            )
        )
    classes = record.classes
    request = TrainRequest(
        run=Path(folder),
        images=tuple(images),
        spec=spec,
        # a clock would end it elsewhere
        plan=replace(
            record.plan,
            seconds=None,
            steps=record.steps,
            device=record.device or record.plan.device,  # type: ignore[arg-type]
        ),
        unlabelled=record.unlabelled,
        labels_are=record.labels_are,
        cleaning=record.cleaning,
        class_names=dict(zip(classes.values, classes.names, strict=True)),
        class_colors=dict(zip(classes.values, classes.colors, strict=False)),
        start=_start(run),
        gap_px=record.gap_px,
        threads=record.threads or None,
        finishing=record.finishing,
        sources=sources,
        label_sources={
            entry.name: entry.labels_source
            for entry in record.data
            if entry.labels_source is not None
        },
    )
    return Repetition(request, tuple(_doubts(run)))


def own_pixels(run: Run) -> NDArray[Any]:
    """Return the first of the images that a run was trained on, looked up by its hash.

    Raises
    ------
    RunError
        When there is none, or it is gone or has changed.
    """
    if not run.record.data:
        raise RunError(f'run "{run.folder}" names no image that it was trained on')
    first = replace(run.record, data=run.record.data[:1])
    ((pixels, _),) = _find_pixels(replace(run, record=first), []).values()
    return pixels


def largest_difference(run: Run, other: Run) -> float:
    """Return the largest absolute difference between the weights of two runs of one network."""
    first, second = run.read_weights(), other.read_weights()
    if first.keys() != second.keys():
        raise RunError(
            f'run "{run.folder}" and run "{other.folder}" have other networks: their weights '
            "cannot be compared"
        )
    return max(
        float(np.abs(value.astype(np.float64) - second[name].astype(np.float64)).max(initial=0))
        for name, value in first.items()
    )


def _find_pixels(run: Run, files: list[Path]) -> dict[str, tuple[NDArray[Any], Path]]:
    """Return the pixels of each of the run's images and the file they are in, by their hash."""
    missing = {entry.pixels_sha256: entry for entry in run.record.data}
    found: dict[str, tuple[NDArray[Any], Path]] = {}
    others: dict[str, Path] = {}  # images that are not the run's, by the name of their file
    for path in find_images(files) if files else _sources(run):
        for pixels in _frames(path):
            digest = array_hash(pixels)
            if missing.pop(digest, None) is not None:
                found[digest] = pixels, path
        others[image_name(path)] = path
        if not missing:
            return found
    entry = next(iter(missing.values()))
    more = f" (and {len(missing) - 1} more)" * (len(missing) > 1)
    same_name = others.get(entry.name) or others.get(_file_stem(entry))
    if same_name is not None:
        raise RunError(
            f'image "{entry.name}"{more} in "{same_name}" does not have the pixels that run '
            f'"{run.folder}" was trained from (SHA-256 {entry.pixels_sha256[:12]}...): '
            "give the unchanged file, or train a new run"
        )
    raise RunError(
        f'image "{entry.name}"{more} of run "{run.folder}" is in none of the '
        f"{len(others)} files looked at: give the folder of its images too"
    )


def _sources(run: Run) -> Iterable[Path]:
    sources = []
    for entry in run.record.data:
        if entry.source is None:
            raise RunError(
                f'run "{run.folder}" does not know the file of its image "{entry.name}": '
                "give its images too"
            )
        path = Path(entry.source)
        if not path.exists():
            raise RunError(
                f'image "{entry.name}" of run "{run.folder}" is no longer at "{path}": '
                "give the images where they are now"
            )
        sources.append(path)
    return dict.fromkeys(sources)


def _file_stem(entry: DataEntry) -> str:
    return "" if entry.source is None else image_name(entry.source)


def _frames(path: Path) -> Iterable[NDArray[Any]]:
    for micrograph in read_micrographs(path):
        for index in range(micrograph.frames):
            yield micrograph.frame(index)


def _kept(run: Run, name: str) -> Path:
    path = run.folder / name
    if not path.is_file():
        raise RunError(f'run "{run.folder}" is missing its file {name}: restore it from a copy')
    return path


def _labels(run: Run, entry: DataEntry) -> NDArray[Any]:
    """Return an image's labels as they were given, from the run's own copy."""
    values = read_labels(_kept(run, entry.annotation))
    labels = labels_as_given(values, entry.labels_sha256)
    if labels is not None:
        return labels
    raise RunError(
        f'the labels of image "{entry.name}" in run "{run.folder}" ({entry.annotation}) are not '
        "those that it was trained from: restore the file from a copy"
    )


def _start(run: Run) -> str | Path | None:
    """Return what the training started from, which must be unchanged; None for new weights."""
    record = run.record
    if record.start is None:
        return None
    if record.start == SIMULATED:
        if file_hash(start_file(SIMULATED, record.network)) != record.start_sha256:
            then = record.versions.get("napari-tem-rf", "it was made with")
            raise RunError(
                f'run "{run.folder}" began with weights of simulated micrographs that this version '
                f"does not bring: repeat it with version {then}"
            )
        return SIMULATED
    start = Path(record.start)
    digest = file_hash(run_folder(start) / WEIGHTS)
    if digest is None:
        raise RunError(
            f'run "{run.folder}" began with the weights of run "{start}", which is not there any '
            "more: restore that folder"
        )
    if record.start_sha256 is not None and digest != record.start_sha256:
        raise RunError(
            f'run "{run.folder}" began with the weights of run "{start}", which was trained on '
            "since: restore that folder as it was"
        )
    return start


def _doubts(run: Run) -> Iterable[str]:
    """Yield why the weights of a repetition may differ from the run's."""
    record = run.record
    here = library_versions()
    changed = [
        f"{name} {version} (here {here.get(name, 'missing')})"
        for name, version in record.versions.items()
        if name != "napari" and here.get(name) != version
    ]
    if changed:
        yield f"the run was trained with {', '.join(changed)}: the weights may differ by roundings"
    if record.device not in ("", "cpu"):
        yield f"the run was trained on {record.device}: the weights may differ by roundings"
    if not record.threads and record.device == "cpu":
        yield (
            "the run does not say how many threads computed it: with another number the weights "
            "differ by roundings"
        )
    lengths = np.diff([0, *_steps(run)])
    if len(lengths) > 2 and (short := np.flatnonzero(lengths[:-1] < lengths.max())).size:
        yield (
            f"the run was stopped within epoch {short[0] + 1} and went on later: it is repeated "
            "without that break, so its weights will differ"
        )


def _steps(run: Run) -> list[int]:
    """Return the steps at the end of each epoch; empty where there is no history."""
    try:
        with (run.folder / HISTORY).open(encoding="utf-8", newline="") as file:
            return [int(line["steps"]) for line in csv.DictReader(file)]
    except (OSError, KeyError, ValueError):
        return []
