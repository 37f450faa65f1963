"""From a sample to a mask on disk by the widgets' own buttons; run by `test_main_way.py`.

In a process of its own, because it asserts that the window never loads torch, which other tests do.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils import progress
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.runs import read_run
from napari_tem_rf.samples import sample_folder

SECONDS = 3


def test_from_sample_to_mask(
    make_napari_viewer: Any, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    session.runs_folder = tmp_path / "runs"

    def press(button: Any) -> None:
        workspace.ensureWidgetVisible(button)
        assert button.isEnabled()
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    _, workspace = viewer.window.add_plugin_dock_widget("napari-tem-rf", "TEM segmentation")

    # 1 a sample image, without the strokes that come along
    viewer.open_sample("napari-tem-rf", "gold_low_magnification")
    for strokes in session.situation.scene.annotations:
        viewer.layers.remove(strokes)
    session.image = session.images[0]
    assert "press New" in workspace.train.words.text()

    # 2 a new annotation, painted where the sample's strokes are
    press(workspace.annotation.new_button)
    annotation = session.annotation
    drawn = read_labels(
        sample_folder("low_magnification") / "strokes" / f"{session.image.name}.tif"
    )
    rng = np.random.default_rng(752)
    annotation.brush_size = 7
    for value, button in zip((1, 2), workspace.annotation._labels, strict=True):
        press(button)
        assert annotation.selected_label == value
        places = np.argwhere(drawn == value)
        for row, column in rng.permutation(places)[:60]:
            annotation.paint((row, column), value)
    qtbot.waitUntil(lambda: workspace.train.train_button.isEnabled(), timeout=10_000)

    # 3 a small network by its two numbers
    press(workspace.network.change_button)
    workspace.network.field_px.setValue(44)
    workspace.network.field_px.editingFinished.emit()
    workspace.network.parameters.setValue(8000)
    workspace.network.parameters.editingFinished.emit()
    assert session.spec.parameters == pytest.approx(8000, rel=0.1)

    # 4 train
    workspace.train.length.setValue(SECONDS)
    press(workspace.train.train_button)
    assert session.training is not None
    qtbot.waitUntil(lambda: session.training is None, timeout=180_000)
    assert session.runs, workspace.train.note.text()
    qtbot.waitUntil(lambda: session.predicting is None, timeout=120_000)
    run = read_run(session.run.folder)
    assert run.record.epochs >= 1
    assert not progress._all_instances

    # 5 the prediction, on the image
    *others, prediction = session.refresh().scene.predictions
    assert not any(layer.visible for layer in others)  # what followed the strokes has had its time
    field_px = nominal_receptive_field(session.run.spec)
    assert prediction.name == f"{session.image.name}: field {field_px} px"
    assert tuple(prediction.scale) == tuple(session.image.scale)
    assert set(np.unique(prediction.data)) <= {0, 2}

    # 6 the mask on disk
    path = tmp_path / "mask.tif"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    press(workspace.result.export_button)
    qtbot.waitUntil(path.exists, timeout=20_000)
    assert path.with_name("mask.tif.json").exists()
    with tifffile.TiffFile(path) as file:
        across = file.pages[0].tags["XResolution"].value
        assert across[1] / across[0] == pytest.approx(session.pixel_size_nm[1])
        np.testing.assert_array_equal(file.asarray(), prediction.data)

    assert "torch" not in sys.modules
    session.close()
    viewer.close()
