"""The keys of the TEM segmentation dock."""

from napari.viewer import Viewer

from napari_tem_rf.gui.pieces.shortcuts import Action, register
from napari_tem_rf.gui.session.viewers import session_of

__all__ = ["register_shortcuts"]


def _train(viewer: Viewer) -> None:
    """Train the picked network on what is annotated."""
    session_of(viewer).requested.emit("train")


def _stop(viewer: Viewer) -> None:
    """Stop the training; the best weights so far are kept."""
    session_of(viewer).requested.emit("stop")


def _toggle_prediction(viewer: Viewer) -> None:
    """Show or hide the predictions."""
    session_of(viewer).requested.emit("toggle_prediction")


_ACTIONS: dict[str, Action] = {
    "train": (_train, "Shift-T"),
    "stop": (_stop, "Shift-S"),
    "toggle_prediction": (_toggle_prediction, "Shift-H"),
}


def register_shortcuts() -> None:
    """Register the keys of the dock with napari, once."""
    register(_ACTIONS)
