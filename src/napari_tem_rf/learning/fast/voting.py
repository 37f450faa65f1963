"""The trees of a forest, walked from root to leaf by Numba, with the votes of scikit-learn."""

from typing import Any

import numpy as np
from numba import njit

# no fastmath: sums are to be those of scikit-learn, to the last digit
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def _walk(
    features: Any,
    roots: Any,
    feature: Any,
    threshold: Any,
    left: Any,
    right: Any,
    values: Any,
    sums: Any,
) -> None:
    """Add the class shares of every tree's leaf to the sums, shape (pixel, class).

    Four pixels go down a tree together, each as many steps as the tree is deep: a leaf leads to
    itself. A processor waits for none of them, and there is no branch that it could guess wrong.
    """
    pixels, nodes, classes = features.shape[0], feature.shape[0], values.shape[1]
    following = np.empty(2 * nodes, np.int32)  # (node, side)
    depth = np.zeros(nodes, np.int32)
    for node in range(nodes):  # who follows has a higher number
        inner = left[node] >= 0
        following[2 * node] = left[node] if inner else node
        following[2 * node + 1] = right[node] if inner else node
        if inner:
            depth[left[node]] = depth[right[node]] = depth[node] + 1
    together = pixels - pixels % 4
    for tree in range(roots.shape[0]):
        root = roots[tree]
        end = roots[tree + 1] if tree + 1 < roots.shape[0] else nodes
        steps = 0
        for node in range(root, end):
            steps = max(steps, depth[node])
        for first in range(0, together, 4):
            a = b = c = d = root
            for _ in range(steps):
                a = following[2 * a + (not features[first, feature[a]] <= threshold[a])]
                b = following[2 * b + (not features[first + 1, feature[b]] <= threshold[b])]
                c = following[2 * c + (not features[first + 2, feature[c]] <= threshold[c])]
                d = following[2 * d + (not features[first + 3, feature[d]] <= threshold[d])]
            for index in range(classes):
                sums[first, index] += values[a, index]
                sums[first + 1, index] += values[b, index]
                sums[first + 2, index] += values[c, index]
                sums[first + 3, index] += values[d, index]
        for pixel in range(together, pixels):
            node = root
            while left[node] >= 0:
                goes_right = not features[pixel, feature[node]] <= threshold[node]
                node = following[2 * node + goes_right]
            for index in range(classes):
                sums[pixel, index] += values[node, index]


try:
    walk = njit(cache=True, **_OPTIONS)(_walk)
except RuntimeError:  # neither the package's folder nor the user's can be written to
    walk = njit(**_OPTIONS)(_walk)


def warm_up_voting() -> None:
    """Compile the kernel, or load what was compiled before, and run it."""
    leaf = np.full(1, -1, np.int32)
    walk(
        np.zeros((5, 1), np.float32), np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1),
        leaf, leaf, np.ones((1, 2)), np.zeros((5, 2)),
    )  # fmt: skip
