"""Runs of baselines: made, moved, opened, predict as scikit-learn does; tampered ones refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from napari_tem_rf import effective_field, jobs
from napari_tem_rf.learning.forest import Forest
from napari_tem_rf.learning.pixel_features import feature_strips
from napari_tem_rf.measuring.finishing import UNFINISHED
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.micrographs.resampling import Resampling
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.provenance import provenance_of
from napari_tem_rf.runs import RunError, create_run, read_run
from napari_tem_rf.starting import read_start
from napari_tem_rf.workflow import fit_baseline, predict, repeat

QUIET = {"report": lambda report: None, "stopped": lambda: False}


def discs(name, seed, shape=(127, 109)):
    """Return discs of two kinds on noise, finished masks of 0, 1 and 4."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, np.uint8)
    for value in (1, 4, 1, 4):
        row, column = rng.uniform(20, 90, 2)
        mask[(rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(8, 15) ** 2] = value
    grey = np.choose(np.searchsorted([0, 1, 4], mask), [0.0, 3.0, 6.0])
    return LabelledImage(name, 100 + grey + rng.standard_normal(shape), mask, (0.5, 0.5))


IMAGES = tuple(discs(f"discs_{n}", seed=752 + n) for n in range(4))


def request_of(folder, method="forest", images=IMAGES, **changes):
    changes = {"unlabelled": "background", "plan": TrainingPlan(seed=956), **changes}
    return jobs.FitRequest(run=folder, method=method, images=images, **changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a forest's run, moved since, and scikit-learn's forest that it was made of."""
    kept = []
    of = Forest.of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Forest, "of", lambda grown, classes: (kept.append(grown), of(grown, classes))[1]
        )
        folder = tmp_path_factory.mktemp("made") / "forest"
        record = jobs.fit_run(
            request_of(folder, cleaning=Cleaning(spikes="paper", spike_threshold=30.0)), **QUIET
        )
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.move(folder, moved)
    return moved, kept[0], record


@pytest.fixture
def run(made, tmp_path):
    """A copy of the forest's run to tamper with."""
    return read_run(shutil.copytree(made[0], tmp_path / "run"))


def test_a_moved_forest_predicts_what_scikit_learns_forest_says(made):
    folder, grown, _ = made
    image = discs("new", seed=2245)
    pixels = standardise(clean(image.pixels, Cleaning(spikes="paper", spike_threshold=30.0)))
    (_, features), *_ = feature_strips(pixels)
    says = grown.predict(features.reshape(-1, features.shape[-1])).reshape(pixels.shape)
    found = jobs.predict_with_run(folder, image.pixels, finishing=UNFINISHED, **QUIET)
    np.testing.assert_array_equal(found.labels, np.array([0, 1, 4])[says])
    assert (found.labels == image.labels).mean() > 0.9
    tiles = jobs.predict_with_run(folder, image.pixels, 23, True, finishing=UNFINISHED, **QUIET)
    np.testing.assert_array_equal(tiles.labels, found.labels)
    shares = grown.predict_proba(features.reshape(-1, features.shape[-1])).T
    np.testing.assert_allclose(tiles.probabilities, shares.reshape(3, *pixels.shape), atol=1e-6)


def test_a_run_holds_no_code_and_what_it_was_made_from(made):
    folder, _, record = made
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"annotation_{n:04d}.ome.tif" for n in range(1, 5)),
        "run.json",
        "weights.safetensors",
    ]
    opened = read_run(folder)
    assert opened.record == record
    assert (opened.record.state, opened.record.method, opened.record.spec) == (
        *("finished", "forest"),
        None,
    )
    assert {entry.name for entry in record.data} == {image.name for image in IMAGES}
    # one of four images is held out, and scored as a network's is
    assert record.split["kind"] == "groups"
    assert 0.8 < record.validation_dice <= 1
    assert record.validation_dice == pytest.approx(record.scores["images"][0]["dice"])
    made_by = provenance_of(opened, "new", None, None)
    assert made_by["method"] == "random forest"
    assert "receptive_field" not in made_by
    assert opened.record.summary()["method"] == "forest"
    json.dumps(made_by)


def test_pixel_sizes_are_made_up_for_as_with_a_network(made):
    image = discs("new", seed=2245)
    coarse = Resampling((0.5, 0.5), (0.5, 0.5))
    same = jobs.predict_with_run(made[0], image.pixels, None, False, "auto", coarse, **QUIET)
    whole = jobs.predict_with_run(made[0], image.pixels, **QUIET)
    np.testing.assert_array_equal(same.labels, whole.labels)


def tampered(run, change):
    arrays = load_file(run.weights)
    change(arrays)
    save_file(arrays, run.weights)


def lead_back(arrays):
    arrays["left"][int(np.flatnonzero(arrays["left"] > 0)[5])] = 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lead_back, "a node leads back, or out of its tree"),
        (lambda arrays: arrays["feature"].fill(24), "a feature that is not one of the 24"),
        (lambda arrays: arrays["threshold"].fill(np.nan), "values that are not numbers"),
        (lambda arrays: arrays.update(values=arrays["values"][:, :2].copy()), "have the shape"),
        (lambda arrays: arrays.update({"head.weight": np.zeros(3)}), "where a forest has"),
    ],
)
def test_a_tampered_forest_is_refused(run, change, words):
    tampered(run, change)
    with pytest.raises(RunError, match=words) as told:
        jobs.predict_with_run(run.folder, IMAGES[0].pixels, **QUIET)
    assert "restore it from a copy" in str(told.value)


