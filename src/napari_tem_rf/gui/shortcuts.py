"""Keyboard shortcuts, registered where napari lists and changes its own."""

from collections.abc import Callable

from napari.settings import get_settings
from napari.utils.action_manager import action_manager
from napari.viewer import Viewer, ViewerModel

from napari_tem_rf.gui.session.viewers import session_of


def train(viewer: Viewer) -> None:
    """Train the picked network on what is annotated."""
    session_of(viewer).train_requested.emit()


def stop(viewer: Viewer) -> None:
    """Stop the training; the best weights so far are kept."""
    session_of(viewer).stop_requested.emit()


def toggle_field(viewer: Viewer) -> None:
    """Show or hide the receptive field at the cursor."""
    session = session_of(viewer)
    session.field_overlay = not session.field_overlay


def measure_field(viewer: Viewer) -> None:
    """Measure the effective receptive field at the cursor, and show it."""
    from napari_tem_rf.gui.field.overlay import overlay_of

    session = session_of(viewer)
    session.field_overlay = True
    overlay_of(session).measure()


def toggle_prediction(viewer: Viewer) -> None:
    """Show or hide the predictions."""
    session_of(viewer).prediction_toggled.emit()


_ACTIONS: dict[str, tuple[Callable[[Viewer], None], str]] = {
    "napari_tem_rf:train": (train, "Shift-T"),
    "napari_tem_rf:stop": (stop, "Shift-S"),
    "napari_tem_rf:toggle_field": (toggle_field, "Shift-R"),
    "napari_tem_rf:measure_field": (measure_field, "Shift-E"),
    "napari_tem_rf:toggle_prediction": (toggle_prediction, "Shift-H"),
}


def register_shortcuts() -> None:
    """Register the program's actions with napari, once; keys that the user changed stay so."""
    changed = get_settings().shortcuts.shortcuts
    for name, (action, key) in _ACTIONS.items():
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
