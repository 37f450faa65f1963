"""Whether a window that is worked in for an hour is as it was in the beginning.

Rounds in a real window: strokes are painted, a network is trained from them, the image predicted,
its particles found and measured. In every other round a worker is killed at a random moment. After
each round garbage is collected and memory, open files, threads and processes are counted.

At the end they must be level, from the second quarter of the rounds to the last one; no painted
pixel may be lost, in the window or in the file that saves the strokes. Prints a line a round and a
table; leaves with 1 where anything is not as it must be.

    python benchmarks/soak.py [--seconds 3600] [--seed 752]        (``make soak``)
"""

import argparse
import contextlib
import gc
import os
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from chaos import DEATHS, PATIENCE_SECONDS, members
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from window_stall import _HOME, Bench, process_until

TRAINING_SECONDS = 6.0
PAINTING_SECONDS = 3.0

MOST_MORE_MIB = 60.0
"""What memory may grow from the second quarter to the last, of the window or of all workers."""

MOST_MORE_SHARE = 0.08
MOST_MORE = {"files": 12, "threads": 6, "processes": 0}


@dataclass(frozen=True, slots=True)
class Level:
    """What a round leaves behind."""

    mib: float
    workers_mib: float
    files: int
    threads: int
    processes: int


def level() -> Level:
    """Count what there is, once what is not used is gone."""
    gc.collect()
    own = psutil.Process()
    workers = 0.0
    roles = members()
    for process, _ in roles:
        with contextlib.suppress(psutil.Error):
            workers += process.memory_info().rss
    return Level(
        mib=own.memory_info().rss / 2**20,
        workers_mib=workers / 2**20,
        files=own.num_fds(),
        threads=threading.active_count(),
        processes=len(roles),
    )


class Soak:
    """The rounds."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.levels: list[Level] = []
        self.bench = Bench()
        _, self.particles = self.bench.viewer.window.add_plugin_dock_widget(
            "napari-tem-rf", "Particles"
        )
        self.session = self.bench.session
        self.session.change_plan(epochs=None, seconds=TRAINING_SECONDS)
        self.painted = np.zeros(self.bench.annotation.data.shape, bool)

    def round(self, kills: bool) -> None:
        """Paint, train, predict, measure."""
        self.paint()
        if kills:
            # somewhere between the beginning of the training and the end of the prediction
            QTimer.singleShot(self.rng.randrange(500, 12_000), self.kill)
        self.train()
        self.predict()
        self.measure()
        self.look_at_strokes()
        self.wait("all workers", lambda: self.session.engine.state == "ready")
        self.levels.append(level())

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Let the window work until something holds; note where it never does."""
        try:
            process_until(holds, PATIENCE_SECONDS)
        except TimeoutError:
            self.faults.append(f"hanging: {what}")

    def pause(self, seconds: float) -> None:
        """Let the window work for a while."""
        end = time.monotonic() + seconds
        process_until(lambda: time.monotonic() > end, seconds + 60)

    def paint(self) -> None:
        """Paint some strokes."""
        self.bench.viewer.layers.selection.active = self.bench.annotation
        self.bench.annotation.mode = "paint"
        self.bench.painter.start()
        self.pause(PAINTING_SECONDS)
        self.bench.painter.stop()
        self.counts["rounds of strokes"] += 1

    def train(self) -> None:
        """Press Train, and go on where a worker took the training along."""
        widget = self.bench.workspace.train
        self.wait("the button Train", widget.train_button.isEnabled)
        QTest.mouseClick(widget.train_button, Qt.MouseButton.LeftButton)
        if self.session.training is None:
            self.faults.append(f"no training: {widget.words.text()}")
            return
        self.wait("the training", lambda: self.session.training is None)
        self.counts["trainings"] += 1

    def predict(self) -> None:
        """Press Predict, again where a worker took the prediction along."""
        self.wait("predictions", lambda: self.session.predicting is None)
        if self.session.run is None:
            return  # the first training of all was killed before its first checkpoint
        QTest.mouseClick(self.bench.workspace.result.predict_button, Qt.MouseButton.LeftButton)
        self.wait("the prediction", lambda: self.session.predicting is None)
        self.counts["predictions"] += 1

    def measure(self) -> None:
        """Find the particles of the newest mask and measure them."""
        masks = self.session.refresh().scene.predictions
        if not masks:
            return
        widget = self.particles
        widget.particles.mask = masks[-1]
        widget.find()
        self.wait("the particles", lambda: not widget.particles.work.is_busy)
        self.counts["particles measured"] += len(widget.particles.table)

    def look_at_strokes(self) -> None:
        """Note pixels that were painted once and are not any more."""
        now = self.bench.annotation.data != 0
        lost = int(np.count_nonzero(self.painted & ~now))
        if lost:
            self.faults.append(f"lost: {lost} painted pixels")
        self.painted |= now
        self.counts["painted pixels"] = int(np.count_nonzero(now))

    def kill(self) -> None:
        """Kill a worker."""
        workers = [process for process, role in members() if role != "scheduler"]
        if workers:
            name = self.rng.choice(DEATHS)
            with contextlib.suppress(psutil.NoSuchProcess):
                self.rng.choice(workers).send_signal(getattr(signal, name))
                self.counts[f"workers ended by {name}"] += 1

    def close(self) -> None:
        """Close the window; look at what is saved and what is left."""
        from napari_tem_rf.gui.session import autosave

        strokes = np.array(self.bench.annotation.data)
        runs = Path(_HOME.name, "runs")
        self.particles = None
        self.bench.close()
        saved = [each for path in runs.rglob("*.npz") if (each := autosave.read(path))]
        if not any(_is_saved(each, strokes) for each in saved):
            self.faults.append("lost: no file has the strokes as they were painted")
        self.counts["files of strokes"] = len(saved)
        deadline = time.monotonic() + 20
        while members() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.faults += [f"left: process {process.pid} ({role})" for process, role in members()]


