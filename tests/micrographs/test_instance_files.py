"""Particles one by one in the files of other programs, and what these programs write themselves."""

import json
import zipfile
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest

from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.micrographs.imagej_rois import _box_ring
from napari_tem_rf.micrographs.outline_files import holds_outlines, read_outlines
from napari_tem_rf.micrographs.outlines import Legend, Outline, labels_inside, legend_of
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.writing import InstanceImage, write_instances

roifile = pytest.importorskip("roifile")

TWO = np.array([[0, 0, 0, 0, 0], [0, 3, 3, 0, 7], [0, 3, 0, 0, 7]])
IMAGE = InstanceImage("gold.tif", TWO, {7: 2}, (0.5, 2.0))
NAMES = {1: "gold", 2: "a void"}


def test_coco_holds_what_cvat_asks_for(tmp_path):
    """CVAT, "COCO": info, licenses, ids from 1, supercategory, iscrowd, area, bbox."""
    path = write_instances(tmp_path / "a.json", [IMAGE, IMAGE], NAMES)
    said = json.loads(path.read_text())
    assert sorted(said) == ["annotations", "categories", "images", "info", "licenses"]
    assert said["info"] == {"description": "instances in TEM images", "version": "1.0"}
    assert said["licenses"] == []
    assert said["categories"] == [
        {"id": 1, "name": "gold", "supercategory": ""},
        {"id": 2, "name": "a void", "supercategory": ""},
    ]
    assert [each["id"] for each in said["images"]] == [1, 2]
    assert said["annotations"][1] == {
        **{"id": 2, "image_id": 1, "category_id": 2, "instance": 7, "iscrowd": 0},
        # down the columns: 13 pixels without it, 2 of it
        "segmentation": {"size": [3, 5], "counts": [13, 2]},
        **{"area": 2, "area_nm2": 2.0, "bbox": [4, 1, 1, 2]},
    }
    plain = write_instances(tmp_path / "b.json", [InstanceImage("a", TWO, {7: 2})], NAMES)
    said = json.loads(plain.read_text())
    assert "pixel_size_nm" not in said["images"][0]
    assert "area_nm2" not in said["annotations"][0]


@pytest.mark.parametrize("name", ["a.json", "a.geojson", "a.zip"])
def test_no_file_is_replaced_unasked(tmp_path, name):
    path = write_instances(tmp_path / name, [IMAGE], NAMES)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_instances(path, [InstanceImage("other", TWO)], NAMES)
    assert path.read_bytes() == before
    assert write_instances(path, [InstanceImage("other", TWO)], NAMES, overwrite=True) == path
    assert path.read_bytes() != before


def test_geojson_is_as_qupath_writes_it(tmp_path):
    images = [IMAGE, InstanceImage("gold.tif", TWO, {7: 2}, None, 4)]
    path = write_instances(tmp_path / "a.geojson", images, NAMES)
    said = json.loads(path.read_text())
    first, second, third, fourth = said["features"]
    assert first["type"] == "Feature"
    # x before y, the first corner again at the end
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert sorted({tuple(corner) for corner in ring}) == [
        *((1, 1), (1, 3), (2, 2), (2, 3), (3, 1), (3, 2)),
    ]
    assert first["properties"] == {
        "objectType": "annotation",
        "name": "gold 3",
        "classification": {
            "name": "gold",
            # the first colour is that of background
            "color": [int(CLASS_COLORS[1][at : at + 2], 16) for at in (1, 3, 5)],
        },
        "measurements": {"Area px^2": 3.0, "Area nm^2": 3.0},
    }
    assert second["properties"]["name"] == "a void 7"
    assert second["properties"]["classification"]["color"] == [
        int(CLASS_COLORS[2][at : at + 2], 16) for at in (1, 3, 5)
    ]
    assert "plane" not in first["geometry"]
    assert third["geometry"]["plane"] == {"c": -1, "z": 0, "t": 4}
    assert fourth["properties"]["measurements"] == {"Area px^2": 2.0}
    # the same particle of the same image has the same name wherever it is written
    assert first["id"] == third["id"] != second["id"]
    assert UUID(first["id"]).version == 5


