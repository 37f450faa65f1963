"""What becomes of the particles in time: number, coverage, size and displacement."""

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QWidget
from superqt.utils import QSignalDebouncer, signals_blocked

from napari_tem_rf.figures import Theme
from napari_tem_rf.figures.movies import displacement_over_time, particles_over_time
from napari_tem_rf.gui.movies.movie import Movie
from napari_tem_rf.gui.pieces.parts import Sentence, column, listen, row
from napari_tem_rf.gui.pieces.plot import Plot
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.movies import Tracks, frame_table, mean_squared_displacement

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["TimePart"]

_HEIGHT_PX = 190
_PLACE = (0.17, 0.21, 0.8, 0.74)
"""Of the axes in the figure; to find it takes matplotlib as long as all the drawing."""

_MOST_S = 1e6
_PLOTS = {
    "number": "number of particles",
    "coverage": "coverage",
    "mean_diameter": "mean diameter",
    "displacement": "mean squared displacement",
}


class TimePart(QWidget):
    """The time step, and plots against frame or time; frames that were left out are gaps.

    Parameters
    ----------
    movie : Movie
    """

    def __init__(self, movie: Movie) -> None:
        super().__init__()
        self.movie = movie
        self._drawn: Tracks | None = None
        self._displacement: tuple[Tracks, pd.DataFrame] | None = None
        self._latest = Latest()
        self.step = QDoubleSpinBox()
        self.step.setRange(0, _MOST_S)
        self.step.setDecimals(4)
        self.step.setSingleStep(0.1)
        self.step.setSuffix(" s")
        self.step.setSpecialValueText("not known")
        self.step.setKeyboardTracking(False)
        self.step.valueChanged.connect(self._on_step)
        set_tip(
            self.step,
            "Time from frame to frame, for speeds and rates; at 0 the file's own, if it has one",
        )
        self.origin = PlainLabel()
        self.quantity = QComboBox()
        self.quantity.addItems(list(_PLOTS.values()))
        set_tip(self.quantity, "What is drawn against frame or time")
        self.quantity.currentIndexChanged.connect(self._draw)
        self.plot = Plot(self._paint, _HEIGHT_PX, constrained=False)
        self.plot.setToolTip(
            "Band: 95 % interval of the mean. Frames that were left out are gaps in the line"
        )
        self.words = Sentence(tone="quiet")
        # drawing takes some 50 ms: once for all changes that come together
        self._pause = QSignalDebouncer(parent=self)
        self._pause.triggered.connect(self._draw)
        column(
            self,
            [
                row(PlainLabel("Time step"), self.step, self.origin, stretch=2),
                row(PlainLabel("Plot"), self.quantity, stretch=1),
                self.plot,
                self.words,
            ],
        )
        listen(self, movie.changed, self.show_state)
        self.show_state()

    @property
    def wanted(self) -> str:
        """What is drawn."""
        return list(_PLOTS)[self.quantity.currentIndex()]

    def show_state(self) -> None:
        """Show what is known of the series."""
        movie, tracks = self.movie, self.movie.tracks
        self.step.setEnabled(not movie.why_not)
        with signals_blocked(self.step):
            self.step.setValue(movie.time_step_s or 0.0)
        typed, of_file = movie.state.time_step_s, movie.file_time_step_s
        self.origin.setText("typed" if typed is not None else "from the file" if of_file else "")
        has_some = tracks is not None and tracks.number > 0
        self.plot.setVisible(has_some)
        self.quantity.setEnabled(has_some)
        if tracks is None:
            self.words.say("Tracks give number, coverage, size and displacement in time.", "quiet")
        else:
            gone = len(tracks.left_out)
            frames = f"{gone} frame{'s' * (gone != 1)}"
            self.words.say(f"{frames} left out: gaps in the line." if gone else "", "quiet")
        if tracks is not self._drawn:
            self._drawn = tracks
            self._pause.throttle()

    def _on_step(self, seconds: float) -> None:
        self.movie.set_time_step(seconds or None)

    def _draw(self, _choice: object = None) -> None:
        tracks = self._drawn
        if tracks is None or not tracks.number:
            return
        known = None if self._displacement is None else self._displacement[0]
        if self.wanted != "displacement" or known is tracks:
            self.plot.draw()
            return
        # of thousands of tracks it takes seconds
        request = self._latest.ask()
        request.holds(
            run_in_thread(
                lambda _stopped, _say: mean_squared_displacement(tracks),
                request.only(partial(self._show_displacement, tracks)),
                request.only(lambda words: self.words.say(words, "error")),
                owner=self,
            )
        )

    def _show_displacement(self, tracks: Tracks, displacement: "pd.DataFrame") -> None:
        self._displacement = tracks, displacement
        self._draw()

    def _paint(self, figure: "Figure", theme: Theme) -> None:
        tracks = self._drawn
        if tracks is None:
            return
        axes, unit = figure.add_axes(_PLACE), tracks.unit
        if self.wanted == "displacement":
            if self._displacement is not None:
                displacement_over_time(axes, self._displacement[1], unit, theme)
            return
        name, label = self.wanted, _PLOTS[self.wanted]
        if name == "mean_diameter":
            name, label = f"{name}_{unit}", f"{label} ({unit})"
        particles_over_time(axes, frame_table(tracks), name, label, theme)

    def changeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == event.Type.StyleChange and hasattr(self, "_pause"):
            self._pause.throttle()
