"""A comparison is a folder of runs and baselines; its record says what is compared on what."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_tem_rf.comparison.findings import Findings, findings
from napari_tem_rf.comparison.holdout import HeldOut
from napari_tem_rf.comparison.plan import ComparisonPlan, Contestant
from napari_tem_rf.comparison.results import Result, read_result
from napari_tem_rf.micrographs.annotation import Classes, LabelledImage
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.records import check_words, is_number, read_json, record_of
from napari_tem_rf.run_record import ImageEntry, check_classes, check_image
from napari_tem_rf.runs import RECORD as RUN_RECORD, RunError, array_hash, library_versions, now
from napari_tem_rf.storage import is_empty, write_text

__all__ = [
    "Comparison",
    "ComparisonRecord",
    "annotation_path",
    "open_comparison",
    "read_comparison",
]

RECORD = "comparison.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """What ``comparison.json`` holds.

    Attributes
    ----------
    plan : ComparisonPlan
    classes : Classes
    images : tuple of ImageEntry
        All labelled images, trained on or held out.
    scored : tuple of str
        Names of the images that are scored, in the order of the results.
    split : dict
        ``kind``, ``held_out``, ``gap_px``, ``sentence``, ``note`` and ``sha256`` of the split.
    created : str
    versions : dict of str to str
    format : int
    """

    plan: ComparisonPlan
    classes: Classes
    images: tuple[ImageEntry, ...]
    scored: tuple[str, ...]
    split: dict[str, Any]
    created: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def contestants(self) -> tuple[Contestant, ...]:
        """All that is compared, in the order in which it is trained."""
        return tuple(self.plan.contestants(len(self.classes.values)))

    @property
    def pixel_size_nm(self) -> float | None:
        """Side of a pixel in nm where all images have the same; None otherwise."""
        sizes = {image.pixel_size_nm for image in self.images}
        size = next(iter(sizes))
        return (size[0] * size[1]) ** 0.5 if len(sizes) == 1 and size is not None else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison's folder, what it compares, and what is known so far.

    Attributes
    ----------
    folder : Path
    record : ComparisonRecord
    results : tuple of Result
        Of the contestants that are scored, in the order of the record.
    left_out : tuple of Result
        Baselines that cannot be applied to these images; their notes say why.
    failed : tuple of (str, str)
        Name and reason of those that could not be done this time.
    """

    folder: Path
    record: ComparisonRecord
    results: tuple[Result, ...]
    left_out: tuple[Result, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()

    @property
    def missing(self) -> tuple[Contestant, ...]:
        """The contestants that are not done."""
        done = {each.contestant.folder for each in (*self.results, *self.left_out)}
        return tuple(each for each in self.record.contestants if each.folder not in done)

    @property
    def findings(self) -> Findings:
        """What the results say."""
        return findings(self.results, self.record.plan.decides)

    def runs(self, name: str) -> tuple[Path, ...]:
        """Return the run folders of a network's seeds, or of a baseline, as far as they are done.

        Baselines of comparisons that version 0.1.0 made are no runs.
        """
        folders = (
            self.folder / result.contestant.folder
            for result in self.results
            if result.contestant.name == name
        )
        return tuple(folder for folder in folders if (folder / RUN_RECORD).is_file())


def annotation_path(folder: Path, index: int) -> Path:
    """Return where the labels of an image, by its place in the record, are kept."""
    return folder / "annotations" / f"{index:04d}.tif"


def read_comparison(folder: str | Path) -> Comparison:
    """Read a comparison's folder.

    Raises
    ------
    RunError
        When it is not a comparison, is damaged, or a newer version wrote it.
    """
    folder = Path(folder)
    path = folder / RECORD
    if not path.is_file():
        raise RunError(f'"{folder}" is not a comparison: it has no {RECORD}')
    try:
        values = read_json(path)
        form = values.get("format", 0) if isinstance(values, dict) else 0
        if is_number(form) and form > FORMAT:
            raise RunError(
                f'comparison "{folder}" has format {form!s:.20} but this version reads up '
                f"to {FORMAT}: update napari-tem-rf"
            )
        record = record_of(ComparisonRecord, _completed(values))
        _check_record(record)
    except RunError:
        raise
    except ValueError as error:
        raise RunError(_damaged(path, error)) from error
    found = [read_result(folder, each, record.scored) for each in record.contestants]
    done = [each for each in found if each is not None]
    return Comparison(
        folder,
        record,
        tuple(each for each in done if not each.left_out),
        tuple(each for each in done if each.left_out),
    )


def _completed(values: Any) -> Any:
    """Return the values of a record; version 0.1.0 says nothing of finishing and did none."""
    plan = values.get("plan") if isinstance(values, dict) else None
    if not isinstance(plan, dict) or "finish" in plan:
        return values
    return {**values, "plan": {**plan, "finish": False}}


def _damaged(path: Path, error: Exception) -> str:
    return f'"{path}" is damaged ({error}): restore it, or compare anew in another folder'


def _check_record(record: ComparisonRecord) -> None:
    """Raise ValueError where the fields of a record contradict each other or pass a bound."""
    check_classes(record.classes)
    names = [image.name for image in record.images]
    if not names or len(set(names)) < len(names):
        raise ValueError("images: there must be one at least, each with a name of its own")
    for image in record.images:
        check_image(image.name, image.shape, image.pixel_size_nm)
    if not record.scored or not set(record.scored) <= set(names):
        raise ValueError("scored: it must name images of the comparison")
    check_words(record.split, "split", ("kind", "sentence", "note", "sha256"))
    if not all(isinstance(record.split.get(name), str) for name in ("sentence", "sha256")):
        raise ValueError("split: its sentence and sha256 are missing")
    if not is_number(record.split.get("gap_px", 0)):
        raise ValueError(f"split.gap_px is {record.split['gap_px']!r:.100}: it must be a number")


def open_comparison(
    folder: Path,
    plan: ComparisonPlan,
    images: Sequence[LabelledImage],
    held_out: HeldOut,
    sources: dict[str, str],
    label_sources: dict[str, str],
) -> Comparison:
    """Make a comparison's folder, or open an existing one to continue it.

    Raises
    ------
    RunError
        When the folder holds something else, or a comparison of other data or another training.
    """
    entries = tuple(
        ImageEntry(
            name=image.name,
            group=image.group or image.name,
            shape=(image.pixels.shape[0], image.pixels.shape[1]),
            pixels_sha256=array_hash(image.pixels),
            labels_sha256=array_hash(image.labels),
            pixel_size_nm=image.pixel_size_nm,
            source=sources.get(image.name),
            labels_source=label_sources.get(image.name),
        )
        for image in images
    )
    record = ComparisonRecord(
        plan,
        held_out.classes,
        entries,
        tuple(image.name for image in held_out.scored),
        {
            "kind": held_out.kind,
            "held_out": list(held_out.names),
            "gap_px": held_out.gap_px,
            "sentence": held_out.sentence,
            "note": held_out.note,
            "sha256": held_out.sha256,
        },
        created=now(),
        versions=library_versions(),
    )
    if (folder / RECORD).is_file():
        earlier = read_comparison(folder).record
        _check_same(folder, earlier, record)
        record = replace(record, created=earlier.created)
    elif folder.is_file() or not is_empty(folder):
        raise RunError(
            f'"{folder}" exists and is not a comparison: name a folder that does not exist yet; '
            "nothing is overwritten"
        )
    # the record goes first: whatever a kill leaves can then be told from what others put there
    text = json.dumps(asdict(record), indent=2, allow_nan=False)
    write_text(folder / RECORD, text + "\n")
    for index, image in enumerate(images):
        path = annotation_path(folder, index)
        if not path.exists():
            write_labels(path, image.labels, image.pixel_size_nm)
    return read_comparison(folder)


def _check_same(folder: Path, earlier: ComparisonRecord, record: ComparisonRecord) -> None:
    """Networks, seeds and baselines may be added; all else but ``decides`` is what scores mean."""

    def data(each: ComparisonRecord) -> list[tuple[str, str, str]]:
        return sorted((i.name, i.pixels_sha256, i.labels_sha256) for i in each.images)

    def settings(each: ComparisonRecord) -> dict[str, Any]:
        values = asdict(each.plan)
        for free in ("specs", "seeds", "baselines", "class_names", "class_colors", "decides"):
            del values[free]
        values.update({f"training: {k}": v for k, v in values.pop("training").items()})
        # where it is trained is not part of what is trained, and each run has its own seed
        for free in ("device", "seed"):
            del values[f"training: {free}"]
        return values

    if data(earlier) != data(record):
        raise RunError(
            f'comparison "{folder}" was begun with other images or labels: to continue give the '
            "same; for others name another folder"
        )
    then, wanted = settings(earlier), settings(record)
    for name, value in wanted.items():
        if then[name] != value:
            raise RunError(
                f'comparison "{folder}" was begun with {name} {then[name]}, not {value}: to '
                "continue give the same; for others name another folder"
            )
    if earlier.split["sha256"] != record.split["sha256"]:
        raise RunError(
            f'comparison "{folder}" holds out other pixels: what is compared now needs a gap of '
            f"{record.split['gap_px']} px, what was before {earlier.split['gap_px']} px; name "
            "another folder"
        )
