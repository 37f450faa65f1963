"""A progress bar that holds nothing up."""

from qtpy.QtWidgets import QProgressBar

__all__ = ["CalmBar"]


class CalmBar(QProgressBar):
    """A progress bar that is painted when the window is next.

    Qt's own paints itself, and with it all of the window that waits for it, before `setValue`
    returns.
    """

    def setValue(self, value: int) -> None:  # noqa: N802 - Qt's name
        """Move the bar."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)
