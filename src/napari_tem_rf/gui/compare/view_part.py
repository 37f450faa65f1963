"""The ticked networks side by side, and the places where they differ most."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QWidget,
)

from napari_tem_rf.comparison import Comparison, Place, disagreement, most_different
from napari_tem_rf.gui.compare.comparing import Comparing
from napari_tem_rf.gui.compare.predictions import Target, TickedPredictions
from napari_tem_rf.gui.compare.side_by_side import Cell, SideBySide, difference_layer
from napari_tem_rf.gui.layers.layers import (
    frame_labels,
    frame_name,
    image_shape,
)
from napari_tem_rf.gui.layers.marks import OverlayMark, find_ours, is_ours, mark_of, note
from napari_tem_rf.gui.layers.plane import look_at
from napari_tem_rf.gui.pieces.lifetimes import when_gone
from napari_tem_rf.gui.pieces.parts import Sentence, column, listen, row, sentence
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.words import count

__all__ = ["ViewPart"]

_FEWEST = 2
_MOST_PLACES = 12
_SIDES = (24, 96)
"""Least and largest side of a place in px."""
_LIST_HEIGHT = 150


class ViewPart(QWidget):
    """Predicts the image in view with the ticked rows and shows how they differ."""

    def __init__(self, session: Session, comparing: Comparing) -> None:
        super().__init__()
        self.session, self.comparing = session, comparing
        self.predictions = TickedPredictions(session, comparing)
        self.view = SideBySide(session)
        self._names: tuple[str, ...] = ()
        self._found: dict[Target, list[NDArray[Any]]] = {}
        self._maps: dict[Target, NDArray[np.float32]] = {}
        self._places: tuple[Place, ...] = ()
        self._wants_view = False
        self._is_closed = False

        self.button = QPushButton("Side by side")
        self.button.setToolTip(
            "Show the image in view once for each ticked row, with its prediction, and where\n"
            "they differ; all move together"
        )
        self.button.clicked.connect(self.toggle)
        self.map = QCheckBox("Map on the image")
        self.map.setToolTip(
            "A layer on the image that is bright where the ticked networks differ:\n"
            "1 where every two of them do"
        )
        self.map.toggled.connect(self._show_map)
        self.stop_button = QPushButton("Stop")
        self.stop_button.clicked.connect(self._stop)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.words = Sentence(tone="quiet")
        self.where = QComboBox()
        self.where.addItems(["in this image", "in all open images"])
        self.where.setToolTip("Where to look for places; the other images are predicted as well")
        self.where.activated.connect(self._ask)
        self.places_words = Sentence("They differ most here; annotate there next:", "plain")
        self.places = QListWidget()
        self.places.setFixedHeight(_LIST_HEIGHT)
        self.places.setToolTip("Click to go there")
        self.places.itemClicked.connect(self._go_to)
        self.places.itemActivated.connect(self._go_to)
        self._box = QWidget()
        column(
            self._box,
            [self.places_words, row(self.where, self.map), self.places],
            spacing=4,
        )
        column(
            self,
            [row(self.button, self.stop_button), self.bar, self.words, self._box],
            spacing=4,
        )
        listen(self, self.predictions.progressed, self._on_progress)
        listen(self, self.predictions.done, self._on_done)
        listen(self, self.predictions.failed, self._on_failed)
        listen(self, self.view.changed, self._on_view)
        listen(self, session.closed, self._close)
        session.watch(self, lambda now: (now.choices.image, now.scene.frame), self._on_image)
        when_gone(self, partial(_leave, self.view))
        self._show()

    # what is asked for

    def show_ticked(self, names: Sequence[str]) -> None:
        """Follow the ticks of the table: two and more are shown side by side."""
        self._names = tuple(names)
        self._wants_view = self._enough()
        self._ask()

    def toggle(self) -> None:
        """Show the ticked rows side by side, or go back to the single view."""
        if self.view.is_shown:
            self._wants_view = False
            self.view.leave()
        else:
            self._wants_view = True
            self._ask()

    def refuse(self, words: str) -> None:
        """Say why a row cannot be ticked."""
        self.words.say(words, "warning")

    def forget(self) -> None:
        """Drop what is shown: another comparison was opened or begun."""
        self._names = ()
        self._wants_view = False
        self._ask()

    def _enough(self) -> bool:
        return len(self._names) >= _FEWEST

    def _on_image(self, _change: object = None) -> None:
        if self._enough() and not self._is_closed:
            self._ask()

    def _close(self) -> None:
        self._is_closed = True

    def _targets(self) -> list[Target]:
        image = self.session.image
        if image is None:
            return []
        shown = (image, self.session.frame)
        if self.where.currentIndex() == 0:
            return [shown]
        others = [
            (each, frame)
            for each in self.session.images
            for frame in range(image_shape(each)[0] if len(image_shape(each)) == 3 else 1)
        ]
        return [shown, *(each for each in others if each != shown)]

    def _ask(self, _choice: object = None) -> None:
        self.predictions.stop()
        targets = self._targets()
        if not self._enough() or not targets:
            self._found, self._maps, self._places = {}, {}, ()
            self._show_map()
            self.view.leave()
            self._show()
            return
        self.predictions.ask(self._names, targets)
        self._show()

    def _stop(self) -> None:
        self.predictions.stop()
        self._show()
        self.words.say("Stopped; what is predicted is kept.", "quiet")

    # what comes

    def _on_progress(self, fraction: float, what: str) -> None:
        self.bar.setValue(round(1000 * fraction))
        self.words.say(sentence(what), "quiet")

    def _on_failed(self, words: str) -> None:
        self._show()
        self.words.say(sentence(words), "error")

    def _on_done(self, found: dict[Target, list[NDArray[Any]]]) -> None:
        self._found = found
        self._maps = {target: disagreement(labels) for target, labels in found.items()}
        shortest = min(min(values.shape) for values in self._maps.values())
        side = int(np.clip(shortest // 8, *_SIDES))
        named = {frame_name(*target): values for target, values in self._maps.items()}
        self._places = most_different(named, side, _MOST_PLACES)
        self._show_places()
        self._show_map()
        if self._wants_view:
            self._show_view(self._shown_target())
        self._show()

    def _shown_target(self) -> Target:
        shown = (self.session.image, self.session.frame)
        return next((each for each in self._found if each == shown), next(iter(self._found)))

    def _show_view(self, target: Target) -> None:
        image, frame = target
        comparison = self.comparing.comparison
        if comparison is None or image not in self.session.viewer.layers:
            return
        classes = comparison.record.classes
        cells = [
            Cell(_title(comparison, name), labels, classes)
            for name, labels in zip(self._names, self._found[target], strict=True)
        ]
        scene = self.session.refresh().scene
        for each in scene.annotated:
            if each.pair.image is image and frame in each.frames:
                painted = frame_labels(each.pair.labels, frame).copy()
                cells.insert(0, Cell("annotation", painted, scene.classes, True))
                break
        self.view.show(image, frame, cells, self._maps[target])

    # showing

    def _show(self, _change: object = None) -> None:
        busy, shown = self.predictions.is_busy, self.view.is_shown
        self.stop_button.setVisible(busy)
        self.bar.setVisible(busy)
        self.button.setText("Back to the single view" if shown else "Side by side")
        self.button.setEnabled(shown or (self._enough() and not busy))
        self._box.setVisible(bool(self._maps))
        if busy:
            return
        if self.session.image is None:
            self.words.say("Open an image to see what networks say of it.", "quiet")
        elif not self._enough():
            self.words.say("Tick two to four rows to see their predictions side by side.", "quiet")
        elif shown:
            self.words.say("All cells move together; the contrast is one for all.", "quiet")
        else:
            self.words.say("")

    def _on_view(self, shown: bool) -> None:
        for layer in self.session.viewer.layers:
            if not shown and is_ours(layer, "difference"):
                layer.visible = True
        self._show()

    def _show_places(self) -> None:
        self.places.clear()
        several = len(self._found) > 1
        for place in self._places:
            where = f"{place.image}: " if several else ""
            item = QListWidgetItem(
                f"{where}row {place.row}, column {place.column}: "
                f"{place.disagreement:.0%} differs".replace("%", " %")
            )
            self.places.addItem(item)
        self.places_words.say(
            "They differ most here; annotate there next:"
            if self._places
            else "They do not differ anywhere."
        )
        self.places.setVisible(bool(self._places))

    def _go_to(self, item: QListWidgetItem) -> None:
        place = self._places[self.places.row(item)]
        target = next(each for each in self._found if frame_name(*each) == place.image)
        image, frame = target
        if image not in self.session.viewer.layers:
            self.words.say(f"{image.name} is not open any more.", "warning")
            return
        if self.view.is_shown:
            if self.view.image is not image:
                self._show_view(target)
        elif image is not self.session.image:
            self.session.image = image
            image.visible = True
        look_at(self.session.viewer, image, frame, (place.row, place.column), place.side_px)

    def _show_map(self, _on: object = None) -> None:
        """Show, update or take away the map of the image in view."""
        layers = self.session.viewer.layers
        shown = {
            f"{frame_name(*target)}: where networks differ": (target[0], values)
            for target, values in self._maps.items()
            if self.map.isChecked() and target[0] in layers
        }
        for layer in list(layers):
            mark = mark_of(layer)
            if not isinstance(mark, OverlayMark) or mark.kind != "difference":
                continue
            if mark.title not in {"", *shown}:
                layers.remove(layer)
        for title, (image, values) in shown.items():
            self._put_map(title, image, values)

    def _put_map(self, title: str, image: Image, values: NDArray[np.float32]) -> None:
        layers = self.session.viewer.layers
        earlier = find_ours(layers, title, "difference")
        if earlier is not None:
            earlier.data = values
            return
        layer = difference_layer(image, values, title)
        layer.visible = not self.view.is_shown
        with self.session.layer_list_kept():
            layers.insert(layers.index(image) + 1, layer)
        note(layer, OverlayMark, title=title, name=str(layer.name))


def _title(comparison: Comparison, name: str) -> str:
    """Return a network's field and parameters as they are written into a cell, with its score."""
    found = [each for each in comparison.results if each.contestant.name == name]
    spec = found[0].contestant.spec
    if spec is not None:
        name = f"{nominal_receptive_field(spec)} px, {count(spec.parameters)}"
    return f"{name}: Dice {found[0].mean():.2f}"


def _leave(view: SideBySide) -> None:
    """Restore the viewer when the dock is taken away."""
    with suppress(RuntimeError):  # the viewer may be gone already
        view.leave()
