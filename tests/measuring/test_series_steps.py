"""A series step by step: what is said on the way, where it stops, and what each frame is given."""

import numpy as np
import pytest

from napari_tem_rf.measuring import series as series_module
from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing
from napari_tem_rf.measuring.probable_particles import finished_numbers
from napari_tem_rf.measuring.series import (
    Finding,
    Ground,
    Measured,
    counted_table,
    find_in,
    joined_table,
    measure_again,
    numbered_alike,
    particles_of,
    planes_for,
    survey_frames,
)
from napari_tem_rf.micrographs.framewise import PackedLabels
from napari_tem_rf.micrographs.label_meaning import meaning_of

SHAPE = (60, 80)


def plane(*places, side=8, shape=SHAPE):
    """Return a mask of squares at (row, column), with a value each where one is given."""
    mask = np.zeros(shape, np.int32)
    for row, column, *value in places:
        mask[row : row + side, column : column + side] = value[0] if value else 1
    return mask


FRAMES = np.stack(
    [plane((5, 5), (30, 40)), plane((5, 5)), plane((5, 5), (20, 20), (40, 60))],
)


def steps(job):
    """Return what a job yields, and what it returns."""
    said = []
    while True:
        try:
            said.append(next(job))
        except StopIteration as end:
            return said, end.value


def find(frames=(0, 1, 2), finding=Finding(), ground=Ground(), planes=FRAMES, **keywords):  # noqa: B008
    return steps(find_in(lambda frame: planes[frame], frames, SHAPE, finding, ground, **keywords))


def test_labels_go_on_from_frame_to_frame():
    said, found = find()
    assert said == pytest.approx([1 / 3, 2 / 3, 1])
    assert found.frames == [0, 1, 2]
    assert [np.unique(each)[1:].tolist() for each in found.labels] == [[1, 2], [3], [4, 5, 6]]
    assert found.labels.shape == (3, *SHAPE)
    assert not found.were_parted
    tables = [found.measured[frame].table for frame in (0, 1, 2)]
    assert [table["label"].tolist() for table in tables] == [[1, 2], [3], [4, 5, 6]]
    assert [len(found.measured[frame].boxes) for frame in (0, 1, 2)] == [2, 1, 3]
    _, later = find((2, 0), first_label=70)
    assert [np.unique(each)[1:].tolist() for each in later.labels] == [[70, 71, 72], [73, 74]]
    assert sorted(later.measured) == [0, 2]


def test_a_stop_is_heard_between_frames():
    asked = []

    def stopped():
        asked.append(None)
        return len(asked) > 2

    said, found = find(stopped=stopped)
    assert said == pytest.approx([1 / 3, 2 / 3])
    assert found.frames == [0, 1]
    assert not found.labels[2].any()
    said, again = steps(
        measure_again(lambda frame: FRAMES[frame], (0, 1, 2), Ground(), {}, lambda: bool(asked))
    )
    assert (said, again) == ([], {})


def test_lengths_and_grey_values_are_those_of_the_ground():
    grey = np.arange(3)[:, None, None] * np.ones(SHAPE) + 5
    ground = Ground((0.5, 0.25), lambda frame: grey[frame], lambda frame: FRAMES[frame])
    _, found = find(ground=ground)
    table = found.measured[2].table
    assert table["area_nm2"].tolist() == [8 * 8 * 0.125] * 3
    assert table["mean_intensity"].tolist() == [7.0] * 3
    # masks of one value have no classes
    assert "class" not in table
    assert "lattice_spacing_nm" not in table
    with_lattice = Ground((0.5, 0.25), lambda frame: grey[frame], lattice=True)
    _, found = find(ground=with_lattice)
    assert np.isnan(found.measured[0].table["lattice_spacing_nm"]).all()
    # without grey values there is no lattice to look for
    _, found = find(ground=Ground(lattice=True))
    assert "lattice_spacing_px" not in found.measured[0].table


