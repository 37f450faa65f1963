"""The kernels, where Numba compiles them.

That is tried once a machine, in processes of their own: there are machines (Windows on ARM) where
compiling ends the process, and a training must not end with it. Where Numba is missing or fails,
torch computes everything.
"""

import hashlib
import json
import platform
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata, util
from pathlib import Path
from threading import Lock
from types import ModuleType

from platformdirs import user_cache_path

from napari_tem_rf.storage import write_text

__all__ = [
    "forest_kernels",
    "kernels",
    "prediction_kernels",
    "trial_file",
    "trouble_once",
    "warm_up",
]

TRIALS = (
    f"from {__package__} import planar; planar.warm_up()",
    f"from {__package__} import rolled; rolled.warm_up_rolling()",
    f"from {__package__} import growing, voting; "
    "growing.warm_up_growing(); voting.warm_up_voting()",
)
"""What other processes do side by side: compile every kernel and run it.

What two of them need both, they must need for the same types: Numba gives the files of a function's
types their names by counting, and two processes at a time would take the same one.
"""

LONGEST_TRIAL_S = 600
FAILED_FOR_S = 24 * 3600
"""A failure is believed for a day: memory may have been full, or the cause was put right."""

_finding = Lock()
_told: set[str] = set()


@dataclass(frozen=True, slots=True)
class _Found:
    """The module of the kernels, or why there is none."""

    module: ModuleType | None
    trouble: str = ""


def kernels() -> ModuleType | None:
    """Return `learning.fast.planar`, or None where Numba is missing or fails."""
    return _found().module


def prediction_kernels() -> ModuleType | None:
    """Return `learning.fast.rolled`, or None where the kernels were not compiled here before.

    No image waits until they are: compiling takes longer than what they save.
    """
    if not _finding.acquire(blocking=False):
        return None  # another thread compiles them
    try:
        known = _find.cache_info().currsize or _worked_before()
        if not known or _find().module is None:
            return None
    finally:
        _finding.release()
    return import_module("napari_tem_rf.learning.fast.rolled")


def forest_kernels(waits: bool = True) -> bool:
    """Whether Numba grows and walks trees.

    Parameters
    ----------
    waits : bool
        Whether to wait while the kernels are tried on this machine for the first time. Else they
        are used only where that was done, and no PyTorch is loaded to find out.
    """
    if waits:
        return kernels() is not None
    if not _finding.acquire(blocking=False):
        return False
    try:
        if _find.cache_info().currsize:
            return _find().module is not None
        return util.find_spec("numba") is not None and _worked_before()
    finally:
        _finding.release()


def warm_up() -> None:
    """Compile the kernels, or load what was compiled before: else the first block would wait."""
    if (module := kernels()) is not None:
        module.warm_up()
        import_module("napari_tem_rf.learning.fast.rolled").warm_up_rolling()


def trouble_once() -> str:
    """Return why there are no kernels, as a sentence, the first time; empty otherwise."""
    trouble = _found().trouble
    if not trouble or trouble in _told:
        return ""
    _told.add(trouble)
    return f"{trouble}: PyTorch trains alone, which gives the same result but takes longer"


def _found() -> _Found:
    with _finding:  # two threads that ask at the same time wait for one trial
        return _find()


@cache
def _find() -> _Found:
    if util.find_spec("numba") is None:
        return _Found(None, "Numba is not installed (pip install numba)")
    if trouble := _tried():
        return _Found(None, f"Numba does not work on this machine ({trouble})")
    try:
        return _Found(import_module("napari_tem_rf.learning.fast.planar"))
    except Exception as error:
        return _Found(None, f"Numba cannot be loaded ({type(error).__name__}: {error})")


def _tried() -> str:
    """Return what went wrong when the kernels were tried on this machine, now or earlier."""
    file = trial_file()
    with suppress(OSError, ValueError, TypeError, KeyError):
        earlier = json.loads(file.read_text(encoding="utf-8"))
        trouble = str(earlier["trouble"])
        if not trouble or time.time() - earlier["at"] < FAILED_FOR_S:
            return trouble
    trouble = _try()
    with suppress(OSError):  # without a place for it, the next process tries again
        write_text(file, json.dumps({"trouble": trouble, "at": time.time()}))
    return trouble


def _worked_before() -> bool:
    """Whether the kernels were tried on this machine, and work."""
    try:
        return not json.loads(trial_file().read_text(encoding="utf-8"))["trouble"]
    except (OSError, ValueError, TypeError, KeyError):
        return False


def trial_file() -> Path:
    """Return where the outcome of the trial is kept, for these kernels, libraries and machine."""
    key = hashlib.sha256()
    for name in ("bands", "growing", "kernels", "levels", "planar", "rolled", "rolling", "voting"):
        key.update((Path(__file__).parent / f"{name}.py").read_bytes())
    machine = (sys.version, platform.system(), platform.machine(), platform.node())
    libraries = (_version(name) for name in ("numba", "llvmlite", "numpy"))
    key.update("\n".join((*machine, *libraries)).encode())
    folder = user_cache_path("napari-tem-rf", appauthor=False)
    return folder / f"kernels-{key.hexdigest()[:16]}.json"


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def _try() -> str:
    """Compile and run the kernels in other processes; return what went wrong."""
    with ThreadPoolExecutor(len(TRIALS)) as pool:
        return next(filter(None, pool.map(_trouble_of, TRIALS)), "")


def _trouble_of(trial: str) -> str:
    """Run code in another process that imports what this one can; return what went wrong."""
    code = f"import sys; sys.path[:] = sys.argv[1:]; {trial}"
    try:
        done = subprocess.run(
            [sys.executable or "python", "-c", code, *sys.path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LONGEST_TRIAL_S,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        return f"compiling took more than {LONGEST_TRIAL_S} s"
    except OSError as error:
        return f"Python could not be started to try it: {error.strerror or error}"
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        with suppress(ValueError):
            return f"it ended the process that tried it, {signal.Signals(-done.returncode).name}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if lines and lines[-1][0].isalpha():  # the last line of a traceback names the error
        return lines[-1].strip()
    return f"it ended the process that tried it, exit code {done.returncode}"
