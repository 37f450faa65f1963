"""The way of one job to its worker and of its outcome back."""

import traceback
from typing import Any

from napari_tem_rf.engine.job import Job
from napari_tem_rf.engine.packing import pack
from napari_tem_rf.engine.worker import JobOutcome, run_job

__all__ = ["deliver"]

SCATTERED_BYTES = 1_000_000


async def deliver(client: Any, job: Job, address: str, futures: list[Any]) -> JobOutcome:
    """Have a job run by the worker at `address` and return its outcome.

    Parameters
    ----------
    client : distributed.Client
        An asynchronous one.
    job : Job
    address : str
        Of the worker.
    futures : list
        Receives what the caller has to release afterwards.
    """
    try:
        packed = pack((job.function, job.arguments))
    except Exception as error:
        return JobOutcome(
            sentence=f"{job.name} cannot be sent to a worker ({type(error).__name__}: {error}): "
            "give it plain values",
            details=traceback.format_exc(),
        )
    payload: Any
    if packed.nbytes <= SCATTERED_BYTES:
        payload = packed.portable()
    else:
        # the scheduler would read and keep a large task; scattered data goes past it, for the
        # price of three more messages
        payload = await client.scatter(packed, workers=[address], hash=False)
        futures.append(payload)
    gives_way = job.kind == "training"
    result = client.submit(
        run_job,
        payload,
        job.id,
        job.name,
        client.id,
        gives_way,
        workers=[address],
        pure=False,
        key=job.id,
    )
    futures.append(result)
    outcome: JobOutcome = (await result).unpack()
    return outcome
