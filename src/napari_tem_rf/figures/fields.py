"""Effective receptive fields: the heat of a pixel, and how its share grows with the square."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.figures.theme import DARK, LIGHT, Theme, dress, nm_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["field_heat", "field_profile"]


def field_heat(
    axes: "Axes",
    heat: NDArray[Any],
    at: tuple[int, int],
    squares: Sequence[tuple[str, float]] = (),
    image: NDArray[Any] | None = None,
    pixel_size_nm: tuple[float, float] | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Draw the effective field of a pixel, over the image if there is one.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    heat : ndarray of float, shape (row, column)
        How strongly each input pixel influences the output, none negative.
    at : tuple of int
        (row, column) of the output pixel in ``heat``.
    squares : sequence of (name, px)
        Sides of squares to draw around the pixel, such as ``[("w50", 47), ("w95", 96)]``.
    image : ndarray, shape (row, column), optional
        Grey values of the same pixels.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel, for axes in nm.
    theme : Theme
        Colours and sizes.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    rows_nm, columns_nm = pixel_size_nm or (1.0, 1.0)
    rows, columns = heat.shape
    # the axes measure from the pixel
    extent = (
        (-0.5 - at[1]) * columns_nm,
        (columns - 0.5 - at[1]) * columns_nm,
        (rows - 0.5 - at[0]) * rows_nm,
        (-0.5 - at[0]) * rows_nm,
    )
    # square root: the skirt of a field is many times fainter than its centre
    strength = np.sqrt(heat / (heat.max() or 1))
    if image is None:
        axes.imshow(strength, cmap="inferno", extent=extent, vmin=0, vmax=1)
    else:
        low, high = np.nanquantile(image, (0.01, 0.99))
        axes.imshow(image, cmap="gray", extent=extent, vmin=low, vmax=high)
        axes.imshow(strength, cmap="inferno", extent=extent, vmin=0, vmax=1, alpha=strength)
    # heat and image are dark whatever the theme is
    for (name, side), color in zip(squares, cycle(DARK.colors), strict=False):
        height, width = side * rows_nm, side * columns_nm
        axes.add_patch(
            Rectangle((-width / 2, -height / 2), width, height, fill=False, color=color, lw=1.3)
        )
        axes.annotate(
            name,
            (-width / 2, -height / 2),
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            color=color,
            fontsize=theme.font_pt,
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )
    unit = "nm" if pixel_size_nm else "px"
    axes.set_xlabel(f"column from the pixel ({unit})")
    axes.set_ylabel(f"row from the pixel ({unit})")
    dress(axes, theme)


def field_profile(
    axes: "Axes",
    fields: Sequence[tuple[str, NDArray[Any], tuple[int, int]]],
    pixel_size_nm: float | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Draw how much of the influence lies within a square around the pixel, against its side.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    fields : sequence of (name, heat, at)
        One line each: the heat, shape (row, column), and the (row, column) of its output pixel.
    pixel_size_nm : float, optional
        Side of a pixel, for the axis in nm.
    theme : Theme
        Colours and sizes.
    """
    for share in (0.5, 0.95):
        axes.axhline(share, color=theme.faint, linewidth=0.8, linestyle=":")
    for place, (name, heat, at) in enumerate(fields):
        row, column = np.ogrid[: heat.shape[0], : heat.shape[1]]
        ring = np.maximum(abs(row - at[0]), abs(column - at[1]))
        held = np.cumsum(np.bincount(ring.ravel(), heat.ravel().astype(np.float64)))
        sides = 2 * np.arange(len(held)) + 1
        color = theme.colors[place % len(theme.colors)]
        axes.plot(sides, held / (held[-1] or 1), color=color, linewidth=1.6, label=name)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 0.95], ["0", "25 %", "50 %", "75 %", "95 %"])
    axes.set_xlabel("side of the square (px)")
    axes.set_ylabel("influence within")
    if fields:
        axes.legend(frameon=False, loc="lower right")
    if pixel_size_nm is not None:
        nm_axis(axes, pixel_size_nm, theme, "side of the square (nm)")
    dress(axes, theme)
