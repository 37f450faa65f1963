"""The curve of a training on a small canvas that follows napari's theme."""

import importlib
from collections.abc import Sequence
from threading import Thread
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QSizePolicy, QVBoxLayout, QWidget

from napari_tem_rf.figures import Theme, training_curve
from napari_tem_rf.gui.widgets.parts import current_theme
from napari_tem_rf.protocol import EpochReport

if TYPE_CHECKING:
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg

_HEIGHT_PX = 160
_PAUSE_MS = 1000
"""Least time between two drawings."""
_WAIT_MS = 200
"""Time until it is tried again while the mouse paints."""


def _load_matplotlib() -> None:
    importlib.import_module("matplotlib.backends.backend_qtagg")


class CurveCanvas(QWidget):
    """Training and validation loss and Dice over the epochs; hidden while there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.canvas: FigureCanvasQTAgg | None = None  # comes with the first epoch, and matplotlib
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(0)
        self._history: tuple[EpochReport, ...] = ()
        self._is_drawn = False
        self._loading: Thread | None = None
        # drawing takes some 50 ms: short epochs must not draw each time
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

    def prepare(self) -> None:
        """Load matplotlib beside the window: on the first epoch it would hold up a stroke."""
        if self._loading is None and self.canvas is None:
            self._loading = Thread(target=_load_matplotlib, daemon=True)
            self._loading.start()

    def _draw(self) -> None:
        is_loading = self._loading is not None and self._loading.is_alive()
        if is_loading or QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._pause.start(_WAIT_MS)  # nobody's stroke is held up by a curve
            return
        self._is_drawn = True
        colors = current_theme()
        theme = Theme(colors.text.as_hex("long"), colors.background.as_hex("long"), font_pt=7.5)
        canvas = self.canvas or self._open_canvas()
        canvas.figure.clear()
        canvas.figure.set_facecolor(theme.background)
        canvas.figure.subplots_adjust(left=0.13, right=0.87, top=0.86, bottom=0.27)
        training_curve(canvas.figure.add_subplot(), self._history, theme)
        canvas.draw_idle()

    def _open_canvas(self) -> "FigureCanvasQTAgg":
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure

        # a constrained layout takes a third of the drawing's time
        self.canvas = FigureCanvasQTAgg(Figure())
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.canvas)
        return self.canvas

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and self._history:
            self._pause.start(0)
