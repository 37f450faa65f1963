"""Live prediction: from the end of a stroke to changed labels on the canvas, and what it is worth.

A real window with the whole dock; strokes are painted by a hand that the program plays on the
canvas, button down, moves, button up. Measured from the release of the button to the moment when
the labels of the live layer changed and were drawn. Warm: the worker is up, the image's features
are there. Cold: from opening the dock to the first labels, which grey level and texture tell, and
to those of all features, with two strokes painted as soon as there is a canvas. Stalls: the longest
time for which the window answered nothing meanwhile. Needs a screen (`xvfb-run` will do) and a
machine with nothing else to do.

With ``--dice`` no window: the seeded hand of `strokes_to_mask.py` draws eight strokes an image, and
the live mask and the random forest are scored on all images of other exposures, with the processor
time that a stroke costs (fit, and the answer for 512 x 512 px).

    python benchmarks/live.py [--strokes 20]
    python benchmarks/live.py --dice [--data ../shared/data] [--seeds 5]
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 300.0
WINDOW = (1366, 768)


# what it is worth


def live_dice(annotated: Any, held_out: Any, seed: int) -> tuple[float, float, float]:
    """Return the mean Dice, and the processor seconds of a fit and of an answer for 512 x 512."""
    from napari_tem_rf import jobs
    from napari_tem_rf.jobs import live
    from napari_tem_rf.measuring.scores import dice
    from napari_tem_rf.micrographs.cleaning import Cleaning

    def ask(request: jobs.LiveRequest) -> jobs.LiveAnswer:
        while (
            answer := jobs.predict_live(request, report=lambda _: None, stopped=lambda: False)
        ).left:
            pass
        return answer

    def keep(name: str, pixels: Any) -> None:
        jobs.keep_live_image(name, pixels, Cleaning(), report=lambda _: None, stopped=lambda: False)

    strokes = []
    for image in annotated:
        keep(image.name, image.pixels)
        rows, columns = np.nonzero(image.labels)
        classes = (image.labels[rows, columns] - 1).astype(np.uint8)
        strokes.append(
            jobs.LiveStrokes(image.name, rows.astype(np.int32), columns.astype(np.int32), classes)
        )
    scores, fits, answers = [], [], []
    for image in held_out:
        keep(image.name, image.pixels)
        window = tuple(slice(0, length) for length in image.pixels.shape)
        request = jobs.LiveRequest(tuple(strokes), image.name, window, seed=seed)
        ask(request)  # makes the features
        live._fitted.clear()
        begun = time.process_time()
        live._classifier(request)
        fits.append(time.process_time() - begun)
        begun = time.process_time()
        answer = ask(request)
        answers.append((time.process_time() - begun) / image.pixels.size * 512**2)
        assert answer.classes is not None
        scores.append(dice(answer.classes == 1, image.mask))
    return float(np.mean(scores)), max(fits), float(np.median(answers))


def compare_dice(data: Path, seeds: int) -> None:
    """Print the Dice of the live mask beside the forest's, seed by seed."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from strokes_to_mask import IMAGES, forest_dice, read_set, task

    for name, number in IMAGES.items():
        images = read_set(data / name)
        found = []
        for seed in range(seeds):
            annotated, held_out = task(images, number, seed)
            ours, fit, answer = live_dice(annotated, held_out, seed)
            theirs = forest_dice(annotated, held_out, seed)
            found.append((ours, theirs))
            print(
                f"{name}, seed {seed}: live {ours:.3f}, forest {theirs:.3f}; processor time of a "
                f"stroke: fit {fit:.2f} s, answer for 512 x 512 {answer:.2f} s",
                flush=True,
            )
        ours, theirs = np.transpose(found)
        print(
            f"{name}: live {ours.mean():.3f}, forest {theirs.mean():.3f}; live at least the "
            f"forest's in {(ours >= theirs).sum()} of {seeds} seeds",
            flush=True,
        )


# how soon it is there


def process_until(holds: Callable[[], bool]) -> float:
    """Let the window work until something holds; return the longest stall in s."""
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + TIMEOUT_S
    longest = 0.0
    while not holds():
        begun = time.perf_counter()
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents)
        longest = max(longest, time.perf_counter() - begun)
        if begun > end:
            raise TimeoutError(f"not within {TIMEOUT_S:.0f} s")
        time.sleep(0.001)
    return longest


