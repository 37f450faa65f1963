"""What is done to the pixels before a network sees them, with a preview on a layer of its own."""

from dataclasses import replace
from typing import Any

import napari
import numpy as np
from napari.layers import Image
from napari.qt.threading import create_worker
from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf.gui.layers.layers import MARK, find_ours, frame_pixels, placement
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import Sentence, column, listen, row
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
        self._cleaning: Any = None

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
        listen(self, self.session.cleaning_changed, self._show)
        listen(self, self.session.image_changed, self._show)
        self._show()

    def _show(self, _value: object = None) -> None:
        cleaning = self.session.cleaning
        self.form.show_plan(cleaning)
        does_something = cleaning != Cleaning()
        self.preview_button.setEnabled(does_something and self.session.image is not None)
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
        self._cleaning = create_worker(
            _cleaned, pixels, self.session.cleaning, image, _start_thread=False
        )
        self._cleaning.returned.connect(self._on_cleaned)
        self._cleaning.start()

    def _on_cleaned(self, result: tuple[Any, str, Image]) -> None:
        self._cleaning = None
        pixels, sentence, image = result
        layers = self.session.viewer.layers
        if pixels is None or image not in layers:
            self.words.say(sentence, "error")
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
        binning = self.session.cleaning.binning
        # the middle of a block lies between the middles of its pixels
        place["translate"] = tuple(
            at + step * (binning - 1) / 2
            for at, step in zip(place["translate"], place["scale"], strict=True)
        )
        place["scale"] = tuple(step * binning for step in place["scale"])
        mark = {"kind": "cleaned", "title": title}
        layer = Image(pixels, name=title, metadata={MARK: mark}, **place)
        layers.insert(layers.index(image) + 1, layer)
        layer.metadata = {MARK: {**mark, "name": layer.name}}
        self.words.say(sentence, "quiet")


def _cleaned(pixels: Any, cleaning: Cleaning, image: Image) -> tuple[Any, str, Image]:
    try:
        cleaned = clean(pixels, cleaning)
    except ValueError as error:
        return None, str(error), image
    if cleaning.binning == 1:
        changed = int(np.count_nonzero(cleaned != pixels))
        share = f"; {changed:,} px changed" if not cleaning.flatten else ""
    else:
        share = ""
    return cleaned, f"Shown: {cleaning.sentence}{share}.", image
