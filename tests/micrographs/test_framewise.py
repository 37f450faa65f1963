"""Packed labels behave as the array that they stand for."""

import numpy as np
import pytest

from napari_tem_rf.micrographs.framewise import PackedLabels

SHAPE = (5, 37, 41)


@pytest.fixture
def pair():
    array = np.random.default_rng(752).integers(0, 70_000, SHAPE).astype(np.int32)
    array[3] = 0
    packed = PackedLabels(SHAPE, np.int32)
    for index in (0, 1, 2, 4):
        packed[index] = array[index]
    return array, packed


KEYS = [
    2,
    -1,
    np.int64(1),
    slice(1, 4),
    slice(None, None, 2),
    (3, slice(2, 5), 4),
    (slice(1, 3), 5, slice(None)),
    (2, np.array([3, 3, 7]), np.array([1, 1, 2])),
    (np.array([0, 4, 4]), np.array([3, 36, 0]), np.array([40, 1, 2])),
    ...,
    (..., 7),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reading(pair, key):
    array, packed = pair
    np.testing.assert_array_equal(packed[key], array[key])
    assert packed[key].dtype == array.dtype


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("own", [True, False])
def test_writing(pair, key, own):
    array, packed = pair
    value = array[key][::-1].copy() if own and np.ndim(array[key]) else 9
    array[key] = value
    packed[key] = value
    np.testing.assert_array_equal(np.asarray(packed), array)


def test_what_is_read_is_a_copy(pair):
    array, packed = pair
    packed.frame(2)[:] = 5
    np.testing.assert_array_equal(packed[2], array[2])
    with pytest.raises(IndexError, match="there is no frame 5: the series has 5"):
        packed[5]


def test_particles_take_a_small_part_of_their_size():
    rows, columns = np.indices((512, 512))
    discs = ((rows % 40 - 20) ** 2 + (columns % 40 - 20) ** 2 < 200) * (
        rows // 40 * 13 + columns // 40 + 1
    )
    packed = PackedLabels((50, 512, 512), np.int32)
    for index in range(50):
        packed[index] = discs
    np.testing.assert_array_equal(packed[49], discs)
    assert packed.nbytes < 0.05 * packed.size * 4
