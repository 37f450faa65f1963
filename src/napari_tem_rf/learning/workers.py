"""Tiles worked on at the same time, each by a thread of its own."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from napari_tem_rf.learning.device import computing_threads

MOST_WORKERS = 8
"""Tiles at work at one time, at most: each holds its feature maps."""


class TileJob(Protocol):
    """The work on one tile."""

    def work(self) -> Any:
        """Do the work and return its result."""


SomeJob = TypeVar("SomeJob", bound=TileJob)


@dataclass(frozen=True, slots=True)
class Workers:
    """Threads that each work on a job of its own, with one thread of torch each.

    All of torch's threads on one tile wait for each other after every layer, and for long where
    another process holds a core. One job alone gets them all.
    """

    threads: int
    count: int = 1
    pool: Executor | None = None

    def run(self, jobs: Sequence[SomeJob], stopped: Callable[[], bool]) -> Iterator[SomeJob]:
        """Run jobs and yield each when it is done; asks before each whether to stop."""
        if self.pool is None or len(jobs) == 1:
            for job in jobs:
                if stopped():
                    return
                with computing_threads(self.threads):
                    job.work()
                yield job
            return
        waiting, stop = list(reversed(jobs)), False
        running: dict[Future[Any], SomeJob] = {}
        while running or (waiting and not stop):
            while waiting and len(running) < self.count and not (stop := stop or stopped()):
                job = waiting.pop()
                running[self.pool.submit(job.work)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                future.result()
                yield running.pop(future)


@contextmanager
def workers_for(device: torch.device) -> Iterator[Workers]:
    """Open as many workers as torch has threads here; a GPU does one job after the other."""
    threads = torch.get_num_threads()
    count = min(threads, MOST_WORKERS) if device.type == "cpu" else 1
    if count == 1:
        yield Workers(threads)
        return
    with computing_threads(threads // count), ThreadPoolExecutor(count, "tile") as pool:
        yield Workers(threads, count, pool)
