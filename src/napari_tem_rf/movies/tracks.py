"""Particles through time: a track for each, and what became of it.

What comes of a merger is a new particle with a track of its own; so is what comes off another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.movies.course import frame_numbers
from napari_tem_rf.movies.linking import (
    Limits,
    Links,
    Spots,
    link_spots,
    pieces_of,
    suggest_limits,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Correction",
    "Tracks",
    "frame_table",
    "mean_squared_displacement",
    "track_particles",
    "track_table",
]

_LOST_FRAME = 0.05
"""A frame with fewer than this share of its neighbours' particles is taken for a lost one."""

_FEW = 10
"""With fewer particles than this a frame without any may be the truth."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Something that was put right in tracks.

    Attributes
    ----------
    kind : {"join", "cut", "delete"}
        Two tracks are of one particle; a track is of two particles, one before the other; tracks
        are of nothing.
    tracks : tuple of int
    frame : int, optional
        Of a cut: the first frame of the second particle.
    """

    kind: Literal["join", "cut", "delete"]
    tracks: tuple[int, ...]
    frame: int | None = None

    @property
    def sentence(self) -> str:
        """What was done, in words."""
        names = " and ".join(map(str, self.tracks))
        if self.kind == "join":
            return f"Tracks {names} joined."
        if self.kind == "cut":
            return f"Track {names} cut before frame {self.frame}."
        if len(self.tracks) > 3:
            return f"{len(self.tracks)} tracks deleted."
        return f"Track{'s' * (len(self.tracks) > 1)} {names} deleted."

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        frame = {} if self.frame is None else {"frame": self.frame}
        return {"kind": self.kind, "tracks": list(self.tracks), **frame}


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The particles of a series, each with its track.

    Attributes
    ----------
    particles : DataFrame
        A row a particle and frame, in the order of tracks and frames: ``track`` (from 1),
        ``frame`` (from 0), ``label``, ``row_px``, ``column_px``, and the sizes of
        `measure_particles`.
    parents : dict of int to tuple of int
        The tracks that merged into a track; only of those that came of a merger.
    origins : dict of int to int
        The track that a track came off; only of those that did.
    limits : Limits
    frames : int
        Number of frames.
    shape : tuple of int
        (row, column) of a frame in px.
    offsets_px : ndarray, shape (frame, 2)
        The drift that was taken off, (row, column).
    left_out : dict of int to str
        Frames that were passed over, and why.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    time_step_s : float, optional
        Time from frame to frame.
    corrections : tuple of Correction
        What was corrected by hand, in the order in which it was done.
    """

    particles: "pd.DataFrame"
    parents: Mapping[int, tuple[int, ...]]
    origins: Mapping[int, int]
    limits: Limits
    frames: int
    shape: tuple[int, int]
    offsets_px: NDArray[np.float64]
    left_out: Mapping[int, str]
    pixel_size_nm: tuple[float, float] | None = None
    time_step_s: float | None = None
    corrections: tuple[Correction, ...] = ()

    @property
    def number(self) -> int:
        """How many tracks there are."""
        return int(self.particles["track"].nunique())

    @property
    def unit(self) -> str:
        """The unit of lengths."""
        return "px" if self.pixel_size_nm is None else "nm"

    @property
    def sentence(self) -> str:
        """The tracks in words."""
        if not self.number:
            frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
            return f"{frames} without a particle: there is nothing to track."
        merged, came_off = len(self.parents), len(self.origins)
        plural = "" if self.number == 1 else "s"
        words = f"{self.number:,} track{plural} in {self.frames} frame{'s' * (self.frames != 1)}"
        events = [
            f"{count} {what}{'s' * (count != 1)}"
            for count, what in ((merged, "merger"), (came_off, "split"))
            if count
        ]
        words += f", {' and '.join(events)}." if events else "."
        if self.left_out:
            listed = ", ".join(str(frame) for frame in list(self.left_out)[:5])
            more = f" and {len(self.left_out) - 5} more" if len(self.left_out) > 5 else ""
            words += f" Passed over: frame {listed}{more} ({next(iter(self.left_out.values()))})."
        return words


def track_particles(
    tables: Mapping[int, "pd.DataFrame"],
    frames: int,
    shape: tuple[int, int],
    limits: Limits | Mapping[str, Any] | None = None,
    *,
    offsets_px: NDArray[np.float64] | None = None,
    left_out: Mapping[int, str] | None = None,
    pixel_size_nm: tuple[float, float] | None = None,
    time_step_s: float | None = None,
) -> Tracks:
    """Find the particles of each frame again in the next.

    Parameters
    ----------
    tables : mapping of int to DataFrame
        The particles of each frame as `measure_particles` measures them.
    frames : int
        Number of frames.
    shape : tuple of int
        (row, column) of a frame in px.
    limits : Limits or mapping of str to Any, optional
        What may be the same particle; what a mapping leaves out comes from the data
        (`suggest_limits`), and all of it where None.
    offsets_px : ndarray, shape (frame, 2), optional
        The drift, (row, column) in px: how far what is seen has moved since the first frame.
    left_out : mapping of int to str, optional
        Frames to pass over, and why.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    time_step_s : float, optional
        Time from frame to frame.

    Returns
    -------
    Tracks
    """
    if offsets_px is None:
        offsets_px = np.zeros((frames, 2))
    gone = {**(left_out or {}), **_lost(tables, frames)}
    shown = [frame for frame in range(frames) if frame not in gone and frame in tables]
    particles = _joined(tables, shown, pixel_size_nm)
    spots = _spots(particles, shown, offsets_px, pixel_size_nm)
    if not isinstance(limits, Limits):
        limits = replace(suggest_limits(spots, len(shown)), **(limits or {}))
    links = link_spots(spots, len(shown), limits)
    track, parents, origins = _named(spots, links)
    particles.insert(0, "track", track)
    particles = particles.sort_values(["track", "frame"], ignore_index=True)
    return Tracks(
        *(particles, parents, origins, limits, frames, shape),
        *(offsets_px, gone, pixel_size_nm, time_step_s),
    )


def _lost(tables: Mapping[int, "pd.DataFrame"], frames: int) -> dict[int, str]:
    """Return frames whose particles are missing all at once, between frames that have them."""
    counts = np.array([len(tables.get(frame, ())) for frame in range(frames)])
    lost = {int(frame): "it has no particles" for frame in np.flatnonzero(counts == 0)}
    for frame in range(1, frames - 1):
        around = np.concatenate([counts[max(frame - 3, 0) : frame], counts[frame + 1 : frame + 4]])
        usual = float(np.median(around[around > 0])) if (around > 0).any() else 0.0
        if usual >= _FEW and 0 < counts[frame] < _LOST_FRAME * usual:
            lost[frame] = "nearly all particles of its neighbours are missing"
    # a series may begin or end without particles, and few particles may all be gone
    seen = np.flatnonzero(counts)
    if not len(seen):
        return {}
    usual = float(np.median(counts[seen]))
    return {
        frame: why for frame, why in lost.items() if seen[0] < frame < seen[-1] and usual >= _FEW
    }


def _joined(
    tables: Mapping[int, "pd.DataFrame"],
    shown: list[int],
    pixel_size_nm: tuple[float, float] | None,
) -> "pd.DataFrame":
    import pandas as pd

    parts = []
    for frame in shown:
        table = tables[frame]
        unit, sides = ("px", (1.0, 1.0)) if pixel_size_nm is None else ("nm", pixel_size_nm)
        first = pd.DataFrame(
            {
                "frame": np.full(len(table), frame),
                "label": table["label"],
                "row_px": table[f"row_{unit}"] / sides[0],
                "column_px": table[f"column_{unit}"] / sides[1],
            }
        )
        rest = table.drop(columns=[name for name in first if name in table])
        parts.append(pd.concat([first, rest], axis=1))
    filled = [part for part in parts if len(part)] or parts[:1]
    if not filled:
        unit, area = ("px", "area_px") if pixel_size_nm is None else ("nm", "area_nm2")
        empty = {"frame": int, "label": int, "row_px": float, "column_px": float, area: float}
        empty[f"equivalent_diameter_{unit}"] = float
        empty["touches_border"] = bool
        return pd.DataFrame({name: np.zeros(0, kind) for name, kind in empty.items()})
    return pd.concat(filled, ignore_index=True)


def _spots(
    particles: "pd.DataFrame",
    shown: list[int],
    offsets_px: NDArray[np.float64],
    pixel_size_nm: tuple[float, float] | None,
) -> Spots:
    """Return the particles for linking: frames counted without those that are passed over."""
    frame = particles["frame"].to_numpy(np.intp)
    place = particles[["row_px", "column_px"]].to_numpy(np.float64) - offsets_px[frame]
    unit, sides = ("px", (1.0, 1.0)) if pixel_size_nm is None else ("nm2", pixel_size_nm)
    area = particles[f"area_{unit}"].to_numpy(np.float64) / (sides[0] * sides[1])
    cut = particles["touches_border"].to_numpy(bool)
    return Spots(np.searchsorted(shown, frame), place, np.sqrt(4 * area / np.pi), cut)


def _named(
    spots: Spots, links: Links
) -> tuple[NDArray[np.intp], dict[int, tuple[int, ...]], dict[int, int]]:
    """Return the track of each spot, from 1, and the tracks that tracks came of."""
    number, group = len(spots), pieces_of(spots, links)
    # in the order in which they are first seen
    _, first = np.unique(group, return_index=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    track = rank[group] if number else np.zeros(0, np.intp)
    parents: dict[int, list[int]] = {}
    for before, after in links.merged.tolist():
        parents.setdefault(int(track[after]), []).append(int(track[before]))
    origins = {int(track[after]): int(track[before]) for before, after in links.split.tolist()}
    return track, {child: tuple(sorted(each)) for child, each in parents.items()}, origins


def track_table(tracks: Tracks) -> "pd.DataFrame":
    """Return a row a track: when and where it was, how it began and ended, how it moved and grew.

    Returns
    -------
    DataFrame
        ``track``, ``first_frame``, ``last_frame``, ``parents`` (tracks that merged into it,
        separated by spaces), ``split_from``, ``begins`` (``first frame``, ``entered`` over the
        border, ``merger``, ``split`` or ``appeared``), ``ends`` (``last frame``, ``left`` over the
        border, ``merged``, ``split`` or ``vanished``), ``frames`` in which it was seen, the
        equivalent diameter at the beginning, at the end and on average, ``growth``
        (nm or px a frame, or a second with a time step: the slope of a line through its
        diameters), ``displacement`` from its first to its last place, ``path`` of all steps, and
        ``speed`` (path over time), with their units in their names, the drift taken off.
    """
    import pandas as pd

    unit, per = tracks.unit, "frame" if tracks.time_step_s is None else "s"
    particles = tracks.particles
    if not len(particles):
        names = ("track", "first_frame", "last_frame", "parents", "split_from", "begins", "ends")
        return pd.DataFrame({name: [] for name in names})
    step, sides = tracks.time_step_s or 1.0, np.asarray(tracks.pixel_size_nm or (1.0, 1.0))
    # rows are in the order of tracks and frames
    name, start, seen = np.unique(
        particles["track"].to_numpy(), return_index=True, return_counts=True
    )
    stop = start + seen - 1
    frame = particles["frame"].to_numpy()
    place = particles[["row_px", "column_px"]].to_numpy(np.float64)
    place = (place - tracks.offsets_px[frame]) * sides
    steps = np.hypot(*np.diff(place, axis=0, prepend=place[:1]).T)
    steps[start] = 0  # from one track to the next
    path = np.add.reduceat(steps, start)
    time = (frame[stop] - frame[start]) * step
    diameter = particles[f"equivalent_diameter_{unit}"].to_numpy(np.float64)
    begins, ends = _ways(tracks, name, start, stop)
    with np.errstate(invalid="ignore", divide="ignore"):
        speed = np.where(time > 0, path / time, np.nan)
    return pd.DataFrame(
        {
            "track": name,
            "first_frame": frame[start],
            "last_frame": frame[stop],
            "parents": [" ".join(map(str, tracks.parents.get(each, ()))) for each in name.tolist()],
            "split_from": [str(tracks.origins.get(each, "")) for each in name.tolist()],
            "begins": begins,
            "ends": ends,
            "frames": seen,
            f"first_diameter_{unit}": diameter[start],
            f"last_diameter_{unit}": diameter[stop],
            f"mean_diameter_{unit}": np.add.reduceat(diameter, start) / seen,
            f"growth_{unit}_per_{per}": _slopes(frame * step, diameter, start, seen),
            f"displacement_{unit}": np.hypot(*(place[stop] - place[start]).T),
            f"path_{unit}": path,
            f"speed_{unit}_per_{per}": speed,
        }
    )


def _ways(
    tracks: Tracks, name: NDArray[np.intp], start: NDArray[np.intp], stop: NDArray[np.intp]
) -> tuple[list[str], list[str]]:
    """Return how tracks begin and how they end, in words."""
    frame = tracks.particles["frame"].to_numpy()
    border = tracks.particles["touches_border"].to_numpy(bool)
    begun = dict(zip(name.tolist(), frame[start].tolist(), strict=True))
    ended = dict(zip(name.tolist(), frame[stop].tolist(), strict=True))
    merged = {parent for each in tracks.parents.values() for parent in each}
    # a track that was joined by hand may go on beside what came off it
    split = {origin for child, origin in tracks.origins.items() if begun[child] > ended[origin]}
    shown = [frame for frame in range(tracks.frames) if frame not in tracks.left_out]
    begins = [
        "merger"
        if each in tracks.parents
        else "split"
        if each in tracks.origins
        else "first frame"
        if begun[each] == shown[0]
        else "entered"
        if at_border
        else "appeared"
        for each, at_border in zip(name.tolist(), border[start], strict=True)
    ]
    ends = [
        "merged"
        if each in merged
        else "split"
        if each in split
        else "last frame"
        if ended[each] == shown[-1]
        else "left"
        if at_border
        else "vanished"
        for each, at_border in zip(name.tolist(), border[stop], strict=True)
    ]
    return begins, ends


def _slopes(
    time: NDArray[np.float64],
    value: NDArray[np.float64],
    start: NDArray[np.intp],
    number: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return the slope of a line through the values of each track; NaN for fewer than three."""
    track = np.repeat(np.arange(len(start)), number)
    mean_time, mean_value = (np.add.reduceat(each, start) / number for each in (time, value))
    off = time - mean_time[track]
    spread = np.add.reduceat(off**2, start)
    both = np.add.reduceat(off * (value - mean_value[track]), start)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(number > 2, both / spread, np.nan)


