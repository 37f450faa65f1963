"""The functions that the manifest names: reader, writer and sample data."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_warning
from napari.viewer import current_viewer

from napari_tem_rf.gui.layers.layers import label_colors, micrograph_layer
from napari_tem_rf.gui.layers.marks import MARK, AnnotationMark
from napari_tem_rf.gui.session.annotations import STROKES
from napari_tem_rf.gui.session.outline_layers import image_for, outline_layer
from napari_tem_rf.gui.session.shared_runs import open_shared_run
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.outline_files import holds_outlines
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.run_archive import is_run_archive
from napari_tem_rf.samples import sample_folder

_IMAGES_IN_A_ROW = 4
_WITH_STROKES = 4
_GAP = 1.04
"""Distance of images side by side, in sides of the largest."""

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return the function that reads a path (or several); the manifest has the endings."""
    paths = [path] if isinstance(path, str) else list(path)
    if any(_is_zip(each) for each in paths):
        return open_runs if all(is_run_archive(Path(each)) for each in paths) else None
    # napari asks before it knows whether the file opens: reading decides, with a sentence
    return read_layers if paths else None


def open_runs(path: str | Sequence[str]) -> list[tuple[None]]:
    """Choose the runs in zips, and show the dock that uses them; they make no layer."""
    viewer = current_viewer()
    if viewer is not None:
        for each in [path] if isinstance(path, str) else path:
            open_shared_run(session_of(viewer), Path(each))
        viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    return [(None,)]


def _is_zip(path: str) -> bool:
    return Path(path).suffix.lower() == ".zip"


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return the micrographs of files or folders as layer data.

    Of several files those that cannot be read are named in a warning, and the others open.

    Raises
    ------
    ReadingError
        When no file is a micrograph; the message says why and what to do.
    """
    data, refusals = read_several(
        [Path(each) for each in ([path] if isinstance(path, str) else path)]
    )
    if refusals and not data:
        raise ReadingError("\n".join(refusals))
    if refusals:
        show_warning("\n".join(refusals))
    return data


def get_outline_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the function that reads outlines; None where a file, as a zip may, holds others."""
    paths = [path] if isinstance(path, str) else list(path)
    return read_outline_layers if paths and all(map(holds_outlines, paths)) else None


def read_outline_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return the outlines of files as labels on the image of their name, or the one in view.

    Raises
    ------
    ReadingError
        When a file is none of outlines, or its image is not open.
    """
    viewer = current_viewer()
    layers = [] if viewer is None else list(viewer.layers)
    active = None if viewer is None else viewer.layers.selection.active
    data = []
    for each in [path] if isinstance(path, str) else path:
        layer, notes = outline_layer(Path(each), image_for(Path(each), layers, active))
        data.append(layer)
        if notes:
            show_warning(notes)
    return data


def read_several(
    paths: Sequence[Path], images: Sequence[Image] = (), chosen: Image | None = None
) -> tuple[list[LayerData], list[str]]:
    """Read files and folders: one that cannot be read does not hold the others up.

    Parameters
    ----------
    paths : sequence of Path
    images : sequence of Image
        The images that are open, on which outlines may lie.
    chosen : Image, optional
        The one that outlines lie on whose name is that of none.

    Returns
    -------
    tuple of list of LayerData and list of str
        The micrographs and outlines, and a sentence for each file that is neither.
    """
    from napari_tem_rf.micrographs.reading import find_images, read_micrographs

    data: list[LayerData] = []
    refusals: list[str] = []
    files: list[Path] = []
    for path in paths:
        try:
            if holds_outlines(path):
                layer, notes = outline_layer(path, image_for(path, images, chosen))
                data.append(layer)
                refusals += [notes] if notes else []
            else:
                files += find_images([path])
        except (OSError, ValueError) as error:
            refusals.append(str(error))
    for file in dict.fromkeys(files):
        try:
            data += [micrograph_layer(micrograph) for micrograph in read_micrographs(file)]
        except (OSError, ValueError) as error:
            words = str(error)
            refusals.append(words if file.name in words else f"{file.name}: {words}")
    return data, refusals


def write_labels_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a mask that carries its pixel size; the ending says the format."""
    from napari.layers import Labels

    from napari_tem_rf.gui.layers.layers import pixel_size_nm
    from napari_tem_rf.micrographs.writing import write_labels

    layer = Labels(
        data,
        scale=attributes.get("scale"),
        units=attributes.get("units"),
        name=attributes.get("name"),
    )
    write_labels(Path(path), np.asarray(data), pixel_size_nm(layer))
    return [path]


def sample_high_resolution() -> list[LayerData]:
    """Return the high-resolution sample: gold on carbon, lattice fringes, strokes."""
    return sample_layers("high_resolution")


def sample_low_magnification() -> list[LayerData]:
    """Return the low-magnification sample: gold on carbon, amplitude contrast, strokes."""
    return sample_layers("low_magnification")


def sample_layers(name: str) -> list[LayerData]:
    """Return the images of a sample set side by side, and strokes on the first of them.

    Each image has a pixel size of its own, so that they are layers of their own, not a stack.
    """
    from napari_tem_rf.micrographs.reading import read_labels, read_micrographs

    folder = sample_folder(name)
    micrographs = [read_micrographs(file)[0] for file in sorted((folder / "images").glob("*.tif"))]
    side = _GAP * max(max(_size_nm(micrograph)) for micrograph in micrographs)
    images, annotations = [], []
    for place, micrograph in enumerate(micrographs):
        data, attributes, _ = micrograph_layer(micrograph)
        row, column = divmod(place, _IMAGES_IN_A_ROW)
        attributes["translate"] = (row * side, column * side)
        images.append((data, attributes, "image"))
        if place < _WITH_STROKES:
            strokes = read_labels(folder / "strokes" / f"{micrograph.name}.tif")
            annotations.append(_strokes_layer(strokes.astype(np.uint8), attributes))
    # napari selects what comes last: the work begins with the first image
    return [*images, *reversed(annotations)]


def _size_nm(micrograph: Micrograph) -> tuple[float, float]:
    size = micrograph.pixel_size_nm or (1.0, 1.0)
    rows, columns = micrograph.image_shape
    return rows * size[0], columns * size[1]


def _strokes_layer(strokes: Any, image: dict[str, Any]) -> LayerData:
    classes = tuple(zip(STROKES.values, STROKES.names, STROKES.colors, strict=True))
    attributes = {
        **{key: image[key] for key in ("scale", "translate", "units", "axis_labels")},
        "name": f"{image['name']}: strokes",
        "opacity": 0.7,
        "colormap": label_colors(STROKES),
        "features": {"index": STROKES.values, "class": STROKES.names},
        "metadata": {
            MARK: AnnotationMark(image=image["name"], classes=classes, unlabelled="ignore")
        },
    }
    return strokes, attributes, "labels"
