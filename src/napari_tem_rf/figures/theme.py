"""Colours and sizes that all plots share, on light and on dark ground."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_tem_rf.figures.palette import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axes._secondary_axes import SecondaryAxis
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["LIGHT", "Theme", "dress", "new_figure", "nm_axis", "plain_log_ticks"]


@dataclass(frozen=True, slots=True)
class Theme:
    """What a plot stands on.

    Attributes
    ----------
    foreground, background : str
        Colours of text and ground as #rrggbb.
    font_pt : float
        Size of the text in points; 8 is readable in a dock of 360 px and in a column of a paper.
    """

    foreground: str = "#1a1a1a"
    background: str = "#ffffff"
    font_pt: float = 8.0

    @property
    def is_dark(self) -> bool:
        """Whether the ground is darker than the text."""
        return _luminance(self.background) < _luminance(self.foreground)

    @property
    def colors(self) -> tuple[str, ...]:
        """Colours of data, those with least contrast to the ground last."""
        if self.is_dark:
            return (SKY, ORANGE, GREEN, PURPLE, YELLOW, VERMILLION)
        return (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)

    @property
    def faint(self) -> str:
        """A colour between text and ground, for grid lines and what is not the point."""
        return _mixed(self.foreground, self.background, 0.35)


LIGHT = Theme()


def new_figure(
    width_in: float, height_in: float, theme: Theme = LIGHT, dpi: float = 100
) -> "Figure":
    """Return an empty figure whose ``savefig`` writes PNG, SVG or PDF without a window."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=dpi, layout="constrained")
    figure.set_facecolor(theme.background)
    return figure


def dress(axes: "Axes | SecondaryAxis", theme: Theme) -> None:
    """Give Axes that are drawn the colours and sizes of a theme."""
    axes.set_facecolor(theme.background)
    axes.figure.set_facecolor(theme.background)
    axes.tick_params(
        which="both", colors=theme.foreground, labelcolor=theme.foreground, labelsize=theme.font_pt
    )
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_color(theme.foreground)
        text.set_fontsize(theme.font_pt)
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_offset_text().set(color=theme.foreground, fontsize=theme.font_pt)
    for spine in axes.spines.values():
        spine.set_color(theme.faint)
    legend = axes.get_legend()
    if legend is not None:
        legend.get_title().set(color=theme.foreground, fontsize=theme.font_pt)
        for text in legend.get_texts():
            # names with dollars are no formulas
            text.set(color=theme.foreground, fontsize=theme.font_pt, parse_math=False)


def nm_axis(axes: "Axes", pixel_size_nm: float, theme: Theme, label: str) -> None:
    """Add an axis in nm above one in px."""
    above = axes.secondary_xaxis(
        "top",
        functions=(
            lambda px: np.multiply(px, pixel_size_nm),
            lambda nm: np.divide(nm, pixel_size_nm),
        ),
    )
    above.set_xlabel(label)
    if axes.get_xscale() == "log":
        low, high = axes.get_xlim()
        plain_log_ticks(above.xaxis, (low * pixel_size_nm, high * pixel_size_nm))
    dress(above, theme)


def plain_log_ticks(axis: "Axis", limits: tuple[float, float]) -> None:
    """Write 1, 2, 5, 10, ... on a logarithmic axis in place of powers of ten.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
        The axis.
    limits : tuple of float
        Smallest and largest value; beyond two decades only 1, 10, 100, ... are written.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    decades = limits[1] / max(limits[0], 1e-12)
    subs = (1.0, 2.0, 5.0) if decades < 3000 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float, _position: int | None = None) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit * 0.999 and (letter != "k" or value >= 1e4 * 0.999):
            return f"{value / unit:.3g} {letter}"
    return f"{value:.4g}"


def _luminance(color: str) -> float:
    red, green, blue = _parts(color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _mixed(color: str, ground: str, share: float) -> str:
    pairs = zip(_parts(color), _parts(ground), strict=True)
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


def _parts(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
