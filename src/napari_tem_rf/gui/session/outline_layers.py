"""Files of outlines -> Labels layers on the grid of an image that is open."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer

from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.gui.layers.layers import (
    image_shape,
    label_colors,
    number_colors,
    placement,
    unmarked,
)
from napari_tem_rf.gui.layers.marks import MARK, AnnotationMark, id_of
from napari_tem_rf.gui.session.annotations import owner_of
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.outline_files import read_outlines
from napari_tem_rf.micrographs.outlines import Legend, legend_of
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.reading import image_name

__all__ = ["image_for", "outline_layer"]


def image_for(path: Path, layers: Sequence[Layer], active: Layer | None) -> Image | None:
    """Return the image that outlines were drawn on: of the file's name, or else the one in view.

    Parameters
    ----------
    path : Path
        File of outlines.
    layers : sequence of Layer
        The layers that are open.
    active : Layer, optional
        The one that is selected: an image, or what lies on one.
    """
    images = [layer for layer in layers if isinstance(layer, Image)]
    for image in images:
        if image.name == image_name(path):
            return image
    owner = owner_of(active, images)
    if isinstance(owner, Image):
        return owner
    shown = [image for image in images if image.visible]
    return (shown or images or [None])[-1]


def outline_layer(path: Path, image: Image | None) -> tuple[tuple[Any, dict[str, Any], str], str]:
    """Return the layer data of an annotation made of outlines, and what the user should know.

    Outlines of one class are particles with a number each; those of several are classes.

    Raises
    ------
    ReadingError
        If the file cannot be read, no image is open, or the outlines are not of this one.
    """
    file = read_outlines(path)
    if image is None:
        raise ReadingError(
            f'"{path.name}" holds {len(file.outlines):,} outlines, which have no pixels of their '
            "own: open their image first, then open them again"
        )
    legend = legend_of(file.outlines)
    labels, notes = file.labels(image_shape(image), legend)
    classes = _classes(legend)
    attributes: dict[str, Any] = {
        **placement(image),
        "name": f"{image.name}: outlines",
        "opacity": 0.5 if legend.numbered else 0.7,
        "colormap": number_colors() if legend.numbered else label_colors(classes),
    }
    noted: tuple[tuple[int, str, str], ...] = ()
    if not legend.numbered:
        noted = tuple(zip(classes.values, classes.names, classes.colors, strict=True))
        attributes["features"] = {
            "index": classes.values,
            "class": [*map(unmarked, classes.names)],
        }
    mark = AnnotationMark(
        image=str(image.name),
        image_id=id_of(image),
        classes=noted,
        unlabelled=legend.unlabelled,
        labels_are="particles" if legend.numbered else "classes",
    )
    attributes["metadata"] = {MARK: mark}
    return (labels, attributes, "labels"), " ".join(notes)


def _classes(legend: Legend) -> Classes:
    """Return the classes of a legend, background first."""
    names = legend.names
    if legend.unlabelled == "background":
        names = {0: "background", **names}
    ordered = sorted(names)
    return Classes(
        tuple(ordered),
        tuple(names[value] for value in ordered),
        tuple(CLASS_COLORS[place % len(CLASS_COLORS)] for place in range(len(ordered))),
    )
