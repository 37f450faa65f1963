"""Crops show the image as it is, and count only what they show whole."""

import threading
from dataclasses import replace
from itertools import chain, islice

import numpy as np
import pytest

from napari_tem_rf.learning import crops
from napari_tem_rf.learning.crops import (
    CropGeometry,
    CropSampler,
    ahead,
    augment,
    cut,
    turn,
    vary_grey_levels,
)
from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan, sytwu2022

SPEC = NetworkSpec(pools=(4, 2), filters=2)
PLAN = TrainingPlan(crop_px=64, batch=5, augmentation="none")


def numbered(shape, labels=None, name="numbered", group=""):
    """Return an image whose pixels say where they are: 1000 row + column, all annotated."""
    rows, columns = np.indices(shape)
    pixels = (1000 * rows + columns).astype(np.float32)
    if labels is None:
        labels = ((rows // 7 + columns // 11) % 2).astype(np.int16)
    return AnnotatedImage(name, pixels, labels.astype(np.int16), group or name)


def set_of(*images, classes=2):
    names = tuple(f"class {index}" for index in range(classes))
    return TrainingSet(tuple(images), Classes(tuple(range(classes)), names))


def sampler_of(data, plan=PLAN, spec=SPEC, seed=752):
    return CropSampler(data, spec, plan, np.random.default_rng(seed))


def some(sampler, number=20):
    return list(islice(sampler.epoch(), number))


def places(crop):
    """Return (row, column) of each pixel of a crop of a numbered image."""
    return divmod(crop.astype(int), 1000)


def test_context_is_the_halo_but_at_most_an_eighth_of_the_crop():
    images = (numbered((431, 449)),)
    # by hand for pools 4,2: pixel 0 asks for -1 of level 2, -2 of the bottleneck, which there
    # sees -4, that is -10 of level 2 and -42 of the image: 42 rounded up to the period of 8
    wide = CropGeometry.of(SPEC, replace(PLAN, crop_px=400), images)
    assert (wide.rows, wide.columns, wide.context) == (400, 400, 48)
    narrow = CropGeometry.of(SPEC, PLAN, images)
    assert (narrow.rows, narrow.columns, narrow.context) == (64, 64, 8)
    careless = CropGeometry.of(SPEC, replace(PLAN, true_context=False), images)
    assert careless.context == 0


@pytest.mark.parametrize("context", [1, 8, 16])
def test_counted_pixels_keep_away_from_every_cut_edge(context):
    image, geometry = numbered((131, 149)), CropGeometry(64, 56, context)
    for row, column in [(0, 0), (0, 93), (67, 0), (67, 93), (33, 41), (1, 92), (66, 1)]:
        pixels, labels = cut(image, row, column, geometry)
        rows, columns = places(pixels)
        counts = labels >= 0
        assert counts.any()
        for at, start, side, length in ((rows, row, 64, 131), (columns, column, 56, 149)):
            if start > 0:
                assert at[counts].min() == start + context
            else:
                assert at[counts].min() == 0  # the image's own border is true
            if start + side < length:
                assert at[counts].max() == start + side - 1 - context
            else:
                assert at[counts].max() == length - 1


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_all_drawn_crops_keep_the_context_and_their_labels(monkeypatch, share):
    """With every augmentation of position: none of the labels leaves its pixel.

    Those whose edges stand for the border of an image have no context at all.
    """
    monkeypatch.setattr(crops, "BORDER_CROPS", share)
    image, borders = numbered((131, 149)), []
    sampler = sampler_of(set_of(image), replace(PLAN, augmentation="dihedral", batch=9))
    context = sampler.geometry.context
    assert context == 8
    for batch in some(sampler):
        for crop, labels in zip(batch.images[:, 0], batch.labels, strict=True):
            rows, columns = places(crop)
            counts = labels >= 0
            np.testing.assert_array_equal(
                labels[counts], image.labels[rows[counts], columns[counts]]
            )
            borders.append(bool(counts.all()))
            for at, length in ((rows, 131), (columns, 149)):
                first, last = at.min(), at.max()
                kept = 0 if borders[-1] else context
                assert at[counts].min() == first + (kept if first > 0 else 0)
                assert at[counts].max() == last - (kept if last < length - 1 else 0)
            # a crop is one piece of the image: each pixel once
            assert len(np.unique(crop)) == 64 * 64
    assert abs(np.mean(borders) - share) <= 4 * np.sqrt(share * (1 - share) / len(borders))


def test_every_pixel_of_the_image_comes_to_count():
    image = numbered((83, 97))
    seen = np.zeros((83, 97), int)
    for batch in some(sampler_of(set_of(image)), 25):
        for crop, labels in zip(batch.images[:, 0], batch.labels, strict=True):
            rows, columns = places(crop[labels >= 0])
            seen[rows, columns] += 1
    assert seen.min() > 0


def test_crops_start_at_every_phase_of_the_period():
    """Otherwise the network would learn particles at some positions of its pools only."""
    sampler = sampler_of(set_of(numbered((257, 263))))
    starts = {
        (int(row) % 8, int(column) % 8)
        for batch in chain.from_iterable(sampler.epoch() for _ in range(8))
        for row, column in (places(crop[0, 0]) for crop in batch.images[:, 0])
    }
    assert len(starts) == 64


def test_the_drawn_pixel_counts_wherever_it_is():
    """A single annotated pixel must be in every crop, even in a corner or near an edge."""
    for at in [(0, 0), (130, 148), (0, 148), (65, 74), (63, 3), (124, 20), (7, 8), (130, 70)]:
        labels = np.full((131, 149), -1, np.int16)
        labels[at] = 1
        for batch in some(sampler_of(set_of(numbered((131, 149), labels))), 4):
            counts = batch.labels >= 0
            assert (counts.sum((1, 2)) == 1).all()
            assert (batch.images[:, 0][counts] == 1000 * at[0] + at[1]).all()


@pytest.mark.parametrize("shape", [(13, 61), (5, 3), (61, 200)])
def test_image_smaller_than_the_crop_is_filled_and_not_counted_beyond(shape):
    image = numbered(shape)
    sampler = sampler_of(set_of(image), replace(PLAN, crop_px=96))
    rows, columns = (-(-min(96, length) // 8) * 8 for length in shape)
    batch = some(sampler, 1)[0]
    assert batch.images.shape == (5, 1, rows, columns)
    if shape[1] <= 96:
        inside = (slice(None), slice(0, shape[0]), slice(0, shape[1]))
        assert (batch.labels[inside] == image.labels).all()
        assert (batch.images[:, 0][inside] == image.pixels).all()
        beyond = batch.labels.copy()
        beyond[inside] = -1
        assert (beyond == -1).all()


def test_images_of_several_sizes_share_a_batch():
    data = set_of(
        numbered((131, 149)), numbered((29, 211), name="long"), numbered((97, 13), name="tall")
    )
    for batch in some(sampler_of(data), 5):
        assert batch.images.shape == (5, 1, 64, 64)
        assert (batch.labels >= 0).any((1, 2)).all()


def test_types_and_layout_are_what_torch_takes():
    for augmentation in ("none", "dihedral", "full"):
        batch = some(
            sampler_of(set_of(numbered((83, 97))), replace(PLAN, augmentation=augmentation)), 1
        )[0]
        assert (batch.images.dtype, batch.labels.dtype) == (np.float32, np.int64)
        assert batch.images.shape == (5, 1, 64, 64)
        assert batch.labels.shape == (5, 64, 64)
        assert batch.images.flags.c_contiguous
        assert batch.labels.flags.c_contiguous


def test_a_rare_class_is_in_every_third_crop():
    """Half of the crops visit the classes in turn: of three classes each in a sixth or more."""
    labels = np.zeros((401, 409), np.int16)
    labels[200:206, 100:106] = 2
    labels[:, 380:] = 1
    data = set_of(numbered((401, 409), labels), classes=3)
    crops = [
        each
        for batch in some(sampler_of(data, replace(PLAN, batch=20)), 25)
        for each in batch.labels
    ]
    assert len(crops) == 500
    share = np.mean([(each == 2).any() for each in crops])
    by_area = (64 + 6) ** 2 / (401 * 409)
    assert by_area < 0.04
    assert 0.12 < share < 0.3


def test_images_are_drawn_by_their_annotated_pixels():
    few = np.full((131, 149), -1, np.int16)
    few[10:12, 10:20], few[20:22, 10:20] = 0, 1
    data = set_of(numbered((131, 149)), replace(numbered((131, 149), few), name="few"))
    batches = some(sampler_of(data, replace(PLAN, batch=20)), 20)
    counts = np.concatenate([(b.labels >= 0).sum((1, 2)) for b in batches])
    share = np.mean(counts <= 40)
    # by area 0.2 % of one half, by class half of the other: an image of few strokes is not lost
    assert 0.15 < share < 0.35


def test_images_without_annotation_are_never_drawn():
    empty = numbered((131, 149), np.full((131, 149), -1))
    for batch in some(sampler_of(set_of(empty, numbered((131, 149)))), 10):
        assert (batch.labels >= 0).any((1, 2)).all()


def test_the_eight_symmetries_are_those_of_the_square():
    square = np.arange(9).reshape(3, 3)
    turned = {turn(square, index).tobytes() for index in range(8)}
    by_hand = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8],
        [2, 5, 8, 1, 4, 7, 0, 3, 6],
        [8, 7, 6, 5, 4, 3, 2, 1, 0],
        [6, 3, 0, 7, 4, 1, 8, 5, 2],
        [2, 1, 0, 5, 4, 3, 8, 7, 6],
        [8, 5, 2, 7, 4, 1, 6, 3, 0],
        [6, 7, 8, 3, 4, 5, 0, 1, 2],
        [0, 3, 6, 1, 4, 7, 2, 5, 8],
    ]
    assert turned == {np.array(each).tobytes() for each in by_hand}


def test_augmentation_draws_all_symmetries_and_turns_labels_along():
    pixels = np.arange(64, dtype=np.float32).reshape(8, 8)
    rng = np.random.default_rng(2245)
    drawn = set()
    for _ in range(200):
        turned, labels = augment(pixels, pixels.astype(np.int16), "dihedral", rng)
        np.testing.assert_array_equal(turned, labels)
        drawn.add(turned.tobytes())
    assert drawn == {turn(pixels, index).tobytes() for index in range(8)}


def test_crops_that_are_not_square_keep_their_shape():
    pixels = np.arange(48, dtype=np.float32).reshape(6, 8)
    rng = np.random.default_rng(2245)
    drawn = {
        augment(pixels, pixels.astype(np.int16), "dihedral", rng)[0].tobytes() for _ in range(99)
    }
    flips = [pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1]]
    assert drawn == {np.ascontiguousarray(each).tobytes() for each in flips}


def test_full_augmentation_changes_grey_values_and_no_labels():
    image = numbered((131, 149))
    image = replace(
        image, pixels=np.random.default_rng(0).standard_normal((131, 149)).astype(np.float32)
    )
    rng = np.random.default_rng(956)
    means, spreads = [], []
    for _ in range(200):
        pixels, labels = augment(image.pixels, image.labels, "full", rng)
        assert np.isfinite(pixels).all()
        assert np.count_nonzero(labels) == np.count_nonzero(image.labels)
        means.append(pixels.mean())
        spreads.append(pixels.std())
    assert 0.05 < np.std(means) < 0.4
    assert 0.5 < np.median(spreads) < 1.5


@pytest.mark.parametrize(
    "plan", [PLAN, replace(PLAN, augmentation="full"), sytwu2022(crop_px=64, batch=5)]
)
def test_same_seed_same_batches_and_a_state_goes_on(plan):
    data = set_of(numbered((131, 149)), numbered((83, 97), name="second"))
    first, second = sampler_of(data, plan), sampler_of(data, plan)
    for a, b in zip(some(first, 4), some(second, 4), strict=True):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
    state = first.rng.bit_generator.state
    later = sampler_of(data, plan, seed=0)
    later.rng.bit_generator.state = state
    for a, b in zip(some(first, 3), some(later, 3), strict=True):
        np.testing.assert_array_equal(a.images, b.images)
    other = some(sampler_of(data, plan, seed=2245), 1)[0]
    assert not np.array_equal(other.images, some(second, 1)[0].images)


def test_the_training_set_stays_as_it_was():
    image = numbered((131, 149))
    pixels, labels = image.pixels.copy(), image.labels.copy()
    some(sampler_of(set_of(image), replace(PLAN, augmentation="full")), 10)
    np.testing.assert_array_equal(image.pixels, pixels)
    np.testing.assert_array_equal(image.labels, labels)


def paper_data(particle_px):
    """Return a set of one image of 2 x 3 patches of 64 px, particles in each as counted."""
    labels = np.zeros((128, 192), np.int16)
    for number, count in enumerate(particle_px):
        row, column = divmod(number, 3)
        patch = labels[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        flat = np.zeros(64 * 64, np.int16)
        flat[:count] = 1
        patch[...] = flat.reshape(64, 64)
    return set_of(numbered((128, 192), labels))


def test_paper_patches_drop_those_of_at_most_400_particle_px():
    plan = sytwu2022(crop_px=64, batch=32)
    sampler = sampler_of(paper_data([0, 400, 401, 399, 2000, 4096]), plan)
    assert sampler.grid == [(0, 0, 128), (0, 64, 64), (0, 64, 128)]
    assert sampler.steps_per_epoch == 1  # 3 patches in 8 copies, batches of 32


def test_a_paper_epoch_shows_every_patch_in_all_8_copies_once():
    plan = sytwu2022(crop_px=64, batch=10)
    data = paper_data([0, 1000, 900, 0, 2000, 0])
    sampler = sampler_of(data, plan)
    batches = list(sampler.epoch())
    assert [len(batch.images) for batch in batches] == [10, 10, 4]
    assert sampler.steps_per_epoch == 3
    shown = {crop.tobytes() for batch in batches for crop in batch.images[:, 0]}
    expected = {
        np.ascontiguousarray(turn(data.images[0].pixels[r : r + 64, c : c + 64], s)).tobytes()
        for r, c in [(0, 64), (0, 128), (64, 64)]
        for s in range(8)
    }
    assert shown == expected
    for batch in batches:
        for crop, labels in zip(batch.images[:, 0], batch.labels, strict=True):
            rows, columns = places(crop)
            np.testing.assert_array_equal(labels, data.images[0].labels[rows, columns])


@pytest.mark.parametrize("shape", [(131, 149), (61, 200), (90, 33)])
def test_paper_patches_of_images_smaller_than_a_patch(shape):
    """A patch is square, so that it has 8 symmetries; beyond the image nothing counts."""
    data = set_of(numbered(shape, np.ones(shape)))
    batches = list(sampler_of(data, sytwu2022(crop_px=512)).epoch())
    for batch in batches:
        assert batch.images.shape[2] == batch.images.shape[3]
        assert ((batch.labels >= 0).sum((1, 2)) == shape[0] * shape[1]).all()


def test_batches_drawn_ahead_are_the_same_and_so_is_what_is_drawn_after_them():
    data = set_of(numbered((200, 180)), numbered((90, 300), name="wide"))
    plain, early = sampler_of(data), sampler_of(data)
    for _ in range(2):
        for one, other in zip(plain.epoch(), ahead(early.epoch()), strict=True):
            assert np.array_equal(one.images, other.images)
            assert np.array_equal(one.labels, other.labels)
    assert plain.rng.bit_generator.state == early.rng.bit_generator.state


def test_drawing_ahead_is_one_batch_early_and_ends_with_who_asked():
    drawn = []

    def batches():
        for number in range(10):
            drawn.append((number, threading.current_thread().name))
            yield number

    for number in ahead(batches()):
        if number == 3:
            break
    threads = {name for _, name in drawn}
    assert [number for number, _ in drawn] in ([0, 1, 2, 3], [0, 1, 2, 3, 4])
    assert threading.current_thread().name not in threads
    assert not threads & {each.name for each in threading.enumerate()}


def test_what_goes_wrong_while_drawing_ahead_reaches_who_asked():
    def batches():
        yield "first"
        raise ValueError("no pixel is annotated")

    coming = ahead(batches())
    assert next(coming) == "first"
    with pytest.raises(ValueError, match="no pixel is annotated"):
        next(coming)


def test_varied_grey_levels_leave_the_lattice_and_turn_what_is_dark():
    """Amplitudes by lock-in detection with the known wave, away from the crop's edges."""
    rng = np.random.default_rng(5)
    columns = np.arange(192)
    lattice, slow = np.cos(2 * np.pi * columns / 6), np.cos(2 * np.pi * columns / 192)
    crop = np.tile(lattice + slow, (96, 1)).astype(np.float32)
    inside = slice(48, 144)  # sixteen periods of the lattice

    def amplitude(pixels, wave):
        return (pixels[:, inside] @ wave[inside]).mean() / (wave[inside] ** 2).sum()

    varied = [vary_grey_levels(crop, rng) for _ in range(400)]
    fast = np.array([amplitude(pixels, lattice) for pixels in varied])
    dark = np.array([amplitude(pixels, slow) for pixels in varied])
    assert np.abs(fast - 1).max() < 0.35  # the gentlest filter begins at 3 px
    untouched = np.array([np.array_equal(pixels, crop) for pixels in varied])
    assert 0.4 < untouched.mean() < 0.6
    assert dark.min() < -0.8
    # the others lie evenly between -1 and 1: quartiles -0.5, 0 and 0.5
    np.testing.assert_allclose(
        np.quantile(dark[~untouched], [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.2
    )


def test_a_plan_that_keeps_grey_levels_draws_what_it_always_drew():
    """Runs of before are resumed number for number."""
    image = numbered((83, 97))
    kept, auto = (
        some(sampler_of(set_of(image), replace(PLAN, augmentation="full", grey_levels=how)), 3)
        for how in ("kept", "auto")
    )
    for one, other in zip(kept, auto, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
