"""Keyboard shortcuts, registered where napari lists and changes its own."""

from collections.abc import Callable, Mapping

from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.viewer import Viewer, ViewerModel

__all__ = ["Action", "key_of", "register"]

Action = tuple[Callable[[Viewer], None], str]
"""The function to call, whose docstring describes it, and its default key."""


def register(actions: Mapping[str, Action]) -> None:
    """Register actions with napari, once each; keys that the user changed stay so."""
    changed = get_settings().shortcuts.shortcuts
    for short, (action, key) in actions.items():
        name = f"napari_tem_rf:{short}"
        if name in action_manager._actions:
            continue
        description = f"TEM segmentation: {(action.__doc__ or '').rstrip('.')}"
        action_manager.register_action(name, action, description, ViewerModel)
        for each in changed.get(name, [key]):
            action_manager.bind_shortcut(name, each)


def key_of(name: str) -> str:
    """Return the key of an action as napari writes it: "Shift+T"; empty when it has none."""
    keys = action_manager._shortcuts.get(f"napari_tem_rf:{name}", [])
    return str(keys[0]).replace("-", "+") if keys else ""
