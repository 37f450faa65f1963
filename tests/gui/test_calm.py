"""What keeps the window's thread free: calm bars, dots without objects, garbage at rest."""

import gc
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QProgressBar, QWidget

from napari_tem_rf.gui.pieces import garbage
from napari_tem_rf.gui.pieces.bars import CalmBar
from napari_tem_rf.gui.pieces.design_dots import picture_of_dots
from napari_tem_rf.gui.pieces.garbage import tidy_at_rest


@pytest.mark.parametrize(("kind", "painted_at_once"), [(CalmBar, False), (QProgressBar, True)])
def test_a_calm_bar_is_painted_later(kind: type[QProgressBar], painted_at_once: bool, qtbot: Any):
    painted = []

    class Bar(kind):
        def paintEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
            painted.append(self.value())
            super().paintEvent(event)

    bar = Bar()
    qtbot.addWidget(bar)
    bar.setRange(0, 1000)
    with qtbot.waitExposed(bar):
        bar.show()
    QApplication.processEvents()
    painted.clear()
    bar.setValue(500)
    assert bool(painted) == painted_at_once
    qtbot.waitUntil(lambda: painted[-1:] == [500])


def alpha(across: list[float], down: list[float], opacity: float = 1.0, scale: float = 1.0) -> Any:
    color = QColor(10, 200, 30)
    color.setAlphaF(opacity)
    size = (13, 17)
    image = picture_of_dots(np.array(across), np.array(down), size, color, scale)
    assert (image.height(), image.width()) == size
    return np.array(
        [[image.pixelColor(column, row).alphaF() for column in range(17)] for row in range(13)]
    )


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_dot_lies_where_it_should_and_covers_a_disc(scale: float) -> None:
    picture = alpha([7.3], [4.6], scale=scale)
    rows, columns = np.indices(picture.shape) + 0.5
    assert (picture * rows).sum() / picture.sum() == pytest.approx(4.6, abs=0.05)
    assert (picture * columns).sum() / picture.sum() == pytest.approx(7.3, abs=0.05)
    assert picture.sum() == pytest.approx(np.pi * scale**2, rel=0.1)


def test_dots_that_overlap_let_less_through() -> None:
    one, two = alpha([7.5], [4.5], 0.4), alpha([7.5, 7.5], [4.5, 4.5], 0.4)
    assert one[4, 7] == pytest.approx(0.4, abs=0.01)
    assert two[4, 7] == pytest.approx(1 - 0.6**2, abs=0.01)


def test_dots_at_the_edge_are_cut_off() -> None:
    picture = alpha([0.0, 17.0, 40.0], [0.0, 13.0, 6.0])
    assert picture[0, 0] > 0.5
    assert picture[-1, -1] > 0.5
    assert picture[6].max() == 0


@dataclass
class Cursor:
    """What is asked of a viewer's cursor: its place on the canvas."""

    position: tuple[float, float] = (3.0, 5.0)


@dataclass
class Viewer:
    """What is asked of a viewer: its cursor."""

    cursor: Cursor = field(default_factory=Cursor)


def test_garbage_is_collected_when_it_is_due_and_the_mouse_rests(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected, generations = [], [0]
    monkeypatch.setattr(garbage, "_LOOK_MS", 10)
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, generations[0]))
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    widget, viewer = QWidget(), Viewer()
    qtbot.addWidget(widget)
    tidy_at_rest(widget, viewer)
    qtbot.wait(60)
    assert not collected  # none is due
    painting = QTimer(widget)
    places = count()
    painting.timeout.connect(lambda: setattr(viewer.cursor, "position", (next(places), 5.0)))
    painting.start(1)
    qtbot.wait(20)
    generations[0] = gc.get_threshold()[2]
    qtbot.wait(60)
    assert not collected  # the mouse moves on the canvas
    painting.stop()
    qtbot.waitUntil(lambda: bool(collected))


def test_nothing_is_collected_for_a_dock_that_is_gone(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    monkeypatch.setattr(garbage, "_LOOK_MS", 10)
    monkeypatch.setattr(gc, "get_count", lambda: looks.append(True) or (0, 0, 0))
    widget, viewer = QWidget(), Viewer()
    tidy_at_rest(widget, viewer)
    qtbot.waitUntil(lambda: bool(looks))
    widget.deleteLater()
    qtbot.wait(30)
    looks.clear()
    qtbot.wait(60)
    assert not looks
