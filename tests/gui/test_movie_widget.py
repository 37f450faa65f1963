"""The Movie dock: drift taken off on the canvas, tracks, corrections by hand, tables on disk."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.layers import Image, Labels, Tracks as TracksLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_tem_rf import jobs
from napari_tem_rf.cli import main
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.gui.layers.layers import placement, set_pixel_size_nm
from napari_tem_rf.gui.movies.dock import MovieWidget
from napari_tem_rf.gui.movies.layers import tracks_layer
from napari_tem_rf.gui.pieces.parts import DOCK_WIDTH
from napari_tem_rf.gui.session.annotations import start_annotation
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.predictions import show_live, show_prediction
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.movies import Drift
from napari_tem_rf.networks.spec import NetworkSpec

from .conftest import fake_train

SCRIPT = Path(__file__).parents[2] / "sample_data" / "movie.py"
NM, STEP_S = 0.5, 0.25


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small simulated series and its masks in files, with the truth."""
    spec = importlib.util.spec_from_file_location("simulated_movie", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    movie = module.simulate(
        module.Recipe(frames=8, side_px=112, particles=14, noise=0.3, drift_px=0.8, seed=5)
    )
    folder = tmp_path_factory.mktemp("film")
    said = {
        "imagej": True,
        "resolution": (1 / NM, 1 / NM),
        "metadata": {"unit": "nm", "axes": "TYX", "finterval": STEP_S},
    }
    tifffile.imwrite(folder / "movie.tif", movie.images, **said)
    tifffile.imwrite(folder / "masks.tif", (movie.labels > 0).astype(np.uint8), **said)
    return SimpleNamespace(folder=folder, movie=movie, drift=movie.drift_px)


@pytest.fixture
def series(viewer: Any, session: Session, film: Any) -> Image:
    (layer,) = viewer.open(film.folder / "movie.tif", plugin="napari-tem-rf")
    session.image = layer
    return layer


@pytest.fixture
def masks(viewer: Any, session: Session, series: Image, film: Any) -> Labels:
    (layer,) = viewer.open(
        film.folder / "masks.tif", plugin="napari-tem-rf", layer_type="labels", name="masks"
    )
    session.image = series
    return layer


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> MovieWidget:
    widget = MovieWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def press(qtbot: Any, widget: MovieWidget, button: Any) -> None:
    assert button.isEnabled(), button.text()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.movie.is_busy, timeout=60_000)
    # the layer of tracks comes in steps
    qtbot.waitUntil(lambda: widget.movie.is_drawn, timeout=20_000)


def test_a_single_image_is_told_what_it_takes(widget: MovieWidget, image: Image) -> None:
    assert '"gold" is a single image' in widget.subject.text()
    for button in (
        widget.drift.measure_button,
        widget.drift.aligned_button,
        widget.tracks.track_button,
        widget.export_button,
    ):
        assert not button.isEnabled()
    assert "single image" in widget.drift.measure_button.toolTip()
    assert widget.strip.isHidden()


def test_what_follows_the_strokes_is_not_what_is_tracked_first(
    widget: MovieWidget, series: Image, session: Session, tmp_path: Path
) -> None:
    """It knows some frames only; a prediction is taken before it, whichever came last."""
    classes = Classes((0, 1), ("", ""), ("#000000", "#ffffff"))
    plane = np.ones(series.data.shape[1:], np.uint8)
    predicted = show_prediction(
        session, series, plane, classes, NetworkSpec(pools=(2,)), run=tmp_path
    )
    live = show_live(session, series, plane, classes)
    assert set(widget.movie.masks) == {predicted, live}
    assert widget.movie.mask is predicted
    for visible in (True, False):
        live.visible, predicted.visible = visible, not visible
        session.refresh()
        assert widget.movie.mask is predicted


def test_the_drift_is_measured_and_drawn_in_nm(
    widget: MovieWidget, series: Image, film: Any, qtbot: Any
) -> None:
    press(qtbot, widget, widget.drift.measure_button)
    drift = widget.movie.state.drift
    assert drift is not None
    assert np.abs(drift.offsets_px - film.drift).max() < 0.3
    assert "8 frames drift by up to" in widget.drift.words.text()
    qtbot.waitUntil(lambda: len(widget.drift.plot.axes) == 2, timeout=20_000)
    way, time = widget.drift.plot.axes
    assert way.get_xlabel() == "column (nm)"
    np.testing.assert_allclose(way.lines[0].get_xdata(), NM * drift.offsets_px[:, 1])
    assert time.lines[0].get_xdata().tolist() == [STEP_S * frame for frame in range(8)]


