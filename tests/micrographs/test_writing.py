import json
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.micrographs.writing import (
    InstanceImage,
    LabelSeries,
    write_coco,
    write_labels,
    write_probabilities,
)

SIZES_NM = (0.017751578, 27.1153)
CALIBRATED = ["mask.tif", "mask.tiff", "mask.ome.zarr", "mask.zarr"]
ALL = [*CALIBRATED, "mask.png", "mask.npy"]


def mask(shape=(61, 83), largest=3, dtype=np.int64):
    return np.random.default_rng(752).integers(0, largest + 1, shape).astype(dtype)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("largest", "dtype"), [(3, np.uint8), (255, np.uint8), (300, np.uint16)])
def test_a_mask_comes_back_the_same(tmp_path, name, largest, dtype):
    labels = mask(largest=largest)
    labels[0, 0] = largest
    path = write_labels(tmp_path / name, labels, SIZES_NM)
    back = read_labels(path)
    np.testing.assert_array_equal(back, labels)
    assert back.dtype == dtype
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", CALIBRATED)
@pytest.mark.parametrize("shape", [(61, 83), (5, 37, 41)])
def test_the_pixel_size_comes_back_the_same(tmp_path, name, shape):
    path = write_labels(tmp_path / name, mask(shape), SIZES_NM)
    (micrograph,) = read_micrographs(path)
    assert micrograph.pixel_size_nm == pytest.approx(SIZES_NM, rel=1e-9)
    assert micrograph.pixels.shape == shape
    np.testing.assert_array_equal(read_labels(path), mask(shape))


@pytest.mark.parametrize("name", CALIBRATED)
def test_no_pixel_size_stays_none(tmp_path, name):
    (micrograph,) = read_micrographs(write_labels(tmp_path / name, mask()))
    assert micrograph.pixel_size_nm is None


def test_imagej_reads_the_pixel_size(tmp_path):
    path = write_labels(tmp_path / "mask.tif", mask(), (0.4, 0.25))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_imagej
        assert tiff.imagej_metadata["unit"] == "nm"
        tags = tiff.pages[0].tags
        # pixels per unit, as ImageJ takes them: columns in X, rows in Y
        assert np.divide(*tags["XResolution"].value) == pytest.approx(4)
        assert np.divide(*tags["YResolution"].value) == pytest.approx(2.5)


@pytest.mark.filterwarnings("ignore")  # RosettaSciIO's own
def test_other_libraries_read_the_pixel_size(tmp_path):
    tiff = pytest.importorskip("rsciio.tiff")
    path = write_labels(tmp_path / "mask.tif", mask(), (0.4, 0.25))
    (signal,) = tiff.file_reader(str(path))
    np.testing.assert_array_equal(signal["data"], mask())
    # of ImageJ's units RosettaSciIO knows the micron alone
    assert [axis["scale"] for axis in signal["axes"]] == pytest.approx([0.4, 0.25])
    with Image.open(path) as image:
        assert (float(image.tag_v2[283]), float(image.tag_v2[282])) == pytest.approx((2.5, 4))


def test_ome_zarr_has_the_metadata_of_version_0_4(tmp_path):
    write_labels(tmp_path / "mask.ome.zarr", mask((5, 37, 41)), (0.4, 0.25))
    attributes = json.loads((tmp_path / "mask.ome.zarr" / ".zattrs").read_text())
    (multiscale,) = attributes["multiscales"]
    assert multiscale["version"] == "0.4"
    assert multiscale["axes"] == [
        {"name": "t", "type": "time"},
        {"name": "y", "type": "space", "unit": "nanometer"},
        {"name": "x", "type": "space", "unit": "nanometer"},
    ]
    assert multiscale["datasets"] == [
        {
            "path": "0",
            "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.4, 0.25]}],
        }
    ]


@pytest.mark.filterwarnings("ignore")  # ome-zarr's own
@pytest.mark.parametrize("shape", [(61, 83), (5, 37, 41)])
def test_ome_zarr_opens_in_ome_zarr_py(tmp_path, shape):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    path = write_labels(tmp_path / "mask.ome.zarr", mask(shape), (0.4, 0.25))
    (node,) = Reader(parse_url(str(path)))()
    np.testing.assert_array_equal(node.data[0].compute(), mask(shape))
    assert [axis["name"] for axis in node.metadata["axes"]] == list("tyx")[-len(shape) :]
    ((transform,),) = node.metadata["coordinateTransformations"]
    assert transform["scale"][-2:] == [0.4, 0.25]


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_overwritten_unasked(tmp_path, name):
    path = write_labels(tmp_path / name, mask())
    other = mask((37, 41))
    with pytest.raises(FileExistsError, match="allow overwriting"):
        write_labels(path, other)
    np.testing.assert_array_equal(read_labels(path), mask())
    write_labels(path, other, overwrite=True)
    np.testing.assert_array_equal(read_labels(path), other)


