"""A plane of layers: where it lies, and where the camera looks to see it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

from napari_tem_rf.gui.layers.layers import image_shape, placement

__all__ = ["fit_view", "look_at", "plane_placement", "shown_frame"]

_SHOWN_SIDES = 4.0
_FITTED = 0.95
"""Share of the canvas that a fitted plane fills, as napari fits it."""


def plane_placement(layer: Layer) -> dict[str, Any]:
    """Return scale, translate, units and axis labels for a single frame of a layer."""
    whole = placement(layer)
    if len(image_shape(layer)) == 2:
        return whole
    return {
        "scale": whole["scale"][-2:],
        "translate": whole["translate"][-2:],
        "rotate": np.asarray(whole["rotate"])[-2:, -2:],
        "units": whole["units"][-2:],
        "axis_labels": whole["axis_labels"][-2:],
    }


def fit_view(viewer: Viewer, layers: Sequence[Layer]) -> None:
    """Move the camera so that layers fill the canvas, those of fewer axes than others too.

    `napari.Viewer.fit_to_view` cannot do it for a single image beside a series.
    """
    if not layers:
        return
    if viewer.dims.ndisplay != 2:
        viewer.reset_view()
        return
    extent = viewer.layers.get_extent(layers)
    low, high = np.asarray(extent.world)[:, -2:]
    sides = high - low + np.asarray(extent.step)[-2:]  # from edge to edge, not between centres
    room = np.asarray(viewer.canvas.viewbox_size(viewer.layers), float)
    viewer.scene.camera.center = (0.0, *(float(each) for each in (low + high) / 2))
    if (sides > 0).all() and (room > 0).all():
        viewer.scene.camera.zoom = _FITTED * float(np.min(room / sides))


def look_at(viewer: Viewer, image: Image, frame: int, at: tuple[int, int], side_px: int) -> None:
    """Move the camera to a square of an image: it fills a quarter of the width that there is.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image
    frame : int
        Frame of a series; the viewer goes there.
    at : tuple of int
        (row, column) of the square's centre.
    side_px : int
        Its side in px of the image.
    """
    if len(image_shape(image)) == 3:
        world = image.data_to_world((frame, *at))
        viewer.dims.set_point(0, world[0])
    else:
        world = image.data_to_world(at)
    viewer.scene.camera.center = (0.0, float(world[-2]), float(world[-1]))
    room = min(viewer.canvas.viewbox_size(viewer.layers))
    side = side_px * float(np.mean(image.scale[-2:]))
    if room > 0:
        viewer.scene.camera.zoom = float(room) / (_SHOWN_SIDES * side)


def shown_frame(viewer: Viewer, layer: Labels) -> int:
    """Return the frame of a layer that the viewer shows; 0 for a single image."""
    if layer.ndim == 2:
        return 0
    position = layer.world_to_data(viewer.dims.point)
    return int(np.clip(round(float(position[0])), 0, layer.data.shape[0] - 1))
