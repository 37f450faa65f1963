"""How soon the receptive field follows the mouse while a training runs, in a real window.

Moves the mouse over the canvas with Qt's own events and waits for the frame that shows the box, and
for the frame that shows the effective field; prints a table. Needs a screen (`xvfb-run` will do).

    python benchmarks/cursor_latency.py [--idle] [--moves 200] [--rests 25]
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEvent, QEventLoop, QPoint, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_tem_rf import jobs
from napari_tem_rf.gui.field_drawing import scene_overlay
from napari_tem_rf.gui.field_overlay import REST_MS, overlay_of
from napari_tem_rf.gui.session import session_of
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle", action="store_true", help="no training in the background")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--rests", type=int, default=25)
    options = parser.parse_args()

    rng = np.random.default_rng(752)
    pixels = rng.normal(size=SHAPE).astype(np.float32)
    labels = (np.hypot(*(np.indices(SHAPE) - 500)) < 200).astype(np.uint8)
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1366, 768)
    viewer.add_image(pixels, name="noise", scale=(0.02, 0.02), units=("nm", "nm"))
    session = session_of(viewer)
    overlay = overlay_of(session)
    canvas = viewer.window._qt_viewer.canvas
    frames: list[tuple[float, object]] = []

    def note_frame(_event: object) -> None:
        # else the time would be that of handing the commands over, not of drawing
        canvas._scene_canvas.context.finish()
        frames.append((time.perf_counter(), scene_overlay(viewer).drawing))

    canvas._scene_canvas.events.draw.connect(note_frame, position="last")
    session.warm_up()
    ticks = QTimer()
    ticks.start(2)
    process_until(lambda: bool(frames))

    with tempfile.TemporaryDirectory() as folder:
        epochs: list[EpochReport] = []
        if not options.idle:
            request = jobs.TrainRequest(
                run=Path(folder, "run"),
                images=(LabelledImage("noise", pixels[:256, :256], labels[400:656, 400:656]),),
                spec=NetworkSpec((4, 4), filters=8),
                plan=TrainingPlan(epochs=None, seconds=600),
                unlabelled="background",
            )
            session.submit(
                jobs.train,
                request,
                name="training",
                training=True,
                on_report=lambda r: epochs.append(r) if isinstance(r, EpochReport) else None,
            )
            process_until(lambda: bool(epochs), 120)
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
            f"{'idle' if options.idle else 'a training in the background'}; image "
            f"{SHAPE[0]} x {SHAPE[1]}, canvas {canvas.size[0]} x {canvas.size[1]}"
        )
        print(f"{'':58s} {'n':>4s} {'median':>8s} {'p95':>8s} {'largest':>8s}  (ms)")
        session.field_overlay = True
        native = canvas.native
        QApplication.sendEvent(native, QEvent(QEvent.Type.Enter))
        viewer.mouse_over_canvas = True

        # a whole redraw of the same canvas with nothing moved: what no overlay can be faster than
        redraws = []
        for _ in range(40):
            frames.clear()
            begun = time.perf_counter()
            canvas._scene_canvas.update()
            process_until(lambda: bool(frames))
            redraws.append(frames[-1][0] - begun)
        row("redraw of the canvas alone", redraws)

        middle = QPoint(native.width() // 2, native.height() // 2)
        computed, drawn = [], []
        for step in range(options.moves):
            at = middle + QPoint(3 * (step % 60) - 90, 2 * (step % 45) - 45)
            QTest.qWait(12)
            before = overlay.reading
            frames.clear()
            begun = time.perf_counter()
            QTest.mouseMove(native, at)
            process_until(lambda before=before: overlay.reading != before)
            computed.append(time.perf_counter() - begun)
            shown = scene_overlay(viewer).drawing
            process_until(lambda shown=shown: any(drawing is shown for _, drawing in frames))
            drawn.append(next(t for t, drawing in frames if drawing is shown) - begun)
        row("mouse move to box computed", computed)
        row("mouse move to box drawn", drawn)

        for spec in NETWORKS:
            session.spec = spec
            overlay.heat = True
            heats, rests = [], []
            for step in range(options.rests + 1):
                QTest.mouseMove(native, middle + QPoint(5 * step - 60, 3 * step - 30))
                begun = time.perf_counter()
                frames.clear()
                process_until(lambda: any(getattr(drawing, "heats", ()) for _, drawing in frames))
                seen = next(t for t, drawing in frames if getattr(drawing, "heats", ()))
                if step:  # the first loads torch and builds the network
                    rests.append(seen - begun)
                    heats.append(seen - begun - REST_MS / 1e3)
                QTest.qWait(30)
            name = f"field {overlay.reading.nominal} px, {spec.parameters:,} parameters"
            row(f"last mouse move to heat drawn, {name}", rests)
            row(f"mouse at rest to heat drawn, {name}", heats)
            overlay.heat = False
        if session.training is not None:
            print(f"the training went on: epoch {epochs[-1].epoch} of {len(epochs)} reported")
            session.training.stop()
            process_until(lambda: session.training is None, 60)
        session.close()
        viewer.close()


if __name__ == "__main__":
    main()
