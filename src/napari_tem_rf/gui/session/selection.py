"""What is looked at in a viewer: the chosen image, its frame, its annotation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf.gui.layers.layers import frame_pixels, image_shape, is_ours, pixel_size_nm
from napari_tem_rf.gui.session.annotations import (
    AnnotatedLayer,
    annotation_for,
    classes_of,
    count_pixels,
    image_of,
    meaning_of_zeros,
    note_classes,
)
from napari_tem_rf.gui.session.label_counts import counted_once
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.protocol import Unlabelled

_EDIT_PAUSE_MS = 250


class Selection:
    """The chosen image and annotation of a viewer, kept valid while layers come and go.

    Signals
    -------
    image_changed(Image | None)
        Another image layer was chosen.
    calibration_changed()
        The chosen image's pixel size, units or position changed.
    frame_changed(int)
        The viewer shows another frame of the chosen image.
    annotation_changed(Labels | None)
        Another annotation layer was chosen.
    annotation_edited()
        Labels were painted; comes once after each pause of painting.
    unlabelled_changed(str)
        What zeros of the annotation mean: "ignore" or "background".
    layers_changed()
        A layer was added or removed.
    """

    image_changed = Signal(object)
    calibration_changed = Signal()
    frame_changed = Signal(int)
    annotation_changed = Signal(object)
    annotation_edited = Signal()
    unlabelled_changed = Signal(str)
    layers_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = ref(viewer)
        self._image: Image | None = None
        self._annotation: Labels | None = None
        self._frame = 0
        self._unlabelled: Unlabelled = "ignore"
        self._edit_pause = QTimer()
        self._edit_pause.setSingleShot(True)
        self._edit_pause.setInterval(_EDIT_PAUSE_MS)
        self._edit_pause.timeout.connect(self._on_pause)
        viewer.layers.events.inserted.connect(self._on_layers)
        viewer.layers.events.removed.connect(self._on_layers)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.dims.events.current_step.connect(self._on_step)
        self._on_layers()

    @property
    def viewer(self) -> Viewer:
        """The viewer; raises RuntimeError when it is gone."""
        viewer = self._viewer()
        if viewer is None:
            raise RuntimeError("the viewer of this session is closed")
        return viewer

    # images and annotations

    def images(self) -> list[Image]:
        """Return the image layers that can be chosen, the top of the list last."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Image) and not is_ours(layer) and len(image_shape(layer)) in (2, 3)
        ]

    def annotations(self) -> list[Labels]:
        """Return the labels layers that can be chosen; predictions are not among them."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels) and (not is_ours(layer) or is_ours(layer, "annotation"))
        ]

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self._image

    @image.setter
    def image(self, layer: Image | None) -> None:
        if layer is self._image:
            return
        if self._image is not None:
            for events in self._calibration_events(self._image):
                events.disconnect(self._on_calibration)
        self._image = layer
        if layer is not None:
            for events in self._calibration_events(layer):
                events.connect(self._on_calibration)
        self._frame = self._current_frame()
        self.image_changed.emit(layer)
        if layer is not None:
            self.annotation = annotation_for(layer, self.annotations(), self.images())

    @property
    def pixel_size_nm(self) -> tuple[float, float] | None:
        """(row, column) pixel size of the chosen image in nm; None where it has none."""
        return None if self._image is None else pixel_size_nm(self._image)

    @property
    def frame(self) -> int:
        """The frame of the chosen image that the viewer shows; 0 for a single image."""
        return self._frame

    @property
    def frames(self) -> int:
        """Number of frames of the chosen image; 1 for a single image, 0 without one."""
        if self._image is None:
            return 0
        shape = image_shape(self._image)
        return shape[0] if len(shape) == 3 else 1

    def pixels(self) -> NDArray[np.float32] | None:
        """Return the frame that the viewer shows, shape (row, column); None without an image."""
        return None if self._image is None else frame_pixels(self._image, self._frame)

    @property
    def annotation(self) -> Labels | None:
        """The chosen annotation layer."""
        return self._annotation

    @annotation.setter
    def annotation(self, layer: Labels | None) -> None:
        if layer is self._annotation:
            return
        if self._annotation is not None:
            for events in self._label_events(self._annotation):
                events.disconnect(self._on_labels)
        self._annotation = layer
        if layer is not None:
            for events in self._label_events(layer):
                events.connect(self._on_labels)
            self._unlabelled = meaning_of_zeros(layer)
        self.annotation_changed.emit(layer)
        described = None if layer is None else image_of(layer, self.images())
        if described is not None:
            self.image = described

    @property
    def unlabelled(self) -> Unlabelled:
        """What zeros of the annotation mean: not annotated, or background."""
        return self._unlabelled

    @unlabelled.setter
    def unlabelled(self, meaning: Unlabelled) -> None:
        if meaning != self._unlabelled:
            self._unlabelled = meaning
            if self._annotation is not None:
                classes = classes_of(self._annotation, meaning)
                note_classes(self._annotation, classes, meaning)
            self.unlabelled_changed.emit(meaning)

    @property
    def classes(self) -> Classes:
        """The classes of the chosen annotation; none without one."""
        if self._annotation is None:
            return Classes((), ())
        return classes_of(self._annotation, self._unlabelled)

    def annotated(self) -> tuple[tuple[AnnotatedLayer, tuple[int, ...]], ...]:
        """Return what a training would learn from: image, labels and pixels of each class.

        The chosen annotation comes first, then every other annotation layer that is painted and
        whose image is in the viewer.
        """
        images = self.images()
        pairs = []
        if self._image is not None and self._annotation is not None:
            pairs.append(AnnotatedLayer(self._image, self._annotation))
        for layer in self.annotations():
            image = image_of(layer, images)
            if image is not None and layer is not self._annotation:
                pairs.append(AnnotatedLayer(image, layer))
        if not pairs:
            return ()
        classes = classes_of(pairs[0].labels, self._unlabelled)
        found = []
        for pair in pairs:
            counts = count_pixels(pair.labels, classes, self._unlabelled)
            if pair is pairs[0] or any(counts):
                found.append((pair, counts))
        return tuple(found)

    @contextmanager
    def layer_list_kept(self) -> Iterator[None]:
        """Leave what is selected in the layer list, and chosen here, while layers are added."""
        selection = self.viewer.layers.selection
        selected, active = set(selection), selection.active
        with selection.events.active.blocker(self._on_active):
            yield
            if selected:
                self.viewer.layers.selection = selected
                self.viewer.layers.selection.active = active

    def insert_unselected(self, place: int, layer: Layer) -> None:
        """Add a layer to the layer list, of which the same layers stay selected."""
        layers = self.viewer.layers
        selected = set(layers.selection)
        if not selected:
            with self.layer_list_kept():
                layers.insert(place, layer)
            return
        # or else napari shows the controls of the new layer and at once the earlier ones again
        with layers.selection.events.blocker_all():
            layers.insert(place, layer)
            layers.selection = selected

    # what the viewer does

    def _on_layers(self, _event: object = None) -> None:
        images, annotations = self.images(), self.annotations()
        with counted_once():
            if self._image not in images:
                self.image = images[-1] if images else None
            if self._annotation not in annotations:
                image = self._image
                own = None if image is None else annotation_for(image, annotations, images)
                self.annotation = own
            self.layers_changed.emit()

    def _on_active(self, _event: object = None) -> None:
        """Choose the annotation that the user selects in the layer list: it is painted next."""
        layer = self.viewer.layers.selection.active
        if layer is self._annotation or layer not in self.annotations():
            return
        fits = self._image is not None and image_shape(layer) == image_shape(self._image)
        if fits or image_of(layer, self.images()) is not None:
            self.annotation = layer

    def _on_step(self, _event: object = None) -> None:
        frame = self._current_frame()
        if frame != self._frame:
            self._frame = frame
            self.frame_changed.emit(frame)

    def _current_frame(self) -> int:
        layer = self._image
        if layer is None or len(image_shape(layer)) == 2:
            return 0
        position = layer.world_to_data(self.viewer.dims.point)
        return int(np.clip(round(float(position[0])), 0, image_shape(layer)[0] - 1))

    def _on_calibration(self, _event: object = None) -> None:
        self.calibration_changed.emit()

    def _on_labels(self, _event: object = None) -> None:
        self._edit_pause.start()

    def _on_pause(self) -> None:
        with counted_once():
            self.annotation_edited.emit()

    @staticmethod
    def _calibration_events(layer: Layer) -> tuple[Any, ...]:
        return layer.events.scale, layer.events.units, layer.events.translate

    @staticmethod
    def _label_events(layer: Labels) -> tuple[Any, ...]:
        return layer.events.paint, layer.events.data, layer.events.labels_update

    def _let_go(self) -> None:
        """Listen to the viewer no longer."""
        self._edit_pause.stop()
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.events.inserted.disconnect(self._on_layers)
            viewer.layers.events.removed.disconnect(self._on_layers)
            viewer.layers.selection.events.active.disconnect(self._on_active)
            viewer.dims.events.current_step.disconnect(self._on_step)
            self.annotation = None
            self.image = None
