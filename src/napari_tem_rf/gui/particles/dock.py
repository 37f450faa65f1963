"""The particles dock: from a mask to particles, their sizes in nm, and corrections by hand."""

from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QFileDialog,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QShortcut,
    QWidget,
)

from napari_tem_rf.exporting import export_table
from napari_tem_rf.gui.particles import layers as particle_layers
from napari_tem_rf.gui.particles.histogram import ParticleHistogram
from napari_tem_rf.gui.particles.marks import MOST_BOXES, ParticleMarks, find_spot
from napari_tem_rf.gui.particles.options import ParticleOptions
from napari_tem_rf.gui.particles.particles import Particles
from napari_tem_rf.gui.particles.preview import SplitPreview
from napari_tem_rf.gui.particles.table import ParticleTable
from napari_tem_rf.gui.pieces.parts import (
    DOCK_WIDTH,
    LayerChoice,
    PrimaryButton,
    Sentence,
    Tone,
    column,
    listen,
    row,
    sentence,
    time_left,
)
from napari_tem_rf.gui.pieces.preloading import MATPLOTLIB, PANDAS, preload
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.measuring.series import Finding

_TABLE_HEIGHT_PX = 210


class ParticlesWidget(QScrollArea):
    """Finds the particles of a mask, measures them, and lets them be corrected.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.particles = Particles(self.session)
        self.marks = ParticleMarks(self.session, self, self._on_click)
        self.preview = SplitPreview(self.session)
        self._previewed: Finding | None = None
        self._found_with: tuple[object, Finding] | None = None
        self._writing: ThreadWork | None = None

        self.masks = LayerChoice("no mask yet")
        self.masks.setToolTip("The mask whose particles are found; it is not changed")
        self.masks.on_chosen(self._choose_mask)
        self.ground = Sentence(tone="quiet")
        self.options = ParticleOptions()
        self.find_button = PrimaryButton("Find particles")
        self.find_button.setToolTip("Find and measure the particles, in a layer of their own")
        self.find_button.clicked.connect(self.find)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop; the frames that are done stay")
        self.stop_button.clicked.connect(self.particles.work.stop)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.words = Sentence()

        self.histogram = ParticleHistogram()
        self.table = ParticleTable()
        self.table.setMinimumHeight(_TABLE_HEIGHT_PX)
        self.table.setToolTip("Click on a particle to go to it; click on a header to sort")
        self.table.chosen.connect(self._on_chosen)
        delete_key = QShortcut(QKeySequence(QKeySequence.StandardKey.Delete), self.table)
        delete_key.setContext(Qt.ShortcutContext.WidgetShortcut)
        delete_key.activated.connect(self.delete_selected)
        self.delete_button = _button("Delete", "Delete the selected particles (Del)")
        self.delete_button.clicked.connect(self.delete_selected)
        self.merge_button = _button("Merge", "Make the selected particles one")
        self.merge_button.clicked.connect(self.merge_selected)
        self.undo_button = _button("Undo", "")
        self.undo_button.clicked.connect(self._undo)
        self.export_button = _button("CSV...", "Write the table, and how it was made beside it")
        self.export_button.clicked.connect(self._ask_file)
        self.hint = Sentence(tone="quiet")
        # the table must not jump under the mouse when the words change
        self.hint.setMinimumHeight(2 * self.hint.fontMetrics().lineSpacing())
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)

        self.results = QWidget()
        column(
            self.results,
            [
                self.histogram,
                self.table,
                row(self.delete_button, self.merge_button, self.undo_button, self.export_button),
                self.hint,
            ],
        )
        content = QWidget()
        layout = column(
            content,
            [
                row(PlainLabel("Mask"), self.masks, stretch=1),
                self.ground,
                self.options,
                row(self.find_button, self.stop_button, self.bar, stretch=2),
                self.words,
                self.results,
            ],
            margin=8,
        )
        layout.setStretchFactor(self.results, 1)
        layout.addStretch(0)
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(DOCK_WIDTH)

        listen(self, self.particles.changed, self._show)
        listen(self, self.particles.busy_changed, self._show_busy)
        listen(self, self.particles.said, self._say)
        listen(self, self.particles.work.progressed, self._on_progress)
        listen(self, self.options.changed, self._on_options)
        listen(self, self.preview.counted, self._on_counted)
        preload(self, PANDAS, MATPLOTLIB)  # for the first particles
        for part in (self.preview, self.marks, self.particles):
            for end in (self.destroyed, self.session.closed):
                # not a method of the dock: Qt has taken it apart by then
                end.connect(partial(_close, part))
        self._show()
        self._show_busy()

    # what there is

    def _show(self) -> None:
        particles = self.particles
        mask, layer = particles.mask, particles.layer
        self.masks.show_layers(particle_layers.masks(self.session), mask)
        self._show_ground()
        self.options.show_pixel(particles.pixel_size_nm)
        self.options.show_frames(0 if mask is None else len(particle_layers.all_frames(mask)))
        self.results.setVisible(layer is not None)
        if layer is not None:
            self.table.show_table(particles.table)
            self.histogram.show_table(particles.table)
            finding = particle_layers.particles_mark(layer).finding
            self._found_with = None if finding is None else (layer, finding)
        self._mark_selected()
        self._show_busy()

    def _show_ground(self) -> None:
        """Say what the sizes are measured with."""
        mask, size = self.particles.mask, self.particles.pixel_size_nm
        if mask is None:
            self.ground.say(
                "There is no mask yet: train and predict, or add a labels layer.", "quiet"
            )
            return
        image = particle_layers.image_under(self.session, mask)
        if size is None:
            words, tone = "No pixel size, so sizes are in px: type it under Image", "warning"
        elif abs(size[0] - size[1]) < 1e-6 * size[0]:
            words, tone = f"{size[0]:.4g} nm/px", "quiet"
        else:
            words, tone = f"{size[0]:.4g} nm down and {size[1]:.4g} nm across a pixel", "quiet"
        if image is None:
            words += "; no image of this shape, so no mean intensity"
        else:
            words += f"; intensity of {image.name}"
        if particle_layers.strokes_background(self.session, mask):
            words += "; these are strokes: what is not annotated counts as background"
            tone = "warning"
        self.ground.say(sentence(words), tone)  # type: ignore[arg-type]

    def _show_busy(self) -> None:
        particles = self.particles
        finding = particles.is_finding
        self.find_button.setEnabled(particles.mask is not None and not particles.work.is_busy)
        self.stop_button.setVisible(finding and particles.is_series)
        self.bar.setVisible(finding)
        if finding:
            # a single image has no steps: the bar moves without saying how far
            self.bar.setRange(0, 1000 if particles.is_series else 0)
            self.bar.setFormat("looking for particles")
            self.bar.setValue(0)
        self._enable()

    def _on_progress(self, fraction: float, seconds_left: float) -> None:
        self.bar.setValue(round(1000 * fraction))
        self.bar.setFormat(f"%p %, {time_left(seconds_left)}")

    def _say(self, words: str, tone: Tone) -> None:
        self.words.say(sentence(words), tone)

    def _show_stale(self) -> None:
        """Say that the table is of other settings than those shown."""
        layer, found = self.particles.layer, self._found_with
        if layer is None or found is None or found[0] is not layer:
            return
        if found[1] == self.options.finding:
            self.words.say("")
        else:
            self.words.say("The settings changed: press Find particles to use them.", "advice")

    def _on_options(self) -> None:
        """Draw at once what other settings would find; measuring waits for the button."""
        self._show_stale()
        mask, finding = self.particles.mask, self.options.finding
        if mask is not None and not self.particles.is_finding:
            self._previewed = finding
            self.preview.show(mask, finding)

    def _on_counted(self, number: int) -> None:
        if self._previewed == self.options.finding and not self.particles.is_finding:
            frame = " in this frame" if self.particles.is_series else ""
            self.words.say(
                f"{_count(number)}{frame} with these settings: press Find particles to measure "
                "them.",
                "advice",
            )

    def _choose_mask(self, layer: Any) -> None:
        self.words.say("")
        self.preview.close()
        self.particles.mask = layer

    # finding

    def find(self) -> None:
        """Find the particles with the settings that are shown."""
        self.words.say("")
        self.preview.close()
        self.particles.find(self.options.finding, self.options.all_frames)

    # choosing

    def _on_chosen(self, labels: list[int]) -> None:
        self._mark_selected()
        if len(labels) == 1 and self.marks.spots:
            self.marks.go_to(self.marks.spots[0])

    def _on_click(self, label: int, more: bool) -> None:
        """Select the particle that was clicked on in the canvas."""
        selected = set(self.table.selected()) if more else set()
        if label > 0:
            selected ^= {label}
        self.table.select(selected, first=label)
        self._mark_selected()

    def _mark_selected(self) -> None:
        particles, labels = self.particles, self.table.selected()
        layer = particles.layer
        spots = []
        if layer is not None:
            size = particle_layers.particles_mark(layer).pixel_size_nm
            for label in labels[:MOST_BOXES]:
                spot = find_spot(layer, particles.table, label, size)
                spots += [] if spot is None else [spot]
            if len(labels) == 1:
                # the brush continues with this particle
                layer.selected_label = labels[0]
        self.marks.show(layer, spots)
        self._enable()

    def _enable(self) -> None:
        """Switch buttons on and off, and say what is missing."""
        particles = self.particles
        labels = self.table.selected() if particles.layer is not None else []
        free = not particles.is_finding
        why = particles.why_not_merge(labels)
        self.delete_button.setEnabled(bool(labels) and free)
        self.merge_button.setEnabled(not why and free)
        self.undo_button.setEnabled(particles.can_undo and free)
        self.undo_button.setToolTip(
            "Take the last correction back (Ctrl+Z in the canvas)"
            if particles.can_undo
            else "Nothing to take back: no particle was deleted, merged or painted"
        )
        # without a layer nothing has loaded pandas, and nothing needs it
        some = particles.layer is not None and len(particles.table) > 0
        self.export_button.setEnabled(some and free and self._writing is None)
        if not labels:
            self.hint.say(
                "Click on a particle in the table or in the image; Ctrl+click adds others. "
                "The brush corrects outlines.",
                "quiet",
            )
        elif len(labels) == 1 and why:
            self.hint.say(f"Particle {labels[0]} is selected; {why} (Ctrl+click).", "quiet")
        else:
            self.hint.say(sentence(f"{len(labels)} particles are selected; {why}".rstrip("; ")))

    # correcting

    def delete_selected(self) -> None:
        """Delete the particles that are selected."""
        labels = self.table.selected()
        if labels and not self.particles.is_finding:
            self.particles.delete(labels)
            pronoun = "it" if len(labels) == 1 else "them"
            self.words.say(f"{_count(len(labels))} deleted; Undo brings {pronoun} back.", "plain")

    def merge_selected(self) -> None:
        """Make the particles that are selected one."""
        labels = self.table.selected()
        kept = self.particles.merge(labels)
        if kept is not None:
            self.words.say(f"{_count(len(labels))} merged into particle {kept}.", "plain")
            self.table.select([kept])
            self._mark_selected()

    def _undo(self) -> None:
        self.words.say("")
        self.particles.undo()

    # writing

    def _ask_file(self) -> None:
        layer, folder = self.particles.layer, self.session.runs_folder
        if layer is None:
            return
        name = layer.name.replace(": ", "_").replace(" ", "_").replace("/", "_")
        start = (folder if folder.exists() else Path.home()) / f"{name}.csv"
        answer, _ = QFileDialog.getSaveFileName(
            self, "Write the table of particles", str(start), "Table (*.csv)"
        )
        if answer:
            path = Path(answer)
            if path.suffix:
                self.export_to(path, overwrite=True)  # the dialog has asked
            else:
                self.export_to(path.with_name(f"{path.name}.csv"))

    def export_to(self, path: Path, overwrite: bool = False) -> None:
        """Write the table in the background; an earlier file is replaced only if asked for."""
        self.words.say(f"Writing {path.name}...", "quiet")
        table, origin = self.particles.table.copy(), self.particles.origin
        self._writing = run_in_thread(
            lambda _stopped, _say: export_table(path, table, origin, overwrite),
            self._on_written,
            lambda trouble: self._on_written((False, trouble)),
            owner=self,
        )
        self._enable()

    def _on_written(self, result: tuple[bool, str]) -> None:
        self._writing = None
        well, words = result
        self.words.say(words, "good" if well else "error")
        self._enable()


def _close(part: ParticleMarks | Particles | SplitPreview, _widget: object = None) -> None:
    part.close()


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    set_tip(button, tip)
    return button


def _count(number: int) -> str:
    return f"{number:,} particle{'s' * (number != 1)}"
