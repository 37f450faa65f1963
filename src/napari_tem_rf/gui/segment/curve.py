"""The curve of a training on a small canvas that follows napari's theme."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_tem_rf.figures import Theme, training_curve
from napari_tem_rf.gui.pieces.plot import Plot
from napari_tem_rf.protocol import EpochReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT_PX = 160
_PAUSE_MS = 3000
"""Least time between two drawings."""
_WAIT_MS = 200
"""Time until drawing is tried again while the mouse paints."""


class CurveCanvas(QWidget):
    """Training and validation loss and Dice over the epochs; hidden while there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.plot = Plot(self._paint, _HEIGHT_PX, constrained=False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self._history: tuple[EpochReport, ...] = ()
        self._is_drawn = False
        # drawing takes 50 ms and leaves thousands of objects: short epochs must not draw each time
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._draw)
        self.hide()

    def show_history(self, history: Sequence[EpochReport]) -> None:
        """Show the curve of these epochs, soon."""
        self._history = tuple(history)
        self._is_drawn = self._is_drawn and bool(history)
        self.setVisible(bool(history))
        if history and not self._pause.isActive():
            # the first epoch shows at once
            self._pause.start(_PAUSE_MS if self._is_drawn else 0)

    def hurry(self) -> None:
        """Draw what waits to be drawn: no more epochs come."""
        if self._pause.isActive():
            self._pause.start(0)

    def _draw(self) -> None:
        if QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._pause.start(_WAIT_MS)  # nobody's stroke is held up by a curve
            return
        self._is_drawn = True
        self.plot.draw()

    def _paint(self, figure: "Figure", theme: Theme) -> None:
        figure.subplots_adjust(left=0.13, right=0.87, top=0.86, bottom=0.27)
        training_curve(figure.add_subplot(), self._history, theme)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and self._history:
            self._pause.start(0)
