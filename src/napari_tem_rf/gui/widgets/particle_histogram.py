"""The sizes of particles as a histogram on a small canvas that follows napari's theme."""

from typing import Any

import pandas as pd
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy, QWidget

from napari_tem_rf.figures import Theme, size_histogram
from napari_tem_rf.gui.widgets.particle_table import quantity_and_unit
from napari_tem_rf.gui.widgets.parts import column, current_theme, row

_HEIGHT_PX = 170
_QUANTITIES = {
    "equivalent_diameter": "equivalent diameter",
    "feret_max": "Feret max",
    "feret_min": "Feret min",
    "area": "area",
}


class ParticleHistogram(QWidget):
    """How many particles have which size, with mean, median, standard deviation and number."""

    def __init__(self) -> None:
        super().__init__()
        self._table: pd.DataFrame | None = None
        self.quantity = QComboBox()
        self.quantity.addItems(list(_QUANTITIES.values()))
        self.quantity.setToolTip("The size whose distribution is shown")
        self.quantity.currentIndexChanged.connect(self._draw)
        self.canvas = FigureCanvasQTAgg(Figure(layout="constrained"))
        self.canvas.setFixedHeight(_HEIGHT_PX)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.canvas.setMinimumWidth(0)
        self.canvas.setToolTip("Line: median. ± is the standard deviation of the sample.")
        # drawing takes some 50 ms: once for all changes that come together
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self._draw)
        column(self, [row(QLabel("Sizes"), self.quantity, stretch=1), self.canvas], spacing=4)
        self.hide()

    @property
    def title(self) -> str:
        """What the picture says of the sizes."""
        return self.canvas.figure.axes[0].get_title() if self.canvas.figure.axes else ""

    def show_table(self, table: pd.DataFrame | None) -> None:
        """Show the sizes of these particles; hidden without any."""
        if table is not self._table:
            self._table = table
            self.setVisible(table is not None and len(table) > 0)
            self._pause.start()

    def _draw(self, _choice: object = None) -> None:
        if self._table is None or not len(self._table):
            return
        wanted = list(_QUANTITIES)[self.quantity.currentIndex()]
        name = next(
            (name for name in map(str, self._table) if quantity_and_unit(name)[0] == wanted), None
        )
        if name is None:
            return
        colors = current_theme()
        theme = Theme(colors.text.as_hex("long"), colors.background.as_hex("long"), font_pt=7.5)
        figure = self.canvas.figure
        figure.clear()
        figure.set_facecolor(theme.background)
        values = self._table[name].to_numpy()
        size_histogram(
            figure.add_subplot(), values, quantity_and_unit(name)[1], _QUANTITIES[wanted], theme
        )
        self.canvas.draw_idle()

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and hasattr(self, "_pause"):
            self._pause.start()
