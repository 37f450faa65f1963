"""The manifest: everything it names is there; readers, writers, samples and docks work."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_tem_rf.gui.layers.layers import pixel_size_nm
from napari_tem_rf.gui.manifest import get_reader, read_layers, write_labels_layer
from napari_tem_rf.gui.pieces.parts import DOCK_WIDTH
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.samples import sample_folder, sample_sets

ROOT = Path(__file__).parents[2]
MANIFEST = PluginManifest.from_file(ROOT / "src" / "napari_tem_rf" / "napari.yaml")
WIDGETS = [widget.display_name for widget in MANIFEST.contributions.widgets or ()]


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda each: each.id)
def test_every_command_is_there(command: Any) -> None:
    module, _, name = command.python_name.partition(":")
    assert callable(getattr(import_module(module), name))


def test_the_widgets_are_in_the_menu_layers_segment() -> None:
    items = MANIFEST.contributions.menus["napari/layers/segment"]
    listed = [item.command for item in items if item.group.startswith("1_tem@")]
    assert listed == [widget.command for widget in MANIFEST.contributions.widgets or ()]


@pytest.mark.parametrize("name", WIDGETS)
def test_every_dock_opens_and_fits(viewer: Any, worker: None, image: Any, name: str) -> None:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-tem-rf", name)
    assert isinstance(widget, QWidget)
    assert widget.minimumSizeHint().width() <= DOCK_WIDTH
    if isinstance(widget, QScrollArea):
        # what does not fit beside the scroll bar would be cut off
        assert widget.widget().minimumSizeHint().width() <= DOCK_WIDTH - 16
    viewer.window.remove_dock_widget(dock)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("gold_high_resolution", "high_resolution"),
        ("gold_low_magnification", "low_magnification"),
    ],
)
def test_a_sample_opens_calibrated_with_strokes_on_some(viewer: Any, key: str, name: str) -> None:
    viewer.open_sample("napari-tem-rf", key)
    session = session_of(viewer)
    files = sorted((sample_folder(name) / "images").glob("*.tif"))
    assert [image.name for image in session.images] == [file.stem for file in files]
    for image, file in zip(session.images, files, strict=True):
        with tifffile.TiffFile(file) as tiff:
            across = tiff.pages[0].tags["XResolution"].value
        assert pixel_size_nm(image)[1] == pytest.approx(across[1] / across[0])
    annotated = session.situation.scene.annotated
    assert len(annotated) == 4
    for each in annotated:
        pair = each.pair
        assert pair.labels.name == f"{pair.image.name}: strokes"
        assert pair.labels.data_to_world((7, 9)) == pytest.approx(pair.image.data_to_world((7, 9)))
        assert min(each.pixels) > 100
    assert session.situation.scene.classes.names == ("background", "particle")


def test_samples_have_a_mask_and_strokes_for_each_image() -> None:
    for name in sample_sets():
        folder = sample_folder(name)
        images, labels, strokes = (
            {file.name for file in (folder / part).glob("*.tif")}
            for part in ("images", "labels", "strokes")
        )
        assert len(images) >= 6
        assert images == labels
        assert strokes <= images


def test_there_is_no_other_sample() -> None:
    with pytest.raises(ValueError, match='no sample set "silver"'):
        sample_folder("silver")


def test_a_file_is_read_through_the_manifest(viewer: Any, tmp_path: Path) -> None:
    path = tmp_path / "gold.tif"
    tifffile.imwrite(
        path,
        np.zeros((11, 13), np.uint8),
        imagej=True,
        resolution=(50, 50),
        metadata={"unit": "nm", "axes": "YX"},
    )
    (layer,) = viewer.open(path, plugin="napari-tem-rf")
    assert tuple(layer.scale) == pytest.approx((0.02, 0.02))
    assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
    assert get_reader([]) is None


def test_a_labels_layer_is_written_with_its_pixel_size(tmp_path: Path) -> None:
    data = np.zeros((11, 13), np.uint8)
    data[3:5, 4:7] = 2
    layer = Labels(data, scale=(0.2, 0.25), units=("angstrom", "angstrom"))
    path = tmp_path / "mask.tif"
    assert write_labels_layer(str(path), *layer.as_layer_data_tuple()[:2]) == [str(path)]
    with tifffile.TiffFile(path) as file:
        across = file.pages[0].tags["XResolution"].value
        assert across[0] / across[1] == pytest.approx(1 / 0.025)
        np.testing.assert_array_equal(file.asarray(), data)


def test_a_refused_file_of_several_is_named_and_the_others_open(tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"II*\0 not a picture")
    tifffile.imwrite(tmp_path / "good.tif", np.zeros((11, 13), np.uint8))
    said: list[str] = []
    with notification_manager:
        notification_manager.notification_ready.connect(lambda n: said.append(n.message))
        data = read_layers(str(tmp_path))
    assert [attributes["name"] for _data, attributes, _kind in data] == ["good"]
    (words,) = said
    assert "broken.tif" in words


def test_where_all_are_refused_the_sentences_are_raised(tmp_path: Path) -> None:
    for name in ("broken", "torn"):
        (tmp_path / f"{name}.tif").write_bytes(b"II*\0 not a picture")
    with pytest.raises(ReadingError, match=r"(?s)broken\.tif.*torn\.tif"):
        read_layers(str(tmp_path))
