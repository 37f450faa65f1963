"""Each reason of an expected Dice by itself: from which difference it is said, and its numbers."""

from dataclasses import replace

import numpy as np
import pytest

from napari_tem_rf.measuring.expected_dice import (
    BAD,
    FEATURES,
    CalibratedModel,
    ExpectedDice,
    Line,
    cannot_judge,
    expect_dice,
    features_of,
    found_ratio,
    size_ratio,
    times_in_words,
    usual_features,
)
from napari_tem_rf.measuring.familiarity import FeatureSpace, feature_space
from napari_tem_rf.measuring.found_masks import FoundMask
from napari_tem_rf.measuring.image_statistics import BANDS, ImageStatistics
from napari_tem_rf.measuring.trained_on import MOST_IMAGES, Evidence, TrainedOn, check_trained_on

SPECTRUM = (0.5,) * (len(BANDS) - 1)
SEEN = ImageStatistics(100.0, 10.0, SPECTRUM, 0.5, 4.0, 50.0, (0.02, 0.02), None, (2.0,))
USUAL = Evidence(
    own_dice=0.9, agreement=0.8, distance=1.0, unsure=0.1, foreground=0.2, contrast=2, finished=0.95
)
TRAINED = TrainedOn((SEEN,), feature_space(np.eye(5)), (USUAL,), True)
MANY = 9.0


def line(**weights):
    """Return a line on which an image as in the training has its held-out Dice."""
    return Line(0.0, 1.0, tuple(float(weights.get(name, 0.0)) for name in FEATURES))


def model(warn_from=0.1, most=MANY, **weights):
    one = line(**weights)
    return CalibratedModel(
        one, one, ((0, 0.1, 0.1), (1, 0.1, 0.1)), (most,) * 14, warn_from, "", {}
    )


EVERY = model(-1.0, **dict.fromkeys(FEATURES, 1.0))


def reasons(trained=TRAINED, image=SEEN, **changes):
    return expect_dice(trained, 0.9, replace(USUAL, **changes), image, EVERY).reasons


def feature(name, trained=TRAINED, image=SEEN, **changes):
    return features_of(trained, replace(USUAL, **changes), image)[FEATURES.index(name)]


@pytest.mark.parametrize(
    ("name", "changes", "value"),
    [
        ("unsure", {"own_dice": 0.7}, 0.2),
        ("unsure", {"own_dice": 0.99}, 0),
        ("disagrees", {"agreement": 0.5}, 0.3),
        ("disagrees", {"agreement": 0.9}, 0),
        # doublings
        ("strange", {"distance": 4.0}, 2),
        ("strange", {"distance": 0.5}, 0),
        ("own", {"own_dice": 0.7}, 0.3),
        ("turned", {"agreement": 0.5}, 0.5),
        ("finished", {"finished": 0.6}, 0.4),
    ],
)
def test_features_by_hand(name, changes, value):
    assert feature(name, **changes) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "changes", "value"),
    [
        ("size", {"pixel_size_nm": (0.04, 0.01)}, 0),  # of the same area
        ("size", {"pixel_size_nm": (0.08, 0.02)}, 1),
        ("size", {"pixel_size_nm": (0.005, 0.005)}, 2),
        ("noise", {"noise": 2.0}, 2),
        ("noise", {"noise": 0.1}, 0),
        ("lattice", {"lattice_px": None}, 1),
        ("lattice", {"lattice_px": 7.0}, 0),  # another one
        # a shift of all bands by 0.3, less the usual 0.12; and no more than 0.8 of it
        ("spectrum", {"spectrum": tuple(each + 0.3 for each in SPECTRUM)}, 0.18),
        ("spectrum", {"spectrum": tuple(each + 5 for each in SPECTRUM)}, 0.8),
        ("spectrum", {"spectrum": tuple(each + 0.1 for each in SPECTRUM)}, 0),
        ("spectrum", {"spectrum": ()}, 0),
    ],
)
def test_features_of_the_image_by_hand(name, changes, value):
    assert feature(name, image=replace(SEEN, **changes)) == pytest.approx(value, abs=1e-4)


def test_the_nearest_spectrum_of_the_training_counts():
    two = replace(TRAINED, images=(SEEN, replace(SEEN, spectrum=tuple(e + 1 for e in SPECTRUM))))
    image = replace(SEEN, spectrum=tuple(each + 1.2 for each in SPECTRUM))
    assert feature("spectrum", two, image) == pytest.approx(0.08, abs=1e-4)


