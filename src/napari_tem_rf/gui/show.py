"""Opens napari on the result of ``napari-tem-rf demo``: images, predictions, the dock.

python -m napari_tem_rf.gui.show FOLDER [SET]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import napari
import numpy as np
from napari.layers import Layer
from napari.viewer import Viewer
from numpy.typing import NDArray

from napari_tem_rf.gui.manifest import sample_layers
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.predictions import show_prediction
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.runs import read_run
from napari_tem_rf.samples import sample_sets

__all__ = ["main", "show_demo"]


def show_demo(viewer: Viewer, folder: Path, name: str | None = None) -> None:
    """Show a sample set with the predictions of a demo on it, and the dock beside it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        An empty viewer.
    folder : Path
        What ``napari-tem-rf demo --out`` wrote.
    name : str, optional
        The sample set; the first that the folder holds when not given.

    Raises
    ------
    ValueError
        When the folder holds no masks of that set, or a mask does not fit its image.
    """
    name = _find_set(folder, name)
    run = read_run(folder / name / "run")
    session = session_of(viewer)
    for data in sample_layers(name):
        viewer.add_layer(Layer.create(*data))
    session.add_run(TrainedRun(run.folder, run.record))
    for image in session.images:
        mask = folder / name / "masks" / f"{image.name}.tif"
        if mask.is_file():
            show_prediction(
                session,
                image,
                _labels(mask, image.data.shape),
                run.record.classes,
                run.record.predictor,
                run=run.folder,
            )
    viewer.layers.selection.active = session.image
    viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    viewer.reset_view()


def _find_set(folder: Path, name: str | None) -> str:
    found = [each for each in sample_sets() if (folder / each / "masks").is_dir()]
    if name is None and found:
        return found[0]
    if name is None or name not in found:
        wanted = "no masks" if name is None else f'no masks of "{name}"'
        raise ValueError(
            f'"{folder}" holds {wanted}: name the folder that "napari-tem-rf demo" wrote'
        )
    return name


def _labels(mask: Path, shape: tuple[int, ...]) -> NDArray[np.integer]:
    labels = read_labels(mask)
    if labels.shape != shape:
        raise ValueError(
            f'mask "{mask}" is {labels.shape} but its image is {shape}: run the demo again'
        )
    return labels


def main(arguments: Sequence[str] | None = None) -> None:
    """Open the window and stay until it is closed."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if len(given) not in (1, 2):
        raise SystemExit("usage: python -m napari_tem_rf.gui.show FOLDER [SET]")
    viewer = napari.Viewer(title="napari-tem-rf: the demo's result")
    try:
        show_demo(viewer, Path(given[0]), *given[1:])
    except (OSError, ValueError) as error:
        viewer.close()
        raise SystemExit(f"error: {error}") from None
    napari.run()


if __name__ == "__main__":
    main()
