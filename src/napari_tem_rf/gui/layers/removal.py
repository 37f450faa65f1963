"""Taking a layer of shapes away without ending the program.

Where a software renderer draws (Mesa's, on a remote desktop or a virtual screen), the process ends
at the second drawing after a layer of shapes that was changed has gone: what it drew with is freed
while the renderer still reads it. What such layers were drawn with is kept instead, some kilobytes
each.
"""

from typing import Any
from weakref import WeakSet

from napari.viewer import Viewer

__all__ = ["keep_what_draws_shapes"]

_KEPT: list[Any] = []
_WATCHED: WeakSet[Any] = WeakSet()


def keep_what_draws_shapes(viewer: Viewer) -> None:
    """Keep what draws this viewer's layers of shapes when they go, whoever removes them."""
    if viewer.layers in _WATCHED:
        return
    _WATCHED.add(viewer.layers)

    def keep(event: Any) -> None:
        layer = viewer.layers[event.index]
        if type(layer).__name__ != "Shapes":
            return
        # how napari draws a layer is private
        canvas = getattr(getattr(viewer.window, "_qt_viewer", None), "canvas", None)
        drawn = getattr(canvas, "layer_to_visual", {}).get(layer)
        if drawn is not None:
            _KEPT.append(drawn.node)

    viewer.layers.events.removing.connect(keep)
