"""Garbage is collected while the mouse rests.

Python looks through all objects for it, a fifth of a second for those of napari, each time that a
quarter more have come than there were: as likely as not in the middle of a stroke. Each drawing of
a curve and each new layer brings thousands.
"""

import gc
from weakref import ref

from napari.viewer import Viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QApplication, QWidget

from napari_tem_rf.gui.pieces.lifetimes import call_at_timeout

__all__ = ["tidy_at_rest"]

_LOOK_MS = 1000
_LOOKS = 3
"""Checks in a row that must find the mouse at rest: painters pause for a second."""


def tidy_at_rest(widget: QWidget, viewer: Viewer) -> None:
    """Collect garbage when some may be due and the mouse has rested, while a widget lives."""
    timer = QTimer(widget)
    timer.setInterval(_LOOK_MS)
    cursor = ref(viewer.cursor)
    seen: tuple[object, ...] = ()
    rested = 0

    def look() -> None:
        nonlocal seen, rested
        on_canvas = cursor()
        earlier, seen = seen, (QCursor.pos(), on_canvas and tuple(on_canvas.position))
        pressed = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        rested = rested + 1 if seen == earlier and not pressed else 0
        is_due = gc.isenabled() and gc.get_count()[2] >= gc.get_threshold()[2]
        if is_due and rested >= _LOOKS:
            gc.collect()

    call_at_timeout(timer, look)
    timer.start()