def _is_saved(saved: Any, strokes: np.ndarray) -> bool:
    return len(saved.planes) == 1 and np.array_equal(saved.planes[0], strokes)


def rises(levels: list[Level]) -> list[str]:
    """Return what is not level from the second quarter of the rounds to the last one."""
    quarter = len(levels) // 4
    if not quarter:
        return []
    early, late = levels[quarter : 2 * quarter], levels[-quarter:]
    found = []
    for name in ("mib", "workers_mib", *MOST_MORE):
        before, after = (
            statistics.median(getattr(each, name) for each in part) for part in (early, late)
        )
        allowed = MOST_MORE.get(name, max(MOST_MORE_MIB, MOST_MORE_SHARE * before))
        if after - before > allowed:
            found.append(f"rising: {name} from {before:,.0f} to {after:,.0f}")
    return found


def main() -> int:
    """Soak, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=752)
    options = parser.parse_args()
    soak = Soak(options.seed)
    end = time.monotonic() + options.seconds
    number = 0
    while time.monotonic() < end:
        number += 1
        soak.round(kills=number % 2 == 0)
        now = soak.levels[-1]
        print(
            f"round {number:>3}: {now.mib:,.0f} MiB, workers {now.workers_mib:,.0f} MiB, "
            f"{now.files} files, {now.threads} threads, {now.processes} processes",
            flush=True,
        )
    soak.close()
    soak.faults += rises(soak.levels)
    print(f"\n{options.seconds:.0f} s on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for what, count in sorted(soak.counts.items()):
        print(f"{what:<32}{count:>10,}")
    print(f"{'faults':<32}{len(soak.faults):>10}")
    for fault in soak.faults:
        print(f"    {fault}")
    return int(bool(soak.faults) or number < 2)


if __name__ == "__main__":
    code = main()
    with contextlib.suppress(OSError):
        _HOME.cleanup()
    sys.exit(code)
