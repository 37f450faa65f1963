"""Particles told apart: by hand, by counting, and by the slow way that knows no shortcuts."""

import numpy as np
import pytest
from scipy import ndimage

from napari_tem_rf.measuring import instances
from napari_tem_rf.measuring.instances import compact, find_particles, neighbours, part_at_passes


@pytest.mark.parametrize(
    ("values", "found", "numbered"),
    [
        ([[0, 3, 3], [7, 0, 3]], [3, 7], [[0, 1, 1], [2, 0, 1]]),
        ([[5, 3]], [3, 5], [[2, 1]]),
        ([[-4, 2]], [2], [[0, 1]]),
        ([[0, 0]], [], [[0, 0]]),
        # far more than there are pixels
        ([[0, 2_000_000_000, 9]], [9, 2_000_000_000], [[0, 2, 1]]),
        ([[2_000_000_000, 9]], [9, 2_000_000_000], [[2, 1]]),
        ([[-1, 2_000_000_000]], [2_000_000_000], [[0, 1]]),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint32])
def test_labels_in_the_order_of_their_values(values, found, numbered, dtype):
    if dtype is np.uint32 and min(map(min, values)) < 0:
        pytest.skip("no sign")
    labels, renumbered = compact(np.array(values, dtype))
    assert labels.tolist() == found
    assert renumbered.tolist() == numbered
    assert renumbered.dtype == np.int32


def test_true_is_one_label():
    labels, renumbered = compact(np.array([[True, False]]))
    assert (labels.tolist(), renumbered.tolist()) == ([1], [[1, 0]])
    labels, renumbered = compact(np.zeros((0, 3), int))
    assert (labels.tolist(), renumbered.shape) == ([], (0, 3))


def test_each_pair_of_neighbours_is_there_once():
    """Of 3 x 4 px: 9 side by side, 8 one below the other, and 6 of each diagonal."""
    numbers = np.arange(12).reshape(3, 4)
    pairs = [
        tuple(sorted(pair))
        for here, there in neighbours((3, 4))
        for pair in zip(
            numbers[here].ravel().tolist(), numbers[there].ravel().tolist(), strict=True
        )
    ]
    near = [
        (one, other)
        for one in range(12)
        for other in range(one + 1, 12)
        if max(abs(one // 4 - other // 4), abs(one % 4 - other % 4)) == 1
    ]
    assert sorted(pairs) == near
    assert len(near) == 9 + 8 + 6 + 6


def blobs(seed, shape=(90, 130), level=0.12):
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.normal(size=shape), 3.5) > level / 3


def slowly(mask, neck, smallest_px, sides):
    """Split each component by itself on the whole image, whatever its summits are."""
    components, number = ndimage.label(mask, np.ones((3, 3)))
    found = np.zeros(mask.shape, int)
    last = 0
    for label in range(1, number + 1):
        inside = components == label
        if inside.sum() < smallest_px:
            continue
        distance = ndimage.distance_transform_edt(inside, sampling=sides)
        parts, here = (
            instances._parts_of(inside, distance, neck, smallest_px)
            if inside.sum() >= 2 * smallest_px
            else (1, inside.astype(int))
        )
        found[inside] = here[inside] + last
        last += parts
    return found


def same_parts(one, other):
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return len(np.unique(one)) == len(np.unique(other)) == pairs.shape[1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("neck", "smallest_px", "size"),
    [(0.8, 1, None), (1.0, 9, (0.03, 0.02)), (0.5, 40, (0.02, 0.04))],
)
def test_shortcuts_leave_the_parts_as_they_are(seed, neck, smallest_px, size):
    mask = blobs(seed)
    rows, columns = size or (1.0, 1.0)
    sides = ((rows / columns) ** 0.5, (columns / rows) ** 0.5)
    found = find_particles(mask, neck=neck, smallest_px=smallest_px, pixel_size_nm=size)
    assert same_parts(found, slowly(mask, neck, smallest_px, sides))
    # in the order of their first pixels
    values, first = np.unique(found[found > 0], return_index=True)
    assert values.tolist() == list(range(1, len(values) + 1))
    assert (np.diff(first) > 0).all()
    # each in one place
    for value in values:
        assert ndimage.label(found == value, np.ones((3, 3)))[1] == 1


HILLS = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 3, 5, 3, 2, 4, 2, 1, 2, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    float,
)


@pytest.mark.parametrize(
    ("wanted", "smallest_px", "parts"),
    [
        # passes of 2 below a summit of 4, and of 1 below one of 2
        (lambda width, lower: True, 1, [3, 3, 3]),
        (lambda width, lower: False, 1, [9]),
        (lambda width, lower: width < 1.5, 1, [6, 3]),
        (lambda width, lower: lower > 3, 1, [3, 6]),
        # no part is smaller, and the two that are joined are one from then on
        (lambda width, lower: True, 4, [9]),
        (lambda width, lower: True, 3, [3, 3, 3]),
    ],
)
def test_basins_are_joined_at_the_passes_that_part_nothing(wanted, smallest_px, parts):
    asked = []

    def apart(width, lower):
        asked.append((width, lower))
        return wanted(width, lower)

    number, labels = part_at_passes(HILLS, HILLS > 0, apart, smallest_px)
    assert number == len(parts)
    sizes = np.bincount(labels.ravel())[1:]
    assert sorted(sizes.tolist()) == sorted(parts)
    assert ((labels > 0) == (HILLS > 0)).all()
    # from the highest pass down, with the lower of the summits that it parts
    assert asked[0] == (2, 4)
    assert [width for width, _ in asked] == sorted((width for width, _ in asked), reverse=True)


def test_one_summit_is_one_part():
    hill = np.array([[0, 1, 2, 1, 0]], float)
    number, labels = part_at_passes(hill, hill > 0, lambda width, lower: True)
    assert (number, labels.tolist()) == (1, [[0, 1, 1, 1, 0]])
    assert labels.dtype == np.int32


@pytest.mark.parametrize(("smallest_px", "number"), [(12, 2), (13, 1), (20, 1), (21, 0)])
def test_particles_of_fewer_pixels_are_left_out(smallest_px, number):
    mask = np.zeros((12, 20), np.uint8)
    mask[2:5, 2:6], mask[2:7, 10:14] = 1, 1
    assert find_particles(mask, smallest_px=smallest_px).max() == number


@pytest.mark.parametrize("side", ["first row", "last row", "first column", "last column", "none"])
def test_each_side_of_the_image_cuts(side):
    mask = np.zeros((9, 13), np.uint8)
    places = {
        "first row": (0, 5),
        "last row": (8, 5),
        "first column": (4, 0),
        "last column": (4, 12),
        "none": (1, 1),
    }
    mask[4, 6] = mask[places[side]] = 1
    inner = find_particles(mask, border=False)
    assert inner.max() == (2 if side == "none" else 1)
    assert find_particles(mask).max() == 2


@pytest.mark.parametrize("neck", [0.0, 1.0])
def test_a_neck_of_0_and_of_1_are_within_bounds(neck):
    assert find_particles(blobs(1), neck=neck).max() > 0
