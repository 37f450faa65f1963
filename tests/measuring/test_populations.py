"""Populations against specimens of which the truth is known: random points, discs, mixtures."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf.measuring.particles import find_particles, measure_particles
from napari_tem_rf.measuring.populations import (
    PopulationSettings,
    SurveyedFrame,
    boxes_of,
    population_of,
    populations_of,
)

NM = (0.5, 0.4)


def survey(labels, pixel_size_nm=None, image="gold", frame=None, mask=None):
    table = measure_particles(labels, pixel_size_nm=pixel_size_nm, mask=mask)
    return SurveyedFrame(image, frame, labels.shape, pixel_size_nm, table, boxes_of(labels))


def without_border(frame):
    """Return a frame whose particles at the border were left out when they were found."""
    whole = ~frame.table["touches_border"].to_numpy(bool)
    return replace(frame, table=frame.table[whole], boxes=frame.boxes[whole], with_border=False)


def points(rng, density, shape, image):
    """Return a frame of points placed at random, as particles without extent."""
    n = rng.poisson(density * shape[0] * shape[1])
    table = pd.DataFrame(
        {
            "area_px": np.ones(n),
            "equivalent_diameter_px": rng.normal(5, 0.5, n),
            "aspect_ratio": np.ones(n),
            "circularity": np.ones(n),
            "row_px": rng.uniform(-0.5, shape[0] - 0.5, n),
            "column_px": rng.uniform(-0.5, shape[1] - 0.5, n),
            "touches_border": np.zeros(n, bool),
        }
    )
    return SurveyedFrame(image, None, shape, None, table, np.zeros((n, 2), np.int64))


def test_boxes_by_hand():
    labels = np.zeros((31, 43), np.int32)
    labels[3:7, 5:16] = 9
    labels[20:23, 1:2] = 4
    assert boxes_of(labels).tolist() == [[3, 1], [4, 11]]
    assert boxes_of(np.zeros((5, 7), np.uint8)).shape == (0, 2)


def test_random_points_have_the_density_and_neighbours_of_theory():
    """The mean distance of random points is 0.5 / sqrt(density) (Clark and Evans 1954).

    The frames hold some 24 points each, so that without care for the border the mean would be some
    10 % too large.
    """
    rng = np.random.default_rng(2)
    density, shape = 24 / (211 * 307), (211, 307)
    frames = [points(rng, density, shape, f"image {at}") for at in range(300)]
    found = population_of(frames)
    truth = 0.5 / density**0.5
    assert found.neighbour.low <= truth <= found.neighbour.high
    assert found.neighbour.value == pytest.approx(truth, rel=0.02)
    assert found.regularity == pytest.approx(1, abs=0.03)
    assert found.per_area.low <= 1e6 * density <= found.per_area.high
    assert found.per_area.value == pytest.approx(1e6 * density, rel=0.04)
    assert found.area_unit == "Mpx"
    from scipy.spatial import KDTree

    plain = np.concatenate(
        [
            KDTree(xy).query(xy, k=2)[0][:, 1]
            for xy in (frame.table[["row_px", "column_px"]].to_numpy() for frame in frames)
        ]
    )
    assert plain.mean() > 1.07 * truth


def test_a_square_array_is_regular():
    row, column = np.mgrid[0:600:20, 0:800:20]
    labels = np.zeros((600, 800), np.int32)
    labels[row + 9, column + 9] = np.arange(row.size).reshape(row.shape) + 1
    found = population_of([survey(labels, (0.5, 0.5))])
    assert found.neighbour.value == pytest.approx(10)
    assert found.regularity == pytest.approx(2, rel=0.004)  # of a square lattice
    # one in 100 nm2 is 10,000 in a square micrometre; none is near the border
    assert found.per_area.value == pytest.approx(10_000, rel=0.006)


def discs_of_two_sizes(rng, shape, number):
    """Return the labels of discs of 8 and 40 px, half of each, whose centres may lie outside."""
    margin = 24
    labels = np.zeros((shape[0] + 2 * margin, shape[1] + 2 * margin), np.int32)
    rows, columns = np.indices(labels.shape)
    taken = np.zeros(labels.shape, bool)
    centres = 0
    for at in range(number):
        radius = (4, 20)[at % 2]
        for _ in range(40):
            row, column = rng.uniform(0, labels.shape[0]), rng.uniform(0, labels.shape[1])
            box = (
                slice(max(0, int(row) - 24), int(row) + 25),
                slice(max(0, int(column) - 24), int(column) + 25),
            )
            near = np.hypot(rows[box] - row, columns[box] - column)
            if not taken[box][near < radius + 2].any():
                labels[box][near < radius] = at + 1
                taken[box] |= near < radius
                inside = 0 <= row - margin < shape[0] and 0 <= column - margin < shape[1]
                centres += inside
                break
    return labels[margin:-margin, margin:-margin], centres


def test_the_border_is_corrected_for():
    """Half of the discs are 8, half 40 px, in frames of 131 x 173 px, some four of each.

    Their mean is 24 px; of the whole ones it is less, as the border cuts the large ones.
    """
    rng = np.random.default_rng(4)
    shape = (131, 173)
    drawn = [discs_of_two_sizes(rng, shape, 10) for _ in range(160)]
    frames = [survey(each, NM, f"{at}") for at, (each, _) in enumerate(drawn)]
    found = population_of(frames, border=False)
    # counted in a disc's own unit, whatever its shape in nm
    truth = np.mean([2 * r * (NM[0] * NM[1]) ** 0.5 for r in (4, 20)])
    assert found.found.mean.value < 0.93 * truth
    assert found.corrected_mean == pytest.approx(truth, rel=0.03)
    assert any("corrected for it the mean is" in note for note in found.notes)
    # particles by their centres: which of them lie in a frame, no border can change
    density = np.mean([centres for _, centres in drawn]) / (shape[0] * shape[1] * NM[0] * NM[1])
    assert found.per_area.value == pytest.approx(density * 1e6, rel=0.04)
    assert found.per_area.low < density * 1e6 < found.per_area.high
    share = np.mean([np.count_nonzero(each) / each.size for each, _ in drawn])
    assert found.coverage.value == pytest.approx(share)
    # nobody looked for particles at the border: the whole ones tell the same
    without = population_of([without_border(frame) for frame in frames])
    assert without.per_area == found.per_area
    assert without.coverage.value == pytest.approx(share, rel=0.05)
    assert without.found.mean.value == found.found.mean.value
    assert any("not looked for" in note for note in without.notes)
    cut = population_of(frames, border=True)
    assert cut.found.number > found.found.number
    assert any("are cut by the border" in note for note in cut.notes)


def test_classes_are_told_apart():
    mask = np.zeros((97, 131), np.uint8)
    for at, row in enumerate(range(8, 88, 10)):
        mask[row : row + 4, 10 : 16 + at] = 1
        mask[row : row + 7, 60 : 80 + at] = 3
    labels = find_particles(mask, split=False)
    everything, one, three = populations_of([survey(labels, mask=mask)])
    assert [each.value for each in (everything, one, three)] == [None, 1, 3]
    assert [each.found.number for each in (everything, one, three)] == [16, 8, 8]
    assert one.coverage.value == pytest.approx(np.mean(mask == 1))
    assert three.coverage.value == pytest.approx(np.mean(mask == 3))
    assert one.neighbour.value == pytest.approx(10, rel=0.01)
    assert one.found.mean.value == pytest.approx(
        np.mean([(4 * 4 * (6 + at) / np.pi) ** 0.5 for at in range(8)])
    )
    assert len(populations_of([survey(labels)])) == 1


def test_what_is_resampled():
    labels = np.zeros((61, 73), np.int32)
    for at in range(9):
        labels[3 + 6 * at : 5 + 6 * at, 8 : 14 + at] = at + 1
    alone = population_of([survey(labels)])
    assert (alone.images, alone.found.units) == (1, "particles")
    assert "one image" in alone.notes[0]
    assert np.isnan(alone.coverage.low)
    series = population_of([survey(labels, frame=at) for at in range(3)])
    assert (series.images, series.frames, series.found.units) == (1, 3, "frames")
    assert "may show the same particles" in series.notes[0]
    two = population_of([survey(labels, image=name, frame=at) for name in "ab" for at in (0, 1)])
    assert (two.images, two.frames, two.found.units, two.found.drawn) == (2, 4, "images", 2)
    assert "2 images tell little" in two.notes[0]


def test_what_cannot_be_pooled_is_refused():
    labels = np.zeros((31, 37), np.int32)
    labels[5:9, 5:9] = 1
    with pytest.raises(ValueError, match="do not go into one population"):
        population_of([survey(labels), survey(labels, NM)])
    with pytest.raises(ValueError, match="one image at least"):
        population_of([])
    with pytest.raises(ValueError, match='quantity is "volume"'):
        PopulationSettings(quantity="volume")


def test_no_particles_are_an_answer():
    found = population_of([survey(np.zeros((31, 37), np.int32))])
    assert (found.found.number, found.coverage.value, found.per_area.value) == (0, 0, 0)
    assert np.isnan(found.neighbour.value)
    assert found.fits == ()
    assert "No particle counts" in found.notes[0]


def test_sizes_of_different_pixels_are_pooled_in_nm():
    labels = np.zeros((61, 73), np.int32)
    labels[10:20, 10:20] = 1
    frames = [survey(labels, (0.5, 0.5), "a"), survey(labels, (0.25, 0.25), "b")]
    found = population_of(frames, PopulationSettings(quantity="area"))
    assert found.column == "area_nm2"
    assert found.unit == "nm²"
    assert found.sizes.tolist() == [25.0, 6.25]


def test_hundreds_of_images_stay_quick():
    rng = np.random.default_rng(9)
    frames = [points(rng, 333 / 1000**2, (1000, 1000), f"{at}") for at in range(300)]
    begun = time.process_time()
    found = population_of(frames)
    assert found.found.number > 95_000
    assert time.process_time() - begun < 12
