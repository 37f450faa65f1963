"""An engine that works in this process."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from napari_tem_rf.engine.interface import AnyEngine
from napari_tem_rf.engine.job import EngineError, EngineState, Job, JobCancelledError, Kind
from napari_tem_rf.engine.worker import call

__all__ = ["InlineEngine"]


class InlineEngine(AnyEngine):
    """Runs jobs in this process: for the command line, scripts and tests.

    Parameters
    ----------
    threaded : bool
        Run jobs in two threads, one for trainings, instead of at once inside `submit`.
    at_once : int
        How many of the jobs that would be trainings run at the same time, in so many threads.
    """

    state: EngineState = "ready"
    trouble = ""

    def __init__(self, threaded: bool = False, at_once: int = 1) -> None:
        self.width = at_once if threaded else 1
        self._closed = False
        self._jobs: set[Job] = set()
        self._pools: dict[Kind, ThreadPoolExecutor] = {}
        if threaded:
            quick = ThreadPoolExecutor(1, "tem-rf quick")
            self._pools = {
                "training": ThreadPoolExecutor(self.width, "tem-rf training"),
                "quick": quick,
                "light": quick,
            }

    def describe(self) -> str:
        """Say where the work runs."""
        return "this process"

    def start(self) -> None:
        """Do nothing: there is nothing to start."""

    def on_state(self, callback: Callable[[EngineState], object]) -> None:
        """Do nothing: the state is always ready."""

    def _take(self, job: Job) -> None:
        if self._closed:
            raise EngineError("the engine is closed: make another one")
        self._jobs.add(job)
        job.listen(self._jobs.discard)
        if self._pools:
            self._pools[job.kind].submit(self._run, job)
        else:
            self._run(job)

    def _run(self, job: Job) -> None:
        if not job.begin():
            return
        try:
            outcome = call(
                job.function, job.arguments, job.name, job.report, lambda: job.stop_asked
            )
        except BaseException:
            job.finish("cancelled", error=JobCancelledError(f"{job.name} was interrupted"))
            raise
        if outcome.failed:
            job.finish("failed", error=EngineError(outcome.sentence, outcome.details))
        else:
            job.finish("done", value=outcome.value)

    def close(self) -> None:
        """Ask the jobs to stop and wait for them."""
        self._closed = True
        for job in list(self._jobs):
            job.stop()
        for pool in self._pools.values():
            pool.shutdown()
