"""Predictions at the same time in one process: how many, and with how many threads each.

A small frame is passed in one tile, and neither the layers of a network nor what is done before and
after them keep several cores busy; several frames do. Each then has its share of the threads, and
one alone has all. Large images, which have many tiles, come one after the other: the memory would
have to hold all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

__all__ = ["share_of", "taking_turns"]

MOST_PX = 2048 * 2048
"""Frames that are predicted at the same time have no more pixels than this in all."""

_changed = Condition()
_under_way: list[int] = []


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


def share_of(threads: int) -> int:
    """Return how many of so many threads a prediction has for itself."""
    with _changed:
        return max(1, threads // max(1, len(_under_way)))
