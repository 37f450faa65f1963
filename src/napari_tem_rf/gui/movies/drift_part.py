"""The drift of a series: measured, drawn, taken off on the canvas, and written."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QFileDialog, QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf.figures import Theme
from napari_tem_rf.figures.movies import drift_over_time, drift_path
from napari_tem_rf.gui.movies.movie import Movie
from napari_tem_rf.gui.pieces.bars import CalmBar
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import (
    Fold,
    PrimaryButton,
    Sentence,
    Tone,
    column,
    listen,
    row,
    time_left,
)
from napari_tem_rf.gui.pieces.plot import Plot
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.movies import Drift, DriftSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DriftPart"]

_HEIGHT_PX = 150


class DriftPart(QWidget):
    """Measures the drift, shows its path, and holds the specimen still.

    Parameters
    ----------
    movie : Movie
    """

    def __init__(self, movie: Movie) -> None:
        super().__init__()
        self.movie = movie
        self._drawn: tuple[Drift | None, float | None] = (None, None)
        self.form = Form(DriftSettings())
        self.form.changed.connect(lambda plan: movie.change(settings=plan))
        self.measure_button = PrimaryButton("Measure drift")
        self.measure_button.clicked.connect(movie.measure_drift)
        self.stop_button = QPushButton("Stop")
        set_tip(self.stop_button, "Stop; the path as far as it was measured is shown")
        self.stop_button.clicked.connect(movie.stop)
        self.bar = CalmBar()
        self.bar.setRange(0, 1000)
        self.words = Sentence()
        self.plot = Plot(self._paint, _HEIGHT_PX, constrained=False)
        self.plot.setToolTip("Left: the way of what is seen, from the dot. Right: the same in time")
        self.still_box = QCheckBox("Hold the specimen still")
        self.still_box.toggled.connect(movie.hold_still)
        self.aligned_button = QPushButton("Write aligned series...")
        self.aligned_button.clicked.connect(self._ask_file)
        self.written = Sentence()
        column(
            self,
            [
                Fold("How it is measured", self.form),
                row(self.measure_button, self.stop_button, self.bar, stretch=2),
                self.words,
                self.plot,
                self.still_box,
                row(self.aligned_button),
                self.written,
            ],
        )
        listen(self, movie.changed, self.show_state)
        listen(self, movie.busy_changed, self._show_busy)
        listen(self, movie.said, self._say)
        listen(self, movie.work.progressed, self._on_progress)
        self.show_state()
        self._show_busy()

    def show_state(self) -> None:
        """Show what is known of the series."""
        movie, state = self.movie, self.movie.state
        self.form.show_plan(state.settings)
        drawn = state.drift, movie.time_step_s
        is_another = drawn[0] is not self._drawn[0]
        self.plot.setVisible(state.drift is not None and state.drift.frames > 1)
        if drawn != self._drawn:
            self._drawn = drawn
            if state.drift is not None:
                self.plot.draw()
        if is_another and not movie.is_busy:
            self.words.say("" if state.drift is None else state.drift.sentence)
            self.written.say("")
        with signals_blocked(self.still_box):
            self.still_box.setChecked(movie.is_still)
        self._show_busy()

    def _show_busy(self) -> None:
        movie = self.movie
        why = movie.why_not
        free = not why and not movie.is_busy
        self.measure_button.setEnabled(free)
        set_tip(self.measure_button, why or "Compare the frames with each other; the image stays")
        whole = movie.has_whole_drift
        self.still_box.setEnabled(not why and whole)
        set_tip(
            self.still_box,
            "Move each frame back by its drift as it is shown, with its strokes, masks and tracks; "
            "no pixel is changed, and this takes it off again"
            if whole
            else "The drift must be measured first",
        )
        self.aligned_button.setEnabled(free and whole)
        set_tip(
            self.aligned_button,
            "Write the series moved back, cut to what all frames show (.tif)"
            if whole
            else "The drift must be measured first",
        )
        doing = movie.doing in ("drift", "aligned")
        self.stop_button.setVisible(doing)
        self.bar.setVisible(doing)
        if doing:
            self.bar.setValue(0)
            self.bar.setFormat("%p %")

    def _on_progress(self, fraction: float, seconds_left: float) -> None:
        if self.movie.doing in ("drift", "aligned"):
            self.bar.setValue(round(1000 * fraction))
            self.bar.setFormat(f"%p %, {time_left(seconds_left)}")

    def _say(self, what: str, words: str, tone: Tone) -> None:
        if what == "drift":
            self.words.say(words, tone)
        elif what == "aligned":
            self.written.say(words, tone)

    def _paint(self, figure: "Figure", theme: Theme) -> None:
        drift = self.movie.state.drift
        if drift is None:
            return
        scaled, unit = drift.offsets_nm, "nm"
        if scaled is None:
            scaled, unit = drift.offsets_px, "px"
        # to find these takes matplotlib as long as all the drawing
        figure.subplots_adjust(left=0.15, right=0.97, bottom=0.26, top=0.94, wspace=0.5)
        way, time = figure.subplots(1, 2)
        drift_path(way, scaled, unit, theme)
        drift_over_time(time, scaled, unit, self.movie.time_step_s, theme)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        is_made = hasattr(self, "plot")
        if event.type() == event.Type.StyleChange and is_made and self.movie.state.drift:
            self.plot.draw()

    def _ask_file(self) -> None:
        image, folder = self.movie.image, self.movie.session.runs_folder
        if image is None:
            return
        name = str(image.name).replace(": ", "_").replace(" ", "_").replace("/", "_")
        start = (folder if folder.exists() else Path.home()) / f"{name}_aligned.tif"
        answer, _ = QFileDialog.getSaveFileName(
            self, "Write the aligned series", str(start), "TIFF (*.tif)"
        )
        if answer:
            path = Path(answer)
            if path.suffix:
                self.movie.write_aligned(path, overwrite=True)  # the dialog has asked
            else:
                self.movie.write_aligned(path.with_name(f"{path.name}.tif"))
