"""OME-Zarr of other writers, 0.1 to 0.5, and paths that lead into a store.

The layouts are those of https://ngff.openmicroscopy.org/specifications/.
"""

import os

import numpy as np
import pytest
import zarr

from napari_tem_rf.micrographs import frames
from napari_tem_rf.micrographs.reading import (
    ReadingError,
    find_images,
    image_name,
    open_labels,
    read_labels,
    read_micrographs,
)

ROWS, COLUMNS = 41, 59
KINDS = {"t": {"type": "time"}, "c": {"type": "channel"}}


def ramp():
    return (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) * 7 % 241).astype(np.uint8)


def new(path, version="0.4"):
    return zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)


def write(group, pixels, axes="yx", scale=(0.4, 0.2), version="0.4", unit="nanometer", **more):
    """Write one level of an image into a group, as the version has it."""
    array = group.create_array("0", shape=pixels.shape, dtype=pixels.dtype, chunks=pixels.shape)
    array[...] = pixels
    image = {"datasets": [{"path": "0"}], **more}
    if version == "0.3":
        image["axes"] = list(axes)
    elif version >= "0.4":
        space = {"type": "space"} | ({} if unit is None else {"unit": unit})
        image["axes"] = [{"name": axis, **KINDS.get(axis, space)} for axis in axes]
        if scale is not None:
            transform = {"type": "scale", "scale": list(scale)}
            image["datasets"][0]["coordinateTransformations"] = [transform]
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": [image]}
    else:
        group.attrs["multiscales"] = [{"version": version, **image}]


def read(path):
    (micrograph,) = read_micrographs(path)
    return micrograph


@pytest.mark.parametrize("version", ["0.1", "0.2", "0.3", "0.4", "0.5"])
def test_all_versions(tmp_path, version):
    path = tmp_path / "a.ome.zarr"
    write(new(path, version), ramp()[None, None, None], "tczyx", (1, 1, 9, 0.4, 0.2), version)
    micrograph = read(path)
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    # scales came with 0.4
    expected = None if version < "0.4" else pytest.approx((0.4, 0.2))
    assert micrograph.pixel_size_nm == expected
    assert micrograph.name == "a"


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("axes", ["zyx", "yxz", "xyz", "tyx", "yxc"])
def test_axes_are_what_they_are_called(tmp_path, monkeypatch, axes, in_memory):
    if not in_memory:
        monkeypatch.setattr(frames, "IN_MEMORY_BYTES", 1000)
    stack = np.stack([ramp() // divisor for divisor in (1, 2, 3)])
    sizes = {"y": 0.4, "x": 0.2}
    order = ["yx".find(axis) + 1 for axis in axes]
    path = tmp_path / "a.zarr"
    write(new(path), stack.transpose(order), axes, [sizes.get(axis, 7) for axis in axes])
    micrograph = read(path)
    assert isinstance(micrograph.pixels, np.ndarray) == in_memory
    np.testing.assert_array_equal(np.asarray(micrograph.pixels), stack)
    assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))


def test_more_axes_become_frames_with_a_note(tmp_path):
    stack = np.arange(2 * 3 * ROWS * COLUMNS, dtype=np.uint16).reshape(2, 3, ROWS, COLUMNS)
    write(new(tmp_path / "a.zarr"), stack, "tcyx", (1, 1, 0.4, 0.2))
    micrograph = read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(micrograph.frame(4), stack[1, 1])
    assert "one series of 6 frames" in micrograph.notes[0]


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"scale": None}, None),
        ({"unit": None}, "no pixel size: its axes have a scale, but no unit"),
        ({"scale": (0.4,)}, "no pixel size: its scale cannot be read (1 numbers for 2 axes)"),
        ({"scale": (0, 0)}, None),
    ],
)
def test_an_unknown_size_is_none(tmp_path, more, note):
    write(new(tmp_path / "a.zarr"), ramp(), **more)
    micrograph = read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(micrograph.pixels, ramp())
    assert micrograph.pixel_size_nm is None
    assert micrograph.notes == (() if note is None else (note,))


