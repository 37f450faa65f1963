"""A map of the effective field: its widths on a grid over the image, before and after training."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf import jobs
from napari_tem_rf.gui.field.overlay import FieldOverlay
from napari_tem_rf.gui.field.placing import on_image, plane_of
from napari_tem_rf.gui.field.subject import Subject
from napari_tem_rf.gui.layers.layers import frame_name, image_shape
from napari_tem_rf.gui.layers.marks import MARK, FieldMark, find_ours, id_of, note
from napari_tem_rf.gui.pieces.bars import CalmBar
from napari_tem_rf.gui.pieces.parts import Sentence, column, row, time_left
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.work import Work
from napari_tem_rf.networks.effective_field import WidthMap, grid_on
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.protocol import ProgressReport, Report

__all__ = ["FieldMap", "show_map"]

GRID_PIXELS = 400
"""At about how many pixels of an image the field is measured for a map."""
_OPACITY = 0.6


@dataclass(frozen=True, slots=True)
class _Task:
    """One network to be mapped."""

    subject: Subject
    when: str
    """"before training", "after training" or "not trained"."""


class FieldMap(QWidget):
    """Measures the widths of the effective field over the image, with progress and Stop."""

    def __init__(self, session: Session, overlay: FieldOverlay) -> None:
        super().__init__()
        self._session, self._overlay = session, overlay
        self._work: Work | None = None
        self._tasks: list[_Task] = []
        self._done = self._asked = 0
        self.button = QPushButton("Map over the image")
        self.button.setToolTip(
            "Measure the effective field at some 400 pixels on a grid over the frame in view and\n"
            "show as layers how wide the squares are that hold 50 % and 95 % of the influence:\n"
            "of a trained network after training and, in the same colours, before it"
        )
        self.button.clicked.connect(self.measure)
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("Stop; what is measured so far is shown")
        self.stop_button.clicked.connect(self._stop)
        self.bar = CalmBar()
        self.bar.setRange(0, 1000)
        self.words = Sentence()
        column(self, [row(self.button, self.stop_button, self.bar, stretch=2), self.words])
        session.watch(self, lambda now: now.choices.image, self._show)
        self._show()

    def _show(self, _change: object = None) -> None:
        is_busy = self._asked > 0
        self.button.setEnabled(self._session.image is not None and not is_busy)
        self.button.setVisible(not is_busy)
        self.stop_button.setVisible(is_busy)
        self.bar.setVisible(is_busy)

    def measure(self) -> None:
        """Measure the network that is shown: a run after and before its training."""
        image, subject = self._session.image, self._overlay.subject
        if image is None or self._asked:
            return
        self._tasks = [_Task(subject, "not trained")]
        if subject.run is not None:
            self._tasks = [
                _Task(subject, "after training"),
                _Task(subject.untrained, "before training"),
            ]
        self._done, self._asked = 0, len(self._tasks)
        self.bar.setValue(0)
        self.bar.setFormat("preparing the image")
        self.words.say("")
        self._show()
        self._overlay.measuring.pixels.get(
            image,
            self._session.frame,
            subject.cleaning,
            partial(self._next, image, self._session.frame),
            self._fail,
        )

    def _next(self, image: Image, frame: int, pixels: NDArray[np.float32]) -> None:
        if not self._tasks:
            self._end()
            return
        task, subject = self._tasks[0], self._tasks.pop(0).subject
        grid = grid_on((pixels.shape[0], pixels.shape[1]), GRID_PIXELS)
        self._work = self._session.submit(
            jobs.map_effective_field,
            subject.run,
            subject.spec,
            pixels,
            grid,
            subject.seed,
            name=f"map of the effective field, {task.when}",
            on_report=self._report,
            on_done=partial(self._take, image, frame, pixels, task),
            on_failed=self._fail,
        )

    def _report(self, report: Report) -> None:
        if isinstance(report, ProgressReport):
            self.bar.setValue(round(1000 * (self._done + report.fraction) / self._asked))
            if report.seconds_left is not None:
                # the networks that follow take as long
                per_network = report.seconds_left / max(1 - report.fraction, 1e-3)
                left = report.seconds_left + per_network * len(self._tasks)
                self.bar.setFormat(f"%p %, {time_left(left)}")

    def _take(
        self, image: Image, frame: int, pixels: NDArray[np.float32], task: _Task, found: WidthMap
    ) -> None:
        self._done += 1
        if image in self._session.viewer.layers and found.measured:
            show_map(self._session, image, frame, task.subject, task.when, found)
        self._next(image, frame, pixels)

    def _stop(self) -> None:
        self._tasks = []
        if self._work is not None:
            self._work.stop()

    def _fail(self, sentence: str) -> None:
        self._tasks = []
        self._end()
        self.words.say(sentence, "error")

    def _end(self) -> None:
        self._work, self._asked = None, 0
        self._show()


def show_map(
    session: Session, image: Image, frame: int, subject: Subject, when: str, found: WidthMap
) -> list[Image]:
    """Show the widths of a map as layers on an image, made or updated; return them.

    Parameters
    ----------
    session : Session
    image : Image
    frame : int
        Of a series.
    subject : Subject
        The network.
    when : str
        "before training", "after training" or "not trained".
    found : WidthMap
        In px that the network sees.
    """
    by = subject.cleaning.binning
    field = nominal_receptive_field(subject.spec) * by
    rows, columns = image_shape(image)[-2:]
    px = (rows / found.w50_px.shape[0], columns / found.w50_px.shape[1])
    layers = []
    for share, widths in ((50, found.w50_px), (95, found.w95_px)):
        title = (
            f"{frame_name(image, frame)}: {share} % width of the effective field in px, "
            f"{field} px, {when}"
        )
        pixels = plane_of(image, widths * by)
        # a width is at most the exact field's: the same colours before and after training
        limits = (0.0, float(field))
        layer = find_ours(session.viewer.layers, title, "field")
        if isinstance(layer, Image):
            layer.data = pixels
        else:
            layer = Image(
                pixels,
                name=title,
                colormap="viridis",
                contrast_limits=limits,
                opacity=_OPACITY,
                visible=share == 95 and when != "before training",
                metadata={MARK: FieldMark(title=title, image=str(image.name))},
                **on_image(image, frame, (0.0, 0.0), px),
            )
            session.insert_unselected(len(session.viewer.layers), layer)
        note(
            layer,
            FieldMark,
            name=str(layer.name),
            image_id=id_of(image),
            frame=frame,
            run=subject.run,
        )
        layers.append(layer)
    return layers
