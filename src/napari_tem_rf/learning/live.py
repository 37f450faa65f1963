"""A mask from strokes at once: features computed ahead, and a classifier fitted in a moment.

Two kinds of features stand side by side. What the baseline's forest sees, grey level, edges and
texture from 0.5 to 16 px, tells particles by their amplitude contrast. Where only a lattice shows
them, as in phase contrast, the power in octave bands, averaged around a pixel, says where it is
strong; and networks trained on simulated micrographs have seen lattices and amorphous matter
before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_tem_rf.learning.baselines import feature_strips
from napari_tem_rf.learning.fast.network import FastNetwork

__all__ = ["LIVE_MARGIN_PX", "LIVE_NETWORKS", "LiveClassifier", "fit_live", "live_features"]

LIVE_NETWORKS = (((4, 4), 8), ((4, 4), 16))
"""Pools and first filters of the networks whose last maps are features."""

LIVE_MARGIN_PX = 96
"""How far a feature sees at most, a multiple of the networks' periods: half-bands of 8 px under
averages of 16 px, Gaussians cut at 4 standard deviations."""

BAND_EDGES_PX = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
"""Standard deviations of the Gaussians between which a band lies: half octaves."""

AVERAGED_PX = (4.0, 8.0, 16.0)
"""Standard deviations of the Gaussians that power is averaged with."""

TREES, FEWEST_IN_LEAF, THREADS = 50, 2, 2


@dataclass(frozen=True, slots=True)
class LiveClassifier:
    """A classifier fitted to strokes."""

    forest: Any

    def predict(self, features: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Return class indices, shape (row, column), of features, shape (row, column, feature)."""
        flat = features.reshape(-1, features.shape[-1]).astype(np.float32)  # (pixel, feature)
        found: NDArray[np.uint8] = self.forest.predict(flat).astype(np.uint8)
        return found.reshape(features.shape[:2])


def live_features(
    pixels: NDArray[np.float32], networks: Sequence[FastNetwork]
) -> NDArray[np.float16]:
    """Return what the live classifier sees of each pixel, shape (row, column, feature).

    Parameters
    ----------
    pixels : ndarray of float32, shape (row, column)
        Part of a standardised image. Features further than `LIVE_MARGIN_PX` from its cut edges are
        those of the whole image if it starts on a multiple of the networks' periods.
    networks : sequence of FastNetwork
        Folded, on the CPU.
    """
    parts = [np.concatenate([strip for _, strip in feature_strips(pixels)])]
    parts += [_band_power(pixels), *(_last_maps(network, pixels) for network in networks)]
    return np.concatenate([part.astype(np.float16) for part in parts], axis=-1)


def _band_power(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logarithm of the power in bands around each pixel, (row, column, feature)."""
    blurred = [pixels, *(gaussian_filter(pixels, each) for each in BAND_EDGES_PX)]
    found = []
    for finer, coarser in pairwise(blurred):
        power = (finer - coarser) ** 2
        found += [np.log(gaussian_filter(power, each) + 1e-6) for each in AVERAGED_PX]
    return np.stack(found, axis=-1)


def _last_maps(network: FastNetwork, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the input of a network's last layer, shape (row, column, feature)."""
    period = network.spec.period
    rows, columns = pixels.shape
    fill = [(0, -length % period) for length in pixels.shape]
    images = torch.from_numpy(np.pad(pixels, fill))[None, None]
    with torch.inference_mode():
        maps = network.features(images.contiguous(memory_format=torch.channels_last))[0]
    return np.asarray(maps[:, :rows, :columns].permute(1, 2, 0).numpy())


def fit_live(
    features: NDArray[np.float32], classes: NDArray[np.uint8], seed: int
) -> LiveClassifier:
    """Return a classifier of pixels; the same examples and seed give the same one.

    Parameters
    ----------
    features : ndarray of float32, shape (pixel, feature)
    classes : ndarray of uint8, shape (pixel,)
        At least two different ones.
    seed : int
    """
    from sklearn.ensemble import ExtraTreesClassifier

    forest = ExtraTreesClassifier(
        TREES,
        min_samples_leaf=FEWEST_IN_LEAF,
        n_jobs=THREADS,
        random_state=seed,
        class_weight="balanced",
    )
    return LiveClassifier(forest.fit(features, classes))
