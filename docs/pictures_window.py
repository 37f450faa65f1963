"""Makes the pictures of the README and of guide.md by driving the real program.

    python docs/pictures_window.py [--epochs 24] [--out docs/pictures]

Opens the high-resolution sample, trains on its strokes with the window's own buttons and saves
the whole window at each step. Settings, runs and saved annotations go into a temporary folder.
Needs a screen (`xvfb-run` will do).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# before napari reads the place of its settings on import
_HOME = tempfile.TemporaryDirectory(prefix="napari-tem-rf-pictures-")
os.environ["NAPARI_CONFIG"] = str(Path(_HOME.name, "napari.yaml"))
for _name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
    os.environ[_name] = str(Path(_HOME.name, _name.lower()))
os.environ.pop("TEM_RF_SCHEDULER", None)

import napari  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtCore import QEventLoop, Qt, QTimer  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication, QWidget  # noqa: E402

from napari_tem_rf.gui.predictions import predictions  # noqa: E402
from napari_tem_rf.gui.session import Session, session_of  # noqa: E402

WINDOW = (1500, 950)
NEW_IMAGE = "gold_hr_08"
"""An image without strokes: the network has not seen it."""
AT = (256, 256)
"""(row, column) of the pixel whose field is shown on it."""


def process_until(holds: Callable[[], bool], seconds: float = 300) -> None:
    """Let the window work until something holds."""
    ticks = QTimer()
    ticks.start(20)
    end = time.monotonic() + seconds
    while not holds():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 50)
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s")


def let_settle(seconds: float = 1.5) -> None:
    """Let layouts and drawings settle."""
    end = time.monotonic() + seconds
    process_until(lambda: time.monotonic() > end)


class Window:
    """The program's window, driven as a user drives it, and its pictures."""

    def __init__(self, out: Path, runs: Path) -> None:
        self.out = out
        self.viewer = napari.Viewer(title="napari")
        self.viewer.theme = "dark"
        self.viewer.window._qt_window.resize(*WINDOW)
        self.session: Session = session_of(self.viewer)
        self.session.runs_folder = runs
        self.dock, self.workspace = self.viewer.window.add_plugin_dock_widget(
            "napari-tem-rf", "TEM segmentation"
        )
        self.viewer.window._qt_window.resizeDocks([self.dock], [400], Qt.Orientation.Horizontal)
        let_settle()

    def press(self, button: Any) -> None:
        """Click on a button as the mouse does."""
        self.workspace.ensureWidgetVisible(button)
        if not button.isEnabled():
            raise RuntimeError(f"the button {button.text()} cannot be pressed")
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def scroll_to(self, section: QWidget | None) -> None:
        """Show a section of the dock from its title on; None: the dock's end."""
        let_settle(0.5)
        bar = self.workspace.verticalScrollBar()
        if section is None:
            bar.setValue(bar.maximum())
        else:
            title = section.parentWidget()
            bar.setValue(title.mapTo(self.workspace.widget(), title.rect().topLeft()).y())

    def save(self, name: str) -> None:
        """Save the whole window."""
        let_settle()
        path = self.out / f"window_{name}.png"
        shot = Image.fromarray(self.viewer.screenshot(canvas_only=False, flash=False)[..., :3])
        # 256 colours of its own: noise does not compress, and the repository keeps every version
        colors = shot.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        colors.save(path, optimize=True)
        print(path, flush=True)

    def look_at(self, name: str, zoom: float = 1.0) -> None:
        """Choose an image in the dock and fit it into the view."""
        self.workspace.load._choose(self.viewer.layers[name])
        let_settle(0.5)
        self.viewer.scene.camera.zoom *= zoom

    def point_at(self, row: int, column: int) -> None:
        """Put the cursor on a pixel of the chosen image."""
        self.viewer.mouse_over_canvas = True
        self.viewer.cursor.position = tuple(self.session.image.data_to_world((row, column)))


def picture_empty(window: Window) -> None:
    """Save the window with nothing in it yet."""
    window.save("empty")


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
    strokes = list(session.annotations())
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
    window.scroll_to(window.workspace.network)
    window.save("light")
    window.viewer.theme = "dark"


def picture_particles(window: Window) -> None:
    """Save the particles of the prediction with their sizes."""
    session = window.session
    session.field_overlay = False
    window.dock.hide()
    dock, widget = window.viewer.window.add_plugin_dock_widget("napari-tem-rf", "Particles")
    window.viewer.window._qt_window.resizeDocks([dock], [420], Qt.Orientation.Horizontal)
    widget._choose_mask(predictions(session)[-1])
    widget.options.smallest.setValue(100)
    QTest.mouseClick(widget.find_button, Qt.MouseButton.LeftButton)
    process_until(lambda: widget.particles.layer is not None and not widget.particles.is_finding)
    process_until(lambda: len(widget.particles.table) > 0)
    first = int(widget.table.particles.labels()[0])
    widget._on_click(first, False)
    window.save("particles")


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=24, help="of training")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    window = Window(options.out, Path(_HOME.name, "runs"))
    try:
        picture_empty(window)
        picture_annotation(window)
        picture_blocked(window)
        picture_training(window, options.epochs)
        picture_result(window)
        picture_light(window)
        picture_particles(window)
    finally:
        window.session.close()
        window.viewer.close()
        _HOME.cleanup()


if __name__ == "__main__":
    main()
