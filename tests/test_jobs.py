"""What a worker does, from raw images and labels to a run and from a run to labels."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_tem_rf import jobs
from napari_tem_rf.jobs import TrainRequest, Watched, training
from napari_tem_rf.learning import crops, validation
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.learning.prediction import predict as predict_tiles
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning, clean, standardise
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport, PreviewReport, TrainingPlan
from napari_tem_rf.runs import RunError, read_run

SPEC = NetworkSpec(pools=(2,), filters=3)
PLAN = TrainingPlan(epochs=2, batch=4, crop_px=32, device="cpu", validation=0.0)
SHAPE = (67, 83)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(crops, "FEWEST_STEPS", 3)
    monkeypatch.setattr(crops, "MOST_STEPS", 3)


def truth_of(shape=SHAPE):
    """Return three discs as a mask of 0 and 1."""
    rows, columns = np.indices(shape)
    mask = np.zeros(shape, np.uint8)
    for row, column in ((15, 20), (45, 30), (30, 65)):
        mask[(rows - row) ** 2 + (columns - column) ** 2 < 11**2] = 1
    return mask


def image_of(values, shape=SHAPE, name="gold", **changes):
    """Return an image of counts, and labels that hold ``values`` for background and discs."""
    mask = truth_of(shape)
    rng = np.random.default_rng(752)
    pixels = rng.poisson(400 - 150 * mask.astype(float)).astype(np.uint16)
    labels = np.array(values)[mask].astype(np.uint16)
    if values[0] == 1:
        labels[np.arange(shape[0]) % 5 != 2] = 0  # strokes are every fifth row
    return LabelledImage(name, pixels, labels, **changes)


def request_of(folder, *images, **changes):
    images = images or (image_of((1, 2)),)
    return TrainRequest(folder, tuple(images), SPEC, **{"plan": PLAN, **changes})


def train(request, stopped=lambda: False):
    reports = []
    record = jobs.train_run(request, report=reports.append, stopped=stopped)
    return record, reports


def predict(run, pixels, **options):
    return jobs.predict_with_run(
        run, pixels, report=lambda report: None, stopped=lambda: False, **options
    )


def notes_of(reports):
    return [report.sentence for report in reports if isinstance(report, NoteReport)]


@pytest.mark.parametrize(
    ("values", "unlabelled", "predicted"),
    [
        ((1, 2), "ignore", (0, 2)),
        ((0, 1), "background", (0, 1)),
        ((0, 255), "background", (0, 255)),
        ((1, 700), "ignore", (0, 700)),
    ],
)
def test_predictions_have_the_annotations_values(tmp_path, values, unlabelled, predicted):
    """Discs 7 sd darker than the background: nearly every pixel must come out right."""
    image = image_of(values)
    plan = replace(PLAN, epochs=3, learning_rate=2e-2)
    record, _ = train(request_of(tmp_path / "run", image, plan=plan, unlabelled=unlabelled))
    result = predict(tmp_path / "run", image.pixels, probabilities=True)
    assert result.labels.shape == SHAPE
    assert result.labels.dtype == (np.uint8 if max(predicted) < 256 else np.uint16)
    assert set(np.unique(result.labels)) == set(predicted)
    expected = np.array(predicted)[truth_of()]
    assert (result.labels == expected).mean() > 0.95
    assert result.probabilities.shape == (2, *SHAPE)
    np.testing.assert_array_equal(
        result.labels, np.array(predicted)[result.probabilities.argmax(0)]
    )
    assert result.notes == ()
    assert record.state == "finished"


@pytest.mark.usefixtures("few_steps")
def test_a_run_holds_what_it_was_made_of(tmp_path):
    images = (
        image_of((1, 2), name="gold_1", pixel_size_nm=(0.02, 0.03), group="A"),
        image_of((1, 3), shape=(61, 71), name="gold_2", group="B"),
    )
    record, reports = train(
        request_of(
            tmp_path / "run",
            *images,
            class_names={2: "gold", 3: "carbon"},
            class_colors={2: "#ffcc00"},
            sources={"gold_1": "/data/gold_1.dm3"},
        )
    )
    run = read_run(tmp_path / "run")
    assert run.record == record
    assert record.spec == SPEC.with_classes(3)
    assert record.classes.values == (1, 2, 3)
    assert record.classes.names == ("background", "gold", "carbon")
    assert [entry.group for entry in record.data] == ["A", "B"]
    assert record.data[0].source == "/data/gold_1.dm3"
    assert record.data[1].source is None
    for entry, image in zip(record.data, images, strict=True):
        np.testing.assert_array_equal(read_labels(run.folder / entry.annotation), image.labels)
        assert entry.shape == image.pixels.shape
        assert entry.pixel_size_nm == image.pixel_size_nm
    assert sorted(each.name for each in run.folder.iterdir()) == [
        "annotation_0001.ome.tif",
        "annotation_0002.ome.tif",
        "checkpoint.pt",
        "history.csv",
        "run.json",
        "weights.safetensors",
    ]
    assert (record.epochs, record.steps, record.best_epoch) == (2, 6, 2)
    assert len((run.folder / "history.csv").read_text().splitlines()) == 3
    assert len([report for report in reports if isinstance(report, EpochReport)]) == 2
    assert notes_of(reports)[0] == "nothing is held out, as asked for"
    assert "numpy" in record.versions


def test_the_record_has_the_scores_of_the_kept_weights(tmp_path):
    image = image_of((0, 1), shape=(131, 149))
    plan = replace(PLAN, validation=0.2, epochs=3)
    record, reports = train(request_of(tmp_path / "run", image, plan=plan, unlabelled="background"))
    assert record.split["kind"] == "blocks"
    best = max(
        (report for report in reports if isinstance(report, EpochReport)),
        key=lambda report: round(report.validation_dice, 3),
    )
    assert record.validation_dice == pytest.approx(best.validation_dice, abs=1e-6)
    assert record.scores["images"] == [{"name": "gold", "dice": record.validation_dice}]


def weights_of(folder):
    return {name: value.tobytes() for name, value in read_run(folder).read_weights().items()}


@pytest.mark.usefixtures("few_steps")
def test_resumed_is_unbroken_number_for_number(tmp_path):
    train(request_of(tmp_path / "unbroken", plan=replace(PLAN, epochs=4)))
    train(request_of(tmp_path / "broken"))
    longer = replace(PLAN, epochs=4)
    record, reports = train(request_of(tmp_path / "broken", plan=longer, resume=True))
    assert [r.epoch for r in reports if isinstance(r, EpochReport)] == [3, 4]
    assert (record.epochs, record.plan.epochs, record.state) == (4, 4, "finished")
    assert weights_of(tmp_path / "broken") == weights_of(tmp_path / "unbroken")
    histories = [
        [line.split(",")[3:] for line in (tmp_path / name / "history.csv").read_text().splitlines()]
        for name in ("broken", "unbroken")
    ]
    assert histories[0] == histories[1]


@pytest.mark.usefixtures("few_steps")
def test_a_training_killed_in_mid_epoch_goes_on_from_the_last_one(tmp_path):
    train(request_of(tmp_path / "unbroken", plan=replace(PLAN, epochs=3)))

    class KilledError(BaseException):
        pass

    asked = []

    def kill():
        asked.append(1)
        if len(asked) == 5:  # in the second epoch of three steps
            raise KilledError
        return False

    with pytest.raises(KilledError):
        train(request_of(tmp_path / "killed", plan=replace(PLAN, epochs=3)), stopped=kill)
    run = read_run(tmp_path / "killed")
    assert run.record.state == "training"
    assert run.read_weights()
    train(request_of(tmp_path / "killed", plan=replace(PLAN, epochs=3), resume=True))
    assert weights_of(tmp_path / "killed") == weights_of(tmp_path / "unbroken")


def test_a_training_whose_seconds_the_beginning_took_makes_a_step(tmp_path):
    """As on a busy machine: there is a result, of an epoch that was begun."""
    record, _ = train(request_of(tmp_path / "run", plan=replace(PLAN, epochs=None, seconds=1e-6)))
    assert (record.state, record.epochs, record.steps) == ("finished", 1, 1)
    assert read_run(tmp_path / "run").read_weights()


@pytest.mark.usefixtures("few_steps")
def test_a_training_that_ended_before_its_first_epoch_begins_again(tmp_path):
    with pytest.raises(ValueError, match="was stopped before its first step: resume it"):
        train(request_of(tmp_path / "run"), stopped=lambda: True)
    train(request_of(tmp_path / "other"))
    record, _ = train(request_of(tmp_path / "run", resume=True))
    assert record.epochs == 2
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "other")


@pytest.mark.usefixtures("few_steps")
def test_resuming_what_is_over_says_so_and_changes_nothing(tmp_path):
    record, _ = train(request_of(tmp_path / "run"))
    before = weights_of(tmp_path / "run")
    again, reports = train(request_of(tmp_path / "run", resume=True))
    assert weights_of(tmp_path / "run") == before
    assert again == record
    assert "nothing was left to train after 2 epochs" in notes_of(reports)[-1]


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("change", ["labels", "pixels", "more images"])
def test_resume_refuses_other_images_or_labels(tmp_path, change):
    image = image_of((1, 2))
    train(request_of(tmp_path / "run", image))
    before = (tmp_path / "run" / "run.json").read_bytes()
    labels, pixels = image.labels.copy(), image.pixels.copy()
    labels[2, 2] = 2
    pixels[0, 0] += 1
    images = {
        "labels": (replace(image, labels=labels),),
        "pixels": (replace(image, pixels=pixels),),
        "more images": (image, replace(image, name="second")),
    }[change]
    with pytest.raises(RunError, match=r"from other images or labels: .* start a new run from its"):
        train(request_of(tmp_path / "run", *images, resume=True))
    assert (tmp_path / "run" / "run.json").read_bytes() == before


@pytest.mark.usefixtures("few_steps")
def test_resume_refuses_another_network_and_what_is_no_run(tmp_path):
    train(request_of(tmp_path / "run"))
    other = replace(request_of(tmp_path / "run", resume=True), spec=NetworkSpec(pools=(4,)))
    with pytest.raises(RunError, match=r"has the network pools 2, 3 filters .* not pools 4"):
        train(other)
    with pytest.raises(RunError, match=r"is not a run: it has no run\.json"):
        train(request_of(tmp_path / "none", resume=True))
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"half a checkp")
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        train(request_of(tmp_path / "run", resume=True))


@pytest.mark.usefixtures("few_steps")
def test_an_earlier_run_is_never_overwritten(tmp_path):
    train(request_of(tmp_path / "run"))
    before = {each.name: each.read_bytes() for each in (tmp_path / "run").iterdir()}
    with pytest.raises(RunError, match="resume it, or name another folder; nothing is overwritten"):
        train(request_of(tmp_path / "run"))
    assert {each.name: each.read_bytes() for each in (tmp_path / "run").iterdir()} == before


@pytest.mark.usefixtures("few_steps")
def test_starts_from_the_weights_of_another_run(tmp_path):
    train(request_of(tmp_path / "first"))
    still = replace(PLAN, learning_rate=1e-9, averaging=0.0, epochs=1, seed=2245)
    record, _ = train(request_of(tmp_path / "second", plan=still, start=tmp_path / "first"))
    assert record.start == str(tmp_path / "first")
    first, second = (read_run(tmp_path / n).read_weights() for n in ("first", "second"))
    np.testing.assert_allclose(second["head.weight"], first["head.weight"], atol=1e-7)
    other = replace(
        request_of(tmp_path / "third", start=tmp_path / "first"), spec=NetworkSpec((4,))
    )
    with pytest.raises(RunError, match=r"its weights do not fit .* pick the same network"):
        train(other)
    assert not (tmp_path / "third").exists()


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("use", ["predict", "start"])
def test_weights_of_another_network_are_said(tmp_path, use):
    """A folder that was mixed up: the record of one run, the weights of another."""
    train(request_of(tmp_path / "run"))
    other = replace(request_of(tmp_path / "other"), spec=NetworkSpec(pools=(2,), filters=5))
    train(other)
    weights = (tmp_path / "other" / "weights.safetensors").read_bytes()
    (tmp_path / "run" / "weights.safetensors").write_bytes(weights)
    sentence = r"weights .*do not fit the network \(pools 2, 3 filters"
    if use == "predict":
        with pytest.raises(RunError, match=sentence):
            predict(tmp_path / "run", image_of((1, 2)).pixels)
    else:
        with pytest.raises(ValueError, match=sentence):
            train(request_of(tmp_path / "third", start=tmp_path / "run"))


@pytest.mark.usefixtures("few_steps")
def test_prediction_follows_weights_that_change(tmp_path):
    """The network of a run is kept in memory between calls: not longer than its file."""
    train(request_of(tmp_path / "run"))
    pixels = image_of((1, 2)).pixels
    first = predict(tmp_path / "run", pixels, probabilities=True).probabilities
    train(request_of(tmp_path / "run", plan=replace(PLAN, epochs=3), resume=True))
    second = predict(tmp_path / "run", pixels, probabilities=True).probabilities
    assert np.abs(first - second).max() > 1e-4


@pytest.mark.usefixtures("few_steps")
def test_a_constant_image_is_predicted_with_a_note(tmp_path):
    train(request_of(tmp_path / "run"))
    result = predict(tmp_path / "run", np.full((31, 41), 7, np.uint16))
    assert result.labels.shape == (31, 41)
    assert result.notes == ("the image is constant: its prediction means nothing",)


@pytest.mark.usefixtures("few_steps")
def test_values_that_are_not_finite_do_not_spread(tmp_path):
    train(request_of(tmp_path / "run"))
    pixels = image_of((1, 2)).pixels.astype(float)
    clean_ = predict(tmp_path / "run", pixels, probabilities=True)
    pixels[3, 5], pixels[60, 80] = np.nan, np.inf
    result = predict(tmp_path / "run", pixels, probabilities=True)
    assert np.isfinite(result.probabilities).all()
    assert (result.labels == clean_.labels).mean() > 0.95
    with pytest.raises(ValueError, match="no pixel of the image is finite"):
        predict(tmp_path / "run", np.full((31, 41), np.nan))


@pytest.mark.parametrize("binning", [2, 3])
def test_binned_predictions_are_on_the_images_own_pixels(tmp_path, binning):
    """67 x 83 fills no whole blocks: rows and columns at the far edges must come too."""
    image = image_of((0, 1))
    plan = replace(PLAN, epochs=3, learning_rate=2e-2)
    record, _ = train(
        request_of(
            tmp_path / "run",
            image,
            plan=plan,
            unlabelled="background",
            cleaning=Cleaning(binning=binning),
        )
    )
    assert record.cleaning.binning == binning
    result = predict(tmp_path / "run", image.pixels, probabilities=True)
    assert result.labels.shape == SHAPE
    assert result.probabilities.shape == (2, *SHAPE)
    assert (result.labels == truth_of()).mean() > 0.9
    blocks = result.labels[: 67 // binning * binning : binning]
    np.testing.assert_array_equal(blocks, result.labels[1 : 67 // binning * binning : binning])


def test_stop_keeps_the_best_and_is_a_run_like_any_other(tmp_path):
    stop = threading.Event()
    reports = []

    def report(message):
        reports.append(message)
        if isinstance(message, EpochReport):
            stop.set()

    record = jobs.train_run(
        request_of(tmp_path / "run", plan=replace(PLAN, epochs=50)),
        report=report,
        stopped=stop.is_set,
    )
    assert (record.state, record.epochs) == ("stopped", 1)
    assert predict(tmp_path / "run", image_of((1, 2)).pixels).labels.shape == SHAPE


def test_a_prediction_that_is_stopped_is_none(tmp_path, few_steps):
    train(request_of(tmp_path / "run"))
    stopped = jobs.predict_with_run(
        tmp_path / "run",
        image_of((1, 2)).pixels,
        report=lambda report: None,
        stopped=lambda: True,
    )
    assert stopped is None


def watched_reports(monkeypatch, tmp_path, watched, **changes):
    monkeypatch.setattr(training, "FIRST_PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr(training, "PREVIEW_SECONDS", 0.0)
    _, reports = train(request_of(tmp_path / "run", watched=watched, **changes))
    return [report for report in reports if isinstance(report, PreviewReport)]


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("binning", [1, 2])
@pytest.mark.parametrize(
    "window", [None, (slice(31, 48), slice(40, 83)), (slice(0, 67), slice(7, 8))]
)
def test_a_preview_is_what_the_whole_image_would_give_there(tmp_path, monkeypatch, window, binning):
    """The averaged network of the last step is the kept one: its prediction is the truth here."""
    image = image_of((1, 2))
    spec = NetworkSpec(pools=(4, 3), filters=3)
    monkeypatch.setattr(training, "PREVIEW_SECONDS", 0.0)
    monkeypatch.setattr(training, "FIRST_PREVIEW_SECONDS", 0.0)
    request = replace(
        request_of(tmp_path / "run", image, watched=Watched(image.pixels, window)),
        spec=spec,
        cleaning=Cleaning(binning=binning),
    )
    watch = training.watcher(request, jobs.prepare((image,), "ignore", request.cleaning).classes)
    network = random_network(spec, seed=752).eval()
    preview = watch(network, 3)
    pixels = standardise(clean(image.pixels, request.cleaning))
    whole = np.array([0, 2])[predict_tiles(accelerated(network).folded(), pixels).classes]
    whole = whole.repeat(binning, 0).repeat(binning, 1)
    whole = np.pad(
        whole, [(0, n - m) for n, m in zip(SHAPE, whole.shape, strict=True)], mode="edge"
    )
    rows, columns = window or (slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    assert preview.origin == (rows.start, columns.start)
    assert preview.epoch == 3
    assert len(np.unique(whole)) == 2
    assert (preview.labels == whole[rows, columns]).mean() > 0.999


@pytest.mark.usefixtures("few_steps")
def test_previews_come_while_it_trains(tmp_path, monkeypatch):
    previews = watched_reports(monkeypatch, tmp_path, Watched(image_of((1, 2)).pixels))
    epochs = [preview.epoch for preview in previews]
    assert epochs[0] == 1
    assert epochs == sorted(epochs)
    assert all(preview.labels.shape == SHAPE for preview in previews)
    assert set(np.unique([preview.labels for preview in previews])) <= {0, 2}


def test_previews_take_a_fifth_of_the_time(tmp_path, monkeypatch):
    """A slow prediction is not asked for again before four times as long has passed."""
    image = image_of((1, 2))
    request = request_of(tmp_path / "run", image, watched=Watched(image.pixels))
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    predict_fitting = validation.predict_fitting

    def slow(*arguments, **options):
        now[0] += 5.0
        return predict_fitting(*arguments, **options)

    monkeypatch.setattr(validation, "predict_fitting", slow)
    watch = training.watcher(request, jobs.prepare((image,), "ignore", Cleaning()).classes)
    network = random_network(SPEC, 752)
    assert watch(network, 1) is None  # not in the first seconds
    now[0] = 2.5
    assert watch(network, 1) is not None  # took 5 s, until 7.5
    now[0] = 27.0
    assert watch(network, 1) is None
    now[0] = 27.6
    assert watch(network, 1) is not None


@pytest.mark.parametrize("pools", [(), (2,), (4, 4), (2, 2, 2), (8, 8), (4, 4, 4)])
def test_the_gap_is_beyond_every_field(pools):
    """No phase of a training pixel may see a held-out pixel: further than the halo for 4,4."""
    field = receptive_field(NetworkSpec(pools=pools))
    gap = training._gap_px(NetworkSpec(pools=pools))
    assert gap >= field.halo
    for before, after in field.phases:
        assert max(before, after) <= gap


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ((), "there is no image to train from: give at least one with its labels"),
        (
            (replace(image_of((1, 2)), labels=np.zeros((3, 3), int)),),
            'labels of "gold" are 3 x 3 but the image is 67 x 83',
        ),
        (
            (replace(image_of((1, 2)), pixels=np.full(SHAPE, np.nan)),),
            "no pixel of the image is finite: it holds only NaN or infinity",
        ),
        ((replace(image_of((1, 2)), labels=np.ones(SHAPE, int)),), "training needs two classes"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(tmp_path, images, sentence):
    request = TrainRequest(tmp_path / "run", images, SPEC, PLAN)
    with pytest.raises(ValueError, match=sentence):
        train(request)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_leaves_no_folder(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=r"device 'cuda' is not available on this machine"):
        train(request_of(tmp_path / "run", plan=replace(PLAN, device="cuda")))
    assert not (tmp_path / "run").exists()


def test_a_full_disk_while_training_leaves_the_last_epoch(tmp_path, monkeypatch, few_steps):
    from napari_tem_rf import storage

    written = []
    to_disk = storage._to_disk

    def full(path):
        written.append(path.name)
        if sum("checkpoint" in name for name in written) == 3:  # the first comes before all epochs
            raise OSError(28, "No space left on device")
        to_disk(path)

    monkeypatch.setattr(storage, "_to_disk", full)
    with pytest.raises(OSError, match=r"checkpoint\.pt. could not be written .*make room"):
        train(request_of(tmp_path / "run", plan=replace(PLAN, epochs=3)))
    monkeypatch.undo()
    monkeypatch.setattr(crops, "FEWEST_STEPS", 3)
    monkeypatch.setattr(crops, "MOST_STEPS", 3)
    _, reports = train(request_of(tmp_path / "run", plan=replace(PLAN, epochs=3), resume=True))
    assert [r.epoch for r in reports if isinstance(r, EpochReport)] == [2, 3]
    train(request_of(tmp_path / "unbroken", plan=replace(PLAN, epochs=3)))
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "unbroken")


@pytest.mark.usefixtures("few_steps")
def test_run_json_is_plain_json(tmp_path):
    train(request_of(tmp_path / "run"))
    text = Path(tmp_path / "run" / "run.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["format"] == 1


def test_a_map_of_the_field_has_the_widths_of_its_pixels() -> None:
    spec = NetworkSpec(pools=(2,), filters=2)
    pixels = np.random.default_rng(11).normal(size=(37, 53)).astype(np.float32)
    told: list[Any] = []
    found = jobs.map_effective_field(
        None, spec, pixels, (3, 4), 752, report=told.append, stopped=lambda: False
    )
    assert found.w50_px.shape == found.w95_px.shape == (3, 4)
    assert found.measured == len(told) == 12
    assert told[-1].fraction == 1
    # rows 37 / 3 = 12.33 and columns 53 / 4 = 13.25: the middle of cell (1, 2) is (18, 33)
    one = jobs.measure_effective_field(
        None, spec, pixels, (18, 33), 752, report=told.append, stopped=lambda: False
    )
    assert (found.w50_px[1, 2], found.w95_px[1, 2]) == (one.w50_px, one.w95_px)
    stops = iter([False] * 5 + [True] * 9)
    part = jobs.map_effective_field(
        None, spec, pixels, (3, 4), 752, report=told.append, stopped=lambda: next(stops)
    )
    assert part.measured == 5
    assert np.isfinite(part.w95_px).sum() == 5
