"""Predictions side by side: napari's grid with the image in every cell, and the way back.

A layer is in one cell of napari's grid only, so each cell gets the image once more, with a
prediction on top. These layers are at the bottom of the list, where the grid begins; what the user
has is hidden meanwhile and shown again afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils import Colormap
from numpy.typing import NDArray
from psygnal import Signal

from napari_tem_rf.gui.layers.layers import frame_pixels, label_colors
from napari_tem_rf.gui.layers.marks import MARK, OverlayMark
from napari_tem_rf.gui.layers.plane import plane_placement
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import Classes

__all__ = ["Cell", "SideBySide", "difference_layer"]

_DIFFERENCE = Colormap([[0.86, 0.1, 0.5, 0.0], [0.86, 0.1, 0.5, 0.9]], name="difference")
"""See-through where networks agree; no colour of a class."""

_STRIDE = 2
_SPACING_PX = 4
_FONT_PT = 9
_LINKED = ("contrast_limits", "gamma", "colormap", "interpolation2d")


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """What lies on the image in one cell.

    Attributes
    ----------
    title : str
        Written into the cell.
    labels : ndarray of int, shape (row, column)
    classes : Classes
        Values and colours.
    is_annotation : bool
        Whether it is what the user painted: background is shown as well.
    """

    title: str
    labels: NDArray[Any]
    classes: Classes
    is_annotation: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _ViewerState:
    """The state of the viewer, to be restored."""

    hidden: tuple[Layer, ...]
    grid: dict[str, Any]
    camera: dict[str, Any]


class SideBySide:
    """Shows an image several times with what networks say of it; `leave` restores the viewer.

    Signals
    -------
    changed(bool)
        Whether the viewer shows predictions side by side.
    """

    changed = Signal(bool)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: _ViewerState | None = None
        self._ours: list[Layer] = []
        self._image: Image | None = None
        self._is_arranging = False
        session.closed.connect(self._close)

    @property
    def is_shown(self) -> bool:
        """Whether the viewer shows predictions side by side."""
        return self._before is not None

    @property
    def image(self) -> Image | None:
        """The image that is shown side by side."""
        return self._image

    def show(
        self,
        image: Image,
        frame: int,
        cells: Sequence[Cell],
        difference: NDArray[np.float32] | None = None,
    ) -> None:
        """Show an image in as many cells, and in one more where the predictions differ.

        Parameters
        ----------
        image : Image
        frame : int
        cells : sequence of Cell
        difference : ndarray of float32, shape (row, column), optional
            `napari_tem_rf.comparison.disagreement` of the predictions.
        """
        viewer = self._session.viewer
        self._is_arranging = True
        try:
            # napari draws once at the end, not with each layer that comes, goes or is hidden
            with self._session.layer_list_kept(), viewer.layers.batched_update():
                is_new = self._before is None or self._image is not image
                camera = None if is_new else _camera(viewer)
                self._remove_ours()
                if self._before is None:
                    self._before = _ViewerState(
                        tuple(layer for layer in viewer.layers if layer.visible),
                        _grid(viewer),
                        _camera(viewer),
                    )
                    viewer.layers.events.removed.connect(self._on_removed)
                for layer in viewer.layers:
                    layer.visible = False
                self._image = image
                self._ours = _layers(image, frame, cells, difference)
                # one by one: an inserted layer moves the others up, and the grid counts from below
                for place, layer in enumerate(self._ours):
                    viewer.layers.insert(place, layer)
                viewer.layers.link_layers(self._ours[::_STRIDE], _LINKED)
                grid = viewer.canvas.grid
                grid.stride = _STRIDE
                grid.shape = (-1, -1)
                grid.spacing = _SPACING_PX
                grid.enabled = True
            if camera is None:
                viewer.fit_to_view(layers=self._ours)
            else:
                _set_camera(viewer, camera)
        finally:
            self._is_arranging = False
        self.changed.emit(True)

    def leave(self) -> None:
        """Go back to the single view, as it was."""
        before = self._before
        if before is None:
            return
        viewer = self._session.viewer
        self._before, self._image = None, None
        viewer.layers.events.removed.disconnect(self._on_removed)
        with viewer.layers.batched_update():
            with self._session.layer_list_kept():
                self._remove_ours()
            for layer in before.hidden:
                if layer in viewer.layers:
                    layer.visible = True
            for name, value in before.grid.items():
                setattr(viewer.canvas.grid, name, value)
        _set_camera(viewer, before.camera)
        self.changed.emit(False)

    def _remove_ours(self) -> None:
        layers = self._session.viewer.layers
        was, self._is_arranging = self._is_arranging, True
        for layer in self._ours:
            if layer in layers:
                layers.remove(layer)
        self._ours = []
        self._is_arranging = was

    def _on_removed(self, event: Any) -> None:
        if self._is_arranging:
            return
        if event.value in self._ours or event.value is self._image:
            self.leave()

    def _close(self) -> None:
        self._before = None
        self._ours = []


def difference_layer(image: Image, values: NDArray[np.float32], name: str) -> Image:
    """Return a layer that shows where networks differ, see-through where they agree.

    Parameters
    ----------
    image : Image
        Where it lies.
    values : ndarray of float32, shape (row, column)
        From 0 (all agree) to 1.
    name : str
    """
    return Image(
        values,
        name=name,
        colormap=_DIFFERENCE,
        contrast_limits=(0.0, 1.0),
        blending="translucent",
        interpolation2d="nearest",
        metadata={MARK: OverlayMark("difference", image=str(image.name))},
        **plane_placement(image),
    )


def _layers(
    image: Image, frame: int, cells: Sequence[Cell], difference: NDArray[np.float32] | None
) -> list[Layer]:
    """Return the image and what lies on it, cell by cell."""
    pixels = frame_pixels(image, frame)
    found: list[Layer] = []
    for cell in cells:
        labels = Labels(
            cell.labels,
            name=cell.title,
            colormap=label_colors(cell.classes, background=cell.is_annotation),
            opacity=0.5,
            metadata={MARK: OverlayMark("side by side")},
            **plane_placement(image),
        )
        labels.editable = False
        found += [_once_more(image, pixels, cell.title), labels]
    if difference is not None:
        title = "where they differ"
        layer = difference_layer(image, difference, title)
        found += [_once_more(image, pixels, title), layer]
    for layer in found[1::_STRIDE]:
        layer.name_overlay.visible = True
        layer.name_overlay.box = True
        layer.name_overlay.font_size = _FONT_PT
    return found


def _once_more(image: Image, pixels: NDArray[np.float32], title: str) -> Image:
    return Image(
        pixels,
        name=f"image: {title}",
        colormap="gray" if image.rgb else image.colormap,
        contrast_limits=None if image.rgb else tuple(image.contrast_limits),
        gamma=image.gamma,
        interpolation2d=image.interpolation2d,
        metadata={MARK: OverlayMark("side by side")},
        **plane_placement(image),
    )


def _grid(viewer: Any) -> dict[str, Any]:
    grid = viewer.canvas.grid
    return {name: getattr(grid, name) for name in ("enabled", "stride", "shape", "spacing")}


def _camera(viewer: Any) -> dict[str, Any]:
    camera = viewer.scene.camera
    return {"center": tuple(camera.center), "zoom": float(camera.zoom)}


def _set_camera(viewer: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(viewer.scene.camera, name, value)
