"""A process of the cluster on this machine: ``python -m napari_tem_rf.engine.member ROLE``.

The owner holds the other end of standard input. It closes when the owner closes it and also when
the owner dies, however it dies, on every operating system: then this process ends too.
"""

import asyncio
import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

import dask
from distributed import Scheduler, Worker

from napari_tem_rf.engine.worker import ask_to_stop_all, running_jobs

GRACE_SECONDS = 2.0

_CONFIG: dict[str, Any] = {
    # a worker that dies is told to the user, not tried again
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    # a computer that slept for an hour has not lost its workers
    "distributed.scheduler.worker-ttl": None,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.low-level-log-length": 16,
    # torch holds the interpreter for seconds while it is imported: no reason to complain
    "distributed.admin.tick.limit": "1h",
}


async def serve(role: str) -> None:
    """Be the scheduler, or a worker of the scheduler named on standard input, until the end."""
    loop = asyncio.get_running_loop()
    owner_gone = asyncio.Event()
    server: Any
    if role == "scheduler":
        server = await Scheduler(
            host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0"
        )
        print(server.address, flush=True)  # noqa: T201 - the owner reads it
    else:
        address = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if not address:
            return
        server = await Worker(
            address,
            name=role,
            nthreads=1,
            host="127.0.0.1",
            memory_limit=0,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )

    def await_owner() -> None:
        while sys.stdin.readline():
            pass
        ask_to_stop_all()
        loop.call_soon_threadsafe(owner_gone.set)
        # should the loop hang: a process without an owner must not stay
        threading.Event().wait(2 * GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=await_owner, daemon=True).start()
    finished = asyncio.ensure_future(server.finished())
    gone = asyncio.ensure_future(owner_gone.wait())
    await asyncio.wait([finished, gone], return_when=asyncio.FIRST_COMPLETED)
    deadline = loop.time() + GRACE_SECONDS
    while running_jobs() and loop.time() < deadline:
        await asyncio.sleep(0.02)
    closing = server.close() if role == "scheduler" else server.close(executor_wait=False)
    with contextlib.suppress(Exception):
        await asyncio.wait_for(closing, GRACE_SECONDS / 2)


def give_way(role: str) -> None:
    """Let the window be served first, and have a worker, not the window, die of memory."""
    if role == "scheduler":
        return
    if hasattr(os, "nice") and role.startswith("training"):
        # a core that both want goes nine parts in ten to the field at the cursor
        os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def main() -> None:
    """Run until the owner closes standard input."""
    role = sys.argv[1]
    give_way(role)
    dask.config.set(_CONFIG)
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(serve(role))
        # threads of a job that does not stop would hold up an ordinary exit
        os._exit(0)


if __name__ == "__main__":
    main()