def scene(side: int) -> np.ndarray:
    """Return dark discs in noise."""
    rng = np.random.default_rng(1)
    image = rng.normal(size=(side, side)).astype(np.float32)
    rows, columns = np.ogrid[:64, :64]
    disc = (rows - 32) ** 2 + (columns - 32) ** 2 < 20**2
    for row in range(0, side, 128):
        for column in range(0, side, 128):
            image[row : row + 64, column : column + 64] -= 2 * disc
    return image


class Hand:
    """Paints strokes on the canvas with the mouse."""

    def __init__(self, viewer: Any, layer: Any) -> None:
        self.viewer, self.layer = viewer, layer
        self.canvas = viewer.window._qt_viewer.canvas.native

    def paint(self, value: int, row: int, column: int, length: int) -> None:
        """Paint a horizontal stroke, from data position (row, column)."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        self.layer.selected_label = value
        camera = self.viewer.scene.camera
        size = self.canvas.size()

        def at(r: float, c: float) -> Any:
            y = (r - camera.center[-2]) * camera.zoom + size.height() / 2
            x = (c - camera.center[-1]) * camera.zoom + size.width() / 2
            return QPoint(round(x), round(y))

        QTest.mouseMove(self.canvas, at(row, column))
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=at(row, column))
        for step in range(1, 6):
            QTest.mouseMove(self.canvas, at(row, column + length * step / 5))
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=at(row, column + length))


def measure(side: int, strokes: int, home: Path) -> None:
    """Open a window, paint, and print the times."""
    import napari

    from napari_tem_rf.gui.session.predictions import live_layer
    from napari_tem_rf.gui.session.viewers import session_of

    viewer = napari.Viewer()
    viewer.window._qt_window.resize(*WINDOW)
    session = session_of(viewer)
    session.runs_folder = home / "runs"
    image = viewer.add_image(scene(side), name=f"discs_{side}")
    begun = time.perf_counter()
    _, workspace = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    try:
        workspace.annotation.new_button.click()
        layer = session.annotation
        layer.brush_size = 6
        if side > 1000:
            viewer.scene.camera.zoom = 1.0
        viewer.scene.camera.center = (0.0, side / 2, side / 2)
        process_until(lambda: workspace.isVisible())
        hand = Hand(viewer, layer)
        middle = side // 2 // 128 * 128
        hand.paint(2, middle + 32, middle + 20, 24)
        hand.paint(1, middle + 100, middle + 20, 60)
        changes: list[float] = []
        process_until(
            lambda: (found := live_layer(session, image)) is not None and found.data.any()
        )
        cold = time.perf_counter() - begun
        process_until(lambda: workspace.live.words.text().startswith("A quick prediction"))
        whole = time.perf_counter() - begun
        found = live_layer(session, image)
        found.events.set_data.connect(lambda _event: changes.append(time.perf_counter()))
        process_until(lambda: not session.works)
        rng = np.random.default_rng(2)
        times, stalls = [], []
        for number in range(strokes):
            value = 1 + number % 2
            row = middle + int(rng.integers(-128, 120))
            column = middle + int(rng.integers(-128, 60))
            changes.clear()
            hand.paint(value, row, column, 40)
            released = time.perf_counter()
            stalls.append(process_until(lambda: bool(changes)))
            times.append(changes[0] - released)
            process_until(lambda: not session.works)
        middle_s, late_s = np.percentile(times, [50, 95])
        print(
            f"{side} x {side}: end of a stroke to changed labels: median {middle_s:.2f} s, 95th "
            f"percentile {late_s:.2f} s of {strokes}; cold {cold:.1f} s from opening the dock, "
            f"{whole:.1f} s with all features; "
            f"longest stall {1000 * max(stalls):.0f} ms",
            flush=True,
        )
    finally:
        session.close()
        viewer.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dice", action="store_true")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 4096])
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.dice:
        if not options.data.is_dir():
            print(f'"{options.data}" is not there: give the folder of the public sets by --data')
            return
        compare_dice(options.data, options.seeds)
        return
    with tempfile.TemporaryDirectory(prefix="napari-tem-rf-benchmark-") as home:
        # before napari reads the place of its settings on import
        os.environ["NAPARI_CONFIG"] = str(Path(home, "napari.yaml"))
        os.environ["TEM_RF_CONFIG"] = str(Path(home, "settings.json"))
        for side in options.sides:
            measure(side, options.strokes, Path(home))


if __name__ == "__main__":
    main()
