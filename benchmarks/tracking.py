"""How right drift and tracks are on simulated series, and what others find on the same masks.

    python benchmarks/tracking.py [--frames 200] [--noise 1.0 0.5] [--masks FOLDER] [--steady N]

First on the true masks, then on those of a network that was trained on the first frame alone, with
the program's defaults, for so many steps; ``--masks`` keeps them, or takes those that are there.
Found particles stand for the true ones whose pixels they share (`same_particles`), so that a link
or a merger is right if it joins what stands for the right ones. Needs nothing but the package;
laptrack and trackpy are compared with where they are installed.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_tem_rf import predict_movie, train
from napari_tem_rf.measuring.particles import find_particles, measure_particles
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.movies import measure_drift, track_particles
from napari_tem_rf.protocol import default_plan

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


Truth = dict[tuple[int, int], int]
"""The true particle that a found one, (frame, label), stands for."""

_LEAST_IOU = 0.3
_LATELY = 3
_MOST_APART = 2
"""Frames by which contact of two masks may be before or after that of the spheres."""


def same_particles(found: Any, true: Any) -> dict[int, int]:
    """Return which true particle each found one of a frame stands for.

    Pairs of the largest intersection over union, from the largest down, at least 0.3; each particle
    is in one at most.
    """
    sizes = [np.bincount(plane.ravel()) for plane in (found, true)]
    both = (found > 0) & (true > 0)
    pairs, shared = np.unique(np.stack([found[both], true[both]]), axis=1, return_counts=True)
    iou = shared / (sizes[0][pairs[0]] + sizes[1][pairs[1]] - shared)
    stands: dict[int, int] = {}
    taken: set[int] = set()
    for at in np.argsort(-iou, kind="stable"):
        one, other = pairs[:, at].tolist()
        if iou[at] < _LEAST_IOU:
            break
        if one not in stands and other not in taken:
            stands[one] = other
            taken.add(other)
    return stands


def score(
    links: set[Pair], merged: dict[Any, Any], truth: Truth, movie: Any
) -> tuple[float, float, int, float, float, int]:
    """Return what is right and what is wrong of links and mergers.

    The share of links that are right, of all and of those whose ends were found; how many are
    wrong; the share of mergers that are right, of all and of those of which both parents were found
    in one of the three frames before; how many of those found are none. A link of a found particle
    that stands for none is no wrong one: the mask is.
    """
    known, mergers = truth_of(movie)
    there = {(frame, name) for (frame, _), name in truth.items()}
    possible = {link for link in known if link[0] in there and link[1] in there}
    named = {
        tuple((spot[0], truth[spot]) for spot in link)
        for link in links
        if all(spot in truth for spot in link)
    }
    claims: dict[frozenset[int], list[tuple[int, int]]] = {}
    for child, parents in merged.items():
        names = frozenset(truth.get(spot, 0) for spot in parents)
        claims.setdefault(names, []).append((child[0], truth.get(child, 0)))

    def is_right(child: tuple[int, int], parents: frozenset[tuple[int, int]]) -> bool:
        names = frozenset(name for _, name in parents)
        return any(
            # before the spheres touch, the mask of both stands for the larger of them
            abs(frame - child[0]) <= _MOST_APART and name in {child[1], *names}
            for frame, name in claims.get(names, [])
        )

    right = {child for child, parents in mergers.items() if is_right(child, parents)}
    seen = {
        child
        for child, parents in mergers.items()
        if all(any((f - back, name) in there for back in range(_LATELY)) for f, name in parents)
    }
    return (
        len(named & known) / len(known),
        len(named & possible) / max(len(possible), 1),
        len(named - known),
        len(right) / max(len(mergers), 1),
        len(right & seen) / max(len(seen), 1),
        len(merged) - len(right),
    )


def drift_of(movie: Any) -> Any:
    """Measure the drift of a series; print how far it is off."""
    began = time.process_time()
    job = measure_drift(lambda index: movie.images[index], len(movie.images))
    while True:
        try:
            next(job)
        except StopIteration as end:
            drift = end.value
            break
    error = np.abs(drift.offsets_px - movie.drift_px)
    print(
        f"noise {movie.recipe.noise:g}: drift of up to {np.abs(movie.drift_px).max():.0f} px, "
        f"largest error {error.max():.2f} px, rms {np.sqrt((error**2).mean()):.3f} px, "
        f"{time.process_time() - began:.1f} s of processor",
        flush=True,
    )
    return drift.offsets_px


def predicted(movie: Any, folder: Path, steps: int, steady: int) -> Any:
    """Return the masks of all frames by a network that was trained on the first one."""
    run, kept = folder / "run", folder / f"steady_{steady}.npz"
    if kept.exists():
        return np.load(kept)["masks"]
    if not run.exists():
        plan = replace(default_plan(), epochs=None, seconds=None, steps=steps)
        mask = (movie.labels[0] > 0).astype(np.uint8)
        train([movie.images[0]], [mask], run, plan=plan, unlabelled="background")
    masks = np.stack([each.labels for each in predict_movie(run, movie.images, steady=steady)])
    np.savez_compressed(kept, masks=masks)
    return masks


def compare(name: str, numbered: Any, movie: Any, drift: Any) -> None:
    """Print what all trackers find of the particles of numbered masks."""
    tables = {frame: measure_particles(plane) for frame, plane in enumerate(numbered)}
    truth = {
        (frame, label): true
        for frame, plane in enumerate(numbered)
        for label, true in same_particles(plane, movie.labels[frame]).items()
    }
    links, mergers = truth_of(movie)
    ratio = np.array([len(table) for table in tables.values()]) / [
        np.count_nonzero(np.bincount(plane.ravel())[1:] >= Finding().smallest_px)
        for plane in movie.labels
    ]
    print(
        f"{name}: {len(links):,} links and {len(mergers)} mergers to find, "
        f"{ratio.mean() - 1:+.1%} particles"
    )
    print(
        f"{'':22}{'links right':>12}{'where seen':>12}{'wrong':>8}{'mergers right':>15}"
        f"{'where seen':>12}{'false':>7}{'s':>7}"
    )
    trackers: dict[str, Callable[..., Any]] = {"napari-tem-rf": ours}
    if importlib.util.find_spec("laptrack"):
        trackers["laptrack, defaults"] = by_laptrack
    if importlib.util.find_spec("trackpy"):
        trackers["trackpy, 15 px"] = by_trackpy
    for tracker_name, tracker in trackers.items():
        began = time.process_time()
        found, merged = tracker(tables, movie, drift)
        spent = time.process_time() - began
        right, seen, wrong, whole, whole_seen, false = score(found, merged, truth, movie)
        print(
            f"{tracker_name:22}{right:>12.1%}{seen:>12.1%}{wrong:>8}{whole:>15.1%}{whole_seen:>12.1%}{false:>7}"
            f"{spent:>7.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0, 0.5])
    parser.add_argument("--steps", type=int, default=400, help="of training")
    parser.add_argument("--steady", type=int, nargs="+", default=[0], help="over so many frames")
    parser.add_argument("--masks", type=Path, help="folder in which predicted masks are kept")
    options = parser.parse_args()
    simulator = load_simulator()
    with tempfile.TemporaryDirectory() as home:
        for noise in options.noise:
            movie = simulator.simulate(simulator.Recipe(frames=options.frames, noise=noise))
            drift = drift_of(movie)
            compare("true masks", movie.labels, movie, drift)
            folder = (options.masks or Path(home)) / f"noise_{noise:g}_frames_{options.frames}"
            folder.mkdir(parents=True, exist_ok=True)
            for steady in options.steady:
                masks = predicted(movie, folder, options.steps, steady)
                smallest = Finding().smallest_px
                numbered = [find_particles(mask, smallest_px=smallest) for mask in masks]
                how = f"predicted, steady over {steady}" if steady else "predicted"
                compare(how, numbered, movie, drift)


if __name__ == "__main__":
    main()