@pytest.mark.parametrize(("values", "classes"), [(1, False), (2, True), (16, True), (17, False)])
def test_classes_are_2_to_16_values(values, classes):
    mask = np.zeros(SHAPE, np.uint8)
    for value in range(values):
        row, column = divmod(value, 8)
        mask[3 + 14 * row : 9 + 14 * row, 3 + 9 * column : 9 + 9 * column] = value + 1
    ground = Ground(mask=lambda frame: mask)
    _, found = find((0,), Finding(smallest_px=1), ground, planes=[(mask > 0).astype(int)])
    table = found.measured[0].table
    assert ("class" in table) == classes
    if classes:
        assert sorted(table["class"]) == list(range(1, values + 1))


@pytest.mark.parametrize(
    ("finding", "kept"),
    [
        (Finding(), [5, 9, 12]),
        (Finding(border=False), [9, 12]),
        (Finding(smallest_px=64), [5, 9]),
        (Finding(smallest_px=63), [5, 9]),
        (Finding(smallest_px=25), [5, 9, 12]),
        (Finding(smallest_px=26), [5, 9]),
        (Finding(smallest_px=65), []),
    ],
)
def test_numbered_particles_are_kept_or_left_out_whole(finding, kept):
    numbered = plane((0, 5, 5), (30, 40, 9))
    numbered[50:55, 10:15] = 12
    labels = particles_of(numbered, True, finding)
    assert np.unique(labels)[1:].tolist() == kept
    np.testing.assert_array_equal(labels[labels > 0], numbered[labels > 0])


def test_what_labels_are_may_be_said():
    few = plane((5, 5, 1), (30, 40, 2))
    assert not numbered_alike(few)
    assert numbered_alike(few, labels_are="particles")
    many = np.zeros((40, 120), int)
    for number in range(20):
        row, column = divmod(number, 10)
        many[3 + 15 * row : 9 + 15 * row, 3 + 11 * column : 9 + 11 * column] = number + 1
    assert numbered_alike(many)
    assert not numbered_alike(many, labels_are="classes")
    # strokes: each class looks like a number
    three = plane((5, 5, 1), (30, 40, 2), (30, 5, 3))
    assert numbered_alike(three)
    assert not numbered_alike(np.where(three == 0, 1, three), background=1)
    _, found = find((0,), planes=[few], labels_are="particles")
    assert found.were_parted
    _, found = find((0,), planes=[np.pad(many[:, :80], ((0, 20), (0, 0)))], labels_are="classes")
    assert not found.were_parted


def test_a_stop_is_asked_for_once_a_second_while_numbers_are_counted(monkeypatch):
    clock = iter(np.arange(0, 100, 0.6))
    monkeypatch.setattr(series_module.time, "monotonic", lambda: float(next(clock)))
    seen = []

    def planes(frame):
        seen.append(frame)
        return FRAMES[frame % 3]

    counted = series_module._counts(planes, range(9), 0, lambda: True)
    assert len(list(counted)) == len(seen) == 1
    list(series_module._counts(planes, range(9), 0, lambda: False))
    assert len(seen) == 10


@pytest.mark.parametrize(("rows", "packed"), [(8192, False), (8193, True)])
def test_labels_of_more_than_256_mib_are_packed(monkeypatch, rows, packed):
    """Four bytes a pixel: 2^26 pixels."""
    made = []
    monkeypatch.setattr(series_module.np, "zeros", lambda shape, dtype: made.append(shape))
    labels = planes_for((1, rows, 8192))
    assert isinstance(labels, PackedLabels) == packed
    assert made == ([] if packed else [(1, rows, 8192)])


def surveyed(planes=FRAMES, finding=Finding(), **keywords):  # noqa: B008 - frozen
    meaning = meaning_of({0: 1, 1: 1})
    return list(
        survey_frames(
            lambda frame: planes[frame], (2, 0), meaning, finding, (0.5, 0.25), **keywords
        )
    )


def test_a_survey_names_image_and_frame():
    (first, labels), (second, _) = surveyed(image="gold")
    assert (first.image, first.frame, second.frame) == ("gold", 2, 0)
    assert (first.shape, first.pixel_size_nm, first.with_border) == (SHAPE, (0.5, 0.25), True)
    assert first.boxes.tolist() == [[8, 8]] * 3
    assert first.table["class"].tolist() == [1, 1, 1]
    assert labels.max() == 3
    (alone, _), _ = surveyed(is_series=False)
    assert (alone.image, alone.frame) == ("", None)
    grey = np.full((3, *SHAPE), 4.0)
    (bright, _), _ = surveyed(grey=lambda frame: grey[frame], lattice=True)
    assert bright.table["mean_intensity"].tolist() == [4.0] * 3
    assert "lattice_strength" in bright.table
    (plain, _), _ = surveyed(lattice=True)
    assert "lattice_strength" not in plain.table