def test_what_the_usual_is_follows_from_the_training():
    two = replace(TRAINED, evidence=(USUAL, replace(USUAL, own_dice=0.7, agreement=0.4)))
    assert usual_features(two) == pytest.approx((*(0,) * 11, 0.2, 0.4, 0.05))
    # below half of what is usual in any training, differences of distances say nothing
    near = replace(TRAINED, evidence=(replace(USUAL, distance=0.1),))
    assert feature("strange", near, distance=1.0) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distance": 1.5}, ()),
        (
            {"distance": 1.6},
            (
                "it shows the network what it hardly met in training (1.6 times as far off as its "
                "own images)",
            ),
        ),
        ({"agreement": 0.76}, ()),
        (
            {"agreement": 0.74},
            ("turned and mirrored it is predicted otherwise (agreement 0.74, in training 0.80)",),
        ),
        ({"own_dice": 0.86}, ()),
        (
            {"own_dice": 0.84},
            ("the network is less sure of what it says (0.84, in training 0.90)",),
        ),
        ({"finished": 0.86}, ()),
        (
            {"finished": 0.84},
            (
                "finishing changes much of what the network found (agreement 0.84, in training "
                "0.95)",
            ),
        ),
        ({"foreground": 0.14}, ()),
        (
            {"foreground": 0.1},
            ("particle is a part of it 2.0 times smaller than of any in training",),
        ),
        # so little that it is no question of parts
        ({"foreground": 0.019}, ()),
        ({"foreground": 0.3}, ()),
        ({"foreground": 0.32}, ("1.6 times as much of it is particle as of any in training",)),
        ({"foreground": 0.4}, ("twice as much of it is particle as of any in training",)),
        # half of the contrast, and in training 2
        ({"contrast": 1.1}, ()),
        ({"contrast": -0.9}, ("what is found stands out by 0.9 sigma, in training by 2.0",)),
        ({"contrast": None, "foreground": 0.019}, ("no particle was found",)),
        ({"contrast": None, "foreground": 0.14}, ()),
    ],
)
def test_each_reason_is_said_from_a_difference_on(changes, said):
    assert reasons(**changes) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pixel_size_nm": (0.0209, 0.0209)}, ()),
        ({"pixel_size_nm": (0.0212, 0.0212)}, ("pixels 1.06 times as large",)),
        ({"pixel_size_nm": (0.0188, 0.0188)}, ("pixels 0.94 times as large",)),
        ({"noise": 0.64}, ()),
        ({"noise": 0.65}, ("1.3 times the noise, beside its contrast",)),
        ({"noise": 1.05}, ("twice the noise, beside its contrast",)),
        # 8 % more and less are the same lattice
        ({"lattice_px": 4.31}, ()),
        ({"lattice_px": 3.69}, ()),
        (
            {"lattice_px": 4.4},
            ("a lattice of 0.088 nm or 4.4 px, in training 0.080 nm or 4.0 px",),
        ),
        (
            {"lattice_px": 3.6, "pixel_size_nm": None},
            ("a lattice of 3.6 px, in training 0.080 nm or 4.0 px",),
        ),
        ({"lattice_px": None}, ("a lattice that was there in training is not to be seen",)),
    ],
)
def test_each_reason_of_the_image_is_said_from_a_difference_on(changes, said):
    assert reasons(image=replace(SEEN, **changes)) == said


def test_the_nearest_lattice_of_the_training_is_named():
    three = replace(TRAINED, images=(replace(SEEN, lattice_px=9.0), SEEN, replace(SEEN, noise=0.4)))
    assert reasons(three, replace(SEEN, lattice_px=2.0)) == (
        "a lattice of 0.040 nm or 2.0 px, in training 0.080 nm or 4.0 px",
    )
    # where one image of the training had none, a missing one is no reason
    some = replace(TRAINED, images=(SEEN, replace(SEEN, lattice_px=None)))
    assert reasons(some, replace(SEEN, lattice_px=None)) == ()


def test_outlines_are_a_reason_from_a_fifth_longer_on():
    """By hand: (outline + 0.001) / (0.16 + 0.01), 0.1 in the training."""
    kept = replace(TRAINED, masks=(FoundMask(0.2, 0.099),))
    assert reasons(kept, outline=0.118) == ()
    assert reasons(kept, outline=0.124) == (
        "its outlines are 1.2 times as long, for what they hold, as any in training",
    )


def test_what_is_known_from_outside_is_said_before_what_the_network_does():
    image = replace(SEEN, pixel_size_nm=(0.03, 0.03), noise=1.0, lattice_px=None)
    found = reasons(image=image, distance=8.0, agreement=0.2, contrast=0.5)
    assert [each.split()[0] for each in found] == ["pixels", "twice", "a", "it", "what", "turned"]


