"""Predict from strokes at once: short jobs of a worker that keeps images and their features.

The pixels of an image travel once, its features are computed once a tile; a stroke then costs the
fit and the answer for the part in view.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.micrographs.splitting import in_judging_block
from napari_tem_rf.protocol import Reporter, Stopped

if TYPE_CHECKING:
    from napari_tem_rf.learning.live import EarlyClassifier, LiveClassifier

__all__ = ["LiveAnswer", "LiveRequest", "LiveStrokes", "keep_live_image", "predict_live"]

TILE_PX = 512
"""Side of the tiles that features are kept of."""

MOST_TILES = 14
"""Tiles whose features are kept at once: 25 MB each."""

LONGEST_S = 0.3
"""A job that computes features ends after the tile with which this time is over: others wait."""

KEPT_IMAGES_BYTES, KEPT_FEATURES_BYTES = 256 * 2**20, 512 * 2**20

MOST_PX = 700
"""Painted pixels that are learned from, at most, of each class."""

SQUARE_PX = 48
"""Strokes are cut by squares of this side to see what tells their classes apart."""

FEWEST_JUDGED_PX = 20
"""Pixels of each class without which nothing can be said of how a prediction does."""

Window = tuple[slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class LiveStrokes:
    """What is painted on a frame.

    Attributes
    ----------
    key : str
        Of the frame, as `keep_live_image` was given it.
    rows, columns : ndarray of int32, shape (pixel,)
        Painted pixels of the raw frame.
    classes : ndarray of uint8, shape (pixel,)
        Their class indices.
    """

    key: str
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    classes: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class LiveRequest:
    """What to learn from and what to predict.

    Attributes
    ----------
    strokes : tuple of LiveStrokes
        Of every painted frame.
    key : str
        Of the frame to predict.
    window : tuple of slice
        (rows, columns) of that raw frame to predict.
    step : int
        Side of the blocks of cleaned pixels that are seen as one, where a large view is shown.
    cleaning : Cleaning
    seed : int
    early : bool
        Whether to answer by grey level and texture alone, for which no PyTorch has to be loaded.
    """

    strokes: tuple[LiveStrokes, ...]
    key: str
    window: Window
    step: int = 1
    cleaning: Cleaning = field(default_factory=Cleaning)
    seed: int = 0
    early: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LiveAnswer:
    """What a live prediction says, or what it lacks.

    Attributes
    ----------
    classes : ndarray of uint8, shape (row, column), optional
        Class indices on the raw pixels of the window; None while something is lacking.
    missing : tuple of str
        Keys of frames that this worker does not hold.
    left : int
        Tiles whose features are not there yet: ask again.
    """

    classes: NDArray[np.uint8] | None = None
    missing: tuple[str, ...] = ()
    left: int = 0


class _Kept:
    """Arrays of the newest use, as many as fit the memory that they may take."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> NDArray[Any] | None:
        with self._lock:
            found = self._arrays.get(key)
            if found is not None:
                self._arrays.move_to_end(key)
            return found

    def put(self, key: Hashable, array: NDArray[Any]) -> None:
        with self._lock:
            self._arrays[key] = array
            self._arrays.move_to_end(key)
            while len(self._arrays) > 1 and self._bytes() > self._most_bytes:
                self._arrays.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._arrays.clear()

    def _bytes(self) -> int:
        return sum(array.nbytes for array in self._arrays.values())


_images = _Kept(KEPT_IMAGES_BYTES)
_features = _Kept(KEPT_FEATURES_BYTES)
_fitted: "OrderedDict[bytes, LiveClassifier | EarlyClassifier]" = OrderedDict()


def keep_live_image(
    key: str, pixels: NDArray[Any], cleaning: Cleaning, *, report: Reporter, stopped: Stopped
) -> None:
    """Hold a raw frame, shape (row, column), cleaned and standardised, for `predict_live`."""
    _images.put((key, 1), standardise(clean(pixels, cleaning)))


def predict_live(request: LiveRequest, *, report: Reporter, stopped: Stopped) -> LiveAnswer:
    """Fit the live classifier to strokes, and predict a window.

    Short by design: where features of many tiles are lacking, it computes some of them and says how
    many are left. Equal requests have equal answers.
    """
    missing = tuple(
        key
        for key in dict.fromkeys([request.key, *(each.key for each in request.strokes)])
        if _images.get((key, 1)) is None
    )
    if missing:
        return LiveAnswer(missing=missing)
    tiles = _tiles_of(request)
    lacking = [tile for tile in tiles if _features.get(_kept_as(request, *tile)) is None]
    begun = time.perf_counter()
    while lacking:
        _make_features(request, *lacking.pop(0))
        if lacking and (stopped() or time.perf_counter() - begun > LONGEST_S):
            return LiveAnswer(left=len(lacking))
    if not request.strokes:  # nothing is painted yet: what is there is kept for the first stroke
        return LiveAnswer()
    if stopped():
        return LiveAnswer()
    classifier = _classifier(request)
    return LiveAnswer(_predict(request, classifier))


