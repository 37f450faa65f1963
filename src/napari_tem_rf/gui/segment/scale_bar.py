"""A pixel size taken from the scale bar in an image: a line drawn along it, and its length.

The line is drawn over the canvas and is not a layer: a layer of shapes that comes and goes ends
the program where a software renderer draws.
"""

from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import numpy as np
from napari.layers import Image
from psygnal import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from napari_tem_rf.figures.palette import ORANGE
from napari_tem_rf.gui.layers.boxes import Drawing, Stroke, scene_overlay, to_scene
from napari_tem_rf.gui.pieces.lifetimes import when_gone
from napari_tem_rf.gui.pieces.parts import Sentence, column, listen, row
from napari_tem_rf.gui.pieces.text import PlainLabel
from napari_tem_rf.gui.session.session import Session

__all__ = ["ScaleBar"]

_WHAT_TO_DO = "Draw a line along the scale bar with the mouse, then type its length."
_WIDTH_PX = 3.0

End = tuple[float, float]
"""(row, column) in px of the image."""


class ScaleBar(QWidget):
    """Lets a line be drawn along a scale bar and its length be typed; hidden until `begin`.

    Parameters
    ----------
    session : Session
    parse : callable
        Returns a typed length as (row, column) in nm, or None; raises ValueError.
    on_measured : callable
        Called with the image and the size of a pixel in nm.
    """

    def __init__(
        self,
        session: Session,
        parse: Callable[[str], tuple[float, float] | None],
        on_measured: Callable[[Image, tuple[float, float]], None],
    ) -> None:
        super().__init__()
        self._session, self._parse, self._on_measured = session, parse, on_measured
        self.line = _Line(session)
        self.words = Sentence(_WHAT_TO_DO)
        self.length = QLineEdit()
        self.length.setMaximumWidth(80)
        self.length.setPlaceholderText("length")
        self.length.setToolTip("Length of the drawn line in nm")
        self.length.returnPressed.connect(self.use)
        self.use_button = QPushButton("Use")
        self.use_button.clicked.connect(self.use)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.clicked.connect(self.end)
        column(
            self,
            [
                self.words,
                row(
                    PlainLabel("the line is"),
                    self.length,
                    PlainLabel("nm"),
                    self.use_button,
                    self.cancel_button,
                ),
            ],
        )
        self.hide()
        listen(self, self.line.drawn, self._say_length)
        listen(self, session.closed, self.line.end)
        when_gone(self, self.line.end)

    def begin(self) -> None:
        """Let a line be drawn on the chosen image."""
        image = self._session.image
        if image is not None:
            self.line.begin(image)
            self.words.say(_WHAT_TO_DO)
            self.show()

    def end(self) -> None:
        """Take the line away; nothing is changed."""
        self.line.end()
        self.hide()

    def use(self) -> None:
        """Calibrate the image by the line and the length that was typed."""
        image = self.line.image
        if image is None or image not in self._session.viewer.layers:
            self.end()
            return
        length_px = self.line.length_px
        if not length_px:
            self.words.say("No line is drawn yet: draw one along the scale bar.", "warning")
            return
        try:
            length = self._parse(self.length.text())
        except ValueError:
            length = None
        if length is None:
            self.words.say("Type the length of the line in nm, like 5.", "warning")
            return
        self.end()
        self._on_measured(image, (length[0] / length_px, length[0] / length_px))

    def _say_length(self) -> None:
        self.words.say(f"The line is {self.line.length_px:.1f} px long: type its length.")


class _Line:
    """A line that is drawn with the mouse over an image."""

    drawn = Signal()
    """The line is another one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._overlay = scene_overlay(session.viewer, "scale_bar")
        self._mode_before: tuple[Any, str] = (None, "")
        self._ends: tuple[End, End] | None = None
        self.image: Image | None = None
        """What is drawn on; None while nothing is."""

    @property
    def length_px(self) -> float:
        """Length in px of the image; 0 while there is no line."""
        return 0.0 if self._ends is None else float(np.hypot(*np.subtract(*self._ends)))

    def begin(self, image: Image) -> None:
        """Let the mouse draw, and not paint."""
        self.end()
        viewer = self._session.viewer
        layer = viewer.layers.selection.active
        self.image, self._mode_before = image, (layer, str(getattr(layer, "mode", "pan_zoom")))
        if layer is not None:
            layer.mode = "pan_zoom"
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.dims.events.ndisplay.connect(self._draw)

    def end(self) -> None:
        """Take the line away, and give the mouse back."""
        if self.image is None:
            return
        self.image = self._ends = None
        self._overlay.visible = False
        # at the end of the program the viewer may be gone
        with suppress(RuntimeError, ValueError):
            viewer = self._session.viewer
            viewer.mouse_drag_callbacks.remove(self._on_press)
            viewer.dims.events.ndisplay.disconnect(self._draw)
            layer, mode = self._mode_before
            if layer is not None and layer in viewer.layers:
                layer.mode = mode

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if self.image is None or event.button != 1 or viewer.dims.ndisplay != 2:
            return
        start = self._place(event)
        event.handled = True  # the camera stays where it is
        yield
        while event.type == "mouse_move" and self.image is not None:
            self._ends = (start, self._place(event))
            self._draw()
            self.drawn.emit()
            event.handled = True
            yield

    def _place(self, event: Any) -> End:
        assert self.image is not None
        row, column = np.asarray(self.image.world_to_data(event.position), float)[-2:]
        return float(row), float(column)

    def _draw(self, _event: object = None) -> None:
        if self.image is None or self._ends is None or self._session.viewer.dims.ndisplay != 2:
            self._overlay.visible = False
            return
        stroke = Stroke(*self._ends, ORANGE, _WIDTH_PX)
        self._overlay.drawing = Drawing((), (), to_scene(self.image), (stroke,))
        self._overlay.visible = True
