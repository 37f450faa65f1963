"""What all marks on the canvas do: follow the frame, hide with their dock, say what is clicked."""

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QWidget

from napari_tem_rf.gui.layers.boxes import scene_overlay

__all__ = ["SMALLEST_ON_SCREEN_PX", "CanvasMarks"]

SMALLEST_ON_SCREEN_PX = 40
"""The camera zooms in on what is smaller than this."""

_NO_BRUSH = "pan_zoom"

_MOST_MOVED_PX = 4
"""How far the mouse may move between press and release of a click."""


class CanvasMarks:
    """Marks chosen things of a layer, and says which thing is clicked.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    name : str
        Of the overlay that they are drawn on.
    owner : QWidget
        The dock; clicks count while it can be seen.
    on_click : callable
        Called with a thing's number and whether it is to be added to those chosen; 0: none.
    """

    def __init__(
        self,
        viewer: "napari.viewer.Viewer",
        name: str,
        owner: QWidget,
        on_click: Callable[[int, bool], None],
    ) -> None:
        self._viewer, self._owner, self._on_click = viewer, owner, on_click
        self._is_visible = True
        self._overlay = scene_overlay(viewer, name)
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.dims.events.current_step.connect(self._draw)
        viewer.dims.events.ndisplay.connect(self._draw)

    def close(self) -> None:
        """Listen to the viewer no longer."""
        # the viewer may be gone before its docks are
        with suppress(RuntimeError, ValueError):
            self._overlay.visible = False
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
            self._viewer.dims.events.current_step.disconnect(self._draw)
            self._viewer.dims.events.ndisplay.disconnect(self._draw)

    def set_visible(self, on: bool) -> None:
        """Show the marks, or hide them, as the dock does."""
        self._is_visible = on
        # the viewer may be gone before its docks are
        with suppress(RuntimeError):
            self._draw()

    def _draw(self, _event: object = None) -> None:
        raise NotImplementedError

    def _under_mouse(self) -> Callable[[Any], int] | None:
        """Return what tells the thing at a mouse event; None where clicks mean nothing now."""
        raise NotImplementedError

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Choose what is under the mouse, unless the mouse drags or a layer is painted.

        While a brush is active it takes a modifier: Space makes napari leave the brush for as long
        as it is held, Ctrl does it here for the click.
        """
        under_mouse = self._under_mouse()
        active = viewer.layers.selection.active
        brush = getattr(active, "mode", _NO_BRUSH)
        painting = str(brush) not in (_NO_BRUSH, "pick")
        if under_mouse is None or not self._owner.isVisible() or event.button != 1:
            return
        if viewer.dims.ndisplay != 2 or (painting and "Control" not in event.modifiers):
            return
        if painting:
            active.mode = _NO_BRUSH  # napari asks the layer next, which would paint a dab
        start = np.asarray(event.pos, float)
        try:
            yield
            while event.type == "mouse_move":
                yield
        finally:
            if painting:
                active.mode = brush
        if np.hypot(*(np.asarray(event.pos, float) - start)) > _MOST_MOVED_PX:
            return
        self._on_click(under_mouse(event), bool({"Control", "Shift"} & set(event.modifiers)))
