"""A figure in a dock that follows napari's theme; matplotlib comes with the first drawing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_tem_rf.figures import Theme
from napari_tem_rf.gui.pieces.parts import current_theme
from napari_tem_rf.gui.pieces.preloading import MATPLOTLIB, when_ready

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from napari_tem_rf.gui.pieces.canvas import Canvas

__all__ = ["Plot"]


class Plot(QWidget):
    """The place of a figure, empty until something is drawn.

    Parameters
    ----------
    paint : callable
        Draws on an empty figure, in a theme.
    height_px : int
        Height; the width is the dock's.
    constrained : bool
        Whether the figure arranges itself, which takes a third of the drawing's time.
    """

    def __init__(
        self, paint: "Callable[[Figure, Theme], None]", height_px: int, constrained: bool = True
    ) -> None:
        super().__init__()
        self._paint, self._constrained = paint, constrained
        self._canvas: Canvas | None = None
        self._is_waiting = False
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(height_px)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(0)

    @property
    def axes(self) -> "list[Axes]":
        """What is drawn."""
        return [] if self._canvas is None else list(self._canvas.figure.axes)

    def draw(self) -> None:
        """Draw anew; at first, as soon as matplotlib is loaded, which a thread does."""
        if self._canvas is None and not MATPLOTLIB.is_ready:
            if not self._is_waiting:
                self._is_waiting = True
                when_ready(self, self.draw, MATPLOTLIB)
            return
        colors = current_theme()
        theme = Theme(colors.text.as_hex("long"), colors.background.as_hex("long"), font_pt=7.5)
        canvas = self._canvas or self._open_canvas()
        canvas.figure.clear()
        canvas.figure.set_facecolor(theme.background)
        self._paint(canvas.figure, theme)
        canvas.changed()

    def _open_canvas(self) -> "Canvas":
        from matplotlib.figure import Figure

        from napari_tem_rf.gui.pieces.canvas import Canvas

        figure = Figure(layout="constrained" if self._constrained else None)
        self._canvas = Canvas(figure)
        self._canvas.setMinimumWidth(0)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self._canvas)
        return self._canvas
