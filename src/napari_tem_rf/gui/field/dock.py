"""The receptive field dock: what a network sees of the image, exactly and effectively."""

from functools import partial
from pathlib import Path

import napari
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_tem_rf import jobs
from napari_tem_rf.field_files import FieldRecord, kept_fields, write_field
from napari_tem_rf.gui.field.layers import FieldLayers
from napari_tem_rf.gui.field.map import FieldMap
from napari_tem_rf.gui.field.overlay import FieldOverlay, FieldState
from napari_tem_rf.gui.field.pins import Pin
from napari_tem_rf.gui.field.shortcuts import register_shortcuts
from napari_tem_rf.gui.field.subject import Reading, Subject
from napari_tem_rf.gui.field.two_networks import (
    FieldComparison,
    SubjectChoice,
    subjects_of,
)
from napari_tem_rf.gui.layers.layers import pixel_size_nm
from napari_tem_rf.gui.pieces.parts import (
    DOCK_MARGIN,
    Dock,
    Sentence,
    column,
    row,
    swatch,
)
from napari_tem_rf.gui.pieces.shortcuts import key_of
from napari_tem_rf.gui.pieces.text import PlainLabel, RichLabel, facts, markup, set_tip
from napari_tem_rf.gui.session.background import run_in_thread
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.words import PixelSize, box_sides, side
from napari_tem_rf.protocol import ProgressReport, Report

MEAN_PIXELS = 64
"""Over how many pixels of the image a mean field is measured."""


