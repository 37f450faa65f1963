"""The colours of classes as a colormap that is there at once."""

from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

__all__ = ["ClassColors"]


class ClassColors(DirectLabelColormap):
    """Colours by label, the same as those of `DirectLabelColormap`.

    That one has Numba compile a dictionary of its own before the first of its layers is shown,
    which takes the window more than a second and is kept nowhere. A table of 256 values, or of
    65,536, is made in a moment without it.
    """

    def _map_without_cache(self, values: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Return the colours of a table's values; napari asks once for each type of labels.

        Should it ask by another name one day, its own way is taken, as before.
        """
        default = self.default_color
        colors = [self.color_dict.get(value, default) for value in values.ravel().tolist()]
        return np.array(colors, np.float32).reshape(*values.shape, 4)
