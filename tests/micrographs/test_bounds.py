"""Where a rule begins to hold: what lies just inside of a bound, and what just outside."""

import io
import json
import re
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import zarr

from napari_tem_rf.micrographs import (
    frames as frames_module,
    grouping,
    hdf5_check,
    trial,
    zarr_check,
)
from napari_tem_rf.micrographs.annotation import (
    AnnotatedImage,
    Classes,
    TrainingSet,
    as_classes,
    find_classes,
    index_all,
    index_labels,
    shape_text,
)
from napari_tem_rf.micrographs.axes import Arrangement, arrangement
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, fill_not_finite, standardise
from napari_tem_rf.micrographs.extremes import extremes_note
from napari_tem_rf.micrographs.frame_interval import frame_interval_s, interval_of_times
from napari_tem_rf.micrographs.frames import is_small, lazy_frames, mapped_frames
from napari_tem_rf.micrographs.framewise import PackedLabels
from napari_tem_rf.micrographs.label_meaning import (
    count_labels,
    find_meaning,
    look_like_numbers,
    meaning_of,
    one_piece_each,
)
from napari_tem_rf.micrographs.ome_zarr import is_zarr_path, name_in_store
from napari_tem_rf.micrographs.rawimage import ReadingError
from napari_tem_rf.micrographs.reading import find_images, image_name, read_micrographs
from napari_tem_rf.micrographs.resampling import Resampling, resample_image
from napari_tem_rf.micrographs.splitting import in_judging_block, split
from napari_tem_rf.micrographs.tiff_parts import refuse_absurd_parts

# series, small and large


@pytest.mark.parametrize(
    ("shape", "dtype", "small"),
    [
        ((1, 8192, 8192), "u1", True),
        ((1, 8192, 8193), "u1", False),
        ((4, 2048, 2048), "f4", True),
        ((4, 2048, 2049), "f4", False),
        ((0, 10**6, 10**6), "f8", True),
    ],
)
def test_a_series_of_64_mib_is_read_at_once(shape, dtype, small):
    assert is_small(shape, dtype) == small


@pytest.mark.parametrize(("at_once", "whole"), [(True, True), (False, False), (None, True)])
def test_frames_are_read_when_they_are_asked_for(at_once, whole):
    asked = []

    def read(index):
        asked.append(index)
        return np.full((5, 7), index)

    series = lazy_frames(read, 3, (5, 7), "i2", at_once)
    assert isinstance(series, np.ndarray) == whole
    assert asked == ([0, 1, 2] if whole else [])
    assert (series.shape, series.dtype) == ((3, 5, 7), np.int16)
    assert np.asarray(series[1]).max() == 1
    assert np.asarray(series[::2, 3, 4:6]).tolist() == [[0, 0], [2, 2]]


def test_frames_of_a_file_lie_at_their_offsets(tmp_path):
    values = np.arange(2 * 35, dtype=">i2").reshape(2, 5, 7)
    path = tmp_path / "a.bin"
    path.write_bytes(b"head" + values[0].tobytes() + b"gap" + values[1].tobytes())
    offsets = (4, 4 + 70 + 3)
    np.testing.assert_array_equal(mapped_frames(path, offsets, (5, 7), ">i2"), values)
    turned = mapped_frames(path, offsets, (5, 7), ">i2", upside_down=True)
    np.testing.assert_array_equal(turned, values[:, ::-1])
    with pytest.raises(EOFError) as refused:
        mapped_frames(path, (4, 78), (5, 7), ">i2")
    assert str(refused.value) == ('frame 1 of "a.bin" has 34 of 35 values: the file was cut off')


def test_packed_labels_know_their_size():
    packed = PackedLabels((2, 500, 700), np.uint16)
    assert (packed.size, packed.nbytes, len(packed), packed.ndim) == (700_000, 0, 2, 3)
    packed[1] = 70
    assert 0 < packed.nbytes < 10_000
    assert repr(packed) == f"<PackedLabels (2, 500, 700) uint16: {packed.nbytes:,} bytes>"
    other = packed.copy()
    other[1] = 3
    assert (packed[1, 0, 0], other[1, 0, 0]) == (70, 3)
    assert np.asarray(packed, np.float32).dtype == np.float32
    assert packed[()].shape == (2, 500, 700)
    assert packed[2:].shape == (0, 500, 700)