def test_the_specimen_is_held_still_and_let_go_again(
    widget: MovieWidget, series: Image, masks: Labels, viewer: Any, session: Session, film: Any
) -> None:
    strokes = viewer.add_labels(np.zeros(series.data.shape, np.uint8), **placement(series))
    session.annotation = strokes
    assert not widget.drift.still_box.isEnabled()
    widget.movie.change(drift=Drift(film.drift, pixel_size_nm=(NM, NM)))
    before = [np.array(layer.affine.affine_matrix) for layer in (series, strokes)]
    pixels = np.array(series.data)
    widget.drift.still_box.click()
    places = []
    for frame in (0, 5, 2, 7):
        viewer.dims.set_point(0, frame)
        # a place of the specimen that is at (40, 50) in the first frame
        at = np.array([40.0, 50.0]) + film.drift[frame]
        places.append(series.data_to_world((frame, *at))[1:])
        # what is painted under the mouse is painted on the pixel that is seen there
        world = (frame, *places[-1])
        for layer in (strokes, masks):
            np.testing.assert_allclose(layer.world_to_data(world), series.world_to_data(world))
    np.testing.assert_allclose(places, [(40 * NM, 50 * NM)] * 4)
    # a layer that comes later is held as well
    late = viewer.add_labels(np.zeros(series.data.shape, np.uint8), **placement(series))
    session.annotation = late
    session.image = series
    viewer.dims.set_point(0, 6)
    np.testing.assert_allclose(late.affine.affine_matrix, series.affine.affine_matrix)
    widget.drift.still_box.click()
    for layer, matrix in zip((series, strokes), before, strict=True):
        np.testing.assert_array_equal(layer.affine.affine_matrix, matrix)
    np.testing.assert_array_equal(series.data, pixels)


def test_an_aligned_series_is_written_with_its_record(
    widget: MovieWidget, series: Image, film: Any, qtbot: Any, tmp_path: Path
) -> None:
    widget.movie.change(drift=Drift(film.drift, pixel_size_nm=(NM, NM)))
    path = tmp_path / "still.tif"
    widget.movie.write_aligned(path)
    qtbot.waitUntil(lambda: not widget.movie.is_busy, timeout=30_000)
    assert "Written" in widget.drift.written.text()
    stack = tifffile.imread(path)
    assert stack.shape[0] == 8
    assert stack.dtype == np.uint16
    record = json.loads((tmp_path / "still.tif.json").read_text())
    assert record["images"][0]["file"].endswith("movie.tif")
    widget.movie.write_aligned(path)
    qtbot.waitUntil(lambda: not widget.movie.is_busy, timeout=30_000)
    assert "exists" in widget.drift.written.text()


def tracked(qtbot: Any, widget: MovieWidget, film: Any) -> Any:
    widget.movie.change(drift=Drift(film.drift, pixel_size_nm=(NM, NM)))
    press(qtbot, widget, widget.tracks.track_button)
    tracks = widget.movie.tracks
    assert tracks is not None
    return tracks


