"""The sizes of particles as a histogram on a small canvas that follows napari's theme."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QWidget
from superqt.utils import QSignalDebouncer

from napari_tem_rf.figures import Theme, size_histogram
from napari_tem_rf.gui.particles.table import quantity_and_unit
from napari_tem_rf.gui.pieces.parts import column, row
from napari_tem_rf.gui.pieces.plot import Plot
from napari_tem_rf.gui.pieces.text import PlainLabel

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

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
        self.plot = Plot(self._paint, _HEIGHT_PX)
        self.plot.setToolTip("Line: median. ± is the standard deviation of the sample.")
        # drawing takes some 50 ms: once for all changes that come together
        self._pause = QSignalDebouncer(parent=self)
        self._pause.triggered.connect(self._draw)
        column(self, [row(PlainLabel("Sizes"), self.quantity, stretch=1), self.plot], spacing=4)
        self.hide()

    @property
    def title(self) -> str:
        """What the picture says of the sizes."""
        return self.plot.axes[0].get_title() if self.plot.axes else ""

    def show_table(self, table: "pd.DataFrame | None") -> None:
        """Show the sizes of these particles; hidden without any."""
        if table is not self._table:
            self._table = table
            self.setVisible(table is not None and len(table) > 0)
            self._pause.throttle()

    def _draw(self, _choice: object = None) -> None:
        if self._table is not None and len(self._table):
            self.plot.draw()

    def _paint(self, figure: "Figure", theme: Theme) -> None:
        table, wanted = self._table, list(_QUANTITIES)[self.quantity.currentIndex()]
        names = [] if table is None else list(map(str, table))
        name = next((name for name in names if quantity_and_unit(name)[0] == wanted), None)
        if table is None or name is None:
            return
        values, unit = table[name].to_numpy(), quantity_and_unit(name)[1]
        size_histogram(figure.add_subplot(), values, unit, _QUANTITIES[wanted], theme)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and hasattr(self, "_pause"):
            self._pause.throttle()