# files that declare too much


def test_hdf5_may_declare_64_mib_or_what_deflate_gains(tmp_path):
    """Deflate gains at most a factor of 1032 (zlib's own documentation)."""
    path = tmp_path / "a.h5"
    path.write_bytes(bytes(100_000))

    def dataset(size, name="/data/a"):
        return SimpleNamespace(shape=(size,), size=size, dtype=np.dtype("u1"), name=name)

    hdf5_check.refuse_absurd_dataset(path, dataset(1032 * 100_000))
    with pytest.raises(ReadingError) as refused:
        hdf5_check.refuse_absurd_dataset(path, dataset(1032 * 100_000 + 1))
    assert str(refused.value) == (
        '"a.h5" declares 103,200,001 bytes in "data/a" but has only 100,000: it is damaged, or was '
        "never filled"
    )
    path.write_bytes(b"x")
    hdf5_check.refuse_absurd_dataset(path, dataset(64 * 2**20))
    with pytest.raises(ReadingError, match="declares 67,108,865 bytes"):
        hdf5_check.refuse_absurd_dataset(path, dataset(64 * 2**20 + 1))
    # of no shape at all, as HDF5's empty datasets are
    hdf5_check.refuse_absurd_dataset(path, SimpleNamespace(shape=None))


def test_hdf5_may_hold_so_many_objects(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5_check, "_MOST_OBJECTS", 3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("a/b", "c"):
            file[name] = np.zeros(3)
        hdf5_check.refuse_too_many_objects(tmp_path / "a.h5", file)
        file["d"] = np.zeros(3)
        with pytest.raises(ReadingError, match=r'^"a.h5" holds more than 3 objects: damaged$'):
            hdf5_check.refuse_too_many_objects(tmp_path / "a.h5", file)
    with pytest.raises(ReadingError, match="holds more than 3 objects"):
        hdf5_check.refuse_absurd_hdf5(tmp_path / "a.h5")


@pytest.mark.parametrize("zipped", [False, True])
def test_zarr_may_declare_64_mib_or_what_its_codecs_gain(tmp_path, zipped):
    path = tmp_path / "a.zarr"
    if zipped:
        path.write_bytes(bytes(50_000))
    else:
        (path / "0").mkdir(parents=True)
        (path / "0" / "0").write_bytes(bytes(20_000))
        (path / "1").write_bytes(bytes(30_000))

    def array(frame=(1, 1), chunks=(1, 1)):
        return SimpleNamespace(shape=(9, *frame), chunks=(1, *chunks), dtype=np.dtype("u1"))

    most = 2000 * 50_000
    for inside in (array((most // 1000, 1000)), array(chunks=(most // 1000, 1000))):
        zarr_check.refuse_absurd_zarr(inside, path)
    for outside in (array((most + 1, 1)), array(chunks=(most + 1, 1))):
        with pytest.raises(ReadingError) as refused:
            zarr_check.refuse_absurd_zarr(outside, path)
        assert str(refused.value) == (
            '"a.zarr" declares 100,000,001 bytes a frame or chunk but holds 50,000: it is damaged'
        )
    small = tmp_path / "b.zarr"
    small.mkdir()
    zarr_check.refuse_absurd_zarr(array((8192, 8192)), small)
    with pytest.raises(ReadingError, match=r"declares 67,117,056 bytes .* holds 0: it is damaged"):
        zarr_check.refuse_absurd_zarr(array((8192, 8193)), small)


@pytest.mark.parametrize(
    ("codec", "runs"),
    [
        ({"id": "pickle"}, True),
        ({"id": "dill", "protocol": 5}, True),
        ({"name": "numcodecs.pickle"}, True),
        ({"id": "blosc"}, False),
        ({"id": 7}, False),
        ({"comment": "pickle"}, False),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_objects_that_would_be_unpickled_are_refused(tmp_path, codec, runs, zipped):
    path = tmp_path / "a.zspy"
    said = json.dumps({"zarr_format": 2, "filters": [{"id": "delta"}, codec]})
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data/.zarray", said)
            archive.writestr("data/pickle.json", "not JSON")
    else:
        (path / "data").mkdir(parents=True)
        (path / "data" / ".zarray").write_text(said)
        (path / "data" / "pickle.json").write_text("not JSON")
    if runs:
        with pytest.raises(ReadingError) as refused:
            zarr_check.refuse_unsafe_zarr(path)
        assert str(refused.value) == (
            '"a.zspy" holds pickled Python objects (data/.zarray), which could run any program: '
            "save an array of numbers"
        )
    else:
        zarr_check.refuse_unsafe_zarr(path)


def png_of(rows, columns):
    """Return the front of a PNG of this size (PNG specification, 11.2.2)."""
    return b"\x89PNG\r\n\x1a\n" + bytes(8) + columns.to_bytes(4, "big") + rows.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("compression", "size", "tile", "declared", "refused"),
    [
        # a megapixel is free, and four times the part
        ("PNG", (10, 10), None, (1024, 1024), False),
        ("PNG", (10, 10), None, (1024, 1025), True),
        ("PNG", (1000, 2000), None, (4000, 2000), False),
        ("PNG", (1000, 2000), None, (4000, 2001), True),
        ("PNG", (9000, 9000), (1000, 2000), (4000, 2001), True),
        ("JPEG2000", (10, 10), None, (1024, 1025), True),
        # what says nothing of its size is not looked at
        ("LZW", (10, 10), None, (1024, 1025), False),
    ],
)
def test_parts_of_a_tiff_may_be_so_large(compression, size, tile, declared, refused):
    front = png_of(*declared)
    page = SimpleNamespace(
        compression=SimpleNamespace(name=compression),
        imagelength=size[0],
        imagewidth=size[1],
        is_tiled=tile is not None,
        tilelength=tile and tile[0],
        tilewidth=tile and tile[1],
        dataoffsets=(3, 7),
        databytecounts=(2, len(front)),
    )
    page.keyframe = page
    tiff = SimpleNamespace(filehandle=io.BytesIO(bytes(7) + front))
    if not refused:
        refuse_absurd_parts(tiff, page, Path("a.tif"))
        return
    with pytest.raises(ReadingError) as caught:
        refuse_absurd_parts(tiff, page, Path("a.tif"))
    assert str(caught.value) == (
        f'"a.tif" has a part that declares {declared[0]} x {declared[1]} pixels of an image of '
        f"{size[0]} x {size[1]}: it is damaged; copy it again from where it came from"
    )


def test_in_one_program_with_its_interpreter_nothing_is_tried_before(tmp_path, monkeypatch):
    monkeypatch.setattr(trial._helper, "try_file", lambda path, read: "no")
    with pytest.raises(ReadingError, match=r"^no$"):
        trial.open_on_trial(tmp_path / "a.hspy", print)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    trial.open_on_trial(tmp_path / "a.hspy", print)


@pytest.mark.parametrize(("images", "whole"), [(1, True), (2, False)])
def test_a_lone_image_of_a_store_is_read_whole(tmp_path, monkeypatch, images, whole):
    monkeypatch.setattr(frames_module, "IN_MEMORY_BYTES", 100)
    for place in range(images):
        group = zarr.open_group(tmp_path / "a.zarr" / str(place), mode="w", zarr_format=2)
        group.create_array("0", shape=(1, 23, 31), dtype="u2", chunks=(1, 23, 31))[...] = place
        described = {"axes": [{"name": axis} for axis in "tyx"], "datasets": [{"path": "0"}]}
        group.attrs["multiscales"] = [described]
    zarr.open_group(tmp_path / "a.zarr", mode="a", zarr_format=2)
    found = read_micrographs(tmp_path / "a.zarr")
    assert [isinstance(each.pixels, np.ndarray) for each in found] == [whole] * images
    assert [int(each.frame().max()) for each in found] == list(range(images))


# names and places


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/gold.tif", "gold"),
        ("a/gold.OME.TIF", "gold"),
        ("a/gold.ome.zarr", "gold"),
        ("a/gold.v2.mrc", "gold.v2"),
        # files of outlines after the image's, ending and all
        ("a/gold.tif.geojson", "gold"),
        ("a/gold.ome.tif.roi", "gold"),
        ("a/gold.v2.geojson", "gold.v2"),
        # in a store
        ("a/gold.ome.zarr/3", "gold 3"),
        ("a/gold.zarr/A/1/0", "gold A 1 0"),
        ("a/gold.zarr/0", "gold"),
        ("a/gold.zarr/0/labels/cells", "gold"),
        ("a/gold.zarr/2/labels/cells", "gold 2"),
    ],
)
def test_an_image_is_named_after_its_file(path, name):
    assert image_name(path) == name


def test_of_two_images_in_a_store_each_has_its_place_in_its_name(tmp_path):
    for place in "01":
        (tmp_path / "a.zarr" / place).mkdir(parents=True)
    assert name_in_store(tmp_path / "a.zarr" / "0").stem == "a 0"
    assert name_in_store(tmp_path / "b.tif") == tmp_path / "b.tif"
    assert is_zarr_path(tmp_path / "a.ZARR")
    assert not is_zarr_path(tmp_path / "a.zarr" / "0")
    for number, node in enumerate(("zarr.json", ".zgroup", ".zarray")):
        folder = tmp_path / f"store {number}"
        folder.mkdir()
        (folder / node).touch()
        assert is_zarr_path(folder)
    assert find_images([tmp_path / "store 0"]) == (tmp_path / "store 0",)


@pytest.mark.parametrize(
    ("shape", "names", "wanted"),
    [
        # eight channels, of four times as many rows and columns
        ((32, 32, 8), "", ((2,), 0, 1, None)),
        ((31, 32, 8), "", ((0,), 1, 2, None)),
        ((36, 36, 9), "", ((0,), 1, 2, None)),
        ((8, 8, 2), "", ((2,), 0, 1, None)),
        ((5, 5, 3), "", ((), 0, 1, 2)),
        ((4, 5, 3), "", ((0,), 1, 2, None)),
        ((6, 5, 5, 4), "", ((0,), 1, 2, 3)),
        # a name for each axis, or none counts
        ((41, 59, 3), "YX", ((), 0, 1, 2)),
        ((41, 59, 3), "YYX", ((), 0, 1, 2)),
        ((3, 41, 59), "SYX", ((), 1, 2, 0)),
        ((3, 3, 41, 59), "SSYX", ((0, 1), 2, 3, None)),
        ((1, 1), "", ((), 0, 1, None)),
        ((1, 1, 7), "", ((1,), 0, 2, None)),
    ],
)
def test_which_axis_is_what(shape, names, wanted):
    frames, row, column, channel = wanted
    found = arrangement(shape, names)
    assert (found.frames, found.row, found.column, found.channel) == wanted
    values = np.zeros(shape)
    assert found.of(values).shape == tuple(
        shape[axis] for axis in (*frames, row, column, *(() if channel is None else (channel,)))
    )
    assert Arrangement((0,), 1, 2).note == ""


# times


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        *((None, 3.0), ("", 3.0), ("s", 3.0), ("Seconds", 3.0), ("[sec]", 3.0), (" s ", 3.0)),
        *(("ms", 0.003), ("[m_s]", 0.003), ("µs", 3e-6), ("ns", 3e-9)),
        *(("min", 180.0), ("h", 10_800.0), ("frames", None), ("nm", None)),
    ],
)
def test_times_come_in_seconds(unit, seconds):
    assert frame_interval_s(3, unit) == (None if seconds is None else pytest.approx(seconds))
    assert frame_interval_s("3", unit) == frame_interval_s(3, unit)


@pytest.mark.parametrize(
    ("resolution", "seconds"), [(0.0, 10.0), (1.0, 10.0), (1.01, None), (5.0, None)]
)
def test_a_clock_tells_an_interval_to_a_twentieth_of_the_whole(resolution, seconds):
    assert interval_of_times([5.0, 15.0, 25.0], resolution) == seconds
    # one of two frames taken at the same moment is no reason
    assert interval_of_times([5.0, 5.0, 25.0]) == 10


# exposures


@pytest.mark.parametrize("pattern", [None, "gold", "(go)ld"])
def test_groups_are_found_in_a_process_of_its_own(pattern):
    found = grouping.groups_of(["gold_1", "gold_2"], pattern)
    group = {"gold": "gold", "(go)ld": "go"}
    assert found == {name: group.get(pattern, name) for name in ("gold_1", "gold_2")}


def test_a_pattern_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(grouping, "LONGEST_SECONDS", 0.5)
    with pytest.raises(ValueError, match="takes more than") as refused:
        grouping.groups_of(["a" * 60 + "!", "b"], "(a+)+$")
    assert str(refused.value) == (
        "the grouping pattern '(a+)+$' takes more than 0.5 s for 2 names such as "
        f'"{"a" * 60}!": write one without repeats inside repeats, like ([^_]+)_'
    )


# what judges


def test_a_quarter_of_an_image_judges_in_blocks_of_48_px():
    """Row by row of blocks: the first of every four, and two further on in the next row."""
    rows, columns = np.indices((4 * 48, 8 * 48))
    blocks = in_judging_block(rows, columns)[24::48, 24::48]
    assert blocks.astype(int).tolist() == [
        [1, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 1, 0],
        [1, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 1, 0],
    ]
    assert in_judging_block(np.array([47]), np.array([47])).all()
    assert not in_judging_block(np.array([0, 48]), np.array([48, 0])).any()


def halves(shape=(60, 80)):
    """Return an image whose two classes alternate row by row, so that each block has both."""
    labels = np.zeros(shape, np.int16)
    labels[::2] = 1
    image = AnnotatedImage("gold", np.zeros(shape, np.float32), labels, "gold")
    return TrainingSet((image,), Classes((0, 1), ("background", "particle")))


@pytest.mark.parametrize("gap_px", [0, 4, 10])
def test_the_block_that_costs_the_training_least(gap_px):
    """Of strips and corners of a fifth by hand: a wider one costs more.

    A strip of 12 rows leaves 60 - 12 - gap rows of 80 px, one of 16 columns 80 - 16 - gap columns
    of 60; a corner of sqrt(0.2) of each side (26 x 35 px) leaves all but (26 + gap) (35 + gap).
    """
    left = {
        (12, 80): (60 - 12 - gap_px) * 80,
        (60, 16): (80 - 16 - gap_px) * 60,
        (26, 35): 60 * 80 - (26 + gap_px) * (35 + gap_px),
    }
    parts = split(halves(), 0.2, gap_px, seed=1)
    (held,), (used,) = parts.validation.images, parts.training.images
    inside = np.argwhere(held.labels >= 0)
    shape = tuple((np.ptp(inside, axis=0) + 1).tolist())
    assert int((used.labels >= 0).sum()) == left[shape] == max(left.values())
    (rows, columns), (last_row, last_column) = inside.min(axis=0), inside.max(axis=0)
    assert parts.held_out == (
        f"gold rows {rows} to {last_row}, columns {columns} to {last_column}",
    )


# what is spoilt by a few pixels


def spoilt(number, value):
    rng = np.random.default_rng(3)
    image = rng.normal(0, 1, (100, 100)).astype(np.float32)
    image.ravel()[rng.choice(10_000, number, replace=False)] = value
    return image


@pytest.mark.parametrize(("number", "noticed"), [(200, True), (201, False)])
def test_a_fiftieth_of_the_pixels_are_few(number, noticed):
    image = spoilt(number, 5000.0)
    said = extremes_note(image, image, Cleaning())
    assert (said is not None) == noticed
    if noticed:
        assert said == (
            "200 of 10,000 pixels are so bright that the network hardly sees the others: train "
            "with x-ray spikes removed (--spikes robust, or Clean... in the window)"
        )


@pytest.mark.parametrize(("value", "noticed"), [(11.0, False), (40.0, True)])
def test_an_extreme_is_12_deviations_away_and_makes_most_of_the_variance(value, noticed):
    image = spoilt(100, value)
    assert (extremes_note(image, image, Cleaning()) is not None) == noticed
    dark = extremes_note(-image, -image, Cleaning())
    assert (dark is not None) == noticed
    if noticed:
        assert dark == (
            "100 of 10,000 pixels are so dark that the network hardly sees the others: correct "
            "dead pixels where the image was recorded, or make them NaN"
        )
    assert extremes_note(image, image, Cleaning("robust")) is None


# labels


@pytest.mark.parametrize(
    ("number", "numbered"), [(2, False), (3, True)], ids=["two values", "three"]
)
def test_from_three_values_on_each_in_one_place_are_numbers(number, numbered):
    labels = np.zeros((20, 80), int)
    for place in range(number):
        labels[3:9, 3 + 12 * place : 9 + 12 * place] = place + 1
    assert look_like_numbers([labels]) == numbered
    assert find_meaning([labels]).numbered == numbered


@pytest.mark.parametrize(("pieces", "numbers"), [(6, True), (7, False)])
def test_half_as_many_pieces_more_than_values_are_borne(pieces, numbers):
    """Of four values 1.5 pieces each are 6."""
    labels = np.zeros((20, 120), int)
    for place in range(pieces):
        labels[3:9, 3 + 12 * place : 9 + 12 * place] = place % 4 + 1
    assert look_like_numbers([labels]) == numbers
    assert one_piece_each([labels]) == numbers


def test_pieces_touch_at_corners_too():
    labels = np.zeros((12, 40), int)
    for place in range(4):
        labels[2:5, 3 + 9 * place : 6 + 9 * place] = place + 1
        labels[5:8, 6 + 9 * place : 9 + 9 * place] = place + 1
    assert look_like_numbers([labels])
    assert one_piece_each([labels])
    assert not one_piece_each([labels], background=1) or labels.max() == 4


def test_a_value_inside_of_another_is_a_class():
    labels = np.zeros((20, 60), int)
    for place in range(4):
        labels[3:12, 3 + 14 * place : 12 + 14 * place] = place + 1
    assert look_like_numbers([labels])
    labels[6:8, 6:8] = 5
    assert not look_like_numbers([labels])


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16])
def test_counts_are_in_the_order_of_the_values(dtype):
    labels = np.array([[3, 0, 60_000], [3, 3, 0]], dtype)
    assert list(count_labels(labels).items()) == [(0, 2), (3, 3), (60_000, 1)]
    assert count_labels(labels[:, :0]) == {}
    assert count_labels(np.array([[True, True]])) == {1: 2}
    assert count_labels(np.array([[False]])) == {0: 1}


