"""Files that are whole or not there: written aside, brought to the disk, then renamed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["StorageError", "refuse_existing", "write_aside", "write_text"]


class StorageError(OSError):
    """A file or folder could not be written; the text is one sentence for the user."""

    def __str__(self) -> str:
        return str(self.strerror or super().__str__())


def refuse_existing(path: str | Path, overwrite: bool = False) -> None:
    """Raise FileExistsError where ``path`` exists and may not be replaced."""
    if not overwrite and Path(path).exists():
        raise FileExistsError(
            f'"{path}" exists: give another name, or allow overwriting to replace it'
        )


@contextmanager
def write_aside(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; what is there at the end becomes ``path`` in one step.

    A kill, a full disk or an exception at any moment leaves the earlier ``path`` as it was. The
    folder that holds ``path`` is made where it is missing.

    Parameters
    ----------
    path : str or Path
        File, or folder (a zarr store), that is wanted.

    Yields
    ------
    Path
        Path in the same folder with the same ending. The body must make a file or a folder there.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written to.
    """
    path = Path(path)
    aside = path.with_name(f".{path.stem[:80]}-{uuid4().hex[:12]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        _to_disk(aside)
        _rename(aside, path)
    except OSError as error:
        _remove(aside)
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            error.errno,
            f'"{path}" could not be written ({error.strerror or error}): make room or choose '
            "another folder; what was there before is as it was",
        ) from error
    except BaseException:
        _remove(aside)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` in one step."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def _to_disk(path: Path) -> None:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        # Windows refuses to flush a handle that cannot write
        with file.open("r+b") as handle:
            os.fsync(handle.fileno())


def _rename(aside: Path, path: Path) -> None:
    if path.is_dir():
        # a folder that is not empty cannot be replaced by a rename
        earlier = path.with_name(f".{path.stem[:80]}-{uuid4().hex[:12]}-earlier")
        path.rename(earlier)
        try:
            aside.rename(path)
        except OSError:
            earlier.rename(path)
            raise
        shutil.rmtree(earlier, ignore_errors=True)
    else:
        os.replace(aside, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
