"""What a comparison found: scores against receptive field, parameters and cost."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.figures.quantities import words_for
from napari_tem_rf.figures.theme import LIGHT, Theme, dress, nm_axis, plain_log_ticks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["cost_against_score", "score_curve"]

Along = Literal["receptive_field", "parameters"]

SAME_LINE = 1.5
"""Neighbours on a line differ less than this factor in what the line stands for."""


def score_curve(
    axes: "Axes",
    table: "pd.DataFrame",
    along: Along = "receptive_field",
    score: str = "dice",
    pixel_size_nm: float | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Draw a score against the receptive field, one line a complexity; or the other way round.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    table : DataFrame
        One row a network and seed with the columns ``name``, ``receptive_field`` (px),
        ``parameters``, ``seed`` and the score's; rows without a receptive field are baselines and
        become horizontal lines. Points are means over the seeds, bars their standard deviation
        (n - 1), drawn where there are two seeds and more.
    along : {"receptive_field", "parameters"}
        What runs along the axis; the other one tells the lines apart.
    score : str
        Column of the score.
    pixel_size_nm : float, optional
        Side of a pixel, for the axis of the receptive field in nm.
    theme : Theme
        Colours and sizes.
    """
    across = "parameters" if along == "receptive_field" else "receptive_field"
    scored = table[table[score].notna()]
    networks = scored[scored["receptive_field"].notna()]
    baselines = scored[scored["receptive_field"].isna()]
    axes.set_xscale("log")
    groups = _grouped(networks[across].to_numpy(float))
    levels = np.unique(groups)
    for place, group in enumerate(levels):
        rows = networks[groups == group]
        points = rows.groupby("name", sort=False).agg(
            at=(along, "mean"), mean=(score, "mean"), sd=(score, "std"), n=(score, "size")
        )
        points = points.sort_values("at")
        middle = float(np.median(rows[across].to_numpy(float)))
        axes.errorbar(
            points["at"],
            points["mean"],
            yerr=points["sd"].fillna(0) if (points["n"] > 1).any() else None,
            color=theme.colors[place % len(theme.colors)],
            marker="osD^vP"[place % 6],
            markersize=4.5,
            linewidth=1.4,
            capsize=2.5,
            label=_about(middle, across),
        )
    styles = ("--", ":", "-.")
    for place, (name, rows) in enumerate(baselines.groupby("name", sort=False)):
        axes.axhline(
            float(rows[score].mean()),
            color=theme.foreground,
            linewidth=1.1,
            linestyle=styles[place % 3],
            label=str(name),
        )
    axes.set_xlabel(words_for(along))
    axes.set_ylabel(words_for(score))
    plain_log_ticks(axes.xaxis, axes.get_xlim())
    axes.grid(axis="y", color=theme.faint, linewidth=0.4, alpha=0.6)
    _legend_below(axes, theme)
    dress(axes, theme)
    if pixel_size_nm is not None and along == "receptive_field":
        nm_axis(axes, pixel_size_nm, theme, words_for("field_nm"))


def cost_against_score(
    axes: "Axes",
    table: "pd.DataFrame",
    cost: str = "train_seconds",
    score: str = "dice",
    suggestion: str | None = None,
    theme: Theme = LIGHT,
) -> None:
    """Draw what networks cost against how well they score, a point a network.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes.
    table : DataFrame
        As for `score_curve`, with the cost's column; rows without a cost are left out.
        Points are means over the seeds, coloured by receptive field; baselines are squares.
    cost, score : str
        Columns of cost and score.
    suggestion : str, optional
        ``name`` of the network to ring.
    theme : Theme
        Colours and sizes.
    """
    from matplotlib.colors import LogNorm

    known = table[table[cost].notna() & table[score].notna()]
    means = known.groupby("name", sort=False)[[cost, score, "receptive_field"]].mean()
    networks = means[means["receptive_field"].notna()]
    baselines = means[means["receptive_field"].isna()]
    axes.set_xscale("log")
    if len(networks):
        fields = networks["receptive_field"]
        points = axes.scatter(
            networks[cost],
            networks[score],
            c=fields,
            cmap="viridis",
            norm=LogNorm(fields.min() / 1.01, fields.max() * 1.01),
            s=34,
            edgecolors=theme.foreground,
            linewidths=0.6,
        )
        bar = axes.figure.colorbar(points, ax=axes, pad=0.02)
        bar.set_label(words_for("receptive_field"))
        plain_log_ticks(bar.ax.yaxis, (fields.min(), fields.max()))
        dress(bar.ax, theme)
    for name, row in baselines.iterrows():
        at = (float(row[cost]), float(row[score]))
        axes.plot([at[0]], [at[1]], "s", color=theme.colors[1], markersize=6)
        _beside(axes, at, str(name), theme)
    if suggestion is not None and suggestion in means.index:
        chosen = means[means.index == suggestion]
        x, y = float(chosen[cost].iloc[0]), float(chosen[score].iloc[0])
        axes.plot([x], [y], "o", markersize=13, mfc="none", mec=theme.colors[1], mew=2)
        _beside(axes, (x, y), "suggestion", theme, left=True)
    # on the sides there are words beside the outermost points
    axes.margins(x=0.3, y=0.12)
    axes.set_xlabel(words_for(cost))
    axes.set_ylabel(words_for(score))
    plain_log_ticks(axes.xaxis, axes.get_xlim())
    dress(axes, theme)


def _legend_below(axes: "Axes", theme: Theme) -> None:
    from matplotlib.container import ErrorbarContainer
    from matplotlib.transforms import ScaledTranslation

    pairs = list(zip(*axes.get_legend_handles_labels(), strict=True))
    if not pairs:
        return
    # networks before baselines
    pairs.sort(key=lambda pair: not isinstance(pair[0], ErrorbarContainer))
    below_words = ScaledTranslation(0, -3.8 * theme.font_pt / 72, axes.figure.dpi_scale_trans)
    axes.legend(
        *zip(*pairs, strict=True),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=axes.transAxes + below_words,
        ncols=3 if max(len(label) for _, label in pairs) < 15 else 2,
        frameon=False,
        handlelength=1.8,
        labelspacing=0.3,
        columnspacing=1.2,
    )


def _grouped(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a number for each group of values that follow each other within `SAME_LINE`."""
    if not len(values):
        return np.zeros(0, np.int64)
    unique, index = np.unique(values, return_inverse=True)
    steps = unique[1:] / unique[:-1] > SAME_LINE
    return np.concatenate([[0], np.cumsum(steps)])[index]


def _about(value: float, column: str) -> str:
    if column == "receptive_field":
        return f"{value:.0f} px"
    digits = 1 - int(np.floor(np.log10(value)))
    return f"{round(value, digits):,.0f} parameters"


def _beside(
    axes: "Axes", at: tuple[float, float], words: str, theme: Theme, left: bool = False
) -> None:
    axes.annotate(
        words,
        at,
        xytext=(-10, 0) if left else (7, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        color=theme.foreground,
        fontsize=theme.font_pt,
        parse_math=False,
    )
