"""The design chart as a place to choose the networks of a comparison: a box, or single dots."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, log, log10
from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen

from napari_tem_rf.gui.pieces.design_chart import PICK_COLOR, PICK_ON_LIGHT, DesignChart
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["DesignBox", "GridChart", "spread_over"]

_CLICK_PX = 5
_NEAR_PX = 10
_FIELD_STEP, _PARAMETER_STEP = 2.5, 4.0
_MOST_FIELDS, _MOST_PARAMETERS = 6, 4


@dataclass(frozen=True, slots=True)
class DesignBox:
    """A part of the design space: from and to, in px and in parameters."""

    fields: tuple[float, float]
    parameters: tuple[float, float]

    @property
    def wishes(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Receptive fields and parameters that cover the box evenly."""
        return (
            spread_over(*self.fields, _FIELD_STEP, _MOST_FIELDS),
            spread_over(*self.parameters, _PARAMETER_STEP, _MOST_PARAMETERS),
        )


def spread_over(low: float, high: float, step: float, most: int) -> tuple[float, ...]:
    """Return round numbers from low to high at even ratios of about ``step``.

    A range narrower than half a step gives its middle.
    """
    number = min(most, round(log(high / low) / log(step)) + 1)
    if number < 2:
        return (_rounded((low * high) ** 0.5),)
    ratio = (high / low) ** (1 / (number - 1))
    return tuple(dict.fromkeys(_rounded(low * ratio**place) for place in range(number)))


def _rounded(number: float) -> float:
    """Return a number with two significant digits."""
    digits = 1 - floor(log10(number))
    return float(round(number, digits))


class GridChart(DesignChart):
    """The design space: a box drawn in it asks for a grid, a click adds or removes a network.

    Signals
    -------
    boxed(DesignBox)
        A box was drawn.
    toggled(NetworkSpec)
        A network was clicked on: one of those chosen, or the nearest other one.
    """

    boxed = Signal(object)
    toggled = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._chosen: tuple[NetworkSpec, ...] = ()
        self._from: QPointF | None = None
        self._to: QPointF | None = None
        self.setAccessibleName("Networks to compare by receptive field and parameters")

    @property
    def chosen(self) -> tuple[NetworkSpec, ...]:
        """The networks that are ringed."""
        return self._chosen

    def show_chosen(self, specs: Sequence[NetworkSpec]) -> None:
        """Ring the networks that are chosen."""
        self._chosen = tuple(specs)
        self.update()

    def box_between(self, one: QPointF, other: QPointF) -> DesignBox:
        """Return the part of the design space between two positions of the widget."""
        plot = self.plot

        def along(at: float, start: float, length: float, limits: tuple[float, float]) -> float:
            share = min(max((at - start) / length, 0.0), 1.0)
            return exp(limits[0] + share * (limits[1] - limits[0]))

        fields = sorted(
            along(at.x(), plot.left(), plot.width(), self._x_range) for at in (one, other)
        )
        parameters = sorted(
            along(at.y(), plot.bottom(), -plot.height(), self._y_range) for at in (one, other)
        )
        return DesignBox((fields[0], fields[1]), (parameters[0], parameters[1]))

    def paintEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Paint the chart, the networks chosen, and the box being drawn."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = QColor(PICK_COLOR if self._is_dark() else PICK_ON_LIGHT)
        for spec in self._chosen:
            at = self._position(spec)
            painter.setPen(QPen(self._paper(), 3.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(at, 5, 5)
            painter.setPen(QPen(color, 1.8))
            painter.drawEllipse(at, 5, 5)
        if self._from is not None and self._to is not None and self._is_dragged():
            box = QRectF(self._from, self._to).normalized().intersected(self.plot)
            painter.setPen(QPen(color, 1.2, Qt.PenStyle.DashLine))
            fill = QColor(color)
            fill.setAlpha(35)
            painter.setBrush(fill)
            painter.drawRect(box)
        painter.end()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Begin a box."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._from = self._to = event.position()

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw the box; otherwise say what is under the mouse."""
        if self._from is None:
            super().mouseMoveEvent(event)
            return
        self._to = event.position()
        self.update()

    def mouseReleaseEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Take the box, or the click."""
        if self._from is None or event.button() != Qt.MouseButton.LeftButton:
            return
        self._to = event.position()
        began, dragged = self._from, self._is_dragged()
        self._from = None
        self.update()
        if dragged:
            self.boxed.emit(self.box_between(began, self._to))
        elif self.plot.contains(began):
            self.toggled.emit(self._at(began))

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Leave a box that was begun with Escape."""
        if event.key() == Qt.Key.Key_Escape and self._from is not None:
            self._from = None
            self.update()
            return
        super().keyPressEvent(event)

    def _is_dragged(self) -> bool:
        if self._from is None or self._to is None:
            return False
        return (self._to - self._from).manhattanLength() > _CLICK_PX

    def _at(self, position: QPointF) -> NetworkSpec:
        """Return the chosen network under a position, or the nearest other one."""

        def distance(spec: NetworkSpec) -> float:
            at = self.position_of(nominal_receptive_field(spec), spec.parameters)
            return float((at - position).manhattanLength())

        near = min(self._chosen, key=distance, default=None)
        if near is not None and distance(near) <= _NEAR_PX:
            return near
        return self.nearest(position)
