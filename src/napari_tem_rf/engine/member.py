"""A process of the cluster on this machine: ``python -m napari_tem_rf.engine.member ROLE``.

The owner holds the other end of standard input. It closes when the owner closes it and also when
the owner dies, however it dies, on every operating system: then this process ends too.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dask
import distributed

from napari_tem_rf.engine.interpreters import SCRATCH
from napari_tem_rf.engine.keyed import SCHEME, KeyedSecurity
from napari_tem_rf.engine.worker import ask_to_stop_all, running_jobs

GRACE_SECONDS = 2.0

NAME = "rf-"
"""What the names of processes begin with, of which a system keeps 15 letters."""

_CONFIG: dict[str, Any] = {
    # a worker that dies is told to the user, not tried again
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    # a computer that slept for an hour has not lost its workers
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.low-level-log-length": 16,
    # torch holds the interpreter for seconds while it is imported: no reason to complain
    "distributed.admin.tick.limit": "1h",
}


class _WithoutWebServer:
    """A process without Dask's web server, whose port would ask nobody for the key."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Do nothing."""


class Scheduler(_WithoutWebServer, distributed.Scheduler):
    """A scheduler that listens at one port; Dask goes by the names of the classes."""


class Worker(_WithoutWebServer, distributed.Worker):
    """A worker that listens at one port."""


async def serve(role: str, key: bytes) -> bool:
    """Be the scheduler, or a worker of the scheduler named on standard input, until the end.

    Returns whether that was because the owner closed standard input or died.
    """
    loop = asyncio.get_running_loop()
    owner_gone = asyncio.Event()
    own: dict[str, Any] = {
        "host": "127.0.0.1",
        "protocol": SCHEME,
        "security": KeyedSecurity(key),
        "dashboard": False,
    }
    server: Any
    if role == "scheduler":
        server = await Scheduler(port=0, **own)
        print(server.address, flush=True)  # noqa: T201 - the owner reads it
    else:
        address = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if not address:
            return True
        server = await Worker(address, name=role, nthreads=1, memory_limit=0, **own)

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
    return owner_gone.is_set()


def give_way(role: str) -> None:
    """Let the window be served first, and have a worker, not the window, die of memory."""
    if role == "scheduler":
        return
    if hasattr(os, "nice") and role.startswith("training"):
        # a core that both want goes nine parts in ten to the field at the cursor
        os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def name_process(role: str) -> None:
    """Have lists of processes show what this one does, where the system lets it say so."""
    with contextlib.suppress(OSError, AttributeError):
        # a copy of another process has that one's command line
        Path("/proc/self/comm").write_text(NAME + role)


def members_of(processes: Iterable[Any]) -> list[tuple[str, Any]]:
    """Return the roles of those of some processes (of psutil) that are an engine's; no zombies."""
    import psutil

    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            words, name = process.cmdline(), process.name()
            if words and name.startswith(NAME):
                found.append((name.removeprefix(NAME), process))
            elif "napari_tem_rf.engine.member" in words:
                found.append((words[-1], process))
    return found


def main(role: str) -> None:
    """Run until the owner closes standard input."""
    name_process(role)
    give_way(role)
    try:
        key, scratch = bytes.fromhex(sys.stdin.readline()), json.loads(sys.stdin.readline())
    except ValueError:  # the owner is gone already
        return
    dask.config.set(_CONFIG | {"temporary-directory": scratch})
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        # an owner that was killed could not do it
        if runner.run(serve(role, key)) and Path(scratch).name.startswith(SCRATCH):
            shutil.rmtree(scratch, ignore_errors=True)
        # threads of a job that does not stop would hold up an ordinary exit
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
