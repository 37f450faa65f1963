"""``share``: a run as one file, for a colleague or another program."""

from pathlib import Path

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.output import JSON_OPTION, Progress, print_json, tell

_FORMATS = ", ".join(jobs.SHARED_AS)


def share(
    run: Path = typer.Argument(..., help="Run folder, or the zip of a shared run."),
    shared_as: str = typer.Option(
        ...,
        "--as",
        help="run: a zip that this program takes in place of a run's folder; bioimage.io: a model "
        "of the BioImage Model Zoo; onnx: a graph for any ONNX runtime.",
    ),
    out: Path = typer.Option(..., "--out", help="File to write."),
    with_annotation: bool = typer.Option(
        False, "--with-annotation", help="Put the labels that it was trained from into a run."
    ),
    with_images: bool = typer.Option(
        False,
        "--with-images",
        help="Put images and labels into a run; or the first image, instead of a simulated one, as "
        "the sample into a model.",
    ),
    author: list[str] = typer.Option([], "--author", help="Who trained it; may be given again."),
    licence: str = typer.Option(
        None, "--licence", help="Licence of a model, by its SPDX name. CC-BY-4.0 when not given."
    ),
    json: bool = JSON_OPTION,
) -> None:
    """Write a run as one file; without images and annotation unless they are asked for."""
    if shared_as not in jobs.SHARED_AS:
        raise typer.BadParameter(f"{shared_as!r}: give one of {_FORMATS}", param_hint="--as")
    request = jobs.ShareRequest(
        run=run,
        shared_as=shared_as,
        out=out,
        annotation=with_annotation,
        images=with_images,
        authors=tuple(author),
        licence=licence,
    )
    progress = Progress("sharing")
    jobs.share_run(request, report=progress, stopped=lambda: False)
    size = out.stat().st_size
    if json:
        print_json({"file": str(out.resolve()), "as": shared_as, "bytes": size})
        return
    tell(f"{out}: {jobs.SHARED_AS[shared_as][0]}, {size / 1e6:,.2f} MB")
