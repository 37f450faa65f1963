"""An image as a format's reader finds it, and its way to a micrograph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.pixel_size import Step, pixel_size_of
from napari_tem_rf.micrographs.units import is_reciprocal, is_spectral

if TYPE_CHECKING:
    import dask.array

__all__ = [
    "NotAMicrographError",
    "RawImage",
    "ReadingError",
    "Step",
    "labels_of",
    "labels_of_colour",
    "micrograph_of",
    "one_series",
]

# ITU-R BT.709, as scikit-image's rgb2gray
_LUMINANCE = (0.2125, 0.7154, 0.0721)


class ReadingError(ValueError):
    """A file cannot be read; the text is one sentence for the user."""


class NotAMicrographError(ValueError):
    """An image of a file is not a real-space image of real numbers; the text says what it is."""


@dataclass(frozen=True, slots=True, eq=False)
class RawImage:
    """One image or series in a file, before anything is decided about it.

    Attributes
    ----------
    pixels : array, shape ([frame, ...] row, column [, channel])
        Values of any type, numpy or lazy dask.
    name : str
        Name within the file; empty where the file has none.
    steps : tuple of Step, optional
        (row, column) distance of two pixels with its unit.
    colour : bool
        Whether the last axis is red, green, blue and perhaps opacity.
    axis_units : tuple of str
        Units of the axes before row and column, where the format writes them.
    metadata : mapping
        Plain JSON values under the terms of `Micrograph`.
    notes : tuple of str
    unsuitable : str
        Why the image is not a micrograph, where its reader knows; otherwise empty.
    white_is_zero : int, optional
        The largest value that can be stored, of a file that says that 0 is white and this black.
    """

    pixels: "NDArray[Any] | dask.array.Array"
    name: str = ""
    steps: tuple[Step, Step] | None = None
    colour: bool = False
    axis_units: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unsuitable: str = ""
    white_is_zero: int | None = None


def micrograph_of(raw: RawImage, name: str, source: Path) -> Micrograph:
    """Return the micrograph of an image that a format's reader found.

    Colour becomes grey, axes before row and column become one axis of frames, and the pixel size
    comes in nm; what was done is in the notes.

    Raises
    ------
    NotAMicrographError
        If the image is complex, in reciprocal space, a spectrum, or has no pixels.
    """
    notes = list(raw.notes)
    pixels = raw.pixels
    if raw.unsuitable:
        raise NotAMicrographError(raw.unsuitable)
    if pixels.dtype.kind == "c":
        raise NotAMicrographError("its values are complex: a Fourier transform or wave function")
    units = [unit for _, unit in raw.steps or ()]
    if any(is_reciprocal(unit) for unit in units):
        raise NotAMicrographError(
            f"it is in reciprocal space ({units[0]}): a diffraction pattern or Fourier transform"
        )
    if any(is_spectral(unit) for unit in (*units, *raw.axis_units)):
        raise NotAMicrographError("one of its axes is an energy: a spectrum or spectrum image")
    if raw.colour and pixels.ndim >= 3 and pixels.shape[-1] in (2, 3, 4):
        pixels, note = _grey(pixels)
        notes.append(note)
    if raw.white_is_zero is not None:
        pixels = shown(pixels, raw.white_is_zero)
        notes.append("the file says that 0 is white: its values are turned round")
    if pixels.ndim < 2:
        raise NotAMicrographError(f"it has {pixels.ndim} axis: a profile or spectrum")
    if 0 in pixels.shape:
        raise NotAMicrographError(f"its shape is {pixels.shape}: it has no pixels")
    if pixels.dtype.kind not in "uifb":
        raise NotAMicrographError(f"its values are {pixels.dtype}, not numbers")
    if pixels.ndim > 3:
        frames = int(np.prod(pixels.shape[:-2]))
        notes.append(f"{pixels.ndim} axes {pixels.shape}: read as one series of {frames} frames")
    pixels = _native(one_series(pixels))
    pixel_size_nm, size_notes = pixel_size_of(raw.steps)
    notes += size_notes
    if isinstance(pixels, np.ndarray) and pixels.dtype.kind == "f":
        broken = int(pixels.size - np.count_nonzero(np.isfinite(pixels)))
        if broken:
            notes.append(
                f"{broken} of {pixels.size} pixels are not finite: "
                "cleaning puts the median of the others there"
            )
    return Micrograph(pixels, name, pixel_size_nm, dict(raw.metadata), source, tuple(notes))


def one_series(pixels: Any) -> Any:
    """Return pixels ([frame, ...] row, column) with one axis of frames, or none for a single one.

    Images and labels come through here, so that those of the same shape stay so.
    """
    if pixels.ndim > 3:
        pixels = pixels.reshape((int(np.prod(pixels.shape[:-2])), *pixels.shape[-2:]))
    return pixels[0] if pixels.ndim == 3 and pixels.shape[0] == 1 else pixels


def shown(pixels: Any, white: int) -> Any:
    """Return values of a file whose 0 is white and ``white`` black, so that more is brighter."""
    if pixels.dtype.kind == "b":
        return ~pixels
    return pixels.dtype.type(white) - pixels


def labels_of(raw: RawImage, path: Path) -> Any:
    """Return what a format's reader found as labels, (row, column) or (frame, row, column).

    Where a file says that 0 is white, a mask in black and white is turned round, as it is shown;
    other numbers are labels as they are stored.

    Parameters
    ----------
    raw : RawImage
        Its pixels may be lazy, and then stay so.
    path : Path
        The file, for the sentence.

    Raises
    ------
    ReadingError
        If the labels are in colour.
    """
    pixels = raw.pixels
    if raw.colour and pixels.ndim >= 3:
        pixels = labels_of_colour(np.asarray(pixels), path)
    pixels = one_series(pixels) if pixels.ndim >= 2 else pixels
    white = raw.white_is_zero
    if white is not None and (pixels.dtype.kind == "b" or _black_and_white(pixels, white)):
        return shown(pixels, white)
    return pixels


def _black_and_white(pixels: Any, white: int) -> bool:
    """Whether there are only the two ends of the range; looked at frame by frame."""
    planes = pixels[None] if pixels.ndim == 2 else pixels
    return all(bool(np.isin(np.asarray(plane), (0, white)).all()) for plane in planes)


def labels_of_colour(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return labels that a program saved in colour, as pictures in black and white often are.

    Parameters
    ----------
    values : ndarray, shape (..., row, column, channel)
        2 to 4 channels: grey or red, green, blue, and perhaps opacity.
    path : Path
        The file, for the sentence.

    Returns
    -------
    ndarray, shape (..., row, column)

    Raises
    ------
    ReadingError
        If the colours differ, or pixels are more or less opaque: there is no telling which
        channel holds the labels.
    """
    channels = values.shape[-1]
    if channels in (2, 4) and np.ptp(values[..., -1]) > 0:
        raise ReadingError(
            f'"{path.name}" is see-through in places: labels are one whole number a pixel; save '
            "the mask without opacity"
        )
    first = values[..., :1]
    if channels > 2 and not (values[..., :3] == first).all():
        raise ReadingError(
            f'"{path.name}" is in colour: labels are one whole number a pixel; save the mask in '
            "grey, or with a palette"
        )
    return np.ascontiguousarray(first[..., 0])


def _native(pixels: Any) -> Any:
    """Return the pixels in this machine's byte order and in types that networks take."""
    # by its size: float16 of the other byte order is another type
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize < 4:
        return pixels.astype(np.float32)
    if pixels.dtype.kind == "f" and pixels.dtype.itemsize > 8:
        return pixels.astype(np.float64)
    return pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))


def _grey(pixels: Any) -> tuple[Any, str]:
    """Return colour pixels (..., row, column, channel) in grey, and a sentence about it."""
    if pixels.shape[-1] == 2:
        return pixels[..., 0], "grey with opacity: the opacity is left out"
    red, green, blue = (pixels[..., channel] for channel in range(3))
    if isinstance(pixels, np.ndarray) and (red == green).all() and (red == blue).all():
        return np.ascontiguousarray(red), "saved in colour, but all grey: read as grey"
    weights = [np.float32(weight) for weight in _LUMINANCE]
    grey = red * weights[0] + green * weights[1] + blue * weights[2]
    return grey.astype(np.float32), "in colour: read as its luminance"
