"""What surrounds a job inside a worker: unpacking, reports, stopping, failures.

Everything here runs in a worker process (or, for an inline engine, in this one). The worker
imports the module by name, so it stays light: no torch, no Qt, no `learning`.
"""

import contextlib
import importlib
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tem_rf.engine.packing import Packed

__all__ = [
    "JobOutcome",
    "ask_to_stop",
    "ask_to_stop_all",
    "call",
    "load_libraries",
    "run_job",
    "running_jobs",
]

ASK_SECONDS = 0.05

_TORCH_PARTS = ("network", "training", "prediction", "effective_field")
_TRAINING_JOBS = ("training",)
_QUICK_JOBS = ("live", "learning_on", "predicting", "finishing", "fields")

_running: set[str] = set()
_to_stop: set[str] = set()


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """How a call ended: with a value, or with a sentence for the user and a traceback."""

    value: Any = None
    sentence: str = ""
    details: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is a sentence instead of a value."""
        return bool(self.sentence)


def call(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    name: str,
    report: Callable[[Any], None],
    stopped: Callable[[], bool],
) -> JobOutcome:
    """Call ``function(*arguments, report=, stopped=)`` and turn what it raises into a sentence."""
    try:
        return JobOutcome(value=function(*arguments, report=report, stopped=stopped))
    except (Exception, SystemExit) as error:
        # a library that calls sys.exit must not take the worker along
        return JobOutcome(sentence=_sentence(name, error), details=traceback.format_exc())


def _sentence(name: str, error: Exception | SystemExit) -> str:
    text = " ".join(str(error).split())
    ours = type(error).__module__.partition(".")[0] == __name__.partition(".")[0]
    if text and (ours or isinstance(error, ValueError)):
        return text
    # torch's own error is not loaded here
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"{name} ran out of memory: take smaller crops or batches, or close other programs"
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{name} failed, {error.strerror.lower()}{where}: see to it and try again"
    return f"{name} failed unexpectedly ({type(error).__name__}: {text or 'no message'})"


def run_job(packed: "Packed", job: str, name: str, topic: str, gives_way: bool) -> "Packed":
    """Run one job in a Dask worker and return its `JobOutcome`, packed.

    Parameters
    ----------
    packed : Packed
        The function and the tuple of its arguments.
    job, name : str
        Identifier and name of the job.
    topic : str
        Where reports go: they are logged as events ``{"job": job, "report": pickle}``.
    gives_way : bool
        Leave the worker's thread pool, so that quick jobs are done in the meantime.
    """
    from distributed import get_worker, secede

    from napari_tem_rf.engine.packing import pack

    worker = get_worker()
    key = worker.get_current_task()
    if gives_way:
        secede()

    def report(value: Any) -> None:
        worker.log_event(topic, {"job": job, "report": pickle.dumps(value, protocol=5)})

    asked_at, answer = 0.0, False

    def stopped() -> bool:
        nonlocal asked_at, answer
        if job in _to_stop:
            return True
        now = time.monotonic()
        if not answer and now - asked_at >= ASK_SECONDS:
            asked_at = now
            # the scheduler lets go of a task whose owner is gone: nobody waits for the result
            task = worker.state.tasks.get(key)
            answer = task is None or task.state == "cancelled"
        return answer

    _running.add(job)
    what = f"{name} did not reach its worker"
    remedy = "workers need the same Python and the same packages as this program"
    try:
        function, arguments = packed.unpack()
        outcome = call(function, arguments, name, report, stopped)
        what, remedy = f"the result of {name} cannot leave its worker", "return plain values"
        return pack(outcome)
    except Exception as error:
        sentence = f"{what} ({type(error).__name__}: {error}): {remedy}"
        return pack(JobOutcome(sentence=sentence, details=traceback.format_exc()))
    finally:
        _running.discard(job)
        _to_stop.discard(job)


def ask_to_stop(job: str) -> None:
    """Have ``stopped()`` of that job answer True from now on."""
    _to_stop.add(job)


def ask_to_stop_all() -> None:
    """Have every running job stop."""
    _to_stop.update(_running)


def running_jobs() -> int:
    """Return how many jobs run in this process."""
    return len(_running)


def load_libraries(modules: Sequence[str] = (), trains: bool = False) -> tuple[str, str]:
    """Load what the first job would have to wait for.

    Parameters
    ----------
    modules : sequence of str
        What to import; without, torch and the parts of `learning` that use it.
    trains : bool
        Whether networks are trained here: what that needs besides is loaded too. Elsewhere what
        answers strokes is loaded behind the answer.

    Returns
    -------
    device : str
        ``"cuda"``, ``"mps"`` or ``"cpu"``.
    trouble : str
        What could not be imported, in words; empty if all went well.
    """
    from distributed import secede

    # the import takes seconds; a job that does not need torch runs in the meantime
    secede()
    package = __name__.rpartition(".engine")[0]
    try:
        for module in modules or [f"{package}.learning.{part}" for part in _TORCH_PARTS]:
            importlib.import_module(module)
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            torch.zeros(1, device="cuda")
            return "cuda", ""
        if trains:
            _load_rest(trains)
        else:
            # an answer that needs no more than torch does not wait for the rest
            threading.Thread(target=_load_rest, args=(False,), name="loading", daemon=True).start()
        return ("mps" if torch.backends.mps.is_available() else "cpu"), ""
    except Exception as error:
        return "cpu", f"{type(error).__name__}: {error}"


def _load_rest(trains: bool) -> None:
    """Load the jobs, and what the first of them would wait for besides torch."""
    package = __name__.rpartition(".engine")[0]
    with contextlib.suppress(Exception):  # a job that needs what is broken says so
        for module in _TRAINING_JOBS if trains else _QUICK_JOBS:
            importlib.import_module(f"{package}.jobs.{module}")
        importlib.import_module(f"{package}.learning.ready").get_ready(trains)
