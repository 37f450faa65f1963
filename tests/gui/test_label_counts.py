"""Counts of painted pixels: right against numpy, and kept right while a large layer is painted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels

from napari_tem_rf.gui.session import label_counts as counts_module
from napari_tem_rf.gui.session.label_counts import count_values, label_counts, painted_rows


@pytest.mark.parametrize("largest", [3, 300, 100_000])
def test_counts_are_those_of_numpy(largest: int) -> None:
    rng = np.random.default_rng(5)
    plane = rng.integers(0, largest, (31, 37)) * rng.integers(0, 2, (31, 37))
    values, counts = np.unique(plane[plane != 0], return_counts=True)
    assert count_values(plane) == dict(zip(values.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_strokes_on_a_large_plane_are_found_and_counted(
    dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts_module, "_BAND_PX", 100)  # two rows of the plane
    plane = np.zeros((61, 41), dtype)
    plane[17:22, 3:9] = 2
    plane[48, 40] = 1
    assert painted_rows(plane) == slice(17, 49)
    assert count_values(plane) == {1: 1, 2: 30}
    assert count_values(plane[::2, ::-1]) == {1: 1, 2: 12}
    assert painted_rows(np.zeros((3, 5), dtype)) == slice(0, 0)


def test_nothing_painted_counts_nothing() -> None:
    assert label_counts(Labels(np.zeros((3, 11, 13), np.uint8))) == ({}, {}, {})


def test_a_large_stack_is_counted_again_only_where_it_was_painted(
    make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts_module, "COUNTED_AT_ONCE_PX", 100)
    looked: list[int] = []

    def look(layer: Labels, frame: int) -> Any:
        looked.append(frame)
        return layer.data[frame]

    monkeypatch.setattr(counts_module, "frame_labels", look)
    viewer = make_napari_viewer()
    layer = viewer.add_labels(np.zeros((4, 31, 37), np.uint8))
    assert label_counts(layer) == ({}, {}, {}, {})
    viewer.dims.set_current_step(0, 2)
    looked.clear()
    layer.paint((2, 15, 15), 3)
    painted = int((layer.data == 3).sum())
    assert painted > 0
    assert label_counts(layer) == ({}, {}, {3: painted}, {})
    assert looked == [2]
    layer.undo()
    assert label_counts(layer) == ({}, {}, {}, {})
    layer.data = np.ones((2, 31, 37), np.uint8)
    assert label_counts(layer) == ({1: 31 * 37}, {1: 31 * 37})
