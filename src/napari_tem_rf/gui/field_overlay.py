"""The receptive field at the cursor: the exact box, the effective field, pins.

The box follows the mouse in the window's own thread: arithmetic and one small mesh. The heat is
measured by a worker when the mouse rests, on a crop of the field alone. Nothing here is a layer.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from napari.qt.threading import create_worker
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf.gui.field_drawing import Box, Drawing, Heat, scene_overlay, to_scene
from napari_tem_rf.gui.field_words import PixelSize, box_sides, side
from napari_tem_rf.gui.layers import frame_pixels, image_shape, pixel_size_nm
from napari_tem_rf.gui.session import Session, TrainedRun
from napari_tem_rf.gui.work import Work
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.receptive_field import (
    Interval,
    nominal_receptive_field,
    receptive_field,
)
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = ["FieldOverlay", "Pin", "Reading", "Subject", "overlay_of"]

REST_MS = 120
"""How long the mouse rests, in ms, before the effective field is measured."""

BOX_COLOR, NOMINAL_COLOR = "#f0e442", "#ffffff"
PIN_COLORS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
_BRIGHTEST_QUANTILE = 0.999


@dataclass(frozen=True, slots=True)
class Subject:
    """The network whose field is shown: a pick, or a trained run.

    Attributes
    ----------
    spec : NetworkSpec
    run : Path, optional
        The run's folder; None for random weights.
    title : str
    cleaning : Cleaning
        What is done to the pixels before the network sees them.
    seed : int
        Seed of the random weights.
    """

    spec: NetworkSpec
    run: Path | None
    title: str
    cleaning: Cleaning = field(default_factory=Cleaning)
    seed: int = 752

    @property
    def untrained(self) -> "Subject":
        """The same network before training."""
        return replace(self, run=None, title=f"{self.title}, before training")


@dataclass(frozen=True, slots=True)
class Reading:
    """The exact field of one pixel of an image.

    Attributes
    ----------
    at : tuple of int
        (row, column) of the pixel.
    frame : int
    rows, columns : Interval
        The field in px of the image.
    nominal : int
        The nominal field in px of the image.
    """

    at: tuple[int, int]
    frame: int
    rows: Interval
    columns: Interval
    nominal: int

    @property
    def nominal_box(self) -> tuple[Interval, Interval]:
        """The nominal field around the pixel, which knows no phases."""
        sides = zip(self.at, (self.rows, self.columns), strict=True)
        starts = [(at - (self.nominal - 1) // 2, interval.length) for at, interval in sides]
        rows, columns = (Interval(a, a + self.nominal, length) for a, length in starts)
        return rows, columns


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """A field held at a pixel."""

    number: int
    image: Image
    reading: Reading
    subject: Subject
    field: EffectiveField | None = None

    @property
    def color(self) -> str:
        """The pin's colour."""
        return PIN_COLORS[(self.number - 1) % len(PIN_COLORS)]


