"""``demo``: the main job on the sample data, from strokes to scored masks and one picture."""

from pathlib import Path

import typer


def demo(
    out: Path = typer.Option(Path("demo_output"), "--out", help="Folder for runs and masks."),
) -> None:
    """Train, predict and score on the sample micrographs, in about a minute."""
    typer.echo(str(out))
