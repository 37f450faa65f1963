"""What takes long and is not needed to open a dock: made in a thread once the dock is painted.

Imports of hundreds of milliseconds, and the catalog of networks. Whoever needs one of them sooner
makes it on the spot.
"""

import importlib
from collections.abc import Callable
from functools import partial
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_tem_rf.gui.pieces.lifetimes import call_at_timeout
from napari_tem_rf.networks.catalog import Catalog, catalog

__all__ = [
    "CATALOG",
    "FIELDS_PX",
    "MATPLOTLIB",
    "PANDAS",
    "PARAMETERS",
    "Preloaded",
    "preload",
    "soon",
    "when_ready",
]

_SOON_MS = 30
_LOOK_MS = 20

Made = TypeVar("Made")

_TURN = Lock()
"""One thread after the other: each that runs makes the window wait longer for its turn."""


class Preloaded(Generic[Made]):
    """Something that is made once, in a thread or by the first who needs it.

    Parameters
    ----------
    make : callable
        Makes it; touches nothing of Qt.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: list[Made] = []
        self._lock = Lock()
        self._thread: Thread | None = None

    @property
    def is_ready(self) -> bool:
        """Whether `get` returns at once."""
        return bool(self._made) or (self._thread is not None and not self._thread.is_alive())

    def begin(self) -> None:
        """Make it in a thread, unless that was begun before."""
        if self._thread is None and not self._made:
            self._thread = Thread(target=self._make_in_turn, daemon=True)
            self._thread.start()

    def get(self) -> Made:
        """Return it; waits for the thread, or makes it."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def _make_in_turn(self) -> None:
        with _TURN:
            self.get()


def _whole_catalog() -> Catalog:
    networks = catalog()
    # both are worked out on first use
    assert len(networks.receptive_fields) == len(networks.parameters)
    return networks


def _matplotlib() -> None:
    """Load all that a figure in a dock takes, and draw one: the first looks for fonts."""
    importlib.import_module("matplotlib.backends.backend_qtagg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(layout="constrained"))
    axes = canvas.figure.add_subplot(xlabel="0", ylabel="0")
    axes.plot([0, 1], label="0")
    axes.legend(loc="upper left")  # the best place is looked for anew at each drawing
    canvas.draw()


CATALOG = Preloaded(_whole_catalog)
"""The design space; its arithmetic takes a third of a second."""
FIELDS_PX, PARAMETERS = (5, 1960), (322, 11_710_576)
"""Smallest and largest of the catalog, for what must know them sooner."""
MATPLOTLIB = Preloaded(_matplotlib)
PANDAS = Preloaded(partial(importlib.import_module, "pandas"))


def soon(widget: QWidget, function: Callable[[], None]) -> None:
    """Call a function when the window has painted, unless the widget is gone by then."""
    timer = QTimer(widget)
    rounds = iter((True, False))

    def again() -> None:
        # the first round of the event loop paints the dock: it may come late
        if next(rounds):
            timer.start(_SOON_MS)
            return
        timer.deleteLater()
        function()

    timer.setSingleShot(True)
    call_at_timeout(timer, again)
    timer.start(0)


def preload(widget: QWidget, *things: Preloaded[Any]) -> None:
    """Have things made once the window has painted, for when they are needed."""

    def begin() -> None:
        for thing in things:
            thing.begin()

    soon(widget, begin)


def when_ready(widget: QWidget, function: Callable[[], None], *things: Preloaded[Any]) -> None:
    """Have things made once the window has painted; then call a function in its thread.

    Nothing is called when the widget is gone by then; where all is ready, it is called at once.
    """
    if all(thing.is_ready for thing in things):
        function()
        return
    timer = QTimer(widget)
    timer.setInterval(_LOOK_MS)

    def look() -> None:
        if all(thing.is_ready for thing in things):
            timer.stop()
            timer.deleteLater()
            function()

    def begin() -> None:
        for thing in things:
            thing.begin()
        timer.start()

    call_at_timeout(timer, look)
    soon(widget, begin)
