"""The receptive field at the cursor: the exact box, the effective field, pins.

The box follows the mouse in the window's own thread: arithmetic and one small mesh. The heat is
measured by a worker when the mouse rests, on a crop of the field alone. Nothing here is a layer:
those of the pins are made in `napari_tem_rf.gui.field.layers`.
"""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_tem_rf.figures.palette import WHITE, YELLOW
from napari_tem_rf.gui.field.measuring import FieldMeasuring
from napari_tem_rf.gui.field.pins import Pin, heat_of, pin_box
from napari_tem_rf.gui.field.subject import Reading, Subject, read_field, shown_first, trained
from napari_tem_rf.gui.layers.boxes import Box, Drawing, Heat, scene_overlay, to_scene
from napari_tem_rf.gui.layers.layers import image_shape, pixel_size_nm
from napari_tem_rf.gui.pieces.observable import Observable
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.words import PixelSize, box_sides, side

__all__ = ["FieldOverlay", "FieldState"]

REST_MS = 120
"""How long the mouse rests, in ms, before the effective field is measured."""

_HOLD_PX = 9
"""How near to a pin, in px of the screen, the mouse takes hold of it."""

BOX_COLOR, NOMINAL_COLOR = YELLOW, WHITE


@dataclass(frozen=True, slots=True)
class FieldState:
    """What of a receptive field is shown, and where.

    Attributes
    ----------
    subject : Subject
        The network whose field is shown: the last picked or trained, or the one set in the dock.
    nominal : bool
        Whether the nominal box is shown too.
    heat : bool
        Whether the effective field is measured and shown when the mouse rests.
    before_training : bool
        Whether a trained network is shown with the random weights that it began with.
    reading : Reading, optional
        The exact field at the cursor; None when it is not on the image.
    field : EffectiveField, optional
        The effective field at the cursor, once measured.
    note : str
        Why there is no heat, in a sentence; empty when there is no reason.
    pins : tuple of Pin
        The pins, in the order they were set.
    pinning : bool
        Whether a click on the image sets a pin.
    pins_shown : bool
        Whether pins are drawn: they go and come with their dock.
    layered : frozenset of int
        Numbers of the pins whose boxes are in the layer list: only their pixel is drawn here.
    """

    subject: Subject
    nominal: bool = False
    heat: bool = False
    before_training: bool = False
    reading: Reading | None = None
    field: EffectiveField | None = None
    note: str = ""
    pins: tuple[Pin, ...] = ()
    pinning: bool = False
    pins_shown: bool = True
    layered: frozenset[int] = frozenset()

    @property
    def shown_subject(self) -> Subject:
        """The subject with the weights that are shown: before or after training."""
        return self.subject.untrained if self.before_training else self.subject


