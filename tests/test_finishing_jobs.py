"""How runs carry their finishing: suggested in the training, applied to what is predicted."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_tem_rf import jobs, predict
from napari_tem_rf.jobs import TrainRequest, Watched, orientations, training
from napari_tem_rf.jobs.mask_files import ForeignMaskError, MaskFile
from napari_tem_rf.jobs.orientations import settled
from napari_tem_rf.jobs.pixel_sizes import finishing_for
from napari_tem_rf.learning import orientations as learning_orientations
from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing, finish_prediction
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.resampling import Resampling
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import PreviewReport, TrainingPlan
from napari_tem_rf.provenance import read_provenance
from napari_tem_rf.runs import read_run

SPEC = NetworkSpec(pools=(2,), filters=3)
PLAN = TrainingPlan(epochs=3, batch=4, crop_px=32, device="cpu", validation=0.0, learning_rate=2e-2)
SHAPE = (67, 83)
NM = (0.02, 0.02)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def image_of(noise=1.0, seed=752):
    """Return an image of six discs, and its mask."""
    rows, columns = np.indices(SHAPE)
    mask = np.zeros(SHAPE, np.uint8)
    for row in (16, 48):
        for column in (14, 40, 68):
            mask[(rows - row) ** 2 + (columns - column) ** 2 < 8**2] = 1
    rng = np.random.default_rng(seed)
    pixels = (rng.normal(size=SHAPE) * noise - mask).astype(np.float32)
    return LabelledImage("gold", pixels, mask, NM)


def request_of(folder, **changes):
    return TrainRequest(
        folder,
        **{
            "images": (image_of(0.2),),
            "spec": SPEC,
            "plan": PLAN,
            "unlabelled": "background",
            **changes,
        },
    )


def train(request):
    reports = []
    return jobs.train_run(request, report=reports.append, stopped=lambda: False), reports


def predict_with(run, pixels, **options):
    return jobs.predict_with_run(
        run, pixels, report=lambda report: None, stopped=lambda: False, **options
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finishing") / "run"
    train(request_of(folder))
    return folder


@pytest.fixture
def noisy():
    """An image so noisy that the network leaves specks."""
    return image_of(0.5, seed=2245).pixels


def pieces(labels):
    return ndimage.label(labels > 0, np.ones((3, 3)))[1]


def test_a_training_suggests_how_its_masks_are_finished(run):
    record = read_run(run).record
    # six discs of 193 px: half of that is the area of a circle 11.1 px across
    assert record.finishing.smallest_px == pytest.approx(np.sqrt(4 / np.pi * 193 / 2), abs=0.5)
    assert record.finishing.enabled
    assert 0.5 < record.finishing.certainty <= 0.7
    assert "6 whole particles" in record.finishing_reason
    assert record.summary()["finishing"] == record.finishing.to_dict()


def test_a_run_finishes_what_it_predicts(run, noisy):
    raw = predict_with(run, noisy, finishing=UNFINISHED, probabilities=True)
    suggested = read_run(run).record.finishing
    finished = predict_with(run, noisy, keep=True)
    np.testing.assert_array_equal(raw.labels, raw.probabilities.argmax(0))
    assert pieces(raw.labels) > 6
    assert pieces(finished.labels) == 6
    assert finished.finishing == replace(suggested, orientations="eight")
    again, _ = jobs.finish_again(
        finished.classes,
        finished.shares,
        finished.finishing,
        report=lambda report: None,
        stopped=lambda: False,
    )
    np.testing.assert_array_equal(again, finished.labels)
    # what is kept are 255ths: a pixel as likely as not may fall to the other class
    whole = predict_with(run, noisy, probabilities=True).probabilities
    exact = finish_prediction(whole.argmax(0), whole[1:], finished.finishing)
    assert (finished.labels == exact).mean() > 0.999


def test_as_it_lies_the_network_decides_once(run, noisy):
    raw = predict_with(run, noisy, finishing=UNFINISHED)
    once = Finishing(smallest_px=4)
    finished = predict_with(run, noisy, finishing=once, keep=True)
    assert finished.finishing == once
    np.testing.assert_array_equal(finished.classes, raw.labels)


def test_what_the_network_says_is_averaged_over_orientations(run, noisy):
    """By hand: predict the turned and mirrored images, turn back, take the mean."""
    off = {"finishing": UNFINISHED, "probabilities": True}
    said = []
    for mirrored in (False, True):
        for quarter in range(4):
            turned = np.rot90(noisy, quarter)
            turned = turned[:, ::-1] if mirrored else turned
            likely = predict_with(run, np.ascontiguousarray(turned), **off).probabilities
            likely = likely[:, :, ::-1] if mirrored else likely
            said.append(np.rot90(likely, -quarter, (1, 2)))
    found = predict_with(run, noisy, probabilities=True, finishing=Finishing(orientations="eight"))
    np.testing.assert_allclose(found.probabilities, np.mean(said, axis=0), atol=1e-4)
    assert abs(found.probabilities - said[0]).max() > 0.05
    clear = abs(found.probabilities[0] - 0.5) > 0.01
    np.testing.assert_array_equal((found.labels > 0)[clear], (found.probabilities[1] > 0.5)[clear])
    two = predict_with(run, noisy, probabilities=True, finishing=Finishing(orientations="two"))
    np.testing.assert_allclose(two.probabilities, (said[0] + said[5]) / 2, atol=1e-4)


def test_time_is_told_by_the_arithmetic(run):
    record = read_run(run).record
    plan = Finishing(orientations="as time allows")
    pixels = orientations.MOST_MACS / record.network.macs_per_pixel
    side = int((pixels / 8) ** 0.5)

    def allowed(shape, frames=1, resampling=None):
        return settled(plan, record, shape, resampling, frames).orientations

    assert allowed((side, side)) == "eight"
    assert allowed((side + 2, side)) == "two"
    assert allowed((side, side), frames=4) == "two"
    assert allowed((side, side), frames=5) == "one"
    halved = Resampling(image_nm=(0.01, 0.01), network_nm=(0.02, 0.02))
    assert allowed((2 * side, 2 * side), resampling=halved) == "eight"
    binned = replace(record, cleaning=Cleaning(binning=2))
    assert settled(plan, binned, (2 * side, 2 * side), None).orientations == "eight"
    assert settled(replace(plan, orientations="eight"), record, (10**6, 10**6), None) == replace(
        plan, orientations="eight"
    )
    off = settled(replace(plan, enabled=False), record, (8, 8), None)
    assert off.orientations == "one"


def test_what_is_expected_is_not_of_the_mean(run, noisy):
    """It was learned on masks from one orientation: asking in more does not change it."""
    said = [
        predict_with(run, noisy, judged=True, finishing=Finishing(orientations=number)).expected
        for number in ("one", "eight")
    ]
    assert said[0] == said[1]
    assert said[0].dice is not None


def test_in_python_it_can_be_switched_off(run, noisy):
    raw = predict_with(run, noisy, finishing=UNFINISHED)
    off = predict(run, noisy, finishing=Finishing(enabled=False))
    np.testing.assert_array_equal(off.labels, raw.labels)
    assert pieces(predict(run, noisy).labels) == 6


def test_a_run_of_an_earlier_version_predicts_as_before(run, noisy, tmp_path):
    values = json.loads((run / "run.json").read_text())
    del values["finishing"], values["finishing_reason"]
    old = tmp_path / "old"
    old.mkdir()
    (old / "run.json").write_text(json.dumps(values))
    for name in ("weights.safetensors", "annotation.ome.tif"):
        (old / name).write_bytes((run / name).read_bytes())
    assert read_run(old).record.finishing == UNFINISHED
    raw = predict_with(run, noisy, finishing=UNFINISHED)
    np.testing.assert_array_equal(predict_with(old, noisy).labels, raw.labels)
    suggestion = jobs.suggest_from_run(old, report=lambda report: None, stopped=lambda: False)
    assert suggestion.finishing.smallest_px == read_run(run).record.finishing.smallest_px


def test_the_papers_recipe_does_not_finish(tmp_path):
    record, _ = train(request_of(tmp_path / "run", plan=replace(PLAN, preset="sytwu2022")))
    assert not record.finishing.changes_something
    assert record.finishing.smallest_px > 0  # one tick and it does


def test_what_is_chosen_before_the_training_is_kept(tmp_path):
    chosen = Finishing(smallest_px=4)
    record, _ = train(request_of(tmp_path / "run", finishing=chosen))
    assert record.finishing == chosen


def test_lengths_are_px_of_the_image_before_it_is_binned(run, tmp_path):
    record, _ = train(request_of(tmp_path / "run", cleaning=Cleaning(binning=2)))
    expected = read_run(run).record.finishing.smallest_px
    assert record.finishing.smallest_px == pytest.approx(expected, rel=0.15)


def test_the_live_prediction_is_finished(tmp_path, monkeypatch, noisy):
    monkeypatch.setattr(training, "FIRST_PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr(training, "PREVIEW_SECONDS", 0.0)
    nothing = Finishing(smallest_px=100)
    seen = {}
    for name, finishing in (("off", UNFINISHED), ("all", nothing)):
        watched = Watched(noisy, None, finishing)
        _, reports = train(request_of(tmp_path / name, watched=watched))
        previews = [each for each in reports if isinstance(each, PreviewReport)]
        seen[name] = previews[-1].labels
    assert seen["off"].any()
    assert not seen["all"].any()


def test_at_another_pixel_size_lengths_are_the_same_in_nm(run):
    record = read_run(run).record
    finishing = finishing_for(record, (0.04, 0.04))
    assert finishing.smallest_px == pytest.approx(record.finishing.smallest_px / 2)
    assert finishing.certainty == record.finishing.certainty
    assert finishing_for(record, None) == finishing_for(record, NM) == record.finishing


def test_a_mask_that_was_finished_otherwise_is_not_taken_for_this_one(run, noisy, tmp_path):
    opened = read_run(run)
    micrograph = Micrograph(noisy, "gold", NM)
    mask = MaskFile(opened, micrograph, tmp_path / "gold.tif")
    assert mask.begin() == (0,)
    mask.write(0, predict_with(*mask.arguments(0)[:2], finishing=mask.finishing))
    mask.finish()
    done = replace(opened.record.finishing, orientations="eight")
    assert read_provenance(tmp_path / "gold.tif")["finishing"] == done.to_dict()
    assert MaskFile(opened, micrograph, tmp_path / "gold.tif").is_done
    off = replace(opened, record=replace(opened.record, finishing=UNFINISHED))
    with pytest.raises(ForeignMaskError, match="not from this run"):
        MaskFile(off, micrograph, tmp_path / "gold.tif")


def test_after_strokes_certainty_is_found_on_what_is_predicted(tmp_path, monkeypatch):
    asked = []
    turned = learning_orientations.predict_turned

    def note(predict, pixels, ways, **named):
        asked.append(len(ways))
        return turned(predict, pixels, ways, **named)

    monkeypatch.setattr(learning_orientations, "predict_turned", note)
    train(request_of(tmp_path / "masks"))
    assert set(asked) == {1}
    asked.clear()
    strokes = np.zeros_like(image_of().labels)
    strokes[14:18, 10:18], strokes[46:50, 36:44], strokes[30:34, 20:60] = 2, 2, 1
    painted = replace(image_of(0.2), labels=strokes)
    train(request_of(tmp_path / "strokes", images=(painted,), unlabelled="ignore"))
    assert asked == [8]
