"""Labels of a series that is being written, as a viewer sees them: frames, drafts, the whole."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_tem_rf.micrographs.imagej_rois import _box_ring
from napari_tem_rf.micrographs.label_series import LabelSeries, read_written_frame
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.micrographs.series_labels import SeriesLabels
from napari_tem_rf.micrographs.tiff_samples import _without_inks
from napari_tem_rf.micrographs.writing import write_labels

SHAPE = (3, 11, 17)
PLANES = np.random.default_rng(752).integers(0, 3, SHAPE).astype(np.uint8)


def test_frames_show_as_they_are_written_and_when_all_are(tmp_path):
    path = tmp_path / "growth.ome.zarr"
    series = LabelSeries(path, *(SHAPE[0], SHAPE[1:]), (0.02, 0.03))
    shown = SeriesLabels(path, SHAPE, np.uint8)
    assert not shown.frame(1).any()
    series.write(1, PLANES[1])
    np.testing.assert_array_equal(read_written_frame(path, 1), PLANES[1])
    assert read_written_frame(path, 0) is None
    np.testing.assert_array_equal(shown.frame(1), PLANES[1])
    assert not shown.frame(0).any()
    for index in (0, 2):
        series.write(index, PLANES[index])
    series.finish()
    assert read_written_frame(path, 1) is None
    np.testing.assert_array_equal(SeriesLabels(path, SHAPE, np.uint8), PLANES)
    # labels of another shape are not these
    assert not SeriesLabels(path, (3, 11, 13), np.uint8).frame(0).any()


def test_a_draft_shows_until_its_frame_is_on_disk(tmp_path):
    path = tmp_path / "growth.ome.zarr"
    shown = SeriesLabels(path, SHAPE, np.uint8)
    shown.draft(2)[4, 5] = 7
    assert shown.draft(2)[4, 5] == 7
    assert shown.frame(2)[4, 5] == 7
    assert not shown.frame(1).any()
    LabelSeries(path, SHAPE[0], SHAPE[1:]).write(2, PLANES[2])
    np.testing.assert_array_equal(shown.frame(2), PLANES[2])
    shown.draft(0)[1, 1] = 5
    assert not shown.draft(2).any()
    only_drafts = SeriesLabels(None, SHAPE, np.uint16)
    only_drafts.draft(0)[1, 1] = 300
    assert only_drafts.frame(0)[1, 1] == 300


def test_a_damaged_frame_is_not_there_yet(tmp_path):
    path = tmp_path / "growth.ome.zarr"
    LabelSeries(path, SHAPE[0], SHAPE[1:]).write(0, PLANES[0])
    (part,) = (tmp_path / "growth.ome.zarr.parts").glob("*.npz")
    shown = SeriesLabels(path, SHAPE, np.uint8)
    for held in (part.read_bytes()[:30], b"", b"\x93NUMPY no more"):
        part.write_bytes(held)  # as after a power failure
        assert not shown.frame(0).any()


def test_what_is_left_of_a_whole_series_is_swept(tmp_path):
    path = tmp_path / "growth.tif"
    LabelSeries(path, SHAPE[0], SHAPE[1:], made_by={"run": "gold"}).write(0, PLANES[0])
    assert LabelSeries.made_by(path) == {"run": "gold"}
    LabelSeries.sweep(path)
    assert LabelSeries.made_by(path) is None
    assert not list(tmp_path.iterdir())
    LabelSeries.sweep(path)


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 60_000)])
def test_a_series_that_is_read_frame_by_frame_is_written_so(tmp_path, dtype, largest):
    path = tmp_path / "growth.ome.zarr"
    planes = PLANES.astype(dtype)
    planes[0, 0, 0] = largest
    series = LabelSeries(path, SHAPE[0], SHAPE[1:])
    for index, plane in enumerate(planes):
        series.write(index, plane)
    series.finish()
    out = tmp_path / "copy.tif"
    write_labels(out, SeriesLabels(path, SHAPE, dtype), (0.02, 0.03))
    read = read_labels(out)
    np.testing.assert_array_equal(read, planes)
    assert np.asarray(read).dtype == dtype


def test_inks_are_turned_into_light_as_pillow_does():
    inks = np.random.default_rng(752).integers(0, 256, (13, 17, 4)).astype(np.uint8)
    as_pillow = np.asarray(Image.fromarray(inks, "CMYK").convert("RGB"))
    light = _without_inks(inks)
    assert light.shape == as_pillow.shape
    np.testing.assert_allclose(light.astype(int), as_pillow.astype(int), atol=1)


def test_an_oval_has_corners_less_than_a_pixel_apart():
    """Its area is that of an ellipse, pi a b."""
    oval = SimpleNamespace(left=3, top=5, right=203, bottom=105, widthd=0, heightd=0)
    ring = _box_ring(oval, True)
    steps = np.hypot(*np.diff(ring, axis=0, append=ring[:1]).T)
    assert steps.max() < 1
    x, y = ring.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(np.pi * 100 * 50, rel=1e-3)
