"""The study of the receptive field: intervals, splits, the order of its pieces, its page."""

import re
import sys
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from scipy import stats

from napari_tem_rf.learning.baselines import Decision
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import standardise
from napari_tem_rf.protocol import PAPER_SEEDS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from study import (  # noqa: E402
    advice,
    answers,
    drawing,
    effects,
    finishing,
    page,
    pieces,
    sets,
    strokes,
    tables,
    working,
)
from study.in_short import SHORT, in_short  # noqa: E402
from study.networks import KEY, SERIES, name_of  # noqa: E402

# intervals


def test_the_interval_is_that_of_the_percentile_bootstrap_of_scipy():
    values = np.random.default_rng(5).gamma(2, 0.02, 37) - 0.03
    names = [f"exposure {n}" for n in range(37)]
    found = effects.effect(values, names, ["one"] * 37, draws=9_000, seed=1)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=9_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    # both ends jump by some percent from one drawing to the other
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.04 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.04 * width)
    assert found.size == pytest.approx(values.mean() / values.std(ddof=1))


def test_images_of_one_exposure_go_together():
    # 6 exposures of 20 equal images each know no more than 6 images
    each = np.array([0.01, 0.05, -0.02, 0.03, 0.04, 0.0])
    names = np.arange(6).astype(str)
    few = effects.effect(each, names, ["one"] * 6)
    many = effects.effect(np.repeat(each, 20), np.repeat(names, 20), ["one"] * 120)
    assert (many.low, many.high) == pytest.approx((few.low, few.high))
    assert (many.groups, many.images) == (6, 120)


def test_the_spread_of_trainings_widens_the_interval():
    """Crossed exposures and trainings: the variance is at least the sum of both (Owen 2007)."""
    rng = np.random.default_rng(3)
    exposures, trainings = rng.normal(0, 0.02, 30), rng.normal(0, 0.05, 15)
    values = (exposures[:, None] + trainings).ravel()
    groups = np.repeat(np.arange(30).astype(str), 15)
    runs = np.tile(np.arange(15).astype(str), 30)
    found = effects.effect(values, groups, runs)
    expected = np.sqrt(exposures.var() / 30 + trainings.var() / 15)
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(expected, rel=0.1)
    alone = effects.effect(values, groups, ["one"] * len(values))
    assert alone.high - alone.low < 0.5 * (found.high - found.low)


def test_few_exposures_tell_nothing():
    told = effects.effect([0.1] * 5, list("abcde"), ["one"] * 5)
    assert not told.is_told
    assert not told.within(0.2)
    assert effects.effect([0.1] * 6, list("abcdef"), ["one"] * 6).is_told
    one = effects.effect([0.1], ["a"], ["one"])
    assert np.isnan(one.low)
    assert "one exposure" in one.words
    assert effects.effect([], [], []).words == "not measured"


def test_rank_correlation_is_spearmans():
    a, b = [3, 1, 4, 1, 5, 9, 2], [2.0, 7.1, 1.8, 2.8, 1.0, 8.2, 8.0]
    assert effects.rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(effects.rank_correlation([1, 2], [1, 2]))


# splits and pieces


def labelled(name: str, group: str) -> LabelledImage:
    labels = np.zeros((128, 192), np.uint8)
    labels[20:60, 30:90] = 1
    pixels = np.random.default_rng(len(name)).normal(size=labels.shape).astype(np.float32)
    return LabelledImage(name, pixels + labels, labels, None, group)


def test_no_group_teaches_where_it_is_scored_and_all_are_scored_once():
    images = tuple(labelled(f"{n}", f"exposure {n // 2}") for n in range(40))
    scored = []
    for split in range(sets.SPLITS):
        parts = sets.parts_of("graphene-hrtem", images, split, 752)
        groups = [{image.group for image in part} for part in
                  (parts.training, parts.stopping, parts.scored)]  # fmt: skip
        assert all(groups)
        assert all(one.isdisjoint(other) for one, other in combinations(groups, 2))
        scored += [image.name for image in parts.scored]
    assert sorted(scored) == sorted(image.name for image in images)


def test_few_groups_are_dealt_out_evenly():
    images = tuple(labelled(f"{n}", f"frame {n}") for n in range(10))
    numbers = [len(sets.parts_of("nanoparticles-bf", images, s, 752).scored) for s in range(3)]
    assert sorted(numbers) == [3, 3, 4]


def test_tiles_beside_a_column_that_is_left_out_teach_away_from_its_border():
    images = tuple(labelled(f"row0_column{n}", f"column{n}") for n in range(4))
    parts = sets.parts_of("dislocation-loops", images, sets.LOOPS_SPLITS["column1"], 752, 0.0)
    assert [image.group for image in parts.scored] == ["column1"]
    left, right, far = parts.training
    assert left.counted is not None
    assert not left.counted[:, -sets.LOOPS_MARGIN_PX :].any()
    assert left.counted[:, : -sets.LOOPS_MARGIN_PX].all()
    assert not right.counted[:, : sets.LOOPS_MARGIN_PX].any()
    assert far.counted.all()


