"""Outlines go out as ImageJ ROIs and GeoJSON and come in again; other libraries read them too."""

import json
import zipfile
from uuid import UUID

import numpy as np
import pytest
from skimage.draw import disk, polygon
from skimage.measure import label

from napari_tem_rf.micrographs.outline_files import holds_outlines, read_outlines
from napari_tem_rf.micrographs.outlines import (
    Outline,
    labels_inside,
    legend_of,
    pixels_inside,
    trace_pieces,
)
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.writing import InstanceImage, write_instances

roifile = pytest.importorskip("roifile")
shapely = pytest.importorskip("shapely")

# a piece with a hole, a piece that touches itself at a corner, two that touch there
HARD = np.array(
    [
        [1, 1, 1, 0, 2, 2, 2, 0],
        [1, 0, 1, 0, 2, 0, 2, 0],
        [1, 1, 1, 0, 2, 2, 0, 0],
        [0, 0, 0, 3, 0, 0, 0, 0],
        [0, 0, 3, 0, 0, 0, 4, 4],
    ]
)


def particles(seed=752, shape=(53, 71)):
    return label(np.random.default_rng(seed).random(shape) > 0.5, connectivity=1)


def polygon_of(piece):
    around, *holes = [ring[:, ::-1] for ring in piece]
    return shapely.Polygon(around, holes)


@pytest.mark.parametrize("instances", [HARD, particles()], ids=["hard", "noise"])
def test_polygons_are_valid_and_hold_exactly_the_pixels(instances):
    """Validity and area as GEOS (shapely) has them; the pixels by their centres."""
    rows, columns = np.indices(instances.shape)
    for number in np.unique(instances[instances > 0])[:60]:
        pieces = trace_pieces(instances == number)
        shapes = [polygon_of(piece) for piece in pieces]
        assert all(each.is_valid for each in shapes)
        assert sum(each.area for each in shapes) == (instances == number).sum()
        inside = np.zeros(instances.shape, bool)
        for each in shapes:
            inside |= shapely.contains_xy(each, columns + 0.5, rows + 0.5)
        np.testing.assert_array_equal(inside, instances == number)
        box, drawn = pixels_inside(pieces, instances.shape)
        assert drawn.sum() == (instances[box] == number).sum()


def test_corners_by_hand():
    """One pixel: its own four corners, half a pixel off its centre."""
    (piece,) = trace_pieces(np.array([[0, 0], [0, 1]], bool))
    np.testing.assert_array_equal(piece[0], [[1, 1], [1, 2], [2, 2], [2, 1]])
    around, hole = trace_pieces(HARD == 1)[0]
    assert [len(around), len(hole)] == [4, 4]
    # its ends touch at a corner: what they enclose is a hole, which touches the outside there
    around, hole = trace_pieces(HARD == 2)[0]
    assert {tuple(corner) for corner in around} & {tuple(corner) for corner in hole} == {(2, 6)}
    assert len(trace_pieces(HARD == 3)) == 2


def test_pixels_inside_a_polygon_are_those_of_scikit_image():
    """A centre on an edge is a matter of taste: corners lie where none is."""
    random_values = np.random.default_rng(2245)
    for _ in range(20):
        corners = random_values.uniform(-9, 60, (7, 2))
        box, inside = pixels_inside([(corners,)], (47, 53))
        drawn = np.zeros((47, 53), bool)
        drawn[box] = inside
        expected = np.zeros((47, 53), bool)
        expected[polygon(*(corners.T - 0.5), expected.shape)] = True
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("name", ["a.zip", "a.geojson"])
@pytest.mark.parametrize("instances", [HARD, particles()], ids=["hard", "noise"])
def test_labels_come_back_the_same(tmp_path, name, instances):
    image = InstanceImage("gold.tif", instances)
    path = write_instances(tmp_path / name, [image], {1: "particle"})
    file = read_outlines(path)
    legend = legend_of(file.outlines)
    assert legend.numbered
    assert legend.unlabelled == "background"
    back, notes = file.labels(instances.shape, legend)
    np.testing.assert_array_equal(back, instances)
    assert notes == ()
    again = write_instances(tmp_path / f"again{path.suffix}", [image], {1: "particle"})
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(FileExistsError):
        write_instances(path, [image], {1: "particle"})


def test_imagej_rois_open_in_roifile(tmp_path):
    """Even-odd over the rings of a composite selection, as ImageJ's ShapeRoi fills its path."""
    path = write_instances(tmp_path / "r.zip", [InstanceImage("gold.tif", HARD)], {1: "particle"})
    rois = roifile.roiread(path)
    assert [roi.name for roi in rois] == [f"particle-{n:04d}" for n in (1, 2, 3, 4)]
    back = np.zeros_like(HARD)
    rows, columns = np.indices(HARD.shape)
    for number, roi in enumerate(rois, start=1):
        rings = roi.coordinates(multi=True)
        assert roi.composite == (len(rings) > 1)
        inside = np.zeros(HARD.shape, bool)
        for ring in rings:
            inside ^= shapely.contains_xy(shapely.Polygon(ring), columns + 0.5, rows + 0.5)
        back[inside] = number
        assert (roi.left, roi.top) == tuple(np.concatenate(rings).min(axis=0))
    np.testing.assert_array_equal(back, HARD)