def frame_table(tracks: Tracks) -> "pd.DataFrame":
    """Return a row a frame: number of particles, coverage, and the mean diameter's interval.

    Returns
    -------
    DataFrame
        ``frame``, ``time_s`` with a time step, ``number``, ``coverage`` (fraction of the area),
        ``mean_diameter``, and the borders of its 95 % interval (Student's t of the particles that
        the border does not cut), with their unit; ``drift_row`` and ``drift_column``;
        ``left_out`` with the reason.
    """
    unit, sides = tracks.unit, np.asarray(tracks.pixel_size_nm or (1.0, 1.0))
    frames = range(tracks.frames)
    table = frame_numbers(tracks.particles, frames, tracks.shape, tracks.pixel_size_nm)
    if tracks.left_out:
        measured = table.columns.drop("frame")
        table = table.astype(dict.fromkeys(measured, np.float64))
        table.loc[list(tracks.left_out), measured] = np.nan
    if tracks.time_step_s is not None:
        table.insert(1, "time_s", table["frame"] * tracks.time_step_s)
    drift = tracks.offsets_px * sides
    return table.assign(
        **{f"drift_row_{unit}": drift[:, 0], f"drift_column_{unit}": drift[:, 1]},
        left_out=[tracks.left_out.get(frame, "") for frame in frames],
    )


