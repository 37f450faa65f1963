"""Comparisons score finished masks; one that version 0.1.0 began goes on without."""

import json

import numpy as np
import pytest

from napari_tem_rf.comparison import ComparisonPlan, ComparisonSettings, hold_out, read_comparison
from napari_tem_rf.comparison.jobs import ContestantJob, predict_baseline
from napari_tem_rf.comparison.plan import RANDOM_FOREST
from napari_tem_rf.comparison.record import RECORD, open_comparison
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import default_plan, sytwu2022

SHAPE = (61, 83)
SPEC = NetworkSpec((2,))


def image_of(seed):
    """Return noise with six discs: a forest leaves specks, and ragged outlines."""
    rows, columns = np.indices(SHAPE)
    mask = np.zeros(SHAPE, np.uint8)
    for row in (16, 45):
        for column in (14, 40, 68):
            mask[(rows - row) ** 2 + (columns - column) ** 2 < 8**2] = 1
    rng = np.random.default_rng(seed)
    pixels = (2 * rng.normal(size=SHAPE) - mask).astype(np.float32)
    return LabelledImage(f"gold_{seed}", pixels, mask, None, f"exposure {seed}")


IMAGES = tuple(image_of(seed) for seed in range(3))


def plan_of(**changes):
    return ComparisonPlan(
        (SPEC,), seeds=(752,), unlabelled="background", baselines=(RANDOM_FOREST,), **changes
    )


def test_a_comparison_that_says_nothing_of_finishing_did_none(tmp_path):
    plan = plan_of()
    assert plan.finish
    folder = open_comparison(tmp_path / "it", plan, IMAGES, hold_out(IMAGES, plan), {}, {}).folder
    assert read_comparison(folder).record.plan.finish
    values = json.loads((folder / RECORD).read_text())
    del values["plan"]["finish"]
    (folder / RECORD).write_text(json.dumps(values))
    assert not read_comparison(folder).record.plan.finish


def test_the_papers_recipe_scores_what_the_networks_decided():
    asked = ComparisonSettings()
    assert asked.plan((SPEC,), default_plan()).finish
    assert not asked.plan((SPEC,), sytwu2022()).finish


def test_baselines_are_finished_by_the_same_lengths(tmp_path):
    values = {}
    for finish in (False, True):
        plan = plan_of(finish=finish)
        held_out = hold_out(IMAGES, plan)
        (forest,) = (each for each in plan.contestants(2) if each.spec is None)
        work = ContestantJob(tmp_path / str(finish), forest, plan, held_out, {}, {})
        labels = predict_baseline(
            work, held_out.scored[0].pixels, report=lambda report: None, stopped=lambda: False
        )
        values[finish] = held_out.scored[0].score(labels, held_out.classes)
    assert values[True].object_f1 > values[False].object_f1
    assert values[True].dice > values[False].dice - 0.01


def test_numbered_particles_are_scored_one_by_one():
    """Four squares in a row that touch: as one mask they are a single particle."""
    numbers = np.zeros((40, 64), np.int32)
    for place in range(4):
        numbers[10:30, 8 + 12 * place : 20 + 12 * place] = place + 1
    rng = np.random.default_rng(2)
    images = [
        LabelledImage(f"{index}", rng.normal(size=numbers.shape), numbers, None)
        for index in range(3)
    ]
    held_out = hold_out(images, plan_of(labels_are="particles"))
    assert held_out.labels_are == "particles"
    image = held_out.scored[0]
    mask = (numbers > 0).astype(np.uint8)
    alone = image.score(mask, held_out.classes)
    assert alone.dice == 1
    told_apart = image.score(mask, held_out.classes, numbers)
    assert (told_apart.object_f1, told_apart.dice) == (1, 1)
    joined = np.where(numbers > 1, 2, numbers)
    # two are found where four are, one of them right: F1 = 2 * 1 / (2 + 4)
    assert image.score(mask, held_out.classes, joined).object_f1 == pytest.approx(1 / 3)
