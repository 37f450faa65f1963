"""The curve of a training on a small canvas that follows napari's theme."""

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QSizePolicy

from napari_tem_rf.figures import training_curve
from napari_tem_rf.protocol import EpochReport

_HEIGHT_PX = 150
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
        theme = get_theme(get_settings().appearance.theme)
        figure = self.figure
        figure.clear()
        figure.set_facecolor(theme.background.as_hex())
        axes = figure.add_subplot()
        training_curve(axes, self._history)
        for each in figure.axes:
            _dress(each, theme.text.as_hex(), theme.background.as_hex())
        self.draw_idle()


def _dress(axes: Any, color: str, background: str) -> None:
    axes.set_facecolor(background)
    axes.tick_params(colors=color, labelsize=7)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(color)
        label.set_fontsize(8)
    for spine in axes.spines.values():
        spine.set_color(color)
    legend = axes.get_legend()
    if legend is not None:
        legend.get_frame().set_alpha(0)
        for text in legend.get_texts():
            text.set_color(color)
            text.set_fontsize(7)