def test_particles_at_the_border_are_surveyed_and_may_not_count():
    planes = {2: plane((0, 5), (30, 40), (40, 60)), 0: plane((5, 5))}
    ((found, _), _) = surveyed(planes, Finding(border=False))
    assert found.table["touches_border"].tolist() == [True, False, False]
    everything = counted_table(found, Finding(), False)
    assert everything["label"].tolist() == [1, 2, 3]
    inner = counted_table(found, Finding(border=False), False)
    assert (inner["label"].tolist(), inner.index.tolist()) == ([1, 2], [0, 1])
    kept = counted_table(found, Finding(border=False), True)
    assert kept["label"].tolist() == [2, 3]
    everything["label"] = 0
    assert found.table["label"].tolist() == [1, 2, 3]


def test_particles_that_are_taken_out_are_gone_with_their_boxes():
    _, found = find((2,))
    before = found.measured[2]
    after = before.without([2, 99])
    assert after.table["label"].tolist() == [1, 3]
    assert after.boxes.shape == (2, 2)
    assert after.checksum == -1 != before.checksum
    assert len(before.table) == 3


def test_the_table_of_a_series_names_its_frames():
    _, found = find()
    table = joined_table(found.measured, is_series=True)
    assert table.columns.tolist()[:2] == ["index", "frame"]
    assert table["frame"].tolist() == [0, 0, 1, 2, 2, 2]
    assert table["index"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table.index.tolist() == list(range(6))
    single = joined_table({0: found.measured[0]}, is_series=False)
    assert single.columns[0] == "index"
    assert "frame" not in single
    # a frame without particles adds no row, and all of them keep their columns
    empty = Measured(found.measured[0].table[:0], np.zeros((0, 2), int), 0)
    assert joined_table({0: empty, 1: found.measured[1]}, True)["frame"].tolist() == [1]
    assert joined_table({0: empty, 1: empty}, True).columns.tolist()[:2] == ["index", "frame"]


# particles told apart by a network, finished


def test_what_is_smoothed_on_goes_to_the_nearest_particle_of_its_piece():
    """By hand, in one row: numbers 4 and 9, and a finished mask with a bridge between them."""
    numbered = np.array([[4, 4, 0, 0, 0, 9, 9, 0, 0, 0]], np.int32)
    mask = np.array([[1, 1, 1, 0, 1, 1, 1, 1, 0, 1]])
    found = finished_numbers(numbered, mask, UNFINISHED)
    assert found.dtype == np.int32
    # the last pixel is a piece without a number of its own
    assert found.tolist() == [[1, 1, 1, 0, 2, 2, 2, 2, 0, 3]]
    # what finishing took away is no particle's
    assert finished_numbers(numbered, mask * (numbered == 4), UNFINISHED).tolist() == [
        [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    ]
    negative = np.where(numbered == 9, -1, mask)
    assert not finished_numbers(numbered, negative, UNFINISHED)[numbered == 9].any()


@pytest.mark.parametrize(("smallest_px", "numbers"), [(2.7, 2), (2.8, 1), (0.0, 2)])
def test_a_particle_below_the_smallest_goes_to_the_one_that_it_touches(smallest_px, numbers):
    """Six pixels are a circle 2.76 px across."""
    numbered = np.zeros((12, 14), np.int32)
    numbered[2:9, 2:9], numbered[2:5, 9:11] = 1, 2
    mask = (numbered > 0).astype(np.uint8)
    found = finished_numbers(numbered, mask, Finishing(smallest_px=smallest_px, hole_px=1))
    assert found.max() == numbers
    np.testing.assert_array_equal(found > 0, mask > 0)
    off = finished_numbers(numbered, mask, Finishing(enabled=False, smallest_px=smallest_px))
    assert off.max() == 2
