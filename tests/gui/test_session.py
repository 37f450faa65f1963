"""The session: one a viewer, valid while layers come and go, gone with the window."""

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.action_manager import action_manager
from qtpy.QtWidgets import QApplication

from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.gui.field import shortcuts as field_keys
from napari_tem_rf.gui.segment import shortcuts as segment_keys
from napari_tem_rf.gui.session import viewers as session_module
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of


def answer(value: int, *, report: Any, stopped: Any) -> int:
    report(f"working on {value}")
    return 2 * value


def fail(*, report: Any, stopped: Any) -> None:
    raise ValueError("the thing is too large: take a smaller one")


def test_one_viewer_has_one_session(viewer: Any) -> None:
    assert session_of(viewer) is session_of(viewer)


def test_what_is_removed_is_chosen_no_longer(
    session: Session, strokes: Labels, image: Image, viewer: Any
) -> None:
    assert session.image is image
    assert session.annotation is strokes
    viewer.layers.remove(strokes)
    assert session.annotation is None
    viewer.layers.remove(image)
    assert session.image is None


def test_the_annotation_selected_in_the_layer_list_is_chosen(
    session: Session, strokes: Labels, image: Image, viewer: Any
) -> None:
    other = viewer.add_image(np.zeros((29, 31)), name="other")
    session.image = other
    assert session.annotation is None
    misfit = viewer.add_labels(np.zeros((5, 7), np.uint8))
    viewer.layers.selection.active = misfit
    assert session.annotation is None
    viewer.layers.selection.active = strokes
    assert session.annotation is strokes
    assert session.image is image


def test_the_frame_follows_the_slider(session: Session, viewer: Any) -> None:
    data = np.arange(5 * 11 * 13, dtype=np.float32).reshape(5, 11, 13)
    viewer.add_image(data, name="series", scale=(1, 0.02, 0.02))
    seen: list[int] = []
    session.on(lambda now: now.scene.frame, lambda now: seen.append(now.scene.frame))
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(0, 4)
    assert seen == [1, 4]
    np.testing.assert_array_equal(session.pixels(), data[4])


def test_work_answers_in_the_windows_thread(worker: None, session: Session, qtbot: Any) -> None:
    import threading

    here = threading.current_thread()
    seen: list[Any] = []
    work = session.submit(
        answer,
        21,
        name="doubling",
        on_report=lambda report: seen.append((report, threading.current_thread())),
        on_done=lambda result: seen.append((result, threading.current_thread())),
    )
    assert session.works == (work,)
    qtbot.waitUntil(lambda: work.over, timeout=10_000)
    assert seen == [("working on 21", here), (42, here)]
    assert (work.state, work.result, session.works) == ("done", 42, ())


def test_work_that_fails_says_one_sentence(worker: None, session: Session, qtbot: Any) -> None:
    said: list[str] = []
    work = session.submit(fail, name="failing", on_failed=said.append)
    qtbot.waitUntil(lambda: work.over, timeout=10_000)
    assert work.state == "failed"
    assert len(said) == 1
    assert "the thing is too large: take a smaller one" in said[0]


def test_run_folders_are_new_and_safe(session: Session, viewer: Any) -> None:
    viewer.add_image(np.zeros((11, 13)), name="../gold on: carbon/3")
    folder = session.new_run_folder()
    assert folder.parent.parent == session.runs_folder
    assert folder.parent.name == "gold_on_carbon_3"
    folder.mkdir(parents=True)
    assert session.new_run_folder() != folder


def test_closing_the_window_ends_the_session_and_its_engine(
    make_napari_viewer: Any, worker: None, monkeypatch: Any, tmp_path: Path
) -> None:
    closed: list[InlineEngine] = []

    class Engine(InlineEngine):
        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr("napari_tem_rf.gui.session.work.Engine", lambda: Engine(threaded=True))
    viewer = make_napari_viewer()
    session = session_of(viewer)
    engine = session.engine
    viewer.close()
    QApplication.sendPostedEvents(None, 52)  # QEvent.DeferredDelete
    QApplication.processEvents()
    assert closed == [engine]
    assert session not in session_module._SESSIONS.values()


def test_the_shortcuts_are_listed_and_work(session: Session, viewer: Any) -> None:
    segment_keys.register_shortcuts()
    field_keys.register_shortcuts()
    names = ("train", "stop", "toggle_field", "toggle_prediction")
    for name in names:
        action = action_manager._actions[f"napari_tem_rf:{name}"]
        assert action.description.startswith("TEM segmentation: ")
        assert action_manager._shortcuts[f"napari_tem_rf:{name}"]
    asked: list[str] = []
    session.requested.connect(asked.append)
    for key in ("Shift-T", "Shift-S", "Shift-R"):
        viewer.window._qt_viewer._key_map_handler.press_key(key)
    assert asked == ["train", "stop"]
    assert session.field_overlay
