"""The export widget: the current run and its score, predict, write masks."""

from collections.abc import Sequence
from pathlib import Path

import napari
from napari.layers import Image
from qtpy.QtWidgets import QCheckBox, QFileDialog, QMenu, QProgressBar, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf.gui.export.mask_export import MaskExport
from napari_tem_rf.gui.export.sharing import ShareButton
from napari_tem_rf.gui.layers.layers import image_shape, pixel_size_nm
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import (
    Choice,
    Fold,
    Sentence,
    Tone,
    column,
    listen,
    row,
    sentence,
    time_left,
)
from napari_tem_rf.gui.pieces.shortcuts import key_of
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.segment.adopting import AdoptWidget
from napari_tem_rf.gui.segment.expected import ExpectedWidget
from napari_tem_rf.gui.segment.finishing import FinishingWidget
from napari_tem_rf.gui.segment.predicting import Predicting
from napari_tem_rf.gui.segment.results import ResultsLine
from napari_tem_rf.gui.session.annotations import owner_of
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.foreign_weights import ForeignWeights
from napari_tem_rf.gui.session.shared_runs import open_shared_run
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.jobs.pixel_sizes import size_sentence, wished_resampling
from napari_tem_rf.protocol import fit_in_words
from napari_tem_rf.result_folders import result_kind
from napari_tem_rf.run_archive import is_run_archive
from napari_tem_rf.runs import read_run

