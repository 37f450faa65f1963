"""The time from frame to frame of a series, as files write it, in s."""

import math
from typing import Any

__all__ = ["INTERVAL", "frame_interval_s", "interval_of"]

INTERVAL = "frame_interval_s"
"""The term of `Micrograph` for it."""

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
    factor = _SECONDS.get((unit or "").strip().lower())
    if factor is None or not math.isfinite(number) or number <= 0:
        return None
    return number * factor


def interval_of(metadata: Any) -> float | None:
    """Return the time between frames that a micrograph's metadata name; None without one."""
    try:
        return frame_interval_s(metadata[INTERVAL])
    except (KeyError, TypeError):
        return None
