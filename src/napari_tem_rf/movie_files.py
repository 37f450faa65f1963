"""Tracks and aligned series as files, with the record beside them, for window and command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.movies.drift import Drift, DriftSettings
from napari_tem_rf.movies.linking import Limits
from napari_tem_rf.movies.tracks import Tracks, frame_table, track_table
from napari_tem_rf.provenance import known_hash, provenance_path, write_provenance
from napari_tem_rf.runs import library_versions, now
from napari_tem_rf.spreadsheets import csv_of
from napari_tem_rf.storage import refuse_existing, remove, write_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SeriesSource",
    "drift_record",
    "source_record",
    "track_paths",
    "track_record",
    "track_tables",
    "write_tracks",
]


@dataclass(frozen=True, slots=True)
class SeriesSource:
    """Where the frames of a series come from.

    Attributes
    ----------
    frames : int
        Number of frames.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    files : tuple of Path
        The files; none where the series was never one.
    more : mapping
        What else is known, as plain JSON values: the layer's name, the run that predicted it.
    """

    frames: int
    pixel_size_nm: tuple[float, float] | None = None
    files: tuple[Path, ...] = ()
    more: Mapping[str, Any] | None = None


def source_record(what: str, source: SeriesSource) -> dict[str, Any]:
    """Return where frames come from, as plain JSON values.

    Parameters
    ----------
    what : {"images", "masks"}
        What the frames are.
    source : SeriesSource
    """
    size = source.pixel_size_nm
    return {
        what: [{"file": str(path.resolve()), "sha256": known_hash(path)} for path in source.files],
        **(source.more or {}),
        "frames": source.frames,
        "pixel_size_nm": None if size is None else list(size),
        "versions": library_versions(),
        "date": now(),
    }


def drift_record(settings: DriftSettings, drift: Drift) -> dict[str, Any]:
    """Return how a drift was measured, as plain JSON values."""
    return {"settings": _values(settings), "spread_px": drift.spread_px}


def track_record(
    tracks: Tracks,
    source: SeriesSource,
    finding: Finding,
    drift: str | Mapping[str, Any] | None = None,
    *,
    numbered: bool = False,
) -> dict[str, Any]:
    """Return how tracks were made, as plain JSON values.

    Parameters
    ----------
    tracks : Tracks
    source : SeriesSource
        The masks.
    finding : Finding
        How particles were found in them.
    drift : str or mapping, optional
        Where the drift comes from; None where it was measured from the masks.
    numbered : bool
        Whether the masks have a number for each particle.
    """
    return {
        **source_record("masks", source),
        "particles": _values(finding),
        "labels_are": "particles" if numbered else "classes",
        "limits": _values(tracks.limits),
        "drift": drift,
        "time_step_s": tracks.time_step_s,
        "left_out": {str(frame): why for frame, why in tracks.left_out.items()},
        "corrections": [each.to_dict() for each in tracks.corrections],
    }


def _values(settings: Finding | Limits | DriftSettings) -> dict[str, Any]:
    return {each.name: getattr(settings, each.name) for each in fields(settings)}


def track_paths(out: Path) -> dict[str, Path]:
    """Return the files that tracks are written to: ``particles``, ``tracks`` and ``frames``.

    Raises
    ------
    ValueError
        If the name does not end in ``.csv``.
    """
    if out.suffix.lower() != ".csv":
        raise ValueError(f'"{out.name}" ends in "{out.suffix}": tables are written as .csv')
    beside = {kind: out.with_name(f"{out.stem}_{kind}.csv") for kind in ("tracks", "frames")}
    return {"particles": out, **beside}


def track_tables(tracks: Tracks) -> "dict[str, pd.DataFrame]":
    """Return the tables that are written of tracks, by the names of `track_paths`."""
    particles = tracks.particles
    if tracks.time_step_s is not None:
        particles = particles.copy()
        particles.insert(2, "time_s", particles["frame"] * tracks.time_step_s)
    return {
        "particles": particles,
        "tracks": track_table(tracks),
        "frames": frame_table(tracks),
    }


def write_tracks(
    out: Path, tracks: Tracks, record: Mapping[str, Any], overwrite: bool = False
) -> Sequence[Path]:
    """Write a row a particle and frame, a row a track and a row a frame; return the three paths.

    Beside each comes the record of how it was made; while a table is replaced, none stands beside
    it.

    Parameters
    ----------
    out : Path
        ``NAME.csv``; the others are ``NAME_tracks.csv`` and ``NAME_frames.csv``.
    tracks : Tracks
    record : mapping
        As `track_record` gives it.
    overwrite : bool
        Whether earlier files of those names may be replaced.

    Raises
    ------
    ValueError
        If the name does not end in ``.csv``.
    FileExistsError
        If one of them exists and may not be replaced; then none is written.
    """
    paths = track_paths(out)
    for path in paths.values():
        refuse_existing(path, overwrite)
    texts = {kind: csv_of(table) for kind, table in track_tables(tracks).items()}
    for kind, path in paths.items():
        remove(provenance_path(path))
        write_text(path, texts[kind])
        write_provenance(path, dict(record))
    return tuple(paths.values())
