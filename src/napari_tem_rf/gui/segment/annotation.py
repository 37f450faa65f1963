"""The annotation widget: a labels layer to paint on, its classes, what its zeros mean."""

from functools import partial

import napari
import numpy as np
from napari.layers import Labels
from napari.utils.theme import Theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QColorDialog,
    QGridLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QToolButton,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.gui.layers.layers import images_and_frames
from napari_tem_rf.gui.pieces.parts import (
    LayerChoice,
    Sentence,
    Themed,
    column,
    listen,
    row,
    swatch,
)
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.gui.session.annotations import (
    note_classes,
    start_annotation,
    values_in,
)
from napari_tem_rf.gui.session.autosave import Autosave, Offer
from napari_tem_rf.gui.session.label_counts import label_counts
from napari_tem_rf.gui.session.situation import Annotated, Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.label_meaning import MOST_CLASSES, many_values


class _ClassButton(Themed, QToolButton):
    """The button of a class; the class that is painted with stands out in the current colour."""

    def __init__(self) -> None:
        super().__init__()
        self.setCheckable(True)
        self.dress()

    def style_of(self, theme: Theme) -> str:
        """Return the style sheet in the colours of a theme."""
        return (
            f"QToolButton:checked {{ background-color: {theme.current.as_hex()};"
            f" border: 2px solid {theme.text.as_hex()}; font-weight: bold; }}"
        )


