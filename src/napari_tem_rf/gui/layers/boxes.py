"""Draws receptive fields into napari's canvas, in place, without a layer.

A layer a move would be slow, would take the active layer from the user and would be saved with
the user's own. napari draws such things (axes, bounding boxes) as scene overlays: one model in
``viewer.scene.overlays``, one visual a grid cell. Their registry and their base class are private
and are touched in `_register` and `_FieldVisual` alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from napari.components.overlays import SceneOverlay
from napari.layers import Layer
from napari.viewer import Viewer
from numpy.typing import NDArray
from vispy.color import Color
from vispy.scene import Node
from vispy.scene.visuals import Image as ImageVisual, Mesh
from vispy.visuals.transforms import MatrixTransform, STTransform

from napari_tem_rf.networks.receptive_field import Interval

_NAME = "receptive_field"
_DASH_PX, _GAP_PX = 6.0, 4.0
_CASING_PX = 1.5
_CHIP_COLOR = (0.05, 0.05, 0.07, 0.8)
_MOST_DASHES = 400
_LETTER_SPACING = 1.06  # vispy sets letters a little wider than Qt measures them


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """The outline of a field on an image.

    Attributes
    ----------
    rows, columns : Interval
        The field per axis; what lies outside the image is drawn as padding, dashed and tinted.
    color : str
        Colour of the line.
    label : str
        Words at the box's corner; none when empty.
    at : tuple of int, optional
        (row, column) of the output pixel, marked.
    width_px : float
        Width of the line in px of the screen; 0 draws none, and no padding.
    """

    rows: Interval
    columns: Interval
    color: str
    label: str = ""
    at: tuple[int, int] | None = None
    width_px: float = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """An effective field on an image: weights from 0 to 1, and the (row, column) they start at."""

    weights: NDArray[np.float32]
    origin: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stroke:
    """A straight line between two (row, column) of an image, ``width_px`` of the screen wide."""

    start: tuple[float, float]
    stop: tuple[float, float]
    color: str
    width_px: float = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """Everything that is drawn at one moment, in the pixels of one image layer.

    Attributes
    ----------
    boxes : tuple of Box
    heats : tuple of Heat
    strokes : tuple of Stroke
    matrix : ndarray of float, shape (3, 3)
        From (row, column, 1) of the image to (vertical, horizontal, 1) of the scene.
    """

    boxes: tuple[Box, ...]
    heats: tuple[Heat, ...]
    matrix: NDArray[np.float64]
    strokes: tuple[Stroke, ...] = ()


class FieldSceneOverlay(SceneOverlay):
    """The model that napari keeps of what is drawn."""

    drawing: Any = None


def scene_overlay(viewer: Viewer, name: str = _NAME) -> FieldSceneOverlay:
    """Return one of the viewer's overlays of boxes, by default the field's; made on first use."""
    _register()
    overlays = viewer.scene.overlays
    if name not in overlays:
        overlays[name] = FieldSceneOverlay(visible=False)
    return overlays[name]


def to_scene(layer: Layer) -> NDArray[np.float64]:
    """Return the matrix from (row, column, 1) of a layer's pixels to the scene, shape (3, 3)."""
    zero = np.zeros(layer.ndim)
    origin = np.asarray(layer.data_to_world(zero))[-2:]
    matrix = np.eye(3)
    matrix[:2, 2] = origin
    for axis in (0, 1):
        one = zero.copy()
        one[layer.ndim - 2 + axis] = 1
        matrix[:2, axis] = np.asarray(layer.data_to_world(one))[-2:] - origin
    return matrix


Line = tuple[tuple[float, float], tuple[float, float]]


def outline(rows: Interval, columns: Interval) -> tuple[list[Line], list[Line]]:
    """Return the sides of a field's box as lines, those inside the image and those in its padding.

    A line is ((row, column), (row, column)) in pixel edges: pixel 0 reaches from -0.5 to 0.5.
    """
    inside: list[Line] = []
    padding: list[Line] = []
    spans = {"row": _spans(rows), "column": _spans(columns)}
    for row in (rows.start, rows.stop):
        out = not 0 <= row <= rows.length
        for start, stop, is_out in spans["column"]:
            side = ((row - 0.5, start - 0.5), (row - 0.5, stop - 0.5))
            (padding if out or is_out else inside).append(side)
    for column in (columns.start, columns.stop):
        out = not 0 <= column <= columns.length
        for start, stop, is_out in spans["row"]:
            side = ((start - 0.5, column - 0.5), (stop - 0.5, column - 0.5))
            (padding if out or is_out else inside).append(side)
    return inside, padding


