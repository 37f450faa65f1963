"""How long the window does not answer while a series is measured and tracked in it.

    xvfb-run python benchmarks/movie_stall.py [--frames 200] [--profile]

A simulated series of 512 x 512 with 300 particles a frame and its true masks are opened beside the
Movie dock; the drift is measured, the particles tracked, a track chosen and corrected, the series
played. A timer that is due every 2 ms notes how long the event loop was held up in each phase, and
how long the window's own thread computed meanwhile: where something else computes on the machine
the first says more than the program did. ``--profile`` says what was being done when it was late.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from window_stall import Heart, Watchdog, process_until  # first: sets where settings are read

import napari  # isort: skip
import numpy as np
import tifffile
from qtpy.QtCore import QTimer
from tracking import load_simulator


class BusyHeart(Heart):
    """Notes with each beat how long the window's own thread has computed since the last, in ms."""

    def __init__(self) -> None:
        super().__init__()
        self.own: list[float] = []
        self._spent = time.thread_time()

    def start(self) -> None:
        """Begin to beat."""
        self.own.clear()
        self._spent = time.thread_time()
        super().start()

    def _beat(self) -> None:
        spent = time.thread_time()
        self.own.append(1e3 * (spent - self._spent))
        self._spent = spent
        super()._beat()


def pause(seconds: float) -> None:
    end = time.perf_counter() + seconds
    process_until(lambda: time.perf_counter() > end)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    simulator = load_simulator()
    movie = simulator.simulate(simulator.Recipe(frames=options.frames))
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1366, 768)
    _, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", "Movie")
    tracks = widget.tracks
    heart = BusyHeart()

    def until_free() -> None:
        process_until(lambda: not widget.movie.is_busy)

    def first() -> int:
        table = widget.movie.tracks.particles
        return int(table["track"].value_counts().index[0])

    def cut() -> None:
        widget.go_to(options.frames // 2)
        tracks.table.select([first()])
        tracks.cut_selected()

    def play() -> None:
        steps = iter(range(0, options.frames, 5))
        timer = QTimer()
        timer.timeout.connect(lambda: widget.go_to(next(steps, 0)))
        timer.start(50)
        pause(2.0)
        timer.stop()

    phases: dict[str, Callable[[], Any]] = {
        "drift": lambda: (widget.drift.measure_button.click(), until_free()),
        "hold still": lambda: widget.drift.still_box.click(),
        "track": lambda: (tracks.track_button.click(), until_free()),
        "track again": lambda: (tracks.track_button.click(), until_free()),
        "choose a track": lambda: tracks.table.select([first()]),
        "cut": cut,
        "undo": widget.movie.undo,
        "play": play,
    }
    with tempfile.TemporaryDirectory() as name:
        said = {"imagej": True, "metadata": {"axes": "TYX", "finterval": 0.5}}
        tifffile.imwrite(Path(name, "movie.tif"), movie.images, **said)
        tifffile.imwrite(Path(name, "masks.tif"), (movie.labels > 0).astype(np.uint8), **said)
        (series,) = viewer.open(Path(name, "movie.tif"), plugin="napari-tem-rf")
        viewer.open(Path(name, "masks.tif"), plugin="napari-tem-rf", layer_type="labels")
        widget.session.image = series
        pause(3.0)
        print(f"{'phase':16}{'longest ms':>11}{'of its own':>11}{'s':>7}")
        for phase, act in phases.items():
            dog = Watchdog(heart) if options.profile else None
            heart.start()
            began = time.perf_counter()
            act()
            pause(1.0)
            late, seconds = heart.stop(), time.perf_counter() - began - 1
            print(
                f"{phase:16}{late.max():>11.0f}{max(heart.own):>11.0f}{seconds:>7.1f}", flush=True
            )
            if dog is not None:
                dog.stop()
                seen: Counter[str] = dog.seen
                for where, times in seen.most_common(4):
                    print(f"    {times:4} {where}")
    viewer.close()


if __name__ == "__main__":
    main()
