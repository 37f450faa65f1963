"""The specimen held still on the canvas: each frame is moved back by its drift as it is shown.

A layer of napari has one place for all of its frames. It could show a resampled copy of the series
instead, but then strokes would be painted, and networks trained, on pixels that nobody recorded.
So the pixels stay as they are, and the layers of the series are moved, all by the same amount, each
time that another frame is shown: image, strokes, masks and particles together. Scale and
translation of the layers, and what is measured on them, do not change.
"""

from contextlib import suppress
from weakref import WeakKeyDictionary, ref

import numpy as np
from napari.layers import Image, Labels, Layer, Tracks
from numpy.typing import NDArray
from psygnal import Signal

from napari_tem_rf.gui.layers.boxes import to_scene
from napari_tem_rf.gui.layers.layers import image_shape
from napari_tem_rf.gui.session.annotations import owner_of
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import frame_of

__all__ = ["StillView"]

_NOTHING = 1e-9


class StillView:
    """Moves the layers of series as their frames are shown.

    Parameters
    ----------
    session : Session

    Signals
    -------
    moved()
        Layers were moved.
    """

    moved = Signal()

    def __init__(self, session: Session) -> None:
        self._session = ref(session)
        self._offsets: WeakKeyDictionary[Image, NDArray[np.float64]] = WeakKeyDictionary()
        self._shifts: WeakKeyDictionary[Layer, NDArray[np.float64]] = WeakKeyDictionary()
        # before those who draw on the layers' place
        session.viewer.dims.events.point.connect(self._move, position="first")
        session.closed.connect(self._close)
        session.on(
            lambda now: (now.scene.layers, now.choices.image, now.scene.pixel_size_nm),
            self._move,
        )

    def offsets_of(self, image: Image | None) -> NDArray[np.float64] | None:
        """Return the drift that an image is held still against, in px; None where it is not."""
        return None if image is None else self._offsets.get(image)

    def hold(self, image: Image, offsets_px: NDArray[np.float64] | None) -> None:
        """Hold a series still against its drift, or let it move again (None).

        Parameters
        ----------
        image : Image
        offsets_px : ndarray, shape (frame, 2), optional
            The drift, (row, column).
        """
        if offsets_px is None:
            self._offsets.pop(image, None)
        else:
            self._offsets[image] = offsets_px
        self._move()
        session = self._session()
        if session is not None:
            # what others draw on the layers is drawn anew when another frame is shown
            session.viewer.dims.events.current_step()

    def _move(self, _event: object = None) -> None:
        session = self._session()
        if session is None:
            return
        wanted: dict[Layer, NDArray[np.float64]] = {}
        for image, offsets in self._offsets.items():
            if image not in session.viewer.layers:
                continue
            frame = min(frame_of(session.viewer, image), len(offsets) - 1)
            shift = -to_scene(image)[:2, :2] @ offsets[frame]
            wanted |= dict.fromkeys(_lying_on(image, session), shift)
        before = dict(self._shifts)
        # noted before any layer moves: napari tells of new ranges at each, which comes back here
        self._shifts.clear()
        self._shifts.update(wanted)
        for layer in {**before, **wanted}:
            change = wanted.get(layer, np.zeros(2)) - before.get(layer, np.zeros(2))
            if change.any():
                matrix = np.array(layer.affine.affine_matrix)
                matrix[-3:-1, -1] += change
                # sums and differences leave traces of rounding
                matrix[np.abs(matrix) < _NOTHING] = 0
                layer.affine = matrix
        if before or wanted:
            self.moved.emit()

    def _close(self) -> None:
        session = self._session()
        with suppress(RuntimeError, ValueError):
            if session is not None:
                session.viewer.dims.events.point.disconnect(self._move)


def _lying_on(image: Image, session: Session) -> list[Layer]:
    """Return a series and the layers with the same frames that belong to it.

    Masks of which nobody said whose they are belong to the chosen image, if they have its shape.
    Tracks go through all frames: theirs are drawn with the drift taken off.
    """
    now = session.situation
    is_chosen = image is now.choices.image
    found = []
    for layer in session.viewer.layers:
        owner = owner_of(layer, now.scene.images)
        is_free = owner is None and is_chosen and isinstance(layer, Labels)
        if isinstance(layer, Tracks) or layer.ndim != image.ndim:
            continue
        if owner is image or (is_free and image_shape(layer) == image_shape(image)):
            found.append(layer)
    return found
