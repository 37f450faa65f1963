"""Workers as copies of one process that has loaded their libraries.

Loading torch and what belongs to it takes a process seconds. On Linux one process does it for all,
`ForkServer`, and each worker is a copy of it (``fork``), there in milliseconds; so is the one that
follows a worker that died. Elsewhere copies are not safe (macOS) or not to be had (Windows), and
each worker loads for itself, as it does wherever this process fails.

The owner and the process talk by a pair of sockets. The owner sends what a worker is to be and its
standard streams; the process answers with its number, and later with how it ended. It ends when
the owner closes its socket or dies; workers see to that by their own standard input.

The standard library's fork server takes no environment of its own, runs the owner's main module
again and finds modules in the current folder.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from napari_tem_rf.engine import interpreters
from napari_tem_rf.engine.places import EARLY

__all__ = ["UNKNOWN_CODE", "ForkServer", "Forked", "borrow_server", "give_server_back"]

UNKNOWN_CODE = 1 << 16
"""Exit code of a worker whose end nobody was there to see."""

MESSAGE_BYTES = 1 << 17
MOST_HANDLES = 4096
PATIENCE_SECONDS = 10.0

LOADING = (
    "PYTHON", "LD_", "MALLOC_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "TORCH", "NUMBA", "CUDA", "TMP"
)  # fmt: skip
"""Beginnings of the variables that count while libraries are loaded."""

STAGES = (
    ("scheduler", ("engine.member",)),
    (EARLY, ("jobs.live", "learning.live")),
    ("quick", ("learning.prediction", "learning.effective_field", "jobs.live", "learning.live")),
    ("training", ("learning.training", "jobs.training")),
)
"""What is loaded, one after the other, and who waits for no more than that.

What the early worker needs is loaded first only where there is to be one.
"""


class ForkServer:
    """The owner's side: starts the process, and workers through it.

    Parameters
    ----------
    environment : dict of str
        Of the process; also finds what it may be shared by.

    Raises
    ------
    OSError
        The process could not be started.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.users = 0
        self._members: dict[int, Forked] = {}
        self._lock = threading.Lock()
        self._gone = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    interpreters.command(__name__, str(theirs.fileno())),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    process_group=0,
                )
            except OSError:
                ours.close()
                raise
        self._channel = ours

    @property
    def alive(self) -> bool:
        """Whether the process can still start workers."""
        self.listen()
        return not self._gone

    def start(
        self, role: str, environment: dict[str, str], streams: tuple[int, int, int]
    ) -> "Forked":
        """Start a worker, and return what is known of it.

        Parameters
        ----------
        role : str
            As for `engine.member`.
        environment : dict of str
            Of the worker.
        streams : tuple of int
            Its standard input, output and error; the caller closes its own.

        Raises
        ------
        OSError
            The process is gone.
        """
        try:
            here = os.getcwd()
        except OSError:  # it was removed in the meantime
            here = "/"
        with self._lock:
            number = len(self._members)
            member = Forked(self, number)
            message = {"role": role, "environment": environment, "folder": here, "number": number}
            socket.send_fds(self._channel, [json.dumps(message).encode()], list(streams))
            self._members[number] = member
        return member

    def take_back(self, number: int) -> None:
        """Have a worker that was asked for not start, or end."""
        with self._lock, contextlib.suppress(OSError):
            self._channel.send(json.dumps({"back": number}).encode())

    def listen(self) -> None:
        """Take in what the process says, without waiting for it."""
        with self._lock:
            while not self._gone and _says_something(self._channel.fileno()):
                try:
                    said = self._channel.recv(MESSAGE_BYTES)
                except OSError:
                    said = b""
                if not said:
                    self._gone = True
                    break
                news = json.loads(said)
                self._members[news.pop("number")].learn(**news)
            if self._gone:
                for member in self._members.values():
                    member.look()

    def await_news(self, seconds: float) -> None:
        """Wait until the process says something, or for that time."""
        if self._gone:
            time.sleep(min(seconds, 0.01))
        else:
            _says_something(self._channel.fileno(), seconds)

    def close(self) -> None:
        """End the process; workers stay."""
        with self._lock:
            self._gone = True
            self._channel.close()
        self._process.kill()
        self._process.wait()


class Forked:
    """A worker that is a copy; as much of `subprocess.Popen` as its owner asks for."""

    def __init__(self, server: ForkServer, number: int) -> None:
        self._server, self._number = server, number
        self._handle: int | None = None  # a pidfd: stays that process's when its number is reused
        self._ended_at = 0.0
        self.pid: int | None = None
        self.returncode: int | None = None

    def learn(self, pid: int | None = None, code: int | None = None) -> None:
        """Take in the number of the process, or how it ended."""
        if self.returncode is not None:
            return
        if pid is not None:
            self.pid = pid
            with contextlib.suppress(OSError):
                self._handle = os.pidfd_open(pid)
        if code is not None:
            self._end(code)

    def look(self) -> None:
        """See for oneself whether the process runs, when nobody is there to tell."""
        if self.returncode is None and (self._handle is None or self._has_ended()):
            self._end(UNKNOWN_CODE)

    def _end(self, code: int) -> None:
        self.returncode = code
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        self._server.listen()
        if self.returncode is None and self._has_ended():
            # its parent is the one to know how; it may have been stopped
            self._ended_at = self._ended_at or time.monotonic()
            if time.monotonic() - self._ended_at > PATIENCE_SECONDS:
                self._end(UNKNOWN_CODE)
        return self.returncode

    def _has_ended(self) -> bool:
        return self._handle is not None and _says_something(self._handle)

    def kill(self) -> None:
        """End the process by force.

        One that is not there yet counts as ended, and does not come.
        """
        if self.poll() is None and self.pid is None:
            self._server.take_back(self._number)
            self._end(UNKNOWN_CODE)
        elif self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def wait(self) -> int:
        """Wait until the process has ended, and return its exit code."""
        while (code := self.poll()) is None:
            self._server.await_news(0.05)
        return code


