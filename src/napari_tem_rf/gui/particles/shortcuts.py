"""The keys of the Particles dock, in the canvas and in the dock; they ask the dock that is open."""

from napari.viewer import Viewer

from napari_tem_rf.gui.pieces.shortcuts import Action, register
from napari_tem_rf.gui.session.viewers import session_of

__all__ = ["register_shortcuts"]


def _delete(viewer: Viewer) -> None:
    """Delete the particles that are selected."""
    session_of(viewer).requested.emit("delete_particles")


def _merge(viewer: Viewer) -> None:
    """Make the particles that are selected one."""
    session_of(viewer).requested.emit("merge_particles")


def _undo(viewer: Viewer) -> None:
    """Take the last correction of the particles back."""
    session_of(viewer).requested.emit("undo_particles")


_ACTIONS: dict[str, Action] = {
    "delete_particles": (_delete, "Delete"),
    "merge_particles": (_merge, "Shift-M"),
    # a labels layer that is active takes this key itself
    "undo_particles": (_undo, "Control-Z"),
}


def register_shortcuts() -> None:
    """Register the keys of the particles with napari, once."""
    register(_ACTIONS)
