"""Particles of one frame found again in the next: links, gaps, mergers and splits.

Two steps, as Jaqaman et al. (Nature Methods 2008, doi 10.1038/nmeth.1237) have them. First frame by
frame: of all ways to pair the particles of two frames, the one of the least total cost, where a
particle may also stay alone. Then over gaps: ends of pieces with beginnings a few frames later.
Assignments are scipy's; only pairs within reach are ever looked at, so that ten thousand particles
a frame need no table of a hundred million distances.

Mergers are not found by distance, which cannot tell a merger from a particle that vanishes beside
another, but by what they leave: a particle whose size and place are what two made together. Masks
flicker, too: a speck of noise that joins a particle is no merger, and masks of two particles that
are one for a moment are a contact.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import check_settings, told

__all__ = ["Limits", "Links", "Spots", "link_spots", "pieces_of", "suggest_limits"]

Pairs = NDArray[np.intp]
"""Shape (pair, 2): rows of a `Spots`, the earlier one first."""

_ALONE = 1.0
"""What it costs that a particle stays alone; a pair at the limit costs as much."""

_CUT = 0.3
"""How much the change of size counts of a particle at the border."""

_LEAST_SEEN = 3
"""In fewer frames than this, what appeared and is gone again is taken for noise of the masks."""

_CONTACT = 3.0
"""Twice the logarithm of how much likelier a merger is between particles in contact."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be the same particle.

    Attributes
    ----------
    distance_px : float
        How far a particle may move from frame to frame, apart from the drift, in px.
    size_ratio : float
        By which factor its diameter may change from frame to frame.
    gap : int
        In how many frames in a row it may be missing.
    """

    distance_px: float = told(
        10.0,
        "moves at most",
        "How far a particle may move from one frame to the next, apart from the drift",
        unit="px",
        least=0.1,
        most=10_000.0,
        step=0.5,
        option="--distance",
    )
    size_ratio: float = told(
        1.5,
        "changes at most by",
        "By which factor a particle's diameter may change from one frame to the next",
        unit="times",
        least=1.01,
        most=100.0,
        step=0.05,
        option="--size-ratio",
    )
    gap: int = told(
        2,
        "may be missing in",
        "In how many frames in a row a particle may be missing and still be the same",
        unit="frames",
        least=0,
        most=100,
        option="--gap",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, eq=False)
class Spots:
    """Particles of all frames, in the order of the frames.

    Attributes
    ----------
    frame : ndarray of int, shape (spot,)
    place : ndarray, shape (spot, 2)
        Centroid, (row, column) in px, the drift taken off.
    diameter : ndarray, shape (spot,)
        Of the circle of the same area, in px.
    cut : ndarray of bool, shape (spot,)
        Whether the border of the frame may cut it: it may come in or leave there.
    """

    frame: NDArray[np.intp]
    place: NDArray[np.float64]
    diameter: NDArray[np.float64]
    cut: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frame)

    def by_frame(self, frames: int) -> list[NDArray[np.intp]]:
        """Return the rows of each frame."""
        borders = np.searchsorted(self.frame, np.arange(frames + 1))
        return [np.arange(low, high) for low, high in itertools.pairwise(borders)]


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """What belongs together.

    Attributes
    ----------
    same : Pairs
        The same particle, in successive frames or over a gap.
    merged : Pairs
        A particle and what it became part of.
    split : Pairs
        A particle and what came off it.
    """

    same: Pairs
    merged: Pairs
    split: Pairs


def suggest_limits(spots: Spots, frames: int, limits: Limits | None = None) -> Limits:
    """Return limits from the particles themselves.

    The distance is what all but a few steps of unmistakable pairs stay below: particles of
    successive frames that are each other's nearest, much nearer than any other. Steps of a random
    walk have Rayleigh's distribution, whose median is 1.18 times the deviation along an axis: five
    deviations leave out one step in 300,000. Half the usual distance between neighbours is the
    most.
    """
    from scipy.spatial import cKDTree

    limits = limits or Limits()
    steps: list[NDArray[np.float64]] = []
    ratios: list[NDArray[np.float64]] = []
    spacing: list[float] = []
    planes = spots.by_frame(frames)
    pairs = [(a, b) for a, b in itertools.pairwise(planes) if len(a) > 1 and len(b) > 1]
    for here, there in pairs[:: max(1, len(pairs) // 50)]:
        ahead = cKDTree(spots.place[there])
        near, to = ahead.query(spots.place[here], k=2)
        _back, origin = cKDTree(spots.place[here]).query(spots.place[there], k=1)
        mutual = (origin[to[:, 0]] == np.arange(len(here))) & (near[:, 0] < near[:, 1] / 3)
        steps.append(near[mutual, 0])
        ratios.append(
            np.abs(np.log(spots.diameter[there[to[mutual, 0]]] / spots.diameter[here[mutual]]))
        )
        apart, _ = ahead.query(spots.place[there], k=2)
        spacing.append(float(np.median(apart[:, 1])))
    taken = np.concatenate(steps) if steps else np.zeros(0)
    if len(taken) < 10:
        return limits
    deviation = max(float(np.median(taken)) / 1.1774, 0.2)
    # a few particles, the small ones, wander further than most
    far = max(5 * deviation, 1.5 * float(np.quantile(taken, 0.98)))
    distance = min(far, max(0.5 * float(np.median(spacing)), 2 * deviation))
    changes = np.concatenate(ratios)
    # masks that were predicted change much now and then, where they take a neighbour's edge along
    ratio = np.exp(max(6 * np.median(changes) / 0.6745, 1.5 * np.quantile(changes, 0.98)))
    return replace(
        limits,
        distance_px=round(distance, 1),
        size_ratio=round(min(max(float(ratio), 1.3), 3.0), 2),
    )


def link_spots(spots: Spots, frames: int, limits: Limits) -> Links:
    """Return which particles are the same, which merged and which came off another.

    Parameters
    ----------
    spots : Spots
    frames : int
        Number of frames.
    limits : Limits
    """
    same = _between_frames(spots, frames, limits)
    merged = _mergers(spots, frames, limits, same)
    backward = Spots(
        *(frames - 1 - spots.frame[::-1], spots.place[::-1]),
        *(spots.diameter[::-1], spots.cut[::-1]),
    )
    last = len(spots) - 1
    split = last - _mergers(backward, frames, limits, last - same[:, ::-1])[:, ::-1]
    return _settled(spots, frames, limits, Links(same, merged, split))


def pieces_of(spots: Spots, links: Links) -> NDArray[np.intp]:
    """Return the number of each particle's piece, from 0: what comes of an event is another."""
    from scipy import sparse

    new = np.zeros(len(spots), bool)
    new[links.merged[:, 1]] = True
    parted = np.zeros(len(spots), bool)
    parted[links.split[:, 0]] = True
    same = links.same[~new[links.same[:, 1]] & ~parted[links.same[:, 0]]]
    graph = sparse.coo_matrix((np.ones(len(same)), same.T), shape=(len(spots), len(spots)))
    piece: NDArray[np.intp] = sparse.csgraph.connected_components(graph, directed=False)[1]
    return piece


