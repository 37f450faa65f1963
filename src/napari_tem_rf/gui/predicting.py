"""Predict images with a run, one after the other, each in a worker."""

from collections.abc import Sequence

from napari.layers import Image
from psygnal import Signal

from napari_tem_rf import jobs
from napari_tem_rf.gui.layers import frame_pixels
from napari_tem_rf.gui.predictions import show_prediction
from napari_tem_rf.gui.session import Session, TrainedRun
from napari_tem_rf.gui.work import Work
from napari_tem_rf.protocol import ProgressReport, Report

Target = tuple[Image, int]
"""An image layer and a frame of it."""


class Predicting:
    """One round of predictions with a run; what is done stays when it is stopped."""

    progressed = Signal(float, object, str)
    """Fraction done from 0 to 1, seconds left or None, and what is being done."""
    ended = Signal(str, bool)
    """A sentence on what was done, and whether all went well."""

    def __init__(self, session: Session, run: TrainedRun) -> None:
        self._session = session
        self._run = run
        self._targets: list[Target] = []
        self._done = 0
        self._stopped = False
        self._work: Work | None = None

    def begin(self, targets: Sequence[Target]) -> None:
        """Predict images, in order; returns at once."""
        self._targets = list(targets)
        self._session.predicting = self
        self._next()

    def stop(self) -> None:
        """Stop after the tile at hand."""
        self._stopped = True
        if self._work is not None:
            self._work.stop()

    def _next(self) -> None:
        if self._stopped or self._done == len(self._targets):
            self._end()
            return
        image, frame = self._targets[self._done]
        if image not in self._session.viewer.layers:
            self._done += 1
            self._next()
            return
        # taken from the layer only now: a long series is never in memory as a whole
        self._work = self._session.submit(
            jobs.predict,
            self._run.folder,
            frame_pixels(image, frame),
            name=f"predicting {image.name}",
            on_report=self._on_report,
            on_done=self._on_done,
            on_failed=self._on_failed,
        )

    def _on_report(self, report: Report) -> None:
        if isinstance(report, ProgressReport):
            image, _ = self._targets[self._done]
            number = len(self._targets)
            left = report.seconds_left if self._done == number - 1 else None
            what = f"predicting {image.name}"
            if number > 1:
                what = f"{what}, {self._done + 1} of {number}"
            self.progressed.emit((self._done + report.fraction) / number, left, what)

    def _on_done(self, result: jobs.PredictionResult | None) -> None:
        image, frame = self._targets[self._done]
        if result is not None and image in self._session.viewer.layers:
            show_prediction(
                self._session,
                image,
                result.labels,
                self._run.record.classes,
                self._run.record.spec,
                run=self._run.folder,
                frame=frame,
            )
        self._done += 1
        self._next()

    def _on_failed(self, sentence: str) -> None:
        self._session.predicting = None
        self.ended.emit(sentence, False)

    def _end(self) -> None:
        self._session.predicting = None
        number = len(self._targets)
        if self._stopped:
            self.ended.emit(f"Stopped after {self._done} of {number}.", True)
        elif number == 1:
            self.ended.emit("", True)
        else:
            self.ended.emit(f"{number} images predicted.", True)