@pytest.mark.parametrize(
    ("name", "labels", "size", "words"),
    [
        ("a.jpg", mask(), None, 'the ending ".jpg"'),
        ("a.tif", mask().astype(float), None, "of type float64"),
        ("a.tif", -mask(), None, "from -3 to 0"),
        ("a.tif", mask(largest=2**33), None, "from 0 to 2,147,483,647"),
        ("a.png", mask(largest=10**6), None, "beyond 65,535"),
        ("a.tif", np.zeros(7, int), None, r"shape \(7,\)"),
        ("a.png", mask((5, 37, 41)), None, "have 5 frames"),
        ("a.tif", mask(), (0.1, 0.0), "must be more than 0 nm"),
        ("a.tif", mask(), (0.1, float("nan")), "must be more than 0 nm"),
    ],
)
def test_wrong_use_is_named_and_writes_nothing(tmp_path, name, labels, size, words):
    with pytest.raises(ValueError, match=words):
        write_labels(tmp_path / name, labels, size)
    assert list(tmp_path.iterdir()) == []


def test_probabilities_are_a_calibrated_float_tiff(tmp_path):
    probabilities = np.random.default_rng(140).random((3, 37, 41)).astype(np.float32)
    path = write_probabilities(tmp_path / "p.tif", probabilities, (0.4, 0.25))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "CYX"
        np.testing.assert_array_equal(tiff.asarray(), probabilities)
        assert tiff.imagej_metadata["channels"] == 3
        assert np.divide(*tiff.pages[0].tags["XResolution"].value) == pytest.approx(4)
    for wrong in (probabilities[0], probabilities[None]):
        with pytest.raises(ValueError, match="give"):
            write_probabilities(tmp_path / "q.tif", wrong)
    with pytest.raises(ValueError, match=r"into \.tif"):
        write_probabilities(tmp_path / "p.png", probabilities)


# series


@pytest.mark.parametrize("name", [*CALIBRATED, "mask.npy"])
@pytest.mark.parametrize(("largest", "dtype"), [(3, np.uint8), (300, np.uint16)])
def test_a_series_goes_on_where_it_stopped(tmp_path, name, largest, dtype):
    masks = mask((5, 37, 41), largest)
    masks[3, 0, 0] = largest
    made_by = {"run": "first", "size": (0.4, 0.25)}
    series = LabelSeries(tmp_path / name, 5, (37, 41), SIZES_NM, made_by=made_by)
    for index in (0, 4, 1):
        series.write(index, masks[index])
    with pytest.raises(ValueError, match="is missing 2 of 5 frames, the first is 2"):
        series.finish()
    assert not (tmp_path / name).exists()

    again = LabelSeries(tmp_path / name, 5, (37, 41), SIZES_NM, made_by=made_by)
    assert again.missing == (2, 3)
    for index in again.missing:
        again.write(index, masks[index])
    path = again.finish()
    back = read_labels(path)
    np.testing.assert_array_equal(back, masks)
    assert back.dtype == dtype
    assert [p.name for p in tmp_path.iterdir()] == [name]
    if name != "mask.npy":
        assert read_micrographs(path)[0].pixel_size_nm == pytest.approx(SIZES_NM, rel=1e-9)
    with pytest.raises(FileExistsError):
        LabelSeries(tmp_path / name, 5, (37, 41))


@pytest.mark.parametrize("change", [{"made_by": {"run": "second"}}, {"frames": 6}])
def test_frames_of_other_work_are_not_kept(tmp_path, change):
    wanted = {"frames": 5, "image_shape": (37, 41), "made_by": {"run": "first"}}
    LabelSeries(tmp_path / "mask.tif", **wanted).write(0, mask((37, 41)))
    assert LabelSeries(tmp_path / "mask.tif", **wanted).missing == (1, 2, 3, 4)
    other = LabelSeries(tmp_path / "mask.tif", **{**wanted, **change})
    assert 0 in other.missing


def test_a_frame_of_another_shape_is_named(tmp_path):
    series = LabelSeries(tmp_path / "mask.tif", 5, (37, 41))
    with pytest.raises(ValueError, match=r"frame 2 .* is \(37, 40\): it must be \(37, 41\)"):
        series.write(2, mask((37, 40)))
    with pytest.raises(ValueError, match="no frame 5"):
        series.write(5, mask((37, 41)))
    with pytest.raises(ValueError, match="a PNG holds one"):
        LabelSeries(tmp_path / "mask.png", 5, (37, 41))


def test_a_long_series_never_is_in_memory(tmp_path):
    series = LabelSeries(tmp_path / "mask.tif", 60, (512, 512))
    labels = np.zeros((512, 512), np.uint8)
    tracemalloc.start()
    try:
        for index in series.missing:
            series.write(index, labels)
        series.finish()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # the series has 60 frames of 0.25 MiB
    assert most < 5 * 2**20


# COCO


