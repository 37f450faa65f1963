"""What a forest sees of a pixel, compared with scikit-image."""

import numpy as np
import pytest
from skimage.feature import multiscale_basic_features

from napari_tem_rf.comparison.plan import FOREST_REACH_PX as REACH_OF_THE_PLAN
from napari_tem_rf.learning import pixel_features
from napari_tem_rf.learning.pixel_features import FOREST_REACH_PX, feature_strips


@pytest.mark.parametrize("shape", [(3, 5), (131, 167), (41, 233)])
def test_features_are_those_of_scikit_image(shape):
    pixels = np.random.default_rng(752).standard_normal(shape).astype(np.float32)
    ((rows, features),) = feature_strips(pixels)
    assert rows == slice(0, shape[0])
    theirs = multiscale_basic_features(pixels, sigma_min=0.5, sigma_max=16)
    np.testing.assert_allclose(features, theirs, rtol=1e-5, atol=1e-6)


def test_features_in_strips_are_those_of_the_whole_image(monkeypatch):
    monkeypatch.setattr(pixel_features, "_STRIP_ROWS", 53)
    pixels = np.random.default_rng(956).standard_normal((167, 41)).astype(np.float32)
    whole = multiscale_basic_features(pixels, sigma_min=0.5, sigma_max=16)
    strips = list(feature_strips(pixels))
    assert len(strips) == 4
    for rows, features in strips:
        np.testing.assert_allclose(features, whole[rows], rtol=1e-4, atol=1e-5)


def test_no_feature_sees_further_than_the_reach():
    pixels = np.zeros((1, 301), np.float32).repeat(173, axis=0)
    (_, before), *_ = feature_strips(pixels)
    pixels[86, 150] = 100
    (_, after), *_ = feature_strips(pixels)
    rows, columns = np.nonzero((after != before).any(axis=2))
    furthest = max(np.abs(rows - 86).max(), np.abs(columns - 150).max())
    assert 60 <= furthest <= FOREST_REACH_PX
    assert REACH_OF_THE_PLAN == FOREST_REACH_PX
