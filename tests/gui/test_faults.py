"""Faults in a real window: what it says, that it keeps running, and what is left."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_tem_rf import jobs
from napari_tem_rf.engine.member import members_of
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.segment.train import TrainWidget
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport
from napari_tem_rf.runs import read_run, what_remains

from .conftest import fake_train

pytestmark = pytest.mark.timeout(400)

POSIX = os.name == "posix"
EPOCHS = 5
SLOW = 180_000


@pytest.fixture
def widget(viewer: Any, qtbot: Any) -> TrainWidget:
    widget = TrainWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def press(qtbot: Any, button: Any) -> None:
    assert not button.isHidden()
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def idle(session: Session) -> Callable[[], bool]:
    return lambda: session.training is None and session.predicting is None


def member(role: str) -> psutil.Process:
    """Return the process of this session's engine that has a role."""
    (found,) = (
        process
        for its, process in members_of(psutil.Process().children(recursive=True))
        if its == role
    )
    return found


def small_training(session: Session, epochs: int = EPOCHS) -> None:
    session.spec = NetworkSpec(pools=(2,), filters=2)
    session.change_plan(epochs=epochs, seconds=None, validation=0.0)


# real processes


@pytest.mark.skipif(not POSIX, reason="there is no SIGKILL")
def test_a_killed_worker_is_said_and_its_training_goes_on_with_one_click(
    widget: TrainWidget, session: Session, strokes: Labels, qtbot: Any
) -> None:
    small_training(session)
    press(qtbot, widget.train_button)
    assert session.training is not None
    assert session.training.state == "waiting"
    qtbot.waitUntil(lambda: len(session.history) >= 2, timeout=SLOW)
    member("training-0").kill()
    qtbot.waitUntil(idle(session), timeout=SLOW)
    (run,) = session.runs
    left = what_remains(run.folder)
    assert left.startswith("go on from the end of epoch ")
    assert widget.note.text() == (
        "✗ Training on gold lost its worker process, it was ended by SIGKILL, as when memory runs "
        f"out: {left}."
    )
    # the window keeps running: what was learned can be used, and started from
    assert run.record.state == "training"
    assert session.start == run.folder
    assert widget.train_button.isEnabled()

    press(qtbot, widget.resume_button)
    qtbot.waitUntil(idle(session), timeout=SLOW)
    assert widget.resume_button.isHidden()
    assert [report.epoch for report in session.history] == list(range(1, EPOCHS + 1))
    (finished,) = session.runs
    assert (finished.folder, finished.record.state) == (run.folder, "finished")
    assert read_run(run.folder).record.epochs == EPOCHS
    assert len(session.refresh().scene.predictions) == 1


@pytest.mark.skipif(not POSIX, reason="there is no SIGKILL")
def test_faults_before_the_first_epoch_and_while_it_predicts(
    widget: TrainWidget, session: Session, strokes: Labels, viewer: Any, qtbot: Any
) -> None:
    result = ExportWidget(viewer)
    qtbot.addWidget(result)
    session.warm_up()
    qtbot.waitUntil(lambda: session.engine.state == "ready", timeout=SLOW)

    # the scheduler is gone: nothing was kept, and the next press starts everything anew
    small_training(session, 1000)
    press(qtbot, widget.train_button)
    member("scheduler").kill()
    qtbot.waitUntil(idle(session), timeout=SLOW)
    assert "✗ The Dask scheduler on this machine is gone and took training on gold along" in (
        widget.note.text()
    )
    small_training(session, 1)
    press(qtbot, widget.train_button)
    qtbot.waitUntil(idle(session), timeout=SLOW)
    assert session.runs, widget.note.text()

    # the worker dies while it predicts
    large = viewer.add_image(np.random.default_rng(3).normal(size=(4099, 4093)), name="large")
    session.image = large
    press(qtbot, result.predict_button)
    qtbot.waitUntil(lambda: any(w.state == "running" for w in session.works), timeout=SLOW)
    member("quick").kill()
    qtbot.waitUntil(idle(session), timeout=SLOW)
    assert "lost its worker process, it was ended by SIGKILL" in result.words.text()
    assert "start again" in result.words.text()
    assert result.predict_button.isEnabled()


