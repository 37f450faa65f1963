"""What a run keeps of what it was trained on, and what is expected of its masks."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_tem_rf import Micrograph, jobs, predict, train
from napari_tem_rf.jobs.judging import held_out_dice, judge
from napari_tem_rf.jobs.pixel_sizes import size_sentence, wished_resampling
from napari_tem_rf.learning.prediction import Prediction
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.runs import read_run
from napari_tem_rf.workflow import fit_baseline

SHAPE = (96, 139)
NM = (0.05, 0.05)
QUIET = {"report": lambda report: None, "stopped": lambda: False}


def micrograph(seed, noise=1.0, nm=NM, dose=None):
    """Dark discs, 4 standard deviations from their surroundings, and their mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    mask = np.zeros(SHAPE, np.uint8)
    for row, column in ((25, 30), (65, 45), (40, 100)):
        row, column = row + rng.integers(-8, 9), column + rng.integers(-8, 9)
        mask[(rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(10, 14) ** 2] = 1
    pixels = (100 - 40 * mask + 10 * noise * rng.normal(size=SHAPE)).astype(np.float32)
    metadata = {} if dose is None else {"dose": dose}
    return Micrograph(pixels, f"image {seed}", nm, metadata), mask


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    images, masks = zip(*(micrograph(seed, dose=80.0 + seed) for seed in range(5)), strict=True)
    plan = TrainingPlan(epochs=None, steps=100, validation=0.3, device="cpu", crop_px=64, batch=8)
    return train(
        images,
        masks,
        tmp_path_factory.mktemp("runs") / "run",
        NetworkSpec((2, 2), filters=4),
        plan,
        unlabelled="background",
        start=None,
    )


def test_a_run_keeps_what_it_was_trained_on(run):
    trained_on = read_run(run.folder).record.trained_on
    assert trained_on == run.record.trained_on
    assert len(trained_on.images) == 5
    assert {each.dose for each in trained_on.images} == {80.0 + seed for seed in range(5)}
    for each in trained_on.images:
        assert each.pixel_size_nm == NM
        # 40 counts of 10 are 4 sigma, and the mean of 100 less 40 counts where there are discs
        assert each.contrast[0] == pytest.approx(-4, abs=0.4)
        assert 85 < each.grey_mean < 100
        # the noise of 10 counts beside the standard deviation of all
        assert each.noise == pytest.approx(10 / each.grey_sd, rel=0.1)
    assert trained_on.held_out
    assert len(trained_on.evidence) == len(run.record.scores["images"])
    assert trained_on.features.crops > 1
    assert len(trained_on.features.mean) == 2 * 16
    assert len(trained_on.masks) == 5
    for each in trained_on.masks:
        # three discs of 10 to 14 px across the radius; a crossing on either side of each row
        assert each.foreground == pytest.approx(3 * np.pi * 12**2 / (96 * 139), rel=0.4)
        assert each.outline == pytest.approx(3 * 2 * 24 / 96 / 139, rel=0.5)


def test_a_mask_that_finishing_empties_is_judged_as_it_is(run):
    """Particles of at least 60 px across are asked for: none is left."""
    image, _ = micrograph(77)
    asked = {"judged": True, "pixel_size_nm": NM, **QUIET}
    usual = jobs.predict_with_run(run.folder, image.frame(), **asked)
    strict = replace(usual.finishing, enabled=True, smallest_px=60.0)
    emptied = jobs.predict_with_run(run.folder, image.frame(), finishing=strict, **asked)
    assert not emptied.labels.any()
    assert emptied.expected.warns
    assert any("finishing changes much" in each for each in emptied.expected.reasons)
    assert not usual.expected.warns


def test_a_run_of_before_masks_were_kept_is_judged_all_the_same(run, tmp_path):
    values = json.loads((run.folder / "run.json").read_text())
    del values["trained_on"]["masks"]
    for each in values["trained_on"]["evidence"]:
        del each["finished"], each["outline"]
    older = tmp_path / "older"
    older.mkdir()
    (older / "run.json").write_text(json.dumps(values))
    (older / "weights.safetensors").write_bytes((run.folder / "weights.safetensors").read_bytes())
    found = predict(older, micrograph(77)[0]).expected
    assert found.dice == pytest.approx(predict(run, micrograph(77)[0]).expected.dice, abs=0.1)
    assert not found.warns


def test_an_image_like_those_of_the_training_is_not_warned_of(run):
    image, mask = micrograph(77)
    result = predict(run, image)
    found = result.expected
    assert found is not None
    assert found.dice is not None
    assert not found.warns
    true = 2 * np.sum((result.labels > 0) & (mask > 0)) / (np.sum(result.labels > 0) + mask.sum())
    assert abs(found.dice - true) < 0.15


def test_noise_is_seen_and_said(run):
    usual = predict(run, micrograph(77)[0]).expected
    noisy = predict(run, micrograph(77, noise=6.0)[0]).expected
    assert noisy.warns
    assert noisy.dice is None or noisy.dice < usual.dice - 0.1
    assert any("the noise, beside its contrast" in each for each in noisy.reasons)


def test_other_pixels_are_resampled_or_said(run):
    image, _ = micrograph(77, nm=(0.0625, 0.0625))
    resampled = predict(run, image)
    assert not any("pixels" in each for each in resampled.expected.reasons)
    assert "resampled for the prediction" in resampled.notes[-1]
    as_it_is = predict(run, image, resample=False)
    assert "pixels 1.25 times as large" in as_it_is.expected.reasons
    assert "predicted as it is" in as_it_is.notes[-1]


def test_what_is_not_asked_for_is_not_judged(run):
    found = jobs.predict_with_run(run.folder, micrograph(1)[0].frame(), **QUIET)
    assert found.expected is None


def test_old_runs_and_baselines_leave_nothing_to_judge_by(run, tmp_path):
    values = json.loads((run.folder / "run.json").read_text())
    del values["trained_on"]
    older = tmp_path / "older"
    older.mkdir()
    (older / "run.json").write_text(json.dumps(values))
    (older / "weights.safetensors").write_bytes((run.folder / "weights.safetensors").read_bytes())
    image, mask = micrograph(77)
    found = predict(older, image).expected
    assert (found.dice, found.warns, found.trust) == (None, False, "unknown")
    assert "the run does not say what it was trained on" in found.sentence
    forest = fit_baseline([image], [mask], tmp_path / "forest", unlabelled="background")
    said = predict(forest, image).expected
    assert said.trust == "unknown"
    assert "random forest leaves nothing to judge" in said.sentence


def test_constant_images_and_several_classes_are_not_judged(run):
    classes = np.zeros(SHAPE, np.uint8)
    said = Prediction(classes, None, classes[None])
    constant = judge(None, run.record, np.zeros(SHAPE, np.float32), said, classes, NM)
    assert constant.basis == "the image is constant"
    three = replace(
        run.record, classes=replace(run.record.classes, values=(0, 1, 2), names=("a", "b", "c"))
    )
    ones = np.ones(SHAPE, np.float32)
    assert "not of several" in judge(None, three, ones, said, classes, NM).basis


def test_a_score_on_strokes_is_no_dice_to_begin_with(run):
    assert held_out_dice(run.record) == run.record.validation_dice
    strokes = replace(run.record, split={**run.record.split, "scored": "strokes"})
    assert held_out_dice(strokes) is None


def test_a_damaged_record_is_refused(run, tmp_path):
    values = json.loads((run.folder / "run.json").read_text())
    values["trained_on"]["evidence"] = []
    (tmp_path / "run.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"trained_on.evidence: there are 0"):
        read_run(tmp_path)


def test_images_are_resampled_where_the_field_finds_room(run):
    """The field is 44 px: an image of 96 x 139 px may become half as large, and no smaller."""
    about = (run.record, (NM[0] / 2.0, NM[1] / 2.0), SHAPE)
    assert wished_resampling(*about).shape(SHAPE) == (48, 70)
    small = (run.record, (NM[0] / 3.0, NM[1] / 3.0), SHAPE)
    assert wished_resampling(*small) is None
    assert "less than the receptive field of 44 px" in size_sentence(*small)
    assert wished_resampling(*small, True) is not None
    large = (run.record, (NM[0] * 9, NM[1] * 9), SHAPE)
    assert wished_resampling(*large) is None
    assert "hold nothing to resample from" in size_sentence(*large)
    with pytest.raises(ValueError, match="hold nothing to resample from"):
        wished_resampling(*large, True)
    assert wished_resampling(*about, False) is None
    huge = (run.record, (NM[0] * 2, NM[1] * 2), (9_000, 9_000))
    assert "it would have 18,000 x 18,000 px" in size_sentence(*huge)
    assert wished_resampling(run.record, NM, SHAPE) is None
