"""A comparison in the window with real workers; run by `test_compare_widget.py`.

In a process of its own, because it asserts that the window never loads torch, which other tests do.
"""

import sys
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt

from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.protocol import TrainingPlan

SECONDS = 2


def test_compare_look_and_use(make_napari_viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    session.runs_folder = tmp_path / "runs"
    session.plan = TrainingPlan(epochs=None, seconds=SECONDS, crop_px=64, batch=4, device="cpu")
    _, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", "Compare")
    viewer.open_sample("napari-tem-rf", "gold_low_magnification")
    session.image = session.situation.scene.annotated[0].pair.image

    widget.plan.fields.setText("28, 48")
    widget.plan.parameters.setText("500")
    widget.plan.fields.editingFinished.emit()
    widget.plan.seeds.setValue(1)
    widget.plan.length.setValue(SECONDS)
    widget.plan.baselines.setChecked(False)
    qtbot.waitUntil(lambda: widget.run.button.isEnabled(), timeout=30_000)
    qtbot.mouseClick(widget.run.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.comparing.is_running, timeout=240_000)
    assert widget.comparing.trouble == ""
    comparison = widget.comparing.comparison
    assert len(comparison.results) == 2, comparison.failed
    qtbot.waitUntil(lambda: widget.comparing.report is not None, timeout=60_000)

    widget.table.tick(widget.table.rows.names)
    qtbot.waitUntil(lambda: widget.view.view.is_shown, timeout=60_000)
    widget.view.toggle()
    assert "torch" not in sys.modules
    session.close()
    viewer.close()