def test_small_differences_are_no_reasons_where_little_is_lost():
    calm = model(0.1, strange=0.001, size=0.001)
    image = replace(SEEN, pixel_size_nm=(0.03, 0.03), lattice_px=6.0, noise=1.0)
    found = expect_dice(TRAINED, 0.9, replace(USUAL, distance=2.0), image, calm)
    assert not found.warns
    # what can be read off the image stands for itself
    assert [each.split(" of ")[0] for each in found.reasons] == [
        "pixels 1.50 times as large",
        "a lattice",
    ]


@pytest.mark.parametrize("held_out", [0.9, None])
def test_a_logistic_line_by_hand(held_out):
    """The logit of 0.9 is ln 9; a feature of 2 at a weight of 0.5 takes 1 off."""
    found = expect_dice(TRAINED, held_out, replace(USUAL, distance=4.0), SEEN, model(strange=0.5))
    start = np.log(9) if held_out else 0.0
    assert found.dice == pytest.approx(1 / (1 + np.exp(-(start - 1))), abs=5e-4)
    assert (found.low, found.high) == pytest.approx((found.dice - 0.1, found.dice + 0.1))
    assert found.warns
    assert found.basis == (
        "Dice 0.90 on held-out masks" if held_out else "no whole mask was held out in the training"
    )


@pytest.mark.parametrize(("dice", "counts_as"), [(1.0, 0.98), (0.98, 0.98), (0.0, 0.02)])
def test_no_network_is_taken_to_be_surer_than_98_percent(dice, counts_as):
    found = expect_dice(TRAINED, dice, USUAL, SEEN, model())
    assert found.dice == pytest.approx(counts_as, abs=1e-3)


def test_a_drop_is_warned_of_from_the_models_bound_on():
    """Half of the logit of 0.9 is that of 0.75: a drop of 0.15."""
    away = replace(USUAL, distance=2.0)
    weight = np.log(9) / 2
    assert expect_dice(TRAINED, 0.9, away, SEEN, model(0.149, strange=weight)).warns
    assert not expect_dice(TRAINED, 0.9, away, SEEN, model(0.151, strange=weight)).warns


def test_beyond_what_was_met_nothing_is_known():
    away = replace(USUAL, distance=4.0)
    at = expect_dice(TRAINED, 0.9, away, SEEN, model(most=2.0, strange=0.1))
    assert at.dice is not None
    beyond = expect_dice(TRAINED, 0.9, away, SEEN, model(most=1.99, strange=0.1))
    assert (beyond.dice, beyond.low, beyond.high, beyond.warns) == (None, None, None, True)
    assert beyond.sentence == (
        "expected Dice not known: the image is farther from those of the training than any that "
        "this was tried on; it shows the network what it hardly met in training (4.0 times as far "
        "off as its own images)"
    )


@pytest.mark.parametrize(
    ("dice", "warns", "trust", "order"),
    [
        (BAD, False, "good", BAD),
        (BAD, True, "doubtful", BAD),
        (BAD - 0.01, False, "bad", BAD - 0.01),
        (None, True, "doubtful", -1),
        (None, False, "unknown", 2),
    ],
)
def test_trust_in_a_word(dice, warns, trust, order):
    found = ExpectedDice(dice, dice, dice, warns, (), "because")
    assert (found.trust, found.order) == (trust, order)


def test_what_is_expected_in_a_sentence():
    known = ExpectedDice(0.5, 0.25, 0.75, False, ("pixels", "noise"), "because")
    assert known.sentence == "expected Dice 0.50 (0.25 to 0.75): pixels; noise"
    assert replace(known, reasons=()).sentence == "expected Dice 0.50 (0.25 to 0.75)"
    assert replace(known, low=None).number == replace(known, high=None).number == "not known"
    assert cannot_judge("why") == ExpectedDice(None, None, None, False, (), "why")


def test_ratios_are_to_the_nearest_of_the_training():
    sizes = [replace(SEEN, pixel_size_nm=(each, each)) for each in (0.04, 0.02)]
    two = replace(TRAINED, images=(*sizes, replace(SEEN, pixel_size_nm=None)))
    for side, ratio in ((0.01, 0.5), (0.02, 1), (0.03, 1), (0.04, 1), (0.06, 1.5)):
        image = replace(SEEN, pixel_size_nm=(side, side))
        assert size_ratio(two, image) == pytest.approx(ratio)
    assert size_ratio(two, replace(SEEN, pixel_size_nm=None)) is None
    assert size_ratio(replace(two, images=two.images[2:]), SEEN) is None
    # what is nothing is taken for three thousandths
    assert found_ratio(TRAINED, replace(USUAL, foreground=0.0)) == pytest.approx(0.003 / 0.2)