@pytest.mark.parametrize(
    ("ones", "background"), [(19, 0), (20, 1), (21, 1)], ids=["less", "half", "more"]
)
def test_a_1_without_zeros_is_background_where_it_is_half_of_all(ones, background):
    counts = {1: ones} | dict.fromkeys(range(2, 22), 1)
    assert meaning_of(counts).background == background


def numbered(*values):
    labels = np.zeros((4, 70), np.uint16)
    for place, value in enumerate(values):
        labels[1:3, 4 * place : 4 * place + 2] = value
    return labels


def test_classes_of_numbers():
    labels = numbered(*range(1, 18))
    assert find_classes([labels], "background").values == (0, 1)
    assert find_classes([labels], "ignore").values == (1, *range(2, 18))
    known = index_all([labels], "background", {1: "gold"})
    assert known.classes.names == ("background", "gold")
    assert known.border_px == 1
    assert sorted(np.unique(known.indices[0]).tolist()) in ([0, 1, 2], [0, 1], [0, 2])
    # what is larger than a class can be is none
    classes = Classes((0, 65_535), ("a", "b"))
    beyond = np.array([[65_535, 65_536, 65_537, 2**31 - 1]])
    assert index_labels(beyond, classes, "background").tolist() == [[1, -1, -1, -1]]
    border = np.array([[-1, 0, 1, 2]], np.int16)
    assert as_classes(border).tolist() == [[-1, 0, 1, 1]]
    image = AnnotatedImage("a", np.zeros((1, 4), np.float32), border, "a")
    data = TrainingSet((image,), Classes((0, 1), ("a", "b")), border_px=2.0)
    assert (data.learned, data.counts().tolist()) == (3, [1, 1, 1])
    plain = data.without_border
    assert (plain.learned, plain.border_px) == (2, None)
    assert plain.images[0].labels.tolist() == [[-1, 0, 1, 1]]
    assert plain.without_border is plain