class ReceptiveFieldWidget(Dock):
    """Shows, measures, pins and compares receptive fields.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        register_shortcuts()
        self.session = session_of(viewer)
        self.overlay = self.session.part(FieldOverlay)
        content = QWidget()
        self.controls = _Controls(self.session, self.overlay)
        self.cursor = _AtCursor(self.session, self.overlay)
        self.pins = _Pins(self.session, self.overlay, self.session.part(FieldLayers))
        self.comparison = FieldComparison(self.session, self.overlay)
        self.map = FieldMap(self.session, self.overlay)
        column(
            content,
            [
                self.controls,
                _heading("At the cursor"),
                self.cursor,
                _heading("Pins"),
                self.pins,
                _heading("Map"),
                self.map,
                _heading("Two networks at one pixel"),
                self.comparison,
            ],
            margin=DOCK_MARGIN,
        ).addStretch(1)
        self.setWidget(content)
        self.shown.connect(self.overlay.show_pins)


class _Controls(QWidget):
    """Which network, and what of its field is drawn."""

    def __init__(self, session: Session, overlay: FieldOverlay) -> None:
        super().__init__()
        self._session, self._overlay = session, overlay
        words = Sentence(
            "The yellow box is all of the image that the network's answer for the pixel under the "
            "cursor can depend on. The heat is how much it does.",
            "quiet",
        )
        self.network = SubjectChoice()
        self.network.activated.connect(self._choose)
        self.box = QCheckBox(f"Exact box {_key('toggle_field')}")
        self.box.setToolTip(
            "The exact receptive field. It jumps from pixel to pixel: with pooling it depends on\n"
            "the pixel's position modulo the product of the pools. Dashed: outside the image."
        )
        self.nominal = QCheckBox("Nominal box")
        self.nominal.setToolTip("The layer-by-layer formula's square, which knows no phases")
        self.heat = QCheckBox(f"Heat when the mouse rests {_key('measure_field')}")
        self.heat.setToolTip(
            "The effective field: the gradient of the network's decision with respect to the\n"
            "image. The key measures it once, at the cursor."
        )
        self.before = QCheckBox("Weights before training")
        self.before.setToolTip("The random weights that the run began with")
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        for place, box in enumerate((self.box, self.nominal, self.heat, self.before)):
            grid.addWidget(box, place, 0)
        column(self, [words, row(PlainLabel("network"), self.network, stretch=1), grid], spacing=4)
        self.box.toggled.connect(lambda on: setattr(session, "field_overlay", on))
        self.nominal.toggled.connect(lambda on: setattr(overlay, "nominal", on))
        self.heat.toggled.connect(lambda on: setattr(overlay, "heat", on))
        self.before.toggled.connect(lambda on: setattr(overlay, "before_training", on))
        session.watch(self, lambda now: now.choices.field_overlay, self._show_switch)
        overlay.watch(
            self,
            lambda now: (now.subject, now.nominal, now.heat, now.before_training),
            self._show,
        )
        session.watch(self, lambda now: (now.choices.runs, now.choices.spec), self._show)
        self._show_switch(session.situation)
        self._show()

    def _show_switch(self, now: Situation) -> None:
        self.box.setChecked(now.choices.field_overlay)

    def _choose(self, _place: int) -> None:
        if self.network.chosen is not None:
            self._overlay.subject = self.network.chosen

    def _show(self, _change: object = None) -> None:
        subject = self._overlay.subject
        self.network.show_subjects(subjects_of(self._session), subject)
        for box, on in (
            (self.nominal, self._overlay.nominal),
            (self.heat, self._overlay.heat),
            (self.before, self._overlay.before_training),
        ):
            with signals_blocked(box):
                box.setChecked(on)
        self.before.setEnabled(subject.run is not None)
        self.before.setText(
            "Weights before training"
            if subject.run is not None
            else "Weights before training (it is not trained)"
        )


class _AtCursor(QWidget):
    """What is measured at the cursor, and the mean over the image."""

    def __init__(self, session: Session, overlay: FieldOverlay) -> None:
        super().__init__()
        self._session, self._overlay = session, overlay
        self._work: Work | None = None
        self.words = RichLabel()
        self.words.setMinimumHeight(118)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.note = Sentence(tone="warning")
        self.mean_button = QPushButton(f"Mean over {MEAN_PIXELS} pixels")
        self.mean_button.setToolTip(
            "The effective field averaged over pixels spread over the image, all phases among them"
        )
        self.mean_button.clicked.connect(self._measure_mean)
        self.mean = Sentence()
        self.keep_button = QPushButton(f"Keep as layers {_key('keep_field')}".rstrip())
        self.keep_button.setToolTip(
            "Pin the pixel that the cursor was on last: its boxes, with their sides in nm, and\n"
            "its effective field become layers"
        )
        self.keep_button.clicked.connect(self._keep)
        column(
            self,
            [self.words, self.note, row(self.keep_button), row(self.mean_button), self.mean],
            spacing=4,
        )
        overlay.watch(self, lambda now: (now.reading, now.field), self._show)
        overlay.watch(self, lambda now: now.note, self._show_note)
        overlay.watch(
            self,
            lambda now: (now.subject, now.nominal, now.heat, now.before_training),
            self._forget_mean,
        )
        session.watch(self, lambda now: now.choices.image, self._forget_mean)
        self._show()

    def _show_note(self, now: FieldState) -> None:
        self._say(now.note)

    def _keep(self) -> None:
        if self._overlay.keep() is None:
            self._say("Move the mouse over the image first: the pixel under it is kept.")

    def _say(self, sentence: str) -> None:
        self.note.say(sentence, "warning")

    def _show(self, _change: object = None) -> None:
        image, reading = self._session.image, self._overlay.reading
        self.mean_button.setEnabled(image is not None)
        self.keep_button.setEnabled(image is not None)
        if image is None or reading is None:
            self.words.show_markup(
                markup("Open an image first.")
                if image is None
                else markup("Move the mouse over the image.")
                if self._session.field_overlay
                else markup("Switch the box on and move the mouse over the image.")
            )
            return
        size = pixel_size_nm(image)
        self.words.show_markup(facts(_reading_lines(reading, self._overlay, size)))
        set_tip(self.words, "\n".join(_finer_points(reading, self._overlay)))

    def _forget_mean(self, _change: object = None) -> None:
        if self._work is not None:
            self._work.stop()
        self.mean.say("")
        self._show()

    def _measure_mean(self) -> None:
        image = self._session.image
        if image is None:
            return
        if self._work is not None and not self._work.over:
            self._work.stop()
            return
        subject, frame = self._overlay.state.shown_subject, self._session.frame
        self.mean.say("Preparing the image.", "quiet")
        self._overlay.measuring.pixels.get(
            image, frame, subject.cleaning, partial(self._begin_mean, image, subject), self._say
        )

    def _begin_mean(self, image: Image, subject: Subject, pixels: NDArray[np.float32]) -> None:
        at = spread_pixels((pixels.shape[0], pixels.shape[1]), MEAN_PIXELS)
        self.mean_button.setText("Stop")
        self._work = work = self._session.submit(
            jobs.measure_mean_effective_field,
            subject.run,
            subject.spec,
            pixels,
            at,
            subject.seed,
            name="mean effective field",
            on_report=self._report_mean,
            on_done=partial(self._show_mean, image, subject),
            on_failed=self._say,
        )
        work.ended.connect(self._mean_ended)

    def _mean_ended(self, _work: Work) -> None:
        self.mean_button.setText(f"Mean over {MEAN_PIXELS} pixels")

    def _report_mean(self, report: Report) -> None:
        if isinstance(report, ProgressReport):
            self.mean.say(f"{report.fraction:.0%} of the pixels measured.".replace("%", " %"))

    def _show_mean(self, image: Image, subject: Subject, field: EffectiveField) -> None:
        size, by = pixel_size_nm(image), subject.cleaning.binning
        share = field.w95_px / receptive_field(subject.spec).nominal
        self.mean.say(
            f"Mean over {field.pixels} pixels: 50 % within {side(field.w50_px * by, size)}, "
            f"95 % within {side(field.w95_px * by, size)}, {share:.2f} of the nominal field; "
            f"total {field.total:.3g}."
        )


class _Pins(QWidget):
    """The list of pins."""

    def __init__(self, session: Session, overlay: FieldOverlay, layers: FieldLayers) -> None:
        super().__init__()
        self._session, self._overlay, self._layers = session, overlay, layers
        self.tool = QPushButton("Pin with a click")
        self.tool.setCheckable(True)
        self.tool.setToolTip(
            "While this is on, a click on the image holds the field at that pixel, as layers.\n"
            "Drag a pin to move it; removing it removes its layers."
        )
        self.tool.toggled.connect(lambda on: setattr(overlay, "pinning", on))
        self.clear = QPushButton("Remove all")
        self.clear.clicked.connect(self._remove_all)
        self.words = Sentence(tone="quiet")
        self.written = Sentence()
        self.kept_button = QPushButton()
        self.kept_button.setToolTip("Pin again the pixels whose fields are kept with this run")
        self.kept_button.clicked.connect(self._show_kept)
        self._list = QWidget()
        self._lines = QVBoxLayout(self._list)
        self._lines.setContentsMargins(0, 0, 0, 0)
        self._lines.setSpacing(2)
        column(
            self,
            [row(self.tool, self.clear), self.words, self._list, self.written, self.kept_button],
            spacing=4,
        )
        overlay.watch(self, lambda now: now.pins, self._show)
        # not with every step of a drag: the folder is read for it
        overlay.watch(self, lambda now: (now.subject, len(now.pins)), self._show_kept_button)
        session.watch(self, lambda now: now.choices.image, self._show_kept_button)
        self._show_kept_button()
        overlay.watch(self, lambda now: now.pinning, self._show_pinning)
        self._show()

    def _show_pinning(self, now: FieldState) -> None:
        self.tool.setChecked(now.pinning)

    def _remove_all(self) -> None:
        for pin in self._overlay.pins:
            self._overlay.remove_pin(pin.number)

    def _show(self, _now: FieldState | None = None) -> None:
        while (item := self._lines.takeAt(0)) is not None:
            widget = item.widget()
            widget.hide()
            widget.deleteLater()
        pins = self._overlay.pins
        self.clear.setEnabled(bool(pins))
        self.words.say("" if pins else "Press the button, then click on pixels of the image.")
        for pin in pins:
            self._lines.addWidget(self._line(pin))

    def _kept(self) -> list[FieldRecord]:
        """Return the fields kept with the run that is shown, of this image and not pinned."""
        image, run = self._session.image, self._overlay.subject.run
        if image is None or run is None:
            return []
        pinned = {
            (pin.reading.at, pin.reading.frame) for pin in self._overlay.pins if pin.image is image
        }
        return [
            record
            for record in kept_fields(run)
            if record.image == image.name and (record.at, record.frame) not in pinned
        ]

    def _show_kept_button(self, _change: object = None) -> None:
        number = len(self._kept())
        self.kept_button.setVisible(number > 0)
        fields = "1 field" if number == 1 else f"{number} fields"
        self.kept_button.setText(f"Show the {fields} kept with this run")

    def _show_kept(self) -> None:
        for record in self._kept():
            self._overlay.pin(record.at, record.frame)

    def _line(self, pin: Pin) -> QWidget:
        line = QWidget()
        layout = QHBoxLayout(line)
        layout.setContentsMargins(0, 0, 0, 0)
        icon = PlainLabel()
        icon.setPixmap(swatch(pin.color, 12).pixmap(12, 12))
        by, size = pin.subject.cleaning.binning, pixel_size_nm(pin.image)
        words = markup("<b>{}</b> {} at {}, {}", pin.number, pin.image.name, *pin.reading.at)
        if pin.field is not None:
            half, most = pin.field.w50_px * by, pin.field.w95_px * by
            words = (
                markup("{}<br>50 % in {} px, 95 % in {}", words, half, side(most, size))
                if pin.field.total
                else markup("{}<br>{}", words, _NO_INFLUENCE)
            )
        label = RichLabel(words)
        set_tip(label, pin.subject.title)
        export = QToolButton()
        export.setText("⤓")
        export.setAutoRaise(True)
        export.setEnabled(pin.field is not None)
        set_tip(export, f"Write the effective field of pin {pin.number}: TIFF or PNG")
        export.clicked.connect(partial(self._ask_file, pin))
        remove = QToolButton()
        remove.setText("✕")
        remove.setAutoRaise(True)
        set_tip(remove, f"Remove pin {pin.number}")
        remove.clicked.connect(partial(self._remove, pin.number))
        layout.addWidget(icon)
        layout.addWidget(label, 1)
        layout.addWidget(export)
        layout.addWidget(remove)
        return line

    def _ask_file(self, pin: Pin, _checked: bool = False) -> None:
        row, column = pin.reading.at
        folder = self._session.runs_folder
        name = f"{pin.image.name}_field_at_{row}_{column}.tif".replace("/", "_")
        start = (folder if folder.exists() else Path.home()) / name
        answer, _ = QFileDialog.getSaveFileName(
            self, "Write the effective field", str(start), "Numbers (*.tif);;Picture (*.png)"
        )
        if answer:
            self.export_to(Path(answer), pin, overwrite=True)  # the dialog has asked

    def export_to(self, path: Path, pin: Pin, overwrite: bool = False) -> None:
        """Write a pin's effective field in the background, with the size of its pixels."""
        if pin.field is None:
            return
        heat, size = pin.field.heat, pixel_size_nm(pin.image)
        by = pin.subject.cleaning.binning
        px = None if size is None else (size[0] * by, size[1] * by)
        run_in_thread(
            lambda _stopped, _say: write_field(path, heat, px, overwrite=overwrite),
            lambda _none: self.written.say(f"Written: {path.name}.", "good"),
            lambda sentence: self.written.say(sentence, "error"),
            owner=self,
        )

    def _remove(self, number: int, _checked: bool = False) -> None:
        self._overlay.remove_pin(number)


