import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf.figures import (
    LIGHT,
    Theme,
    cost_against_score,
    new_figure,
    overview,
    score_curve,
    size_histogram,
    training_curve,
)
from napari_tem_rf.protocol import EpochReport

DOCK_IN = 3.6
DARK = Theme(foreground="#f0f1f2", background="#262930")
"""As napari's."""


def history(epochs):
    return [
        EpochReport(
            epoch=epoch,
            steps=10 * epoch,
            seconds=float(epoch),
            seconds_left=1.0,
            training_loss=1 / epoch,
            validation_loss=1.2 / epoch,
            validation_dice=1 - 1 / (epoch + 1),
            best_epoch=epoch,
            best_dice=1 - 1 / (epoch + 1),
        )
        for epoch in range(1, epochs + 1)
    ]


@pytest.fixture
def comparison():
    """Two complexities at three fields with two seeds, and two baselines."""
    rows = [
        {
            "name": f"{field} px, {parameters}",
            "receptive_field": field,
            "parameters": parameters * (1 + field / 4000),
            "seed": seed,
            "dice": 0.6 + 0.0005 * field + 0.02 * seed + parameters / 1e6,
            "train_seconds": 10 + field,
        }
        for parameters in (8000, 31000)
        for field in (5, 44, 392)
        for seed in (0, 1)
    ]
    for name, dice in (("random forest", 0.79), ("Fourier filter", 0.55)):
        rows.append({"name": name, "dice": dice, "train_seconds": 3.0})
    return pd.DataFrame(rows)


def draw_all(comparison, theme, width_in=DOCK_IN):
    rng = np.random.default_rng(752)
    plots = {
        "curve": (training_curve, 1.5, (history(37),), {}),
        "first epoch": (training_curve, 1.5, (history(1),), {}),
        "field": (score_curve, 2.6, (comparison,), {"pixel_size_nm": 0.02}),
        "parameters": (score_curve, 2.6, (comparison, "parameters"), {}),
        "cost": (cost_against_score, 2.4, (comparison,), {"suggestion": "44 px, 8000"}),
        "sizes": (size_histogram, 2.2, (rng.lognormal(1.5, 0.3, 300),), {}),
    }
    for name, (draw, height_in, arguments, options) in plots.items():
        figure = new_figure(width_in, height_in, theme)
        draw(figure.add_subplot(), *arguments, theme=theme, **options)
        yield name, figure


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_nothing_is_cut_off_in_a_dock_and_all_words_are_readable(comparison, theme):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import to_hex
    from matplotlib.text import Text

    for name, figure in draw_all(comparison, theme):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        drawn, paper = figure.get_tightbbox(renderer), figure.bbox_inches
        assert drawn.x0 >= -0.02, name
        assert drawn.y0 >= -0.02, name
        assert drawn.x1 <= paper.x1 + 0.02, name
        assert drawn.y1 <= paper.y1 + 0.02, name
        assert to_hex(figure.get_facecolor()) == theme.background
        for text in figure.findobj(Text):
            if text.get_text() and text.get_visible():
                assert to_hex(text.get_color()) in {theme.foreground, *DARK.colors, *theme.colors}
                assert text.get_fontsize() == theme.font_pt


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_figures_are_written_without_a_window(tmp_path, comparison, ending):
    figure = new_figure(DOCK_IN, 2.5)
    score_curve(figure.add_subplot(), comparison)
    path = tmp_path / f"figure.{ending}"
    figure.savefig(path)
    assert path.stat().st_size > 5000


