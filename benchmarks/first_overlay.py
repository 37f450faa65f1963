"""From the press of Train to the first prediction on the image, in a real window.

Warm: the worker processes are up and torch is loaded, as when a few strokes were painted. Cold: the
dock has just been opened and Train is pressed at once. Prints the median of some repeats and their
spread. Needs a screen (`xvfb-run` will do) and a machine with nothing else to do.

    python benchmarks/first_overlay.py [--repeats 3]
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# before napari reads the place of its settings on import
_HOME = tempfile.TemporaryDirectory(prefix="napari-tem-rf-benchmark-")
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name, "napari.yaml"))
os.environ["TEM_RF_CONFIG"] = str(Path(_HOME.name, "settings.json"))

import napari  # noqa: E402
import numpy as np  # noqa: E402
from qtpy.QtCore import QEventLoop, Qt  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from napari_tem_rf.gui.session.viewers import session_of  # noqa: E402

WINDOW = (1366, 768)
TIMEOUT_S = 300.0


def process_until(holds: Callable[[], bool]) -> None:
    """Let the window work until something holds."""
    end = time.perf_counter() + TIMEOUT_S
    while not holds():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 5)
        if time.perf_counter() > end:
            raise TimeoutError(f"not within {TIMEOUT_S:.0f} s")


def seconds_to_overlay(warm: bool) -> tuple[float, float]:
    """Return the seconds from the press of Train to the first overlay and the first epoch."""
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(*WINDOW)
    session = session_of(viewer)
    session.runs_folder = Path(_HOME.name, "runs")
    viewer.open_sample("napari-tem-rf", "gold_high_resolution")
    session.change_plan(epochs=None, seconds=600.0)
    _, workspace = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    workspace.live.tick.setChecked(False)  # the live prediction would be there before the press
    try:
        if warm:
            process_until(lambda: session.engine.state == "ready")
        button = workspace.train.train_button
        begun = time.perf_counter()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        if session.training is None:
            raise RuntimeError(workspace.train.words.text())
        seen: dict[str, float] = {}

        def both() -> bool:
            now = time.perf_counter() - begun
            if session.training is None:
                raise RuntimeError(workspace.train.note.text())
            if any(np.any(layer.data) for layer in session.refresh().scene.predictions):
                seen.setdefault("overlay", now)
            if session.history:
                seen.setdefault("epoch", now)
            return len(seen) == 2

        process_until(both)
        session.training.stop()
        process_until(lambda: session.training is None and session.predicting is None)
        return seen["overlay"], seen["epoch"]
    finally:
        session.close()
        viewer.close()


def line(name: str, seconds: list[float]) -> None:
    """Print the median and the spread of a row."""
    low, middle, high = np.percentile(seconds, [0, 50, 100])
    print(f"{name:44s} {middle:6.1f} s  ({low:.1f} to {high:.1f})", flush=True)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"median of {options.repeats}, smallest and largest"
    )
    for warm in (True, False):
        found = [seconds_to_overlay(warm) for _ in range(options.repeats)]
        engine = "engine warm" if warm else "engine cold"
        line(f"from Train to the first overlay, {engine}", [overlay for overlay, _ in found])
        line(f"from Train to the first epoch, {engine}", [epoch for _, epoch in found])
    _HOME.cleanup()


if __name__ == "__main__":
    main()
