"""Receptive fields as layers: each pin has its boxes and its effective field in the layer list.

They lie where the image lies, show on their frame of a series, follow their pin and go with it. A
layer that the user gave another name is the user's and stays.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Shapes

from napari_tem_rf.field_files import FieldRecord, forget_field, keep_field
from napari_tem_rf.gui.field.overlay import FieldOverlay, FieldState
from napari_tem_rf.gui.field.pins import Pin
from napari_tem_rf.gui.field.placing import corners_of, on_image, plane_of
from napari_tem_rf.gui.layers.layers import image_shape, pixel_size_nm, placement
from napari_tem_rf.gui.layers.marks import MARK, FieldMark, id_of, mark_of, note
from napari_tem_rf.gui.layers.removal import keep_what_draws_shapes
from napari_tem_rf.gui.session.background import run_in_thread
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.words import box_sides, side

__all__ = ["FieldLayers", "field_record"]

_NOMINAL_COLOR = "white"
_SHARE_OF_SIDE = 400
"""The lines are this part of the image's width."""


@dataclass(slots=True)
class _Shown:
    """What is in the layer list for a pin."""

    pin: Pin
    boxes: Shapes | None = None
    heat: Image | None = None
    heat_of: EffectiveField | None = None
    file: Path | None = None


class FieldLayers:
    """Keeps the layers of the pins of one viewer; made by the dock.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._overlay = session.part(FieldOverlay)
        self._shown: dict[int, _Shown] = {}
        keep_what_draws_shapes(session.viewer)
        self._overlay.on(lambda now: now.pins, self._follow)
        session.on(lambda now: now.scene.layers, self._forget_removed)
        session.on(lambda now: (now.scene.pixel_size_nm, now.scene.translate), self._place_again)
        self._follow(self._overlay.state)

    def _note_layers(self) -> None:
        numbers = {number for number, shown in self._shown.items() if shown.boxes is not None}
        self._overlay.note_layers(frozenset(numbers))

    def layers_of(self, number: int) -> tuple[Layer, ...]:
        """Return the layers of a pin that are in the layer list: boxes, effective field."""
        shown = self._shown.get(number)
        if shown is None:
            return ()
        return tuple(layer for layer in (shown.boxes, shown.heat) if layer is not None)

    def file_of(self, number: int) -> Path | None:
        """Return the file in the run's folder that a pin's field is kept in."""
        shown = self._shown.get(number)
        return None if shown is None else shown.file

    # following the pins

    def _follow(self, now: FieldState) -> None:
        numbers = {pin.number for pin in now.pins}
        for number in [each for each in self._shown if each not in numbers]:
            self._remove(self._shown.pop(number))
        for pin in now.pins:
            shown = self._shown.get(pin.number)
            if shown is None:
                shown = self._shown[pin.number] = _Shown(pin)
                shown.boxes = self._add_boxes(pin)
            elif shown.pin is not pin:
                self._update(shown, pin)
            if pin.field is not None and pin.field is not shown.heat_of:
                self._show_heat(shown, pin, pin.field)
        self._note_layers()

    def _update(self, shown: _Shown, pin: Pin) -> None:
        moved = shown.pin.reading != pin.reading
        shown.pin = pin
        if not moved:
            return
        if shown.boxes is not None:
            self._draw_boxes(shown.boxes, pin)
        if shown.heat is not None:
            shown.heat.visible = False  # until it is measured here
        self._forget_file(shown)

    def _forget_removed(self, _now: object = None) -> None:
        """Note which layers the user removed: they are not made again."""
        there = self._session.viewer.layers
        for shown in self._shown.values():
            if shown.boxes is not None and shown.boxes not in there:
                shown.boxes = None
            if shown.heat is not None and shown.heat not in there:
                shown.heat = None
        self._note_layers()

    def _place_again(self, _now: object = None) -> None:
        """Follow the image: its pixel size, or where it lies, is another one."""
        for shown in self._shown.values():
            pin = shown.pin
            if shown.boxes is not None:
                _place(shown.boxes, placement(pin.image))
                self._draw_boxes(shown.boxes, pin)
            if shown.heat is not None and shown.heat_of is not None:
                _place(shown.heat, _heat_place(pin, shown.heat_of))

    def _remove(self, shown: _Shown) -> None:
        self._forget_file(shown)
        for layer in (shown.boxes, shown.heat):
            if layer is not None and layer in self._session.viewer.layers and _is_its_own(layer):
                self._session.viewer.layers.remove(layer)

    # the boxes

    def _add_boxes(self, pin: Pin) -> Shapes:
        image = pin.image
        layer = Shapes(
            _rectangles(pin),
            shape_type="rectangle",
            name=_title(pin, "receptive field"),
            features={"sides": _sides(pin)},
            text={
                "string": "{sides}",
                "size": 9,
                "color": pin.color,
                "anchor": "lower_left",
            },
            face_color="transparent",
            edge_color=[pin.color, _NOMINAL_COLOR],
            opacity=1.0,
            edge_width=max(1.0, image_shape(image)[-1] / _SHARE_OF_SIDE),
            metadata={MARK: _mark(pin)},
            **placement(image),
        )
        self._insert(layer, pin, "receptive field", len(self._session.viewer.layers))
        # dragged by its pin, not edited by hand
        layer.editable = False
        return layer

    def _draw_boxes(self, layer: Shapes, pin: Pin) -> None:
        layer.data = _rectangles(pin)
        layer.features = {"sides": _sides(pin)}
        layer.edge_color = [pin.color, _NOMINAL_COLOR]
        layer.editable = False
        self._rename(layer, pin, "receptive field")

    # the effective field

    def _show_heat(self, shown: _Shown, pin: Pin, field: EffectiveField) -> None:
        first_time, shown.heat_of = shown.heat_of is None, field
        pixels = plane_of(pin.image, field.heat)
        top = max(float(np.quantile(field.heat, 0.999)), 1e-12)
        if shown.heat is not None:
            layer = shown.heat
            layer.data = pixels
            layer.contrast_limits_range = (0.0, max(top, float(field.heat.max())))
            layer.contrast_limits = (0.0, top)
            _place(layer, _heat_place(pin, field))
            self._rename(layer, pin, "effective field")
            layer.visible = True
        elif first_time:
            layer = Image(
                pixels,
                name=_title(pin, "effective field"),
                blending="additive",
                colormap="inferno",
                contrast_limits=(0.0, top),
                # it falls off over decades
                gamma=0.5,
                metadata={MARK: _mark(pin)},
                **_heat_place(pin, field),
            )
            layers = self._session.viewer.layers
            # below its boxes, whose words it would outshine
            place = len(layers) if shown.boxes is None else layers.index(shown.boxes)
            self._insert(layer, pin, "effective field", place)
            shown.heat = layer
        self._keep(shown, pin, field)

    def _keep(self, shown: _Shown, pin: Pin, field: EffectiveField) -> None:
        """Keep the field in the folder of its run, written in a thread."""
        run = pin.subject.run
        if run is None or not run.is_dir():
            return
        record = field_record(pin, field)

        def kept(path: Path) -> None:
            if shown.pin is pin or shown.pin.reading == pin.reading:
                shown.file = path
            else:
                forget_field(path)

        run_in_thread(
            lambda _stopped, _say: keep_field(run, record, field.heat),
            kept,
            self._overlay.say,
        )

    def _forget_file(self, shown: _Shown) -> None:
        path, shown.file = shown.file, None
        if path is not None:
            run_in_thread(lambda _stopped, _say: forget_field(path), lambda _: None, _ignore)

    # the layer list

    def _insert(self, layer: Layer, pin: Pin, what: str, place: int) -> None:
        self._session.insert_unselected(place, layer)
        note(layer, FieldMark, title=_title(pin, what), name=str(layer.name))

    def _rename(self, layer: Layer, pin: Pin, what: str) -> None:
        if _is_its_own(layer):
            layer.name = _title(pin, what)
            layer.metadata = {**layer.metadata, MARK: replace(_mark(pin), title=_title(pin, what))}
            note(layer, FieldMark, name=str(layer.name))


def field_record(pin: Pin, field: EffectiveField) -> FieldRecord:
    """Return what is said of a pin's field beside its file."""
    reading, by = pin.reading, pin.subject.cleaning.binning
    return FieldRecord(
        image=str(pin.image.name),
        at=reading.at,
        frame=reading.frame,
        nominal_px=reading.nominal,
        rows=(reading.rows.start, reading.rows.stop),
        columns=(reading.columns.start, reading.columns.stop),
        origin=(field.origin[0] * by, field.origin[1] * by),
        px=by,
        total=float(field.total),
        w50_px=field.w50_px * by,
        w95_px=field.w95_px * by,
        pixel_size_nm=pixel_size_nm(pin.image),
    )


