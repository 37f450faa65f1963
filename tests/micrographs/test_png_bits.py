"""PNG of every depth and colour type gives the samples that stand in the file (PNG, section 7)."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from napari_tem_rf.micrographs import plain_formats
from napari_tem_rf.micrographs.reading import ReadingError, read_labels, read_micrographs

SHAPE = (23, 31)


def grey_png(path, values, bits):
    """Write a grey PNG of 1, 2 or 4 bits a pixel, each line without a filter."""
    rows, columns = values.shape
    apart = (values[..., None].astype(np.uint8) >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    lines = np.pad(np.packbits(apart.reshape(rows, -1), axis=1), ((0, 0), (1, 0)))
    png = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 6)),
        (b"IEND", b""),
    ):
        png += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    path.write_bytes(png)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_not_spread_over_a_byte(tmp_path, bits):
    values = np.random.default_rng(752).integers(0, 2**bits, SHAPE).astype(np.uint8)
    grey_png(tmp_path / "a.png", values, bits)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), values)
    (image,) = read_micrographs(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, values)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_keep_their_low_bytes(tmp_path, channels):
    values = np.random.default_rng(2245).choice(np.array([0, 1, 258, 1025], np.uint16), SHAPE)
    samples = [values] * (channels if channels % 2 else channels - 1)
    if channels % 2 == 0:
        samples.append(np.full(SHAPE, 65535, np.uint16))
    png = np.stack(samples, axis=-1) if channels > 1 else values
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(png)))
    labels = read_labels(tmp_path / "a.png")
    np.testing.assert_array_equal(labels, values)
    (image,) = read_micrographs(tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, values)
    assert image.pixels.dtype == np.uint16


def test_colour_of_16_bits_is_its_luminance(tmp_path):
    colour = np.random.default_rng(9213).integers(0, 65536, (*SHAPE, 3)).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colour))
    (image,) = read_micrographs(tmp_path / "a.png")
    # ITU-R BT.709
    np.testing.assert_allclose(image.pixels, colour @ [0.2125, 0.7154, 0.0721], rtol=1e-5)
    with pytest.raises(ReadingError, match="in colour"):
        read_labels(tmp_path / "a.png")


def test_a_large_image_is_not_called_damaged(tmp_path, monkeypatch):
    """Pillow's own limit, of 179 megapixels, is not the program's; its own is told as one."""
    big = np.zeros((13_500, 13_400), np.uint8)
    big[700:900, 40:1040] = 1
    grey_png(tmp_path / "a.png", big, 1)
    labels = read_labels(tmp_path / "a.png")
    assert labels.shape == big.shape
    assert int(labels.sum()) == 200_000
    monkeypatch.setattr(plain_formats, "_MOST_PNG_PIXELS", 10**8)
    with pytest.raises(ReadingError, match=r"up to 100,000,000; save so large an image as TIFF"):
        read_labels(tmp_path / "a.png")