OWNER = """
import sys
from pathlib import Path
import napari, numpy as np, psutil
from qtpy.QtCore import QTimer
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.gui.segment.training import begin_training
from napari_tem_rf.networks.spec import NetworkSpec

viewer = napari.Viewer(show=True)
session = session_of(viewer)
session.runs_folder = Path(sys.argv[1])
rows, columns = np.ogrid[:61, :83]
disc = (rows - 30) ** 2 + (columns - 40) ** 2 < 12**2
pixels = np.random.default_rng(7).normal(size=(61, 83)) + 3 * disc
viewer.add_image(pixels.astype(np.float32), name="gold")
session.annotation = viewer.add_labels((disc + 1).astype(np.uint8), name="mask")
session.spec = NetworkSpec(pools=(2,), filters=2)
session.change_plan(epochs=100_000, seconds=None, validation=0.0)
begin_training(session)
timer = QTimer()

def tell():
    if len(session.history) >= 2:
        timer.stop()
        children = psutil.Process().children(recursive=True)
        print(*(child.pid for child in children), flush=True)

timer.timeout.connect(tell)
timer.start(50)
napari.run()
"""


@pytest.mark.skipif(not POSIX, reason="there is no SIGKILL")
def test_no_process_outlives_a_killed_viewer(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        members = [psutil.Process(int(pid)) for pid in owner.stdout.readline().split()]
        assert len(members) == (4 if sys.platform == "linux" else 3)  # one loads for three
        owner.send_signal(signal.SIGKILL)
        owner.wait(20)
    _, orphans = psutil.wait_procs(members, timeout=20)
    assert orphans == []
    (run,) = (tmp_path / "gold").glob("2*")
    assert what_remains(run).startswith("go on from the end of epoch ")
    assert read_labels(run / "annotation.ome.tif").shape == (61, 83)


# answers of a worker in a thread


def test_a_training_that_has_no_worker_waits_and_can_be_taken_back(
    worker: None, widget: TrainWidget, session: Session, strokes: Labels, qtbot: Any
) -> None:
    release = threading.Event()

    def block(*, report: Any, stopped: Any) -> None:
        release.wait(60)

    session.engine.submit(block, name="somebody else's training")
    press(qtbot, widget.train_button)
    qtbot.waitUntil(
        lambda: widget.words.text().startswith("Waiting for a free worker"), timeout=10_000
    )
    assert session.training is not None
    assert session.training.state == "waiting"
    press(qtbot, widget.stop_button)
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert widget.note.text() == "Cancelled before it began."
    assert session.runs == ()
    assert widget.resume_button.isHidden()
    # and one that is left waiting is done in its turn
    press(qtbot, widget.train_button)
    release.set()
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert len(session.runs) == 1


@pytest.mark.parametrize("change", ["labels deleted", "labels reshaped", "image deleted"])
def test_layers_changed_in_mid_training_do_not_change_it(
    worker: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: TrainWidget,
    session: Session,
    strokes: Labels,
    image: Image,
    viewer: Any,
    qtbot: Any,
    change: str,
) -> None:
    changed = threading.Event()

    def wait(request: Any, *, report: Any, stopped: Any) -> Any:
        report(NoteReport("it goes on"))
        changed.wait(60)
        return fake_train(request, report=report, stopped=stopped)

    monkeypatch.setattr(jobs, "train_run", wait)
    painted = strokes.data.copy()
    press(qtbot, widget.train_button)
    qtbot.waitUntil(lambda: "It goes on" in widget.note.text(), timeout=10_000)
    qtbot.waitUntil(lambda: bool(session.refresh().scene.predictions))
    if change == "labels deleted":
        viewer.layers.remove(strokes)
    elif change == "labels reshaped":
        strokes.data = np.zeros((17, 19), np.uint8)
    else:
        viewer.layers.remove(image)
    changed.set()
    qtbot.waitUntil(idle(session), timeout=10_000)
    (run,) = session.runs
    np.testing.assert_array_equal(read_labels(run.folder / "annotation.ome.tif"), painted)
    assert "✗" not in widget.note.text()
    (prediction,) = session.refresh().scene.predictions
    # nothing is predicted on an image that is not there any more
    assert prediction.data.any() == (change != "image deleted")
    # and the next training says what it lacks
    assert not widget.train_button.isEnabled()
    assert widget.words.text()


def test_what_a_failed_training_had_learned_can_be_used(
    worker: None,
    monkeypatch: pytest.MonkeyPatch,
    widget: TrainWidget,
    session: Session,
    strokes: Labels,
    qtbot: Any,
) -> None:
    def fail(request: Any, *, report: Any, stopped: Any) -> None:
        record = fake_train(request, report=report, stopped=stopped)
        (request.run / "weights.safetensors").write_bytes(b"")
        raise OSError(28, "No space left on device", str(record.name))

    monkeypatch.setattr(jobs, "train_run", fail)
    press(qtbot, widget.train_button)
    qtbot.waitUntil(idle(session), timeout=10_000)
    assert widget.note.text().startswith("✗ Training on gold failed, no space left on device")
    assert not widget.resume_button.isHidden()
    (run,) = session.runs
    assert session.start == run.folder
    assert widget.start.currentData() == run.folder