def test_rois_are_named_placed_and_grouped(tmp_path):
    images = [InstanceImage("gold.tif", TWO, {7: 2}, None, frame) for frame in (0, 11)]
    path = write_instances(tmp_path / "a.zip", images, NAMES)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [
            *("frame-0001-gold-0003.roi", "frame-0001-a-void-0007.roi"),
            *("frame-0012-gold-0003.roi", "frame-0012-a-void-0007.roi"),
        ]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    rois = roifile.roiread(path)
    assert [roi.name for roi in rois][2:] == ["frame-0012-gold-0003", "frame-0012-a-void-0007"]
    # ImageJ counts slices from 1
    assert [roi.position for roi in rois] == [1, 1, 12, 12]
    assert [roi.group for roi in rois] == [1, 2, 1, 2]
    assert {roi.roitype for roi in rois} == {roifile.ROI_TYPE.TRACED}
    assert [bytes(roi.stroke_color).hex() for roi in rois[:2]] == [
        f"ff{CLASS_COLORS[group][1:]}".lower() for group in (1, 2)
    ]
    alone = write_instances(tmp_path / "b.zip", [InstanceImage("a", TWO)], {1: "+"})
    rois = roifile.roiread(alone)
    assert [(roi.name, roi.group, roi.position) for roi in rois] == [
        *(("particle-0003", 0, 0), ("particle-0007", 0, 0)),
    ]


# what other programs write


def roi(kind="RECT", left=2, top=1, right=6, bottom=4, **more):
    made = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE[kind], left=left, top=top, right=right, bottom=bottom
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def read(tmp_path, *rois):
    with zipfile.ZipFile(tmp_path / "RoiSet.zip", "w") as archive:
        for number, each in enumerate(rois):
            archive.writestr(f"{number:04d}.roi", each.tobytes())
    return read_outlines(tmp_path / "RoiSet.zip")


@pytest.mark.parametrize(
    ("more", "frame"),
    [
        ({}, None),
        ({"position": 3}, 2),
        ({"z_position": 4}, 3),
        # of a hyperstack the time counts, and the slice where there is none
        ({"z_position": 4, "t_position": 2}, 1),
        ({"position": 7, "z_position": 0, "t_position": 5}, 4),
    ],
)
def test_the_frame_of_a_roi(tmp_path, more, frame):
    (outline,) = read(tmp_path, roi(**more)).outlines
    assert outline.frame == frame
    assert outline.kind == ""


def test_the_class_of_a_roi_is_its_group_where_there_are_several(tmp_path):
    kinds = [outline.kind for outline in read(tmp_path, roi(group=3), roi(group=3)).outlines]
    assert kinds == ["", ""]
    kinds = [outline.kind for outline in read(tmp_path, roi(group=3), roi()).outlines]
    assert kinds == ["group 3", ""]


def test_the_name_of_a_roi_is_its_own_or_its_files(tmp_path):
    named = [outline.name for outline in read(tmp_path, roi(name="gold"), roi()).outlines]
    assert named == ["gold", "0001"]


def test_what_has_no_area_is_left_out(tmp_path):
    line = roifile.ImagejRoi.frompoints(np.array([[0, 0], [5, 5], [9, 2]]))
    line.roitype = roifile.ROI_TYPE.FREELINE
    flat = roi(bottom=1)
    found = read(tmp_path, roi(), line, flat)
    assert len(found.outlines) == 1
    assert found.notes == ("2 lines or points among the ROIs are left out: they have no area",)
    with pytest.raises(ReadingError) as refused:
        read(tmp_path, line, flat)
    assert str(refused.value) == (
        '"RoiSet.zip" holds 2 lines or points and no area: outline the particles in ImageJ, add '
        "them to the ROI manager and save them there"
    )


