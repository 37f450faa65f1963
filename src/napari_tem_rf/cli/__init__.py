"""The command line: ``napari-tem-rf COMMAND``."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with 0 (done), 1 (could not be done) or 2 (wrong use)."""
    _fill_closed_streams()
    _write_what_there_are_no_letters_for()
    with _quiet_interrupt():
        from napari_tem_rf.cli.app import run
    run(sys.argv[1:] if arguments is None else arguments)


def _fill_closed_streams() -> None:
    """Open nothing in the place of a closed stdin, stdout or stderr.

    The next file that is opened would have its number, and be written into by libraries that
    believe it to be the terminal; others write to Python's own streams while they are imported.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _write_what_there_are_no_letters_for() -> None:
    """Write out what an output has no letters for, as Windows' when it goes into a file."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with suppress(OSError, ValueError):  # it is closed
                reconfigure(errors="backslashreplace")


@contextmanager
def _quiet_interrupt() -> Iterator[None]:
    """Leave at once on Ctrl-C while the program is loaded: nothing has begun."""

    def leave(number: int, frame: object) -> None:
        os.write(2, b"error: interrupted: nothing was begun\n")
        os._exit(1)

    try:
        before = signal.signal(signal.SIGINT, leave)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
