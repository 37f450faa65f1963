"""What is expected of field and baselines follows from the study's table and from nothing else."""

from dataclasses import replace

import pytest

from napari_tem_rf.measuring.contrast import advice
from napari_tem_rf.measuring.study_findings import StudyFinding, expectation, read_study

FIELD = StudyFinding(
    level="phase", taught="masks", what="field", one="a field of 120 px", other="18 px",
    mean=0.05, low=0.02, high=0.08, verdict="better", exposures=61, trainings=3,
    sets=("graphene-hrtem",),
)  # fmt: skip
FOREST = replace(
    FIELD, what="forest", one="a random forest", other="a network", mean=-0.1, low=-0.2, high=-0.05,
    verdict="worse",
)  # fmt: skip
FILTER = replace(FOREST, what="fourier", one="a Fourier filter")


def test_a_told_difference_is_said_with_its_figures():
    found = expectation("phase", "masks", (FIELD, FOREST, FILTER))
    assert found.sentence == (
        "on such images a field of 120 px did better than 18 px. Networks did better than a random "
        "forest."
    )
    assert found.baseline is None
    assert found.evidence[0] == (
        "a field of 120 px against 18 px: Dice +0.050 (+0.020 to +0.080), 61 exposures of "
        "graphene-hrtem, 3 trainings"
    )


@pytest.mark.parametrize(
    ("forest", "fourier", "baseline"),
    [
        ("better", "worse", "forest"),
        ("as good", "worse", "forest"),
        ("worse", "better", "fourier"),
        # one that did better comes before one that did as well
        ("as good", "better", "fourier"),
        ("not told", "not told", None),
        ("worse", "worse", None),
    ],
)
def test_a_baseline_is_offered_where_it_was_seen_to_do_as_well(forest, fourier, baseline):
    found = expectation(
        "phase", "masks", (FIELD, replace(FOREST, verdict=forest), replace(FILTER, verdict=fourier))
    )
    assert found.baseline == baseline
    if baseline is not None:
        how = "better than" if "better" in (forest, fourier) else "as well as"
        assert how in found.sentence


def test_what_was_not_told_is_not_said():
    told = (replace(FIELD, verdict="not told"),)
    for findings in (told, ()):
        # then what the paper found is said, and that it did
        assert expectation("phase", "masks", findings).sentence == (
            "on such images the receptive field decided, by the paper; this program's own study "
            "does not tell yet."
        )
    assert "hardly mattered, by the paper" in expectation("amplitude", "strokes", ()).sentence
    assert expectation("between", "masks", ()).sentence == (
        "whether the receptive field matters there was not measured yet."
    )
    assert "paper" not in expectation("phase", "masks", (FIELD,)).sentence
    # of another level, or learned from strokes, the table says nothing
    for level, taught in (("amplitude", "masks"), ("phase", "strokes"), ("unknown", "masks")):
        found = expectation(level, taught, (FIELD, FOREST))
        assert found.field == "not told"
        assert found.baseline is None
        assert found.evidence == ()


def test_the_table_in_the_package_keeps_its_own_rules():
    study = read_study()
    assert "receptive_field_study" in study.source
    places = [(each.level, each.taught, each.what) for each in study.findings]
    assert len(set(places)) == len(places)
    for each in study.findings:
        assert each.low <= each.mean <= each.high
        outside = each.low > 0 or each.high < 0
        if each.verdict in ("better", "worse"):
            assert outside
            assert (each.mean > 0) == (each.verdict == "better")
            assert each.exposures >= 6
        if each.verdict == "as good":
            assert max(abs(each.low), abs(each.high)) < 0.03


def test_advice_reads_the_table():
    study = read_study()
    for sigma, level in ((0.1, "phase"), (1.0, "between"), (2.3, "amplitude")):
        for taught in ("masks", "strokes"):
            found = advice([sigma], None, taught)
            expected = expectation(level, taught, study.findings)
            assert found.sentence.endswith(expected.sentence)
            assert found.baseline == expected.baseline
            for figures in expected.evidence:
                assert figures in found.details