def read_field(
    subject: Subject, at: tuple[int, int], shape: tuple[int, int], frame: int = 0
) -> Reading:
    """Return the exact field of a pixel, in px of the image; binned pixels count in full.

    Raises
    ------
    ValueError
        When the pixel is outside the image.
    """
    field, by = receptive_field(subject.spec), subject.cleaning.binning
    if by == 1:
        rows, columns = field.box(at, shape)
        return Reading(at, frame, rows, columns, field.nominal)
    binned = (max(shape[0] // by, 1), max(shape[1] // by, 1))
    # what fills no whole block at the far edges shows the nearest block's prediction
    inside = (min(at[0] // by, binned[0] - 1), min(at[1] // by, binned[1] - 1))
    rows, columns = (
        Interval(interval.start * by, interval.stop * by, length)
        for interval, length in zip(field.box(inside, binned), shape, strict=True)
    )
    return Reading(at, frame, rows, columns, field.nominal * by)


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
        self._subject = _picked(session)
        self._nominal = self._heat = self._before = False
        self._reading: Reading | None = None
        self._field: EffectiveField | None = None
        self._shown_heat: Heat | None = None
        self._pins: tuple[Pin, ...] = ()
        self._pinned = 0
        self._mode_before: tuple[Any, str] | None = None
        self._measuring: Work | None = None
        self._waiting: Callable[[], None] | None = None
        self._pixels = _Standardised()
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
        if session.run is not None and session.run.spec.with_classes(2) == session.spec:
            self._on_run(session.run)

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
        subject = self._weights()
        pin = Pin(self._pinned, image, reading, subject)
        self._pins = (*self._pins, pin)
        self.session.field_overlay = True
        self.pins_changed.emit()
        self.draw()
        self.request(subject, reading, partial(self._on_pin_measured, pin.number))
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
        reading = self._reading
        if reading is None:
            return
        self.request(self._weights(), reading, partial(self._on_measured, reading))

    def request(
        self,
        subject: Subject,
        reading: Reading,
        on_done: Callable[[EffectiveField], None],
        on_failed: Callable[[str], None] | None = None,
    ) -> None:
        """Let a worker measure an effective field; the newest request waits, older ones are left.

        Parameters
        ----------
        subject : Subject
            The network.
        reading : Reading
            The pixel, on the session's image.
        on_done, on_failed : callable
            Called in the window's thread with the field, in px of the image the network sees, or
            with a sentence.
        """
        image = self.session.image
        if image is None:
            return
        failed = self.note_changed.emit if on_failed is None else on_failed

        def start(pixels: NDArray[np.float32]) -> None:
            from napari_tem_rf import jobs

            by = subject.cleaning.binning
            at = tuple(
                min(position // by, length - 1)
                for position, length in zip(reading.at, pixels.shape, strict=True)
            )
            crop, origin = _crop(subject.spec, pixels, (at[0], at[1]))
            self._measuring = self.session.submit(
                jobs.effective_field,
                subject.run,
                subject.spec,
                crop,
                (at[0] - origin[0], at[1] - origin[1]),
                subject.seed,
                name=f"effective field at {reading.at[0]}, {reading.at[1]}",
                on_done=lambda field: self._ended(on_done, _moved(field, origin)),
                on_failed=lambda sentence: self._ended(failed, sentence),
            )

        def begin() -> None:
            self._pixels.get(image, reading.frame, subject.cleaning, start, failed)

        if self._measuring is not None and not self._measuring.over:
            self._waiting = begin
        else:
            begin()

    def _ended(self, function: Callable[[Any], None], value: Any) -> None:
        self._measuring = None
        waiting, self._waiting = self._waiting, None
        function(value)
        if waiting is not None:
            waiting()

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
            self._shown_heat = None if field is None else _heat_of(field, self._subject)
            self.heat_changed.emit(field)

    def _weights(self) -> Subject:
        return self._subject.untrained if self._before else self._subject

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
        run, spec = self.session.run, self.session.spec
        matches = run is not None and _same_network(run.spec, spec)
        self.subject = _trained(run) if run is not None and matches else _picked(self.session)

    def _on_run(self, run: TrainedRun | None) -> None:
        if run is not None:
            self.subject = _trained(run)

    def _on_switched(self, on: bool) -> None:
        self._reading = self._reading_at_cursor() if on else None
        if not on:
            self._rest.stop()
            self._set_field(None)
            self.pinning = False
        self.reading_changed.emit(self._reading)
        self.draw()

    def _on_image(self, _image: object) -> None:
        self._pixels.forget()
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
        boxes = [_pin_box(pin, size) for pin in pins]
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
        self._waiting = None
        self._pixels.forget()
        # at the end of the program Qt has deleted the timer and the viewer may be gone
        with suppress(RuntimeError):
            self._rest.stop()
            viewer = self.session.viewer
            viewer.cursor.events.position.disconnect(self._on_cursor)
            viewer.events.mouse_over_canvas.disconnect(self._on_cursor)
            viewer.dims.events.ndisplay.disconnect(self._on_cursor)
            viewer.dims.events.current_step.disconnect(self._on_cursor)


class _Standardised:
    """The frame that networks see, made once in a thread: large images take their time."""

    def __init__(self) -> None:
        self._key: tuple[Image, int, Cleaning] | None = None
        self._ready: NDArray[np.float32] | None = None

    def get(
        self,
        image: Image,
        frame: int,
        cleaning: Cleaning,
        on_ready: Callable[[NDArray[np.float32]], None],
        on_failed: Callable[[str], None],
    ) -> None:
        key = (image, frame, cleaning)
        if self._key == key and self._ready is not None:
            on_ready(self._ready)
            return
        self.forget()
        self._key = key
        image.events.data.connect(self.forget)

        def made(pixels: NDArray[np.float32] | str) -> None:
            if self._key != key:
                return
            if isinstance(pixels, str):
                on_failed(pixels)
            else:
                self._ready = pixels
                on_ready(pixels)

        create_worker(
            _standardised, image, frame, cleaning, _connect={"returned": made}, _start_thread=True
        )

    def forget(self, _event: object = None) -> None:
        if self._key is not None:
            self._key[0].events.data.disconnect(self.forget)
        self._key = self._ready = None


def _standardised(image: Image, frame: int, cleaning: Cleaning) -> NDArray[np.float32] | str:
    try:
        return standardise(clean(frame_pixels(image, frame), cleaning))
    except ValueError as error:
        return str(error)


def _crop(
    spec: NetworkSpec, pixels: NDArray[np.float32], at: tuple[int, int]
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Cut the exact field out, on multiples of the period; return it and where it starts."""
    box = receptive_field(spec).box(at, (pixels.shape[0], pixels.shape[1]))
    (top, bottom), (left, right) = (interval.inside for interval in box)
    top, left = top // spec.period * spec.period, left // spec.period * spec.period
    bottom, right = (-(-stop // spec.period) * spec.period for stop in (bottom, right))
    return np.ascontiguousarray(pixels[top:bottom, left:right]), (top, left)


def _moved(field: EffectiveField, by: tuple[int, int]) -> EffectiveField:
    return replace(
        field,
        origin=(field.origin[0] + by[0], field.origin[1] + by[1]),
        at=(field.at[0] + by[0], field.at[1] + by[1]),
    )


def _heat_of(field: EffectiveField, subject: Subject) -> Heat:
    """Return what is drawn of a field: its square root, for it falls off over decades."""
    by = subject.cleaning.binning
    top = max(float(np.quantile(field.heat, _BRIGHTEST_QUANTILE)), 1e-12)
    weights = np.sqrt(np.clip(field.heat / top, 0, 1), dtype=np.float32)
    if by > 1:
        weights = np.repeat(np.repeat(weights, by, axis=0), by, axis=1)
    return Heat(weights, (field.origin[0] * by, field.origin[1] * by))


def _pin_box(pin: Pin, size: PixelSize) -> Box:
    reading = pin.reading
    words = f"pin {pin.number}: {box_sides(reading.rows, reading.columns, size)}"
    return Box(reading.rows, reading.columns, pin.color, words, reading.at, width_px=1.5)


def _picked(session: Session) -> Subject:
    spec = session.spec
    words = f"field {nominal_receptive_field(spec)} px, {spec.parameters:,} parameters, not trained"
    return Subject(spec, None, words, session.cleaning, session.plan.seed)


def _trained(run: TrainedRun) -> Subject:
    record = run.record
    return Subject(run.spec, run.folder, run.title, record.cleaning, record.plan.seed)


def _same_network(one: NetworkSpec, other: NetworkSpec) -> bool:
    return one.with_classes(2) == other.with_classes(2)


_OVERLAYS: dict[Session, FieldOverlay] = {}


def overlay_of(session: Session) -> FieldOverlay:
    """Return the overlay of a session, made on first use and gone with the session."""
    overlay = _OVERLAYS.get(session)
    if overlay is None:
        overlay = _OVERLAYS[session] = FieldOverlay(session)
        session.closed.connect(partial(_OVERLAYS.pop, session, None))
    return overlay
