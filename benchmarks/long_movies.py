"""How long a series takes from image to tracks, tables and plots, and how much memory.

    python benchmarks/long_movies.py [--frames 200 600 2000] [--side 512] [--crowded]

By the command line, as a user would: ``drift``, ``predict`` with a network that was trained on the
first frame, ``track`` with its figure. A simulated series (``sample_data/movie.py``); a longer one
runs it forward and back, again and again, so that every frame follows from the one before. The
processor's seconds are those of all processes of a command, and so is the memory (of pages that
several hold, each has its share).

With ``--crowded`` instead: ``track`` alone, on frames of 10,000 particles each, whose links are
known.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import tifffile
from tracking import load_simulator

NM = 0.5
COMMAND = (sys.executable, "-c", "from napari_tem_rf.cli import main; main()")
CROWD, CROWD_SIDE_PX, CROWD_FRAMES = 10_000, 2048, 5


class Watched:
    """What a command and all that it started have taken: seconds, processor, memory."""

    def __init__(self, arguments: list[str]) -> None:
        began = time.perf_counter()
        process = psutil.Popen(
            [*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.peak_mib = 0.0
        spent: dict[int, float] = {}
        while process.poll() is None:
            self.peak_mib = max(self.peak_mib, self._look(process, spent))
            time.sleep(0.25)
        self.seconds = time.perf_counter() - began
        self.processor = sum(spent.values())
        if process.returncode:
            raise SystemExit(process.stderr.read() if process.stderr else "it failed")

    @staticmethod
    def _look(process: psutil.Process, spent: dict[int, float]) -> float:
        memory = 0
        for each in (process, *process.children(recursive=True)):
            try:
                times = each.cpu_times()
                spent[each.pid] = times.user + times.system
                memory += each.memory_full_info().pss
            except psutil.Error:
                continue  # it has just ended
        return memory / 2**20


def there_and_back(shown: int, frames: int) -> Iterator[int]:
    """Yield which frame of a short series each frame of a long one shows."""
    way = [*range(shown), *range(shown - 2, 0, -1)] if shown > 2 else [*range(shown)]
    return itertools.islice(itertools.cycle(way), frames)


def write_series(path: Path, planes: Any, order: Iterator[int]) -> None:
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for index in order:
            file.write(
                planes[index],
                contiguous=True,
                resolution=(1e7 / NM, 1e7 / NM),
                resolutionunit="CENTIMETER",
            )


def whole_way(movie: Any, run: Path | None, frames: int, folder: Path) -> None:
    """Print what each command takes, and all together; without a run of the true masks."""
    series = folder / "series.tif"
    write_series(series, movie.images, there_and_back(len(movie.images), frames))
    path, masks = folder / "path.csv", folder / "masks"
    commands = {
        "drift": [str(series), "--out", str(path)],
        "predict": [str(run), str(series), "--out", str(masks)],
        "track": [str(masks / "series.tif"), "--drift", str(path), "--time-step", "0.5"],
    }
    if run is None:
        del commands["predict"]
        masks.mkdir()
        truth = (movie.labels > 0).astype(np.uint8)
        write_series(masks / "series.tif", truth, there_and_back(len(truth), frames))
    commands["track"] += ["--out", str(folder / "found.csv")]
    commands["track"] += ["--figure", str(folder / "found.png")]
    total = processor = peak = 0.0

    def say(name: str, seconds: float, of_processor: float, mib: float, more: str = "") -> None:
        numbers = f"{seconds:>8.1f}{of_processor:>12.1f}{mib:>10.0f}"
        print(f"{frames:>7}  {name:8}{numbers}{more}", flush=True)

    for name, arguments in commands.items():
        took = Watched([name, *arguments])
        total, processor = total + took.seconds, processor + took.processor
        peak = max(peak, took.peak_mib)
        say(name, took.seconds, took.processor, took.peak_mib)
    rows = len(pd.read_csv(folder / "found.csv"))
    say("in all", total, processor, peak, f"   {rows:,} rows")


def crowd(rng: np.random.Generator) -> tuple[Any, Any]:
    """Return masks of numbered discs that wander by half a pixel a frame, and their places."""
    side = round(CROWD**0.5)
    grid = (np.mgrid[:side, :side].reshape(2, -1).T + 0.5) * (CROWD_SIDE_PX / side)
    place = grid + rng.uniform(-3, 3, grid.shape)
    radius = rng.uniform(3, 6, len(grid))
    masks = np.zeros((CROWD_FRAMES, CROWD_SIDE_PX, CROWD_SIDE_PX), np.uint16)
    places = []
    for mask in masks:
        place = place + rng.normal(0, 0.5, place.shape)
        places.append(place)
        for name, (centre, size) in enumerate(zip(place, radius, strict=True), start=1):
            low = np.maximum(np.floor(centre - size), 0).astype(int)
            high = np.ceil(centre + size).astype(int) + 1
            rows, columns = np.ogrid[low[0] : high[0], low[1] : high[1]]
            box = mask[low[0] : high[0], low[1] : high[1]]
            inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < size**2
            box[inside[: box.shape[0], : box.shape[1]]] = name
    return masks, places


def crowded(folder: Path) -> None:
    """Print what ``track`` takes for crowded frames, and how many of its links are right."""
    masks, _ = crowd(np.random.default_rng(3))
    for kind, planes in (("numbered", masks), ("mask", (masks > 0).astype(np.uint8))):
        series, out = folder / f"{kind}.tif", folder / f"{kind}.csv"
        write_series(series, planes, iter(range(len(planes))))
        arguments = [str(series), "--out", str(out), "--figure", str(out.with_suffix(".png"))]
        took = Watched(["track", *arguments])
        table = pd.read_csv(out)
        size = tifffile.imread(series).shape[1:]
        row = table["row_px"].round().clip(0, size[0] - 1).astype(int)
        column = table["column_px"].round().clip(0, size[1] - 1).astype(int)
        # the particle that was drawn where one was found
        table["drawn"] = masks[table["frame"], row, column]
        table = table.sort_values(["track", "frame"])
        both = (table["track"].diff() == 0) & (table["frame"].diff() == 1)
        right = int((both & (table["drawn"].diff() == 0)).sum())
        there = [set(np.unique(plane)) - {0} for plane in masks]
        known = sum(len(a & b) for a, b in itertools.pairwise(there))
        print(
            f"{kind:10}{len(table) / len(masks):>10,.0f} a frame, {len(masks)} frames: "
            f"{took.seconds:.1f} s, {took.processor:.1f} s of processor, {took.peak_mib:.0f} MiB; "
            f"{right / known:.2%} of {known:,} links right, {int(both.sum()) - right} wrong",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[200])
    parser.add_argument("--seconds", type=float, default=20.0, help="of training")
    parser.add_argument("--run", type=Path, help="a run that is there, in place of training one")
    parser.add_argument("--side", type=int, default=512, help="of a frame, px; particles as dense")
    parser.add_argument("--true-masks", action="store_true", help="nothing is predicted")
    parser.add_argument("--crowded", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        if options.crowded:
            crowded(Path(home))
            return
        simulator = load_simulator()
        recipe = simulator.Recipe(
            frames=min(max(options.frames), 200),
            side_px=options.side,
            particles=round(300 * (options.side / 512) ** 2),
        )
        movie = simulator.simulate(recipe)
        run = options.run
        if run is None and not options.true_masks:
            first, labels = Path(home) / "first.tif", Path(home) / "labels" / "first.tif"
            labels.parent.mkdir()
            write_series(first, movie.images[:1], iter([0]))
            tifffile.imwrite(labels, (movie.labels[0] > 0).astype(np.uint8))
            run = Path(home) / "run"
            arguments = [str(first), "--labels", str(labels), "--run", str(run)]
            arguments += ["--unlabelled", "background", "--seconds", f"{options.seconds:g}"]
            took = Watched(["train", *arguments])
            print(f"trained on one frame in {took.seconds:.1f} s")
        print(f"{'frames':>7}  {'command':8}{'s':>8}{'processor s':>12}{'MiB':>10}")
        for frames in options.frames:
            folder = Path(home) / f"of_{frames}"
            folder.mkdir()
            whole_way(movie, run, frames, folder)


if __name__ == "__main__":
    main()
