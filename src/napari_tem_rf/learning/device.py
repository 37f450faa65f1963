"""Where torch computes, and how this process keeps its memory."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_tem_rf.protocol import Device

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8  # glibc's names for mallopt


class FullMemoryError(MemoryError):
    """The memory of a device is full; the text is one sentence for the user."""


def pick_device(wish: Device = "auto") -> torch.device:
    """Return the device for a wish; "auto" takes a GPU where there is one.

    Raises
    ------
    ValueError
        When the wished device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wish == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    if wish not in there:
        raise ValueError(f"device {wish!r} is unknown: choose auto, cpu, cuda or mps")
    if not there[wish]:
        raise ValueError(f"device {wish!r} is not available on this machine: use --device cpu")
    return torch.device(wish)


def keep_pages() -> None:
    """Let glibc keep freed memory: returning each feature map's pages halves the speed here."""
    if sys.platform == "linux" and os.environ.get("TEM_RF_MALLOC", "keep") == "keep":
        try:
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
            libc.mallopt(_ARENA_MAX, 1)  # the arenas of threads keep no more than 64 MiB
        except (OSError, AttributeError):
            return  # another C library: slower, not wrong


@contextmanager
def computing_threads(number: int | None) -> Iterator[int]:
    """Compute in this many threads for a while, or in as many as now; yields their number.

    Sums are split among the threads, so that another number of them gives other roundings.
    """
    earlier = torch.get_num_threads()
    torch.set_num_threads(number or earlier)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(earlier)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(each in str(error) for each in _FULL)
    )


# of the CPU, and of Apple's GPU, which raise no error of their own for it
_FULL = ("can't allocate memory", "MPS backend out of memory")


def give_back(device: torch.device) -> None:
    """Let others have the memory of a device that is kept but not used."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