_WHY_NOT_DICE = (
    "Strokes lie where the answer is easy, so it says little of\n"
    "outlines: paint whole particles, or a mask of another image, for a score that does."
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

        self.runs = Choice()
        self.runs.setToolTip("The run that predicts")
        self.runs.activated.connect(self._choose_run)
        self.open_button = QPushButton("Open run...")
        self.open_button.setToolTip(
            "Use a run of an earlier day, one that somebody shared, or somebody's weights.\n"
            "Zips and weights can be dropped on the dock, too."
        )
        menu = QMenu(self.open_button)
        menu.addAction("Folder of a run, or of masks...", self._ask_run)
        menu.addAction("Shared run or weights (zip, pt, safetensors, h5)...", self._ask_file)
        self.open_button.setMenu(menu)
        self.share_button = ShareButton(viewer)
        self.adopting = AdoptWidget(viewer)
        self.score = Sentence()
        self.sizes = Sentence()

        self.predict_button = QPushButton("Predict")
        self.predict_button.setToolTip("Predict the frame that is shown with this run")
        self.predict_button.clicked.connect(self._predict_shown)
        self.all_button = QPushButton("Predict all")
        self.all_button.setToolTip("Predict every image and every frame in the layer list")
        self.all_button.clicked.connect(self._predict_all)
        self.folder_button = QPushButton("Folder...")
        self.folder_button.setToolTip(
            "Predict every image file of a folder into masks on disk, in a folder beside the run;\n"
            "what is there already is kept, so that a stopped folder goes on where it was"
        )
        self.folder_button.clicked.connect(self._ask_folder)
        self.resample = QCheckBox("resample to the network's pixel size")
        self.resample.setToolTip(
            "Show images of another pixel size to the network at the size that it was trained at,\n"
            "where its receptive field still finds room. The prediction comes back on the image's\n"
            "own pixels."
        )
        self.resample.setChecked(True)
        self.resample.toggled.connect(self._say_sizes)
        self.resample.hide()
        self.steadying = Form(self.session.situation.choices.steadying)
        self.steadying.changed.connect(lambda plan: self.session.choose(steadying=plan))
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop predicting; what is done stays")
        self.stop_button.clicked.connect(self._stop)
        self.show_button = QPushButton("Show / hide")
        set_tip(self.show_button, f"Show or hide the predictions ({key_of('toggle_prediction')})")
        self.show_button.clicked.connect(self._toggle)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.hide()

        self.expected = ExpectedWidget(viewer)
        self.finishing = FinishingWidget(viewer)
        self.mask_export = MaskExport(viewer)
        self.export_button = self.mask_export.export_button
        self.words = Sentence()
        self.results = ResultsLine(viewer)

        column(
            self,
            [
                row(self.runs, self.open_button, self.share_button, stretch=0),
                self.adopting,
                self.score,
                self.sizes,
                self.resample,
                self.steadying,
                row(self.predict_button, self.all_button, self.folder_button, self.show_button),
                row(self.bar, self.stop_button, stretch=0),
                self.words,
                self.expected,
                Fold("Finish the mask", self.finishing),
                self.results,
                self.mask_export,
            ],
        )
        session = self.session
        session.watch(
            self,
            lambda now: (
                *(now.choices.runs, now.choices.run, now.choices.image, now.scene),
                now.choices.steadying,
            ),
            self._show,
        )
        session.watch(self, lambda now: now.activity.predicting, self._on_predicting)
        listen(self, session.requested, self._on_request)
        self._show(session.situation)
        self._on_predicting(session.situation)

    # showing

    def _show(self, now: Situation) -> None:
        choices = now.choices
        runs = list(reversed(choices.runs))
        with signals_blocked(self.runs):
            self.runs.clear()
            self.runs.addItems([run.title for run in runs] or ["no run yet: train, or open one"])
            if choices.run in runs:
                self.runs.setCurrentIndex(runs.index(choices.run))
        self.steadying.show_plan(choices.steadying)
        image = choices.image
        self.steadying.setVisible(
            image is not None and len(image_shape(image)) == 3 and choices.run is not None
        )
        self._say_score(choices.run)
        self._say_sizes()
        self.show_button.setEnabled(bool(now.scene.predictions))
        self._enable(now)

    def _enable(self, now: Situation) -> None:
        choices, idle = now.choices, now.activity.predicting is None
        can = choices.run is not None and choices.image is not None and idle
        self.predict_button.setEnabled(can)
        self.all_button.setEnabled(can)
        self.folder_button.setEnabled(choices.run is not None and idle)
        self.stop_button.setEnabled(not idle)
        self.stop_button.setVisible(not idle)

    def _say_score(self, run: TrainedRun | None) -> None:
        if run is None:
            self.score.say("There is no result yet: train a network, or open a run.", "quiet")
            return
        split = run.record.split
        lines = [sentence(split.get("sentence", "")), f"Run: {run.folder}"]
        if run.record.adopted is not None:
            lines.append(f"Its weights come from {run.record.adopted.file}")
        if run.record.state == "training":
            self.score.say("Its training was broken off before it was scored.", "quiet")
        elif run.dice is None:
            why = split.get("sentence", "")
            self.score.say(sentence(f"no score: {why}" if why else "no score"), "quiet")
        elif run.scored == "strokes":
            self.score.say(f"{sentence(fit_in_words(run.dice))[:-1]}; look at the picture.")
            lines.insert(0, f"Dice {run.dice:.3f} on held-out strokes. {_WHY_NOT_DICE}")
        else:
            self.score.say(f"Dice {run.dice:.3f} on held-out {run.scored}.", "plain")
        set_tip(self.score, "\n".join(lines))

    def _say_sizes(self) -> None:
        """Say by how much the image's pixels differ from those trained on, and offer a remedy."""
        run, image = self.session.run, self.session.image
        said, is_resampled = None, False
        if run is not None and image is not None:
            about = (run.record, pixel_size_nm(image), image_shape(image)[-2:], self._wish)
            said = size_sentence(*about)
            is_resampled = wished_resampling(*about) is not None
        words = "" if said is None or image is None else f"{image.name}: {said}."
        self.sizes.say(words, "plain" if is_resampled else "warning")
        self.resample.setVisible(said is not None)

    @property
    def _wish(self) -> bool | None:
        """What is wished for images of another pixel size; see `wished_resampling`."""
        return None if self.resample.isChecked() else False

    def _choose_run(self, place: int) -> None:
        runs = list(reversed(self.session.runs))
        if place < len(runs):
            self.session.run = runs[place]

    def _ask_run(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a run", str(self.session.runs_folder))
        if folder:
            self.open_run(Path(folder))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self,
            "Open a shared run or weights",
            str(self.session.runs_folder),
            "Shared runs and weights (*.zip *.pt *.pth *.ckpt *.safetensors *.h5 *.hdf5);;All (*)",
        )
        if name:
            self.open_run(Path(name))

    def open_run(self, folder: Path) -> None:
        """Use a run of an earlier session, the zip of one, or the weights in a file.

        A folder of masks is offered to be shown.
        """
        if folder.is_file() and folder.name != "run.json":
            self.words.say("")
            if is_run_archive(folder):
                open_shared_run(self.session, folder)
            else:
                self.session.part(ForeignWeights).offered.emit(folder)
            return
        if result_kind(folder) == "masks":
            self.words.say("")
            self.results.name_folder(folder)
            return
        try:
            run = read_run(folder)
        except (OSError, ValueError) as error:
            self._say(str(error), "error")
            return
        self.words.say("")
        self.results.name_folder(run.folder)
        self.session.add_run(TrainedRun(run.folder, run.record))

    # predicting

    def _predict_shown(self) -> None:
        if self.session.image is not None:
            self._predict([(self.session.image, self.session.frame)])

    def _predict_all(self) -> None:
        targets = []
        for image in self.session.images:
            shape = image_shape(image)
            frames = range(shape[0]) if len(shape) == 3 else range(1)
            targets += [(image, frame) for frame in frames]
        self._predict(targets)

    def _predict(self, targets: Sequence[tuple[Image, int]]) -> None:
        run = self.session.run
        if run is not None and self._is_idle:
            self.words.say("")
            self._new_round(run).begin(targets)

    def _new_round(self, run: TrainedRun) -> Predicting:
        return Predicting(self.session, run, resample=self._wish)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Predict the images of a folder")
        if folder:
            self.predict_folder(Path(folder))

    def predict_folder(self, folder: Path) -> None:
        """Predict the files of a folder into masks beside the run."""
        run = self.session.run
        if run is None or not self._is_idle:
            return
        self.words.say("")
        try:
            self._new_round(run).begin_folder(folder)
        except ValueError as error:
            self._say(str(error), "error")

    @property
    def _is_idle(self) -> bool:
        return self.session.situation.activity.predicting is None

    def _stop(self) -> None:
        predicting = self.session.situation.activity.predicting
        if predicting is not None:
            predicting.stop()
            self.stop_button.setEnabled(False)

    def _on_request(self, name: str) -> None:
        if name == "toggle_prediction":
            self._toggle()

    def _on_predicting(self, now: Situation) -> None:
        predicting = now.activity.predicting
        self.bar.setVisible(predicting is not None)
        self._enable(now)
        if predicting is not None:
            self.bar.setValue(0)
            self.bar.setFormat("predicting")
            predicting.progressed.connect(self._on_progress)
            predicting.ended.connect(self._on_predicted)
            predicting.written.connect(self._on_written)
        else:
            self._show(now)

    def _on_progress(self, fraction: float, seconds_left: float | None, what: str) -> None:
        self.bar.setValue(round(1000 * fraction))
        left = "" if seconds_left is None else f", {time_left(seconds_left)}"
        self.bar.setFormat(f"{what}{left}")

    def _on_predicted(self, words: str, well: bool) -> None:
        self._say(words, "quiet" if well else "error")

    def _say(self, words: str, tone: Tone) -> None:
        self.words.say(words, tone)
        self.session.part(Status).say(words, tone)

    def _on_written(self, folder: Path) -> None:
        self.results.name_folder(folder)

    def _toggle(self) -> None:
        scene = self.session.refresh().scene
        on = [(layer, owner_of(layer, scene.images)) for layer in scene.predictions]
        # those of an image that is hidden are shown with it
        layers = [layer for layer, image in on if image is None or image.visible]
        visible = not any(layer.visible for layer in layers)
        for layer in layers:
            layer.visible = visible
