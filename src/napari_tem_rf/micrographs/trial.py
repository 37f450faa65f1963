"""Files of HDF5 are opened on trial, in a process that may die, before they are opened here.

The HDF5 library is written in C and believes its file: a damaged length of one text lets it take
4 GiB and ten seconds, and no check from outside can foresee that. So a helper process, with a
limit of time and memory, goes first. It stays for some seconds to try the next file of a folder.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from napari_tem_rf.micrographs.hdf5 import hdf5_library
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.refusals import unreadable

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

Reader = Callable[[Path], object]


def open_on_trial(path: Path, read: Reader) -> None:
    """Raise ReadingError where reading a file fails, takes too long or too much memory.

    Where no process can be started nothing is tried.

    Parameters
    ----------
    path : Path
    read : callable
        Reads the file, with the path as its argument; a function of a module, which the helper
        process imports by its name.
    """
    if getattr(sys, "frozen", False):
        return  # there the interpreter is the program itself
    with _lock:
        answer = _helper.try_file(path, read)
    if answer is not None:
        raise ReadingError(answer)


class _Helper:
    """The helper process, started when it is first wanted and whenever it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def try_file(self, path: Path, read: Reader) -> str | None:
        """Return why a file cannot be opened; None if it can."""
        question = json.dumps([str(path.absolute()), read.__module__, read.__qualname__])
        # the first time the helper may just have left for want of work
        for _ in range(2):
            process = self._running()
            if process is None:
                return None
            line, in_time = self._ask(process, question, _SECONDS)
            if line:
                sentence: str | None = json.loads(line)
                return sentence
            self.end()
            if not in_time:
                return (
                    f'"{path.name}" takes more than {_SECONDS:.0f} s to open: it is damaged, or '
                    "its disk is slow; copy it to a disk of this machine, from where it came from"
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
                [sys.executable, "-P", "-c", _START, json.dumps(_safe_path())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                # threads of its own would count against its memory
                env={
                    **os.environ,
                    "PYTHONSAFEPATH": "1",
                    "DASK_SCHEDULER": "synchronous",
                    "OMP_NUM_THREADS": "1",
                },
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


def _safe_path() -> list[str]:
    """Return where this process finds its modules, without the folder that it happens to be in.

    Python puts that folder in front when it is started with -c or -m, and whatever lies there
    beside a micrograph (a json.py, a numpy.py) would be run in place of the library. Where the
    user's own PYTHONPATH names the folder it stays, and so does the folder of this package.
    """
    trusted = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    trusted.append(str(Path(__file__).resolve().parents[2]))
    here = os.path.realpath(".")
    kept = (p for p in sys.path if p in trusted or os.path.realpath(p or ".") != here)
    return [os.path.abspath(p) for p in kept]


_helper = _Helper()
_lock = threading.Lock()
atexit.register(_helper.end)


def serve() -> None:
    """Try the files named on stdin, one JSON list a line; the helper process's own work."""
    hdf5_library()  # before the memory is limited
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
        name, module, function = json.loads(line)
        path = Path(name)
        sentence = None
        try:
            read = getattr(import_module(module), function)
            _limit_memory(_FREE_BYTES + _TIMES_THE_FILE * path.stat().st_size)
            read(path)
        except BaseException as error:
            sentence = str(unreadable(path, error))
        print(json.dumps(sentence), file=answers, flush=True)


def _leave() -> None:
    os._exit(0)


def _limit_memory(more: int) -> None:
    """Limit the memory of this process to this much more than it has, where the system can."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    except (ImportError, OSError, ValueError):
        return
