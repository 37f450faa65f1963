"""Images, true masks and predictions in one picture."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.figures.micrographs import scale_bar, show_grey
from napari_tem_rf.figures.palette import PREDICTION, TRUTH
from napari_tem_rf.figures.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["overview"]

_MOST_COLUMNS = 4


def overview(
    figure: "Figure",
    images: Sequence[NDArray[Any]],
    masks: Sequence[NDArray[Any] | None],
    predictions: Sequence[NDArray[Any]],
    names: Sequence[str],
    dice: Sequence[float | None],
    pixel_sizes_nm: Sequence[tuple[float, float] | None],
    title: str = "",
    theme: Theme = LIGHT,
) -> None:
    """Draw each image, and below it the same with its true mask's outline and its prediction.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        An empty figure; `overview` gives it the size that the images take.
    images : sequence of ndarray, each of shape (row, column)
        Grey values.
    masks, predictions : sequence of ndarray, each of shape (row, column)
        True mask (or None) and prediction; all above 0 is foreground.
    names : sequence of str
        The images' names.
    dice : sequence of float
        Dice of each prediction, or None.
    pixel_sizes_nm : sequence of tuple
        (row, column) size of a pixel of each image, or None: no scale bar then.
    title : str
        A line above all.
    theme : Theme
        Colours and sizes.

    Raises
    ------
    ValueError
        If there are no images, or the sequences are not of one length.
    """
    from matplotlib.patches import Patch

    n = len(images)
    others = (masks, predictions, names, dice, pixel_sizes_nm)
    if n == 0 or any(len(other) != n for other in others):
        raise ValueError(
            f"{n} images came with {[len(other) for other in others]} masks, predictions, names, "
            "Dice and pixel sizes: give at least one image and as many of each"
        )
    columns = min(n, _MOST_COLUMNS)
    bands = math.ceil(n / columns)
    figure.set_facecolor(theme.background)
    figure.set_size_inches(2.6 * columns + 0.1, 5.5 * bands + 0.6)
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for i in range(n):
        band, column = divmod(i, columns)
        above, below = grid[2 * band, column], grid[2 * band + 1, column]
        score = dice[i]
        heading = names[i] if score is None else f"{names[i]}: Dice {score:.3f}"
        above.set_title(
            heading, fontsize=theme.font_pt + 0.5, color=theme.foreground, parse_math=False
        )
        size = pixel_sizes_nm[i]
        for axes in (above, below):
            show_grey(axes, images[i], size)
        _fill(below, predictions[i], size)
        if masks[i] is not None:
            below.contour(
                (np.asarray(masks[i]) > 0).astype(float),
                levels=[0.5],
                colors=[TRUTH],
                linewidths=1.1,
            )
        if size is not None:
            scale_bar(above, images[i].shape, size, theme)
    handles = [Patch(facecolor=PREDICTION, alpha=0.6, label="prediction")]
    if any(mask is not None for mask in masks):
        handles.append(Patch(fill=False, edgecolor=TRUTH, linewidth=1.4, label="true mask"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=theme.font_pt + 1,
        labelcolor=theme.foreground,
    )
    if title:
        figure.suptitle(title, fontsize=theme.font_pt + 2, color=theme.foreground, parse_math=False)


def _fill(axes: "Axes", prediction: NDArray[Any], size: tuple[float, float] | None) -> None:
    from matplotlib.colors import to_rgb

    rows, columns = size or (1.0, 1.0)
    overlay = np.zeros((*prediction.shape, 4))
    overlay[prediction > 0] = (*to_rgb(PREDICTION), 0.45)
    axes.imshow(overlay, aspect=rows / columns, interpolation="nearest")
