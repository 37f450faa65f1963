"""Annotations are saved while they are painted, and offered back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_tem_rf.gui.segment.annotation import AnnotationWidget
from napari_tem_rf.gui.session.autosave import Autosave, SavedAnnotation, read, take, write
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import Classes


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    planes = np.random.default_rng(3).integers(0, 4, (2, 11, 13)).astype(np.uint8)
    classes = Classes((1, 2, 3), ("background", "gold", "dirt"), ("#0072b2", "#e69f00", "#cc79a7"))
    saved = SavedAnnotation((5, 11, 13), np.array([1, 4]), planes, classes, "ignore")
    write(tmp_path / "a.npz", saved)
    back = read(tmp_path / "a.npz")
    assert back is not None
    assert (back.shape, back.classes, back.unlabelled) == (saved.shape, classes, "ignore")
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
    saved = take(layer, "ignore")
    np.testing.assert_array_equal(saved.frames, [2])
    labels[2] = 0
    assert (saved.planes[0] == 2).sum() == 4


def test_a_lost_annotation_is_offered_back(
    session: Session, strokes: Labels, image: Image, viewer: Any, qtbot: Any
) -> None:
    widget = AnnotationWidget(viewer)
    qtbot.addWidget(widget)
    assert widget.restore_button.isHidden()
    painted = strokes.data.copy()
    session.edited()
    session.part(Autosave).save()
    path = session.part(Autosave).path(image)
    qtbot.waitUntil(path.exists, timeout=10_000)
    viewer.layers.remove(strokes)
    assert not widget.restore_button.isHidden()
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
    path = session.part(Autosave).path(image)
    assert not path.exists()
    session.close()
    saved = read(path)
    assert saved is not None
    np.testing.assert_array_equal(saved.planes[0], strokes.data)


def test_what_an_earlier_session_saved_is_never_written_over(
    session: Session, strokes: Labels, image: Image, qtbot: Any
) -> None:
    path = session.part(Autosave).path(image)
    earlier = SavedAnnotation(
        (61, 83),
        np.array([0]),
        np.full((1, 61, 83), 2, np.uint8),
        Classes((1, 2), ("background", "gold"), ("#0072b2", "#e69f00")),
        "ignore",
    )
    write(path, earlier)
    for value in (1, 2):  # the second time it is the session's own that is replaced
        strokes.data[50:60, 50:60] = value
        session.edited()
        session.part(Autosave).save()

        def is_saved() -> bool:
            saved = read(path)
            return saved is not None and np.array_equal(saved.planes[0], strokes.data)

        qtbot.waitUntil(is_saved, timeout=30_000)
    (kept,) = path.parent.glob("annotation.2*.npz")
    back = read(kept)
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
