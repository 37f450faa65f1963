"""The Movie dock: the drift of a series, its particles through time, and what comes of them."""

from functools import partial
from pathlib import Path

import napari
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_tem_rf.gui.layers.layers import frame_name, image_shape
from napari_tem_rf.gui.movies.annotate_part import AnnotatePart
from napari_tem_rf.gui.movies.annotating import Annotating
from napari_tem_rf.gui.movies.drift_part import DriftPart
from napari_tem_rf.gui.movies.marks import TrackMarks
from napari_tem_rf.gui.movies.movie import Movie
from napari_tem_rf.gui.movies.shortcuts import register_shortcuts
from napari_tem_rf.gui.movies.strip import FrameMarks, FrameStrip
from napari_tem_rf.gui.movies.time_part import TimePart
from napari_tem_rf.gui.movies.tracks_part import TracksPart
from napari_tem_rf.gui.pieces.parts import (
    DOCK_MARGIN,
    Dock,
    Fold,
    Sentence,
    column,
    listen,
    row,
)
from napari_tem_rf.gui.pieces.preloading import MATPLOTLIB, PANDAS, preload
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.movie_files import track_paths, write_tracks
from napari_tem_rf.storage import refuse_existing

__all__ = ["MovieWidget"]


class MovieWidget(Dock):
    """Drift, tracks and their course in time, of the series that is the current image.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        register_shortcuts()
        self.session = session_of(viewer)
        self.movie = self.session.part(Movie)
        self._writing: ThreadWork | None = None
        self.subject = Sentence(tone="quiet")
        self.strip = FrameStrip()
        self.strip.chosen.connect(self.go_to)
        self.annotating = Annotating(self.movie)
        self.annotate = AnnotatePart(self.annotating)
        self.drift = DriftPart(self.movie)
        self.tracks = TracksPart(self.movie, self)
        self.time = TimePart(self.movie)
        self.export_button = QPushButton("CSV...")
        self.export_button.clicked.connect(self._ask_file)
        self.words = Sentence()
        content = QWidget()
        column(
            content,
            [
                self.subject,
                self.strip,
                Fold("Annotate little", self.annotate, is_open=True, heading=True),
                Fold("Drift", self.drift, is_open=True, heading=True),
                Fold("Tracks", self.tracks, is_open=True, heading=True),
                Fold("Time", self.time, is_open=True, heading=True),
                row(self.export_button),
                self.words,
            ],
            margin=DOCK_MARGIN,
        ).addStretch(1)
        self.setWidget(content)
        listen(self, self.movie.changed, self.show_state)
        listen(self, self.movie.busy_changed, self._enable)
        listen(self, self.annotating.changed, self._show_frames)
        self.session.watch(
            self,
            lambda now: (now.scene.frame, now.scene.annotated, now.choices.run, now.edits),
            self._show_frames,
        )
        self.shown.connect(self.tracks.marks.set_visible)
        preload(self, PANDAS, MATPLOTLIB)
        for end in (self.destroyed, self.session.closed):
            # not a method of the dock: Qt has taken it apart by then
            end.connect(partial(_close, self.tracks.marks))
            end.connect(partial(_close, self.annotating))
        self.show_state()

    def show_state(self) -> None:
        """Show the series, and what can be done with it."""
        movie = self.movie
        image, why = movie.image, movie.why_not
        if why or image is None:
            self.subject.say(why, "warning")
        else:
            frames, rows, columns = image_shape(image)
            size, step = movie.pixel_size_nm, movie.time_step_s
            words = [f"{image.name}: {frames} frames", f"{rows} x {columns} px"]
            words += ["no pixel size" if size is None else f"{size[0]:.4g} nm/px"]
            words += [] if step is None else [f"{step:.4g} s/frame"]
            self.subject.say(", ".join(words), "quiet")
        self.strip.setVisible(not why)
        self._show_frames()
        self._enable()

    def _show_frames(self, _now: object = None) -> None:
        movie, now = self.movie, self.session.situation
        image = movie.image
        if image is None:
            self.strip.show_marks(FrameMarks())
            return
        annotated = {
            frame
            for each in now.scene.annotated
            if each.pair.image is image
            for frame in each.frames
        }
        run = now.choices.run
        learned = set() if run is None else {entry.name for entry in run.record.data}
        tracks, drift = movie.tracks, movie.state.drift
        left_out = {
            *(() if tracks is None else tracks.left_out),
            *(() if drift is None else drift.left_out),
        }
        self.strip.show_marks(
            FrameMarks(
                frames=movie.frames,
                shown=now.scene.frame,
                annotated=frozenset(annotated),
                trained=frozenset(
                    frame for frame in range(movie.frames) if frame_name(image, frame) in learned
                ),
                left_out=frozenset(left_out),
                worth=self.annotating.worth,
            )
        )

    def go_to(self, frame: int) -> None:
        """Show a frame of the series."""
        self.movie.show_frame(frame)

    # writing

    def _enable(self) -> None:
        movie = self.movie
        some = movie.tracks is not None and movie.tracks.number > 0 and not movie.why_not
        self.export_button.setEnabled(some and not movie.is_busy and self._writing is None)
        set_tip(
            self.export_button,
            "Write three tables, a row a particle and frame, a row a track, a row a frame; and how "
            "they were made"
            if some
            else movie.why_not or "There are no tracks yet",
        )

    def _ask_file(self) -> None:
        image, folder = self.movie.image, self.session.runs_folder
        if image is None:
            return
        name = str(image.name).replace(": ", "_").replace(" ", "_").replace("/", "_")
        start = (folder if folder.exists() else Path.home()) / f"{name}_particles.csv"
        answer, _ = QFileDialog.getSaveFileName(
            self, "Write the tracks", str(start), "Tables (*.csv)"
        )
        if answer:
            path = Path(answer)
            # the dialog has asked for this file, and the others belong to it
            is_asked = bool(path.suffix) and path.exists()
            self.export_to(
                path if path.suffix else path.with_name(f"{path.name}.csv"), overwrite=is_asked
            )

    def export_to(self, path: Path, overwrite: bool = False) -> None:
        """Write the three tables in the background; earlier ones are replaced only if asked for."""
        tracks = self.movie.tracks
        if tracks is None:
            return
        try:
            record = self.movie.record()
            for each in track_paths(path).values():
                refuse_existing(each, overwrite)
        except (OSError, ValueError) as error:
            self.words.say(str(error), "error")
            return
        self.words.say(f"Writing {path.name}...", "quiet")
        self._writing = run_in_thread(
            lambda _stopped, _say: write_tracks(path, tracks, record, overwrite),
            self._on_written,
            self._on_failed,
            owner=self,
        )
        self._enable()

    def _on_written(self, paths: tuple[Path, ...]) -> None:
        self._writing = None
        first, *others = paths
        names = " and ".join(each.name for each in others)
        self.words.say(f"Written: {first}, {names}, and how they were made.", "good")
        self._enable()

    def _on_failed(self, trouble: str) -> None:
        self._writing = None
        self.words.say(trouble, "error")
        self._enable()


def _close(part: TrackMarks | Annotating, _widget: object = None) -> None:
    part.close()
