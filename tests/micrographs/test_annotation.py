"""Labels as users draw them -> classes, or one sentence that says what to do."""

import re

import numpy as np
import pytest

from napari_tem_rf.micrographs.annotation import (
    AnnotatedImage,
    Classes,
    TrainingSet,
    check_labels,
    find_classes,
    group_of,
    index_all,
    index_labels,
)
from napari_tem_rf.micrographs.label_meaning import count_labels, meaning_of


def says(sentence):
    return pytest.raises(ValueError, match=f"^{re.escape(sentence)}$")


def labels_of(*values, dtype=np.uint8):
    """Return labels in whose rows the values stand, one row of 7 px a value."""
    return np.repeat(np.array(values, dtype), 7).reshape(len(values), 7)


@pytest.mark.parametrize(
    ("values", "unlabelled", "found", "predicted"),
    [
        ((0, 1, 2), "ignore", (1, 2), (0, 2)),
        ((1, 2), "ignore", (1, 2), (0, 2)),
        ((0, 1, 2, 5), "ignore", (1, 2, 5), (0, 2, 5)),
        ((0, 1), "background", (0, 1), (0, 1)),
        ((0, 255), "background", (0, 255), (0, 255)),
        ((0, 1, 2), "background", (0, 1, 2), (0, 1, 2)),
        ((0, 3, 700), "background", (0, 3, 700), (0, 3, 700)),
    ],
)
def test_classes_of_strokes_and_masks(values, unlabelled, found, predicted):
    classes = find_classes([labels_of(*values, dtype=np.uint16)], unlabelled)
    assert classes.values == found
    assert classes.prediction_values == predicted
    assert classes.names[0] == "background"
    assert len(classes.names) == len(classes.colors) == len(found)


def test_classes_come_from_all_images_together():
    labels = [labels_of(0, 1), labels_of(0, 2), labels_of(0), labels_of(4, 2)]
    classes = find_classes(labels, "ignore")
    assert classes.values == (1, 2, 4)
    assert classes.names == ("background", "class 2", "class 4")
    assert find_classes(labels[:2], "ignore").names == ("background", "particle")


def test_names_and_colours_are_the_users():
    classes = find_classes(
        [labels_of(1, 2, 3)],
        "ignore",
        names={1: "carbon", 3: "gold", 9: "elsewhere"},
        colors={3: "#ffcc00"},
    )
    assert classes.names == ("carbon", "class 2", "gold")
    assert classes.colors == ("", "", "#ffcc00")


def test_labels_of_true_and_false_are_a_mask():
    labels = np.array([[True, False, True]])
    classes = find_classes([labels], "background")
    assert classes.values == (0, 1)
    np.testing.assert_array_equal(index_labels(labels, classes, "background"), [[1, 0, 1]])


@pytest.mark.parametrize(
    ("values", "unlabelled", "sentence"),
    [
        (
            (0,),
            "ignore",
            "the labels are empty: nothing is annotated; paint background as 1 and particles as 2",
        ),
        (
            (0, 1),
            "ignore",
            "the labels hold only background (1) but training needs two classes: paint particles "
            "as 2, or say that unlabelled pixels are background if this is a mask",
        ),
        (
            (0, 2),
            "ignore",
            "the labels hold 2 but no background: paint some background as 1, or say that "
            "unlabelled pixels are background",
        ),
        (
            (0, 255),
            "ignore",
            "the labels hold 255 but no background: paint some background as 1, or say that "
            "unlabelled pixels are background",
        ),
        (
            (0,),
            "background",
            "the labels hold no particle, only zeros, but training needs two classes: paint at "
            "least one particle",
        ),
        (
            (3, 4),
            "background",
            "the labels hold 3, 4 but no background: leave background pixels 0",
        ),
    ],
)
def test_labels_that_teach_nothing_are_said(values, unlabelled, sentence):
    with says(sentence):
        find_classes([labels_of(*values)], unlabelled)


def test_particles_numbered_one_by_one_are_one_class():
    """A mask of instances: one output a particle would be learnt, and uint8 would overflow."""
    instances = np.arange(400, dtype=np.uint16).reshape(20, 20)
    assert find_classes([instances], "background").values == (0, 1)
    assert find_classes([instances], "background").names == ("background", "particle")
    assert find_classes([instances], "ignore").values == (1, 2)
    said = meaning_of(count_labels(instances), "background", "classes")
    with says(
        "the labels hold 399 classes, and a network learns 16 at most: if these are particles with "
        "a number each, say that labels are particles, or give all particles of a kind the same "
        "value, 1 for the first"
    ):
        find_classes([instances], "background", meaning=said)
    # the window's own limit, and the one of measuring
    assert len(find_classes([instances[:1, :17]], "background").values) == 17
    assert len(find_classes([instances[:1, :18]], "background").values) == 2


