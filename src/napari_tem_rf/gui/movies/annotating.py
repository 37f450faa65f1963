"""Few annotated frames that go far: labels pushed on, and the frame that is worth the next ones."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers.layers import frame_labels, frame_pixels, image_shape, pixel_size_nm
from napari_tem_rf.gui.movies.movie import Movie
from napari_tem_rf.gui.particles.layers import strokes_background
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.jobs.pixel_sizes import finishing_for
from napari_tem_rf.measuring.uncertainty import mean_entropy
from napari_tem_rf.movies.pushing import Pushed, push_labels

__all__ = ["Annotating"]

_MOST_FRAMES = 12
"""Frames that are looked at for the one that is worth most."""
_MOST_RUNS = 4


@dataclass(slots=True, eq=False)
class _Looking:
    """A look at frames, as far as it has come."""

    image: Image
    frames: tuple[int, ...]
    runs: tuple[TrainedRun, ...]
    scores: dict[int, float]
    predicted: list[NDArray[Any]]
    at: int = 0
    work: Work | None = None
    is_stopped: bool = False


class Annotating:
    """Pushes labels to the next frame, and looks for the frame that is worth the next labels.

    Parameters
    ----------
    movie : Movie

    Signals
    -------
    said(str, str)
        A sentence for the user and its tone.
    changed()
        Work began or ended, or frames are worth something else.
    progressed(float)
        The fraction of the frames that was looked at.
    """

    said = Signal(str, str)
    changed = Signal()
    progressed = Signal(float)

    def __init__(self, movie: Movie) -> None:
        self.movie = movie
        self.worth: frozenset[int] = frozenset()
        """The frame that the last look found, if it was of this series."""
        self._pushing: ThreadWork | None = None
        self._looking: _Looking | None = None

    def close(self) -> None:
        """Stop what is going on."""
        self.stop()

    # pushing

    @property
    def is_pushing(self) -> bool:
        """Whether labels are being moved."""
        return self._pushing is not None and not self._pushing.is_over

    @property
    def why_not_push(self) -> str:
        """Why labels cannot be pushed, in a sentence; empty where they can."""
        session, image = self.movie.session, self.movie.image
        if image is None:
            return self.movie.why_not
        labels = session.annotation
        if labels is None or image_shape(labels) != image_shape(image):
            return "There is no annotation of this series yet: press New under Annotation."
        if not labels.editable:
            return f'"{labels.name}" cannot be painted on: choose another annotation.'
        if session.frame + 1 >= self.movie.frames:
            return "This is the last frame."
        if not frame_labels(labels, session.frame).any():
            return f"Nothing is painted in frame {session.frame}: go to a frame with labels."
        return ""

    def push(self) -> None:
        """Move the labels of the frame that is shown to the next, and show that."""
        session, image = self.movie.session, self.movie.image
        labels = session.annotation
        if self.why_not_push or self.is_pushing or image is None or labels is None:
            return
        frame, drift = session.frame, self.movie.state.drift
        offset = None
        if drift is not None and self.movie.has_whole_drift:
            offset = drift.offsets_px[frame + 1] - drift.offsets_px[frame]
        background = strokes_background(session, labels)
        plane = frame_labels(labels, frame).copy()

        def work(_stopped: Callable[[], bool], _say: Callable[[Any], None]) -> Pushed:
            here, there = (frame_pixels(image, each) for each in (frame, frame + 1))
            return push_labels(plane, here, there, offset, background)

        self._pushing = run_in_thread(
            work, partial(self._show_pushed, labels, frame + 1), self._on_failed
        )
        self.changed.emit()

    def _show_pushed(self, labels: Labels, frame: int, pushed: Pushed) -> None:
        self._pushing = None
        session = self.movie.session
        if labels not in session.viewer.layers:
            self.changed.emit()
            return
        free = frame_labels(labels, frame) == 0
        places = np.nonzero((pushed.labels != 0) & free)
        if len(places[0]):
            # one edit, so that one undo takes it back
            values = pushed.labels[places].astype(labels.data.dtype)
            labels.data_setitem((np.full(len(places[0]), frame), *places), values)
        self.movie.show_frame(frame)
        session.edited()
        session.refresh()
        kept = int(((pushed.labels != 0) & ~free).sum())
        words = f"Labels pushed to frame {frame}, as a start to correct"
        if pushed.pieces:
            plural = "piece" if pushed.pieces == 1 else "pieces"
            words += f": {pushed.pieces} {plural}, {pushed.by_themselves} moved by themselves"
        words += f"; {kept:,} px that were painted there stay" if kept else ""
        self.said.emit(f"{words}. Undo in the layer (Ctrl+Z) takes it back.", "plain")
        self.changed.emit()

    def _on_failed(self, words: str) -> None:
        self._pushing = None
        self.said.emit(words, "error")
        self.changed.emit()

    # the frame that is worth most

    @property
    def is_looking(self) -> bool:
        """Whether frames are being looked at."""
        return self._looking is not None

    @property
    def runs(self) -> tuple[TrainedRun, ...]:
        """The runs whose masks are compared: the current one, and others of the same classes."""
        session = self.movie.session
        current = session.run
        if current is None:
            return ()
        values = current.record.classes.values
        others = [
            run
            for run in reversed(session.runs)
            if run.folder != current.folder and run.record.classes.values == values
        ]
        return (current, *others)[:_MOST_RUNS]

    @property
    def why_not_look(self) -> str:
        """Why no frame can be suggested, in a sentence; empty where one can."""
        if self.movie.why_not:
            return self.movie.why_not
        if not self.runs:
            return "There is no run yet: train on a frame first."
        if not self._candidates():
            return "All frames are annotated."
        return ""

    def _candidates(self) -> tuple[int, ...]:
        """Return frames without labels, spread over the series."""
        image = self.movie.image
        if image is None:
            return ()
        annotated = {
            frame
            for each in self.movie.session.situation.scene.annotated
            if each.pair.image is image
            for frame in each.frames
        }
        drift, tracks = self.movie.state.drift, self.movie.tracks
        broken = {
            *(() if drift is None else drift.left_out),
            *(() if tracks is None else tracks.left_out),
        }
        free = [frame for frame in range(self.movie.frames) if frame not in annotated | broken]
        places = np.linspace(0, len(free) - 1, min(len(free), _MOST_FRAMES)).round().astype(int)
        return tuple(free[place] for place in sorted(set(places.tolist())))

    def look(self) -> None:
        """Look for the frame on which the networks differ most, or one is least certain."""
        image = self.movie.image
        if self.why_not_look or self.is_looking or image is None:
            return
        self._looking = _Looking(image, self._candidates(), self.runs, {}, [])
        self.worth = frozenset()
        self.said.emit("", "plain")
        self.changed.emit()
        self._next()

    def stop(self) -> None:
        """Stop looking; what was seen so far decides."""
        looking = self._looking
        if looking is not None:
            looking.is_stopped = True
            if looking.work is not None:
                looking.work.stop()

    def _next(self) -> None:
        looking, session = self._looking, self.movie.session
        if looking is None:
            return
        number = len(looking.runs)
        total = len(looking.frames) * number
        if looking.is_stopped or looking.at == total or looking.image not in session.viewer.layers:
            self._decide(looking)
            return
        place, run_place = divmod(looking.at, number)
        run = looking.runs[run_place]
        frame = looking.frames[place]
        self.progressed.emit(looking.at / total)
        size = pixel_size_nm(looking.image)
        looking.work = session.submit(
            jobs.predict_with_run,
            run.folder,
            frame_pixels(looking.image, frame),
            None,
            number == 1,
            "auto",
            None,
            finishing_for(run.record, size, session.situation.choices.finishing),
            name=f"looking at frame {frame} of {looking.image.name}",
            on_done=self._on_seen,
            on_failed=self._on_not_seen,
        )

    def _on_seen(self, result: jobs.PredictionResult | None) -> None:
        looking = self._looking
        if looking is None:
            return
        if result is None:  # stopped
            self._decide(looking)
            return
        from napari_tem_rf.comparison import disagreement

        number = len(looking.runs)
        frame = looking.frames[looking.at // number]
        if number == 1:
            assert result.probabilities is not None
            looking.scores[frame] = mean_entropy(result.probabilities)
        else:
            looking.predicted.append(result.labels)
            if len(looking.predicted) == number:
                looking.scores[frame] = float(disagreement(looking.predicted).mean())
                looking.predicted.clear()
        looking.at += 1
        self._next()

    def _on_not_seen(self, words: str) -> None:
        self._looking = None
        self.said.emit(words, "error")
        self.changed.emit()

    def _decide(self, looking: _Looking) -> None:
        self._looking = None
        scores = looking.scores
        if not scores or looking.image is not self.movie.image:
            self.said.emit("Stopped: no frame was looked at.", "plain")
            self.changed.emit()
            return
        best = max(scores, key=lambda frame: scores[frame])
        usual = float(np.median(list(scores.values())))
        self.worth = frozenset({best})
        if len(looking.runs) > 1:
            words = (
                f"Frame {best}: the {len(looking.runs)} runs differ in {100 * scores[best]:.2g} % "
                f"of its pixels, in {100 * usual:.2g} % of the usual one"
            )
        else:
            words = (
                f"Frame {best}: its mask is least certain (entropy {scores[best]:.2g} of 1, in the "
                f"usual one {usual:.2g})"
            )
        words += f". {len(scores)} frames were looked at."
        self.movie.show_frame(best)
        self.said.emit(words, "advice")
        self.changed.emit()
