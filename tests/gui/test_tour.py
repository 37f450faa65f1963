"""The tour: offered once and to newcomers only, and every step points at something to be seen."""

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_tem_rf.gui.segment import tour as tour_module
from napari_tem_rf.gui.segment.dock import Workspace
from napari_tem_rf.gui.segment.tour import Tour, _Outline, is_new_here
from napari_tem_rf.settings import read_settings, remember


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A computer on which nobody used the program."""
    monkeypatch.setenv("TEM_RF_CONFIG", str(tmp_path / "settings.json"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    # the fixture of all tests hides newcomers
    monkeypatch.setattr(tour_module, "is_new_here", is_new_here)
    return tmp_path


@pytest.fixture
def workspace(viewer: Any, worker: None, qtbot: Any) -> Workspace:
    _, made = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    viewer.window._qt_window.resize(1366, 768)
    viewer.window._qt_window.show()
    qtbot.waitExposed(viewer.window._qt_window)
    yield made
    viewer.window._qt_window.hide()


def press(qtbot: Any, button: QWidget) -> None:
    assert button.isVisible()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def outlined(workspace: Workspace) -> QWidget | None:
    """Return the widget that the outline is drawn around."""
    (outline,) = workspace.findChildren(_Outline) or [None]
    return None if outline is None else outline.parentWidget()


def test_a_newcomer_is_asked_once(home: Path, workspace: Workspace, qtbot: Any) -> None:
    assert workspace.tour.isVisible()
    press(qtbot, workspace.tour.end_button)
    assert not workspace.tour.isVisible()
    assert read_settings().tour == "seen"
    again = Tour([], lambda widget: None)
    again.offer()
    assert not again.isVisibleTo(None)


@pytest.mark.parametrize("trace", ["settings", "runs"])
def test_who_used_the_program_is_not_asked(home: Path, trace: str) -> None:
    assert is_new_here()
    if trace == "settings":
        remember(scheduler="")  # as the settings of earlier versions
    else:
        (home / "napari-tem-rf").mkdir()
    assert not is_new_here()


def test_every_step_points_at_something_in_sight(workspace: Workspace, qtbot: Any) -> None:
    tour = workspace.tour
    assert not tour.isVisible()
    press_or_call = workspace.place.tour_button
    workspace.ensureWidgetVisible(press_or_call)
    press(qtbot, press_or_call)
    for place, step in enumerate(tour.steps):
        assert step.title in tour.title.text()
        target = outlined(workspace)
        assert target is not None
        assert not target.visibleRegion().isEmpty()
        named = step.target()
        assert target is named or target.isAncestorOf(named)
        assert tour.back_button.isVisible() == (place > 0)
        press(qtbot, tour.next_button)
    assert not tour.isVisible()
    assert outlined(workspace) is None


def test_back_and_end(workspace: Workspace, qtbot: Any) -> None:
    tour = workspace.tour
    workspace.session.requested.emit("tour")
    press(qtbot, tour.next_button)
    press(qtbot, tour.back_button)
    assert tour.steps[0].title in tour.title.text()
    press(qtbot, tour.end_button)
    assert not tour.isVisible()
    assert outlined(workspace) is None


def test_the_help_menu_has_it_after_napari_rebuilt_the_menu(
    workspace: Workspace, viewer: Any
) -> None:
    menu = viewer.window.help_menu
    menu.rebuild()  # as napari does when a plugin comes or goes
    menu.aboutToShow.emit()
    (entry,) = [each for each in menu.actions() if each.text() == tour_module.HELP_TITLE]
    entry.trigger()
    assert workspace.tour.isVisible()


def test_the_outline_lets_the_mouse_through(workspace: Workspace, qtbot: Any) -> None:
    workspace.session.requested.emit("tour")
    while outlined(workspace) is not workspace.place.settings_button:
        press(qtbot, workspace.tour.next_button)
    button = workspace.place.settings_button
    centre = button.mapTo(workspace, button.rect().center())
    assert workspace.childAt(centre) is button
