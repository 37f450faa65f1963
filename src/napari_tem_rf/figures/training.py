"""The curve of a training."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tem_rf.figures.theme import LIGHT, Theme, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["training_curve"]


def training_curve(axes: "Axes", history: Iterable[Any], theme: Theme = LIGHT) -> None:
    """Draw losses (left) and held-out Dice (right) over the epochs, and mark the best epoch.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Fresh Axes; a twin for the Dice is added.
    history : iterable
        One entry an epoch with the attributes of `napari_tem_rf.protocol.EpochReport`; the rows of
        ``pandas.read_csv("history.csv").itertuples()`` have them too.
    theme : Theme
        Colours and sizes.
    """
    from matplotlib.ticker import MaxNLocator

    reports = list(history)
    epochs = [report.epoch for report in reports]
    dice_color, loss_color = theme.colors[:2]
    marker: dict[str, Any] = {"marker": "o", "markersize": 2.5} if len(reports) < 30 else {}
    training = _column(reports, "training_loss")
    validation = _column(reports, "validation_loss")
    axes.plot(epochs, training, color=loss_color, linewidth=1.2, label="training loss", **marker)
    if np.isfinite(validation).any():
        axes.plot(
            epochs,
            validation,
            color=loss_color,
            linestyle=":",
            linewidth=1.2,
            label="validation loss",
            **marker,
        )
    losses = np.concatenate([training, validation])
    if np.isfinite(losses).any():
        # one wild epoch must not flatten the rest
        top = min(np.nanmax(losses), 3 * np.nanquantile(losses, 0.9))
        axes.set_ylim(0, 1.08 * top or 1)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.spines["top"].set_visible(False)
    dice = _column(reports, "validation_dice")
    if np.isfinite(dice).any():
        right = axes.twinx()
        right.plot(epochs, dice, color=dice_color, linewidth=1.6, label="Dice", **marker)
        best = reports[-1].best_epoch
        if best in epochs:
            value = dice[epochs.index(best)]
            right.plot([best], [value], "o", markersize=6, mfc="none", mec=dice_color, mew=1.4)
            right.annotate(
                f"{value:.2f}",
                (best, value),
                xytext=(0, -7),
                textcoords="offset points",
                ha="right" if best > 0.9 * epochs[-1] else "center",
                va="top",
                color=dice_color,
                fontsize=theme.font_pt,
            )
        right.set_ylim(0, 1.02)
        right.set_ylabel("Dice")
        right.spines["top"].set_visible(False)
        lines = right.get_lines()[:1] + axes.get_lines()
        _legend(axes, lines)
        dress(right, theme)
        right.patch.set_visible(False)
    else:
        _legend(axes, axes.get_lines())
    dress(axes, theme)


def _legend(axes: "Axes", lines: list[Any]) -> None:
    axes.legend(
        handles=lines,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        ncols=len(lines),
        frameon=False,
        borderaxespad=0.1,
        handlelength=1.5,
        columnspacing=1,
        handletextpad=0.5,
    )


def _column(reports: list[Any], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = (getattr(report, name) for report in reports)
    return np.array([np.nan if value is None else value for value in values], np.float64)
