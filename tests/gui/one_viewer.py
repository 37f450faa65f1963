"""The viewer that the tests of the window share: a new one takes half a second, this one little.

After each test it is emptied: its session ends, its docks, layers, keys and listeners go, and all
that napari keeps of it, down to the colour of the scale bar, is as it was. `leftovers` then
compares it with what it was when it was new: no test finds what another one left.
"""

import gc
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np
from app_model import Application
from napari import Viewer
from napari._app_model import get_app_model
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari._qt.qt_viewer import QtViewer
from napari.components import LayerList
from napari.plugins import _initialize_plugins
from napari.settings import get_settings
from napari.utils.events import EventedDictNamespace, EventedModel, EventEmitter
from qtpy.QtCore import QByteArray, QCoreApplication, QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import QApplication, QDialog, QDockWidget, QShortcut, QWidget

from napari_tem_rf.gui.pieces.windows import canvas_of
from napari_tem_rf.gui.session import viewers

__all__ = ["OneViewer"]

_NAPARIS = ("napari.", "vispy.", "psygnal.", "app_model.")
"""Modules of what listens to a viewer for napari itself, which comes and goes as its views do."""


class OneViewer:
    """Lends one viewer to one test at a time."""

    def __init__(self) -> None:
        self._holds = ExitStack()
        self._openings = count()
        self._viewer: Any = None
        self._new: Look | None = None
        self.may_be_held = False
        """Whether the viewer may be held by something after it is closed."""

    def lend(self) -> Any:
        """Return the viewer, empty."""
        if self._viewer is None:
            self._open()
        return self._viewer

    def take_back(self) -> list[str]:
        """Empty the viewer, and return what is left in it all the same.

        One with something left is closed, and so is one that was closed, shown or turned: a window
        that was on a screen once is not as if it had never been.
        """
        if self._viewer is None:
            return []
        assert self._new is not None
        end_session(self._viewer)
        if not is_untouched(self._viewer):
            self.close()
            return []
        self._new.bring_back(self._viewer)
        left = self._new.leftovers(self._viewer)
        if left:
            self.close()
        return left

    def make_way(self) -> None:
        """Close the viewer, if there is one: other viewers want to be alone."""
        self.close()
        self._assert_let_go()

    def close(self) -> None:
        """Close the viewer, if there is one."""
        if self._viewer is None:
            return
        viewer, self._viewer, self._new = self._viewer, None, None
        if hasattr(viewer.window, "_qt_window"):
            viewer.close()
        QApplication.processEvents()
        # the menus of a viewer that is still held, which are gone, would answer each command that
        # goes with an error, whose report takes half a minute in all
        get_app_model().menus.menus_changed.disconnect()
        self._holds.close()

    def _assert_let_go(self) -> None:
        """Fail where a viewer that was closed is held by something, as `make_napari_viewer` does.

        By what held it while it closed, a test and its fixtures, it is no more.
        """
        if not QtViewer._instances:
            return
        gc.collect()
        held = len(QtViewer._instances)
        QtViewer._instances.clear()
        is_forgiven, self.may_be_held = self.may_be_held, False
        assert not held or is_forgiven, f"{held} viewers of earlier tests are closed and still held"

    def _open(self) -> None:
        """Open a viewer as `make_napari_viewer` does, with a list of commands of its own."""
        self._assert_let_go()
        if next(self._openings) % 25 == 0:
            # what was loaded meanwhile is left out when its garbage is collected
            gc.collect()
            gc.freeze()
        holds = self._holds
        app = NapariApplication("test_app")
        app.injection_store.namespace = _napari_names
        holds.callback(Application.destroy, "test_app")
        for once in (_initialize_plugins, init_qactions):
            once.cache_clear()
            holds.callback(once.cache_clear)
        for whole, name, value in (
            (NapariApplication, "get_app_model", lambda *_: app),
            (QtViewer, "_get_console", lambda *_: _NoConsole()),
        ):
            holds.enter_context(patch.object(whole, name, value))
        holds.enter_context(
            patch("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None)
        )
        get_settings().reset()
        self._viewer = Viewer(show=False, show_welcome_screen=False)
        QApplication.processEvents()
        self._new = Look.at(self._viewer)


class _NoConsole(QWidget):
    def _update_theme(self, *_: Any) -> None:
        pass


def end_session(viewer: Any) -> None:
    """End a viewer's session as the closing of its window does."""
    viewers._close(id(viewer))


def is_untouched(viewer: Any) -> bool:
    """Return whether a viewer's window is open, was never on a screen and never looked in 3D.

    The camera remembers how it looked last in 3D and in 2D.
    """
    window = getattr(viewer.window, "_qt_window", None)
    camera = viewer.scene.camera
    return (
        window is not None
        and not window.testAttribute(Qt.WidgetAttribute.WA_WState_Created)
        and camera._cached_2d_state is camera._cached_3d_state is None
    )


@dataclass(frozen=True, slots=True)
class Look:
    """What a viewer without layers is like: all that napari notes of it."""

    values: dict[str, dict[str, Any]]
    """Of each part of napari's model of the viewer, by where it is."""
    keys: dict[Any, Any]
    docks: frozenset[str]
    size: QSize
    canvas: QSize
    """Which decides how near the first image is looked at."""
    state: QByteArray

    @classmethod
    def at(cls, viewer: Any) -> "Look":
        """Return what a viewer is like now."""
        window = viewer.window._qt_window
        return cls(
            {where: _values(part) for where, part in _parts(viewer)},
            dict(viewer.keymap),
            frozenset(_docks(viewer)),
            window.size(),
            _canvas(viewer).size(),
            window.saveState(),
        )

    def bring_back(self, viewer: Any) -> None:
        """Make a viewer look so again."""
        window = viewer.window._qt_window
        _finish_deletions()
        for name, dock in _docks(viewer).items():
            if name not in self.docks:
                inner = dock.widget()
                viewer.window.remove_dock_widget(dock)
                if inner is not None:
                    inner.deleteLater()
        viewer.layers.clear()
        for where, part in _parts(viewer):
            now = _values(part)
            before = self.values[where]
            changed = {name: value for name, value in before.items() if not _same(now[name], value)}
            for name in [name for name, value in changed.items() if isinstance(value, list)]:
                getattr(part, name)[:] = changed.pop(name)
            for name, value in changed.items():
                setattr(part, name, value)
        for thing in _ours(window):
            thing.deleteLater()
        QApplication.processEvents()
        _finish_deletions()
        for emitter in _emitters(viewer):
            _shut_out_foreigners(emitter)
        viewer.keymap = dict(self.keys)
        if window.size() != self.size:
            window.resize(self.size)
        if window.saveState() != self.state:
            window.restoreState(self.state)
        if _canvas(viewer).size() != self.canvas:
            _canvas(viewer).resize(self.canvas)
        get_settings().reset()

    def leftovers(self, viewer: Any) -> list[str]:
        """Say what of a viewer is not so."""
        window = viewer.window._qt_window
        now = Look.at(viewer)
        found = [f"layer {layer.name}" for layer in viewer.layers]
        found += [f"dock {name}" for name in now.docks ^ self.docks]
        found += [f"{type(thing).__name__} in the window" for thing in _ours(window)]
        found += [f"keys {now.keys}"] if now.keys != self.keys else []
        found += [f"session {session}" for session in viewers._SESSIONS.values()]
        for where, values in now.values.items():
            for name, value in values.items():
                before = self.values[where][name]
                if not _same(value, before):
                    found.append(f"{where}.{name}: {value!r} instead of {before!r}")
        if window.isVisible() or window.size() != self.size:
            found.append(f"window of {window.size()}, visible: {window.isVisible()}")
        if now.canvas != self.canvas:
            found.append(f"canvas of {now.canvas} instead of {self.canvas}")
        if now.state != self.state:
            found.append("docks of napari in other places")
        return found


def _parts(viewer: Any) -> Iterator[tuple[str, EventedModel]]:
    """Find all of napari's model of a viewer."""

    def below(part: EventedModel, where: str) -> Iterator[tuple[str, EventedModel]]:
        yield where, part
        for name in type(part).model_fields:
            value = getattr(part, name)
            several = value if isinstance(value, EventedDictNamespace) else {name: value}
            for key, each in several.items():
                if isinstance(each, EventedModel):
                    yield from below(each, f"{where}.{key}")

    return below(viewer, "viewer")


def _values(part: EventedModel) -> dict[str, Any]:
    found = {name: getattr(part, name) for name in type(part).model_fields}
    return {
        name: list(value) if isinstance(value, list) else value
        for name, value in found.items()
        if not isinstance(value, EventedModel | EventedDictNamespace | LayerList)
    }


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other)) if _is_array(one, other) else bool(one == other)