def _spans(interval: Interval) -> list[tuple[int, int, bool]]:
    """Cut an interval at the image's borders: (start, stop, whether it is padding)."""
    first, last = interval.inside
    cuts = (
        (interval.start, first, True),
        (first, last, False),
        (last, interval.stop, True),
    )
    return [cut for cut in cuts if cut[0] < cut[1]]


def _padding_areas(box: Box) -> Iterator[tuple[float, float, float, float]]:
    for top, bottom, rows_out in _spans(box.rows):
        for left, right, columns_out in _spans(box.columns):
            if rows_out or columns_out:
                yield top - 0.5, bottom - 0.5, left - 0.5, right - 0.5


def _dashes(lines: list[Line], pixel: tuple[float, float]) -> list[Line]:
    """Cut lines into dashes of a length on the screen; ``pixel`` is that of a screen px."""
    dashes: list[Line] = []
    for (row0, column0), (row1, column1) in lines:
        step = np.hypot((row1 - row0) / pixel[0], (column1 - column0) / pixel[1])
        count = int(np.clip(round(step / (_DASH_PX + _GAP_PX)), 1, _MOST_DASHES))
        share = _DASH_PX / (_DASH_PX + _GAP_PX)
        for place in range(count):
            a, b = place / count, (place + share) / count
            dashes.append(
                (
                    (row0 + (row1 - row0) * a, column0 + (column1 - column0) * a),
                    (row0 + (row1 - row0) * b, column0 + (column1 - column0) * b),
                )
            )
    return dashes


class _Quads:
    """Filled rectangles with colours, gathered into one mesh."""

    def __init__(self) -> None:
        self._corners: list[tuple[tuple[float, float], ...]] = []
        """Four (x, y) of each rectangle, around it."""
        self._colors: list[Any] = []

    def area(self, top: float, bottom: float, left: float, right: float, color: Any) -> None:
        self._corners.append(((left, top), (right, top), (right, bottom), (left, bottom)))
        self._colors.append(color)

    def stroke(
        self, stroke: Stroke, width_px: float, pixel: tuple[float, float], color: Any
    ) -> None:
        """Add a straight line of any direction as a thin rectangle."""
        start, stop = np.asarray(stroke.start), np.asarray(stroke.stop)
        along = (stop - start) / pixel  # in px of the screen
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-12)
        half = across * pixel * width_px / 2
        corners = (start - half, start + half, stop + half, stop - half)
        self._corners.append(tuple((float(column), float(row)) for row, column in corners))
        self._colors.append(color)

    def lines(
        self, lines: list[Line], width_px: float, pixel: tuple[float, float], color: Any
    ) -> None:
        """Add lines as thin rectangles: OpenGL itself draws wide lines on few machines."""
        half_row, half_column = pixel[0] * width_px / 2, pixel[1] * width_px / 2
        for (row0, column0), (row1, column1) in lines:
            self.area(
                row0 - half_row,
                row1 + half_row,
                column0 - half_column,
                column1 + half_column,
                color,
            )

    def show(self, mesh: Mesh) -> None:
        if not self._corners:
            mesh.visible = False
            return
        vertices = np.asarray(self._corners, np.float32)  # (rectangle, corner, (x, y))
        # both triangles of a rectangle before those of the next: later ones cover earlier ones
        first = 4 * np.arange(len(self._corners), dtype=np.uint32)[:, None, None]
        faces = (first + np.array([(0, 1, 2), (0, 2, 3)], np.uint32)).reshape(-1, 3)
        mesh.set_data(
            vertices=vertices.reshape(-1, 2),  # (corner of a rectangle, (x, y))
            faces=faces,
            vertex_colors=np.repeat(np.asarray(self._colors, np.float32), 4, axis=0),
        )
        mesh.visible = True


@cache
def _register() -> None:
    """Tell napari which visual draws the overlay; the registry is private."""
    from napari._vispy.utils.visual import overlay_to_visual

    overlay_to_visual[FieldSceneOverlay] = _visual_class()


