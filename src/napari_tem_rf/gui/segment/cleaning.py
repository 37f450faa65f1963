"""What is done to the pixels before a network sees them, with a preview on a layer of its own."""

from functools import partial
from typing import Any

import napari
import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QPushButton, QSpinBox, QWidget

from napari_tem_rf.gui.layers.layers import frame_pixels, placement
from napari_tem_rf.gui.layers.marks import MARK, OverlayMark, find_ours, note
from napari_tem_rf.gui.pieces.parts import Sentence, column, form, row
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.cleaning import Cleaning, clean

_SPIKES = {"none": "leave", "robust": "above local noise", "paper": "above median (paper)"}


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

        self.spikes = QComboBox()
        for name, title in _SPIKES.items():
            self.spikes.addItem(title, name)
        self.spikes.setToolTip(
            "X-ray spikes, single pixels far too bright. Above local noise: replaced by the\n"
            "median around them. Above median: by the mean of their 8 neighbours, twice\n"
            "(Sytwu et al. 2022)"
        )
        self.threshold = QDoubleSpinBox()
        self.threshold.setRange(0.1, 1e6)
        self.threshold.setDecimals(1)
        self.threshold.setToolTip(
            "What counts as a spike: standard deviations of the local noise, or counts above median"
        )
        self.flatten = QSpinBox()
        self.flatten.setRange(0, 6)
        self.flatten.setSpecialValueText("off")
        self.flatten.setToolTip(
            "Uneven illumination: order of the polynomial surface that is taken off; 2 is common"
        )
        self.binning = QSpinBox()
        self.binning.setRange(1, 16)
        self.binning.setSpecialValueText("off")
        self.binning.setSuffix(" px")
        self.binning.setToolTip(
            "Side of the blocks of pixels that become one. The network then sees blocks as\n"
            "pixels: its receptive field covers as many times more of the image"
        )
        self.preview_button = QPushButton("Preview")
        self.preview_button.setToolTip("Show the cleaned frame in a layer of its own")
        self.preview_button.clicked.connect(self._preview)
        self.words = Sentence()

        lines = QWidget()
        layout = form(lines)
        layout.addRow("spikes", row(self.spikes, self.threshold, stretch=0))
        layout.addRow("flatten, order", self.flatten)
        layout.addRow("bin", self.binning)
        column(self, [lines, row(self.preview_button), self.words])

        self.spikes.activated.connect(self._set_spikes)
        self.threshold.valueChanged.connect(self._set)
        self.flatten.valueChanged.connect(self._set)
        self.binning.valueChanged.connect(self._set)
        self.session.watch(self, lambda now: (now.choices.cleaning, now.choices.image), self._show)
        self._show(self.session.situation)

    def _show(self, now: Situation) -> None:
        cleaning = now.choices.cleaning
        parts = (self.spikes, self.threshold, self.flatten, self.binning)
        for part in parts:
            part.blockSignals(True)
        self.spikes.setCurrentIndex(self.spikes.findData(cleaning.spikes))
        self.threshold.setValue(cleaning.threshold)
        self.threshold.setVisible(cleaning.spikes != "none")
        self.flatten.setValue(cleaning.flatten)
        self.binning.setValue(cleaning.binning)
        for part in parts:
            part.blockSignals(False)
        does_something = cleaning != Cleaning()
        self.preview_button.setEnabled(does_something and now.choices.image is not None)
        if does_something:
            self.words.say("Done before training and kept with the run; your image stays.", "quiet")
        else:
            self.words.say("Nothing is done to the pixels.", "quiet")

    def _set_spikes(self, _place: int) -> None:
        self.session.cleaning = Cleaning(
            spikes=self.spikes.currentData(),
            flatten=self.flatten.value(),
            binning=self.binning.value(),
        )

    def _set(self, _value: object = None) -> None:
        spikes = self.spikes.currentData()
        self.session.cleaning = Cleaning(
            spikes=spikes,
            spike_threshold=None if spikes == "none" else self.threshold.value(),
            flatten=self.flatten.value(),
            binning=self.binning.value(),
        )

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
