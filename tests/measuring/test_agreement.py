"""Predictions and labels that are not written alike: treated right and said, never scored 0."""

import time
import tracemalloc

import numpy as np
import pytest
from skimage.measure import label as skimage_label

from napari_tem_rf.measuring.agreement import find_agreement
from napari_tem_rf.measuring.scores import Pair, score_image, score_images

ROWS, COLUMNS = 7, 9


def numbered(rows=ROWS, columns=COLUMNS, cell=17):
    """Return rows x columns particles of 11 x 12 px with a number each."""
    labels = np.zeros((rows * cell, columns * cell), np.uint16)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        labels[row * cell + 2 : row * cell + 13, column * cell + 3 : column * cell + 15] = (
            number + 1
        )
    return labels


TRUTH = numbered()
MASK = (TRUTH > 0).astype(np.uint8)
SHIFTED = np.roll(TRUTH, 2, axis=1)


@pytest.mark.parametrize(("prediction", "labels"), [(MASK, TRUTH), (TRUTH, MASK), (TRUTH, TRUTH)])
def test_numbers_beside_a_mask_are_particles_and_said(prediction, labels):
    table = score_images([Pair("a", prediction, labels)])
    assert (table.mean.dice, table.mean.iou, table.mean.object_f1) == (1, 1, 1)
    assert any("63 values: more than 16 are particles" in note for note in table.notes)
    assert score_image(prediction, labels) == table.images[0]


def test_numbering_in_another_order_does_not_matter():
    other = np.random.default_rng(752).permutation(np.arange(1, 64))
    renumbered = np.concatenate([[0], other])[TRUTH].astype(np.uint16)
    assert score_image(renumbered, TRUTH).object_f1 == 1
    assert score_image(renumbered, TRUTH).dice == 1


def test_scores_of_numbers_are_those_of_their_masks_and_particles():
    """By hand: a shift of 2 of 12 columns leaves 10/14 of each particle, so that all match."""
    scores = score_image(SHIFTED, TRUTH)
    both, one, other = ((SHIFTED > 0) & MASK > 0).sum(), (SHIFTED > 0).sum(), MASK.sum()
    assert scores.iou == pytest.approx(both / (one + other - both))
    assert scores.object_f1 == 1
    # touching particles: one connected blob, but numbers tell them apart
    touching = np.zeros((40, 60), np.uint16)
    for number in range(20):
        touching[5:15, number * 3 : number * 3 + 3] = number + 1
    blob = (touching > 0).astype(np.uint8)
    assert skimage_label(blob).max() == 1
    assert score_image(touching, touching).object_f1 == 1
    assert score_image(blob, touching).object_f1 == 0
    assert score_image(blob, touching).dice == 1


@pytest.mark.parametrize("turned", [False, True])
def test_labels_whose_background_is_1(turned):
    sides = (MASK, MASK + np.uint8(1))
    pair = Pair("a", *(reversed(sides) if turned else sides))
    table = score_images([pair])
    assert table.mean.dice == 1
    assert table.mean.object_f1 == 1
    assert "so that 1 is taken as background" in table.notes[0]


def few(count):
    """Return particles with the numbers 1 to ``count``."""
    return np.where(count >= TRUTH, TRUTH, 0)


@pytest.mark.parametrize("count", [2, 5, 16])
def test_few_numbers_beside_a_mask_are_recognised_by_their_places(count):
    truth = few(count)
    table = score_images([Pair("a", (truth > 0).astype(np.uint8), truth)])
    assert table.mean.dice == 1
    assert any("each value in one place" in note for note in table.notes)


def test_a_class_that_one_side_lacks_is_said():
    classes = np.where(TRUTH > 0, TRUTH % 2 + 1, 0)
    table = score_images([Pair("a", np.where(classes == 2, 0, classes), classes)])
    # class 1 right, class 2 missed: smooth = 1 leaves 1 / (pixels + 1)
    assert table.mean.dice == pytest.approx((1 + 1 / ((classes == 2).sum() + 1)) / 2)
    assert "the labels hold 2, which the masks do not" in table.notes[0]
    assert score_images([Pair("a", classes, classes)]).notes == ()


def test_strokes_read_as_a_mask_are_said():
    strokes = np.zeros((40, 50), np.uint8)
    strokes[3:5, 2:40], strokes[20:22, 5:9], strokes[30:32, 5:9] = 1, 2, 2
    strokes[10:12, 3:30] = 1
    prediction = np.where(strokes == 2, 2, 0)
    table = score_images([Pair("a", prediction, strokes)])
    assert any("say --unlabelled ignore" in note for note in table.notes)
    assert score_images([Pair("a", prediction, strokes)], unlabelled="ignore").mean.dice == 1


def test_meanings_are_found_over_all_images():
    first, second = few(5), np.where(TRUTH > 40, TRUTH, 0)
    pairs = [Pair("a", (each > 0).astype(np.uint8), each) for each in (first, second)]
    agreement = find_agreement(pairs)
    assert agreement.labels.numbered
    assert score_images(pairs).mean.dice == 1


def test_many_numbers_take_no_time_and_memory_for_each():
    """506 particles of 2048 x 2048 took 230 s and 4.4 GB when each was scored as a class."""
    truth = numbered(22, 23, 44)
    prediction = np.roll(truth, 1, axis=0)
    begun = time.process_time()
    tracemalloc.start()
    scores = score_image(prediction, truth)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scores.object_f1 == 1
    # a table of 506 x 506 boolean images would be 500 bytes a pixel
    assert peak < 150 * truth.size
    assert time.process_time() - begun < 30


def test_as_many_numbers_on_both_sides_are_still_numbers():
    """Five particles, numbered from the other end: by value nothing would agree."""
    few = np.where(TRUTH <= 5, TRUTH, 0)
    other = np.where(few > 0, 6 - few, 0)
    scores = score_image(other, few)
    assert (scores.dice, scores.object_f1) == (1, 1)
    classes = np.where(TRUTH > 0, TRUTH % 3 + 1, 0)
    assert score_image(np.where(classes > 0, 4 - classes, 0), classes).dice < 0.5
