"""Predictions at the same time in one process: how many, and with how many threads each.

A small frame is passed in one tile, and neither the layers of a network nor what is done before and
after them keep several cores busy; several frames do. Each then has its share of the threads. Large
images, which have many tiles, come one after the other and have all threads: the memory would have
to hold all of them.

How many threads a frame has follows from its size, not from who else is under way: the last bit of
a probability depends on it, and a command that was broken off comes to the same files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

__all__ = ["share_of", "side_by_side", "taking_turns"]

MOST_PX = 2048 * 2048
"""Frames that are predicted at the same time have no more pixels than this in all."""

_changed = Condition()
_under_way: list[int] = []
_places = [1]


@contextmanager
def side_by_side(frames: int) -> Iterator[None]:
    """Let small frames that are predicted in this process share its threads with others."""
    _places.append(frames)
    try:
        yield
    finally:
        _places.pop()


@contextmanager
def taking_turns(pixels: int) -> Iterator[None]:
    """Wait until a frame of so many pixels may be predicted, and let others wait meanwhile."""
    with _changed:
        _changed.wait_for(lambda: not _under_way or sum(_under_way) + pixels <= MOST_PX)
        _under_way.append(pixels)
    try:
        yield
    finally:
        with _changed:
            _under_way.remove(pixels)
            _changed.notify_all()


def share_of(threads: int, pixels: int) -> int:
    """Return how many of so many threads the prediction of a frame of so many pixels has."""
    return max(1, threads // max(1, min(_places[-1], MOST_PX // max(1, pixels))))
