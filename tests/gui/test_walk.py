"""The walk of a new user, by mouse on a screen of 1366 x 768; each click is counted.

Three images are opened and painted on, a network is trained, a class is added, it is trained again,
corrected, all images are predicted, their masks are clean, and one is exported. Nothing is scrolled
to, no key is pressed, and only what is in sight is clicked on.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog
from scipy import ndimage

from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.gui.session.predictions import live_name
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.runs import read_run

pytestmark = pytest.mark.timeout(900)

WINDOW = (1366, 768)
SHAPE = (150, 190)
DISCS = ((40, 50), (105, 60), (60, 140))
"""Middles of the particles; the last one is lighter and of the class that is added later."""
SPEC = NetworkSpec((2, 2), filters=4)
SLOW = 240_000

CLICKS = {
    "open": 1,
    "annotate": 8,
    "train": 1,
    "class": 2,
    "correct": 2,
    "predict": 1,
    "clean": 0,
    "export": 1,
}
"""Clicks on buttons for three images; the strokes and the two file dialogs come on top."""
STROKES = 8


def micrograph(seed: int) -> np.ndarray:
    """Return dark discs on a noisy ground."""
    rows, columns = np.indices(SHAPE)
    pixels = np.random.default_rng(seed).normal(1000, 30, SHAPE)
    for (row, column), depth in zip(DISCS, (300, 300, 150), strict=True):
        pixels -= depth * ((rows - row) ** 2 + (columns - column) ** 2 < 20**2)
    return pixels.astype(np.uint16)


class User:
    """A hand on the mouse: clicks on what is in sight, and paints on the canvas."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.clicks: Counter[str] = Counter()
        self.strokes = 0

    def click(self, button: Any, step: str) -> None:
        QApplication.processEvents()
        assert button.isEnabled(), button.text()
        assert button.visibleRegion().boundingRect() == button.rect(), f"{button.text()} is cut"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.clicks[step] += 1

    def stroke(self, *ends: tuple[float, float]) -> None:
        """Paint a straight stroke between two places of the image, (row, column) in px."""
        steps = np.linspace(*ends, 5)
        first, *others = [self._at(*place) for place in steps]
        QTest.mouseMove(self.canvas, first)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=first)
        for place in others:
            QTest.mouseMove(self.canvas, place)
            QApplication.processEvents()
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=others[-1])
        QApplication.processEvents()
        self.strokes += 1

    def _at(self, row: float, column: float) -> QPoint:
        camera = self.viewer.scene.camera
        off = (np.array([row, column]) - camera.center[-2:]) * camera.zoom
        return QPoint(
            round(self.canvas.width() / 2 + off[1]), round(self.canvas.height() / 2 + off[0])
        )


@pytest.fixture
def user(viewer: Any) -> Iterator[User]:
    window = viewer.window._qt_window
    window.resize(*WINDOW)
    window.show()
    yield User(viewer)
    window.hide()


def test_the_walk_of_a_new_user(
    viewer: Any,
    session: Session,
    user: User,
    qtbot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # real trainings, in a thread: processes that load torch would take longer than the walk
    monkeypatch.setattr(
        "napari_tem_rf.gui.session.work.Engine", lambda: InlineEngine(threaded=True)
    )
    files = []
    for seed in (1, 2, 3):
        files.append(tmp_path / f"train_0{seed}.tif")
        tifffile.imwrite(files[-1], micrograph(seed))
    # a small network for a short time: it is the way that is tried, not what is learned
    session.spec = SPEC
    session.change_plan(
        epochs=None, seconds=None, steps=10, validation=0.0, crop_px=64, batch=4, device="cpu"
    )
    dock, workspace = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    viewer.window._qt_window.resizeDocks([dock], [380], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: workspace.actions.isVisible())
    train, result, annotation = workspace.train, workspace.result, workspace.annotation

    def wait_for_a_run(number: int) -> None:
        qtbot.waitUntil(
            lambda: session.training is None and session.predicting is None, timeout=SLOW
        )
        assert len(session.runs) == number, train.note.text()

    # open
    names = [str(path) for path in files]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (names, ""))
    user.click(workspace.load.open_button, "open")
    qtbot.waitUntil(lambda: len(session.images) == 3, timeout=20_000)
    assert "press New" in train.words.text()

    # annotate: what is in view is painted
    for place, path in enumerate(files):
        if place:
            user.click(workspace.load.images.after_button, "annotate")
        assert [layer.name for layer in viewer.layers if layer.visible] == [path.stem]
        user.click(annotation.new_button, "annotate")
        user.stroke((33, 43), (47, 57))  # the brush begins with the particle
        user.click(annotation._labels[0], "annotate")
        user.stroke((15, 110), (130, 110))
    annotated = session.refresh().scene.annotated
    assert [each.pair.image.name for each in annotated[1:]] == ["train_01", "train_02"]
    assert annotated[0].pair.image is session.image
    for each in annotated:
        labels = each.pair.labels.data
        assert labels[40, 50] == 2
        assert labels[70, 110] == 1

    # train
    user.click(train.train_button, "train")
    assert viewer.window._qt_window.focusWidget() is user.canvas
    wait_for_a_run(1)
    first = session.run

    # a class more, on the image in view
    user.click(annotation.add_button, "class")
    user.stroke((55, 132), (65, 148))
    user.click(train.train_button, "class")
    wait_for_a_run(2)
    assert 'class "class 2" is new' in train.note.text()
    assert session.run.record.start == str(first.folder)
    assert session.run.record.classes.values == (1, 2, 3)
    kept, now = (read_run(run.folder).read_weights() for run in (first, session.run))
    assert now["head.bias"].shape == (3,)
    # small steps from what was known: nowhere near other random weights
    for name in ("bottleneck.conv1.weight", "encoder.0.conv1.weight"):
        assert np.corrcoef(kept[name].ravel(), now[name].ravel())[0, 1] > 0.9

    # correct
    user.click(annotation._labels[0], "correct")
    user.stroke((85, 20), (85, 90))
    user.click(train.train_button, "correct")
    wait_for_a_run(3)

    # predict all
    user.click(result.all_button, "predict")
    qtbot.waitUntil(lambda: session.predicting is None, timeout=SLOW)
    assert "3 images predicted" in train.words.text()
    predictions = session.refresh().scene.predictions
    # beside them the layers that followed the strokes, as far as there were any
    live = [live_name(image) for image in session.situation.scene.images]
    predictions = [layer for layer in predictions if layer.name not in live]
    assert len(predictions) == 3
    assert not any(layer.visible for layer in viewer.layers if layer.name in live)
    # those of the other images wait for their image
    assert [layer.name for layer in predictions if layer.visible] == ["train_03: field 44 px"]

    # clean: specks and holes are gone without a click
    assert session.situation.finishing == session.run.record.finishing
    assert session.situation.finishing.changes_something
    smallest = np.pi / 4 * session.run.record.finishing.smallest_px**2
    for layer in predictions:
        numbered, number = ndimage.label(layer.data > 1, np.ones((3, 3)))
        assert (np.bincount(numbered.ravel())[1:] >= np.floor(smallest)).all(), number

    # export
    path = tmp_path / "mask.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    user.click(result.export_button, "export")
    qtbot.waitUntil(lambda: "Written" in train.words.text(), timeout=20_000)
    assert path.with_name("mask.tif.json").is_file()
    np.testing.assert_array_equal(tifffile.imread(path), predictions[-1].data)

    assert dict(user.clicks) == {step: number for step, number in CLICKS.items() if number}
    assert user.strokes == STROKES
