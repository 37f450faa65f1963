"""A few extreme pixels that set the scale of an image, so that a network sees nothing in the rest.

A hot column of a camera, or a spike, may hold most of an image's variance. Scaled to a standard
deviation of 1, everything else is nearly flat then.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.cleaning import Cleaning, clean

__all__ = ["extremes_note"]

# at most this part of the pixels is not particles
_FEW = 0.02
# an extreme is this many standard deviations of the middle half of the pixels from their median
_FAR = 12.0
# it matters where the others have less than this part of the standard deviation
_SHARE = 0.5
_HALF_WIDTH_TO_SD = 1 / 1.349
_SAMPLED_SIDE_PX = 512


def extremes_note(
    seen: NDArray[np.float32], pixels: NDArray[Any], cleaning: Cleaning
) -> str | None:
    """Return what the user should know of an image whose scale a few pixels set; None otherwise.

    Parameters
    ----------
    seen : ndarray of float32, shape (row, column)
        What a network sees: cleaned, and perhaps standardised or resampled.
    pixels : ndarray, shape (row, column)
        Grey values before cleaning; looked at only where there are such pixels.
    cleaning : Cleaning
        What is done to them.

    Returns
    -------
    str, optional
        A sentence with the remedy. It comes where at most 2 % of the pixels make up more than
        three quarters of the variance, and only where removing spikes helps, so not for a few
        particles of strong contrast.
    """
    few = _extremes(seen)
    if few is None:
        return None
    number = int(np.count_nonzero(few))
    bright = bool(np.median(seen[few]) > np.median(seen))
    what = (
        f"{number:,} of {seen.size:,} pixels are so {'bright' if bright else 'dark'} that the "
        "network hardly sees the others"
    )
    if not bright:
        # spikes are bright: what is dark beside its neighbours is a dead pixel
        turned = clean(-seen, Cleaning("robust"))
        if _extremes(turned) is not None:
            return None
        return f"{what}: correct dead pixels where the image was recorded, or make them NaN"
    if cleaning.spikes == "robust":
        return None
    if _extremes(clean(pixels, replace(cleaning, spikes="robust", spike_threshold=None))) is None:
        return (
            f"{what}: train with x-ray spikes removed (--spikes robust, or Clean... in the window)"
        )
    return None


def _extremes(image: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Return where the few pixels are that hold most of the variance; None if there are none."""
    steps = [max(1, length // _SAMPLED_SIDE_PX) for length in image.shape]
    low, middle, high = np.percentile(image[:: steps[0], :: steps[1]], (25, 50, 75))
    sd = (high - low) * _HALF_WIDTH_TO_SD
    whole = float(image.std(dtype=np.float64))
    # without much beyond the middle half there is nothing to look for
    if not sd > 0 or whole * _SHARE < sd:
        return None
    far = np.abs(image - np.float32(middle)) > _FAR * sd
    number = np.count_nonzero(far)
    if not 0 < number <= _FEW * image.size:
        return None
    return far if float(image.std(dtype=np.float64, where=~far)) < _SHARE * whole else None