@pytest.mark.parametrize(("annotated", "sparse"), [(49, True), (50, False)])
def test_strokes_are_less_than_half_of_the_images_that_have_any(annotated, sparse):
    labels = np.full((10, 10), -1, np.int16)
    labels.ravel()[:annotated] = 0
    images = [
        AnnotatedImage("a", np.zeros((10, 10), np.float32), each, "a")
        for each in (labels, np.full((10, 10), -1, np.int16))
    ]
    data = TrainingSet(tuple(images), Classes((0, 1), ("a", "b")))
    assert data.is_sparse == sparse
    assert shape_text((3, 10, 12)) == "3 x 10 x 12"


# grey values


def test_a_constant_image_has_no_scale():
    """Below a millionth of the mean there is nothing but rounding."""
    image = np.full((20, 30), 1000.0, np.float32)
    image[::2] += 0.0015
    assert not standardise(image).any()
    image[::2] += 0.1
    assert standardise(image).std() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_values_that_float32_holds_stay_as_they_are(dtype):
    image = np.arange(600).reshape(20, 30).astype(dtype) + dtype(3000)
    found = fill_not_finite(image)
    np.testing.assert_array_equal(found, image)
    assert found is not image
    assert clean(image, Cleaning()).dtype == np.float32


def test_both_sizes_of_a_resampling_are_kept():
    assert Resampling((0.02, 0.04), (0.05, 0.06)).to_dict() == {
        **{"from_nm": [0.02, 0.04], "to_nm": [0.05, 0.06]}
    }
    image = np.zeros((5, 7), np.float32)
    assert resample_image(image, (5, 7)) is image


