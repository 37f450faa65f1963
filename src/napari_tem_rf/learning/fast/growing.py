"""Trees of a forest grown by Numba, from few examples in a few milliseconds.

Breiman's random forest (Machine Learning 45, 5, 2001): each tree learns from as many examples as
there are, drawn with replacement, and at each node asks for the one of some features drawn at
random that lowers Gini's impurity most. Questions are looked for between 128 quantiles of a
feature, not between all of its values, as in histogram trees (Ke et al., NeurIPS 30, 2017).
"""

from typing import Any

import numpy as np
from numba import njit

__all__ = ["BINS", "grow", "warm_up_growing"]

BINS = 128

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


_FEW = 32
"""Examples up to which a node's are sorted."""


STEP = np.uint64(0x9E3779B97F4A7C15)
"""What the state of the random numbers grows by from one to the next."""


@njit(inline="always")
def _drawn(state: Any, below: int) -> Any:
    """Return a random number from 0, by splitmix64: Steele, Lea and Flood (OOPSLA 2014)."""
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) % np.uint64(below))


@njit(inline="always")
def _purity(below: Any, total: Any, under: int, size: int) -> float:
    """Return what is the larger, the more each side is of one class: Gini's impurity turned."""
    squares_below, squares_above = 0.0, 0.0
    for index in range(total.shape[0]):
        squares_below += float(below[index]) ** 2
        squares_above += float(total[index] - below[index]) ** 2
    return squares_below / under + squares_above / (size - under)


def _grow(
    bins: Any,
    known: Any,
    classes: int,
    candidates: int,
    fewest: int,
    seed: Any,
    feature: Any,
    question: Any,
    left: Any,
    right: Any,
    values: Any,
) -> int:
    """Grow one tree into arrays of two nodes for each example; return how many there are.

    ``bins`` (feature, example) of uint8, ``known`` (example,) of intp. At most ``question`` goes
    left. A leaf has at least ``fewest`` of the drawn examples.
    """
    features, examples = bins.shape
    state = seed
    mine = np.empty(examples, np.int32)
    for place in range(examples):
        state += STEP
        mine[place] = _drawn(state, examples)
    counts, keys = np.empty((BINS, classes), np.int32), np.empty(_FEW, np.int32)
    total, below = np.empty(classes, np.int32), np.empty(classes, np.int32)
    order = np.arange(features)
    # nodes whose examples are not asked yet: number, first and last place
    waiting = np.empty((examples + 1, 3), np.int32)
    waiting[0, 0], waiting[0, 1], waiting[0, 2] = 0, 0, examples
    held, nodes = 1, 1
    while held:
        held -= 1
        node, first, last = waiting[held, 0], waiting[held, 1], waiting[held, 2]
        size = last - first
        total[:] = 0
        for place in range(first, last):
            total[known[mine[place]]] += 1
        is_pure = False
        for index in range(classes):
            is_pure = is_pure or total[index] == size
            values[node, index] = total[index] / size
        left[node] = right[node] = -1
        feature[node], question[node] = 0, 0
        if is_pure or size < 2 * fewest:
            continue
        best, best_feature, best_question = -1.0, -1, 0
        tried = 0
        for draw in range(features):
            if tried == candidates:
                break
            state += STEP
            other = draw + _drawn(state, features - draw)
            order[draw], order[other] = order[other], order[draw]
            asked = order[draw]
            if size <= _FEW:
                # sorted by insertion: a table of counts would be mostly empty
                for place in range(first, last):
                    key = np.int32(bins[asked, mine[place]]) * 256 + known[mine[place]]
                    at = place - first
                    while at > 0 and keys[at - 1] > key:
                        keys[at] = keys[at - 1]
                        at -= 1
                    keys[at] = key
                if keys[0] >> 8 == keys[size - 1] >> 8:  # the same for all: another one is drawn
                    continue
                tried += 1
                below[:] = 0
                for at in range(size - 1):
                    below[keys[at] & 255] += 1
                    value, under = keys[at] >> 8, at + 1
                    if value == keys[at + 1] >> 8 or under < fewest or size - under < fewest:
                        continue
                    purity = _purity(below, total, under, size)
                    if purity > best:
                        best, best_feature, best_question = purity, asked, value
                continue
            asked_of = bins[asked, mine[first:last]]
            low, high = np.int64(asked_of.min()), np.int64(asked_of.max())
            if low == high:
                continue
            tried += 1
            counts[low : high + 1] = 0
            for place in range(size):
                counts[asked_of[place], known[mine[first + place]]] += 1
            below[:] = 0
            under = 0
            for value in range(low, high):
                here = 0
                for index in range(classes):
                    here += counts[value, index]
                    below[index] += counts[value, index]
                under += here
                if here == 0 or under < fewest or size - under < fewest:
                    continue
                purity = _purity(below, total, under, size)
                if purity > best:
                    best, best_feature, best_question = purity, asked, value
        if best_feature < 0:
            continue
        middle, end = first, last
        while middle < end:
            if bins[best_feature, mine[middle]] <= best_question:
                middle += 1
            else:
                end -= 1
                mine[middle], mine[end] = mine[end], mine[middle]
        feature[node], question[node] = best_feature, best_question
        left[node], right[node] = nodes, nodes + 1
        waiting[held, 0], waiting[held, 1], waiting[held, 2] = nodes + 1, middle, last
        waiting[held + 1, 0], waiting[held + 1, 1], waiting[held + 1, 2] = nodes, first, middle
        held += 2
        nodes += 2
    return nodes


try:
    grow = njit(cache=True, **_OPTIONS)(_grow)
except RuntimeError:  # neither the package's folder nor the user's can be written to
    grow = njit(**_OPTIONS)(_grow)


def warm_up_growing() -> None:
    """Compile the kernel, or load what was compiled before, and run it."""
    known = np.arange(8, dtype=np.intp) % 2
    bins = np.repeat(known.astype(np.uint8)[None], 2, axis=0)  # (feature, example)
    feature, left, right = (np.empty(16, np.int32) for _ in range(3))
    question, values = np.empty(16, np.intp), np.empty((16, 2))
    grow(bins, known, 2, 1, 1, np.uint64(1), feature, question, left, right, values)
