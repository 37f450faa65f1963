"""Many masks through an engine: what fails holds nobody up, what is stopped can be continued."""

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from napari_tem_rf import jobs
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.jobs.mask_files import MaskFile
from napari_tem_rf.mask_predicting import predict_folder, predict_masks
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import ProgressReport, TrainingPlan
from napari_tem_rf.runs import RunRecord, create_run, read_run

ROWS, COLUMNS = 13, 17


@pytest.fixture
def run(tmp_path):
    record = RunRecord(
        name="gold",
        spec=NetworkSpec(pools=(2,)),
        plan=TrainingPlan(),
        classes=Classes((1, 2), ("", ""), ("", "")),
        unlabelled="ignore",
        cleaning=Cleaning(),
        pixel_size_nm=None,
        data=(),
    )
    create_run(tmp_path / "run", record, {})
    (tmp_path / "run" / "weights.safetensors").write_bytes(b"the weights")
    return read_run(tmp_path / "run")


@pytest.fixture
def asked(monkeypatch):
    """Predict each frame as its own number, 99 not at all; return the numbers asked for."""
    numbers = []

    def predict(run, pixels, *options, report, stopped):
        number = int(pixels[0, 0])
        numbers.append(number)
        report(ProgressReport(0.5, None))
        if number == 99:
            raise ValueError("no pixel of the image is finite")
        notes = ("it is dark",) if number % 2 else ()
        return jobs.PredictionResult(np.full(pixels.shape, number, np.uint8), None, notes)

    monkeypatch.setattr(jobs, "predict_with_run", predict)
    return numbers


def frames(*numbers):
    return np.array(numbers, np.uint8)[:, None, None] + np.zeros((1, ROWS, COLUMNS), np.uint8)


def mask(run, folder, name, *numbers):
    return MaskFile(run, Micrograph(frames(*numbers), name), folder / f"{name}.tif")


@pytest.mark.parametrize("threaded", [False, True])
def test_a_mask_that_fails_does_not_hold_up_the_others(run, asked, tmp_path, threaded):
    masks = [
        mask(run, tmp_path, "a", 1, 2, 3),
        mask(run, tmp_path, "b", 4, 99, 5, 6, 7, 8, 9),
        mask(run, tmp_path, "c", 10, 11),
    ]
    with InlineEngine(threaded) as engine:
        steps = list(predict_masks(engine, iter(masks)))
    events = {name: [s for s in steps if s.file.micrograph.name == name] for name in "abc"}
    for name, numbers in (("a", (1, 2, 3)), ("c", (10, 11))):
        np.testing.assert_array_equal(read_labels(tmp_path / f"{name}.tif"), frames(*numbers))
        written = [step.frame for step in events[name] if step.event == "written"]
        assert sorted(written) == list(range(len(numbers)))
        assert [step.event for step in events[name]][-2:] == ["joining", "finished"]
        fractions = [step.fraction for step in events[name]]
        assert fractions[-1] == 1
        assert all(0 < fraction <= 1 for fraction in fractions)
    assert events["a"][-1].notes == (("it is dark", 2),)
    (failed,) = (step for step in steps if step.event == "failed")
    assert (failed.file, failed.frame) == (masks[1], 1)
    assert failed.failure == "no pixel of the image is finite"
    assert failed is events["b"][-1]
    # two are on the way when the failure is heard; after it no frame of that mask is begun
    assert 9 not in asked
    assert 8 not in asked
    assert not (tmp_path / "b.tif").exists()


def test_a_stop_leaves_what_is_written_and_again_makes_the_rest(run, asked, tmp_path):
    stop = threading.Event()
    with InlineEngine(threaded=True) as engine:
        for step in predict_masks(
            engine, [mask(run, tmp_path, "a", *range(9))], stopped=stop.is_set
        ):
            if step.event == "written" and step.frame == 2:
                stop.set()
        assert step.event == "written"
        assert not (tmp_path / "a.tif").exists()
        first = Counter(asked)
        asked.clear()
        *_, last = predict_masks(engine, [mask(run, tmp_path, "a", *range(9))])
    assert last.event == "finished"
    assert not {0, 1, 2} & set(asked)
    assert set(first) | set(asked) == set(range(9))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), frames(*range(9)))


def test_files_of_one_name_in_a_folder_have_masks_of_their_own(run, asked, tmp_path):
    """Also while neither mask is written yet; the same again predicts nothing."""
    folder, out = tmp_path / "images", tmp_path / "masks"
    folder.mkdir()
    write_labels(folder / "a.tif", frames(3)[0])
    np.save(folder / "a.npy", frames(4)[0])
    (folder / "broken.tif").write_bytes(b"II*\0nothing")
    paths = [folder / "a.npy", folder / "broken.tif", folder / "a.tif"]

    def predict():
        with InlineEngine(threaded=True) as engine:
            steps = predict_folder(engine, run, paths, out, False, lambda: False)
            said = []
            while True:
                try:
                    said.append(next(steps))
                except StopIteration as end:
                    return said, end.value

    said, outcome = predict()
    masks = {path.name: int(read_labels(path).max()) for path in Path(out).glob("*.tif")}
    assert masks == {"a.tif": 4, "a_2.tif": 3}
    assert (outcome.files, outcome.frames, outcome.stopped) == (2, 2, False)
    (refusal,) = outcome.refusals
    assert "broken.tif" in refusal
    assert outcome.notes == ("a: it is dark",)
    fractions = [step.fraction for step in said]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    asked.clear()
    _, again = predict()
    assert (again.files, again.frames, asked) == (2, 0, [])


def test_frames_are_predicted_at_the_same_time_where_the_engine_does(run, monkeypatch, tmp_path):
    together = threading.Barrier(2, timeout=60)

    def predict(run, pixels, *options, report, stopped):
        together.wait()  # nobody passes alone
        return jobs.PredictionResult(np.full(pixels.shape, pixels[0, 0], np.uint8), None)

    monkeypatch.setattr(jobs, "predict_with_run", predict)
    with InlineEngine(threaded=True, at_once=2) as engine:
        wanted = [mask(run, tmp_path, "a", 1, 2, 3, 4)]
        *_, last = predict_masks(engine, wanted, kind="training")
    assert last.event == "finished"
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), frames(1, 2, 3, 4))
