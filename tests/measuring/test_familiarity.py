"""How far features lie from those of a training."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis

from napari_tem_rf.measuring.familiarity import FeatureSpace, feature_space


def correlated(count, seed, offset=0.0):
    """Features that vary along two directions, and a little along all."""
    fixed = np.random.default_rng(3)
    directions, mean = fixed.normal(size=(2, 12)), fixed.uniform(1, 4, 12)
    rng = np.random.default_rng(seed)
    along = rng.normal(size=(count, 2)) * (3, 2)
    return mean + along @ directions + 0.5 * rng.normal(size=(count, 12)) + offset


def test_features_of_the_training_are_about_one_away():
    space = feature_space(correlated(400, 0))
    assert np.sqrt(np.mean(space.distances(correlated(400, 1)) ** 2)) == pytest.approx(1, abs=0.15)


def test_distances_are_those_of_the_true_gaussian():
    """Against scipy's Mahalanobis distance by the covariance that the features were drawn with."""
    fixed = np.random.default_rng(3)
    directions, mean = fixed.normal(size=(2, 12)), fixed.uniform(1, 4, 12)
    covariance = directions.T @ np.diag([9.0, 4.0]) @ directions + 0.25 * np.eye(12)
    inverse = np.linalg.inv(covariance)
    space, far = feature_space(correlated(4000, 0)), correlated(30, 5, offset=2.0)
    expected = [mahalanobis(each, mean, inverse) / np.sqrt(12) for each in far]
    found = space.distances(far)
    assert np.corrcoef(found, expected)[0, 1] > 0.7
    assert np.median(found / expected) == pytest.approx(1, abs=0.3)


def test_what_was_shifted_is_farther():
    space = feature_space(correlated(50, 0))
    near, far, farther = (
        np.median(space.distances(correlated(50, 1, offset=offset))) for offset in (0, 2, 6)
    )
    assert near < far < farther
    assert farther > 3 * near


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_crops_are_enough_for_a_guess(count):
    space = feature_space(correlated(count, 0))
    found = space.distances(correlated(20, 1))
    assert np.isfinite(found).all()
    assert np.median(space.distances(correlated(20, 1, offset=20.0))) > 2 * np.median(found)


def test_features_that_never_vary_are_no_trouble():
    space = feature_space(np.ones((6, 4)))
    assert space.distances(np.ones((2, 4))) == pytest.approx(0)
    assert (space.distances(np.full((2, 4), 3.0)) > 1).all()
    assert np.isfinite(feature_space(np.zeros((3, 4))).distances(np.ones((2, 4)))).all()


def test_a_damaged_space_is_refused():
    with pytest.raises(ValueError, match="not more than 0"):
        FeatureSpace((0.0, 1.0), (1.0, 0.0), (), (), 1.0, 3)
    with pytest.raises(ValueError, match="another length"):
        FeatureSpace((0.0, 1.0), (1.0, 1.0), ((1.0,),), (1.0,), 1.0, 3)
