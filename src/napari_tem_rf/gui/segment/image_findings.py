"""What the chosen image and its annotation show of contrast, lattice and particles.

Measured in a thread whenever the image or the annotation changed; the network widget marks the
lengths in its chart and shows the advice.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal
from superqt.utils import QSignalDebouncer

from napari_tem_rf.gui.layers.layers import frame_labels, frame_pixels
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.measuring.contrast import (
    Advice,
    Lattice,
    advice,
    amplitude_contrast,
    lattice_period,
)
from napari_tem_rf.measuring.particles import median_diameter
from napari_tem_rf.measuring.study_findings import Taught
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
        Median diameter of the annotated particles in px; None for strokes, which are not particles.
    advice : Advice
        What contrast and lattice let expect of receptive field and baselines.
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
        self._latest = Latest()
        self._pause = QSignalDebouncer()
        self._pause.setTimeout(_PAUSE_MS)
        self._pause.triggered.connect(self._measure)
        session.on(
            lambda now: (
                now.choices.image,
                now.choices.annotation,
                now.choices.unlabelled,
                now.scene.frame,
                now.scene.pixel_size_nm,
                now.edits,
            ),
            self._later,
        )
        session.closed.connect(self._close)
        self._later()

    @property
    def findings(self) -> ImageFindings | None:
        """The latest findings; None without an image or before the first."""
        return self._findings

    def _later(self, _now: Situation | None = None) -> None:
        self._pause.throttle()

    def _measure(self) -> None:
        now = self._session.situation
        request, image = self._latest.ask(), now.choices.image
        if image is None:
            self._show(None)
            return
        places = [
            (each.pair, frame)
            for each in now.scene.annotated
            if each.pair.fits
            for frame in each.frames
        ][:_MOST_FRAMES]
        # copies: the thread must not read what is being painted; pixels, which nobody paints, it
        # reads itself
        labels = [frame_labels(pair.labels, frame).copy() for pair, frame in places]
        frame, size_nm = now.scene.frame, now.scene.pixel_size_nm

        def measure(_stopped: object, _say: object) -> ImageFindings:
            pairs = [
                (frame_pixels(pair.image, at), painted)
                for (pair, at), painted in zip(places, labels, strict=True)
            ]
            return find(frame_pixels(image, frame), pairs, now.choices.unlabelled, size_nm)

        work = run_in_thread(
            measure,
            request.only(self._show),
            request.only(_nothing_found),
        )
        request.holds(work)

    def _show(self, findings: ImageFindings | None) -> None:
        if findings != self._findings:
            self._findings = findings
            self.changed.emit(findings)

    def _close(self) -> None:
        self._latest.drop()
        self._pause.cancel()


def _nothing_found(_trouble: str) -> None:
    """Leave the earlier findings: they are advice, and no work waits for them."""


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
    taught: Taught = "strokes" if unlabelled == "ignore" else "masks"
    return ImageFindings(lattice, particle, advice(contrasts, lattice, taught), bool(contrasts))
