"""Makes the pictures of the README and of guide.md by driving the real program.

    python docs/pictures_window.py [--epochs 24] [--out docs/pictures] [--broken]

Opens the high-resolution sample, trains on its strokes with the window's own buttons and saves
the whole window at each step. Settings, runs and saved annotations go into a temporary folder.
Needs a screen (`xvfb-run` will do).
"""

import argparse
import json
from pathlib import Path

# sets the places of settings and runs before napari is imported
from driving import HOME, Window, let_settle, process_until  # isort: skip

import psutil
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from rsciio.hspy import file_writer

from napari_tem_rf.engine.member import members_of

NEW_IMAGE = "gold_hr_08"
"""An image without strokes: the network has not seen it."""
CURVE_S = 3.5
"""After so long the curve has drawn all that there is."""
AT = (256, 256)
"""(row, column) of the pixel whose field is shown on it."""


def picture_empty(window: Window) -> None:
    """Save the window with nothing in it yet."""
    window.save("empty")


def write_microscope_file(folder: Path) -> Path:
    """Write a sample image with what it was simulated with, as a file of HyperSpy; return it."""
    name = "gold_hr_02"
    sample = Path(__file__).parents[1] / "sample_data"
    rows = json.loads((sample / "parameters.json").read_text(encoding="utf-8"))["high_resolution"]
    (row,) = (row for row in rows if row["name"] == name)
    pixels = tifffile.imread(sample / "high_resolution" / "images" / f"{name}.tif")
    axis = {"offset": 0.0, "scale": row["pixel_size_nm"], "units": "nm", "navigate": False}
    axes = [
        {**axis, "_type": "UniformDataAxis", "name": name, "size": size, "is_binned": False}
        for name, size in zip("yx", pixels.shape, strict=True)
    ]
    microscope = {
        "beam_energy": row["energy_kev"],
        "magnification": 400_000,
        "microscope": "simulated with abTEM",
    }
    signal = {
        "data": pixels,
        "axes": axes,
        "metadata": {
            "General": {"title": name, "date": "2026-01-31"},
            "Signal": {"signal_type": ""},
            "Acquisition_instrument": {"TEM": microscope},
        },
        "original_metadata": {},
        "learning_results": {},
        "models": {},
        "attributes": {"_lazy": False, "ragged": False},
        "package_info": {"package": "", "package_version": ""},
        "tmp_parameters": {},
    }
    path = folder / f"{name}.hspy"
    file_writer(path, signal)
    return path


def picture_file(window: Window, folder: Path) -> None:
    """Open a file in the Load dock and save what it says, with a preview of the cleaning."""
    window.dock.hide()
    dock, widget = window.viewer.window.add_plugin_dock_widget("napari-tem-rf", "Load")
    window.viewer.window._qt_window.resizeDocks([dock], [400], Qt.Orientation.Horizontal)
    load = widget.load
    load.open_files([write_microscope_file(folder)])
    process_until(lambda: window.session.image is not None)
    load.fold._button.setChecked(True)
    load.cleaning_fold._button.setChecked(True)
    let_settle()
    window.viewer.reset_view()
    window.save("file")
    window.viewer.window.remove_dock_widget(dock)
    window.viewer.layers.clear()
    window.dock.show()


def picture_annotation(window: Window) -> None:
    """Save the sample with its strokes, ready to paint on."""
    window.viewer.open_sample("napari-tem-rf", "gold_high_resolution")
    window.look_at("gold_hr_01")
    window.press(window.workspace.annotation._labels[1])
    window.scroll_to(window.workspace.load)
    window.save("annotation")


def picture_blocked(window: Window) -> None:
    """Save what the window says when background is missing."""
    session, workspace = window.session, window.workspace
    strokes = list(session.situation.scene.annotations)
    painted = {layer: layer.data.copy() for layer in strokes}
    for layer in strokes:
        layer.data = (layer.data == 2) * layer.data
    process_until(lambda: "background" in workspace.train.words.text())
    window.scroll_to(workspace.train)
    window.save("blocked")
    for layer, data in painted.items():
        layer.data = data
    process_until(workspace.train.train_button.isEnabled)


