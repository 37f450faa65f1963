"""Tracks corrected by hand: joined, cut, deleted; and the way back.

A correction is a value, and corrected tracks are those that were found with the corrections made in
their order. So taking one back is leaving the last one out, and what is written can say what was
done.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.movies.tracks import Correction, Tracks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EditedTracks", "correct", "why_not_correct"]


@dataclass(frozen=True)
class EditedTracks:
    """Tracks as they were found, what was corrected, and what was taken back.

    Attributes
    ----------
    found : Tracks
    done, undone : tuple of Correction
        In the order in which they were made; of those taken back the next to come again is last.
    before : EditedTracks, optional
        What stood here until tracks were found anew.
    """

    found: Tracks
    done: tuple[Correction, ...] = ()
    undone: tuple[Correction, ...] = ()
    before: "EditedTracks | None" = None

    @cached_property
    def tracks(self) -> Tracks:
        """The tracks as they are now."""
        tracks = self.found
        for correction in self.done:
            tracks = correct(tracks, correction)
        return tracks

    def corrected(self, correction: Correction) -> "EditedTracks":
        """Return the same with one more correction.

        Raises
        ------
        ValueError
            If the tracks cannot be corrected so; says why.
        """
        after = replace(self, done=(*self.done, correction), undone=())
        # worked out from what is known, not from the beginning
        after.__dict__["tracks"] = correct(self.tracks, correction)
        return after

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self.done) or self.before is not None

    def undo(self) -> "EditedTracks":
        """Return the same without the last correction, or what was there before tracks were found.

        Where nothing is to be taken back, nothing changes.
        """
        if not self.done:
            return self if self.before is None else self.before
        return replace(self, done=self.done[:-1], undone=(*self.undone, self.done[-1]))

    def redo(self) -> "EditedTracks":
        """Return the same with the correction again that was taken back last."""
        if not self.undone:
            return self
        return replace(self, done=(*self.done, self.undone[-1]), undone=self.undone[:-1])

    def found_anew(self, found: Tracks) -> "EditedTracks":
        """Return tracks that were found anew, from which there is one way back."""
        return EditedTracks(found, before=replace(self, before=None))


def why_not_correct(tracks: Tracks, correction: Correction) -> str:
    """Return why tracks cannot be corrected so, in a sentence; empty where they can."""
    if not correction.tracks:
        return "no track is chosen: click on one in the table or in the image"
    for name in correction.tracks:
        if not len(_frames_of(tracks, name)):
            return f"there is no track {name}: choose one of the table"
    if correction.kind == "join":
        return _why_not_join(tracks, correction)
    if correction.kind == "cut":
        (name, *more) = correction.tracks
        if more or correction.frame is None:
            return "one track is cut at a time, before a frame: choose one"
        frames = _frames_of(tracks, name)
        first, last = int(frames[0]), int(frames[-1])
        if not first < correction.frame <= last:
            return (
                f"track {name} goes from frame {first} to {last}, and a cut before frame "
                f"{correction.frame} leaves one piece: go to a frame after its first"
            )
    return ""


def _why_not_join(tracks: Tracks, correction: Correction) -> str:
    if len(set(correction.tracks)) != 2:
        return "joining takes two tracks: choose the other one as well (Ctrl+click)"
    one, other = correction.tracks
    both = set(_frames_of(tracks, one).tolist()) & set(_frames_of(tracks, other).tolist())
    if both:
        return (
            f"tracks {one} and {other} are both seen in frame {min(both)}, and a particle is in "
            "one place at a time: cut one of them first"
        )
    return ""


def _frames_of(tracks: Tracks, name: int) -> NDArray[np.intp]:
    """Return the frames in which a track is seen, in order; rows are in the order of tracks."""
    low, high = np.searchsorted(tracks.particles["track"].to_numpy(), [name, name + 1])
    frames: NDArray[np.intp] = tracks.particles["frame"].to_numpy()[low:high]
    return frames


def correct(tracks: Tracks, correction: Correction) -> Tracks:
    """Return tracks with a correction made.

    Names of tracks stay. Of two that are joined the name of the earlier one is kept; the second
    piece of one that is cut gets a new name. What came of a merger has a track of its own only
    because of the merger: once all but one of those that merged are gone, or one goes on otherwise,
    the last of them goes on in it; likewise what is left of a split.

    Parameters
    ----------
    tracks : Tracks
    correction : Correction

    Returns
    -------
    Tracks
        Its ``corrections`` name this one, too.

    Raises
    ------
    ValueError
        If it cannot be made; says why.
    """
    trouble = why_not_correct(tracks, correction)
    if trouble:
        raise ValueError(trouble)
    work = _Work(tracks)
    if correction.kind == "join":
        work.join(*correction.tracks)
    elif correction.kind == "cut" and correction.frame is not None:
        work.cut(correction.tracks[0], correction.frame)
    else:
        work.delete(correction.tracks)
    return work.result(correction)


def _spans(particles: "pd.DataFrame") -> dict[int, tuple[int, int]]:
    """Return the first and last frame of each track."""
    if not len(particles):
        return {}
    grouped = particles.groupby("track")["frame"].agg(["min", "max"])
    return {
        int(name): (int(first), int(last))
        for name, first, last in zip(grouped.index, grouped["min"], grouped["max"], strict=True)
    }


class _Work:
    """Tracks while they are corrected."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self.particles = tracks.particles.copy()
        self.parents: dict[int, tuple[int, ...]] = dict(tracks.parents)
        self.origins: dict[int, int] = dict(tracks.origins)
        self.spans = _spans(self.particles)

    def join(self, one: int, other: int) -> None:
        early, late = sorted((one, other), key=lambda name: self.spans[name])
        self.parents.pop(late, None)
        self.origins.pop(late, None)
        # it goes on, so that it merged into nothing
        children = [child for child, each in self.parents.items() if early in each]
        self._drop_parents(children, {early})
        siblings = [child for child, origin in self.origins.items() if origin == early]
        self._rename(late, early)
        self._settle(children)
        for child in siblings:
            if self.spans[child][0] > self.spans[early][1]:
                self.origins.pop(child, None)

    def cut(self, name: int, frame: int) -> None:
        new = max(self.spans) + 1
        is_tail = (self.particles["track"] == name) & (self.particles["frame"] >= frame)
        self.particles.loc[is_tail, "track"] = new
        self.parents = {
            child: tuple(sorted(new if each == name else each for each in parents))
            for child, parents in self.parents.items()
        }
        for child, origin in self.origins.items():
            if origin == name and self.spans[child][0] > frame:
                self.origins[child] = new

    def delete(self, names: Iterable[int]) -> None:
        gone = set(names)
        self.particles = self.particles[~self.particles["track"].isin(gone)]
        for name in gone:
            self.parents.pop(name, None)
        children = [child for child, each in self.parents.items() if gone & set(each)]
        self._drop_parents(children, gone)
        left = {self.origins[name] for name in gone if name in self.origins} - gone
        self.origins = {
            child: origin
            for child, origin in self.origins.items()
            if child not in gone and origin not in gone
        }
        self.spans = _spans(self.particles)
        self._settle(children)
        for origin in left:
            pieces = [child for child, each in self.origins.items() if each == origin]
            if len(pieces) == 1 and self.spans[origin][1] < self.spans[pieces[0]][0]:
                self.origins.pop(pieces[0])
                self._rename(pieces[0], origin)

    def result(self, correction: Correction) -> Tracks:
        """Return the tracks as they are now."""
        return replace(
            self.tracks,
            particles=self.particles.sort_values(["track", "frame"], ignore_index=True),
            parents=self.parents,
            origins=self.origins,
            corrections=(*self.tracks.corrections, correction),
        )

    def _drop_parents(self, children: Iterable[int], gone: set[int]) -> None:
        for child in children:
            self.parents[child] = tuple(each for each in self.parents[child] if each not in gone)

    def _settle(self, children: Iterable[int]) -> None:
        """Let the last parent go on in what only a merger made a new track; none: nothing came."""
        for child in children:
            parents = self.parents.get(child, ())
            if len(parents) < 2:
                self.parents.pop(child, None)
            if len(parents) == 1 and self.spans[parents[0]][1] < self.spans[child][0]:
                self._rename(child, parents[0])

    def _rename(self, old: int, new: int) -> None:
        self.particles.loc[self.particles["track"] == old, "track"] = new
        self.parents = {
            new if child == old else child: tuple(
                sorted(new if each == old else each for each in parents)
            )
            for child, parents in self.parents.items()
        }
        self.origins = _renamed(self.origins, old, new)
        both = np.array([self.spans.pop(old), self.spans[new]])
        self.spans[new] = int(both[:, 0].min()), int(both[:, 1].max())


def _renamed(origins: Mapping[int, int], old: int, new: int) -> dict[int, int]:
    return {
        new if child == old else child: new if origin == old else origin
        for child, origin in origins.items()
    }
