"""Comparisons: no leakage, scores as scikit-learn's, and continuing where one stopped."""

import json
import re
import shutil
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics

from napari_tem_rf import jobs
from napari_tem_rf.comparison import (
    ComparisonPlan,
    ContestantJob,
    grid,
    hold_out,
    network_table,
    predict_baseline,
    predict_ensemble,
    prediction_path,
    read_comparison,
    result_table,
    run_comparison,
    seeds,
    write_report,
)
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, TrainingPlan
from napari_tem_rf.runs import RunError, read_run

SMALL, LARGE = NetworkSpec((), filters=2), NetworkSpec((2,), filters=2)
TRAINING = TrainingPlan(
    epochs=2, crop_px=32, batch=4, device="cpu", augmentation="dihedral", learning_rate=0.02
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def discs(name, shape=(47, 59), seed=752, group=""):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, np.uint8)
    for _ in range(max(4, shape[0] * shape[1] // 900)):
        row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        mask[(rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(4, 8) ** 2] = 1
    pixels = 100 + 20.0 * mask + 8 * rng.standard_normal(shape)
    return LabelledImage(name, pixels, mask, (0.5, 0.5), group)


IMAGES = tuple(discs(f"image_{n}", seed=140 + n) for n in range(4))


def plan_of(*specs, **changes):
    defaults = {
        "seeds": (752, 2245),
        "training": TRAINING,
        "held_out": 0.25,
        "unlabelled": "background",
        "baselines": (),
    }
    return ComparisonPlan(specs or (SMALL, LARGE), **{**defaults, **changes})


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A complete comparison, with the reports that it gave."""
    reports = []
    folder = tmp_path_factory.mktemp("comparisons") / "complete"
    plan = plan_of(baselines=("random forest", "Fourier filter"))
    return run_comparison(IMAGES, plan, folder, on_report=reports.append), reports


# nothing leaks


@pytest.mark.parametrize("binning", [1, 2])
def test_no_held_out_pixel_is_in_the_field_of_a_training_pixel(binning):
    """Brute force over every training pixel of one image and every network."""
    image = discs("alone", shape=(131 * binning, 157 * binning), seed=9213)
    plan = plan_of(
        NetworkSpec((2,)), NetworkSpec((2, 4)), NetworkSpec((3, 2), (2, 1, 1)),
        cleaning=Cleaning(binning=binning),
    )  # fmt: skip
    held_out = hold_out([image], plan)
    assert held_out.kind == "blocks"
    (data,) = jobs.prepare(held_out.training, "background", plan.cleaning).images
    # a cleaned pixel is held out when any of the raw pixels in it is
    scored = held_out.scored[0].truth >= 0
    blocks = scored.reshape(131, binning, 157, binning)
    held = blocks.any(axis=(1, 3))
    assert held.mean() > 0.1
    assert (data.labels >= 0).mean() > 0.3
    for spec in plan.specs:
        field = receptive_field(spec)
        for row, column in zip(*np.nonzero(data.labels >= 0), strict=True):
            box = tuple(
                slice(*each.inside) for each in field.box((int(row), int(column)), held.shape)
            )
            assert not held[box].any(), (spec, row, column)
    rows, columns = np.nonzero(data.labels >= 0)
    there = np.stack(np.nonzero(held), axis=1)
    low, high = there.min(axis=0), there.max(axis=0)
    away = np.maximum(
        np.maximum(low[0] - rows, rows - high[0]), np.maximum(low[1] - columns, columns - high[1])
    )
    assert plan.gap_px < away.min() <= plan.gap_px + 2


def test_groups_are_never_parted_and_no_run_sees_the_held_out_ones(complete):
    comparison, _ = complete
    scored = set(comparison.record.scored)
    assert len(scored) == 1
    assert comparison.record.split["kind"] == "groups"
    for result in comparison.results:
        if result.is_baseline:
            continue
        run = read_run(comparison.folder / result.contestant.folder)
        trained = {entry.name for entry in run.record.data}
        assert trained == {image.name for image in IMAGES} - scored
        # what chooses the epoch is a part of the training images
        assert set(run.record.split["held_out"]) < trained


def test_frames_of_one_exposure_stay_together():
    images = [discs(f"frame_{n}", seed=n, group=f"exposure_{n // 2}") for n in range(8)]
    held_out = hold_out(images, plan_of())
    groups = {image.name: image.group for image in images}
    trained = {groups[image.name] for image in held_out.training}
    assert trained.isdisjoint({groups[image.name] for image in held_out.scored})
    assert len(held_out.training) + len(held_out.scored) == 8


def test_all_networks_share_the_split():
    image = discs("alone", shape=(211, 241), seed=9213)
    assert hold_out([image], plan_of(SMALL, LARGE)).sha256 == (
        hold_out([image], plan_of(LARGE, SMALL, seeds=(1,))).sha256
    )
    assert hold_out([image], plan_of(SMALL)).sha256 != hold_out([image], plan_of()).sha256


def test_a_field_too_large_for_the_image_is_refused():
    with pytest.raises(ValueError, match="no part can be held out"):
        hold_out(IMAGES[:1], plan_of(NetworkSpec((8, 8))))


def test_strokes_keep_their_zeros_out_of_the_scores():
    strokes = np.zeros((47, 59), np.uint8)
    strokes[5:9, 3:50], strokes[20:24, 3:50] = 1, 3
    images = [replace(image, labels=strokes) for image in IMAGES]
    held_out = hold_out(images, plan_of(unlabelled="ignore"))
    truth = held_out.scored[0].truth
    assert {value: int((truth == value).sum()) for value in (-1, 0, 3)} == {
        -1: 47 * 59 - 2 * 4 * 47,
        0: 4 * 47,
        3: 4 * 47,
    }
    assert "object F1" in held_out.note


# scores


def test_scores_are_those_of_scikit_learn(complete):
    comparison, _ = complete
    truth = {image.name: image.labels.ravel() for image in IMAGES}
    found_any = 0
    assert len(comparison.results) == 5
    for result in comparison.results:
        for index, each in enumerate(result.images):
            kept = prediction_path(comparison.folder, result.contestant, index)
            found, true = read_labels(kept).ravel(), truth[each.image]
            scores = each.scores
            assert scores.iou == pytest.approx(metrics.jaccard_score(true, found))
            assert scores.precision == pytest.approx(
                metrics.precision_score(true, found, zero_division=0)
            )
            assert scores.recall == pytest.approx(metrics.recall_score(true, found))
            # the paper's smooth = 1 moves Dice off the F1
            ((_, wrong), (missed, right)) = metrics.confusion_matrix(true, found)
            expected = (2 * right + 1) / (2 * right + wrong + missed + 1)
            assert scores.dice == pytest.approx(expected)
            found_any += right
    assert found_any > 0


def test_what_cannot_be_applied_is_left_out(complete):
    comparison, _ = complete
    assert [each.contestant.name for each in comparison.left_out] == ["Fourier filter"]
    assert "no lattice" in comparison.left_out[0].note
    assert comparison.failed == ()
    assert comparison.missing == ()
    assert "Fourier filter" not in set(result_table(comparison.results)["name"])


def test_reports_lead_to_the_end(complete):
    _, reports = complete
    fractions = [report.fraction for report in reports]
    assert fractions[0] == 0
    assert fractions[-1] == 1
    assert all(0 <= fraction <= 1 for fraction in fractions)
    assert (reports[-1].done, reports[-1].total) == (6, 6)
    assert sum(report.result is not None for report in reports) == 6


def test_tables(complete):
    comparison, _ = complete
    table = result_table(comparison.results)
    assert list(table["seed"]) == [752, 752, 752, 2245, 2245]
    assert table["receptive_field"].isna().tolist() == [True, False, False, False, False]
    assert list(table["parameters"][1:3]) == [SMALL.parameters, LARGE.parameters]
    summary = network_table(comparison.results).set_index("name")
    dice = table.groupby("name", sort=False)["dice"]
    np.testing.assert_allclose(summary["dice"], dice.mean())
    np.testing.assert_allclose(summary["dice_sd_seeds"], dice.std())
    assert (table["train_seconds"] > 0).all()
    assert (table["predict_seconds_per_megapixel"] > 0).all()
    assert (table["predict_memory_mib"] > 0).all()
    # pixels of 0.5 nm
    assert table["boundary_error_nm"].to_numpy() == pytest.approx(
        table["boundary_error_px"].to_numpy() / 2, nan_ok=True
    )


def test_report_needs_no_other_file(complete):
    comparison, _ = complete
    held_out = hold_out(IMAGES, comparison.record.plan)
    page = write_report(comparison, held_out.scored).read_text()
    links = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert len(links) == 7
    assert all(link.startswith("data:") for link in links)
    for result in comparison.results:
        assert result.contestant.name in page
    assert "left out" in page
    pictures = {path.name for path in comparison.folder.iterdir()}
    for name in ("score_against_field", "score_against_parameters", "side_by_side"):
        assert {f"{name}.png", f"{name}.svg"} <= pictures
    written = pd.read_csv(comparison.folder / "table.csv")
    assert {"name", "receptive_field", "parameters", "seed", "dice", "iou", "train_seconds"} <= set(
        written.columns
    )
    np.testing.assert_allclose(written["dice"], result_table(comparison.results)["dice"])


def test_ensemble_of_the_seeds(complete):
    comparison, _ = complete
    name = comparison.findings.best
    runs = comparison.runs(name)
    assert len(runs) == 2
    pixels = IMAGES[0].pixels
    said = {"report": lambda report: None, "stopped": lambda: False}
    together = predict_ensemble(runs, pixels, "cpu", **said)
    maps = [
        jobs.predict_with_run(run, pixels, None, True, "cpu", **said).probabilities for run in runs
    ]
    np.testing.assert_allclose(together.mean, np.mean(maps, axis=0), atol=1e-6)
    np.testing.assert_allclose(together.spread, np.std(maps, axis=0), atol=1e-6)
    assert set(np.unique(together.labels)) <= {0, 1}


def test_a_baseline_predicts_again_what_was_scored(complete):
    comparison, _ = complete
    plan = comparison.record.plan
    held_out = hold_out(IMAGES, plan)
    forest = comparison.results[0].contestant
    work = ContestantJob(comparison.folder, forest, plan, held_out, {}, {})
    said = {"report": lambda report: None, "stopped": lambda: False}
    labels = predict_baseline(work, held_out.scored[0].pixels, **said)
    np.testing.assert_array_equal(
        labels, read_labels(prediction_path(comparison.folder, forest, 0))
    )
    fourier = replace(work, contestant=comparison.left_out[0].contestant)
    with pytest.raises(ValueError, match="lattice"):
        predict_baseline(fourier, IMAGES[0].pixels, **said)
    stopped = {**said, "stopped": lambda: True}
    assert predict_baseline(work, IMAGES[0].pixels, **stopped) is None


def test_a_baseline_of_an_earlier_version_becomes_a_run(complete, tmp_path):
    """Version 0.1.0 kept scores and predictions of a baseline, and no run."""
    comparison, _ = complete
    folder = shutil.copytree(comparison.folder, tmp_path / "earlier")
    forest = comparison.results[0].contestant
    place = folder / forest.folder
    for path in [path for path in place.iterdir() if path.name not in ("result.json", "held_out")]:
        path.unlink()
    assert read_comparison(folder).runs(forest.name) == ()
    work = ContestantJob(
        folder, forest, comparison.record.plan, hold_out(IMAGES, comparison.record.plan), {}, {}
    )
    said = {"report": lambda report: None, "stopped": lambda: False}
    labels = predict_baseline(work, work.held_out.scored[0].pixels, **said)
    np.testing.assert_array_equal(labels, read_labels(prediction_path(folder, forest, 0)))
    again = read_comparison(folder)
    assert again.runs(forest.name) == (place,)
    assert again.results == comparison.results
    assert read_run(place).record.name == place.name
    assert not [path for path in place.parent.iterdir() if path.name.endswith("_fitting")]


def test_a_run_of_a_comparison_knows_how_it_did(complete):
    comparison, _ = complete
    forest = comparison.results[0]
    record = read_run(comparison.folder / forest.contestant.folder).record
    assert record.validation_dice == pytest.approx(forest.mean())
    assert record.split["sentence"] == comparison.record.split["sentence"]
    assert {entry.name for entry in record.data}.isdisjoint(comparison.record.scored)


def test_another_score_may_decide_later(complete):
    comparison, _ = complete
    plan = replace(comparison.record.plan, decides="count_error_percent")
    again = run_comparison(IMAGES, plan, comparison.folder)
    assert again.results == comparison.results
    assert "absolute count error" in again.findings.sentences[0]
    run_comparison(IMAGES, comparison.record.plan, comparison.folder)
    with pytest.raises(ValueError, match='no score "beauty" to decide by'):
        replace(plan, decides="beauty")


# continuing


def test_a_stopped_comparison_goes_on_where_it_stopped(complete, tmp_path):
    unbroken, _ = complete
    plan = plan_of()
    heard = []

    def stopped():
        """Stop in the middle of the second training."""
        return len(heard) >= 3

    def listen(said):
        if isinstance(said.report, EpochReport):
            heard.append(said)

    first = run_comparison(IMAGES, plan, tmp_path / "it", on_report=listen, stopped=stopped)
    done = {result.contestant.folder for result in first.results}
    assert 1 <= len(done) < 4
    assert first.failed == ()
    times = {
        each: (first.folder / each / "weights.safetensors").stat().st_mtime_ns for each in done
    }

    second = run_comparison(IMAGES, plan, tmp_path / "it")
    assert second.missing == ()
    for each, written in times.items():
        assert (second.folder / each / "weights.safetensors").stat().st_mtime_ns == written
    alike = [result for result in unbroken.results if not result.is_baseline]
    for result, expected in zip(second.results, alike, strict=True):
        assert result.contestant == expected.contestant
        assert result.epochs == 2
        history = pd.read_csv(second.folder / result.contestant.folder / "history.csv")
        assert list(history["epoch"]) == [1, 2]
        # as if it had never stopped
        np.testing.assert_allclose(result.values("dice"), expected.values("dice"), atol=1e-6)


def test_a_stop_between_two_trainings_of_a_plain_engine(tmp_path):
    results = []

    def listen(said):
        if said.result is not None:
            results.append(said.result)

    plan = plan_of(SMALL, training=replace(TRAINING, epochs=1))
    folder = tmp_path / "it"
    asked = iter([False, *[True] * 99])
    with InlineEngine() as engine:
        half = run_comparison(
            IMAGES, plan, folder, engine=engine, on_report=listen, stopped=lambda: next(asked)
        )
    assert len(half.results) + len(half.missing) == 2
    assert len(results) == len(half.results) < 2


def test_a_training_killed_before_its_first_epoch_begins_again(tmp_path):
    plan = plan_of(SMALL, seeds=(752,), training=replace(TRAINING, epochs=1))
    comparison = run_comparison(IMAGES, plan, tmp_path / "it", stopped=lambda: True)
    (waiting,) = comparison.missing
    cut = comparison.folder / waiting.folder
    cut.mkdir(parents=True)
    (cut / "annotation_0001.ome.tif").write_bytes(b"cut o")
    assert run_comparison(IMAGES, plan, tmp_path / "it").missing == ()


def test_networks_and_seeds_can_be_added(complete, tmp_path):
    one = plan_of(SMALL, seeds=(752,), training=replace(TRAINING, epochs=1))
    first = run_comparison(IMAGES, one, tmp_path / "it")
    reports = []
    more = replace(one, seeds=(752, 2245))
    second = run_comparison(IMAGES, more, tmp_path / "it", on_report=reports.append)
    assert reports[0].done == 1
    assert second.results[0] == first.results[0]
    assert [result.contestant.seed for result in second.results] == [752, 2245]


def test_another_comparison_is_never_mixed_in(complete, tmp_path):
    comparison, _ = complete
    plan = comparison.record.plan
    longer = replace(plan, training=replace(TRAINING, epochs=9))
    with pytest.raises(RunError, match="begun with training: epochs 2, not 9"):
        run_comparison(IMAGES, longer, comparison.folder)
    with pytest.raises(RunError, match="other images or labels"):
        run_comparison(IMAGES[:3], plan, comparison.folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not a comparison"):
        run_comparison(IMAGES, plan, tmp_path / "mine")
    assert read_comparison(comparison.folder) == replace(comparison, failed=())


def test_damaged_folders_are_said(complete, tmp_path):
    with pytest.raises(RunError, match=r"has no comparison\.json"):
        read_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="format 99"):
        read_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text(json.dumps({"format": 1, "plan": 3}))
    with pytest.raises(RunError, match="damaged"):
        read_comparison(tmp_path)


def test_one_failure_leaves_the_others(tmp_path, monkeypatch):
    train = jobs.train_run

    def failing(request, **said):
        if request.plan.seed == 752:
            raise MemoryError
        return train(request, **said)

    monkeypatch.setattr(jobs, "train_run", failing)
    plan = plan_of(SMALL, training=replace(TRAINING, epochs=1))
    comparison = run_comparison(IMAGES, plan, tmp_path / "it")
    assert [result.contestant.seed for result in comparison.results] == [2245]
    ((name, why),) = comparison.failed
    assert "seed 752" in name
    assert "memory" in why


# plans


def test_grid_is_the_catalogs_nearest():
    specs, notes = grid((5, 44, 120, 392), (30_000,))
    fields = [receptive_field(spec).nominal for spec in specs]
    np.testing.assert_allclose(fields, [5, 44, 120, 392], rtol=0.1)
    assert all(abs(spec.parameters / 30_000 - 1) < 0.1 for spec in specs)
    assert notes == ()
    assert grid((44, 44.4), (8_000,))[0] == grid((44,), (8_000,))[0]
    _, notes = grid((100_000,), (8_000,))
    assert "no network has a field of 100000 px" in notes[0]


def test_contestants_come_seed_by_seed_with_folders_of_their_own():
    plan = plan_of(SMALL, LARGE, replace(LARGE, growth=1.5), seeds=seeds(7))
    contestants = list(plan.contestants(3))
    assert [each.seed for each in contestants[:6]] == [752, 752, 752, 2245, 2245, 2245]
    assert len({each.folder for each in contestants}) == 21
    assert contestants[0].spec == SMALL.with_classes(3)
    assert len({each.seed for each in contestants}) == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"held_out": 0.0}, "held_out is 0.0"),
        ({"seeds": ()}, "no seed"),
        ({"seeds": (1, 1)}, "the seeds hold one twice"),
        ({"baselines": ("k-means",)}, "no baseline"),
    ],
)
def test_wrong_plans_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        plan_of(**changes)


def test_images_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two images are named"):
        hold_out([IMAGES[0], *IMAGES], plan_of())


def test_the_gap_holds_every_reach():
    for pools, dilation in product([(2, 2), (8, 8), (2, 8)], (1, 3)):
        spec = NetworkSpec(pools, (dilation,) * 3)
        field = receptive_field(spec)
        plan = plan_of(spec)
        assert plan.gap_px >= max(field.before.max(), field.after.max(), field.halo)
    assert plan_of(SMALL, baselines=("random forest",)).gap_px == 68
