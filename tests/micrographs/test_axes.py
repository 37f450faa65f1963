"""Which axis is what: the right values follow from TIFF 6.0 and from the other programs named."""

import dask.array
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_tem_rf.micrographs import frames as frames_module, tiff as tiff_module
from napari_tem_rf.micrographs.axes import arrangement
from napari_tem_rf.micrographs.reading import open_labels, read_labels, read_micrographs

SHAPE = (41, 59)


@pytest.fixture
def grey():
    rows, columns = SHAPE
    return (np.arange(rows * columns).reshape(SHAPE) * 7 % 241).astype(np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:10, 5:14], mask[20:31, 30:47] = 1, 2
    return mask


def one(path):
    (micrograph,) = read_micrographs(path)
    return micrograph


@pytest.mark.parametrize(
    ("shape", "names", "order", "channel"),
    [
        ((41, 59), "", (0, 1), None),
        ((5, 41, 59), "", (0, 1, 2), None),
        ((41, 59, 1), "", (2, 0, 1), None),
        ((5, 41, 59, 1), "", (3, 0, 1, 2), None),
        ((5, 1, 41, 59), "", (1, 0, 2, 3), None),
        ((41, 59, 3), "", (0, 1, 2), 2),
        ((1, 41, 59, 4), "", (0, 1, 2, 3), 3),
        ((41, 59, 5), "", (2, 0, 1), None),
        # a small image, and not channels
        ((7, 11, 5), "", (0, 1, 2), None),
        # what the file says comes first
        ((41, 59, 3), "TYX", (0, 1, 2), None),
        ((41, 59, 1), "TYX", (0, 1, 2), None),
        ((3, 41, 59), "SYX", (1, 2, 0), 0),
        ((41, 59, 7), "YXZ", (2, 0, 1), None),
        ((2, 3, 41, 59), "TZYX", (0, 1, 2, 3), None),
    ],
)
def test_names_come_first_then_lengths_of_1_then_the_place(shape, names, order, channel):
    found = arrangement(shape, names)
    assert found.order == order
    assert found.channel == channel


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, bool, np.float32])
@pytest.mark.parametrize("name", ["a.npy", "a.tif"])
@pytest.mark.parametrize("place", [0, 2])
def test_an_axis_of_length_1_is_no_column_in_images_and_labels(tmp_path, mask, dtype, name, place):
    values = np.expand_dims((mask > 0).astype(dtype), place)
    if name == "a.npy":
        np.save(tmp_path / name, values)
    else:
        tifffile.imwrite(tmp_path / name, values, photometric="minisblack")
    np.testing.assert_array_equal(one(tmp_path / name).pixels, mask > 0)
    labels = read_labels(tmp_path / name)
    np.testing.assert_array_equal(labels, mask > 0)
    assert open_labels(tmp_path / name).shape == SHAPE


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("kind", ["imagej", "ome", "plain", "npy"])
def test_labels_of_four_axes_are_the_series_that_an_image_is(
    tmp_path, mask, monkeypatch, large, kind
):
    movie = np.stack([mask * number for number in range(1, 7)]).reshape(2, 3, *SHAPE)
    path = tmp_path / {"ome": "a.ome.tif", "npy": "a.npy"}.get(kind, "a.tif")
    if kind == "npy":
        np.save(path, movie)
    elif kind == "plain":
        tifffile.imwrite(path, movie, photometric="minisblack")
    else:
        tifffile.imwrite(path, movie, imagej=kind == "imagej", metadata={"axes": "TZYX"})
    if large:
        for module in (frames_module, tiff_module):
            monkeypatch.setattr(module, "IN_MEMORY_BYTES", 1000)
        if kind != "npy":
            assert isinstance(one(path).pixels, dask.array.Array)
    np.testing.assert_array_equal(one(path).pixels, movie.reshape(6, *SHAPE))
    np.testing.assert_array_equal(read_labels(path), movie.reshape(6, *SHAPE))
    labels = open_labels(path)
    assert labels.shape == (6, *SHAPE)
    assert len(labels) == 6
    np.testing.assert_array_equal(np.stack(list(labels)), movie.reshape(6, *SHAPE))


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_samples_that_are_no_colour_are_frames(tmp_path, grey, planes):
    """TIFF 6.0, SamplesPerPixel: grey and four more samples, whose meaning nobody wrote down."""
    five = np.stack([grey // divisor for divisor in (1, 2, 3, 4, 5)])
    values = np.moveaxis(five, 0, -1) if planes == "contig" else five
    tifffile.imwrite(
        tmp_path / "a.tif", values, planarconfig=planes, photometric="minisblack", metadata=None
    )
    found = one(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.pixels, five)
    assert "5 samples a pixel" in found.notes[0]


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_stacks_in_colour_keep_rows_columns_and_frames(tmp_path, grey, planes):
    colour = np.stack([np.stack([grey, grey // 2, grey // 3])] * 2)  # (frame, colour, row, column)
    values = np.moveaxis(colour, 1, -1) if planes == "contig" else colour
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", planarconfig=planes)
    assert one(tmp_path / "a.tif").pixels.shape == (2, *SHAPE)


def test_inks_are_read_as_pillow_shows_them(tmp_path, grey):
    """TIFF 6.0, section 16: PhotometricInterpretation 5; black only, and all four inks."""
    black = np.zeros((*SHAPE, 4), np.uint8)
    black[..., 3] = 255 - grey
    for name, values, planes in (
        ("together.tif", black, "contig"),
        ("apart.tif", np.moveaxis(black, -1, 0), "separate"),
    ):
        tifffile.imwrite(tmp_path / name, values, photometric="separated", planarconfig=planes)
        np.testing.assert_array_equal(one(tmp_path / name).pixels, grey)
    wide = black.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "wide.tif", wide, photometric="separated")
    np.testing.assert_array_equal(one(tmp_path / "wide.tif").pixels, grey.astype(np.uint16) * 257)
    inks = np.random.default_rng(956).integers(0, 256, (*SHAPE, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "four.tif", inks, photometric="separated")
    red, green, blue = np.moveaxis(
        np.asarray(Image.open(tmp_path / "four.tif").convert("RGB"), np.float64), -1, 0
    )
    luminance = 0.2125 * red + 0.7154 * green + 0.0721 * blue
    # Pillow rounds each colour
    np.testing.assert_allclose(one(tmp_path / "four.tif").pixels, luminance, atol=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_npy_in_colour_is_one_image_whatever_its_type(tmp_path, grey, dtype):
    values = grey.astype(dtype)
    np.save(tmp_path / "a.npy", np.stack([values] * 3, axis=-1))
    found = one(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.pixels, values)
    assert found.pixels.dtype == dtype


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_where_white_is_zero_bright_is_what_a_viewer_shows_bright(tmp_path, grey, dtype):
    """TIFF 6.0, PhotometricInterpretation 0; Pillow turns bits and bytes round as well."""
    values = grey > 120 if dtype is bool else grey.astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    found = one(tmp_path / "a.tif")
    turned = ~values if dtype is bool else np.iinfo(dtype).max - values
    np.testing.assert_array_equal(found.pixels, turned)
    assert any("0 is white" in note for note in found.notes)
    if dtype is not np.uint16:
        shown = np.asarray(Image.open(tmp_path / "a.tif"))
        np.testing.assert_array_equal(found.pixels, shown)


def test_masks_whose_white_is_zero_are_as_they_are_shown_and_numbers_as_they_are_stored(
    tmp_path, mask
):
    tifffile.imwrite(tmp_path / "bits.tif", mask == 0, photometric="miniswhite")
    tifffile.imwrite(
        tmp_path / "bytes.tif", np.where(mask, 0, 255).astype(np.uint8), photometric="miniswhite"
    )
    tifffile.imwrite(tmp_path / "numbers.tif", mask, photometric="miniswhite")
    np.testing.assert_array_equal(read_labels(tmp_path / "bits.tif"), mask > 0)
    np.testing.assert_array_equal(read_labels(tmp_path / "bytes.tif"), (mask > 0) * 255)
    np.testing.assert_array_equal(read_labels(tmp_path / "numbers.tif"), mask)


def test_a_palette_is_colour_in_an_image_and_numbers_in_labels(tmp_path, mask):
    picture = Image.fromarray(mask, "P")
    picture.putpalette([0, 0, 0, 200, 200, 200, 90, 90, 90])
    picture.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(
        one(tmp_path / "a.tif").pixels, np.array([0, 200, 90], np.uint8)[mask]
    )
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), mask)
