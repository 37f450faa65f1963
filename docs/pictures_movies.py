"""Makes the pictures of movies.md: what is found of a simulated series, and the Movie dock.

    python docs/pictures_movies.py [--out docs/pictures] [--frames 120] [--only truth]

For what is found, a network is trained on one annotated frame, with the settings of the program,
and predicts all frames; their particles are found, and compared with what was simulated. The dock
is pictured with the true masks of a shorter series.
"""

import argparse
import importlib.util
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import driving  # first: it sets where settings are read from
import numpy as np
import tifffile
from driving import Window, let_settle, process_until
from PIL import Image

from napari_tem_rf import predict_movie, train
from napari_tem_rf.figures import LIGHT, new_figure
from napari_tem_rf.figures.movies import particles_over_time
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.movies import SeriesParticles, frame_table, measure_series
from napari_tem_rf.protocol import default_plan
from napari_tem_rf.runs import Run

SCRIPT = Path(__file__).parents[1] / "sample_data" / "movie.py"
NM, STEP_S = 0.5, 0.5
SIDE_PX, PARTICLES, STEPS, STEADY = 384, 170, 150, 2
WINDOW_FRAMES = 24


def simulated(frames: int) -> Any:
    """Return a series with a known truth."""
    spec = importlib.util.spec_from_file_location("simulated_movie", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    recipe = module.Recipe(
        frames=frames, side_px=SIDE_PX, particles=PARTICLES, noise=0.5, ripening=0.1, seed=11
    )
    return module.simulate(recipe)


def trained(movie: Any, folder: Path) -> Run:
    """Return a run that was trained on the first frame."""
    plan = replace(default_plan(), epochs=None, seconds=None, steps=STEPS)
    mask = (movie.labels[0] > 0).astype(np.uint8)
    return train([movie.images[0]], [mask], folder, plan=plan, unlabelled="background")


def predicted(movie: Any, run: Run, steady: int) -> Any:
    """Return the masks of all frames, steady over so many."""
    return np.stack([each.labels for each in predict_movie(run, movie.images, steady=steady)])


def measured(masks: Any) -> SeriesParticles:
    """Return the particles of all frames."""
    found = None
    job = measure_series(masks.__getitem__, len(masks), Finding(), pixel_size_nm=(NM, NM))
    while found is None:
        try:
            next(job)
        except StopIteration as end:
            found = end.value
    return found


def draw_truth(movie: Any, found: dict[str, Any], path: Path) -> None:
    """Draw number and coverage against what was simulated; print how far they are off."""
    smallest = Finding().smallest_px
    truth = {
        "number": np.array(
            [(np.bincount(plane.ravel())[1:] >= smallest).sum() for plane in movie.labels]
        ),
        "coverage": (movie.labels > 0).mean(axis=(1, 2)),
    }
    figure = new_figure(6.4, 2.6, LIGHT, dpi=110)
    for axes, column, label in zip(
        figure.subplots(1, 2),
        ("number", "coverage"),
        ("number of particles", "coverage"),
        strict=True,
    ):
        time_s = next(iter(found.values()))["time_s"]
        axes.plot(time_s, truth[column], color=LIGHT.colors[1], linewidth=1.2, label="simulated")
        first, *others = found
        particles_over_time(axes, found[first], column, label, LIGHT)
        axes.lines[-1].set_label(first)
        for color, name in zip(LIGHT.colors[2:], others, strict=False):
            axes.plot(time_s, found[name][column], color=color, linewidth=1.2, label=name)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=LIGHT.font_pt)
    figure.savefig(path)
    for name, table in found.items():
        for column, values in truth.items():
            ratio = table[column].to_numpy() / values
            # from frame to frame, whatever the trend
            jump = np.diff(ratio).std() / np.sqrt(2)
            print(
                f"{name}, {column}: {100 * (ratio.mean() - 1):+.1f} % on average, at most "
                f"{100 * np.abs(ratio - 1).max():.1f} % off, {100 * jump:.2f} % from frame to "
                "frame",
                flush=True,
            )


def draw_window(movie: Any, folder: Path, out: Path) -> None:
    """Picture the dock with the series held still and its tracks."""
    said = {
        "imagej": True,
        "resolution": (1 / NM, 1 / NM),
        "metadata": {"unit": "nm", "axes": "TYX", "finterval": STEP_S},
    }
    tifffile.imwrite(folder / "movie.tif", movie.images, **said)
    tifffile.imwrite(folder / "masks.tif", (movie.labels > 0).astype(np.uint8), **said)
    window = Window(out, folder / "runs")
    viewer, session = window.viewer, window.session
    (series,) = viewer.open(folder / "movie.tif", plugin="napari-tem-rf")
    (masks,) = viewer.open(folder / "masks.tif", plugin="napari-tem-rf", layer_type="labels")
    masks.opacity = 0.35
    session.image = series
    dock, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", "Movie")
    let_settle()
    widget.drift.measure_button.click()
    process_until(lambda: not widget.movie.is_busy)
    widget.tracks.track_button.click()
    process_until(lambda: not widget.movie.is_busy)
    widget.drift.still_box.click()
    window.look_at(series.name)
    widget.go_to(widget.movie.frames // 2)
    tracks = widget.movie.tracks
    merged = next(iter(tracks.parents), 1)
    widget.tracks.table.select([merged])
    widget.tracks._on_chosen([merged])
    viewer.scene.camera.zoom *= 1.2
    dock.raise_()
    window.save("movie")
    viewer.close()


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--only", choices=("truth", "window"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "window":
            movie = simulated(options.frames)
            run = trained(movie, folder / "run")
            print(run.record.finishing.sentence, flush=True)
            found = {
                name: frame_table(measured(predicted(movie, run, steady)).track(time_step_s=STEP_S))
                for name, steady in (("found", 0), ("found, steady", STEADY))
            }
            path = options.out / "movie_truth.png"
            draw_truth(movie, found, path)
            colors = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
            colors.save(path, optimize=True)
        if options.only != "truth":
            draw_window(simulated(WINDOW_FRAMES), folder, options.out)
    driving.HOME.cleanup()


if __name__ == "__main__":
    main()
