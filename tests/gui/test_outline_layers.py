"""Outlines that others drew lie on the image, as an annotation that can be trained from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_tem_rf.gui.layers.marks import AnnotationMark, mark_of
from napari_tem_rf.gui.manifest import get_outline_reader, read_outline_layers, read_several
from napari_tem_rf.gui.segment.dock import LoadDock
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.writing import InstanceImage, write_instances

from .conftest import NM, SHAPE

pytest.importorskip("roifile")


@pytest.fixture
def instances() -> Any:
    """Three discs, two of which touch."""
    rows, columns = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    for number, (row, column) in enumerate(((20, 20), (20, 38), (45, 60)), start=1):
        labels[(rows - row) ** 2 + (columns - column) ** 2 < 100] = number
    return labels


@pytest.mark.parametrize("name", ["RoiSet.zip", "gold.geojson"])
def test_a_file_opens_as_numbered_particles_on_the_image(
    session: Session, image: Image, viewer: Any, tmp_path: Path, instances: Any, name: str
) -> None:
    path = write_instances(tmp_path / name, [InstanceImage("gold.tif", instances)], {1: "p"})
    image.translate = (3.0, 5.0)
    (layer,) = viewer.open(path, plugin="napari-tem-rf")
    np.testing.assert_array_equal(layer.data, instances)
    assert layer.name == "gold: outlines"
    assert tuple(layer.scale) == pytest.approx(NM)
    for corner in ((0, 0), (31, 7)):
        assert layer.data_to_world(corner) == pytest.approx(image.data_to_world(corner))
    (annotated,) = session.refresh().scene.annotated
    assert annotated.pair.labels is layer
    assert annotated.pair.image is image
    assert session.situation.scene.classes.names == ("background", "particle")
    mark = mark_of(layer)
    assert isinstance(mark, AnnotationMark)
    assert (mark.labels_are, mark.unlabelled) == ("particles", "background")


def test_classes_are_strokes_where_one_is_background(
    session: Session, image: Image, viewer: Any, tmp_path: Path, instances: Any
) -> None:
    drawn = InstanceImage("gold.tif", instances, {1: 1, 2: 2, 3: 3})
    names = {1: "background", 2: "gold", 3: "void"}
    path = write_instances(tmp_path / "gold.tif.geojson", [drawn], names)
    (layer,) = viewer.open(path, plugin="napari-tem-rf")
    np.testing.assert_array_equal(layer.data, instances)
    classes = session.refresh().scene.classes
    assert classes.names == ("background", "gold", "void")
    assert classes.values == (1, 2, 3)
    assert session.situation.scene.annotated[0].pixels == tuple(
        int((instances == value).sum()) for value in (1, 2, 3)
    )


def test_without_an_image_a_sentence_says_what_to_do(
    viewer: Any, tmp_path: Path, instances: Any
) -> None:
    path = write_instances(tmp_path / "a.zip", [InstanceImage("a", instances)], {1: "p"})
    with pytest.raises(ReadingError, match=r"3 outlines, .* open their image first"):
        read_outline_layers(str(path))
    data, refusals = read_several([path])
    assert data == []
    assert "open their image first" in refusals[0]


def test_a_zip_of_something_else_is_left_to_others(tmp_path: Path, instances: Any) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.writestr("run.json", "{}")
    assert get_outline_reader(str(tmp_path / "run.zip")) is None
    assert get_outline_reader([]) is None
    path = write_instances(tmp_path / "a.zip", [InstanceImage("a", instances)], {1: "p"})
    assert get_outline_reader([str(path), str(tmp_path / "run.zip")]) is None
    assert get_outline_reader(str(path)) is read_outline_layers


def test_the_dock_opens_them_on_the_image_of_their_name(
    session: Session, image: Image, viewer: Any, tmp_path: Path, instances: Any, qtbot: Any
) -> None:
    other = viewer.add_image(np.zeros((11, 13), np.float32), name="other")
    session.refresh()
    dock = LoadDock(viewer)
    qtbot.addWidget(dock)
    path = write_instances(tmp_path / "gold.geojson", [InstanceImage("a", instances)], {1: "p"})
    load = dock.findChild(_load_widget())
    load.open_files([path])
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    layer = viewer.layers[-1]
    assert layer.data.shape == image.data.shape != other.data.shape


def _load_widget() -> Any:
    from napari_tem_rf.gui.segment.image import LoadWidget

    return LoadWidget
