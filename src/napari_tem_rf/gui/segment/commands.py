"""What napari's command palette and its menu call: the work of the main dock, by name.

Each opens the dock where it is not open, since that is where its words and its progress show.
"""

from napari.viewer import Viewer

from napari_tem_rf.gui.session.viewers import session_of

__all__ = ["press_stop", "press_train", "take_tour", "toggle_field", "toggle_prediction"]


def _ask(viewer: Viewer, name: str) -> None:
    viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    session_of(viewer).requested.emit(name)


def press_train(viewer: Viewer) -> None:
    """Train the picked network on what is annotated."""
    _ask(viewer, "train")


def press_stop(viewer: Viewer) -> None:
    """Stop the training; the best weights so far are kept."""
    _ask(viewer, "stop")


def toggle_prediction(viewer: Viewer) -> None:
    """Show or hide the predictions."""
    _ask(viewer, "toggle_prediction")


def toggle_field(viewer: Viewer) -> None:
    """Show or hide the receptive field at the cursor."""
    viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")
    session = session_of(viewer)
    session.field_overlay = not session.field_overlay


def take_tour(viewer: Viewer) -> None:
    """Show what is where in the main dock, step by step."""
    _ask(viewer, "tour")
