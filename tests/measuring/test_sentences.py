"""What is said of masks and measurements: the thing, the value seen, the rule and the remedy."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf.measuring.agreement import find_agreement
from napari_tem_rf.measuring.contrast import advice, amplitude_contrast, level_of
from napari_tem_rf.measuring.distributions import fit_distributions
from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing, finish, nm_sentence
from napari_tem_rf.measuring.finishing_suggestion import (
    CertaintyChoice,
    Suggestion,
    suggest_finishing,
)
from napari_tem_rf.measuring.instances import find_particles
from napari_tem_rf.measuring.lattice import Lattice, lattice_period
from napari_tem_rf.measuring.particle_lattice import lattice_columns
from napari_tem_rf.measuring.particles import Summary, measure_particles, summarise
from napari_tem_rf.measuring.populations import PopulationSettings, SurveyedFrame, population_of
from napari_tem_rf.measuring.scores import Pair, score_image, score_images
from napari_tem_rf.measuring.series import Finding

WHOLE = np.zeros((5, 7), np.uint8)
FRACTIONS = np.zeros((5, 7))
STACK = np.zeros((2, 5, 7), np.uint8)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: find_particles(FRACTIONS),
            "the mask holds float64 values: labels are whole numbers",
        ),
        (
            lambda: find_particles(STACK),
            "the mask has 3 axes: give one frame of (row, column) at a time",
        ),
        (
            lambda: find_particles(WHOLE, neck=1.01),
            "neck is 1.01: it must be from 0 (never split) to 1",
        ),
        (
            lambda: find_particles(WHOLE, neck=-0.01),
            "neck is -0.01: it must be from 0 (never split) to 1",
        ),
        (
            lambda: finish(FRACTIONS, Finishing(hole_px=3)),
            "the mask holds float64 values: labels are whole numbers",
        ),
        (
            lambda: measure_particles(FRACTIONS),
            "the instance labels holds float64 values: labels are whole numbers",
        ),
        (
            lambda: measure_particles(STACK),
            "the instance labels has 3 axes: give one frame of (row, column) at a time",
        ),
        (
            lambda: measure_particles(WHOLE, FRACTIONS.T),
            "the image is (7, 5) and the instance labels are (5, 7) (row, column): give the image "
            "they were made from",
        ),
        (
            lambda: measure_particles(WHOLE, mask=WHOLE[:3]),
            "the mask is (3, 7) and the instance labels are (5, 7) (row, column): give the mask "
            "they were made from",
        ),
        (
            lambda: lattice_columns(WHOLE, FRACTIONS[1:]),
            "the image is (4, 7) and the instance labels are (5, 7) (row, column): give the image "
            "they were made from",
        ),
        (
            lambda: lattice_columns(FRACTIONS, FRACTIONS),
            "the instance labels holds float64 values: labels are whole numbers",
        ),
        (
            lambda: lattice_period(STACK),
            "the image has 3 axes: give one frame of (row, column) at a time",
        ),
        (
            lambda: amplitude_contrast(FRACTIONS, FRACTIONS),
            "labels hold float64 values: labels are whole numbers",
        ),
        (
            lambda: amplitude_contrast(FRACTIONS, WHOLE[1:]),
            "the image is (5, 7) and its labels are (4, 7) (row, column): give labels of the "
            "image's own shape",
        ),
        (
            lambda: fit_distributions([0.0, *range(1, 9)]),
            "a size is 0: distributions of sizes are fitted to numbers above 0",
        ),
        (
            lambda: score_images([]),
            "there is no prediction to score: give at least one with its labels",
        ),
        (
            lambda: score_image(FRACTIONS, WHOLE, name="gold"),
            "the prediction of gold hold float64 values: labels are whole numbers; threshold "
            "probabilities first",
        ),
        (
            lambda: score_images([Pair("gold", WHOLE, FRACTIONS)]),
            'the labels of "gold" hold float64 values: labels are whole numbers; threshold '
            "probabilities first",
        ),
        (
            lambda: score_images([Pair("gold", WHOLE, STACK)], foreground=[1]),
            'the labels of "gold" have 3 axes: give one image of (row, column) at a time',
        ),
        (
            lambda: score_image(WHOLE, WHOLE.T),
            "the prediction of the image is 5 x 7 px but its labels are 7 x 5 px: give the labels "
            "of the same image",
        ),
        (
            lambda: score_images([Pair("gold", WHOLE, WHOLE)], unlabelled="ignore"),
            'the labels of "gold" have no annotated pixel: draw some, or read 0 as background',
        ),
        (
            lambda: population_of([]),
            "there is no frame: a population needs one image at least",
        ),
        (
            lambda: population_of([surveyed([3.0]), replace(surveyed([3.0]), pixel_size_nm=None)]),
            "some frames have a pixel size and others have none: nm and px do not go into one "
            "population; give all a pixel size",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_with_its_remedy(call, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        call()


@pytest.mark.parametrize(
    ("settings", "least", "most"),
    [
        ("smallest_px", 0, 2000),
        ("hole_px", 0, 2000),
        ("smoothing_px", 0, 50),
        ("certainty", 0.5, 0.99),
        ("level", 0.25, 0.75),
    ],
)
def test_finishing_is_within_bounds(settings, least, most):
    for value in (least, most):
        assert getattr(Finishing(**{settings: value}), settings) == value
    for value in (least - 0.01, most + 0.01):
        with pytest.raises(ValueError, match=rf"^{settings} is {value}"):
            Finishing(**{settings: value})


@pytest.mark.parametrize(("settings", "least", "most"), [("neck", 0, 1), ("smallest_px", 1, None)])
def test_finding_is_within_bounds(settings, least, most):
    for value in (least, most):
        if value is not None:
            assert getattr(Finding(**{settings: value}), settings) == value
    for value in (least - 1, None if most is None else most + 1):
        if value is not None:
            with pytest.raises(ValueError, match=rf"^{settings} is {value}"):
                Finding(**{settings: value})


# finishing


@pytest.mark.parametrize(
    ("finishing", "sentence"),
    [
        (UNFINISHED, "the mask stays as the network decided it"),
        (replace(UNFINISHED, orientations="eight"), "the mask stays as the network decided it"),
        (Finishing(orientations="two"), "averaged over two orientations of the image"),
        (Finishing(orientations="eight"), "averaged over the eight orientations of the image"),
        (
            Finishing(orientations="as time allows"),
            "averaged over as many orientations of the image as time allows",
        ),
        (Finishing(level=0.4), "pixels are of a particle from a probability of 40%"),
        (Finishing(smoothing_px=1.25), "outline smoothed by 1.25 px"),
        (Finishing(smallest_px=7.5), "particles below 7.5 px across left out"),
        (Finishing(certainty=0.7), "particles that the network is less than 70% sure of too"),
        (Finishing(hole_px=4), "holes below 4 px across filled"),
        (
            Finishing(smallest_px=6, hole_px=4),
            "particles below 6 px across left out, holes below 4 px across filled",
        ),
    ],
)
def test_how_a_mask_is_finished_in_words(finishing, sentence):
    assert finishing.sentence == sentence
    asked = finishing.orientations if finishing.enabled else "one"
    assert finishing.asks_for == asked
    said = finishing.to_dict()
    assert said.get("orientations", "one") == finishing.orientations
    assert ("orientations" in said) == (finishing.orientations != "one")


def test_lengths_in_nm_are_those_that_are_used():
    assert nm_sentence(Finishing(hole_px=10), (0.5, 0.5)) == "largest hole 5 nm"
    assert nm_sentence(Finishing(level=0.4), (0.5, 0.5)) == ""
    assert nm_sentence(UNFINISHED, (0.5, 0.5)) == ""


@pytest.mark.parametrize(
    ("finishing", "scaled"),
    [
        (Finishing(smallest_px=1500, hole_px=30, smoothing_px=4), (2000, 60, 8)),
        (Finishing(smallest_px=30, hole_px=1500, smoothing_px=40), (60, 2000, 50)),
    ],
)
def test_lengths_on_finer_pixels_stay_within_bounds(finishing, scaled):
    found = finishing.scaled(2)
    assert (found.smallest_px, found.hole_px, found.smoothing_px) == scaled
    assert finishing.scaled(1) is finishing


def squares(side, number, shape=(90, 150)):
    mask = np.zeros(shape, np.int16)
    for place in range(number):
        row, column = divmod(place, 7)
        mask[4 + 20 * row : 4 + 20 * row + side, 4 + 20 * column : 4 + 20 * column + side] = 1
    return mask


def test_why_a_finishing_is_suggested():
    """Circles of the areas of 12 x 12 and, with half of it, of the smallest: 13.5 and 9.6 px."""
    found = suggest_finishing([squares(12, 6)], 100)
    assert found.reason == (
        "of 6 whole particles in the annotation nearly all are wider than 13.5 px: half of that "
        "area is let pass"
    )
    assert (found.finishing.smallest_px, found.finishing.orientations) == (9.6, "as time allows")
    assert suggest_finishing([squares(12, 6)], 100, averaged=False).finishing.asks_for == "one"
    few = suggest_finishing([squares(12, 4)], 100)
    assert few.reason == (
        "no whole particle is annotated and no lattice is seen, so the receptive field of 100 px "
        "says it: details are not told apart below a twentieth of it"
    )
    assert few.finishing.smallest_px == few.finishing.hole_px == 5
    seen = suggest_finishing([squares(12, 4)], 100, lambda: 3.0)
    assert seen.reason == (
        "the lattice repeats every 3 px, and what is narrower than two of its periods shows no "
        "lattice"
    )
    assert (seen.finishing.smallest_px, seen.finishing.smoothing_px) == (6, 1.5)


@pytest.mark.parametrize(("field_px", "smallest_px"), [(20, 2), (44, 2.2), (100, 5), (1000, 5)])
def test_a_twentieth_of_the_field_is_between_2_and_5_px(field_px, smallest_px):
    assert suggest_finishing([], field_px).finishing.smallest_px == smallest_px


def test_holes_that_are_annotated_set_a_bound_of_their_own():
    """Holes of 5 x 5 px: circles 5.64 px across, and 4 px of half of that area."""
    mask = squares(15, 7, (60, 150))
    mask[mask.nonzero()] = 1
    for place in range(7):
        column = 4 + 20 * place + 5
        mask[9:14, column : column + 5] = 0
    found = suggest_finishing([mask], 100)
    assert found.finishing.hole_px == 4
    assert found.reason.endswith("is let pass, less for holes: 7 are annotated")


def test_why_a_certainty_is_suggested():
    first = Suggestion(Finishing(), "because")
    found = squares(12, 12).astype(np.uint8)
    likely = (0.8 * found)[None].astype(np.float32)
    seen = CertaintyChoice(first.finishing)
    seen.add(found, likely, squares(12, 12), held_out=False)
    # two fifths of the way from even odds to 80 %
    chosen = seen.choose(first)
    assert chosen.finishing.certainty == 0.62
    assert chosen.reason == "because; the network is 80% sure of annotated particles in the mean"
    held = CertaintyChoice(first.finishing)
    held.add(found, likely, squares(12, 12), held_out=True)
    assert held.choose(first).reason == (
        "because; with a least certainty of 62% the 12 held-out particles are found best"
    )


# agreement


def numbers(count):
    """Return that many particles with a number each."""
    labels = np.zeros((60, 120), np.int32)
    for number in range(count):
        row, column = divmod(number, 8)
        labels[3 + 14 * row : 11 + 14 * row, 3 + 14 * column : 11 + 14 * column] = number + 1
    return labels


AS_ONE = "all foreground is compared as one, and the numbers say which pixels are one particle"


@pytest.mark.parametrize(
    ("prediction", "labels", "foreground", "notes"),
    [
        (numbers(9) > 0, numbers(9) > 0, (), ()),
        (
            numbers(20) > 0,
            numbers(20),
            (),
            (
                "the labels hold 20 values: more than 16 are particles with a number each",
                AS_ONE,
            ),
        ),
        (
            numbers(20),
            numbers(20) > 0,
            (),
            ("the masks hold 20 values: more than 16 are particles with a number each", AS_ONE),
        ),
        (
            numbers(9) > 0,
            numbers(9),
            (),
            (
                "the labels hold each value in one place, as numbers of particles are",
                AS_ONE,
            ),
        ),
        # each of two values in several places: classes
        (numbers(9) % 3, numbers(9) % 3, (1, 2), ()),
        (
            (numbers(9) % 3 == 1) * 1,
            numbers(9) % 3,
            (1, 2),
            ("the labels hold 2, which the masks do not: a class on one side alone scores 0",),
        ),
        (
            numbers(9) % 4,
            numbers(9) % 3,
            (1, 2, 3),
            ("the masks hold 3, which the labels do not: a class on one side alone scores 0",),
        ),
    ],
    ids=["masks", "20 labels", "20 masks", "9 labels", "classes", "no class 2", "class 3"],
)
def test_how_two_sides_are_compared(prediction, labels, foreground, notes):
    pair = Pair("a", np.asarray(prediction), np.asarray(labels))
    found = find_agreement([pair])
    assert found.foreground == foreground
    assert found.notes == notes


def test_a_1_in_labels_alone_may_be_background():
    labels = numbers(9) % 3 + 1
    labels[0, 0] = 0
    prediction = np.where(numbers(9) % 3 == 1, 2, 0) + np.where(numbers(9) % 3 == 2, 3, 0)
    (first, second) = find_agreement([Pair("a", prediction, labels)]).notes
    assert first == "the labels hold 1, which the masks do not: a class on one side alone scores 0"
    assert second == ("if 1 is background in the labels, as in strokes, say --unlabelled ignore")


# populations and sizes


def surveyed(sizes, image="gold", frame=None, border=0, with_border=True):
    """Return a frame of 1,000 x 1,000 px of 1 nm with particles of these diameters, far apart."""
    n = len(sizes)
    table = pd.DataFrame(
        {
            "area_nm2": np.ones(n),
            "equivalent_diameter_nm": np.array(sizes, float),
            "aspect_ratio": np.ones(n),
            "circularity": np.ones(n),
            "row_nm": 500.0 + 10 * np.arange(n),
            "column_nm": np.full(n, 500.0),
            "touches_border": np.arange(n) < border,
        }
    )
    boxes = np.full((n, 2), 5)
    return SurveyedFrame(image, frame, (1000, 1000), (1.0, 1.0), table, boxes, with_border)


ALONE = (
    "The intervals are from one image, as if its particles were independent: how images differ is "
    "not in them, so that the true ones are wider. Measure several images."
)
FEW = "{} sizes are too few, or too equal, for a fit: it takes 8 that differ."


def notes(*frames, **keywords):
    return population_of(list(frames), **keywords).notes


def test_what_to_know_of_a_population():
    assert notes(surveyed([])) == (
        "No particle counts: lower the smallest size, or look at the mask.",
    )
    assert notes(surveyed([3.0, 4.0])) == (ALONE, FEW.format(2))
    series = [surveyed([3.0], frame=at) for at in range(2)]
    assert notes(*series) == (
        "The frames of one series may show the same particles: the intervals are too narrow then.",
        FEW.format(2),
    )
    four = [surveyed([3.0, 4.0], f"{at}") for at in range(4)]
    assert notes(*four)[0] == (
        "4 images tell little of how images differ: their intervals are wide, and rest on the "
        "assumption that images scatter as a bell curve."
    )
    five = [surveyed([3.0], f"{at}") for at in range(5)]
    assert notes(*five) == (FEW.format(5),)


def test_particles_that_the_border_cuts():
    """One of fifty is 2 %: not more than is borne."""
    sizes = [3.0] * 50
    said = "{} of 50 particles are cut by the border and look too small{}"
    remedy = ": leave them out for a size distribution."
    assert notes(surveyed(sizes, border=1))[1] == said.format(1, ".")
    assert notes(surveyed(sizes, border=2))[1] == said.format(2, remedy)
    assert notes(surveyed(sizes, border=2), border=False)[1] == FEW.format(48)
    missing = notes(surveyed(sizes, with_border=False))
    assert missing[1] == (
        "Particles at the border were not looked for: nearest neighbours among them are missed."
    )


def test_what_a_fit_tells():
    rng = np.random.default_rng(5)
    # two sizes and none between: no curve with one hump describes them
    mixed = [*rng.normal(5, 0.1, 200), *rng.normal(20, 0.1, 200)]
    said = notes(surveyed(mixed))[1]
    assert re.fullmatch(
        r"No distribution here describes the sizes; the [\w-]+ is the nearest\.", said
    )
    many = notes(surveyed([*rng.normal(5, 0.1, 1200), *rng.normal(20, 0.1, 1200)]))[1]
    assert many.endswith(
        " is the nearest. With so many particles that is seen of small departures, too: look at "
        "the curve."
    )


@pytest.mark.parametrize(
    ("quantity", "pixel_size_nm", "column", "unit", "length", "area"),
    [
        ("equivalent_diameter", (1.0, 1.0), "equivalent_diameter_nm", "nm", "nm", "µm²"),
        ("feret_max", (1.0, 1.0), "feret_max_nm", "nm", "nm", "µm²"),
        ("area", (1.0, 1.0), "area_nm2", "nm²", "nm", "µm²"),
        ("area", None, "area_px", "px", "px", "Mpx"),
        ("feret_min", None, "feret_min_px", "px", "px", "Mpx"),
    ],
)
def test_units_of_a_population(quantity, pixel_size_nm, column, unit, length, area):
    labels = np.zeros((40, 50), np.int32)
    labels[5:9, 5:15], labels[20:26, 20:24] = 1, 2
    table = measure_particles(labels, pixel_size_nm=pixel_size_nm)
    frame = SurveyedFrame("a", None, (40, 50), pixel_size_nm, table, np.array([[4, 10], [6, 4]]))
    found = population_of([frame], PopulationSettings(quantity=quantity))
    assert (found.column, found.unit) == (column, unit)
    assert (found.length_unit, found.area_unit) == (length, area)
    assert found.sizes.tolist() == table[column].tolist()


def test_counts_per_area_by_hand():
    """Two whole particles in boxes of 5 x 5 px: each counts 1000^2 / 994^2 in 1 µm²."""
    found = population_of([surveyed([3.0, 4.0])])
    assert found.per_area.value == pytest.approx(2 * 1000**2 / 994**2)
    assert found.coverage.value == pytest.approx(2e-6)
    # without those at the border their areas are weighted in the same way
    missing = population_of([surveyed([3.0, 4.0], with_border=False)])
    assert missing.coverage.value == pytest.approx(2e-6 * 1000**2 / 994**2)
    # 10 nm apart, and so near only in the middle 980 nm
    assert found.neighbour.value == pytest.approx(10)
    cut = population_of([surveyed([3.0, 4.0], border=1)])
    assert cut.per_area.value == pytest.approx(1000**2 / 994**2)
    assert cut.coverage.value == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        (Summary("area_nm2", 0, 0.0, 0.0, 0.0), "no particles"),
        (Summary("area_nm2", 1, 25.0, 25.0, 0.0), "1 particle, area 25 nm²"),
        (
            Summary("feret_max_px", 1234, 5.678, 5.5, 1.234),
            "1,234 particles, feret max 5.68 ± 1.2 px, median 5.5 px",
        ),
    ],
)
def test_sizes_in_a_sentence(summary, sentence):
    assert summary.sentence == sentence


def test_a_summary_is_of_the_column_that_is_named():
    table = pd.DataFrame({"equivalent_diameter_nm": [1.0, 3.0], "area_nm2": [5.0, 9.0]})
    assert summarise(table).mean == 2
    found = summarise(table, "area_nm2")
    assert (found.column, found.mean, found.median) == ("area_nm2", 7, 7)
    assert found.sd == pytest.approx(8**0.5)
    none = summarise(table[:0])
    assert (none.number, none.sentence) == (0, "no particles")
    assert np.isnan([none.mean, none.median, none.sd]).all()


# contrast


@pytest.mark.parametrize(
    ("sigma", "level"),
    [(0.5, "phase"), (0.51, "between"), (1.49, "between"), (1.5, "amplitude"), (0.0, "phase")],
)
def test_what_shows_particles_by_their_contrast(sigma, level):
    assert level_of(sigma) == level


@pytest.mark.parametrize(
    ("contrasts", "lattice", "begins"),
    [
        ([0.08], None, "Particles differ from background by 0.08 sigma: "),
        ([-0.1], None, "Particles differ from background by 0.1 sigma: "),
        ([2.04, 1.0, 5.0], None, "Particles differ from background by 2.0 sigma: "),
        (
            [0.2],
            Lattice(4.94, None, 9.0),
            "Particles differ from background by 0.2 sigma and show a lattice of 4.9 px: ",
        ),
        (
            [0.2],
            Lattice(4.94, 0.213, 9.0),
            "Particles differ from background by 0.2 sigma and show a lattice of 4.9 px (0.21 nm)"
            ": ",
        ),
        ([1.0], Lattice(4.9, None, 9.0), "Particles differ from background by 1.0 sigma: "),
    ],
)
def test_advice_begins_with_what_was_measured(contrasts, lattice, begins):
    found = advice(contrasts, lattice)
    assert found.sentence.startswith(begins)
    spread = " over 3 images and classes (1.0 to 5.0)." if len(contrasts) > 1 else "in the median."
    assert spread in found.details
    assert "the interval that holds the difference in 95 of 100 cases:\n\n" in found.details
    assert found.details.endswith(
        "It is an expectation, no rule. A comparison on your own annotations decides."
    )


def test_without_annotation_it_is_asked_for():
    found = advice([])
    assert (found.level, found.baseline) == ("unknown", None)
    assert found.sentence == (
        "Annotate particles and background to see how much the receptive field will matter."
    )
    assert found.details == (
        "What decides is how far the grey levels of particles and background differ (Sytwu, "
        "Groschner and Scott 2022, doi 10.1017/S1431927622012466)"
    )


@pytest.mark.parametrize(("foreground", "background"), [(1, 5), (5, 1)])
def test_a_contrast_takes_two_pixels_of_each(foreground, background):
    pixels = np.arange(12.0).reshape(2, 6)
    labels = np.full((2, 6), -1)
    labels[0, :background], labels[1, :foreground] = 0, 1
    assert amplitude_contrast(pixels, labels) == ()
    labels[0, :2], labels[1, :2] = 0, 1
    assert len(amplitude_contrast(pixels, labels)) == 1
