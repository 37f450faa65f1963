"""The keys of the Movie dock, in the canvas and in the dock; they ask the dock that is open.

Deleting and undoing have the keys of the Particles dock: whichever dock is in front answers.
"""

from napari.viewer import Viewer

from napari_tem_rf.gui.particles import shortcuts as particle_keys
from napari_tem_rf.gui.pieces.shortcuts import Action, register
from napari_tem_rf.gui.session.viewers import session_of

__all__ = ["register_shortcuts"]


def _join(viewer: Viewer) -> None:
    """Make two tracks that are selected one."""
    session_of(viewer).requested.emit("join_tracks")


def _cut(viewer: Viewer) -> None:
    """Cut the track that is selected before the frame that is shown."""
    session_of(viewer).requested.emit("cut_track")


_ACTIONS: dict[str, Action] = {
    "join_tracks": (_join, "Shift-J"),
    "cut_track": (_cut, "Shift-X"),
}


def register_shortcuts() -> None:
    """Register the keys of tracks with napari, once, and those of particles."""
    particle_keys.register_shortcuts()
    register(_ACTIONS)
