"""Particles on the canvas: one layer of the program's own a mask, its features, its corrections."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray

from napari_tem_rf.gui.layers.layers import (
    frame_labels,
    frame_pixels,
    image_shape,
    number_colors,
    pixel_size_nm,
    placement,
)
from napari_tem_rf.gui.layers.marks import (
    MARK,
    AnnotationMark,
    ParticlesMark,
    id_of,
    image_mark_of,
    is_ours,
    mark_of,
    note,
    set_mark,
)
from napari_tem_rf.gui.layers.told_apart import keep_instances
from napari_tem_rf.gui.session.annotations import image_of
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.series import Finding, Ground, Planes3D, ToldApart, planes_for
from napari_tem_rf.micrographs.framewise import PackedLabels

if TYPE_CHECKING:
    import pandas as pd

_LARGEST_SHORT = 65_535


def masks(session: Session) -> list[Labels]:
    """Return the layers that can be taken as a mask, predictions last.

    Particles whose mask is gone, or that the user took over, are among them.
    """
    there = {str(layer.unique_id) for layer in session.viewer.layers}
    found = [
        layer
        for layer in session.viewer.layers
        if isinstance(layer, Labels)
        and not (_is_current(layer) and _mask_id(layer) in {"", *there})
        and not is_ours(layer, "split")
        and len(image_shape(layer)) in (2, 3)
    ]
    predicted = session.situation.scene.predictions
    return [*(layer for layer in found if layer not in predicted), *predicted]


def first_mask(session: Session) -> Labels | None:
    """Return the mask to begin with: the image's prediction, else its annotation, else any."""
    predicted = session.situation.scene.predictions
    if predicted:
        return predicted[-1]
    candidates = masks(session)
    if session.annotation in candidates:
        return session.annotation
    return candidates[-1] if candidates else None


def strokes_background(session: Session, mask: Labels) -> int:
    """Return the value that means background besides 0; 0 for a mask, whose zeros mean it."""
    mark = mark_of(mask)
    noted = mark if isinstance(mark, AnnotationMark) else AnnotationMark()
    meaning = noted.unlabelled
    if meaning is None and mask is session.annotation:
        meaning = session.unlabelled
    if meaning != "ignore":
        return 0
    return min((value for value, _name, _color in noted.classes if value > 0), default=1)


def image_under(session: Session, mask: Labels) -> Image | None:
    """Return the image that a mask belongs to: the one noted, else the chosen one if it fits."""
    images = [image for image in session.images if image_shape(image) == image_shape(mask)]
    noted = image_of(mask, images)
    if noted is not None:
        return noted
    if session.image in images:
        return session.image
    return images[-1] if images else None


def ground_layer(session: Session, mask: Labels) -> Layer:
    """Return the layer whose place and pixel size hold: the mask, or its image if it has none."""
    image = image_under(session, mask)
    if pixel_size_nm(mask) is None and image is not None and pixel_size_nm(image) is not None:
        return image
    return mask


def ground_of(session: Session, mask: Labels | None, fallback: Labels | None = None) -> Ground:
    """Return what the particles of a mask are measured against.

    ``fallback`` is the particles' own layer, for when the mask is gone.
    """
    layer = mask if mask is not None else fallback
    if layer is None:
        return Ground()
    image = image_under(session, layer)
    return Ground(
        pixel_size_nm=pixel_size_nm(ground_layer(session, layer)),
        grey=None if image is None else partial(frame_pixels, image),
        mask=None if mask is None else partial(frame_labels, mask),
    )


def particles_name(mask: Labels) -> str:
    """Return the name of a mask's particles: ``<mask>: particles``."""
    return f"{mask.name}: particles"


def particles_layer(session: Session, mask: Labels | None) -> Labels | None:
    """Return the program's own layer with the particles of a mask; None before they are found."""
    if mask is None:
        return None
    for layer in reversed(session.viewer.layers):
        if _is_current(layer) and _mask_id(layer) == id_of(mask):
            return layer
    return None


def all_frames(layer: Labels) -> range:
    """Return the frames of a layer; one for a single image."""
    shape = image_shape(layer)
    return range(shape[0]) if len(shape) == 3 else range(1)


def show_particles(
    session: Session,
    mask: Labels,
    labels: Planes3D,
    frames: Sequence[int],
    finding: Finding,
    top: int,
    *,
    told_apart: ToldApart = "necks",
) -> tuple[Labels, str]:
    """Show particles in the program's own layer of that mask, made or updated.

    Particles that were corrected by hand are kept, in a layer that is the user's from then on.

    Parameters
    ----------
    session : Session
    mask : Labels
        The mask, which is not touched.
    labels : ndarray or PackedLabels, shape (frame, row, column)
    frames : sequence of int
        The frames that the planes are of; other frames keep the particles that they have.
    finding : Finding
        How they were found.
    top : int
        The largest label in all frames, those that keep their particles included.
    told_apart : {"necks", "numbers", "border"}
        By what particles that touch were told apart: necks of the mask, the mask's own numbers, or
        the border that its run learned.

    Returns
    -------
    tuple of Labels and str
        The layer, and the name of the layer that holds corrected particles, if there were any.
    """
    layer, kept = particles_layer(session, mask), ""
    if layer is not None and particles_mark(layer).by_hand:
        kept = _give_to_user(layer)
        layer = None
    if layer is not None and image_shape(layer) != image_shape(mask):
        session.viewer.layers.remove(layer)
        layer = None
    data = _data(mask, labels, frames, None if layer is None else layer.data, top)
    ground = ground_layer(session, mask)
    if layer is None:
        layer = _add(session, mask, data, ground)
    else:
        layer.data = data  # forgets the history too: an undo must not mix two findings
        _place(layer, ground)
    image = image_under(session, mask)
    predicted = image_mark_of(mask)
    set_mark(
        layer,
        ParticlesMark(
            title=particles_name(mask),
            name=str(layer.name),
            mask=str(mask.name),
            mask_id=id_of(mask),
            image="" if image is None else str(image.name),
            image_id=id_of(image),
            run=predicted.run,
            resampling=predicted.resampling,
            finishing=predicted.finishing,
            finding=finding,
            told_apart=told_apart,
        ),
    )
    return layer, kept


