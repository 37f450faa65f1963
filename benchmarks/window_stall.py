"""Whether painting stays smooth while a training runs, in a real window.

Paints on the sample image by synthetic mouse events, without and with a training that is started by
the window's own button, in turns. A timer that is due every 2 ms notes how long the event loop was
held up. Prints for each phase the longest stall and the 99th percentile, and what the training
adds. Needs a screen (`xvfb-run` will do) and a machine with nothing else to do.

    python benchmarks/window_stall.py [--seconds 60] [--rounds 2] [--profile]
"""

import argparse
import math
import os
import platform
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

# before napari reads the place of its settings on import
_HOME = tempfile.TemporaryDirectory(prefix="napari-tem-rf-benchmark-")
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name, "napari.yaml"))
os.environ["TEM_RF_CONFIG"] = str(Path(_HOME.name, "settings.json"))

import napari  # noqa: E402
import numpy as np  # noqa: E402
from qtpy.QtCore import QEvent, QEventLoop, QPoint, Qt, QTimer  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_tem_rf.gui.session.viewers import session_of  # noqa: E402

WINDOW = (1366, 768)
BEAT_MS = 2
MOVE_MS = 16
"""Time between two mouse moves: 60 a second."""
MOVES_PER_STROKE = 50
PAUSE_MOVES = 40
"""Moves that a pause between two strokes takes: there the program notices what was painted."""
LIMIT_MS = 100.0
LATE_S = 0.05
"""A beat so late is looked into with ``--profile``."""


def process_until(holds: Callable[[], bool], seconds: float = 300) -> None:
    """Let the window work until something holds."""
    end = time.perf_counter() + seconds
    while not holds():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 5)
        if time.perf_counter() > end:
            raise TimeoutError(f"not within {seconds:.0f} s")


class Heart:
    """Beats in the window's event loop and notes by how much each beat is late, in ms."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def start(self) -> None:
        """Begin to beat."""
        self.late.clear()
        self.last = time.perf_counter()
        self._timer.start(BEAT_MS)

    def stop(self) -> np.ndarray:
        """Stop beating and return the delays in ms."""
        self._timer.stop()
        return np.array(self.late)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.late.append(max(0.0, 1e3 * (now - self.last) - BEAT_MS))
        self.last = now


class Painter:
    """Paints circles with the mouse: a stroke, a pause, the next stroke."""

    def __init__(self, native: object, annotation: napari.layers.Labels) -> None:
        self._native = native
        self._annotation = annotation
        self._move = 0
        self._timer = QTimer()
        self._timer.timeout.connect(self._go_on)

    def start(self) -> None:
        """Begin with a stroke."""
        self._move = 0
        self._timer.start(MOVE_MS)

    def stop(self) -> None:
        """End the stroke."""
        self._timer.stop()
        QTest.mouseRelease(self._native, Qt.MouseButton.LeftButton)

    def _go_on(self) -> None:
        stroke, move = divmod(self._move, MOVES_PER_STROKE + PAUSE_MOVES)
        self._move += 1
        angle = 2 * math.pi * move / MOVES_PER_STROKE
        radius = 30 + 25 * (stroke % 6)
        middle = QPoint(self._native.width() // 2, self._native.height() // 2)
        at = middle + QPoint(round(radius * math.cos(angle)), round(radius * math.sin(angle)))
        if move == 0:
            self._annotation.selected_label = 1 + stroke % 2
            QTest.mouseMove(self._native, at)
            QTest.mousePress(self._native, Qt.MouseButton.LeftButton, pos=at)
        elif move < MOVES_PER_STROKE:
            QTest.mouseMove(self._native, at)
        elif move == MOVES_PER_STROKE:
            QTest.mouseRelease(self._native, Qt.MouseButton.LeftButton, pos=at)


class Watchdog:
    """Looks from another thread at what the main thread does when a beat is late."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        self._main = threading.get_ident()
        self._over = threading.Event()
        self.seen: Counter[str] = Counter()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """Look no longer."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            if time.perf_counter() - self._heart.last > LATE_S:
                frame = sys._current_frames().get(self._main)
                if frame is None:
                    return
                lines = [
                    f"{Path(part.filename).name}:{part.lineno} {part.name}"
                    for part in traceback.extract_stack(frame)
                    if "window_stall" not in part.filename
                ]
                self.seen[" < ".join(reversed(lines[-7:]))] += 1


class Bench:
    """The window with the sample, and its phases."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(*WINDOW)
        self.session = session_of(self.viewer)
        self.session.runs_folder = Path(_HOME.name, "runs")
        _, self.workspace = self.viewer.window.add_plugin_dock_widget(
            "napari-tem-rf", "TEM segmentation"
        )
        self.viewer.open_sample("napari-tem-rf", "gold_high_resolution")
        self.annotation = self.session.annotation
        assert self.annotation is not None
        self.viewer.layers.selection.active = self.annotation
        self.annotation.mode = "paint"
        self.annotation.brush_size = 8
        self.native = self.viewer.window._qt_viewer.canvas.native
        QApplication.sendEvent(self.native, QEvent(QEvent.Type.Enter))
        self.viewer.mouse_over_canvas = True
        process_until(lambda: self.session.engine.state == "ready")
        self.heart = Heart()
        self.painter = Painter(self.native, self.annotation)

    def phase(self, seconds: float, train: bool) -> np.ndarray:
        """Paint for some seconds, with a training or without; return the delays in ms."""
        session, widget = self.session, self.workspace.train
        painted = int(np.count_nonzero(self.annotation.data))
        if train:
            session.change_plan(epochs=None, seconds=3 * seconds + 60)
        self.heart.start()
        self.painter.start()
        end = time.perf_counter() + seconds
        if train:
            QTest.mouseClick(widget.train_button, Qt.MouseButton.LeftButton)
            if session.training is None:
                raise RuntimeError(widget.words.text())
        process_until(lambda: time.perf_counter() > end, seconds + 120)
        self.painter.stop()
        late = self.heart.stop()
        if int(np.count_nonzero(self.annotation.data)) == painted == 0:
            raise RuntimeError("the synthetic mouse did not paint")
        if train:
            overlays = session.refresh().scene.predictions
            print(f"    {len(session.history)} epochs, {len(overlays)} overlay")
            session.training.stop()
            process_until(lambda: session.training is None and session.predicting is None)
        return late

    def close(self) -> None:
        """End everything."""
        self.session.close()
        self.viewer.close()


