"""Work that only the window's own thread may do, in steps between which it answers."""

from collections.abc import Iterator
from contextlib import suppress

from qtpy.QtCore import QObject, QTimer

__all__ = ["Steps"]


class Steps:
    """Does one work after the other, a step each time that the event loop has nothing else.

    What is begun replaces what is not over yet: its steps must not rely on those before them having
    been followed by all others.
    """

    def __init__(self) -> None:
        self._work: Iterator[None] = iter(())
        self._owner = QObject()
        self._timer = QTimer(self._owner)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._go_on)

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be done."""
        return not self._timer.isActive()

    def begin(self, work: Iterator[None]) -> None:
        """Do this from now on; its first step at once."""
        self.stop()
        self._work = work
        self._go_on()

    def stop(self) -> None:
        """Leave undone what is not done."""
        with suppress(RuntimeError):  # the window is gone
            self._timer.stop()
        self._work = iter(())

    def _go_on(self) -> None:
        with suppress(StopIteration):
            next(self._work)
            self._timer.start(0)