def _show_predicted_particles(session: Session, mask: Labels, instances: NDArray[np.int32]) -> None:
    """Show the particles that a run told apart by their borders, in place of its mask."""
    layer, _ = show_particles(
        session,
        mask,
        instances[None],
        (0,),
        Finding(smallest_px=1),
        int(instances.max(initial=0)),
        told_apart="border",
    )
    layer.visible, mask.visible = True, False


def take_instances(
    session: Session, mask: Labels, frame: int, instances: NDArray[np.int32] | None
) -> None:
    """Keep the particles that came with a prediction's frame, and show those of a single image.

    The frames of a stack are numbered each by itself: finding particles joins them.
    """
    keep_instances(mask, frame, instances)
    if instances is not None and mask.ndim == 2:
        _show_predicted_particles(session, mask, instances)


def show_mask_again(session: Session, mask: Labels) -> None:
    """Show a mask that changes in place of its predicted particles, which are earlier ones."""
    layer = particles_layer(session, mask)
    if layer is not None and layer.visible and particles_mark(layer).told_apart == "border":
        layer.visible, mask.visible = False, True


def show_features(
    session: Session, layer: Labels, mask: Labels | None, table: "pd.DataFrame"
) -> None:
    """Keep the particles' sizes in their layer, and the pixel size that they were measured with."""
    if mask is not None:
        _place(layer, ground_layer(session, mask))
    layer.features = table
    note(layer, ParticlesMark, pixel_size_nm=pixel_size_nm(layer))


def delete(layer: Labels, labels: Collection[int], frames: Collection[int]) -> None:
    """Delete particles, as an edit that can be undone."""
    _overwrite(layer, labels, frames, 0)


def merge(layer: Labels, labels: Collection[int], frames: Collection[int]) -> int:
    """Make particles one under their smallest label, as an edit that can be undone."""
    kept = min(labels)
    _overwrite(layer, labels, frames, kept)
    return kept


def _overwrite(layer: Labels, labels: Collection[int], frames: Collection[int], value: int) -> None:
    top = max(labels)
    wanted = np.zeros(top + 2, bool)
    wanted[list(labels)] = True
    places = []
    for frame in sorted(frames):
        plane = frame_labels(layer, frame)
        at = np.nonzero(wanted[np.clip(plane, 0, top + 1)])
        lead = (np.full(len(at[0]), frame),) if layer.data.ndim == 3 else ()
        places.append((*lead, *at))
    indices = tuple(np.concatenate(axis) for axis in zip(*places, strict=True))
    layer.data_setitem(indices, value)


def _data(
    mask: Labels,
    labels: Planes3D,
    frames: Sequence[int],
    earlier: Planes3D | None,
    top: int,
) -> Planes3D:
    """Return the labels to show: all of the mask's frames, in the type that napari draws at once.

    Labels of 32 bits napari maps pixel by pixel before it draws them, and compiles that first.
    """
    shape = image_shape(mask)
    if len(shape) == 2:
        return np.asarray(labels[0]).astype(np.uint16 if top <= _LARGEST_SHORT else np.int32)
    kind = np.dtype(np.uint16 if top <= _LARGEST_SHORT else np.int32)
    if len(frames) == len(labels) == shape[0]:
        return _of_type(labels, kind)
    data = _of_type(planes_for(shape) if earlier is None else earlier, kind)
    for place, frame in enumerate(frames):
        data[frame] = labels[place]
    return data


def _of_type(labels: Planes3D, kind: np.dtype[Any]) -> Planes3D:
    if isinstance(labels, PackedLabels):
        labels.dtype = kind
        return labels
    return labels.astype(kind, copy=False)


def _add(session: Session, mask: Labels, data: Planes3D, ground: Layer) -> Labels:
    """Add a layer of particles just above their mask."""
    layers = session.viewer.layers
    layer = Labels(
        data,
        name=particles_name(mask),
        colormap=number_colors(),
        opacity=0.6,
        metadata={MARK: ParticlesMark(name=particles_name(mask))},
        **placement(ground),
    )
    layers.insert(layers.index(mask) + 1, layer)
    if is_ours(mask, "prediction"):
        # seen through each other the colours of both would say nothing; the user's own stay
        mask.visible = False
    return layer


def _place(layer: Labels, ground: Layer) -> None:
    for attribute, value in placement(ground).items():
        if not np.array_equal(getattr(layer, attribute), value):
            setattr(layer, attribute, value)


def particles_mark(layer: Layer) -> ParticlesMark:
    """Return what is noted of a layer of particles; nothing for another layer."""
    mark = mark_of(layer)
    return mark if isinstance(mark, ParticlesMark) else ParticlesMark()


def _mask_id(layer: Layer) -> str:
    return particles_mark(layer).mask_id


def _is_current(layer: Layer) -> bool:
    """Return whether a layer of particles is the program's; one with another name is the user's."""
    return isinstance(mark_of(layer), ParticlesMark) and particles_mark(layer).name == layer.name


def _give_to_user(layer: Labels) -> str:
    """Make corrected particles the user's own layer, and return its new name."""
    layer.name = f"{layer.name}, corrected"
    return str(layer.name)
