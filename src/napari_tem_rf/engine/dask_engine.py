"""The engine that gives work to Dask workers."""

import atexit
import logging
import os
import threading
from collections.abc import Callable

from napari_tem_rf.engine.connection import Connection
from napari_tem_rf.engine.inline import InlineEngine
from napari_tem_rf.engine.interface import AnyEngine
from napari_tem_rf.engine.job import EngineError, EngineState, Job

__all__ = ["ADDRESS_VARIABLE", "Engine", "most_workers"]

ADDRESS_VARIABLE = "TEM_RF_SCHEDULER"

WORKERS_PER_CORE = 2
WORKERS_ANYWHERE = 8

_log = logging.getLogger(__name__)


def most_workers() -> int:
    """Return how many local workers an engine may have: two for each core, eight on any machine."""
    return max(WORKERS_ANYWHERE, WORKERS_PER_CORE * (os.cpu_count() or 1))


class Engine(AnyEngine):
    """Gives jobs to Dask workers: to processes on this machine, or to any cluster by address.

    Nothing starts before `start` or the first job, and nothing here waits: the processes come up
    in the background and load torch there, never in this process.

    Parameters
    ----------
    address : str, optional
        Of a Dask scheduler, such as ``"tcp://10.0.0.7:8786"``. Without, the environment variable
        ``TEM_RF_SCHEDULER``; without that, a scheduler and workers on this machine, which let
        nobody else in.
    workers : int
        Number of local workers of one thread each, at most two for each core of the machine or
        eight. With two and more, the last one takes the quick jobs and the others train, each one
        training at a time. With one, and on a cluster, every worker takes a training and beside
        it quick jobs, which go where nothing trains if there is such a place.

    Raises
    ------
    ValueError
        `workers` is below 1 or above what the machine can bear.
    """

    def __init__(self, address: str | None = None, workers: int = 2) -> None:
        if workers < 1:
            raise ValueError(f"workers is {workers}: it must be at least 1")
        if workers > most_workers():
            cores = os.cpu_count() or 1
            raise ValueError(
                f"workers is {workers}: this machine has {cores} core{'s' * (cores != 1)}, which "
                f"bear {most_workers()} at most; more would train no sooner"
            )
        self.address = address or os.environ.get(ADDRESS_VARIABLE) or None
        self.local_workers = workers
        self.state: EngineState = "stopped"
        self._connection: Connection | None = None
        self._watchers: list[Callable[[EngineState], object]] = []
        self._closed = False
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Engine {self.state}: {self.describe()}>"

    @staticmethod
    def inline(threaded: bool = False) -> "InlineEngine":
        """Return an engine of the same interface that works in this process."""
        return InlineEngine(threaded)

    @property
    def width(self) -> int:  # type: ignore[override]
        """How many trainings can run at once."""
        connection = self._connection
        if self.address is None:
            return max(1, self.local_workers - 1)
        return max(1, len(connection.workers) if connection is not None else 1)

    @property
    def trouble(self) -> str:
        """What is wrong with the engine, in a sentence; empty if nothing is."""
        return self._connection.trouble if self._connection is not None else ""

    def on_state(self, callback: Callable[[EngineState], object]) -> None:
        """Have `callback` called with the state whenever it changes, in some thread.

        ``"stopped"``: no process runs. ``"starting"``: they come up; jobs are taken.
        ``"ready"``: torch is loaded. ``"lost"``: the scheduler is gone or could not be
        reached, `trouble` says why; the next job starts anew.
        """
        self._watchers.append(callback)

    def describe(self) -> str:
        """Say where the work runs."""
        workers = list(self._connection.workers.values()) if self._connection is not None else []
        if self.address is None:
            many = "s" * (self.local_workers != 1)
            text = f"{self.local_workers} worker{many} on this machine"
            return text + ", with a GPU" * any(w.device not in ("", "cpu") for w in workers)
        gpus = sum(worker.device == "cuda" for worker in workers)
        parts = [f"cluster {self.address}"]
        parts.append(f"{len(workers) or 'no'} worker{'s' * (len(workers) != 1)}")
        if gpus:
            parts.append(f"{gpus} GPU{'s' * (gpus != 1)}")
        return ", ".join(parts)

    def start(self) -> None:
        """Start in the background, so that the first job need not wait.

        Raises
        ------
        EngineError
            The engine was closed.
        """
        with self._lock:
            self._current_connection()

    def _current_connection(self) -> Connection:
        if self._closed:
            raise EngineError("the engine is closed: make another one")
        connection = self._connection
        if connection is None or connection.over:
            if connection is None:
                atexit.register(self.close)
            connection = self._connection = Connection(
                self.address, self.local_workers, self._on_connection_state, self.early
            )
        return connection

    def _take(self, job: Job) -> None:
        with self._lock:
            while True:
                connection = self._current_connection()
                if connection.post(connection.give, job):
                    return

    def _on_connection_state(self, connection: Connection, state: EngineState) -> None:
        with self._lock:
            # a connection that ends may speak after the next one has begun
            current = connection is self._connection
        if current:
            self._set_state(state)

    def _set_state(self, state: EngineState) -> None:
        if state == self.state:
            return
        self.state = state
        for watcher in list(self._watchers):
            try:
                watcher(state)
            except Exception:
                _log.exception("a watcher of the engine raised")

    def close(self) -> None:
        """End all jobs and processes within seconds; again, it does nothing."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is None:
            return
        atexit.unregister(self.close)
        connection.post(connection.end)
        if threading.current_thread() is not connection.thread:
            connection.thread.join(10)
            if connection.thread.is_alive():
                connection.kill()
        self._set_state("stopped")
