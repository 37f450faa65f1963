"""Predictions at the same time in one process: small frames together, large ones by turns."""

import threading

from napari_tem_rf.jobs.turns import MOST_PX, share_of, side_by_side, taking_turns


def test_threads_are_shared_by_size_whoever_else_computes() -> None:
    """So that a frame comes out the same to the last bit, also where others are there already."""
    small = 512 * 512
    assert share_of(8, small) == 8
    with side_by_side(4):
        assert (share_of(8, small), share_of(2, small)) == (2, 1)
        with taking_turns(small), taking_turns(small):
            assert share_of(8, small) == 2
        assert (share_of(8, MOST_PX // 2), share_of(8, MOST_PX)) == (4, 8)
    assert share_of(8, small) == 8


def test_a_large_image_waits_for_the_others_and_none_for_ever() -> None:
    came: list[str] = []
    over = threading.Event()

    def large() -> None:
        with taking_turns(10 * MOST_PX):
            came.append("large")
        over.set()

    thread = threading.Thread(target=large)
    with taking_turns(512 * 512):
        thread.start()
        assert not over.wait(0.1)
        with taking_turns(512 * 512):  # a small one finds room meanwhile
            came.append("small")
    thread.join(60)
    assert came == ["small", "large"]
