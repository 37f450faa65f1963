"""What values of labels mean, by one rule for training, scoring and measuring."""

import numpy as np
import pytest

from napari_tem_rf.micrographs.label_meaning import (
    MOST_CLASSES,
    are_numbered,
    count_labels,
    many_values,
    meaning_of,
    one_piece_each,
)


def counts(*values, pixels=10):
    return dict.fromkeys(values, pixels)


@pytest.mark.parametrize(
    ("found", "unlabelled", "kind", "values", "background"),
    [
        (counts(0), "background", "empty", (), 0),
        (counts(0, 255), "background", "mask", (255,), 0),
        (counts(1), "background", "mask", (1,), 0),
        (counts(0, 1, 2), "background", "classes", (1, 2), 0),
        # no pixel is 0: 1 is background, as in strokes that cover the image
        (counts(1, 2), "background", "mask", (2,), 1),
        (counts(1, 2, 3), "background", "classes", (2, 3), 1),
        # pixels below 0 are not annotated: of zeros nothing is known
        (counts(-1, 1, 2), "background", "classes", (1, 2), 0),
        (counts(0, 1, 2), "ignore", "strokes", (2,), 1),
        (counts(*range(17)), "background", "classes", tuple(range(1, 17)), 0),
        (counts(*range(18)), "background", "particles", tuple(range(1, 18)), 0),
        (counts(*range(18)), "ignore", "strokes", tuple(range(2, 18)), 1),
        (counts(*range(19)), "ignore", "particles", tuple(range(2, 19)), 1),
        # grains cover the image; a background beside numbers is most of it
        (counts(*range(1, 40)), "background", "particles", tuple(range(1, 40)), 0),
        ({1: 9000} | counts(*range(2, 40)), "background", "particles", tuple(range(2, 40)), 1),
    ],
)
def test_what_values_mean(found, unlabelled, kind, values, background):
    meaning = meaning_of(found, unlabelled)
    assert meaning.kind == kind
    assert meaning.values == values
    assert meaning.background == background
    assert meaning.numbered == (kind == "particles")
    assert meaning.reason


def test_the_limit_is_one_number():
    assert not many_values(range(1, MOST_CLASSES + 1))
    assert many_values(range(1, MOST_CLASSES + 2))
    assert MOST_CLASSES == 16  # docs/particles.md


def test_reasons_say_the_number_and_the_rule():
    assert meaning_of(counts(*range(25))).reason == (
        "hold 24 values: more than 16 are particles with a number each"
    )
    assert meaning_of(counts(1, 2)).reason == (
        "hold the value 2 beside 1, and no pixel is 0, so that 1 is taken as background"
    )


@pytest.mark.parametrize(
    "dtype", [bool, np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64]
)
def test_counts_equal_numpys(dtype):
    labels = np.random.default_rng(752).integers(0, 2, (31, 37)).astype(dtype)
    if labels.dtype.itemsize > 1:
        labels[3, 5:9] = 30_000
    values, numbers = np.unique(labels, return_counts=True)
    assert count_labels(labels) == dict(zip(values.tolist(), numbers.tolist(), strict=True))


def test_counts_of_far_and_negative_values():
    labels = np.array([[-3, 0, 2_000_000_000], [0, 0, 5]])
    assert count_labels(labels) == {-3: 1, 0: 3, 5: 1, 2_000_000_000: 1}


def test_a_series_is_numbered_as_a_whole_and_not_a_frame_at_a_time():
    assert are_numbered([counts(0, 1, 2), counts(*range(3, 20))])
    assert not are_numbered([counts(0, 1, 2), counts(0, 1, 3)])
    seen = []
    frames = (seen.append(number) or counts(*range(30)) for number in range(5))
    assert are_numbered(frames)
    assert seen == [0]


def test_background_of_1_is_taken_away():
    labels = np.array([[1, 2], [3, 1]], np.uint8)
    plain = meaning_of(count_labels(labels)).without_background(labels)
    np.testing.assert_array_equal(plain, [[0, 2], [3, 0]])
    assert plain.dtype == np.uint8


def test_numbers_are_in_one_place_each_and_classes_are_not():
    numbered = np.zeros((40, 60), np.uint8)
    for number in range(6):
        numbered[4:14, number * 10 + 1 : number * 10 + 8] = number + 1
    classes = np.where(numbered > 0, numbered % 2 + 1, 0)
    assert one_piece_each([numbered])
    assert not one_piece_each([classes])
    assert not one_piece_each([(numbered > 0).astype(np.uint8)])
