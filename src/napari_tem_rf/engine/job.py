"""A job: what was given to an engine, how far it is, and how it ended."""

import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any, Literal

__all__ = [
    "EngineError",
    "EngineState",
    "EngineUnavailableError",
    "Job",
    "JobCancelledError",
    "JobState",
    "Kind",
]

Kind = Literal["training", "quick", "light"]
EngineState = Literal["stopped", "starting", "ready", "lost"]
JobState = Literal["waiting", "running", "done", "failed", "cancelled"]

_log = logging.getLogger(__name__)


class EngineError(Exception):
    """A job, or the engine itself, could not do its work.

    Attributes
    ----------
    sentence : str
        What happened and what to do, for the user.
    details : str
        The traceback of the worker, for a log or an issue report; empty where there is none.
    """

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.details = details

    def __reduce__(self) -> tuple[type["EngineError"], tuple[str, str]]:
        return type(self), (self.sentence, self.details)


class EngineUnavailableError(EngineError):
    """Nothing can be run: no scheduler answers, or no worker lasts."""


class JobCancelledError(EngineError):
    """The job was cancelled, or stopped before it began: there is no result."""


class Job:
    """One piece of work that an engine was given.

    Engines make jobs and move them on; everybody else reads `state`, asks for `result`, and may
    `stop` or `cancel`. Methods may be called from every thread.

    Attributes
    ----------
    name : str
        What the job is called in sentences.
    kind : {"training", "quick", "light"}
        ``"training"``: may take long. ``"quick"``: somebody waits for the answer. ``"light"``: so
        they do, and it needs no PyTorch.
    state : {"waiting", "running", "done", "failed", "cancelled"}
        ``"waiting"``: given to the engine, not yet to a worker.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        name: str,
        kind: Kind,
        on_report: Callable[[Any], object] | None,
        on_done: Callable[[Any], object] | None,
        on_failed: Callable[[EngineError], object] | None,
        on_state: Callable[[JobState], object] | None,
        remains: Callable[[], str] | None = None,
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.name = name or getattr(function, "__name__", "job")
        self.kind = kind
        self.id = f"{kind}-{uuid.uuid4().hex}"
        self.state: JobState = "waiting"
        self.stop_asked = False
        self._on_report = on_report
        self._on_done = on_done
        self._on_failed = on_failed
        self._on_state = on_state
        self._remains = remains
        self._stopper: Callable[[Job], object] | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._listeners: list[Callable[[Job], object]] = []
        self._value: Any = None
        self._error: EngineError | None = None

    def __repr__(self) -> str:
        return f"<Job {self.name!r}: {self.state}>"

    # what the owner of the job calls

    def stop(self) -> None:
        """Ask the function to end early; its result then comes as usual.

        A job that still waits ends at once, as cancelled, and ``on_failed`` is told so.
        """
        self.stop_asked = True
        waited = self.finish(
            "cancelled",
            error=JobCancelledError(f"{self.name} was stopped before it began: there is no result"),
            only_from="waiting",
        )
        if not waited and self._stopper is not None:
            self._stopper(self)

    def cancel(self) -> None:
        """Forget the job: no callback is called from now on, whatever the worker still does."""
        self.stop_asked = True
        self._on_report = self._on_done = self._on_failed = None
        running = self.state == "running"
        self.finish("cancelled", error=JobCancelledError(f"{self.name} was cancelled"))
        if running and self._stopper is not None:
            self._stopper(self)

    @property
    def error(self) -> EngineError | None:
        """What the job failed with, or that it was cancelled; None while it is not over."""
        return self._error

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the end and return what the function returned.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait; without, as long as it takes.

        Raises
        ------
        EngineError
            The job failed or was cancelled.
        TimeoutError
            The job is not over in time.
        """
        if timeout is None:
            # in slices, because Windows lets no Ctrl-C interrupt an endless wait
            while not self._over.wait(1):
                pass
        elif not self._over.wait(timeout):
            raise TimeoutError(f"{self.name} is still {self.state} after {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._value

    # what engines call

    def listen(self, listener: Callable[["Job"], object]) -> None:
        """Have `listener` called once, when the job is over (at once if it is)."""
        with self._lock:
            if not self._over.is_set():
                self._listeners.append(listener)
                return
        listener(self)

    def remedy(self) -> str:
        """Say what is left of a job whose process is gone, and how to continue."""
        if self._remains is not None:
            try:
                return self._remains()
            except Exception:
                _log.exception("what remains of %s could not be found out", self.name)
        return "start again"

    def begin(self, stopper: Callable[["Job"], object] | None = None) -> bool:
        """Note that the job runs now; False if it was cancelled in the meantime."""
        with self._lock:
            if self.state != "waiting":
                return False
            self._stopper = stopper
            self.state = "running"
        self._call(self._on_state, "running")
        return True

    def report(self, report: Any) -> None:
        """Pass a report on to whoever wants it."""
        if self.state == "running":
            self._call(self._on_report, report)

    def finish(
        self,
        state: Literal["done", "failed", "cancelled"],
        *,
        value: Any = None,
        error: EngineError | None = None,
        only_from: JobState | None = None,
    ) -> bool:
        """End the job and tell its listeners; False if it was over already."""
        with self._lock:
            if self._over.is_set() or (only_from is not None and self.state != only_from):
                return False
            self.state = state
            self._value, self._error = value, error
            # a job may be kept long after its images: let them go
            self.function, self.arguments = _forgotten, ()
            listeners, self._listeners = self._listeners, []
            self._over.set()
        if state == "done":
            self._call(self._on_done, value)
        elif self._on_failed is not None:
            self._call(self._on_failed, error)
        self._call(self._on_state, state)
        for listener in listeners:
            listener(self)
        return True

    def _call(self, callback: Callable[[Any], object] | None, value: Any) -> None:
        if callback is None:
            return
        try:
            callback(value)
        except Exception:
            # one faulty callback must not end the thread that serves every job
            _log.exception("a callback of %s raised", self.name)


def _forgotten() -> None:
    """Stand in for the function of a job that is over."""
