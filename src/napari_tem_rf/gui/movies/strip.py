"""The frames of a series as a strip: which are annotated, trained on, left out, or worth a look."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QRectF, Qt, Signal as QtSignal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_tem_rf.figures.palette import BLUE, ORANGE, SKY, YELLOW
from napari_tem_rf.gui.pieces.parts import current_theme
from napari_tem_rf.gui.pieces.text import set_tip

__all__ = ["FrameMarks", "FrameStrip"]

_HEIGHT_PX = 22
_LEAST_PX = 3.0
"""A frame that is marked is drawn at least so wide."""


@dataclass(frozen=True, slots=True)
class FrameMarks:
    """What is marked of the frames of a series.

    Attributes
    ----------
    frames : int
        How many there are.
    shown : int
        The frame that is shown.
    annotated, trained, left_out, worth : frozenset of int
        Frames with strokes; frames that the current run learned from; frames that were passed over;
        frames that are worth annotating.
    """

    frames: int = 0
    shown: int = 0
    annotated: frozenset[int] = frozenset()
    trained: frozenset[int] = frozenset()
    left_out: frozenset[int] = frozenset()
    worth: frozenset[int] = frozenset()

    @property
    def words(self) -> str:
        """What the strip shows, in words."""
        listed = (
            ("annotated (upper half)", self.annotated),
            ("trained on by the current run (lower half)", self.trained),
            ("left out (grey)", self.left_out),
            ("worth annotating (dot)", self.worth),
        )
        lines = [f"{self.frames} frames, {self.shown} is shown; click to go to another"]
        lines += [f"{what}: {_listed(frames)}" for what, frames in listed if frames]
        return "\n".join(lines)


def _listed(frames: Collection[int], most: int = 12) -> str:
    some = ", ".join(map(str, sorted(frames)[:most]))
    return f"{some} and {len(frames) - most} more" if len(frames) > most else some


class FrameStrip(QWidget):
    """A strip as wide as the dock; emits ``chosen`` with the frame that is clicked on."""

    chosen = QtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self._marks = FrameMarks()
        self.setFixedHeight(_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    @property
    def marks(self) -> FrameMarks:
        """What is shown."""
        return self._marks

    def show_marks(self, marks: FrameMarks) -> None:
        """Show other marks."""
        if marks != self._marks:
            self._marks = marks
            set_tip(self, marks.words)
            self.update()

    def frame_at(self, x: float) -> int:
        """Return the frame at a place from the left, in px."""
        frames = self._marks.frames
        return min(max(int(x / max(self.width(), 1) * frames), 0), max(frames - 1, 0))

    def _place(self, frame: int) -> tuple[float, float]:
        """Return where a frame begins, and its width, in px."""
        width = self.width() / max(self._marks.frames, 1)
        return frame * width, width

    def paintEvent(self, _event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw the frames."""
        marks, theme = self._marks, current_theme()
        if not marks.frames:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        ground = QColor(theme.foreground.as_hex())
        top, height = 4.0, self.height() - 8.0
        painter.fillRect(QRectF(0, top, self.width(), height), ground)
        dark = theme.type == "dark"
        grey = QColor(128, 128, 128)
        for frames, color, upper, share in (
            (marks.left_out, grey, 0.0, 1.0),
            (marks.annotated, QColor(ORANGE), 0.0, 0.5),
            (marks.trained, QColor(SKY if dark else BLUE), 0.5, 0.5),
        ):
            for frame in frames:
                left, width = self._place(frame)
                wide = max(width, _LEAST_PX)
                box = QRectF(left, top + upper * height, wide, share * height)
                painter.fillRect(box, color)
        painter.setBrush(QColor(YELLOW))
        painter.setPen(QColor(0, 0, 0, 160))
        for frame in marks.worth:
            left, width = self._place(frame)
            painter.drawEllipse(QRectF(left + width / 2 - 4, self.height() / 2 - 4, 8, 8))
        left, width = self._place(marks.shown)
        painter.setPen(Qt.PenStyle.NoPen)
        middle = left + width / 2
        painter.fillRect(QRectF(middle - 1, 0, 2, self.height()), QColor(theme.text.as_hex()))
        painter.end()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Choose a frame."""
        self._choose(event)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Choose a frame."""
        self._choose(event)

    def _choose(self, event: Any) -> None:
        if self._marks.frames and event.buttons() & Qt.MouseButton.LeftButton:
            self.chosen.emit(self.frame_at(float(event.position().x())))

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange:
            self.update()
