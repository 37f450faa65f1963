"""Docks among each other: the wheel scrolls them, they are tabs, nothing in them is cut."""

from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
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
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_tem_rf.gui.pieces.parts import Dock, Fold

from .one_viewer import OneViewer

DOCKS = ("TEM segmentation", "Receptive field", "Compare", "Particles", "Movie")


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
    if isinstance(widget, QComboBox):
        return widget.currentIndex()
    return widget.value() if hasattr(widget, "value") else None


@pytest.fixture
def viewer(viewer: Any, one_viewer: OneViewer) -> Any:
    """Leave out the count of viewers that are still held.

    Under pytest something holds one, what is not known; in a program of its own a window with these
    four docks is let go of when it is closed.
    """
    one_viewer.may_be_held = True
    return viewer


@pytest.fixture
def window(viewer: Any, image: Image) -> Any:
    window = viewer.window._qt_window
    # laid out as on a screen of 1366 x 768, and not drawn, which takes the most time
    window.setAttribute(Qt.WidgetAttribute.WA_DontShowOnScreen)
    window.resize(1366, 768)
    window.show()
    return window


def scrolling(widget: QWidget) -> Any:
    """Return what scrolls: the dock, or its part above the bar of actions."""
    return getattr(widget, "sections", widget)


def unfold(widget: QWidget) -> None:
    for fold in widget.findChildren(Fold):
        fold.open()
    QApplication.processEvents()


def test_docks_are_tabs_and_the_wheel_scrolls_them_and_changes_no_setting(
    viewer: Any, window: Any, strokes: Labels, worker: None
) -> None:
    opened = [open_dock(viewer, name) for name in DOCKS]
    first, last = opened[0][0], opened[-1][0]
    for dock, _widget in opened[1:]:
        assert dock in window.tabifiedDockWidgets(first)
    # the last one is in front: the others lie outside the window
    assert window.rect().contains(last.geometry().center())
    assert not window.rect().contains(first.geometry().center())
    for dock, widget in opened:
        dock.raise_()
        unfold(widget)
        kinds = (QAbstractSpinBox, QComboBox, QAbstractSlider, FigureCanvasQTAgg)
        turned = [
            each
            for kind in kinds
            for each in widget.findChildren(kind)
            if not isinstance(each, QScrollBar) and each.isVisible()
        ]
        assert turned
        bar = scrolling(widget).verticalScrollBar()
        if QApplication.focusWidget() is not None:
            QApplication.focusWidget().clearFocus()
        for each in turned:
            before = value_of(each)
            bar.setValue(0)
            turn(each, 1)
            assert value_of(each) == before, each
            turn(each, -1)
            assert value_of(each) == before, each
            assert bar.maximum() == 0 or bar.value() > 0, each


def test_the_wheel_turns_what_has_the_focus_and_nothing_that_comes_later(qtbot: Any) -> None:
    content = QWidget()
    layout = QVBoxLayout(content)
    early, late = QSpinBox(), QSpinBox()
    layout.addWidget(early)
    dock = Dock(content)
    qtbot.addWidget(dock)
    dock.show()
    dock.activateWindow()
    layout.addWidget(late)
    QApplication.processEvents()
    early.setFocus()
    qtbot.waitUntil(early.hasFocus, timeout=3000)
    turn(early, 1)
    turn(late, 1)
    assert (early.value(), late.value()) == (1, 0)


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


def test_nothing_is_cut_at_380_px_in_either_theme(
    viewer: Any, window: Any, strokes: Labels, worker: None, qtbot: Any
) -> None:
    viewer.add_labels((strokes.data == 2).astype(np.uint8), name="gold: mask")
    found: dict[str, object] = {}
    for name in DOCKS:
        dock, widget = open_dock(viewer, name)
        if name == "Particles":
            widget.find()
            qtbot.waitUntil(lambda: widget.particles.layer is not None, timeout=20_000)  # noqa: B023
        unfold(widget)
        for theme in ("light", "dark"):
            viewer.theme = theme
            window.resizeDocks([dock], [380], Qt.Orientation.Horizontal)
            for _ in range(4):
                QApplication.processEvents()
            assert widget.width() <= 384
            content = scrolling(widget).widget()
            assert content.width() <= scrolling(widget).viewport().width(), name
            for part in content.findChildren(QWidget):
                where = f"{name}, {theme}: {words_of(part) or type(part).__name__}"
                if cut_off(part) and not part.toolTip():
                    found[where] = (part.width(), part.sizeHint().width())
                right = part.mapTo(content, QPoint(part.width(), 0)).x()
                if part.isVisible() and right > content.width() and not _in_a_table(part):
                    found[f"{where}, outside"] = right
        viewer.window.remove_dock_widget(dock)
    assert not found


def _in_a_table(part: QWidget) -> bool:
    from qtpy.QtWidgets import QAbstractScrollArea

    parent = part.parentWidget()
    while parent is not None and not isinstance(parent, Dock):
        if isinstance(parent, QAbstractScrollArea):
            return True
        parent = parent.parentWidget()
    return False
