"""The processes of the cluster on this machine: a scheduler and workers on the loopback.

They listen to those who know the cluster's key, and what they write goes into a folder that is
the user's own.

`distributed.SubprocessCluster` does not run on Windows, leaves orphans when its owner is killed
and does not replace a worker that died; so the processes are started here.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

from napari_tem_rf.engine import interpreters
from napari_tem_rf.engine.forkserver import (
    UNKNOWN_CODE,
    Forked,
    ForkServer,
    borrow_server,
    give_server_back,
)
from napari_tem_rf.engine.job import EngineUnavailableError
from napari_tem_rf.engine.places import EARLY

__all__ = ["LocalCluster", "Process", "server_environment", "worker_environment"]

START_SECONDS = 120.0
END_SECONDS = 4.0
IDLE_END_SECONDS = 1.0
EARLY_SECONDS = 5.0
MANY_DEATHS = 5


def worker_environment(role: str, trainers: int) -> dict[str, str]:
    """Return the environment of a worker process.

    Trainings share all cores; the worker for quick jobs takes half of them, because it computes
    beside a training. Values that the user has set are kept.
    """
    from dask.system import CPU_COUNT

    share = CPU_COUNT // trainers if role.startswith("training") else CPU_COUNT // 2
    return _environment(max(1, share))


def server_environment() -> dict[str, str]:
    """Return the environment of the process of which workers are copies."""
    return _environment(os.cpu_count() or 1)


def _environment(threads: int) -> dict[str, str]:
    ours = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)
    )
    ours |= {
        # by default glibc maps fresh pages for every large tensor and gives them back at once;
        # keeping them for the next step makes a step on the CPU about twice as fast
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    }
    return interpreters.environment(**ours)


@dataclass(frozen=True, slots=True)
class Obituary:
    """How a worker ended: in words, and the end of what it wrote to its standard error."""

    role: str
    ending: str
    last_words: str


class Process:
    """One process of the cluster, ended by closing its standard input.

    Parameters
    ----------
    role : str
        As for `engine.member`.
    environment : dict of str
        Of the process.
    server : ForkServer, optional
        Whose copy it is; without, and where that fails, an interpreter of its own.
    """

    def __init__(
        self, role: str, environment: dict[str, str], server: ForkServer | None = None
    ) -> None:
        self.role = role
        self.started = time.monotonic()
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `release`
        theirs, self._input = _pipe()
        self.output: IO[bytes] | None = None
        writes: IO[bytes] = self.log
        if role == "scheduler":
            self.output, writes = _pipe()
        streams = theirs, writes, self.log
        try:
            self._process = _copied(role, environment, server, streams) or _started(
                role, environment, streams
            )
        finally:
            theirs.close()
            if writes is not self.log:
                writes.close()

    @property
    def pid(self) -> int | None:
        """Number of the process, None where it is not there yet."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs, or is about to."""
        return self._process.poll() is None

    def tell(self, line: str) -> None:
        """Write a line to the process; without effect when it is gone."""
        with contextlib.suppress(OSError):
            self._input.write(f"{line}\n".encode())
            self._input.flush()

    def hang_up(self) -> None:
        """Close the process's standard input: it ends by itself."""
        with contextlib.suppress(OSError):
            self._input.close()

    def kill(self) -> None:
        """End the process by force."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until the process has ended."""
        self._process.wait()

    def release(self) -> None:
        """Kill what still runs and give the operating system everything back."""
        if self.alive:
            self.kill()
        self.hang_up()
        self.wait()
        if self.output is not None:
            self.output.close()
        self.log.close()

    @property
    def was_killed(self) -> bool:
        """Whether the process did not end by itself, or nobody saw how."""
        return by_force(self._process.returncode, self.last_words(), sys.platform)

    def ending(self) -> str:
        """Say how the process ended."""
        return ending_in_words(self._process.returncode)

    def last_words(self) -> str:
        """Return the end of what the process wrote to its standard error."""
        end = self.log.seek(0, os.SEEK_END)
        self.log.seek(max(0, end - 4000))
        text = self.log.read().decode(errors="replace").strip()
        self.log.seek(0, os.SEEK_END)
        return text


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return open(reading, "rb"), open(writing, "wb")