# tiles: (key, step, first row, first column)

Tile = tuple[str, int, int, int]


def _tiles_of(request: LiveRequest) -> list[Tile]:
    """Return the tiles that a request needs, those with strokes first.

    Where strokes lie in more tiles than are kept beside those in view, the ones with the most
    painted pixels count.
    """
    by = request.cleaning.binning * request.step
    shape = _level(request.key, request.step).shape
    inner = [_below(side, by, length) for side, length in zip(request.window, shape, strict=True)]
    in_view = [
        (request.key, request.step, row, column)
        for row in range(inner[0].start // TILE_PX * TILE_PX, inner[0].stop, TILE_PX)
        for column in range(inner[1].start // TILE_PX * TILE_PX, inner[1].stop, TILE_PX)
    ]
    painted: dict[Tile, int] = {}
    for each in request.strokes:
        at = np.stack(_places(request, each), axis=1) // TILE_PX * TILE_PX
        for (row, column), count in zip(*np.unique(at, axis=0, return_counts=True), strict=True):
            painted[each.key, request.step, int(row), int(column)] = int(count)
    elsewhere = sorted(painted.keys() - set(in_view), key=lambda tile: (-painted[tile], tile))
    room = max(1, MOST_TILES - len(in_view))
    return [*elsewhere[:room], *in_view]


def _below(side: slice, by: int, length: int) -> slice:
    """Return the pixels of a level that lie below those of the raw frame."""
    return slice(min(side.start // by, length - 1), max(1, min((side.stop + by - 1) // by, length)))


def _places(request: LiveRequest, each: LiveStrokes) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return where painted pixels lie on the level that is looked at."""
    by = request.cleaning.binning * request.step
    shape = _level(each.key, request.step).shape
    return (
        np.minimum(each.rows // by, shape[0] - 1),
        np.minimum(each.columns // by, shape[1] - 1),
    )


def _level(key: str, step: int) -> NDArray[np.float32]:
    """Return a frame whose blocks became one pixel, standardised."""
    found = _images.get((key, step))
    if found is None:
        whole = _images.get((key, 1))
        assert whole is not None
        step_of = min(step, *whole.shape)
        found = standardise(clean(whole, Cleaning(binning=step_of)))
        _images.put((key, step), found)
    return found


def _kept_as(request: LiveRequest, *tile: Hashable) -> Hashable:
    """Return what the features of a tile are known by."""
    return (*tile, "early") if request.early else tile


def _make_features(request: LiveRequest, key: str, step: int, row: int, column: int) -> None:
    from napari_tem_rf.learning.live import LIVE_MARGIN_PX, live_features
    from napari_tem_rf.learning.pixel_features import FOREST_REACH_PX

    margin = FOREST_REACH_PX if request.early else LIVE_MARGIN_PX
    level = _level(key, step)
    rows, columns = level.shape
    top, left = max(0, row - margin), max(0, column - margin)
    bottom = min(rows, row + TILE_PX + margin)
    right = min(columns, column + TILE_PX + margin)
    networks = () if request.early else _networks()
    made = live_features(np.ascontiguousarray(level[top:bottom, left:right]), networks)
    inside = made[row - top : row - top + TILE_PX, column - left : column - left + TILE_PX]
    _features.put(_kept_as(request, key, step, row, column), np.ascontiguousarray(inside))


@cache
def _networks() -> tuple[Any, ...]:
    """Return the networks of simulated micrographs whose maps are features."""
    from safetensors.numpy import load_file

    from napari_tem_rf.learning.fast.network import accelerated
    from napari_tem_rf.learning.live import LIVE_NETWORKS
    from napari_tem_rf.learning.network import network_of
    from napari_tem_rf.starting import simulated_starts

    return tuple(
        accelerated(network_of(start.spec, load_file(start.path))).folded()
        for start in simulated_starts()
        if (start.spec.pools, start.spec.filters) in LIVE_NETWORKS
    )


# fit and predict


def _classifier(request: LiveRequest) -> "LiveClassifier | EarlyClassifier":
    """Return the classifier of some strokes: the last ones' are kept."""
    from napari_tem_rf.learning.live import fit_early, fit_live

    asked = request.step, request.cleaning, request.seed, request.early
    digest = hashlib.sha256(repr(asked).encode())
    for each in request.strokes:
        digest.update(each.key.encode())
        for part in (each.rows, each.columns, each.classes):
            digest.update(part.tobytes())
    key = digest.digest()
    if key not in _fitted:
        features, classes, squares = _examples(request)
        _fitted[key] = (
            fit_early(features, classes, request.seed)
            if request.early
            else fit_live(features, classes, squares, request.seed)
        )
        while len(_fitted) > 2:
            _fitted.popitem(last=False)
    return _fitted[key]


def classes_of_held_out(
    request: LiveRequest,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """Return what the classifier of some strokes says of the others, and what those are.

    Probabilities, shape (pixel, class), and classes, shape (pixel,); None where a class lacks
    pixels on either side.
    """
    from napari_tem_rf.learning.live import fit_live

    sides = []
    for held_out in (False, True):
        parts = []
        for each in request.strokes:
            at = in_judging_block(*_places(request, each)) == held_out
            parts.append(LiveStrokes(each.key, each.rows[at], each.columns[at], each.classes[at]))
        sides.append(replace(request, strokes=tuple(part for part in parts if part.rows.size)))
    painted = {int(index) for each in request.strokes for index in np.unique(each.classes)}
    found = [_examples(side) for side in sides if side.strokes]
    if len(found) < 2 or len(painted) < 2:
        return None
    for _, classes, _ in found:
        counts = np.bincount(classes, minlength=max(painted) + 1)
        if any(counts[index] < FEWEST_JUDGED_PX for index in painted):
            return None
    (others, truth, _) = found[1]
    return fit_live(*found[0], request.seed).probabilities(others), truth


def _examples(
    request: LiveRequest,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    """Return the features of painted pixels (pixel, feature), their classes and their squares."""
    features, classes, squares = [], [], []
    for number, each in enumerate(request.strokes):
        rows, columns = _places(request, each)
        square = (rows // SQUARE_PX).astype(np.int64) << 20 | columns // SQUARE_PX
        square |= number << 40
        corners = np.stack([rows, columns], axis=1) // TILE_PX * TILE_PX
        for corner in np.unique(corners, axis=0):
            here = (corners == corner).all(axis=1)
            place = each.key, request.step, int(corner[0]), int(corner[1])
            tile = _features.get(_kept_as(request, *place))
            if tile is None:  # strokes lie in more tiles than are kept
                continue
            features.append(tile[rows[here] - corner[0], columns[here] - corner[1]])
            classes.append(each.classes[here])
            squares.append(square[here])
    known = np.concatenate(classes)
    if len(np.unique(known)) < 2:
        raise ValueError(
            "the classes are painted in too many places to be looked at together: paint a stroke "
            "of each class in the part that is in view"
        )
    rng = np.random.default_rng(request.seed)
    chosen = [
        np.sort(rng.choice(at, min(MOST_PX, len(at)), replace=False))
        for at in (np.flatnonzero(known == index) for index in np.unique(known))
    ]
    at = np.sort(np.concatenate(chosen))
    return (
        np.concatenate(features)[at].astype(np.float32),
        known[at],
        np.concatenate(squares)[at].astype(np.int64),
    )


def _predict(
    request: LiveRequest, classifier: "LiveClassifier | EarlyClassifier"
) -> NDArray[np.uint8]:
    by = request.cleaning.binning * request.step
    shape = _level(request.key, request.step).shape
    inner = [_below(side, by, length) for side, length in zip(request.window, shape, strict=True)]
    rows, columns = inner
    found = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    for key, step, row, column in _tiles_of(request):
        if key != request.key:
            continue
        top, bottom = max(rows.start, row), min(rows.stop, row + TILE_PX)
        left, right = max(columns.start, column), min(columns.stop, column + TILE_PX)
        if top >= bottom or left >= right:
            continue
        tile = _features.get(_kept_as(request, key, step, row, column))
        if tile is None:
            continue
        part = tile[top - row : bottom - row, left - column : right - column]
        found[
            top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
        ] = classifier.predict(part)
    if by == 1:
        return found
    at = (
        np.minimum(np.arange(side.start, side.stop) // by, length - 1) - first.start
        for side, length, first in zip(request.window, shape, inner, strict=True)
    )
    return found[np.ix_(*at)]
