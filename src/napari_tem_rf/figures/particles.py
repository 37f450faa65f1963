"""Particles in figures: their sizes with a fit, their shapes, their lattices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_tem_rf.figures.theme import LIGHT, Theme, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FittedCurve", "lattice_plot", "shape_plot", "size_histogram"]

_MOST_BINS = 60
_MOST_POINTS = 3000
_MOST_BARS = 150


@dataclass(frozen=True, slots=True)
class FittedCurve:
    """A fitted distribution to draw over a histogram.

    Attributes
    ----------
    name : str
        For the legend.
    density : callable
        Gives the probability density at sizes, per unit of the sizes.
    """

    name: str
    density: Callable[[NDArray[np.float64]], NDArray[np.float64]]


def size_histogram(
    axes: "Axes",
    diameters: ArrayLike,
    unit: str = "nm",
    quantity: str = "equivalent diameter",
    theme: Theme = LIGHT,
    *,
    fits: Sequence[FittedCurve] = (),
    mean: tuple[float, float, float] | None = None,
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
    fits : sequence of FittedCurve
        Curves, the best first; that one is drawn thick.
    mean : tuple of float, optional
        The mean and the ends of its interval, marked on the axis of the sizes.
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
    if fits:
        x = np.linspace(max(edges[0] - (edges[-1] - edges[0]) / 8, 0), edges[-1], 300)
        area = values.size * (edges[1] - edges[0])
        for place, fit in reversed(list(enumerate(fits))):
            axes.plot(
                x,
                area * fit.density(x),
                color=theme.foreground if place == 0 else theme.colors[1 + place],
                linewidth=1.6 if place == 0 else 0.9,
                linestyle="-" if place == 0 else "--",
                label=fit.name,
                zorder=4 - place / 10,
            )
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], names[::-1], frameon=False, handlelength=1.6)
    if mean is not None and np.isfinite(mean).all():
        value, low, high = mean
        axes.errorbar(
            [value],
            [0.97],
            xerr=[[value - low], [high - value]],
            transform=axes.get_xaxis_transform(),
            fmt="o",
            markersize=3.5,
            capsize=3,
            linewidth=1.4,
            color=theme.colors[2],
            zorder=5,
        )
        axes.margins(y=0.12)
    sd = f" ± {values.std(ddof=1):.2g}" if values.size > 1 else ""
    axes.set_title(
        f"{values.size:,} particle{'s' * (values.size > 1)}, mean {values.mean():.3g}{sd} {unit}, "
        f"median {median:.3g} {unit}"
    )
    dress(axes, theme)


def shape_plot(
    axes: "Axes", aspect_ratio: ArrayLike, circularity: ArrayLike, theme: Theme = LIGHT
) -> None:
    """Draw the circularity of particles over their aspect ratio, and the line of ellipses.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    aspect_ratio, circularity : array of float, shape (particle,)
        Smooth convex particles lie near the line, ragged or concave ones below it. More than 3,000
        are drawn as the density of points.
    theme : Theme
        Colours and sizes.
    """
    x, y = np.asarray(aspect_ratio, np.float64), np.asarray(circularity, np.float64)
    shown = np.isfinite(x) & np.isfinite(y)
    x, y = x[shown], y[shown]
    axes.set_xlabel("aspect ratio")
    axes.set_ylabel("circularity")
    right = max(2.0, 1.05 * float(np.quantile(x, 0.99))) if x.size else 2.0
    if x.size > _MOST_POINTS:
        axes.hexbin(
            x, y, gridsize=45, extent=(1, right, 0, 1.0), bins="log", mincnt=1, cmap="cividis"
        )
    else:
        axes.plot(x, y, "o", markersize=3, alpha=0.55, color=theme.colors[0], markeredgewidth=0)
    ratio = np.linspace(1, right, 100)
    axes.plot(ratio, _of_ellipses(ratio), color=theme.foreground, linewidth=1, label="ellipses")
    axes.set_xlim(1, right)
    axes.set_ylim(min(0.4, float(np.quantile(y, 0.01)) if y.size else 0.4), 1.02)
    axes.legend(frameon=False, loc="lower left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    dress(axes, theme)


def lattice_plot(
    axes: "Axes",
    spacing: ArrayLike,
    error: ArrayLike,
    angle_deg: ArrayLike,
    unit: str = "nm",
    theme: Theme = LIGHT,
) -> None:
    """Draw the lattice spacing of particles over the direction of their planes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    spacing, error, angle_deg : array of float, shape (particle,)
        Spacings with their standard errors, and directions from 0 to 180 degrees.
    unit : str
        Unit of the spacings.
    theme : Theme
        Colours and sizes.
    """
    x, y = np.asarray(angle_deg, np.float64), np.asarray(spacing, np.float64)
    axes.set_xlabel("direction of the planes' normal (°, from the right counter-clockwise)")
    axes.set_ylabel(f"lattice spacing ({unit})")
    axes.set_xlim(0, 180)
    axes.set_xticks([0, 45, 90, 135, 180])
    bars = np.asarray(error, np.float64) if x.size <= _MOST_BARS else None
    axes.errorbar(
        x,
        y,
        yerr=bars,
        fmt="o",
        markersize=3,
        alpha=0.7,
        linewidth=1,
        color=theme.colors[0],
        markeredgewidth=0,
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    dress(axes, theme)


def _of_ellipses(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the circularity of ellipses by their aspect ratio; perimeter after Ramanujan 1914."""
    h = ((ratio - 1) / (ratio + 1)) ** 2
    perimeter = np.pi * (ratio + 1) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h)))
    return 4 * np.pi**2 * ratio / perimeter**2