def _settled(spots: Spots, frames: int, limits: Limits, links: Links) -> Links:
    """Return links over gaps as well, without events that are flicker of the masks."""
    while True:
        gaps = _over_gaps(spots, limits, links.same, links.merged, links.split)
        found = replace(links, same=np.concatenate([links.same, gaps]))
        calmer = _Flicker(spots, frames, limits, found, links.same).calmed()
        if calmer is None:
            return found
        links = calmer


class _Flicker:
    """Which mergers and splits are none, because of how long their pieces are seen."""

    def __init__(
        self, spots: Spots, frames: int, limits: Limits, links: Links, between: Pairs
    ) -> None:
        self.spots, self.limits, self.between = spots, limits, between
        self.piece = pieces_of(spots, links)
        number = int(self.piece.max(initial=-1)) + 1
        self.seen = np.bincount(self.piece, minlength=number)
        # rows are in the order of frames
        self.first, self.last = np.zeros(number, np.intp), np.zeros(number, np.intp)
        order = np.arange(len(spots))
        self.last[self.piece] = order
        self.first[self.piece[::-1]] = order[::-1]
        self.parents = _grouped(links.merged[:, ::-1])
        self.pieces = _grouped(links.split)
        # the first frame and the border explain a beginning, the last one and the border an end
        self.came = (spots.frame[self.first] == 0) | spots.cut[self.first]
        self.left = (spots.frame[self.last] == frames - 1) | spots.cut[self.last]

    def calmed(self) -> Links | None:
        """Return links from frame to frame with fewer events; None where all events may be."""
        parents, pieces = dict(self.parents), dict(self.pieces)
        joined: list[tuple[int, int]] = []
        for child, parts in self.parents.items():
            contact = self._contact(child, parts)
            if contact:
                parents.pop(child)
                pieces.pop(int(self.last[self.piece[child]]))
                joined += contact
        # what was in contact goes on, and is longer than its pieces now
        if not joined:
            for child, parts in self.parents.items():
                self._keep(parents, child, [a for a in parts if not self._is_speck(a)])
                if child not in parents:
                    joined.append((self._longest(parts), child))
            for origin, parts in self.pieces.items():
                self._keep(pieces, origin, [b for b in parts if not self._is_chip(b)])
                if origin not in pieces:
                    joined.append((origin, self._longest(parts)))
        if parents == self.parents and pieces == self.pieces:
            return None
        merged = [(a, child) for child, parts in parents.items() for a in parts]
        split = [(origin, b) for origin, parts in pieces.items() for b in parts]
        return Links(_with(self.between, joined), _pairs(merged), _pairs(split))

    @staticmethod
    def _keep(events: dict[int, list[int]], whole: int, parts: list[int]) -> None:
        if len(parts) < 2:
            events.pop(whole)
        else:
            events[whole] = parts

    def _is_speck(self, spot: int) -> bool:
        """Whether the piece that ends here had hardly appeared."""
        piece = self.piece[spot]
        begin = int(self.first[piece])
        return bool(
            self.seen[piece] < _LEAST_SEEN and not self.came[piece] and begin not in self.parents
        )

    def _is_chip(self, spot: int) -> bool:
        """Whether the piece that begins here is gone at once."""
        piece = self.piece[spot]
        end = int(self.last[piece])
        return bool(
            self.seen[piece] < _LEAST_SEEN and not self.left[piece] and end not in self.pieces
        )

    def _longest(self, parts: Sequence[int]) -> int:
        """Return that of some particles whose piece is seen in the most frames."""
        return max(parts, key=lambda spot: int(self.seen[self.piece[spot]]))

    def _contact(self, child: int, parts: Sequence[int]) -> list[tuple[int, int]]:
        """Return the links of two particles whose masks were one for a moment; none: they merged.

        The larger one has the common mask, and the other one is missing meanwhile.
        """
        piece = self.piece[child]
        end = int(self.last[piece])
        after = self.pieces.get(end, [])
        if len(parts) != 2 or len(after) != 2 or self.seen[piece] > self.limits.gap:
            return []
        place, diameter = self.spots.place, self.spots.diameter
        one, other = sorted(parts, key=lambda spot: -diameter[spot])

        def cost(here: int, there: int) -> float:
            apart = np.hypot(*(place[here] - place[there])) / self.limits.distance_px
            change = np.log(diameter[there] / diameter[here]) / np.log(self.limits.size_ratio)
            return float(apart**2 + change**2)

        ways = [(after[0], after[1]), (after[1], after[0])]
        first, second = min(ways, key=lambda way: cost(one, way[0]) + cost(other, way[1]))
        span = self.spots.frame[first] - self.spots.frame[one]
        if max(cost(one, first), cost(other, second)) > _ALONE * span:
            return []
        return [(one, child), (end, first), (other, second)]


