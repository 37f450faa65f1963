"""The one session of each viewer."""

from functools import partial

from napari.viewer import Viewer

from napari_tem_rf.gui.pieces.lifetimes import when_gone
from napari_tem_rf.gui.pieces.windows import main_window
from napari_tem_rf.gui.session.autosave import Autosave
from napari_tem_rf.gui.session.session import Session

_SESSIONS: dict[int, Session] = {}


def session_of(viewer: Viewer) -> Session:
    """Return the session of a viewer, made on first use and closed with the viewer's window."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    session = _SESSIONS.get(id(viewer))
    if session is None or session._viewer() is not viewer:
        session = _SESSIONS[id(viewer)] = Session(viewer)
        session.part(Autosave)
        # napari says nothing public when a window closes; the Qt window does
        when_gone(main_window(viewer), partial(_close, id(viewer)))
    return session


def _close(key: int) -> None:
    session = _SESSIONS.pop(key, None)
    if session is not None:
        session.close()
