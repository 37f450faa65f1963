"""A figure is drawn when somebody sees it."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_tem_rf.gui.pieces.canvas import Canvas


def test_a_hidden_figure_is_drawn_once_it_is_seen(qtbot: Any) -> None:
    canvas = Canvas(Figure(facecolor="black"))
    qtbot.addWidget(canvas)
    drawn: list[None] = []
    canvas.mpl_connect("draw_event", lambda _event: drawn.append(None))
    for _ in range(3):
        canvas.changed()
        qtbot.wait(1)
    assert not drawn
    with qtbot.waitExposed(canvas):
        canvas.resize(83, 61)
        canvas.show()
    qtbot.waitUntil(lambda: bool(drawn))
    qtbot.wait(20)
    assert len(drawn) == 1
    # what it shows is what is drawn, at once and after a change
    assert canvas.grab().toImage().pixelColor(41, 30).name() == "#000000"
    canvas.figure.set_facecolor("red")
    canvas.changed()
    qtbot.waitUntil(lambda: len(drawn) == 2)
    assert canvas.grab().toImage().pixelColor(41, 30).name() == "#ff0000"
    canvas.hide()


def test_a_figure_that_nobody_saw_is_in_a_picture_of_its_window(qtbot: Any) -> None:
    canvas = Canvas(Figure(facecolor="blue"))
    qtbot.addWidget(canvas)
    canvas.resize(83, 61)
    canvas.changed()
    image = canvas.grab().toImage()
    assert (image.width(), image.height()) == (83, 61)
    assert np.all([image.pixelColor(at, at).name() == "#0000ff" for at in (0, 30, 60)])
