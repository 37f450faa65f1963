"""Cutting an area into tiles with context."""

from dataclasses import dataclass

from napari_tem_rf.networks.rounding import ceil_div, round_up

Window = tuple[slice, slice]
"""Rows and columns of a part of an area."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Where a tile is read (halo included), what of it is kept, and where that is written."""

    read: Window
    keep: Window
    write: Window


def cut_tiles(
    shape: tuple[int, int], side: int, period: int, halo: int, within: Window | None = None
) -> list[Tile]:
    """Cut an area into tiles of nearly one size.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the area.
    side : int
        Largest side of a tile without its halo; rounded up to the period.
    period : int
        Tiles start and end on its multiples, or where the area ends.
    halo : int
        Context on every side that is not the area's edge.
    within : Window, optional
        The part of the area that is cut, when not all of it; on multiples of the period.
    """
    window = within or (slice(0, shape[0]), slice(0, shape[1]))
    rows, columns = (
        _cut_axis(part, length, round_up(side, period), period, halo)
        for part, length in zip(window, shape, strict=True)
    )
    return [Tile(*zip(row, column, strict=True)) for row in rows for column in columns]


def shape_of(window: Window) -> tuple[int, int]:
    """Return the rows and columns of a window."""
    rows, columns = window
    return rows.stop - rows.start, columns.stop - columns.start


def shrunk(window: Window, pool: int) -> Window:
    """Return a window in px of the pooled map."""
    rows, columns = (slice(part.start // pool, part.stop // pool) for part in window)
    return rows, columns


def moved(window: Window, origin: Window) -> Window:
    """Return a window of an area in px of the image, where the area starts at an origin."""
    rows, columns = (
        slice(start.start + part.start, start.start + part.stop)
        for part, start in zip(window, origin, strict=True)
    )
    return rows, columns


def _cut_axis(
    part: slice, length: int, side: int, period: int, halo: int
) -> list[tuple[slice, slice, slice]]:
    """Return (read, keep, write) of each tile of an axis."""
    count = ceil_div(part.stop - part.start, side)
    even = round_up(ceil_div(part.stop - part.start, count), period)
    cuts = []
    for start in range(part.start, part.stop, even):
        stop = min(start + even, part.stop)
        first, last = max(0, start - halo), min(length, stop + halo)
        cuts.append((slice(first, last), slice(start - first, stop - first), slice(start, stop)))
    return cuts
