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

from napari_tem_rf import predict, train
from napari_tem_rf.figures import LIGHT, new_figure
from napari_tem_rf.figures.movies import particles_over_time
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.movies import SeriesParticles, frame_table, measure_series
from napari_tem_rf.protocol import default_plan

SCRIPT = Path(__file__).parents[1] / "sample_data" / "movie.py"
NM, STEP_S = 0.5, 0.5
SIDE_PX, PARTICLES, STEPS = 384, 170, 150
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


def predicted(movie: Any, run: Path) -> Any:
    """Return the masks of all frames by a network that was trained on the first."""
    plan = replace(default_plan(), epochs=None, seconds=None, steps=STEPS)
    mask = (movie.labels[0] > 0).astype(np.uint8)
    train([movie.images[0]], [mask], run, plan=plan, unlabelled="background")
    return np.stack([predict(run, image).labels for image in movie.images])


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


def draw_truth(movie: Any, found: Any, path: Path) -> None:
    """Draw number and coverage against what was simulated."""
    smallest = Finding().smallest_px
    number = [int((np.bincount(plane.ravel())[1:] >= smallest).sum()) for plane in movie.labels]
    coverage = (movie.labels > 0).mean(axis=(1, 2))
    figure = new_figure(6.4, 2.6, LIGHT, dpi=110)
    for axes, column, label, truth in zip(
        figure.subplots(1, 2),
        ("number", "coverage"),
        ("number of particles", "coverage"),
        (number, coverage),
        strict=True,
    ):
        axes.plot(found["time_s"], truth, color=LIGHT.colors[1], linewidth=1.2, label="simulated")
        particles_over_time(axes, found, column, label, LIGHT)
        axes.lines[-1].set_label("found")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=LIGHT.font_pt)
    figure.savefig(path)
    difference = np.abs(found["number"] - number) / number
    cover = np.abs(found["coverage"] - coverage) / coverage
    print(
        f"{path}: number off by {100 * difference.mean():.1f} % on average and "
        f"{100 * difference.max():.1f} % at most, coverage by {100 * cover.mean():.1f} and "
        f"{100 * cover.max():.1f} %",
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
            masks = predicted(movie, folder / "run")
            found = frame_table(measured(masks).track(time_step_s=STEP_S))
            path = options.out / "movie_truth.png"
            draw_truth(movie, found, path)
            colors = Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE)
            colors.save(path, optimize=True)
        if options.only != "truth":
            draw_window(simulated(WINDOW_FRAMES), folder, options.out)
    driving.HOME.cleanup()


if __name__ == "__main__":
    main()