def picture_training(window: Window, epochs: int) -> None:
    """Train as the button does and save the window when two thirds are over."""
    session, train = window.session, window.workspace.train
    train.unit.setCurrentText("epochs")
    train.unit.activated.emit(train.unit.currentIndex())
    train.length.setValue(epochs)
    window.press(train.train_button)
    process_until(
        lambda: session.training is None or len(session.history) > 0.6 * epochs, 60 * epochs
    )
    window.scroll_to(train)
    window.save("training")
    process_until(lambda: session.training is None, 60 * epochs)
    if not session.runs:
        raise RuntimeError(train.note.text())
    process_until(lambda: session.predicting is None)


def picture_result(window: Window) -> None:
    """Save an image that was not trained on: prediction and receptive field."""
    session, workspace = window.session, window.workspace
    window.press(workspace.result.all_button)
    process_until(lambda: session.predicting is None)
    window.look_at(NEW_IMAGE)
    session.field_overlay = True
    window.point_at(*AT)
    window.scroll_to(None)
    window.save("result")


def picture_light(window: Window) -> None:
    """Save the same in napari's light theme, from the dock's first line on."""
    window.viewer.theme = "light"
    window.press(window.workspace.network.change_button)
    window.scroll_to(window.workspace.network)
    window.save("light")
    window.press(window.workspace.network.change_button)
    window.viewer.theme = "dark"


def picture_particles(window: Window) -> None:
    """Save the particles of the prediction with their sizes."""
    session = window.session
    session.field_overlay = False
    window.dock.hide()
    dock, widget = window.viewer.window.add_plugin_dock_widget("napari-tem-rf", "Particles")
    window.viewer.window._qt_window.resizeDocks([dock], [420], Qt.Orientation.Horizontal)
    widget._choose_mask(session.refresh().scene.predictions[-1])
    widget.options.smallest.setValue(100)
    QTest.mouseClick(widget.find_button, Qt.MouseButton.LeftButton)
    process_until(lambda: widget.particles.layer is not None and not widget.particles.is_finding)
    process_until(lambda: len(widget.particles.table) > 0)
    first = int(widget.table.particles.labels()[0])
    widget._on_click(first, False)
    window.save("particles")
    window.viewer.window.remove_dock_widget(dock)
    window.dock.show()


def begin_long_training(window: Window, epochs: int) -> None:
    """Train for long, so that there is time for what happens to it."""
    train = window.workspace.train
    window.look_at("gold_hr_01")
    train.unit.setCurrentText("epochs")
    train.unit.activated.emit(train.unit.currentIndex())
    train.length.setValue(20 * epochs)
    window.press(train.train_button)
    process_until(lambda: len(window.session.history) >= epochs // 4, 60 * epochs)


def picture_stopped(window: Window, epochs: int) -> None:
    """Stop a training with the button and save the window."""
    begin_long_training(window, epochs)
    window.press(window.workspace.train.stop_button)
    process_until(lambda: window.session.training is None and window.session.predicting is None)
    let_settle(CURVE_S)
    window.scroll_to(window.workspace.train)
    window.save("stopped")


def picture_failed(window: Window, epochs: int) -> None:
    """Kill the worker of a training and save what the window says."""
    begin_long_training(window, epochs)
    for role, process in members_of(psutil.Process().children(recursive=True)):
        if role.startswith("training"):
            process.kill()
    process_until(lambda: window.session.training is None)
    let_settle(CURVE_S)
    window.scroll_to(window.workspace.train)
    window.save("failed")


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=24, help="of training")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    parser.add_argument("--broken", action="store_true", help="only trainings that are broken off")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    window = Window(options.out, Path(HOME.name, "runs"))
    try:
        if options.broken:
            window.viewer.open_sample("napari-tem-rf", "gold_high_resolution")
        else:
            picture_empty(window)
            picture_file(window, Path(HOME.name))
            picture_annotation(window)
            picture_blocked(window)
            picture_training(window, options.epochs)
            picture_result(window)
            picture_light(window)
            picture_particles(window)
        picture_stopped(window, options.epochs)
        picture_failed(window, options.epochs)
    finally:
        window.session.close()
        window.viewer.close()
        HOME.cleanup()


if __name__ == "__main__":
    main()
