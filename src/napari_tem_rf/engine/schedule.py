"""Many jobs on their way through an engine: the one scheduler of the program."""

import queue
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from napari_tem_rf.engine.interface import AnyEngine
from napari_tem_rf.engine.job import EngineUnavailableError, Job, Kind

__all__ = ["Ended", "Said", "Task", "run_all"]

ASK_SECONDS = 0.2

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, eq=False)
class Task(Generic[Key]):
    """A job to be given to an engine.

    Attributes
    ----------
    key
        What the giver knows it by.
    function : callable
    arguments : tuple
        As for `AnyEngine.submit`.
    name : str
        What it is called in sentences.
    kind : {"training", "quick", "light"}
    """

    key: Key
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = field(default=(), repr=False)
    name: str = ""
    kind: Kind = "training"


@dataclass(frozen=True, slots=True, eq=False)
class Said(Generic[Key]):
    """A job reported something."""

    key: Key
    report: Any


@dataclass(frozen=True, slots=True, eq=False)
class Ended(Generic[Key]):
    """A job is over, however it ended: `Job.result` returns or raises at once."""

    key: Key
    job: Job


def run_all(
    engine: AnyEngine,
    tasks: Iterable[Task[Key]],
    *,
    stopped: Callable[[], bool] = lambda: False,
    on_stop: Callable[[Job], object] = Job.stop,
) -> Iterator[Said[Key] | Ended[Key]]:
    """Give many jobs to an engine, and yield what they say and how they end, as it comes.

    A job that fails ends like the others. What is raised while a task is made, or by whoever
    iterates, ends all: the jobs on the way are then cancelled.

    Parameters
    ----------
    engine : AnyEngine
    tasks : iterable of Task
        Taken as places become free, so that few images are in memory; one more than can run is on
        the way, so that no worker waits for its next job.
    stopped : callable
        Asked several times a second, in this thread. Once true, no task is taken any more.
    on_stop : callable
        Called with each job on the way when it stops: `Job.stop` has it end early with what it
        has, `Job.cancel` at once without a result.

    Yields
    ------
    Said or Ended
        Of a task, by its key. A task that was taken ends exactly once.

    Raises
    ------
    EngineUnavailableError
        When nothing can be run at all, for example because no scheduler answers at the address.
    """
    events: queue.SimpleQueue[tuple[int, Said[Key] | Ended[Key]]] = queue.SimpleQueue()
    on_the_way: dict[int, Job] = {}
    coming = enumerate(tasks)
    is_open, stopping = True, False
    try:
        while True:
            if not stopping and stopped():
                stopping = True
                for job in list(on_the_way.values()):
                    on_stop(job)
            while is_open and not stopping and len(on_the_way) <= engine.width:
                number, task = next(coming, (-1, None))
                if task is None:
                    is_open = False
                    break
                on_the_way[number] = _give(engine, number, task, events)
                if stopped():
                    break
            if not on_the_way:
                if stopping or not is_open:
                    return
                continue
            for number, event in _next_events(events):
                if isinstance(event, Ended):
                    del on_the_way[number]
                    if isinstance(event.job.error, EngineUnavailableError):
                        raise event.job.error
                yield event
    finally:
        for job in on_the_way.values():
            job.cancel()


def _give(
    engine: AnyEngine,
    number: int,
    task: Task[Key],
    events: "queue.SimpleQueue[tuple[int, Said[Key] | Ended[Key]]]",
) -> Job:
    job = engine.submit(
        task.function,
        *task.arguments,
        on_report=lambda report: events.put((number, Said(task.key, report))),
        name=task.name,
        kind=task.kind,
    )
    job.listen(lambda job: events.put((number, Ended(task.key, job))))
    return job


def _next_events(
    events: "queue.SimpleQueue[tuple[int, Said[Key] | Ended[Key]]]",
) -> Iterator[tuple[int, Said[Key] | Ended[Key]]]:
    """Yield what has come, after waiting for a moment where nothing has."""
    try:
        yield events.get(timeout=ASK_SECONDS)
        while True:
            yield events.get_nowait()
    except queue.Empty:
        return
