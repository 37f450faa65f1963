"""Tracks corrected by hand: what a microscopist would write down after each correction."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf.movies import (
    Correction,
    EditedTracks,
    Limits,
    Tracks,
    correct,
    frame_table,
    track_table,
    why_not_correct,
)


def tracks_of(
    seen: dict[int, range],
    parents: dict[int, tuple[int, ...]] | None = None,
    origins: dict[int, int] | None = None,
) -> Tracks:
    """Return tracks that are seen in these frames, each in a row of its own."""
    rows: list[dict[str, Any]] = [
        {
            "track": track,
            "frame": frame,
            "label": track,
            "row_px": 10.0 * track,
            "column_px": float(frame),
            "area_px": 20.0,
            "equivalent_diameter_px": 5.0,
            "touches_border": False,
        }
        for track, frames in seen.items()
        for frame in frames
    ]
    frames = 1 + max(each.stop for each in seen.values())
    return Tracks(
        pd.DataFrame(rows),
        parents or {},
        origins or {},
        Limits(),
        frames,
        (64, 96),
        np.zeros((frames, 2)),
        {},
    )


def spans(tracks: Tracks) -> dict[int, tuple[int, int]]:
    table = track_table(tracks)
    return {
        int(row["track"]): (int(row["first_frame"]), int(row["last_frame"]))
        for row in table.to_dict("records")
    }


def test_two_pieces_of_one_particle_are_joined_under_the_earlier_name() -> None:
    tracks = tracks_of({1: range(10), 2: range(4), 3: range(6, 10)})
    after = correct(tracks, Correction("join", (3, 2)))
    assert spans(after) == {1: (0, 9), 2: (0, 9)}
    assert after.number == 2
    assert after.particles["track"].is_monotonic_increasing
    # no particle is lost, and the frames hold what they held
    assert (frame_table(after)["number"] == frame_table(tracks)["number"]).all()
    assert after.corrections == (Correction("join", (3, 2)),)


def test_a_track_is_cut_before_a_frame() -> None:
    tracks = tracks_of({1: range(10), 2: range(10)})
    after = correct(tracks, Correction("cut", (1,), 4))
    assert spans(after) == {1: (0, 3), 2: (0, 9), 3: (4, 9)}
    assert spans(correct(after, Correction("join", (1, 3)))) == spans(tracks)


def test_a_cut_hands_what_comes_later_to_the_second_piece() -> None:
    tracks = tracks_of(
        {1: range(6), 2: range(6), 3: range(6, 10), 4: range(6, 10), 5: range(3)},
        parents={3: (1, 2)},
    )
    after = correct(tracks, Correction("cut", (1,), 2))
    assert after.parents == {3: (2, 6)}
    table = track_table(after).set_index("track")
    assert (table["ends"][1], table["ends"][6]) == ("vanished", "merged")


def test_without_the_other_parent_a_particle_goes_on_in_what_seemed_to_be_a_merger() -> None:
    tracks = tracks_of({1: range(5), 2: range(5), 3: range(5, 9)}, parents={3: (1, 2)})
    after = correct(tracks, Correction("delete", (2,)))
    assert spans(after) == {1: (0, 8)}
    assert after.parents == {}


def test_joining_a_parent_with_what_came_of_the_merger_undoes_the_merger() -> None:
    tracks = tracks_of({1: range(5), 2: range(5), 3: range(5, 9)}, parents={3: (1, 2)})
    after = correct(tracks, Correction("join", (1, 3)))
    assert spans(after) == {1: (0, 8), 2: (0, 4)}
    assert after.parents == {}
    assert track_table(after).set_index("track")["ends"][2] == "vanished"


def test_a_parent_that_goes_on_elsewhere_leaves_the_merger_to_the_other() -> None:
    tracks = tracks_of(
        {1: range(5), 2: range(5), 3: range(5, 9), 4: range(6, 9)}, parents={3: (1, 2)}
    )
    after = correct(tracks, Correction("join", (1, 4)))
    assert spans(after) == {1: (0, 8), 2: (0, 8)}
    assert after.parents == {}


def test_of_three_that_merged_two_are_left() -> None:
    tracks = tracks_of(
        {1: range(5), 2: range(5), 3: range(5), 4: range(5, 9)}, parents={4: (1, 2, 3)}
    )
    after = correct(tracks, Correction("delete", (2,)))
    assert after.parents == {4: (1, 3)}


def test_what_is_left_of_a_split_is_the_particle_itself() -> None:
    tracks = tracks_of({1: range(5), 2: range(5, 9), 3: range(5, 9)}, origins={2: 1, 3: 1})
    after = correct(tracks, Correction("delete", (3,)))
    assert spans(after) == {1: (0, 8)}
    # a piece that is the particle itself leaves the other as what came off it
    joined = correct(tracks, Correction("join", (1, 2)))
    assert (spans(joined), joined.origins) == ({1: (0, 8), 3: (5, 8)}, {3: 1})
    assert track_table(joined).set_index("track")["ends"][1] == "vanished"


@pytest.mark.parametrize(
    ("correction", "words"),
    [
        (Correction("join", (1, 2)), "both seen in frame 0"),
        (Correction("join", (1,)), "joining takes two tracks"),
        (Correction("join", (1, 9)), "there is no track 9"),
        (Correction("cut", (1,), 0), "goes from frame 0 to 9"),
        (Correction("cut", (1, 2), 4), "one track is cut at a time"),
        (Correction("delete", ()), "no track is chosen"),
    ],
)
def test_what_cannot_be_corrected_is_said(correction: Correction, words: str) -> None:
    tracks = tracks_of({1: range(10), 2: range(4)})
    assert words in why_not_correct(tracks, correction)
    with pytest.raises(ValueError, match=words):
        correct(tracks, correction)


def test_corrections_are_taken_back_and_made_again() -> None:
    edited = EditedTracks(tracks_of({1: range(10), 2: range(4), 3: range(6, 10)}))
    whole = spans(edited.tracks)
    assert not edited.can_undo
    joined = edited.corrected(Correction("join", (2, 3)))
    cut = joined.corrected(Correction("cut", (1,), 5))
    assert spans(cut.undo().tracks) == spans(joined.tracks)
    assert spans(cut.undo().undo().tracks) == whole
    assert spans(cut.undo().undo().redo().redo().tracks) == spans(cut.tracks)
    # another correction forgets what was taken back
    other = cut.undo().corrected(Correction("delete", (1,)))
    assert other.redo() is other
    assert [each.kind for each in other.tracks.corrections] == ["join", "delete"]


def test_there_is_a_way_back_from_tracks_that_were_found_anew() -> None:
    corrected = EditedTracks(tracks_of({1: range(10), 2: range(4)})).corrected(
        Correction("cut", (1,), 5)
    )
    anew = corrected.found_anew(tracks_of({1: range(3)}))
    assert spans(anew.tracks) == {1: (0, 2)}
    assert spans(anew.undo().tracks) == spans(corrected.tracks)


def test_everything_may_be_deleted() -> None:
    after = correct(tracks_of({1: range(3), 2: range(3)}), Correction("delete", (1, 2)))
    assert after.number == 0
    assert len(track_table(after)) == 0
    assert frame_table(after)["number"].tolist() == [0, 0, 0, 0]
