"""Long work on particles in a thread, one job at a time."""

from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any

from psygnal import Signal

from napari_tem_rf.gui.session.background import Latest, ThreadWork, run_in_thread, stepwise

Job = Callable[[Callable[[], bool]], Generator[float, None, Any]]
"""Gets a function that says whether to stop; yields the fraction done and returns the result."""


class ParticleWork:
    """One job at a time. All signals come in the window's own thread."""

    progressed = Signal(float, float)
    """The fraction done, and the seconds left."""
    ended = Signal()
    """The job is over, one way or the other; comes before its answer."""

    def __init__(self) -> None:
        self._latest = Latest()
        self._work: ThreadWork | None = None
        self._began = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether a job is running."""
        return self._work is not None and not self._work.is_over

    def begin(
        self, job: Job, on_done: Callable[[Any], None], on_failed: Callable[[str], None]
    ) -> None:
        """Run a job; its result, or a sentence on why there is none, comes to the functions."""
        request = self._latest.ask()
        self._began = perf_counter()

        def first_ended(answer: Callable[[Any], None]) -> Callable[[Any], None]:
            def function(value: Any) -> None:
                self.ended.emit()
                answer(value)

            return request.only(function)

        self._work = run_in_thread(
            stepwise(job),
            first_ended(on_done),
            first_ended(on_failed),
            request.only(self._on_progress),
        )
        request.holds(self._work)

    def stop(self) -> None:
        """Ask the job to return what it has."""
        if self._work is not None:
            self._work.stop()

    def forget(self) -> None:
        """Stop, and drop the answer."""
        self._latest.drop()

    def _on_progress(self, fraction: float) -> None:
        spent = perf_counter() - self._began
        self.progressed.emit(fraction, spent * (1 - fraction) / fraction)
