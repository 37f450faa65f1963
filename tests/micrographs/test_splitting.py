"""Training and validation share no exposure and no neighbourhood."""

from dataclasses import replace
from time import process_time

import numpy as np
import pytest

from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.micrographs.splitting import split


def image_of(labels, name="gold", group=""):
    labels = np.asarray(labels, np.int16)
    return AnnotatedImage(name, np.zeros(labels.shape, np.float32), labels, group or name)


def set_of(*images, classes=2):
    names = tuple(f"class {index}" for index in range(classes))
    return TrainingSet(tuple(images), Classes(tuple(range(classes)), names))


def mask(shape=(131, 149), seed=752, classes=2):
    """Return blobs of every class all over the image."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, tuple(-(-length // 9) for length in shape))
    return np.kron(coarse, np.ones((9, 9), int))[: shape[0], : shape[1]]


def strokes(shape=(131, 149), classes=2):
    labels = np.full(shape, -1)
    for number, row in enumerate(range(5, shape[0], 13)):
        labels[row : row + 3, 8:-8] = number % classes
    return labels


def exposures(number, per_group=3, classes=2):
    return [
        image_of(
            mask((31, 37), seed=10 * group + frame, classes=classes),
            f"{group}_{frame}",
            f"exposure {group}",
        )
        for group in range(number)
        for frame in range(per_group)
    ]


def annotated(data):
    return sum(int((image.labels >= 0).sum()) for image in data.images)


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.34, 0.5, 0.9])
@pytest.mark.parametrize("number", [3, 4, 10])
def test_groups_are_never_split(number, fraction):
    data = set_of(*exposures(number))
    parts = split(data, fraction, gap_px=1000, seed=752)
    assert parts.kind == "groups"
    inside = {image.group for image in parts.validation.images}
    outside = {image.group for image in parts.training.images}
    assert not inside & outside
    assert len(inside) == min(max(1, round(fraction * number)), number - 1)
    assert set(parts.held_out) == inside
    names = [image.name for part in (parts.training, parts.validation) for image in part.images]
    assert sorted(names) == sorted(image.name for image in data.images)


def test_the_draw_of_groups_hangs_on_the_seed_and_nothing_else():
    data = set_of(*exposures(10))
    reversed_ = replace(data, images=data.images[::-1])
    drawn = {split(data, 0.2, 8, seed).held_out for seed in range(20)}
    assert len(drawn) > 10
    for seed in range(5):
        assert split(data, 0.2, 8, seed).held_out == split(reversed_, 0.2, 8, seed).held_out


def test_every_class_is_on_both_sides_where_it_can_be():
    """Of six exposures only two hold the third class: each side must get one of them."""
    images = exposures(6, per_group=1, classes=2)
    rare = [replace(image, labels=np.where(image.pixels == 0, image.labels, 0)) for image in images]
    for index in (1, 4):
        rare[index].labels[5:9, 5:9] = 2
    data = set_of(*rare, classes=3)
    for seed in range(20):
        parts = split(data, 0.4, 8, seed)
        assert parts.training.counts().all()
        assert parts.validation.counts().all()


def test_no_class_is_taken_from_the_training():
    images = exposures(5, per_group=1)
    images[3].labels[2:5, 2:5] = 2
    data = set_of(*images, classes=3)
    for seed in range(20):
        parts = split(data, 0.2, 8, seed)
        assert parts.training.counts().all()
        assert parts.validation.counts()[:2].all()


def test_groups_that_cannot_be_split_are_said():
    """Each exposure holds a class that no other has."""
    images = [image_of(np.full((31, 37), index), f"gold {index}") for index in range(3)]
    parts = split(set_of(*images, classes=3), 0.3, 8, seed=752)
    assert parts.kind == "none"
    assert parts.held_out == ()
    assert parts.validation.images == ()
    assert len(parts.training.images) == 3
    assert parts.sentence == (
        "nothing is held out: for a score, paint every class in more of the 3 images or series, so "
        "that it is still learned when one of them is kept for the score"
    )


def test_images_without_annotation_are_no_groups():
    """They would be a validation of nothing."""
    empty = [image_of(np.full((31, 37), -1), f"empty {index}") for index in range(9)]
    data = set_of(*exposures(3, per_group=1), *empty)
    for seed in range(10):
        parts = split(data, 0.3, 8, seed)
        assert parts.kind == "groups"
        assert parts.sentence.startswith("1 of 3 groups held out: exposure ")
        assert all((image.labels >= 0).any() for image in parts.validation.images)
    assert split(set_of(image_of(mask()), *empty), 0.2, 5, 752).kind == "blocks"


def distance_to(pixels, block):
    """Return the distance along the longer axis of each of (row, column) to those of the block."""
    between = np.abs(pixels[:, None] - block[None]).max(-1)
    return between.min(1)


@pytest.mark.parametrize("labels", [mask((67, 71)), strokes((67, 71)), mask((67, 71), classes=3)])
@pytest.mark.parametrize("gap_px", [0, 1, 5, 11])
def test_no_training_pixel_is_within_the_gap_of_a_held_out_one(labels, gap_px):
    classes = int(labels.max()) + 1
    data = set_of(image_of(labels), classes=classes)
    parts = split(data, 0.2, gap_px, seed=752)
    assert parts.kind == "blocks"
    (training,), (validation,) = parts.training.images, parts.validation.images
    used, held = np.argwhere(training.labels >= 0), np.argwhere(validation.labels >= 0)
    assert distance_to(used, held).min() > gap_px
    for part in (training, validation):
        inside = part.labels >= 0
        np.testing.assert_array_equal(part.labels[inside], labels[inside])
        np.testing.assert_array_equal(np.unique(part.labels[inside]), np.arange(classes))
        assert part.pixels is data.images[0].pixels
    everything = (labels >= 0).sum()
    assert 0.05 * everything <= len(held) <= 0.6 * everything
    assert len(used) > everything / 3


def test_nothing_is_left_out_without_need():
    """With a mask and a gap of 0, training and validation together are the whole mask."""
    labels = mask()
    parts = split(set_of(image_of(labels)), 0.2, 0, seed=752)
    assert annotated(parts.training) + annotated(parts.validation) == labels.size


def test_the_sentence_names_the_block():
    labels = np.full((100, 60), -1)
    labels[:, 20:40] = 0
    labels[::2, 30:40] = 1
    parts = split(set_of(image_of(labels, "gold 7")), 0.2, 6, seed=752)
    (held,) = parts.validation.images
    rows = np.flatnonzero((held.labels >= 0).any(1))
    assert parts.held_out == (f"gold 7 rows {rows[0]} to {rows[-1]}, columns 0 to 59",)
    assert parts.sentence == (
        f"a block of each image held out, 6 px away from the training: {parts.held_out[0]}"
    )


def test_frames_of_one_exposure_lose_the_same_block():
    """They show the same particles: what one frame holds out must not be learnt from another."""
    frames = [image_of(mask(seed=seed), f"series[{seed}]", "series") for seed in range(8)]
    parts = split(set_of(*frames), 0.2, 7, seed=752)
    used = np.argwhere(np.any([image.labels >= 0 for image in parts.training.images], 0))
    held = np.argwhere(np.any([image.labels >= 0 for image in parts.validation.images], 0))
    assert len(parts.validation.images) == 8
    assert distance_to(used[::7], held[::7]).min() > 7
    assert len(parts.held_out) == 8
    assert parts.sentence.endswith("and 4 more")


def test_an_image_that_cannot_be_split_trains_whole():
    tiny = np.array([[0, 1, 1, 0]])
    parts = split(set_of(image_of(mask(), "large"), image_of(tiny, "tiny")), 0.2, 7, seed=752)
    assert [image.name for image in parts.training.images] == ["large", "tiny"]
    assert [image.name for image in parts.validation.images] == ["large"]


@pytest.mark.parametrize(
    ("labels", "gap_px"),
    [
        (mask(), 200),  # the gap is larger than the image
        (np.array([[0, 1]]), 0),
        (np.tril(np.ones((99, 99), int))[:1], 0),  # one row, one particle
    ],
)
def test_images_too_small_for_the_gap_are_said(labels, gap_px):
    parts = split(set_of(image_of(labels)), 0.2, gap_px, seed=752)
    assert parts.kind == "none"
    assert annotated(parts.training) == labels.size
    assert parts.sentence == (
        "nothing is held out: for a score, paint every class in three images"
        if gap_px
        else "nothing is held out: for a score, paint every class at two places of the image that "
        "are 1 px or more from each other, or paint every class in three images"
    )


def test_what_is_said_to_paint_can_be_held_out():
    """Strokes side by side cannot; the same at two places as far apart as is said can."""
    labels = np.full((101, 257), -1)
    labels[10:14, 10:40], labels[30:34, 10:40] = 0, 1
    parts = split(set_of(image_of(labels)), 0.2, 64, seed=752)
    assert parts.kind == "none"
    assert parts.sentence == (
        "nothing is held out: for a score, paint every class at two places of the image that are "
        "64 px or more from each other, or paint every class in three images"
    )
    labels[:, 217:247] = labels[:, 10:40]
    assert split(set_of(image_of(labels)), 0.2, 64, seed=752).kind == "blocks"


def test_nothing_is_held_out_when_nothing_is_asked_for():
    data = set_of(image_of(mask()))
    parts = split(data, 0.0, 8, seed=752)
    assert (parts.kind, parts.sentence) == ("none", "nothing is held out, as asked for")
    assert parts.validation.images == ()
    assert parts.validation.classes == data.classes


def test_the_annotation_stays_as_it_was():
    labels = mask()
    data = set_of(image_of(labels))
    before = data.images[0].labels.copy()
    split(data, 0.2, 9, seed=752)
    np.testing.assert_array_equal(data.images[0].labels, before)


def test_a_large_mask_is_split_at_once():
    data = set_of(image_of(mask((2039, 2053))))
    begun = process_time()
    assert split(data, 0.2, 64, seed=752).kind == "blocks"
    assert process_time() - begun < 3


def test_what_is_left_of_a_mask_is_no_strokes():
    """Most of it may be held out or lie in the gap; of strokes both parts stay strokes."""
    halves = split(set_of(image_of(mask())), 0.2, 60, 752)
    left = halves.training.images[0].labels
    assert (left >= 0).mean() < 0.5
    assert not halves.training.is_sparse
    assert not halves.validation.is_sparse
    drawn = split(set_of(image_of(strokes())), 0.2, 10, 752)
    assert drawn.training.is_sparse
    assert drawn.validation.is_sparse