def test_what_is_no_file_of_arrays_is_refused_and_never_run(run):
    run.weights.write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(RunError, match="is not a weights file"):
        jobs.predict_with_run(run.folder, IMAGES[0].pixels, **QUIET)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "network"}, "has format 2 but this version reads up to 1"),
        ({"method": "network", "format": 1}, "a network has a spec"),
        ({"method": "magic"}, "method"),
        ({"format": 3}, "has format 3 but this version reads up to 2"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(run, changes, words):
    path = run.folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(RunError, match=words):
        read_run(run.folder)


def test_what_makes_no_sense_for_a_forest_says_so(made, tmp_path):
    words = "is a random forest and no network: it predicts, but it has no receptive field"
    with pytest.raises(ValueError, match=words):
        effective_field(made[0], IMAGES[0].pixels, (5, 5))
    with pytest.raises(ValueError, match=words):
        repeat(made[0], tmp_path / "again")
    with pytest.raises(ValueError, match=words):
        read_start(made[0], NetworkSpec((2,)), read_run(made[0]).record.classes)
    request = jobs.TrainRequest(made[0], IMAGES, NetworkSpec((2,)), resume=True)
    with pytest.raises(ValueError, match=words):
        jobs.train_run(replace(request, unlabelled="background"), **QUIET)


def test_nothing_is_left_of_a_fit_that_was_stopped_or_refused(tmp_path):
    stopped = {**QUIET, "stopped": lambda: True}
    assert jobs.fit_run(request_of(tmp_path / "run"), **stopped) is None
    with pytest.raises(jobs.NoLatticeError, match="several particle classes"):
        jobs.fit_run(request_of(tmp_path / "run", "fourier"), **QUIET)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    # and a folder of something else stays as it is
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="nothing is overwritten"):
        jobs.fit_run(request_of(tmp_path / "taken"), **QUIET)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]


def fringes(name, seed):
    """Return fringes of 7 px in an ellipse."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((149, 167))
    mask = ((rows - 70) / 45) ** 2 + ((columns - 80) / 50) ** 2 < 1
    wave = np.cos(2 * np.pi * (0.8 * rows + 0.6 * columns) / 7) * mask
    return LabelledImage(name, wave + 0.3 * rng.standard_normal(mask.shape), mask.astype(np.uint8))


def test_a_fourier_filter_is_a_run_too(tmp_path):
    images = (fringes("a", 1), fringes("b", 2), fringes("c", 3))
    record = jobs.fit_run(request_of(tmp_path / "run", "fourier", images), **QUIET)
    assert record.validation_dice > 0.9
    run = read_run(tmp_path / "run")
    assert run.read_weights()["period_px"] == pytest.approx(7, rel=0.03)
    new = fringes("d", 4)
    found = jobs.predict_with_run(run.folder, new.pixels, **QUIET)
    assert (found.labels == new.labels).mean() > 0.93
    # one threshold for the whole image: tiles do not matter
    tiles = jobs.predict_with_run(run.folder, new.pixels, 16, **QUIET)
    np.testing.assert_array_equal(tiles.labels, found.labels)
    with pytest.raises(ValueError, match="knows no probabilities"):
        jobs.predict_with_run(run.folder, new.pixels, None, True, **QUIET)
    tampered(run, lambda arrays: arrays["period_px"].fill(0))
    with pytest.raises(RunError, match=r"period_px is 0: it must be from 2 to 4096"):
        jobs.predict_with_run(run.folder, new.pixels, **QUIET)


def test_a_network_s_record_is_written_as_before(tmp_path, made):
    record = replace(made[2], spec=NetworkSpec((2,), classes=3), method="network", format=1)
    create_run(tmp_path / "run", record, {})
    values = json.loads((tmp_path / "run" / "run.json").read_text())
    assert values["format"] == 1
    del values["method"]  # version 0.1.0 wrote none
    (tmp_path / "run" / "run.json").write_text(json.dumps(values))
    assert read_run(tmp_path / "run").record == record


def test_a_forest_is_fitted_and_predicts_from_python(tmp_path, made):
    arrays = [image.pixels for image in IMAGES], [image.labels for image in IMAGES]
    run = fit_baseline(
        *arrays, tmp_path / "run", seed=956, unlabelled="background",
        cleaning=Cleaning(spikes="paper", spike_threshold=30.0),
    )  # fmt: skip
    new = discs("new", seed=2245)
    same = jobs.predict_with_run(made[0], new.pixels, **QUIET)
    np.testing.assert_array_equal(predict(run, new.pixels).labels, same.labels)
    with pytest.raises(ValueError, match="4 images have 3 labels"):
        fit_baseline(arrays[0], arrays[1][:3], tmp_path / "other")
    with pytest.raises(ValueError, match='"network" is no baseline'):
        fit_baseline(*arrays, tmp_path / "other", "network")
