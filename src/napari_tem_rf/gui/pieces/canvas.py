"""What a figure is drawn on: when somebody sees it, not before."""

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from qtpy.QtGui import QPaintEvent

__all__ = ["Canvas"]


class Canvas(FigureCanvasQTAgg):
    """A canvas whose figure is drawn while it is painted.

    matplotlib draws a changed figure as soon as nothing else is to be done, even behind another
    tab: that takes 50 ms and more of the window's time, for each change.
    """

    _is_stale = False

    def changed(self) -> None:
        """Draw the figure when it is painted next."""
        self._is_stale = True
        self.update()

    def draw(self) -> None:
        """Draw the figure, as it is shown until it changes."""
        self._is_stale = False
        super().draw()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        """Draw the figure if it has changed, then paint it."""
        if self._is_stale:
            # painting draws once, whatever else has asked for it
            self.draw_idle()
        super().paintEvent(event)
