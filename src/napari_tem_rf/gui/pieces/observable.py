"""Something that shows one frozen state after another and tells of each change."""

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakMethod

from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_tem_rf.gui.pieces.lifetimes import when_gone

__all__ = ["Observable"]

State = TypeVar("State")


class Observable(Generic[State]):
    """Has one state after another, each a frozen value.

    Signals
    -------
    changed(before, after)
        The state is another one; a change made by a listener is emitted after all listeners got the
        change before.
    """

    changed = Signal(object, object, reemission="queued")

    def on(
        self, select: Callable[[State], object], function: Callable[[State], object]
    ) -> Callable[[], None]:
        """Call a function when what is selected of the state is another.

        Parameters
        ----------
        select : callable
            Returns what matters of a state: ``lambda now: (now.choices.image, now.edits)``.
        function : callable
            Called with the new state.

        Returns
        -------
        callable
            Disconnects the function.
        """

        def call_if_changed(before: State, after: State) -> None:
            if select(before) != select(after):
                function(after)

        self.changed.connect(call_if_changed)
        return lambda: self.changed.disconnect(call_if_changed, missing_ok=True)

    def watch(
        self,
        widget: QWidget,
        select: Callable[[State], object],
        function: Callable[[State], object],
    ) -> None:
        """Call a method of a widget as `on` does, for as long as the widget lives."""
        held = WeakMethod(function)

        def call_if_alive(now: State) -> None:
            method = held()
            if method is not None:
                method(now)

        when_gone(widget, self.on(select, call_if_alive))
