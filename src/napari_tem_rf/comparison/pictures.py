"""The figures of a comparison: its curves, and predictions side by side."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf import figures
from napari_tem_rf.comparison.disagreement import disagreement
from napari_tem_rf.comparison.holdout import HeldOutImage
from napari_tem_rf.comparison.jobs import prediction_path
from napari_tem_rf.comparison.record import Comparison
from napari_tem_rf.comparison.results import Result, result_table
from napari_tem_rf.figures.palette import PREDICTION, TRUTH
from napari_tem_rf.figures.quantities import QUANTITIES, words_for
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.storage import write_aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_curves", "draw_side_by_side"]

_MOST_IMAGES, _MOST_COLUMNS = 3, 6
_DPI = 150


def draw_curves(comparison: Comparison) -> dict[str, str]:
    """Draw the curves into the comparison's folder, each as PNG and SVG.

    Returns
    -------
    dict of str to str
        What each figure shows, by its file name without ending; empty without networks.
    """
    table = result_table(comparison.results)
    if not len(table) or table["receptive_field"].isna().all():
        return {}
    pixel_size = comparison.record.pixel_size_nm
    suggestion = comparison.findings.suggestion
    score = comparison.record.plan.decides
    if not table[score].notna().any():
        score = "dice"
    title = words_for(score)
    title = title[0].upper() + title[1:]
    drawn: dict[str, str] = {}

    def draw(name: str, what: str, draw_on: Callable[["Axes"], None]) -> None:
        figure = figures.new_figure(5.2, 4.0)
        draw_on(figure.subplots())
        _save(figure, comparison.folder / name)
        drawn[name] = what

    draw(
        "score_against_field",
        f"{title} on the held-out part against the receptive field, one line a complexity; points "
        "are means over the seeds, bars their standard deviation, horizontal lines the baselines.",
        lambda axes: figures.score_curve(axes, table, score=score, pixel_size_nm=pixel_size),
    )
    draw(
        "score_against_parameters",
        f"{title} on the held-out part against the number of parameters, one line a receptive "
        "field.",
        lambda axes: figures.score_curve(axes, table, "parameters", score),
    )
    for cost in ("predict_seconds_per_megapixel", "train_seconds"):
        draw(
            f"score_against_{cost}",
            f"{title} on the held-out part against {QUANTITIES[cost].words}; the suggestion is "
            "ringed.",
            lambda axes, cost=cost: figures.cost_against_score(  # type: ignore[misc]
                axes, table, cost, score, suggestion=suggestion
            ),
        )
    return drawn


def draw_side_by_side(
    comparison: Comparison, scored: Sequence[HeldOutImage], name: str = "side_by_side"
) -> dict[str, str]:
    """Draw held-out images with the predictions of networks and baselines beside each other.

    Parameters
    ----------
    comparison : Comparison
    scored : sequence of HeldOutImage
        The held-out images in the order of the record.
    name : str
        File name without ending.

    Returns
    -------
    dict of str to str
        What the figure shows, by its name; empty without networks.
    """
    chosen = _columns(comparison)
    if not chosen:
        return {}
    rows = _rows(comparison, scored, chosen)
    columns = len(chosen) + 2
    figure = figures.new_figure(1.9 * columns, 2.1 * len(rows) + 0.5)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, index in zip(axes, rows, strict=True):
        image = scored[index]
        predictions = [
            read_labels(prediction_path(comparison.folder, each.contestant, index))
            for each in chosen
        ]
        window = _window(image.truth)
        _show(line[0], image.pixels[window], image.truth[window], None)
        line[0].set_ylabel(_shortened(image.name), fontsize=6)
        for axis, result, labels in zip(line[1:-1], chosen, predictions, strict=True):
            _show(axis, image.pixels[window], image.truth[window], labels[window])
            axis.set_xlabel(f"Dice {result.images[index].scores.dice:.2f}", fontsize=7)
        networks = [
            labels
            for result, labels in zip(chosen, predictions, strict=True)
            if not result.is_baseline
        ]
        differ = disagreement(networks if len(networks) > 1 else predictions * 2)[window]
        line[-1].imshow(differ, cmap="magma", vmin=0, vmax=1)
        line[-1].set(xticks=[], yticks=[])
    titles = ["annotation", *(each.contestant.name for each in chosen), "networks differ"]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title.replace(", ", "\n"), fontsize=7)
    _save(figure, comparison.folder / name)
    return {
        name: "Held-out images: the annotation's outline is blue, predictions (of the first seed) "
        "are orange; on the right, how many pairs of the networks shown differ (black: none)."
    }


def _columns(comparison: Comparison) -> list[Result]:
    """Return one result a network, spread over the fields, the suggestion and baselines in it."""
    first: dict[str, Result] = {}
    for result in comparison.results:
        first.setdefault(result.contestant.name, result)
    baselines = [each for each in first.values() if each.is_baseline]
    networks = [each for each in first.values() if not each.is_baseline]
    room = _MOST_COLUMNS - len(baselines)
    if len(networks) > room:
        chosen = set(np.linspace(0, len(networks) - 1, room).round().astype(int).tolist())
        suggestion = comparison.findings.suggestion
        places = [i for i, each in enumerate(networks) if each.contestant.name == suggestion]
        if places and not chosen & set(places):
            chosen.discard(min(chosen, key=lambda i: abs(i - places[0])))
            chosen.update(places)
        networks = [networks[i] for i in sorted(chosen)]
    return [*networks, *baselines] if networks else []


def _rows(
    comparison: Comparison, scored: Sequence[HeldOutImage], chosen: Sequence[Result]
) -> list[int]:
    """Return the images on which the networks' scores differ most."""
    networks = [each for each in chosen if not each.is_baseline]
    dice = np.stack([each.values() for each in networks])  # (network, image)
    order = np.argsort(-(dice.max(axis=0) - dice.min(axis=0)), kind="stable")
    return [int(index) for index in order[: min(_MOST_IMAGES, len(scored))]]


def _window(truth: NDArray[Any]) -> tuple[slice, slice]:
    """Return the rows and columns that hold all pixels that count."""
    window = []
    for axis in (0, 1):
        hit = np.flatnonzero((truth >= 0).any(axis=1 - axis))
        window.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return window[0], window[1]


def _show(
    axis: "Axes", pixels: NDArray[Any], truth: NDArray[Any], labels: NDArray[Any] | None
) -> None:
    from matplotlib.colors import to_rgb

    low, high = np.nanpercentile(pixels, (0.5, 99.5))
    gray = np.clip((pixels.astype(np.float32) - low) / max(high - low, 1e-12), 0, 1)
    picture = np.repeat(gray[..., None], 3, axis=2)  # (row, column, colour)
    if labels is not None:
        picture[labels > 0] = 0.55 * picture[labels > 0] + 0.45 * np.array(to_rgb(PREDICTION))
    axis.imshow(picture, interpolation="nearest")
    if (truth > 0).any() and (truth <= 0).any():
        axis.contour(truth > 0, levels=[0.5], colors=TRUTH, linewidths=0.7)
    axis.set(xticks=[], yticks=[])


def _shortened(name: str, longest: int = 24) -> str:
    return name if len(name) <= longest else f"...{name[3 - longest :]}"


def _save(figure: "Figure", stem: Path) -> None:
    for ending in (".png", ".svg"):
        with write_aside(stem.with_name(stem.name + ending)) as aside:
            figure.savefig(aside, dpi=_DPI)
