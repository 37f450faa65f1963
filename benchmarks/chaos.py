"""Whether work is right, answered and whole while its processes are killed, stopped and starved.

Jobs go through a real engine from several threads: quick ones, trainings that report, write a
checkpoint and go on from it, and large arrays; some are stopped, some cancelled. Meanwhile, at
random, workers (and now and then the scheduler) are killed by one of five signals, stopped for some
seconds, or starved of the cores. A job that is lost is given again, as a user would. With
``--window`` strokes are painted in a real window too (`xvfb-run` will do), and its own trainings
are started again as they fall.

At the end nothing may be wrong (a result that is not what it must be, a report twice or out of
order), hanging (a job not over in time), lost (a failure without a sentence or without a cause, a
stroke that is gone) or left (a process, a thread, a folder, an open file). Prints a table; leaves
with 1 where anything is.

    python benchmarks/chaos.py [--seconds 600] [--seed 752] [--window]
"""

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import queue
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_tem_rf.engine import Engine, EngineError, Job, JobCancelledError
from napari_tem_rf.engine.member import members_of

PATIENCE_SECONDS = 180.0
"""In which a job must be over: a new worker takes seconds, more on starved cores."""

STEPS = 40
STEP_SECONDS = 0.05

DEATHS = ("SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT", "SIGBUS")

LOSSES = ("lost its worker process", "is gone and took", "did not get to its worker or back")
"""What the engine may say of a job; each needs a process that was killed just before."""


# jobs


def answer(numbers: np.ndarray, *, report: Callable, stopped: Callable) -> int:
    """Add numbers up."""
    return int(numbers.sum())


def turn(image: np.ndarray, *, report: Callable, stopped: Callable) -> np.ndarray:
    """Return a large array, mirrored."""
    return image[::-1]


def train(checkpoint: Path, *, report: Callable, stopped: Callable) -> tuple[int, str]:
    """Make steps, each of the one before, with a checkpoint after each; return the last."""
    step, state = 0, ""
    if checkpoint.exists():
        number, state = checkpoint.read_text().split(" ")
        step = int(number)
    report(("begins", step))
    while step < STEPS and not stopped():
        step, state = step + 1, after(state)
        aside = checkpoint.with_suffix(".part")
        aside.write_text(f"{step} {state}")
        aside.replace(checkpoint)
        report(("made", step))
        time.sleep(STEP_SECONDS)
    return step, state


def after(state: str) -> str:
    """Return the state after one more step."""
    return hashlib.sha256(state.encode()).hexdigest()


def state_after(steps: int) -> str:
    """Return the state after so many steps without a break."""
    state = ""
    for _ in range(steps):
        state = after(state)
    return state


def burn(seconds: float) -> None:
    """Keep a core busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


# what is seen


@dataclass
class Tally:
    """What happened and what must not have."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    hanging: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    slowest: float = 0.0
    killed_at: float = -1e9
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        """Count something that happened."""
        with self.lock:
            self.counts[what] += 1

    def wait(self, job: Job, begun: float) -> Any:
        """Wait for a job and return its result; note one that is not over in time.

        Raises
        ------
        EngineError
            The job was lost or cancelled.
        """
        try:
            value = job.result(PATIENCE_SECONDS)
        except TimeoutError:
            self.hanging.append(f"{job.name}: {job.state}")
            job.cancel()
            raise JobCancelledError("given up") from None
        except JobCancelledError:
            raise
        except EngineError as error:
            self.failed(error.sentence)
            raise
        self.slowest = max(self.slowest, time.monotonic() - begun)
        return value

    def failed(self, sentence: str) -> None:
        """Note a failure: a loss that has a cause is counted, another is a fault."""
        has_cause = time.monotonic() - self.killed_at < PATIENCE_SECONDS
        if has_cause and any(part in sentence for part in LOSSES):
            self.count("jobs lost with their process and given again")
        else:
            self.lost.append(sentence)


