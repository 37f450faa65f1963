"""What shows by default needs no knowledge of networks, and a score of strokes is no headline."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLabel, QProgressBar, QWidget

from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.protocol import EpochReport, TrainingPlan, fit_in_words
from napari_tem_rf.runs import RunRecord

JARGON = re.compile(r"\b(halos?|phases?|logits?|multiply-adds?)\b(?! contrast)", re.IGNORECASE)


def shown_words(dock: QWidget) -> list[str]:
    """Return the texts that a dock shows, as far as nothing is folded away."""
    words = []
    for part in dock.findChildren(QWidget):
        if not part.isVisibleTo(dock):
            continue
        if isinstance(part, QLabel | QAbstractButton):
            words.append(part.text())
        elif isinstance(part, QComboBox):
            words.append(part.currentText())
        elif isinstance(part, QProgressBar):
            words.append(part.format())
    return [re.sub(r"<[^>]*>", " ", text) for text in words if text]


@pytest.mark.parametrize("name", ["TEM segmentation", "Network", "Receptive field", "Compare"])
def test_what_shows_by_default_needs_no_knowledge_of_networks(
    viewer: Any, worker: None, strokes: Any, name: str, qtbot: Any
) -> None:
    _, dock = viewer.window.add_plugin_dock_widget("napari-tem-rf", name)
    if name == "Receptive field":
        viewer.mouse_over_canvas = True
        session_of(viewer).field_overlay = True
        viewer.cursor.position = tuple(strokes.data_to_world((20, 30)))
        qtbot.waitUntil(
            lambda: any("column 30" in text for text in shown_words(dock)), timeout=10_000
        )
    shown = shown_words(dock)
    assert len(shown) > 5
    assert [text for text in shown if JARGON.search(text)] == []


def test_what_is_folded_away_has_the_halo(viewer: Any, worker: None, image: Any) -> None:
    """The words are not lost: they are under Advanced."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-tem-rf", "Network")
    assert not any(JARGON.search(text) for text in shown_words(dock))
    dock.network.fold.open()
    found = " ".join(shown_words(dock))
    assert all(word in found for word in ("halo", "multiply-adds", "phase"))


def record_of(scored: str, dice: float) -> RunRecord:
    return RunRecord(
        name="gold",
        spec=FIRST_NETWORK,
        plan=TrainingPlan(),
        classes=Classes((1, 2), ("background", "particle")),
        unlabelled="ignore",
        cleaning=Cleaning(),
        pixel_size_nm=None,
        data=(),
        split={"kind": "groups", "sentence": "1 of 3 groups held out: gold", "scored": scored},
        state="finished",
        scores={"dice": dice},
    )


@pytest.mark.parametrize(
    ("dice", "words"),
    [
        (0.999, "Fits your strokes; look at the picture."),
        (0.95, "Fits your strokes; look at the picture."),
        (0.9, "Fits most of your strokes; look at the picture."),
        (0.4, "Does not fit your strokes yet; look at the picture."),
    ],
)
def test_a_dice_of_strokes_is_not_the_headline(
    viewer: Any, session: Session, tmp_path: Path, qtbot: Any, dice: float, words: str
) -> None:
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    run = TrainedRun(tmp_path / "run", record_of("strokes", dice))
    session.add_run(run)
    assert widget.score.text() == words
    assert f"Dice {dice:.3f} on held-out strokes" in widget.score.toolTip()
    assert run.title == "200 px, 31.6 k (run)"
    assert "Dice" not in " ".join(shown_words(widget))


def test_a_dice_of_whole_images_is(viewer: Any, session: Session, tmp_path: Path, qtbot: Any):
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    session.add_run(TrainedRun(tmp_path / "run", record_of("images", 0.912)))
    assert widget.score.text() == "Dice 0.912 on held-out images."
    assert session.runs[0].title == "200 px, 31.6 k, Dice 0.91 (run)"


def test_an_epoch_on_strokes_says_how_they_fit() -> None:
    report = EpochReport(3, 30, 0.3, 0.1, 0.2, 0.1, 0.97, 3, 0.97, held_out="strokes")
    assert report.sentence == "epoch 3 fits your strokes, the best so far by its loss"
    assert replace(report, validation_dice=0.85, best_epoch=2).sentence == (
        "epoch 3 fits most of your strokes; best by its loss: epoch 2"
    )
    assert replace(report, held_out="images").sentence.startswith(
        "epoch 3, Dice 0.97 on held-out images"
    )
    assert fit_in_words(0.0) == "does not fit your strokes yet"
