"""The helper process that opens HDF5 files first."""

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from napari_tem_rf.micrographs import trial
from napari_tem_rf.micrographs.hyperspy_files import hspy_images
from napari_tem_rf.micrographs.reading import ReadingError, read_micrographs


@pytest.fixture
def signal_file(tmp_path):
    path = tmp_path / "signal.hspy"
    with h5py.File(path, "w") as file:
        experiment = file.create_group("Experiments/a")
        experiment.create_dataset("data", data=np.zeros((37, 41), np.uint8))
        for number in range(2):
            axis = experiment.create_group(f"axis-{number}")
            axis.attrs.update(scale=0.1, units="nm", navigate=False)
    return path


@pytest.fixture
def helper():
    """A helper process of the test's own."""
    own = trial._Helper()
    yield own
    own.end()


def test_a_good_file_is_tried_and_opened(signal_file, helper):
    assert helper.try_file(signal_file, hspy_images) is None
    (micrograph,) = read_micrographs(signal_file)
    assert micrograph.pixel_size_nm == pytest.approx((0.1, 0.1))


def test_a_damaged_text_takes_neither_time_nor_memory(signal_file):
    # the global heap holds the texts of the attributes; its objects say how long they are
    data = bytearray(signal_file.read_bytes())
    place = data.index(b"GCOL") + 16 + 8
    assert int.from_bytes(data[place : place + 8], "little") == len("nm")
    data[place : place + 8] = (2**31).to_bytes(8, "little")
    signal_file.write_bytes(data)
    start = time.perf_counter()
    with pytest.raises(ReadingError, match=r'^"signal\.hspy" '):
        read_micrographs(signal_file)
    assert time.perf_counter() - start < 10


def test_a_file_that_ends_the_process_is_refused(signal_file, helper, monkeypatch):
    start = "import os, sys; print(1, flush=True); sys.stdin.readline(); os.abort()"
    monkeypatch.setattr(trial, "_START", start)
    assert "breaks the library" in helper.try_file(signal_file, hspy_images)


def test_a_file_that_takes_too_long_is_refused(signal_file, helper, monkeypatch):
    start = "import time; print(1, flush=True); time.sleep(60)"
    monkeypatch.setattr(trial, "_START", start)
    monkeypatch.setattr(trial, "_SECONDS", 0.3)
    assert "takes more than" in helper.try_file(signal_file, hspy_images)


def test_a_helper_that_was_ended_starts_again(signal_file, helper):
    assert helper.try_file(signal_file, hspy_images) is None
    os.kill(helper._process.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert helper.try_file(signal_file, hspy_images) is None


def test_without_a_process_nothing_is_tried(signal_file, helper, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no processes here")

    monkeypatch.setattr(trial.subprocess, "Popen", refuse)
    assert helper.try_file(signal_file, hspy_images) is None


# ---------------------------------------------------------------- what lies in the current folder

LURES = (
    *(
        "abc",
        "codecs",
        "dask",
        "encodings",
        "hdf5plugin",
        "h5py",
        "importlib",
        "io",
        "json",
        "logging",
    ),
    *("napari_tem_rf", "numpy", "os", "pathlib", "re", "scipy", "site", "sitecustomize"),
    *("subprocess", "threading", "typing", "usercustomize", "warnings", "zarr"),
)


@pytest.fixture
def lures(tmp_path, signal_file):
    """A folder of modules that leave a trace when they run, and a good file among them."""
    for name in LURES:
        trace = tmp_path / "ran" / name
        (tmp_path / f"{name}.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
    (tmp_path / "ran").mkdir()
    return tmp_path


@pytest.mark.parametrize("entry", ["", ".", "the folder's own name"])
def test_the_helper_runs_nothing_of_the_current_folder(lures, helper, monkeypatch, entry):
    monkeypatch.chdir(lures)
    # as Python itself puts it there, started with -c or -m
    monkeypatch.syspath_prepend(str(lures) if len(entry) > 1 else entry)
    assert helper.try_file(lures / "signal.hspy", hspy_images) is None
    assert helper._process.poll() is None
    assert not list((lures / "ran").iterdir())


@pytest.mark.parametrize("name", ["signal.hspy", "image.emd"])
def test_the_command_runs_nothing_of_the_current_folder(lures, name):
    with h5py.File(lures / "image.emd", "w") as file:
        group = file.create_group("data/picture")
        group.attrs["emd_group_type"] = 1
        group["data"] = np.zeros((41, 37), np.uint8)  # without names x comes first
    # the helper's answer is asked for, so that the test fails where no helper started
    command = (
        "import sys; from napari_tem_rf.cli import main; "
        "from napari_tem_rf.micrographs import trial; "
        "sys.argv[1:] = ['info', sys.argv[1]]\n"
        "try: main()\n"
        "finally: print('helper', trial._helper._process.poll())"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", command, name],
        cwd=lures,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert f"{name}: " in run.stdout, run.stderr
    assert "37 x 41 uint8" in run.stdout
    assert "helper None" in run.stdout
    assert not list((lures / "ran").iterdir())


def test_the_users_own_path_stays(lures, monkeypatch):
    monkeypatch.chdir(lures)
    monkeypatch.syspath_prepend(str(lures))
    assert str(lures) not in trial._safe_path()
    monkeypatch.setenv("PYTHONPATH", str(lures))
    assert str(lures) in trial._safe_path()
