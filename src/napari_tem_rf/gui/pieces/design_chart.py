"""The chart of the design space: receptive field against parameters, one dot a network.

Thousands of dots are painted once into a picture, again only when the size, the theme or the
pixel size changes; the pick, the runs and the marks are painted over it on each update.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_tem_rf.figures.palette import BLUE, ORANGE, SKY
from napari_tem_rf.gui.pieces.design_dots import picture_of_dots
from napari_tem_rf.gui.pieces.parts import current_theme
from napari_tem_rf.gui.pieces.preloading import CATALOG, FIELDS_PX, PARAMETERS, when_ready
from napari_tem_rf.gui.pieces.text import plain_tip
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.words import PixelSize, nm, side, structure

PICK_COLOR, RUN_COLOR = ORANGE, SKY
PICK_ON_LIGHT, RUN_ON_LIGHT = "#b35c00", BLUE

_FIELD_TICKS = (5, 10, 20, 50, 100, 200, 500, 1000)
_PARAMETER_TICKS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_NEAR_PX = 9
_MARGINS = (38, 18, 8, 32)  # left, top, right, bottom in px


@dataclass(frozen=True, slots=True)
class LengthMark:
    """A length measured in the image, marked on the axis of the receptive field."""

    length_px: float
    name: str


@dataclass(frozen=True, slots=True)
class RunDot:
    """A trained run in the chart."""

    spec: NetworkSpec
    score: float | None
    title: str
    is_current: bool


class DesignChart(QWidget):
    """Shows the catalog's networks and lets one be picked by click or drag.

    Signals
    -------
    picked(NetworkSpec)
        The network nearest to the mouse, while a button is held.
    """

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._x_range, self._y_range = _padded(FIELDS_PX), _padded(PARAMETERS)
        self._pick: NetworkSpec | None = None
        self._size: PixelSize = None
        self._marks: tuple[LengthMark, ...] = ()
        self._runs: tuple[RunDot, ...] = ()
        self._prepared: tuple[NetworkSpec, ...] = ()
        self._recommended: NetworkSpec | None = None
        self._background: QPixmap | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setMinimumSize(240, 170)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setAccessibleName("Networks by receptive field and parameters")
        self.setToolTipDuration(4000)
        when_ready(self, self._paint_anew, CATALOG)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a size that fits a dock of 380 px."""
        return QSize(356, 215)

    # what is shown

    @property
    def pick(self) -> NetworkSpec | None:
        """The network that is highlighted."""
        return self._pick

    def show_pick(self, spec: NetworkSpec) -> None:
        """Highlight a network, in the catalog or not."""
        self._pick = spec
        self.update()

    def show_pixel_size(self, size_nm: PixelSize) -> None:
        """Show nm on the upper axis; none where the pixel size is not known."""
        if size_nm != self._size:
            self._size = size_nm
            self._paint_anew()

    def show_marks(self, marks: Sequence[LengthMark]) -> None:
        """Mark lengths of the image on the axis of the receptive field."""
        self._marks = tuple(marks)
        self.update()

    def show_runs(self, runs: Sequence[RunDot]) -> None:
        """Mark trained runs with their scores."""
        self._runs = tuple(runs)
        self.update()

    def show_prepared(self, specs: Sequence[NetworkSpec], recommended: NetworkSpec) -> None:
        """Mark networks that come with weights, and the one that is recommended."""
        self._prepared, self._recommended = tuple(specs), recommended
        self.update()

    # where things are

    @property
    def plot(self) -> QRectF:
        """The rectangle of the axes, in px of the widget."""
        left, top, right, bottom = _MARGINS
        top = top if self._size is not None else 8
        return QRectF(left, top, self.width() - left - right, self.height() - top - bottom)

    def position_of(self, field_px: float, parameters: float) -> QPointF:
        """Return where a receptive field in px and a number of parameters lie in the widget."""
        return QPointF(self._x(np.log(field_px)), self._y(np.log(parameters)))

    def nearest(self, position: QPointF) -> NetworkSpec:
        """Return the network nearest to a position, and of those there the cheapest."""
        plot = self.plot
        x = (position.x() - plot.left()) / plot.width()
        y = (plot.bottom() - position.y()) / plot.height()
        field = np.exp(self._x_range[0] + x * (self._x_range[1] - self._x_range[0]))
        parameters = np.exp(self._y_range[0] + y * (self._y_range[1] - self._y_range[0]))
        return CATALOG.get().nearest(float(field), float(parameters), limit=1)[0].spec

    def _x(self, log_field: Any) -> Any:
        plot, (low, high) = self.plot, self._x_range
        return plot.left() + (log_field - low) / (high - low) * plot.width()

    def _y(self, log_parameters: Any) -> Any:
        plot, (low, high) = self.plot, self._y_range
        return plot.bottom() - (log_parameters - low) / (high - low) * plot.height()

    # painting

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 - Qt's name
        """Paint the dots' picture and what moves over it."""
        if self._background is None:
            self._background = self._paint_background()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPixmap(0, 0, self._background)
        painter.setFont(self._font())
        self._paint_prepared(painter)
        self._paint_marks(painter)
        self._paint_runs(painter)
        self._paint_pick(painter)
        painter.end()

    def _paint_anew(self) -> None:
        self._background = None
        self.update()

    def _paint_background(self) -> QPixmap:
        ratio = self.devicePixelRatioF()
        picture = QPixmap(QSize(round(self.width() * ratio), round(self.height() * ratio)))
        picture.setDevicePixelRatio(ratio)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if CATALOG.is_ready:
            networks, size = CATALOG.get(), (picture.height(), picture.width())
            across = self._x(np.log(networks.receptive_fields)) * ratio
            down = self._y(np.log(networks.parameters)) * ratio
            dots = picture_of_dots(across, down, size, self._ink(75), ratio)
            painter.drawImage(QRectF(self.rect()), dots)
        self._paint_axes(painter)
        painter.end()
        return picture

    def _paint_axes(self, painter: QPainter) -> None:
        plot, font = self.plot, self._font()
        painter.setFont(font)
        height = QFontMetricsF(font).height()
        for ticks, along_x in ((_FIELD_TICKS, True), (_PARAMETER_TICKS, False)):
            for tick in ticks:
                at = float(self._x(np.log(tick)) if along_x else self._y(np.log(tick)))
                painter.setPen(QPen(self._ink(28), 1))
                if along_x:
                    painter.drawLine(QPointF(at, plot.top()), QPointF(at, plot.bottom()))
                    words, rectangle = f"{tick}", QRectF(at - 30, plot.bottom() + 1, 60, height)
                    flags = Qt.AlignmentFlag.AlignCenter
                else:
                    painter.drawLine(QPointF(plot.left(), at), QPointF(plot.right(), at))
                    words = {1e3: "1 k", 1e4: "10 k", 1e5: "100 k", 1e6: "1 M", 1e7: "10 M"}[tick]
                    rectangle = QRectF(0, at - height / 2, plot.left() - 4, height)
                    flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                painter.setPen(self._ink(190))
                painter.drawText(rectangle, flags, words)
        painter.setPen(QPen(self._ink(90), 1))
        painter.drawRect(plot)
        painter.setPen(self._ink(190))
        below = QRectF(plot.left(), self.height() - height - 1, plot.width(), height)
        painter.drawText(below, Qt.AlignmentFlag.AlignCenter, "receptive field in px")
        at = QPointF(plot.left() + 4, plot.top() + 3)
        self._paint_words(painter, at, "parameters", self._ink(190))
        if self._size is not None:
            self._paint_nm_axis(painter, height)

    def _paint_nm_axis(self, painter: QPainter, height: float) -> None:
        assert self._size is not None
        plot = self.plot
        size = float(np.sqrt(self._size[0] * self._size[1]))
        last = plot.left() - 100
        decades = np.arange(-4, 7)
        ticks = [float(m * 10.0**d) for d in decades for m in (1, 2, 5)]
        shown = [t for t in ticks if self._x_range[0] <= np.log(t / size) <= self._x_range[1]]
        metrics = QFontMetricsF(painter.font())
        for tick in shown:
            at = float(self._x(np.log(tick / size)))
            words = f"{tick:g}" if tick != shown[-1] else f"{tick:g} nm"
            width = metrics.horizontalAdvance(words)
            left = min(at - metrics.horizontalAdvance(f"{tick:g}") / 2, self.width() - width - 2)
            if left < last + 6:
                continue
            last = left + width
            painter.setPen(QPen(self._ink(90), 1))
            painter.drawLine(QPointF(at, plot.top()), QPointF(at, plot.top() + 4))
            painter.setPen(self._ink(190))
            painter.drawText(
                QRectF(left, plot.top() - height - 1, width + 2, height),
                Qt.AlignmentFlag.AlignLeft,
                words,
            )

    def _paint_marks(self, painter: QPainter) -> None:
        plot, metrics = self.plot, QFontMetricsF(painter.font())
        for place, mark in enumerate(sorted(self._marks, key=lambda each: each.length_px)):
            at = float(self._x(np.log(max(mark.length_px, 1e-3))))
            if not plot.left() <= at <= plot.right():
                # shorter than any field: the name at the edge says so
                at = plot.left() if at < plot.left() else plot.right()
            pen = QPen(self._ink(230), 1.2, Qt.PenStyle.DashLine)
            painter.setPen(pen)
            painter.drawLine(QPointF(at, plot.top()), QPointF(at, plot.bottom()))
            words = f"{mark.name} {self._length(mark.length_px)}"
            width = metrics.horizontalAdvance(words)
            left = min(max(at + 3, plot.left() + 2), plot.right() - width - 4)
            top = plot.bottom() - (place + 1) * (metrics.height() + 2) - 2
            self._paint_words(painter, QPointF(left, top), words, self._ink(255))

    def _paint_prepared(self, painter: QPainter) -> None:
        if not self._prepared:
            return
        painter.setPen(QPen(self._paper(), 1.2))
        painter.setBrush(self._ink(235))
        for spec in self._prepared:
            painter.drawPolygon(_sign(self._position(spec), spec == self._recommended))
        metrics, gap = QFontMetricsF(painter.font()), "     "  # room for the sign before each
        words = f"{gap}pre-trained{gap}recommended"
        left = self.plot.right() - metrics.horizontalAdvance(words) - 4
        at = QPointF(left, self.plot.top() + 3)
        self._paint_words(painter, at, words, self._ink(190))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._ink(235))
        second = metrics.horizontalAdvance(f"{gap}pre-trained")
        for x, is_star in ((0.0, False), (second, True)):
            middle = QPointF(left + x + metrics.horizontalAdvance(gap) / 2, at.y())
            middle.setY(middle.y() + metrics.height() / 2)
            painter.drawPolygon(_sign(middle, is_star))

    def _paint_runs(self, painter: QPainter) -> None:
        color = QColor(RUN_COLOR if self._is_dark() else RUN_ON_LIGHT)
        taken: list[QRectF] = []
        metrics = QFontMetricsF(painter.font())
        for run in sorted(self._runs, key=lambda each: each.is_current):
            at = self._position(run.spec)
            radius = 5.5 if run.is_current else 4.5
            diamond = [(0, -radius), (radius, 0), (0, radius), (-radius, 0)]
            painter.setPen(QPen(self._paper(), 1.2))
            painter.setBrush(color)
            painter.drawPolygon(QPolygonF([QPointF(at.x() + x, at.y() + y) for x, y in diamond]))
            if run.score is None:
                continue
            words = f"{run.score:.2f}"
            box = QRectF(
                at.x() - metrics.horizontalAdvance(words) - radius - 4,
                at.y() - metrics.height() / 2,
                metrics.horizontalAdvance(words),
                metrics.height(),
            )
            if box.left() < self.plot.left():
                box.moveLeft(at.x() + radius + 3)
            while any(box.intersects(other) for other in taken):
                box.translate(0, metrics.height())
            taken.append(box)
            self._paint_words(painter, box.topLeft(), words, color)

    def _paint_pick(self, painter: QPainter) -> None:
        if self._pick is None:
            return
        plot, at = self.plot, self._position(self._pick)
        color = QColor(PICK_COLOR if self._is_dark() else PICK_ON_LIGHT)
        line = QColor(color)
        line.setAlpha(150)
        painter.setPen(QPen(line, 1))
        painter.drawLine(QPointF(at.x(), plot.top()), QPointF(at.x(), plot.bottom()))
        painter.drawLine(QPointF(plot.left(), at.y()), QPointF(plot.right(), at.y()))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(self._paper(), 5))
        painter.drawEllipse(at, 7, 7)
        painter.setPen(QPen(color, 2.4))
        painter.drawEllipse(at, 7, 7)

    def _paint_words(self, painter: QPainter, top_left: QPointF, words: str, color: QColor) -> None:
        metrics = QFontMetricsF(painter.font())
        box = QRectF(top_left.x(), top_left.y(), metrics.horizontalAdvance(words), metrics.height())
        paper = self._paper()
        paper.setAlpha(225)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(paper)
        painter.drawRoundedRect(box.adjusted(-2, 0, 2, 0), 3, 3)
        painter.setPen(color)
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft, words)

    def _position(self, spec: NetworkSpec) -> QPointF:
        plot = self.plot
        at = self.position_of(nominal_receptive_field(spec), spec.parameters)
        return QPointF(
            min(max(at.x(), plot.left()), plot.right()), min(max(at.y(), plot.top()), plot.bottom())
        )

    def _length(self, length_px: float) -> str:
        px = f"{length_px:.1f} px" if length_px < 20 else f"{length_px:.0f} px"
        if self._size is None:
            return px
        return f"{px} = {nm(length_px * float(np.sqrt(self._size[0] * self._size[1])))}"

    def _font(self) -> QFont:
        font = QFont(self.font())
        font.setPixelSize(11)
        return font

    def _ink(self, alpha: int) -> QColor:
        color = QColor(current_theme().text.as_hex())
        color.setAlpha(alpha)
        return color

    def _paper(self) -> QColor:
        return QColor(current_theme().background.as_hex())

    def _is_dark(self) -> bool:
        return bool(self._ink(255).lightness() > 127)

    # the mouse, the keys, the theme

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Pick the nearest network; a pre-trained one where its mark is clicked."""
        if event.button() == Qt.MouseButton.LeftButton:
            position = event.position()
            self.picked.emit(self._prepared_at(position) or self.nearest(position))

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Pick while dragging; otherwise say what is under the mouse."""
        position = event.position()
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.picked.emit(self.nearest(position))
        elif self.plot.contains(position):
            words = plain_tip(self._words_at(position))
            QToolTip.showText(event.globalPosition().toPoint(), words, self)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Move the pick with the arrow keys."""
        steps = {
            Qt.Key.Key_Left: (-1, 0),
            Qt.Key.Key_Right: (1, 0),
            Qt.Key.Key_Up: (0, 1),
            Qt.Key.Key_Down: (0, -1),
        }
        step = steps.get(event.key())
        if step is None or self._pick is None:
            super().keyPressEvent(event)
            return
        following = self._beside(self._pick, *step)
        if following is not None:
            self.picked.emit(following)

    def _beside(self, spec: NetworkSpec, right: int, up: int) -> NetworkSpec | None:
        """Return the next network in a direction, the nearest on the other axis."""
        networks = CATALOG.get()
        fields = np.log(networks.receptive_fields / nominal_receptive_field(spec))
        parameters = np.log(networks.parameters / spec.parameters)
        along = fields * right + parameters * up
        across = np.abs(parameters if right else fields)
        ahead = np.flatnonzero((along > 1e-9) & (across < 0.12))
        if not len(ahead):
            return None
        return networks.specs[int(ahead[np.argmin(along[ahead] + across[ahead])])]

    def _prepared_at(self, position: QPointF) -> NetworkSpec | None:
        for spec in self._prepared:
            at = self._position(spec)
            if abs(at.x() - position.x()) + abs(at.y() - position.y()) < _NEAR_PX:
                return spec
        return None

    def _words_at(self, position: QPointF) -> str:
        for run in self._runs:
            at = self._position(run.spec)
            if abs(at.x() - position.x()) + abs(at.y() - position.y()) < _NEAR_PX:
                return run.title
        prepared = self._prepared_at(position)
        spec = prepared or self.nearest(position)
        field = nominal_receptive_field(spec)
        kind = ""
        if prepared is not None:
            kind = "pre-trained on simulated micrographs: learns most from a few strokes\n"
        if prepared is not None and prepared == self._recommended:
            kind = f"recommended, {kind}"
        return (
            f"{kind}receptive field {side(field, self._size)}\n"
            f"{spec.parameters:,} parameters\n{structure(spec)}"
        )

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Paint the dots anew."""
        self._background = None
        super().resizeEvent(event)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        change = event.Type
        if event.type() in (change.PaletteChange, change.StyleChange, change.FontChange):
            self._paint_anew()
        super().changeEvent(event)


def _sign(at: QPointF, is_star: bool) -> QPolygonF:
    """Return a star, or a triangle."""
    turns = np.arange(10 if is_star else 3) * (np.pi / 5 if is_star else 2 * np.pi / 3)
    radii = np.where(np.arange(10) % 2, 2.6, 6.0) if is_star else np.full(3, 5.0)
    corners = zip(radii * np.sin(turns), -radii * np.cos(turns), strict=True)
    return QPolygonF([QPointF(at.x() + float(x), at.y() + float(y)) for x, y in corners])


def _padded(span: tuple[int, int]) -> tuple[float, float]:
    low, high = np.log(span)
    return float(low - 0.04 * (high - low)), float(high + 0.04 * (high - low))
