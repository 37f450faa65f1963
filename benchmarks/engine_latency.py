"""How long the engine takes: to start, to load torch, to answer, to stop, to end.

Run it with ``python benchmarks/engine_latency.py``; it prints a table. "while a training runs"
means convolutions of torch without a pause in the training worker.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np

from napari_tem_rf.engine import Engine


def answer(*, report: Callable, stopped: Callable) -> None:
    """Do nothing: what remains is the way there and back."""


def convolve(*, report: Callable, stopped: Callable) -> int:
    """Keep the cores busy as a training does, until stopped."""
    import torch

    block = torch.nn.Sequential(
        torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
    )
    crops = torch.randn(8, 8, 192, 192)
    steps = 0
    while not stopped():
        block(crops).mean().backward()
        steps += 1
        report(time.time())
    return steps


def size(image: np.ndarray, *, report: Callable, stopped: Callable) -> int:
    """Take an image."""
    return image.size


def seconds_of(action: Callable, repeats: int, pause: float = 0.05) -> list[float]:
    """Return how long `action` takes, each time."""
    times = []
    for _ in range(repeats):
        time.sleep(pause)
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return times


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=100)
    repeats = options.parse_args().repeats
    rows: list[tuple[str, list[float]]] = []

    started = time.perf_counter()
    engine = Engine()
    engine.start()
    rows.append(("start() returns", [time.perf_counter() - started]))
    engine.submit(answer, kind="quick").result()
    rows.append(("first answer, cold", [time.perf_counter() - started]))
    while engine.state != "ready":
        time.sleep(0.01)
    rows.append(("torch loaded in both workers", [time.perf_counter() - started]))

    def quick() -> None:
        engine.submit(answer, kind="quick").result()

    rows.append(("quick job, idle", seconds_of(quick, repeats)))
    image = np.zeros((4096, 4096), np.float32)
    rows.append(
        (
            "quick job with an image of 64 MB, idle",
            seconds_of(lambda: engine.submit(size, image, kind="quick").result(), 20),
        )
    )
    delays: list[float] = []
    training = engine.submit(convolve, on_report=lambda sent: delays.append(time.time() - sent))
    while not delays:
        time.sleep(0.01)
    rows.append(("quick job while a training runs", seconds_of(quick, repeats)))

    def stop() -> None:
        nonlocal training
        training.stop()
        training.result()

    rows.append(("stop until the result is here", seconds_of(stop, 1)))
    rows.append(("report of a training", delays))
    rows.append(("close(), no process left", seconds_of(engine.close, 1)))

    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{os.cpu_count()} cores, load average at the end {load}\n")
    print(f"{'ms':<42}{'median':>10}{'p95':>10}{'worst':>10}{'n':>7}")
    for name, times in rows:
        median, p95 = np.percentile(times, [50, 95]) * 1e3
        print(f"{name:<42}{median:>10.1f}{p95:>10.1f}{max(times) * 1e3:>10.1f}{len(times):>7}")


if __name__ == "__main__":
    main()
