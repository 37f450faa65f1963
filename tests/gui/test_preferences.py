"""Settings in napari's Preferences: described as the program means them, and kept to."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from napari._qt.dialogs.preferences_dialog import PreferencesDialog
from napari.settings import get_plugin_settings
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox

from napari_tem_rf.engine import InlineEngine, most_workers
from napari_tem_rf.gui.segment.live import LivePart
from napari_tem_rf.gui.session import preferences as module
from napari_tem_rf.gui.session.preferences import Preferences, preferences
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.measuring.finishing import UNFINISHED
from napari_tem_rf.protocol import TrainingPlan


@pytest.fixture
def kept(viewer: Any) -> Iterator[Any]:
    """What napari keeps for the plugin; as it was afterwards."""
    settings = get_plugin_settings("napari-tem-rf")
    before = settings.model_dump()
    yield settings
    for group, values in before.items():
        getattr(settings, group).update(values)


def test_what_the_manifest_describes_is_what_the_program_reads(kept: Any) -> None:
    described = {}
    for group in type(kept).model_fields:
        if group in ("painting", "training", "masks"):
            described |= type(getattr(kept, group)).model_fields
    assert set(described) >= {field.name for field in fields(Preferences)}
    for field in fields(Preferences):
        assert described[field.name].default == field.default, field.name
    assert preferences() == Preferences()


def test_choices_and_limits_are_the_programs_own(kept: Any) -> None:
    from typing import get_args, get_type_hints

    devices = get_args(get_type_hints(TrainingPlan)["device"])
    for device in devices:
        kept.training.device = device
    with pytest.raises(ValueError, match="tpu"):
        kept.training.device = "tpu"
    kept.training.workers = min(8, most_workers())
    with pytest.raises(ValueError, match="less than or equal to 8"):
        kept.training.workers = 9
    assert most_workers() >= 8  # two for each core, eight on any machine


def test_a_new_window_begins_with_them(
    kept: Any,
    make_napari_viewer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, int]] = []

    def engine(**options: int) -> InlineEngine:
        asked.append(options)
        return InlineEngine(threaded=True)

    monkeypatch.setattr("napari_tem_rf.gui.session.work.Engine", engine)
    kept.painting.live = False
    kept.painting.autosave_seconds = 20
    kept.training.device = "cpu"
    kept.training.workers = 3
    kept.masks.finishing = "not at all"
    viewer = make_napari_viewer()
    session: Session = session_of(viewer)
    assert not LivePart(viewer).tick.isChecked()
    assert session.plan.device == "cpu"
    assert session.situation.choices.finishing == UNFINISHED
    session.engine.start()
    assert asked == [{"workers": 3}]
    from napari_tem_rf.gui.session.autosave import Autosave

    assert session.part(Autosave)._timer.interval() == 20_000
    session.close()
    viewer.close()


def test_a_plan_of_the_docks_goes_before_them(kept: Any, session: Session) -> None:
    session.plan = replace(session.plan, device="cpu")
    kept.training.device = "cuda"
    assert session.plan.device == "cpu"


def test_without_the_plugin_in_napari_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLUGIN", "not-a-plugin")
    assert preferences() == Preferences()


def test_naparis_preferences_show_them(kept: Any, viewer: Any, qtbot: Any) -> None:
    dialog = PreferencesDialog(viewer.window._qt_window)
    qtbot.addWidget(dialog)
    pages = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    page = dialog._stack.widget(pages.index("napari-tem-rf"))
    (tick,) = [
        each for each in page.findChildren(QCheckBox) if "after each stroke" in each.toolTip()
    ]
    assert tick.isChecked()
    tick.click()
    assert not kept.painting.live
    QTimer.singleShot(0, dialog.reject)
    dialog.reject()
