import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

from napari_tem_rf.measuring.scores import (
    Pair,
    dice,
    foreground_values,
    score_image,
    score_images,
)

SHAPE = (53, 71)


@pytest.fixture
def masks():
    rng = np.random.default_rng(752)
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:31, 20:47] = 1
    labels[40:47, 3:17] = 1
    prediction = np.roll(labels, (2, -3), (0, 1)) ^ (rng.random(SHAPE) < 0.05)
    return prediction.astype(np.uint8), labels


def test_pixel_scores_equal_scikit_learns(masks):
    prediction, labels = masks
    scores = score_image(prediction, labels)
    true, found = labels.ravel(), prediction.ravel()
    assert scores.iou == pytest.approx(jaccard_score(true, found))
    assert scores.precision == pytest.approx(precision_score(true, found))
    assert scores.recall == pytest.approx(recall_score(true, found))
    # F1 is Dice without smoothing: 2b / s, so that (2b + 1) / (s + 1) follows
    total = int(true.sum()) + int(found.sum())
    assert scores.dice == pytest.approx((f1_score(true, found) * total + 1) / (total + 1))


def test_several_classes_equal_scikit_learns_macro_mean():
    rng = np.random.default_rng(2245)
    labels = rng.choice(np.array([0, 2, 5], np.int32), SHAPE)
    prediction = np.where(rng.random(SHAPE) < 0.3, rng.choice([0, 2, 5], SHAPE), labels)
    scores = score_image(prediction, labels)
    true, found = labels.ravel(), prediction.ravel()
    macro = {"labels": [2, 5], "average": "macro"}
    assert scores.iou == pytest.approx(jaccard_score(true, found, **macro))
    assert scores.precision == pytest.approx(precision_score(true, found, **macro))
    assert scores.recall == pytest.approx(recall_score(true, found, **macro))
    assert scores.dice == pytest.approx(f1_score(true, found, **macro), abs=1e-3)


def test_not_annotated_pixels_do_not_count(masks):
    prediction, mask = masks
    annotated = np.zeros(SHAPE, bool)
    annotated[5:20] = True
    strokes = np.where(annotated, mask + 1, 0)
    scores = score_image(prediction * 2, strokes, unlabelled="ignore")
    true, found = mask[annotated], prediction[annotated]
    assert scores.iou == pytest.approx(jaccard_score(true, found))
    assert scores.precision == pytest.approx(precision_score(true, found))
    negative = np.where(annotated, mask.astype(np.int16), -1)
    assert score_image(prediction, negative) == scores


@pytest.mark.parametrize(("found_value", "true_value"), [(2, 1), (1, 255), (7, 7)])
def test_one_class_is_compared_whatever_its_value(masks, found_value, true_value):
    prediction, labels = masks
    scores = score_image(prediction * np.uint8(found_value), labels * np.uint8(true_value))
    assert scores == score_image(prediction, labels)


def test_classes_are_found_over_all_images(masks):
    prediction, labels = masks
    one = Pair("one", prediction * 2, labels * 2)
    other = Pair("other", prediction * 3, labels * 2)
    table = score_images([one, other])
    assert table.images[0].dice > 0.5
    # classes 2 and 3: each is on one side only
    assert table.images[1].iou == 0
    assert foreground_values([(one.prediction, one.labels)]) == ()
    # 1 in a prediction of several values is the background of strokes
    assert foreground_values([(np.array([[1, 2]]), np.array([[1, 2]]))], "ignore") == (2,)


def test_chosen_classes_are_compared_by_value(masks):
    prediction, labels = masks
    assert score_image(prediction * 2, labels, foreground=[1]).recall == 0


def test_chosen_classes_of_strokes_count_where_strokes_are():
    """By hand: of four annotated particle px three are found, and one px of background is wrong."""
    strokes = np.zeros((7, 11), np.uint8)
    strokes[2, :4], strokes[4, :5] = 2, 1
    prediction = np.full((7, 11), 2, np.uint8)
    prediction[2, 3], prediction[4, 1:5] = 1, 1
    pairs = [Pair("gold", prediction, strokes)]
    (score,) = score_images(pairs, unlabelled="ignore", foreground=(2,)).images
    assert score.recall == pytest.approx(3 / 4)
    assert score.precision == pytest.approx(3 / 4)


def test_particles_by_their_numbers_are_matched_as_they_are_numbered():
    """Two that touch are one piece of the mask, and two by their numbers."""
    numbers = np.zeros((31, 41), np.int32)
    numbers[5:20, 5:15], numbers[5:20, 15:25] = 7, 300
    mask = (numbers > 0).astype(np.uint8)
    score = score_image(mask, mask, numbers=(numbers, numbers), foreground=(1,))
    assert score.object_f1 == 1
    one = np.where(numbers == 7, 7, 0)
    half = score_image(mask, mask, numbers=(one, numbers), foreground=(1,))
    assert half.object_f1 == pytest.approx(2 / 3)  # TP 1, FN 1


