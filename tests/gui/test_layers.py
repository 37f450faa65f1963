"""Layers carry their image's place; pixel sizes come out in nm whatever the unit."""

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_tem_rf.gui.layers.layers import (
    contrast_limits,
    frame_pixels,
    label_colors,
    micrograph_layer,
    pixel_size_nm,
    placement,
    set_pixel_size_nm,
)
from napari_tem_rf.gui.layers.marks import MARK, is_ours
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.frames import lazy_frames
from napari_tem_rf.micrographs.micrograph import Micrograph

CLASSES = Classes((1, 2, 5), ("background", "gold", "dirt"), ("#0072b2", "#e69f00", "#cc79a7"))


@pytest.mark.parametrize(
    ("scale", "unit", "nm"),
    [
        ((0.5, 0.25), "nm", (0.5, 0.25)),
        ((0.5, 0.25), "angstrom", (0.05, 0.025)),
        ((2.0, 3.0), "pm", (0.002, 0.003)),
        ((0.001, 0.002), "um", (1.0, 2.0)),
    ],
)
def test_pixel_size_comes_in_nm(
    scale: tuple[float, float], unit: str, nm: tuple[float, float]
) -> None:
    layer = Image(np.zeros((5, 7)), scale=scale, units=(unit, unit))
    assert pixel_size_nm(layer) == pytest.approx(nm)


def test_pixels_are_no_length() -> None:
    assert pixel_size_nm(Image(np.zeros((5, 7)))) is None
    assert pixel_size_nm(Image(np.zeros((5, 7)), units=("pixel", "nm"))) is None


def test_a_new_pixel_size_moves_the_layer_with_its_pixels() -> None:
    layer = Image(np.zeros((3, 5, 7)), scale=(1, 2, 2), translate=(0, 20, 40))
    set_pixel_size_nm(layer, (0.1, 0.3))
    assert tuple(layer.scale) == pytest.approx((1, 0.1, 0.3))
    assert tuple(layer.translate) == pytest.approx((0, 1.0, 6.0))
    assert pixel_size_nm(layer) == pytest.approx((0.1, 0.3))
    assert str(layer.units[0]) == "pixel"
    set_pixel_size_nm(layer, None)
    assert pixel_size_nm(layer) is None
    assert tuple(layer.translate) == pytest.approx((0, 10, 20))


def test_a_micrograph_becomes_a_calibrated_layer() -> None:
    micrograph = Micrograph(
        np.zeros((3, 5, 7), np.uint16),
        "gold",
        (0.02, 0.03),
        {"voltage_kv": 300.0},
        Path("gold.dm4"),
        ("one was left out",),
    )
    data, attributes, kind = micrograph_layer(micrograph)
    layer = Image(data, **attributes)
    assert kind == "image"
    assert layer.axis_labels == ("frame", "y", "x")
    assert pixel_size_nm(layer) == pytest.approx((0.02, 0.03))
    assert layer.metadata["voltage_kv"] == 300.0
    assert layer.metadata[MARK].source == Path("gold.dm4")
    assert not is_ours(layer)


def test_colours_are_grey_values_to_a_network() -> None:
    data = np.zeros((5, 7, 3), np.uint8)
    data[2, 3] = (30, 60, 90)
    pixels = frame_pixels(Image(data, rgb=True))
    assert pixels.shape == (5, 7)
    assert pixels[2, 3] == 60


def test_background_of_a_prediction_is_transparent_and_classes_keep_their_colours() -> None:
    annotation = label_colors(CLASSES)
    prediction = label_colors(CLASSES, background=False)
    assert annotation.map(1)[3] == 1
    assert prediction.map(1)[3] == 0
    assert prediction.map(0)[3] == 0
    for value in (2, 5):
        np.testing.assert_array_equal(annotation.map(value), prediction.map(value))
        assert prediction.map(value)[3] == 1


def test_classes_without_colours_get_the_palettes() -> None:
    bare = Classes((0, 1, 2), ("background", "gold", "dirt"), ("", "", ""))
    colors = label_colors(bare, background=False)
    np.testing.assert_array_equal(colors.map(1), label_colors(CLASSES).map(2))
    assert colors.map(2)[3] == 1
    assert label_colors(Classes((1, 2), ("a", "b"))).map(2)[3] == 1


def test_what_lies_on_an_image_lies_where_the_image_does() -> None:
    image = Image(
        np.zeros((5, 7)),
        scale=(0.2, 0.3),
        translate=(4, 5),
        units=("nm", "nm"),
        axis_labels=("y", "x"),
    )
    labels = Labels(np.zeros((5, 7), np.uint8), **placement(image))
    assert labels.data_to_world((2, 3)) == pytest.approx(image.data_to_world((2, 3)))
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels


def test_contrast_limits_of_a_series_are_those_of_all_its_frames() -> None:
    # a focal series that gets brighter: each frame has a level of its own, 0, 100, ..., 1000
    levels = np.arange(11)[:, None, None] * 100.0
    pixels = (levels + np.random.default_rng(3).normal(0, 1, (11, 37, 41))).astype(np.float32)
    low, high = contrast_limits(Micrograph(pixels, "series"))
    assert low == pytest.approx(0, abs=5)
    assert high == pytest.approx(1000, abs=5)


def test_contrast_limits_of_a_long_series_look_at_few_frames() -> None:
    read: list[int] = []

    def frame(index: int) -> np.ndarray:
        read.append(index)
        return np.full((37, 41), index, np.uint16)

    series = lazy_frames(frame, 1000, (37, 41), np.uint16, at_once=False)
    assert contrast_limits(Micrograph(series, "series")) == (0, 999)
    assert len(read) <= 8
