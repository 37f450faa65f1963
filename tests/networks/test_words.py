"""Networks and fields in words: every expected text is counted by hand or stands in the paper."""

import numpy as np
import pytest

from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.receptive_field import Interval, receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.words import box_sides, by_phase, count, nm, side, structure, widths


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0.0, "0.00 nm"),
        (9.994, "9.99 nm"),
        (10.0, "10.0 nm"),
        (99.94, "99.9 nm"),
        (100.0, "100 nm"),
        (1234.5, "1234 nm"),
    ],
)
def test_a_length_has_three_figures(length, said):
    assert nm(length) == said


@pytest.mark.parametrize(
    ("px", "size", "said"),
    [
        (120, None, "120 px"),
        (1234, None, "1,234 px"),
        (120, (0.02, 0.02), "120 px = 2.40 nm"),
        # rows before columns
        (100, (0.02, 0.5), "100 px = 2.00 × 50.0 nm"),
        # a difference that three figures do not show is none
        (100, (0.02, 0.020001), "100 px = 2.00 nm"),
    ],
)
def test_a_square(px, size, said):
    assert side(px, size) == said


@pytest.mark.parametrize(
    ("columns", "size", "said"),
    [
        (Interval(0, 116, 999), (0.02, 0.02), "116 px = 2.32 nm"),
        (Interval(0, 132, 999), None, "116 × 132 px"),
        (Interval(0, 132, 999), (0.02, 0.02), "116 × 132 px = 2.32 × 2.64 nm"),
        (Interval(0, 132, 999), (0.01, 0.1), "116 × 132 px = 1.16 × 13.2 nm"),
    ],
)
def test_a_box(columns, size, said):
    assert box_sides(Interval(7, 123, 999), columns, size) == said


def test_the_widths_by_phase_are_those_of_the_paper_s_networks():
    assert by_phase(receptive_field(NetworkSpec((2, 2)))) == "44 px at every pixel"
    assert by_phase(receptive_field(NetworkSpec((4, 4)))) == "116 to 132 px by phase"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (NetworkSpec((), filters=1), "no pools; 1 filter"),
        (NetworkSpec((4, 4), filters=8), "pools 4, 4; 8 filters"),
        (NetworkSpec((2,), (1, 3), filters=4), "pools 2; dilations 1, 3; 4 filters"),
        (NetworkSpec((2,), filters=4, growth=1.5), "pools 2; 4 filters; × 1.5 a level"),
    ],
)
def test_a_structure(spec, said):
    assert structure(spec) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1826, "1,826"),
        (9999, "9,999"),
        (10_000, "10 k"),
        (31_634, "31.6 k"),
        (130_682, "131 k"),
        (99_940, "99.9 k"),
        (1_000_000, "1 M"),
        (1_204_000, "1.2 M"),
        (250_000_000, "250 M"),
        (4_500_000_000, "4.5 G"),
    ],
)
def test_a_count_in_short(number, said):
    assert count(number) == said


def test_an_effective_field_in_one_line():
    field = EffectiveField(
        heat=np.ones((3, 3), np.float32), origin=(0, 0), at=(1, 1), total=9.0, w50_px=21, w95_px=63
    )
    assert widths(field, (0.1, 0.1)) == (
        "half of the influence within 21 px = 2.10 nm, 95 % within 63 px = 6.30 nm"
    )


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (9_999, "9,999"),
        (10_000, "10 k"),
        (31_634, "31.6 k"),
        (130_682, "131 k"),
        (999_600, "1000 k"),  # three figures alone would be 1e+03
        (1_200_000, "1.2 M"),
        (999_600_000, "1000 M"),
        (4_500_000_000, "4.5 G"),
    ],
)
def test_numbers_in_short(number, said):
    assert count(number) == said