def test_empty_masks():
    empty, full = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    both = score_image(empty, empty)
    assert (both.dice, both.iou, both.precision, both.recall, both.object_f1) == (1, 1, 1, 1, 1)
    assert both.boundary_error_px is None
    missed = score_image(empty, full)
    assert (missed.iou, missed.precision, missed.recall, missed.object_f1) == (0, 0, 0, 0)
    assert missed.dice == pytest.approx(1 / (53 * 71 + 1))


def test_dice_counted_by_hand():
    a = np.array([[1, 1, 0], [0, 1, 0]], bool)
    b = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert dice(a, b) == pytest.approx(5 / 7)


def test_object_f1_counted_by_hand():
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:12, 2:12] = 1  # found, shifted by 2: 80 / 120
    labels[2:12, 20:30] = 1  # shifted by 4: 60 / 140, too little
    labels[30:40, 2:12] = 1  # missed
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[4:14, 2:12] = 1
    prediction[6:16, 20:30] = 1
    prediction[45, 60] = prediction[46, 61] = 1  # one speck: diagonals touch
    # true positives 1, false positives 2, false negatives 2
    assert score_image(prediction, labels).object_f1 == pytest.approx(2 / (2 + 2 + 2))


def test_objects_are_matched_one_to_one():
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:10, 5:10] = labels[5:10, 11:16] = 1
    prediction = labels.copy()
    prediction[7, 10] = 1  # joins the two: each has an IoU of 25 / 51 with it
    assert score_image(prediction, labels).object_f1 == 0
    assert score_image(labels, prediction).object_f1 == 0
    # an IoU of exactly a half with each of two: only one of them is matched
    halves = np.zeros(SHAPE, np.uint8)
    halves[5:9, 5:8] = halves[10:14, 5:8] = 1
    around = np.zeros(SHAPE, np.uint8)
    around[5:9, 5:8] = 1
    around[5:9, 8:11] = 1
    assert score_image(around, halves).object_f1 == pytest.approx(2 / 3)


@pytest.mark.parametrize("pixel_size", [(1.0, 1.0), (0.02, 0.031)])
def test_boundary_error_equals_the_nearest_contour_points(masks, pixel_size):
    prediction, labels = (m.astype(bool) for m in masks)
    cross = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    points = [
        np.argwhere(m & ~binary_erosion(m, cross, border_value=1)) * pixel_size
        for m in (prediction, labels)
    ]
    there, back = (KDTree(points[1 - i]).query(points[i])[0] for i in (0, 1))
    expected = np.concatenate([there, back]).mean()
    scores = score_image(prediction, labels, pixel_size_nm=pixel_size)
    assert scores.boundary_error_nm == pytest.approx(expected)
    if pixel_size == (1.0, 1.0):
        assert scores.boundary_error_px == pytest.approx(expected)


def test_the_edge_of_the_annotation_is_no_contour():
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:20, 10:20] = 2  # a stroke with nothing beside it
    labels[40:50, 40:50] = 1
    scores = score_image((labels == 2).astype(np.uint8), labels, unlabelled="ignore")
    assert scores.dice == 1
    assert scores.boundary_error_px is None


def test_mean_and_spread_over_images(masks):
    prediction, labels = masks
    table = score_images([Pair("a", prediction, labels), Pair("b", labels, labels)])
    first = score_image(prediction, labels)
    assert table.mean.dice == pytest.approx((first.dice + 1) / 2)
    assert table.spread.dice == pytest.approx((1 - first.dice) / 2)
    assert table.mean.boundary_error_px == pytest.approx(first.boundary_error_px / 2)
    written = table.to_dict()
    assert written["dice"] == table.mean.dice
    assert [image["name"] for image in written["images"]] == ["a", "b"]
    assert written["images"][1]["iou"] == 1


@pytest.mark.parametrize(
    ("prediction", "labels", "message"),
    [
        (np.zeros((5, 7), int), np.zeros((7, 5), int), r"5 x 7 px but its labels are 7 x 5 px"),
        (np.zeros((5, 7)), np.zeros((5, 7), int), r"float64 values: labels are whole numbers"),
        (np.zeros((2, 5, 7), int), np.zeros((2, 5, 7), int), r"3 axes"),
        (np.zeros((5, 7), int), np.full((5, 7), -1), r"no annotated pixel"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(prediction, labels, message):
    with pytest.raises(ValueError, match=message):
        score_images([Pair("gold", prediction, labels)])


def test_nothing_to_score():
    with pytest.raises(ValueError, match="no prediction"):
        score_images([])