def test_rounds_take_every_split_and_every_seed():
    assert len({pieces.round_of(number) for number in range(15)}) == 15
    rounds = [pieces.round_of(number) for number in range(pieces.ROUNDS)]
    assert len(set(rounds)) == 5
    assert {seed for _, seed in rounds} == set(PAPER_SEEDS)
    assert {split for split, _ in rounds[:3]} == {0, 1, 2}
    assert len({seed for _, seed in rounds[:3]}) == 3


def test_a_study_that_ends_early_is_whole_at_a_smaller_size():
    wanted = list(pieces.pieces())
    names = [piece.name for piece in wanted]
    assert len(set(names)) == len(names)
    # the first: all key networks and baselines on all telling sets, with one split and seed
    most = len(pieces.TELLING)
    first = wanted[: 6 * most]
    assert {(p.split, p.seed, p.strokes, p.scale) for p in first} == {(0, 752, 0, 1.0)}
    assert {p.set for p in first} == set(pieces.TELLING)
    assert {p.method for p in first} == {"forest", "fourier", *map(name_of, KEY)}
    # then what advice and claims rest on, with every split, where something can be told
    key = 6 * most * sets.SPLITS
    assert {(p.split, p.seed) for p in wanted[:key]} == {pieces.round_of(n) for n in range(3)}
    rest = wanted[key:]
    other = next(place for place, p in enumerate(rest) if p.set not in pieces.TELLING)
    told = rest[:other]
    rounds = [pieces.round_of(number) for number in range(3)]
    first = told[: next(place for place, p in enumerate(told) if p.start == "published")]
    assert {(p.split, p.seed) for p in first} == set(rounds)
    assert {p.strokes for p in first} == {0, *pieces.STROKES}
    assert {p.start for p in first} == {"nothing", "simulated"}
    # then each finer question once
    once = told[len(first) :]
    assert {(p.split, p.seed) for p in once} == {pieces.round_of(0)}
    assert {p.strokes for p in once} == {0, *pieces.STROKES}
    assert {p.scale for p in once} == {1.0, *pieces.SCALES}
    assert {p.start for p in once} == {"nothing", "simulated", "published"}
    methods = {p.method for p in (*first, *once)}
    for series in ("levels", "levels at one field", "dilation"):
        specs = next(each.specs for each in SERIES if each.name == series)
        assert {name_of(spec) for spec in specs} <= methods | set(map(name_of, KEY))
    # then all sets with every split and each seed, and last the finer questions once more
    after = rest[other:]
    finer = next(place for place, p in enumerate(after) if p.start == "published")
    assert {p.set for p in after[:finer]} == set(sets.KINDS)
    assert {(p.split, p.seed) for p in wanted[: key + other + finer]} == {
        pieces.round_of(number) for number in range(pieces.ROUNDS)
    }
    assert {p.set for p in after[finer:]} == set(pieces.FINE)


def test_so_many_strokes_are_drawn_inside_the_true_regions():
    from scipy.ndimage import label

    images = tuple(labelled(f"{n}", f"exposure {n}") for n in range(5))
    drawn = strokes.with_strokes(images, 32, 752)
    assert len(drawn) == 4
    assert len({image.group for image in drawn}) == 4
    for image in drawn:
        truth = images[int(image.name)].labels
        assert (truth[image.labels == 2] == 1).all()
        assert (truth[image.labels == 1] == 0).all()
        # strokes may cross, so that there are fewer pieces than strokes
        assert 1 <= label(image.labels == 2)[1] <= 4
    assert len(strokes.with_strokes(images, 8, 752)) == 1


# answers and page


