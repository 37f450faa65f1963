"""Makes the pictures of receptive_field.md by driving the real program.

    python docs/pictures_receptive_field.py [--seconds 60] [--out docs/pictures]

Trains three networks on the high-resolution sample in the window, then takes the chart with its
marks, the field at the cursor before and after training, and two networks at one pixel. Needs a
screen (`xvfb-run` will do).
"""

import argparse
from pathlib import Path
from typing import Any

# sets the places of settings and runs before napari is imported
from driving import HOME, let_settle, process_until  # isort: skip

import napari
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPixmap
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_tem_rf.gui.field.dock import ReceptiveFieldWidget
from napari_tem_rf.gui.field.overlay import FieldOverlay
from napari_tem_rf.gui.field.subject import trained
from napari_tem_rf.gui.layers.layers import placement
from napari_tem_rf.gui.pieces.parts import current_theme
from napari_tem_rf.gui.segment.network import NetworkWidget
from napari_tem_rf.gui.segment.training import begin_training
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.samples import sample_folder

WINDOW = (1366, 850)
NETWORKS = (
    NetworkSpec((2, 2), filters=8),
    NetworkSpec((8, 8), filters=8),
    NetworkSpec((4, 4), filters=8),
)
NAME = "gold_hr_08"
AT = (262, 238)
"""(row, column) of the pixel whose field is shown."""


def open_sample(viewer: Any) -> Session:
    """Open an image of the high-resolution sample with its true mask."""
    viewer.open_sample("napari-tem-rf", "gold_high_resolution")
    session = session_of(viewer)
    image = viewer.layers[NAME]
    for layer in [each for each in viewer.layers if each is not image]:
        viewer.layers.remove(layer)
    session.image = image
    session.annotation = viewer.add_labels(
        read_labels(sample_folder("high_resolution") / "labels" / f"{NAME}.tif"),
        name="true mask",
        opacity=0.35,
        **placement(image),
    )
    session.unlabelled = "background"
    return session


def train(session: Session, seconds: float, folder: Path) -> None:
    """Train the networks one after the other, as the Train button does."""
    session.runs_folder = folder
    for spec in NETWORKS:
        session.spec = spec
        session.change_plan(seconds=seconds, epochs=None)
        session.start = None
        before = len(session.runs)
        work = begin_training(session)
        process_until(lambda work=work: work.over, seconds + 300)
        if len(session.runs) == before:
            raise RuntimeError(work.error)
        process_until(lambda: session.predicting is None, 300)
    for layer in list(session.viewer.layers):
        if layer not in (session.image, session.annotation):
            session.viewer.layers.remove(layer)


def dock(viewer: Any, widget: Any, name: str) -> QDockWidget:
    """Add a widget as the only dock at the right, 380 px wide."""
    added = viewer.window.add_dock_widget(widget, name=name, area="right")
    viewer.window._qt_window.resizeDocks([added], [380], Qt.Orientation.Horizontal)
    let_settle()
    return added


def save(widget: QWidget, path: Path, margin: int = 10) -> None:
    """Save what a widget's children cover, with a margin."""
    picture = widget.grab(widget.childrenRect())
    framed = QPixmap(picture.width() + 2 * margin, picture.height() + 2 * margin)
    framed.fill(QColor(current_theme().background.as_hex()))
    painter = QPainter(framed)
    painter.drawPixmap(margin, margin, picture)
    painter.end()
    framed.save(str(path))


def picture_chart(viewer: Any, out: Path) -> None:
    """Save the network widget: the chart with marks, runs and pick."""
    widget = NetworkWidget(viewer)
    added = dock(viewer, widget, "Network")
    process_until(lambda: (found := widget.findings.findings) is not None and found.annotated)
    let_settle()
    process_until(lambda: "megapixel" in widget.words.text())
    save(widget, out / "network_widget.png")
    viewer.window.remove_dock_widget(added)


def picture_field(viewer: Any, out: Path) -> None:
    """Save the window with box and heat at one pixel, before and after training."""
    session = session_of(viewer)
    overlay = session.part(FieldOverlay)
    widget = ReceptiveFieldWidget(viewer)
    dock(viewer, widget, "Receptive field")
    session.annotation.visible = False
    show_cursor(session)
    overlay.heat = True
    for before, name in ((False, "field_after_training"), (True, "field_before_training")):
        overlay.before_training = before
        process_until(lambda: overlay.field is not None)
        let_settle()
        viewer.screenshot(str(out / f"{name}.png"), canvas_only=False, flash=False)
    overlay.before_training = False


def picture_comparison(viewer: Any, out: Path) -> None:
    """Save two networks' fields at one pixel."""
    session = session_of(viewer)
    overlay = session.part(FieldOverlay)
    (widget,) = (each for each in viewer.window._qt_window.findChildren(ReceptiveFieldWidget))
    overlay.heat = False
    overlay.pin(AT)
    process_until(lambda: all(pin.field is not None for pin in overlay.pins))
    by_field = {nominal_receptive_field(run.spec): trained(run) for run in session.runs}
    for choice, field in zip(widget.comparison.choices, (44, 120), strict=True):
        choice.setCurrentIndex(choice.subjects.index(by_field[field]))
        choice.activated.emit(choice.currentIndex())
    widget.comparison.compare()
    process_until(lambda: all(p.shown is not None for p in widget.comparison.pictures))
    let_settle()
    save(widget.comparison, out / "two_networks.png")


def show_cursor(session: Session) -> None:
    """Put the cursor on the pixel, zoomed so that the field fills much of the canvas."""
    viewer = session.viewer
    session.field_overlay = True
    viewer.mouse_over_canvas = True
    position = (session.frame, *AT)[-session.image.ndim :]
    world = session.image.data_to_world(position)
    viewer.scene.camera.center = world[-2:]
    viewer.scene.camera.zoom *= 1.9
    viewer.cursor.position = tuple(world)


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of training, each network")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    viewer = napari.Viewer()
    viewer.theme = "dark"
    viewer.window._qt_window.resize(*WINDOW)
    session = open_sample(viewer)
    session.warm_up()
    train(session, options.seconds, Path(HOME.name, "runs"))
    picture_chart(viewer, options.out)
    picture_field(viewer, options.out)
    picture_comparison(viewer, options.out)
    session.close()
    viewer.close()
    HOME.cleanup()


if __name__ == "__main__":
    main()
