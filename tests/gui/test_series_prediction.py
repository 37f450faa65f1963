"""Long series and folders from the window: on disk as they come, stopped, continued."""

import json
import threading
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.layers import goes_to_disk
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.mask_predicting import masks_folder
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.micrographs.series_labels import SeriesLabels
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.movies import Steadying

from .conftest import fake_train

FRAMES, ROWS, COLUMNS = 7, 41, 53
NM = (0.02, 0.025)


class Worker:
    """Predicts a frame as its own number; may be held up; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.held_at: int | None = None
        self.go_on = threading.Event()
        self.resampling: Any = None

    def predict(
        self, run: Path, pixels: Any, *options: Any, report: Any, stopped: Any
    ) -> jobs.PredictionResult | None:
        number = int(pixels[0, 0])
        self.asked.append(number)
        self.resampling = options[3] if len(options) > 3 else None
        if number == self.held_at:
            self.go_on.wait(20)
        labels = np.zeros(pixels.shape, np.uint8)
        labels[number : number + 5, 3:9] = 2
        notes = ("3 px are NaN",) if number == 4 else ()
        return jobs.PredictionResult(labels, None, notes)


@pytest.fixture
def answers(worker: None, monkeypatch: pytest.MonkeyPatch) -> Worker:
    answers = Worker()
    monkeypatch.setattr(jobs, "predict_with_run", answers.predict)
    return answers


@pytest.fixture
def run(session: Session, strokes: Labels) -> TrainedRun:
    request = training_request(session)
    record = fake_train(request, report=lambda _: None, stopped=lambda: False)
    (request.run / "weights.safetensors").write_bytes(b"the first weights")
    run = TrainedRun(request.run, record)
    session.add_run(run)
    return run


def numbered() -> np.ndarray:
    return np.arange(FRAMES, dtype=np.int16)[:, None, None] + np.zeros((1, ROWS, COLUMNS), np.int16)


def add_series(viewer: Any, name: str = "series") -> Image:
    pixels = dask.array.from_array(numbered(), chunks=(1, ROWS, COLUMNS))
    return viewer.add_image(
        pixels, name=name, scale=(1, *NM), units=("pixel", "nm", "nm"), contrast_limits=(0, 9)
    )


@pytest.fixture
def series(viewer: Any, strokes: Labels) -> Image:
    """A lazy series whose frames hold their number."""
    for layer in list(viewer.layers):
        layer.visible = False
    return add_series(viewer)


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> ExportWidget:
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def press(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def predict_series(qtbot: Any, widget: ExportWidget, image: Image) -> None:
    widget._predict([(image, frame) for frame in range(FRAMES)])
    qtbot.waitUntil(lambda: widget.session.predicting is None, timeout=60_000)


def of_frame(number: int) -> np.ndarray:
    labels = np.zeros((ROWS, COLUMNS), np.uint8)
    labels[number : number + 5, 3:9] = 2
    return labels


def test_only_what_is_lazy_or_large_goes_to_disk(viewer: Any, series: Image) -> None:
    assert goes_to_disk(series)
    assert not goes_to_disk(viewer.layers["gold"])
    assert not goes_to_disk(viewer.add_image(numbered(), name="small"))


def test_a_lazy_series_is_predicted_onto_the_disk(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    series: Image,
    qtbot: Any,
) -> None:
    predict_series(qtbot, widget, series)
    assert answers.asked == list(range(FRAMES))
    assert "7 frames predicted." in widget.words.text()
    assert "series: 3 px are NaN." in widget.words.text()
    path = masks_folder(run.folder) / "series.ome.zarr"
    expected = np.stack([of_frame(number) for number in range(FRAMES)])
    np.testing.assert_array_equal(read_labels(path), expected)
    assert read_micrographs(path)[0].pixel_size_nm == pytest.approx(NM)
    made = json.loads(path.with_name(path.name + ".json").read_text())
    assert made["run"] == str(run.folder)
    assert made["image"] == "series"
    assert not path.with_name(path.name + ".parts").exists()
    (layer,) = session.refresh().scene.predictions
    assert isinstance(layer.data, SeriesLabels)
    assert not layer.editable
    assert tuple(layer.scale) == pytest.approx((1, *NM))
    np.testing.assert_array_equal(np.asarray(layer.data), expected)
    # again: all of it is there
    predict_series(qtbot, widget, series)
    assert len(answers.asked) == FRAMES
    assert [each.name for each in path.parent.iterdir() if each.suffix == ".zarr"] == [path.name]


def test_a_stop_keeps_what_is_done_and_again_goes_on_there(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    series: Image,
    viewer: Any,
    qtbot: Any,
) -> None:
    answers.held_at = 3
    widget._predict([(series, frame) for frame in range(FRAMES)])
    # the frames come while it runs; the answers go through the window's loop
    qtbot.waitUntil(lambda: 3 in answers.asked, timeout=30_000)
    qtbot.waitUntil(lambda: len(session.refresh().scene.predictions) == 1, timeout=30_000)
    (layer,) = session.refresh().scene.predictions
    qtbot.waitUntil(lambda: bool(np.asarray(layer.data[2]).any()), timeout=30_000)
    viewer.dims.set_point(0, 1)
    qtbot.waitUntil(lambda: bool((layer._slice.image.raw == of_frame(1)).all()), timeout=30_000)
    viewer.dims.set_point(0, 6)
    assert not layer._slice.image.raw.any()
    press(qtbot, widget.stop_button)
    # it does not wait for the frame that is held up
    qtbot.waitUntil(lambda: session.predicting is None, timeout=30_000)
    assert "Stopped after 3 of 7. What is done is kept" in widget.words.text()
    answers.held_at = None
    answers.go_on.set()
    answers.asked.clear()

    # as after a new start of napari: the layers are gone, and the image is opened again
    viewer.layers.clear()
    again = add_series(viewer)
    predict_series(qtbot, widget, again)
    assert sorted(set(answers.asked)) == [3, 4, 5, 6]
    (layer,) = session.refresh().scene.predictions
    expected = np.stack([of_frame(number) for number in range(FRAMES)])
    np.testing.assert_array_equal(np.asarray(layer.data), expected)


def test_other_weights_or_another_image_leave_the_earlier_masks(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    series: Image,
    viewer: Any,
    qtbot: Any,
) -> None:
    predict_series(qtbot, widget, series)
    first = masks_folder(run.folder) / "series.ome.zarr"
    before = {each: each.read_bytes() for each in first.rglob("*") if each.is_file()}
    (run.folder / "weights.safetensors").write_bytes(b"trained on")
    predict_series(qtbot, widget, series)
    assert len(answers.asked) == 2 * FRAMES
    second = masks_folder(run.folder) / "series_2.ome.zarr"
    np.testing.assert_array_equal(read_labels(second), read_labels(first))
    assert {each: each.read_bytes() for each in first.rglob("*") if each.is_file()} == before
    assert session.refresh().scene.predictions[0].data.path == second


def test_one_frame_of_a_series_is_kept_for_the_others(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    series: Image,
    viewer: Any,
    qtbot: Any,
) -> None:
    session.image = series
    viewer.dims.set_point(0, 2)
    press(qtbot, widget.predict_button)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=30_000)
    assert answers.asked == [2]
    (layer,) = session.refresh().scene.predictions
    np.testing.assert_array_equal(layer.data[2], of_frame(2))
    assert not layer.data[3].any()
    predict_series(qtbot, widget, series)
    assert answers.asked == [2, 0, 1, 3, 4, 5, 6]


def test_steady_masks_are_made_with_the_frames_beside_each(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    viewer: Any,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    """Also of a series in the memory; the setting shows for series alone."""
    rng = np.random.default_rng(2)
    one = rng.normal(1000, 100, (ROWS, COLUMNS)).astype(np.int16)
    pixels = np.stack([one] * 5)
    pixels[:, 0, 0] = range(5)
    film = viewer.add_image(pixels, name="film")
    seen: list[tuple[int, list[int]]] = []

    def look(folder: Path, frame: Any, *options: Any, report: Any, stopped: Any) -> Any:
        number = int(frame[0, 0])
        return jobs.FrameSaid(np.full((1, ROWS, COLUMNS), number, np.uint8), (ROWS, COLUMNS))

    def steady(
        folder: Path, said: Any, ahead: Any, at: int, *options: Any, report: Any, stopped: Any
    ) -> jobs.PredictionResult:
        numbers = [int(each.shares.max()) for each in said]
        seen.append((numbers[at], numbers))
        assert np.abs(ahead).max() < 0.1  # it stands still
        return jobs.PredictionResult(of_frame(numbers[at]), None)

    monkeypatch.setattr(jobs, "look_at_frame", look)
    monkeypatch.setattr(jobs, "predict_steadily", steady)
    session.image = film
    assert not widget.steadying.isHidden()
    session.choose(steadying=Steadying(1))
    assert widget.steadying.plan.frames == 1
    widget._predict([(film, frame) for frame in range(5)])
    qtbot.waitUntil(lambda: session.predicting is None, timeout=60_000)
    assert "5 frames predicted" in widget.words.text()
    assert seen == [(0, [0, 1]), (1, [0, 1, 2]), (2, [1, 2, 3]), (3, [2, 3, 4]), (4, [3, 4])]
    (layer,) = session.refresh().scene.predictions
    np.testing.assert_array_equal(layer.data[3], of_frame(3))
    made = json.loads((masks_folder(run.folder) / "film.ome.zarr.json").read_text())
    assert made["steady"]["frames"] == 1
    session.image = viewer.layers["gold"]
    assert widget.steadying.isHidden()


def test_a_failed_frame_is_said_and_the_others_stay(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    series: Image,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    def predict(run: Path, pixels: Any, *options: Any, **more: Any) -> Any:
        if int(pixels[0, 0]) == 5:
            raise MemoryError("no memory for a tile")
        return answers.predict(run, pixels, *options, **more)

    monkeypatch.setattr(jobs, "predict_with_run", predict)
    predict_series(qtbot, widget, series)
    assert "ran out of memory" in widget.words.text()
    assert "What is done is kept" in widget.words.text()
    (layer,) = session.refresh().scene.predictions
    np.testing.assert_array_equal(layer.data[4], of_frame(4))
    assert widget.predict_button.isEnabled()


def test_a_folder_is_predicted_into_masks_beside_the_run(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    tmp_path: Path,
    qtbot: Any,
) -> None:
    folder = tmp_path / "grid 3"
    for number in (1, 4):
        write_labels(folder / f"a{number}.tif", np.full((ROWS, COLUMNS), number), NM)
    (folder / "broken.tif").write_bytes(b"II*\0nothing")
    widget.predict_folder(folder)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=60_000)
    words = widget.words.text()
    out = masks_folder(run.folder) / "grid 3"
    assert f"2 files predicted, masks in {out}" in words
    assert "1 left out" in words
    assert "broken.tif" in words
    assert "a4: 3 px are NaN" in words
    for number in (1, 4):
        np.testing.assert_array_equal(read_labels(out / f"a{number}.tif"), of_frame(number))
        assert read_micrographs(out / f"a{number}.tif")[0].pixel_size_nm == pytest.approx(NM)
        assert (out / f"a{number}.tif.json").exists()
    widget.predict_folder(folder)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=60_000)
    assert sorted(answers.asked) == [1, 4]
    empty = tmp_path / "empty"
    empty.mkdir()
    widget.predict_folder(empty)
    assert "holds no file" in widget.words.text()
    assert session.predicting is None


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_image_is_resampled_unless_it_is_to_stay_as_it_is(
    answers: Worker,
    widget: ExportWidget,
    session: Session,
    run: TrainedRun,
    series: Image,
    viewer: Any,
    qtbot: Any,
    on_disk: bool,
) -> None:
    image = series if on_disk else viewer.add_image(numbered()[0], name="one", units=("nm", "nm"))
    image.scale = (1, 0.04, 0.05)[-image.ndim :]
    session.image = image
    assert "2.00 times as large" in widget.sizes.text()
    assert "resampled for the prediction" in widget.sizes.text()
    widget.resample.setChecked(False)
    assert "predicted as it is" in widget.sizes.text()
    press(qtbot, widget.predict_button)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=30_000)
    assert answers.resampling is None
    widget.resample.setChecked(True)
    press(qtbot, widget.predict_button)
    qtbot.waitUntil(lambda: session.predicting is None, timeout=30_000)
    assert answers.resampling.ratios == pytest.approx((2, 2))
    (layer,) = session.refresh().scene.predictions
    assert layer.metadata["napari-tem-rf"].resampling.network_nm == pytest.approx(NM)


def test_series_labels_are_indexed_like_an_array(tmp_path: Path) -> None:
    stack = np.random.default_rng(7).integers(0, 3, (5, 11, 13)).astype(np.uint8)
    write_labels(tmp_path / "a.ome.zarr", stack)
    labels = SeriesLabels(tmp_path / "a.ome.zarr", stack.shape, np.uint8)
    for key in (2, -1, slice(1, 4), (3, slice(2, 5), 4), (slice(None, None, 2), 3), ..., (..., 2)):
        np.testing.assert_array_equal(labels[key], stack[key])
    np.testing.assert_array_equal(np.asarray(labels), stack)
    with pytest.raises(IndexError, match="there is no frame 5"):
        labels[5]
    missing = SeriesLabels(tmp_path / "b.ome.zarr", stack.shape, np.uint8)
    missing.draft(3)[2:4] = 7
    assert missing[3, 2:4].all()
    assert not missing[2].any()
