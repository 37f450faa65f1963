"""How right drift and tracks are on simulated series, and what others find on the same masks.

    python benchmarks/tracking.py [--frames 200] [--noise 1.0 0.5]

Needs nothing but the package; laptrack and trackpy are compared with where they are installed.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf.measuring.particles import measure_particles
from napari_tem_rf.movies import measure_drift, track_particles

SCRIPT = Path(__file__).parents[1] / "sample_data" / "movie.py"

Pair = tuple[tuple[int, int], tuple[int, int]]
"""Two particles as (frame, label)."""


def load_simulator() -> Any:
    spec = importlib.util.spec_from_file_location("simulated_movie", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def truth_of(movie: Any) -> tuple[set[Pair], dict[tuple[int, int], frozenset[tuple[int, int]]]]:
    """Return the true links, and of each merger the two parents, where all are seen."""
    seen = [set(np.unique(plane).tolist()) - {0} for plane in movie.labels]
    links = {
        ((frame, name), (frame + 1, name))
        for frame in range(len(seen) - 1)
        for name in seen[frame] & seen[frame + 1]
    }
    mergers = {
        (frame, whole): frozenset((frame - 1, part) for part in parts)
        for frame, parts, whole in movie.mergers
        if whole in seen[frame] and all(part in seen[frame - 1] for part in parts)
    }
    return links, mergers


def ours(tables: dict[int, Any], movie: Any, drift: Any) -> tuple[set[Pair], dict[Any, Any]]:
    tracks = track_particles(tables, len(tables), movie.labels.shape[1:], offsets_px=drift)
    table = tracks.particles
    spots = list(zip(table["frame"], table["label"], strict=True))
    track = table["track"].to_numpy()
    links = {
        (spots[i], spots[i + 1])
        for i in np.flatnonzero(track[:-1] == track[1:])
        if spots[i + 1][0] == spots[i][0] + 1
    }
    first = {t: spots[i] for i, t in reversed(list(enumerate(track)))}
    last = {t: spots[i] for i, t in enumerate(track)}
    mergers = {
        first[child]: frozenset(last[parent] for parent in parents)
        for child, parents in tracks.parents.items()
    }
    return links, mergers


def by_laptrack(tables: dict[int, Any], movie: Any, drift: Any) -> tuple[set[Pair], dict[Any, Any]]:
    import pandas as pd
    from laptrack import LapTrack

    rows = pd.concat([table.assign(frame=frame) for frame, table in tables.items()])
    rows = rows.reset_index(drop=True)
    moved = drift[rows["frame"]]
    rows["y"], rows["x"] = rows["row_px"] - moved[:, 0], rows["column_px"] - moved[:, 1]
    found, _, merged = LapTrack(merging_cutoff=15**2).predict_dataframe(
        rows, ["y", "x"], only_coordinate_cols=False
    )
    found = found.reset_index(drop=True).sort_values(
        ["track_id", "frame_y" if "frame_y" in found else "frame"]
    )
    frames = found["frame_y" if "frame_y" in found else "frame"].to_numpy()
    spots = list(zip(frames.tolist(), found["label"].tolist(), strict=True))
    track = found["track_id"].to_numpy()
    links = {
        (spots[i], spots[i + 1])
        for i in np.flatnonzero(track[:-1] == track[1:])
        if spots[i + 1][0] == spots[i][0] + 1
    }
    first = {t: spots[i] for i, t in reversed(list(enumerate(track)))}
    last = {t: spots[i] for i, t in enumerate(track)}
    parents: dict[Any, set[Any]] = {}
    for parent, child in merged[["parent_track_id", "child_track_id"]].itertuples(index=False):
        parents.setdefault(first[child], set()).add(last[parent])
    return links, {child: frozenset(each) for child, each in parents.items()}


def by_trackpy(tables: dict[int, Any], movie: Any, drift: Any) -> tuple[set[Pair], dict[Any, Any]]:
    import pandas as pd
    import trackpy

    trackpy.quiet()
    rows = pd.concat([table.assign(frame=frame) for frame, table in tables.items()])
    rows = rows.reset_index(drop=True)
    moved = drift[rows["frame"]]
    rows["y"], rows["x"] = rows["row_px"] - moved[:, 0], rows["column_px"] - moved[:, 1]
    # it has no default for the distance: that of laptrack
    found = trackpy.link(rows, search_range=15, memory=0).sort_values(["particle", "frame"])
    spots = list(zip(found["frame"].tolist(), found["label"].tolist(), strict=True))
    track = found["particle"].to_numpy()
    return {
        (spots[i], spots[i + 1])
        for i in np.flatnonzero(track[:-1] == track[1:])
        if spots[i + 1][0] == spots[i][0] + 1
    }, {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0, 0.5])
    options = parser.parse_args()
    simulator = load_simulator()
    trackers: dict[str, Callable[..., Any]] = {"napari-tem-rf": ours}
    if importlib.util.find_spec("laptrack"):
        trackers["laptrack, defaults"] = by_laptrack
    if importlib.util.find_spec("trackpy"):
        trackers["trackpy, 15 px"] = by_trackpy
    for noise in options.noise:
        movie = simulator.simulate(simulator.Recipe(frames=options.frames, noise=noise))
        began = time.process_time()
        job = measure_drift(lambda index, movie=movie: movie.images[index], options.frames)
        while True:
            try:
                next(job)
            except StopIteration as end:
                drift = end.value
                break
        error = np.abs(drift.offsets_px - movie.drift_px)
        print(
            f"noise {noise:g}: drift of up to {np.abs(movie.drift_px).max():.0f} px, largest error "
            f"{error.max():.2f} px, rms {np.sqrt((error**2).mean()):.3f} px, "
            f"{time.process_time() - began:.1f} s of processor"
        )
        tables = {frame: measure_particles(plane) for frame, plane in enumerate(movie.labels)}
        links, mergers = truth_of(movie)
        print(f"{len(links):,} links and {len(mergers)} mergers to find on the true masks")
        print(f"{'':22}{'links right':>12}{'wrong':>8}{'mergers right':>15}{'false':>7}{'s':>7}")
        for name, tracker in trackers.items():
            began = time.process_time()
            found, merged = tracker(tables, movie, drift.offsets_px)
            spent = time.process_time() - began
            right = sum(merged.get(child) == parents for child, parents in mergers.items())
            false = sum(child not in mergers for child in merged)
            shares = f"{len(found & links) / len(links):>12.1%}{len(found - links):>8}"
            print(f"{name:22}{shares}{right / max(len(mergers), 1):>15.1%}{false:>7}{spent:>7.1f}")


if __name__ == "__main__":
    main()