def test_tracks_are_shown_in_the_world_and_in_a_table(
    widget: MovieWidget, series: Image, masks: Labels, session: Session, film: Any, qtbot: Any
) -> None:
    tracks = tracked(qtbot, widget, film)
    assert tracks.sentence == widget.tracks.words.text()
    layer = tracks_layer(session, series)
    assert isinstance(layer, TracksLayer)
    for attribute in ("scale", "translate"):
        np.testing.assert_allclose(getattr(layer, attribute), getattr(series, attribute))
    assert layer.units == series.units
    table = tracks.particles
    np.testing.assert_allclose(layer.data[:, 2:], table[["row_px", "column_px"]])
    assert set(layer.graph) == set(tracks.parents) | set(tracks.origins)
    # the suggested limits are shown
    assert widget.tracks.limits.plan == tracks.limits
    assert "Taken from the series" not in widget.tracks.origin.text()
    assert "taken from the series" in widget.tracks.origin.text()
    # held still, tracks are of the specimen: they end where they were, the drift taken off
    widget.drift.still_box.click()
    offsets = film.drift[table["frame"]]
    np.testing.assert_allclose(layer.data[:, 2:], table[["row_px", "column_px"]] - offsets)
    # the table, and the way from it to the canvas
    chosen = int(table[table["frame"] == 7]["track"].iloc[0])
    widget.tracks.table.select([chosen])
    widget.tracks._on_chosen([chosen])
    assert [each.label for each in widget.tracks.marks._overlay.drawing.boxes] == [str(chosen)]
    assert widget.widget().minimumSizeHint().width() <= DOCK_WIDTH - 16
    # another pixel size: path, tracks and what is held still follow
    set_pixel_size_nm(series, (0.2, 0.2))
    drift = widget.movie.state.drift
    assert drift is not None
    assert drift.pixel_size_nm == pytest.approx((0.2, 0.2))
    np.testing.assert_allclose(layer.scale, series.scale)
    frame = session.frame
    at = series.data_to_world((frame, *(film.drift[frame] + (40, 50))))
    np.testing.assert_allclose(at[1:], (40 * 0.2, 50 * 0.2))
    assert "changed since" in widget.tracks.stale.text()
    widget.go_to(0)
    widget.tracks.marks.go_to(int(table[table["frame"] > 0]["track"].iloc[-1]))


def test_a_click_on_a_particle_chooses_its_track(
    widget: MovieWidget, series: Image, masks: Labels, viewer: Any, film: Any, qtbot: Any
) -> None:
    tracks = tracked(qtbot, widget, film)
    widget.show()
    viewer.dims.set_point(0, 3)
    here = tracks.particles[tracks.particles["frame"] == 3]
    one = here.sort_values("equivalent_diameter_nm").iloc[-1]
    viewer.layers.selection.active = series

    def click(row: float, column: float, *modifiers: str) -> None:
        event = SimpleNamespace(
            type="mouse_press",
            button=1,
            pos=(50, 60),
            position=tuple(series.data_to_world((3, row, column))),
            modifiers=modifiers,
        )
        for callback in list(viewer.mouse_drag_callbacks):
            going = callback(viewer, event)
            if going is not None:
                next(going, None)
                event.type = "mouse_release"
                next(going, None)
                event.type = "mouse_press"

    click(one["row_px"], one["column_px"])
    assert widget.tracks.selected == (int(one["track"]),)

    # with a brush a click paints, unless Ctrl is held; that adds to what is chosen, as everywhere
    viewer.layers.selection.active = masks
    masks.mode = "paint"
    other = here[here["track"] != one["track"]].iloc[0]
    click(other["row_px"], other["column_px"])
    assert widget.tracks.selected == (int(one["track"]),)
    modes: list[str] = []
    masks.events.mode.connect(lambda event: modes.append(str(event.mode)))
    click(other["row_px"], other["column_px"], "Control")
    assert set(widget.tracks.selected) == {int(one["track"]), int(other["track"])}
    assert modes == ["pan_zoom", "paint"]
    widget.hide()


def test_limits_that_are_typed_hold_and_the_series_can_be_asked_again(
    widget: MovieWidget, series: Image, masks: Labels, film: Any, qtbot: Any
) -> None:
    first = tracked(qtbot, widget, film)
    assert widget.tracks.stale.text() == ""
    widget.tracks.limits.box("distance_px").setValue(7.5)
    assert "The limits changed" in widget.tracks.stale.text()
    assert "distance as you typed" in widget.tracks.origin.text()
    press(qtbot, widget, widget.tracks.track_button)
    tracks = widget.movie.tracks
    assert tracks is not None
    assert (tracks.limits.distance_px, tracks.limits.gap) == (7.5, first.limits.gap)
    assert tracks.limits.size_ratio == first.limits.size_ratio
    assert widget.tracks.stale.text() == ""
    qtbot.mouseClick(widget.tracks.suggest_button, Qt.MouseButton.LeftButton)
    press(qtbot, widget, widget.tracks.track_button)
    assert widget.movie.tracks is not None
    assert widget.movie.tracks.limits == first.limits


