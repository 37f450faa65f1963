"""What values of labels mean, by one rule for training, scoring and measuring."""

import numpy as np
import pytest

from napari_tem_rf.micrographs.label_meaning import (
    MOST_CLASSES,
    are_numbered,
    count_labels,
    find_meaning,
    in_words,
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


def discs(number, seed=0, shape=(180, 220), first=1, gap=None):
    """Discs of several sizes with a number each, the first row of which touch."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint16)
    values = first + np.arange(number) * (gap or 1)
    at = [(20 + 36 * (k // 6), 18 + 34 * (k % 6)) for k in range(number)]
    for value, (row, column) in zip(values, at, strict=True):
        radius = rng.uniform(9, 18)
        labels[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = value
    return labels


def strokes(classes, seed=0, each=1, shape=(180, 220), width=5):
    """Strokes of a brush, as somebody paints them: a line that bends, now and then a dot."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for value in range(1, classes + 1):
        for _ in range(each):
            row, column = rng.uniform(20, shape[0] - 20), rng.uniform(20, shape[1] - 20)
            turn = rng.uniform(0, 2 * np.pi)
            for _ in range(int(rng.choice([1, 25, 60]))):
                labels[(rows - row) ** 2 + (columns - column) ** 2 <= width**2] = value
                turn += rng.normal(0, 0.2)
                row, column = row + np.sin(turn), column + np.cos(turn)
    return labels


@pytest.mark.parametrize("number", [3, 5, 11, 16, 17, 30])
@pytest.mark.parametrize(("first", "gap"), [(1, 1), (7, 13), (70_000, 1)])
def test_numbered_particles_are_seen_however_few(number, first, gap):
    labels = discs(number, seed=number, first=first % 60_000, gap=gap).astype(np.int32)
    labels[labels > 0] += first - first % 60_000
    meaning = find_meaning([labels])
    assert meaning.numbered
    assert len(meaning.values) == number
    assert meaning.unlabelled == "background"


def test_numbers_of_several_images_are_looked_at_together():
    assert find_meaning([discs(4), discs(6, seed=1)]).numbered
    assert find_meaning([np.zeros((30, 40), int), discs(4)]).numbered


def test_classes_stay_classes():
    """Several particles a class, a core in its shell, and too few to tell."""
    kinds = discs(12)
    kinds = np.where(kinds > 0, kinds % 3 + 1, 0)
    assert find_meaning([kinds]).kind == "classes"
    rows, columns = np.ogrid[:90, :120]
    far = np.sqrt((rows - 40) ** 2 + (columns - 50) ** 2)
    onion = np.select([far < 10, far < 20, far < 30], [3, 2, 1], 0)
    assert find_meaning([onion]).kind == "classes"
    assert find_meaning([discs(2)]).kind == "classes"
    assert find_meaning([(discs(5) > 0).astype(int)]).kind == "mask"
    assert find_meaning([discs(1, first=7)]).kind == "mask"


@pytest.mark.parametrize("classes", [2, 3, 4, 6])
@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_strokes_are_never_numbers(classes, each, seed):
    labels = strokes(classes, seed, each)
    for unlabelled in ("ignore", None):
        meaning = find_meaning([labels], unlabelled)
        assert meaning.kind == "strokes"
        assert meaning.unlabelled == "ignore"
        assert meaning.background == 1


@pytest.mark.parametrize("number", [5, 9, 30])
def test_a_finished_layer_of_numbers_is_seen_where_nobody_said_what_zeros_mean(number):
    meaning = find_meaning([discs(number)], None)
    assert meaning.numbered
    assert meaning.unlabelled == "background"
    assert 1 in meaning.values


def test_numbers_beside_a_painted_background_have_zeros_that_say_nothing():
    labels = discs(30, first=2)
    labels[168:176, 5:200] = 1
    meaning = find_meaning([labels], None)
    assert meaning.numbered
    assert meaning.unlabelled == "ignore"
    assert meaning.background == 1
    assert len(meaning.values) == 30


def test_the_user_has_the_last_word():
    assert find_meaning([discs(30)], "background", "classes").kind == "classes"
    assert find_meaning([discs(2)], "background", "particles").numbered
    assert find_meaning([discs(2)], None, "particles").unlabelled == "background"
    said = find_meaning([strokes(3)], "ignore", "particles")
    assert said.numbered
    assert said.values == (2, 3)


def test_what_labels_are_is_said_in_words():
    assert in_words(find_meaning([discs(4)])) == (
        "the labels hold each value in one place, as numbers of particles are: taken as 4 numbered "
        "particles; zeros are background"
    )
