"""When a training varies the grey level of particles."""

from dataclasses import replace

import numpy as np
import pytest

from napari_tem_rf.jobs.grey_levels import settle_grey_levels
from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.protocol import TrainingPlan, sytwu2022

PLAN = TrainingPlan()


def image(lattice: float, contrast: float, seed: int = 0, side: int = 256) -> AnnotatedImage:
    """A disc with lattice planes 6 px apart and some mean grey level, in noise of 1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2
    pixels = rng.normal(size=(side, side))
    pixels += disc * (contrast + lattice * np.cos(2 * np.pi * (rows + columns) / 6))
    return AnnotatedImage(f"{seed}", pixels.astype(np.float32), disc.astype(np.int16), f"{seed}")


def data(*images: AnnotatedImage) -> TrainingSet:
    return TrainingSet(images, Classes((0, 1), ("background", "particle")))


@pytest.mark.parametrize(
    ("lattice", "contrast", "expected"),
    [(1.0, 0.2, "varied"), (0.0, 0.2, "kept"), (1.0, 1.0, "kept"), (0.0, 3.0, "kept")],
)
def test_varied_where_a_lattice_shows_what_grey_level_does_not(
    lattice: float, contrast: float, expected: str
) -> None:
    plan, why = settle_grey_levels(PLAN, data(*(image(lattice, contrast, n) for n in range(3))))
    assert plan == replace(PLAN, grey_levels=expected)
    assert bool(why) == (expected == "varied")
    if why:
        assert "0.2 sigma" in why


def test_what_the_user_or_the_paper_says_stays() -> None:
    one = data(image(1.0, 0.1))
    for plan in (replace(PLAN, grey_levels="kept"), replace(PLAN, grey_levels="varied")):
        assert settle_grey_levels(plan, one) == (plan, "")
    assert settle_grey_levels(sytwu2022(), one)[0].grey_levels == "kept"


def test_one_image_of_three_with_a_lattice_is_too_few() -> None:
    images = image(1.0, 0.2), image(0.0, 0.2, 1), image(0.0, 0.2, 2)
    assert settle_grey_levels(PLAN, data(*images))[0].grey_levels == "kept"


@pytest.mark.parametrize("first", ["weak", "strong"])
def test_exposures_that_differ_in_contrast_keep_it_whatever_their_order(first: str) -> None:
    weak = [image(1.0, 0.2, n, 128) for n in range(12)]
    strong = [image(1.0, 1.5, n, 128) for n in range(8)]
    ordered = weak + strong if first == "weak" else strong + weak
    assert settle_grey_levels(PLAN, data(*ordered))[0].grey_levels == "kept"


def test_few_exposures_of_strong_contrast_are_no_reason_to_keep_it() -> None:
    images = [image(1.0, 1.5 if n == 5 else 0.2, n, 128) for n in range(12)]
    assert settle_grey_levels(PLAN, data(*images))[0].grey_levels == "varied"
