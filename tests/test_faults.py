"""What goes wrong while a training works: what the user reads, and that nothing else is lost."""

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tem_rf import jobs
from napari_tem_rf.jobs import Watched, training
from napari_tem_rf.learning import validation
from napari_tem_rf.learning.learner import DivergedError
from napari_tem_rf.learning.step import Stepper
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.protocol import EpochReport
from napari_tem_rf.runs import read_run, what_remains

from .test_jobs import (
    PLAN,
    SHAPE,
    few_steps,  # noqa: F401 - a fixture
    image_of,
    notes_of,
    one_thread,  # noqa: F401 - a fixture
    predict,
    request_of,
    train,
    weights_of,
)


def train_with(request, at, fault):
    """Train, with a fault at the report of that epoch; returns the record and all reports."""
    reports = []

    def report(message):
        reports.append(message)
        if isinstance(message, EpochReport) and message.epoch == at:
            fault()

    return jobs.train_run(request, report=report, stopped=lambda: False), reports


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("what", ["folder", "record"])
def test_a_run_deleted_in_mid_training_is_written_anew(tmp_path, what):
    folder = tmp_path / "run"
    image = image_of((1, 2))

    def delete():
        shutil.rmtree(folder) if what == "folder" else (folder / "run.json").unlink()

    record, reports = train_with(request_of(folder, image, plan=replace(PLAN, epochs=3)), 2, delete)
    assert notes_of(reports)[1:] == [
        f'the run "{folder}" was deleted in the meantime: it is written again'
    ]
    run = read_run(folder)
    assert run.record == record
    assert (record.state, record.epochs) == ("finished", 3)
    np.testing.assert_array_equal(read_labels(folder / "annotation.ome.tif"), image.labels)
    assert len((folder / "history.csv").read_text().splitlines()) == 4
    assert predict(folder, image.pixels).labels.shape == SHAPE


@pytest.mark.usefixtures("few_steps")
def test_a_stop_in_mid_epoch_may_be_used_and_resumed_exactly(tmp_path):
    train(request_of(tmp_path / "unbroken", plan=replace(PLAN, epochs=3)))
    asked = []
    record, _ = train(
        request_of(tmp_path / "run", plan=replace(PLAN, epochs=3)),
        stopped=lambda: asked.append(1) or len(asked) > 4,
    )
    assert (record.state, record.epochs, record.steps) == ("stopped", 2, 4)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3
    stopped = weights_of(tmp_path / "run")
    record, _ = train(request_of(tmp_path / "run", plan=replace(PLAN, epochs=3), resume=True))
    assert (record.state, record.epochs, record.steps) == ("finished", 3, 9)
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "unbroken") != stopped


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(int(sys.argv[4]))
import test_jobs
test_jobs.crops.FEWEST_STEPS = test_jobs.crops.MOST_STEPS = 3
asked = []
def stopped():
    asked.append(1)
    if len(asked) > int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return False
plan = test_jobs.replace(test_jobs.PLAN, epochs=3)
request = test_jobs.request_of(test_jobs.Path(sys.argv[2]), plan=plan)
test_jobs.train(request, stopped=stopped)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(
    ("batches", "remains"),
    [
        (1, "no epoch of it was over yet, go on and it begins again"),
        (7, "go on from the end of epoch 2"),
    ],
)
def test_killed_in_mid_epoch_and_resumed_is_unbroken(tmp_path, batches, remains):
    train(request_of(tmp_path / "unbroken", plan=replace(PLAN, epochs=3)))
    here, run = str(Path(__file__).parent), tmp_path / "run"
    threads = str(torch.get_num_threads())
    done = subprocess.run(
        [sys.executable, "-c", KILLED, here, str(run), str(batches), threads], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert read_run(run).record.state == "training"
    assert what_remains(run) == remains
    train(request_of(run, plan=replace(PLAN, epochs=3), resume=True))
    assert weights_of(run) == weights_of(tmp_path / "unbroken")


def test_of_a_training_without_a_folder_nothing_remains(tmp_path):
    assert what_remains(tmp_path / "run") == "nothing of it was kept yet, train again"


@pytest.mark.usefixtures("few_steps")
def test_a_loss_that_is_no_number_keeps_the_epochs_before(tmp_path, monkeypatch):
    step, steps = Stepper.step, []

    def diverging(*arguments):
        steps.append(1)
        return step(*arguments) * (1 if len(steps) < 8 else float("nan"))

    monkeypatch.setattr(Stepper, "step", diverging)
    sentence = (
        r"loss is nan in epoch 3, the weights of the epochs before are kept: try another seed"
    )
    with pytest.raises(DivergedError, match=sentence):
        train(request_of(tmp_path / "run", plan=replace(PLAN, epochs=5)))
    monkeypatch.setattr(Stepper, "step", step)
    train(request_of(tmp_path / "two", plan=replace(PLAN, epochs=2)))
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "two")


@pytest.mark.usefixtures("few_steps")
def test_a_preview_without_memory_is_given_up_and_said(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError("no memory on cuda for a tile")

    monkeypatch.setattr(validation, "predict_fitting", full)
    image = image_of((1, 2))
    watched = Watched(image.pixels)
    monkeypatch.setattr(training, "FIRST_PREVIEW_SECONDS", 0.0)
    record, reports = train(request_of(tmp_path / "run", image, watched=watched))
    assert notes_of(reports)[1:] == [
        "memory is full: the training continues without its live prediction"
    ]
    assert record.state == "finished"


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
import test_jobs
from napari_tem_rf.engine.worker import call
test_jobs.crops.FEWEST_STEPS = test_jobs.crops.MOST_STEPS = 3
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def limit(message):
    # from now on every file ends at 4 kB: the kernel refuses the rest as on a full disk
    if isinstance(message, test_jobs.EpochReport) and message.epoch == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

plan = test_jobs.replace(test_jobs.PLAN, epochs=5)
request = test_jobs.request_of(test_jobs.Path(sys.argv[2]), plan=plan)
outcome = call(test_jobs.jobs.train_run, (request,), "training on gold", limit, lambda: False)
print(outcome.sentence)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the file size are Linux's here")
@pytest.mark.usefixtures("few_steps")
def test_a_disk_that_is_really_full_is_a_sentence_and_leaves_the_last_epoch(tmp_path):
    run = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(Path(__file__).parent), str(run)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == (
        f'"{run / "checkpoint.pt"}" could not be written (File too large): make room or choose '
        "another folder; what was there before is as it was\n"
    )
    assert sorted(path.name for path in run.iterdir()) == [
        "annotation.ome.tif",
        "checkpoint.pt",
        "history.csv",
        "run.json",
        "weights.safetensors",
    ]
    assert what_remains(run) == "go on from the end of epoch 2"
    _, reports = train(request_of(run, plan=replace(PLAN, epochs=3), resume=True))
    assert [r.epoch for r in reports if isinstance(r, EpochReport)] == [3]