def _copied(
    role: str, environment: dict[str, str], server: ForkServer | None, streams: Iterable[IO[bytes]]
) -> Forked | None:
    if server is None:
        return None
    reads, writes, complains = (stream.fileno() for stream in streams)
    try:
        return server.start(role, environment, (reads, writes, complains))
    except OSError:  # it ended, or the environment is too large for a message
        return None


def _started(
    role: str, environment: dict[str, str], streams: tuple[IO[bytes], IO[bytes], IO[bytes]]
) -> "subprocess.Popen[bytes]":
    reads, writes, complains = streams
    return subprocess.Popen(
        interpreters.command("napari_tem_rf.engine.member", role),
        stdin=reads,
        stdout=writes,
        stderr=complains,
        env=environment,
        **start_options(role, sys.platform),
    )


def start_options(role: str, platform: str) -> dict[str, Any]:
    """Return how a process is started on a system, by its ``sys.platform``.

    Out of the terminal's foreground group: Ctrl-C is for the owner, who ends the others. On Windows
    a training gives way to the window from its start, elsewhere it does so itself (`member`).
    """
    if platform != "win32":
        return {"process_group": 0}
    gives_way = _BELOW_NORMAL if role.startswith("training") else 0
    return {"creationflags": _NO_WINDOW | _NEW_GROUP | gives_way}


def by_force(code: int | None, last_words: str, platform: str) -> bool:
    """Whether a process did not end by itself, or nobody saw how.

    On Windows whoever ends a process chooses its code, 1 by custom, which Python also leaves with;
    but not without a word. The system itself gives an error's status.
    """
    if code is None or code == UNKNOWN_CODE:
        return code is not None
    if platform == "win32":
        return code >= _WINDOWS_ERRORS or (code == 1 and not last_words)
    return code < 0


_NO_WINDOW, _NEW_GROUP, _BELOW_NORMAL = 0x0800_0000, 0x0200, 0x4000
"""Windows' CREATE_NO_WINDOW, CREATE_NEW_PROCESS_GROUP and BELOW_NORMAL_PRIORITY_CLASS."""

_WINDOWS_ERRORS = 0xC000_0000
"""The first of Windows' statuses that are errors."""

_WINDOWS_ENDINGS = {
    0xC000_0005: "an access violation",
    0xC000_0017: "lack of memory",
    0xC000_001D: "an instruction that this processor does not know",
    0xC000_00FD: "a stack overflow",
    0xC000_012D: "lack of memory",
    0xC000_013A: "Ctrl-C",
    0xC000_0135: "a library that is missing",
}
"""What Windows ends processes for, by their exit code (NTSTATUS)."""


def ending_in_words(code: int | None) -> str:
    """Say how a process ended, by its exit code: below 0 a signal, on Windows a status."""
    if code == UNKNOWN_CODE:
        return "it ended, and nobody saw how"
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        memory = ", as when memory runs out" if name == "SIGKILL" else ""
        return f"it was ended by {name}{memory}"
    if code in _WINDOWS_ENDINGS:
        return f"it was ended by {_WINDOWS_ENDINGS[code]}"
    return f"it ended with exit code {code}"


def _not_started(scheduler: Process) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"the local cluster did not start, {scheduler.ending()}: "
        "restart the program, or give the address of another Dask scheduler",
        scheduler.last_words(),
    )


