"""Long work on particles in a thread: numpy and scipy let the window go on meanwhile."""

from collections.abc import Callable, Generator
from threading import Event
from time import perf_counter
from typing import Any

from napari.qt.threading import create_worker
from psygnal import Signal

Job = Callable[[Callable[[], bool]], Generator[float, None, Any]]
"""Is given a function that says whether to stop; yields the fraction done, returns the result."""


class ParticleWork:
    """One job at a time. All signals come in the window's own thread."""

    progressed = Signal(float, float)
    """The fraction done, and the seconds left."""
    ended = Signal()
    """The job is over, one way or the other; comes before `done` and `failed` are answered."""

    def __init__(self) -> None:
        self._worker: Any = None
        self._stop = Event()
        self._began = 0.0
        self._on_done: Callable[[Any], None] | None = None
        self._on_failed: Callable[[str], None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a job goes on."""
        return self._worker is not None

    def begin(
        self, job: Job, on_done: Callable[[Any], None], on_failed: Callable[[str], None]
    ) -> None:
        """Run a job; its result, or a sentence on why there is none, comes to the functions."""
        self._stop = Event()
        self._began = perf_counter()
        self._on_done, self._on_failed = on_done, on_failed
        self._worker = create_worker(_guarded, job, self._stop, _start_thread=False)
        self._worker.yielded.connect(self._on_progress)
        self._worker.returned.connect(self._on_returned)
        self._worker.start()

    def stop(self) -> None:
        """Ask the job to return what it has."""
        self._stop.set()

    def forget(self) -> None:
        """Stop, and let nobody hear of it."""
        self.stop()
        self._on_done = self._on_failed = None

    def _on_progress(self, fraction: float) -> None:
        spent = perf_counter() - self._began
        self.progressed.emit(fraction, spent * (1 - fraction) / fraction)

    def _on_returned(self, answer: tuple[Any, str]) -> None:
        result, error = answer
        self._worker = None
        if self._on_done is None or self._on_failed is None:
            return
        self.ended.emit()
        if error:
            self._on_failed(error)
        else:
            self._on_done(result)


def _guarded(job: Job, stop: Event) -> Generator[float, None, tuple[Any, str]]:
    try:
        result = yield from job(stop.is_set)
    except MemoryError:
        return None, "there is not enough memory for the particles of all frames: take one frame"
    except (OSError, ValueError) as error:
        return None, str(error)
    except Exception as error:
        # whatever it is, the window goes on and the user sees it
        return None, f"{type(error).__name__}: {error}"
    return result, ""