def mean_squared_displacement(tracks: Tracks, most: int | None = None) -> "pd.DataFrame":
    """Return the mean squared displacement over the time between, of all tracks together.

    Parameters
    ----------
    tracks : Tracks
    most : int, optional
        The longest time between, in frames; a quarter of the series where None, because longer
        ones rest on few independent steps.

    Returns
    -------
    DataFrame
        ``frames`` between (``time_s`` with a time step), ``msd_nm2`` (``msd_px`` without a pixel
        size), and the ``number`` of displacements.
    """
    import pandas as pd

    sides = np.asarray(tracks.pixel_size_nm or (1.0, 1.0))
    most = max(1, tracks.frames // 4) if most is None else most
    total, number = np.zeros(most + 1), np.zeros(most + 1, np.int64)
    table = tracks.particles
    track, frame = table["track"].to_numpy(), table["frame"].to_numpy()
    place = (table[["row_px", "column_px"]].to_numpy() - tracks.offsets_px[frame]) * sides
    # rows are in the order of tracks and frames: so many rows apart is as many frames, or more
    here = np.arange(len(table))
    for apart in range(1, most + 1):
        here = here[here + apart < len(table)]
        here = here[track[here + apart] == track[here]]
        lag = frame[here + apart] - frame[here]
        here, lag = here[lag <= most], lag[lag <= most]
        square = ((place[here + apart] - place[here]) ** 2).sum(axis=1)
        total += np.bincount(lag, square, most + 1)
        number += np.bincount(lag, minlength=most + 1)
    lags = np.flatnonzero(number)
    time = {} if tracks.time_step_s is None else {"time_s": lags * tracks.time_step_s}
    name = "msd_px2" if tracks.unit == "px" else "msd_nm2"
    return pd.DataFrame(
        {"frames": lags, **time, name: total[lags] / number[lags], "number": number[lags]}
    )