@cache
def _visual_class() -> Any:
    from napari._vispy.overlays.base import ViewerOverlayMixin, VispySceneOverlay
    from napari._vispy.utils.gl import BLENDING_MODES
    from napari._vispy.visuals.text import Text

    class _FieldVisual(ViewerOverlayMixin, VispySceneOverlay):
        """What is drawn in one grid cell."""

        def __init__(self, *, font_info: Any, **kwargs: Any) -> None:
            super().__init__(node=Node(), font_info=font_info, **kwargs)
            self._fields = Node(parent=self.node)
            self._fields.transform = MatrixTransform()
            self._shade = self._mesh(0)
            self._heats: list[Any] = []
            self._lines = self._mesh(2)
            self._chips = self._mesh(3, parent=self.node)
            self._labels: list[Any] = []
            self.overlay.events.drawing.connect(self._on_drawing)
            self.viewer.scene.camera.events.zoom.connect(self._on_drawing)
            self.viewer.scene.camera.events.center.connect(self._on_drawing)
            self.reset()
            self._on_drawing()

        def _mesh(self, order: int, parent: Node | None = None) -> Mesh:
            mesh = Mesh(parent=self._fields if parent is None else parent)
            mesh.order = order
            mesh.set_gl_state(**BLENDING_MODES["translucent_no_depth"])
            mesh.visible = False
            return mesh

        def _on_blending_change(self) -> None:
            """Do nothing: the parts blend each in their own way."""

        def _on_drawing(self, _event: object = None) -> None:
            drawing = self.overlay.drawing
            if drawing is None or not self.overlay.visible:
                return
            # screen pixels per scene unit, and per pixel of the image on each axis
            zoom = max(float(self.viewer.scene.camera.zoom), 1e-12)
            lengths = np.hypot(drawing.matrix[0, :2], drawing.matrix[1, :2]) * zoom
            pixel = (1 / max(lengths[0], 1e-12), 1 / max(lengths[1], 1e-12))
            self._fields.transform.matrix = _for_vispy(drawing.matrix)
            self._draw_heats(drawing)
            self._draw_lines(drawing, pixel)
            self._draw_labels(drawing, zoom)

        def _draw_heats(self, drawing: Drawing) -> None:
            shade = _Quads()
            while len(self._heats) < len(drawing.heats):
                image = ImageVisual(
                    np.zeros((2, 2), np.float32), parent=self._fields, clim=(0, 1), cmap="inferno"
                )
                image.order = 1
                image.set_gl_state(**BLENDING_MODES["additive"])
                image.transform = STTransform()
                self._heats.append((image, [None]))
            for place, (image, shown) in enumerate(self._heats):
                image.visible = place < len(drawing.heats)
                if not image.visible:
                    continue
                heat = drawing.heats[place]
                if shown[0] is not heat.weights:
                    image.set_data(heat.weights)
                    shown[0] = heat.weights
                row, column = heat.origin
                image.transform.translate = (column - 0.5, row - 0.5)
                rows, columns = heat.weights.shape
                shade.area(
                    row - 0.5,
                    row + rows - 0.5,
                    column - 0.5,
                    column + columns - 0.5,
                    (0, 0, 0, 0.55),
                )
            shade.show(self._shade)

        def _draw_lines(self, drawing: Drawing, pixel: tuple[float, float]) -> None:
            quads = _Quads()
            for box in drawing.boxes:
                color = Color(box.color).rgba
                if box.width_px:
                    self._outline(quads, box, color, pixel)
                if box.at is not None:
                    row, column = box.at
                    half_row, half_column = max(0.5, 2 * pixel[0]), max(0.5, 2 * pixel[1])
                    edge = (
                        row - half_row - _CASING_PX * pixel[0],
                        row + half_row + _CASING_PX * pixel[0],
                        column - half_column - _CASING_PX * pixel[1],
                        column + half_column + _CASING_PX * pixel[1],
                    )
                    quads.area(*edge, (0, 0, 0, 0.7))
                    quads.area(
                        row - half_row,
                        row + half_row,
                        column - half_column,
                        column + half_column,
                        color,
                    )
            for stroke in drawing.strokes:
                casing = stroke.width_px + 2 * _CASING_PX
                quads.stroke(stroke, casing, pixel, (0, 0, 0, 0.55))
                quads.stroke(stroke, stroke.width_px, pixel, Color(stroke.color).rgba)
            quads.show(self._lines)

        def _outline(self, quads: _Quads, box: Box, color: Any, pixel: tuple[float, float]) -> None:
            for area in _padding_areas(box):
                quads.area(*area, (*color[:3], 0.14))
            inside, padding = outline(box.rows, box.columns)
            dashes = _dashes(padding, pixel)
            casing = box.width_px + 2 * _CASING_PX
            quads.lines(inside, casing, pixel, (0, 0, 0, 0.55))
            quads.lines(dashes, casing, pixel, (0, 0, 0, 0.55))
            quads.lines(inside, box.width_px, pixel, color)
            quads.lines(dashes, box.width_px, pixel, color)

        def _draw_labels(self, drawing: Drawing, zoom: float) -> None:
            boxes = [box for box in drawing.boxes if box.label]
            while len(self._labels) < len(boxes):
                text = Text(
                    " ",
                    parent=self.node,
                    font_size=8,
                    color="white",
                    anchor_x="left",
                    anchor_y="center",
                    font_info=self._font_info,
                )
                text.order = 4
                self._labels.append(text)
            chips = _Quads()
            taken: list[tuple[float, float, float, float]] = []
            for place, text in enumerate(self._labels):
                text.visible = place < len(boxes)
                if not text.visible:
                    continue
                box = boxes[place]
                if text.text != box.label:
                    text.text = box.label
                width, height = (extent / zoom for extent in text.get_width_height())
                pad = 5 / zoom
                width, height = width * _LETTER_SPACING + 2 * pad, height + pad
                corner = drawing.matrix @ (box.rows.start - 0.5, box.columns.start - 0.5, 1)
                top, left = self._inside_view(
                    corner[0] - height - 3 / zoom, corner[1], height, width, zoom
                )
                first, last = self._view(zoom)
                top = free_top(top, left, height, width, taken, (first[0], last[0]), 2 / zoom)
                taken.append((top, top + height, left, left + width))
                chips.area(top, top + height, left, left + width, _CHIP_COLOR)
                chips.area(top, top + height, left, left + 3 / zoom, Color(box.color).rgba)
                text.pos = (left + pad + 2 / zoom, top + height / 2)
            chips.show(self._chips)

        def _inside_view(
            self, top: float, left: float, height: float, width: float, zoom: float
        ) -> tuple[float, float]:
            """Keep a label in sight where its box reaches beyond the canvas."""
            first, last = self._view(zoom)
            return (
                float(np.clip(top, first[0], max(first[0], last[0] - height))),
                float(np.clip(left, first[1], max(first[1], last[1] - width))),
            )

        def _view(self, zoom: float) -> tuple[Any, Any]:
            """Return the first and last (vertical, horizontal) that labels keep to."""
            viewbox = self.node.parent.parent
            shown = np.asarray(viewbox.rect.size[::-1]) / zoom
            first = np.asarray(self.viewer.scene.camera.center[-2:]) - shown / 2
            margin = 6 / zoom
            return first + margin, first + shown - margin

        def _on_visible_change(self) -> None:
            super()._on_visible_change()
            if self.overlay.visible and hasattr(self, "_labels"):
                self._on_drawing()

        def close(self) -> None:
            self.overlay.events.drawing.disconnect(self._on_drawing)
            self.viewer.scene.camera.events.zoom.disconnect(self._on_drawing)
            self.viewer.scene.camera.events.center.disconnect(self._on_drawing)
            super().close()

    return _FieldVisual


