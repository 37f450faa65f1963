"""What stays in sight below the parts that scroll: buttons, the line of words, keys everywhere."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_tem_rf.gui.pieces.parts import DOCK_WIDTH
from napari_tem_rf.gui.segment.dock import Workspace
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.spec import NetworkSpec


@pytest.fixture
def dock(viewer: Any, worker: None) -> Iterator[Workspace]:
    """The main dock in a window of 1366 x 768, as narrow as it may be."""
    window = viewer.window._qt_window
    window.resize(1366, 768)
    window.show()
    held, dock = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    window.resizeDocks([held], [DOCK_WIDTH], Qt.Orientation.Horizontal)
    QApplication.processEvents()
    yield dock
    window.hide()


def is_whole(widget: Any) -> bool:
    QApplication.processEvents()
    return bool(widget.visibleRegion().boundingRect() == widget.rect())


def test_it_is_in_sight_however_the_parts_are_scrolled(dock: Workspace, strokes: Labels) -> None:
    dock.network.change_button.click()
    QApplication.processEvents()
    assert dock.width() == DOCK_WIDTH
    scroll = dock.sections.verticalScrollBar()
    assert scroll.maximum() > 0
    buttons = (dock.train.train_button, dock.result.all_button, dock.result.export_button)
    for place in (0, scroll.maximum()):
        scroll.setValue(place)
        assert all(is_whole(part) for part in (*buttons, dock.actions.words))
        for button in buttons:
            assert button.width() >= button.sizeHint().width()


def test_bar_and_stop_take_the_place_of_train(
    dock: Workspace, session: Session, strokes: Labels, qtbot: Any, monkeypatch: Any
) -> None:
    from napari_tem_rf import jobs

    from .conftest import fake_train

    def wait(request: Any, *, report: Any, stopped: Any) -> Any:
        while not stopped():
            pass
        return fake_train(request, report=report, stopped=stopped)

    monkeypatch.setattr(jobs, "train_run", wait)
    QTest.mouseClick(dock.train.train_button, Qt.MouseButton.LeftButton)
    assert is_whole(dock.train.bar)
    assert is_whole(dock.train.stop_button)
    assert not dock.train.train_button.isVisible()
    QTest.mouseClick(dock.train.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.training is None and session.predicting is None, timeout=20_000)
    assert is_whole(dock.train.train_button)
    assert "Look at the picture" in dock.actions.words.text()
    assert "Dice" not in dock.actions.words.text()
    assert "Dice 0.81" in dock.train.report.text() or "0.81" in dock.train.report.text()


def test_the_line_says_why_a_button_is_grey(
    dock: Workspace, session: Session, image: Image, viewer: Any
) -> None:
    words = dock.actions.words
    assert "press New" in words.text()
    assert "Predict all and Export... follow after the first training" in words.text()
    dock.annotation.new_button.click()
    assert "Nothing is painted yet" in words.text()
    layer = session.annotation
    layer.data[25:35, 35:45], layer.data[3:13, 5:25] = 2, 1
    session.refresh()
    assert words.text() == "Ready to train. Predict all follows after the first training."
    assert not dock.result.all_button.isEnabled()


def test_errors_of_all_parts_are_said_in_the_line(
    dock: Workspace, session: Session, strokes: Labels, tmp_path: Path, qtbot: Any
) -> None:
    words = dock.actions.words
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0 not a picture")
    dock.load.open_files([bad])
    qtbot.waitUntil(lambda: words.text().startswith("✗"), timeout=20_000)
    assert "bad.tif" in words.text()
    dock.result.open_run(tmp_path)
    assert "is not a run" in words.text()
    dock.result.mask_export._on_written((False, "the disk is full: make room"))
    assert words.text() == "✗ the disk is full: make room"
    # what is painted next brings the line back to what can be done
    strokes.data[40:50, 3:10] = 0
    strokes.data[3:13, 5:25] = 0
    session.refresh()
    assert "background" in words.text()


def test_the_network_is_one_line_until_it_is_changed(dock: Workspace, session: Session) -> None:
    network = dock.network
    assert network.picking.isHidden()
    assert network.summary.text() == "200 px, recommended"
    assert network.recommended_button.isHidden()
    network.change_button.click()
    assert not network.picking.isHidden()
    session.spec = NetworkSpec((4, 4), filters=8)
    assert network.summary.text() == "120 px, pre-trained"
    session.spec = NetworkSpec((2, 4), filters=4)
    assert network.summary.text() == "64 px, begins from nothing"
    run = SimpleNamespace(spec=session.spec, telling_dice=0.9, title="gold", folder=Path("gold"))
    session.choose(runs=(run,), start=run.folder)
    assert network.summary.text() == "64 px, goes on from your run"
    session.choose(runs=(), start=None)
    network.recommended_button.click()
    assert session.spec == FIRST_NETWORK
    network.change_button.click()
    assert network.picking.isHidden()


def test_keys_hold_wherever_the_focus_is_but_in_fields(
    dock: Workspace, session: Session, viewer: Any, image: Image, qtbot: Any
) -> None:
    window = viewer.window._qt_window
    window.activateWindow()
    asked: list[str] = []
    session.requested.connect(asked.append)
    places = (
        viewer.window._qt_viewer.layers,
        dock.load.open_button,
        viewer.window._qt_viewer.canvas.native,
    )
    for number, place in enumerate(places, start=1):
        place.setFocus()
        QTest.keyClick(place, Qt.Key.Key_H, Qt.KeyboardModifier.ShiftModifier)
        assert asked == ["toggle_prediction"] * number, place
    dock.load.size.setFocus()
    dock.load.size.clear()
    QTest.keyClick(dock.load.size, Qt.Key.Key_H, Qt.KeyboardModifier.ShiftModifier)
    assert len(asked) == len(places)
    assert dock.load.size.text().lower() == "h"


def test_the_dock_is_as_wide_after_a_training_as_before(
    viewer: Any, session: Session, strokes: Labels, worker: None, qtbot: Any
) -> None:
    frame, dock = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    viewer.window._qt_window.resize(1366, 768)
    viewer.window._qt_window.show()
    qtbot.waitUntil(dock.isVisible)
    viewer.window._qt_window.resizeDocks([frame], [380], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: frame.width() == 380)
    dock.train.train_button.click()
    qtbot.waitUntil(lambda: len(session.runs) == 1 and session.predicting is None)
    qtbot.wait(50)
    assert frame.width() == frame.layout().minimumSize().width() == 380
    viewer.window._qt_window.hide()
