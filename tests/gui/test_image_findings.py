"""What is measured of the image while it is painted on, and in which thread."""

import threading

import numpy as np
import pytest

from napari_tem_rf.gui.segment import image_findings
from napari_tem_rf.gui.segment.image_findings import FindingsWatch

from .test_live import stroke


@pytest.fixture
def lattices(monkeypatch):
    """Shapes of the frames whose lattice was looked for."""
    shapes = []

    def look(pixels, size_nm):
        shapes.append(pixels.shape)

    monkeypatch.setattr(image_findings, "lattice_period", look)
    return shapes


@pytest.fixture
def readers(monkeypatch):
    """The threads that read labels."""
    threads = []
    read = image_findings.frame_labels

    def watched(*arguments):
        threads.append(threading.current_thread())
        return read(*arguments)

    monkeypatch.setattr(image_findings, "frame_labels", watched)
    return threads


def test_a_stroke_is_measured_and_the_image_not_again(
    session, image, strokes, lattices, readers, qtbot
):
    watch = FindingsWatch(session)
    qtbot.waitUntil(lambda: watch.findings is not None)
    first, reads = watch.findings, len(readers)
    # noise is painted as particles on a quarter of the image: they differ less than before
    strokes.data[36:60, 40:80] = 2
    stroke(strokes, 2, 40)
    session.refresh()
    qtbot.waitUntil(lambda: watch.findings != first)
    assert lattices == [image.data.shape]
    assert len(readers) > reads
    assert threading.main_thread() not in readers
    image.data = np.array(image.data)
    stroke(strokes, 2, 42)
    session.refresh()
    qtbot.waitUntil(lambda: len(lattices) == 2)
