"""A forest as plain arrays: votes as scikit-learn's, and no array is walked unchecked."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from napari_tem_rf.learning.fast import compiled
from napari_tem_rf.learning.forest import Forest

FEATURES, CLASSES = 7, 4


@pytest.fixture(scope="module")
def grown():
    """A forest that never saw class 2, and the pixels to ask it about."""
    rng = np.random.default_rng(752)
    features = rng.standard_normal((900, FEATURES)).astype(np.float32)
    truth = np.select([features[:, 0] > 0.5, features[:, 1] + features[:, 2] > 0], [3, 1], 0)
    truth = np.where(rng.random(900) < 0.2, rng.permutation(truth), truth)
    forest = RandomForestClassifier(23, min_samples_leaf=3, random_state=1).fit(features, truth)
    return forest, rng.standard_normal((20_011, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("numba", [True, False])
def test_votes_equal_scikit_learns(grown, monkeypatch, numba):
    if not numba:
        monkeypatch.setattr(compiled, "kernels", lambda: None)
    forest, asked = grown
    ours = Forest.of(forest, CLASSES)
    shares = ours.probabilities(asked)
    np.testing.assert_array_equal(shares[:, [0, 1, 3]], forest.predict_proba(asked))
    assert not shares[:, 2].any()
    np.testing.assert_array_equal(shares.argmax(axis=1), forest.predict(asked))


def test_arrays_give_the_forest_back(grown):
    ours = Forest.of(grown[0], CLASSES)
    again = Forest.from_arrays(ours.to_arrays(), FEATURES, CLASSES)
    assert again.trees == 23
    for name, values in ours.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], values)


def changed(name, at, value):
    def change(arrays):
        arrays[name][at] = value

    return change


def of_inner(side, value):
    """Lead the second tree's root somewhere else; ``value`` is counted from it."""

    def change(arrays):
        root = arrays["roots"][1]
        arrays[side][root] = root + value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: arrays.pop("left"), "where a forest has"),
        (lambda arrays: arrays.update(code=np.zeros(3)), "where a forest has"),
        (lambda arrays: arrays.update(left=arrays["left"][:-1]), "have the shape"),
        (lambda arrays: arrays.update(values=arrays["values"][:, :3]), "have the shape"),
        (lambda arrays: arrays.update(feature=arrays["feature"] + 0.5), "of type float64"),
        (changed("feature", slice(None), FEATURES), "feature that is not one of the 7"),
        (changed("feature", 0, -1), "feature that is not one of the 7"),
        (changed("left", 0, 10**6), "back, or out of its tree"),
        (changed("left", 0, 0), "back, or out of its tree"),
        (of_inner("right", -1), "back, or out of its tree"),
        (of_inner("right", 0), "back, or out of its tree"),
        (of_inner("right", 1), "led to by none, or by several"),
        (changed("left", 0, -1), "to one side only"),
        (changed("left", 0, -7), "back, or out of its tree"),
        (changed("roots", 1, 0), "one behind the other"),
        (changed("roots", -1, 10**7), "one behind the other"),
        (lambda arrays: arrays.update(roots=arrays["roots"][:0]), "no tree"),
        (changed("threshold", 0, np.nan), "not a number"),
        (changed("values", slice(None), 2.0), "do not sum to 1"),
        (changed("values", slice(None), np.nan), "do not sum to 1"),
    ],
)
def test_arrays_that_are_no_forest_are_refused(grown, change, words):
    arrays = {
        name: values.copy() for name, values in Forest.of(grown[0], CLASSES).to_arrays().items()
    }
    change(arrays)
    with pytest.raises(ValueError, match=words):
        Forest.from_arrays(arrays, FEATURES, CLASSES)


@pytest.fixture(scope="module")
def examples():
    """Two classes that no single feature tells apart, a tenth of them mislabelled; and others."""
    rng = np.random.default_rng(140)
    features = rng.standard_normal((3000, 24)).astype(np.float32)
    features[:, 7] = 1.0  # the same for all
    features[:, 9] = np.round(features[:, 9])  # few values
    truth = (features[:, 0] * features[:, 3] + features[:, 9] > 0).astype(np.intp)
    known = np.where(rng.random(3000) < 0.1, 1 - truth, truth)
    return features[:1000], known[:1000], features[1000:], truth[1000:]


def test_trees_grown_here_are_as_good_as_scikit_learns(examples):
    features, known, others, truth = examples
    ours = Forest.grow(features, known, 60, 3)
    Forest.from_arrays(ours.to_arrays(), 24, 2)  # a forest through and through
    theirs = RandomForestClassifier(60, min_samples_leaf=3, random_state=3).fit(features, known)
    right = [
        (ours.probabilities(others).argmax(axis=1) == truth).mean(),
        (theirs.predict(others) == truth).mean(),
    ]
    assert right[1] > 0.7
    assert right[0] > right[1] - 0.02
    again = Forest.grow(features, known, 60, 3).to_arrays()
    for name, values in ours.to_arrays().items():
        np.testing.assert_array_equal(again[name], values)
    assert (Forest.grow(features, known, 1, 4).threshold[0] != ours.threshold[0]).any()


def test_a_tree_asks_what_divides_best(examples):
    """At the root, of one feature: as Gini's impurity of every threshold says."""
    features, known, *_ = examples
    one = np.ascontiguousarray(features[:, 9:10])
    tree = Forest.grow(one, known, 1, 0)
    # with one feature there is no choice but the threshold: between -1 and 0, or 0 and 1
    assert tree.threshold[0] in (-0.5, 0.5)
    leaf = tree.left < 0
    assert (tree.values[leaf].max(axis=1) <= 1).all()
    apart = np.where(known == 1, 5.0, -5.0).astype(np.float32)[:, None]
    tree = Forest.grow(apart, known, 1, 0)
    assert len(tree.left) == 3
    assert tree.threshold[0] == 0
    np.testing.assert_array_equal(tree.values[1:], [[1, 0], [0, 1]])


def test_leaves_hold_as_many_examples_as_asked_for(examples):
    features, known, *_ = examples
    for fewest in (1, 20, 400):
        tree = Forest.grow(features, known, 1, 5, fewest_in_leaf=fewest)
        leaves = (tree.left < 0).sum()
        assert leaves <= len(known) // fewest
        # shares are of whole examples
        assert leaves > 1 or fewest == 400
    assert len(Forest.grow(features, known, 1, 5, fewest_in_leaf=501).left) == 1


def test_three_classes_and_a_forest_without_numba(examples, monkeypatch):
    features, known, others, _ = examples
    three = np.where(features[:, 5] > 1, 2, known)
    with_numba = Forest.grow(features, three, 20, 0).probabilities(others)
    monkeypatch.setattr(compiled, "kernels", lambda: None)
    without = Forest.grow(features, three, 20, 0).probabilities(others)
    assert with_numba.shape == without.shape == (2000, 3)
    np.testing.assert_allclose(with_numba.sum(axis=1), 1)
    assert (with_numba.argmax(axis=1) == without.argmax(axis=1)).mean() > 0.8
