"""What is done when Qt takes something away."""

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

__all__ = ["call_at_timeout", "when_gone"]

_FAREWELLS: set[Callable[..., None]] = set()


def when_gone(thing: QObject, function: Callable[[], None]) -> None:
    """Call a function when Qt takes a widget or window away; it must not hold it."""

    def farewell(_object: object = None) -> None:
        _FAREWELLS.discard(farewell)
        function()

    # Held from outside: when the garbage collector takes a widget away, what only the widget holds
    # may have been emptied by the time that Qt calls it, which ends the process.
    _FAREWELLS.add(farewell)
    thing.destroyed.connect(farewell)


def call_at_timeout(timer: QTimer, function: Callable[[], None]) -> None:
    """Call a function at each timeout of a timer for as long as the timer lives.

    It is held until then, as by `when_gone`: a timer may still fire while what it belongs to is
    being collected.
    """
    held = [function]
    timer.timeout.connect(function)
    when_gone(timer, held.clear)
