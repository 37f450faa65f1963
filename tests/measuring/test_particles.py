from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from skimage.measure import perimeter_crofton, regionprops_table

from napari_tem_rf.measuring.particles import (
    find_particles,
    measure_particles,
    median_diameter,
    summarise,
)

DATA = Path(__file__).parents[3] / "shared" / "data" / "nanoparticles-bf"
SHAPE = (131, 173)


def discs(*circles, shape=SHAPE):
    row, column = np.indices(shape)
    inside = [np.hypot(row - r, column - c) < d / 2 for r, c, d in circles]
    return np.any(inside, axis=0).astype(np.uint8)


def test_a_rectangle_by_hand():
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:16, 20:50] = 1  # 6 x 30
    image = np.full(SHAPE, 5.0)
    image[10:13] = 9
    (row,) = measure_particles(find_particles(mask), image).to_dict("records")
    assert row["area_px"] == 180
    assert row["equivalent_diameter_px"] == pytest.approx(np.sqrt(4 * 180 / np.pi))
    assert row["feret_min_px"] == 6
    # edge midpoints of opposite corner pixels: 5 and 30 apart
    assert row["feret_max_px"] == pytest.approx(np.hypot(5, 30))
    assert row["mean_intensity"] == 7
    assert (row["row_px"], row["column_px"]) == (12.5, 34.5)
    assert not row["touches_border"]


def test_pixels_that_are_not_square():
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:16, 20:50] = 1
    (row,) = measure_particles(find_particles(mask), pixel_size_nm=(0.5, 0.1)).to_dict("records")
    assert row["area_nm2"] == pytest.approx(6 * 30 * 0.05)
    assert row["feret_min_nm"] == pytest.approx(3)  # both sides are 3 nm
    assert row["feret_max_nm"] == pytest.approx(np.hypot(3, 2.9))
    assert (row["row_nm"], row["column_nm"]) == pytest.approx((6.25, 3.45))


def test_an_ellipse_of_pixels_that_are_not_square_is_a_circle_in_nm():
    row, column = np.indices((223, 341))
    pixel_size = (0.03, 0.02)
    mask = np.hypot((row - 110) * 0.03, (column - 170) * 0.02) < 2.5
    found = measure_particles(find_particles(mask), pixel_size_nm=pixel_size).iloc[0]
    assert found["equivalent_diameter_nm"] == pytest.approx(5, rel=0.002)
    assert found["feret_max_nm"] == pytest.approx(5, rel=0.015)
    assert found["feret_min_nm"] == pytest.approx(5, rel=0.015)
    assert found["circularity"] == pytest.approx(1, abs=0.01)


def test_measures_equal_scikit_images():
    rng = np.random.default_rng(140)
    mask = discs((30, 40, 33), (80, 120, 21), (100, 30, 9))
    mask[60:75, 60:64] = 1
    image = rng.normal(100, 10, SHAPE)
    instances = find_particles(mask)
    table = measure_particles(instances, image)
    properties = ("label", "area", "equivalent_diameter_area", "centroid", "mean_intensity")
    expected = pd.DataFrame(regionprops_table(instances, image, properties=properties))
    columns = ["label", "area_px", "equivalent_diameter_px", "row_px", "column_px"]
    np.testing.assert_allclose(table[[*columns, "mean_intensity"]], expected)
    crofton = [perimeter_crofton(instances == i, directions=4) for i in table["label"]]
    circularity = np.minimum(4 * np.pi * table["area_px"] / np.square(crofton), 1)
    np.testing.assert_allclose(table["circularity"], circularity)


@pytest.mark.parametrize("diameter", [10, 25, 60, 200])
def test_discs_of_known_size(diameter):
    mask = discs((118.3, 131.7, diameter), shape=(239, 263))
    found = measure_particles(find_particles(mask), pixel_size_nm=(0.1, 0.1)).iloc[0]
    assert found["equivalent_diameter_nm"] == pytest.approx(diameter / 10, rel=0.02)
    assert found["feret_min_nm"] == pytest.approx(diameter / 10, abs=0.05)
    assert found["feret_max_nm"] == pytest.approx(diameter / 10, abs=0.12)
    assert found["circularity"] > 0.95
    assert found["aspect_ratio"] < 1.1


def test_touching_discs_are_split_where_they_touch():
    mask = discs((40, 40, 31), (40, 69, 31), (100, 100, 25))
    assert find_particles(mask, split=False).max() == 2
    instances = find_particles(mask)
    assert instances.max() == 3
    areas = measure_particles(instances)["area_px"]
    # each of the pair: a disc of 31 px less half of the lens of two discs 29 px apart
    half, r = 29 / 2, 31 / 2
    lens = 2 * r**2 * np.arccos(half / r) - 29 / 2 * np.sqrt(4 * r**2 - 29**2)
    np.testing.assert_allclose(areas[:2], np.pi * r**2 - lens / 2, rtol=0.03)
    assert (instances > 0).sum() == mask.sum()


