"""Where Numba is missing or fails, torch computes everything, to the same numbers."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_tem_rf.learning.fast import compiled

TRAIN = """
import sys
{before}
import numpy as np, torch
torch.set_num_threads(1)
from napari_tem_rf.learning.fast import compiled
from napari_tem_rf.learning.fast.network import accelerated
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.training import train
from napari_tem_rf.micrographs.annotation import AnnotatedImage, Classes, TrainingSet
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, NoteReport, sytwu2022

rng = np.random.default_rng(752)
labels = (np.indices((67, 61)).sum(0) // 16 % 2).astype(np.int16)
pixels = (labels - 0.5 + 0.3 * rng.standard_normal(labels.shape)).astype(np.float32)
image = AnnotatedImage("stripes", pixels, labels, "stripes")
data = TrainingSet((image,), Classes((0, 1), ("background", "stripe")), "background")
empty = TrainingSet((), data.classes, "background")
plan = sytwu2022(epochs=2, batch=8, crop_px=64, device="cpu", validation=0.0)
notes, losses = [], []
for _ in range(2):  # a process says once that there are no kernels
    steps = train(data, empty, NetworkSpec((2,), filters=4), plan)
    while True:
        try:
            report = next(steps)
        except StopIteration as end:
            model = end.value
            break
        if isinstance(report, NoteReport):
            notes.append(report.sentence)
        if isinstance(report, EpochReport):
            losses.append(report.training_loss)
found = predict(accelerated(model.network).folded(), pixels, probabilities=True)
weights = {{name: value.detach().numpy() for name, value in model.network.named_parameters()}}
np.savez(sys.argv[1], losses=losses, notes=notes, probabilities=found.probabilities,
         kernels=compiled.kernels() is not None, numba="numba.core" in sys.modules,
         compiler="torch._dynamo" in sys.modules, **weights)
"""


def trained(folder, before=""):
    """Train and predict in a process of its own; returns the outcome."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN.format(before=before), str(folder / "found.npz")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "found.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def by_kernels(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("kernels"))


def failing(trial):
    """Return code that lets the trial fail, on a machine where none was made."""
    return (
        "from pathlib import Path\n"
        "from napari_tem_rf.learning.fast import compiled\n"
        f"compiled.TRIALS = ('', {trial!r}, '')\n"
        "compiled.user_cache_path = lambda *_, **__: Path(sys.argv[1]).parent\n"
    )


@pytest.mark.parametrize(
    ("before", "trouble"),
    [
        ("sys.modules['numba'] = None", "Numba is not installed (pip install numba)"),
        (
            failing("raise ImportError('Numba needs NumPy 2.2 or less')"),
            "Numba does not work on this machine (ImportError: Numba needs NumPy 2.2 or less)",
        ),
    ],
    ids=["missing", "an error"],
)
def test_torch_alone_trains_and_predicts_the_same(tmp_path, by_kernels, before, trouble):
    found = trained(tmp_path, before)
    assert not found.pop("kernels")
    assert not found.pop("numba")
    assert not found.pop("compiler")
    assert found.pop("notes").tolist() == [
        f"{trouble}: PyTorch trains alone, which gives the same result but takes longer"
    ]
    assert by_kernels["kernels"]
    assert not by_kernels["compiler"]  # seconds of each process that trains
    assert by_kernels["notes"].size == 0
    np.testing.assert_allclose(found.pop("losses"), by_kernels["losses"], rtol=1e-4)
    # a bias before a norm has no gradient but rounding, which Adam scales up to whole steps of
    # 1e-4; norms take it away again once their running means have followed
    probabilities = found.pop("probabilities")
    np.testing.assert_allclose(probabilities, by_kernels["probabilities"], atol=1e-3)
    for name, value in found.items():
        if not ("conv" in name and name.endswith("bias")):
            np.testing.assert_allclose(value, by_kernels[name], atol=2e-5, err_msg=name)


@pytest.mark.parametrize(
    ("trial", "trouble"),
    [
        ("raise ImportError('no llvmlite')", "ImportError: no llvmlite"),
        ("import os; os._exit(3)", "it ended the process that tried it, exit code 3"),
        pytest.param(
            "import os; os.abort()",
            "it ended the process that tried it, SIGABRT",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's"),
        ),
    ],
)
def test_what_ends_a_trial_is_said(tmp_path, monkeypatch, trial, trouble):
    monkeypatch.setattr(compiled, "user_cache_path", lambda *_, **__: tmp_path)
    monkeypatch.setattr(compiled, "TRIALS", ("", trial, ""))
    assert compiled._find.__wrapped__() == compiled._Found(
        None, f"Numba does not work on this machine ({trouble})"
    )


@pytest.fixture
def trials(tmp_path, monkeypatch):
    """Let trials be counted, and their outcome be kept in a folder of the test's."""
    made = []

    def run(command, **options):
        made.append(command)
        return subprocess.CompletedProcess(command, made_to_return.pop(0), "", "")

    made_to_return = []
    monkeypatch.setattr(compiled, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setattr(compiled, "TRIALS", compiled.TRIALS[:1])
    monkeypatch.setattr(compiled.subprocess, "run", run)
    return made, made_to_return


def test_it_is_tried_once_a_machine(trials):
    made, returns = trials
    returns += [0]
    assert [compiled._tried() for _ in range(3)] == ["", "", ""]
    assert len(made) == 1


def test_a_failure_is_believed_for_a_day(trials):
    made, returns = trials
    returns += [3, 0]
    first, second = compiled._tried(), compiled._tried()
    assert first == second == "it ended the process that tried it, exit code 3"
    file = compiled.trial_file()
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "at": time.time() - 25 * 3600}))
    assert compiled._tried() == ""
    assert len(made) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 0}'])
def test_an_outcome_that_cannot_be_read_is_found_anew(trials, text):
    made, returns = trials
    returns += [0]
    compiled.trial_file().parent.mkdir()
    compiled.trial_file().write_text(text)
    assert compiled._tried() == ""
    assert len(made) == 1


def test_without_a_place_to_keep_it_each_process_tries(trials, monkeypatch):
    made, returns = trials
    returns += [0, 0]
    monkeypatch.setattr(compiled, "user_cache_path", lambda *_, **__: Path(__file__) / "none")
    assert [compiled._tried(), compiled._tried()] == ["", ""]
    assert len(made) == 2


def test_python_that_cannot_be_started_is_said(trials, monkeypatch):
    def run(command, **options):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(compiled.subprocess, "run", run)
    assert compiled._tried() == ("Python could not be started to try it: No such file or directory")


def test_what_two_trials_share_is_compiled_for_one_type():
    """Two processes that compile a function for other types at a time would mix up its files."""
    pytest.importorskip("numba")
    compiled.warm_up()
    from napari_tem_rf.learning.fast import kernels, rolling

    trained = [each for each in vars(kernels).values() if hasattr(each, "stats")]
    both = [each for each in vars(rolling).values() if any(each is one for one in trained)]
    assert [each.__name__ for each in both] == ["interleave"]
    line = both[0].py_func.__code__.co_firstlineno
    version = f"{sys.version_info[0]}{sys.version_info[1]}"
    pattern = f"levels.interleave-{line}.py{version}.*.nbc"
    assert len(list(Path(both[0].stats.cache_path).glob(pattern))) == 1
