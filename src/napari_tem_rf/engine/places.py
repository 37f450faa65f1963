"""Which worker takes which job.

Dask would pile jobs on a worker as soon as they are given to it, and they would die with it; so
a job is given to Dask only when a worker has a place for it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from napari_tem_rf.engine.job import Job, Kind

__all__ = ["WorkerSlots", "kinds_of", "place"]


@dataclass(slots=True, eq=False)
class WorkerSlots:
    """A worker and what it does: at most one job of each kind at a time."""

    address: str
    name: str
    kinds: tuple[Kind, ...]
    jobs: dict[Kind, Job] = field(default_factory=dict)
    device: str = ""


def kinds_of(name: str, shared: bool) -> tuple[Kind, ...]:
    """Return what a worker takes: everything where they are `shared`, else what its name says."""
    if shared:
        return ("training", "quick")
    return ("quick",) if name == "quick" else ("training",)


def place(workers: Iterable[WorkerSlots], kind: Kind) -> WorkerSlots | None:
    """Return the worker for a job of that kind, None if it has to wait."""
    free = [worker for worker in workers if kind in worker.kinds and kind not in worker.jobs]
    # a quick job goes where nothing trains, if there is such a place
    return min(free, key=lambda worker: len(worker.jobs), default=None)