def _title(pin: Pin, what: str) -> str:
    row, column = pin.reading.at
    frame = f", frame {pin.reading.frame}" if len(image_shape(pin.image)) == 3 else ""
    return f"{pin.image.name}: {what}, {pin.reading.nominal} px at ({row}, {column}){frame}"


def _mark(pin: Pin) -> FieldMark:
    return FieldMark(
        image=str(pin.image.name),
        image_id=id_of(pin.image),
        at=pin.reading.at,
        frame=pin.reading.frame,
        run=pin.subject.run,
    )


def _is_its_own(layer: Layer) -> bool:
    """Return whether a layer still has the name that the program gave it."""
    mark = mark_of(layer)
    return isinstance(mark, FieldMark) and mark.name == layer.name


def _rectangles(pin: Pin) -> list[Any]:
    reading = pin.reading
    return [
        corners_of(pin.image, reading.frame, *box)
        for box in ((reading.rows, reading.columns), reading.nominal_box)
    ]


def _sides(pin: Pin) -> list[str]:
    """Return what stands at the exact box, and nothing at the nominal one: they lie too close."""
    reading, size = pin.reading, pixel_size_nm(pin.image)
    exact = box_sides(reading.rows, reading.columns, size)
    return [f"exact {exact}\nnominal {side(reading.nominal, size)}", ""]


def _heat_place(pin: Pin, field: EffectiveField) -> dict[str, Any]:
    by = pin.subject.cleaning.binning
    origin = (float(field.origin[0] * by), float(field.origin[1] * by))
    return on_image(pin.image, pin.reading.frame, origin, (by, by))


def _place(layer: Layer, place: dict[str, Any]) -> None:
    layer.units = place["units"]
    layer.scale = place["scale"]
    layer.rotate, layer.shear = place["rotate"], place["shear"]
    layer.translate = place["translate"]


def _ignore(_sentence: str) -> None:
    """Leave a file that could not be removed: it is replaced at the next writing."""
