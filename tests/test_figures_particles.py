"""Figures of particles: what is drawn is what was given."""

import numpy as np
import pytest
from scipy import stats

from napari_tem_rf.figures import (
    FittedCurve,
    draw_outlines,
    lattice_plot,
    new_figure,
    shape_plot,
    size_histogram,
)


def drawn():
    return new_figure(4, 3).add_subplot()


def test_the_fit_has_the_area_of_the_histogram():
    sizes = np.random.default_rng(1).normal(10, 1, 500)
    axes = drawn()
    size_histogram(
        axes,
        sizes,
        fits=[FittedCurve("normal", stats.norm(10, 1).pdf), FittedCurve("$x$", np.zeros_like)],
        mean=(10.0, 9.8, 10.2),
    )
    bars = sum(bar.get_height() * bar.get_width() for bar in axes.patches)
    curve = next(line for line in axes.get_lines() if line.get_label() == "normal")
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(bars, rel=0.01)
    assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["normal", "$x$"]
    (bar,) = axes.containers[-1].lines[2]
    assert bar.get_segments()[0][:, 0].tolist() == pytest.approx([9.8, 10.2])


def test_the_line_of_ellipses():
    """A circle has 1; for a ratio of 2 the perimeter is 4 a E(3/4) = 4.8442 a (with b = a / 2)."""
    axes = drawn()
    shape_plot(axes, [1.0, 1.5], [1.0, 0.8])
    line = next(line for line in axes.get_lines() if line.get_label() == "ellipses")
    assert line.get_ydata()[0] == pytest.approx(1)
    exact = 4 * np.pi * (np.pi / 2) / 4.844224**2
    assert np.interp(2, line.get_xdata(), line.get_ydata()) == pytest.approx(exact, rel=1e-4)
    crowd = drawn()
    shape_plot(crowd, np.linspace(1, 2, 5000), np.linspace(1, 0.7, 5000))
    (cells,) = crowd.collections
    assert cells.get_array().sum() == 5000


def test_lattices_are_drawn_with_their_errors():
    axes = drawn()
    lattice_plot(axes, [0.2, 0.3], [0.01, 0.02], [10, 170])
    (bars,) = axes.containers
    assert bars.lines[0].get_xdata().tolist() == [10, 170]
    (segments,) = bars.lines[2]
    lengths = [np.ptp(segment[:, 1]) for segment in segments.get_segments()]
    assert lengths == pytest.approx([0.02, 0.04])
    assert axes.get_xlim() == (0, 180)


def test_outlines_lie_on_the_particles():
    labels = np.zeros((61, 83), np.int32)
    labels[10:20, 30:50] = 1
    labels[20:30, 30:50] = 2
    axes = drawn()
    colors = ("#000000", "#ff0000", "#0000ff")
    draw_outlines(axes, None, labels, (0.5, 0.5), colors=colors, title="<$x$>")
    outline = axes.images[1].get_array()
    inner = np.zeros(labels.shape, bool)
    inner[11:19, 31:49] = inner[21:29, 31:49] = True
    np.testing.assert_array_equal(outline[..., 3] > 0, (labels > 0) & ~inner)
    assert outline[10, 40].tolist() == [1, 0, 0, 1]
    assert outline[29, 40].tolist() == [0, 0, 1, 1]
    assert axes.get_title() == "<$x$>"
    # a quarter of 41.5 nm
    assert [text.get_text() for text in axes.texts] == ["10 nm"]