def test_importing_loads_no_matplotlib_and_drawing_no_pyplot():
    code = (
        "import sys, napari_tem_rf.figures as f\n"
        "assert 'matplotlib' not in sys.modules, 'on import'\n"
        "f.size_histogram(f.new_figure(3, 2).add_subplot(), [1, 2, 4])\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'on drawing'\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_curve_shows_the_history():
    figure = new_figure(DOCK_IN, 2)
    axes = figure.add_subplot()
    training_curve(axes, history(12))
    left, right = figure.axes
    losses = {line.get_label(): line.get_ydata() for line in left.get_lines()}
    np.testing.assert_allclose(losses["training loss"], 1 / np.arange(1, 13))
    np.testing.assert_allclose(losses["validation loss"], 1.2 / np.arange(1, 13))
    np.testing.assert_allclose(right.get_lines()[0].get_ydata(), 1 - 1 / np.arange(2, 14))
    assert right.get_lines()[1].get_xdata().tolist() == [12]


def test_curve_without_validation_has_no_dice():
    table = pd.DataFrame(
        {
            "epoch": [1, 2],
            "training_loss": [0.7, 0.4],
            "validation_loss": [np.nan, np.nan],
            "validation_dice": [np.nan, np.nan],
            "best_epoch": [2, 2],
        }
    )
    figure = new_figure(DOCK_IN, 2)
    training_curve(figure.add_subplot(), table.itertuples())
    assert len(figure.axes) == 1
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["training loss"]


def test_one_line_a_complexity_with_means_and_spread_over_seeds(comparison):
    figure = new_figure(5, 4)
    axes = figure.add_subplot()
    score_curve(axes, comparison, pixel_size_nm=0.02)
    bars = axes.containers
    assert [bar.get_label() for bar in bars] == ["8,100 parameters", "31,000 parameters"]
    line, _, (segments,) = bars[0].lines
    assert line.get_xdata().tolist() == [5, 44, 392]
    # seeds 0 and 1 differ by 0.02: mean + 0.01, standard deviation 0.02 / sqrt 2
    means = 0.6 + 0.0005 * np.array([5, 44, 392]) + 0.01 + 0.008
    np.testing.assert_allclose(line.get_ydata(orig=False), means)
    lengths = [np.ptp(np.array(segment, float)[:, 1]) for segment in segments.get_segments()]
    np.testing.assert_allclose(lengths, 2 * 0.02 / np.sqrt(2))
    flat = {
        line.get_label(): line.get_ydata()[0]
        for line in axes.get_lines()
        if len(line.get_ydata()) == 2
    }
    assert flat == {"random forest": 0.79, "Fourier filter": 0.55}
    (above,) = axes.child_axes
    figure.draw_without_rendering()
    np.testing.assert_allclose(above.get_xlim(), 0.02 * np.array(axes.get_xlim()))


def test_one_line_a_receptive_field(comparison):
    axes = new_figure(5, 4).add_subplot()
    score_curve(axes, comparison, "parameters")
    assert [bar.get_label() for bar in axes.containers] == ["5 px", "44 px", "392 px"]
    assert axes.containers[0].lines[0].get_xdata().tolist() == pytest.approx([8010, 31038.75])


def test_one_seed_has_no_error_bars(comparison):
    axes = new_figure(5, 4).add_subplot()
    score_curve(axes, comparison[comparison["seed"] == 0])
    assert not axes.containers[0].has_yerr


def test_cost_is_drawn_against_score(comparison):
    axes = new_figure(5, 4).add_subplot()
    cost_against_score(axes, comparison, suggestion="44 px, 8000")
    (points,) = axes.collections
    assert points.get_offsets()[0].tolist() == pytest.approx([15, 0.6 + 0.0025 + 0.01 + 0.008])
    ring = next(line for line in axes.get_lines() if line.get_markersize() == 13)
    assert ring.get_xdata()[0] == 54


def test_histogram_counts_all_particles():
    axes = new_figure(DOCK_IN, 2).add_subplot()
    size_histogram(axes, [2.0, 4.0, 4.0, 6.0, np.nan])
    assert sum(bar.get_height() for bar in axes.patches) == 4
    assert axes.get_title() == "4 particles, mean 4 ± 1.6 nm, median 4 nm"
    empty = new_figure(DOCK_IN, 2).add_subplot()
    size_histogram(empty, [])
    assert empty.texts[0].get_text() == "no particles"


def test_overview_shows_each_image_with_its_dice():
    rng = np.random.default_rng(9213)
    shape = (61, 83)
    images = [rng.normal(size=shape) for _ in range(5)]
    mask = np.zeros(shape, np.uint8)
    mask[10:30, 20:50] = 1
    figure = new_figure(4, 4)
    overview(
        figure,
        images,
        [mask] * 4 + [None],
        [mask * 2] * 5,
        [f"gold {i}" for i in range(5)],
        [0.9, 0.8, 0.7, 0.6, None],
        [(0.02, 0.02)] * 4 + [None],
        title="field 120 px",
    )
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [
        "gold 0: Dice 0.900",
        "gold 1: Dice 0.800",
        "gold 2: Dice 0.700",
        "gold 3: Dice 0.600",
        "gold 4",
    ]
    # 83 px of 0.02 nm: the bar is at most a quarter of 1.66 nm
    bars = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert bars == ["0.2 nm"] * 4
    # a prediction of 2 covers exactly the mask
    below = figure.axes[4]
    overlay = below.get_images()[1].get_array()
    np.testing.assert_array_equal(overlay[..., 3] > 0, mask > 0)
    with pytest.raises(ValueError, match="at least one image"):
        overview(new_figure(4, 4), [], [], [], [], [], [])