def _grouped(pairs: Pairs) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for key, value in pairs.tolist():
        groups.setdefault(key, []).append(value)
    return groups


def _pairs(found: Sequence[tuple[int, int]]) -> Pairs:
    return np.array(found, np.intp).reshape(-1, 2)


def _with(pairs: Pairs, more: Sequence[tuple[int, int]]) -> Pairs:
    """Return pairs with others, which replace those that have one of their particles."""
    added = _pairs(more)
    keep = ~np.isin(pairs[:, 0], added[:, 0]) & ~np.isin(pairs[:, 1], added[:, 1])
    return np.concatenate([pairs[keep], added])


def _between_frames(spots: Spots, frames: int, limits: Limits) -> Pairs:
    found = [np.zeros((0, 2), np.intp)]
    planes = spots.by_frame(frames)
    for here, there in itertools.pairwise(planes):
        if len(here) and len(there):
            found.append(_assign(*_candidates(spots, here, there, limits)))
    return np.concatenate(found)


def _candidates(
    spots: Spots, here: NDArray[np.intp], there: NDArray[np.intp], limits: Limits
) -> tuple[Pairs, NDArray[np.float64]]:
    """Return the pairs within the limits and their costs, below 1.

    Distance and change of size count as the axes of one ellipse.
    """
    from scipy.spatial import cKDTree

    span = np.sqrt(np.maximum(spots.frame[there].min() - spots.frame[here].max(), 1))
    reach = limits.distance_px * span
    near = cKDTree(spots.place[here]).sparse_distance_matrix(
        cKDTree(spots.place[there]), reach, output_type="ndarray"
    )
    pairs = np.stack([here[near["i"]], there[near["j"]]], axis=1)
    change = np.log(spots.diameter[pairs[:, 1]] / spots.diameter[pairs[:, 0]])
    # what the border cuts grows and shrinks as it comes in and leaves
    change[spots.cut[pairs].any(axis=1)] *= _CUT
    cost = (near["v"] / reach) ** 2 + (change / (np.log(limits.size_ratio) * span)) ** 2
    keep = cost < _ALONE
    return pairs[keep], cost[keep]