class AnnotationWidget(QWidget):
    """Make or choose the annotation, name its classes, see how much is painted.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._classes = Classes((), ())
        self._numbered = False
        self._shown: tuple[object, ...] = ()

        self.layers = LayerChoice("no annotation: press New")
        self.layers.on_chosen(self._choose)
        self.new_button = QPushButton("New")
        self.new_button.setToolTip(
            "Add a labels layer that lies on the image, ready to paint:\n"
            "a few strokes on particles and a few on background are enough."
        )
        self.new_button.clicked.connect(self._new)

        self._grid_holder = QWidget()
        # a dock that is short of room scrolls, and squeezes no line
        self._grid_holder.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self._grid = QGridLayout(self._grid_holder)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self._labels: list[QToolButton] = []
        self._names: list[QLineEdit] = []
        self._counts: list[PlainLabel] = []
        self._group = QButtonGroup(self)

        self.add_button = QPushButton("+ class")
        self.add_button.setToolTip("Add a class, for example for a second kind of particle")
        self.add_button.clicked.connect(self._add_class)

        self.zeros_ignored = QRadioButton("not annotated")
        self.zeros_ignored.setToolTip(
            "Pixels that you did not paint say nothing: paint strokes of every class.\nFor strokes."
        )
        self.zeros_background = QRadioButton("background")
        self.zeros_background.setToolTip(
            "Pixels that you did not paint are background.\nFor finished masks only."
        )
        self.zeros_ignored.toggled.connect(self._set_meaning)

        self.are_classes = QRadioButton("classes")
        self.are_classes.setToolTip(
            "All particles of a kind have the same value: a network learns the kinds."
        )
        self.are_particles = QRadioButton("numbered particles")
        self.are_particles.setToolTip(
            "Each particle has a number of its own, as ImageJ, Cellpose or StarDist write them:\n"
            "the network learns the borders of particles too, and tells apart those that touch."
        )
        # one group each: radio buttons of one parent exclude each other
        self._meanings = (QButtonGroup(self), QButtonGroup(self))
        for group, buttons in zip(
            self._meanings,
            (
                (self.are_classes, self.are_particles),
                (self.zeros_ignored, self.zeros_background),
            ),
            strict=True,
        ):
            for button in buttons:
                group.addButton(button)
        self.are_particles.toggled.connect(self._set_labels_are)

        self.words = Sentence()
        self.restore_button = QPushButton("Take it back")
        self.restore_button.setToolTip(
            "Annotations are saved every minute while you paint; this one was left when the\n"
            "program ended"
        )
        self.restore_button.clicked.connect(self._restore)
        column(
            self,
            [
                row(self.layers, self.new_button, stretch=0),
                self._grid_holder,
                row(PlainLabel("labels are"), self.are_classes, self.are_particles),
                row(PlainLabel("zeros are"), self.zeros_ignored, self.zeros_background),
                self.words,
                self.restore_button,
            ],
        )
        self.session.watch(
            self,
            lambda now: (
                now.choices,
                now.scene.annotations,
                now.scene.classes,
                now.scene.meaning,
                now.scene.annotated,
                now.edits,
            ),
            self._show,
        )
        listen(self, self.session.part(Autosave).offered, self._show_offer)
        self._show(self.session.situation)

    # showing

    def _show(self, now: Situation) -> None:
        annotation = now.choices.annotation
        self.layers.show_layers(list(now.scene.annotations), annotation)
        self.new_button.setEnabled(now.choices.image is not None)
        ignored = now.choices.unlabelled == "ignore"
        numbered = now.scene.meaning.numbered
        for button, on in (
            (self.zeros_ignored, ignored),
            (self.zeros_background, not ignored),
            (self.are_classes, not numbered),
            (self.are_particles, numbered),
        ):
            with signals_blocked(button):
                button.setChecked(on)
        self.restore_button.hide()
        self._classes = now.scene.classes
        self._numbered = numbered
        self._build(annotation, self._classes.values)
        if annotation is None:
            self._say_what_to_do(now)
            return
        self._fill(annotation, now.scene.annotated)
        self._say(now)

    def _show_offer(self) -> None:
        now = self.session.situation
        if now.choices.annotation is None:
            self._say_what_to_do(now)

    def _say_what_to_do(self, now: Situation) -> None:
        offer = self.session.part(Autosave).offer()
        self.restore_button.setVisible(offer is not None)
        if now.choices.image is None:
            self.words.say("Open an image first.", "quiet")
        elif offer is None:
            self.words.say("Press New and paint a few strokes.", "quiet")
        else:
            self.words.say(_offer_in_words(offer), "quiet")

    def _build(self, annotation: Labels | None, values: tuple[int, ...]) -> None:
        """Make one line a class; only when the classes changed, so that typing is not cut off."""
        shown = (annotation, values, self._numbered)
        if shown == self._shown:
            return
        self._shown = shown
        for button in self._labels:
            self._group.removeButton(button)
        while self._grid.count():
            part = self._grid.takeAt(0).widget()
            if part is not None and part is not self.add_button:
                part.hide()
                part.deleteLater()
        self._labels, self._counts, self._names = [], [], []
        for place, value in enumerate(values):
            self._add_line(place, value)
        self._grid.addWidget(self.add_button, len(values), 0, 1, 2, Qt.AlignmentFlag.AlignLeft)
        self.add_button.setText("next particle" if self._numbered else "+ class")
        self.add_button.setToolTip(
            "Paint the next particle, with a number that none has yet (M in the canvas)"
            if self._numbered
            else "Add a class, for example for a second kind of particle"
        )
        self.add_button.setVisible(bool(values))
        self._grid_holder.setVisible(bool(values))

    def _add_line(self, place: int, value: int) -> None:
        label = _ClassButton()
        label.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        label.setText(f" {value}")
        label.setMinimumWidth(64)
        set_tip(label, f"Paint with label {value}; the arrow changes the colour")
        label.clicked.connect(partial(self._paint_with, value))
        label.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        menu = QMenu(label)
        menu.addAction("Colour...", partial(self._ask_color, place))
        label.setMenu(menu)
        name = QLineEdit()
        name.setToolTip("Name of the class: type to change it")
        name.editingFinished.connect(partial(self._rename, place, name))
        name.setReadOnly(self._numbered)
        count = PlainLabel()
        count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        count.setToolTip("Annotated pixels of this class")
        count.setMinimumWidth(86)
        self._group.addButton(label)
        self._labels.append(label)
        self._names.append(name)
        self._counts.append(count)
        for at, part in enumerate((label, name, count)):
            self._grid.addWidget(part, place, at)

    def _fill(self, annotation: Labels, annotated: tuple[Annotated, ...]) -> None:
        classes = self._classes
        pixels = next(each.pixels for each in annotated if each.pair.labels is annotation)
        for place, value in enumerate(classes.values):
            self._labels[place].setIcon(swatch(classes.colors[place]))
            selected = annotation.selected_label
            chosen = value > 0 and selected >= value if self._numbered else selected == value
            last = place == len(classes.values) - 1
            self._labels[place].setChecked(chosen if last else selected == value)
            if not self._names[place].hasFocus():
                self._names[place].setText(classes.names[place])
            self._counts[place].setText(f"{pixels[place]:,} px")

    def _say(self, now: Situation) -> None:
        pixels = sum(sum(each.pixels) for each in now.scene.annotated)
        if not pixels:
            self.words.say(
                "Nothing is painted yet: choose a class and paint a few strokes.", "quiet"
            )
        elif now.scene.meaning.numbered:
            self.words.say(_particles_in_words(now), "quiet")
        elif many_values(self._classes.values[1:]):
            self.words.say(
                f"This layer holds more than {MOST_CLASSES} values: it looks like particles "
                "with a number each; a class layer holds one value a class.",
                "warning",
            )
        else:
            self.words.say(f"{_annotated_in_words(now)} annotated, {pixels:,} px in all.", "quiet")

    # doing

    def _choose(self, layer: Labels) -> None:
        self.session.annotation = layer

    def _new(self) -> None:
        session = self.session
        if session.image is None:
            return
        taken = [layer.name for layer in session.viewer.layers]
        layer = start_annotation(session.image, session.unlabelled, taken)
        session.viewer.add_layer(layer)
        session.annotation = layer
        session.viewer.layers.selection.active = layer
        layer.mode = "paint"

    def _restore(self) -> None:
        trouble = self.session.part(Autosave).restore()
        if trouble:
            self.words.say(trouble, "error")

    def _paint_with(self, value: int, _checked: bool = False) -> None:
        annotation = self.session.annotation
        if annotation is not None:
            annotation.selected_label = value
            annotation.visible = True
            self.session.viewer.layers.selection.active = annotation
            annotation.mode = "paint"
            self._fill(annotation, self.session.refresh().scene.annotated)

    def _add_class(self) -> None:
        annotation, classes = self.session.annotation, self._classes
        if annotation is None or not classes.values:
            return
        if self._numbered:
            self._paint_with(self._next_number(annotation))
            return
        place = len(classes.values)
        value = classes.values[-1] + 1
        more = Classes(
            (*classes.values, value),
            (*classes.names, f"class {place}"),
            (*classes.colors, CLASS_COLORS[place % len(CLASS_COLORS)]),
        )
        self._keep(more)
        self._paint_with(value)

    def _next_number(self, annotation: Labels) -> int:
        """Return the lowest number above all that are painted."""
        taken = values_in(label_counts(annotation))
        number = max(self._classes.values[-1], max(taken, default=0) + 1)
        if number > np.iinfo(annotation.data.dtype).max:
            annotation.data = annotation.data.astype(np.int32)
        return number

    def _rename(self, place: int, edit: QLineEdit) -> None:
        classes, name = self._classes, edit.text().strip()
        if place < len(classes.names) and name and name != classes.names[place]:
            names = (*classes.names[:place], name, *classes.names[place + 1 :])
            self._keep(Classes(classes.values, names, classes.colors))

    def _ask_color(self, place: int) -> None:
        classes = self._classes
        color = QColorDialog.getColor(parent=self, title=f"Colour of {classes.names[place]}")
        if color.isValid():
            colors = (*classes.colors[:place], color.name(), *classes.colors[place + 1 :])
            self._keep(Classes(classes.values, classes.names, colors))

    def _keep(self, classes: Classes) -> None:
        annotation = self.session.annotation
        if annotation is not None:
            note_classes(annotation, classes, self.session.unlabelled)
            self.session.refresh()

    def _set_labels_are(self, numbered: bool) -> None:
        self.session.labels_are = "particles" if numbered else "classes"

    def _set_meaning(self, ignored: bool) -> None:
        self.session.unlabelled = "ignore" if ignored else "background"


def _annotated_in_words(now: Situation) -> str:
    annotated = now.scene.annotated
    return images_and_frames(
        [each.pair.image for each in annotated], [len(each.frames) for each in annotated]
    )


def _particles_in_words(now: Situation) -> str:
    """Say how many numbered particles there are, why they are taken as such, and what 0 means."""
    meaning = now.scene.meaning
    why = ""
    if now.choices.labels_are == "auto":
        many = many_values(meaning.values)
        seen = f"more than {MOST_CLASSES} values" if many else "each value lies in one place"
        why = f" (detected: {seen})"
    found = f"{len(meaning.values):,} numbered particles in {_annotated_in_words(now)}{why}."
    if meaning.unlabelled == "background":
        return f"{found} Those that touch are told apart."
    return f"{found} Draw each particle whole, and some background with label 1."


def _offer_in_words(offer: Offer) -> str:
    when = f"was saved on {offer.saved_at:%d %B at %H:%M}"
    if offer.by_name:
        return (
            f"An annotation of an image of this name and size {when} by version 0.1.0, which did "
            "not tell images of one name apart: take it back, or press New."
        )
    words = f"An annotation of this image {when}: take it back, or press New."
    if not offer.others:
        return words
    number = len(offer.others)
    newest = offer.others[0]
    kept = f"{number} more, the newest of them {newest.name}, are" if number > 1 else newest.name
    is_kept = "" if number > 1 else " is"
    return f"{words} {kept}{is_kept} kept in {newest.parent}."
