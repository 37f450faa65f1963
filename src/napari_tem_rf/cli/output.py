"""What a command prints: one JSON document or text on stdout, the rest on stderr."""

import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from napari_tem_rf.protocol import EpochReport, NoteReport, ProgressReport, Report

JSON_OPTION = typer.Option(False, "--json", help="Print one JSON document on stdout.")


def fail(sentence: str) -> NoReturn:
    """Say why the command could not be done and leave with 1."""
    say(f"error: {sentence}")
    raise SystemExit(1)


def say(sentence: str) -> None:
    """Print a message on stderr."""
    typer.echo(plain(sentence), err=True)


def tell(line: str) -> None:
    """Print a line of text on stdout."""
    typer.echo(plain(line))


def plain(text: str) -> str:
    r"""Return a text that a terminal prints and does not obey.

    Titles and names come from files of anybody: escape codes, line breaks, marks that turn the
    direction of writing and halves of characters are written out, as ``\x1b``.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def print_json(document: Any) -> None:
    """Print a document on stdout; numbers that are not finite become null."""
    # what is not ASCII is escaped
    typer.echo(json.dumps(_finite(document), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a header, columns aligned."""
    cells = [[plain(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        tell(line.rstrip())


class Progress:
    """Prints reports on stderr: one moving line in a terminal, a line an epoch elsewhere."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.terminal = sys.stderr.isatty()
        self.shown = 0.0
        self.open_line = False

    def __call__(self, report: Report) -> None:
        """Show a report."""
        if isinstance(report, NoteReport | EpochReport):
            self.line(report.sentence)
        elif isinstance(report, ProgressReport) and self.terminal:
            now = time.monotonic()
            if now - self.shown < 0.2 and report.fraction < 1:
                return
            self.shown = now
            left = "" if report.seconds_left is None else f", {report.seconds_left:.0f} s left"
            sys.stderr.write(f"\r\x1b[K{plain(self.title)} {report.fraction:4.0%}{left}")
            sys.stderr.flush()
            self.open_line = True

    def line(self, sentence: str) -> None:
        """Print a sentence on a line of its own."""
        self.close()
        say(sentence)

    def close(self) -> None:
        """End the moving line."""
        if self.open_line:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.open_line = False
