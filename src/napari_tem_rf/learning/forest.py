"""A random forest as plain arrays: what scikit-learn grew, without anything that runs on opening.

The arrays hold all trees, one behind the other. A file of them may come from anybody: they are
checked as a whole before a pixel is sent down a tree.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Forest"]

LEAF = -1
_BLOCK_PX = 8192
_MOST_THREADS = 8
_KINDS = {
    "roots": "iu",
    "feature": "iu",
    "threshold": "f",
    "left": "i",
    "right": "i",
    "values": "f",
}


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees of yes-or-no questions about a pixel's features.

    Attributes
    ----------
    roots : ndarray of int64, shape (tree,)
        First node of each tree.
    feature : ndarray of int32, shape (node,)
        The feature that a node asks for.
    threshold : ndarray of float64, shape (node,)
        At most that goes left, more goes right.
    left, right : ndarray of int32, shape (node,)
        The following nodes; -1 at a leaf.
    values : ndarray of float64, shape (node, class)
        Shares of the classes, which sum to 1; those of leaves count.
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, grown: Any, classes: int) -> "Forest":
        """Return the arrays of a fitted ``RandomForestClassifier``.

        Parameters
        ----------
        grown : sklearn.ensemble.RandomForestClassifier
            Its classes are indices below ``classes``; those that it never saw get no votes.
        classes : int
        """
        trees = [each.tree_ for each in grown.estimators_]
        counts = np.array([tree.node_count for tree in trees])
        roots = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)

        def moved(name: str) -> NDArray[np.int32]:
            places = [getattr(tree, name) for tree in trees]
            return np.concatenate(
                [np.where(at < 0, LEAF, at + root) for at, root in zip(places, roots, strict=True)]
            ).astype(np.int32)

        left = moved("children_left")
        values = np.zeros((len(left), classes))
        seen = np.asarray(grown.classes_, np.intp)
        values[:, seen] = np.concatenate([tree.value[:, 0, :] for tree in trees])
        feature = np.concatenate([tree.feature for tree in trees])
        threshold = np.concatenate([tree.threshold for tree in trees])
        inner = left >= 0
        return cls(
            roots,
            np.where(inner, feature, 0).astype(np.int32),
            np.where(inner, threshold, 0.0),
            left,
            moved("children_right"),
            values,
        )

    @classmethod
    def grow(
        cls,
        features: NDArray[np.float32],
        known: NDArray[np.intp],
        trees: int,
        seed: int,
        fewest_in_leaf: int = 3,
        waits: bool = True,
    ) -> "Forest":
        """Return a forest that learned from examples; the same seed gives the same one.

        At each node as many features as the root of their number are drawn. Where Numba is
        missing, scikit-learn grows it, which takes many times as long.

        Parameters
        ----------
        features : ndarray of float32, shape (example, feature)
        known : ndarray of int, shape (example,)
            Class indices, all from 0 to the highest.
        trees, seed : int
        fewest_in_leaf : int
            Examples of a leaf, those drawn twice counted twice.
        waits : bool
            Whether to wait where Numba has yet to be tried on this machine; else scikit-learn
            grows the forest, which is another one.
        """
        from napari_tem_rf.learning.fast.compiled import forest_kernels

        if not forest_kernels(waits):
            from sklearn.ensemble import RandomForestClassifier

            grown = RandomForestClassifier(
                trees, min_samples_leaf=fewest_in_leaf, random_state=seed
            ).fit(features, known)
            return cls.of(grown, int(known.max()) + 1)
        return cls._grow_fast(features, known, trees, seed, fewest_in_leaf)

    @classmethod
    def _grow_fast(
        cls,
        features: NDArray[np.float32],
        known: NDArray[np.intp],
        trees: int,
        seed: int,
        fewest_in_leaf: int,
    ) -> "Forest":
        from napari_tem_rf.learning.fast.growing import BINS, grow

        examples, number = features.shape
        between = np.empty((number, BINS - 1))  # (feature, question)
        bins = np.empty((number, examples), np.uint8)
        ranks = np.linspace(0, examples, BINS + 1)[1:-1].astype(np.intp)
        for each, values in enumerate(features.T.astype(np.float64)):
            ascending = np.sort(values)
            below = ascending[np.maximum(ranks - 1, 0)]
            above = np.searchsorted(ascending, below, side="right")  # the next larger value
            between[each] = (below + ascending[np.minimum(above, examples - 1)]) / 2
            # at most the question goes left
            bins[each] = np.searchsorted(between[each], values, side="left")
        classes = int(known.max()) + 1
        candidates = max(1, round(np.sqrt(number)))
        seeds = np.random.SeedSequence(seed).generate_state(trees, np.uint64)
        most = 2 * examples

        def grown(seed: np.uint64) -> tuple[NDArray[Any], ...]:
            feature, left, right = (np.empty(most, np.int32) for _ in range(3))
            question, values = np.empty(most, np.intp), np.empty((most, classes))
            nodes = grow(
                bins, known, classes, candidates, fewest_in_leaf, seed,
                feature, question, left, right, values,
            )  # fmt: skip
            arrays = feature[:nodes], question[:nodes], left[:nodes], right[:nodes], values[:nodes]
            return tuple(each.copy() for each in arrays)

        found = [grown(each) for each in seeds]
        roots = np.concatenate([[0], np.cumsum([len(each[0]) for each in found])[:-1]])

        def moved(side: int) -> NDArray[np.int32]:
            places = zip(found, roots, strict=True)
            return np.concatenate(
                [np.where(each[side] < 0, LEAF, each[side] + root) for each, root in places]
            ).astype(np.int32)

        feature = np.concatenate([each[0] for each in found])
        threshold = between[feature, np.concatenate([each[1] for each in found])]
        left, right = moved(2), moved(3)
        return cls(
            roots.astype(np.int64),
            feature,
            np.where(left < 0, 0.0, threshold),
            left,
            right,
            np.concatenate([each[4] for each in found]),
        )

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], features: int, classes: int
    ) -> "Forest":
        """Return the forest that arrays by name hold.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            As `to_arrays` gives them.
        features, classes : int
            What a pixel has, and what it may be.

        Raises
        ------
        ValueError
            When they are no forest: one is missing, of another shape or kind, a node leads out of
            its tree or back, a node asks for a feature that there is not, or shares do not sum to
            1. The message is the part of a sentence.
        """
        if set(arrays) != set(_KINDS):
            raise ValueError(f"it holds {_listed(arrays)}, where a forest has {_listed(_KINDS)}")
        for name, kind in _KINDS.items():
            if arrays[name].dtype.kind not in kind:
                raise ValueError(f"{name} are of type {arrays[name].dtype}")
        nodes = arrays["feature"].shape[:1]
        shapes = dict.fromkeys(("feature", "threshold", "left", "right"), nodes)
        shapes |= {"values": (*nodes, classes), "roots": arrays["roots"].shape[:1]}
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not shape:
                raise ValueError(f"{name} have the shape {arrays[name].shape}, not {shape}")
        _check_trees(arrays, features)
        return cls(
            arrays["roots"].astype(np.int64),
            arrays["feature"].astype(np.int32),
            arrays["threshold"].astype(np.float64),
            arrays["left"].astype(np.int32),
            arrays["right"].astype(np.int32),
            arrays["values"].astype(np.float64),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for a file."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def trees(self) -> int:
        """How many trees vote."""
        return len(self.roots)

    def probabilities(
        self, features: NDArray[np.float32], waits: bool = True
    ) -> NDArray[np.float64]:
        """Return the mean of the trees' shares.

        Parameters
        ----------
        features : ndarray of float32, shape (pixel, feature)
        waits : bool
            As for `grow`; the shares are the same.

        Returns
        -------
        ndarray of float64, shape (pixel, class)
        """
        from napari_tem_rf.learning.fast.compiled import forest_kernels

        features = np.ascontiguousarray(features, np.float32)
        sums = np.zeros((len(features), self.values.shape[1]))
        blocks = [slice(at, at + _BLOCK_PX) for at in range(0, len(features), _BLOCK_PX)]
        if not forest_kernels(waits):
            for block in blocks:
                self._walk_slowly(features[block], sums[block])
        else:
            from napari_tem_rf.learning.fast.voting import walk

            nodes = (self.roots, self.feature, self.threshold, self.left, self.right, self.values)

            def walked(block: slice) -> None:
                walk(features[block], *nodes, sums[block])

            with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS), "trees") as pool:
                for _ in pool.map(walked, blocks):
                    pass
        return sums / self.trees

    def _walk_slowly(self, features: NDArray[np.float32], sums: NDArray[np.float64]) -> None:
        """Do what `learning.fast.voting.walk` does, where Numba is missing."""
        pixels = np.arange(len(features))
        for root in self.roots:
            node = np.full(len(features), root)
            going = pixels
            while len(going := going[self.left[node[going]] >= 0]):
                at = node[going]
                goes_left = features[going, self.feature[at]] <= self.threshold[at]
                node[going] = np.where(goes_left, self.left[at], self.right[at])
            sums += self.values[node]


def _check_trees(arrays: Mapping[str, NDArray[Any]], features: int) -> None:
    """Raise ValueError unless every node but the roots follows exactly one other of its tree."""
    roots = arrays["roots"].astype(np.int64)
    left, right = arrays["left"].astype(np.int64), arrays["right"].astype(np.int64)
    nodes = np.arange(len(left))
    if not len(roots) or not len(nodes):
        raise ValueError("it has no tree")
    if roots[0] != 0 or (np.diff(roots) <= 0).any() or roots[-1] >= len(nodes):
        raise ValueError("its trees do not begin one behind the other")
    inner = left != LEAF
    if ((right != LEAF) != inner).any():
        raise ValueError("a node leads to one side only")
    # nobody comes back who only goes forward; nor out of the tree who stays before its end
    tree = np.searchsorted(roots, nodes, side="right") - 1
    end = np.append(roots[1:], len(nodes))[tree]
    for side in (left[inner], right[inner]):
        if (side <= nodes[inner]).any() or (side >= end[inner]).any():
            raise ValueError("a node leads back, or out of its tree")
    led_to = np.bincount(np.concatenate([left[inner], right[inner]]), minlength=len(nodes))
    expected = np.ones(len(nodes), np.int64)
    expected[roots] = 0
    if (led_to != expected).any():
        raise ValueError("a node is led to by none, or by several")
    asked = arrays["feature"][inner]
    if ((asked < 0) | (asked >= features)).any():
        raise ValueError(f"a node asks for a feature that is not one of the {features}")
    if not np.isfinite(arrays["threshold"]).all():
        raise ValueError("a threshold is not a number")
    shares = arrays["values"][~inner]
    if not ((shares >= 0) & (shares <= 1)).all() or not np.allclose(shares.sum(axis=1), 1):
        raise ValueError("the shares of a leaf's classes do not sum to 1")


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)[:10]) or "nothing"
