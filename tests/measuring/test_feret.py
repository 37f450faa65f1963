"""Feret diameters of all particles at once, against hulls by Qhull one by one."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from napari_tem_rf.measuring.feret import feret_diameters

EDGES = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])


def by_qhull(shape: NDArray[np.bool_], sides: tuple[float, float]) -> tuple[float, float]:
    points = (np.argwhere(shape)[:, None] + EDGES).reshape(-1, 2) * sides
    hull = ConvexHull(points)
    # of each edge of the hull Qhull gives the normal, of length 1
    along = points @ hull.equations[:, :2].T
    return float(pdist(points[hull.vertices]).max()), float(np.ptp(along, axis=0).min())


@pytest.mark.parametrize("sides", [(1.0, 1.0), (0.31, 0.7)])
def test_diameters_are_those_of_hulls_by_qhull(sides: tuple[float, float]) -> None:
    rng = np.random.default_rng(8)
    blobs, number = ndimage.label(ndimage.gaussian_filter(rng.normal(size=(97, 131)), 2.5) > 0.06)
    scattered = np.where(rng.random((41, 29)) < 0.1, rng.integers(1, 5, (41, 29)), 0)
    line = np.zeros((5, 40), np.int32)
    line[2, 3:38] = 1
    for numbered, count in ((blobs, number), (scattered, 4), (line, 1)):
        found = feret_diameters(numbered.astype(np.int32), count, sides)
        expected = [by_qhull(numbered == place, sides) for place in range(1, count + 1)]
        assert found == pytest.approx(np.array(expected), abs=1e-9)


def test_no_particles_have_no_diameters() -> None:
    assert feret_diameters(np.zeros((7, 11), np.int32), 0).shape == (0, 2)
