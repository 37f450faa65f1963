"""The numbered particles that came with a prediction, kept beside its layer.

A run that learned from numbered particles tells apart those that touch, which cannot be found again
in the mask alone. They hold as long as the mask is what was predicted: once it is painted on, its
particles are found as in any other mask.
"""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_tem_rf.gui.layers.layers import frame_labels

__all__ = ["instances_of", "keep_instances", "planes_of"]

_KEPT: WeakKeyDictionary[Labels, dict[int, NDArray[np.int32]]] = WeakKeyDictionary()


def keep_instances(layer: Labels, frame: int, instances: NDArray[np.int32] | None) -> None:
    """Keep the particles of a frame of a prediction; None: it has none, and earlier ones go."""
    kept = _KEPT.setdefault(layer, {})
    if instances is None:
        kept.pop(frame, None)
    else:
        kept[frame] = instances


def instances_of(layer: Labels, frame: int = 0) -> NDArray[np.int32] | None:
    """Return the particles that were predicted with a frame; None where the mask is another now."""
    instances = _KEPT.get(layer, {}).get(frame)
    if instances is None:
        return None
    mask = frame_labels(layer, frame)
    same = mask.shape == instances.shape and np.array_equal(mask > 0, instances > 0)
    return instances if same else None


def planes_of(layer: Labels, frames: list[int]) -> dict[int, NDArray[Any]]:
    """Return the particles that were predicted with frames; empty unless all of them have some."""
    found = {frame: instances_of(layer, frame) for frame in frames}
    planes = {frame: plane for frame, plane in found.items() if plane is not None}
    return planes if len(planes) == len(frames) else {}