def test_coco_by_hand(tmp_path):
    instances = np.array(
        [
            [0, 5, 5, 0],
            [0, 5, 0, 0],
            [9, 0, 0, 7],
        ]
    )
    path = write_coco(
        tmp_path / "a.json",
        [InstanceImage("a.tif", instances, {9: 2}, (0.5, 2.0))],
        {1: "particle", 2: "void"},
    )
    coco = json.loads(path.read_text())
    assert coco["images"] == [
        {"id": 1, "file_name": "a.tif", "height": 3, "width": 4, "pixel_size_nm": [0.5, 2.0]}
    ]
    assert [c["name"] for c in coco["categories"]] == ["particle", "void"]
    five, seven, nine = coco["annotations"]
    # down the columns: column 0 is 0 0 9, column 1 is 5 5 0, column 2 is 5 0 0, column 3 is 0 0 7
    assert five["segmentation"] == {"size": [3, 4], "counts": [3, 2, 1, 1, 5]}
    assert seven["segmentation"]["counts"] == [11, 1]
    assert nine["segmentation"]["counts"] == [2, 1, 9]
    assert [a["area"] for a in coco["annotations"]] == [3, 1, 1]
    assert five["area_nm2"] == 3
    assert five["bbox"] == [1, 0, 2, 2]
    assert [a["category_id"] for a in coco["annotations"]] == [1, 1, 2]
    assert [a["id"] for a in coco["annotations"]] == [1, 2, 3]


def decoded(annotation):
    counts = annotation["segmentation"]["counts"]
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    return flat.reshape(annotation["segmentation"]["size"], order="F").astype(bool)


def test_coco_holds_every_pixel(tmp_path):
    from skimage.measure import label

    random_values = np.random.default_rng(2245)
    instances = label(random_values.random((53, 71)) > 0.5)
    full = np.ones((5, 7), int)
    empty = np.zeros((5, 7), int)
    path = write_coco(
        tmp_path / "a.json",
        [InstanceImage("a", instances), InstanceImage("b", full), InstanceImage("c", empty)],
        {1: "particle"},
    )
    coco = json.loads(path.read_text())
    back = np.zeros_like(instances)
    for annotation in coco["annotations"]:
        pixels = decoded(annotation)
        assert pixels.sum() == annotation["area"]
        if annotation["image_id"] == 1:
            back[pixels] = annotation["instance"]
    np.testing.assert_array_equal(back, instances)
    assert [a["image_id"] for a in coco["annotations"]].count(2) == 1
    assert [a["image_id"] for a in coco["annotations"]].count(3) == 0
    assert [a["id"] for a in coco["annotations"]] == list(range(1, instances.max() + 2))


# pycocotools' own array, under numpy 2
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
def test_coco_opens_in_pycocotools(tmp_path):
    coco_module = pytest.importorskip("pycocotools.coco")
    instances = mask((53, 71), largest=6)
    path = write_coco(tmp_path / "a.json", [InstanceImage("a", instances)], {1: "particle"})
    coco = coco_module.COCO(str(path))
    back = np.zeros_like(instances)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        back[coco.annToMask(annotation) == 1] = annotation["instance"]
    np.testing.assert_array_equal(back, instances)


def test_coco_of_a_class_without_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match='instance 1 of "a" is of class 4, which has no name'):
        write_coco(
            tmp_path / "a.json", [InstanceImage("a", np.ones((5, 7), int), {1: 4})], {1: "x"}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mask.tif", "mask.ome.zarr", "mask.npy"])
@pytest.mark.parametrize("shape", [(37, 41), (3, 37, 41)])
def test_numbers_beyond_16_bits_are_written_and_read(tmp_path, name, shape):
    numbers = np.arange(np.prod(shape)).reshape(shape) + 70_000
    path = write_labels(tmp_path / name, numbers, SIZES_NM)
    np.testing.assert_array_equal(read_labels(path), numbers)
    if name != "mask.npy":
        assert read_micrographs(path)[0].pixel_size_nm == pytest.approx(SIZES_NM)


def test_a_tiff_of_32_bits_is_an_ome_tiff(tmp_path):
    """ImageJ's own TIFF has no whole numbers of 32 bits."""
    path = write_labels(tmp_path / "mask.tif", np.full((37, 41), 70_001), (0.4, 0.25))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome
        assert tiff.pages[0].dtype == np.uint32
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == (0.4, 0.25)
    assert pixels["PhysicalSizeXUnit"] == pixels["PhysicalSizeYUnit"] == "nm"


def test_a_series_has_the_type_of_its_largest_number(tmp_path):
    series = LabelSeries(tmp_path / "mask.tif", 2, (37, 41), least=np.uint16)
    series.write(0, np.ones((37, 41), int))
    series.write(1, np.full((37, 41), 2))
    assert tifffile.imread(series.finish()).dtype == np.uint16
    series = LabelSeries(tmp_path / "more.tif", 2, (37, 41))
    series.write(0, np.ones((37, 41), int))
    series.write(1, np.full((37, 41), 70_000))
    labels = read_labels(series.finish())
    assert labels[0].max() == 1
    assert labels[1].max() == 70_000
