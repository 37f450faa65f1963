"""Work that runs in the engine's processes, as the window sees it."""

from collections.abc import Callable
from threading import Thread
from typing import Any, Literal

from psygnal import Signal

from napari_tem_rf.engine import Engine, EngineError, JobCancelledError, Kind
from napari_tem_rf.gui.session.background import WindowThread

WorkState = Literal["waiting", "running", "stopping", "done", "failed"]


class Work:
    """One job of the window. All signals come in the window's own thread.

    Attributes
    ----------
    name : str
        What is being done, for the user.
    state : {"waiting", "running", "stopping", "done", "failed"}
        ``"waiting"``: no worker has taken it yet.
    result : object
        What the function returned, once done.
    error : str
        One sentence, once failed.
    cancelled : bool
        Whether it failed because it was stopped before a worker took it.
    """

    begun = Signal()
    """A worker has taken it."""
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
        kind: Kind,
        remains: Callable[[], str] | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.arguments = arguments
        self.kind = kind
        self.remains = remains
        self.state: WorkState = "waiting"
        self.result: Any = None
        self.error = ""
        self.cancelled = False
        self._job: Any = None

    @property
    def over(self) -> bool:
        """Whether it is done or failed."""
        return self.state in ("done", "failed")

    def stop(self) -> None:
        """Ask the work to stop; it ends within a batch and keeps what it has."""
        if self.state in ("waiting", "running") and self._job is not None:
            self.state = "stopping"
            self._job.stop()


class BackgroundWork:
    """Hands work to the engine and brings what comes back into the window's thread.

    Parameters
    ----------
    address : str
        Of the scheduler that work goes to; empty: this machine.
    workers : int
        Number of worker processes on this machine; 0: as many as the engine takes by itself.
    """

    engine_changed = Signal()
    """The engine's state changed, or work goes elsewhere from now on."""

    def __init__(self, address: str = "", workers: int = 0) -> None:
        self._address = address
        self._options: dict[str, Any] = {"workers": workers} if workers else {}
        self._thread = WindowThread()
        self._works: list[Work] = []
        self._engine: Engine | None = None
        self._is_closed = False

    @property
    def engine(self) -> Engine:
        """Where work runs; made on first use."""
        if self._is_closed:
            raise RuntimeError("the viewer is closed: no more work can be done for it")
        if self._engine is None:
            self._engine = Engine(self._address) if self._address else Engine(**self._options)
            self._engine.early = True  # strokes are answered at once
            self._engine.on_state(lambda _state: self._in_window(self.engine_changed.emit))
        return self._engine

    @property
    def address(self) -> str:
        """Address of the scheduler that work goes to; empty: this machine."""
        return self._address

    def move(self, address: str) -> None:
        """Let further work go to another scheduler, or to this machine.

        Raises
        ------
        ValueError
            While something is being done: it would be lost.
        """
        if address == self._address:
            return
        if self._works:
            raise ValueError(
                f"{self._works[0].name} is running: wait for its end or stop it, then change where "
                "work runs"
            )
        self._address = address
        engine, self._engine = self._engine, None
        if engine is not None:
            # its processes end in their own time; the window does not wait
            Thread(target=engine.close, daemon=True).start()
        self.engine_changed.emit()

    @property
    def works(self) -> tuple[Work, ...]:
        """The work that is running."""
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
                on_failed=lambda error: self._in_window(lambda: self._failed(work, error)),
                on_state=lambda state: self._in_window(lambda: self._changed(work, state)),
                remains=work.remains,
            )
        except EngineError as error:
            self._failed(work, error)
        # pixels need not stay in memory as long as the work's name does
        work.arguments = ()

    def _in_window(self, function: Callable[[], None]) -> None:
        if not self._is_closed:
            self._thread.called.emit(function)

    def _changed(self, work: Work, state: str) -> None:
        if state == "running" and work.state == "waiting":
            work.state = "running"
            work.begun.emit()

    def _done(self, work: Work, result: Any) -> None:
        if self._leaves(work):
            work.result, work.state = result, "done"
            try:
                work.done.emit(result)
            finally:
                work.ended.emit(work)

    def _failed(self, work: Work, error: EngineError) -> None:
        if self._leaves(work):
            sentence = str(error)
            work.error, work.state = sentence, "failed"
            work.cancelled = isinstance(error, JobCancelledError)
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
