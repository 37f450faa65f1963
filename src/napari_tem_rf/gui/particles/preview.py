"""How particles would be split, drawn on the canvas as the settings are moved."""

from contextlib import suppress
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from psygnal import Signal
from superqt.utils import QSignalDebouncer

from napari_tem_rf.gui.layers.layers import frame_labels, image_shape, number_colors
from napari_tem_rf.gui.layers.marks import MARK, OverlayMark, find_ours
from napari_tem_rf.gui.layers.plane import plane_placement, shown_frame
from napari_tem_rf.gui.layers.told_apart import instances_of
from napari_tem_rf.gui.particles import layers as particle_layers
from napari_tem_rf.gui.session.annotations import labels_are_in
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.series import Finding, numbered_alike, particles_of

__all__ = ["SplitPreview"]

_PAUSE_MS = 150
_OUTLINE_PX = 2


class SplitPreview:
    """Outlines of the particles of the frame shown, as they would be found.

    Only the newest settings are looked at; the particles' own layer and their table stay as they
    are until they are found anew.
    """

    counted = Signal(int)
    """How many particles the frame has with the newest settings."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._work: ThreadWork | None = None
        self._wish: tuple[Labels, Finding] | None = None
        self._pause = QSignalDebouncer()
        self._pause.setTimeout(_PAUSE_MS)
        self._pause.triggered.connect(self._begin)

    @property
    def layer(self) -> Labels | None:
        """The layer with the outlines; None while there is none."""
        for layer in self._session.viewer.layers:
            mark = layer.metadata.get(MARK)
            if isinstance(mark, OverlayMark) and mark.kind == "split":
                found: Labels | None = find_ours(self._session.viewer.layers, mark.title, mark.kind)
                return found
        return None

    def show(self, mask: Labels, finding: Finding) -> None:
        """Draw the particles of a mask as these settings find them, after a moment's pause."""
        self._wish = mask, finding
        self._pause.throttle()

    def close(self) -> None:
        """Take the outlines away, and drop what is under way."""
        self._wish = None
        with suppress(RuntimeError):  # the viewer may be gone
            layer = self.layer
            if layer is not None:
                self._session.viewer.layers.remove(layer)

    def _begin(self) -> None:
        if self._wish is None or (self._work is not None and not self._work.is_over):
            return  # one at a time: when it ends, the newest settings follow
        wish = mask, finding = self._wish
        if mask not in self._session.viewer.layers:
            return
        frame = shown_frame(self._session.viewer, mask)
        background = particle_layers.strokes_background(self._session, mask)
        size = particle_layers.ground_of(self._session, mask).pixel_size_nm
        predicted = instances_of(mask, frame)
        plane = frame_labels(mask, frame).copy() if predicted is None else predicted
        said = labels_are_in(mask) if predicted is None else "particles"

        def find(_stopped: object, _say: object) -> NDArray[Any]:
            numbered = numbered_alike(plane, background, said)
            labels = np.where(plane == background, 0, plane) if background else plane
            return particles_of(labels, numbered, finding, size)

        def over(labels: NDArray[Any] | None) -> None:
            if self._wish is None:  # closed in the meantime
                return
            if labels is not None:
                self._draw(mask, labels)
            if self._wish != wish:
                self._begin()

        self._work = run_in_thread(find, over, lambda _trouble: over(None))

    def _draw(self, mask: Labels, labels: NDArray[Any]) -> None:
        viewer = self._session.viewer
        if mask not in viewer.layers:
            return
        shape = image_shape(mask)
        layer = self.layer
        if layer is not None and image_shape(layer) != shape[-2:]:
            viewer.layers.remove(layer)
            layer = None
        small = labels.astype(np.uint16 if labels.max(initial=0) < 2**16 else np.int32)
        place = plane_placement(particle_layers.ground_layer(self._session, mask))
        if layer is None:
            title = f"{mask.name}: as it would be split"
            layer = Labels(
                small,
                name=title,
                colormap=number_colors(),
                opacity=1.0,
                metadata={MARK: OverlayMark(kind="split", title=title, name=title)},
                **place,
            )
            layer.contour = _OUTLINE_PX
            layer.editable = False
            self._session.insert_unselected(len(viewer.layers), layer)
        else:
            layer.data = small
            for name, value in place.items():
                if not np.array_equal(getattr(layer, name), value):
                    setattr(layer, name, value)
        self.counted.emit(len(np.setdiff1d(small, [0])))
