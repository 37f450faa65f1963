"""What the samples of a pixel are, by the tags of TIFF 6.0 (page 37, sections 16, 20 and 23)."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_tem_rf.micrographs.rawimage import RawImage, labels_of, micrograph_of, shown
from napari_tem_rf.micrographs.tiff_samples import in_palette, largest_value, samples_of

SHAPE = (5, 7)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, SEPARATED, YCBCR, CIELAB = 0, 1, 2, 5, 6, 8
MIXED = np.random.default_rng(752).integers(1, 250, (*SHAPE, 6)).astype(np.uint8)


def page(photometric, *, bits=8, extra=(), ink_set=None, compression=1):
    tags = {} if ink_set is None else {332: SimpleNamespace(value=ink_set)}
    return SimpleNamespace(
        photometric=photometric,
        bitspersample=bits,
        extrasamples=extra,
        compression=compression,
        tags=tags,
    )


def samples(number, **each):
    values = MIXED[..., :number].copy()
    for place, value in each.items():
        values[..., int(place[1:])] = value
    return values


NOT_SAID = "the fourth sample of a pixel is left out: the file does not say what it is"
LIGHTNESS = "in colour: read as its lightness, the first sample of a pixel"


@pytest.mark.parametrize(
    ("values", "of", "colours", "notes"),
    [
        (samples(3), page(RGB), 3, ()),
        # a fourth sample that is opacity by its tag (1, 2: associated or not), or says nothing
        (samples(4), page(RGB, extra=(1,)), 4, ()),
        (samples(4), page(RGB, extra=(2,)), 4, ()),
        (samples(4, _3=255), page(RGB), 4, ()),
        (samples(4), page(RGB), 3, (NOT_SAID,)),
        (samples(4), page(RGB, extra=(0,)), 3, (NOT_SAID,)),
        (
            samples(5),
            page(RGB, extra=(1, 0)),
            3,
            ("5 samples a pixel: those beside red, green and blue are left out",),
        ),
        (samples(4), page(SEPARATED), 3, ("in inks (CMYK)",)),
        (samples(4), page(SEPARATED, ink_set=1), 3, ("in inks (CMYK)",)),
        # JPEG's YCbCr comes as red, green and blue
        (samples(3), page(YCBCR, compression=7), 3, ()),
        # grey in several samples
        (samples(3, _1=MIXED[..., 0], _2=MIXED[..., 0]), page(BLACK_IS_ZERO), 3, ()),
        (samples(2), page(BLACK_IS_ZERO, extra=(2,)), 2, ()),
        (samples(2, _1=255), page(BLACK_IS_ZERO), 2, ()),
    ],
)
def test_samples_that_are_colour(values, of, colours, notes):
    found = samples_of(values, of)
    assert found.colour
    assert found.pixels.shape == (*SHAPE, colours)
    assert found.notes == notes
    if of.photometric != SEPARATED:
        np.testing.assert_array_equal(found.pixels, values[..., :colours])


@pytest.mark.parametrize("photometric", [YCBCR, CIELAB, 9, 10])
def test_lightness_is_the_first_sample(photometric):
    found = samples_of(samples(3), page(photometric))
    np.testing.assert_array_equal(found.pixels, MIXED[..., 0])
    assert (found.colour, found.notes) == (False, (LIGHTNESS,))


@pytest.mark.parametrize(
    ("number", "of"),
    [
        (2, page(BLACK_IS_ZERO)),
        (2, page(RGB)),
        (3, page(BLACK_IS_ZERO)),
        (5, page(BLACK_IS_ZERO)),
        # inks of which nobody knows the colour
        (4, page(SEPARATED, ink_set=2)),
        (3, page(SEPARATED)),
    ],
)
def test_samples_that_are_no_colour_are_frames(number, of):
    stack = np.stack([samples(number), samples(number) // 2])
    found = samples_of(stack, of)
    assert not found.colour
    np.testing.assert_array_equal(found.pixels, np.moveaxis(stack, -1, 1))
    assert found.notes == (
        f"{number} samples a pixel, which the file calls no colour: each is a frame",
    )


@pytest.mark.parametrize(
    ("inks", "light"),
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        # half of the light that half of black leaves: 255 (155 / 255) (155 / 255) = 94.2
        ((100, 0, 0, 100), (94, 155, 155)),
    ],
)
def test_inks_take_light_away(inks, light):
    values = np.broadcast_to(np.array(inks, np.uint8), (*SHAPE, 4))
    found = samples_of(values, page(SEPARATED)).pixels
    assert found.dtype == np.uint8
    assert (found == light).all()
    fractions = samples_of(values / np.float32(255), page(SEPARATED)).pixels
    np.testing.assert_allclose(fractions, np.broadcast_to(light, found.shape) / 255, atol=2e-3)


@pytest.mark.parametrize(
    ("dtype", "bits", "largest"),
    [
        ("u1", 8, 255),
        ("u1", 4, 15),
        ("u2", 12, 4095),
        ("u2", 16, 65_535),
        ("u1", 16, 255),
        ("?", 1, 1),
        ("i2", 16, None),
        ("f4", 32, None),
    ],
)
def test_values_are_turned_round_at_the_largest_that_can_be_stored(dtype, bits, largest):
    assert largest_value(page(WHITE_IS_ZERO, bits=bits), np.dtype(dtype)) == largest
    assert largest_value(page(BLACK_IS_ZERO, bits=bits), np.dtype(dtype)) is None
    if largest is not None and dtype != "?":
        values = np.array([[0, 3, largest]], dtype)
        turned = shown(values, largest)
        assert turned.tolist() == [[largest, largest - 3, 0]]
        assert turned.dtype == values.dtype


def test_one_sample_is_grey_and_may_have_white_at_0():
    found = samples_of(samples(1), page(WHITE_IS_ZERO))
    assert (found.pixels.shape, found.white_is_zero) == (SHAPE, 255)
    assert samples_of(samples(1), page(BLACK_IS_ZERO)).white_is_zero is None
    frames = samples_of(samples(3), page(WHITE_IS_ZERO))
    assert frames.white_is_zero == 255
    assert samples_of(samples(2, _1=9), page(WHITE_IS_ZERO)).white_is_zero == 255


def test_a_palette_has_16_bits_of_which_a_screen_shows_8():
    """TIFF 6.0, ColorMap: all red values, then green, then blue, from 0 to 65,535."""
    table = np.array([[0, 65_535, 256], [0, 255, 512], [65_535, 0, 32_768]], np.uint16)
    of = SimpleNamespace(colormap=table)
    found = in_palette(np.array([[0, 1, 2, 9]]), of)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[0, 0, 255], [255, 0, 0], [1, 2, 128], [1, 2, 128]]]


# labels


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([[0, 255]], [[255, 0]]),
        ([[255, 255]], [[0, 0]]),
        # other numbers are labels as they are stored
        ([[0, 1, 255]], [[0, 1, 255]]),
        ([[0, 254]], [[0, 254]]),
    ],
)
def test_a_mask_in_black_and_white_is_as_it_is_shown(values, labels):
    raw = RawImage(np.array(values, np.uint8), white_is_zero=255)
    assert labels_of(raw, "a.tif").tolist() == labels
    stack = RawImage(np.array([values, values], np.uint8), white_is_zero=255)
    assert labels_of(stack, "a.tif").tolist() == [labels, labels]
    bits = RawImage(np.array([[True, False]]), white_is_zero=1)
    assert labels_of(bits, "a.tif").tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("dtype", "read"),
    [("<f2", "f4"), (">f2", "f4"), (">f4", "f4"), (">u2", "u2"), ("g", "f8"), ("i8", "i8")],
)
def test_values_come_in_types_that_networks_take(dtype, read):
    values = np.arange(35).reshape(SHAPE).astype(dtype)
    found = micrograph_of(RawImage(values), "a", None).pixels
    assert found.dtype == np.dtype(read)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, np.arange(35).reshape(SHAPE))


def test_luminance_is_that_of_bt_709():
    values = np.zeros((3, 5, 3), np.uint16)
    for channel in range(3):
        values[channel, :, channel] = 10_000
    found = micrograph_of(RawImage(values, colour=True), "a", None).pixels
    assert found[:, 0] == pytest.approx([2125, 7154, 721])
    assert found.dtype == np.float32
