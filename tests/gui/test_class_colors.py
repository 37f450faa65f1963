"""The colours of classes are napari's, without what it compiles for them."""

import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap

from napari_tem_rf.gui.layers.class_colors import ClassColors

COLORS = {None: "#00000033", 0: "transparent", 1: "#0072b2", 3: "red", 250: "red"}


@pytest.mark.parametrize("chosen", [False, True], ids=["all", "the selected one"])
def test_each_label_has_the_colour_that_napari_gives_it(chosen: bool) -> None:
    options = {"color_dict": COLORS, "use_selection": chosen, "selection": 3}
    ours, theirs = ClassColors(**options), DirectLabelColormap(**options)
    labels = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(ours.map(labels), theirs.map(labels))
    assert ours.map(labels).shape == (256, 4)


def test_napari_asks_by_the_name_that_is_answered() -> None:
    """Where it does not, its own way is taken: this test then says why the window got slower."""
    asked = []

    class Colors(ClassColors):
        def _map_without_cache(self, values: np.ndarray) -> np.ndarray:
            asked.append(values.size)
            return super()._map_without_cache(values)

    Colors(color_dict=COLORS).map(np.zeros((2, 3), np.uint8))
    assert asked == [256]