# axes of EMD


def emd(path, values, *dims, group="data/picture", name="data", attributes=None):
    with h5py.File(path, "w") as file:
        made = file.require_group(group)
        made.attrs["emd_group_type"] = 1
        made[name] = values
        for number, (axis, places, unit) in enumerate(dims, start=1):
            dim = made.create_dataset(f"dim{number}", data=places)
            dim.attrs["name"], dim.attrs["units"] = axis, unit
    (found,) = read_micrographs(path)
    return found


GREY = np.arange(23 * 31, dtype=np.uint16).reshape(23, 31)
FAR = 1e7 + 0.4 * np.arange(23)


@pytest.mark.parametrize(
    ("rows", "size_nm"),
    [
        (0.4 * np.arange(23), 0.4),
        # the first two places alone
        (np.array([1.0, 1.4]), 0.4),
        # one place, or words in their stead, tell no step
        (np.array([1.0]), None),
        (np.array([b"a"] * 23), None),
        # 1 % of unevenness is borne
        (0.4 * np.arange(23) + 0.0035 * (np.arange(23) % 2), 0.4),
        (0.4 * np.arange(23) + 0.01 * (np.arange(23) % 2), None),
        # whole numbers without a sign that count down
        (np.arange(230, 0, -10, dtype=np.uint8), 10.0),
        # far from the origin single precision has no more digits
        (FAR.astype(np.float32), pytest.approx(0.4, rel=0.2)),
    ],
    ids=["even", "two", "one", "words", "nearly even", "uneven", "down", "far away"],
)
def test_steps_of_emd_follow_from_places(tmp_path, rows, size_nm):
    found = emd(tmp_path / "a.emd", GREY, ("y", rows, "n_m"), ("x", 0.2 * np.arange(31), "n_m"))
    if size_nm is None:
        assert found.pixel_size_nm is None
    else:
        assert found.pixel_size_nm == (
            size_nm if not isinstance(size_nm, float) else pytest.approx(size_nm, rel=1e-2),
            pytest.approx(0.2),
        )
    np.testing.assert_array_equal(found.pixels, GREY)


