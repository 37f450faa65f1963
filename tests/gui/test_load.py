"""The load widget: files open, pixel sizes are understood, said, typed and drawn."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_tem_rf.gui.layers.boxes import scene_overlay
from napari_tem_rf.gui.layers.layers import pixel_size_nm
from napari_tem_rf.gui.segment.image import LoadWidget, format_pixel_size, parse_pixel_size
from napari_tem_rf.gui.session.session import Session


@pytest.mark.parametrize(
    ("text", "nm"),
    [
        ("0.02", (0.02, 0.02)),
        ("0,02", (0.02, 0.02)),
        (".5 nm", (0.5, 0.5)),
        ("20 pm", (0.02, 0.02)),
        ("0.2 A", (0.02, 0.02)),
        ("0.2 Å/px", (0.02, 0.02)),
        ("2e-2", (0.02, 0.02)),
        ("0.02 x 0.025", (0.02, 0.025)),
        ("0.02 × 0.025 nm/px", (0.02, 0.025)),
        ("1.5 um", (1500, 1500)),
        ("", None),
    ],
)
def test_pixel_sizes_that_are_understood(text: str, nm: tuple[float, float] | None) -> None:
    size = parse_pixel_size(text)
    assert size == (None if nm is None else pytest.approx(nm))


@pytest.mark.parametrize("text", ["0", "-1", "gold", "3 apples", "1 x 0", "0.02 1/nm", "nan"])
def test_pixel_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a pixel size"):
        parse_pixel_size(text)


def test_what_is_shown_is_what_can_be_typed() -> None:
    for size in ((0.02, 0.02), (0.0178, 0.02), (1234.0, 1234.0), (1.5e-4, 1.5e-4)):
        assert parse_pixel_size(format_pixel_size(size)) == pytest.approx(size)


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> LoadWidget:
    widget = LoadWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def drag(viewer: Any, layer: Image, start: Any, stop: Any) -> None:
    """Drag the mouse over a layer, as napari's canvas tells of it."""
    event = SimpleNamespace(type="mouse_press", button=1, position=layer.data_to_world(start))
    going = viewer.mouse_drag_callbacks[-1](viewer, event)
    next(going)
    event.type, event.position = "mouse_move", layer.data_to_world(stop)
    next(going)
    event.type = "mouse_release"
    next(going, None)


def enter(qtbot: Any, edit: Any, text: str) -> None:
    edit.setFocus()
    edit.clear()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


def test_a_file_opens_with_its_pixel_size(
    widget: LoadWidget, session: Session, tmp_path: Path, qtbot: Any
) -> None:
    path = tmp_path / "gold.tif"
    tifffile.imwrite(
        path,
        np.zeros((61, 83), np.uint16),
        imagej=True,
        resolution=(1 / 0.025, 1 / 0.02),
        metadata={"unit": "nm", "axes": "YX"},
    )
    widget.open_files([path])
    qtbot.waitUntil(lambda: session.image is not None, timeout=20_000)
    assert session.image.name == "gold"
    assert session.pixel_size_nm == pytest.approx((0.02, 0.025))
    assert "61 x 83 px" in widget.words.text()
    assert widget.size.text() == "0.02 x 0.025"


def test_a_file_that_is_none_gives_a_sentence_and_the_others_open(
    widget: LoadWidget, session: Session, tmp_path: Path, qtbot: Any
) -> None:
    bad, good = tmp_path / "bad.tif", tmp_path / "good.tif"
    bad.write_bytes(b"II*\0 not a picture")
    tifffile.imwrite(good, np.zeros((11, 13), np.uint8))
    widget.open_files([bad, good])
    qtbot.waitUntil(lambda: session.image is not None, timeout=20_000)
    assert session.image.name == "good"
    assert "bad.tif" in widget.words.text()


def test_an_image_without_pixel_size_says_so(widget: LoadWidget, viewer: Any) -> None:
    viewer.add_image(np.zeros((11, 13)), name="bare")
    assert "no pixel size is known" in widget.words.text()
    assert widget.size.text() == ""


def test_a_typed_pixel_size_calibrates_the_image_and_what_lies_on_it(
    widget: LoadWidget, session: Session, strokes: Labels, qtbot: Any
) -> None:
    enter(qtbot, widget.size, "50 pm")
    assert session.pixel_size_nm == pytest.approx((0.05, 0.05))
    assert pixel_size_nm(strokes) == pytest.approx((0.05, 0.05))
    image = session.image
    assert strokes.data_to_world((7, 9)) == pytest.approx(image.data_to_world((7, 9)))


def test_a_typed_word_is_refused_in_a_sentence(
    widget: LoadWidget, session: Session, image: Image, qtbot: Any
) -> None:
    before = session.pixel_size_nm
    enter(qtbot, widget.size, "large")
    assert '"large" is not a pixel size' in widget.words.text()
    assert session.pixel_size_nm == before


def test_a_line_along_the_scale_bar_gives_the_pixel_size(
    widget: LoadWidget, session: Session, viewer: Any, qtbot: Any
) -> None:
    image = viewer.add_image(np.zeros((61, 83)), name="bare")
    before = list(viewer.mouse_drag_callbacks)
    qtbot.mouseClick(widget.bar_button, Qt.MouseButton.LeftButton)
    bar = widget.scale_bar
    qtbot.mouseClick(bar.use_button, Qt.MouseButton.LeftButton)
    assert "No line is drawn" in bar.words.text()
    drag(viewer, image, (50.0, 10.0), (50.0, 60.0))
    # over the canvas, and no layer
    assert list(viewer.layers) == [image]
    drawn = scene_overlay(viewer, "scale_bar")
    assert drawn.visible
    (stroke,) = drawn.drawing.strokes
    assert (stroke.start, stroke.stop) == ((50.0, 10.0), (50.0, 60.0))
    enter(qtbot, bar.length, "5")
    assert pixel_size_nm(image) == pytest.approx((0.1, 0.1))
    assert not drawn.visible
    assert session.image is image
    assert list(viewer.mouse_drag_callbacks) == before


def test_a_line_along_the_scale_bar_paints_nothing_and_is_cancelled(
    widget: LoadWidget, viewer: Any, image: Image, strokes: Labels, qtbot: Any
) -> None:
    viewer.layers.selection.active = strokes
    strokes.mode = "paint"
    qtbot.mouseClick(widget.bar_button, Qt.MouseButton.LeftButton)
    assert strokes.mode == "pan_zoom"
    drag(viewer, image, (5.0, 10.0), (9.0, 13.0))
    assert "5.0 px long" in widget.scale_bar.words.text()
    before = pixel_size_nm(image)
    qtbot.mouseClick(widget.scale_bar.cancel_button, Qt.MouseButton.LeftButton)
    assert strokes.mode == "paint"
    assert not scene_overlay(viewer, "scale_bar").visible
    assert widget.scale_bar.isHidden()
    assert pixel_size_nm(image) == before


def test_the_table_shows_what_the_file_says(widget: LoadWidget, viewer: Any) -> None:
    metadata = {"voltage_kv": 300.0, "stage": {"tilt": 1.5}}
    viewer.add_image(np.zeros((11, 13)), name="gold", metadata=metadata)
    lines = {
        widget.table.item(at, 0).text(): widget.table.item(at, 1).text()
        for at in range(widget.table.rowCount())
    }
    assert lines == {"voltage (kV)": "300", "stage: tilt": "1.5"}
