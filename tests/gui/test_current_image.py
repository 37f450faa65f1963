"""The chosen image is the one in view: what is shown, hidden, selected, painted and calibrated."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_tem_rf.gui.layers.layers import pixel_size_nm
from napari_tem_rf.gui.segment.annotation import AnnotationWidget
from napari_tem_rf.gui.segment.image import LoadWidget
from napari_tem_rf.gui.session.annotations import start_annotation
from napari_tem_rf.gui.session.current_image import CurrentImage
from napari_tem_rf.gui.session.predictions import show_prediction
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.networks.spec import NetworkSpec

CLASSES = Classes((1, 2), ("background", "particle"), ("#0072b2", "#e69f00"))


@pytest.fixture
def images(viewer: Any) -> list[Image]:
    """Three images of one size on each other, as napari opens them."""
    rng = np.random.default_rng(7)
    return [
        viewer.add_image(rng.normal(size=(61, 83)).astype(np.float32), name=f"train_0{place}")
        for place in (1, 2, 3)
    ]


@pytest.fixture
def load(viewer: Any, images: list[Image], qtbot: Any) -> LoadWidget:
    widget = LoadWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def press(qtbot: Any, button: Any) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def shown(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.visible]


def strokes_on(session: Session, image: Image) -> Labels:
    layer = start_annotation(image, "ignore", [each.name for each in session.viewer.layers])
    layer.data[3:13, 5:25] = 1
    session.viewer.add_layer(layer)
    return layer


def predict(session: Session, image: Image) -> Labels:
    return show_prediction(
        session,
        image,
        np.full((61, 83), 2, np.uint8),
        CLASSES,
        NetworkSpec((2, 2)),
        run=Path("run"),
    )


def test_new_and_a_stroke_go_to_the_image_in_view(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image], qtbot: Any
) -> None:
    annotation = AnnotationWidget(viewer)
    qtbot.addWidget(annotation)
    assert session.image is images[2]
    assert shown(viewer) == ["train_03"]
    press(qtbot, annotation.new_button)
    active = viewer.layers.selection.active
    assert active.name == "train_03: strokes"
    active.paint((30, 40), 2)
    (annotated,) = session.refresh().scene.annotated
    assert annotated.pair.image is images[2]
    assert sum(annotated.pixels) > 0


def test_the_image_of_a_layer_that_is_clicked_is_chosen_and_shown(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image]
) -> None:
    strokes = strokes_on(session, images[0])
    assert session.image is images[0]
    viewer.layers.selection.active = images[1]
    assert (session.image, session.annotation) == (images[1], None)
    assert shown(viewer) == ["train_02"]
    viewer.layers.selection.active = strokes
    assert (session.image, session.annotation) == (images[0], strokes)
    assert shown(viewer) == ["train_01", "train_01: strokes"]


def test_choosing_selects_the_strokes_and_the_arrows_go_round(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image], qtbot: Any
) -> None:
    strokes = strokes_on(session, images[0])
    press(qtbot, load.images.before_button)
    assert session.image is images[2]
    assert viewer.layers.selection.active is images[2]
    press(qtbot, load.images.after_button)
    assert session.image is images[0]
    assert viewer.layers.selection.active is strokes
    assert load.images.name_button.toolTip() == "train_01"
    assert "200 px painted" in load.images.painted.text()
    load.images._fill_menu()
    titles = [action.text() for action in load.images.menu.actions()]
    assert titles == ["train_01   200 px painted", "train_02", "train_03"]
    load.images.menu.actions()[1].trigger()
    assert session.image is images[1]


def test_what_the_user_hid_of_an_image_stays_hidden(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image]
) -> None:
    strokes = strokes_on(session, images[0])
    prediction = predict(session, images[0])
    prediction.visible = False
    current = session.part(CurrentImage)
    current.choose(images[1])
    assert shown(viewer) == ["train_02"]
    current.choose(images[0])
    assert strokes.visible
    assert not prediction.visible
    # neither is it shown when something else is added
    predict(session, images[2])
    assert shown(viewer) == ["train_01", "train_01: strokes"]


def test_predictions_of_other_images_wait_for_them(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image]
) -> None:
    others = [predict(session, image) for image in images]
    assert [layer.visible for layer in others] == [False, False, True]
    session.part(CurrentImage).choose(images[0])
    assert [layer.visible for layer in others] == [True, False, False]


def test_history_and_mode_of_strokes_survive(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image]
) -> None:
    strokes = strokes_on(session, images[0])
    strokes.mode = "paint"
    strokes.paint((40, 40), 2)
    current = session.part(CurrentImage)
    for image in (images[2], images[0]):
        current.choose(image)
    assert strokes.mode == "paint"
    assert strokes.data[40, 40] == 2
    strokes.undo()
    assert strokes.data[40, 40] == 0


def test_a_single_image_beside_a_series_is_fitted(
    viewer: Any, session: Session, qtbot: Any, tmp_path: Path
) -> None:
    viewer.add_image(np.zeros((5, 200, 300), np.float32), name="series")
    load = LoadWidget(viewer)
    qtbot.addWidget(load)
    good, bad = tmp_path / "good.tif", tmp_path / "bad.tif"
    tifffile.imwrite(good, np.zeros((30, 40), np.uint8))
    bad.write_bytes(b"II*\0 not a picture")
    load.open_files([good, bad])
    qtbot.waitUntil(lambda: "bad.tif" in load.words.text(), timeout=20_000)
    assert session.image.name == "good"
    # napari's centres of pixels are whole numbers: (29 / 2, 39 / 2)
    assert tuple(viewer.scene.camera.center) == pytest.approx((0, 14.5, 19.5))
    room = np.min(np.asarray(viewer.canvas.viewbox_size(viewer.layers)) / (30, 40))
    assert viewer.scene.camera.zoom == pytest.approx(0.95 * room)


def test_a_series_beside_a_single_image_is_fitted(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image]
) -> None:
    series = viewer.add_image(np.zeros((5, 200, 300), np.float32), name="series")
    current = session.part(CurrentImage)
    current.choose(images[0])
    current.choose(series)
    assert tuple(viewer.scene.camera.center)[-2:] == pytest.approx((99.5, 149.5))
    viewer.dims.set_current_step(0, 3)
    assert "frame 4 of 5" in load.images.painted.text()


def test_side_by_side_each_image_has_its_layers_on_it(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image], qtbot: Any
) -> None:
    strokes = strokes_on(session, images[0])
    prediction = predict(session, images[1])
    load.images.side_by_side.click()
    assert all(layer.visible for layer in viewer.layers)
    corners = [tuple(image.data_to_world((0, 0))) for image in images]
    assert corners == [(0, 0), (0, pytest.approx(83 * 1.04)), (pytest.approx(61 * 1.04), 0)]
    assert strokes.data_to_world((7, 9)) == images[0].data_to_world((7, 9))
    assert prediction.data_to_world((7, 9)) == images[1].data_to_world((7, 9))
    # what comes later lies on its image as well, and the layers' own places stay
    late = predict(session, images[2])
    assert late.data_to_world((7, 9)) == images[2].data_to_world((7, 9))
    assert tuple(images[2].translate) == (0, 0)
    load.images.side_by_side.click()
    assert shown(viewer) == ["train_01", "train_01: strokes"]
    assert all(tuple(layer.data_to_world((7, 9))) == (7, 9) for layer in viewer.layers)


def test_images_that_lie_apart_stay_where_they_are(
    viewer: Any, session: Session, qtbot: Any
) -> None:
    places = ((0.0, 0.0), (0.0, 20.0))
    pixels = np.zeros((11, 13), np.float32)
    images = [viewer.add_image(pixels, translate=place) for place in places]
    load = LoadWidget(viewer)
    qtbot.addWidget(load)
    load.images.side_by_side.click()
    assert session.situation.choices.side_by_side
    assert [tuple(image.data_to_world((0, 0))) for image in images] == list(places)


def test_a_pixel_size_is_given_to_all_with_one_click(
    load: LoadWidget, viewer: Any, session: Session, images: list[Image], qtbot: Any
) -> None:
    strokes = strokes_on(session, images[0])
    assert load.sizes_line.isHidden()
    load.size.setFocus()
    qtbot.keyClicks(load.size, "0.02")
    qtbot.keyClick(load.size, Qt.Key.Key_Return)
    # the view follows the image, which is 1.22 x 1.66 nm now
    room = np.min(np.asarray(viewer.canvas.viewbox_size(viewer.layers)) / (1.22, 1.66))
    assert viewer.scene.camera.zoom == pytest.approx(0.95 * room)
    assert not load.sizes_line.isHidden()
    assert load.all_button.text() == "For all 3"
    press(qtbot, load.all_button)
    for layer in (*images, strokes):
        assert pixel_size_nm(layer) == pytest.approx((0.02, 0.02))
    assert load.sizes_line.isHidden()


def test_the_sample_opens_with_its_first_image_in_view(viewer: Any, qtbot: Any) -> None:
    from napari_tem_rf.gui.session.viewers import session_of

    viewer.open_sample("napari-tem-rf", "gold_high_resolution")
    load = LoadWidget(viewer)
    qtbot.addWidget(load)
    session = session_of(viewer)
    assert session.image.name == "gold_hr_01"
    assert session.annotation.name == "gold_hr_01: strokes"
    assert session.situation.can_train
    assert shown(viewer) == ["gold_hr_01", "gold_hr_01: strokes"]
