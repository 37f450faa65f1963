"""Masks that flicker: what is a merger, and what only looks like one for a moment."""

from typing import Any

import numpy as np
import pytest

from napari_tem_rf.measuring.particles import measure_particles
from napari_tem_rf.movies import Limits, Tracks, track_particles

FRAMES = 14
LIMITS = Limits(distance_px=4.0, size_ratio=1.8, gap=2)
STILL = [(row, column) for row in (60, 85, 110) for column in (15, 45, 75, 105)]
BIG, SMALL = (25, 40), (25, 52)


def disc(plane: Any, centre: tuple[float, float], radius: float, number: int) -> None:
    rows, columns = np.indices(plane.shape)
    plane[(rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2] = number


def tracked(draw: Any) -> Tracks:
    """Track twelve particles that tremble beside what is drawn in each frame."""
    rng = np.random.default_rng(7)
    tables = {}
    for frame in range(FRAMES):
        plane = np.zeros((127, 119), np.uint16)
        for number, place in enumerate(STILL, start=10):
            disc(plane, tuple(place + rng.normal(0, 0.3, 2)), 5 + 0.1 * rng.normal(), number)
        draw(plane, frame)
        tables[frame] = measure_particles(plane)
    return track_particles(tables, FRAMES, (127, 119), LIMITS)


def two(plane: Any) -> None:
    disc(plane, BIG, 6.4, 1)
    disc(plane, SMALL, 5.2, 2)


def one(plane: Any) -> None:
    """Both masks as one, of the area that both have together."""
    disc(plane, (25, 44.8), 8.2, 1)


def tracks_of(tracks: Tracks, label: int) -> list[tuple[int, int]]:
    """Return in which frames a label has which track."""
    rows = tracks.particles[tracks.particles["label"] == label].sort_values("frame")
    return list(zip(rows["frame"].tolist(), rows["track"].tolist(), strict=True))


def test_what_stays_one_is_a_merger() -> None:
    tracks = tracked(lambda plane, frame: two(plane) if frame < 7 else one(plane))
    (child,) = tracks.parents
    (_, big), (_, small) = tracks_of(tracks, 1)[0], tracks_of(tracks, 2)[0]
    assert tracks.parents == {child: (big, small)}
    assert tracks.number == len(STILL) + 3


@pytest.mark.parametrize("together", [1, 2])
def test_a_contact_for_a_moment_is_none_and_both_go_on(together: int) -> None:
    tracks = tracked(lambda plane, frame: (one if 6 <= frame < 6 + together else two)(plane))
    assert not tracks.parents
    assert not tracks.origins
    assert tracks.number == len(STILL) + 2
    # the larger one has the common mask
    frames, names = zip(*tracks_of(tracks, 1), strict=True)
    assert frames == tuple(range(FRAMES))
    assert len(set(names)) == 1
    frames, names = zip(*tracks_of(tracks, 2), strict=True)
    assert len(frames) == FRAMES - together
    assert len(set(names)) == 1


def test_a_contact_that_is_longer_than_a_gap_is_a_merger_and_a_split() -> None:
    tracks = tracked(lambda plane, frame: (one if 4 <= frame < 8 else two)(plane))
    assert len(tracks.parents) == 1
    assert len(tracks.origins) == 2


def test_a_speck_that_joins_a_particle_is_no_merger() -> None:
    def draw(plane: Any, frame: int) -> None:
        if frame == 6:
            disc(plane, SMALL, 4.5, 2)
        disc(plane, (25, 40 + 2 * (frame >= 7)), 6.4 + 1.2 * (frame >= 7), 1)

    tracks = tracked(draw)
    assert not tracks.parents
    assert len({track for _, track in tracks_of(tracks, 1)}) == 1
    assert len(tracks_of(tracks, 2)) == 1


def test_a_chip_that_is_gone_at_once_is_no_split() -> None:
    def draw(plane: Any, frame: int) -> None:
        if frame == 7:
            disc(plane, SMALL, 4.5, 2)
        disc(plane, (25, 40 + 2 * (frame < 7)), 6.4 + 1.2 * (frame < 7), 1)

    tracks = tracked(draw)
    assert not tracks.origins
    assert len({track for _, track in tracks_of(tracks, 1)}) == 1