def invented(gain: float, spread: float = 0.02) -> tables.Found:
    """Return results in which 120 px are better than 18 px by a known gain, the forest as good."""
    rng = np.random.default_rng(7)
    rounds = [pieces.round_of(number) for number in range(3)]
    rows = []
    for piece in pieces.pieces():
        if piece.strokes or piece.scale != 1 or piece.start != "nothing":
            continue
        if (piece.split, piece.seed) not in rounds:
            continue
        hardness = np.random.default_rng(len(piece.set)).normal(0, 0.05, 24)
        better = {"18px-6978": 0.0, "forest": gain}.get(piece.method, gain)
        for number in range(24):
            rows.append(
                {
                    **asdict(piece),
                    "image": f"{piece.split} {number}",
                    "group": f"exposure {piece.split} {number // 2}",
                    "contrast": 0.1 if piece.set in page.PHASE else 2.5,
                    "dice": 0.8 + hardness[number] + better + rng.normal(0, spread),
                    "object_f1": 0.5,
                    "panoptic_quality": 0.4,
                    "count_error_percent": 1.0,
                    "diameter_bias_percent": -1.0,
                }
            )
    images = pd.DataFrame(rows)
    done = images.drop_duplicates(tables.KEYS)[tables.KEYS].assign(
        steps=900.0, megapixels=118.0, kept_step=600, ended_by="patience", grey_levels="kept",
        nominal_px=120.0, w50_px=40.0, w95_px=90.0, cpu_seconds=60.0, note=None,
    )  # fmt: skip
    fitted = done["method"].isin(["forest", "fourier"])
    done.loc[fitted, ["steps", "megapixels", "kept_step", "nominal_px", "w50_px", "w95_px"]] = (
        np.nan
    )
    nothing = pd.DataFrame()
    finished = images[images["split"] == 0].assign(object_f1=images["dice"])
    return tables.Found(images, done, nothing, nothing, nothing, finished)


def test_a_known_gain_is_found_and_judged():
    gained = answers.does_the_field_matter(invented(0.1))
    step = next(row for row in gained.rows if row.what == "44 px against 18 px")
    assert step.effect.low < 0.1 < step.effect.high
    assert answers.verdict(step.effect) == "gains"
    assert any(sentence.startswith("The larger field gains") for sentence in gained.sentences)
    alike = answers.does_the_field_matter(invented(0.0, spread=0.005))
    assert {answers.verdict(row.effect) for row in alike.rows} == {"as good"}
    # a spread that hides everything is no proof that there is nothing
    unclear = answers.does_the_field_matter(invented(0.0, spread=0.3))
    assert "not told" in {answers.verdict(row.effect) for row in unclear.rows}


def test_the_paper_is_judged_by_intervals_and_what_fails_stands_first():
    told = page.claims(invented(0.1))
    assert told[0].verdict == page.HOLDS_NOT
    assert "At low magnification" in told[0].claim
    assert any(
        claim.verdict == page.HOLDS and "At high resolution" in claim.claim for claim in told
    )
    told = page.claims(invented(0.0, spread=0.005))
    assert any(
        claim.verdict == page.HOLDS and "At low magnification" in claim.claim for claim in told
    )


def test_in_short_the_least_that_is_not_told_worse_is_named():
    found = invented(0.1)
    told = {each.name: in_short(each, found) for each in answers.answers(found)}
    # 18 px lose what was invented, and what is larger is as good as the best
    where = re.findall(r"([\w-]+) 44 px \(18 px loses (0\.\d+)\)", told["field"])
    assert {name for name, _ in where} == set(sets.KINDS)
    assert all(float(lost) == pytest.approx(0.1, abs=0.02) for _, lost in where)
    assert told["complexity"].count("1,826") == len(sets.KINDS)
    assert told["dilation"].startswith("Either")
    assert set(SHORT) == set(told)
    # nothing is said of what is not measured
    assert told["labels"].count("sets") == 1
    assert told["labels"].startswith("With all masks some network passes the forest in 0 of 5")
    assert told["pixels"] == told["starts"] == told["published"] == ""


def test_differences_are_drawn_where_they_are():
    answer = answers.dilation_or_pools(invented(0.1))
    figure, caption = drawing._differences(answer)
    (panel,) = figure.axes
    compared = [label.get_text() for label in panel.get_yticklabels()]
    assert compared == list(dict.fromkeys(row.what for row in answer.rows))
    names = list(dict.fromkeys(row.where for row in answer.rows))
    assert len(panel.containers) == len(names)
    points = panel.containers[0].lines[0].get_xdata()
    assert points.tolist() == [row.effect.mean for row in answer.rows if row.where == names[0]]
    assert "first less the second" in caption
    nothing = answers.Answer("dilation", "?", ())
    assert drawing._differences(nothing) is None


def test_advice_says_only_what_the_intervals_support():
    study = advice.study_table(invented(0.1))
    found = {(each.level, each.taught, each.what): each for each in study.findings}
    assert found["phase", "masks", "field"].verdict == "better"
    assert found["phase", "masks", "forest"].verdict == "as good"
    assert ("phase", "strokes", "forest") not in found
    assert ("between", "masks", "field") not in found
    unclear = advice.study_table(invented(0.0, spread=0.3))
    assert "better" not in {each.verdict for each in unclear.findings if each.what == "field"}