@pytest.mark.parametrize("pixel_size", [None, (0.03, 0.02)])
def test_long_rough_and_small_shapes_are_not_split(pixel_size):
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:22, 10:150] = 1
    rng = np.random.default_rng(2245)
    row, column = np.indices(SHAPE)
    angle = np.arctan2(row - 85, column - 60)
    mask[np.hypot(row - 85, column - 60) < 30 + 1.5 * np.cos(9 * angle)] = 1
    for at in range(110, 170, 8):
        mask[60:64, at : at + rng.integers(2, 5)] = 1
    apart = find_particles(mask, split=False)
    np.testing.assert_array_equal(find_particles(mask, pixel_size_nm=pixel_size), apart)


def test_neck_decides():
    mask = discs((60, 50, 40), (60, 74, 40))  # centres at 0.6 diameters: the neck is 0.8 wide
    assert find_particles(mask, neck=0.75).max() == 1
    assert find_particles(mask, neck=0.85).max() == 2
    assert find_particles(mask, neck=0).max() == 1
    with pytest.raises(ValueError, match=r"neck is 1.5"):
        find_particles(mask, neck=1.5)


def test_small_and_border_particles_can_be_left_out():
    mask = discs((0, 30, 20), (60, 60, 20), (90, 20, 4))
    assert find_particles(mask).max() == 3
    assert find_particles(mask, border=False).max() == 2
    (kept,) = np.unique(find_particles(mask, border=False, smallest_px=20))[1:]
    assert kept == 1
    touching = measure_particles(find_particles(mask))["touches_border"]
    assert touching.tolist() == [True, False, False]


def test_classes_are_kept_apart():
    mask = np.zeros((17, 23), np.int32)
    mask[5:9, 3:8] = 3
    mask[5:9, 8:12] = 2
    mask[1, 1] = 2
    mask[10, 10] = -1
    instances = find_particles(mask)
    table = measure_particles(instances, mask=mask)
    assert table["label"].tolist() == [1, 2, 3]
    assert table["class"].tolist() == [2, 3, 2]
    assert table["area_px"].tolist() == [1, 20, 16]


def test_no_particles():
    table = measure_particles(find_particles(np.zeros(SHAPE, bool)), pixel_size_nm=(0.1, 0.1))
    assert len(table) == 0
    assert "area_nm2" in table
    assert summarise(table).sentence == "no particles"
    assert median_diameter(np.zeros(SHAPE, bool)) is None
    full = np.ones((5, 7), bool)
    assert measure_particles(find_particles(full))["area_px"].tolist() == [35]


def test_summary_by_hand():
    table = pd.DataFrame({"label": [1, 2, 3, 4], "equivalent_diameter_nm": [2.0, 4.0, 4.0, 6.0]})
    found = summarise(table)
    assert (found.number, found.mean, found.median) == (4, 4, 4)
    assert found.sd == pytest.approx(np.sqrt(8 / 3))
    assert found.sentence == "4 particles, equivalent diameter 4 ± 1.6 nm, median 4 nm"
    one = summarise(table[:1])
    assert one.number == 1
    assert np.isnan(one.sd)


def test_median_diameter_leaves_cut_particles_out():
    mask = discs((65, 40, 30), (65, 100, 34), (0, 70, 60), (120, 150, 32))
    assert median_diameter(mask) == pytest.approx(32, rel=0.02)
    assert median_diameter(mask, (0.2, 0.2)) == pytest.approx(6.4, rel=0.02)
    assert median_diameter(discs((0, 70, 60))) > 35


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="float64 values: labels are whole numbers"):
        find_particles(np.zeros((5, 7)))
    with pytest.raises(ValueError, match="3 axes: give one frame"):
        find_particles(np.zeros((2, 5, 7), int))
    with pytest.raises(ValueError, match=r"the image is \(7, 5\)"):
        measure_particles(np.zeros((5, 7), int), np.zeros((7, 5)))


def test_real_particles():
    from skimage.io import imread

    if not DATA.is_dir():
        pytest.skip("no nanoparticles here")
    for path in sorted((DATA / "labels").iterdir()):
        mask = imread(path)
        apart = find_particles(mask, split=False, smallest_px=20)
        # seen by eye: every particle of these ten frames stands alone
        np.testing.assert_array_equal(find_particles(mask, smallest_px=20), apart)
