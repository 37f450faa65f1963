"""A seeded hand that draws so many strokes on the images of a set."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from napari_tem_rf.micrographs.annotation import LabelledImage

sys.path.insert(0, str(Path(__file__).parents[2] / "sample_data"))
from strokes import BACKGROUND, PARTICLE, longest_walk, paint_walk

WIDTHS_PX = (2.2, 3.6)
CLEARANCE_PX = {PARTICLE: 3.0, BACKGROUND: 5.0}
SMALLER_CLEARANCE_PX = {PARTICLE: 1.0, BACKGROUND: 2.0}
"""Where particles are so small that nothing lies further inside."""
FEWEST_PX = 300
PER_IMAGE = 8
"""Strokes on an image where there are images enough, half of them on particles."""


def with_strokes(
    images: tuple[LabelledImage, ...], number: int, seed: int
) -> tuple[LabelledImage, ...]:
    """Return images of different groups with so many strokes on all of them together.

    Labels are 0 not annotated, 1 background, 2 particle.
    """
    rng = np.random.default_rng([seed, number])
    order = [images[place] for place in rng.permutation(len(images))]
    order = [image for image in order if _room(image, PARTICLE).sum() > FEWEST_PX]
    first: dict[str, LabelledImage] = {}
    for image in order:
        first.setdefault(image.group, image)
    chosen = list(first.values())
    chosen += [image for image in order if image not in chosen]  # when groups are too few
    chosen = chosen[: max(1, number // PER_IMAGE)]
    each, more = divmod(number, len(chosen))
    return tuple(
        replace(image, labels=_drawn(image, each + (place < more), rng))
        for place, image in enumerate(chosen)
    )


def _room(image: LabelledImage, kind: int) -> np.ndarray:
    where = (image.labels > 0) == (kind == PARTICLE)
    depth = distance_transform_edt(where)
    room = depth > CLEARANCE_PX[kind]
    if room.sum() <= FEWEST_PX:
        room = depth > SMALLER_CLEARANCE_PX[kind]
    return room if image.counted is None else room & image.counted


def _drawn(image: LabelledImage, number: int, rng: np.random.Generator) -> np.ndarray:
    strokes = np.zeros(image.labels.shape, np.uint8)
    regions, _ = label(_room(image, PARTICLE))
    areas = np.bincount(regions.ravel())[1:]
    largest = [int(region) + 1 for region in np.argsort(-areas)[:6] if areas[region] > 20]
    particles = number // 2
    for place in range(particles):
        room = regions == largest[place % len(largest)] if largest else regions > 0
        paint_walk(strokes, longest_walk(room, rng, trials=6), rng.uniform(*WIDTHS_PX), PARTICLE)
    outer = _room(image, BACKGROUND)
    for _ in range(number - particles):
        paint_walk(strokes, longest_walk(outer, rng, trials=3), rng.uniform(*WIDTHS_PX), BACKGROUND)
    return strokes
