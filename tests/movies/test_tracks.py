"""Tracks against the history that was simulated, and tables by numbers worked out by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf.measuring.particles import measure_particles
from napari_tem_rf.movies import (
    Limits,
    Tracks,
    frame_table,
    mean_squared_displacement,
    track_particles,
    track_table,
)
from napari_tem_rf.movies.linking import Spots, link_spots


def follow(labels: Any, **more: Any) -> Tracks:
    size = more.get("pixel_size_nm")
    tables = {
        frame: measure_particles(plane, pixel_size_nm=size) for frame, plane in enumerate(labels)
    }
    return track_particles(tables, len(labels), labels[0].shape, **more)


@pytest.fixture(scope="module")
def tracked(movie: Any) -> Tracks:
    return follow(movie.labels, offsets_px=movie.drift_px)


def test_links_and_mergers_are_those_that_were_simulated(movie: Any, tracked: Tracks) -> None:
    table = tracked.particles
    track_of = dict(
        zip(zip(table["frame"], table["label"], strict=True), table["track"], strict=True)
    )
    links = [
        (track_of[frame, label], track_of[frame + 1, label])
        for frame, label in track_of
        if (frame + 1, label) in track_of
    ]
    right = np.mean([before == after for before, after in links])
    assert len(links) > 4000
    assert right >= 0.95
    found = true = 0
    for frame, parts, whole in movie.mergers:
        before = [track_of.get((frame - 1, part)) for part in parts]
        after = track_of.get((frame, whole))
        if after is None or None in before:
            continue  # outside the picture
        true += 1
        found += tracked.parents.get(after) == tuple(sorted(before))
    assert true >= 20
    assert found >= 0.9 * true


def disc(place: tuple[float, float], radius: float, side: int = 64) -> Any:
    rows, columns = np.indices((side, side))
    return (rows - place[0]) ** 2 + (columns - place[1]) ** 2 < radius**2


def row_of_discs(frames: list[list[tuple[float, float, float]]]) -> list[Any]:
    planes = []
    for discs in frames:
        plane = np.zeros((64, 64), np.uint8)
        for number, (row, column, radius) in enumerate(discs, 1):
            plane[disc((row, column), radius)] = number
        planes.append(plane)
    return planes


LIMITS = Limits(distance_px=4, size_ratio=1.5, gap=2)


def test_a_particle_that_is_missing_for_two_frames_is_the_same() -> None:
    still = (40.0, 40.0, 6.0)
    planes = row_of_discs(
        [[(20, 10 + i, 5), still] if i not in (2, 3) else [still] for i in range(6)]
    )
    tracks = follow(planes, limits=LIMITS)
    assert tracks.number == 2
    first = track_table(tracks).iloc[0]
    assert (first["first_frame"], first["last_frame"], first["frames"]) == (0, 5, 4)
    assert first["displacement_px"] == pytest.approx(5, abs=0.01)
    apart = follow(planes, limits=Limits(distance_px=4, size_ratio=1.5, gap=1))
    assert apart.number == 3


def test_tables_by_hand() -> None:
    planes = row_of_discs([[(20, 10 + 2 * i, 5 + 0.5 * i)] for i in range(5)])
    tracks = follow(planes, limits=LIMITS, pixel_size_nm=(0.5, 0.5), time_step_s=2.0)
    (row,) = track_table(tracks).to_dict("records")
    assert (row["begins"], row["ends"], row["parents"]) == ("first frame", "last frame", "")
    assert row["displacement_nm"] == pytest.approx(4, abs=0.02)
    assert row["speed_nm_per_s"] == pytest.approx(0.5, abs=0.02)
    # the diameter grows by 1 px = 0.5 nm in 2 s
    assert row["growth_nm_per_s"] == pytest.approx(0.25, rel=0.1)
    frames = frame_table(tracks)
    assert frames["time_s"].tolist() == [0, 2, 4, 6, 8]
    assert frames["number"].tolist() == [1] * 5
    assert frames["coverage"][0] == pytest.approx((planes[0] > 0).mean())
    assert np.isnan(frames["mean_diameter_low_nm"][0])  # of one particle there is no interval
    moved = mean_squared_displacement(tracks, most=3)
    # 1 nm a frame: squares of 1, 2, 3
    assert moved["msd_nm2"].to_numpy() == pytest.approx([1, 4, 9], abs=0.05)
    assert moved["number"].tolist() == [4, 3, 2]


def test_displacements_over_gaps_are_counted_by_the_frames_between() -> None:
    places = {0: 10, 1: 11, 4: 14, 5: 17, 6: 18}  # two tracks: one is missing in frames 2 and 3
    still = (45.0, 30.0, 6.0)
    planes = row_of_discs(
        [[(20, places[f], 4), still] if f in places else [still] for f in range(7)]
    )
    tracks = follow(planes, limits=LIMITS)
    assert tracks.number == 2
    moved = mean_squared_displacement(tracks, most=4)
    pairs = [
        (b - a, float(places[b] - places[a]) ** 2) for a in places for b in places if a < b <= a + 4
    ]
    pairs += [(lag, 0.0) for lag in range(1, 5) for _ in range(7 - lag)]
    for lag, mean, number in moved.itertuples(index=False):
        squares = [square for each, square in pairs if each == lag]
        assert number == len(squares)
        assert mean == pytest.approx(np.mean(squares), abs=0.2)


def test_the_drift_is_taken_off() -> None:
    drift = np.array([[0.0, 6.0 * i] for i in range(5)])
    planes = row_of_discs([[(20, 12 + 6 * i, 5), (40, 12 + 6 * i, 5)] for i in range(5)])
    tracks = follow(planes, limits=LIMITS, offsets_px=drift)
    assert tracks.number == 2
    assert track_table(tracks)["displacement_px"].max() < 0.01
    assert frame_table(tracks)["drift_column_px"].tolist() == [0, 6, 12, 18, 24]


def test_black_frames_in_the_middle_are_passed_over_and_said(movie: Any) -> None:
    labels = movie.labels[:12].copy()
    labels[5] = 0
    tracks = follow(labels, offsets_px=movie.drift_px[:12], limits=Limits(6, 1.5, 0))
    assert dict(tracks.left_out) == {5: "it has no particles"}
    assert "Passed over: frame 5" in tracks.sentence
    whole = track_table(tracks)
    assert ((whole["first_frame"] == 0) & (whole["last_frame"] == 11)).sum() > 30
    assert frame_table(tracks)["left_out"][5] == "it has no particles"


@pytest.mark.parametrize("frames", [1, 3])
def test_series_without_particles(frames: int) -> None:
    tracks = follow([np.zeros((16, 16), np.uint8)] * frames)
    assert tracks.number == 0
    assert tracks.sentence.startswith(
        "1 frame without a particle" if frames == 1 else f"{frames} frames without a particle"
    )
    assert len(track_table(tracks)) == 0
    assert frame_table(tracks)["number"].tolist() == [0] * frames
    assert len(mean_squared_displacement(tracks)) == 0


def test_ten_thousand_particles_a_frame() -> None:
    rng = np.random.default_rng(0)
    place = rng.uniform(0, 4096, (10_000, 2))
    moved = place + rng.normal(0, 0.5, place.shape)
    order = rng.permutation(10_000)
    spots = Spots(
        np.repeat([0, 1], 10_000),
        np.concatenate([place, moved[order]]),
        np.full(20_000, 8.0),
        np.zeros(20_000, bool),
    )
    links = link_spots(spots, 2, Limits(4, 1.5, 0))
    right = order[links.same[:, 1] - 10_000] == links.same[:, 0]
    assert len(right) > 9_900
    assert right.mean() > 0.99


def test_a_vanishing_neighbour_is_no_merger() -> None:
    steady = [(10.0 + 12 * i, 50.0, 4.0) for i in range(4)]
    large, small = (30.0, 20.0, 8.0), (30.0, 33.0, 3.0)
    planes = row_of_discs([[*steady, large, small]] * 3 + [[*steady, large]] * 3)
    tracks = follow(planes, limits=LIMITS)
    assert tracks.parents == {}
    assert (track_table(tracks)["ends"] == "vanished").sum() == 1


def test_labels_of_a_table_stay(tracked: Tracks, movie: Any) -> None:
    assert list(tracked.particles.columns[:5]) == ["track", "frame", "label", "row_px", "column_px"]
    some = tracked.particles.sample(20, random_state=1)
    for _, row in some.iterrows():
        plane = movie.labels[int(row["frame"])] == int(row["label"])
        assert np.argwhere(plane).mean(axis=0) == pytest.approx([row["row_px"], row["column_px"]])
    assert isinstance(tracked.particles, pd.DataFrame)
