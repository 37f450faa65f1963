"""What the live classifier is made of, against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from napari_tem_rf.learning.live import SHRINKAGE, _fit_maps, _softmax


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_regression_is_scikit_learns(classes):
    rng = np.random.default_rng(752)
    features = (rng.standard_normal((900, 24)) * rng.uniform(0.1, 3, 24)).astype(np.float32)
    logits = features[:, :classes] + 1.5 * rng.standard_normal((900, classes))
    known = logits.argmax(axis=1)
    weight, bias = _fit_maps(features, known)
    scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-3)
    theirs = LogisticRegression(
        C=0.5 / (SHRINKAGE * len(known)), class_weight="balanced", tol=1e-8, max_iter=2000
    ).fit(scaled, known)
    np.testing.assert_allclose(
        _softmax(features @ weight + bias), theirs.predict_proba(scaled), atol=2e-3
    )
