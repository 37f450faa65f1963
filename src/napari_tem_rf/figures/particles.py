"""The sizes of particles as a histogram."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from napari_tem_rf.figures.theme import LIGHT, Theme, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["size_histogram"]

_MOST_BINS = 60


def size_histogram(
    axes: "Axes",
    diameters: ArrayLike,
    unit: str = "nm",
    quantity: str = "equivalent diameter",
    theme: Theme = LIGHT,
) -> None:
    """Draw how many particles have which size, with mean, median, standard deviation and number.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    diameters : array of float, shape (particle,)
        Sizes; bins are as wide as Freedman and Diaconis 1981 say, at most 60 of them.
    unit : str
        Unit of the sizes.
    quantity : str
        What the sizes are.
    theme : Theme
        Colours and sizes.
    """
    from matplotlib.ticker import MaxNLocator

    values = np.asarray(diameters, np.float64)
    values = values[np.isfinite(values)]
    axes.set_xlabel(f"{quantity} ({unit})")
    axes.set_ylabel("particles")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if not values.size:
        axes.set(xticks=[], yticks=[])
        axes.text(
            *(0.5, 0.5, "no particles"),
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=theme.foreground,
            fontsize=theme.font_pt,
        )
        dress(axes, theme)
        return
    edges = np.histogram_bin_edges(values, "fd")
    if len(edges) - 1 > _MOST_BINS:
        edges = np.linspace(edges[0], edges[-1], _MOST_BINS + 1)
    axes.hist(
        values,
        bins=edges.tolist(),
        color=theme.colors[0],
        edgecolor=theme.background,
        linewidth=0.6,
    )
    median = float(np.median(values))
    axes.axvline(median, color=theme.colors[1], linewidth=1.6)
    sd = f" ± {values.std(ddof=1):.2g}" if values.size > 1 else ""
    axes.set_title(
        f"{values.size:,} particle{'s' * (values.size > 1)}, mean {values.mean():.3g}{sd} {unit}, "
        f"median {median:.3g} {unit}"
    )
    dress(axes, theme)
