"""Which worker takes which job.

Dask would pile jobs on a worker as soon as they are given to it, and they would die with it; so
a job is given to Dask only when a worker has a place for it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from napari_tem_rf.engine.job import Job, Kind

__all__ = ["EARLY", "WorkerSlots", "claim", "kinds_of", "place", "unclaim"]

EARLY = "early"
"""Name of the worker that is up before PyTorch is loaded, and goes when the others are up."""

_CLAIMS = "napari-tem-rf trainings"


@dataclass(slots=True, eq=False)
class WorkerSlots:
    """A worker and what it does: at most one job of each kind at a time."""

    address: str
    name: str
    kinds: tuple[Kind, ...]
    jobs: dict[Kind, Job] = field(default_factory=dict)
    device: str = ""
    taken_until: float = -math.inf
    """Time of the event loop until which another program is assumed to train there."""
    used_at: float = -math.inf
    """Time of the event loop when its last job ended."""


def kinds_of(name: str, shared: bool) -> tuple[Kind, ...]:
    """Return what a worker takes: everything if they are `shared`, otherwise what its name says."""
    if shared:
        return ("training", "quick", "light")
    if name == EARLY:
        return ("light",)
    return ("quick", "light") if name == "quick" else ("training",)


def place(workers: Iterable[WorkerSlots], kind: Kind, now: float) -> WorkerSlots | None:
    """Return the worker for a job of that kind, None if it has to wait."""
    free = [
        worker
        for worker in workers
        if kind in worker.kinds
        and kind not in worker.jobs
        and (kind != "training" or worker.taken_until <= now)
    ]
    # a quick job goes where nothing trains, if there is such a place
    return min(free, key=lambda worker: len(worker.jobs) + (worker.taken_until > now), default=None)


def claim(address: str, client: str, dask_scheduler: Any = None) -> bool:
    """Take a worker for a training; False where another program trains. Runs in the scheduler.

    A program that is gone has left its claims.
    """
    claims = dask_scheduler.extensions.setdefault(_CLAIMS, {})
    holder = claims.get(address, client)
    if holder != client and holder in dask_scheduler.clients:
        return False
    claims[address] = client
    return True


def unclaim(address: str, client: str, dask_scheduler: Any = None) -> None:
    """Leave a worker to others; runs in the scheduler."""
    claims = dask_scheduler.extensions.get(_CLAIMS, {})
    if claims.get(address) == client:
        del claims[address]