@pytest.mark.parametrize("name", ["data", "datacube", "counted_datacube", "realslice", "picture"])
@pytest.mark.parametrize("group", ["/", "a/b/gold"])
def test_emds_array_is_called_by_several_names(tmp_path, name, group):
    found = emd(
        tmp_path / "a.emd",
        GREY,
        ("y", 0.4 * np.arange(23), "n_m"),
        ("x", 0.2 * np.arange(31), "n_m"),
        group=group,
        name=name,
    )
    np.testing.assert_array_equal(found.pixels, GREY)
    assert found.pixel_size_nm == pytest.approx((0.4, 0.2))


# folders


def test_a_ser_file_comes_with_its_emi(tmp_path):
    for name in ("a_1.ser", "a.EMI", "b_1.ser", ".c.npy", "d.geojson", "e.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_images([tmp_path])] == ["a.EMI", "b_1.ser"]
    with_outlines = [path.name for path in find_images([tmp_path], outlines=True)]
    assert with_outlines == ["a.EMI", "b_1.ser", "d.geojson"]
    assert frames_module.IN_MEMORY_BYTES == 64 * 2**20
    with pytest.raises(ReadingError, match=re.escape(f'"{tmp_path / "f"}" is not there')):
        find_images([Path(tmp_path, "f")])
    zarr.open_group(tmp_path / "g.zarr", mode="w")
    assert find_images([tmp_path / "g.zarr"]) == (tmp_path / "g.zarr",)