def spread_pixels(shape: tuple[int, int], number: int) -> list[tuple[int, int]]:
    """Return pixels spread evenly over an image, at all phases of any small period.

    They are the additive recurrence of the plastic number, which fills the square evenly and
    keeps clear of every lattice (M. Roberts, The Unreasonable Effectiveness of Quasirandom
    Sequences, 2018).
    """
    plastic = 1.324717957244746
    place = np.arange(1, number + 1)
    rows = (0.5 + place / plastic) % 1
    columns = (0.5 + place / plastic**2) % 1
    return [
        (int(row * shape[0]), int(column * shape[1]))
        for row, column in zip(rows, columns, strict=True)
    ]


_NO_INFLUENCE = "none: no small change of the image changes this answer"


def _reading_lines(
    reading: Reading, overlay: FieldOverlay, size: PixelSize
) -> list[tuple[str, object]]:
    by, field = overlay.subject.cleaning.binning, overlay.field
    lines: list[tuple[str, object]] = [
        ("pixel", f"row {reading.at[0]}, column {reading.at[1]}"),
        ("nominal", side(reading.nominal, size)),
        ("exact", markup("<b>{}</b>", box_sides(reading.rows, reading.columns, size))),
    ]
    if reading.rows.clipped or reading.columns.clipped:
        lines.append(("", "reaches beyond the image: that part is padding"))
    if field is not None and field.total == 0:
        lines.append(("influence", _NO_INFLUENCE))
    elif field is not None:
        lines += [
            ("50 %", f"of the influence within {side(field.w50_px * by, size)}"),
            (
                "95 %",
                markup("of the influence within <b>{}</b>", side(field.w95_px * by, size)),
            ),
        ]
    return lines


def _finer_points(reading: Reading, overlay: FieldOverlay) -> list[str]:
    """Return what takes knowledge of networks: the pixel's phase, and the gradient's sum."""
    period = receptive_field(overlay.subject.spec).period
    by, field = overlay.subject.cleaning.binning, overlay.field
    points = []
    if period > 1:
        row, column = (place // by % period for place in reading.at)
        points.append(f"Phase {row}, {column} of {period}.")
    if field is not None:
        points.append(f"Total: {field.total:.3g} logits per standard deviation of grey value.")
    return points


def _heading(text: str) -> PlainLabel:
    label = PlainLabel(text)
    label.setStyleSheet("font-weight: bold; background: transparent; padding-top: 4px;")
    return label


def _key(name: str) -> str:
    key = key_of(name)
    return f" ({key})" if key else ""