def test_a_rectangle_has_the_pixels_between_its_sides(tmp_path):
    found = read(tmp_path, roi())
    labels, notes = found.labels((7, 9), legend_of(found.outlines))
    expected = np.zeros((7, 9), int)
    expected[1:4, 2:6] = 1
    np.testing.assert_array_equal(labels, expected)
    assert (labels.dtype, notes) == (np.uint8, ())


def test_a_composite_selection_is_a_path_of_rings(tmp_path):
    """Segments of java.awt.geom.PathIterator: 0 moves, 1 a line, 2 and 3 curves, 4 closes."""
    around = [0, 1, 1, 1, 7, 1, 1, 7, 6, 3, 5, 6, 3, 6, 1, 6, 4]
    hole = [0, 3, 3, 1, 5, 3, 1, 5, 5, 2, 4, 5, 3, 5, 4]
    made = roi()
    made.multi_coordinates = np.array([*around, *hole], np.float32)
    made.shape_roi_size = len(made.multi_coordinates)
    made.left, made.top, made.right, made.bottom = 1, 1, 7, 6
    found = read(tmp_path, made)
    labels, _ = found.labels((8, 9), legend_of(found.outlines))
    expected = np.zeros((8, 9), int)
    expected[1:6, 1:7] = 1
    expected[3:5, 3:5] = 0
    np.testing.assert_array_equal(labels, expected)


def test_a_path_that_breaks_off_is_named(tmp_path):
    made = roi()
    made.multi_coordinates = np.array([0, 1, 1, 1, 7], np.float32)
    made.shape_roi_size = 5
    with pytest.raises(
        ReadingError,
        match=r'^ROI "0000" of "RoiSet.zip" is damaged \(\w+: .*\): save the ROIs anew in ImageJ$',
    ):
        read(tmp_path, made)


def test_a_corner_that_is_no_number_is_named(tmp_path):
    made = roi()
    made.multi_coordinates = np.array([0, 1, 1, 1, 7, np.nan, 1, 3, 3, 4], np.float32)
    made.shape_roi_size = 10
    with pytest.raises(ReadingError) as refused:
        read(tmp_path, made)
    assert str(refused.value) == (
        'ROI "0000" of "RoiSet.zip" is damaged (ValueError: a corner is not a number): save the '
        "ROIs anew in ImageJ"
    )
    (tmp_path / "a.geojson").write_text(
        '[{"type": "Polygon", "coordinates": [[[1, 1], [1e999, 1], [4, 4]]]}]'
    )
    with pytest.raises(ReadingError, match=r"a corner is not a number|cannot be read as GeoJSON"):
        read_outlines(tmp_path / "a.geojson")


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        # a rectangle with sides between pixels has places of its own
        ((0.8, 0.6), [[1.25, 2.5], [2.05, 2.5], [2.05, 3.1], [1.25, 3.1]]),
        ((0.0, 0.6), [[2, 1], [6, 1], [6, 4], [2, 4]]),
        ((0.8, 0.0), [[2, 1], [6, 1], [6, 4], [2, 4]]),
    ],
)
def test_rectangles_may_lie_between_pixels(size, corners):
    box = {"left": 2, "top": 1, "right": 6, "bottom": 4, "xd": 1.25, "yd": 2.5}
    made = SimpleNamespace(**box, widthd=size[0], heightd=size[1])
    assert _box_ring(made, False) == pytest.approx(np.array(corners))
    for side in ("right", "bottom"):
        none = SimpleNamespace(**{**box, side: 0}, widthd=0, heightd=0)
        assert len(_box_ring(none, False)) == 0


@pytest.mark.parametrize(
    ("size", "corners"), [((3, 4), 32), ((4, 4), 32), ((5, 4), 36), ((20_000, 20_000), 100_000)]
)
def test_ovals_have_corners_enough(size, corners):
    made = SimpleNamespace(
        left=1, top=2, right=1 + size[0], bottom=2 + size[1], widthd=0, heightd=0
    )
    ring = _box_ring(made, True)
    assert len(ring) == corners
    assert ring.min(axis=0) == pytest.approx((1, 2), abs=0.03 * size[1])
    assert ring.max(axis=0) == pytest.approx((1 + size[0], 2 + size[1]), abs=0.03 * size[1])
    assert ring[0] == pytest.approx((1 + size[0], 2 + size[1] / 2))


