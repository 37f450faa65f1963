"""``evaluate`` and ``effective-field``: how good masks are, and what a network looks at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.inputs import Labels, named_files, named_masks, read_sized
from napari_tem_rf.cli.options import PIXEL_SIZE, check_unlabelled
from napari_tem_rf.cli.output import JSON_OPTION, print_json, print_table, say, tell
from napari_tem_rf.field_files import write_field
from napari_tem_rf.figures.quantities import INNER_SCORES, QUANTITIES
from napari_tem_rf.micrographs.annotation import shape_text
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.runs import read_run

if TYPE_CHECKING:
    from napari_tem_rf.measuring.scores import Scores


def evaluate(
    predictions: list[Path] = typer.Argument(..., help="Mask files or folders."),
    labels: list[Path] = typer.Option(..., "--labels", help="True labels, named like the masks."),
    unlabelled: str = typer.Option(
        "background",
        "--unlabelled",
        help="What a label of 0 means: background (a finished mask) or ignore (not annotated).",
    ),
    json: bool = JSON_OPTION,
) -> None:
    """Score masks against labels: pixels (Dice, IoU), particles (F1, AP, count, diameter)."""
    from napari_tem_rf.measuring.scores import score_images

    check_unlabelled(unlabelled)
    masks = named_masks(predictions)
    truths = named_files(labels, outlines=True)
    names = sorted(masks.keys() & truths.keys())
    if not names:
        raise ValueError(
            f"no mask has the name of labels: masks are {_first(masks)}, labels are "
            f"{_first(truths)}; name each mask like its labels"
        )
    if missing := masks.keys() - truths.keys():
        say(f"{len(missing)} masks without labels are left out: {_first(missing)}")
    if missing := truths.keys() - masks.keys():
        say(f"{len(missing)} labels without a mask are left out: {_first(missing)}")
    given = Labels.of({name: truths[name] for name in names})
    if given.outlines and given.legend.unlabelled == "ignore":
        unlabelled = "ignore"
    pairs = _Pairs([(name, masks[name]) for name in names], given)
    table = score_images(pairs, unlabelled=unlabelled)  # type: ignore[arg-type]
    for note in table.notes:
        say(note)
    if json:
        print_json(table.to_dict())
        return
    columns = ("dice", "iou", "precision", "recall", "object_f1")
    rows = [
        (name, *(f"{getattr(scores, column):.4f}" for column in columns))
        for name, scores in (*zip(table.names, table.images, strict=True), ("mean", table.mean))
    ]
    print_table(("image", *columns), rows)
    tell("")
    _print_particles(table.mean)


def _print_particles(mean: "Scores") -> None:
    """Print the scores of particles, once with and once without those at the border."""
    plain = [name.removesuffix("_inner") for name in INNER_SCORES]
    rows = [
        (what, *(_written(name, getattr(mean, name)) for name in names))
        for what, names in (("all", plain), ("none at the border", INNER_SCORES))
    ]
    print_table(("particles, mean", *(QUANTITIES[name].words for name in plain)), rows)


def _written(score: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:+.1f}" if QUANTITIES[score].is_signed else f"{value:.4f}"


class _Pairs(Sequence[Any]):
    """Predictions and labels, read when asked for, so that a folder never fills the memory."""

    def __init__(self, files: list[tuple[str, Path]], labels: Labels) -> None:
        self.files = files
        self.labels = labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        from napari_tem_rf.measuring.scores import Pair

        name, mask = self.files[index]
        truth = self.labels.files[name]
        prediction = read_labels(mask)
        opened, _ = self.labels.open(name, prediction.shape)
        labels = opened.read(0) if len(opened.shape) == 2 else np.stack(list(opened))
        if prediction.shape != labels.shape:
            raise ValueError(
                f'mask "{mask}" is {shape_text(prediction.shape)} but labels "{truth}" are '
                f"{shape_text(labels.shape)}: "
                "score masks of the same images"
            )
        if prediction.ndim == 3:  # a series is scored as one image of all its frames
            prediction, labels = (v.reshape(-1, v.shape[-1]) for v in (prediction, labels))
        return Pair(name, prediction, labels, read_micrographs(mask)[0].pixel_size_nm)


def _first(names: Any, most: int = 3) -> str:
    listed = sorted(names)
    return ", ".join(listed[:most]) + (
        f" and {len(listed) - most} more" if len(listed) > most else ""
    )


def effective_field(
    run: Path = typer.Argument(..., help="Run folder, or the zip of a shared run."),
    image: Path = typer.Argument(..., help="Image file."),
    at: str = typer.Option(..., "--at", help="Output pixel as ROW,COLUMN."),
    out: Path = typer.Option(None, "--out", help="File for the field: .tif or .png."),
    frame: int = typer.Option(0, "--frame", min=0, help="Frame of a series."),
    pixel_size: float = PIXEL_SIZE,
    json: bool = JSON_OPTION,
) -> None:
    """Measure how strongly each pixel of an image influences one output pixel of a run."""
    from napari_tem_rf.cli.options import integers
    from napari_tem_rf.micrographs.cleaning import clean, standardise

    position = integers(at, "--at")
    if len(position) != 2:
        raise typer.BadParameter(f"{at!r}: give ROW,COLUMN", param_hint="--at")
    opened = read_run(run)
    spec = opened.record.network
    micrograph = read_sized(image, pixel_size)[0]
    raw = micrograph.frame(frame)
    try:
        pixels = standardise(clean(raw, opened.record.cleaning))
    except ValueError as error:
        raise ValueError(f'"{micrograph.name}" has no field to measure: {error}') from error
    binning = opened.record.cleaning.binning
    row, column = position[0] // binning, position[1] // binning
    if not (0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]):
        raise ValueError(
            f'pixel {position} is outside "{micrograph.name}", which is '
            f"{micrograph.image_shape[0]} x {micrograph.image_shape[1]} px: "
            "give a row and column inside"
        )
    measured = jobs.measure_effective_field(
        opened.folder,
        spec,
        pixels,
        (row, column),
        opened.record.plan.seed,
        report=lambda report: None,
        stopped=lambda: False,
    )
    size = opened.record.cleaning.pixel_size_nm(micrograph.pixel_size_nm)
    if out is not None:
        write_field(out, measured.heat, size)
    nm = None if size is None else (size[0] * size[1]) ** 0.5
    document = {
        "at": list(position),
        "total": measured.total,
        "w50_px": measured.w50_px,
        "w95_px": measured.w95_px,
        "w50_nm": None if nm is None else measured.w50_px * nm,
        "w95_nm": None if nm is None else measured.w95_px * nm,
        "origin": list(measured.origin),
        "shape": list(measured.heat.shape),
    }
    if json:
        print_json(document)
        return
    in_nm = (lambda px: f"{px} px") if nm is None else (lambda px: f"{px} px = {px * nm:.3g} nm")
    tell(f"50 % of the influence lies within {in_nm(measured.w50_px)}")
    tell(f"95 % of the influence lies within {in_nm(measured.w95_px)}")
    tell(f"total {measured.total:.4g} logits per standard deviation of grey")
