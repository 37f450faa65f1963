"""How much memory Python and NumPy hold while something is done."""

import tracemalloc
from collections.abc import Callable

__all__ = ["peak_bytes"]


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most memory in bytes that a call held beyond what was held before it.

    Seen is what Python and NumPy take, not what a library takes by itself, as torch does.
    """
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()