def test_window_and_command_line_write_equal_tables(
    widget: MovieWidget, series: Image, masks: Labels, film: Any, qtbot: Any, tmp_path: Path
) -> None:
    press(qtbot, widget, widget.tracks.track_button)  # the drift from the masks, as there
    out = tmp_path / "window.csv"
    widget.export_to(out)
    qtbot.waitUntil(lambda: "Written" in widget.words.text(), timeout=20_000)
    other = tmp_path / "line.csv"
    arguments = ["track", film.folder / "masks.tif", "--time-step", STEP_S, "--out", other]
    with pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    assert not end.value.code
    for kind in ("", "_tracks", "_frames"):
        mine, theirs = (tmp_path / f"{name}{kind}.csv" for name in ("window", "line"))
        assert mine.read_text() == theirs.read_text()
    records = [
        json.loads((tmp_path / f"{name}.csv.json").read_text()) for name in ("window", "line")
    ]
    for record in records:
        record.pop("date")
    assert records[0] == records[1]
    assert records[0]["masks"][0]["sha256"]
    # nothing is replaced unasked
    widget.export_to(out)
    assert "exists" in widget.words.text()


def test_the_plots_go_against_time_or_frame(
    widget: MovieWidget, series: Image, masks: Labels, film: Any, qtbot: Any
) -> None:
    assert (widget.time.step.value(), widget.time.origin.text()) == (STEP_S, "from the file")
    tracks = tracked(qtbot, widget, film)
    part = widget.time
    qtbot.waitUntil(lambda: bool(part.plot.axes), timeout=20_000)
    assert part.plot.axes[0].get_xlabel() == "time (s)"
    line = part.plot.axes[0].lines[0]
    assert line.get_ydata().tolist() == [
        (tracks.particles["frame"] == frame).sum() for frame in range(8)
    ]
    part.step.setValue(2.0)
    assert part.origin.text() == "typed"
    assert widget.movie.tracks is not None
    assert widget.movie.tracks.time_step_s == 2.0
    part.quantity.setCurrentText("coverage")
    coverage = part.plot.axes[0].lines[0]
    assert coverage.get_xdata().tolist() == [2.0 * frame for frame in range(8)]
    truth = (film.movie.labels > 0).mean(axis=(1, 2))
    # specks below the smallest size are left out
    np.testing.assert_allclose(coverage.get_ydata(), truth, atol=0.002)
    part.quantity.setCurrentText("mean squared displacement")
    qtbot.waitUntil(lambda: part.plot.axes[0].get_xlabel() == "time between (s)", timeout=20_000)


