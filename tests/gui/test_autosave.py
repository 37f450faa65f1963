"""Annotations are saved while they are painted, and offered back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtWidgets import QApplication

from napari_tem_rf.gui.layers.layers import micrograph_layer
from napari_tem_rf.gui.segment.annotation import AnnotationWidget
from napari_tem_rf.gui.session.annotations import start_annotation
from napari_tem_rf.gui.session.autosave import (
    FILE_BY_NAME,
    Autosave,
    ImageKey,
    SavedAnnotation,
    image_key,
    read,
    saved_files,
    take,
    write,
)
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.locking import BusyError, Lock
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.reading import read_micrographs

GOLD = Classes((1, 2), ("background", "gold"), ("#0072b2", "#e69f00"))


def saved(session: Session, image: Image) -> tuple[Path, ...]:
    """Return the files of an image in a session's folder, the newest first."""
    return saved_files(session.runs_folder, ImageKey(image)())


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    planes = np.random.default_rng(3).integers(0, 4, (2, 11, 13)).astype(np.uint8)
    classes = Classes((1, 2, 3), ("background", "gold", "dirt"), ("#0072b2", "#e69f00", "#cc79a7"))
    given = SavedAnnotation((5, 11, 13), np.array([1, 4]), planes, classes, "ignore")
    write(tmp_path / "a.npz", given)
    back = read(tmp_path / "a.npz")
    assert back is not None
    assert (back.shape, back.classes, back.unlabelled) == (given.shape, classes, "ignore")
    np.testing.assert_array_equal(back.frames, [1, 4])
    np.testing.assert_array_equal(back.planes, planes)


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign", "other"])
def test_what_is_no_annotation_is_none(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.npz"
    if damage == "cut":
        classes = Classes((1, 2), ("background", "gold"), ("#0072b2", "#e69f00"))
        planes = np.ones((1, 11, 13), np.uint8)
        write(path, SavedAnnotation((11, 13), np.array([0]), planes, classes, "ignore"))
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        path.write_text(json.dumps({"frames": []}))
    elif damage == "other":
        np.savez(path, a=np.zeros(3))
    assert read(path) is None


def test_painted_frames_only_are_taken(session: Session, viewer: Any) -> None:
    labels = np.zeros((6, 11, 13), np.uint8)
    labels[2, 3:5, 3:5] = 2
    layer = viewer.add_labels(labels)
    taken = take(layer, "ignore")
    np.testing.assert_array_equal(taken.frames, [2])
    labels[2] = 0
    assert (taken.planes[0] == 2).sum() == 4


def test_a_lost_annotation_is_offered_back(
    session: Session, strokes: Labels, image: Image, viewer: Any, qtbot: Any
) -> None:
    widget = AnnotationWidget(viewer)
    qtbot.addWidget(widget)
    assert widget.restore_button.isHidden()
    painted = strokes.data.copy()
    session.edited()
    session.part(Autosave).save()
    qtbot.waitUntil(lambda: len(saved(session, image)) == 1, timeout=10_000)
    viewer.layers.remove(strokes)
    qtbot.waitUntil(lambda: not widget.restore_button.isHidden(), timeout=10_000)
    assert "was saved on" in widget.words.text()
    widget.restore_button.click()
    assert widget.restore_button.isHidden()
    assert session.annotation is not None
    np.testing.assert_array_equal(session.annotation.data, painted)
    assert session.situation.scene.classes.names == ("background", "particle")
    assert session.annotation.data_to_world((3, 4)) == pytest.approx(image.data_to_world((3, 4)))


def test_what_was_painted_last_is_saved_when_the_session_ends(
    session: Session, strokes: Labels, image: Image
) -> None:
    session.edited()
    assert not saved(session, image)
    session.close()
    (path,) = saved(session, image)
    back = read(path)
    assert back is not None
    np.testing.assert_array_equal(back.planes[0], strokes.data)


def test_what_an_earlier_session_saved_is_never_written_over(
    session: Session, strokes: Labels, image: Image, qtbot: Any
) -> None:
    key = session.part(Autosave).key(image)()
    path = session.image_folder(image) / f"annotation.{key}.autosave.npz"
    earlier = SavedAnnotation((61, 83), np.array([0]), np.full((1, 61, 83), 2), GOLD, "ignore")
    write(path, earlier)
    for value in (1, 2):  # the second time it is the session's own that is replaced
        strokes.data[50:60, 50:60] = value
        session.edited()
        session.part(Autosave).save()

        def is_saved() -> bool:
            own = read(saved(session, image)[0])
            return own is not None and np.array_equal(own.planes[0], strokes.data)

        qtbot.waitUntil(is_saved, timeout=30_000)
    assert len(saved(session, image)) == 2
    back = read(path)
    assert back is not None
    assert (back.planes == 2).all()


def test_a_folder_that_cannot_be_written_stops_nobody(
    session: Session, strokes: Labels, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    session.runs_folder = file
    session.edited()
    session.close()
    assert file.read_text() == ""


# images of one name, and windows on one image


class Window:
    """A viewer with its session, that opens a file and paints one row."""

    def __init__(self, viewer: Any, runs_folder: Path) -> None:
        self.viewer = viewer
        self.session = session_of(viewer)
        self.session.runs_folder = runs_folder

    def open(self, file: Path) -> Image:
        (micrograph,) = read_micrographs(file)
        pixels, attributes, _ = micrograph_layer(micrograph)
        layer: Image = self.viewer.add_image(pixels, **attributes)
        self.session.image = layer
        return layer

    def paint(self, image: Image, row: int) -> Labels:
        layer = start_annotation(image, "ignore", [each.name for each in self.viewer.layers])
        layer.data[row] = 2
        self.viewer.add_layer(layer)
        self.session.annotation = layer
        self.session.edited()
        return layer

    def save(self, qtbot: Any) -> None:
        autosave = self.session.part(Autosave)
        autosave.save()
        qtbot.waitUntil(lambda: not any(place._due for place in autosave._places.values()))
        for place in autosave._places.values():
            place.write()  # waits for the thread that writes

    def offered_row(self, qtbot: Any) -> int | None:
        """Take back what is offered and return the row that is painted in it."""
        widget = AnnotationWidget(self.viewer)
        qtbot.addWidget(widget)
        qtbot.waitUntil(lambda: not widget.restore_button.isHidden(), timeout=10_000)
        widget.restore_button.click()
        layer = self.session.annotation
        assert layer is not None
        (row,) = np.flatnonzero(layer.data.all(axis=-1))
        return int(row)


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any], tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Return a function that opens one more window; all have the same folder of runs."""
    windows = []

    def opened() -> Window:
        windows.append(Window(make_napari_viewer(), tmp_path / "runs"))
        return windows[-1]

    yield opened
    for each in windows:
        each.session.close()
        each.viewer.close()
    QApplication.processEvents()


def image_file(folder: Path, seed: int, name: str = "image_001.npy") -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / name, np.random.default_rng(seed).normal(size=(61, 83)).astype(np.float32))
    return folder / name


def rows_in(folder: Path) -> list[int]:
    """Return the painted row of each saved annotation below a folder."""
    rows = []
    for path in folder.rglob("annotation*.npz"):
        back = read(path)
        assert back is not None
        rows += np.flatnonzero(back.planes[0].all(axis=-1)).tolist()
    return sorted(rows)


def test_images_of_one_name_from_two_folders_keep_their_strokes_apart(
    window: Callable[[], Window], tmp_path: Path, qtbot: Any
) -> None:
    files = [image_file(tmp_path / name, seed) for seed, name in enumerate("ab")]
    first, second = window(), window()
    for each, file, row in ((first, files[0], 7), (second, files[1], 19)):
        each.paint(each.open(file), row)
        each.save(qtbot)
    assert rows_in(tmp_path / "runs") == [7, 19]
    first.session.close()
    second.session.close()
    for file, row in zip(files, (7, 19), strict=True):
        later = window()
        later.open(file)
        assert later.offered_row(qtbot) == row


def test_windows_on_one_image_save_side_by_side_and_the_newest_is_offered(
    window: Callable[[], Window], tmp_path: Path, qtbot: Any
) -> None:
    file = image_file(tmp_path / "a", 3)
    windows = [window() for _ in range(3)]
    layers = []
    for each, row in zip(windows, (6, 18, 30), strict=True):
        layers.append(each.paint(each.open(file), row))
        each.save(qtbot)
    assert rows_in(tmp_path / "runs") == [6, 18, 30]
    for each, layer, row in zip(windows, layers, (7, 19, 31), strict=True):
        layer.data[row - 1] = 0
        layer.data[row] = 2
        each.session.edited()
        each.save(qtbot)
    assert rows_in(tmp_path / "runs") == [7, 19, 31]
    for each in windows:
        each.session.close()
    assert rows_in(tmp_path / "runs") == [7, 19, 31]
    assert not list((tmp_path / "runs").rglob("*.lock"))
    later = window()
    image = later.open(file)
    newest, *others = saved(later.session, image)
    widget = AnnotationWidget(later.viewer)
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: not widget.restore_button.isHidden(), timeout=10_000)
    assert f"2 more, the newest of them {others[0].name}, are kept" in widget.words.text()
    assert later.offered_row(qtbot) == 31
    # it is gone on with in its own file
    assert later.session.annotation is not None
    later.session.annotation.data[31] = 0
    later.session.annotation.data[41] = 2
    later.session.edited()
    later.save(qtbot)
    assert rows_in(tmp_path / "runs") == [7, 19, 41]
    assert saved(later.session, image)[0] == newest


def test_what_a_window_has_open_is_offered_as_a_copy(
    window: Callable[[], Window], tmp_path: Path, qtbot: Any
) -> None:
    file = image_file(tmp_path / "a", 3)
    first, second = window(), window()
    painted = first.paint(first.open(file), 7)
    first.save(qtbot)
    image = second.open(file)
    (path,) = saved(second.session, image)
    with pytest.raises(BusyError, match="painting"):
        Lock(path, "reading", is_folder=False).acquire()
    assert second.offered_row(qtbot) == 7
    assert second.session.annotation is not None
    second.session.annotation.data[7] = 0
    second.session.annotation.data[19] = 2
    second.session.edited()
    second.save(qtbot)
    painted.data[31] = 2
    first.session.edited()
    first.save(qtbot)
    assert rows_in(tmp_path / "runs") == [7, 19, 31]


def test_annotations_of_one_image_in_one_window_keep_their_strokes_apart(
    window: Callable[[], Window], tmp_path: Path, qtbot: Any
) -> None:
    only = window()
    image = only.open(image_file(tmp_path / "a", 3))
    for row in (7, 19):
        only.paint(image, row)
    only.save(qtbot)
    assert rows_in(tmp_path / "runs") == [7, 19]


def test_an_image_finds_its_strokes_whatever_it_is_called(
    window: Callable[[], Window], tmp_path: Path, qtbot: Any
) -> None:
    files = [image_file(tmp_path / name, seed) for seed, name in enumerate("ab")]
    first = window()
    for file, row in zip(files, (7, 19), strict=True):
        image = first.open(file)
        first.paint(image, row)
    assert image.name == "image_001 [1]"
    first.session.close()
    later = window()
    assert later.open(files[1]).name == "image_001"
    assert later.offered_row(qtbot) == 19


def test_an_image_that_took_the_place_of_another_is_not_offered_its_strokes(
    window: Callable[[], Window], tmp_path: Path, qtbot: Any
) -> None:
    first, second = window(), window()
    first.paint(first.open(image_file(tmp_path / "a", 3)), 7)
    first.session.close()
    image = second.open(image_file(tmp_path / "a", 4))
    assert not saved(second.session, image)
    second.paint(image, 19)
    second.session.close()
    assert rows_in(tmp_path / "runs") == [7, 19]


@pytest.mark.parametrize("fits", [True, False])
def test_what_version_0_1_0_saved_is_offered_where_it_fits(
    window: Callable[[], Window], tmp_path: Path, qtbot: Any, fits: bool
) -> None:
    later = window()
    path = tmp_path / "runs" / "image_001" / FILE_BY_NAME
    assert path.name == "annotation.autosave.npz"
    planes = np.zeros((1, 61, 83 if fits else 84), np.uint8)
    planes[0, 7] = 2
    write(path, SavedAnnotation(planes.shape[1:], np.array([0]), planes, GOLD, "ignore"))
    before = path.read_bytes()
    later.open(image_file(tmp_path / "a", 3))
    if not fits:
        qtbot.wait(500)
        assert later.session.part(Autosave).offer() is None
        return
    widget = AnnotationWidget(later.viewer)
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: not widget.restore_button.isHidden(), timeout=10_000)
    assert "by version 0.1.0" in widget.words.text()
    assert later.offered_row(qtbot) == 7
    later.session.edited()
    later.session.close()
    assert path.read_bytes() == before
    assert rows_in(tmp_path / "runs") == [7, 7]


def test_the_key_tells_pixels_and_places_apart() -> None:
    series = np.random.default_rng(5).integers(0, 9, (5, 11, 13)).astype(np.uint8)
    at = Path("a.tif")
    keys = [
        image_key(series, (5, 11, 13), at),
        image_key(series, (5, 11, 13), Path("b.tif")),
        image_key(series, (5, 11, 13), None),
        image_key(series[::-1], (5, 11, 13), at),
        image_key(series[:1], (1, 11, 13), at),
        image_key(series[0], (11, 13), at),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == image_key(series.copy(), (5, 11, 13), Path.cwd() / "x" / ".." / "a.tif")


def test_pixels_that_cannot_be_read_stop_nobody(tmp_path: Path) -> None:
    class Gone:
        shape, ndim, dtype = (5, 11, 13), 3, np.dtype(np.uint8)

        def __getitem__(self, key: object) -> Any:
            raise OSError("the disk was taken out")

    assert len(image_key(Gone(), Gone.shape, tmp_path / "a.tif")) == 12
