"""Docks among each other: the wheel scrolls them, they are tabs, nothing in them is cut."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QLabel,
    QScrollBar,
    QWidget,
)

from napari_tem_rf.gui.pieces.parts import Dock

DOCKS = ("TEM segmentation", "Receptive field", "Compare", "Particles")


def turn(widget: QWidget, notches: int = -1) -> None:
    """Turn the wheel over the middle of a widget, as a mouse does."""
    at = QPointF(widget.rect().center())
    event = QWheelEvent(
        at,
        QPointF(widget.mapToGlobal(widget.rect().center())),
        QPoint(0, 0),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def open_dock(viewer: Any, name: str) -> tuple[QDockWidget, Dock]:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", name)
    for _ in range(5):
        QApplication.processEvents()
    return dock, widget


def value_of(widget: Any) -> object:
    return widget.currentIndex() if isinstance(widget, QComboBox) else widget.value()


@pytest.fixture
def window(viewer: Any, image: Image) -> Any:
    viewer.window._qt_window.resize(1366, 768)
    viewer.window._qt_window.show()
    return viewer.window._qt_window


@pytest.mark.parametrize("name", DOCKS)
def test_the_wheel_changes_no_setting_but_scrolls_the_dock(
    viewer: Any, window: Any, strokes: Labels, worker: None, name: str
) -> None:
    dock, widget = open_dock(viewer, name)
    for fold in widget.findChildren(QAbstractButton):
        if fold.isCheckable() and fold.parent().__class__.__name__ == "Fold":
            fold.setChecked(True)
    QApplication.processEvents()
    kinds = (QAbstractSpinBox, QComboBox, QAbstractSlider)
    turned = [
        each
        for kind in kinds
        for each in widget.findChildren(kind)
        if not isinstance(each, QScrollBar) and each.isVisible()
    ]
    assert turned
    bar = widget.verticalScrollBar()
    QApplication.focusWidget() and QApplication.focusWidget().clearFocus()
    for each in turned:
        before = value_of(each)
        bar.setValue(0)
        turn(each)
        turn(each, 1)
        turn(each)
        assert value_of(each) == before, each
        assert bar.maximum() == 0 or bar.value() > 0, each
    viewer.window.remove_dock_widget(dock)


def test_the_wheel_turns_what_has_the_focus(viewer: Any, window: Any, qtbot: Any) -> None:
    dock, widget = open_dock(viewer, "Particles")
    spin = widget.options.smallest
    window.activateWindow()
    spin.setFocus()
    qtbot.waitUntil(spin.hasFocus, timeout=3000)
    before = spin.value()
    turn(spin, 1)
    assert spin.value() > before
    viewer.window.remove_dock_widget(dock)


def test_a_spin_box_that_comes_later_is_watched_too(viewer: Any, window: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QSpinBox, QVBoxLayout

    content = QWidget()
    layout = QVBoxLayout(content)
    dock = Dock(content)
    qtbot.addWidget(dock)
    dock.show()
    spin = QSpinBox()
    layout.addWidget(spin)
    QApplication.processEvents()
    turn(spin, 1)
    assert spin.value() == 0


def test_docks_open_as_tabs_of_the_first_in_front(viewer: Any, window: Any, worker: None) -> None:
    docks = [open_dock(viewer, name)[0] for name in DOCKS]
    for dock in docks[1:]:
        assert dock in window.tabifiedDockWidgets(docks[0])
    # the last one is in front: the others lie outside the window
    assert window.rect().contains(docks[-1].geometry().center())
    assert not window.rect().contains(docks[0].geometry().center())
    for dock in docks:
        viewer.window.remove_dock_widget(dock)


# nothing is cut


def words_of(part: QWidget) -> str:
    if isinstance(part, QComboBox):
        return ""  # elided in the middle on purpose, with a tooltip
    return part.text() if isinstance(part, QLabel | QAbstractButton) else ""


def cut_off(part: QWidget) -> bool:
    """Return whether a widget has less room than its words need."""
    words = words_of(part)
    if not words or not part.isVisible():
        return False
    if isinstance(part, QLabel) and part.wordWrap():
        return part.height() < part.heightForWidth(part.width())
    need = part.sizeHint().width() if isinstance(part, QAbstractButton) else None
    if need is None:
        assert isinstance(part, QLabel)
        need = part.fontMetrics().horizontalAdvance(words) if "<" not in words else 0
    return part.width() < need


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("name", DOCKS)
def test_nothing_is_cut_at_380_px(
    viewer: Any, window: Any, strokes: Labels, worker: None, name: str, theme: str, qtbot: Any
) -> None:
    viewer.theme = theme
    dock, widget = open_dock(viewer, name)
    if name == "Particles":
        viewer.add_labels((strokes.data == 2).astype(np.uint8), name="gold: mask")
        widget.find()
        qtbot.waitUntil(lambda: widget.particles.layer is not None, timeout=20_000)
    for fold in widget.findChildren(QAbstractButton):
        if fold.isCheckable() and fold.parent().__class__.__name__ == "Fold":
            fold.setChecked(True)
    window.resizeDocks([dock], [380], Qt.Orientation.Horizontal)
    for _ in range(5):
        QApplication.processEvents()
    assert widget.width() <= 384
    content = widget.widget()
    assert content.width() <= widget.viewport().width()
    cut = {
        words_of(part): (part.width(), part.sizeHint().width())
        for part in content.findChildren(QWidget)
        if cut_off(part) and not part.toolTip()
    }
    assert not cut
    outside = [
        words_of(part) or type(part).__name__
        for part in content.findChildren(QWidget)
        if part.isVisible()
        and part.window() is window
        and part.mapTo(content, QPoint(part.width(), 0)).x() > content.width()
        and not _in_a_table(part)
    ]
    assert not outside
    viewer.window.remove_dock_widget(dock)


def _in_a_table(part: QWidget) -> bool:
    from qtpy.QtWidgets import QAbstractScrollArea

    parent = part.parentWidget()
    while parent is not None and not isinstance(parent, Dock):
        if isinstance(parent, QAbstractScrollArea):
            return True
        parent = parent.parentWidget()
    return False
