"""Two at one folder: the second is told who works there, or they share the work."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from napari_tem_rf import jobs
from napari_tem_rf.comparison import run_comparison
from napari_tem_rf.jobs import mask_files
from napari_tem_rf.locking import BusyError, Lock, locked, wait_for
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.runs import read_run

from .test_comparison import IMAGES, SMALL, plan_of
from .test_jobs import (
    few_steps,  # noqa: F401 - a fixture
    image_of,
    request_of,
    train,
)

HOLD = """
import sys
from pathlib import Path
from napari_tem_rf.locking import Lock
lock = Lock(Path(sys.argv[1]), "training").acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Return a function that has another process hold the lock of a folder."""
    processes = []

    def hold(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        processes.append(process)
        assert process.stdout.readline() == b"held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_the_second_is_told_who_works_there(tmp_path, holder):
    process = holder(tmp_path)
    with pytest.raises(BusyError) as caught, locked(tmp_path, "training"):
        pass
    assert re.fullmatch(
        rf'"{re.escape(str(tmp_path))}" is in use: process {process.pid} on '
        rf"{re.escape(socket.gethostname())} works there since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d "
        r"\(training\); wait until it has ended, or stop it there, and try again",
        str(caught.value),
    )


def test_a_dead_process_holds_nothing(tmp_path, holder):
    process = holder(tmp_path)
    process.kill()
    process.wait()
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path, "training"):
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_given_back_and_leaves_no_folder(tmp_path):
    folder = tmp_path / "new"
    with locked(folder, "training"):
        assert (folder / ".lock").is_file()
    assert not folder.exists()


def test_only_one_of_many_holds_it(tmp_path):
    """Whoever opened the file before it was removed must not believe that it holds the lock."""
    inside, most, turns = [], [], []

    def work():
        for _ in range(20):
            lock = Lock(tmp_path, "counting")
            assert wait_for(lock)
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.001)
            inside.pop()
            turns.append(1)
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(turns)) == (1, 60)


@pytest.mark.usefixtures("few_steps")
def test_two_trainings_of_one_run(tmp_path, holder):
    folder = tmp_path / "run"
    train(request_of(folder))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    holder(folder)
    with pytest.raises(BusyError, match=r"is in use: process \d+ on .+ \(training\)"):
        train(request_of(folder, resume=True))
    assert {n: b for n, b in before.items() if (folder / n).read_bytes() != b} == {}


def test_two_comparisons_in_one_folder(tmp_path, holder):
    holder(tmp_path)
    with pytest.raises(BusyError, match="is in use"):
        run_comparison(IMAGES, plan_of(SMALL), tmp_path)


@pytest.mark.usefixtures("few_steps")
def test_masks_are_made_by_one_and_kept_by_the_other(tmp_path):
    train(request_of(tmp_path / "run"))
    run, pixels = read_run(tmp_path / "run"), image_of((1, 2)).pixels

    def mask():
        return mask_files.MaskFile(run, Micrograph(pixels, "gold"), tmp_path / "gold.tif")

    one, other = mask(), mask()
    assert one.begin() == (0,)
    assert not other.is_free
    with pytest.raises(BusyError, match=r"gold\.tif. is in use: .*\(predicting\)"):
        other.begin()
    result = jobs.predict_with_run(
        *one.arguments(0, device="cpu"), report=lambda report: None, stopped=lambda: False
    )
    one.write(0, result)
    one.finish()
    assert other.begin() == ()
    assert other.is_done
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gold.tif", "gold.tif.json", "run"]
