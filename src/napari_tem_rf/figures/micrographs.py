"""An image on Axes: grey values, a scale bar, outlines of particles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.figures.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_outlines", "scale_bar", "show_grey"]

_LINES = 200
"""An outline is as wide as one of so many lines of the image."""


def show_grey(axes: "Axes", image: NDArray[Any], size: tuple[float, float] | None) -> None:
    """Show an image of shape (row, column), from its darkest to its brightest half percent."""
    low, high = np.nanquantile(np.asarray(image, np.float32), (0.005, 0.995))
    rows, columns = size or (1.0, 1.0)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=rows / columns)


def draw_outlines(
    axes: "Axes",
    image: NDArray[Any] | None,
    labels: NDArray[Any],
    size: tuple[float, float] | None,
    *,
    colors: Sequence[str],
    title: str = "",
    theme: Theme = LIGHT,
) -> None:
    """Show an image with the outlines of its particles.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    image : ndarray, shape (row, column), optional
        Grey values; without them the particles are shown as filled.
    labels : ndarray of int, shape (row, column)
        0 = no particle, one label a particle.
    size : tuple of float, optional
        (row, column) size of a pixel in nm; without it there is no scale bar.
    colors : sequence of str
        Colours of the particles, one after the other.
    title : str
        A line above.
    theme : Theme
        Colours and sizes.
    """
    from matplotlib.colors import to_rgb

    axes.set_axis_off()
    rows, columns = size or (1.0, 1.0)
    if image is None:
        show_grey(axes, np.where(labels > 0, 0.75, 0.95).astype(np.float32), size)
    else:
        show_grey(axes, image, size)
    outline = np.zeros((*labels.shape, 4), np.float32)
    edge = _edges(labels, max(1, round(max(labels.shape) / _LINES)))
    shades = np.array([to_rgb(color) for color in colors], np.float32)
    outline[edge, :3] = shades[labels[edge] % len(shades)]
    outline[edge, 3] = 1
    axes.imshow(outline, aspect=rows / columns, interpolation="nearest")
    if size is not None:
        scale_bar(axes, labels.shape, size, theme)
    axes.set_title(title, fontsize=theme.font_pt, color=theme.foreground, parse_math=False)


def scale_bar(
    axes: "Axes", shape: tuple[int, ...], size: tuple[float, float], theme: Theme = LIGHT
) -> None:
    """Draw a scale bar of about a quarter of the image's width, in nm."""
    from matplotlib.patches import Rectangle

    length = _round_length(shape[1] * size[1] / 4)
    width, height = length / size[1], shape[0] * 0.018
    left, top = shape[1] * 0.05, shape[0] * 0.93
    # a plate behind it: the bar must be seen on any image
    axes.add_patch(
        Rectangle(
            (left - shape[1] * 0.02, shape[0] * 0.84),
            width + shape[1] * 0.04,
            shape[0] * 0.13,
            color="black",
            alpha=0.55,
            linewidth=0,
        )
    )
    axes.add_patch(Rectangle((left, top), width, height, color="white", linewidth=0))
    axes.text(
        left + width / 2,
        top - height / 2,
        f"{length:g} nm",
        color="white",
        fontsize=theme.font_pt,
        ha="center",
        va="bottom",
    )


def _edges(labels: NDArray[Any], width_px: int) -> NDArray[np.bool_]:
    """Return the pixels of particles that have another value near them, inside the image."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        for apart in range(1, width_px + 1):
            low, high = [slice(None)] * 2, [slice(None)] * 2
            low[axis], high[axis] = slice(None, -apart), slice(apart, None)
            differ = labels[tuple(low)] != labels[tuple(high)]
            edge[tuple(low)] |= differ
            edge[tuple(high)] |= differ
    return edge & (labels > 0)


def _round_length(length: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above a length."""
    decade = 10.0 ** np.floor(np.log10(length))
    return float(max(m for m in (1, 2, 5) if m * decade <= length * (1 + 1e-9)) * decade)
