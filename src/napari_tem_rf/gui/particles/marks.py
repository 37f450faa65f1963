"""Chosen particles on the canvas: boxes around them, the camera on them, clicks that choose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_tem_rf.figures.palette import YELLOW
from napari_tem_rf.gui.layers.boxes import Box, Drawing, to_scene
from napari_tem_rf.gui.layers.canvas_marks import SMALLEST_ON_SCREEN_PX, CanvasMarks
from napari_tem_rf.gui.layers.layers import frame_labels
from napari_tem_rf.gui.layers.plane import shown_frame
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.receptive_field import Interval

if TYPE_CHECKING:
    import pandas as pd

COLOR = YELLOW
MOST_BOXES = 200
MOST_LABELS = 12
_MARGIN_PX = 2


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a particle is: pixels ``rows`` and ``columns`` (start, stop) of a frame."""

    label: int
    frame: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    words: str


def find_spot(
    layer: Labels,
    table: "pd.DataFrame",
    label: int,
    pixel_size_nm: tuple[float, float] | None,
) -> Spot | None:
    """Return the box of a particle; None where the layer does not have it any more.

    Parameters
    ----------
    layer : Labels
        The particles.
    table : DataFrame
        Their sizes and positions.
    label : int
        The particle.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel that the table was made with.
    """
    places = np.flatnonzero(table["index"].to_numpy() == label)
    if not len(places):
        return None
    one, sides = table.iloc[int(places[0])], pixel_size_nm or (1.0, 1.0)
    unit = "px" if pixel_size_nm is None else "nm"
    frame = int(one.get("frame", 0))
    # no pixel is farther from the centroid than the largest diameter
    far = float(one[f"feret_max_{unit}"])
    centre = (float(one[f"row_{unit}"]), float(one[f"column_{unit}"]))
    window = [
        (max(0, int((at - far) / side) - 1), int((at + far) / side) + 2)
        for at, side in zip(centre, sides, strict=True)
    ]
    (top, bottom), (left, right) = window
    rows, columns = np.nonzero(frame_labels(layer, frame)[top:bottom, left:right] == label)
    if not len(rows):
        return None
    return Spot(
        label,
        frame,
        (top + int(rows.min()), top + int(rows.max()) + 1),
        (left + int(columns.min()), left + int(columns.max()) + 1),
        f"{label}: {one[f'equivalent_diameter_{unit}']:.3g} {unit}",
    )


class ParticleMarks(CanvasMarks):
    """Shows chosen particles of a layer, and says which particle is clicked.

    Parameters
    ----------
    session : Session
    owner : QWidget
        The dock; clicks count while it can be seen.
    on_click : callable
        Called with a label and whether it is to be added to those chosen; label 0: none.
    """

    def __init__(
        self, session: Session, owner: QWidget, on_click: Callable[[int, bool], None]
    ) -> None:
        super().__init__(session.viewer, "particles", owner, on_click)
        self._layer: Labels | None = None
        self._spots: tuple[Spot, ...] = ()

    @property
    def spots(self) -> tuple[Spot, ...]:
        """The particles that are marked."""
        return self._spots

    def show(self, layer: Labels | None, spots: Sequence[Spot]) -> None:
        """Mark these particles and no others."""
        self._layer, self._spots = layer, tuple(spots)
        self._draw()

    def go_to(self, spot: Spot) -> None:
        """Bring a particle to the middle of the canvas, and nearer if it is small there."""
        layer, viewer = self._layer, self._viewer
        if layer is None:
            return
        middle = (np.mean(spot.rows) - 0.5, np.mean(spot.columns) - 0.5)
        lead = (spot.frame,) if layer.ndim == 3 else ()
        world = np.asarray(layer.data_to_world((*lead, *middle)))
        if lead:
            viewer.dims.set_point(viewer.dims.ndim - 3, float(world[0]))
        if viewer.dims.ndisplay != 2:
            return
        camera = viewer.scene.camera
        extent = (spot.rows[1] - spot.rows[0], spot.columns[1] - spot.columns[0])
        size = max(np.abs(to_scene(layer)[:2, :2]) @ extent)
        if size * camera.zoom < SMALLEST_ON_SCREEN_PX:
            camera.zoom = SMALLEST_ON_SCREEN_PX / size
        camera.center = (0.0, float(world[-2]), float(world[-1]))

    def _draw(self, _event: object = None) -> None:
        layer = self._layer
        viewer = self._viewer
        is_there = layer is not None and layer in viewer.layers and self._is_visible
        if layer is None or not is_there or viewer.dims.ndisplay != 2:
            self._overlay.visible = False
            return
        frame = shown_frame(viewer, layer)
        here = [spot for spot in self._spots if spot.frame == frame][:MOST_BOXES]
        if not here:
            self._overlay.visible = False
            return
        boxes = tuple(
            Box(
                _with_margin(spot.rows, layer.data.shape[-2]),
                _with_margin(spot.columns, layer.data.shape[-1]),
                COLOR,
                spot.words if len(here) <= MOST_LABELS else "",
                width_px=1.5,
            )
            for spot in here
        )
        self._overlay.drawing = Drawing(boxes, (), to_scene(layer))
        self._overlay.visible = True

    def _under_mouse(self) -> Callable[[Any], int] | None:
        layer = self._layer
        if layer is None or layer not in self._viewer.layers or not layer.visible:
            return None
        return lambda event: int(layer.get_value(event.position, world=True) or 0)


def _with_margin(span: tuple[int, int], length: int) -> Interval:
    return Interval(max(0, span[0] - _MARGIN_PX), min(length, span[1] + _MARGIN_PX), length)
