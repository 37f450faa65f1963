"""Predictions on the canvas: layers of the program's own, made or updated, never the user's."""

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_tem_rf.gui.layers.layers import (
    goes_to_disk,
    image_shape,
    label_colors,
    placement,
    prediction_layer,
    unmarked,
)
from napari_tem_rf.gui.layers.marks import (
    AnnotationMark,
    PredictionMark,
    find_ours,
    id_of,
    mark_of,
    note,
    set_mark,
)
from napari_tem_rf.gui.session.annotations import note_classes
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.resampling import Resampling
from napari_tem_rf.micrographs.series_labels import SeriesLabels
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec


def layer_name(image: Image, by: NetworkSpec | str) -> str:
    """Return the name of a prediction: ``<image>: field 120 px``, ``<image>: random forest``."""
    what = by if isinstance(by, str) else f"field {nominal_receptive_field(by)} px"
    return f"{image.name}: {what}"


def show_prediction(
    session: Session,
    image: Image,
    labels: NDArray[np.generic],
    classes: Classes,
    by: NetworkSpec | str,
    *,
    run: Path,
    frame: int = 0,
    origin: tuple[int, int] = (0, 0),
    resampling: Resampling | None = None,
    finishing: Finishing | None = None,
) -> Labels:
    """Show labels on an image, in the program's own layer of that image and field.

    Parameters
    ----------
    session : Session
    image : Image
        The image that was predicted.
    labels : ndarray of int, shape (row, column)
        All of the image, or a part of it.
    classes : Classes
        The annotation's values, names and colours.
    by : NetworkSpec or str
        The network that predicted, or the name of the baseline.
    run : Path
        Its run folder.
    frame : int
        Frame of a stack.
    origin : tuple of int
        (row, column) of the labels' first pixel.
    resampling : Resampling, optional
        How the network was shown the image.
    finishing : Finishing, optional
        How the labels were finished.

    Returns
    -------
    Labels
        The layer: a new one, or the earlier one of the same name, updated.
    """
    name = layer_name(image, by)
    layer = _layer(session, image, classes, name, run, resampling, finishing)
    _write(layer, labels, frame, origin)
    return layer


def live_layer(session: Session, image: Image) -> Labels | None:
    """Return the program's own layer of an image that follows the strokes, if there is one."""
    found = find_ours(session.viewer.layers, live_name(image), "prediction")
    return found if isinstance(found, Labels) else None


def live_name(image: Image) -> str:
    """Return the name of the layer that follows the strokes: ``<image>: live``."""
    return f"{image.name}: live"


def show_live(
    session: Session,
    image: Image,
    labels: NDArray[np.generic],
    classes: Classes,
    *,
    frame: int = 0,
    origin: tuple[int, int] = (0, 0),
) -> Labels:
    """Show labels that follow the strokes, in a layer of their own: see `show_prediction`."""
    layer = _layer(session, image, classes, live_name(image), None, None)
    _write(layer, labels, frame, origin)
    return layer


def _write(layer: Labels, labels: NDArray[np.generic], frame: int, origin: tuple[int, int]) -> None:
    data = layer.data
    if isinstance(data, SeriesLabels):
        plane = data.draft(frame)
    else:
        plane = data[frame] if data.ndim == 3 else data
    rows, columns = labels.shape
    plane[origin[0] : origin[0] + rows, origin[1] : origin[1] + columns] = labels
    layer.refresh()


def ensure_layer(
    session: Session, image: Image, classes: Classes, by: NetworkSpec | str, *, run: Path
) -> None:
    """Add the layer that predictions of an image will be shown in, empty; an earlier one stays."""
    if find_ours(session.viewer.layers, layer_name(image, by), "prediction") is None:
        _layer(session, image, classes, layer_name(image, by), run, None)


def show_series(
    session: Session,
    image: Image,
    path: Path,
    classes: Classes,
    by: NetworkSpec | str,
    *,
    run: Path,
    resampling: Resampling | None = None,
    finishing: Finishing | None = None,
) -> Labels:
    """Show the labels of a series that are written to ``path`` as they come; see `show_prediction`.

    The layer reads from the disk what is looked at, and cannot be painted on.
    """
    name = layer_name(image, by)
    layer = _layer(session, image, classes, name, run, resampling, finishing)
    data = layer.data
    if not isinstance(data, SeriesLabels) or data.path != path:
        layer.data = SeriesLabels(path, image_shape(image), _dtype(classes))
        layer.editable = False
    return layer


def _layer(
    session: Session,
    image: Image,
    classes: Classes,
    name: str,
    run: Path | None,
    resampling: Resampling | None,
    finishing: Finishing | None = None,
) -> Labels:
    """Return the program's own layer of that name for predictions of an image, made or updated."""
    layer = find_ours(session.viewer.layers, name, "prediction")
    if layer is None or image_shape(layer) != image_shape(image):
        if layer is not None:
            session.viewer.layers.remove(layer)
        layer = _add(session, image, classes, name)
    else:
        for attribute, value in placement(image).items():
            if not np.array_equal(getattr(layer, attribute), value):
                setattr(layer, attribute, value)
        colors = label_colors(classes, background=False)
        if colors.color_dict.keys() != layer.colormap.color_dict.keys() or any(
            not np.array_equal(color, layer.colormap.color_dict[value])
            for value, color in colors.color_dict.items()
        ):
            layer.colormap = colors
    note(
        layer,
        PredictionMark,
        image=str(image.name),
        image_id=id_of(image),
        run=run,
        resampling=resampling,
        finishing=finishing,
        title=name,
        name=str(layer.name),
    )
    return layer


def _dtype(classes: Classes) -> type[np.unsignedinteger]:
    return np.uint8 if max(classes.values) < 256 else np.uint16


def _add(session: Session, image: Image, classes: Classes, name: str) -> Labels:
    """Add an empty prediction just above its image, and leave the user's selection alone."""
    layers = session.viewer.layers
    shape = image_shape(image)
    on_disk = goes_to_disk(image)
    kind = _dtype(classes)
    empty: Any = SeriesLabels(None, shape, kind) if on_disk else np.zeros(shape, kind)
    layer = prediction_layer(image, empty, classes, name)
    if on_disk:
        layer.editable = False
    values, names = classes.prediction_values[1:], classes.names[1:]
    layer.features = {"index": list(values), "class": [*map(unmarked, names)]}
    session.insert_unselected(layers.index(image) + 1, layer)
    # one who corrects a prediction makes it an annotation: it is never written over again
    layer.events.paint.connect(lambda _event: _give_to_user(session, layer, classes))
    return layer


def _give_to_user(session: Session, layer: Labels, classes: Classes) -> None:
    mark = mark_of(layer)
    if not isinstance(mark, PredictionMark):
        return
    mask = Classes(classes.prediction_values, classes.names, classes.colors)
    set_mark(
        layer,
        AnnotationMark(
            image=mark.image,
            image_id=mark.image_id,
            run=mark.run,
            resampling=mark.resampling,
            finishing=mark.finishing,
        ),
    )
    note_classes(layer, mask, "background")
    layer.name = f"{layer.name}, corrected"
    session.refresh()
