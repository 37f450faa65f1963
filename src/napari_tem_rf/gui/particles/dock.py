"""The particles dock: from a mask to particles, their sizes in nm, and corrections by hand."""

from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices, QKeySequence
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QProgressBar,
    QPushButton,
    QShortcut,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_tem_rf.exporting import export_table
from napari_tem_rf.gui.layers.layers import frame_pixels
from napari_tem_rf.gui.layers.plane import shown_frame
from napari_tem_rf.gui.particles import layers as particle_layers
from napari_tem_rf.gui.particles.histogram import ParticleHistogram
from napari_tem_rf.gui.particles.marks import MOST_BOXES, ParticleMarks, find_spot
from napari_tem_rf.gui.particles.numbers import PopulationNumbers
from napari_tem_rf.gui.particles.options import ParticleOptions
from napari_tem_rf.gui.particles.particles import Particles
from napari_tem_rf.gui.particles.preview import SplitPreview
from napari_tem_rf.gui.particles.reporting import ReportWriter
from napari_tem_rf.gui.particles.shortcuts import register_shortcuts
from napari_tem_rf.gui.particles.table import ParticleTable
from napari_tem_rf.gui.pieces.parts import (
    DOCK_MARGIN,
    Dock,
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
from napari_tem_rf.gui.session.background import Latest, ThreadWork, run_in_thread
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.measuring.lattice import Lattice, lattice_period
from napari_tem_rf.measuring.populations import PopulationSettings
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.particle_report import check_ending
from napari_tem_rf.storage import refuse_existing

_TABLE_HEIGHT_PX = 210
_REPORTS = {"Page for the browser (*.html)": ".html", "Sheet (*.pdf)": ".pdf"}
_KEYS: dict[str, Any] = {
    "delete_particles": QKeySequence.StandardKey.Delete,
    "merge_particles": "Shift+M",
    "undo_particles": QKeySequence.StandardKey.Undo,
}


class ParticlesWidget(Dock):
    """Finds the particles of a mask, measures them, and lets them be corrected.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    opens_reports = True
    """Whether a report is opened once it is written."""

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        register_shortcuts()
        self.session = session_of(viewer)
        self.particles = Particles(self.session)
        self.marks = ParticleMarks(self.session, self, self._on_click)
        self.preview = SplitPreview(self.session)
        self._previewed: Finding | None = None
        self._found_with: tuple[object, Finding] | None = None
        self._writing: ThreadWork | None = None
        self._report = ReportWriter(self.particles, self)
        self._written: Path | None = None
        self._lattice_of: tuple[object, int] | None = None
        self._looking = Latest()
        self._said_of: int | None = None
        """How many corrections there were when the last one was told of."""

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
        self.numbers = PopulationNumbers()
        self.lattice_box = QCheckBox("Lattice of each particle")
        self.lattice_box.hide()
        self.lattice_box.toggled.connect(self._choose_lattice)
        self.table = ParticleTable()
        self.table.setMinimumHeight(_TABLE_HEIGHT_PX)
        self.table.setToolTip("Click on a particle to go to it; click on a header to sort")
        self.table.chosen.connect(self._on_chosen)
        # napari's keys hold in the canvas; in the dock these do
        for name, keys in _KEYS.items():
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(partial(self._on_requested, name))
        self.delete_button = _button("Delete", "Delete the selected particles (Del)")
        self.delete_button.clicked.connect(self.delete_selected)
        self.merge_button = _button("Merge", "Make the selected particles one (Shift+M)")
        self.merge_button.clicked.connect(self.merge_selected)
        self.undo_button = _button("Undo", "")
        self.undo_button.clicked.connect(self._undo)
        self.export_button = _button("CSV...", "Write the table, and how it was made beside it")
        self.export_button.clicked.connect(self._ask_file)
        self.report_button = _button(
            "Report...", "Write one page (HTML or PDF): fits, intervals, outlines, how it was made"
        )
        self.report_button.clicked.connect(self._ask_report)
        self.hint = Sentence(tone="quiet")
        # the table must not jump under the mouse when the words change
        self.hint.setMinimumHeight(2 * self.hint.fontMetrics().lineSpacing())
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)

        self.results = QWidget()
        column(
            self.results,
            [
                self.histogram,
                self.numbers,
                self.lattice_box,
                self.table,
                row(self.delete_button, self.merge_button, self.undo_button),
                row(self.export_button, self.report_button),
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
            margin=DOCK_MARGIN,
        )
        layout.setStretchFactor(self.results, 1)
        layout.addStretch(0)
        self.setWidget(content)

        listen(self, self.particles.changed, self._show)
        listen(self, self.particles.busy_changed, self._show_busy)
        listen(self, self.particles.said, self._say)
        listen(self, self.particles.work.progressed, self._on_progress)
        listen(self, self.options.changed, self._on_options)
        listen(self, self.preview.counted, self._on_counted)
        listen(self, self.particles.measured, self._show_numbers)
        listen(self, self.histogram.chosen, self._show_numbers)
        listen(self, self.numbers.computed, self.histogram.show_population)
        listen(self, self.session.requested, self._on_requested)
        self.shown.connect(self.marks.set_visible)
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
        if self._said_of is not None and particles.corrections < self._said_of:
            self._said_of = None
            self.words.say("")
        self.results.setVisible(layer is not None)
        if layer is not None:
            self.table.show_table(particles.table)
            self.histogram.show_table(particles.table)
            self._show_numbers()
            self._offer_lattice()
            finding = particle_layers.particles_mark(layer).finding
            self._found_with = None if finding is None else (layer, finding)
        self._mark_selected()
        self._show_busy()

    @property
    def population_settings(self) -> PopulationSettings:
        """What is said of the particles: of the size that the histogram shows."""
        return PopulationSettings(quantity=self.histogram.wanted)  # type: ignore[arg-type]

    def _show_numbers(self) -> None:
        # those that do not count are not in the table
        self.numbers.show_frames(self.particles.surveyed(), self.population_settings, True)

    def _offer_lattice(self) -> None:
        """Offer the lattice of each particle where the image has one; a thread looks once."""
        particles = self.particles
        with signals_blocked(self.lattice_box):
            self.lattice_box.setChecked(particles.lattice)
        mask = particles.mask
        image = None if mask is None else particle_layers.image_under(self.session, mask)
        if image is None:
            self._looking.drop()
            self._lattice_of = None
            self.lattice_box.hide()
            return
        frame = shown_frame(self.session.viewer, image)
        if self._lattice_of == (image, frame):
            return
        self._lattice_of = (image, frame)
        size = particles.pixel_size_nm
        request = self._looking.ask()
        request.holds(
            run_in_thread(
                lambda _stopped, _say: lattice_period(frame_pixels(image, frame), size),
                request.only(self._show_lattice),
                request.only(lambda _trouble: self._show_lattice(None)),
                owner=self,
            )
        )

    def _show_lattice(self, lattice: Lattice | None) -> None:
        self.lattice_box.setVisible(lattice is not None or self.particles.lattice)
        if lattice is not None:
            nm = lattice.period_nm
            length = f"{lattice.period_px:.3g} px" if nm is None else f"{nm:.3g} nm"
            set_tip(
                self.lattice_box,
                f"The image shows a lattice of {length}: measure spacing, direction and strength "
                "in each particle, from its own power spectrum",
            )

    def _choose_lattice(self, wanted: bool) -> None:
        self.particles.lattice = wanted

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
        lattice = particles.lattice and particles.work.is_busy and not finding
        self.bar.setVisible(finding or lattice)
        if lattice:
            self.bar.setRange(0, 1000 if particles.is_series else 0)
            self.bar.setFormat("measuring lattices")
            self.bar.setValue(0)
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
            "Take the last correction back (Ctrl+Z)"
            if particles.can_undo
            else "Nothing to take back: no particle was deleted, merged or painted"
        )
        # without a layer nothing has loaded pandas, and nothing needs it
        some = particles.layer is not None and len(particles.table) > 0
        self.export_button.setEnabled(some and free and self._writing is None)
        self.report_button.setEnabled(some and free and not self._report.is_busy)
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
            self._say_correction(f"{_count(len(labels))} deleted; Undo brings {pronoun} back.")

    def merge_selected(self) -> None:
        """Make the particles that are selected one."""
        labels = self.table.selected()
        kept = self.particles.merge(labels)
        if kept is not None:
            self._say_correction(f"{_count(len(labels))} merged into particle {kept}.")
            self.table.select([kept])
            self._mark_selected()

    def _on_requested(self, name: str) -> None:
        if not self.isVisible() or self.particles.is_finding:
            return
        if name == "delete_particles":
            self.delete_selected()
        elif name == "merge_particles":
            self.merge_selected()
        elif name == "undo_particles" and self.particles.can_undo:
            self._undo()

    def _undo(self) -> None:
        self.words.say("")
        self.particles.undo()

    def _say_correction(self, words: str) -> None:
        """Say what was corrected, for as long as it was not taken back."""
        self._said_of = self.particles.corrections
        self.words.say(words, "plain")

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

    def _ask_report(self) -> None:
        layer, folder = self.particles.layer, self.session.runs_folder
        if layer is None:
            return
        name = layer.name.replace(": ", "_").replace(" ", "_").replace("/", "_")
        start = (folder if folder.exists() else Path.home()) / f"{name}.html"
        answer, kind = QFileDialog.getSaveFileName(
            self, "Write a report on the particles", str(start), ";;".join(_REPORTS)
        )
        if answer:
            path = Path(answer)
            if path.suffix:
                self.report_to(path, overwrite=True)  # the dialog has asked
            else:
                self.report_to(path.with_name(path.name + _REPORTS.get(kind, ".html")))

    def report_to(self, path: Path, overwrite: bool = False) -> None:
        """Write the report in the background; an earlier file is replaced only if asked for."""
        try:
            check_ending(path)
            refuse_existing(path, overwrite)
        except (OSError, ValueError) as error:
            self.words.say(str(error), "error")
            return
        self.words.say(f"Writing {path.name}...", "quiet")
        self._written = path
        self._report.write(path, self.population_settings, overwrite, self._on_reported)
        self._enable()

    def _on_reported(self, well: bool, words: str) -> None:
        self.words.say(words, "good" if well else "error")
        self._enable()
        if well and self._written is not None and self.opens_reports:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written.resolve())))

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