class FieldOverlay(Observable[FieldState]):
    """Shows the receptive field of a network at the cursor of one viewer.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._overlay = scene_overlay(session.viewer)
        self._state = FieldState(shown_first(session))
        self._shown_heat: Heat | None = None
        self._last_reading: Reading | None = None
        self._pinned = 0
        self._mode_before: tuple[Any, str] | None = None
        self.measuring = FieldMeasuring(session)
        self._rest = QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.measure)
        viewer = session.viewer
        viewer.cursor.events.position.connect(self._on_cursor)
        viewer.events.mouse_over_canvas.connect(self._on_cursor)
        viewer.dims.events.ndisplay.connect(self._on_cursor)
        viewer.dims.events.current_step.connect(self._on_cursor)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        session.on(lambda now: (now.choices.spec, now.choices.cleaning), self._on_pick)
        session.on(lambda now: now.choices.run, self._on_run)
        session.on(lambda now: now.choices.field_overlay, self._on_switched)
        session.on(lambda now: now.choices.image, self._on_image)
        session.on(lambda now: (now.scene.pixel_size_nm, now.scene.translate), self.draw)
        session.closed.connect(self._close)

    # what is shown

    @property
    def state(self) -> FieldState:
        """What is shown."""
        return self._state

    def _change(self, **changes: Any) -> bool:
        """Change the state, emit the change, and return whether anything changed."""
        before = self._state
        self._state = replace(before, **changes)
        if self._state == before:
            return False
        self.changed.emit(before, self._state)
        return True

    @property
    def subject(self) -> Subject:
        """The network whose field is shown."""
        return self._state.subject

    @subject.setter
    def subject(self, subject: Subject) -> None:
        if self._change(subject=subject):
            self._on_cursor()

    @property
    def nominal(self) -> bool:
        """Whether the nominal box is shown too."""
        return self._state.nominal

    @nominal.setter
    def nominal(self, shown: bool) -> None:
        if self._change(nominal=shown):
            self.draw()

    @property
    def heat(self) -> bool:
        """Whether the effective field is measured and shown when the mouse rests."""
        return self._state.heat

    @heat.setter
    def heat(self, shown: bool) -> None:
        if not self._change(heat=shown):
            return
        if shown:
            self.session.field_overlay = True
            self.session.warm_up()
            self._rest.start()
        else:
            self._set_field(None)
            self.draw()

    @property
    def before_training(self) -> bool:
        """Whether a trained network is shown with the random weights that it began with."""
        return self._state.before_training

    @before_training.setter
    def before_training(self, before: bool) -> None:
        if self._change(before_training=before):
            self._set_field(None)
            self.draw()
            if self.heat:
                self._rest.start()

    @property
    def reading(self) -> Reading | None:
        """The exact field at the cursor; None when it is not on the image."""
        return self._state.reading

    @property
    def field(self) -> EffectiveField | None:
        """The effective field at the cursor, once measured."""
        return self._state.field

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The pins, in the order they were set."""
        return self._state.pins

    @property
    def pinning(self) -> bool:
        """Whether a click on the image sets a pin."""
        return self._mode_before is not None

    @pinning.setter
    def pinning(self, on: bool) -> None:
        if on == self.pinning:
            return
        viewer = self.session.viewer
        if on:
            layer = viewer.layers.selection.active
            self._mode_before = (layer, str(getattr(layer, "mode", "pan_zoom")))
            if layer is not None:
                # otherwise the click that pins would paint as well
                layer.mode = "pan_zoom"
            viewer.mouse_drag_callbacks.append(self._on_press)
            self.session.field_overlay = True
        else:
            layer, mode = self._mode_before or (None, "")
            self._mode_before = None
            viewer.mouse_drag_callbacks.remove(self._on_press)
            if layer is not None and layer in viewer.layers:
                layer.mode = mode
        self._change(pinning=on)

    def pin(self, at: tuple[int, int] | None = None, frame: int | None = None) -> Pin | None:
        """Hold the field at a pixel, by default at the cursor and on the frame that is shown.

        Returns
        -------
        Pin or None
            None when the pixel is not on the image.
        """
        image = self.session.image
        if image is None:
            return None
        shown = self.session.frame if frame is None else frame
        reading = self.reading if at is None else self._read(at, shown)
        return None if reading is None else self._pin_at(image, reading)

    def keep(self) -> Pin | None:
        """Pin the pixel that the cursor was on last: by now it may be on a button."""
        image, last = self.session.image, self._last_reading
        if image is None or last is None or last.frame != self.session.frame:
            return None
        reading = self._read(last.at, last.frame)
        return None if reading is None else self._pin_at(image, reading)

    @property
    def can_keep(self) -> bool:
        """Whether the cursor was on the image."""
        return self._last_reading is not None

    def _pin_at(self, image: Image, reading: Reading) -> Pin:
        self._pinned += 1
        subject = self._state.shown_subject
        pin = Pin(self._pinned, image, reading, subject)
        self._change(pins=(*self.pins, pin))
        self.session.field_overlay = True
        self.draw()
        self._measure_pin(pin)
        return pin

    def move_pin(self, number: int, at: tuple[int, int]) -> bool:
        """Move a pin to another pixel of its frame; return whether it was moved.

        Its effective field is measured when `measure_pin` is called, at the end of a drag.
        """
        pin = self._pin(number)
        if pin is None or pin.reading.at == at:
            return False
        shape = image_shape(pin.image)[-2:]
        if not (0 <= at[0] < shape[0] and 0 <= at[1] < shape[1]):
            return False
        reading = read_field(pin.subject, at, (shape[0], shape[1]), pin.reading.frame)
        self._replace_pin(replace(pin, reading=reading, field=None))
        self.draw()
        return True

    def measure_pin(self, number: int) -> None:
        """Measure the effective field of a pin anew."""
        pin = self._pin(number)
        if pin is not None:
            self._measure_pin(pin)

    def _measure_pin(self, pin: Pin) -> None:
        self.measuring.request(
            pin.subject,
            pin.image,
            pin.reading,
            partial(self._on_pin_measured, pin.number, pin.reading),
            self.say,
        )

    def _pin(self, number: int) -> Pin | None:
        return next((pin for pin in self.pins if pin.number == number), None)

    def _replace_pin(self, pin: Pin) -> None:
        pins = (pin if each.number == pin.number else each for each in self.pins)
        self._change(pins=tuple(pins))

    def show_pins(self, shown: bool) -> None:
        """Draw the pins, or hide them until their dock is opened again; nothing else is pinned."""
        if not shown:
            self.pinning = False
        if self._change(pins_shown=shown):
            self.draw()

    def note_layers(self, numbers: frozenset[int]) -> None:
        """Note which pins have their boxes in the layer list."""
        if self._change(layered=numbers):
            self.draw()

    def remove_pin(self, number: int) -> None:
        """Take a pin away."""
        self._change(pins=tuple(pin for pin in self.pins if pin.number != number))
        self.draw()

    def show_pin_field(self, number: int, field: EffectiveField | None) -> None:
        """Give a pin its effective field."""
        pin = self._pin(number)
        if pin is not None:
            self._replace_pin(replace(pin, field=field))

    # measuring

    def measure(self) -> None:
        """Measure the effective field at the cursor now, and show it."""
        reading, image = self.reading, self.session.image
        if reading is None or image is None:
            return
        self.measuring.request(
            self._state.shown_subject,
            image,
            reading,
            partial(self._on_measured, reading),
            self.say,
            newest_of="cursor",
        )

    def _on_measured(self, reading: Reading, field: EffectiveField) -> None:
        if reading == self.reading:
            self.say("")
            self._set_field(field)
            self.draw()

    def _on_pin_measured(self, number: int, reading: Reading, field: EffectiveField) -> None:
        pin = self._pin(number)
        # it may have been dragged on while it was measured
        if pin is not None and pin.reading == reading:
            self.show_pin_field(number, field)

    def _set_field(self, field: EffectiveField | None) -> None:
        if field is not self.field:
            self._shown_heat = None if field is None else heat_of(field, self.subject)
            self._change(field=field)

    def say(self, note: str) -> None:
        """Say why something could not be done, in a sentence."""
        self._change(note=note)

    # what the viewer and the session do

    def _on_cursor(self, _event: object = None) -> None:
        if not self.session.field_overlay:
            return
        reading = self._reading_at_cursor()
        if reading is not None:
            self._last_reading = reading
        if reading == self.reading:
            return
        self._shown_heat = None
        self._change(reading=reading, field=None)
        self.draw()
        if self.heat and reading is not None:
            self._rest.start()
        else:
            self._rest.stop()

    def _reading_at_cursor(self) -> Reading | None:
        viewer, image = self.session.viewer, self.session.image
        if image is None or not image.visible:
            return None
        if not viewer.mouse_over_canvas or viewer.dims.ndisplay != 2:
            return None
        at = _pixel_of(image, viewer.cursor.position)
        return None if at is None else self._read(at, self.session.frame)

    def _read(self, at: tuple[int, int], frame: int) -> Reading | None:
        image = self.session.image
        if image is None:
            return None
        rows, columns = image_shape(image)[-2:]
        if not (0 <= at[0] < rows and 0 <= at[1] < columns):
            return None
        return read_field(self.subject, at, (rows, columns), frame)

    def _on_drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Move the pin that the mouse took hold of; it is measured where it is left."""
        pin = self._pin_under(event)
        if pin is None:
            return
        event.handled = True  # the camera stays where it is
        was_moved = False
        yield
        while event.type == "mouse_move":
            at = _pixel_of(pin.image, viewer.cursor.position)
            if at is not None:
                was_moved |= self.move_pin(pin.number, at)
            event.handled = True
            yield
        if was_moved:
            self.measure_pin(pin.number)

    def _pin_under(self, event: Any) -> Pin | None:
        """Return the pin whose pixel is under the mouse, where a press would not paint."""
        viewer, session = self.session.viewer, self.session
        mode = str(getattr(viewer.layers.selection.active, "mode", "pan_zoom"))
        is_free = event.button == 1 and viewer.dims.ndisplay == 2 and mode == "pan_zoom"
        if not is_free or not session.field_overlay or not self._state.pins_shown:
            return None
        image = session.image
        for pin in reversed(self.pins):
            if image is None or pin.image is not image or pin.reading.frame != session.frame:
                continue
            lead = (pin.reading.frame,) if len(image_shape(image)) == 3 else ()
            world = np.asarray(image.data_to_world((*lead, *pin.reading.at)))[-2:]
            away = np.asarray(viewer.cursor.position, float)[-2:] - world
            if np.hypot(*away) * viewer.scene.camera.zoom <= _HOLD_PX:
                return pin
        return None

    def _on_press(self, _viewer: Any, event: Any) -> None:
        if event.button == 1 and self._pin_under(event) is None:
            self._on_cursor()
            self.pin()

    def _on_pick(self, _now: Situation) -> None:
        self.subject = shown_first(self.session)

    def _on_run(self, now: Situation) -> None:
        run = now.choices.run
        if run is not None and run.spec is not None:  # a baseline has no field
            self.subject = trained(run)

    def _on_switched(self, now: Situation) -> None:
        on = now.choices.field_overlay
        if not on:
            self._rest.stop()
            self._set_field(None)
            self.pinning = False
        self._change(reading=self._reading_at_cursor() if on else None)
        self.draw()

    def _on_image(self, _now: Situation) -> None:
        self._last_reading = None
        self.measuring.forget()
        self._on_cursor()
        self.draw()

    # drawing

    def draw(self, _now: Situation | None = None) -> None:
        """Draw what there is to see."""
        image = self.session.image
        pins = [pin for pin in self.pins if pin.image is image and self._state.pins_shown]
        pins = [pin for pin in pins if pin.reading.frame == self.session.frame]
        if image is None or not self.session.field_overlay or not (pins or self.reading):
            self._overlay.visible = False
            return
        size = pixel_size_nm(image)
        layered = self._state.layered
        boxes = [pin_box(pin, size, is_layer=pin.number in layered) for pin in pins]
        if self.reading is not None:
            boxes += self._cursor_boxes(self.reading, size)
        heats = () if self._shown_heat is None else (self._shown_heat,)
        self._overlay.drawing = Drawing(tuple(boxes), heats, to_scene(image))
        self._overlay.visible = True

    def _cursor_boxes(self, reading: Reading, size: PixelSize) -> list[Box]:
        boxes = []
        if self.nominal:
            rows, columns = reading.nominal_box
            boxes.append(Box(rows, columns, NOMINAL_COLOR, width_px=1))
        words = box_sides(reading.rows, reading.columns, size)
        if self.nominal:
            words += f" (nominal {side(reading.nominal, size)})"
        boxes.append(Box(reading.rows, reading.columns, BOX_COLOR, words, reading.at))
        return boxes

    def _close(self) -> None:
        self.measuring.forget()
        # at the end of the program Qt has deleted the timer and the viewer may be gone
        with suppress(RuntimeError, ValueError):
            self._rest.stop()
            viewer = self.session.viewer
            viewer.cursor.events.position.disconnect(self._on_cursor)
            viewer.events.mouse_over_canvas.disconnect(self._on_cursor)
            viewer.dims.events.ndisplay.disconnect(self._on_cursor)
            viewer.dims.events.current_step.disconnect(self._on_cursor)
            viewer.mouse_drag_callbacks.remove(self._on_drag)


def _pixel_of(image: Image, world: Sequence[float]) -> tuple[int, int] | None:
    """Return the (row, column) of an image at a place of the scene; it may lie beside the image."""
    at = np.floor(np.asarray(image.world_to_data(world))[-2:] + 0.5)
    return (int(at[0]), int(at[1])) if np.all(np.isfinite(at)) else None
