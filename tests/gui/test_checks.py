"""Before a training: every obstacle is one sentence that names its remedy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.networks.spec import NetworkSpec


def only_sentence(session: Session) -> str:
    checks = session.refresh().checks
    assert len(checks) == 1
    assert checks[0].stops
    return checks[0].sentence


def test_without_an_image_it_says_where_to_get_one(session: Session) -> None:
    assert only_sentence(session).startswith("No image is open")


def test_without_annotation_it_says_to_press_new(session: Session, image: Image) -> None:
    assert "press New" in only_sentence(session)


def test_nothing_painted(session: Session, strokes: Labels) -> None:
    strokes.data[:] = 0
    assert only_sentence(session).startswith("Nothing is painted")


def test_background_only(session: Session, strokes: Labels) -> None:
    strokes.data[strokes.data == 2] = 0
    sentence = only_sentence(session)
    assert "Only background is painted" in sentence
    assert "label 2" in sentence


def test_particles_only(session: Session, strokes: Labels) -> None:
    strokes.data[strokes.data == 1] = 0
    sentence = only_sentence(session)
    assert "No background is painted" in sentence
    assert "zeros are background" in sentence


def test_labels_of_another_shape(session: Session, image: Image, viewer: Any) -> None:
    labels = viewer.add_labels(np.ones((60, 83), np.uint8), name="mask")
    session.annotation = labels
    sentence = only_sentence(session)
    assert "60 x 83" in sentence
    assert "61 x 83" in sentence
    assert '"mask"' in sentence


def test_numbered_particles_are_no_classes(session: Session, image: Image, viewer: Any) -> None:
    """They are trained as particles; who says that they are classes is told the limit."""
    labels = np.arange(61 * 83, dtype=np.uint16).reshape(61, 83) % 40
    session.annotation = viewer.add_labels(labels, name="instances")
    assert session.situation.can_train
    session.labels_are = "classes"
    assert "say that labels are numbered particles" in only_sentence(session)


def test_a_folder_that_cannot_be_written(session: Session, strokes: Labels, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    session.runs_folder = file / "runs"
    sentence = only_sentence(session)
    assert str(file / "runs") in sentence
    assert "choose another folder" in sentence


def test_a_good_annotation_passes(session: Session, strokes: Labels) -> None:
    strokes.data[40:60, 1:80] = 1
    session.spec = NetworkSpec(pools=(2, 2))
    assert session.refresh().checks == ()


@pytest.mark.parametrize(
    ("spec", "pixels", "words"),
    [
        (NetworkSpec(pools=(8, 8)), 10, "larger than the image (61 px)"),
        (NetworkSpec(pools=(2, 2)), 3, "particle has 9 px only"),
    ],
)
def test_warnings_do_not_stop(
    session: Session, strokes: Labels, spec: NetworkSpec, pixels: int, words: str
) -> None:
    strokes.data[strokes.data == 2] = 0
    strokes.data[30 : 30 + pixels, 40 : 40 + pixels] = 2
    strokes.data[40:60, 1:80] = 1
    session.spec = spec
    checks = session.refresh().checks
    assert not any(check.stops for check in checks)
    assert any(words in check.sentence for check in checks)


def test_a_small_held_out_part_says_little(session: Session, strokes: Labels) -> None:
    session.spec = NetworkSpec(pools=(2, 2))
    # 100 + 200 px are painted: a fifth of them is 60
    assert any("About 60 annotated px" in check.sentence for check in session.refresh().checks)
