"""One frame of an image layer as a layer of its own: where it lies, and where to look at it."""

from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer

from napari_tem_rf.gui.layers.layers import image_shape, placement

__all__ = ["look_at", "plane_placement", "shown_frame"]

_SHOWN_SIDES = 4.0


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
