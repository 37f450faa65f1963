"""The time from frame to frame of a series, as files write it, in s."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

__all__ = ["INTERVAL", "frame_interval_s", "interval_of", "interval_of_times", "interval_terms"]

INTERVAL = "frame_interval_s"
"""The term of `Micrograph` for it."""

_COARSEST = 0.05

_SECONDS = {
    **dict.fromkeys(("", "s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
}


def frame_interval_s(value: Any, unit: str | None = None) -> float | None:
    """Return a time between frames in s; None where it is none.

    Parameters
    ----------
    value : Any
        What a file says: a number, or words that are one.
    unit : str, optional
        Its unit; seconds where none is written.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    # Berkeley's EMD writes [m_s]
    factor = _SECONDS.get((unit or "").strip(" []").replace("_", "").lower())
    if factor is None or not math.isfinite(number) or number <= 0:
        return None
    return number * factor


def interval_of_times(times_s: Sequence[float], resolution_s: float = 0.0) -> float | None:
    """Return the mean time between frames of which the file says when each was taken.

    None where they do not follow each other, or where the clock is too coarse to say it to a
    twentieth.

    Parameters
    ----------
    times_s : sequence of float
        From any beginning.
    resolution_s : float
        To what the clock was rounded.
    """
    if len(times_s) < 2 or not all(map(math.isfinite, times_s)):
        return None
    if any(later < earlier for earlier, later in pairwise(times_s)):
        return None
    whole = times_s[-1] - times_s[0]
    if resolution_s > _COARSEST * whole:
        return None
    return frame_interval_s(whole / (len(times_s) - 1))


def interval_terms(value: Any, unit: str | None = None) -> dict[str, float]:
    """Return the term of `Micrograph` for a time between frames; empty where it is none."""
    seconds = frame_interval_s(value, unit)
    return {} if seconds is None else {INTERVAL: seconds}


def interval_of(metadata: Any) -> float | None:
    """Return the time between frames that a micrograph's metadata name; None without one."""
    try:
        return frame_interval_s(metadata[INTERVAL])
    except (KeyError, TypeError):
        return None
