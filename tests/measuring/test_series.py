"""Particles of frames and series: numbers stay numbers, for the window and the command line."""

import time

import numpy as np
import pytest

from napari_tem_rf.measuring.particles import find_particles
from napari_tem_rf.measuring.series import (
    Finding,
    Ground,
    counted_table,
    find_in,
    joined_table,
    measure_again,
    survey_frames,
)
from napari_tem_rf.micrographs.label_meaning import count_labels, meaning_of


def numbered_24():
    """Return 24 particles; 5 and 16 are cut in two by a scratch, 2, 9 and 20 have a narrow neck."""
    labels = np.zeros((240, 372), np.uint16)
    for number in range(1, 25):
        row, column = divmod(number - 1, 6)
        cell = labels[row * 60 + 5 : row * 60 + 53, column * 62 + 6 : column * 62 + 56]
        cell[:] = number
        if number in (5, 16):
            cell[:, 21:26] = 0
        if number in (2, 9, 20):
            cell[:18, 20:30] = 0
            cell[-18:, 20:30] = 0
    return labels


LABELS = numbered_24()


def measured(labels, finding=Finding()):  # noqa: B008 - frozen
    planes = labels if labels.ndim == 3 else labels[None]
    meaning = meaning_of(count_labels(labels))
    surveyed = survey_frames(
        lambda frame: planes[frame], range(len(planes)), meaning, finding, None
    )
    return [counted_table(frame, finding, meaning.numbered) for frame, _ in surveyed]


def found(planes, finding=Finding()):  # noqa: B008 - frozen
    job = find_in(
        lambda frame: planes[frame], range(len(planes)), planes[0].shape, finding, Ground()
    )
    return ended(job)


def ended(job):
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def test_numbered_particles_keep_their_numbers_and_areas():
    (table,) = measured(LABELS)
    assert table["label"].tolist() == list(range(1, 25))
    assert table["area_px"].tolist() == np.bincount(LABELS.ravel())[1:].tolist()
    assert "class" not in table
    # as a mask they are cut and split
    (table,) = measured((LABELS > 0).astype(np.uint8))
    assert len(table) == 29


def test_the_window_finds_the_same():
    result = found(LABELS[None])
    assert result.were_parted
    (table,) = measured(LABELS)
    assert result.measured[0].table["area_px"].tolist() == table["area_px"].tolist()


def test_a_frame_with_few_particles_of_a_numbered_series_is_not_split():
    second = np.where(np.isin(LABELS, (2, 5, 9)), LABELS, 0)
    planes = np.stack([LABELS, second])
    assert [len(table) for table in measured(planes)] == [24, 3]
    result = found(planes)
    assert [len(result.measured[frame].table) for frame in (0, 1)] == [24, 3]
    assert np.unique(result.labels[1]).tolist() == [0, 25, 26, 27]


def test_small_and_border_particles_of_numbers_can_be_left_out():
    labels = np.pad(LABELS, ((0, 0), (1, 0)))[5:]
    labels[100, 100] = 99
    (table,) = measured(labels, Finding(smallest_px=9, border=False))
    assert table["label"].tolist() == list(range(7, 25))


def test_background_of_1_is_no_particle():
    mask = (LABELS > 0).astype(np.uint8)
    (table,) = measured(mask + np.uint8(1))
    assert table["area_px"].tolist() == measured(mask)[0]["area_px"].tolist()


@pytest.mark.parametrize("first", [1, 70_000])
def test_very_many_numbers_take_seconds(first):
    many = np.zeros((1024, 1024), np.int32)
    for number in range(4096):
        row, column = divmod(number, 64)
        many[row * 16 + 2 : row * 16 + 13, column * 16 + 3 : column * 16 + 14] = number + first
    begun = time.process_time()
    (table,) = measured(many)
    assert time.process_time() - begun < 20  # 40 s when each was looked for in the whole image
    assert table["label"].tolist() == list(range(first, first + 4096))
    assert set(table["area_px"]) == {121}


def test_many_classes_are_found_as_one_at_a_time():
    """`find_particles` looks at each class in its own box; the whole image gives the same."""
    rng = np.random.default_rng(2245)
    mask = np.zeros((90, 130), np.uint8)
    for _ in range(40):
        row, column = rng.integers(0, 80), rng.integers(0, 120)
        mask[row : row + rng.integers(2, 25), column : column + rng.integers(2, 25)] = rng.integers(
            1, 6
        )
    together = find_particles(mask, smallest_px=4)
    for value in range(1, 6):
        alone = find_particles(mask == value, smallest_px=4)
        inside = mask == value
        pairs = np.unique(np.stack([together[inside], alone[inside]]), axis=1)
        assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_particles_are_measured_in_the_image_and_the_mask_of_their_own_frame():
    planes = np.zeros((2, 60, 80), np.uint8)
    planes[:, 5:25, 5:25], planes[:, 30:50, 40:60] = 1, 1
    masks = planes.copy()
    masks[0, 30:50, 40:60] = 2
    masks[1, 5:25, 5:25] = 2
    grey = np.stack([np.full((60, 80), 100.0), np.full((60, 80), 250.0)])
    ground = Ground(grey=lambda frame: grey[frame], mask=lambda frame: masks[frame])
    job = find_in(lambda frame: planes[frame], (0, 1), (60, 80), Finding(), ground)
    result = ended(job)
    tables = [result.measured[frame].table for frame in (0, 1)]
    assert [table["class"].tolist() for table in tables] == [[1, 2], [2, 1]]
    means = [table["mean_intensity"].unique().tolist() for table in tables]
    assert means == [[100.0], [250.0]]


def test_strokes_are_found_without_their_background():
    strokes = np.ones((60, 80), np.uint8)
    strokes[5:25, 5:25] = 2
    job = find_in(lambda _: strokes, (0,), (60, 80), Finding(), Ground(), background=1)
    assert ended(job).measured[0].table["area_px"].tolist() == [400]


def test_frames_are_measured_again_where_labels_changed():
    planes = np.zeros((2, 60, 80), np.int32)
    planes[:, 5:25, 5:25] = 1
    known = found(planes).measured
    planes[1, 5:25, 5:15] = 0
    again = ended(measure_again(lambda frame: planes[frame], (0, 1), Ground(), known))
    assert again[0] is known[0]
    assert again[1].table["area_px"].tolist() == [200]
    unknown = ended(measure_again(lambda frame: planes[frame], (0, 1), Ground(), {}))
    assert unknown[0] is not known[0]
    assert unknown[0].table["area_px"].tolist() == [400]


def test_of_no_frame_there_is_a_table_without_rows():
    table = joined_table({}, is_series=True)
    assert (table.columns.tolist(), len(table), table["index"].dtype) == (["index"], 0, np.int64)
