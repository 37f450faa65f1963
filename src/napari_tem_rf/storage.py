"""Files that are whole or not there: written aside, brought to the disk, then renamed.

A process that is killed leaves what it was writing under a name that says whose it was; the next
process that writes into the folder sweeps it.
"""

import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

__all__ = [
    "LOCK",
    "StorageError",
    "is_alive",
    "is_empty",
    "is_passing",
    "refuse_existing",
    "remove",
    "sweep",
    "sweep_once",
    "write_aside",
    "write_text",
]

# .<name>~<computer>-<process>-<once><ending>; a store that is being replaced ends in "-earlier"
_ASIDE = re.compile(
    r"\.(?P<name>.*)~(?P<host>[0-9a-f]{8})-(?P<process>\d+)-(?P<once>[0-9a-f]{12})"
    r"(?P<earlier>-earlier)?(\..*)?",
    re.DOTALL,
)
LOCK = ".lock"
"""Name of the file in a folder that says who works there."""

_LONGEST_NAME = 180
"""Bytes of a name beyond which it is cut in the name aside: folders take names of 255 bytes."""

_HELD_SECONDS = 3.0
"""So long a file may be held open by somebody: virus scanners and indexers do, for moments."""

_LONGEST_WINDOWS_PATH = 259

_open: set[Path] = set()
"""What this process is writing right now."""

_swept: set[Path] = set()
"""Folders in which this process looked for what killed ones left."""


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
    """Give a path to write to; what was written there becomes ``path`` in one step.

    A kill, a full disk or an exception at any moment leaves the earlier ``path`` as it was. The
    folder that holds ``path`` is made where it is missing, and what killed processes left in it
    is swept.

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
    aside = _beside(path)
    _open.add(aside)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_once(path.parent)
        yield aside
        _to_disk(aside)
        _put(aside, path)
    except OSError as error:
        _delete(aside)
        if isinstance(error, StorageError):
            raise
        raise StorageError(error.errno, _why_not_written(path, aside, error)) from error
    except BaseException:
        _delete(aside)
        raise
    finally:
        _open.discard(aside)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` in one step."""
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def remove(path: str | Path) -> None:
    """Remove a file or a folder; what goes is gone in one step, and swept if that is cut off."""
    path = Path(path)
    if not path.is_dir():
        _when_free(lambda: path.unlink(missing_ok=True))
        return
    sweep_once(path.parent)
    going = _beside(path)
    _open.add(going)
    try:
        with suppress(FileNotFoundError):  # somebody else was first
            rename(path, going)
            _delete(going)
    finally:
        _open.discard(going)


def sweep(folder: str | Path) -> None:
    """Remove what killed processes of this computer left half written in a folder.

    A store that was being replaced is put back where its successor never came. What a process
    that works, or another computer, has there stays.
    """
    folder = Path(folder)
    try:
        left = [Path(entry) for entry in os.scandir(folder) if entry.name.startswith(".")]
    except OSError:
        return
    for path in left:
        found = _ASIDE.fullmatch(path.name)
        if found is None or found["host"] != _host() or path in _open:
            continue
        if int(found["process"]) != os.getpid() and is_alive(int(found["process"])):
            continue
        name = found["name"]
        whole = len(os.fsencode(name)) < _LONGEST_NAME
        if found["earlier"] and whole and not (folder / name).exists():
            with suppress(OSError):
                path.rename(folder / name)
        else:
            _delete(path)


def is_alive(process: int) -> bool:
    """Return whether a process of this computer is there, by its number."""
    if sys.platform == "win32":
        import ctypes

        # os.kill would end it there
        synchronise, timed_out = 0x0010_0000, 0x102
        handle = ctypes.windll.kernel32.OpenProcess(synchronise, False, process)
        if not handle:
            return False
        try:
            return bool(ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == timed_out)
        finally:
            ctypes.windll.kernel32.CloseHandle(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def is_empty(folder: Path) -> bool:
    """Return whether a folder is not there, or holds only a lock and what kills left aside."""
    return not folder.exists() or all(is_passing(each) for each in folder.iterdir())


def is_passing(path: Path) -> bool:
    """Return whether a file is a lock, or what is written aside: it goes by itself."""
    return path.name == LOCK or _ASIDE.fullmatch(path.name) is not None


def rename(aside: Path, path: Path) -> None:
    """Rename: the one step by which anything comes into being, is replaced, or goes."""
    _when_free(lambda: os.replace(aside, path))


def _when_free(step: Callable[[], None]) -> None:
    """Take a step that Windows refuses while somebody has the file open: wait a little for that."""
    until = time.monotonic() + _HELD_SECONDS
    pause = 0.01
    while True:
        try:
            step()
        except PermissionError:
            if not _on_windows() or time.monotonic() > until:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(2 * pause, 0.25)


def _on_windows() -> bool:
    return os.name == "nt"


def _why_not_written(path: Path, aside: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    as_it_was = "what was there before is as it was"
    # what is written may be a folder: then the name of a file in it was too long
    named = error.filename if isinstance(error.filename, str) else ""
    if _on_windows() and max(len(str(aside.absolute())), len(named)) > _LONGEST_WINDOWS_PATH:
        return (
            f'"{path}" could not be written ({reason}): its path is too long for Windows, which '
            f"takes {_LONGEST_WINDOWS_PATH} letters with all folders; choose a folder nearer to "
            f"the disk's root, or a shorter name; {as_it_was}"
        )
    if _on_windows() and isinstance(error, PermissionError) and path.exists():
        return (
            f'"{path}" could not be written ({reason}): another program has it open, or it may '
            f"not be changed; close it there and try again; {as_it_was}"
        )
    return (
        f'"{path}" could not be written ({reason}): make room or choose another folder; {as_it_was}'
    )


def _beside(path: Path, earlier: bool = False) -> Path:
    """Return a name in the same folder that says whose it is, and of what."""
    whose = f"~{_host()}-{os.getpid()}-{uuid4().hex[:12]}"
    if earlier:
        return path.with_name(f".{_short(path.name)}{whose}-earlier")
    return path.with_name(f".{_short(path.stem)}{whose}{path.suffix}")


def _short(name: str) -> str:
    return os.fsencode(name)[:_LONGEST_NAME].decode("utf-8", "ignore")


@cache
def _host() -> str:
    return sha256(socket.gethostname().encode()).hexdigest()[:8]


def sweep_once(folder: Path) -> None:
    """Sweep a folder if this process has not done so yet."""
    folder = folder.absolute()
    if folder not in _swept:
        _swept.add(folder)
        sweep(folder)


def _to_disk(path: Path) -> None:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    for file in files:
        # Windows refuses to flush a handle that cannot write
        with file.open("r+b") as handle:
            os.fsync(handle.fileno())


def _put(aside: Path, path: Path) -> None:
    if path.is_dir():
        # a folder that is not empty cannot be replaced by a rename
        earlier = _beside(path, earlier=True)
        _open.add(earlier)
        try:
            rename(path, earlier)
            try:
                rename(aside, path)
            except OSError:
                rename(earlier, path)
                raise
            _delete(earlier)
        finally:
            _open.discard(earlier)
    else:
        rename(aside, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
