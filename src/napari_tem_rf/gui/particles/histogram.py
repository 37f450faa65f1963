"""The sizes of particles as a histogram on a small canvas that follows napari's theme."""

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QWidget
from superqt.utils import QSignalDebouncer

from napari_tem_rf.figures import FittedCurve, Theme, size_histogram
from napari_tem_rf.gui.particles.table import quantity_and_unit
from napari_tem_rf.gui.pieces.parts import column, row
from napari_tem_rf.gui.pieces.plot import Plot
from napari_tem_rf.gui.pieces.text import PlainLabel

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from napari_tem_rf.measuring.populations import Population

_HEIGHT_PX = 170
_QUANTITIES = {
    "equivalent_diameter": "equivalent diameter",
    "feret_max": "Feret max",
    "feret_min": "Feret min",
    "area": "area",
}


class ParticleHistogram(QWidget):
    """How many particles have which size, with mean, median, standard deviation and number."""

    chosen = Signal()
    """Another size is shown."""

    def __init__(self) -> None:
        super().__init__()
        self._table: pd.DataFrame | None = None
        self._population: Population | None = None
        self.quantity = QComboBox()
        self.quantity.addItems(list(_QUANTITIES.values()))
        self.quantity.setToolTip("The size whose distribution is shown")
        self.quantity.currentIndexChanged.connect(self._on_quantity)
        self.plot = Plot(self._paint, _HEIGHT_PX)
        self.plot.setToolTip(
            "Vertical line: median. ± is the standard deviation of the sample. "
            "Dot: the mean with its 95 % interval. Curve: the distribution that fits best, by AIC"
        )
        # drawing takes some 50 ms: once for all changes that come together
        self._pause = QSignalDebouncer(parent=self)
        self._pause.triggered.connect(self._draw)
        column(self, [row(PlainLabel("Sizes"), self.quantity, stretch=1), self.plot], spacing=4)
        self.hide()

    @property
    def wanted(self) -> str:
        """The size that is shown: a quantity of the table."""
        return list(_QUANTITIES)[self.quantity.currentIndex()]

    def show_population(self, population: "Population | None") -> None:
        """Draw the best fit and the mean's interval over the sizes, once they are known."""
        self._population = population
        self._pause.throttle()

    @property
    def title(self) -> str:
        """What the picture says of the sizes."""
        return self.plot.axes[0].get_title() if self.plot.axes else ""

    def show_table(self, table: "pd.DataFrame | None") -> None:
        """Show the sizes of these particles; hidden without any."""
        if table is not self._table:
            self._table = table
            self._population = None  # of the particles before
            self.setVisible(table is not None and len(table) > 0)
            self._pause.throttle()

    def _on_quantity(self, _index: int) -> None:
        self._draw()
        self.chosen.emit()

    def _draw(self, _choice: object = None) -> None:
        if self._table is not None and len(self._table):
            self.plot.draw()

    def _paint(self, figure: "Figure", theme: Theme) -> None:
        table, wanted = self._table, self.wanted
        names = [] if table is None else list(map(str, table))
        name = next((name for name in names if quantity_and_unit(name)[0] == wanted), None)
        if table is None or name is None:
            return
        values, unit = table[name].to_numpy(), quantity_and_unit(name)[1]
        fits, mean, population = [], None, self._population
        if population is not None and population.column == name:
            fits = [FittedCurve(fit.name, fit.density) for fit in population.fits[:1]]
            found = population.found.mean
            mean = (found.value, found.low, found.high)
        size_histogram(
            figure.add_subplot(), values, unit, _QUANTITIES[wanted], theme, fits=fits, mean=mean
        )

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and hasattr(self, "_pause"):
            self._pause.throttle()
