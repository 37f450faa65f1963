"""How soon the receptive field follows the mouse, without and with a training in the background.

Moves the mouse over the canvas of a real window with Qt's own events and waits for the frame that
shows the box, and for the frame that shows the effective field; prints a table with median and 95th
percentile. Needs a screen (`xvfb-run` will do) and a machine that does nothing else.

    python benchmarks/cursor_latency.py [--repeats 3] [--moves 200] [--rests 25]
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEvent, QEventLoop, QPoint, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_tem_rf import jobs
from napari_tem_rf.gui.field.overlay import REST_MS, FieldOverlay
from napari_tem_rf.gui.layers.boxes import scene_overlay
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, TrainingPlan

NETWORKS = (NetworkSpec((4, 4), filters=4), NetworkSpec((4, 4), filters=8), NetworkSpec((8, 8)))
SHAPE = (1024, 1024)
TIMEOUT_S = 30.0


def process_until(holds: Callable[[], bool], seconds: float = TIMEOUT_S) -> None:
    end = time.perf_counter() + seconds
    while not holds():
        # waiting as an idle window does: a busy loop would take a core from the workers
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 2)
        if time.perf_counter() > end:
            raise TimeoutError("the window did not show it in time")


def row(name: str, seconds: list[float]) -> None:
    ms = 1e3 * np.array(seconds)
    print(
        f"{name:58s} {len(ms):4d} {np.median(ms):8.1f} {np.percentile(ms, 95):8.1f} {ms.max():8.1f}"
    )


@dataclass
class Window:
    """A window with an image, and what it draws."""

    viewer: napari.Viewer
    frames: list[tuple[float, object]] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.session = session_of(self.viewer)
        self.overlay = self.session.part(FieldOverlay)
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.native = self.canvas.native
        self.canvas._scene_canvas.events.draw.connect(self._note_frame, position="last")

    def _note_frame(self, _event: object) -> None:
        # else the time would be that of handing the commands over, not of drawing
        self.canvas._scene_canvas.context.finish()
        self.frames.append((time.perf_counter(), scene_overlay(self.viewer).drawing))

    def note(self, name: str, seconds: float) -> None:
        """Keep one measurement."""
        self.times.setdefault(name, []).append(seconds)

    @property
    def middle(self) -> QPoint:
        """The middle of the canvas."""
        return QPoint(self.native.width() // 2, self.native.height() // 2)

    def redraw(self, times: int) -> None:
        """Redraw the canvas with nothing moved: what no overlay can be faster than."""
        for _ in range(times):
            self.frames.clear()
            begun = time.perf_counter()
            self.canvas._scene_canvas.update()
            process_until(lambda: bool(self.frames))
            self.note("redraw of the canvas alone", self.frames[-1][0] - begun)

    def move(self, times: int) -> None:
        """Move the mouse and wait for the box."""
        for step in range(times):
            at = self.middle + QPoint(3 * (step % 60) - 90, 2 * (step % 45) - 45)
            QTest.qWait(12)
            before = self.overlay.reading
            self.frames.clear()
            begun = time.perf_counter()
            QTest.mouseMove(self.native, at)
            process_until(lambda before=before: self.overlay.reading != before)
            self.note("mouse move to box computed", time.perf_counter() - begun)
            shown = scene_overlay(self.viewer).drawing
            process_until(lambda shown=shown: any(drawing is shown for _, drawing in self.frames))
            seen = next(t for t, drawing in self.frames if drawing is shown)
            self.note("mouse move to box drawn", seen - begun)

    def rest(self, spec: NetworkSpec, times: int) -> None:
        """Let the mouse rest and wait for the heat."""
        self.session.spec = spec
        self.overlay.heat = True
        for step in range(times + 1):
            QTest.mouseMove(self.native, self.middle + QPoint(5 * (step % 24) - 60, 3 * step - 30))
            begun = time.perf_counter()
            self.frames.clear()
            process_until(lambda: any(getattr(shown, "heats", ()) for _, shown in self.frames))
            seen = next(t for t, shown in self.frames if getattr(shown, "heats", ()))
            if step:  # the first builds the network
                name = f"field {self.overlay.reading.nominal} px, {spec.parameters:,} parameters"
                self.note(f"mouse at rest to heat drawn, {name}", seen - begun - REST_MS / 1e3)
            QTest.qWait(30)
        self.overlay.heat = False

    def table(self, title: str) -> None:
        """Print what was measured and forget it."""
        print(title)
        print(f"{'':58s} {'n':>4s} {'median':>8s} {'p95':>8s} {'largest':>8s}  (ms)")
        for name, seconds in self.times.items():
            row(name, seconds)
        self.times.clear()


@contextmanager
def training(window: Window, pixels: np.ndarray, labels: np.ndarray) -> Iterator[None]:
    """Train in the background meanwhile."""
    epochs: list[EpochReport] = []
    with tempfile.TemporaryDirectory() as folder:
        request = jobs.TrainRequest(
            run=Path(folder, "run"),
            images=(LabelledImage("noise", pixels[:256, :256], labels[400:656, 400:656]),),
            spec=NetworkSpec((4, 4), filters=8),
            plan=TrainingPlan(epochs=None, seconds=3600),
            unlabelled="background",
        )
        window.session.submit(
            jobs.train,
            request,
            name="training",
            training=True,
            on_report=lambda r: epochs.append(r) if isinstance(r, EpochReport) else None,
        )
        process_until(lambda: bool(epochs), 600)
        first = epochs[-1].steps
        yield
        print(f"the training went on: {epochs[-1].steps - first} steps meanwhile")
        assert window.session.training is not None, "the training ended too early"
        window.session.training.stop()
        process_until(lambda: window.session.training is None, 60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="rounds of all measurements")
    parser.add_argument("--moves", type=int, default=200, help="mouse moves a round")
    parser.add_argument("--rests", type=int, default=25, help="rests a network and round")
    options = parser.parse_args()

    rng = np.random.default_rng(752)
    pixels = rng.normal(size=SHAPE).astype(np.float32)
    labels = (np.hypot(*(np.indices(SHAPE) - 500)) < 200).astype(np.uint8)
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1366, 768)
    viewer.add_image(pixels, name="noise", scale=(0.02, 0.02), units=("nm", "nm"))
    window = Window(viewer)
    window.session.warm_up()
    ticks = QTimer()
    ticks.start(2)
    process_until(lambda: bool(window.frames))
    process_until(lambda: window.session.engine.state == "ready", 600)
    window.session.field_overlay = True
    QApplication.sendEvent(window.native, QEvent(QEvent.Type.Enter))
    viewer.mouse_over_canvas = True
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; image "
        f"{SHAPE[0]} x {SHAPE[1]}, canvas {window.canvas.size[0]} x {window.canvas.size[1]}"
    )

    def measure() -> None:
        for _ in range(options.repeats):
            window.redraw(40)
            window.move(options.moves)
            for spec in NETWORKS:
                window.rest(spec, options.rests)

    measure()
    window.table("nothing in the background")
    with training(window, pixels, labels):
        measure()
        window.table("a training in the background")
    window.session.close()
    viewer.close()


if __name__ == "__main__":
    main()
