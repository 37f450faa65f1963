"""Which axis is row, column and frame: names first, then lengths of 1, then the convention."""

import numpy as np
import pytest

from napari_tem_rf.micrographs.named_axes import axes_of_map, image_axes, meaning_of


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("x", "column"),
        ("Y", "row"),
        ("z", "depth"),
        ("R_x", "column"),
        ("R_y [nm]", "row"),
        ("X (Å)", "column"),
        ("x-axis", "column"),
        ("Height", "row"),
        ("columns", "column"),
        ("time", "frame"),
        ("angles", "frame"),
        ("c", "channel"),
        ("Q_x", "diffraction"),
        ("ky", "diffraction"),
        ("Energy", "energy"),
        ("", ""),
        (None, ""),
        ("whatever", ""),
    ],
)
def test_names_as_programs_write_them(name, meaning):
    assert meaning_of(name) == meaning


def order(shape, names, fastest_first=False):
    return image_axes(shape, [meaning_of(name) for name in names], fastest_first).order


@pytest.mark.parametrize("fastest_first", [False, True])
@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ("zyx", (0, 1, 2)),
        ("xyz", (2, 1, 0)),
        ("yxz", (2, 0, 1)),
        ("yzx", (1, 0, 2)),
        ("xzy", (1, 2, 0)),
        ("tyx", (0, 1, 2)),
        (("", "y", "x"), (0, 1, 2)),
    ],
)
def test_names_go_before_the_convention(names, wanted, fastest_first):
    assert order((5, 7, 11), names, fastest_first) == wanted


def test_more_leading_axes_keep_the_order_in_which_they_are_stored():
    assert order((2, 3, 5, 7), "tzyx") == (0, 1, 2, 3)
    assert order((7, 5, 3, 2), "xyzt") == (3, 2, 1, 0)


def test_a_section_along_z():
    # the first of x, y, z runs along the rows
    assert order((5, 7), "zx") == (0, 1)
    assert order((5, 7), "yz") == (1, 0)


def test_without_names_an_axis_of_length_1_is_neither_row_nor_column():
    assert order((5, 7, 1), ("", "", "")) == (2, 0, 1)
    assert order((5, 1, 7), ("", "", "")) == (1, 0, 2)
    assert order((1, 7, 5), ("", "", ""), fastest_first=True) == (0, 2, 1)
    # but a name is believed
    assert order((5, 7, 1), ("", "y", "x")) == (0, 1, 2)
    # and a line of pixels is an image
    assert order((1, 7), ("", "")) == (0, 1)


def test_without_names_the_convention_decides():
    assert order((5, 7, 11), ("", "", "")) == (0, 1, 2)
    assert order((5, 7, 11), ("", "", ""), fastest_first=True) == (2, 1, 0)


def test_one_name_is_enough_for_its_axis():
    assert order((5, 7, 11), ("time", "", "")) == (0, 1, 2)
    assert order((5, 7, 3), ("", "", "channel")) == (2, 0, 1)
    assert order((7, 5), ("x", ""))[-1] == 0


def test_images_of_an_array_are_its_transposition():
    values = np.random.default_rng(752).normal(size=(11, 7, 3, 2))
    axes = image_axes(values.shape, ["column", "row", "depth", "frame"])
    series = axes.series_of(values)
    np.testing.assert_array_equal(series, values.transpose(3, 2, 1, 0).reshape(6, 7, 11))
    for index in range(6):
        np.testing.assert_array_equal(axes.frame_of(values, index), series[index])


def test_axes_of_a_map_are_x_y_z_where_the_numbers_are_none():
    assert axes_of_map(1, 2, 3) == (0, 1, 2)
    assert axes_of_map(3, 1, 2) == (2, 0, 1)
    for numbers in ((0, 0, 0), (1, 1, 3), (1, 2, 4), (-1, 2, 3)):
        assert axes_of_map(*numbers) == (0, 1, 2)
