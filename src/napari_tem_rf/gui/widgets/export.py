"""The export widget: the current run and its score, predict, write masks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from qtpy.QtWidgets import QComboBox, QFileDialog, QProgressBar, QPushButton, QWidget

from napari_tem_rf.gui.layers import image_shape, is_ours, mark_of, pixel_size_nm
from napari_tem_rf.gui.masks import export_mask
from napari_tem_rf.gui.predicting import Predicting
from napari_tem_rf.gui.predictions import predictions
from napari_tem_rf.gui.session import TrainedRun, session_of
from napari_tem_rf.gui.shortcuts import key_of
from napari_tem_rf.gui.widgets.parts import (
    LayerChoice,
    Sentence,
    column,
    listen,
    row,
    sentence,
    time_left,
)
from napari_tem_rf.runs import read_run

_FORMATS = (
    "Calibrated TIFF (*.tif)",
    "OME-Zarr (*.ome.zarr)",
    "PNG, without pixel size (*.png)",
    "NumPy, without pixel size (*.npy)",
)


class ExportWidget(QWidget):
    """Use a run: predict images, show and hide what it says, write masks.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._predicting: Predicting | None = None
        self._writing: Any = None

        self.runs = QComboBox()
        self.runs.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.runs.setMinimumWidth(80)
        self.runs.setToolTip("The run that predicts")
        self.runs.activated.connect(self._choose_run)
        self.open_button = QPushButton("Open run...")
        self.open_button.setToolTip("Use a run of an earlier day: choose its folder")
        self.open_button.clicked.connect(self._ask_run)
        self.score = Sentence()

        self.predict_button = QPushButton("Predict")
        self.predict_button.setToolTip("Predict the frame that is shown with this run")
        self.predict_button.clicked.connect(self._predict_shown)
        self.all_button = QPushButton("Predict all")
        self.all_button.setToolTip("Predict every image and every frame in the layer list")
        self.all_button.clicked.connect(self._predict_all)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop predicting; what is done stays")
        self.stop_button.clicked.connect(self._stop)
        self.show_button = QPushButton("Show / hide")
        self.show_button.setToolTip(f"Show or hide the predictions ({key_of('toggle_prediction')})")
        self.show_button.clicked.connect(self._toggle)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.hide()

        self.masks = LayerChoice("no mask yet: train or predict first")
        self.masks.on_chosen(self._choose_mask)
        self.export_button = QPushButton("Export...")
        self.export_button.setToolTip(
            "Write the mask with the image's pixel size; the file's ending chooses the format.\n"
            "A record of how it was made is written beside it."
        )
        self.export_button.clicked.connect(self._ask_file)
        self.words = Sentence()
        self._mask: Labels | None = None

        column(
            self,
            [
                row(self.runs, self.open_button, stretch=0),
                self.score,
                row(self.predict_button, self.all_button, self.show_button, self.stop_button),
                self.bar,
                row(self.masks, self.export_button, stretch=0),
                self.words,
            ],
        )
        session = self.session
        for signal in (
            session.runs_changed,
            session.run_changed,
            session.layers_changed,
            session.image_changed,
            session.annotation_changed,
        ):
            listen(self, signal, self._show)
        listen(self, session.predicting_changed, self._on_predicting)
        listen(self, session.prediction_toggled, self._toggle)
        self._show()
        self._on_predicting(session.predicting)

    # showing

    def _show(self, _value: object = None) -> None:
        session = self.session
        runs = list(reversed(session.runs))
        self.runs.blockSignals(True)
        self.runs.clear()
        self.runs.addItems([run.title for run in runs] or ["no run yet: train, or open one"])
        if session.run in runs:
            self.runs.setCurrentIndex(runs.index(session.run))
        self.runs.blockSignals(False)
        self._say_score(session.run)
        masks = predictions(session)
        masks += [layer for layer in session.annotations() if layer not in masks]
        if self._mask not in masks:
            self._mask = None
        mine = predictions(session)
        first = mine[-1] if mine else session.annotation
        self.masks.show_layers(masks, first if self._mask is None else self._mask)
        self.export_button.setEnabled(self.masks.chosen() is not None and self._writing is None)
        self.show_button.setEnabled(bool(mine))
        self._enable()

    def _enable(self) -> None:
        session = self.session
        idle = session.predicting is None
        can = session.run is not None and session.image is not None and idle
        self.predict_button.setEnabled(can)
        self.all_button.setEnabled(can)
        self.stop_button.setEnabled(not idle)
        self.stop_button.setVisible(not idle)

    def _say_score(self, run: TrainedRun | None) -> None:
        if run is None:
            self.score.say("There is no result yet: train a network, or open a run.", "quiet")
            return
        split = run.record.split
        if run.dice is None:
            self.score.say(sentence(f"no score: {split.get('sentence', '')}"), "quiet")
        else:
            parts = "images" if split.get("kind") == "groups" else "blocks"
            self.score.say(f"Dice {run.dice:.3f} on held-out {parts}.", "plain")
        self.score.setToolTip(f"{sentence(split.get('sentence', ''))}\nRun: {run.folder}")
        size, now = run.record.pixel_size_nm, self.session.pixel_size_nm
        if size is not None and now is not None:
            ratio = now[0] / size[0]
            if not 0.8 <= ratio <= 1.25:
                self.score.say(
                    f"This run was trained at {size[0]:.4g} nm/px but the image has {now[0]:.4g}: "
                    f"{ratio:.2g} times as much; its particles look different to the network.",
                    "warning",
                )

    def _choose_run(self, place: int) -> None:
        runs = list(reversed(self.session.runs))
        if place < len(runs):
            self.session.run = runs[place]

    def _choose_mask(self, layer: Labels) -> None:
        self._mask = layer
        self._show()

    def _ask_run(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a run", str(self.session.runs_folder))
        if folder:
            self.open_run(Path(folder))

    def open_run(self, folder: Path) -> None:
        """Use a run of an earlier session."""
        try:
            run = read_run(folder)
        except (OSError, ValueError) as error:
            self.words.say(str(error), "error")
            return
        self.words.say("")
        self.session.add_run(TrainedRun(run.folder, run.record))

    # predicting

    def _predict_shown(self) -> None:
        if self.session.image is not None:
            self._predict([(self.session.image, self.session.frame)])

    def _predict_all(self) -> None:
        targets = []
        for image in self.session.images():
            shape = image_shape(image)
            frames = range(shape[0]) if len(shape) == 3 else range(1)
            targets += [(image, frame) for frame in frames]
        self._predict(targets)

    def _predict(self, targets: Sequence[tuple[Image, int]]) -> None:
        run = self.session.run
        if run is not None and self.session.predicting is None:
            self.words.say("")
            Predicting(self.session, run).begin(targets)

    def _stop(self) -> None:
        if self.session.predicting is not None:
            self.session.predicting.stop()
            self.stop_button.setEnabled(False)

    def _on_predicting(self, predicting: Predicting | None) -> None:
        self.bar.setVisible(predicting is not None)
        self._enable()
        if predicting is not None:
            self.bar.setValue(0)
            self.bar.setFormat("predicting")
            predicting.progressed.connect(self._on_progress)
            predicting.ended.connect(self._on_predicted)
        else:
            self._show()

    def _on_progress(self, fraction: float, seconds_left: float | None, what: str) -> None:
        self.bar.setValue(round(1000 * fraction))
        left = "" if seconds_left is None else f", {time_left(seconds_left)}"
        self.bar.setFormat(f"{what}{left}")

    def _on_predicted(self, words: str, well: bool) -> None:
        self.words.say(words, "quiet" if well else "error")

    def _toggle(self) -> None:
        layers = predictions(self.session)
        visible = not any(layer.visible for layer in layers)
        for layer in layers:
            layer.visible = visible

    # writing

    def _ask_file(self) -> None:
        layer = self.masks.chosen()
        if layer is None:
            return
        folder = self.session.runs_folder if self.session.runs_folder.exists() else Path.home()
        name = layer.name.replace(": ", "_").replace(" ", "_").replace("/", "_")
        path, form = QFileDialog.getSaveFileName(
            self, "Export the mask", str(folder / f"{name}.tif"), ";;".join(_FORMATS)
        )
        if path:
            chosen = Path(path)
            if not chosen.suffix:
                ending = form.rpartition("*")[2].rstrip(")")
                chosen = chosen.with_name(chosen.name + (ending or ".tif"))
            self.export_to(chosen, layer)

    def export_to(self, path: Path, layer: Labels) -> None:
        """Write a mask in the background, with its provenance beside it."""
        mark = mark_of(layer) if is_ours(layer) else {}
        run = mark.get("run")
        source = next(
            (
                image
                for image in self.session.images()
                if str(image.unique_id) == mark.get("image_id")
            ),
            None,
        )
        self.words.say(f"Writing {path.name}...", "quiet")
        self.export_button.setEnabled(False)
        self._writing = create_worker(
            export_mask,
            path,
            np.array(layer.data),
            pixel_size_nm(layer),
            run=None if run is None else Path(run),
            image=source,
            _start_thread=False,
        )
        self._writing.returned.connect(self._on_written)
        self._writing.start()

    def _on_written(self, result: tuple[bool, str]) -> None:
        self._writing = None
        well, words = result
        self.words.say(words, "good" if well else "error")
        self._show()
