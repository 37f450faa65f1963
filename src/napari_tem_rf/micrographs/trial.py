"""Files of HDF5 are opened on trial, in a process that may die, before they are opened here.

The HDF5 library is written in C and believes its file: a damaged length of one text lets it take
4 GiB and ten seconds, and no check from outside sees that beforehand. So a helper process, with a
limit of time and memory, goes first. It stays for some seconds to try the next file of a folder.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_tem_rf.micrographs.rawimage import ReadingError, unreadable

__all__ = ["open_on_trial"]

_SECONDS = 8.0
_START_SECONDS = 60.0
_IDLE_SECONDS = 30.0
# what the libraries themselves take, besides a few times the file
_FREE_BYTES = 256 * 2**20
_TIMES_THE_FILE = 4

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from napari_tem_rf.micrographs.trial import serve; serve()"
)


def open_on_trial(path: Path) -> None:
    """Raise ReadingError where opening an .emd or .hspy file fails, takes too long or too much.

    Where no process can be started nothing is tried.
    """
    if getattr(sys, "frozen", False):
        return  # there the interpreter is the program itself
    with _lock:
        answer = _helper.try_file(path)
    if answer is not None:
        raise ReadingError(answer)


class _Helper:
    """The helper process, started when it is first wanted and whenever it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def try_file(self, path: Path) -> str | None:
        """Return why a file cannot be opened; None if it can."""
        # the first time the helper may just have left for want of work
        for _ in range(2):
            process = self._running()
            if process is None:
                return None
            line, in_time = self._ask(process, json.dumps(str(path.absolute())), _SECONDS)
            if line:
                sentence: str | None = json.loads(line)
                return sentence
            self.end()
            if not in_time:
                return (
                    f'"{path.name}" takes more than {_SECONDS:.0f} s to open: it is damaged; copy '
                    "it again from where it came from"
                )
        return (
            f'"{path.name}" breaks the library that opens it: it is damaged; copy it again from '
            "where it came from"
        )

    def _running(self) -> subprocess.Popen[str] | None:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.end()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                # threads of its own would count against its memory
                env={**os.environ, "DASK_SCHEDULER": "synchronous", "OMP_NUM_THREADS": "1"},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            return None
        ready, _ = self._ask(self._process, None, _START_SECONDS)
        if not ready:
            self.end()
        return self._process

    def _ask(
        self, process: subprocess.Popen[str], question: str | None, seconds: float
    ) -> tuple[str, bool]:
        """Return the answer, empty if there is none, and whether the process lasted so long."""
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        watch = threading.Timer(seconds, give_up)
        watch.daemon = True
        watch.start()
        try:
            if question is not None:
                process.stdin.write(question + "\n")
                process.stdin.flush()
            return process.stdout.readline(), not late.is_set()
        except OSError:
            return "", not late.is_set()
        finally:
            watch.cancel()

    def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


_helper = _Helper()
_lock = threading.Lock()
atexit.register(_helper.end)


def serve() -> None:
    """Try the files named on stdin, one JSON text a line; the helper process's own work."""
    import h5py  # noqa: F401

    from napari_tem_rf.micrographs.hyperspy_files import hspy_images
    from napari_tem_rf.micrographs.microscope_formats import emd_images

    readers: dict[str, Callable[[Path], Any]] = {".emd": emd_images, ".hspy": hspy_images}
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps("ready"), file=answers, flush=True)
    while True:
        # a helper that nobody asks is in nobody's way
        idle = threading.Timer(_IDLE_SECONDS, _leave)
        idle.daemon = True
        idle.start()
        line = sys.stdin.readline()
        idle.cancel()
        if not line:
            return
        path = Path(json.loads(line))
        sentence = None
        try:
            _limit_memory(_FREE_BYTES + _TIMES_THE_FILE * path.stat().st_size)
            readers[path.suffix.lower()](path)
        except BaseException as error:
            sentence = str(unreadable(path, error))
        print(json.dumps(sentence), file=answers, flush=True)


def _leave() -> None:
    os._exit(0)


def _limit_memory(more: int) -> None:
    """Limit this process to so many bytes more than it has, where the system knows limits."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    except (ImportError, OSError, ValueError):
        return
