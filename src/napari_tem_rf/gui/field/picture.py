"""A picture of one effective field: the image around a pixel, the heat, the boxes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget
from vispy.color import get_colormap

from napari_tem_rf.figures.palette import SKY, WHITE, YELLOW
from napari_tem_rf.gui.layers.boxes import Heat
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.receptive_field import Interval

_DIMMED = 0.5
_BOX, _W95, _W50 = YELLOW, WHITE, SKY


@dataclass(frozen=True, slots=True, eq=False)
class FieldView:
    """What a picture shows.

    Attributes
    ----------
    grey : ndarray of float, shape (row, column)
        The whole frame, from 0 to 1.
    heat : Heat
    field : EffectiveField
        For its widths.
    rows, columns : Interval
        The exact field, in px of the frame.
    at : tuple of int
        (row, column) of the output pixel.
    side_px : int
        Side of the part shown, around the pixel, in px: the same for pictures to compare.
    binning : int
        Px of the frame per px that the network sees.
    """

    grey: NDArray[np.float32]
    heat: Heat
    field: EffectiveField
    rows: Interval
    columns: Interval
    at: tuple[int, int]
    side_px: int
    binning: int = 1


def compose(view: FieldView) -> NDArray[np.uint8]:
    """Return the picture's pixels, shape (row, column, 3): dimmed image plus heat.

    What lies outside the image is black.
    """
    side = view.side_px
    top, left = view.at[0] - side // 2, view.at[1] - side // 2
    grey = _window(view.grey, top, left, side)
    heat = _window(view.heat.weights, top - view.heat.origin[0], left - view.heat.origin[1], side)
    color = get_colormap("inferno").map(heat.ravel())[:, :3].reshape(side, side, 3)
    return (255 * np.clip(_DIMMED * grey[..., None] + color, 0, 1)).astype(np.uint8)


def _window(pixels: NDArray[Any], top: int, left: int, side: int) -> NDArray[np.float32]:
    """Cut a square out that may reach beyond the pixels; zeros are there."""
    whole = np.zeros((side, side), np.float32)
    rows = slice(max(top, 0), min(top + side, pixels.shape[0]))
    columns = slice(max(left, 0), min(left + side, pixels.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        part = pixels[rows, columns]
        whole[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = part
    return whole


class FieldPicture(QWidget):
    """Shows a `FieldView`; square, empty until there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._view: FieldView | None = None
        self._image: QImage | None = None
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMinimumSize(120, 120)
        self.setToolTip(
            "The effective field on the image. Yellow: exact field. White: the smallest square\n"
            "around the pixel with 95 % of the influence. Blue: with half of it."
        )

    def heightForWidth(self, width: int) -> int:  # noqa: N802 - Qt's name
        """Return the width: the picture is square."""
        return width

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return a size of which two stand side by side in a dock."""
        return QSize(170, 170)

    @property
    def shown(self) -> FieldView | None:
        """What is shown; None while there is nothing."""
        return self._view

    def show_view(self, view: FieldView | None) -> None:
        """Show a field, or nothing."""
        self._view, self._image = view, None
        if view is not None:
            pixels = np.ascontiguousarray(compose(view))
            side = view.side_px
            self._image = QImage(
                pixels.tobytes(), side, side, 3 * side, QImage.Format.Format_RGB888
            ).copy()
        self.update()

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 - Qt's name
        """Paint the picture and its squares."""
        side = min(self.width(), self.height())
        frame = QRectF((self.width() - side) / 2, 0, side, side)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._view is None or self._image is None:
            painter.setPen(QPen(QColor(128, 128, 128, 120), 1, Qt.PenStyle.DashLine))
            painter.drawRect(frame.adjusted(0.5, 0.5, -0.5, -0.5))
            painter.end()
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(frame, self._image)
        painter.setClipRect(frame)
        view, scale = self._view, side / self._view.side_px
        top, left = view.at[0] - view.side_px // 2, view.at[1] - view.side_px // 2

        def square(rows: tuple[float, float], columns: tuple[float, float], color: str) -> None:
            box = QRectF(
                QPointF(
                    frame.left() + (columns[0] - left) * scale,
                    frame.top() + (rows[0] - top) * scale,
                ),
                QPointF(
                    frame.left() + (columns[1] - left) * scale,
                    frame.top() + (rows[1] - top) * scale,
                ),
            )
            painter.setPen(QPen(QColor(0, 0, 0, 140), 3))
            painter.drawRect(box)
            painter.setPen(QPen(QColor(color), 1.4))
            painter.drawRect(box)

        square((view.rows.start, view.rows.stop), (view.columns.start, view.columns.stop), _BOX)
        for width, color in ((view.field.w95_px, _W95), (view.field.w50_px, _W50)):
            half = width * view.binning / 2
            row, column = view.at[0] + 0.5, view.at[1] + 0.5
            square((row - half, row + half), (column - half, column + half), color)
        painter.end()
