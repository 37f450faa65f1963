"""What every engine can do, wherever the work runs."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from napari_tem_rf.engine.job import EngineError, EngineState, Job, JobState, Kind

__all__ = ["AnyEngine"]


class AnyEngine:
    """What all engines have in common: taking a job, ending with a ``with`` block."""

    width = 1
    """How many jobs can run at once."""
    state: EngineState
    early = False
    """Whether light jobs are expected at once, to be said before the engine starts: beside several
    workers on this machine one more then takes them while the others load PyTorch."""

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        on_report: Callable[[Any], object] | None = None,
        on_done: Callable[[Any], object] | None = None,
        on_failed: Callable[[EngineError], object] | None = None,
        on_state: Callable[[JobState], object] | None = None,
        name: str = "",
        kind: Kind = "training",
        remains: Callable[[], str] | None = None,
    ) -> Job:
        """Give a job to the engine and return at once.

        Parameters
        ----------
        function : callable
            Runs elsewhere as ``function(*arguments, report=report, stopped=stopped)``. It may
            call ``report(value)`` and should ask ``stopped()`` between pieces of work, which
            costs next to nothing, and return early what it has if the answer is True.
        *arguments
            Are pickled soon after this call returned, so do not change their arrays afterwards.
        on_report, on_done, on_failed : callable, optional
            Called with each report in order, then either with the result or with an
            `EngineError`. In some other thread: a window moves them to its own.
        on_state : callable, optional
            Called with the job's state when it changes.
        name : str, optional
            What the job is called in sentences; the function's name without it.
        kind : {"training", "quick", "light"}
            ``"training"`` for whatever takes more than a second or so; one at a time per worker,
            others wait. ``"quick"`` for answers that somebody waits for: they never queue
            behind a training. ``"light"`` for those that need no PyTorch: they do not wait until
            it is loaded.
        remains : callable, optional
            Called when the process that did the job is gone. Says in words what is left and what
            to do, as the end of a sentence: "go on from the end of epoch 3". Without it:
            "start again".

        Returns
        -------
        Job

        Raises
        ------
        EngineError
            The engine was closed.
        """
        job = Job(function, arguments, name, kind, on_report, on_done, on_failed, on_state, remains)
        self._take(job)
        return job

    def describe(self) -> str:
        """Say where the work runs."""
        raise NotImplementedError

    def _take(self, job: Job) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End everything."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