def test_geojson_opens_in_shapely(tmp_path):
    """As QuPath has it: x before y, pixels, the class and its colour, one UUID a feature."""
    image = InstanceImage("gold.tif", HARD, {2: 2}, (0.5, 0.25))
    path = write_instances(tmp_path / "g.geojson", [image], {1: "particle", 2: "void"})
    document = json.loads(path.read_text())
    assert document["type"] == "FeatureCollection"
    features = document["features"]
    shapes = [shapely.geometry.shape(each["geometry"]) for each in features]
    assert [each.geom_type for each in shapes] == ["Polygon", "Polygon", "MultiPolygon", "Polygon"]
    assert all(each.is_valid for each in shapes)
    assert [each.area for each in shapes] == [8, 7, 2, 2]
    # RFC 7946: around against the clock where y points up, holes with it
    assert shapes[0].exterior.is_ccw
    assert not shapes[0].interiors[0].is_ccw
    assert shapes[3].bounds == (6, 4, 8, 5)
    assert len({UUID(each["id"]) for each in features}) == 4
    properties = [each["properties"] for each in features]
    assert {each["objectType"] for each in properties} == {"annotation"}
    assert [each["classification"]["name"] for each in properties] == [
        *("particle", "void", "particle", "particle")
    ]
    assert properties[0]["measurements"] == {"Area px^2": 8.0, "Area nm^2": 1.0}
    assert all("plane" not in each["geometry"] for each in features)


@pytest.mark.parametrize("name", ["s.zip", "s.geojson"])
def test_a_series_keeps_its_frames(tmp_path, name):
    planes = [particles(seed, (19, 23)) for seed in (140, 9213)]
    images = [
        InstanceImage(f"gold.tif[{frame}]", plane, frame=frame)
        for frame, plane in zip((0, 2), planes, strict=True)
    ]
    path = write_instances(tmp_path / name, images, {1: "particle"})
    file = read_outlines(path)
    legend = legend_of(file.outlines)
    labels, _ = file.labels((3, 19, 23), legend)
    np.testing.assert_array_equal(labels[0], planes[0])
    assert not labels[1].any()
    later = np.where(planes[1] > 0, planes[1] + planes[0].max(), 0)
    np.testing.assert_array_equal(labels[2], later)
    with pytest.raises(ReadingError, match="outlines on 2 frames, 1 to 3, but the image is a sing"):
        file.labels((19, 23), legend)
    with pytest.raises(ReadingError, match="on frame 3, but the image has 2"):
        file.labels((2, 19, 23), legend)


def test_classes_have_one_value_in_all_files():
    ring = np.array([[1, 1], [1, 4], [4, 4], [4, 1]])

    def drawn(kind, at=0):
        return Outline(((ring + at,),), kind=kind)

    legend = legend_of([drawn("void"), drawn("gold", 4), drawn("gold", 8)])
    assert legend.values == {"gold": 1, "void": 2}
    assert legend.unlabelled == "background"
    strokes = legend_of([drawn("gold"), drawn("Background", 4), drawn("void")])
    assert strokes.values == {"Background": 1, "gold": 2, "void": 3}
    assert strokes.unlabelled == "ignore"
    labels = np.zeros((12, 13), strokes.dtype(3))
    overlapping = labels_inside(
        [drawn("gold"), drawn("Background", 5), drawn("void", 1)], labels, strokes
    )
    assert overlapping == 1
    assert {int(value) for value in np.unique(labels)} == {0, 1, 2, 3}
    assert labels[4, 4] == 3
    assert labels[2, 2] == 3
    assert labels[1, 1] == 2


def test_groups_of_imagej_are_classes(tmp_path):
    instances = np.array([[1, 0, 2], [1, 0, 2], [0, 0, 3]])
    image = InstanceImage("gold.tif", instances, {3: 2})
    path = write_instances(tmp_path / "r.zip", [image], {1: "particle", 2: "void"})
    assert [roi.group for roi in roifile.roiread(path)] == [1, 1, 2]
    file = read_outlines(path)
    legend = legend_of(file.outlines)
    assert legend.values == {"group 1": 1, "group 2": 2}
    labels, _ = file.labels(instances.shape, legend)
    np.testing.assert_array_equal(labels, [[1, 0, 1], [1, 0, 1], [0, 0, 2]])


