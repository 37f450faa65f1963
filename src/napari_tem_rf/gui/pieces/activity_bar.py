"""How far a training is, in napari's activity dock."""

import time

from napari.utils import progress
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

__all__ = ["ActivityBar"]

_STEPS = 1000
_PAUSE_S = 2.0
"""Least time between two steps. napari handles all waiting events at each, drawing the canvas."""


class ActivityBar:
    """A bar in napari's activity dock that holds up no stroke.

    It opens and moves only while no mouse button is pressed, and not with every batch.
    """

    def __init__(self) -> None:
        self._name = ""
        self._bar: progress | None = None
        self._moved_at = 0.0

    def begin(self, name: str) -> None:
        """Have a bar of that name from the next step on."""
        self.end()
        self._name = name

    def move(self, fraction: float) -> None:
        """Show how far it is; 1 is all."""
        now = time.monotonic()
        is_painting = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if not self._name or is_painting or now - self._moved_at < _PAUSE_S:
            return
        self._moved_at = now
        if self._bar is None:
            self._open()
        if self._bar is not None:
            self._bar.update(max(0, round(_STEPS * fraction) - self._bar.n))

    def end(self) -> None:
        """Take the bar away."""
        self._name = ""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self) -> None:
        name = self._name
        bar = progress(total=_STEPS, desc=name)
        if self._name == name and self._bar is None:
            self._bar = bar
        else:  # it ended while napari handled events
            bar.close()