def line(name: str, late: np.ndarray) -> None:
    """Print the row of a phase."""
    p99, p999 = np.percentile(late, [99, 99.9])
    over = int((late > LIMIT_MS).sum())
    print(
        f"{name:32s} {len(late):7d} {p99:8.1f} {p999:8.1f} {late.max():9.1f} {over:6d}", flush=True
    )


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--rounds", type=int, default=2, help="of a phase without and one with")
    parser.add_argument("--profile", action="store_true", help="say what the longest stalls do")
    options = parser.parse_args()
    bench = Bench()
    watchdog = Watchdog(bench.heart) if options.profile else None
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; painting by "
        f"mouse events every {MOVE_MS} ms, {options.seconds:.0f} s a phase; delays in ms"
    )
    print(f"{'':32s} {'beats':>7s} {'p99':>8s} {'p99.9':>8s} {'longest':>9s} {'>100':>6s}")
    phases: dict[bool, list[np.ndarray]] = {False: [], True: []}
    try:
        bench.phase(min(5.0, options.seconds), train=False)  # fonts, shaders and imports are loaded
        for number in range(1, options.rounds + 1):
            for train in (False, True):
                if watchdog is not None:
                    watchdog.seen.clear()
                late = bench.phase(options.seconds, train)
                phases[train].append(late)
                line(f"{number}: {'with' if train else 'without'} a training", late)
                if watchdog is not None:
                    for what, times in watchdog.seen.most_common(5):
                        print(f"    {5 * times} ms in {what}")
    finally:
        bench.close()
    alone, beside = (np.concatenate(phases[train]) for train in (False, True))
    line("all without", alone)
    line("all with", beside)
    p99 = np.percentile(beside, 99) - np.percentile(alone, 99)
    print(
        f"the training adds {p99:+.1f} ms to the 99th percentile and "
        f"{beside.max() - alone.max():+.1f} ms to the longest stall"
    )
    _HOME.cleanup()


if __name__ == "__main__":
    main()