@pytest.mark.parametrize(
    ("ratio", "words"), [(1.84, "1.8 times"), (1.86, "twice"), (2.14, "twice"), (2.16, "2.2 times")]
)
def test_twice_is_about_two(ratio, words):
    assert times_in_words(ratio) == words


@pytest.mark.parametrize(
    "weights", [(0.0,) * (len(FEATURES) - 1), (0.0,) * (len(FEATURES) + 1), (-0.1, *(0.0,) * 13)]
)
def test_a_line_has_a_weight_of_at_least_0_for_each_feature(weights):
    with pytest.raises(
        ValueError, match=r"^a line has one weight for each feature, and none is negative$"
    ):
        Line(0.0, 1.0, weights)


# what a run keeps is within bounds


@pytest.mark.parametrize(
    "fine",
    [
        {"images": (SEEN,) * MOST_IMAGES, "evidence": (USUAL,) * MOST_IMAGES},
        {"images": (replace(SEEN, spectrum=(), noise=0.0, contrast=(1.0,) * 64),)},
        {"images": (replace(SEEN, pixel_size_nm=None, lattice_px=None),)},
        {"masks": (FoundMask(0, 0), FoundMask(1, 1))},
        {
            "evidence": (
                replace(USUAL, own_dice=0, agreement=1, foreground=0, finished=1, outline=1),
            )
        },
    ],
)
def test_what_is_just_inside_the_bounds_is_kept(fine):
    check_trained_on(replace(TRAINED, **fine))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"images": (SEEN,) * 25}, "trained_on.images: there are 25"),
        ({"evidence": ()}, "trained_on.evidence: there are 0"),
        ({"evidence": (USUAL,) * 25}, "trained_on.evidence: there are 25"),
        (
            {"images": (replace(SEEN, spectrum=SPECTRUM[1:]),)},
            "trained_on.images: a spectrum has 7 bands",
        ),
        *(
            (
                {"images": (replace(SEEN, **each),)},
                "trained_on.images: contrast or noise cannot be such",
            )
            for each in (
                *({"contrast": (1.0,) * 65}, {"noise": -0.1}),
                *({"noise": float("inf")}, {"noise": float("nan")}),
            )
        ),
        *(
            ({"images": (replace(SEEN, **each),)}, "trained_on.images: a size is not more than 0")
            for each in (
                *({"lattice_px": -1.0}, {"pixel_size_nm": (1.0, -1.0)}),
                *({"lattice_px": float("inf")}, {"pixel_size_nm": (float("nan"), 1.0)}),
            )
        ),
        *(
            ({"masks": (each,)}, "trained_on.masks: a fraction is not from 0 to 1")
            for each in (FoundMask(-0.1, 0), FoundMask(1.1, 0), FoundMask(0, -0.1))
        ),
        *(
            (
                {"evidence": (replace(USUAL, **{name: value}),)},
                "trained_on.evidence: a fraction is not from 0 to 1",
            )
            for name in ("own_dice", "agreement", "foreground", "finished", "outline")
            for value in (-0.1, 1.1)
        ),
    ],
)
def test_what_is_just_outside_is_named(broken, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        check_trained_on(replace(TRAINED, **broken))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((), (), (), (), 1.0, 3), "0 features have 0 spreads"),
        (((0.0,) * 4097, (1.0,) * 4097, (), (), 1.0, 3), "4097 features have 4097 spreads"),
        (((0.0, 0.0), (1.0,), (), (), 1.0, 3), "2 features have 1 spreads"),
        (((0.0,), (1.0,), ((1.0,),), (), 1.0, 3), "there are 1 directions of features"),
        (
            ((0.0,), (1.0,), ((1.0,),) * 5, (1.0,) * 5, 1.0, 3),
            "there are 5 directions of features",
        ),
        (
            ((0.0,), (1.0,), ((1.0, 0.0),), (1.0,), 1.0, 3),
            "a direction of features has another length than their mean",
        ),
        *(
            (each, "a spread or variance of features is not more than 0")
            for each in (
                ((0.0,), (0.0,), (), (), 1.0, 3),
                ((0.0,), (1.0,), (), (), 0.0, 3),
                ((0.0,), (1.0,), ((1.0,),), (0.0,), 1.0, 3),
            )
        ),
    ],
)
def test_a_space_of_features_that_cannot_be_is_named(arguments, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        FeatureSpace(*arguments)
    FeatureSpace((0.0,), (1.0,), ((1.0,),) * 4, (1.0,) * 4, 1.0, 3)
    FeatureSpace((0.0,) * 4096, (1.0,) * 4096, (), (), 1.0, 3)
