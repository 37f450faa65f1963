"""The way of reports from the workers: events of Dask, under one topic for each client."""

import pickle
from collections.abc import Callable
from typing import Any

from napari_tem_rf.engine.job import Job

__all__ = ["Reports", "forget_reports"]

KEPT_BYTES = 16_000_000


class Reports:
    """Takes reports in and gives them to their jobs.

    The topic is the client's identifier: the scheduler forgets its events by itself some time
    after the client is gone.

    Parameters
    ----------
    client : distributed.Client
        An asynchronous one.
    call : callable
        Called as ``call(function, *args)``, awaits ``function(*args)`` sometime.
    """

    def __init__(self, client: Any, call: Callable[..., None]) -> None:
        self._client = client
        self._call = call
        self._jobs: dict[str, Job] = {}
        self._kept_bytes = 0
        client.subscribe_topic(client.id, self._take)

    def begin(self, job: Job) -> None:
        """Take the reports of a job from now on."""
        self._jobs[job.id] = job

    def end(self, job: Job) -> None:
        """Take no more reports of a job."""
        del self._jobs[job.id]
        if job.kind == "training":
            self._forget()

    def _take(self, event: tuple[float, Any]) -> None:
        message = event[1]
        # the scheduler logs under the same topic when the client comes and goes
        job = self._jobs.get(message.get("job", ""))
        if job is None:
            return
        job.report(pickle.loads(message["report"]))
        self._kept_bytes += len(message["report"])
        if self._kept_bytes > KEPT_BYTES:
            self._forget()

    def _forget(self) -> None:
        if self._kept_bytes:
            self._kept_bytes = 0
            self._call(self._client.run_on_scheduler, forget_reports, self._client.id)


def forget_reports(topic: str, dask_scheduler: Any = None) -> None:
    """Drop the events that the scheduler keeps of `topic`; runs in the scheduler.

    It would keep the last 1000 of them, which are many megabytes of previews.
    """
    broker = getattr(dask_scheduler, "_broker", None)
    if broker is not None:
        broker.truncate(topic)
