"""The curves of a comparison on a small canvas that follows napari's theme."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QWidget
from superqt.utils import QSignalDebouncer

from napari_tem_rf.comparison import SCORES, Comparison, result_table
from napari_tem_rf.figures import LIGHT, Theme, cost_against_score, new_figure, score_curve
from napari_tem_rf.figures.quantities import COSTS, QUANTITIES
from napari_tem_rf.gui.pieces.parts import column, row
from napari_tem_rf.gui.pieces.plot import Plot
from napari_tem_rf.gui.pieces.text import PlainLabel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["CompareCurve"]

_HEIGHT_PX = 300
_PAUSE_MS = 150
_SCORE_PX = 150


class CompareCurve(QWidget):
    """A score against the receptive field, the parameters or a cost; hidden while there is none."""

    def __init__(self) -> None:
        super().__init__()
        self._comparison: Comparison | None = None
        self.score = QComboBox()
        self.score.setToolTip("The score on the held-out part")
        for name in SCORES:
            self.score.addItem(QUANTITIES[name].words, name)
        self.along = QComboBox()
        for name in ("receptive_field", "parameters", *COSTS):
            self.along.addItem(QUANTITIES[name].title, name)
        self.along.setToolTip(
            "Receptive field: one line a complexity; bars are the standard deviation over the\n"
            "seeds, horizontal lines the baselines. Costs: a point a network."
        )
        for choice in (self.score, self.along):
            choice.setMinimumWidth(60)
            choice.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            choice.currentIndexChanged.connect(self._draw)
        self.score.setFixedWidth(_SCORE_PX)
        self.plot = Plot(self._paint, _HEIGHT_PX)
        # drawing takes some 100 ms: once for all changes that come together
        self._pause = QSignalDebouncer(parent=self)
        self._pause.setTimeout(_PAUSE_MS)
        self._pause.triggered.connect(self._draw)
        column(
            self,
            [row(self.score, PlainLabel("against"), self.along, stretch=2), self.plot],
            spacing=4,
        )
        self.hide()

    def show_comparison(self, comparison: Comparison | None) -> None:
        """Show the curve of these results, soon; hidden without a network."""
        self._comparison = comparison
        has_networks = comparison is not None and any(
            not each.is_baseline for each in comparison.results
        )
        self.setVisible(has_networks)
        if has_networks:
            self._pause.throttle()

    def save(self, path: Path) -> None:
        """Write the curve shown as .png, .svg or .pdf, in the size of a column of a paper."""
        figure = new_figure(5.2, 4.0)
        self._draw_on(figure.subplots(), LIGHT)
        figure.savefig(path, dpi=200)

    def _draw(self, _choice: object = None) -> None:
        if self._comparison is not None and self._comparison.results:
            self.plot.draw()

    def _paint(self, figure: "Figure", theme: Theme) -> None:
        # the results may be gone by the time that matplotlib is there
        if self._comparison is not None and self._comparison.results:
            self._draw_on(figure.add_subplot(), theme)

    def _draw_on(self, axes: "Axes", theme: Theme) -> None:
        assert self._comparison is not None
        table = result_table(self._comparison.results)
        along, score = self.along.currentData(), self.score.currentData()
        if not table[score].notna().any():
            axes.text(0.5, 0.5, "not known here", ha="center", color=theme.foreground)
            axes.set_axis_off()
        elif along in ("receptive_field", "parameters"):
            size = self._comparison.record.pixel_size_nm
            score_curve(axes, table, along, score, pixel_size_nm=size, theme=theme)
        else:
            suggestion = self._comparison.findings.suggestion
            cost_against_score(axes, table, along, score, suggestion=suggestion, theme=theme)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and hasattr(self, "_pause"):
            self._pause.throttle()
