"""What the chosen image and its annotation show of contrast, lattice and particles.

Measured in a thread whenever the image or the annotation changed; the network widget marks the
lengths in its chart and shows the advice.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.qt.threading import create_worker
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf.gui.layers.layers import frame_labels, frame_pixels
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.contrast import (
    Advice,
    Lattice,
    advice,
    amplitude_contrast,
    lattice_period,
)
from napari_tem_rf.measuring.particles import median_diameter
from napari_tem_rf.networks.words import PixelSize
from napari_tem_rf.protocol import Unlabelled

_PAUSE_MS = 400
_MOST_FRAMES = 8


@dataclass(frozen=True, slots=True)
class ImageFindings:
    """What was measured.

    Attributes
    ----------
    lattice : Lattice, optional
        The lattice of the shown frame; None where none was found.
    particle_px : float, optional
        Median diameter of the annotated particles in px; None for strokes, which are no particles.
    advice : Advice
        What contrast and lattice let expect of the receptive field.
    annotated : bool
        Whether two classes are annotated, so that there is a contrast.
    """

    lattice: Lattice | None
    particle_px: float | None
    advice: Advice
    annotated: bool


class FindingsWatch:
    """Keeps the findings of a session's image up to date.

    Signals
    -------
    changed(ImageFindings | None)
        New findings; None without an image.
    """

    changed = Signal(object)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._findings: ImageFindings | None = None
        self._ticket = 0
        self._pause = QTimer()
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._measure)
        for signal in (
            session.image_changed,
            session.calibration_changed,
            session.frame_changed,
            session.annotation_changed,
            session.annotation_edited,
            session.unlabelled_changed,
        ):
            signal.connect(self._later, max_args=0)
        session.closed.connect(self._close)
        self._later()

    @property
    def findings(self) -> ImageFindings | None:
        """The latest findings; None without an image or before the first."""
        return self._findings

    def _later(self) -> None:
        self._pause.start()

    def _measure(self) -> None:
        session = self._session
        self._ticket += 1
        image = session.image
        if image is None:
            self._show(self._ticket, None)
            return
        # copies: the thread must not read what is being painted
        pairs = [
            (frame_pixels(pair.image, frame), frame_labels(pair.labels, frame).copy())
            for pair, _ in session.annotated()
            if pair.fits
            for frame in pair.annotated_frames()
        ][:_MOST_FRAMES]
        create_worker(
            find,
            frame_pixels(image, session.frame),
            pairs,
            session.unlabelled,
            session.pixel_size_nm,
            _connect={"returned": partial(self._show, self._ticket)},
            _start_thread=True,
        )

    def _show(self, ticket: int, findings: ImageFindings | None) -> None:
        if ticket == self._ticket and findings != self._findings:
            self._findings = findings
            self.changed.emit(findings)

    def _close(self) -> None:
        self._ticket += 1
        # at the end of the program Qt has deleted the timer already
        with suppress(RuntimeError):
            self._pause.stop()


def find(
    pixels: NDArray[np.float32],
    annotated: list[tuple[NDArray[np.float32], NDArray[Any]]],
    unlabelled: Unlabelled,
    size_nm: PixelSize,
) -> ImageFindings:
    """Measure an image and its annotated frames; see `ImageFindings`.

    Parameters
    ----------
    pixels : ndarray of float32, shape (row, column)
        The frame whose lattice is looked for.
    annotated : list of (pixels, labels)
        Annotated frames, each of shape (row, column).
    unlabelled : {"ignore", "background"}
        What zeros of the labels mean.
    size_nm : tuple of float, optional
        (row, column) size of a pixel in nm.
    """
    lattice = lattice_period(pixels, size_nm)
    contrasts, diameters = [], []
    for frame, labels in annotated:
        found = amplitude_contrast(frame, labels, unlabelled=unlabelled)
        contrasts += [contrast.sigma for contrast in found]
        if unlabelled == "background":
            diameter = median_diameter(labels)
            if diameter is not None and np.isfinite(diameter):
                diameters.append(diameter)
    particle = float(np.median(diameters)) if diameters else None
    return ImageFindings(lattice, particle, advice(contrasts, lattice), bool(contrasts))


_WATCHES: dict[Session, FindingsWatch] = {}


def findings_of(session: Session) -> FindingsWatch:
    """Return the watch of a session, made on first use and gone with the session."""
    watch = _WATCHES.get(session)
    if watch is None:
        watch = _WATCHES[session] = FindingsWatch(session)
        session.closed.connect(lambda: _WATCHES.pop(session, None))
    return watch
