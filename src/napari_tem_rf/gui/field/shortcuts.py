"""The keys of the receptive field, at the cursor."""

from napari.viewer import Viewer

from napari_tem_rf.gui.field.layers import FieldLayers
from napari_tem_rf.gui.field.overlay import FieldOverlay
from napari_tem_rf.gui.pieces.shortcuts import Action, register
from napari_tem_rf.gui.session.viewers import session_of

__all__ = ["register_shortcuts"]


def _toggle_field(viewer: Viewer) -> None:
    """Show or hide the receptive field at the cursor."""
    session = session_of(viewer)
    session.field_overlay = not session.field_overlay


def _measure_field(viewer: Viewer) -> None:
    """Measure the effective receptive field at the cursor, and show it."""
    session = session_of(viewer)
    session.field_overlay = True
    session.part(FieldOverlay).measure()


def _keep_field(viewer: Viewer) -> None:
    """Keep the receptive field at the cursor as layers."""
    session = session_of(viewer)
    session.field_overlay = True
    session.part(FieldLayers)
    session.part(FieldOverlay).keep()


_ACTIONS: dict[str, Action] = {
    "toggle_field": (_toggle_field, "Shift-R"),
    "measure_field": (_measure_field, "Shift-E"),
    "keep_field": (_keep_field, "Shift-K"),
}


def register_shortcuts() -> None:
    """Register the keys of the field with napari, once."""
    register(_ACTIONS)
