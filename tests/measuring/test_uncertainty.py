"""The entropy of probabilities, by hand and by scipy."""

import numpy as np
import pytest
from scipy.stats import entropy

from napari_tem_rf.measuring.uncertainty import mean_entropy


def test_certain_and_uncertain_networks() -> None:
    certain = np.zeros((2, 5, 7))
    certain[1] = 1
    assert mean_entropy(certain) == pytest.approx(0, abs=1e-9)
    assert mean_entropy(np.full((3, 5, 7), 1 / 3)) == pytest.approx(1)
    # a quarter of the pixels at 50 %, the others sure
    half = certain.copy()
    half[:, :, :] = np.where(np.arange(35).reshape(5, 7) < 35 / 4, 0.5, half)
    assert mean_entropy(half) == pytest.approx(9 / 35)


def test_against_scipy() -> None:
    values = np.random.default_rng(1).dirichlet((1, 2, 3), size=(5, 7)).transpose(2, 0, 1)
    assert mean_entropy(values) == pytest.approx(entropy(values, base=3, axis=0).mean())
