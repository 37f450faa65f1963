"""The bar in napari's activity dock."""

from collections.abc import Iterator

import pytest
from napari.utils import progress
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_tem_rf.gui.pieces import activity_bar
from napari_tem_rf.gui.pieces.activity_bar import ActivityBar


@pytest.fixture
def bar(qtbot, monkeypatch) -> Iterator[ActivityBar]:
    monkeypatch.setattr(activity_bar, "_PAUSE_S", 0.0)
    made = ActivityBar()
    yield made
    made.end()


def shown() -> list[tuple[str, int]]:
    return [(each.desc.removesuffix(": "), each.n) for each in progress._all_instances]


def test_it_opens_with_the_first_step_and_goes_at_the_end(bar: ActivityBar) -> None:
    bar.begin("training")
    assert shown() == []
    bar.move(0.25)
    assert shown() == [("training", 250)]
    bar.move(0.5)
    assert shown() == [("training", 500)]
    bar.end()
    assert shown() == []
    bar.move(0.75)
    assert shown() == []


def test_a_stroke_is_not_held_up(bar: ActivityBar, monkeypatch: pytest.MonkeyPatch) -> None:
    bar.begin("training")
    with monkeypatch.context() as patch:
        patch.setattr(QApplication, "mouseButtons", lambda: Qt.MouseButton.LeftButton)
        bar.move(0.25)
        assert shown() == []
    bar.move(0.5)
    assert shown() == [("training", 500)]


def test_it_moves_not_with_every_batch(bar: ActivityBar, monkeypatch: pytest.MonkeyPatch) -> None:
    bar.begin("training")
    bar.move(0.25)
    monkeypatch.setattr(activity_bar, "_PAUSE_S", 3600.0)
    bar.move(0.5)
    assert shown() == [("training", 250)]


def test_a_training_that_ends_while_the_bar_opens(
    bar: ActivityBar, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opening(progress):
        def __init__(self, **words: object) -> None:
            super().__init__(**words)
            bar.end()  # as an event that napari handles may do

    monkeypatch.setattr(activity_bar, "progress", Opening)
    bar.begin("training")
    bar.move(0.25)
    assert shown() == []
