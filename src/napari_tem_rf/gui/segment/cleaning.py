"""What is done to the pixels before a network sees them, with a preview on a layer of its own."""

from dataclasses import replace
from functools import partial
from typing import Any

import napari
import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf.gui.layers.layers import frame_pixels, placement
from napari_tem_rf.gui.layers.marks import MARK, OverlayMark, find_ours, note
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import Sentence, column, row
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.cleaning import Cleaning, clean


class CleaningWidget(QWidget):
    """Spikes, uneven illumination, binning: chosen here, kept in the run, repeated at prediction.

    The image's own layer stays as it is.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._cleaning: ThreadWork | None = None

        self.form = Form(self.session.cleaning)
        self.spikes = self.form.box("spikes")
        self.threshold = self.form.box("spike_threshold")
        self.flatten = self.form.box("flatten")
        self.binning = self.form.box("binning")
        self.preview_button = QPushButton("Preview")
        self.preview_button.setToolTip("Show the cleaned frame in a layer of its own")
        self.preview_button.clicked.connect(self._preview)
        self.words = Sentence()

        column(self, [self.form, row(self.preview_button), self.words])

        self.form.changed.connect(self._set)
        self.session.watch(self, lambda now: (now.choices.cleaning, now.choices.image), self._show)
        self._show(self.session.situation)

    def _show(self, now: Situation) -> None:
        cleaning = now.choices.cleaning
        self.form.show_plan(cleaning)
        does_something = cleaning != Cleaning()
        self.preview_button.setEnabled(does_something and now.choices.image is not None)
        if does_something:
            self.words.say("Done before training and kept with the run; your image stays.", "quiet")
        else:
            self.words.say("Nothing is done to the pixels.", "quiet")

    def _set(self, cleaning: Cleaning) -> None:
        if cleaning.spikes != self.session.cleaning.spikes:
            # the thresholds of the two ways have different units
            cleaning = replace(cleaning, spike_threshold=None)
        self.session.cleaning = cleaning

    def _preview(self) -> None:
        image = self.session.image
        if image is None or self._cleaning is not None:
            return
        self.words.say("Cleaning...", "quiet")
        pixels = frame_pixels(image, self.session.frame)
        cleaning = self.session.cleaning
        self._cleaning = run_in_thread(
            lambda _stopped, _say: _cleaned(pixels, cleaning),
            partial(self._on_cleaned, image, cleaning),
            self._on_failed,
            owner=self,
        )

    def _on_failed(self, trouble: str) -> None:
        self._cleaning = None
        self.words.say(trouble, "error")

    def _on_cleaned(self, image: Image, cleaning: Cleaning, result: tuple[Any, str]) -> None:
        self._cleaning = None
        pixels, sentence = result
        layers = self.session.viewer.layers
        if image not in layers:
            self.words.say(f"{image.name} is not open any more.", "error")
            return
        title = f"{image.name}: cleaned"
        earlier = find_ours(layers, title, "cleaned")
        if earlier is not None:
            layers.remove(earlier)
        place = {
            name: value[-2:] if isinstance(value, tuple) else value
            for name, value in placement(image).items()
            if name not in ("rotate", "shear")
        }
        binning = cleaning.binning
        # the middle of a block lies between the middles of its pixels
        place["translate"] = tuple(
            at + step * (binning - 1) / 2
            for at, step in zip(place["translate"], place["scale"], strict=True)
        )
        place["scale"] = tuple(step * binning for step in place["scale"])
        mark = OverlayMark("cleaned", title, image=str(image.name))
        layer = Image(pixels, name=title, metadata={MARK: mark}, **place)
        layers.insert(layers.index(image) + 1, layer)
        note(layer, OverlayMark, name=str(layer.name))
        self.words.say(sentence, "quiet")


def _cleaned(pixels: Any, cleaning: Cleaning) -> tuple[Any, str]:
    cleaned = clean(pixels, cleaning)
    share = ""
    if cleaning.binning == 1 and not cleaning.flatten:
        changed = int(np.count_nonzero(cleaned != pixels))
        share = f"; {changed:,} px changed"
    return cleaned, f"Shown: {cleaning.sentence}{share}."
