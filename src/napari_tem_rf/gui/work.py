"""Work that runs in the engine's processes, as the window sees it."""

from collections.abc import Callable
from typing import Any, Literal

from psygnal import Signal
from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal

from napari_tem_rf.engine import Engine, EngineError

WorkState = Literal["running", "stopping", "done", "failed"]


class Work:
    """One job of the window. All signals come in the window's own thread.

    Attributes
    ----------
    name : str
        What is being done, for the user.
    state : {"running", "stopping", "done", "failed"}
    result : object
        What the function returned, once done.
    error : str
        One sentence, once failed.
    """

    reported = Signal(object)
    """A report came (`napari_tem_rf.protocol.Report`)."""
    done = Signal(object)
    """The function returned; the argument is its result."""
    failed = Signal(str)
    """It failed; the argument is one sentence."""
    ended = Signal(object)
    """The work is over, one way or the other; comes last; the argument is this work."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        kind: Literal["training", "quick"],
    ) -> None:
        self.name = name
        self.function = function
        self.arguments = arguments
        self.kind = kind
        self.state: WorkState = "running"
        self.result: Any = None
        self.error = ""
        self._job: Any = None

    @property
    def over(self) -> bool:
        """Whether it is done or failed."""
        return self.state in ("done", "failed")

    def stop(self) -> None:
        """Ask the work to stop; it ends within a batch and keeps what it has."""
        if self.state == "running" and self._job is not None:
            self.state = "stopping"
            self._job.stop()


class _WindowThread(QObject):
    """Runs functions in the thread that the window lives in."""

    called = QtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        # queued to this object's own thread, whichever thread emits
        self.called.connect(self._run)

    def _run(self, function: Callable[[], None]) -> None:
        function()


class Desk:
    """Hands work to the engine and brings what comes back into the window's thread."""

    def __init__(self) -> None:
        self._thread = _WindowThread()
        self._works: list[Work] = []
        self._engine: Engine | None = None
        self._is_closed = False

    @property
    def engine(self) -> Engine:
        """Where work runs; made on first use."""
        if self._is_closed:
            raise RuntimeError("the viewer is closed: no more work can be done for it")
        if self._engine is None:
            self._engine = Engine()
        return self._engine

    @property
    def works(self) -> tuple[Work, ...]:
        """What goes on."""
        return tuple(self._works)

    def begin(self, work: Work) -> None:
        """Hand work to the engine."""
        self._works.append(work)
        try:
            work._job = self.engine.submit(
                work.function,
                *work.arguments,
                kind=work.kind,
                name=work.name,
                on_report=lambda report: self._in_window(lambda: work.reported.emit(report)),
                on_done=lambda result: self._in_window(lambda: self._done(work, result)),
                on_failed=lambda error: self._in_window(lambda: self._failed(work, str(error))),
            )
        except EngineError as error:
            self._failed(work, str(error))
        # pixels need not stay in memory as long as the work's name does
        work.arguments = ()

    def _in_window(self, function: Callable[[], None]) -> None:
        if not self._is_closed:
            self._thread.called.emit(function)

    def _done(self, work: Work, result: Any) -> None:
        if self._leaves(work):
            work.result, work.state = result, "done"
            try:
                work.done.emit(result)
            finally:
                work.ended.emit(work)

    def _failed(self, work: Work, sentence: str) -> None:
        if self._leaves(work):
            work.error, work.state = sentence, "failed"
            try:
                work.failed.emit(sentence)
            finally:
                work.ended.emit(work)

    def _leaves(self, work: Work) -> bool:
        if work not in self._works or self._is_closed:
            return False
        self._works.remove(work)
        return True

    def close(self) -> None:
        """End all work and the worker processes."""
        self._is_closed = True
        self._works.clear()
        if self._engine is not None:
            self._engine.close()
            self._engine = None
