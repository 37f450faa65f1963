"""Who works in a folder: a lock that ends with its process, and a sentence for who comes second.

The lock is the system's on an open file (``flock``, which on NFS holds between computers; on
Windows ``msvcrt``), so that a process that dies gives it back. The file says who holds it, and is
removed at the end; one that a killed process left hinders nobody.
"""

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Self

from napari_tem_rf.storage import LOCK, StorageError

__all__ = ["BusyError", "Lock", "locked", "wait_for"]

_LARGEST = 4096
_BEHIND = 1 << 30
"""Byte that Windows locks: others may read what stands before it."""

# file systems without locks: work is done as if nobody else were there
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}
_ASK_SECONDS = 0.2


class BusyError(ValueError):
    """Somebody else works there; the message says who, and since when."""


class Lock:
    """A lock on a folder, or on one file that is being made in a folder.

    Parameters
    ----------
    path : Path
        Folder or file that is locked. The lock of a folder is the file ``.lock`` in it, that of a
        file ``.<name>.lock`` beside it; the folder is made where it is missing.
    work : str
        What is done there, for the sentence that others read: "training".

    Notes
    -----
    It belongs to the object: a second one on the same path is refused in the same process too.
    """

    def __init__(self, path: Path, work: str, *, is_folder: bool = True) -> None:
        self.path = path
        self._work = work
        self.file = path / LOCK if is_folder else path.with_name(f".{path.name[-200:]}.lock")
        self._handle: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether it is held by this object."""
        return self._handle is not None

    def acquire(self) -> Self:
        """Take the lock.

        Raises
        ------
        BusyError
            When it is held; the message says by whom.
        StorageError
            When the folder cannot be written to.
        """
        while self._handle is None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise StorageError(
                    error.errno,
                    f'"{self.file.parent}" cannot be written to ({error.strerror}): choose another '
                    "folder, or ask for the right to write there",
                ) from error
            try:
                _lock(handle)
            except BlockingIOError:
                os.close(handle)
                raise BusyError(self._sentence()) from None
            except BaseException:
                os.close(handle)
                raise
            # who held it may have removed the file in between: then it locks nothing
            if _is_file_of(handle, self.file):
                self._handle = handle
            else:
                os.close(handle)
        self._sign(self._handle)
        return self

    def release(self) -> None:
        """Give the lock back, and remove its file."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if os.name == "posix":
            # while it is held, so that nobody's new file is removed
            if _is_file_of(handle, self.file):
                with suppress(OSError):
                    self.file.unlink()
            os.close(handle)
        else:
            os.close(handle)
            with suppress(OSError):
                self.file.unlink()

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def _sign(self, handle: int) -> None:
        words = {
            "process": os.getpid(),
            "computer": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
            "work": self._work,
        }
        with suppress(OSError):  # on a full disk it locks as well
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, json.dumps(words).encode())

    def _sentence(self) -> str:
        who = "another process works there"
        try:
            with self.file.open("rb") as file:
                words = json.loads(file.read(_LARGEST))
            since = datetime.fromisoformat(words["since"]).strftime("%Y-%m-%d %H:%M:%S")
            who = (
                f"process {int(words['process'])} on {words['computer']!s:.80} works there since "
                f"{since} ({words['work']!s:.80})"
            )
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass  # it is being signed at this moment
        return (
            f'"{self.path}" is in use: {who}; wait until it has ended, or stop it there, and try '
            "again"
        )


@contextmanager
def locked(folder: str | Path, work: str) -> Iterator[Lock]:
    """Hold the lock of a folder; one that is empty and was made for it is removed again.

    Raises
    ------
    BusyError
        When somebody else holds it.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    try:
        with Lock(folder, work) as lock:
            yield lock
    finally:
        if is_new:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def wait_for(lock: Lock, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Wait until nobody holds a lock, and take it; False when stopped before."""
    while not stopped():
        try:
            lock.acquire()
        except BusyError:
            time.sleep(_ASK_SECONDS)
        else:
            return True
    return False


def _is_file_of(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False


if os.name == "nt":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, _BEHIND, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError as error:
            raise BlockingIOError(error.errno, str(error)) from error

else:
    import fcntl

    def _lock(handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):  # NFS says the first
                raise BlockingIOError(error.errno, str(error)) from error
            if error.errno not in _NO_LOCKS:
                raise