class Givers:
    """Threads that give jobs to an engine and look at what comes back."""

    def __init__(self, engine: Engine, tally: Tally, folder: Path, seed: int) -> None:
        self._engine, self._tally, self._folder = engine, tally, folder
        self._over = threading.Event()
        kinds = (self._answers, self._answers, self._images, self._trainings, self._trainings)
        self._threads = [
            threading.Thread(target=self._guard, args=(give, random.Random(seed + number)))
            for number, give in enumerate(kinds)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Give no more jobs, and wait for those that are on the way."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_SECONDS)
            if thread.is_alive():
                self._tally.hanging.append(thread.name)

    def _guard(self, give: Callable[[random.Random], None], rng: random.Random) -> None:
        try:
            while not self._over.is_set():
                give(rng)
        except Exception as error:
            self._tally.wrong.append(f"a giver ended: {type(error).__name__}: {error}")
            raise

    def _answers(self, rng: random.Random) -> None:
        numbers = np.arange(rng.randrange(1, 50_000))
        begun = time.monotonic()
        job = self._engine.submit(answer, numbers, name="sum", kind="quick")
        if rng.random() < 0.05:
            time.sleep(rng.random() * 0.02)
            job.cancel()
        with contextlib.suppress(EngineError):
            value = self._tally.wait(job, begun)
            if value != len(numbers) * (len(numbers) - 1) // 2:
                self._tally.wrong.append(f"the sum up to {len(numbers)} came back as {value}")
            self._tally.count("quick answers")
            return
        if job.state == "cancelled":
            self._tally.count("jobs cancelled")
        time.sleep(0.02)

    def _images(self, rng: random.Random) -> None:
        image = np.random.default_rng(rng.randrange(1 << 30)).random((1009, 1013), np.float32)
        begun = time.monotonic()
        job = self._engine.submit(turn, image, name="image", kind="quick")
        with contextlib.suppress(EngineError):
            if not np.array_equal(self._tally.wait(job, begun), image[::-1]):
                self._tally.wrong.append("an image came back changed")
            self._tally.count("images there and back")
        time.sleep(rng.random() * 0.3)

    def _trainings(self, rng: random.Random) -> None:
        """Give a training until it is done: after a loss or a stop it goes on."""
        checkpoint = self._folder / f"training_{rng.randrange(1 << 40)}"
        reached = 0
        while not self._over.is_set() or reached:
            said: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
            begun = time.monotonic()
            job = self._engine.submit(
                train, checkpoint, name="training", on_report=said.put, remains=lambda: "go on"
            )
            if rng.random() < 0.2:
                time.sleep(rng.random() * STEPS * STEP_SECONDS)
                job.stop()
            value = None
            with contextlib.suppress(EngineError):
                value = self._tally.wait(job, begun)
            heard = [said.get() for _ in range(said.qsize())]
            self._look_at(heard, reached, value)
            reached = max([reached, *(step for _, step in heard)])
            if value is None:
                self._tally.count("trainings lost or stopped before they began")
            elif value[0] < STEPS:
                self._tally.count("trainings stopped within")
            else:
                self._tally.count("trainings done, equal to unbroken ones")
                if value != (STEPS, state_after(STEPS)):
                    self._tally.wrong.append(f"a training ended as {value}")
                return

    def _look_at(self, heard: list[tuple[str, int]], reached: int, value: Any) -> None:
        if not heard:
            return
        (first, begins), *made = heard
        steps = [step for _, step in made]
        if first != "begins" or begins < reached:
            self._tally.wrong.append(f"a training began at {begins} after {reached}")
        if steps != list(range(begins + 1, begins + 1 + len(steps))):
            self._tally.wrong.append(f"reports after {begins} came as {steps}")
        if value is not None and value != (begins + len(steps), state_after(value[0])):
            self._tally.wrong.append(f"a training said {heard[-1]} and returned {value}")


class Trouble:
    """A thread that kills, stops and starves the processes of an engine."""

    def __init__(self, tally: Tally, rng: random.Random, seconds: float) -> None:
        self._tally, self._rng = tally, rng
        self._end = time.monotonic() + seconds
        self._thread = threading.Thread(target=self._go_on, name="trouble")
        self._thread.start()

    @property
    def is_going_on(self) -> bool:
        """Whether there is more to come."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for the last trouble."""
        self._thread.join()

    def _go_on(self) -> None:
        while time.monotonic() < self._end:
            time.sleep(self._rng.uniform(0.5, 4.0))
            roles = members()
            if not roles:
                continue
            # one that has just begun is left alone: an engine whose workers all die young gives up
            old = [p for p, role in roles if role != "scheduler" and age(p) > 7]
            what = self._rng.choices(
                ("kill", "stop", "starve", "kill scheduler", "kill loader"),
                weights=(40, 30, 20, 5, 5),
            )[0]
            with contextlib.suppress(psutil.NoSuchProcess):
                if what == "kill" and old:
                    self._kill(self._rng.choice(old), "worker")
                elif what == "stop":
                    self._stop(*self._rng.choice(roles + loaders()))
                elif what == "starve":
                    self._starve()
                elif what == "kill scheduler":
                    for process, role in roles:
                        if role == "scheduler" and age(process) > 15:
                            self._kill(process, "scheduler")
                elif what == "kill loader":
                    for process, role in loaders():
                        self._kill(process, role)

    def _kill(self, process: psutil.Process, role: str) -> None:
        name = self._rng.choice(DEATHS)
        self._tally.killed_at = time.monotonic()
        process.send_signal(getattr(signal, name))
        self._tally.count(f"{role}s ended by {name}")

    def _stop(self, process: psutil.Process, role: str) -> None:
        process.suspend()
        try:
            time.sleep(self._rng.uniform(0.2, 5.0))
        finally:
            process.resume()
        kind = role if role in ("scheduler", "loader") else "worker"
        self._tally.count(f"{kind}s stopped a while")

    def _starve(self) -> None:
        seconds = self._rng.uniform(1.0, 5.0)
        spawn = multiprocessing.get_context("spawn")
        hogs = [
            spawn.Process(target=burn, args=(seconds,)) for _ in range(3 * (os.cpu_count() or 1))
        ]
        for hog in hogs:
            hog.start()
        for hog in hogs:
            hog.join()
        self._tally.count("times all cores were taken")


def members() -> list[tuple[psutil.Process, str]]:
    """Return the processes of engines, and their roles."""
    return [(process, role) for role, process in members_of(family())]


def family() -> list[psutil.Process]:
    """Return the processes of this one's session: workers whose loader was killed too."""
    if not hasattr(os, "getsid"):
        return psutil.Process().children(recursive=True)
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            if os.getsid(process.pid) == os.getsid(0) and process.pid != os.getpid():
                found.append(process)
    return found


def loaders() -> list[tuple[psutil.Process, str]]:
    """Return the processes of which others are copies."""
    copies = {process.pid for process, _ in members()}
    found = []
    for process in family():
        with contextlib.suppress(psutil.Error):
            is_one = "napari_tem_rf.engine.forkserver" in process.cmdline()
            if is_one and process.pid not in copies:
                found.append((process, "loader"))
    return found


def age(process: psutil.Process) -> float:
    """Return for how many seconds a process runs."""
    return time.time() - process.create_time()


# the window


class Painted:
    """A real window in which strokes are painted and trainings started."""

    def __init__(self, tally: Tally) -> None:
        from window_stall import Bench

        self._tally = tally
        self.bench = Bench()
        self.engine: Engine = self.bench.session.engine

    def close(self) -> None:
        """End everything."""
        from window_stall import _HOME

        self.bench.close()
        _HOME.cleanup()

    def paint_until(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Paint, and press the button for a training whenever none runs."""
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtTest import QTest
        from window_stall import process_until

        session, train = self.bench.session, self.bench.workspace.train
        session.change_plan(epochs=None, seconds=20.0)
        end = time.monotonic() + seconds
        painted = 0
        self.bench.painter.start()
        while time.monotonic() < end and not is_over():
            if session.training is None and train.train_button.isEnabled():
                QTest.mouseClick(train.train_button, Qt.MouseButton.LeftButton)
                self._tally.count("trainings of the window begun")
            pause = threading.Event()
            QTimer.singleShot(1000, pause.set)
            process_until(pause.is_set, 60)
            now = int(np.count_nonzero(self.bench.annotation.data))
            if now < painted:
                self._tally.lost.append(f"{painted - now} painted pixels")
            painted = now
        self.bench.painter.stop()
        if session.training is not None:
            session.training.stop()
        try:
            process_until(
                lambda: session.training is None and session.predicting is None, PATIENCE_SECONDS
            )
        except TimeoutError:
            self._tally.hanging.append("the window's training")
        if not painted:
            self._tally.wrong.append("the synthetic mouse did not paint")
        self._tally.counts["pixels painted"] = painted


def main() -> None:
    """Make trouble for a while and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=752)
    parser.add_argument("--window", action="store_true", help="paint in a window too")
    options = parser.parse_args()
    tally = Tally()
    memory = psutil.Process().memory_info
    with tempfile.TemporaryDirectory() as home:
        scratch = Path(home, "scratch")
        scratch.mkdir()
        tempfile.tempdir = str(scratch)  # what the engine leaves would lie here
        window = Painted(tally) if options.window else None
        engine = Engine(workers=3) if window is None else window.engine
        engine.submit(answer, np.arange(3), kind="quick").result(PATIENCE_SECONDS)
        files, before = psutil.Process().num_fds(), memory().rss
        threads = set(threading.enumerate())
        givers = Givers(engine, tally, Path(home), options.seed)
        trouble = Trouble(tally, random.Random(options.seed), options.seconds)
        if window is not None:
            window.paint_until(lambda: not trouble.is_going_on, options.seconds + 60)
        trouble.join()
        givers.end()
        after_all = memory().rss
        # it works as before
        if engine.submit(answer, np.arange(3), kind="quick").result(PATIENCE_SECONDS) != 3:
            tally.wrong.append("the last answer")
        grown = psutil.Process().num_fds() - files
        if grown > 20:
            tally.left.append(f"{grown} open files")
        engine.close()
        if window is not None:
            window.close()
        deadline = time.monotonic() + 10
        while (members() or loaders() or extra_threads(threads)) and time.monotonic() < deadline:
            time.sleep(0.1)
        tally.left += [f"process {process.pid} ({role})" for process, role in members() + loaders()]
        tally.left += extra_threads(threads)
        tally.left += [f"folder {path.name}" for path in scratch.glob("napari-tem-rf-engine-*")]
        tempfile.tempdir = None
    show(tally, options.seconds, before, after_all)


def extra_threads(threads: set[threading.Thread]) -> list[str]:
    """Return the names of the engine's threads that are still there."""
    return [
        thread.name for thread in set(threading.enumerate()) - threads if "tem-rf" in thread.name
    ]


def show(tally: Tally, seconds: float, before: int, after_all: int) -> None:
    """Print the table; leave with 1 where anything is not as it must be."""
    print(f"{seconds:.0f} s on {os.cpu_count()} cores, load at the end {os.getloadavg()[0]:.1f}\n")
    for what, number in sorted(tally.counts.items()):
        print(f"{what:<52}{number:>8,}")
    print(f"{'slowest answer, s':<52}{tally.slowest:>8.1f}")
    print(f"{'memory of the owner, MB, before and after':<52}{before / 1e6:>8.0f}", end="")
    print(f"{after_all / 1e6:>8.0f}\n")
    faults = {
        "wrong": tally.wrong,
        "hanging": tally.hanging,
        "lost": tally.lost,
        "left": tally.left,
    }
    for name, found in faults.items():
        print(f"{name:<52}{len(found):>8}")
        for what in found[:5]:
            print(f"    {what}")
    troubles = sum(
        number
        for what, number in tally.counts.items()
        if "ended by" in what or "stopped a while" in what or "cores were taken" in what
    )
    if not troubles or not tally.counts["quick answers"]:
        raise SystemExit("nothing was tried: give it more --seconds")
    if any(faults.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