def _assign(pairs: Pairs, cost: NDArray[np.float64]) -> Pairs:
    """Return the pairs of the least total cost, each particle in one pair at most.

    Pairs that share no particle, even by others, are solved apart from each other.
    """
    from scipy import sparse
    from scipy.optimize import linear_sum_assignment

    if not len(pairs):
        return pairs
    left, first = np.unique(pairs[:, 0], return_inverse=True)
    right, second = np.unique(pairs[:, 1], return_inverse=True)
    size = len(left) + len(right)
    graph = sparse.coo_matrix(
        (np.ones(len(pairs)), (first, len(left) + second)), shape=(size, size)
    )
    _, group = sparse.csgraph.connected_components(graph, directed=False)
    of_pair = group[first]
    order = np.argsort(of_pair, kind="stable")
    borders = np.flatnonzero(np.diff(of_pair[order])) + 1
    chosen: list[NDArray[np.intp]] = []
    for members in np.split(order, borders):
        if len(members) == 1:
            chosen.append(members)
            continue
        rows, columns = (np.unique(v[members], return_inverse=True)[1] for v in (first, second))
        n, m = rows.max() + 1, columns.max() + 1
        # each may stay alone: as cheap as half a pair at the limit
        table = np.full((n + m, n + m), 2 * _ALONE)
        table[:n, m:][np.diag_indices(n)] = _ALONE / 2
        table[n:, :m][np.diag_indices(m)] = _ALONE / 2
        table[n:, m:] = 0
        table[rows, columns] = cost[members]
        lookup = np.full((n, m), -1)
        lookup[rows, columns] = members
        a, b = linear_sum_assignment(table)
        inside = (a < n) & (b < m)
        which = lookup[a[inside], b[inside]]
        chosen.append(which[which >= 0])
    return pairs[np.sort(np.concatenate(chosen))]


def _over_gaps(spots: Spots, limits: Limits, same: Pairs, merged: Pairs, split: Pairs) -> Pairs:
    """Return links of ends with beginnings after a gap."""
    if not limits.gap or not len(spots):
        return np.zeros((0, 2), np.intp)
    everyone = np.arange(len(spots))
    ends = np.setdiff1d(everyone, np.concatenate([same[:, 0], merged[:, 0], split[:, 0]]))
    begins = np.setdiff1d(everyone, np.concatenate([same[:, 1], merged[:, 1], split[:, 1]]))
    pairs, costs = [np.zeros((0, 2), np.intp)], [np.zeros(0)]
    start_of = spots.frame[begins]
    for frame in np.unique(spots.frame[ends]):
        here = ends[spots.frame[ends] == frame]
        for missing in range(1, limits.gap + 1):
            there = begins[start_of == frame + 1 + missing]
            if len(there):
                found, cost = _candidates(spots, here, there, limits)
                pairs.append(found)
                # of two equal ones the shorter gap
                costs.append(cost + 0.01 * missing)
    return _assign(np.concatenate(pairs), np.concatenate(costs))


