"""napari's command palette: what it lists of the program, and what a press does."""

from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest
from napari._app_model import get_app_model
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit

from napari_tem_rf.gui.session.session import Session

OURS = "napari-tem-rf."


class Palette:
    """The palette of a window, which is not held: napari's own does not survive its window."""

    def __init__(self, viewer: Any) -> None:
        self._window = ref(viewer.window)

    @property
    def shown(self) -> Any:
        return self._window()._qt_window._command_palette

    @property
    def line(self) -> QLineEdit:
        return self.shown.findChild(QLineEdit)

    def open(self) -> None:
        """Open it as its key does."""
        self._window()._toggle_command_palette()
        assert self.shown.isVisibleTo(self.shown.parentWidget())

    def listed(self, typed: str) -> dict[str, bool]:
        """Return which of our commands it lists for a text, and whether each can be run."""
        self.line.setText(typed)
        commands = self.shown._list
        labels = [
            commands.indexWidget(commands.model().index(row))
            for row in range(commands.model().rowCount())
            if not commands.isRowHidden(row)
        ]
        return {
            label.command().id: label.isEnabled()
            for label in labels
            if label.command() is not None and label.command().id.startswith(OURS)
        }

    def press(self, qtbot: Any, typed: str) -> None:
        self.line.setText(typed)
        qtbot.keyClick(self.line, Qt.Key.Key_Return)


@pytest.fixture
def palette(viewer: Any) -> Iterator[Palette]:
    palette = Palette(viewer)
    palette.open()
    yield palette
    # napari leaves it listening to menus when its window goes: an error for each command then
    get_app_model().menus.menus_changed.disconnect(palette.shown._on_app_menus_changed)


def test_it_finds_commands_by_their_words_and_runs_them(
    palette: Palette, viewer: Any, session: Session, worker: None, image: Image, qtbot: Any
) -> None:
    for typed, command in {
        "train the picked": "train",
        "stop the training": "stop",
        "hide the predictions": "toggle_prediction",
        "receptive field at the cursor": "toggle_field",
        "tour of tem": "tour",
        "compare": "open_compare",
        "particles": "open_particles",
        "gold on carbon": "gold_high_resolution",
    }.items():
        assert palette.listed(typed).get(OURS + command), typed
    # what wants a file or a layer is listed, as napari lists all, but cannot be run
    for typed, command in {
        "read electron micrographs": "read",
        "read outlines as labels": "read_outlines",
        "write a mask": "write_labels",
    }.items():
        assert palette.listed(typed)[OURS + command] is False

    palette.press(qtbot, "train the picked network on what is annotated")
    workspace = viewer.window.dock_widgets["TEM segmentation (napari-tem-rf)"]
    assert "annotat" in workspace.train.words.text()
    palette.open()
    palette.press(qtbot, "show or hide the receptive field at the cursor")
    assert session.field_overlay