def test_from_a_movie_to_corrected_tables(
    viewer: Any,
    session: Session,
    film: Any,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opened, one frame annotated, trained, predicted, tracked, one link corrected, written."""
    # a real training, in a thread: a process that loads torch would take longer than the way
    monkeypatch.setattr(
        "napari_tem_rf.gui.session.work.Engine", lambda: InlineEngine(threaded=True)
    )
    session.spec = NetworkSpec((2, 2), filters=8)  # there are starting weights for it
    session.change_plan(
        epochs=None, seconds=None, steps=24, validation=0.0, crop_px=64, batch=4, device="cpu"
    )
    _, workspace = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    _, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", "Movie")
    (series,) = viewer.open(film.folder / "movie.tif", plugin="napari-tem-rf")
    session.image = series

    # one frame is annotated: particles and a part of the ground
    viewer.dims.set_point(0, 3)
    workspace.annotation.new_button.click()
    annotation = session.annotation
    assert annotation is not None
    truth = film.movie.labels > 0
    for value, places in ((2, np.argwhere(truth[3])), (1, np.argwhere(~truth[3])[::3])):
        annotation.data_setitem((np.full(len(places), 3), *places.T), np.uint8(value))
    session.edited()
    session.refresh()
    assert widget.strip.marks.annotated == {3}
    assert widget.strip.marks.trained == set()

    # trained, and all frames predicted
    workspace.train.train_button.click()
    qtbot.waitUntil(
        lambda: bool(session.runs) and session.training is None and session.predicting is None,
        timeout=240_000,
    )
    assert widget.strip.marks.trained == {3}
    qtbot.waitUntil(lambda: workspace.result.all_button.isEnabled(), timeout=20_000)
    workspace.result.all_button.click()
    qtbot.waitUntil(lambda: session.predicting is None, timeout=120_000)
    prediction = session.situation.scene.predictions[-1]
    predicted = np.asarray(prediction.data) > 0
    assert 2 * (predicted & truth).sum() / (predicted.sum() + truth.sum()) > 0.7

    # drift and tracks of what was predicted
    assert widget.movie.mask is prediction
    press(qtbot, widget, widget.drift.measure_button)
    press(qtbot, widget, widget.tracks.track_button)
    tracks = widget.movie.tracks
    assert tracks is not None
    whole = tracks.particles.groupby("track")["frame"].count()
    assert (whole == 8).sum() >= 5

    # one link is corrected: cut, taken back, cut again, and the pieces joined
    chosen = int(whole.index[whole == 8][0])
    widget.tracks.table.select([chosen])
    widget.go_to(4)
    QApplication.processEvents()
    press(qtbot, widget, widget.tracks.cut_button)
    assert widget.tracks.words.text() == f"Track {chosen} cut before frame 4."
    assert widget.movie.tracks.number == tracks.number + 1
    press(qtbot, widget, widget.tracks.undo_button)
    assert widget.movie.tracks.number == tracks.number
    press(qtbot, widget, widget.tracks.redo_button)
    piece = int(widget.movie.tracks.particles["track"].max())
    widget.tracks.table.select([chosen, piece])
    widget.tracks._mark_selected()
    press(qtbot, widget, widget.tracks.join_button)
    assert widget.movie.tracks.number == tracks.number
    layer = tracks_layer(session, series)
    assert layer is not None
    assert len(np.unique(layer.data[:, 0])) == tracks.number

    # written, with what was done
    path = tmp_path / "particles.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    press(qtbot, widget, widget.export_button)
    qtbot.waitUntil(lambda: "Written" in widget.words.text(), timeout=20_000)
    table = pd.read_csv(path)
    assert table.groupby("track")["frame"].count()[chosen] == 8
    assert len(pd.read_csv(tmp_path / "particles_frames.csv")) == 8
    record = json.loads((tmp_path / "particles.csv.json").read_text())
    assert [each["kind"] for each in record["corrections"]] == ["cut", "join"]
    assert record["run"] == str(session.run.folder.resolve())
    assert record["drift"]["image"] == series.name


def test_labels_are_pushed_to_the_next_frame_where_nothing_is_painted(
    widget: MovieWidget, series: Image, viewer: Any, session: Session, film: Any, qtbot: Any
) -> None:
    part = widget.annotate
    assert "no annotation of this series yet" in part.push_button.toolTip()
    strokes = start_annotation(series, "ignore", [])
    viewer.add_layer(strokes)
    session.annotation = strokes
    session.image = series
    viewer.dims.set_point(0, 2)
    assert "Nothing is painted in frame 2" in part.push_button.toolTip()
    strokes.data[2][film.movie.labels[2] > 0] = 2
    strokes.data[3, :6] = 1  # this was painted there before
    session.edited()
    session.refresh()
    # strokes are no masks of the series
    assert widget.movie.mask is None
    assert not widget.tracks.track_button.isEnabled()
    before = strokes.data.copy()
    qtbot.mouseClick(part.push_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "pushed to frame 3" in part.words.text(), timeout=20_000)
    assert session.frame == 3
    assert (strokes.data[3, :6] == 1).all()
    truth, pushed = film.movie.labels[3][8:] > 0, strokes.data[3][8:] == 2
    assert 2 * (truth & pushed).sum() / (truth.sum() + pushed.sum()) > 0.85
    assert widget.strip.marks.annotated == {2, 3}
    np.testing.assert_array_equal(np.delete(strokes.data, 3, 0), np.delete(before, 3, 0))
    strokes.undo()
    np.testing.assert_array_equal(strokes.data, before)


class Predicted:
    """Runs that are certain of all frames but one, or that differ in one."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.asked = 0

    def __call__(
        self, run: Path, pixels: Any, _tile: Any, probabilities: bool, *_: Any, **__: Any
    ) -> jobs.PredictionResult:
        self.asked += 1
        odd = np.array_equal(pixels, self.frame)
        labels = np.zeros(pixels.shape, np.uint8)
        labels[:9] = 2 * (odd and run.name.endswith("2"))
        share = np.full(pixels.shape, 0.6 if odd else 0.01, np.float32)
        return jobs.PredictionResult(
            labels, np.stack([1 - share, share]) if probabilities else None
        )


@pytest.mark.parametrize("runs", [1, 2])
def test_the_frame_that_is_worth_annotating_is_shown(
    widget: MovieWidget,
    series: Image,
    viewer: Any,
    session: Session,
    worker: None,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
    runs: int,
) -> None:
    part = widget.annotate
    assert "There is no run yet" in part.look_button.toolTip()
    strokes = start_annotation(series, "ignore", [])
    strokes.data[0, 20:30, 20:30] = 2
    strokes.data[0, 50:60, 20:30] = 1
    viewer.add_layer(strokes)
    session.annotation = strokes
    session.image = series
    for number in range(1, runs + 1):
        request = replace(training_request(session), run=session.runs_folder / f"run_{number}")
        record = fake_train(request, report=lambda _: None, stopped=lambda: False)
        session.add_run(TrainedRun(request.run, record))
    predicted = Predicted(np.asarray(series.data[5], np.float32))
    monkeypatch.setattr(jobs, "predict_with_run", predicted)
    qtbot.mouseClick(part.look_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "Frame 5" in part.words.text(), timeout=20_000)
    # seven frames have no labels
    assert predicted.asked == 7 * runs
    assert session.frame == 5
    assert widget.strip.marks.worth == {5}
    words = "the 2 runs differ in 8 % of its pixels" if runs == 2 else "its mask is least certain"
    assert words in part.words.text()


def test_empty_masks_broken_frames_and_an_image_that_goes(
    widget: MovieWidget, viewer: Any, session: Session, qtbot: Any
) -> None:
    pixels = np.random.default_rng(3).normal(100, 10, (5, 40, 53)).astype(np.float32)
    pixels[2] = 0
    pixels[3] = np.nan
    series = viewer.add_image(pixels, name="broken")
    specks = np.zeros(pixels.shape, np.uint8)
    specks[1, 5:7, 5:7] = 1  # below the smallest size
    viewer.add_labels(specks, name="nothing")
    viewer.add_labels(np.ones((4, 40, 53), np.uint8), name="of another series")
    session.image = series
    assert [layer.name for layer in widget.movie.masks] == ["nothing"]
    assert "no pixel size" in widget.subject.text()
    press(qtbot, widget, widget.drift.measure_button)
    assert "Left out: frame 2, 3" in widget.drift.words.text()
    assert widget.strip.marks.left_out == {2, 3}
    assert "left out (grey): 2, 3" in widget.strip.toolTip()
    press(qtbot, widget, widget.tracks.track_button)
    assert "5 frames without a particle" in widget.tracks.words.text()
    assert tracks_layer(session, series) is None
    assert not widget.export_button.isEnabled()
    widget.drift.still_box.click()
    viewer.layers.remove(series)
    assert "There is no image yet" in widget.subject.text()
    assert widget.tracks.results.isHidden()
    viewer.dims.set_point(0, 1)


def test_tracks_found_anew_after_corrections_have_a_way_back(
    widget: MovieWidget, series: Image, masks: Labels, film: Any, qtbot: Any
) -> None:
    first = tracked(qtbot, widget, film)
    widget.tracks.table.select([1])
    widget.tracks.delete_selected()
    assert widget.movie.tracks is not None
    assert widget.movie.tracks.number == first.number - 1
    press(qtbot, widget, widget.tracks.track_button)
    assert "Undo brings those back" in widget.tracks.words.text()
    assert widget.movie.tracks.number == first.number
    press(qtbot, widget, widget.tracks.undo_button)
    assert widget.movie.tracks.number == first.number - 1
    # what cannot be done is said where the button is
    widget.tracks.table.select([2])
    widget.tracks._mark_selected()
    assert not widget.tracks.join_button.isEnabled()
    assert "Joining takes two tracks" in widget.tracks.join_button.toolTip()
