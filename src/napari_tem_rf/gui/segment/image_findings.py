"""What the chosen image and its annotation show of contrast, lattice and particles.

Measured in a thread whenever the image or the annotation changed; the network widget marks the
lengths in its chart and shows the advice.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal
from superqt.utils import QSignalDebouncer

from napari_tem_rf.gui.layers.layers import frame_labels, frame_pixels
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.gui.session.label_counts import painted_rows
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

_Shown = tuple[Any, int, PixelSize]
"""Data of an image, a frame of it and the size of a pixel in nm."""


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
        # strokes do not change it: found once for (data, frame, pixel size)
        self._lattice: tuple[_Shown, Lattice | None] | None = None
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
            self._lattice = None
            self._show(None)
            return
        places = [
            (each.pair, frame)
            for each in now.scene.annotated
            if each.pair.fits
            for frame in each.frames
        ][:_MOST_FRAMES]
        frame, size_nm, unlabelled = (
            now.scene.frame,
            now.scene.pixel_size_nm,
            now.choices.unlabelled,
        )
        shown = image.data, frame, size_nm
        known = (
            self._lattice if self._lattice is not None and _same(self._lattice[0], shown) else None
        )

        def measure(_stopped: object, _say: object) -> tuple[Lattice | None, ImageFindings]:
            lattice = known[1] if known else lattice_period(frame_pixels(image, frame), size_nm)
            pairs = [_annotated(pair.image, pair.labels, at, unlabelled) for pair, at in places]
            return lattice, find(lattice, pairs, unlabelled)

        def measured(found: tuple[Lattice | None, ImageFindings]) -> None:
            self._lattice = shown, found[0]
            self._show(found[1])

        work = run_in_thread(
            measure,
            request.only(measured),
            request.only(_nothing_found),
        )
        request.holds(work)

    def _show(self, findings: ImageFindings | None) -> None:
        if findings != self._findings:
            self._findings = findings
            self.changed.emit(findings)

    def _close(self) -> None:
        self._latest.drop()
        self._lattice = None
        self._pause.cancel()


def _nothing_found(_trouble: str) -> None:
    """Leave the earlier findings: they are advice, and no work waits for them."""


def _same(mine: _Shown, theirs: _Shown) -> bool:
    return mine[0] is theirs[0] and mine[1:] == theirs[1:]


def _annotated(
    image: Image, layer: Labels, frame: int, unlabelled: Unlabelled
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Return pixels and labels of a frame, or of as many of its rows as matter.

    For a thread: a copy of what may be painted on while it is read. A stroke of which it holds but
    a part is an edit, after which all is measured anew.
    """
    labels = frame_labels(layer, frame)
    rows = painted_rows(labels) if unlabelled == "ignore" else slice(None)
    return frame_pixels(image, frame)[rows], labels[rows].copy()


def find(
    lattice: Lattice | None,
    annotated: list[tuple[NDArray[np.float32], NDArray[Any]]],
    unlabelled: Unlabelled,
) -> ImageFindings:
    """Measure annotated frames; see `ImageFindings`.

    Parameters
    ----------
    lattice : Lattice, optional
        Of the shown frame.
    annotated : list of (pixels, labels)
        Annotated frames, each of shape (row, column).
    unlabelled : {"ignore", "background"}
        What zeros of the labels mean.
    """
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
