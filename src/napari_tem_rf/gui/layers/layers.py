"""Micrographs and labels as napari layers, and layers as micrographs.

Every layer that the program adds carries the image's scale, translate, units and axis labels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pint
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.gui.layers.class_colors import ClassColors
from napari_tem_rf.gui.layers.marks import MARK, AnnotationMark, ImageMark, PredictionMark, mark_of
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.frames import IN_MEMORY_BYTES
from napari_tem_rf.micrographs.micrograph import Micrograph

_LOOKED_AT_PX = 250_000
_FRAMES_LOOKED_AT = 7


def pixel_size_nm(layer: Layer) -> tuple[float, float] | None:
    """Return the (row, column) pixel size in nm; None where the layer's units are not lengths."""
    sizes = []
    for scale, unit in zip(layer.scale[-2:], layer.units[-2:], strict=True):
        try:
            size = float((float(scale) * unit).to("nanometer").magnitude)
        except pint.DimensionalityError:
            return None
        sizes.append(size)
    return sizes[0], sizes[1]


def set_pixel_size_nm(layer: Layer, size_nm: tuple[float, float] | None) -> None:
    """Calibrate a layer in nm, or take its calibration away; its translation follows."""
    size = (1.0, 1.0) if size_nm is None else size_nm
    unit = "pixel" if size_nm is None else "nm"
    shift = np.divide(layer.translate[-2:], layer.scale[-2:])
    leading = layer.ndim - 2
    layer.units = (*layer.units[:leading], unit, unit)
    layer.translate = (*layer.translate[:leading], *(shift * size))
    layer.scale = (*layer.scale[:leading], *size)


def unmarked(text: str) -> str:
    """Return a text for napari, whose labels guess whether it is HTML: no tag begins in it."""
    return text.replace("<", "‹").replace("&lt;", "&‹")


def axis_labels(dimensions: int) -> tuple[str, ...]:
    """Return the names of a micrograph's axes: frame, y, x."""
    return ("frame", "y", "x")[-dimensions:]


def placement(layer: Layer) -> dict[str, Any]:
    """Return scale, translate, units and axis labels for a layer that lies on another."""
    return {
        "scale": tuple(layer.scale),
        "translate": tuple(layer.translate),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "units": tuple(layer.units),
        "axis_labels": tuple(layer.axis_labels),
    }


def micrograph_layer(micrograph: Micrograph) -> tuple[Any, dict[str, Any], str]:
    """Return the layer data tuple of an Image layer that shows a micrograph."""
    dimensions = micrograph.pixels.ndim
    size = micrograph.pixel_size_nm
    unit = "pixel" if size is None else "nm"
    metadata = {
        **micrograph.metadata,
        MARK: ImageMark(micrograph.source, tuple(micrograph.notes)),
    }
    attributes = {
        "name": unmarked(micrograph.name),
        "scale": (1.0,) * (dimensions - 2) + (size or (1.0, 1.0)),
        "units": ("pixel",) * (dimensions - 2) + (unit, unit),
        "axis_labels": axis_labels(dimensions),
        "metadata": metadata,
        "contrast_limits": contrast_limits(micrograph),
    }
    return micrograph.pixels, attributes, "image"


def contrast_limits(micrograph: Micrograph) -> tuple[float, float]:
    """Return the grey values to show as black and white.

    A few spikes, or a beam stop, must not make all else look flat: one pixel in 500 at either end
    is cut off. Of a series a few frames spread over it are looked at, thinned out: it is not read
    for it, and no frame that is brighter or darker than the others decides alone.
    """
    count = min(micrograph.frames, _FRAMES_LOOKED_AT)
    frames = np.linspace(0, micrograph.frames - 1, count).round().astype(int)
    rows, columns = micrograph.image_shape
    step = max(1, round((rows * columns * count / _LOOKED_AT_PX) ** 0.5))
    looked_at = [
        np.asarray(micrograph.frame(int(frame))[::step, ::step], np.float64).ravel()
        for frame in frames
    ]
    values = np.concatenate(looked_at)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, (0.002, 0.998))
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def image_shape(layer: Layer) -> tuple[int, ...]:
    """Return the shape of an image or labels layer without colours: (frame,) row, column."""
    data = layer.data[0] if layer.multiscale else layer.data
    shape = data.shape[:-1] if getattr(layer, "rgb", False) else data.shape
    return tuple(int(length) for length in shape)


def frame_pixels(layer: Image, frame: int = 0) -> NDArray[np.float32]:
    """Return one frame of an Image layer as grey values, shape (row, column)."""
    data = layer.data[0] if layer.multiscale else layer.data
    plane = np.asarray(data[frame] if len(image_shape(layer)) == 3 else data)
    if layer.rgb:
        plane = plane[..., :3].mean(axis=-1)
    return plane.astype(np.float32)


