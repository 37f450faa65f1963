"""The curve of a training on a small canvas that follows napari's theme."""

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QSizePolicy

from napari_tem_rf.figures import Theme, training_curve
from napari_tem_rf.gui.widgets.parts import current_theme
from napari_tem_rf.protocol import EpochReport

_HEIGHT_PX = 160
_PAUSE_MS = 200


class CurveCanvas(FigureCanvasQTAgg):
    """Training and validation loss and Dice over the epochs; hidden while there are none."""

    def __init__(self) -> None:
        super().__init__(Figure(layout="constrained"))
        self.setFixedHeight(_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(0)
        self._history: tuple[EpochReport, ...] = ()
        # drawing takes some 50 ms: a short epoch must not draw each time
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._draw)
        self.hide()

    def show_history(self, history: Sequence[EpochReport]) -> None:
        """Show the curve of these epochs, soon."""
        self._history = tuple(history)
        self.setVisible(bool(history))
        if history and not self._pause.isActive():
            self._pause.start()

    def _draw(self) -> None:
        colors = current_theme()
        theme = Theme(colors.text.as_hex("long"), colors.background.as_hex("long"), font_pt=7.5)
        self.figure.clear()
        self.figure.set_facecolor(theme.background)
        training_curve(self.figure.add_subplot(), self._history, theme)
        self.draw_idle()

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and self._history:
            self._pause.start()
