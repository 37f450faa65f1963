"""``adopt``: somebody's weights of a network of this family -> a run."""

from pathlib import Path
from typing import Literal

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.options import DILATIONS, integers
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, say, tell


def adopt(
    file: Path = typer.Argument(
        ..., help="Weights: safetensors, a state dict written by torch.save (.pt), or HDF5 (.h5)."
    ),
    out: Path = typer.Option(..., "--out", help="Run folder to make."),
    pools: str = typer.Option(
        None, "--pools", help="Sizes of its max pools, the first level's first, as 2,2,2,2."
    ),
    dilations: str = DILATIONS,
    pixel_size: str = typer.Option(
        None,
        "--pixel-size",
        help="Pixel size in nm of the images that it was trained on, or unknown.",
    ),
    normalisation: str = typer.Option(
        None,
        "--normalisation",
        help="What it was shown: standardised (each image with mean 0 and standard deviation 1), "
        "or the usual mean and standard deviation of its images, as 0.45,0.12.",
    ),
    classes: str = typer.Option(
        None,
        "--classes",
        help="Names of its outputs in their order, as background,particle. The one called "
        "background is it; when none is, the first.",
    ),
    part: str = typer.Option(
        None, "--part", help="Which weights, where the file is a checkpoint that holds several."
    ),
    skip_first: bool = typer.Option(
        True,
        "--skip-first/--below-first",
        help="Which channels a decoder block sees first: those of its own level, or those that "
        "come up from below.",
    ),
    norm_epsilon: float = typer.Option(
        None,
        "--norm-epsilon",
        min=0,
        help="What its batch norms add to the variance: 0.00001 unless given (0.001 of Keras).",
    ),
    licence: str = typer.Option(
        "", "--licence", help="Licence under which the weights may be passed on, as MIT."
    ),
    source: str = typer.Option("", "--source", help="Who published the weights, and where."),
    json: bool = JSON_OPTION,
) -> None:
    """Make a run of weights of the same family that were trained elsewhere."""
    request = jobs.AdoptRequest(
        file=file,
        run=out,
        pools=None if pools is None else integers(pools, "--pools"),
        dilations=() if dilations is None else integers(dilations, "--dilations"),
        pixel_size_nm=_pixel_size(pixel_size),
        sees=_seen(normalisation),
        class_names=() if classes is None else tuple(each.strip() for each in classes.split(",")),
        part=part,
        skip_first=skip_first,
        norm_epsilon=norm_epsilon,
        licence=licence,
        source=source,
    )
    progress = Progress("adopting")
    try:
        record = jobs.adopt_weights(request, report=progress, stopped=lambda: False)
    except jobs.UntoldError as error:
        for question in error.questions:
            say(question)
        raise ValueError(
            f'"{file}" holds a network, but not all that is needed to use it: answer the '
            f"question{'s' * (len(error.questions) > 1)} above by option"
            f"{'s' * (len(error.questions) > 1)}"
        ) from None
    if json:
        print_json({"run": str(out.resolve()), **record.summary()})
        return
    spec = record.network
    tell(
        f'{out}: {spec}, {spec.parameters:,} parameters, adopted from "{file}"; '
        "it has no scores until masks of it are evaluated"
    )


def _pixel_size(text: str | None) -> tuple[float, float] | Literal["unknown"] | None:
    if text is None:
        return None
    if text == "unknown":
        return "unknown"
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is neither a size in nm above 0 nor unknown", param_hint="--pixel-size"
        )
    return size, size


def _seen(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    if text in ("standardised", "standardized", "z-score", "zscore"):
        return 0.0, 1.0
    try:
        mean, deviation = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither standardised nor a mean and a standard deviation, as 0.45,0.12",
            param_hint="--normalisation",
        ) from None
    if not (0 < deviation < float("inf") and abs(mean) < float("inf")):
        raise typer.BadParameter(
            f"{text!r}: the mean must be finite and the standard deviation above 0",
            param_hint="--normalisation",
        )
    return mean, deviation
