"""The commands together, and what every command does alike: JSON, messages, exit codes."""

from collections.abc import Callable, Sequence
from importlib.metadata import version

import typer

from napari_tem_rf.cli import (
    adopting,
    comparing,
    demo,
    evaluating,
    files,
    movies,
    networks,
    predicting,
    sharing,
    training,
)
from napari_tem_rf.cli.output import fail
from napari_tem_rf.engine import EngineError

app = typer.Typer(
    name="napari-tem-rf",
    help="Segment TEM images with networks chosen by receptive field and complexity.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("info", files.info),
    ("networks", networks.networks),
    ("field", networks.field),
    ("train", training.train),
    ("predict", predicting.predict),
    ("evaluate", evaluating.evaluate),
    ("compare", comparing.compare),
    ("effective-field", evaluating.effective_field),
    ("measure", files.measure),
    ("track", movies.track),
    ("drift", movies.drift),
    ("share", sharing.share),
    ("adopt", adopting.adopt),
    ("demo", demo.demo),
)
_OF_SEVERAL = ("--labels", "--images")
"""Options behind which several files may follow."""

for _name, _command in _COMMANDS:
    app.command(_name)(_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("napari-tem-rf"))
        raise typer.Exit


@app.callback()
def _options(
    show_version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Segment TEM images with networks chosen by receptive field and complexity."""


def run(arguments: Sequence[str]) -> None:
    """Run a command and leave with 0 (done), 1 (could not be done) or 2 (wrong use)."""
    try:
        app(args=spread_labels(arguments), prog_name="napari-tem-rf")
    except KeyboardInterrupt:
        fail("interrupted: what was complete is kept")
    except (
        ValueError,
        OSError,
        MemoryError,
        ArithmeticError,
        RuntimeError,
        EngineError,
    ) as error:
        fail(_sentence(error))


def spread_labels(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``--labels A B`` written out as ``--labels A --labels B``.

    After images several labels may follow; before them ``--labels`` takes one.
    ``--images`` does the same.
    """
    flags = _flags()
    spread: list[str] = []
    waiting = list(arguments)
    positional = 0
    while waiting:
        argument = waiting.pop(0)
        if argument not in _OF_SEVERAL:
            previous = spread[-1] if spread else ""
            is_value = previous.startswith("--") and "=" not in previous and previous not in flags
            positional += not argument.startswith("-") and not is_value
            spread.append(argument)
            continue
        # the command itself is the first positional argument
        many = positional > 1
        values: list[str] = []
        while waiting and not waiting[0].startswith("--") and (many or not values):
            values.append(waiting.pop(0))
        if not values:
            spread.append(argument)  # the parser says what is missing
        for value in values:
            spread += [argument, value]
    return spread


def _flags() -> set[str]:
    """Return the options of all commands that take no value."""
    commands = typer.main.get_group(app).commands.values()
    return {
        name
        for command in commands
        for option in command.params
        if getattr(option, "is_flag", False)
        for name in (*option.opts, *option.secondary_opts)
    }


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f'"{error.filename}": {error.strerror}: check the path and its permissions'
    text = " ".join(str(error).split())
    return text or f"{type(error).__name__} without a message"
