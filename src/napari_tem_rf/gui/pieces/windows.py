"""The Qt window and the canvas of a viewer, by what napari and Qt say in public."""

from napari.viewer import Viewer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QMainWindow, QWidget

__all__ = ["canvas_of", "main_window"]


def main_window(viewer: Viewer) -> QMainWindow:
    """Return the main window of a viewer: the one that its menu bar belongs to."""
    window: QMainWindow = viewer.window.main_menu.window()
    return window


def canvas_of(viewer: Viewer) -> QWidget | None:
    """Return the widget in which a viewer's layers are drawn, which hears its keys.

    Docks may have canvases of their own; they are not in the window's centre.
    """
    centre = main_window(viewer).centralWidget()
    canvas: QWidget | None = None if centre is None else centre.findChild(QOpenGLWidget)
    return canvas
