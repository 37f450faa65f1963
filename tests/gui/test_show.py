"""The window that the demo opens: images, predictions on them, the run, the dock."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.gui.show import main, show_demo
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.runs import RunRecord, create_run

PREDICTED = ("gold_lm_02", "gold_lm_05")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a demo leaves of one set, with masks of two of its images."""
    place = tmp_path / "low_magnification"
    (place / "masks").mkdir(parents=True)
    record = RunRecord(
        name="run",
        spec=NetworkSpec((2, 2), filters=4),
        plan=TrainingPlan(validation=0.0),
        classes=Classes((1, 2), ("background", "particle"), ("", "")),
        unlabelled="ignore",
        cleaning=Cleaning(),
        pixel_size_nm=(0.12, 0.12),
        data=(),
        state="finished",
        epochs=1,
        best_epoch=1,
    )
    create_run(place / "run", record, {})
    for number, name in enumerate(PREDICTED, start=1):
        mask = np.zeros((512, 512), np.uint8)
        mask[: 10 * number, :7] = 2
        write_labels(place / "masks" / f"{name}.tif", mask)
    return tmp_path


def test_predictions_lie_on_their_images(viewer: Any, worker: None, folder: Path) -> None:
    show_demo(viewer, folder)
    session = session_of(viewer)
    assert [image.name for image in session.images] == [f"gold_lm_0{n}" for n in range(1, 7)]
    shown = {layer.name: layer for layer in session.refresh().scene.predictions}
    assert set(shown) == {f"{name}: field 44 px" for name in PREDICTED}
    for number, name in enumerate(PREDICTED, start=1):
        layer, image = shown[f"{name}: field 44 px"], viewer.layers[name]
        assert np.count_nonzero(layer.data == 2) == 70 * number
        assert layer.data_to_world((3, 5)) == pytest.approx(image.data_to_world((3, 5)))
        assert layer.units == image.units
        # the command line knows no colours: the run gets those of a new annotation
        red, green, blue, _ = layer.colormap.map(2)
        assert (red, green, blue) == pytest.approx((0xE6 / 255, 0x9F / 255, 0), abs=0.01)
    assert session.run is not None
    assert session.run.folder == folder / "low_magnification" / "run"
    assert session.image is viewer.layers["gold_lm_01"]
    titles = list(viewer.window.dock_widgets)
    assert any("TEM segmentation" in title for title in titles)


def test_a_folder_without_masks_is_refused(viewer: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no masks: name the folder that"):
        show_demo(viewer, tmp_path)
    assert not viewer.layers


def test_a_set_that_the_demo_did_not_make_is_refused(viewer: Any, folder: Path) -> None:
    with pytest.raises(ValueError, match='no masks of "high_resolution"'):
        show_demo(viewer, folder, "high_resolution")


def test_masks_of_another_shape_are_refused(viewer: Any, folder: Path) -> None:
    mask = folder / "low_magnification" / "masks" / "gold_lm_02.tif"
    write_labels(mask, np.zeros((31, 47), np.uint8), overwrite=True)
    with pytest.raises(ValueError, match=r"is \(31, 47\) but its image is \(512, 512\)"):
        show_demo(viewer, folder)


def test_without_a_folder_it_says_how_it_is_used() -> None:
    with pytest.raises(SystemExit, match="usage"):
        main([])
