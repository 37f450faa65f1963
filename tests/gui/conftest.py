"""What the tests of the window share: a viewer, its session, a worker that answers at once."""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from napari.utils.events import EventEmitter
from npe2 import PluginManifest

from napari_tem_rf import jobs
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.gui.pieces import garbage
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.networks.speed import Speed
from napari_tem_rf.protocol import EpochReport, NoteReport, PreviewReport, ProgressReport
from napari_tem_rf.runs import RunRecord, create_run

from .one_viewer import OneViewer

SHAPE = (61, 83)
NM = (0.02, 0.025)


@pytest.fixture(autouse=True, scope="package")
def manifests_read_once() -> Iterator[None]:
    """Keep what napari reads of all plugins for each new viewer."""
    found = list(PluginManifest.discover())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PluginManifest, "discover", lambda paths=(): iter(found))
        yield


@pytest.fixture(autouse=True, scope="package")
def no_welcome_is_written() -> Iterator[None]:
    """Let napari's welcome, which no viewer of a test shows, not follow each shortcut bound."""
    with pytest.MonkeyPatch.context() as patched:
        with contextlib.suppress(ImportError, AttributeError):
            patched.setattr(
                "napari._qt.widgets.qt_welcome.QtWelcomeWidget.refresh", lambda *_: None
            )
        yield


@pytest.fixture(autouse=True, scope="package")
def little_garbage_is_sought() -> Iterator[None]:
    """Let nobody look through all objects whenever a layer goes (for Windows) or a mouse rests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(garbage, "_LOOK_MS", 60_000)
        if sys.platform != "win32":
            quick = SimpleNamespace(collect=lambda: gc.collect(0))
            patched.setattr("napari._vispy.canvas.gc", quick, raising=False)
        yield


@pytest.fixture(autouse=True, scope="package")
def signatures_are_read_once() -> Iterator[None]:
    """Keep what napari finds out anew, for each layer, about all functions that listen to it."""
    read = EventEmitter._check_signature
    known: dict[tuple[CodeType, bool], bool] = {}

    def read_once(listener: Callable[..., Any]) -> bool:
        function = getattr(listener, "__func__", listener)
        code = getattr(function, "__code__", None)
        if code is None or hasattr(function, "__wrapped__"):
            return read(listener)
        key = code, function is listener
        if key not in known:
            known[key] = read(listener)
        return known[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(EventEmitter, "_check_signature", staticmethod(read_once))
        yield


@pytest.fixture(scope="package")
def one_viewer() -> Iterator[OneViewer]:
    """What lends a viewer to one test after the other."""
    one = OneViewer()
    yield one
    one.make_way()


@pytest.fixture
def mock_app_model(one_viewer: OneViewer, request: pytest.FixtureRequest) -> Any:
    """Close the viewer that is lent before `make_napari_viewer`, which asks for this, makes one."""
    one_viewer.make_way()
    return request.getfixturevalue("mock_app_model")


@pytest.fixture
def viewer(
    one_viewer: OneViewer, qtbot: Any, tmp_path: Path, loaded: None, no_newcomer: None
) -> Iterator[Any]:
    """A viewer without layers and docks, whose window was never shown, with a session of its own.

    Its runs go into the test's own folder. Tests share it one after the other: it is emptied after
    each (`one_viewer.py`) and must then be like a new one. A test about the opening or closing of a
    viewer, or with several, takes `make_napari_viewer`.
    """
    viewer = one_viewer.lend()
    session_of(viewer).runs_folder = tmp_path / "runs"
    yield viewer
    left = one_viewer.take_back()
    assert not left, f"left in the viewer: {left}"


@pytest.fixture(autouse=True)
def no_newcomer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer no tour: it would stand above what a test looks at."""
    monkeypatch.setattr("napari_tem_rf.gui.segment.tour.is_new_here", lambda: False)


@pytest.fixture
def session(viewer: Any) -> Session:
    return session_of(viewer)


@pytest.fixture
def image(viewer: Any) -> Image:
    """Noise with one bright disc, calibrated, not square."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 12**2
    pixels = np.random.default_rng(7).normal(size=SHAPE) + 3 * disc
    return viewer.add_image(
        pixels.astype(np.float32),
        name="gold",
        scale=NM,
        translate=(1.0, 2.0),
        units=("nm", "nm"),
        axis_labels=("y", "x"),
    )


def fake_train(
    request: jobs.TrainRequest, *, report: Callable[[Any], None], stopped: Callable[[], bool]
) -> RunRecord:
    """Answer as a training does, without a network."""
    report(NoteReport("nothing is held out, as asked for"))
    data = jobs.prepare(
        request.images,
        request.unlabelled,
        request.cleaning,
        request.class_names,
        request.class_colors,
    )
    assert request.watched is not None
    for epoch in (1, 2, 3):
        report(EpochReport(epoch, 10 * epoch, 0.1 * epoch, 0.1, 1 / epoch, 1 / epoch, 0.8, 2, 0.81))
        report(ProgressReport(epoch / 3, 0.1))
    value = data.classes.prediction_values[-1]
    shape = request.watched.pixels.shape
    report(PreviewReport(np.full(shape, value, np.uint8), (0, 0), 3))
    record = RunRecord(
        name=request.run.name,
        spec=request.spec.with_classes(len(data.classes.values)),
        plan=request.plan,
        classes=data.classes,
        unlabelled=request.unlabelled,
        cleaning=request.cleaning,
        pixel_size_nm=request.images[0].pixel_size_nm,
        data=(),
        split={"kind": "blocks", "sentence": "a block of each image held out"},
        state="finished",
        epochs=3,
        best_epoch=2,
        scores={"dice": 0.81},
    )
    create_run(request.run, record, {"annotation.ome.tif": request.images[0].labels})
    return record


def fake_predict(
    run: Path,
    pixels: Any,
    tile_px: int | None = None,
    probabilities: bool = False,
    *_: Any,
    report: Callable[[Any], None],
    stopped: Callable[[], bool],
) -> jobs.PredictionResult:
    """Answer with the left half as particle."""
    report(ProgressReport(0.5, None))
    labels = np.zeros(pixels.shape, np.uint8)
    labels[:, : pixels.shape[1] // 2] = 2
    likely = np.stack([labels == 0, labels == 2]).astype(np.float32)
    return jobs.PredictionResult(labels, likely if probabilities else None)


def fake_time(*_: Any, report: Callable[[Any], None], stopped: Callable[[], bool]) -> Speed:
    """Answer as the measurement of a network does, without one."""
    return Speed(0.2, 40.0, "cpu")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let work be done in a thread, by functions that answer at once."""
    monkeypatch.setattr(
        "napari_tem_rf.gui.session.work.Engine", lambda: InlineEngine(threaded=True)
    )
    monkeypatch.setattr(jobs, "train_run", fake_train)
    monkeypatch.setattr(jobs, "predict_with_run", fake_predict)
    monkeypatch.setattr(jobs, "time_network", fake_time)


@pytest.fixture
def strokes(session: Session, image: Image) -> Any:
    """An annotation with strokes of both classes on the image."""
    from napari_tem_rf.gui.session.annotations import start_annotation

    layer = start_annotation(image, "ignore", [])
    layer.data[25:35, 35:45] = 2
    layer.data[3:13, 5:25] = 1
    session.viewer.add_layer(layer)
    return layer
