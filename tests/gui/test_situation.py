"""What follows from choices and layers: pure, without a window; told once a change."""

from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_tem_rf.gui.layers.marks import PredictionMark, set_mark
from napari_tem_rf.gui.session import label_counts as counts_module
from napari_tem_rf.gui.session.annotations import start_annotation
from napari_tem_rf.gui.session.choices import Activity, Choices
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation, choose_image, resolve
from napari_tem_rf.protocol import PRESETS
from napari_tem_rf.starting import SIMULATED

SHAPE = (61, 83)


@pytest.fixture
def model(tmp_path: Path) -> ViewerModel:
    """A viewer without a window: two images, strokes on the first."""
    model = ViewerModel()
    for name in ("gold", "carbon"):
        image = Image(
            np.zeros(SHAPE, np.float32), name=name, scale=(0.02, 0.025), units=("nm", "nm")
        )
        model.add_layer(image)
    strokes = start_annotation(model.layers["gold"], "ignore", [])
    strokes.data[3:13, 5:25] = 1
    strokes.data[25:35, 35:45] = 2
    model.add_layer(strokes)
    return model


@pytest.fixture
def choices(tmp_path: Path) -> Choices:
    return Choices(runs_folder=tmp_path)


def test_at_the_start_the_image_of_the_active_layer_is_chosen(model, choices):
    assert model.layers.selection.active is model.layers["gold: strokes"]
    assert resolve(model, choices).choices.image is model.layers["gold"]


def test_without_one_the_top_image_is_chosen_and_an_image_brings_its_annotation(model, choices):
    model.layers.selection.clear()
    first = resolve(model, choices)
    assert first.choices.image is model.layers["carbon"]
    assert first.choices.annotation is None
    other = resolve(model, choose_image(model, first.choices, model.layers["gold"]))
    assert other.choices.annotation is model.layers["gold: strokes"]
    assert other.scene.classes.values == (1, 2)
    assert other.scene.pixel_size_nm == pytest.approx((0.02, 0.025))
    (annotated,) = other.scene.annotated
    # counted by hand: strokes of 10 x 20 and 10 x 10 px
    assert annotated.pixels == (200, 100)
    assert annotated.frames == (0,)
    assert other.can_train


def test_it_is_the_same_as_long_as_nothing_changes(model, choices):
    first = resolve(model, choices)
    assert resolve(model, first.choices) == first
    model.layers["gold: strokes"].data[40:50, 3:10] = 2
    assert resolve(model, first.choices) != first


def test_it_reads_the_viewer_and_changes_nothing(model, choices):
    layers = list(model.layers)
    metadata = [dict(layer.metadata) for layer in layers]
    resolve(model, choices)
    assert list(model.layers) == layers
    assert [layer.metadata for layer in layers] == metadata
    with pytest.raises(FrozenInstanceError):
        resolve(model, choices).edits = 3  # type: ignore[misc]


def test_predictions_of_the_chosen_image_come_last_and_are_no_annotation(model, choices):
    for name in ("gold", "carbon"):
        layer = Labels(np.zeros(SHAPE, np.uint8), name=f"{name}: field 44 px")
        set_mark(layer, PredictionMark(image_id=str(model.layers[name].unique_id)))
        model.add_layer(layer)
    scene = resolve(model, replace(choices, image=model.layers["gold"])).scene
    assert [layer.name for layer in scene.predictions] == [
        "carbon: field 44 px",
        "gold: field 44 px",
    ]
    assert [layer.name for layer in scene.annotations] == ["gold: strokes"]


def test_a_start_that_does_not_fit_is_given_up(model, choices, tmp_path):
    now = resolve(model, replace(choices, start=tmp_path / "run of another network"))
    assert now.choices.start == SIMULATED
    assert now.start == SIMULATED
    paper = resolve(model, replace(choices, plan=PRESETS["sytwu2022"]()))
    assert paper.start is None
    assert [each.title for each in paper.starts] == ["new weights"]


def test_a_comparison_leaves_no_room_for_a_training(model, choices):
    now = resolve(model, choices, Activity(is_comparing=True))
    assert not now.can_train
    assert now.checks[0].sentence.startswith("A comparison is running")


def test_a_change_is_told_once_and_each_layer_counted_once(
    session: Session, image: Image, strokes: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Labels] = []

    def look(layer: Labels, frame: int = 0) -> Any:
        looked.append(layer)
        return layer.data

    monkeypatch.setattr(counts_module, "frame_labels", look)
    told: list[tuple[Situation, Situation]] = []
    session.changed.connect(lambda before, after: told.append((before, after)))
    strokes.data[40:45, 3:10] = 2
    session.edited()
    assert looked == [strokes]
    ((before, after),) = told
    assert after.edits == before.edits + 1
    assert after.scene.annotated[0].pixels[1] == before.scene.annotated[0].pixels[1] + 35
    # the same again is not a change
    session.spec = session.spec
    session.refresh()
    assert len(told) == 1


def test_who_changes_something_when_told_is_heard_after_the_others(session: Session) -> None:
    heard: list[tuple[str, int]] = []

    def first(now: Situation) -> None:
        heard.append(("first", now.choices.plan.seed))
        if now.choices.plan.seed == 1:
            session.change_plan(seed=2)

    session.on(lambda now: now.choices.plan, first)
    session.on(
        lambda now: now.choices.plan, lambda now: heard.append(("next", now.choices.plan.seed))
    )
    session.change_plan(seed=1)
    assert heard == [("first", 1), ("next", 1), ("first", 2), ("next", 2)]
