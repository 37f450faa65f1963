"""One life of the connection to a cluster: workers come and go, jobs are handed out.

A connection lives in one thread with one asyncio loop, so its state needs no locks. Other threads
reach it by `Connection.post`. It ends when it is closed or when the scheduler is gone.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from napari_tem_rf.engine.addresses import security_for
from napari_tem_rf.engine.job import EngineError, EngineState, EngineUnavailableError, Job
from napari_tem_rf.engine.local import LocalCluster
from napari_tem_rf.engine.places import EARLY, WorkerSlots, claim, kinds_of, place, unclaim
from napari_tem_rf.engine.reports import Reports
from napari_tem_rf.engine.worker import JobOutcome, ask_to_stop, load_libraries

__all__ = ["Connection"]

CONNECT_SECONDS = 15.0
LOOK_SECONDS = 0.1
REFRESH_SECONDS = 2.0
KEPT_MESSAGES = 4
EARLY_STAYS_SECONDS = 5.0
"""How long the early worker stays without a job once the others are up."""

_log = logging.getLogger(__name__)


class SchedulerGoneError(Exception):
    """The scheduler does not answer any more."""


class Connection:
    """A connection to a cluster, from the first job to its end.

    Parameters
    ----------
    address : str, optional
        Of a Dask scheduler; without, processes on this machine are started.
    workers : int
        Number of local workers.
    on_state : callable
        Called with the connection and ``"starting"``, ``"ready"`` or ``"lost"``, in its thread.
    early : bool
        Whether one more local worker takes light jobs until the others are up.
    """

    def __init__(
        self,
        address: str | None,
        workers: int,
        on_state: Callable[["Connection", EngineState], object],
        early: bool = False,
    ) -> None:
        self.address = address
        self.trouble = ""
        self.workers: dict[str, WorkerSlots] = {}
        self._local = None if address else LocalCluster(workers, early)
        self._on_state = on_state
        self._waiting: list[Job] = []
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._warming: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._closing = False
        self._ready = False
        self._refreshed = -REFRESH_SECONDS
        self._client: Any = None
        self._reports: Reports
        self.over = False
        self._door = threading.Lock()
        self._loop = asyncio.SelectorEventLoop()
        self._loop.set_exception_handler(_on_loop_exception)
        self._wake = asyncio.Event()
        self.thread = threading.Thread(target=self._live, name="tem-rf engine", daemon=True)
        self.thread.start()

    # from other threads

    def post(self, function: Callable[..., object], *arguments: Any) -> bool:
        """Have ``function(*arguments)`` called in the connection's thread; False if it is over."""
        with self._door:
            if self.over:
                return False
            self._loop.call_soon_threadsafe(function, *arguments)
            return True

    def give(self, job: Job) -> None:
        """Take a job in; to be posted."""
        self._waiting.append(job)
        self._wake.set()

    def end(self) -> None:
        """End the connection; to be posted."""
        self._closing = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._wake.set()

    def kill(self) -> None:
        """End the local processes by force, from any thread."""
        if self._local is not None:
            self._local.kill()

    # the connection's thread

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        error = EngineError("the engine was closed before the job was over")
        gone = ""
        try:
            self._connecting = self._loop.create_task(self._connect())
            await asyncio.wait([self._connecting])
            if not self._closing:
                await self._connecting
            while not self._closing:
                await self._look()
                self._hand_out()
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), LOOK_SECONDS)
        except SchedulerGoneError:
            where = self.address or "on this machine"
            gone = f"the Dask scheduler {where} is gone"
            error = EngineError(f"{gone}: start again")
            self.trouble = error.sentence
        except EngineError as its:
            error = its
            self.trouble = error.sentence
        except Exception as bug:
            _log.exception("the engine failed")
            error = EngineError(
                f"the engine failed unexpectedly ({type(bug).__name__}: {bug}): start again"
            )
            self.trouble = error.sentence
        finally:
            with self._door:
                self.over = True
            # jobs that were posted before the door was shut
            await asyncio.sleep(0)
            await self._tear_down(error, gone)

    async def _tear_down(self, error: EngineError, gone: str) -> None:
        if not self._closing:
            self._on_state(self, "lost")
        busy = bool(self._tasks)
        for job in [*self._tasks, *self._waiting]:
            if gone:
                self._lose(job, f"{gone} and took {job.name} along")
            else:
                job.finish("failed", error=error)
        for task in [*self._tasks.values(), *self._warming, *self._background]:
            task.cancel()
        ending = asyncio.gather(
            *self._tasks.values(), *self._warming, *self._background, return_exceptions=True
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending, 1)
        if self._client is not None:
            log = logging.getLogger("distributed.client")
            # the client, which may be trying to connect again, would print that it was not let
            log.addFilter(_nothing)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._client.close(), 5)
            log.removeFilter(_nothing)
            if self._local is not None:
                await self._local.close(busy)
        elif self._local is not None:
            self._local.kill()
        self.workers = {}

    async def _connect(self) -> None:
        self._on_state(self, "starting")
        if self._local is not None:
            await self._local.start()
        # only now: while the processes load, the window needs the interpreter
        import dask
        from distributed import Client

        if self._local is not None:
            from napari_tem_rf.engine.keyed import KeyedSecurity

            address, security = self._local.address, KeyedSecurity(self._local.key)
        else:
            assert self.address is not None
            address, security = self.address, security_for(self.address)
        try:
            # the client would keep its last 1000 messages, and the images in them
            with dask.config.set({"distributed.admin.low-level-log-length": KEPT_MESSAGES}):
                self._client = await Client(
                    address,
                    asynchronous=True,
                    set_as_default=False,
                    timeout=CONNECT_SECONDS,
                    # over the loopback arrays need not pass through the scheduler; to the
                    # workers of a cluster there may be no way but through it
                    direct_to_workers=self._local is not None,
                    security=security,
                )
        except (OSError, ValueError) as error:
            raise EngineUnavailableError(
                f"no Dask scheduler answers at {address} ({type(error).__name__}): check the "
                "address and that the scheduler runs"
            ) from error
        self._client.subscribe_topic("all", self._on_cluster_event)
        self._reports = Reports(self._client, self._do)

    # workers

    def _on_cluster_event(self, event: tuple[float, Any]) -> None:
        message = event[1]
        if isinstance(message, dict) and message.get("action") in ("add-worker", "remove-worker"):
            self._refreshed = -REFRESH_SECONDS
            self._wake.set()

    async def _look(self) -> None:
        """Notice who came and who is gone."""
        if self._local is not None:
            self._look_after_processes(self._local)
        if self._client.status != "running":
            raise SchedulerGoneError
        now = self._loop.time()
        if now - self._refreshed < REFRESH_SECONDS:
            return
        self._refreshed = now
        try:
            identity = await self._client.scheduler.identity(n_workers=-1)
        except OSError:
            raise SchedulerGoneError from None
        present = identity["workers"]
        if self._local is None:
            for address in [known for known in self.workers if known not in present]:
                self._lose_worker(address, "it ended, or the connection to it did")
        for address, info in present.items():
            name = str(info["name"])
            is_leaving = self._local is not None and name not in self._local.workers
            if address not in self.workers and info["status"] == "running" and not is_leaving:
                self._welcome(address, name)

    def _look_after_processes(self, local: LocalCluster) -> None:
        assert local.scheduler is not None
        if not local.scheduler.alive:
            raise SchedulerGoneError
        for dead in local.replace_dead():
            for worker in [w for w in self.workers.values() if w.name == dead.role]:
                self._lose_worker(worker.address, dead.ending, dead.last_words)
        for worker in [w for w in self.workers.values() if w.name == EARLY]:
            rests = self._loop.time() - worker.used_at
            if self._ready and not worker.jobs and rests > EARLY_STAYS_SECONDS:
                del self.workers[worker.address]
                local.dismiss(EARLY)

    def _welcome(self, address: str, name: str) -> None:
        shared = self._local is None or len(self._local.roles) == 1
        worker = self.workers[address] = WorkerSlots(address, name, kinds_of(name, shared))
        worker.used_at = self._loop.time()
        if worker.kinds == ("light",):
            return
        warming = self._loop.create_task(self._warm(worker))
        self._warming.add(warming)
        warming.add_done_callback(self._warming.discard)

    async def _warm(self, worker: WorkerSlots) -> None:
        future = self._client.submit(
            load_libraries,
            trains="training" in worker.kinds,
            workers=[worker.address],
            pure=False,
            key=f"warm-{worker.address}-{id(worker)}",
        )
        try:
            worker.device, trouble = await future
        except Exception:
            _log.debug("%s could not be warmed up", worker.name, exc_info=True)
            return
        if trouble:
            self.trouble = (
                f"the worker {worker.name} cannot train ({trouble}): install napari-tem-rf where "
                "the workers run"
            )
        wanted = 1 if self._local is None else len(self._local.roles)
        lasting = [w for w in self.workers.values() if w.name != EARLY]
        warm = len(lasting) >= wanted and all(w.device for w in lasting)
        if warm and not self._ready:
            self._ready = True
            self._on_state(self, "ready")

    def _lose_worker(self, address: str, ending: str, words: str = "") -> None:
        """Forget a worker and fail its jobs."""
        for job in self.workers.pop(address).jobs.values():
            task = self._tasks.pop(job, None)
            if task is not None:
                task.cancel()
            self._lose(job, f"{job.name} lost its worker process, {ending}", words)
        self._wake.set()

    @staticmethod
    def _lose(job: Job, what: str, words: str = "") -> None:
        job.finish("failed", error=EngineError(f"{what}: {job.remedy()}", words))

    # jobs

    def _hand_out(self) -> None:
        still: list[Job] = []
        for job in self._waiting:
            if job.state != "waiting":
                continue
            worker = place(self.workers.values(), job.kind, self._loop.time())
            if worker is None:
                still.append(job)
            elif self._local is None and job.kind == "training":
                worker.jobs[job.kind] = job
                self._tasks[job] = self._loop.create_task(self._run_claimed(job, worker))
            elif job.begin(self._ask_to_stop):
                worker.jobs[job.kind] = job
                self._tasks[job] = self._loop.create_task(self._run(job, worker))
        self._waiting = still

    async def _run_claimed(self, job: Job, worker: WorkerSlots) -> None:
        """Run a training where no other program trains; put it back if one does."""
        me = self._client.id
        try:
            is_ours = await self._client.run_on_scheduler(claim, worker.address, me)
        except Exception:
            _log.debug("the scheduler keeps no claims", exc_info=True)
            is_ours = True
        if is_ours and job.begin(self._ask_to_stop):
            try:
                await self._run(job, worker)
            finally:
                if not self._closing:  # the claims of a client that is gone are void
                    self._do(self._client.run_on_scheduler, unclaim, worker.address, me)
            return
        self._tasks.pop(job, None)
        worker.jobs.pop(job.kind, None)
        if is_ours:  # it was stopped in the meantime
            self._do(self._client.run_on_scheduler, unclaim, worker.address, me)
        else:
            worker.taken_until = self._loop.time() + REFRESH_SECONDS
            self._waiting.insert(0, job)
        self._wake.set()

    async def _run(self, job: Job, worker: WorkerSlots) -> None:
        # imports distributed
        from napari_tem_rf.engine.delivery import deliver

        self._reports.begin(job)
        futures: list[Any] = []
        try:
            outcome = await deliver(self._client, job, worker.address, futures)
        except asyncio.CancelledError:
            if self._tasks.get(job) is None or self.over:
                # `_lose_worker` and `_tear_down` tell the job themselves
                raise
            outcome = await self._puzzle(job, "cancelled by the scheduler")
        except Exception as error:
            outcome = await self._puzzle(job, f"{type(error).__name__}: {error}")
        finally:
            for future in futures:
                future.release()
            self._reports.end(job)
            self._tasks.pop(job, None)
            if worker.jobs.get(job.kind) is job:
                del worker.jobs[job.kind]
                worker.used_at = self._loop.time()
            self._wake.set()
        if outcome.failed:
            job.finish("failed", error=EngineError(outcome.sentence, outcome.details))
        else:
            job.finish("done", value=outcome.value)

    async def _puzzle(self, job: Job, what: str) -> JobOutcome:
        # the news that the worker or the scheduler ended, which explain it, may be a moment late
        await asyncio.sleep(20 * LOOK_SECONDS)
        return JobOutcome(
            sentence=f"{job.name} did not get to its worker or back from it ({what}): try again"
        )

    def _ask_to_stop(self, job: Job) -> None:
        self.post(self._send_stop, job)

    def _send_stop(self, job: Job) -> None:
        for worker in self.workers.values():
            if worker.jobs.get(job.kind) is job:
                self._do(self._client.run, ask_to_stop, job.id, workers=[worker.address])

    def _do(self, function: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> None:
        """Call something whose failure means nothing: the watch finds what is wrong."""

        async def quietly() -> None:
            with contextlib.suppress(Exception):
                await function(*args, **options)

        task = self._loop.create_task(quietly())
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _on_loop_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Print no traceback for what Dask still wanted to say to a process that is gone."""
    if isinstance(context.get("exception"), OSError):
        _log.debug(
            "after the end of a process: %s", context["message"], exc_info=context["exception"]
        )
    else:
        loop.default_exception_handler(context)