def _says_something(handle: int, seconds: float = 0) -> bool:
    """Return whether there is something to read, or a process has ended; waits for that time."""
    # unlike select, for handles of any number: a window may hold many files
    waiting = select.poll()
    waiting.register(handle, select.POLLIN)
    return bool(waiting.poll(1000 * seconds))


_servers: list[ForkServer] = []
_door = threading.Lock()


def borrow_server(environment: dict[str, str]) -> ForkServer | None:
    """Return the process for workers of an environment, shared by the engines of this program.

    None where workers cannot be copies of a process. What a variable says to a library that is
    loaded is said to all that share it, the others are each worker's own.
    """
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return None
    with _door:
        for server in _servers:
            if _what_loads(server.environment) == _what_loads(environment) and server.alive:
                break
        else:
            try:
                server = ForkServer(environment)
            except OSError:
                return None
            _servers.append(server)
        server.users += 1
        return server


def _what_loads(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(LOADING)}


def give_server_back(server: ForkServer) -> None:
    """Let a process end when nobody needs it any more."""
    with _door:
        server.users -= 1
        if not server.users:
            _servers.remove(server)
            server.close()


# the process


def main() -> None:
    """Load, start workers, and tell how they end, until the owner is gone."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(OSError):  # a worker dies of memory before its owner does
        Path("/proc/self/oom_score_adj").write_text("500")
    waiting: list[tuple[dict[str, Any], list[int]]] = []
    born: dict[int, tuple[int, int]] = {}  # pidfd: (number, process)
    loaded: set[str] = set()
    while True:
        stage = _next_stage(loaded, {message["role"] for message, _ in waiting})
        idle = 0 if waiting or stage else None
        ready, _, _ = select.select([channel.fileno(), *born], [], [], idle)
        for handle in ready:
            if handle == channel.fileno():
                said, streams, *_ = socket.recv_fds(channel, MESSAGE_BYTES, 3)
                if not said:
                    os._exit(0)
                message = json.loads(said)
                if "back" not in message:
                    waiting.append((message, streams))
                    continue
                for number, pid in born.values():
                    if number == message["back"]:
                        os.kill(pid, signal.SIGKILL)
                for other in [each for each in waiting if each[0]["number"] == message["back"]]:
                    waiting.remove(other)
                    for stream in other[1]:
                        os.close(stream)
            else:
                number, pid = born.pop(handle)
                os.close(handle)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                channel.send(json.dumps({"number": number, "code": code}).encode())
        still = []
        for message, streams in waiting:
            if message["role"].partition("-")[0] not in loaded:
                still.append((message, streams))
                continue
            pid = os.fork()
            if not pid:
                _become(message, streams)
            for stream in streams:
                os.close(stream)
            born[os.pidfd_open(pid)] = message["number"], pid
            channel.send(json.dumps({"number": message["number"], "pid": pid}).encode())
        waiting = still
        if stage := _next_stage(loaded, {message["role"] for message, _ in waiting}):
            _load(stage, dict(STAGES)[stage])
            loaded.add(stage)


def _next_stage(loaded: set[str], waiting: set[str]) -> str:
    """Return what to load next; empty where there is nothing."""
    for role, _ in STAGES:
        if role not in loaded and (role != EARLY or role in waiting):
            return role
    return ""


def _load(role: str, modules: tuple[str, ...]) -> None:
    # what cannot be loaded is told by the worker that needs it
    with contextlib.suppress(Exception):
        for module in modules:
            importlib.import_module(f"napari_tem_rf.{module}")
        importlib.import_module("napari_tem_rf.learning.ready").load(role)
    gc.collect()
    gc.freeze()  # copies share what is not touched


def _become(message: dict[str, Any], streams: list[int]) -> None:
    """Be a worker to the end; in the copy."""
    try:
        os.setpgid(0, 0)
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
        # what belongs to this process, or to other workers
        os.closerange(3, MOST_HANDLES)
        with contextlib.suppress(OSError):
            os.chdir(message["folder"])
        os.environ.clear()
        os.environ.update(message["environment"])
        _limit_threads(int(os.environ["OMP_NUM_THREADS"]))
        from napari_tem_rf.engine import member

        member.main(message["role"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _limit_threads(threads: int) -> None:
    """Do what the environment does for a process that is yet to load its libraries."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)
    with contextlib.suppress(ImportError):
        import threadpoolctl

        threadpoolctl.threadpool_limits(threads)


if __name__ == "__main__":
    main()