def test_a_class_has_16_bits_and_a_number_more():
    labels = np.array([[0, 70_000]])
    with says(
        "a class has the label value 70,000: classes have values up to 65,535; numbered particles "
        "may have larger ones, if they are said to be"
    ):
        find_classes([labels], "background")
    known = index_all([labels], "background", labels_are="particles")
    assert known.classes.values == (0, 1)
    assert known.border_px == 1.0


@pytest.mark.parametrize(
    ("shape", "labels", "sentence"),
    [
        (
            (131, 149),
            np.zeros((149, 131), np.uint8),
            'labels of "gold" are 149 x 131 but the image is 131 x 149: draw them on the image\'s '
            "own annotation layer",
        ),
        (
            (13, 17),
            np.zeros((3, 13, 17), np.uint8),
            'labels of "gold" are 3 x 13 x 17 but the image is 13 x 17: draw them on the image\'s '
            "own annotation layer",
        ),
        (
            (13, 17),
            np.zeros((13, 17)),
            'labels of "gold" hold float64 values: labels are whole numbers; save them as an '
            "integer image",
        ),
        (
            (13, 17),
            np.full((13, 17), -3),
            'labels of "gold" go from -3 to -3: use label values from 0 to 2,147,483,647',
        ),
        (
            (1, 2),
            np.array([[0, 2**31]]),
            'labels of "gold" go from 0 to 2147483648: use label values from 0 to 2,147,483,647',
        ),
    ],
)
def test_labels_that_do_not_fit_are_said(shape, labels, sentence):
    with says(sentence):
        check_labels("gold", np.zeros(shape), labels)


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64]
)
def test_labels_of_every_type_of_whole_numbers_fit(dtype):
    labels = np.array([[0, 1, 1]], dtype)
    check_labels("gold", np.zeros((1, 3)), labels)
    classes = Classes((0, 1), ("background", "particle"))
    indices = index_labels(labels, classes, "background")
    assert indices.dtype == np.int16
    np.testing.assert_array_equal(indices, [[0, 1, 1]])


def test_indices_of_strokes_and_masks():
    """By hand: 0 is not annotated in strokes and background in a mask; values may be far apart."""
    labels = np.array([[0, 1, 2], [700, 2, 0]], np.uint16)
    strokes = Classes((1, 2, 700), ("a", "b", "c"))
    np.testing.assert_array_equal(index_labels(labels, strokes, "ignore"), [[-1, 0, 1], [2, 1, -1]])
    mask = Classes((0, 1, 2, 700), ("a", "b", "c", "d"))
    np.testing.assert_array_equal(index_labels(labels, mask, "background"), [[0, 1, 2], [3, 2, 0]])


def test_values_that_are_no_class_are_not_annotated():
    classes = Classes((1, 2), ("a", "b"))
    np.testing.assert_array_equal(
        index_labels(np.array([[3, 1, 2, 65535]]), classes, "ignore"), [[-1, 0, 1, -1]]
    )


def test_a_set_counts_its_classes():
    def image(labels):
        labels = np.array(labels, np.int16)
        return AnnotatedImage("gold", np.zeros(labels.shape, np.float32), labels, "gold")

    classes = Classes((1, 2, 3), ("a", "b", "c"))
    data = TrainingSet((image([[-1, 0, 0], [1, -1, 0]]), image([[1], [-1]])), classes)
    np.testing.assert_array_equal(data.counts(), [3, 2, 0])
    np.testing.assert_array_equal(TrainingSet((), classes).counts(), [0, 0, 0])


@pytest.mark.parametrize(
    ("name", "pattern", "group"),
    [
        ("gold_03_frame_7", None, "gold_03_frame_7"),
        ("gold_03_frame_7", r"gold_\d+", "gold_03"),
        ("gold_03_frame_7", r"gold_(\d+)_frame", "03"),
        ("gold_03_frame_7", r"^[^_]+", "gold"),
    ],
)
def test_groups_by_pattern(name, pattern, group):
    assert group_of(name, pattern) == group


def test_patterns_that_do_not_work_are_said():
    with says(
        "the grouping pattern 'exposure' finds nothing in \"gold_03\": every image needs a group"
    ):
        group_of("gold_03", "exposure")
    with pytest.raises(
        ValueError, match=r"^the grouping pattern '\(' is not a regular expression: "
    ):
        group_of("gold_03", "(")
    with pytest.raises(ValueError, match=r"finds nothing in .gold_03.: every image needs a group"):
        group_of("gold_03", r"gold(_\d\d_frame)?")
