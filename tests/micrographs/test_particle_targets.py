"""Numbered particles -> inside, border, background, checked by hand and by distances."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from napari_tem_rf.micrographs.annotation import TrainingSet, as_classes, index_all
from napari_tem_rf.micrographs.label_meaning import meaning_of
from napari_tem_rf.micrographs.particle_targets import border_width, index_numbers

TWO = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 5, 5, 5, 5, 9, 9, 9, 9, 0],
        [0, 5, 5, 5, 5, 9, 9, 9, 9, 0],
        [0, 5, 5, 5, 5, 9, 9, 9, 9, 0],
        [0, 5, 5, 5, 5, 9, 9, 9, 9, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)


def particles(labels, unlabelled="background"):
    return meaning_of(
        dict(zip(*np.unique(labels, return_counts=True), strict=True)), unlabelled, "particles"
    )


def test_a_border_lies_round_each_particle_and_between_two_that_touch():
    """By hand: 1 is inside, 2 the border of 1 px."""
    np.testing.assert_array_equal(
        index_numbers(TWO, particles(TWO), 1.0),
        [
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 2, 2, 2, 2, 2, 2, 2, 2, 0],
            [0, 2, 1, 1, 2, 2, 1, 1, 2, 0],
            [0, 2, 1, 1, 2, 2, 1, 1, 2, 0],
            [0, 2, 2, 2, 2, 2, 2, 2, 2, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ],
    )


def test_a_small_particle_keeps_an_inside():
    labels = np.zeros((31, 37), int)
    labels[3:6, 4:7] = 8
    labels[10:29, 12:33] = 70_000
    indices = index_numbers(labels, particles(labels), 6.0)
    assert (indices[3:6, 4:7] == 1).sum() == 1
    depth = distance_transform_edt(labels == 70_000)
    np.testing.assert_array_equal(indices[10:29, 12:33] == 2, depth[10:29, 12:33] <= 5.0)


def test_the_images_edge_is_no_border():
    labels = np.zeros((13, 17), int)
    labels[:6, :7] = 3
    indices = index_numbers(labels, particles(labels), 2.0)
    assert (indices[:4, :5] == 1).all()
    assert (indices[4:6, :7] == 2).all()
    assert (index_numbers(np.full((5, 7), 2), particles(np.full((5, 7), 2)), 1.0) == 1).all()


def test_zeros_that_are_not_annotated_stay_so():
    labels = TWO.copy()
    labels[0] = 1
    indices = index_numbers(labels, particles(labels, "ignore"), 1.0)
    assert (indices[0] == 0).all()
    assert (indices[5] == -1).all()
    assert (indices[2, 1:9] == [2, 1, 1, 2, 2, 1, 1, 2]).all()


@pytest.mark.parametrize(("diameter", "width"), [(5, 1.0), (20, 2.4), (40, 4.8), (90, 8.0)])
def test_the_border_is_an_eighth_of_the_median_diameter(diameter, width):
    rows, columns = np.ogrid[:101, :303]
    labels = np.zeros((101, 303), int)
    for number, column in enumerate((50, 151, 252), start=1):
        labels[(rows - 50) ** 2 + (columns - column) ** 2 <= (diameter / 2) ** 2] = number
    assert border_width([labels], particles(labels)) == pytest.approx(width, abs=0.1)


def test_the_border_is_learned_besides_the_users_classes():
    known = index_all([TWO], "background", labels_are="particles")
    assert known.classes.values == (0, 1)
    assert known.border_px == 1.0
    data = TrainingSet((), known.classes, "background", known.border_px)
    assert data.learned == 3
    np.testing.assert_array_equal(as_classes(known.indices[0]), TWO > 0)
    assert index_all([TWO], "background").border_px is None
