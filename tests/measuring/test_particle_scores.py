"""Scores of particles: against COCO's matching, an assignment by brute force, counts by hand."""

import json
from contextlib import redirect_stdout
from dataclasses import astuple
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import distance_transform_edt, label
from scipy.optimize import linear_sum_assignment
from skimage.measure import regionprops_table
from skimage.segmentation import clear_border

from napari_tem_rf.figures.quantities import merit
from napari_tem_rf.measuring.particle_scores import ParticleScores, score_particles
from napari_tem_rf.measuring.scores import score_image

SHAPE = (149, 181)


def discs(shape, number, seed, radius=(3, 9)):
    """Return numbered discs that do not overlap, and their centres and radii."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    numbered = np.zeros(shape, np.int32)
    made = []
    for _ in range(number * 20):
        if len(made) == number:
            break
        at, r = rng.uniform((0, 0), shape), rng.uniform(*radius)
        disc = (rows - at[0]) ** 2 + (columns - at[1]) ** 2 < r**2
        if disc.any() and not numbered[disc].any():
            made.append((*at, r))
            numbered[disc] = len(made)
    return numbered, made


def scene(seed):
    """Return found and true particles that agree in part: shifted, shrunk, missed, made up."""
    rng = np.random.default_rng(seed)
    true, made = discs(SHAPE, 31, seed)
    rows, columns = np.indices(SHAPE)
    found = np.zeros(SHAPE, np.int32)
    for place in rng.permutation(len(made))[: len(made) - 5]:
        row, column, r = made[place]
        row, column = row + rng.normal(0, 0.12 * r), column + rng.normal(0, 0.12 * r)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < (r * rng.uniform(0.75, 1.2)) ** 2
        found[disc] = found.max() + 1
    for _ in range(6):
        at = rng.integers(0, SHAPE)
        found[at[0] : at[0] + 4, at[1] : at[1] + 3] = found.max() + 1
    values = np.unique(found)
    return np.searchsorted(values, found).astype(np.int32), true


def iou_matrix(found, true):
    """Return the IoU of every pair, a pair at a time."""
    return np.array(
        [
            [
                ((found == i) & (true == j)).sum() / ((found == i) | (true == j)).sum()
                for j in range(1, true.max() + 1)
            ]
            for i in range(1, found.max() + 1)
        ]
    ).reshape(found.max(), true.max())


def by_assignment(found, true):
    """Return the scores from the best assignment of all pairs, as scipy finds it."""
    iou = iou_matrix(found, true)
    scores = {}
    for threshold in (0.5, 0.75):
        allowed = np.where(iou >= threshold, iou, 0)
        # each match counts far more than its IoU: as many as can be, then the best
        rows, columns = linear_sum_assignment(allowed + 10 * (allowed > 0), maximize=True)
        kept = allowed[rows, columns]
        tp = int((kept > 0).sum())
        fp, fn = iou.shape[0] - tp, iou.shape[1] - tp
        scores[threshold] = (2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn))
        if threshold == 0.5:
            quality = kept.sum() / (tp + fp / 2 + fn / 2)
    return scores, quality


@pytest.mark.parametrize("seed", [752, 2245, 140])
def test_scores_equal_those_of_the_best_assignment(seed):
    found, true = scene(seed)
    whole, _ = score_particles(found, true)
    scores, quality = by_assignment(found, true)
    assert (whole.object_f1, whole.ap_50) == pytest.approx(scores[0.5])
    assert (whole.object_f1_75, whole.ap_75) == pytest.approx(scores[0.75])
    assert whole.panoptic_quality == pytest.approx(quality)
    assert 0 < whole.ap_75 < whole.ap_50 < whole.object_f1 < 1


def test_counts_and_diameters_equal_scikit_images():
    found, true = scene(9213)
    diameter = [
        regionprops_table(each, properties=["equivalent_diameter_area"])["equivalent_diameter_area"]
        for each in (found, true)
    ]
    whole, _ = score_particles(found, true)
    assert whole.count_error_percent == pytest.approx(100 * (found.max() / true.max() - 1))
    bias = diameter[0].mean() / diameter[1].mean() - 1
    assert whole.diameter_bias_percent == pytest.approx(100 * bias)


def test_matches_are_those_of_coco():
    """The reference code of the COCO challenge (pycocotools), which matches greedily by IoU."""
    found, true = scene(956)
    images = [{"id": 1, "height": SHAPE[0], "width": SHAPE[1]}]

    def entries(numbered, **more):
        made = []
        for value in range(1, numbered.max() + 1):
            mask = np.asfortranarray((numbered == value).astype(np.uint8))
            run_length = coco_mask.encode(mask)
            made.append(
                {
                    **{"id": value, "image_id": 1, "category_id": 1, "iscrowd": 0},
                    **{"segmentation": run_length, "area": float(mask.sum())},
                    **{"bbox": coco_mask.toBbox(run_length).tolist(), **more},
                }
            )
        return made

    with redirect_stdout(StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": images,
            "annotations": entries(true),
            "categories": [{"id": 1, "name": "particle"}],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(entries(found, score=1.0)), "segm")
        evaluation.params.iouThrs = np.array([0.5, 0.75])
        evaluation.params.maxDets = [1000]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
    matches = (evaluation.evalImgs[0]["dtMatches"] > 0).sum(axis=1)
    whole, _ = score_particles(found, true)
    of = int(found.max() + true.max())
    assert whole.ap_50 == pytest.approx(matches[0] / (of - matches[0]))
    assert whole.ap_75 == pytest.approx(matches[1] / (of - matches[1]))


def test_inner_scores_are_those_of_what_does_not_touch_the_border():
    found, true = scene(752)
    # far from the border both sides agree on what is cut: scikit-image clears the same
    near = distance_transform_edt(np.pad(np.ones(SHAPE, bool), 1))[1:-1, 1:-1] < 25
    for numbered in (found, true):
        touching = np.setdiff1d(np.unique(numbered), np.unique(clear_border(numbered)))
        inside = np.setdiff1d(np.unique(numbered[near]), touching)
        numbered[np.isin(numbered, inside)] = 0  # neither touching nor well inside
    renumbered = [np.unique(each, return_inverse=True)[1].reshape(SHAPE) for each in (found, true)]
    cleared = [
        np.unique(clear_border(each), return_inverse=True)[1].reshape(SHAPE) for each in renumbered
    ]
    assert all(a.max() > b.max() for a, b in zip(renumbered, cleared, strict=True))
    _, inner = score_particles(*renumbered)
    expected, _ = score_particles(*cleared)
    assert astuple(inner) == pytest.approx(astuple(expected))


def test_a_partner_of_a_cut_particle_is_left_out_too():
    true = np.zeros((41, 53), np.int32)
    true[0:10, 5:15] = 1  # cut by the border
    true[20:30, 20:30] = 2
    found = np.zeros_like(true)
    found[1:10, 5:15] = 1  # a pixel short of it
    found[20:30, 20:30] = 2
    whole, inner = score_particles(found, true)
    assert inner.object_f1 == inner.ap_75 == 1
    assert inner.count_error_percent == inner.diameter_bias_percent == 0
    assert whole.diameter_bias_percent < 0
    # and the other way round
    assert score_particles(true, found)[1] == inner


def test_the_edge_of_what_is_annotated_cuts_as_the_border_does():
    valid = np.zeros((41, 53), bool)
    valid[:, :30] = True
    mask = np.zeros((41, 53), bool)
    mask[10:20, 22:40] = mask[25:33, 5:14] = True
    numbered, n = label(mask & valid)
    assert n == 2
    whole, inner = score_particles(numbered, np.where(numbered == 2, 0, numbered), valid)
    assert whole.count_error_percent == 100
    only = (numbered == 2).astype(np.int32)
    assert inner == score_particles(only, np.zeros_like(only))[1]


def test_what_is_known_without_particles():
    nothing, one = np.zeros((17, 19), np.int32), np.zeros((17, 19), np.int32)
    one[5:9, 5:9] = 1
    whole, inner = score_particles(nothing, nothing)
    assert astuple(whole) == (1, 1, 1, 1, 1, None, None)
    assert inner == ParticleScores()
    missed, _ = score_particles(nothing, one)
    assert astuple(missed) == (0, 0, 0, 0, 0, -100, None)
    invented, _ = score_particles(one, nothing)
    assert astuple(invented) == (0, 0, 0, 0, 0, None, None)


def test_numbered_particles_that_touch_are_taken_as_they_are():
    true = np.zeros((41, 53), np.uint16)
    true[10:20, 10:20], true[10:20, 20:30], true[10:20, 30:40] = 3, 7, 8
    true[30:35, 40:45] = 9
    as_numbers = score_image(true, true)
    assert as_numbers.ap_75 == 1
    assert as_numbers.count_error_percent == 0
    # beside a mask of one class: the three that touch are one, and it is none of them
    merged = score_image((true > 0).astype(np.uint8), true)
    assert merged.count_error_percent == pytest.approx(-50)
    assert merged.ap_50 == pytest.approx(1 / 5)


def test_five_thousand_particles_are_counted_by_hand():
    """A grid of squares, whose scores follow from their sides alone; sparse, so in seconds."""
    true = np.zeros((4096, 4096), bool)
    found = np.zeros_like(true)
    rows, columns = np.divmod(np.arange(5000), 71)
    for row, column, shift in zip(
        57 * rows + 5, 57 * columns + 5, np.arange(5000) % 5, strict=True
    ):
        true[row : row + 20, column : column + 20] = True
        if shift < 4:  # four in five are found, moved by 0, 3, 6, 9 px
            found[row + 3 * shift : row + 3 * shift + 20, column : column + 20] = True
    whole, _ = score_particles(label(found)[0], label(true)[0])
    iou = [(20 - shift) / (20 + shift) for shift in (0, 3, 6, 9)]
    assert [value >= 0.5 for value in iou] == [True, True, True, False]
    assert whole.ap_50 == pytest.approx(3000 / (4000 + 5000 - 3000))
    assert whole.ap_75 == pytest.approx(1000 / 8000)
    assert whole.panoptic_quality == pytest.approx(1000 * sum(iou[:3]) / 4500)
    assert whole.count_error_percent == pytest.approx(-20)
    assert whole.diameter_bias_percent == pytest.approx(0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scores_hold_together_on_any_masks(seed):
    rng = np.random.default_rng(seed)
    found, true = (label(rng.random((13, 17)) < rng.uniform(0, 0.6))[0] for _ in range(2))
    whole, inner = score_particles(found, true)
    for scores in (whole, inner):
        if scores.object_f1 is None:
            continue
        assert 0 <= scores.ap_75 <= scores.ap_50 <= scores.object_f1 <= 1
        assert scores.panoptic_quality <= scores.object_f1 + 1e-12
        assert scores.object_f1_75 <= scores.object_f1
    back, _ = score_particles(true, found)
    assert astuple(back)[:5] == pytest.approx(astuple(whole)[:5])


def test_signed_scores_are_best_at_nothing():
    values = np.array([-8.0, 3.0, 0.0])
    assert merit("count_error_percent", values).tolist() == [-8, -3, 0]
    assert merit("boundary_error_px", np.array([1.0, 2.0])).tolist() == [-1, -2]
    assert merit("dice", values).tolist() == values.tolist()


def test_scores_are_plain_numbers():
    found, true = scene(140)
    written = score_image(found, true).to_dict()
    assert json.loads(json.dumps(written)) == written
    assert {name for name in written if name.endswith("_inner")} == {
        f"{name}_inner" for name in ParticleScores.__dataclass_fields__
    }
