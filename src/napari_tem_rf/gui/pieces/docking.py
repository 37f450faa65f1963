"""How a dock behaves among others: its wheel scrolls it, and it opens as a tab of those before it.

The wheel over a spin box, a combo box, a slider or a plot would change settings unseen while the
user scrolls, so that it scrolls the dock until one of them was clicked on.
"""

from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QMainWindow,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QWidget,
)

__all__ = ["WheelScrolls", "join_tabs"]

_TURNED = (QAbstractSpinBox, QComboBox, QAbstractSlider, QTabBar)


class WheelScrolls(QObject):
    """Lets the wheel scroll a dock, except over what has the focus.

    It watches every widget of the dock, those that come later too.

    Parameters
    ----------
    dock : QScrollArea
        Holds the filter.
    """

    def __init__(self, dock: QScrollArea) -> None:
        super().__init__(dock)
        self._watch(dock)

    @property
    def _dock(self) -> Any:
        """The dock; not held, so that it can be collected."""
        return self.parent()

    def _watch(self, widget: QWidget) -> None:
        is_popup = widget.isWindow() and widget is not self._dock
        if isinstance(widget, QScrollBar) or is_popup:
            return
        widget.installEventFilter(self)
        if widget.focusPolicy() == Qt.FocusPolicy.WheelFocus:
            # else the first notch takes the focus, and the second changes the value
            widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        for child in widget.children():
            if isinstance(child, QWidget):
                self._watch(child)

    def eventFilter(self, thing: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        """Hand the wheel on to the dock."""
        kind = event.type()
        if kind == QEvent.Type.ChildPolished:
            child = event.child()
            if isinstance(child, QWidget):
                self._watch(child)
        elif kind == QEvent.Type.Wheel and self._belongs_to_dock(thing):
            QApplication.sendEvent(self._dock.verticalScrollBar(), event)
            event.accept()
            return True
        return False

    def _belongs_to_dock(self, widget: Any) -> bool:
        if isinstance(widget, _TURNED):
            return not widget.hasFocus()
        if hasattr(widget, "mpl_connect"):  # a figure: it does nothing with the wheel
            return True
        view = widget if isinstance(widget, QAbstractItemView) else widget.parent()
        if not isinstance(view, QAbstractItemView):
            return False
        # a table that is all the dock shows may be scrolled at once
        return not view.hasFocus() and self._dock.verticalScrollBar().maximum() > 0


def _dock_widget_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock widget that a widget is in; None where it is in none."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def join_tabs(dock: QScrollArea, kind: type[QScrollArea]) -> None:
    """Make a dock that was just opened a tab of the first of its kind there, in front of it."""

    def join() -> None:
        own = _dock_widget_of(dock) if isalive(dock) else None
        window = None if own is None else own.parentWidget()
        if own is None or not isinstance(window, QMainWindow) or own.isFloating():
            return
        for other in window.findChildren(QDockWidget):
            holds_one = any(found is not dock for found in other.findChildren(kind))
            if holds_one and other.isVisible() and not other.isFloating():
                window.tabifyDockWidget(other, own)
                own.raise_()
                return

    # napari goes on arranging the window after it showed the dock
    QTimer.singleShot(0, join)
