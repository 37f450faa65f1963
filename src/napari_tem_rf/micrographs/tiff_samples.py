"""What the samples of a TIFF pixel are: grey, colour, inks, opacity, or images beside each other.

The numbers are those of the tag PhotometricInterpretation (TIFF 6.0, page 37 and sections 16, 20
and 23).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.rawimage import RawImage

__all__ = ["PALETTE", "in_palette", "largest_value", "samples_of"]

PALETTE = 3
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _INKS = 0, 1, 2, 5
# lightness stands first in these: YCbCr, CIE, ICC and ITU L*a*b*
_LIGHTNESS_FIRST = (6, 8, 9, 10)
_CMYK = 1
_OPACITIES = (1, 2)


def largest_value(page: Any, dtype: np.dtype[Any]) -> int | None:
    """Return the largest value that a page can store, where it says that 0 is white; or None.

    Parameters
    ----------
    page : tifffile.TiffPage
    dtype : dtype
        Type of its values; for those with a sign or fractions there is no largest one to turn
        the values round at.
    """
    if page.photometric != _WHITE_IS_ZERO or dtype.kind not in "ub":
        return None
    return 1 if dtype.kind == "b" else int(2 ** min(page.bitspersample, 8 * dtype.itemsize) - 1)


def samples_of(pixels: NDArray[Any], page: Any) -> RawImage:
    """Return pixels of several samples as an image in colour, or as frames, by what the page says.

    Parameters
    ----------
    pixels : ndarray, shape ([frame, ...] row, column, sample)
    page : tifffile.TiffPage
    """
    number = pixels.shape[-1]
    if number == 1:
        return RawImage(pixels[..., 0], white_is_zero=largest_value(page, pixels.dtype))
    if page.photometric == _RGB and number >= 3:
        notes: tuple[str, ...] = ()
        if number > 4:
            notes = (f"{number} samples a pixel: those beside red, green and blue are left out",)
            pixels = pixels[..., :3]
        elif number == 4 and not _opacity(page, 0) and np.ptp(pixels[..., 3]) > 0:
            notes = ("the fourth sample of a pixel is left out: the file does not say what it is",)
            pixels = pixels[..., :3]
        return RawImage(pixels, colour=True, notes=notes)
    if page.photometric == _INKS and number >= 4 and _ink_set(page) == _CMYK:
        return RawImage(_without_inks(pixels), colour=True, notes=("in inks (CMYK)",))
    if page.photometric in _LIGHTNESS_FIRST:
        # tifffile turns YCbCr into red, green and blue only where JPEG wrote it
        if page.photometric == 6 and page.compression != 1:
            return RawImage(pixels[..., :3], colour=True)
        note = "in colour: read as its lightness, the first sample of a pixel"
        return RawImage(pixels[..., 0], notes=(note,))
    white = largest_value(page, pixels.dtype)
    first = pixels[..., :1]
    if number == 2 and (_opacity(page, 0) or np.ptp(pixels[..., 1]) == 0):
        return RawImage(pixels, colour=True, white_is_zero=white)
    if number in (3, 4) and (pixels[..., :3] == first).all():
        return RawImage(pixels, colour=True, white_is_zero=white)
    frames = np.moveaxis(pixels, -1, pixels.ndim - 3)  # ([frame, ...] sample, row, column)
    note = f"{number} samples a pixel, which the file calls no colour: each is a frame"
    return RawImage(np.ascontiguousarray(frames), notes=(note,), white_is_zero=white)


def in_palette(pixels: NDArray[Any], page: Any) -> NDArray[np.uint8]:
    """Return the colours of a palette, shape (..., row, column, 3)."""
    table = np.asarray(page.colormap)  # (colour, value), 16 bits
    colours = (table >> 8).astype(np.uint8).T
    return colours[np.minimum(pixels, len(colours) - 1)]


def _opacity(page: Any, place: int) -> bool:
    extra = tuple(map(int, page.extrasamples or ()))
    return len(extra) > place and extra[place] in _OPACITIES


def _ink_set(page: Any) -> int:
    tag = page.tags.get(332)
    return _CMYK if tag is None else int(tag.value)


def _without_inks(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return red, green and blue of cyan, magenta, yellow and black, of the same type.

    Each ink takes its part of the light away, black of all colours, as Pillow has it.
    """
    if pixels.dtype.kind == "f":
        return np.asarray((1 - pixels[..., :3]) * (1 - pixels[..., 3:4]))
    full = np.iinfo(pixels.dtype).max
    light = full - pixels[..., :4].astype(np.float64)
    return np.rint(light[..., :3] * light[..., 3:4] / full).astype(pixels.dtype)