def _mergers(spots: Spots, frames: int, limits: Limits, same: Pairs) -> Pairs:
    """Return particles that became part of another: (particle, what it became part of).

    For each particle that ends and each neighbour two explanations are weighed by how well they
    foretell the next frame: the particle is gone and the neighbour goes on, or both are one, of
    their volume (spheres), their area (flat ones and masks that join) or anything between, at
    their common centre of mass. What was already found of both is listed, too: of a merger both
    parents are pairs.
    """
    if len(same) < 10:
        return np.zeros((0, 2), np.intp)
    after = np.full(len(spots), -1)
    after[same[:, 0]] = same[:, 1]
    before = np.full(len(spots), -1)
    before[same[:, 1]] = same[:, 0]
    sigma = _Sigma.of(spots, same)
    planes = spots.by_frame(frames)
    reach = limits.distance_px
    found: list[tuple[float, int, int, int]] = []
    for here, there in itertools.pairwise(planes):
        ending = here[after[here] < 0]
        if not len(ending) or not len(there):
            continue
        found += _explain(spots, ending, here, there, after, before, sigma, reach)
    found.sort(reverse=True)
    result: list[tuple[int, int]] = []
    gone: set[int] = set()
    child: dict[int, int] = {}
    for _, a, c, b in found:
        if a in gone or (c in gone and child.get(c) != b):
            continue
        for part in (a, c):
            if part not in gone:
                result.append((part, b))
                gone.add(part)
                child[part] = b
    return np.array(result, np.intp).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class _Sigma:
    """How much place and area change by chance from frame to frame."""

    place: float
    area: float
    """Relative, of a particle of the median area; it falls with the root of the diameter."""
    diameter: float

    @classmethod
    def of(cls, spots: Spots, same: Pairs) -> "_Sigma":
        """Estimate both from particles that go on, by medians."""
        a, b = same.T
        steps = np.hypot(*(spots.place[b] - spots.place[a]).T)
        change = np.abs(np.log(spots.diameter[b] / spots.diameter[a])) * 2
        return cls(
            max(float(np.median(steps)) / 1.1774, 0.3),
            max(float(np.median(change)) / 0.6745, 0.02),
            float(np.median(spots.diameter)),
        )


def _explain(
    spots: Spots,
    ending: NDArray[np.intp],
    here: NDArray[np.intp],
    there: NDArray[np.intp],
    after: NDArray[np.intp],
    before: NDArray[np.intp],
    sigma: _Sigma,
    reach: float,
) -> list[tuple[float, int, int, int]]:
    """Return (how much better a merger explains it, ending, its partner, what they became)."""
    from scipy.spatial import cKDTree

    place, radius = spots.place, spots.diameter / 2
    most = radius[here].max()
    partners = cKDTree(place[here]).query_ball_point(
        place[ending], radius[ending] + most + 2 * reach
    )
    tree = cKDTree(place[there])
    found = []
    for a, near in zip(ending, partners, strict=True):
        for c in here[near]:
            apart = np.hypot(*(place[a] - place[c]))
            if c == a or apart > radius[a] + radius[c] + 2 * reach:
                continue
            if after[c] >= 0:
                children = [after[c]]
            elif c < a and after[a] < 0:
                continue  # the pair is looked at from the other side
            else:
                # both end: what is new between them
                middle = (place[a] + place[c]) / 2
                around = there[tree.query_ball_point(middle, apart / 2 + reach)]
                children = [b for b in around if before[b] < 0]
            for b in children:
                gain = _gain(spots, a, c, b, sigma)
                if gain > 0:
                    found.append((gain, int(a), int(c), int(b)))
    return found


def _gain(spots: Spots, a: int, c: int, b: int, sigma: _Sigma) -> float:
    """Return the logarithm of how much more likely ``b`` is after a merger of ``a`` and ``c``."""
    place, diameter = spots.place, spots.diameter
    areas = diameter[[a, c]] ** 2
    volumes = diameter[[a, c]] ** 3
    least, largest = volumes.sum() ** (2 / 3), areas.sum()
    seen = diameter[b] ** 2
    spread = sigma.area * seen * np.sqrt(sigma.diameter / diameter[b])
    outside = max(least - seen, seen - largest, 0.0) / spread
    grown = (seen - areas[1]) / spread
    centre = min(
        float(np.hypot(*(weights @ place[[a, c]] / weights.sum() - place[b])))
        for weights in (areas, volumes)
    )
    stayed = float(np.hypot(*(place[b] - place[c])))
    # contact moves particles more than chance does; larger misses are no proof of anything
    for_merger = min(outside, 4) ** 2 + min(centre / (1.5 * sigma.place), 4) ** 2
    against = min(abs(grown), 4) ** 2 + min(stayed / sigma.place, 4) ** 2
    if outside > 4:
        return -1.0
    # whoever was about to touch may have merged; who vanished far from all others has not, and at
    # the border it may have left
    gap = float(np.hypot(*(place[a] - place[c]))) - diameter[[a, c]].sum() / 2
    likely = gap < 1.5 + 2 * sigma.place and not spots.cut[[a, c]].any()
    against += _CONTACT if likely else -_CONTACT
    return (against - for_merger) / 2
