"""Two networks' receptive fields at one pixel, side by side."""

from functools import partial

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf.gui.field.overlay import FieldOverlay
from napari_tem_rf.gui.field.picture import FieldPicture, FieldView
from napari_tem_rf.gui.field.pins import Pin, heat_of
from napari_tem_rf.gui.field.subject import Reading, Subject, picked, read_field, trained
from napari_tem_rf.gui.layers.layers import frame_pixels, pixel_size_nm
from napari_tem_rf.gui.pieces.parts import Choice, Sentence, column, row
from napari_tem_rf.gui.pieces.text import PlainLabel
from napari_tem_rf.gui.session.background import Latest
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.words import box_sides, side

__all__ = ["FieldComparison", "SubjectChoice", "subjects_of"]


def subjects_of(session: Session, *, before: bool = False) -> list[Subject]:
    """Return the networks to choose from: the pick, then the runs, the latest first.

    ``before``: each run once more with the random weights that it began with.
    """
    subjects = [picked(session)]
    for run in reversed(session.runs):
        if run.spec is None:  # a baseline has no field
            continue
        subjects.append(trained(run))
        if before:
            subjects.append(trained(run).untrained)
    return subjects


class SubjectChoice(Choice):
    """A choice among networks."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[Subject] = []
        self.is_chosen_by_user = False
        self.activated.connect(self._note_choice)

    def show_subjects(self, subjects: list[Subject], chosen: Subject | None) -> None:
        """Show the networks to choose from, and the one chosen."""
        self.subjects = subjects
        with signals_blocked(self):
            self.clear()
            self.addItems([subject.title for subject in subjects])
            if chosen in subjects:
                self.setCurrentIndex(subjects.index(chosen))

    @property
    def chosen(self) -> Subject | None:
        """The network chosen."""
        place = self.currentIndex()
        return self.subjects[place] if 0 <= place < len(self.subjects) else None

    def _note_choice(self, _place: int) -> None:
        self.is_chosen_by_user = True


class FieldComparison(QWidget):
    """Two networks' fields at the pixel of the last pin, side by side."""

    def __init__(self, session: Session, overlay: FieldOverlay) -> None:
        super().__init__()
        self._session, self._overlay = session, overlay
        self.choices = (SubjectChoice(), SubjectChoice())
        self.pictures = (FieldPicture(), FieldPicture())
        self.captions = (Sentence(), Sentence())
        self.button = QPushButton("Compare")
        self.button.clicked.connect(self.compare)
        self.words = Sentence(tone="quiet")
        self._latest = Latest()
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        for place in (0, 1):
            grid.setColumnStretch(place, 1)
            grid.addWidget(self.pictures[place], 0, place, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(self.captions[place], 1, place, Qt.AlignmentFlag.AlignTop)
        lines = [
            row(PlainLabel(name), choice, stretch=1)
            for name, choice in zip(("left", "right"), self.choices, strict=True)
        ]
        column(self, [*lines, row(self.button), self.words, grid], spacing=4)
        overlay.watch(self, lambda now: (now.pins, now.subject), self._show)
        session.watch(self, lambda now: (now.choices.runs, now.choices.spec), self._show)
        self._show()

    def _show(self, _change: object = None) -> None:
        subjects = subjects_of(self._session, before=True)
        for place, choice in enumerate(self.choices):
            # the trained network beside what it was before, unless something else was chosen
            usual = subjects[min(1 + place, len(subjects) - 1)]
            stays = choice.is_chosen_by_user and choice.chosen in subjects
            kept = choice.chosen if stays else usual
            choice.show_subjects(subjects, kept)
        pins = self._overlay.pins
        self.button.setEnabled(bool(pins))
        self.words.say("" if pins else "Pin a pixel first.", "quiet")
        self.button.setText(f"Compare at pin {pins[-1].number}" if pins else "Compare")

    def compare(self) -> None:
        """Measure both networks at the last pin and show them."""
        if not self._overlay.pins:
            return
        pin = self._overlay.pins[-1]
        chosen = [choice.chosen for choice in self.choices]
        subjects = [subject for subject in chosen if subject is not None]
        request = self._latest.ask()
        at, frame = pin.reading.at, pin.reading.frame
        grey = _grey(pin.image, frame)
        shape = (grey.shape[0], grey.shape[1])
        readings = [read_field(subject, at, shape, frame) for subject in subjects]
        widest = max(max(r.rows.width, r.columns.width) for r in readings)
        sides = min(round(1.25 * widest) + 8, 2 * max(shape))
        for place, (subject, reading) in enumerate(zip(subjects, readings, strict=True)):
            self.pictures[place].show_view(None)
            self.captions[place].say("Measuring.", "quiet")
            self._overlay.measuring.request(
                subject,
                pin.image,
                reading,
                request.only(partial(self._show_field, place, subject, reading, grey, sides, pin)),
                request.only(partial(self._show_failure, place)),
            )

    def _show_failure(self, place: int, sentence: str) -> None:
        self.captions[place].say(sentence, "error")

    def _show_field(
        self,
        place: int,
        subject: Subject,
        reading: Reading,
        grey: NDArray[np.float32],
        sides: int,
        pin: Pin,
        field: EffectiveField,
    ) -> None:
        by, size = subject.cleaning.binning, pixel_size_nm(pin.image)
        heat = heat_of(field, subject)
        view = FieldView(grey, heat, field, reading.rows, reading.columns, reading.at, sides, by)
        self.pictures[place].show_view(view)
        self.captions[place].say(
            f"exact {box_sides(reading.rows, reading.columns, size)}\n"
            f"95 % {side(field.w95_px * by, size)}\n"
            f"50 % {side(field.w50_px * by, size)}\n"
            f"total {field.total:.3g}"
        )


def _grey(image: Image, frame: int) -> NDArray[np.float32]:
    low, high = image.contrast_limits
    pixels = (frame_pixels(image, frame) - low) / max(high - low, 1e-12)
    return np.clip(np.nan_to_num(pixels), 0, 1).astype(np.float32)
