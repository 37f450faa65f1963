"""Drives the real program for the pictures of the documents.

Settings, runs and saved annotations go into a temporary folder: import this before napari.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = tempfile.TemporaryDirectory(prefix="napari-tem-rf-pictures-")
# before napari reads the place of its settings on import
os.environ["NAPARI_CONFIG"] = str(Path(HOME.name, "napari.yaml"))
for _name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
    os.environ[_name] = str(Path(HOME.name, _name.lower()))
os.environ.pop("TEM_RF_SCHEDULER", None)

import napari  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtCore import QEventLoop, Qt, QTimer  # noqa: E402
from qtpy.QtTest import QTest  # noqa: E402
from qtpy.QtWidgets import QApplication, QWidget  # noqa: E402

from napari_tem_rf.gui.pieces.parts import Fold  # noqa: E402
from napari_tem_rf.gui.session.current_image import CurrentImage  # noqa: E402
from napari_tem_rf.gui.session.session import Session  # noqa: E402
from napari_tem_rf.gui.session.viewers import session_of  # noqa: E402

WINDOW = (1500, 950)


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
        self.workspace.tour.end()
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
        bar = self.workspace.sections.verticalScrollBar()
        if section is None:
            bar.setValue(bar.maximum())
        else:
            fold = section.parentWidget()
            while not isinstance(fold, Fold):
                fold = fold.parentWidget()
            bar.setValue(fold.mapTo(self.workspace.sections.widget(), fold.rect().topLeft()).y())

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
        self.session.part(CurrentImage).choose(self.viewer.layers[name])
        let_settle(0.5)
        self.viewer.scene.camera.zoom *= zoom

    def point_at(self, row: int, column: int) -> None:
        """Put the cursor on a pixel of the chosen image."""
        self.viewer.mouse_over_canvas = True
        self.viewer.cursor.position = tuple(self.session.image.data_to_world((row, column)))
