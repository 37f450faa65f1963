"""The tracks of a series: limits, table, corrections by hand."""

from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QPushButton, QShortcut, QWidget

from napari_tem_rf.gui.layers.layers import pixel_size_nm
from napari_tem_rf.gui.movies.marks import TrackMarks
from napari_tem_rf.gui.movies.movie import Movie
from napari_tem_rf.gui.movies.table import TrackTable
from napari_tem_rf.gui.particles.layers import ground_layer
from napari_tem_rf.gui.pieces.bars import CalmBar
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import (
    Fold,
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
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.movies import Correction, Limits, why_not_correct

__all__ = ["TracksPart"]

_TABLE_HEIGHT_PX = 190
_KEYS: dict[str, Any] = {
    "delete_particles": QKeySequence.StandardKey.Delete,
    "join_tracks": "Shift+J",
    "cut_track": "Shift+X",
    "undo_particles": QKeySequence.StandardKey.Undo,
    "redo_tracks": QKeySequence.StandardKey.Redo,
}


class TracksPart(QWidget):
    """Tracks the particles of a series, shows them in a table, and lets them be corrected.

    Parameters
    ----------
    movie : Movie
    owner : QWidget
        The dock: clicks on the canvas and keys count while it can be seen.
    """

    def __init__(self, movie: Movie, owner: QWidget) -> None:
        super().__init__()
        self.movie, self._owner = movie, owner
        self.marks = TrackMarks(movie.session, owner, self._on_click)
        self.masks = LayerChoice("no masks yet: predict the series")
        self.masks.on_chosen(lambda layer: movie.change(mask=layer))
        self.finding = Form(Finding())
        self.finding.changed.connect(lambda plan: movie.change(finding=plan))
        self.limits = Form(Limits())
        self.limits.changed.connect(self._on_limits)
        self.origin = Sentence(tone="quiet")
        self.suggest_button = _button("From the series", "Take the limits from the series again")
        self.suggest_button.clicked.connect(lambda: movie.change(limits={}))
        self.track_button = PrimaryButton("Track")
        self.track_button.clicked.connect(movie.track)
        self.stop_button = _button("Stop", "Stop; earlier tracks stay")
        self.stop_button.clicked.connect(movie.stop)
        self.bar = CalmBar()
        self.bar.setRange(0, 1000)
        self.words = Sentence()
        self.stale = Sentence()
        self.table = TrackTable()
        self.table.setMinimumHeight(_TABLE_HEIGHT_PX)
        self.table.setToolTip(
            "Click on a track to go to it; click on a header to sort. On the image click on its "
            "particle, with Space or Ctrl held while a brush is active"
        )
        self.table.chosen.connect(self._on_chosen)
        self.join_button = _button("Join", "")
        self.join_button.clicked.connect(self.join_selected)
        self.cut_button = _button("Cut here", "")
        self.cut_button.clicked.connect(self.cut_selected)
        self.delete_button = _button("Delete", "")
        self.delete_button.clicked.connect(self.delete_selected)
        self.undo_button = _button("Undo", "Take the last correction back (Ctrl+Z)")
        self.undo_button.clicked.connect(movie.undo)
        self.redo_button = _button("Redo", "Make it again (Ctrl+Shift+Z)")
        self.redo_button.clicked.connect(movie.redo)
        self.hint = Sentence(tone="quiet")
        # the table must not jump under the mouse when the words change
        self.hint.setMinimumHeight(3 * self.hint.fontMetrics().lineSpacing())
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        for name, keys in _KEYS.items():
            shortcut = QShortcut(QKeySequence(keys), owner)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(partial(self.on_requested, name))
        self.results = QWidget()
        column(
            self.results,
            [
                self.table,
                row(self.join_button, self.cut_button, self.delete_button),
                row(self.undo_button, self.redo_button),
                self.hint,
            ],
        )
        column(
            self,
            [
                row(PlainLabel("Masks"), self.masks, stretch=1),
                Fold("How particles are found", self.finding),
                self.limits,
                row(self.origin, self.suggest_button, stretch=0),
                row(self.track_button, self.stop_button, self.bar, stretch=2),
                self.words,
                self.stale,
                self.results,
            ],
        )
        listen(self, movie.changed, self.show_state)
        listen(self, movie.busy_changed, self._show_busy)
        listen(self, movie.said, self._say)
        listen(self, movie.work.progressed, self._on_progress)
        listen(self, movie.session.requested, self.on_requested)
        movie.session.watch(self, lambda now: now.scene.frame, self._on_frame)
        self.show_state()

    # what there is

    def show_state(self) -> None:
        """Show what is known of the series."""
        movie, state, tracks = self.movie, self.movie.state, self.movie.tracks
        self.masks.show_layers(movie.masks, movie.mask)
        self.masks.setEnabled(not movie.why_not)
        self.finding.show_plan(state.finding)
        found = None if tracks is None else tracks.limits
        self.limits.show_plan(_limits(found, state.limits))
        self._show_origin(found)
        stale = tracks is not None and bool(movie.subject) and movie.subject != state.made_of
        is_other = found is not None and found != _limits(found, state.limits)
        what = "The masks, the drift or how particles are found" if stale else "The limits"
        self.stale.say(
            f"{what} changed since: press Track to use what is shown." if stale or is_other else "",
            "advice",
        )
        self.results.setVisible(tracks is not None and not movie.why_not)
        self.table.show_tracks(tracks)
        self._mark_selected()
        self._show_busy()

    def _show_origin(self, found: Limits | None) -> None:
        own = self.movie.state.limits
        mask = self.movie.mask
        size = None
        if mask is not None:
            size = pixel_size_nm(ground_layer(self.movie.session, mask))
        shown: Limits = self.limits.plan
        length = "" if size is None else f"{shown.distance_px * size[0]:.3g} nm a frame; "
        if own:
            titles = {"distance_px": "distance", "size_ratio": "size", "gap": "gap"}
            words = f"{', '.join(titles[name] for name in own)} as you typed"
        elif found is None:
            words = "taken from the series when it is tracked"
        else:
            words = "taken from the series"
        self.origin.say(sentence(f"{length}{words}"), "quiet")
        self.suggest_button.setVisible(bool(own))

    def _on_limits(self, plan: Limits) -> None:
        found = self.movie.tracks
        before = _limits(None if found is None else found.limits, self.movie.state.limits)
        changed = {
            name: getattr(plan, name)
            for name in ("distance_px", "size_ratio", "gap")
            if getattr(plan, name) != getattr(before, name)
        }
        self.movie.change(limits={**self.movie.state.limits, **changed})

    def _show_busy(self) -> None:
        movie = self.movie
        why = movie.why_not or (
            "" if movie.mask is not None else "There are no masks yet: predict the series"
        )
        self.track_button.setEnabled(not why and not movie.is_busy)
        set_tip(
            self.track_button,
            why or "Measure the particles of all frames and find each again in the next",
        )
        doing = movie.doing == "tracks"
        self.stop_button.setVisible(doing)
        self.bar.setVisible(doing)
        if doing:
            self.bar.setValue(0)
            self.bar.setFormat("looking for particles")
        self._enable()

    def _on_progress(self, fraction: float, seconds_left: float) -> None:
        if self.movie.doing == "tracks":
            self.bar.setValue(round(1000 * fraction))
            words = f"%p %, {time_left(seconds_left)}" if fraction < 1 else "linking"
            self.bar.setFormat(words)

    def _say(self, what: str, words: str, tone: Tone) -> None:
        if what == "tracks":
            self.words.say(words, tone)

    # choosing

    def _on_chosen(self, chosen: list[int]) -> None:
        self._mark_selected()
        if len(chosen) == 1:
            self.marks.go_to(chosen[0])

    def _on_click(self, track: int, more: bool) -> None:
        """Select the track that was clicked on in the canvas."""
        selected = set(self.table.selected()) if more else set()
        if track > 0:
            selected ^= {track}
        self.table.select(selected, first=track)
        self._mark_selected()

    def _mark_selected(self) -> None:
        self.marks.show(self.movie.image, self.movie.tracks, self.table.selected())
        self._enable()

    def _on_frame(self, _now: object) -> None:
        self._enable()

    @property
    def selected(self) -> tuple[int, ...]:
        """The tracks that are selected."""
        return () if self.movie.tracks is None else tuple(self.table.selected())

    def _enable(self) -> None:
        """Switch buttons on and off, and say what is missing."""
        movie, tracks = self.movie, self.movie.tracks
        free = not movie.is_busy and tracks is not None
        chosen, frame = self.selected, movie.session.frame
        edited = movie.state.edited
        for button, correction, tip in (
            (self.join_button, Correction("join", chosen), "Make two tracks one (Shift+J)"),
            (
                self.cut_button,
                Correction("cut", chosen, frame),
                f"Cut before frame {frame}, which is shown: it begins a new track (Shift+X)",
            ),
            (self.delete_button, Correction("delete", chosen), "Delete these tracks (Del)"),
        ):
            why = "" if tracks is None else why_not_correct(tracks, correction)
            button.setEnabled(free and not why)
            set_tip(button, sentence(why) or tip)
        self.undo_button.setEnabled(free and edited is not None and edited.can_undo)
        self.redo_button.setEnabled(free and edited is not None and bool(edited.undone))
        if not chosen:
            self.hint.say(
                "Click on a track in the table or on a particle in the image; Ctrl+click adds "
                "others. While a brush is active, hold Space or Ctrl.",
                "quiet",
            )
        elif len(chosen) == 1:
            self.hint.say(f"Track {chosen[0]} is selected. Ctrl+click adds others.", "quiet")
        else:
            self.hint.say(f"{len(chosen)} tracks are selected.", "quiet")

    # correcting

    def join_selected(self) -> None:
        """Make the two tracks that are selected one."""
        chosen = self.selected
        if self.movie.correct(Correction("join", chosen)):
            self._select([each for each in chosen if each in self._names()])

    def cut_selected(self) -> None:
        """Cut the track that is selected before the frame that is shown."""
        before = self._names()
        if self.movie.correct(Correction("cut", self.selected, self.movie.session.frame)):
            self._select([*self.selected, *(self._names() - before)])

    def delete_selected(self) -> None:
        """Delete the tracks that are selected."""
        if self.selected and self.movie.correct(Correction("delete", self.selected)):
            self._select([])

    def _names(self) -> set[int]:
        tracks = self.movie.tracks
        return set() if tracks is None else set(tracks.particles["track"].tolist())

    def _select(self, chosen: list[int]) -> None:
        self.table.select(chosen)
        self._mark_selected()

    def on_requested(self, name: str) -> None:
        """Answer a key, while the dock can be seen."""
        if not self._owner.isVisible() or self.movie.tracks is None or self.movie.is_busy:
            return
        answers = {
            "delete_particles": self.delete_selected,
            "join_tracks": self.join_selected,
            "cut_track": self.cut_selected,
            "undo_particles": self.movie.undo,
            "redo_tracks": self.movie.redo,
        }
        if name in answers:
            answers[name]()


def _limits(found: Limits | None, own: Any) -> Limits:
    """Return the limits to show: what was typed over what the series gave."""
    base = Limits() if found is None else found
    values = {name: getattr(base, name) for name in ("distance_px", "size_ratio", "gap")}
    return Limits(**{**values, **own})


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    set_tip(button, tip)
    return button
