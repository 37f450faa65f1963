"""Makes the pictures of finished masks in guide.md by driving the real program.

    python docs/pictures_finishing.py [--epochs 20] [--run RUN] [--out docs/pictures]

Opens a run, or trains on the strokes of the high-resolution sample with the window's own buttons,
predicts an image that was not trained on, and saves the window with the mask finished, and with the
one tick taken away. Needs a screen (`xvfb-run` will do).
"""

import argparse
from pathlib import Path

# sets the places of settings and runs before napari is imported
from driving import HOME, Window, let_settle, process_until

from napari_tem_rf.gui.pieces.parts import Fold

NEW_IMAGE = "gold_hr_06"
"""An image without strokes, on which specks are left."""


def predict(window: Window, run: Path | None, epochs: int) -> None:
    """Open a run, or train one, and predict the image that has no strokes."""
    session, workspace = window.session, window.workspace
    window.viewer.open_sample("napari-tem-rf", "gold_high_resolution")
    if run is None:
        train(window, epochs)
    else:
        workspace.result.open_run(run)
    window.look_at(NEW_IMAGE)
    window.press(workspace.result.predict_button)
    process_until(lambda: session.predicting is None)


def train(window: Window, epochs: int) -> None:
    """Train as the button does."""
    session, workspace = window.session, window.workspace
    window.look_at("gold_hr_01")
    workspace.train.unit.setCurrentText("epochs")
    workspace.train.unit.activated.emit(workspace.train.unit.currentIndex())
    workspace.train.length.setValue(epochs)
    process_until(workspace.train.train_button.isEnabled)
    window.press(workspace.train.train_button)
    process_until(lambda: bool(session.runs), 300 * epochs)
    process_until(lambda: session.training is None and session.predicting is None, 300 * epochs)


def pictures(window: Window) -> None:
    """Save the mask finished, and as the network decided it."""
    form = window.workspace.result.finishing
    fold = form.parentWidget()
    while not isinstance(fold, Fold):
        fold = fold.parentWidget()
    fold._button.setChecked(True)
    for layer in window.viewer.layers:
        layer.visible = NEW_IMAGE in layer.name
    window.scroll_to(None)
    window.save("finishing_on")
    box = form.form.box("enabled")
    window.workspace.ensureWidgetVisible(box)
    box.click()
    process_until(lambda: not window.session.works)
    let_settle()
    window.scroll_to(None)
    window.save("finishing_off")


def main() -> None:
    """Make both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of training")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    parser.add_argument("--run", type=Path, help="a run to open instead of training one")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    window = Window(options.out, Path(HOME.name, "runs"))
    try:
        predict(window, options.run, options.epochs)
        pictures(window)
    finally:
        window.session.close()
        window.viewer.close()
        HOME.cleanup()


if __name__ == "__main__":
    main()