class LocalCluster:
    """A scheduler and workers in processes of their own.

    Parameters
    ----------
    workers : int
        Number of workers; with two and more the last one takes the quick jobs.
    early : bool
        Whether one more takes light jobs until the others are up. Only where workers are copies of
        a process that loads: elsewhere it would be up no sooner than they are.
    """

    def __init__(self, workers: int, early: bool = False) -> None:
        self._trainers = max(1, workers - 1)
        self.roles = [f"training-{i}" for i in range(self._trainers)] + ["quick"] * (workers > 1)
        self.address = ""
        self.key = secrets.token_bytes(32)
        self._scratch = ""
        self._early_deaths = 0
        self._early = early and workers > 1
        self.scheduler: Process | None = None
        self._leaving: list[Process] = []
        self.workers: dict[str, Process] = {}
        self._server: ForkServer | None = None
        self._copies = True

    async def start(self) -> None:
        """Start the processes; they load in parallel.

        Raises
        ------
        EngineUnavailableError
            The scheduler did not come up.
        """
        ended = await self._come_up()
        if ended is not None and ended.was_killed:
            # by somebody, or for lack of memory: once more, with as little as can be
            self._copies = False
            self.kill()
            ended = await self._come_up()
        if ended is not None:
            raise _not_started(ended)

    async def _come_up(self) -> Process | None:
        """Start the processes; return the scheduler where it ended instead."""
        # first of all: it loads while this process does
        self._server = borrow_server(server_environment())
        # Dask's own choice is a name in the common folder, which another user may have taken
        self._scratch = tempfile.mkdtemp(prefix=interpreters.SCRATCH)
        self.scheduler = scheduler = self._start("scheduler")
        early = [EARLY] if self._early and self._server is not None else []
        for role in [*early, *self.roles]:
            self.workers[role] = self._start(role)
        assert scheduler.output is not None
        reading = asyncio.to_thread(scheduler.output.readline)
        try:
            self.address = (await asyncio.wait_for(reading, START_SECONDS)).decode().strip()
        except TimeoutError:
            scheduler.kill()
            scheduler.wait()
            raise _not_started(scheduler) from None
        if not self.address:
            scheduler.wait()
            return scheduler
        for process in self.workers.values():
            process.tell(self.address)
        return None

    def _start(self, role: str) -> Process:
        server = self._server if self._copies else None
        process = Process(role, worker_environment(role, self._trainers), server)
        # by a pipe: command line and environment of a process are not places for secrets
        process.tell(self.key.hex())
        process.tell(json.dumps(self._scratch))
        return process

    def dismiss(self, role: str) -> None:
        """Let a worker end for good."""
        process = self.workers.pop(role)
        process.hang_up()
        self._leaving.append(process)

    def replace_dead(self) -> list[Obituary]:
        """Start new workers in the places of those that ended, and return how these ended.

        Raises
        ------
        EngineUnavailableError
            Workers end again and again soon after their start.
        """
        for process in [each for each in self._leaving if not each.alive]:
            process.release()
            self._leaving.remove(process)
        dead = []
        for role, process in list(self.workers.items()):
            if process.alive:
                continue
            obituary = Obituary(role, process.ending(), process.last_words())
            lived = time.monotonic() - process.started
            self._early_deaths = self._early_deaths + 1 if lived < EARLY_SECONDS else 0
            # should it be for that they are copies
            self._copies = not self._early_deaths
            if self._early_deaths >= MANY_DEATHS:
                raise EngineUnavailableError(
                    f"workers do not last on this machine, {obituary.ending}: restart the "
                    "program, or give the address of another Dask scheduler",
                    obituary.last_words,
                )
            process.release()
            self.workers[role] = self._start(role)
            self.workers[role].tell(self.address)
            dead.append(obituary)
        return dead

    async def close(self, busy: bool) -> None:
        """End all processes, by force where they do not end themselves.

        Parameters
        ----------
        busy : bool
            There are jobs, which need time to put away what they have.
        """
        processes = [*self.workers.values(), *([self.scheduler] if self.scheduler else [])]
        for process in processes:
            process.hang_up()
        deadline = time.monotonic() + (END_SECONDS if busy else IDLE_END_SECONDS)
        while any(process.alive for process in processes) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """End all processes by force, now."""
        scheduler = [self.scheduler] if self.scheduler else []
        for process in [*self.workers.values(), *self._leaving, *scheduler]:
            process.release()
        self.workers, self._leaving, self.scheduler = {}, [], None
        server, self._server = self._server, None
        if server is not None:
            give_server_back(server)
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)
