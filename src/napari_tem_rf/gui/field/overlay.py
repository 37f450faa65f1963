"""The receptive field at the cursor: the exact box, the effective field, pins.

The box follows the mouse in the window's own thread: arithmetic and one small mesh. The heat is
measured by a worker when the mouse rests, on a crop of the field alone. Nothing here is a layer.
"""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf.figures.palette import WHITE, YELLOW
from napari_tem_rf.gui.field.measuring import FieldMeasuring
from napari_tem_rf.gui.field.pins import Pin, heat_of, pin_box
from napari_tem_rf.gui.field.subject import Reading, Subject, read_field, shown_first, trained
from napari_tem_rf.gui.layers.boxes import Box, Drawing, Heat, scene_overlay, to_scene
from napari_tem_rf.gui.layers.layers import image_shape, pixel_size_nm
from napari_tem_rf.gui.session.session import Session, TrainedRun
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.words import PixelSize, box_sides, side

__all__ = ["FieldOverlay", "overlay_of"]

REST_MS = 120
"""How long the mouse rests, in ms, before the effective field is measured."""

BOX_COLOR, NOMINAL_COLOR = YELLOW, WHITE


class FieldOverlay:
    """Shows the receptive field of a network at the cursor of one viewer.

    Signals
    -------
    subject_changed(Subject)
        Another network is shown.
    options_changed()
        The nominal box, the heat or the weights (before or after training) were switched.
    reading_changed(Reading | None)
        The cursor is on another pixel, or off the image.
    heat_changed(EffectiveField | None)
        The effective field at the cursor was measured, or is stale.
    note_changed(str)
        Why there is no heat, in a sentence; empty when there is no reason.
    pins_changed()
        A pin was set, removed or measured.
    pinning_changed(bool)
        Clicks pin, or do so no more.
    """

    subject_changed = Signal(object)
    options_changed = Signal()
    reading_changed = Signal(object)
    heat_changed = Signal(object)
    note_changed = Signal(str)
    pins_changed = Signal()
    pinning_changed = Signal(bool)

    def __init__(self, session: Session) -> None:
        self.session = session
        self._overlay = scene_overlay(session.viewer)
        self._subject = shown_first(session)
        self._nominal = self._heat = self._before = False
        self._reading: Reading | None = None
        self._field: EffectiveField | None = None
        self._shown_heat: Heat | None = None
        self._pins: tuple[Pin, ...] = ()
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
        session.spec_changed.connect(self._on_pick)
        session.cleaning_changed.connect(self._on_pick)
        session.run_changed.connect(self._on_run)
        session.field_overlay_changed.connect(self._on_switched)
        session.image_changed.connect(self._on_image)
        session.calibration_changed.connect(self.draw)
        session.closed.connect(self._close)

    # what is shown

    @property
    def subject(self) -> Subject:
        """The network whose field is shown: the last picked or trained, or the one set here."""
        return self._subject

    @subject.setter
    def subject(self, subject: Subject) -> None:
        if subject != self._subject:
            self._subject = subject
            self.subject_changed.emit(subject)
            self._on_cursor()

    @property
    def shown_subject(self) -> Subject:
        """The subject with the weights that are shown: before or after training."""
        return self._subject.untrained if self._before else self._subject

    @property
    def nominal(self) -> bool:
        """Whether the nominal box is shown too."""
        return self._nominal

    @nominal.setter
    def nominal(self, shown: bool) -> None:
        if shown != self._nominal:
            self._nominal = shown
            self.options_changed.emit()
            self.draw()

    @property
    def heat(self) -> bool:
        """Whether the effective field is measured and shown when the mouse rests."""
        return self._heat

    @heat.setter
    def heat(self, shown: bool) -> None:
        if shown != self._heat:
            self._heat = shown
            self.options_changed.emit()
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
        return self._before

    @before_training.setter
    def before_training(self, before: bool) -> None:
        if before != self._before:
            self._before = before
            self.options_changed.emit()
            self._set_field(None)
            self.draw()
            if self._heat:
                self._rest.start()

    @property
    def reading(self) -> Reading | None:
        """The exact field at the cursor; None when it is not on the image."""
        return self._reading

    @property
    def field(self) -> EffectiveField | None:
        """The effective field at the cursor, once measured."""
        return self._field

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The pins, in the order they were set."""
        return self._pins

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
                # else the click that pins would paint as well
                layer.mode = "pan_zoom"
            viewer.mouse_drag_callbacks.append(self._on_press)
            self.session.field_overlay = True
        else:
            layer, mode = self._mode_before or (None, "")
            self._mode_before = None
            viewer.mouse_drag_callbacks.remove(self._on_press)
            if layer is not None and layer in viewer.layers:
                layer.mode = mode
        self.pinning_changed.emit(on)

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
        reading = self._reading if at is None else self._read(at, self.session.frame)
        if reading is None:
            return None
        self._pinned += 1
        subject = self.shown_subject
        pin = Pin(self._pinned, image, reading, subject)
        self._pins = (*self._pins, pin)
        self.session.field_overlay = True
        self.pins_changed.emit()
        self.draw()
        self.measuring.request(
            subject,
            image,
            reading,
            partial(self._on_pin_measured, pin.number),
            self.note_changed.emit,
        )
        return pin

    def remove_pin(self, number: int) -> None:
        """Take a pin away."""
        self._pins = tuple(pin for pin in self._pins if pin.number != number)
        self.pins_changed.emit()
        self.draw()

    def show_pin_field(self, number: int, field: EffectiveField | None) -> None:
        """Give a pin its effective field."""
        self._pins = tuple(
            replace(pin, field=field) if pin.number == number else pin for pin in self._pins
        )
        self.pins_changed.emit()

    # measuring

    def measure(self) -> None:
        """Measure the effective field at the cursor now, and show it."""
        reading, image = self._reading, self.session.image
        if reading is None or image is None:
            return
        self.measuring.request(
            self.shown_subject,
            image,
            reading,
            partial(self._on_measured, reading),
            self.note_changed.emit,
            newest_of="cursor",
        )

    def _on_measured(self, reading: Reading, field: EffectiveField) -> None:
        if reading == self._reading:
            self.note_changed.emit("")
            self._set_field(field)
            self.draw()

    def _on_pin_measured(self, number: int, field: EffectiveField) -> None:
        self.show_pin_field(number, field)

    def _set_field(self, field: EffectiveField | None) -> None:
        if field is not None or self._field is not None:
            self._field = field
            self._shown_heat = None if field is None else heat_of(field, self._subject)
            self.heat_changed.emit(field)

    # what the viewer and the session do

    def _on_cursor(self, _event: object = None) -> None:
        if not self.session.field_overlay:
            return
        reading = self._reading_at_cursor()
        if reading == self._reading:
            return
        self._reading = reading
        self._set_field(None)
        self.reading_changed.emit(reading)
        self.draw()
        if self._heat and reading is not None:
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
        return read_field(self._subject, at, (rows, columns), frame)

    def _on_press(self, _viewer: Any, event: Any) -> None:
        if event.button == 1:
            self._on_cursor()
            self.pin()

    def _on_pick(self, _change: object) -> None:
        self.subject = shown_first(self.session)

    def _on_run(self, run: TrainedRun | None) -> None:
        if run is not None:
            self.subject = trained(run)

    def _on_switched(self, on: bool) -> None:
        self._reading = self._reading_at_cursor() if on else None
        if not on:
            self._rest.stop()
            self._set_field(None)
            self.pinning = False
        self.reading_changed.emit(self._reading)
        self.draw()

    def _on_image(self, _image: object) -> None:
        self.measuring.forget()
        self._on_cursor()
        self.draw()

    # drawing

    def draw(self) -> None:
        """Draw what there is to see."""
        image = self.session.image
        pins = [pin for pin in self._pins if pin.image is image]
        pins = [pin for pin in pins if pin.reading.frame == self.session.frame]
        if image is None or not self.session.field_overlay or not (pins or self._reading):
            self._overlay.visible = False
            return
        size = pixel_size_nm(image)
        boxes = [pin_box(pin, size) for pin in pins]
        if self._reading is not None:
            boxes += self._cursor_boxes(self._reading, size)
        heats = () if self._shown_heat is None else (self._shown_heat,)
        self._overlay.drawing = Drawing(tuple(boxes), heats, to_scene(image))
        self._overlay.visible = True

    def _cursor_boxes(self, reading: Reading, size: PixelSize) -> list[Box]:
        boxes = []
        if self._nominal:
            rows, columns = reading.nominal_box
            boxes.append(Box(rows, columns, NOMINAL_COLOR, width_px=1))
        words = box_sides(reading.rows, reading.columns, size)
        if self._nominal:
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


_OVERLAYS: dict[Session, FieldOverlay] = {}


def overlay_of(session: Session) -> FieldOverlay:
    """Return the overlay of a session, made on first use and gone with the session."""
    overlay = _OVERLAYS.get(session)
    if overlay is None:
        overlay = _OVERLAYS[session] = FieldOverlay(session)
        session.closed.connect(lambda: _OVERLAYS.pop(session, None))
    return overlay