def _is_array(*values: Any) -> bool:
    return any(isinstance(value, np.ndarray) for value in values)


def _emitters(viewer: Any) -> Iterator[EventEmitter]:
    """Find all that tells of a change in a viewer."""
    layers = viewer.layers
    groups = [part.events for _, part in _parts(viewer)]
    for group in (*groups, layers.events, layers.selection.events):
        yield group
        yield from group.emitters.values()


def _shut_out_foreigners(emitter: EventEmitter) -> None:
    """Let only napari go on listening."""
    kept = (emitter._callbacks, emitter._callback_refs, emitter._callback_pass_event)
    for listener in emitter.callbacks:
        owner = listener[0]() if isinstance(listener, tuple) else listener
        owner = getattr(owner, "func", owner)  # of a partial
        named = owner if hasattr(owner, "__name__") else type(owner)
        if owner is not None and not named.__module__.startswith(_NAPARIS):
            place = emitter.callbacks.index(listener)
            for those in kept:
                those.pop(place)


def _docks(viewer: Any) -> dict[str, QDockWidget]:
    return dict(viewer.window._wrapped_dock_widgets)


def _canvas(viewer: Any) -> QWidget:
    canvas = canvas_of(viewer)
    assert canvas is not None
    return canvas


def _finish_deletions() -> None:
    """Take away what was told to go later, which Qt does where its event loop runs."""
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)


def _ours(window: QWidget) -> list[QObject]:
    """Return what the package, or a test, put into a window; the rest is Qt's and napari's."""
    return [
        thing
        for thing in (*window.children(), *window.centralWidget().findChildren(QObject))
        if type(thing).__module__.startswith("napari_tem_rf")
        or type(thing) in (QShortcut, QTimer, QDialog)
    ]
