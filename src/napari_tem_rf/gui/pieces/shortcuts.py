"""Keyboard shortcuts, registered where napari lists and changes its own."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import ref

from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.viewer import Viewer, ViewerModel
from qtpy.QtCore import QObject
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_tem_rf.gui.pieces.windows import main_window

__all__ = ["Action", "hold_in_window", "key_of", "register"]

_OURS = "napari_tem_rf:"

Action = tuple[Callable[[Viewer], None], str]
"""The function to call, whose docstring describes it, and its default key."""

_ACTIONS: dict[str, Callable[[Viewer], None]] = {}
"""What is registered, by napari's name for it."""

_KEYS: dict[str, list[str]] = {}
"""The keys of each as Qt writes them, which the user may change; napari tells of each change."""


def register(actions: Mapping[str, Action]) -> None:
    """Register actions with napari, once each; keys that the user changed stay so."""
    action_manager.events.shortcut_changed.connect(_note_change)
    changed = get_settings().shortcuts.shortcuts
    for short, (action, key) in actions.items():
        name = f"{_OURS}{short}"
        if name in _ACTIONS:
            continue
        _ACTIONS[name] = action
        description = f"TEM segmentation: {(action.__doc__ or '').rstrip('.')}"
        action_manager.register_action(name, action, description, ViewerModel)
        for each in changed.get(name, [key]):
            action_manager.bind_shortcut(name, each)


def _note_change(event: Any) -> None:
    """Note a key that was bound; without one, all keys of the action were taken from it."""
    if not event.name.startswith(_OURS):
        return
    if event.shortcut:
        keys = _KEYS.setdefault(event.name, [])
        key = str(event.shortcut).replace("-", "+")
        if key not in keys:
            keys.append(key)
    else:
        _KEYS.pop(event.name, None)


def key_of(name: str) -> str:
    """Return the key of an action as napari writes it: "Shift+T"; empty when it has none."""
    keys = _KEYS.get(f"{_OURS}{name}")
    return keys[0] if keys else ""


class _WindowKeys(QObject):
    """The registered keys, for whatever part of a window has the focus.

    napari hears keys in the canvas; its layer list and most widgets of a dock keep them. Fields
    that one types into keep theirs here as well, as with any shortcut of Qt.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(main_window(viewer))
        self._viewer = ref(viewer)
        self._keys: dict[str, list[QShortcut]] = {}
        # napari holds methods weakly
        action_manager.events.shortcut_changed.connect(self._on_changed)

    def hold(self) -> None:
        """Take all registered keys that are not taken yet."""
        for name in _ACTIONS:
            if name not in self._keys:
                self._take(name)

    def _take(self, name: str) -> None:
        for old in self._keys.pop(name, []):
            old.setEnabled(False)
            old.deleteLater()
        taken = []
        for key in _KEYS.get(name, []):
            shortcut = QShortcut(QKeySequence(key), self.parent())
            shortcut.activated.connect(partial(_press, self._viewer, name))
            taken.append(shortcut)
        self._keys[name] = taken

    def _on_changed(self, event: Any) -> None:
        if event.name in self._keys:
            self._take(event.name)


def _press(viewer: Callable[[], Viewer | None], name: str) -> None:
    there = viewer()
    if there is not None:
        _ACTIONS[name](there)


def hold_in_window(viewer: Viewer) -> None:
    """Let the registered keys work wherever the focus is in a viewer's window."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    window = main_window(viewer)
    keys = next(iter(window.findChildren(_WindowKeys)), None) or _WindowKeys(viewer)
    keys.hold()
