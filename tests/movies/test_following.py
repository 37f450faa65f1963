"""Masks of a series: classes or numbers, their drift, a stop."""

from typing import Any

import numpy as np
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


@pytest.mark.parametrize("after", [0, 3, 6, 10])
def test_a_stop_is_heard_at_any_time(after: int) -> None:
    asked = iter(range(100))
    assert measured(discs((1, 1, 1)), stopped=lambda: next(asked) >= after) is None
