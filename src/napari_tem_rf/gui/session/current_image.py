"""The chosen image is the one in view: its layers are shown, those of the others wait.

What the user showed or hid of an image stays so: only layers that were visible are hidden, and they
come back with their image.
"""

from collections.abc import Sequence
from math import ceil, sqrt
from weakref import WeakKeyDictionary, WeakSet, ref

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from napari_tem_rf.gui.layers.plane import fit_view
from napari_tem_rf.gui.session.annotations import owner_of
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation

__all__ = ["CurrentImage"]

_GAP = 1.04
"""Distance of images side by side, in sides of the largest."""


class CurrentImage:
    """Shows the layers of the chosen image alone, or of all images side by side.

    napari's grid gives each layer a cell, or as many layers as lie next to each other in the layer
    list; here an image, its strokes and its predictions go together wherever they are in the list,
    and each can be painted on.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shown: ref[Image] | None = None
        self._is_side_by_side = False
        self._known: WeakSet[Layer] = WeakSet()
        self._hidden: WeakSet[Layer] = WeakSet()
        self._shifts: WeakKeyDictionary[Layer, NDArray[np.float64]] = WeakKeyDictionary()
        session.on(
            lambda now: (now.choices.image, now.choices.side_by_side, now.scene.layers),
            self._arrange,
        )
        self._arrange(session.situation)

    def choose(self, image: Image) -> None:
        """Choose an image, look at it, and select its annotation, which is painted next."""
        session = self._session
        is_new = image is not session.image
        session.image = image
        image.visible = True
        session.viewer.layers.selection.active = session.annotation or image
        if not is_new:
            self._look(session.situation)

    def step(self, by: int) -> None:
        """Choose the image so many places further on; after the last comes the first."""
        images, image = self._session.images, self._session.image
        if image in images:
            self.choose(images[(images.index(image) + by) % len(images)])

    def layers_of(self, image: Image) -> list[Layer]:
        """Return an image and what lies on it."""
        now = self._session.situation
        return [layer for layer in now.scene.layers if _owner(layer, now) is image]

    def show_only(self, prediction: Layer, image: Image) -> None:
        """Show one prediction of an image, at once or with its image, and hide the others.

        Two masks on each other say nothing.
        """
        now = self._session.situation
        for other in now.scene.predictions:
            if other is not prediction and owner_of(other, now.scene.images) is image:
                self._hidden.discard(other)
                other.visible = False
        self._known.add(prediction)
        if now.choices.side_by_side or image is now.choices.image:
            self._hidden.discard(prediction)
            prediction.visible = True
        else:
            self._hidden.add(prediction)
            prediction.visible = False

    def _arrange(self, now: Situation) -> None:
        """Show and hide layers; those of before only where another image is chosen."""
        image, side_by_side = now.choices.image, now.choices.side_by_side
        is_another = image is not (None if self._shown is None else self._shown())
        is_turned = side_by_side != self._is_side_by_side
        self._shown = None if image is None else ref(image)
        self._is_side_by_side = side_by_side
        for layer in now.scene.layers:
            if layer in self._known and not (is_another or is_turned):
                continue
            self._known.add(layer)
            owner = _owner(layer, now)
            if owner is not None:
                self._show(layer, side_by_side or owner is image)
        if image is not None and is_another:
            image.visible = True
        self._spread(now)
        if is_turned or (is_another and not side_by_side):
            self._look(now)

    def _show(self, layer: Layer, is_shown: bool) -> None:
        if is_shown and layer in self._hidden:
            self._hidden.discard(layer)
            layer.visible = True
        elif not is_shown and layer.visible:
            self._hidden.add(layer)
            layer.visible = False

    def _look(self, now: Situation) -> None:
        image = now.choices.image
        if now.choices.side_by_side:
            fit_view(self._session.viewer, now.scene.images)
        elif image is not None:
            fit_view(self._session.viewer, [image])

    # side by side

    def _spread(self, now: Situation) -> None:
        """Move images that lie on each other apart, with what lies on them; or back again."""
        if not now.choices.side_by_side:
            for layer in list(self._shifts):
                self._shift(layer, np.zeros(2))
            return
        shifts = dict(zip(now.scene.images, self._places(now.scene.images), strict=True))
        for layer in now.scene.layers:
            owner = _owner(layer, now)
            if owner is not None:
                self._shift(layer, shifts[owner])

    def _places(self, images: Sequence[Image]) -> list[NDArray[np.float64]]:
        """Return how far each image is moved, (row, column) in the world."""
        layers = self._session.viewer.layers
        corners = []  # (image, low and high, row and column)
        for image in images:
            extent = layers.get_extent([image])
            half = np.asarray(extent.step)[-2:] / 2
            corner = np.asarray(extent.world)[:, -2:] + [-half, half]
            corners.append(corner - self._shifts.get(image, 0))
        if not _overlap(corners):
            return [np.zeros(2) for _ in images]
        side = _GAP * np.max([high - low for low, high in corners], axis=0)
        across = ceil(sqrt(len(images)))
        return [
            corners[0][0] + side * divmod(place, across) - low
            for place, (low, _) in enumerate(corners)
        ]

    def _shift(self, layer: Layer, by: NDArray[np.float64]) -> None:
        """Move a layer in the world; its own scale and translation stay as they are."""
        change = by - self._shifts.pop(layer, np.zeros(2))
        if by.any():
            self._shifts[layer] = by
        if change.any():
            matrix = np.array(layer.affine.affine_matrix)
            matrix[-3:-1, -1] += change
            layer.affine = matrix


def _owner(layer: Layer, now: Situation) -> Image | None:
    """Return the image that a layer is shown with; None for what is the user's alone."""
    owner = owner_of(layer, now.scene.images)
    return now.choices.image if owner is None and layer is now.choices.annotation else owner


def _overlap(corners: Sequence[NDArray[np.float64]]) -> bool:
    for place, (low, high) in enumerate(corners):
        for other_low, other_high in corners[:place]:
            shared = np.minimum(high, other_high) - np.maximum(low, other_low)
            if (shared > 1e-6 * (high - low)).all():
                return True
    return False
