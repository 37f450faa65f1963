"""Cleaning in the window: chosen for the run, previewed on a layer of its own."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_tem_rf.gui.segment.image import LoadWidget
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.cleaning import Cleaning, clean


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> LoadWidget:
    widget = LoadWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def test_what_is_chosen_goes_into_the_training(
    widget: LoadWidget, session: Session, strokes: Labels
) -> None:
    widget.cleaning.flatten.setValue(2)
    widget.cleaning.spikes.setCurrentIndex(widget.cleaning.spikes.findData("robust"))
    widget.cleaning.spikes.activated.emit(widget.cleaning.spikes.currentIndex())
    assert session.cleaning == Cleaning(spikes="robust", flatten=2)
    assert widget.cleaning.threshold.value() == session.cleaning.threshold
    widget.cleaning.threshold.setValue(5)
    assert training_request(session).cleaning == Cleaning("robust", 5.0, 2)
    assert "flattened with order 2" in widget.cleaning_fold._button.text()


@pytest.mark.parametrize("binning", [1, 3])
def test_the_preview_lies_on_the_image_which_stays(
    widget: LoadWidget, session: Session, image: Image, qtbot: Any, binning: int
) -> None:
    before = image.data.copy()
    session.cleaning = Cleaning(flatten=1, binning=binning)
    for _ in range(2):
        widget.cleaning.preview_button.click()
        qtbot.waitUntil(lambda: "Shown" in widget.cleaning.words.text(), timeout=10_000)
        widget.cleaning.words.say("")
    layers = session.viewer.layers
    assert [layer.name for layer in layers] == ["gold", "gold: cleaned"]
    cleaned = layers["gold: cleaned"]
    np.testing.assert_allclose(cleaned.data, clean(before, session.cleaning), rtol=1e-5)
    np.testing.assert_array_equal(image.data, before)
    assert cleaned.units == image.units
    middle = (binning - 1) / 2
    assert cleaned.data_to_world((4, 5)) == pytest.approx(
        image.data_to_world((4 * binning + middle, 5 * binning + middle))
    )
    assert session.images == [image]
