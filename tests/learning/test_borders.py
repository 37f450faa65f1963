"""Borders settle where grey level shows the classes, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, gaussian_filter

from napari_tem_rf.learning import beginning
from napari_tem_rf.learning.beginning import settle_borders, with_settled
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.prediction import Prediction
from napari_tem_rf.learning.training import train
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.micrographs.cleaning import standardise
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport, TrainingPlan

SPEC = NetworkSpec(pools=(2,), filters=3)
SHAPE = (211, 239)


def dark_discs(contrast):
    """Return pixels and truth of three discs of about 40 px radius, soft at their borders."""
    rows, columns = np.indices(SHAPE)
    truth = np.zeros(SHAPE, bool)
    for row, column, radius in ((55, 60, 41), (150, 120, 43), (60, 190, 37)):
        truth |= (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    noise = np.random.default_rng(752).standard_normal(SHAPE)
    pixels = noise - contrast * gaussian_filter(truth.astype(float), 2.0)
    return standardise(pixels), truth


def strokes_of(pixels, truth):
    labels = np.full(SHAPE, -1, np.int16)
    labels[53:57, 40:80] = 1
    labels[100:104, 10:60] = 0
    assert truth[labels == 1].all()
    assert not truth[labels == 0].any()
    image = AnnotatedImage("discs", pixels, labels, "discs")
    return TrainingSet((image,), Classes((1, 2), ("background", "disc")))


@pytest.fixture
def too_small(monkeypatch):
    """Return a function that makes every prediction that of particles 3 px too small."""

    def predicts(truth):
        eroded = binary_erosion(truth, iterations=3)

        def prediction(network, pixels):
            return Prediction(eroded[: pixels.shape[0], : pixels.shape[1]].astype(np.uint8), None)

        monkeypatch.setattr(beginning, "predict_fitting", prediction)
        return eroded

    return predicts


def test_borders_move_to_where_the_grey_level_changes(too_small):
    pixels, truth = dark_discs(contrast=4.0)
    before = dice(too_small(truth), truth)
    data = strokes_of(pixels, truth)
    labels = with_settled(data, settle_borders(random_network(SPEC, 1), data, 1)).images[0].labels
    assert before < 0.94
    assert dice(labels == 1, truth) > 0.97
    drawn = data.images[0].labels >= 0
    np.testing.assert_array_equal(labels[drawn], data.images[0].labels[drawn])


def test_without_contrast_nothing_is_settled(too_small):
    pixels, truth = dark_discs(contrast=0.0)
    too_small(truth)
    assert not len(settle_borders(random_network(SPEC, 1), strokes_of(pixels, truth), 1))


def test_a_prediction_of_one_class_has_no_border(too_small):
    pixels, truth = dark_discs(contrast=4.0)
    too_small(np.zeros_like(truth))
    data = strokes_of(pixels, truth)
    only = replace(data.images[0], labels=np.where(data.images[0].labels == 0, 0, -1))
    assert not len(settle_borders(random_network(SPEC, 1), replace(data, images=(only,)), 1))


def test_the_same_seed_settles_the_same_borders_on_any_number_of_threads(too_small):
    pixels, truth = dark_discs(contrast=4.0)
    too_small(truth)
    data = strokes_of(pixels, truth)
    settled = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        settled.append(settle_borders(random_network(SPEC, 1), data, 7))
    first, second = settled
    assert len(first)
    for ours, theirs in zip(first, second, strict=True):
        assert torch.equal(ours.starts, theirs.starts)
        assert torch.equal(ours.labels, theirs.labels)


def test_only_blocks_with_the_most_strokes_are_settled(monkeypatch):
    monkeypatch.setattr(beginning, "BLOCK_PX", 100)
    monkeypatch.setattr(beginning, "MOST_BLOCKS", 2)
    labels = np.full(SHAPE, -1, np.int16)
    labels[10, 10:20] = 0  # 10 px in the first block
    labels[150, 110:150] = 1  # 40 px
    labels[205, 210:235] = 0  # 25 px in the last one, which is 11 x 39 px
    image = AnnotatedImage("image", np.zeros(SHAPE, np.float32), labels, "image")
    data = TrainingSet((image,), Classes((1, 2), ("background", "disc")))
    found = list(beginning._blocks(data))
    assert found == [
        (0, (slice(100, 200), slice(100, 200))),
        (0, (slice(200, 211), slice(200, 239))),
    ]


@pytest.mark.parametrize("window", [(slice(0, 96), slice(0, 96)), (slice(96, 192), slice(96, 239))])
def test_a_block_sees_what_the_whole_image_shows(window):
    pixels, truth = dark_discs(contrast=4.0)
    data = strokes_of(pixels, truth)
    network = accelerated(random_network(SPEC, 3)).folded()
    whole = tuple(slice(0, length) for length in SHAPE)
    classes, features = beginning._seen(network, data.images[0], whole)
    part, seen = beginning._seen(network, data.images[0], window)
    np.testing.assert_array_equal(part, classes[window])
    features = features.reshape(*SHAPE, -1)[window]
    np.testing.assert_allclose(seen.reshape(features.shape), features, atol=1e-4)


def test_depth_is_the_way_to_the_next_class():
    classes = np.zeros((7, 11), np.uint8)
    classes[:, 5:] = 2
    expected = np.tile([5, 4, 3, 2, 1, 1, 2, 3, 4, 5, 6], (7, 1))
    np.testing.assert_array_equal(beginning._depth(classes), expected)


def test_settled_rows_lie_where_their_block_does(disc_set):
    """Counted by hand: rows 3 to 5 and columns 20 to 23 of the second image of 131 x 149 px."""
    data = disc_set(images=3, strokes=True)
    labels = torch.arange(8, dtype=torch.int16).reshape(2, 4)
    starts = torch.tensor([131 * 149 + 3 * 149 + 20, 131 * 149 + 4 * 149 + 20])
    found = with_settled(data, (beginning.SettledRows(starts, labels),))
    expected = [image.labels.copy() for image in data.images]
    expected[1][3:5, 20:24] = [[0, 1, 2, 3], [4, 5, 6, 7]]
    for image, wanted in zip(found.images, expected, strict=True):
        assert image.labels.dtype == np.int16
        np.testing.assert_array_equal(image.labels, wanted)


def test_a_training_goes_on_with_its_settled_borders(too_small, monkeypatch):
    pixels, truth = dark_discs(contrast=4.0)
    too_small(truth)
    data = strokes_of(pixels, truth)
    weights = {name: w.numpy() for name, w in random_network(SPEC, 2).state_dict().items()}
    start = {name: value for name, value in weights.items() if not name.startswith("head.")}
    plan = TrainingPlan(epochs=None, steps=4, batch=2, crop_px=32, device="cpu", validation=0)
    empty = replace(data, images=())

    def run(**options):
        reports, states = [], []
        steps = train(data, empty, SPEC, plan, gentle=True, save=states.append, **options)
        while True:
            try:
                reports.append(next(steps))
            except StopIteration as end:
                return end.value.network.state_dict(), reports, states

    whole, reports, states = run(start=start)
    notes = [each.sentence for each in reports if isinstance(each, NoteReport)]
    assert any("borders" in note for note in notes)
    asked = []

    def after_two():
        asked.append(1)
        return len(asked) > 2

    _, _, states = run(start=start, stopped=after_two)
    assert states[-1].steps == 2
    monkeypatch.setattr(beginning, "predict_fitting", None)  # nothing is settled a second time
    parts, _, _ = run(state=states[-1])
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    _, reports, _ = run(start=weights)  # what a run has learned before is corrected by strokes
    assert not [each for each in reports if isinstance(each, NoteReport)]
