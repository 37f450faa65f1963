"""``--scheduler``: the same work in this process, or on a Dask cluster by address."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.output import Progress, say
from napari_tem_rf.engine import ADDRESS_VARIABLE, AnyEngine, Engine, InlineEngine, Job
from napari_tem_rf.jobs.turns import side_by_side
from napari_tem_rf.protocol import Stopped
from napari_tem_rf.runs import RunRecord, read_run
from napari_tem_rf.starting import named_start

SCHEDULER = typer.Option(
    None,
    "--scheduler",
    envvar=ADDRESS_VARIABLE,
    help="Address of a Dask cluster to work on, as tcp://10.0.0.7:8786 or tls://...",
)

ASK_SECONDS = 0.2

MOST_AT_ONCE = 4
"""Frames that are predicted at the same time in this process, at most; `jobs.turns` has fewer of
large ones."""

PATIENCE_SECONDS = 5.0
"""After this many seconds without a free worker the user is told what is waited for."""


@contextmanager
def engine_at(scheduler: str | None) -> Iterator[AnyEngine]:
    """Have the engine of an address; without one, this process, for predictions."""
    if scheduler:
        with Engine(scheduler) as cluster:
            yield cluster
        return
    at_once = min(os.cpu_count() or 1, MOST_AT_ONCE)
    # in threads, so that progress is shown while it works
    with InlineEngine(threaded=True, at_once=at_once) as here, side_by_side(at_once):
        yield here


def train_at(
    scheduler: str, request: jobs.TrainRequest, progress: Progress, stopped: Stopped
) -> RunRecord:
    """Train on a cluster, whose workers see the run folder at the same path.

    Raises
    ------
    EngineError
        When the training failed, its worker ended, or no scheduler answers.
    ValueError
        When the run cannot be found from here afterwards.
    """
    request = replace(
        request,
        run=request.run.resolve(),
        start=named_start(request.start),
    )
    with Engine(scheduler) as engine:
        job = engine.submit(
            jobs.train_run, request, on_report=progress, name=f"the training of {request.run.name}"
        )
        record: RunRecord = result_of(job, engine, stopped)
    try:
        read_run(request.run)
    except ValueError as error:
        raise ValueError(
            f'the run was written by a worker, but "{request.run}" is not there on this computer: '
            "name a --run folder that all computers see at the same path"
        ) from error
    return record


def result_of(job: Job, engine: AnyEngine, stopped: Stopped) -> Any:
    """Wait for a job and return its result; pass a stop on to it, say what it waits for."""
    begun = time.monotonic()
    told = asked = False
    while True:
        try:
            return job.result(ASK_SECONDS)
        except TimeoutError:
            if stopped() and not asked:
                asked = True
                job.stop()
            if not told and job.state == "waiting" and time.monotonic() - begun > PATIENCE_SECONDS:
                told = True
                say(f"{engine.describe()}: waiting for a worker that is free")