def free_top(
    top: float,
    left: float,
    height: float,
    width: float,
    taken: Sequence[tuple[float, float, float, float]],
    view: tuple[float, float],
    gap: float,
) -> float:
    """Return where a label is to begin so that it covers none of those placed before.

    It moves up as far as it must, or down where there is no room above.

    Parameters
    ----------
    top, left, height, width : float
        Where the label would be, in units of the scene.
    taken : sequence of tuple of float
        (top, bottom, left, right) of the labels placed before.
    view : tuple of float
        First and last row that can be seen.
    gap : float
        Between two labels.
    """

    def in_the_way(at: float) -> list[tuple[float, float, float, float]]:
        return [
            other
            for other in taken
            if at < other[1]
            and other[0] < at + height
            and left < other[3]
            and other[2] < left + width
        ]

    above = top
    while others := in_the_way(above):
        above = min(other[0] for other in others) - height - gap
    if above >= view[0]:
        return above
    below = top
    while others := in_the_way(below):
        below = max(other[1] for other in others) + gap
    return below


def _for_vispy(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a (row, column) matrix into vispy's (x, y) one, which multiplies from the right."""
    whole = np.eye(4)
    whole[:2, :2] = matrix[:2, :2][::-1, ::-1].T
    whole[3, :2] = matrix[:2, 2][::-1]
    return whole