def test_scales_of_the_image_and_of_its_level_multiply(tmp_path):
    outer = [{"type": "scale", "scale": [2.0, 5.0]}, {"type": "translation", "translation": [1, 1]}]
    write(new(tmp_path / "a.zarr"), ramp(), coordinateTransformations=outer)
    assert read(tmp_path / "a.zarr").pixel_size_nm == pytest.approx((0.8, 1.0))


# ---------------------------------------------------------------- images in groups


@pytest.fixture(params=["0.4", "0.5"])
def series(request, tmp_path):
    """Return a function that writes a store as bioformats2raw does: images in groups 0, 1, ..."""

    def make(count, listed=True):
        version = request.param
        path = tmp_path / "b.zarr"
        root = new(path, version)
        layout = {"bioformats2raw.layout": 3}
        root.attrs.update({"ome": {"version": "0.5", **layout}} if version == "0.5" else layout)
        for number in range(count):
            pixels = np.stack([ramp(), ramp() // 2, ramp() // 3]) // (number + 1)
            group = root.create_group(str(number))
            write(group, pixels[None, None], "tczyx", (1, 1, 9, 0.4, 0.2), version)
        if listed:
            names = {"series": [str(number) for number in range(count)]}
            about = root.create_group("OME")
            about.attrs.update({"ome": names} if version == "0.5" else names)
        return path

    return make


@pytest.mark.parametrize("listed", [True, False])
def test_one_series_in_a_group(series, listed):
    path = series(1, listed)
    for place in (path, path / "0"):
        micrograph = read(place)
        assert micrograph.pixels.shape == (3, ROWS, COLUMNS)
        assert micrograph.pixel_size_nm == pytest.approx((0.4, 0.2))
        assert micrograph.name == "b"
        np.testing.assert_array_equal(micrograph.frame(1), ramp() // 2)
    assert find_images([path / "0"]) == (path / "0",)


def test_many_series_come_in_the_order_of_their_numbers(series):
    path = series(11)
    found = read_micrographs(path)
    assert [m.name for m in found] == [f"b {number}" for number in range(11)]
    np.testing.assert_array_equal(found[10].frame(0), ramp() // 11)
    assert read(path / "10").name == image_name(path / "10") == "b 10"


def test_a_large_store_of_many_images_stays_on_disk(series, monkeypatch):
    monkeypatch.setattr(frames, "IN_MEMORY_BYTES", 20_000)
    found = read_micrographs(series(3))
    assert not any(isinstance(m.pixels, np.ndarray) for m in found)
    np.testing.assert_array_equal(found[2].frame(1), ramp() // 2 // 3)


def test_a_level_of_an_image_has_its_own_size(tmp_path):
    root = new(tmp_path / "a.zarr")
    write(root, ramp())
    half = root.create_array("1", shape=(20, 29), dtype="u1")
    half[...] = ramp()[:40:2, :58:2]
    images = root.attrs["multiscales"]
    transform = {"type": "scale", "scale": [0.8, 0.4]}
    images[0]["datasets"].append({"path": "1", "coordinateTransformations": [transform]})
    root.attrs["multiscales"] = images
    micrograph = read(tmp_path / "a.zarr" / "1")
    np.testing.assert_array_equal(micrograph.pixels, ramp()[:40:2, :58:2])
    assert micrograph.pixel_size_nm == pytest.approx((0.8, 0.4))
    # the whole image is its finest level
    assert read(tmp_path / "a.zarr").pixel_size_nm == pytest.approx((0.4, 0.2))


def test_fields_of_a_plate(tmp_path):
    root = new(tmp_path / "a.zarr")
    root.attrs["plate"] = {"version": "0.4", "wells": [{"path": "A/1"}, {"path": "B/2"}]}
    well = root.create_group("B/2")  # A/1 was planned and not taken
    well.attrs["well"] = {"version": "0.4", "images": [{"path": "0"}]}
    write(well.create_group("0"), ramp())
    np.testing.assert_array_equal(read(tmp_path / "a.zarr").pixels, ramp())


def test_images_in_groups_without_a_word_about_it(tmp_path):
    root = new(tmp_path / "a.zarr")
    write(root.create_group("overview"), ramp())
    write(root.create_group("detail"), ramp() // 2)
    assert [m.name for m in read_micrographs(tmp_path / "a.zarr")] == ["a detail", "a overview"]


def test_a_store_in_one_zip_file(tmp_path):
    with zarr.storage.ZipStore(tmp_path / "a.zarr", mode="w") as store:
        root = zarr.open_group(store, mode="w", zarr_format=3)
        array = root.create_array("0", shape=(ROWS, COLUMNS), dtype="u1")
        array[...] = ramp()
    with pytest.raises(ReadingError, match=r'name it: "a.zarr/0"'):
        read_micrographs(tmp_path / "a.zarr")


def test_an_array_alone_is_an_image_without_size(tmp_path):
    array = zarr.create_array(
        tmp_path / "a.zarr",
        shape=(COLUMNS, ROWS, 3),
        dtype="u1",
        dimension_names=("x", "y", "time"),
    )
    stack = np.stack([ramp(), ramp() // 2, ramp() // 3])
    array[...] = stack.T
    micrograph = read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(micrograph.pixels, stack)
    assert micrograph.pixel_size_nm is None
    assert "no OME metadata" in micrograph.notes[0]


# ---------------------------------------------------------------- labels under an image


@pytest.mark.parametrize("inner", ["labels/particles", "labels"])
def test_labels_under_an_image(tmp_path, inner):
    mask = (ramp() > 200).astype(np.uint8)
    store = tmp_path / "gold_03.ome.zarr"
    root = new(store)
    write(root, ramp())
    labels = root.create_group("labels")
    labels.attrs["labels"] = ["particles"]
    write(labels.create_group("particles"), mask)
    labels["particles"].attrs["image-label"] = {"version": "0.4", "source": {"image": "../../"}}
    # labels are not images of their own
    np.testing.assert_array_equal(read(store).pixels, ramp())
    np.testing.assert_array_equal(read_labels(store / inner), mask)
    opened = open_labels(store / inner)
    np.testing.assert_array_equal(opened.read(0), mask)
    assert image_name(store / inner) == "gold_03"


def test_which_of_several_labels_is_meant_must_be_said(tmp_path):
    root = new(tmp_path / "a.zarr")
    labels = root.create_group("labels")
    labels.attrs["labels"] = ["grains", "particles"]
    for name in ("grains", "particles"):
        write(labels.create_group(name), (ramp() > 200).astype(np.uint8))
    for read_some in (read_labels, open_labels):
        with pytest.raises(ReadingError, match='holds 2 images \\("grains", "particles"\\)'):
            read_some(tmp_path / "a.zarr" / "labels")


# ---------------------------------------------------------------- what is refused


@pytest.mark.timeout(30)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_in_a_store_is_refused_and_not_waited_for(tmp_path):
    root = new(tmp_path / "a.zarr")
    write(root, ramp())
    os.mkfifo(tmp_path / "a.zarr" / "0" / "1.1")
    with pytest.raises(ReadingError, match="is a pipe, not a file"):
        read_micrographs(tmp_path / "a.zarr")


def test_a_codec_that_is_not_installed_is_named(tmp_path):
    root = new(tmp_path / "a.zarr")
    write(root, ramp())
    description = tmp_path / "a.zarr" / "0" / ".zarray"
    text = description.read_text()
    start, end = text.index('"compressor"'), text.index("}", text.index('"compressor"')) + 1
    description.write_text(text[:start] + '"compressor": {"id": "squeeze9"}' + text[end:])
    with pytest.raises(ReadingError, match="squeeze9") as caught:
        read_micrographs(tmp_path / "a.zarr")
    assert "cannot" in str(caught.value) or "can unpack" in str(caught.value)
    assert "damaged" not in str(caught.value)
