"""The receptive field at the cursor: the exact box, the effective field, pins.

The box follows the mouse in the window's own thread: arithmetic and one small mesh. The heat is
measured by a worker when the mouse rests, on a crop of the field alone. Nothing here is a layer.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
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

    def pin(self, at: tuple[int, int] | None = None) -> Pin | None:
        """Hold the field at a pixel of the shown frame, by default at the cursor.

        Returns
        -------
        Pin or None
            None when the pixel is not on the image.
        """
        image = self.session.image
        if image is None:
            return None
        reading = self.reading if at is None else self._read(at, self.session.frame)
        if reading is None:
            return None
        self._pinned += 1
        subject = self._state.shown_subject
        pin = Pin(self._pinned, image, reading, subject)
        self._change(pins=(*self.pins, pin))
        self.session.field_overlay = True
        self.draw()
        self.measuring.request(
            subject,
            image,
            reading,
            partial(self._on_pin_measured, pin.number),
            self._say,
        )
        return pin

    def remove_pin(self, number: int) -> None:
        """Take a pin away."""
        self._change(pins=tuple(pin for pin in self.pins if pin.number != number))
        self.draw()

    def show_pin_field(self, number: int, field: EffectiveField | None) -> None:
        """Give a pin its effective field."""
        pins = (replace(pin, field=field) if pin.number == number else pin for pin in self.pins)
        self._change(pins=tuple(pins))

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
            self._say,
            newest_of="cursor",
        )

    def _on_measured(self, reading: Reading, field: EffectiveField) -> None:
        if reading == self.reading:
            self._say("")
            self._set_field(field)
            self.draw()

    def _on_pin_measured(self, number: int, field: EffectiveField) -> None:
        self.show_pin_field(number, field)

    def _set_field(self, field: EffectiveField | None) -> None:
        if field is not self.field:
            self._shown_heat = None if field is None else heat_of(field, self.subject)
            self._change(field=field)

    def _say(self, note: str) -> None:
        self._change(note=note)

    # what the viewer and the session do

    def _on_cursor(self, _event: object = None) -> None:
        if not self.session.field_overlay:
            return
        reading = self._reading_at_cursor()
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
        position = image.world_to_data(viewer.cursor.position)
        at = np.floor(np.asarray(position)[-2:] + 0.5)
        if not np.all(np.isfinite(at)):
            return None
        return self._read((int(at[0]), int(at[1])), self.session.frame)

    def _read(self, at: tuple[int, int], frame: int) -> Reading | None:
        image = self.session.image
        if image is None:
            return None
        rows, columns = image_shape(image)[-2:]
        if not (0 <= at[0] < rows and 0 <= at[1] < columns):
            return None
        return read_field(self.subject, at, (rows, columns), frame)

    def _on_press(self, _viewer: Any, event: Any) -> None:
        if event.button == 1:
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
        self.measuring.forget()
        self._on_cursor()
        self.draw()

    # drawing

    def draw(self, _now: Situation | None = None) -> None:
        """Draw what there is to see."""
        image = self.session.image
        pins = [pin for pin in self.pins if pin.image is image]
        pins = [pin for pin in pins if pin.reading.frame == self.session.frame]
        if image is None or not self.session.field_overlay or not (pins or self.reading):
            self._overlay.visible = False
            return
        size = pixel_size_nm(image)
        boxes = [pin_box(pin, size) for pin in pins]
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
        with suppress(RuntimeError):
            self._rest.stop()
            viewer = self.session.viewer
            viewer.cursor.events.position.disconnect(self._on_cursor)
            viewer.events.mouse_over_canvas.disconnect(self._on_cursor)
            viewer.dims.events.ndisplay.disconnect(self._on_cursor)
            viewer.dims.events.current_step.disconnect(self._on_cursor)