def test_what_people_draw_in_imagej(tmp_path):
    """A rectangle, an oval, a polygon with corners between pixels; lines and points are no area."""
    rectangle = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, left=3, top=5, right=9, bottom=11, name="box"
    )
    oval = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.OVAL, left=20, top=10, right=41, bottom=31, name="disc"
    )
    hand = roifile.ImagejRoi.frompoints(np.array([[1.25, 20.5], [9.75, 20.5], [9.75, 30.2]]))
    line = roifile.ImagejRoi.frompoints(np.array([[0, 0], [5, 5]]))
    line.roitype = roifile.ROI_TYPE.POLYLINE
    with zipfile.ZipFile(tmp_path / "RoiSet.zip", "w") as archive:
        for number, roi in enumerate((rectangle, oval, hand, line)):
            archive.writestr(f"{number}.roi", roi.tobytes())
        archive.writestr("__MACOSX/._0.roi", b"what the Mac leaves")
    file = read_outlines(tmp_path / "RoiSet.zip")
    assert [outline.name for outline in file.outlines][:2] == ["box", "disc"]
    labels, notes = file.labels((43, 47), legend_of(file.outlines))
    assert "1 lines or points" in notes[0]
    expected = np.zeros((43, 47), int)
    expected[5:11, 3:9] = 1
    # the pixels whose centres are within 10.5 px of the middle
    expected[disk((20, 30), 10.5, shape=expected.shape)] = 2
    corners = np.array([[20.5, 1.25], [20.5, 9.75], [30.2, 9.75]])
    # a row of centres lies on its upper edge, which counts as inside here
    expected[polygon(*(corners.T - 0.5), expected.shape)] = 3
    np.testing.assert_array_equal(labels, expected)
    (tmp_path / "box.roi").write_bytes(rectangle.tobytes())
    assert len(read_outlines(tmp_path / "box.roi").outlines) == 1


def test_what_qupath_writes_is_read(tmp_path):
    """Geometry collections, strings and lists for classes, a plane, features without area."""
    square = [[[2, 3], [6, 3], [6, 8], [2, 8], [2, 3]]]
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "GeometryCollection",
                "geometries": [{"type": "Polygon", "coordinates": square}],
                "plane": {"c": -1, "z": 0, "t": 1},
            },
            "properties": {"classification": {"names": ["Tumor", "Positive"]}},
        },
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}},
        {"type": "Feature", "geometry": None, "properties": None},
    ]
    path = tmp_path / "q.geojson"
    for document in ({"type": "FeatureCollection", "features": features}, features):
        path.write_text(json.dumps(document))
        file = read_outlines(path)
        (outline,) = file.outlines
        assert (outline.kind, outline.frame) == ("Tumor: Positive", 1)
        assert "Point" in file.notes[0]
        labels, _ = file.labels((2, 11, 13), legend_of(file.outlines))
        assert labels[1, 3:8, 2:6].all()
        assert labels.sum() == 20


@pytest.mark.parametrize(
    ("name", "held", "words"),
    [
        ("a.geojson", b"not JSON", "cannot be read as GeoJSON"),
        ("a.geojson", b"{}", "holds no feature"),
        ("a.geojson", b'{"type": "Point", "coordinates": [1, 2]}', "type Point and no area"),
        (
            "a.geojson",
            b'{"type": "Polygon", "coordinates": [[["a", 1], [2, 2], [3, 3]]]}',
            "feature 1 of .* is damaged",
        ),
        ("a.geojson", b'{"type": "Polygon", "coordinates": 7}', "feature 1 of .* is damaged"),
        ("a.roi", b"Iout" + bytes(20), "is damaged"),
        ("a.zip", b"PK no zip", "damaged or of another format"),
        ("a.txt", b"", "outlines are read from .geojson, .roi, .zip"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, held, words):
    (tmp_path / name).write_bytes(held)
    with pytest.raises(ReadingError, match=words):
        read_outlines(tmp_path / name)


def test_a_zip_is_what_is_in_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.writestr("run.json", "{}")
    assert not holds_outlines(tmp_path / "run.zip")
    with pytest.raises(ReadingError, match="holds no ImageJ ROI"):
        read_outlines(tmp_path / "run.zip")
    path = write_instances(tmp_path / "r.zip", [InstanceImage("a", HARD)], {1: "particle"})
    assert holds_outlines(path)
    assert not holds_outlines(tmp_path / "missing.zip")


def test_outlines_of_another_image_are_refused(tmp_path):
    path = write_instances(
        tmp_path / "r.geojson", [InstanceImage("a", np.pad(HARD, ((90, 0), (0, 0))))], {1: "x"}
    )
    file = read_outlines(path)
    with pytest.raises(ReadingError, match=r"all outlines .* lie outside of the image"):
        file.labels((43, 47), legend_of(file.outlines))
