"""The functions that the manifest names: reader, writer and sample data."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_tem_rf.gui.annotations import STROKES
from napari_tem_rf.gui.layers import MARK, label_colors, micrograph_layer
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.samples import sample_folder

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the function that reads a path (or several); the manifest has the endings."""
    paths = [path] if isinstance(path, str) else list(path)
    # napari asks before it knows whether the file opens: reading decides, with a sentence
    return read_layers if paths else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return the micrographs of files or folders as layer data.

    Raises
    ------
    ReadingError
        When a file is no micrograph; the message says why and what to do.
    """
    from napari_tem_rf.micrographs.reading import find_images, read_micrographs

    paths = [Path(each) for each in ([path] if isinstance(path, str) else path)]
    return [
        micrograph_layer(micrograph)
        for file in find_images(paths)
        for micrograph in read_micrographs(file)
    ]


def write_labels_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a Labels layer as a mask that carries its pixel size; the ending says the format."""
    from napari.layers import Labels

    from napari_tem_rf.gui.layers import pixel_size_nm
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
    return sample_layers("high_resolution", "gold, high resolution")


def sample_low_magnification() -> list[LayerData]:
    """Return the low-magnification sample: gold on carbon, amplitude contrast, strokes."""
    return sample_layers("low_magnification", "gold, low magnification")


def sample_layers(name: str, title: str) -> list[LayerData]:
    """Return a sample set as one stack of frames and one annotation layer of strokes."""
    from napari_tem_rf.micrographs.reading import read_labels, read_micrographs

    folder = sample_folder(name)
    files = sorted((folder / "images").glob("*.tif"))
    micrographs = [read_micrographs(file)[0] for file in files]
    # the doses differ by a factor of ten: one contrast can show no more than relative intensities
    frames = [micrograph.frame().astype(np.float32) for micrograph in micrographs]
    stack = Micrograph(
        pixels=np.stack([frame / frame.mean() for frame in frames]),
        name=title,
        pixel_size_nm=micrographs[0].pixel_size_nm,
        metadata={
            "frames": {micrograph.name: dict(micrograph.metadata) for micrograph in micrographs}
        },
        source=folder / "images",
        notes=("Simulated micrographs with a few strokes, intensity relative to each one's mean.",),
    )
    image = micrograph_layer(stack)
    strokes = np.zeros(stack.pixels.shape, np.uint8)
    for frame, file in enumerate(files):
        drawn = folder / "strokes" / file.name
        if drawn.exists():
            strokes[frame] = read_labels(drawn)
    attributes = {
        **{key: image[1][key] for key in ("scale", "units", "axis_labels")},
        "name": f"{title}: strokes",
        "opacity": 0.7,
        "colormap": label_colors(STROKES),
        "features": pd.DataFrame({"index": STROKES.values, "class": STROKES.names}),
        "metadata": {
            MARK: {
                "kind": "annotation",
                "image": title,
                "classes": list(zip(STROKES.values, STROKES.names, STROKES.colors, strict=True)),
                "unlabelled": "ignore",
            }
        },
    }
    return [image, (strokes, attributes, "labels")]
