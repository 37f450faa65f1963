"""The line that writes masks, instances and probabilities."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_tem_rf import jobs
from napari_tem_rf.exporting import ExportSettings
from napari_tem_rf.gui.export.masks import (
    export_instances,
    export_mask,
    export_probabilities,
    outgoing,
)
from napari_tem_rf.gui.layers.layers import frame_pixels
from napari_tem_rf.gui.layers.marks import image_mark_of, is_ours
from napari_tem_rf.gui.layers.plane import shown_frame
from napari_tem_rf.gui.particles.layers import image_under
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import LayerChoice, Sentence, Tone, column, row
from napari_tem_rf.gui.session.background import run_in_thread
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.gui.session.viewers import session_of


class MaskExport(QWidget):
    """Choose a mask or particles, and write them with a record of how they were made.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._mask: Labels | None = None
        self._writing: Any = None
        self.masks = LayerChoice("no mask yet: train or predict first")
        self.masks.on_chosen(self._choose_mask)
        self.form = Form(ExportSettings(), titled=False)
        self.kind = self.form.box("kind")
        self.export_button = QPushButton("Export...")
        self.export_button.setToolTip(
            "Write it with the image's pixel size; the file's ending chooses the format.\n"
            "A record of how it was made is written beside it."
        )
        self.export_button.clicked.connect(self._ask_file)
        self.words = Sentence()
        column(self, [row(self.masks, self.form, self.export_button, stretch=0), self.words])
        self.session.watch(
            self, lambda now: (now.scene, now.choices, now.activity.predicting), self.show_masks
        )
        self.show_masks(self.session.situation)

    @property
    def settings(self) -> ExportSettings:
        """What is to be written."""
        settings: ExportSettings = self.form.plan
        return settings

    def show_masks(self, now: Situation) -> None:
        """Show what there is to write."""
        scene = now.scene
        mine = scene.predictions
        masks = [*mine, *(layer for layer in scene.annotations if layer not in mine)]
        masks += [
            layer
            for layer in scene.layers
            if isinstance(layer, Labels) and is_ours(layer, "particles") and layer not in masks
        ]
        if self._mask not in masks:
            self._mask = None
        first = mine[-1] if mine else now.choices.annotation
        self.masks.show_layers(masks, first if self._mask is None else self._mask)
        self._enable()

    def _enable(self) -> None:
        self.export_button.setEnabled(self.masks.chosen() is not None and self._writing is None)

    def _choose_mask(self, layer: Labels) -> None:
        self._mask = layer
        self.show_masks(self.session.situation)

    def _ask_file(self) -> None:
        layer = self.masks.chosen()
        if layer is None:
            return
        settings = self.settings
        if settings.kind == "probabilities" and image_mark_of(layer).run is None:
            self.words.say(
                f'"{layer.name}" was not predicted by a run: choose a prediction, whose run gives '
                "the probabilities.",
                "warning",
            )
            return
        folder = self.session.runs_folder if self.session.runs_folder.exists() else Path.home()
        name = layer.name.replace(": ", "_").replace(" ", "_").replace("/", "_")
        if settings.kind == "probabilities":
            name += "_probabilities"
        ending = settings.formats[0].ending
        path, form = QFileDialog.getSaveFileName(
            self,
            f"Export {self.kind.currentText()}",
            str(folder / f"{name}{ending}"),
            ";;".join(
                f"{each.title}{', without pixel size' * (not each.holds_size)} (*{each.ending})"
                for each in settings.formats
            ),
        )
        if not path:
            return
        chosen = Path(path)
        # the dialog has asked about a file of the name that was typed, and of no other
        overwrite = chosen.is_file()
        if not chosen.suffix:
            chosen = chosen.with_name(chosen.name + (_ending(form) or ending))
            overwrite = False
        self.export_to(chosen, layer, overwrite=overwrite)

    def export_to(self, path: Path, layer: Labels, *, overwrite: bool = False) -> None:
        """Write what is chosen of a layer in the background, with its record beside it."""
        kind = self.settings.kind
        if kind == "probabilities":
            self._predict_probabilities(path, layer, overwrite)
            return
        write = export_instances if kind == "instances" else export_mask
        out = outgoing(self.session, layer)
        self._begin(path, partial(write, path, out, overwrite))

    def _predict_probabilities(self, path: Path, layer: Labels, overwrite: bool) -> None:
        session = self.session
        image, mark = image_under(session, layer), image_mark_of(layer)
        if image is None or mark.run is None:
            self.words.say(f'the image of "{layer.name}" is not open any more: open it', "error")
            return
        frame = shown_frame(session.viewer, layer)
        origin = replace(outgoing(session, layer).origin, by_hand=False)
        if layer.ndim == 3:
            origin = replace(origin, image=f"{origin.image}[{frame}]")

        def done(result: jobs.PredictionResult | None) -> None:
            self._writing = None
            if result is not None and result.probabilities is not None:
                likely = result.probabilities
                self._begin(path, partial(export_probabilities, path, likely, origin, overwrite))

        self.words.say(f"Predicting the probabilities of {origin.image}...", "quiet")
        self._writing = session.submit(
            jobs.predict_with_run,
            mark.run,
            frame_pixels(image, frame),
            None,
            True,
            "auto",
            mark.resampling,
            mark.finishing,
            name=f"predicting {image.name}",
            on_done=done,
            on_failed=lambda sentence: self._on_written((False, sentence)),
        )
        self._enable()

    def _begin(self, path: Path, write: Callable[[], tuple[bool, str]]) -> None:
        self.words.say(f"Writing {path.name}...", "quiet")
        self._writing = run_in_thread(
            lambda _stopped, _say: write(),
            self._on_written,
            lambda trouble: self._on_written((False, trouble)),
            owner=self,
        )
        self._enable()

    def _on_written(self, result: tuple[bool, str]) -> None:
        self._writing = None
        well, words = result
        tone: Tone = "good" if well else "error"
        self.words.say(words, tone)
        self.session.part(Status).say(words, tone)
        self._enable()


def _ending(form: str) -> str:
    """Return the ending that a dialog's filter names: ``TIFF (*.tif)`` gives ``.tif``."""
    return form.rpartition("*")[2].rstrip(")")
