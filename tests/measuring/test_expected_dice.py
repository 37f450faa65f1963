"""The Dice that is expected without a truth, and the reasons in words."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from napari_tem_rf.measuring.expected_dice import (
    FEATURES,
    CalibratedModel,
    ExpectedDice,
    Line,
    calibrated_model,
    cannot_judge,
    expect_dice,
    features_of,
    noise_ratio,
)
from napari_tem_rf.measuring.familiarity import feature_space
from napari_tem_rf.measuring.found_masks import FoundMask
from napari_tem_rf.measuring.image_statistics import BANDS, ImageStatistics
from napari_tem_rf.measuring.trained_on import Evidence, TrainedOn, check_trained_on
from napari_tem_rf.records import RecordError, record_of

NM = (0.02, 0.02)
SEEN = ImageStatistics(
    100.0, 10.0, (0.5,) * (len(BANDS) - 1), 0.5, 4.0, 50.0, NM, None, (2.0,)
)  # fmt: skip
USUAL = Evidence(
    own_dice=0.95, agreement=0.96, distance=1.0, unsure=0.1, foreground=0.2, contrast=2
)
TRAINED = TrainedOn(
    (SEEN, replace(SEEN, noise=0.6, lattice_px=4.2)),
    feature_space(np.random.default_rng(1).normal(size=(9, 6))),
    (USUAL,),
    True,
)


def expected(dice=0.9, image=SEEN, **changes):
    return expect_dice(TRAINED, dice, replace(USUAL, **changes), image)


def test_what_is_as_in_the_training_is_expected_to_be_as_good():
    found = expected()
    assert features_of(TRAINED, USUAL, SEEN)[:-3] == (0,) * (len(FEATURES) - 3)
    assert found.dice == pytest.approx(0.9, abs=0.06)
    assert found.low < found.dice < found.high
    assert not found.warns
    assert found.trust == "good"
    assert found.reasons == ()
    assert "Dice 0.90 on held-out masks" in found.basis


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"pixel_size_nm": (0.025, 0.025)}, "pixels 1.25 times as large"),
        ({"pixel_size_nm": (0.01, 0.01)}, "pixels 0.50 times as large"),
        ({"noise": 1.2}, "twice the noise, beside its contrast"),
        ({"noise": 0.9}, "1.5 times the noise, beside its contrast"),
        ({"lattice_px": None}, "a lattice that was there in training is not to be seen"),
        ({"lattice_px": 6.0}, "a lattice of 0.120 nm or 6.0 px, in training 0.084 nm or 4.2 px"),
    ],
)
def test_reasons_are_told_in_words(image, words):
    found = expected(own_dice=0.5, agreement=0.5, image=replace(SEEN, **image))
    assert words in found.reasons
    assert found.sentence.startswith("expected Dice ")


def test_how_much_is_found_is_compared_with_all_of_the_training():
    two = replace(TRAINED, evidence=(USUAL, replace(USUAL, foreground=0.4)))

    def of(name, **changes):
        return features_of(two, replace(USUAL, **changes), SEEN)[FEATURES.index(name)]

    assert of("less", foreground=0.3) == of("more", foreground=0.3) == 0
    assert of("less", foreground=0.05) == pytest.approx(2)  # a quarter of 0.2
    assert of("more", foreground=0.8) == pytest.approx(1)  # twice 0.4
    assert of("less", foreground=0.0) == of("less", foreground=0.003) == pytest.approx(6.0589)
    said = expect_dice(two, 0.9, replace(USUAL, foreground=0.8, own_dice=0.5), SEEN).reasons
    assert "twice as much of it is particle as of any in training" in said
    said = expect_dice(two, 0.9, replace(USUAL, foreground=0.05, own_dice=0.5), SEEN).reasons
    assert "particle is a part of it 4.0 times smaller than of any in training" in said


def test_unsure_where_there_are_no_outlines():
    def of(name, **changes):
        return features_of(TRAINED, replace(USUAL, **changes), SEEN)[FEATURES.index(name)]

    assert of("edges", unsure=0.05) == 0
    # half of the image is particle: there are more outlines to be unsure at than at a fifth
    assert of("edges", unsure=0.1 / 0.64, foreground=0.5) == 0
    assert of("edges", unsure=0.3) == pytest.approx(0.2 / 0.64, abs=1e-3)


def test_outlines_are_compared_with_those_of_the_training():
    """Four times as long for the same that is found: two doublings."""
    mask = FoundMask(0.2, 0.02)
    kept = replace(TRAINED, masks=(mask, FoundMask(0.2, 0.01)))

    def of(**changes):
        return features_of(kept, replace(USUAL, **changes), SEEN)[FEATURES.index("ragged")]

    assert of(outline=0.02) == of(outline=0.015) == 0
    assert of(outline=0.083) == pytest.approx(2)  # 0.084 to 0.021
    assert of() == 0  # a run of before it was measured
    assert features_of(TRAINED, replace(USUAL, outline=0.08), SEEN) == features_of(
        TRAINED, USUAL, SEEN
    )
    said = expect_dice(kept, 0.9, replace(USUAL, outline=0.083, own_dice=0.5), SEEN).reasons
    assert "its outlines are 4.0 times as long, for what they hold, as any in training" in said


def test_what_is_found_is_compared_with_all_masks_that_are_known():
    kept = replace(TRAINED, masks=(FoundMask(0.2, 0.02), FoundMask(0.4, 0.02)))
    place = FEATURES.index("more")
    assert features_of(kept, replace(USUAL, foreground=0.4), SEEN)[place] == 0
    assert features_of(kept, replace(USUAL, foreground=0.8), SEEN)[place] == pytest.approx(1)


def test_a_mask_that_finishing_takes_away_is_not_trusted():
    found = expected(finished=0.1, own_dice=0.3, foreground=0.01)
    assert found.warns
    assert (
        "finishing changes much of what the network found (agreement 0.10, in training 1.00)"
        in found.reasons
    )
    assert found.dice < expected(own_dice=0.3, foreground=0.01).dice


def test_a_spectrum_decides_nothing_by_itself():
    place = FEATURES.index("spectrum")
    far = replace(SEEN, spectrum=(9.0,) * (len(BANDS) - 1))
    assert features_of(TRAINED, USUAL, far)[place] == 0.8
    assert expected(image=far).dice is not None


def test_a_lattice_that_was_not_there_in_training():
    without = replace(TRAINED, images=(replace(SEEN, lattice_px=None),))
    found = expect_dice(without, 0.9, replace(USUAL, own_dice=0.5, agreement=0.5), SEEN)
    assert "a lattice that was not there in training (0.080 nm or 4.0 px)" in found.reasons


def test_sizes_and_lattices_between_those_of_the_training_are_no_reasons():
    two = replace(TRAINED, images=(SEEN, replace(SEEN, pixel_size_nm=(0.04, 0.04))))
    between = replace(SEEN, pixel_size_nm=(0.03, 0.03), lattice_px=4.1)
    assert features_of(two, USUAL, between)[FEATURES.index("size")] == 0
    assert features_of(TRAINED, USUAL, replace(SEEN, pixel_size_nm=None))[4] == 0


@pytest.mark.parametrize("dice", [0.9, None])
def test_whatever_differs_lowers_what_is_expected(dice):
    """By construction of the model: no weight is negative."""
    model = calibrated_model()
    line = model.without if dice is None else model.with_held_out
    before = line.dice((0.1,) * len(FEATURES), dice)
    for place in range(len(FEATURES)):
        worse = [0.1] * len(FEATURES)
        worse[place] = 0.5
        assert line.dice(tuple(worse), dice) <= before
    assert line.dice((0.4,) * len(FEATURES), dice) < before


def test_a_worse_prediction_is_warned_of():
    found = expected(own_dice=0.6, agreement=0.5, distance=6.0, unsure=0.3, contrast=0.4)
    assert found.warns
    assert found.trust in ("doubtful", "bad")
    assert found.dice < expected().dice - calibrated_model().warn_from
    assert any("what is found stands out by 0.4 sigma" in each for each in found.reasons)
    assert any("turned and mirrored" in each for each in found.reasons)


def test_far_outside_of_what_was_tried_there_is_no_number_but_a_warning():
    found = expected(image=replace(SEEN, pixel_size_nm=(3.0, 3.0)))
    assert (found.dice, found.low, found.high) == (None, None, None)
    assert found.warns
    assert found.trust == "doubtful"
    assert "farther from those of the training than any" in found.basis
    assert "pixels 150.00 times as large" in found.sentence


def test_the_order_begins_with_the_worst():
    bad, good = expected(own_dice=0.4, agreement=0.4), expected()
    beyond = expected(image=replace(SEEN, pixel_size_nm=(3.0, 3.0)))
    unknown = cannot_judge("the run does not say what it was trained on")
    order = sorted([unknown, good, bad, beyond], key=lambda each: each.order)
    assert order == [beyond, bad, good, unknown]
    assert (
        unknown.sentence == "expected Dice not known: the run does not say what it was trained on"
    )


def test_an_interval_is_wider_where_cases_were_more_spread():
    line = Line(0.0, 1.0, (0.0,) * len(FEATURES))
    model = CalibratedModel(
        line, line, ((0.2, 0.1, 0.3), (0.8, 0.05, 0.02)), (9.0,) * len(FEATURES), 0.1, "", {}
    )
    assert model.interval(0.5) == pytest.approx((0.5 - 0.075, 0.5 + 0.16))
    assert model.interval(0.05) == pytest.approx((0, 0.35))
    assert model.interval(0.99)[1] == 1


def test_the_table_that_comes_along_says_what_it_is_from():
    model = calibrated_model()
    assert "benchmarks/expected_dice.py" in model.source
    assert model.errors["simulated, left out: mean absolute error"] < 0.15
    assert any("never in the fit" in name for name in model.errors)
    assert all(low >= 0 and high >= 0 for _, low, high in model.spread)
    broken = asdict(model)
    broken["without"]["weights"] = [-1.0, *model.without.weights[1:]]
    with pytest.raises(RecordError, match="none is negative"):
        record_of(CalibratedModel, broken)


def test_expected_dice_as_json():
    found = ExpectedDice(0.8, 0.7, 0.9, True, ("twice the noise",), "by this")
    assert found.to_dict() == {
        "dice": 0.8,
        "low": 0.7,
        "high": 0.9,
        "warns": True,
        "reasons": ["twice the noise"],
        "basis": "by this",
        "trust": "doubtful",
    }
    assert found.number == "0.80 (0.70 to 0.90)"


def test_what_was_trained_on_is_checked_when_it_is_read():
    check_trained_on(TRAINED)
    for broken, words in (
        (replace(TRAINED, images=()), "there are 0"),
        (replace(TRAINED, images=(replace(SEEN, spectrum=(1.0,)),)), "1 bands"),
        (replace(TRAINED, images=(replace(SEEN, pixel_size_nm=(0.0, 1.0)),)), "not more than 0"),
        (replace(TRAINED, evidence=(replace(USUAL, own_dice=1.5),)), "not from 0 to 1"),
        (replace(TRAINED, evidence=(replace(USUAL, outline=-0.5),)), "not from 0 to 1"),
        (replace(TRAINED, masks=(FoundMask(0.2, 7.0),)), "not from 0 to 1"),
        (replace(TRAINED, masks=(FoundMask(0.2, 0.1),) * 25), "there are 25"),
    ):
        with pytest.raises(ValueError, match=words):
            check_trained_on(broken)


def test_noise_is_compared_where_there_is_any():
    noisier = replace(SEEN, noise=3 * max(each.noise for each in TRAINED.images))
    assert noise_ratio(TRAINED, noisier) == pytest.approx(3)
    assert noise_ratio(TRAINED, replace(SEEN, noise=0.0)) is None
    still = replace(TRAINED, images=tuple(replace(each, noise=0.0) for each in TRAINED.images))
    assert noise_ratio(still, SEEN) is None