def frame_labels(layer: Labels, frame: int = 0) -> NDArray[np.integer]:
    """Return one frame of a Labels layer, shape (row, column)."""
    data = layer.data[0] if layer.multiscale else layer.data
    return np.asarray(data[frame] if len(image_shape(layer)) == 3 else data)


def source_of(layer: Layer) -> Path | None:
    """Return the file that a layer was read from."""
    mark = mark_of(layer)
    if isinstance(mark, ImageMark) and mark.source is not None:
        return mark.source
    return None if layer.source.path is None else Path(layer.source.path)


def label_colors(classes: Classes, *, background: bool = True) -> ClassColors:
    """Return the colours of an annotation (or, without background, of a prediction).

    Classes without a colour of their own, as in runs of the command line, get the palette's.
    """
    colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    for place, value in enumerate(classes.values):
        own = classes.colors[place] if place < len(classes.colors) else ""
        if value != 0 and (background or place > 0):
            colors[value] = own or CLASS_COLORS[place % len(CLASS_COLORS)]
    return ClassColors(color_dict=colors)


def number_colors() -> CyclicLabelColormap:
    """Return the class colours in three lightnesses: neighbours rarely share one of 21."""
    base = np.array([list(bytes.fromhex(color[1:])) for color in CLASS_COLORS]) / 255
    shades = [(1 - share) * base + share * to for to, share in ((1, 0), (1, 0.45), (0, 0.35))]
    # the first colour is that of no particle
    colors = np.concatenate([np.zeros((1, 4)), np.insert(np.concatenate(shades), 3, 1, axis=1)])
    return CyclicLabelColormap(
        colors=colors.astype(np.float32),
        controls=np.linspace(0, 1, len(colors) + 1),
        interpolation="zero",
        background_value=0,
    )


def new_annotation(image: Image, classes: Classes, name: str) -> Labels:
    """Return an empty annotation layer that lies on an image."""
    shape = image_shape(image)
    layer = Labels(
        np.zeros(shape, np.uint8),
        name=name,
        colormap=label_colors(classes),
        opacity=0.7,
        metadata={MARK: AnnotationMark(image=str(image.name))},
        **placement(image),
    )
    layer.brush_size = max(5, round(min(shape[-2:]) / 50))
    layer.selected_label = classes.values[-1]
    return layer


def prediction_layer(
    image: Image, labels: NDArray[np.integer], classes: Classes, name: str
) -> Labels:
    """Return a Labels layer that shows a prediction on an image, background transparent.

    Parameters
    ----------
    image : Image
        Where the prediction lies.
    labels : ndarray of int
        Shape of the image: (row, column) or (frame, row, column).
    classes : Classes
        Values, names and colours of the annotation.
    name : str
        Name of the layer.
    """
    return Labels(
        labels,
        name=name,
        colormap=label_colors(classes, background=False),
        opacity=0.5,
        metadata={MARK: PredictionMark(image=str(image.name))},
        **placement(image),
    )


def history(layer: Labels) -> tuple[int, int]:
    """Return how many edits of a layer can be undone and redone; napari says so in private."""
    return len(layer._undo_history), len(layer._redo_history)


def goes_to_disk(image: Image) -> bool:
    """Return whether predictions of an image layer are written to disk and not kept in memory.

    So it is for series that are lazy themselves, and for those whose labels exceed 64 MiB.
    """
    shape = image_shape(image)
    if len(shape) == 2 or image.rgb:
        return False
    data = image.data[0] if image.multiscale else image.data
    pixels = shape[0] * shape[1] * shape[2]
    return pixels > IN_MEMORY_BYTES or not hasattr(data, "__array_interface__")


def images_and_frames(images: Sequence[Image], frames: Sequence[int]) -> str:
    """Return how many images and frames of series there are: "1 image and 3 frames".

    Parameters
    ----------
    images : sequence of Image
    frames : sequence of int
        How many frames of each image count.
    """
    pairs = list(zip(images, frames, strict=True))
    single = sum(number for image, number in pairs if len(image_shape(image)) == 2)
    of_series = sum(number for image, number in pairs if len(image_shape(image)) == 3)
    words = [
        f"{number:,} {name}{'s' * (number != 1)}"
        for number, name in ((single, "image"), (of_series, "frame"))
        if number
    ]
    return " and ".join(words) or "no image"


def frame_name(image: Image, frame: int) -> str:
    """Return the name of one frame of an image layer: the layer's name for a single image."""
    return f"{image.name} [{frame}]" if len(image_shape(image)) == 3 else str(image.name)
