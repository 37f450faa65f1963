"""Chosen particles on the canvas: boxes around them, the camera on them, clicks that choose."""

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_tem_rf.figures.palette import YELLOW
from napari_tem_rf.gui.layers.boxes import Box, Drawing, scene_overlay, to_scene
from napari_tem_rf.gui.layers.layers import frame_labels
from napari_tem_rf.gui.layers.plane import shown_frame
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.receptive_field import Interval

if TYPE_CHECKING:
    import pandas as pd

COLOR = YELLOW
MOST_BOXES = 200
MOST_LABELS = 12
SMALLEST_ON_SCREEN_PX = 40
"""The camera zooms in on a particle that is smaller than this."""


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


class ParticleMarks:
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
        self._session, self._owner, self._on_click = session, owner, on_click
        self._layer: Labels | None = None
        self._spots: tuple[Spot, ...] = ()
        self._is_visible = True
        viewer = session.viewer
        self._overlay = scene_overlay(viewer, "particles")
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.dims.events.current_step.connect(self._draw)
        viewer.dims.events.ndisplay.connect(self._draw)

    def close(self) -> None:
        """Listen to the viewer no longer."""
        # the viewer may be gone before its docks are
        with suppress(RuntimeError, ValueError):
            viewer = self._session.viewer
            self._overlay.visible = False
            viewer.mouse_drag_callbacks.remove(self._on_press)
            viewer.dims.events.current_step.disconnect(self._draw)
            viewer.dims.events.ndisplay.disconnect(self._draw)

    @property
    def spots(self) -> tuple[Spot, ...]:
        """The particles that are marked."""
        return self._spots

    def show(self, layer: Labels | None, spots: Sequence[Spot]) -> None:
        """Mark these particles and no others."""
        self._layer, self._spots = layer, tuple(spots)
        self._draw()

    def set_visible(self, on: bool) -> None:
        """Show the marks, or hide them, as the dock does."""
        self._is_visible = on
        # the viewer may be gone before its docks are
        with suppress(RuntimeError):
            self._draw()

    def go_to(self, spot: Spot) -> None:
        """Bring a particle to the middle of the canvas, and nearer if it is small there."""
        layer, viewer = self._layer, self._session.viewer
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
        viewer = self._session.viewer
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

    def _on_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Choose the particle under the mouse, unless the mouse drags or the layer is painted."""
        layer = self._layer
        active = viewer.layers.selection.active
        painting = str(getattr(active, "mode", "pan_zoom")) not in ("pan_zoom", "pick")
        if layer is None or not self._owner.isVisible() or painting or event.button != 1:
            return
        if viewer.dims.ndisplay != 2 or layer not in viewer.layers or not layer.visible:
            return
        start = np.asarray(event.pos, float)
        yield
        while event.type == "mouse_move":
            yield
        if np.hypot(*(np.asarray(event.pos, float) - start)) > 4:
            return
        label = layer.get_value(event.position, world=True)
        self._on_click(int(label or 0), bool({"Control", "Shift"} & set(event.modifiers)))


def _with_margin(span: tuple[int, int], length: int) -> Interval:
    return Interval(max(0, span[0] - _MARGIN_PX), min(length, span[1] + _MARGIN_PX), length)
