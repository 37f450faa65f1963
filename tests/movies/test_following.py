"""Masks of a series: classes or numbers, their drift, a stop."""

from collections import UserList
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.movies import SeriesParticles, measure_series


def discs(values: tuple[int, int, int], frames: int = 4) -> Any:
    """Return three discs, two of which touch, that the stage takes along by (1, 2) px a frame."""
    rows, columns = np.indices((64, 80))
    planes = np.zeros((frames, 64, 80), np.uint8)
    for frame in range(frames):
        for value, at in zip(values, ((20, 20), (20, 29), (45, 50)), strict=True):
            place = np.add(at, (frame, 2 * frame))
            radius = 5 if value != values[2] else 7
            planes[frame][(rows - place[0]) ** 2 + (columns - place[1]) ** 2 < radius**2] = value
    return planes


def planes_of(frames: list[Any]) -> Any:
    """Return frames of several shapes or types as one thing with a length."""
    return UserList(frames)


def measured(planes: Any, **more: Any) -> SeriesParticles | None:
    job = measure_series(planes.__getitem__, len(planes), Finding(split=False), **more)
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def test_a_few_numbers_are_particles_and_one_value_is_a_mask() -> None:
    numbered, mask = measured(discs((3, 4, 7))), measured(discs((1, 1, 1)))
    assert numbered is not None
    assert mask is not None
    assert numbered.tables[2]["label"].tolist() == [3, 4, 7]
    # not split, and not numbered, those that touch are one
    assert len(mask.tables[2]) == 2
    said = measured(discs((3, 4, 7)), labels_are="classes")
    assert said is not None
    assert "class" in said.tables[0]


def test_without_a_drift_it_is_measured_from_the_masks() -> None:
    found = measured(discs((1, 1, 1)))
    assert found is not None
    assert found.drift_is_of_masks
    expected = np.arange(4)[:, None] * (1, 2)
    np.testing.assert_allclose(found.offsets_px, expected, atol=0.15)
    given = measured(discs((1, 1, 1)), offsets_px=expected)
    assert given is not None
    assert not given.drift_is_of_masks
    tracks = given.track(time_step_s=2.0)
    assert (tracks.number, tracks.time_step_s) == (2, 2.0)


@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_stop_is_heard_at_any_time(after: int) -> None:
    asked = iter(range(100))
    assert measured(discs((1, 1, 1)), stopped=lambda: next(asked) >= after) is None


@pytest.mark.parametrize("with_drift", [False, True])
def test_each_mask_is_read_once(with_drift: bool) -> None:
    planes = discs((1, 1, 1), frames=13)
    read: list[int] = []

    def plane(frame: int) -> Any:
        read.append(frame)
        return planes[frame]

    given = np.arange(13)[:, None] * (1, 2) if with_drift else None
    job = measure_series(plane, 13, Finding(split=False), offsets_px=given)
    found = None
    while found is None:
        try:
            next(job)
        except StopIteration as end:
            found = end.value
    assert sorted(read) == list(range(13))
    assert {len(table) for table in found.tables.values()} == {2}


def test_values_that_turn_out_to_be_numbers_are_measured_again() -> None:
    """Ten frames with one value, and then a number for each of eighty squares."""
    planes = np.zeros((12, 64, 80), np.uint8)
    numbers = 1 + np.arange(80).reshape(8, 10)
    inside = np.zeros((8, 8), bool)
    inside[1:7, 1:7] = True
    planes[10:] = np.kron(numbers, np.ones((8, 8), int)) * np.tile(inside, (8, 10))
    planes[:10] = np.where(planes[11] == 44, 44, 0)
    found = measured(planes)
    assert found is not None
    assert found.numbered
    assert found.tables[2]["label"].tolist() == [44]
    assert found.tables[11]["label"].tolist() == list(range(1, 81))
    assert "class" not in found.tables[2]


def test_frames_that_are_left_out_decide_nothing() -> None:
    planes = list(discs((1, 1, 1), frames=6))
    planes[0] = planes[0][:40]
    found = measured(planes_of(planes), left_out={0: "it is smaller"})
    assert found is not None
    assert found.shape == (64, 80)
    assert sorted(found.tables) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(np.diff(found.offsets_px[1:], axis=0), [(1, 2)] * 4, atol=0.15)


def test_what_cannot_be_measured_is_an_error_and_not_left_out() -> None:
    planes = list(discs((1, 1, 1), frames=4))
    planes[2] = planes[2] + 0.5
    with pytest.raises(ValueError, match="whole numbers"):
        measured(planes_of(planes))


def test_threads_change_nothing_and_few_frames_are_read_ahead() -> None:
    planes = discs((1, 1, 1), frames=17)
    read: list[int] = []

    def plane(frame: int) -> Any:
        read.append(frame)
        return planes[frame]

    one = measured(planes)
    job = measure_series(plane, len(planes), Finding(split=False), threads=3)
    while True:
        try:
            done = round(next(job) * len(planes))
            # eight are looked at before it begins, to see what their values mean
            assert len(read) <= max(8, done + 3)
        except StopIteration as end:
            several = end.value
            break
    assert read == list(range(17))
    assert one is not None
    assert list(several.tables) == list(one.tables)
    for frame, table in one.tables.items():
        pd.testing.assert_frame_equal(several.tables[frame], table)
    np.testing.assert_array_equal(several.offsets_px, one.offsets_px)


def test_what_is_wrong_with_a_frame_is_said_with_threads_too() -> None:
    planes = planes_of([*discs((1, 1, 1), frames=5), np.zeros((64, 80), np.float32)])
    job = measure_series(planes.__getitem__, 6, Finding(), offsets_px=np.zeros((6, 2)), threads=2)
    with pytest.raises(ValueError, match="float32 values: labels are whole numbers"):
        for _ in job:
            pass
