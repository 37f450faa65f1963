"""Background work of the window where the newest request wins.

Work that needs torch, or a core for long, goes to a worker process by `Session.submit`; what numpy
does in a moment runs in a thread by `run_in_thread`. Either way a `Latest` drops the answers to
requests that a newer one has replaced.
"""

from collections.abc import Callable, Generator
from threading import Event, Thread
from typing import Any, Protocol, TypeVar

from qtpy.compat import isalive
from qtpy.QtCore import QObject, Signal as QtSignal

__all__ = ["Latest", "Request", "ThreadWork", "WindowThread", "run_in_thread", "stepwise"]

Value = TypeVar("Value")


class Stoppable(Protocol):
    """Work that can be stopped."""

    def stop(self) -> None:
        """Ask it to end."""


class Request:
    """One request of a `Latest`; true while no newer one replaced it."""

    def __init__(self) -> None:
        self._is_newest = True
        self._work: Stoppable | None = None

    def __bool__(self) -> bool:
        return self._is_newest

    def only(self, function: Callable[[Value], object]) -> Callable[[Value], None]:
        """Return the function, called while this request is the newest and silent afterwards."""

        def answer(value: Value) -> None:
            if self._is_newest:
                function(value)

        return answer

    def holds(self, work: Stoppable) -> None:
        """Stop that work when a newer request replaces this one."""
        if self._is_newest:
            self._work = work
        else:
            work.stop()

    def _drop(self) -> None:
        self._is_newest = False
        if self._work is not None:
            self._work.stop()
            self._work = None


class Latest:
    """Lets the answers to the newest request through, and stops what older ones have going."""

    def __init__(self) -> None:
        self._request: Request | None = None

    def ask(self) -> Request:
        """Begin a request; earlier ones are dropped."""
        self.drop()
        self._request = Request()
        return self._request

    def drop(self) -> None:
        """Drop the answers to all earlier requests."""
        if self._request is not None:
            self._request._drop()
            self._request = None


class WindowThread(QObject):
    """Calls functions in the window's thread, whichever thread asks for it."""

    called = QtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        # queued to this object's own thread, whichever thread emits
        self.called.connect(self._run)

    def _run(self, function: Callable[[], None]) -> None:
        function()


class ThreadWork:
    """Work in a thread of the window; numpy and scipy let the window run beside it."""

    def __init__(self) -> None:
        self._stop = Event()
        self.is_over = False

    def stop(self) -> None:
        """Ask the work to return what it has."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()


def run_in_thread(
    function: Callable[[Callable[[], bool], Callable[[Any], None]], Any],
    on_done: Callable[[Any], object],
    on_failed: Callable[[str], object],
    on_said: Callable[[Any], object] | None = None,
    owner: QObject | None = None,
) -> ThreadWork:
    """Run a function in a thread; all answers come in the window's own thread.

    Parameters
    ----------
    function : callable
        Is called in the thread as ``function(stopped, say)``: ``stopped()`` tells whether to end
        early, ``say(value)`` tells the window how far it is.
    on_done : callable
        Called with what the function returned.
    on_failed : callable
        Called with a sentence on why it returned nothing.
    on_said : callable, optional
        Called with each value that it said.
    owner : QObject, optional
        The widget that answers; once Qt took it away, as when the window closes before the work
        ends, nobody is called.
    """
    work, window = ThreadWork(), WindowThread()
    # Qt would take the object away with its last name, which the thread's end may be
    _RUNNING.add(window)

    def is_listening() -> bool:
        return owner is None or isalive(owner)

    def say(value: Any) -> None:
        if on_said is not None:
            window.called.emit(lambda: is_listening() and on_said(value))

    def over(answer: Callable[[], object]) -> None:
        _RUNNING.discard(window)
        work.is_over = True
        if is_listening():
            answer()

    def run() -> None:
        try:
            result = function(work._stop.is_set, say)
        except MemoryError:
            trouble = "there is not enough memory for it: take less at a time"
        except Exception as error:
            # whatever is raised, the window keeps running and the user sees why
            is_ours = isinstance(error, (OSError, ValueError)) and str(error)
            trouble = str(error) if is_ours else f"{type(error).__name__}: {error}"
        else:
            window.called.emit(lambda: over(lambda: on_done(result)))
            return
        window.called.emit(lambda: over(lambda: on_failed(trouble)))

    Thread(target=run, daemon=True).start()
    return work


def stepwise(
    steps: Callable[[Callable[[], bool]], Generator[Any, None, Any]],
) -> Callable[[Callable[[], bool], Callable[[Any], None]], Any]:
    """Return a generator function as `run_in_thread` takes it: what it yields is said."""

    def function(stopped: Callable[[], bool], say: Callable[[Any], None]) -> Any:
        running = steps(stopped)
        while True:
            try:
                say(next(running))
            except StopIteration as end:
                return end.value

    return function


_RUNNING: set[WindowThread] = set()
