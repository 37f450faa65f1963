"""Going on with a comparison of an earlier day: its images and labels are found again."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_tem_rf.comparison import ComparisonPlan, hold_out, recall_images
from napari_tem_rf.comparison.record import annotation_path, open_comparison
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.runs import RunError

SHAPE = (43, 61)


def labelled(seed, kind=np.int64):
    rng = np.random.default_rng(seed)
    labels = (rng.random(SHAPE) < 0.4).astype(kind) + 1
    pixels = rng.integers(0, 900, SHAPE).astype(np.float32)
    return LabelledImage(f"gold_{seed}", pixels, labels, (0.02, 0.025), f"exposure {seed}")


@pytest.fixture
def images():
    return tuple(labelled(seed) for seed in range(3))


def begun(folder, images, sources=None):
    plan = ComparisonPlan((NetworkSpec((2,)),), baselines=())
    return open_comparison(folder, plan, images, hold_out(images, plan), sources or {}, {})


def same(found, images):
    for one, other in zip(found, images, strict=True):
        assert (one.name, one.group, one.pixel_size_nm) == (
            other.name,
            other.group,
            other.pixel_size_nm,
        )
        assert one.labels.dtype == other.labels.dtype
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_pixels_come_from_what_is_open_and_labels_from_the_folder(tmp_path, images):
    comparison = begun(tmp_path / "it", images)
    pixels = {image.name: image.pixels for image in images}
    found = recall_images(comparison, lambda entry: (pixels[entry.name],))
    same(found, images)
    # the split is the one that was begun with
    plan = comparison.record.plan
    assert hold_out(found, plan).sha256 == comparison.record.split["sha256"]


def test_pixels_come_from_their_files(tmp_path, images):
    sources = {}
    for image in images:
        path = tmp_path / f"{image.name}.tif"
        # as the file holds them; the window trains on float32
        tifffile.imwrite(path, image.pixels.astype(np.uint16))
        sources[image.name] = str(path)
    comparison = begun(tmp_path / "it", images, sources)
    same(recall_images(comparison), images)


def test_what_has_changed_is_said(tmp_path, images):
    comparison = begun(tmp_path / "it", images)
    with pytest.raises(RunError, match='image "gold_0" of the comparison is not open'):
        recall_images(comparison)
    with pytest.raises(RunError, match="open it under that name"):
        recall_images(comparison, lambda entry: (images[0].pixels + 1,))
    annotation_path(comparison.folder, 1).unlink()
    pixels = {image.name: image.pixels for image in images}
    with pytest.raises(RunError, match='the labels of "gold_1" are not in'):
        recall_images(comparison, lambda entry: (pixels[entry.name],))


def test_going_on_writes_no_annotation_over(tmp_path, images):
    comparison = begun(tmp_path / "it", images)
    before = annotation_path(comparison.folder, 0).stat().st_mtime_ns
    with pytest.raises(RunError, match="other images or labels"):
        begun(tmp_path / "it", [replace(each, labels=each.labels[::-1]) for each in images])
    begun(tmp_path / "it", images)
    assert annotation_path(comparison.folder, 0).stat().st_mtime_ns == before