def geojson(tmp_path, *features):
    (tmp_path / "a.geojson").write_text(json.dumps(list(features)))
    return read_outlines(tmp_path / "a.geojson").outlines


def feature(properties=None, plane=None, rings=None):
    geometry = {
        "type": "Polygon",
        "coordinates": rings or [[[1, 2], [5, 2], [5, 6], [1, 6], [1, 2]]],
    }
    if plane is not None:
        geometry["plane"] = plane
    return {"type": "Feature", "geometry": geometry, "properties": properties}


@pytest.mark.parametrize(
    ("properties", "name", "kind"),
    [
        (None, "", ""),
        ({"name": "p 1"}, "p 1", ""),
        ({"classification": "gold"}, "", "gold"),
        ({"classification": {"name": "gold", "color": [1, 2, 3]}}, "", "gold"),
        ({"classification": {"names": ["gold", "large"]}}, "", "gold: large"),
        ({"classification": {}}, "", ""),
    ],
)
def test_names_and_classes_of_qupath(tmp_path, properties, name, kind):
    (outline,) = geojson(tmp_path, feature(properties))
    assert (outline.name, outline.kind, outline.frame) == (name, kind, 0)


@pytest.mark.parametrize(
    ("plane", "frame"),
    [(None, 0), ({"t": 3, "z": 1}, 3), ({"t": 0, "z": 5}, 5), ({"z": 2}, 2), ({"c": 4}, 0)],
)
def test_the_frame_of_a_feature(tmp_path, plane, frame):
    (outline,) = geojson(tmp_path, feature(plane=plane))
    assert outline.frame == frame


def test_corners_are_rows_and_columns(tmp_path):
    (outline,) = geojson(tmp_path, feature())
    assert outline.pieces[0][0].tolist() == [[2, 1], [2, 5], [6, 5], [6, 1]]
    # what has two corners is no ring
    line = [[[1, 2], [5, 2], [1, 2]]]
    outlines = geojson(tmp_path, feature(), feature(rings=line))
    assert len(outlines) == 1


def test_a_geometry_alone_is_a_feature(tmp_path):
    (tmp_path / "a.geojson").write_text(json.dumps(feature()["geometry"]))
    assert len(read_outlines(tmp_path / "a.geojson").outlines) == 1
    (tmp_path / "a.geojson").write_text(json.dumps(feature()))
    assert len(read_outlines(tmp_path / "a.geojson").outlines) == 1
    assert holds_outlines(tmp_path / "a.geojson")


@pytest.mark.parametrize(
    ("number", "dtype"),
    [(255, np.uint8), (256, np.uint16), (65_535, np.uint16), (65_536, np.int32)],
)
def test_labels_of_outlines_have_the_smallest_type(number, dtype):
    assert Legend({}).dtype(number) == dtype
    assert Legend({"gold": number}).dtype(1) == dtype
    assert Legend({"gold": 3, "void": 1}).names == {3: "gold", 1: "void"}


def test_numbers_go_on_from_those_before():
    ring = np.array([[0, 0], [0, 2], [2, 2], [2, 0]])
    outlines = [Outline(((ring + at,),)) for at in (0, 3)]
    labels = np.zeros((6, 6), np.uint8)
    assert labels_inside(outlines, labels, Legend({}), before=5) == 0
    assert (labels[0, 0], labels[3, 3]) == (6, 7)
    # the same class twice is no overlap
    labels = np.zeros((6, 6), np.uint8)
    same = [Outline(((ring,),), kind="gold")] * 2
    assert labels_inside(same, labels, Legend({"gold": 4})) == 0
    assert labels[:2, :2].tolist() == [[4, 4], [4, 4]]