def test_a_set_of_few_exposures_does_not_widen_what_all_say_together():
    found = invented(0.0, spread=0.005)
    few = found.images["set"] == "dislocation-loops"
    images = found.images.assign(
        group=found.images["group"].where(~few, "one of three"),
        dice=found.images["dice"] + 0.2 * (few & (found.images["method"] == answers.LARGE)),
    )
    told = advice.study_table(replace(found, images=images))
    there = {(each.level, each.taught, each.what): each for each in told.findings}
    assert there["amplitude", "masks", "field"].verdict == "as good"
    assert "dislocation-loops" not in there["amplitude", "masks", "field"].sets
    # with exposures enough it would have its say
    told = advice.study_table(replace(found, images=images.assign(group=found.images["group"])))
    there = {(each.level, each.taught, each.what): each for each in told.findings}
    assert "dislocation-loops" in there["amplitude", "masks", "field"].sets
    assert there["amplitude", "masks", "field"].verdict != "as good"


def test_sets_that_contradict_each_other_tell_nothing():
    found = invented(0.1)
    turned = (found.images["set"] == "graphene-hrtem") & (found.images["method"] == "18px-6978")
    found.images.loc[turned, "dice"] += 0.15
    study = advice.study_table(found)
    field = next(e for e in study.findings if (e.level, e.what) == ("phase", "field"))
    assert field.verdict == "not told"


def test_tables_survive_their_files_and_the_page_is_written_from_them(tmp_path, monkeypatch):
    # two figures are enough to see that they come with their data
    monkeypatch.setattr(drawing, "FIGURES", {n: drawing.FIGURES[n] for n in ("field", "contrast")})
    found = invented(0.1)
    tables.write_tables(found, tmp_path / "study" / "tables")
    read = tables.read_tables(tmp_path / "study" / "tables")
    assert len(read.images) == len(found.images)
    # what is done once is known by name, and done again it takes the place of the old
    wanted = {piece.name for piece in pieces.pieces()}
    assert tables.done_in(read) <= wanted
    assert len(tables.done_in(read)) == len(found.pieces)
    again = tables.merged(read, invented(0.2))
    assert len(again.images) == len(found.images)
    assert again.images["dice"].mean() > read.images["dice"].mean()
    written = tmp_path / "page.md"
    page.write_page(read, written, tmp_path / "study", "python benchmarks/x.py collect")
    text = written.read_text()
    assert text.index("Does not hold here") < text.index("Holds here")
    assert f"{len(found.pieces)} pieces are done" in text
    assert f"{len(wanted) - len(found.pieces)} of the plan's {len(wanted)} are left" in text
    for name in ("field", "contrast"):
        for ending in (".png", ".svg", ".csv"):
            assert (tmp_path / "study" / f"{name}{ending}").stat().st_size > 0
    # what is not measured is said to be so
    assert "Not measured yet" in text


# masks as the program finishes them


class Threshold:
    """In place of a forest: sure of every pixel above half of the step, and so full of specks."""

    def decide(self, pixels, *, shares):
        likely = np.clip(pixels + 0.2, 0, 1)
        return Decision(
            (likely > 0.5).astype(np.uint8), None, (255 * likely[None]).astype(np.uint8)
        )


def test_masks_are_finished_from_weights_and_done_once(tmp_path, monkeypatch):
    noisy = []
    for number in range(9):
        image = labelled(f"{number}", f"frame {number}")
        noisy.append(replace(image, pixels=image.pixels + 0.5 * image.labels))
    monkeypatch.setattr(working, "read_set", lambda *_: tuple(noisy))
    monkeypatch.setattr(finishing, "is_there", lambda *_: True)
    monkeypatch.setattr(finishing, "fit_forest", lambda *_, **__: Threshold())
    place = working.Place(tmp_path, tmp_path, tmp_path)
    forest, network = (
        pieces.Piece("nanoparticles-bf", method, 0, 752) for method in ("forest", name_of(KEY[1]))
    )
    said = list(finishing.finish_all([forest, network], place))
    assert said[1] == f"{network.name}: its weights are not there"
    place.weights(network).parent.mkdir()
    weights = random_network(KEY[1], 752).state_dict()
    save_file({key: value.numpy() for key, value in weights.items()}, place.weights(network))
    (of_network,) = finishing.finish_all([forest, network], place)
    assert of_network.startswith(network.name)
    found = tables.gather(tmp_path)
    assert tables.finished_in(found) == {forest.name, network.name}
    assert not list(finishing.finish_all([forest, network], place))
    assert not list(finishing.finish_all([forest], place, tables.finished_in(found)))
    # specks of noise are no particles of a mask that is finished
    ours = found.finished[found.finished["method"] == "forest"]
    assert (ours["object_f1"] == 1).all()
    scored = sets.parts_of("nanoparticles-bf", tuple(noisy), 0, 752).scored
    assert set(ours["image"]) == {image.name for image in scored}
    for image in scored:
        decided = Threshold().decide(standardise(image.pixels), shares=True).classes
        assert working.score_of(decided, image)["object_f1"] < 0.1
